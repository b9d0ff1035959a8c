//! Answers about a period of which lines were purged: they are right, and say so, for nobody must take them
//! for proof that those lines never were.

use super::node::{Node, PERIOD, arg, text};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A day on which the connections of the first day, which expire on it, are purged. Nothing else is.
const AFTER: &str = "2027-11-24T10:00:00Z";
const CONNECTION: [&str; 2] = ["--class", "connection"];
const FIRST: [&str; 4] = ["--from", "2026-11-23", "--to", "2026-11-23"];
const SECOND: [&str; 4] = ["--from", "2026-11-24", "--to", "2026-11-24"];
const CASE: [&str; 4] = ["--case", "PV-1", "--basis", "60-1/3"];

/// Creates a node that has purged the connections of its first day. Also returns the number of the entry in
/// the ledger that says so.
fn purged() -> (Node, u64) {
    let node = Node::new();
    let (exit, told) = run(&node, &["purge", "--confirm-clock"]);
    assert_eq!(exit, Some(0), "{told}");
    let done = node.ledger().iter().position(|(event, _)| event == "purge-done").unwrap();
    (node, done as u64 + 1)
}

/// Returns exit code and messages of a command over the archive, after the purge.
fn run(node: &Node, command: &[&str]) -> (Option<i32>, String) {
    let srv = node.path("srv");
    let output = node.run(&[command, &["--archive", arg(&srv), "--now", AFTER]].concat());
    (output.status.code(), text(&output.stderr))
}

fn note(entry: u64) -> String {
    format!(
        "note: lines that may be of the period were purged on 2027-11-24, as the law demands: ledger entry {entry}\n"
    )
}

/// A mistyped year finds nothing, and nobody may take that for an answer.
#[test]
fn a_search_of_a_time_before_the_ledger_says_that_nothing_is_known_of_it() {
    let node = Node::new();
    for (from, to, is_told) in [("2025-11-23", "2025-11-24", true), ("2026-11-23", "2026-11-24", false)] {
        let (exit, told) = run(&node, &["replay", "--from", from, "--to", to]);
        let note = "note: the ledger begins on 2026-11-23, after the period";
        assert_eq!((exit, told.contains(note)), (Some(0), is_told), "{from}: {told}");
    }
}

#[test]
fn a_search_and_a_hold_say_that_lines_of_their_period_were_purged() {
    let (node, entry) = purged();
    let hold = ["hold", "add", "--until", "2027-12-31", "--case"];
    for (command, is_told) in [
        ([&["replay"], &FIRST[..]].concat(), true),
        ([&["replay"], &PERIOD[..], &CONNECTION].concat(), true),
        // The connections of the second day are still there, and what is in another class was not purged.
        ([&["replay"], &SECOND[..]].concat(), false),
        (["replay", "--class", "support-ticket"].into_iter().chain(FIRST).collect(), false),
        // Nobody asked for a period.
        (vec!["replay"], false),
        ([&hold[..], &["1"], &PERIOD].concat(), true),
        ([&hold[..], &["2"], &SECOND].concat(), false),
        ([&["subject", "affected", "--case", "B-1"], &PERIOD[..]].concat(), true),
    ] {
        let (exit, told) = run(&node, &command);
        assert_eq!((exit, told.contains(&note(entry))), (Some(0), is_told), "{command:?}: {told}");
    }
    // A hold that finds nothing to freeze says why.
    let (exit, told) = run(&node, &[&hold[..], &["3"], &FIRST, &CONNECTION].concat());
    assert!(exit == Some(2) && told.contains(&note(entry)) && told.contains("error[H04]"), "{told}");
    assert!(told.find("note:") < told.find("error["), "{told}");
}

#[test]
fn a_bundle_says_and_proves_that_lines_of_its_period_were_purged() {
    let (node, entry) = purged();
    let identity = node.identity();
    for (who, period, is_told, nothing) in [
        ("192.0.2.99", FIRST, true, true),
        ("203.0.113.7", PERIOD, true, false),
        ("192.0.2.99", SECOND, false, true),
    ] {
        let to = node.path("case");
        let bundle = ["replay", "--ip", who, "--identity", arg(&identity), "--bundle", arg(&to)];
        let (exit, told) = run(&node, &[&bundle[..], &CASE, &period].concat());
        assert_eq!((exit, told.contains(&note(entry))), (Some(0), is_told), "{told}");
        for (file, answer, found_nothing, purged, proof) in [
            (
                "README.txt",
                "That is the answer",
                "NO LINE WAS FOUND",
                "were removed on 2027-11-24, as the law demands",
                format!("entry {entry}, in proof/ledger"),
            ),
            (
                "LISEZMOI.txt",
                "C'est la r\u{e9}ponse",
                "AUCUNE LIGNE N'A \u{c9}T\u{c9} TROUV\u{c9}E",
                "supprim\u{e9}es le 2027-11-24, comme la loi l'exige",
                format!("\u{e9}criture {entry}, dans proof/ledger"),
            ),
        ] {
            let readme = fs::read_to_string(to.join(file)).unwrap();
            // What was found is an answer in itself.
            assert_eq!(readme.contains(answer), nothing && !is_told, "{readme}");
            assert_eq!(readme.contains(found_nothing), nothing, "{readme}");
            assert_eq!(readme.contains(purged) && readme.contains(&proof), is_told, "{readme}");
        }
        assert_eq!(to.join(format!("proof/ledger/{entry}.json")).exists(), is_told);
        assert!(is_whole(&to));
        fs::remove_dir_all(&to).unwrap();
    }
}

fn is_whole(bundle: &Path) -> bool {
    let check = Command::new("/bin/sh").arg(bundle.join("proof/check.sh")).output().unwrap();
    check.status.success()
}

#[test]
fn the_answer_to_a_person_says_that_lines_of_its_period_were_purged() {
    let (node, entry) = purged();
    let (srv, identity) = (node.path("srv"), node.identity());
    for (period, is_told) in [(PERIOD, true), (SECOND, false)] {
        let access = ["subject", "access", "--case", "DSR-1", "--ip", "203.0.113.7"];
        let place = ["--identity", arg(&identity), "--archive", arg(&srv), "--now", AFTER];
        let output = node.run(&[&access[..], &place, &period].concat());
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.contains(&note(entry))), (Some(0), is_told), "{told}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let span = serde_json::json!({
            "first_day": "2027-11-24", "last_day": "2027-11-24", "first_entry": entry, "last_entry": entry,
        });
        assert_eq!(answer.get("purged"), is_told.then_some(&span), "{answer}");
    }
}
