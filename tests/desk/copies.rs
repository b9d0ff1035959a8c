//! Segments that the ledger at hand does not know, because another node wrote them: nobody can tell whether
//! others are missing.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CASE: [&str; 4] = ["--case", "PV-1", "--basis", "60-1/3"];

/// Runs a replay with the state directory `state`.
fn replay(node: &Node, state: &str, options: &[&str]) -> Output {
    let (srv, identity, state) = (node.path("srv"), node.identity(), node.path(state));
    let (place, keys) = (["--archive", arg(&srv), "--now", LATER], node.path("state/shred"));
    let who = ["--identity", arg(&identity), "--ip", "203.0.113.7", "--shred-keys", arg(&keys)];
    let state = ["--state-dir", arg(&state)];
    node.bare(&[&["replay"], &place[..], &who, &state, &PERIOD, options].concat()).output().unwrap()
}

/// Returns the file of the connections of the second day.
fn connections(node: &Node) -> PathBuf {
    let folder = node.path("srv/archive/expires=2027-11-25/class=connection");
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

fn check(bundle: &Path) -> (bool, String) {
    let output = Command::new("/bin/sh").arg(bundle.join("proof/check.sh")).output().unwrap();
    (output.status.success(), text(&output.stdout))
}

#[test]
fn a_ledger_that_does_not_know_the_segments_says_that_nobody_can_tell_what_is_missing() {
    let node = Node::new();
    fs::remove_file(connections(&node)).unwrap();
    let own = text(&replay(&node, "state", &[]).stderr);
    assert!(own.contains("warning[P18]") && !own.contains("P21"), "{own}");

    let output = replay(&node, "other", &[]);
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 3), "{told}");
    assert_eq!(
        told.matches("warning[P21]: the ledger does not know 3 segments of those that were read").count(),
        1
    );
    assert!(told.contains("nobody can tell whether others are missing") && told.contains("--state-dir"));
    // Programs read the counts in the last line.
    let told = text(&replay(&node, "other", &["--json"]).stderr);
    let counts: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(counts["frames_read"].is_number() && told.contains("\"P21\""), "{told}");

    let to = node.path("case");
    let bundle = [&CASE[..], &["--reveal", "--bundle", arg(&to)]].concat();
    let output = replay(&node, "other", &bundle);
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("warning[P21]"), "{told}");
    let (whole, said) = check(&to);
    assert!(!whole && said.contains("WRONG"), "{said}");
    for (file, says) in [
        ("README.txt", "3 of the segments that were searched"),
        ("LISEZMOI.txt", "Hors registre : 3 des segments"),
    ] {
        let readme = fs::read_to_string(to.join(file)).unwrap();
        assert!(readme.contains(says), "{readme}");
    }
}

#[test]
fn a_bundle_of_nothing_from_segments_of_others_is_no_answer() {
    let node = Node::new();
    let to = node.path("case");
    let bundle =
        [&CASE[..], &["--class", "support-ticket", "--host", "nosuch", "--bundle", arg(&to)]].concat();
    let output = replay(&node, "other", &bundle);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    for (file, answer, instead) in [
        ("README.txt", "NO LINE WAS FOUND", "cannot be told: see below"),
        ("LISEZMOI.txt", "AUCUNE LIGNE N'A", "Nul ne peut dire s'il en manque : voir"),
    ] {
        let readme = fs::read_to_string(to.join(file)).unwrap();
        assert!(!readme.contains(answer) && readme.contains(instead), "{readme}");
    }
    // With the ledger of the node that wrote them, the same is an answer.
    fs::remove_dir_all(&to).unwrap();
    assert_eq!(replay(&node, "state", &bundle).status.code(), Some(0));
    assert!(fs::read_to_string(to.join("README.txt")).unwrap().contains("That is the answer"));
}

#[test]
fn what_was_erased_from_or_purged_around_is_still_known() {
    let node = Node::new();
    let person = ["--email", "jean@example.org", "--case", "DSR-1"];
    node.answer(&["subject", "erase"], &person, 0);
    let told = text(&node.desk(&["replay"], &PERIOD).stderr);
    assert!(!told.contains("P21"), "{told}");
    // A hold keeps a segment whose purge has begun.
    let (srv, after) = (node.path("srv"), "2027-11-24T10:00:00Z");
    let run = |command: &[&str]| node.run(&[command, &["--archive", arg(&srv), "--now", after]].concat());
    run(&["hold", "add", "--case", "PV-1", "--until", "2027-12-31"]);
    assert_eq!(run(&["purge", "--confirm-clock"]).status.code(), Some(1));
    let told = text(&run(&["replay"]).stderr);
    assert!(told.contains("past the expiry day") && !told.contains("P21"), "{told}");
}

#[test]
fn the_command_that_names_what_is_missing_can_be_pasted() {
    let node = Node::new();
    fs::remove_file(connections(&node)).unwrap();
    let told = text(&replay(&node, "state", &[]).stderr);
    let hint = told.split('`').find(|command| command.starts_with("oubliette verify")).unwrap();
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    let verified = node.run(&[&words[..], &["--now", LATER]].concat());
    let named = text(&verified.stdout);
    assert!(
        verified.status.code() == Some(1) && named.contains("expires=2027-11-25/class=connection"),
        "{hint}"
    );
}
