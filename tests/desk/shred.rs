//! A lost shred key: lines are still archived, and every command that relies on originals reports the loss.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::path::{Path, PathBuf};

const DAY: &str = "2027-11-24";
const REVEAL: [&str; 5] = ["--reveal-all", "--case", "PV-1", "--basis", "60-1/3"];
const LINE: &str = "Nov 23 10:30:00 web1 sshd[1]: Failed password for root from 192.0.2.9 port 50001 ssh2\n";

#[test]
fn a_shred_key_that_is_lost_is_told_by_everybody() {
    let node = Node::new();
    fs::remove_file(node.path("state/shred").join(DAY)).unwrap();
    let srv = node.path("srv");
    let verify = || {
        let output = node.run(&["verify", arg(&srv), "--now", LATER]);
        (output.status.code(), text(&output.stdout))
    };
    let (exit, told) = verify();
    assert_eq!((exit, told.matches("the shred key of its day is lost").count()), (Some(1), 1), "{told}");
    let reveal = [&REVEAL[..], &PERIOD, &["--class", "connection"]].concat();
    let told = text(&node.desk(&["replay"], &reveal).stderr);
    assert!(told.contains("warning[P14]"), "{told}");

    // No line is lost, and the loss is reported.
    let warned = node.archive_with(&["--now", "2026-11-23T09:40:00Z"], LINE);
    assert!(warned.contains("warning[S03]") && warned.contains(DAY), "{warned}");
    let again = node.archive_with(&["--now", "2026-11-23T09:41:00Z"], LINE);
    assert!(!again.contains("S03"), "the key is there now: {again}");
    let lost =
        |(event, about): &(String, serde_json::Value)| event == "shred-key-lost" && about["expires"] == DAY;
    assert_eq!(node.ledger().iter().filter(|entry| lost(entry)).count(), 1);

    let (exit, told) = verify();
    assert_eq!(exit, Some(1));
    assert_eq!(told.matches("written under a shred key that is lost").count(), 1, "{told}");
    let told = text(&node.desk(&["replay"], &reveal).stderr);
    assert!(told.contains("warning[P14]") && told.contains("web1-"), "{told}");
    let report = node.run(&["report", "--json", "--out", "-", "--archive", arg(&srv), "--now", LATER]);
    assert!(text(&report.stdout).contains("a shred key of expiry day 2027-11-24 is lost"));
    // Later lines open, and earlier ones can still be searched.
    let since = [&REVEAL[..], &["--from", "2026-11-23T09:30:00Z", "--to", "2026-11-23T09:30:00Z"]].concat();
    assert_eq!(node.answer(&["replay"], &since, 0).matches("192.0.2.9").count(), 2);
    assert_eq!(node.answer(&["replay", "--class", "connection"], &[], 0).lines().count(), 6);
}

const LOST: &str = "expires=2027-11-24/class=connection/web1-";

/// Creates a node that has lost one of its shred keys.
fn without_one_key() -> Node {
    let node = Node::new();
    fs::remove_file(node.path("state/shred").join(DAY)).unwrap();
    node
}

#[test]
fn one_lost_key_among_several_keeps_nothing_else_back() {
    let node = without_one_key();
    let output = node.desk(&["replay"], &[&REVEAL[..], &PERIOD].concat());
    let (lines, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), lines.lines().count()), (Some(1), 7), "{told}");
    // On that day and in that class all identifiers stay tokens; none of the others does.
    let of_lost = |line: &&str| line.contains("expires=2027-11-24") || line.contains("2027-11-24\"");
    let (lost, others): (Vec<&str>, Vec<&str>) = lines.lines().partition(of_lost);
    assert!(lost.len() == 3 && lost.iter().all(|line| line.contains("ip_")), "{lines}");
    assert!(others.iter().all(|line| !line.contains("ip_") && !line.contains("em_")), "{lines}");
    assert_eq!(told.matches("warning[P14]").count(), 1, "{told}");
    assert!(told.contains(LOST), "{told}");
    let (event, done) = node.ledger().pop().unwrap();
    assert_eq!((&*event, &done["complete"], &done["code"]), ("access-done", &false.into(), &"P14".into()));
    // A period without lines of that day misses nothing.
    let others = [&REVEAL[..], &["--from", "2026-11-24", "--to", "2026-11-24"]].concat();
    assert!(!node.answer(&["replay"], &others, 0).contains("ip_"));
}

#[test]
fn a_bundle_and_an_answer_say_what_a_lost_key_keeps_back() {
    let node = without_one_key();
    let to = node.path("bundle");
    node.answer(&["replay", "--bundle", arg(&to)], &[&REVEAL[..], &PERIOD].concat(), 1);
    for (file, told) in [("README.txt", "Not revealed:"), ("LISEZMOI.txt", "Non r\u{e9}v\u{e9}l\u{e9} :")] {
        let readme = fs::read_to_string(to.join(file)).unwrap();
        assert!(readme.contains(told) && readme.contains(&format!("- {LOST}")), "{readme}");
    }
    let person = ["--ip", "203.0.113.7", "--case", "DSR-1"];
    let dossier = node.answer(&["subject", "access"], &[&person[..], &PERIOD].concat(), 1);
    // Two lines of the lost day, one of the next day, and one of the ticket.
    assert_eq!(dossier.matches("\"line\":").count(), 4, "{dossier}");
    assert_eq!(dossier.matches("203.0.113.7").count(), 2, "{dossier}");
}

