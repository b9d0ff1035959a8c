//! Archives that somebody has tampered with, and readers that go away: messages name a place but nobody, and
//! nothing goes out that looks like a complete answer.

use super::{CASE, Node, text};
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The identifiers searched for; they must be in no message and in no entry of the ledger.
const ASKED: [&str; 2] = ["203.0.113.7", "jean@example.org"];

fn node() -> Node {
    let node = Node::new();
    for day in ["23", "24"] {
        let mail = format!(
            "Nov {day} 10:00:00 mx1 postfix/smtp[1]: to=<jean@example.org> relay=203.0.113.7 req=1\n"
        );
        let line = format!("Nov {day} 10:00:00 web1 sshd[1]: from 203.0.113.7 req=2\n");
        node.archive(&format!("2026-11-{day}T09:00:00Z"), &[], &(mail + &line));
    }
    node
}

/// Returns all segments, in order.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(segments(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// Asserts that a replay was refused, and that nothing names anybody.
fn refused(node: &Node, output: &Output, code: &str) {
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
    assert!(message.contains(&format!("error[{code}]")), "{message}");
    names_nobody(node, &message);
}

fn names_nobody(node: &Node, message: &str) {
    let ledger = std::fs::read_to_string(node.path("state/ledger/ledger.jsonl")).unwrap();
    for asked in ASKED {
        assert!(!message.contains(asked) && !ledger.contains(asked), "{message}");
    }
}

#[test]
fn a_segment_that_is_not_as_it_was_written_is_named_and_nothing_of_it_goes_out() {
    let node = node();
    let all = segments(&node.path("srv/archive"));
    let (first, other) = (&all[0], &all[all.len() - 1]);
    let whole = std::fs::read(first).unwrap();
    let asked = ["--ip", ASKED[0]];
    let mut attacks: Vec<Vec<u8>> = vec![
        Vec::new(),
        whole[..whole.len() - 1].to_vec(),
        whole[..whole.len() / 2].to_vec(),
        whole[1..].to_vec(),
        [&whole[..], &b"x"[..]].concat(),
        // Another segment under its name.
        std::fs::read(other).unwrap(),
        vec![0; 4096],
        vec![0xff; 4096],
    ];
    // A byte anywhere: in a frame, the footer, the seek table.
    attacks.extend((0..whole.len()).step_by(7).map(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        flipped
    }));
    for attack in attacks {
        std::fs::write(first, &attack).unwrap();
        let output = node.replay(&asked);
        if output.status.code() == Some(0) {
            // Only `verify` checks the signature of the seal; it follows everything that a replay checks.
            assert_eq!(text(&output.stdout).lines().count(), 4, "{} bytes", attack.len());
            continue;
        }
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), message.contains("warning[A02]")), (Some(1), true), "{message}");
        assert!(message.contains("expires=") && text(&output.stdout).lines().count() < 4, "{message}");
        names_nobody(&node, &message);
    }
    std::fs::write(first, &whole).unwrap();
    assert_eq!(node.found(&asked).len(), 4);
}

#[test]
fn vaults_that_were_exchanged_give_nothing_back() {
    let node = node();
    let all = segments(&node.path("srv/vault"));
    let (first, other) = (&all[0], &all[all.len() - 1]);
    let whole = std::fs::read(first).unwrap();
    for attack in [std::fs::read(other).unwrap(), whole[..whole.len() - 3].to_vec(), vec![0; 100], Vec::new()]
    {
        std::fs::write(first, attack).unwrap();
        let output = node.replay(&[&["--ip", ASKED[0], "--reveal"][..], &CASE].concat());
        let (lines, message) = (text(&output.stdout), text(&output.stderr));
        // A damaged vault gives nothing back; that of another segment is refused.
        assert!(matches!((output.status.code(), lines.len()), (Some(2), 0) | (Some(1), _)), "{message}");
        assert!(lines.lines().filter(|line| line.contains(ASKED[0])).count() < 4, "{message}");
        names_nobody(&node, &message);
    }
}

#[test]
fn an_identifier_in_any_notation_is_the_same_person() {
    let node = Node::new();
    node.archive(
        "2026-11-23T09:00:00Z",
        &[],
        "from 203.0.113.7 and <J\u{e9}r\u{f4}me@Ex\u{e4}mple.fr> req=1 \n",
    );
    for (option, typed) in [
        ("--ip", "::ffff:203.0.113.7"),
        ("--ip", "::FFFF:cb00:7107"),
        ("--ip", "[::ffff:203.0.113.7]"),
        ("--net", "203.0.113.0/24"),
        ("--email", "j\u{e9}r\u{f4}me@ex\u{e4}mple.fr"),
        ("--email", "J\u{c9}R\u{d4}ME@xn--exmple-cua.fr"),
        // e and o with combining accents.
        ("--email", "je\u{301}ro\u{302}me@exa\u{308}mple.fr"),
    ] {
        assert_eq!(node.found(&[option, typed]).len(), 1, "{option} {typed}");
    }
}

