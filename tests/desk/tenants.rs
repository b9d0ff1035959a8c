//! An archive with the lines of two tenants: a command for one tenant shows nothing of the other.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::process::Output;

const ACME: [&str; 2] = ["--tenant", "acme"];
const JEAN: [&str; 2] = ["--ip", "203.0.113.7"];
const ACME_LINES: &str = "\
    Nov 23 10:00:01 acme1 sshd[1]: Failed password for root from 203.0.113.7 port 57424 ssh2\n\
    {\"time\":\"2026-11-23T10:00:06+01:00\",\"event\":\"ticket\",\"ticket\":9,\"status\":\"open\",\"host\":\"acme1\",\"ip\":\"203.0.113.7\"}\n";

/// Creates a node with five lines of its own and two of its client on one day, and two of its own on the
/// next.
fn node() -> Node {
    let node = Node::new();
    node.archive_with(&["--now", "2026-11-23T09:30:00Z", "--tenant", "acme"], ACME_LINES);
    node
}

/// Returns the number of lines, and how many of them are the client's.
fn of_acme(lines: &str) -> (usize, usize) {
    (lines.lines().count(), lines.lines().filter(|line| line.contains("acme1")).count())
}

#[test]
fn a_search_for_a_tenant_shows_nobody_elses_lines() {
    let node = node();
    let found = |options: &[&str]| of_acme(&node.answer(&["replay"], options, 0));
    assert_eq!((found(&[]), found(&JEAN)), ((9, 2), (6, 2)));
    assert_eq!((found(&ACME), found(&[&ACME[..], &JEAN].concat())), ((2, 2), (2, 2)));
    assert_eq!(found(&[&["--tenant", "default"], &JEAN[..]].concat()), (4, 0));
    assert_eq!(found(&["--tenant", "nobody"]), (0, 0));
    let told = text(&node.desk(&["replay"], &ACME).stderr);
    assert!(
        told.contains("note: 2 lines of 2 segments") && told.contains("of other tenants left out"),
        "{told}"
    );
    // A token of the other tenant.
    let lines = node.answer(&["replay", "--tenant", "default", "--program", "sshd"], &JEAN, 0);
    let token = lines.split(' ').find(|word| word.starts_with("ip_")).unwrap();
    assert_eq!(
        (found(&["--token", token]), found(&["--token", token, "--tenant", "acme"])),
        ((3, 0), (0, 0))
    );
}

#[test]
fn the_tenant_of_the_configuration_is_as_good_as_a_typed_one() {
    let node = node();
    let config = node.path("acme.toml");
    fs::write(&config, "tenant = 'acme'\n").unwrap();
    let found = |options: &[&str]| of_acme(&node.answer(&["replay", "--config", arg(&config)], options, 0));
    assert_eq!((found(&[]), found(&["--tenant", "default"])), ((2, 2), (7, 0)));
}

#[test]
fn a_segment_that_does_not_say_whose_it_is_is_searched_by_identifiers_alone() {
    let node = node();
    fs::rename(node.path("srv/vault"), node.path("elsewhere")).unwrap();
    let output = node.desk(&["replay"], &ACME);
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{told}");
    assert!(told.contains("warning[P19]"), "{told}");
    // The keys of the tenant prove whose segment it is.
    assert_eq!(of_acme(&node.answer(&["replay"], &[&ACME[..], &JEAN].concat(), 0)), (2, 2));
    let elsewhere = node.path("elsewhere");
    assert_eq!(of_acme(&node.answer(&["replay", "--vault", arg(&elsewhere)], &ACME, 0)), (2, 2));
}

