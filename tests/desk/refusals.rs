//! Commands that were refused or broke off are recorded in the ledger, but not the identifier that was
//! searched for.

use super::node::{LATER, Node, PERIOD, arg, text};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Must be in no entry: `Node::verify` checks that.
const JEAN: [&str; 2] = ["--ip", "203.0.113.7"];
const CASE: [&str; 4] = ["--case", "2027/0815", "--basis", "60-1/3"];

/// Runs a command that must fail with that code. Returns the last entry of the ledger afterwards.
fn refused(node: &Node, command: &[&str], code: &str) -> (String, Value) {
    let output = node.run(&[command, &["--now", LATER]].concat());
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{command:?}: {message}");
    assert!(message.contains(&format!("error[{code}]")), "{command:?}: {message}");
    let (event, about) = node.ledger().pop().unwrap();
    assert_eq!(about["code"], code, "{command:?}: {event} {about}");
    (event, about)
}

#[test]
fn whoever_is_refused_is_in_the_ledger() {
    let node = Node::new();
    let (srv, identity, nowhere) = (node.path("srv"), node.identity(), node.path("nowhere"));
    let place = ["--archive", arg(&srv)];
    let opens = ["--identity", arg(&identity)];
    // Inside a file instead of a directory.
    let (closed, inside) = (closed_port(), identity.join("case"));
    let to_nobody = ["--output", &closed];
    let bundle = [&["--bundle", arg(&inside)], &CASE[..], &PERIOD].concat();
    let case = ["--case", "2027/0815"];
    for (command, options, code, event) in [
        // Refused before the archive is opened.
        ("replay", vec!["--archive", arg(&nowhere)], "C02", "refused"),
        ("replay", [&place[..], &["--shred-keys", arg(&nowhere)]].concat(), "C02", "refused"),
        ("subject erase", [&["--archive", arg(&nowhere)], &JEAN[..], &case].concat(), "C02", "refused"),
        // Refused after the access was announced.
        ("replay", [&place[..], &opens, &JEAN, &to_nobody].concat(), "C02", "access-refused"),
        ("replay", [&place[..], &opens, &JEAN, &bundle].concat(), "B01", "access-refused"),
        ("hold add", [&place[..], &case, &["--until", "2026-11-01"]].concat(), "H02", "refused"),
        (
            "hold add",
            [&place[..], &["--case", "Durand 203.0.113.7", "--until", "2027-01-01"]].concat(),
            "P11",
            "refused",
        ),
        (
            "replay",
            [&place[..], &opens, &JEAN, &["--operator", "for 203.0.113.7"]].concat(),
            "P11",
            "access-refused",
        ),
        (
            "subject erase",
            [&place[..], &opens, &JEAN, &case, &["--operator", "anne@example.org"]].concat(),
            "P11",
            "access-refused",
        ),
        ("hold release", [&place[..], &case].concat(), "H03", "refused"),
        ("hold extract", [&place[..], &case, &JEAN].concat(), "H03", "access-refused"),
        ("hold extract", [&place[..], &case, &["--ip", "203.0.113"]].concat(), "P10", "access-refused"),
    ] {
        let command: Vec<&str> = command.split(' ').chain(options).collect();
        assert_eq!(refused(&node, &command, code).0, event, "{command:?}");
    }
    let (_, about) = refused(&node, &[&["hold", "extract"], &place[..], &case, &JEAN].concat(), "H03");
    assert_eq!((&about["case"], &about["identifiers"]), (&"2027/0815".into(), &1.into()));
    node.verify();
}

#[test]
fn an_identity_that_everybody_can_read_is_used_and_warned_of() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let command = ["replay", "--archive", arg(&srv), "--now", LATER, "--identity", arg(&identity)];
    for (mode, warned) in [(0o600, false), (0o640, true), (0o644, true)] {
        fs::set_permissions(&identity, fs::Permissions::from_mode(mode)).unwrap();
        let output = node.run(&[&command[..], &JEAN].concat());
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 4), "{message}");
        assert_eq!(message.contains("warning[K02]"), warned, "{mode:o}: {message}");
        assert_eq!(message.contains("chmod 600"), warned, "{mode:o}: {message}");
    }
}

