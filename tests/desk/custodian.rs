//! Which identities open what the node itself can read.

use super::node::{LATER, Node, arg, text};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// Even on the day whose secret the node still has, a stranger's identity opens no more than on any other
/// day.
#[test]
fn the_running_day_opens_for_its_custodians_alone() {
    use age::secrecy::ExposeSecret as _;
    let node = Node::new();
    let stranger = node.path("stranger.txt");
    let mut options = fs::OpenOptions::new();
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

#[test]
fn secrets_of_filters_without_an_archive_are_in_the_ledger() {
    let node = Node::new();
    let (out, old, list) = (node.path("out"), node.path("old.log"), node.path("list"));
    fs::write(&old, "a line from 203.0.113.7\n").unwrap();
    fs::write(&list, format!("{}\n", arg(&old))).unwrap();
    let told = || {
        let secret = |(event, about): (String, serde_json::Value)| {
            let what = event.strip_prefix("epoch-secret-")?;
            Some(format!("{what} {}", about["epoch"].as_str()?))
        };
        node.ledger().into_iter().filter_map(secret).collect::<Vec<_>>()
    };
    let archived = ["made 2026-11-23", "erased 2026-11-23", "made 2026-11-24"];
    assert_eq!(told(), archived);
    let filter = node.run(&["filter", "--now", "2026-11-25T09:00:00Z", arg(&old)]);
    assert_eq!(filter.status.code(), Some(0), "{}", text(&filter.stderr));
    assert_eq!(told()[archived.len()..], ["erased 2026-11-24", "made 2026-11-25"]);
    let mut batch = node.command(&["batch", "--now", "2026-11-26T09:00:00Z", "--out", arg(&out)]);
    let batch = batch.stdin(fs::File::open(&list).unwrap()).output().unwrap();
    assert_eq!(batch.status.code(), Some(0), "{}", text(&batch.stderr));
    assert_eq!(told()[archived.len() + 2..], ["erased 2026-11-25", "made 2026-11-26"]);
}

#[test]
fn a_file_without_an_identity_is_none() {
    let node = Node::new();
    let (srv, empty) = (node.path("srv"), node.path("empty.txt"));
    for (content, why) in [
        ("", "there is no identity in it"),
        ("# created: 2026-11-23\n", "there is no identity in it"),
        ("age1vqk9\n", "non-identity data on line 1"),
    ] {
        fs::write(&empty, content).unwrap();
        let search = ["replay", "--archive", arg(&srv), "--now", LATER, "--ip", "203.0.113.7"];
        let refused = node.run(&[&search[..], &["--identity", arg(&empty)]].concat());
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("error[K10]") && told.contains(why), "{told}");
        assert!(told.contains("empty.txt is no age identity") && told.contains("AGE-SECRET-KEY-1"), "{told}");
    }
}
