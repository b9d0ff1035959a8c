//! Searches for what the filter left in clear, which no token finds.

use super::node::{Node, PERIOD, arg, text};
use std::fs;

const KEPT: &str = "filters leave such addresses in clear";
const NAMES: &str = "`--also usr`";

#[test]
fn a_search_for_what_may_be_in_clear_says_so() {
    let node = Node::new();
    let config = node.path("keep.toml");
    fs::write(&config, "keep = ['10.1.0.0/16', '2001:db8:1::/48']\n").unwrap();
    let lines = "a request from 127.0.0.1 and 10.1.2.3\n";
    node.archive_with(&["--now", "2026-11-24T09:00:20Z", "--config", arg(&config)], lines);
    let config = ["--config", arg(&config)];
    let told = |command: &[&str], options: &[&str]| {
        let output = node.desk(command, &[options, &config].concat());
        assert_eq!(output.status.code(), Some(0), "{options:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    assert_eq!(node.answer(&["replay"], &["--grep", "10[.]1[.]2[.]3"], 0).lines().count(), 1);
    for (asked, kept, names) in [
        (&["--ip", "127.0.0.1"][..], true, false),
        (&["--ip", "::1"], true, false),
        (&["--ip", "10.1.2.3"], true, false),
        (&["--ip", "2001:db8:1::7"], true, false),
        (&["--ip", "10.2.0.1", "--ip", "2001:db8:2::7"], false, false),
        (&["--ip", "203.0.113.7"], false, false),
        (&["--email", "jean@example.org"], false, false),
        (&["--user", "jean"], false, true),
        (&["--user", "jean", "--ip", "203.0.113.7"], false, true),
    ] {
        for command in ["replay", "access", "erase"] {
            let case = ["--case", "DSR-1"];
            let told = match command {
                "replay" => told(&["replay"], asked),
                "access" => told(&["subject", "access"], &[asked, &case, &PERIOD].concat()),
                _ => told(&["subject", "erase"], &[asked, &case].concat()),
            };
            assert_eq!(
                (told.contains(KEPT), told.contains(NAMES)),
                (kept, names),
                "{command} {asked:?}: {told}"
            );
        }
    }
    for (net, kept) in [("10.1.2.0/24", true), ("127.0.0.0/24", true), ("10.2.0.0/24", false)] {
        assert_eq!(told(&["replay"], &["--net", net]).contains(KEPT), kept, "{net}");
    }
}

#[test]
fn a_bundle_does_not_deny_what_it_did_not_look_for() {
    let node = Node::new();
    for (number, (asked, in_clear)) in
        [(["--ip", "127.0.0.1"], true), (["--user", "jean"], true), (["--ip", "192.0.2.99"], false)]
            .into_iter()
            .enumerate()
    {
        let to = node.path(&format!("bundle-{number}"));
        let case = ["--case", "PV-1", "--basis", "60-1/3", "--bundle", arg(&to)];
        node.answer(&["replay"], &[&asked[..], &PERIOD, &case].concat(), 0);
        for (file, denied, told) in [
            ("README.txt", "NO LINE WAS FOUND", "Not looked for: identifiers in clear"),
            ("LISEZMOI.txt", "AUCUNE LIGNE N'A", "les identifiants en clair"),
        ] {
            let readme = fs::read_to_string(to.join(file)).unwrap();
            assert_eq!((readme.contains(denied), readme.contains(told)), (!in_clear, in_clear), "{readme}");
        }
    }
}
