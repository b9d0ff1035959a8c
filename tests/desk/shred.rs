//! A shred key that is lost: lines go on being archived, and everybody who relies on originals is told.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;

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
    let refused = node.desk(&["replay"], &reveal);
    assert!(text(&refused.stderr).contains("error[P14]"), "{}", text(&refused.stderr));

    // No line is lost, and the loss is told.
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
    let refused = text(&node.desk(&["replay"], &reveal).stderr);
    assert!(refused.contains("error[P14]") && refused.contains("web1-"), "{refused}");
    let report = node.run(&["report", "--json", "--out", "-", "--archive", arg(&srv), "--now", LATER]);
    assert!(text(&report.stdout).contains("a shred key of expiry day 2027-11-24 is lost"));
    // What came since opens, and what was there can still be searched.
    let since = [&REVEAL[..], &["--from", "2026-11-23T09:30:00Z", "--to", "2026-11-23T09:30:00Z"]].concat();
    assert_eq!(node.answer(&["replay"], &since, 0).matches("192.0.2.9").count(), 2);
    assert_eq!(node.answer(&["replay", "--class", "connection"], &[], 0).lines().count(), 6);
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
