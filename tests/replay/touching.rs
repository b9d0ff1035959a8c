//! Identifiers that other text touches: it touches their tokens, too, and must stay as it was.

use super::{CASE, LATER, Node, text};

/// Lines with text directly in front of an address or behind it.
const LINES: [&str; 7] = [
    r#"{"msg":"first\n203.0.113.9 denied"}"#,
    r#"{"msg":"tab\t203.0.113.9"}"#,
    r#"{"msg":"in \u005b203.0.113.9\u005d"}"#,
    "in red \u{1b}[31m203.0.113.9\u{1b}[0m",
    "from node203.0.113.9 to",
    "both 203.0.113.9node198.51.100.7 at once",
    "joined#012203.0.113.9",
];

fn archived(extra: &[&str], lines: &[&str]) -> Node {
    let node = Node::new();
    node.archive("2026-11-23T09:00:00Z", extra, &(lines.join("\n") + "\n"));
    node
}

/// Asserts that lines are `originals` with a tag, in this order.
fn are(found: &[String], originals: &[&str]) {
    assert_eq!(found.len(), originals.len(), "{found:?}");
    for (found, original) in found.iter().zip(originals) {
        let tag = if original.starts_with('{') { ",\"retention\":{" } else { " expires=" };
        assert!(found.starts_with(&(original.trim_end_matches('}').to_owned() + tag)), "{found}");
    }
}

/// Returns the kinds of the people affected, and how many there are of each.
fn affected(node: &Node, extra: &[&str]) -> Vec<(String, u64)> {
    let (archive, identity) = (node.path("srv"), node.path("state/escrow/identity-1.txt"));
    let (archive, identity) = (archive.to_str().unwrap(), identity.to_str().unwrap());
    let arguments = ["subject", "affected", "--json", "--now", LATER, "--archive", archive];
    let period = ["--identity", identity, "--case", "B-1", "--from", "2026-11-23", "--to", "2026-11-24"];
    let output = node.run(&[&arguments[..], &period, extra].concat(), b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        (row["kind"].as_str().unwrap().to_owned(), row["distinct"].as_u64().unwrap())
    };
    text(&output.stdout).lines().map(row).collect()
}

#[test]
fn a_reveal_changes_nothing_but_the_identifier() {
    for shape in ["native", "address"] {
        let node = archived(&["--token-shape", shape], &LINES);
        are(&node.found(&[&["--reveal-all"][..], &CASE].concat()), &LINES);
        let asked = node.found(&[&["--ip", "203.0.113.9", "--reveal"][..], &CASE].concat());
        assert_eq!(asked.len(), LINES.len());
        assert!(asked.iter().all(|line| line.contains("203.0.113.9") && !line.contains("198.51.100.7")));
        for extra in [&[][..], &["--reveal", "--basis", "internal"]] {
            assert_eq!(affected(&node, extra), [("ip".to_owned(), 2)], "{shape} {extra:?}");
        }
    }
}

#[test]
fn hexadecimal_digits_behind_an_address_hide_no_token() {
    // Behind some tokens the letters look like more digits of the last group, if that is short.
    let lines: Vec<_> = (1..=250).map(|last| format!("to 203.0.113.{last}at once")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let node = archived(&["--token-shape", "address"], &lines);
    are(&node.found(&[&["--reveal-all"][..], &CASE].concat()), &lines);
    assert_eq!(node.found(&["--net", "203.0.113.0/24"]).len(), lines.len());
    assert_eq!(affected(&node, &["--reveal", "--basis", "internal"]), [("ip".to_owned(), 250)]);
    assert_eq!(affected(&node, &[]), [("ip".to_owned(), 250)]);
}

#[test]
fn a_kind_of_a_rule_file_is_told_from_the_letters_before_it() {
    let node = Node::new();
    let rules = node.path("rules/identifiers");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = r#"[[rule]]
id = "badge"
description = "number of a badge"
kind = "badge"
literals = ["badge"]
pattern = 'badge no(?P<badge>[0-9]{4})'
source = "made up"

[[rule.sample]]
line = "Nov 23 10:00:00 door1 door[1]: badge no1234 opens"
expect = [{ kind = "badge", text = "1234" }]

[[rule.sample]]
line = "Nov 23 10:00:00 door1 door[1]: badge missing"
none = true
"#;
    std::fs::write(rules.join("badge.toml"), rule).unwrap();
    let rules = node.path("rules");
    let lines = ["opened by badge no1234 and badge no4321", "opened by badge no1234"];
    let extra = ["--rules", rules.to_str().unwrap(), "--also", "badge"];
    node.archive("2026-11-23T09:00:00Z", &extra, &(lines.join("\n") + "\n"));
    // Without the rule file.
    are(&node.found(&[&["--reveal-all"][..], &CASE].concat()), &lines);
    assert_eq!(affected(&node, &[]), [("badge".to_owned(), 2)]);
    let stored = node.found(&["--from", "2026-11-23"]);
    let token = &stored[1]["opened by badge no".len()..][..37];
    assert!(token.starts_with("badge_"), "{token}");
    assert_eq!(node.found(&["--token", token]).len(), 2);
}

#[test]
fn an_address_in_an_address_of_mail_is_written_as_it_is() {
    let lines =
        ["to=<jean@[ipv6:2001:db8::1]>", "GET /?m=jean%40[ipv6:2001:db8::1]", "<\"a:b\"@example.org>"];
    let node = archived(&["--token-shape", "address"], &lines);
    are(&node.found(&[&["--reveal-all"][..], &CASE].concat()), &lines);
}

#[test]
fn however_a_line_spells_a_separator_its_token_is_found() {
    let shape = ["--token-shape", "address"];
    let lines = [
        r"to jean\x40example.net now",
        r"to jean\@example.net now",
        r#"{"m":"jean\\x40example.net"}"#,
        "GET /?m=jean%5Cu0040example.net",
        r"from 2001\x3adb8\x3a1\x3a2\x3a3\x3a4\x3a5\x3a6 to",
        r"from 2001\:db8\:1\:2\:3\:4\:5\:6 to",
        "GET /?a=2001%5Cu003adb8%5Cu003a1%5Cu003a2%5Cu003a3%5Cu003a4%5Cu003a5%5Cu003a6",
    ];
    are(&archived(&shape, &lines).found(&[&["--reveal-all"][..], &CASE].concat()), &lines);
    // The colon is of the local part, and what would not be read again is not written.
    let lines = [
        ("GET /?m=%22a%3Ab%22%40example.net", "GET /?m=\"a:b\"%40example.net"),
        ("GET /?m=jean%25%34%30example.net", "GET /?m=jean@example.net"),
        ("GET /?a=2001%5C%75003adb8%3a1%3a2%3a3%3a4%3a5%3a6", "GET /?a=2001:db8:1:2:3:4:5:6"),
    ];
    let node = archived(&shape, &lines.map(|(line, _)| line));
    are(&node.found(&[&["--reveal-all"][..], &CASE].concat()), &lines.map(|(_, revealed)| revealed));
}