#[test]
fn answers_to_people_are_of_the_tenant_alone() {
    let node = node();
    let case = ["--case", "DSR-1"];
    let access = [&ACME[..], &JEAN, &case, &PERIOD].concat();
    let dossier = node.answer(&["subject", "access"], &access, 0);
    assert_eq!((dossier.matches("acme1").count(), dossier.matches("web1").count()), (2, 0), "{dossier}");
    let affected = [&ACME[..], &["--json"], &PERIOD].concat();
    let people = node.answer(&["subject", "affected"], &affected, 0);
    assert_eq!(people.trim(), r#"{"kind":"ip","distinct":1,"lines":2}"#);
    let erased = node.answer(&["subject", "erase", "--json"], &[&ACME[..], &JEAN, &case].concat(), 0);
    assert_eq!(erased.matches("\"lines\":1").count(), 2, "{erased}");
    // The tickets of the client are gone, and those of the node remain.
    let left = node.answer(&["replay", "--class", "support-ticket"], &[], 0);
    assert_eq!(of_acme(&left), (3, 0), "{left}");
}

#[test]
fn a_hold_is_of_the_tenant_alone() {
    let node = node();
    let srv = node.path("srv");
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    let held = |options: &[&str]| {
        let output =
            node.run(&[&["hold", "add", "--json", "--until", "2027-01-01"], &case[..], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).matches(".log.zst").count()
    };
    assert_eq!(held(&ACME), 2);
    node.run(&[&["hold", "release"], &case[..]].concat());
    // Everything is frozen, but only the client's lines are extracted.
    assert!(held(&[]) > 4);
    let identity = node.identity();
    let extract = [&["hold", "extract"], &case[..], &ACME, &JEAN, &["--identity", arg(&identity)]].concat();
    let output = node.run(&extract);
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.contains("extracted: 2 lines") && told.contains("left out"),
        "{told}"
    );
}

#[test]
fn the_ledger_names_the_tenant_that_was_asked_for() {
    let node = node();
    let config = node.path("acme.toml");
    fs::write(&config, "tenant = 'acme'\n").unwrap();
    let named = |event: &str| {
        let entries = node.ledger();
        entries.into_iter().rfind(|(name, _)| name == event).unwrap().1["tenant"].clone()
    };
    node.answer(&["replay"], &JEAN, 0);
    assert!(named("access").is_null());
    node.answer(&["replay"], &[&JEAN[..], &ACME].concat(), 0);
    assert_eq!(named("access"), "acme");
    node.answer(&["replay"], &[&JEAN[..], &["--tenant", "default"]].concat(), 0);
    assert_eq!(named("access"), "default");
    node.answer(
        &["subject", "access", "--config", arg(&config)],
        &[&JEAN[..], &PERIOD, &["--case", "DSR-1"]].concat(),
        0,
    );
    assert_eq!(named("access"), "acme");
    // Refused, because no reason is given.
    node.answer(&["replay", "--reveal"], &[&JEAN[..], &ACME].concat(), 2);
    assert_eq!(named("access-refused"), "acme");
}

#[test]
fn a_bundle_names_the_tenant() {
    let node = node();
    let to = node.path("bundle");
    let case = ["--case", "PV-1", "--basis", "60-1/3", "--bundle", arg(&to)];
    node.answer(&["replay"], &[&ACME[..], &case, &PERIOD].concat(), 0);
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    assert_eq!(of_acme(&read("lines.log")), (2, 2));
    assert!(read("README.txt").contains("2 segments of tenant acme"), "{}", read("README.txt"));
    assert!(read("LISEZMOI.txt").contains("2 segments du client acme"));
}

#[test]
fn a_tenant_changes_nothing_where_all_tenants_are_dealt_with() {
    let node = node();
    let srv = node.path("srv");
    for command in [
        &["purge", "--dry-run", "--archive", arg(&srv)][..],
        &["verify", arg(&srv)],
        &["report", "--archive", arg(&srv), "--out", "-"],
        &["ledger", "show"],
        &["hold", "list"],
    ] {
        let run = |tenant: &[&str]| node.run(&[command, tenant, &["--now", LATER]].concat());
        let (without, with) = (run(&[]), run(&ACME));
        let says = |output: &Output| text(&output.stderr).contains("`--tenant` has no effect here");
        assert_eq!((says(&without), says(&with)), (false, true), "{command:?}");
        assert_eq!(with.status.code(), without.status.code(), "{command:?}");
    }
}
