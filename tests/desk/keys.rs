//! Questions to the keys of a node that filters, and a seed for a fleet.

use super::node::{Node, arg, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Returns all files in the folder of secrets.
fn secrets(node: &Node) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(node.path("state/keys")).unwrap().map(|file| file.unwrap().path());
    let mut secrets: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    secrets.sort();
    secrets
}

/// Meanwhile the node filters by its own clock, so the secret that it continues with must still be there.
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

/// A seed answers for every future epoch without being advanced.
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
    // The token equals the one made on that day.
    let log = node.path("log");
    fs::write(&log, "203.0.113.7\n").unwrap();
    let filter = node.run(&["filter", "--tag", "none", "--now", "2027-03-01T12:00:00Z", arg(&log)]);
    assert_eq!(text(&filter.stdout), later, "{}", text(&filter.stderr));
}

/// Whoever can read the seed can derive all future secrets.
#[test]
fn a_seed_that_others_can_read_is_refused() {
    let node = Node::new();
    let seed = node.path("seed");
    assert!(node.run(&["keys", "seed", "new", arg(&seed)]).status.success());
    for (mode, exit) in [(0o644, 2), (0o640, 2), (0o604, 2), (0o600, 0), (0o400, 0)] {
        fs::set_permissions(&seed, fs::Permissions::from_mode(mode)).unwrap();
        let imported = node.run(&["keys", "seed", "import", arg(&seed)]);
        let told = text(&imported.stderr);
        assert_eq!((imported.status.code(), told.contains("error[K02]")), (Some(exit), exit == 2), "{told}");
        assert_eq!(node.path("state/keys/chain").exists(), exit == 0, "{told}");
    }
    // A seed read from a pipe is stored nowhere else.
    let mut shell = std::process::Command::new("/bin/sh");
    let import = format!(
        "cat {} | {} keys seed import - --state-dir {}",
        arg(&seed),
        env!("CARGO_BIN_EXE_oubliette"),
        arg(&node.path("other"))
    );
    assert!(shell.args(["-c", &import]).output().unwrap().status.success());
}

#[test]
fn a_seed_is_not_written_to_a_file_that_has_the_name_of_standard_output() {
    let node = Node::new();
    let made = node.command(&["keys", "seed", "new", "-"]).current_dir(node.path("")).output().unwrap();
    let told = text(&made.stderr);
    assert_eq!((made.status.code(), text(&made.stdout)), (Some(2), String::new()), "{told}");
    assert!(told.starts_with("error[C01]") && !node.path("-").exists(), "{told}");
}
