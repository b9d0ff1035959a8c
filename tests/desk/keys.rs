//! Questions to the keys of a node that filters.

use super::node::{Node, arg, text};
use std::fs;
use std::path::PathBuf;

/// Everything in the folder of secrets.
fn secrets(node: &Node) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(node.path("state/keys")).unwrap().map(|file| file.unwrap().path());
    let mut secrets: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    secrets.sort();
    secrets
}

/// The node filters by its own clock meanwhile: what it goes on with must be there.
#[test]
fn a_question_about_another_day_ends_no_epoch() {
    let node = Node::new();
    fs::remove_dir_all(node.path("state")).unwrap();
    let token = |options: &[&str]| {
        let output = node.run(&[&["token", "203.0.113.7"], options].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (exit, today, told) = token(&[]);
    assert_eq!(exit, Some(0), "{told}");
    let before = secrets(&node);
    for (day, says) in
        [("2099-01-01T12:00:00Z", "has not begun"), ("2021-01-01T12:00:00Z", "no wrapped secret")]
    {
        let (exit, printed, told) = token(&["--now", day]);
        assert_eq!((exit, &*printed), (Some(2), ""), "{told}");
        assert!(told.starts_with("error[K11]") && told.contains(says), "{told}");
        assert_eq!(secrets(&node), before, "{day}");
    }
    assert_eq!(token(&[]).1, today);
}

/// Of a seed every epoch to come can be told, and it stays where it is.
#[test]
fn a_question_about_a_day_to_come_moves_no_seed() {
    let node = Node::new();
    let seed = node.path("seed");
    let day = ["--now", "2026-11-25T12:00:00Z"];
    for command in [&["keys", "seed", "new", arg(&seed)], &["keys", "seed", "import", arg(&seed)]] {
        assert!(node.run(&[&command[..], &day].concat()).status.success());
    }
    let token = |now: &str| {
        let output = node.run(&["token", "203.0.113.7", "--now", now]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let before = secrets(&node);
    let (today, later) = (token(day[1]), token("2027-03-01T12:00:00Z"));
    assert_eq!((secrets(&node), token(day[1])), (before, today.clone()));
    assert_ne!(today, later);
    // It is the one that the day brings.
    let log = node.path("log");
    fs::write(&log, "203.0.113.7\n").unwrap();
    let filter = node.run(&["filter", "--tag", "none", "--now", "2027-03-01T12:00:00Z", arg(&log)]);
    assert_eq!(text(&filter.stdout), later, "{}", text(&filter.stderr));
}