#[test]
fn an_extract_keeps_the_lines_whose_originals_a_lost_key_keeps_back() {
    let node = without_one_key();
    let (srv, identity) = (node.path("srv"), node.identity());
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    node.run(&[&["hold", "add", "--until", "2027-01-01"], &case[..]].concat());
    let who = ["--ip", "203.0.113.7", "--identity", arg(&identity)];
    let output = node.run(&[&["hold", "extract"], &case[..], &who].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("extracted: 4 lines") && told.contains("stay frozen"), "{told}");
    assert!(told.contains("warning[H06]") && told.contains(LOST), "{told}");
}

#[test]
fn an_erasure_leaves_the_segment_whose_vault_does_not_open_and_does_the_others() {
    let node = Node::new();
    let days = fs::read_dir(node.path("srv/archive")).unwrap().map(|day| day.unwrap().path());
    let first = days.filter(|day| day.join("class=support-ticket").exists()).min().unwrap();
    let day = first.file_name().unwrap().to_str().unwrap().trim_start_matches("expires=").to_owned();
    let key = node.path("state/shred").join(&day);
    fs::rename(&key, node.path("key")).unwrap();
    let person = ["--ip", "203.0.113.7", "--email", "jean@example.org", "--case", "DSR-1"];
    let output = node.desk(&["subject", "erase"], &person);
    let (table, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(table.matches("kept: its vault does not open (P14)").count(), 1, "{table}");
    assert_eq!(table.lines().filter(|row| row.ends_with("erased")).count(), 1, "{table}");
    assert!(told.contains("warning[D02]"), "{told}");
    // Once the key is found again, the vault opens, and nothing was changed there.
    fs::rename(node.path("key"), &key).unwrap();
    assert!(!node.answer(&["subject", "erase"], &person, 0).contains("does not open"));
    node.verify();
}

#[test]
fn without_any_key_nothing_is_given_back_and_nothing_goes_out() {
    let node = Node::new();
    fs::remove_dir_all(node.path("state/shred")).unwrap();
    let output = node.desk(&["replay"], &[&REVEAL[..], &PERIOD].concat());
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
    assert!(told.contains("error[P14]") && node.ledger().pop().unwrap().0 == "access-refused", "{told}");
}

#[test]
fn a_key_that_was_purged_is_not_lost() {
    let node = Node::new();
    let srv = node.path("srv");
    let after = "2027-11-24T10:00:00Z";
    let purged = node.run(&["purge", "--archive", arg(&srv), "--confirm-clock", "--now", after]);
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
    assert!(!node.path("state/shred").join(DAY).exists());
    let verified = node.run(&["verify", arg(&srv), "--now", after]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
}

/// Returns the vaults of the segments whose epoch began on `day`, and removes its wrap.
fn without_wrap(node: &Node, day: &str) -> Vec<PathBuf> {
    let wraps = fs::read_dir(node.path("state/wraps")).unwrap().map(|wrap| wrap.unwrap().path());
    let wrap = wraps.into_iter().find(|wrap| wrap.to_str().unwrap().contains(day)).unwrap();
    fs::remove_file(&wrap).unwrap();
    let kid = wrap.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    let below = |folders: Vec<PathBuf>| -> Vec<PathBuf> {
        folders
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let mut vaults = below(below(below(vec![node.path("srv/vault")])));
    vaults.retain(|vault| vault.to_str().unwrap().contains(&format!("-{kid}-")));
    vaults.sort();
    assert!(vaults.len() > 1, "{vaults:?}");
    vaults
}

fn remove_shred_key(node: &Node, vault: &Path) {
    let day = vault.ancestors().nth(2).unwrap().file_name().unwrap().to_str().unwrap();
    // Another vault may have the same day.
    let _ = fs::remove_file(node.path("state/shred").join(day.trim_start_matches("expires=")));
}

/// A state directory restored from an older copy lacks the wraps of later epochs, and no copy has shred keys.
#[test]
fn days_whose_secret_is_lost_are_named_and_all_others_searched() {
    const ASKED: [&str; 4] = ["--ip", "203.0.113.7", "--email", "jean@example.org"];
    for (lost, left, code) in [("2026-11-23", 2, "P14"), ("2026-11-24", 3, "P14"), ("2026-11-24", 3, "P12")] {
        let node = Node::new();
        for vault in without_wrap(&node, lost) {
            if code == "P12" {
                fs::remove_file(&vault).unwrap();
            }
            remove_shred_key(&node, &vault);
        }
        let check = |command: &[&str], options: &[&str]| {
            let output = node.desk(command, &[&ASKED[..], options].concat());
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{lost}: {told}");
            assert_eq!(told.matches(&format!("warning[{code}]")).count(), 1, "{told}");
            assert!(told.contains(&format!("segments of {lost} not searched")), "{told}");
            let (event, done) = node.ledger().pop().unwrap();
            assert_eq!((&*event, &done["code"]), ("access-done", &code.into()), "{lost}");
            text(&output.stdout)
        };
        assert_eq!(check(&["replay"], &PERIOD).lines().count(), left, "{lost}");
        let dossier = check(&["subject", "access", "--case", "DSR-1"], &PERIOD);
        assert_eq!(dossier.matches("\"line\":").count(), left, "{dossier}");
        let to = node.path("bundle");
        let case = ["--case", "PV-1", "--basis", "60-1/3", "--bundle", arg(&to)];
        let bundle = node.desk(&["replay"], &[&ASKED[..], &PERIOD, &case].concat());
        assert_eq!(bundle.status.code(), Some(1), "{}", text(&bundle.stderr));
        let readme = fs::read_to_string(to.join("README.txt")).unwrap();
        assert!(readme.contains("Not searched: these segments. The secret"), "{readme}");
        let table = check(&["subject", "erase", "--case", "DSR-2"], &[]);
        assert!(table.contains("erased"), "{table}");
        // A period without that day misses nothing, and one with nothing else is refused.
        let day = |day: &'static str| [&ASKED[..], &["--from", day, "--to", day]].concat();
        let other = if lost == "2026-11-23" { "2026-11-24" } else { "2026-11-23" };
        node.answer(&["replay"], &day(other), 0);
        let refused = node.desk(&["replay"], &day(lost));
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()), "{lost}");
        assert!(text(&refused.stderr).starts_with(&format!("error[{code}]")), "{}", text(&refused.stderr));
    }
}

/// What an extract does not have goes on its day. So the legal desk must learn which days those are, also
/// when the messages are gone.
#[test]
fn an_extract_names_the_days_whose_secret_is_lost_and_has_all_others() {
    const ASKED: [&str; 2] = ["--ip", "203.0.113.7"];
    for (command, frozen) in [("hold", true), ("subject", false)] {
        let node = Node::new();
        for vault in without_wrap(&node, "2026-11-23") {
            remove_shred_key(&node, &vault);
        }
        let case = ["--case", "2027/0815", "--until", "2027-06-30"];
        let output = if command == "hold" {
            let srv = node.path("srv");
            let added = [&["hold", "add", "--archive", arg(&srv), "--now", LATER], &case[..]].concat();
            assert_eq!(node.run(&added).status.code(), Some(0));
            node.desk(&["hold", "extract"], &[&ASKED[..], &case[..2]].concat())
        } else {
            node.desk(&["subject", "restrict"], &[&ASKED[..], &case].concat())
        };
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let warned = "warning[H06]: the extract does not cover 2 segments of 2026-11-23, not searched: ";
        assert!(told.contains(warned) && told.matches("warning[").count() == 1, "{told}");
        assert!(told.contains(": 1 line"), "{told}");
        let ledger = node.ledger();
        let extracted = ledger.iter().find(|(event, _)| event == "hold-extracted").unwrap();
        let days = serde_json::json!({ "first_day": "2026-11-23", "last_day": "2026-11-23", "segments": 2 });
        assert_eq!(extracted.1["not_covered"], serde_json::json!([days]));
        let (event, done) = ledger.last().unwrap();
        assert_eq!(
            (&**event, &done["complete"], &done["code"]),
            ("access-done", &false.into(), &"P14".into())
        );
        // The record of the hold says the same, and the segments stay as long as they may.
        let list =
            |options: &[&str]| text(&node.run(&[&["hold", "list", "--now", LATER], options].concat()).stdout);
        let hold: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
        let mut gap = days.clone();
        gap["extract"] = 1.into();
        assert_eq!((&hold["gaps"], &hold["frozen"]), (&serde_json::json!([gap]), &frozen.into()));
        let listed = list(&[]);
        assert!(listed.contains("not covered  2 segments of 2026-11-23, by extract 1"), "{listed}");
    }
    // If no day is left, nothing is extracted.
    let node = Node::new();
    for day in ["2026-11-23", "2026-11-24"] {
        for vault in without_wrap(&node, day) {
            remove_shred_key(&node, &vault);
        }
    }
    let restrict = ["--case", "DSR-1", "--until", "2027-06-30"];
    let refused = node.desk(&["subject", "restrict"], &[&ASKED[..], &restrict].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).starts_with("error[P14]"), "{}", text(&refused.stderr));
    assert!(text(&node.run(&["hold", "list", "--now", LATER]).stderr).contains("there is no hold"));
}

#[test]
fn one_shred_key_is_enough_to_search_the_whole_epoch() {
    for kept in [0, 1] {
        let node = Node::new();
        let vaults = without_wrap(&node, "2026-11-23");
        for (_, vault) in vaults.iter().enumerate().filter(|(index, _)| *index != kept) {
            remove_shred_key(&node, vault);
        }
        let found = node.answer(&["replay"], &[&["--ip", "203.0.113.7"][..], &PERIOD].concat(), 0);
        assert_eq!(found.lines().count(), 4, "{kept}");
    }
}
