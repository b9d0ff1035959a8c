//! Who opens what the node could read by itself.

use super::node::{Node, arg, text};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// On the day whose secret the node still has, an identity of somebody else opens no more than on any other day.
#[test]
fn the_running_day_opens_for_its_custodians_alone() {
    use age::secrecy::ExposeSecret as _;
    let node = Node::new();
    let stranger = node.path("stranger.txt");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&stranger).unwrap();
    writeln!(file, "{}", age::x25519::Identity::generate().to_string().expose_secret()).unwrap();
    let (srv, own) = (node.path("srv"), node.identity());
    let reveal = |identity| {
        let place =
            ["replay", "--archive", arg(&srv), "--now", "2026-11-24T10:00:00Z", "--identity", identity];
        let what = [
            "--reveal-all",
            "--from",
            "2026-11-24",
            "--to",
            "2026-11-24",
            "--case",
            "PV-1",
            "--basis",
            "60-1/3",
        ];
        let output = node.run(&[&place[..], &what].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (exit, lines, told) = reveal(arg(&stranger));
    assert_eq!((exit, lines.as_str()), (Some(2), ""), "{told}");
    assert!(told.contains("error[P13]"), "{told}");
    let (exit, lines, told) = reveal(arg(&own));
    assert_eq!((exit, lines.matches("203.0.113.7").count()), (Some(0), 1), "{told}");
}