/// Returns `tcp://` and a port on which nobody listens.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

/// Runs a command whose standard output accepts nothing. Returns the entries of the ledger that followed.
fn to_full_disk(node: &Node, command: &[&str]) -> Vec<(String, Value)> {
    let before = node.ledger().len();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = node.command(command).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    node.ledger().split_off(before)
}

#[test]
fn what_was_found_and_not_handed_over_is_in_the_ledger() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let place = ["--archive", arg(&srv), "--now", LATER, "--identity", arg(&identity)];
    let replay = to_full_disk(&node, &[&["replay"], &place[..], &JEAN].concat());
    let [.., (event, done)] = &replay[..] else { panic!("{replay:?}") };
    assert_eq!((&**event, &done["complete"], &done["code"]), ("access-done", &false.into(), &"P17".into()));
    for command in [
        [&["subject", "access"], &place[..], &JEAN, &["--case", "DSR-1"], &PERIOD].concat(),
        [&["subject", "affected"], &place[..], &["--list"], &PERIOD].concat(),
    ] {
        let entries = to_full_disk(&node, &command);
        let [.., (_, asked), (found, first), (event, second)] = &entries[..] else { panic!("{entries:?}") };
        assert!(asked["command"].as_str().unwrap().starts_with("subject"));
        assert_eq!((&**found, &first["complete"]), ("access-done", &true.into()));
        assert_eq!((&**event, &second["complete"]), ("access-done", &false.into()));
        assert_eq!((&second["code"], &second["entry"]), (&"C09".into(), &first["entry"]));
    }
    node.verify();
}

#[test]
fn a_search_or_erasure_that_meets_damage_is_not_complete_in_the_ledger() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let place = ["--archive", arg(&srv), "--identity", arg(&identity)];
    for segment in segments(&node.path("srv/archive")) {
        // In the first frame: the footer, from which the search is planned, is whole.
        let mut bytes = fs::read(&segment).unwrap();
        bytes[12] ^= 0x40;
        fs::write(&segment, bytes).unwrap();
    }
    for (command, options) in [
        ("replay", vec![]),
        ("subject access", [&["--case", "DSR-1"], &PERIOD[..]].concat()),
        ("subject erase", vec!["--case", "DSR-1"]),
    ] {
        let command: Vec<&str> = command.split(' ').chain(place).chain(JEAN).chain(options).collect();
        let output = node.run(&[&command[..], &["--now", LATER]].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
        assert!(message.contains("warning[A02]"), "{command:?}: {message}");
        let (event, about) = node.ledger().pop().unwrap();
        assert_eq!((&*event, &about["complete"]), ("access-done", &false.into()), "{command:?}");
        assert_eq!(about["code"], "A02", "{command:?}");
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { segments(&path) } else { vec![path] }).collect()
}

#[test]
fn a_filter_without_escrow_and_a_purge_with_a_clock_that_jumped_are_in_the_ledger() {
    let node = Node::new();
    let srv = node.path("srv");
    let (event, about) = refused(&node, &["purge", "--archive", arg(&srv)], "P01");
    assert_eq!((&*event, &about["command"]), ("refused", &"purge".into()));
    // Confirming works as before.
    let confirmed = node.run(&["purge", "--archive", arg(&srv), "--confirm-clock", "--now", LATER]);
    assert_eq!(confirmed.status.code(), Some(0), "{}", text(&confirmed.stderr));
    fs::remove_file(node.path("state/escrow/recipients.txt")).unwrap();
    let (event, about) = refused(&node, &["filter", "--archive", arg(&srv)], "A03");
    assert_eq!((&*event, &about["command"]), ("refused", &"filter".into()));
    node.verify();
}

