//! Archives that a filter is still writing.

use super::{CASE, Node, text};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// The instant at which the filter writes, which decides the day and epoch of everything archived.
const NOW: &str = "2026-11-23T09:00:00Z";

/// Starts a filter that runs until its input ends.
fn filtering(node: &Node, input: &str) -> Child {
    let archive = node.path("srv");
    let arguments = ["filter", "--node", "web1", "--now", NOW, "--archive", archive.to_str().unwrap()];
    let mut child = node.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

/// Runs a replay on the day on which the filter writes.
fn today(node: &Node, extra: &[&str]) -> Output {
    let (archive, identity) = (node.path("srv"), node.path("state/escrow/identity-1.txt"));
    let arguments = ["replay", "--now", NOW, "--archive", archive.to_str().unwrap()];
    node.run(&[&arguments[..], &["--identity", identity.to_str().unwrap()], extra].concat(), b"")
}

/// Waits until a replay finds that many lines, and returns its output.
fn once_found(node: &Node, extra: &[&str], lines: usize) -> Output {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let output = today(node, extra);
        if text(&output.stdout).lines().count() == lines {
            return output;
        }
        assert!(Instant::now() < deadline, "{} {}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn what_a_filter_has_written_out_is_found_and_given_back() {
    let node = Node::new();
    let lines = "203.0.113.7 req=1 \n2001:db8:1:2::9 and jean@example.org req=2 \n198.51.100.1 req=3 \n";
    let mut filter = filtering(&node, lines);
    let output = once_found(&node, &["--ip", "203.0.113.7"], 1);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("1 segment not sealed yet"), "{}", text(&output.stderr));
    for (option, identifier, request) in [
        ("--ip", "2001:db8:1:2:0:0:0:9", "req=2"),
        ("--net", "2001:db8:1:2::/64", "req=2"),
        ("--net", "203.0.113.0/24", "req=1"),
        ("--email", "Jean@Example.org", "req=2"),
    ] {
        let found = text(&today(&node, &[option, identifier]).stdout);
        assert!(found.lines().count() == 1 && found.contains(request), "{option} {identifier}: {found}");
    }
    let revealed = today(&node, &[&["--ip", "203.0.113.7", "--reveal"][..], &CASE].concat());
    assert!(text(&revealed.stdout).starts_with("203.0.113.7 req=1 "), "{}", text(&revealed.stderr));
    // Another line, in a frame of its own.
    filter.stdin.as_mut().unwrap().write_all(b"203.0.113.7 req=4 \n").unwrap();
    once_found(&node, &["--ip", "203.0.113.7"], 2);
    drop(filter.stdin.take());
    assert!(filter.wait().unwrap().success());
    let sealed = today(&node, &["--ip", "203.0.113.7"]);
    assert_eq!(text(&sealed.stdout).lines().count(), 2);
    assert!(!text(&sealed.stderr).contains("not sealed"), "{}", text(&sealed.stderr));
}

/// Returns the only file of a folder.
fn only_file(folder: &Path) -> PathBuf {
    std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn half_a_frame_is_passed_over_and_what_has_no_seal_is_not_in_a_bundle() {
    let node = Node::new();
    node.archive(NOW, &[], "203.0.113.7 req=1 \n");
    let folder = node.path("srv/archive/expires=2027-11-24/class=connection");
    let segment = only_file(&folder);
    let part = PathBuf::from(segment.to_str().unwrap().replace("-1.log.zst", "-2.log.zst.part"));
    let bytes = std::fs::read(&segment).unwrap();
    for (bytes, lines) in [(&bytes[..0], 1), (&bytes[..20], 1), (&bytes[..], 2)] {
        std::fs::write(&part, bytes).unwrap();
        let output = node.replay(&["--ip", "203.0.113.7"]);
        assert_eq!(
            (output.status.code(), text(&output.stdout).lines().count()),
            (Some(0), lines),
            "{}",
            text(&output.stderr)
        );
    }
    let to = node.path("bundle");
    let bundle = [&["--ip", "203.0.113.7", "--bundle", to.to_str().unwrap()][..], &CASE].concat();
    let output = node.replay(&bundle);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("warning[P16]"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(to.join("lines.log")).unwrap().lines().count(), 1);
    // The segment was sealed while the directory was being read.
    std::fs::rename(&part, part.with_file_name(segment.file_name().unwrap()).with_extension("zst.part"))
        .unwrap();
    assert_eq!(text(&node.replay(&["--ip", "203.0.113.7"]).stdout).lines().count(), 1);
}

#[test]
fn lines_of_one_second_stand_in_the_order_of_their_fractions() {
    let node = Node::new();
    let line = |fraction: &str, host: &str, request: u32| {
        format!("<22>1 2026-11-23T09:00:00{fraction}Z {host} app - - - 203.0.113.7 req={request} x\n")
    };
    // Two segments of one day.
    node.archive(NOW, &[], &(line(".5", "web1", 2) + &line(".25", "web1", 1)));
    node.archive(
        NOW,
        &[],
        &(line(".75", "web2", 3) + &line(",0001", "web2", 4) + &line(".000001", "web2", 0)),
    );
    let found = super::numbers(&node.found(&["--ip", "203.0.113.7"]));
    assert_eq!(found.iter().filter(|request| **request < 4).collect::<Vec<_>>(), [&0, &1, &2, &3]);
}