#[test]
fn a_period_beyond_the_calendar_is_refused_or_finds_everything() {
    let node = node();
    assert_eq!(node.found(&["--from", "0001-01-01", "--to", "9999-12-30", "--ip", ASKED[0]]).len(), 4);
    assert_eq!(node.found(&["--from", "0001-01-01T00:00:00Z", "--ip", ASKED[0]]).len(), 4);
    for period in ["99999-01-01", "2026-13-01", "+300000-01-01T00:00:00Z"] {
        let output = node.replay(&["--from", period, "--ip", ASKED[0]]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{period}");
        names_nobody(&node, &text(&output.stderr));
    }
}

#[test]
fn a_locked_identity_without_a_terminal_is_refused() {
    let node = node();
    let locked = concat!(
        "age-encryption.org/v1\n",
        "-> scrypt bBjlhJVYZeE4aqUdmtRHfw 10\n",
        "zoyrBxz1sUUG0sSa1Mkp4Jx4oj6yp3Ig6cT3TKRtJRA\n",
        "--- fh1OVmTYcMx6AUOgBxQLYTfeYIK6wqwB4sJtV1vUZx8\n"
    );
    let path = node.path("locked.age");
    std::fs::write(&path, locked).unwrap();
    let output = node.replay_alone(&["--ip", ASKED[0], "--identity", path.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
    names_nobody(&node, &message);
    let empty = node.path("empty");
    std::fs::write(&empty, "").unwrap();
    let file = ["--passphrase-file", empty.to_str().unwrap()];
    let output =
        node.replay_alone(&[&["--ip", ASKED[0], "--identity", path.to_str().unwrap()][..], &file].concat());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", text(&output.stderr));
}

/// Creates a node with far more lines than the buffers between two programs hold.
fn long() -> Node {
    let node = Node::new();
    let line = |number: usize| {
        let second = number / 4000;
        format!("Nov 23 10:00:{second:02} web1 sshd[1]: from 203.0.113.7 {:0>120} req={number} x\n", 1)
    };
    let lines: String = (0..200_000).map(line).collect();
    node.archive("2026-11-23T09:01:00Z", &[], &lines);
    node
}

#[test]
fn a_reader_that_goes_away_ends_a_replay_cleanly_or_with_the_place_to_go_on_from() {
    let node = long();
    // `| head`: with and without a pace.
    for extra in [&["--ip", ASKED[0]][..], &["--ip", ASKED[0], "--speed", "1000000x"], &["--speed", "60x"]] {
        let mut child =
            super::started(&node, &[&identity(&node).each_ref().map(String::as_str)[..], extra].concat());
        let mut some = [0; 4096];
        child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        names_nobody(&node, &text(&output.stderr));
    }
    // A receiver that resets the connection in the middle.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let receiver = std::thread::spawn(move || {
        let mut some = [0; 4096];
        listener.accept().unwrap().0.read_exact(&mut some).unwrap();
    });
    let output = node.replay(&["--ip", ASKED[0], "--output", &address]);
    receiver.join().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("error[P17]") && message.contains("--from "), "{message}");
    names_nobody(&node, &message);
    let (event, done) = node.accesses().pop().unwrap();
    assert_eq!((event.as_str(), &done["complete"]), ("access-done", &false.into()));
}

fn identity(node: &Node) -> [String; 2] {
    let identity = node.path("state/escrow/identity-1.txt");
    ["--identity".to_owned(), identity.to_str().unwrap().to_owned()]
}

#[test]
fn a_class_that_nobody_knows_is_refused_and_one_of_the_archive_is_not() {
    let node = node();
    let rules = node.path("rules/retention");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = concat!(
        "[class.backups]\ndescription = \"Backups\"\nkeep = \"1 year\"\nstarts = \"event\"\n",
        "basis = \"GDPR art. 6(1)(f)\"\nmatch = [{ program = [\"rsync\"] }]\n",
        "[[class.backups.sample]]\nline = 'Nov 23 10:00:00 web1 rsync[1]: done'\n",
        "received = '2026-11-23T10:00:00Z'\nexpires = 2027-11-24\n",
    );
    std::fs::write(rules.join("backups.toml"), rule).unwrap();
    let rules = node.path("rules");
    let line = "Nov 24 11:00:00 web1 rsync[1]: from 203.0.113.7 req=3\n";
    node.archive("2026-11-24T10:01:00Z", &["--rules", rules.to_str().unwrap()], line);
    // The current policy does not know this class.
    assert_eq!(node.found(&["--class", "backups", "--ip", ASKED[0]]).len(), 1);
    assert_eq!(node.accesses()[0].1["classes"], serde_json::json!(["backups"]));
    // The policy knows this class, but nothing is archived in it.
    assert_eq!(node.found(&["--class", "invoice"]).len(), 0);
    for classes in ["conection", "connection,conection"] {
        let output = node.replay(&["--class", classes, "--ip", ASKED[0]]);
        refused(&node, &output, "P10");
        let message = text(&output.stderr);
        assert!(message.contains("backups, ") && message.contains(" connection,"), "{message}");
        assert!(!message.contains("conection"), "{message}");
        let (event, about) = node.accesses().pop().unwrap();
        assert_eq!((&*event, &about["code"], about.get("classes")), ("access-refused", &"P10".into(), None));
    }
}