#[test]
fn a_filter_that_fails_ends_in_the_ledger_with_its_code() {
    let node = Node::new();
    let (srv, log) = (node.path("srv"), node.path("day.log"));
    File::create(&log).unwrap();
    let command = ["filter", "--archive", arg(&srv), "--now", LATER, "--tee", arg(&log)];
    fs::write(&log, "203.0.113.7 logs in\n".repeat(100)).unwrap();
    let entries = to_full_disk(&node, &command);
    let [.., (event, stop)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((&**event, &stop["exit"], &stop["code"]), ("stop", &2.into(), &"I02".into()));
}

/// With `ulimit -f`, or `LimitFSIZE=` of a unit, the process would otherwise end without a message, and lose
/// what it had read.
#[test]
fn a_file_that_may_not_grow_any_more_is_told() {
    let node = Node::new();
    let (log, out) = (node.path("log"), node.path("out"));
    let line = "Nov 23 10:00:03 web1 sshd[1]: Failed password for root from 198.51.100.9 port 50001 ssh2\n";
    fs::write(&log, line.repeat(2000)).unwrap();
    let limited = "ulimit -f 64; exec \"$0\" \"$@\"";
    let state = node.path("state");
    let options = ["--state-dir", arg(&state), "--now", "2026-11-24T10:00:00Z", "-o", arg(&out), arg(&log)];
    let filter = [&["-c", limited, env!("CARGO_BIN_EXE_oubliette"), "filter"], &options[..]].concat();
    let output = std::process::Command::new("sh").args(filter).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), told.contains("error[I02]")), (Some(2), true), "{told}");
    assert!(told.contains("File too large"), "{told}");
}

/// After its first failure the ledger is no longer used. The message gives the reason of that failure, not
/// merely that the ledger is unusable.
#[test]
fn a_ledger_that_fails_is_told_with_its_reason() {
    let node = Node::new();
    let (srv, identity, head) = (node.path("srv"), node.identity(), node.path("state/ledger/head"));
    fs::remove_file(&head).unwrap();
    fs::create_dir(&head).unwrap();
    let place = ["--archive", arg(&srv), "--now", LATER];
    let person = ["--ip", "203.0.113.7", "--identity", arg(&identity)];
    for command in [
        &["hold", "add", "--case", "2027/0815", "--until", "2027-01-31"][..],
        &[&["replay"], &person[..]].concat(),
        &[&["subject", "erase", "--case", "DSR-13"], &person[..]].concat(),
    ] {
        let refused = node.run(&[command, &place].concat());
        let told = text(&refused.stderr);
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()), "{told}");
        assert!(told.starts_with("error[L01]") && told.contains("lies in its place"), "{command:?}: {told}");
    }
}

/// If a secret were made and erased without the ledger, `report` and `verify` would not know of it.
#[test]
fn no_secret_is_made_beside_a_ledger_that_nobody_can_look_at() {
    let node = Node::new();
    let (ledger, aside) = (node.path("state/ledger"), node.path("state/aside"));
    fs::rename(&ledger, &aside).unwrap();
    fs::write(&ledger, "").unwrap();
    let listed = || text(&node.run(&["keys", "list", "--json", "--now", LATER]).stdout);
    let before = listed();
    for command in [&["keys", "rotate"][..], &["token", "203.0.113.7"]] {
        let refused = node.run(&[command, &["--now", LATER]].concat());
        assert_eq!(refused.status.code(), Some(2), "{command:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).starts_with("error[L01]"), "{}", text(&refused.stderr));
    }
    assert_eq!(listed(), before);
}

/// A mistyped year finds nothing, and somebody might believe that result.
#[test]
fn a_period_in_the_future_is_refused() {
    let node = Node::new();
    let asked = |from: &str| {
        let output = node.desk(&["replay", "--ip", "203.0.113.7", "--from", from], &[]);
        (output.status.code(), text(&output.stderr))
    };
    for from in ["2026-11-30", "2026-12-01"] {
        let (exit, told) = asked(from);
        assert_eq!(exit, Some(0), "{from}: {told}");
    }
    for from in ["2026-12-02", "2027-11-23"] {
        let (exit, told) = asked(from);
        assert_eq!(
            (exit, told.contains("error[P10]: the period is in the future")),
            (Some(2), true),
            "{told}"
        );
    }
    // What is there is given, whatever the clock says.
    let srv = node.path("srv");
    let asked = ["replay", "--archive", arg(&srv), "--now", "2026-11-20T12:00:00Z", "--from", "2026-11-23"];
    let given = node.run(&asked);
    assert_eq!((given.status.code(), given.stdout.is_empty()), (Some(0), false), "{}", text(&given.stderr));
}
