//! Replays as real runs: a replay finds what a plain search of the originals finds; a reveal returns the
//! requested originals and no others; a refused replay leaves nothing but an entry in the ledger.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "replay/hostile.rs"]
mod hostile;
#[path = "replay/live.rs"]
mod live;
mod program;
#[path = "replay/touching.rs"]
mod touching;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A node with escrow and an archive.
struct Node {
    root: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { root: tempfile::tempdir().unwrap() };
        let made = node.run(&["init"], b"");
        assert!(node.path("state/escrow/identity-1.txt").exists(), "{}", text(&made.stderr));
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(arguments).arg("--state-dir").arg(self.path("state")).env_remove("OUBLIETTE_KEY_FILE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        program::fed(&mut self.command(arguments), input)
    }

    /// Archives lines at an instant.
    fn archive(&self, now: &str, extra: &[&str], lines: &str) {
        let archive = self.path("srv");
        let arguments = ["filter", "--node", "web1", "--now", now, "--archive", archive.to_str().unwrap()];
        let output = self.run(&[&arguments[..], extra].concat(), lines.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }

    fn replay(&self, extra: &[&str]) -> Output {
        let archive = self.path("srv");
        let identity = self.path("state/escrow/identity-1.txt");
        let arguments = ["replay", "--now", LATER, "--archive", archive.to_str().unwrap()];
        let identity = ["--identity", identity.to_str().unwrap()];
        self.run(&[&arguments[..], &identity, extra].concat(), b"")
    }

    /// Returns the lines that a replay finds.
    fn found(&self, extra: &[&str]) -> Vec<String> {
        let output = self.replay(extra);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Runs a replay without an identity.
    fn replay_alone(&self, extra: &[&str]) -> Output {
        let archive = self.path("srv");
        let arguments = ["replay", "--now", LATER, "--archive", archive.to_str().unwrap()];
        self.run(&[&arguments[..], extra].concat(), b"")
    }

    fn ledger(&self) -> Vec<serde_json::Value> {
        let shown = self.run(&["ledger", "show", "--json"], b"");
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
        text(&shown.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the accesses recorded in the ledger.
    fn accesses(&self) -> Vec<(String, serde_json::Value)> {
        let entries = self.ledger().into_iter();
        let named =
            entries.map(|entry| (entry["event"].as_str().unwrap().to_owned(), entry["about"].clone()));
        named.filter(|(event, _)| event.starts_with("access")).collect()
    }
}

/// A day after the last one on which anything is archived.
const LATER: &str = "2026-11-30T10:00:00Z";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Pseudo-random numbers that are the same every time (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn address(number: u64) -> String {
    match number % 3 {
        0 => format!("2001:db8:{:x}::{:x}", number % 50, number),
        _ => format!("203.0.{}.{}", number / 250 % 250, number % 250 + 1),
    }
}

/// Returns the number in each line: `req=17`.
fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| {
        let rest = line.split("req=").nth(1).unwrap();
        rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().unwrap()
    };
    lines.iter().map(number).collect()
}

/// Archives lines of several formats over some days, in which each of 300 people appears now and then.
fn write_days(node: &Node, days: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let mut random = Numbers(7);
    let mut all = Vec::new();
    for day in days {
        let mut lines = String::new();
        for _ in 0..600 {
            let (request, second) = (all.len(), all.len() % 600 / 10);
            let (one, other) = (address(random.below(300)), address(random.below(300)));
            // Every tenth line comes late.
            let minute = if random.below(10) == 0 { 40 } else { 59 };
            let time = format!("10:{minute}:{second:02}");
            let line = match random.below(4) {
                0 => format!(
                    "{one} - - [{day}/Nov/2026:{time} +0100] \"GET /?req={request}&f={other} HTTP/1.1\" 200 5"
                ),
                1 => format!(
                    "Nov {day} {time} web1 sshd[1]: Accepted publickey for u from {one} port 22 req={request} x"
                ),
                2 => format!(
                    "{{\"ts\":\"2026-11-{day}T{time}+01:00\",\"ip\":\"{one}\",\"to\":\"m{}@example.org\",\"q\":\"req={request} \"}}",
                    random.below(40)
                ),
                _ => format!("no time here, but {one} and {other} req={request} "),
            };
            lines.push_str(&line);
            lines.push('\n');
            all.push(line);
        }
        node.archive(&format!("2026-11-{day}T10:00:00Z"), &[], &lines);
    }
    all
}

/// Returns whether `line` contains `identifier`, and not only as part of a longer one.
fn names(line: &str, identifier: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == ':';
    line.match_indices(identifier).any(|(at, found)| {
        let (before, after) = (&line[..at], &line[at + found.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[test]
fn what_is_found_is_what_a_plain_search_finds() {
    let node = Node::new();
    let lines = write_days(&node, 20..=24);
    let mut random = Numbers(11);
    for _ in 0..40 {
        let (option, identifier) = match random.below(8) {
            0 => ("--email", format!("m{}@example.org", random.below(45))),
            _ => ("--ip", address(random.below(320))),
        };
        let expected: BTreeSet<u64> = (0u64..)
            .zip(&lines)
            .filter(|(_, line)| names(line, &identifier))
            .map(|(number, _)| number)
            .collect();
        let found = numbers(&node.found(&[option, &identifier]));
        assert_eq!(found.len(), expected.len(), "{identifier}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{identifier}");
    }
    // All lines, in order.
    let all = node.replay(&["--json"]);
    let found = numbers(&text(&all.stdout).lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), (0..lines.len() as u64).collect());
    assert_eq!(found.len(), lines.len());
    let counts: serde_json::Value = serde_json::from_slice(&all.stderr).unwrap();
    assert_eq!((&counts["lines"], &counts["hmacs"]), (&3000.into(), &0.into()));
}

#[test]
fn an_identifier_costs_one_hmac_an_epoch_and_frames_without_it_are_not_read() {
    let node = Node::new();
    write_days(&node, 20..=24);
    node.archive("2026-11-25T10:00:00Z", &[], "198.51.100.77 req=1 \n");
    let output = node.replay(&["--ip", "198.51.100.77", "--json"]);
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let counts: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&counts["epochs"], &counts["hmacs"], &counts["segments"]), (&6.into(), &6.into(), &6.into()));
    // One frame in 16 is read in vain.
    assert!(counts["frames_read"].as_u64().unwrap() <= 3, "{counts}");
}

#[test]
fn lines_come_in_the_order_of_their_events_across_segments() {
    let node = Node::new();
    let line = |day: u32, time: &str, request: u32| {
        format!("203.0.113.7 - - [{day}/Nov/2026:{time} +0100] \"GET /?req={request} HTTP/1.1\" 200 5\n")
    };
    node.archive("2026-11-23T10:00:00Z", &[], &(line(23, "10:00:02", 2) + &line(23, "10:00:00", 0)));
    // A line that comes a day late has a segment of its own, of another epoch.
    node.archive("2026-11-24T10:00:00Z", &[], &(line(24, "09:00:00", 4) + &line(23, "10:00:01", 1)));
    // Its time is not believed, so the time of receipt counts.
    node.archive("2026-11-24T11:00:00Z", &[], &(line(1, "10:00:00", 5) + &line(23, "10:00:03", 3)));
    let found = numbers(&node.found(&[]));
    assert_eq!(found[..4], [0, 1, 2, 3]);
    assert_eq!(found[4..].iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([4, 5]));
    let of = |extra: &[&str]| numbers(&node.found(extra));
    // The period includes both ends.
    assert_eq!(of(&["--from", "2026-11-23T09:00:01Z", "--to", "2026-11-23T09:00:02Z"]), [1, 2]);
    assert_eq!(of(&["--from", "2026-11-23", "--to", "2026-11-23"]), [0, 1, 2, 3]);
    assert_eq!(of(&["--from", "2026-11-24", "--ip", "203.0.113.7"]).len(), 2);
    assert_eq!(of(&["--class", "invoice"]), [0; 0]);
}

#[test]
fn hosts_programs_texts_and_networks() {
    let node = Node::new();
    let lines = "Nov 23 10:00:00 web1 sshd[1]: from 203.0.113.7 req=0 x\n\
                 Nov 23 10:00:01 Web2 sshd[1]: from 203.0.113.8 req=1 x\n\
                 Nov 23 10:00:02 web2 postfix/smtpd[1]: from 2001:db8:1:2::9 req=2 x\n\
                 Nov 23 10:00:03 mx1 postfix/smtp[1]: from 2001:db8:1:3::9 req=3 x\n";
    node.archive("2026-11-23T10:00:00Z", &["--also", "usr"], lines);
    let of = |extra: &[&str]| numbers(&node.found(extra));
    assert_eq!(of(&["--host", "WEB2"]), [1, 2]);
    assert_eq!(of(&["--host", "mx*", "--host", "web1"]), [0, 3]);
    assert_eq!(of(&["--program", "postfix/*"]), [2, 3]);
    assert_eq!(of(&["--program", "sshd", "--host", "web2"]), [1]);
    assert_eq!(of(&["--grep", "req=[13] "]), [1, 3]);
    assert_eq!(of(&["--net", "203.0.113.0/24"]), [0, 1]);
    assert_eq!(of(&["--net", "2001:db8:1:2::/64"]), [2]);
    let (_, done) = node.accesses().pop().unwrap();
    assert_eq!(
        done["opened"].as_array().unwrap().len(),
        1,
        "the vault that tells the addresses of an IPv6 network"
    );
    assert_eq!(of(&["--net", "2001:db8:1:2::/64", "--ip", "203.0.113.8"]), [1, 2]);
    assert_eq!(of(&["--net", "2001:db8:1:4::/64"]), [0; 0]);
}

#[test]
fn account_names_are_found_where_the_filter_looked_for_them() {
    let node = Node::new();
    let line = "Nov 23 10:00:00 web1 sshd[1]: Invalid user Alice from 203.0.113.7 port 22 req=0\n";
    node.archive("2026-11-23T09:00:00Z", &["--also", "usr"], line);
    assert_eq!(node.found(&["--user", "alice"]).len(), 1);
    assert_eq!(node.found(&["--user", "bob"]).len(), 0);
}

/// Creates a node with two people on one line, on two days.
fn two_people() -> Node {
    let node = Node::new();
    for day in ["23", "24"] {
        let line = format!(
            "203.0.113.7 - - [{day}/Nov/2026:10:00:00 +0100] \"GET /?m=jean%40example.org&ip=2001%3Adb8%3A%3A1 HTTP/1.1\" 200 5\n"
        );
        node.archive(&format!("2026-11-{day}T09:00:00Z"), &[], &line);
    }
    node
}

const CASE: [&str; 8] =
    ["--case", "PV 2026/0815", "--basis", "60-1/1", "--from", "2026-11-23", "--to", "2026-11-24"];

#[test]
fn a_reveal_gives_back_what_was_asked_for_and_nobody_else() {
    let node = two_people();
    let found =
        node.found(&[&["--ip", "203.0.113.7", "--reveal", "--operator", "M. Martin"][..], &CASE].concat());
    assert_eq!(found.len(), 2);
    for line in &found {
        assert!(line.starts_with("203.0.113.7 - - ["), "{line}");
        assert!(line.contains("?m=em_") && line.contains("&ip=ip_"), "{line}");
    }
    // Search by a token that somebody has.
    let token = found[0].split("?m=").nth(1).unwrap().split('&').next().unwrap();
    let by_token = node.found(&[&["--token", token, "--reveal"][..], &CASE].concat());
    assert_eq!(by_token.len(), 1);
    assert!(by_token[0].contains("?m=jean@example.org&ip=ip_") && by_token[0].starts_with("ip_"));
    let everybody = node.found(&[&["--ip", "203.0.113.7", "--reveal-all"][..], &CASE].concat());
    assert!(everybody[0].contains("203.0.113.7") && everybody[0].contains("jean@example.org"));
    assert!(everybody[0].contains("&ip=2001:db8::1 "), "{}", everybody[0]);

    let accesses = node.accesses();
    let (event, about) = &accesses[0];
    assert_eq!(event, "access");
    assert_eq!((&about["case"], &about["basis"]), (&"PV 2026/0815".into(), &"60-1/1".into()));
    assert_eq!((&about["operator"], &about["reveal"]), (&"M. Martin".into(), &"asked".into()));
    assert_eq!((&about["identifiers"], &about["tokens"]), (&1.into(), &0.into()));
    let (event, about) = &accesses[1];
    assert_eq!((event.as_str(), &about["complete"]), ("access-done", &true.into()));
    assert_eq!((&about["lines"], &about["revealed"]), (&2.into(), &2.into()));
    assert_eq!(about["opened"].as_array().unwrap().len(), 2);
    assert_eq!(accesses.len(), 6);
    let ledger = std::fs::read_to_string(node.path("state/ledger/ledger.jsonl")).unwrap();
    assert!(!ledger.contains("203.0.113") && !ledger.contains("jean"));
    let table = text(&node.run(&["ledger", "show"], b"").stdout);
    assert!(table.contains("access-done") && table.contains("case=PV 2026/0815"), "{table}");
    assert_eq!(node.run(&["ledger", "verify"], b"").status.code(), Some(0));
}

#[test]
fn the_encoding_of_a_place_is_kept_where_the_token_keeps_it() {
    let node = Node::new();
    let line = "203.0.113.7 - - [23/Nov/2026:10:00:00 +0100] \"GET /?m=jean%40example.org&ip=2001%3Adb8%3A%3A1 HTTP/1.1\" 200 5\n";
    node.archive("2026-11-23T09:00:00Z", &["--token-shape", "address"], line);
    let found = node.found(&[&["--ip", "203.0.113.7", "--reveal-all"][..], &CASE].concat());
    assert_eq!(found, [format!("{} expires=2027-11-24 class=connection", line.trim_end())]);
}

#[test]
fn what_is_refused_leaves_nothing_but_an_entry_in_the_ledger() {
    let node = two_people();
    let other = Node::new();
    let wrong = other.path("state/escrow/identity-1.txt");
    let right = node.path("state/escrow/identity-1.txt");
    let (wrong, right) = (wrong.to_str().unwrap(), right.to_str().unwrap());
    let reveal = ["--ip", "203.0.113.7", "--reveal"];
    let without = |left_out: &str| -> Vec<&'static str> {
        CASE.chunks(2).filter(|pair| pair[0] != left_out).flatten().copied().collect()
    };
    let mut refused = 0;
    let mut check = |extra: &[&str], code: &str| {
        let output = node.replay_alone(&[&reveal[..], extra].concat());
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{code}: {message}");
        assert!(message.contains(&format!("error[{code}]")) && !message.contains("203.0.113.7"), "{message}");
        refused += 1;
        let accesses = node.accesses();
        let (event, about) = accesses.last().unwrap();
        assert_eq!((event.as_str(), about["code"].as_str()), ("access-refused", Some(code)), "{about}");
        let all = accesses.iter().filter(|(event, _)| event == "access-refused").count();
        assert_eq!(all, refused);
    };
    for missing in ["--case", "--basis", "--from", "--to"] {
        check(&[&["--identity", right][..], &without(missing)].concat(), "P11");
    }
    check(&[&["--identity", right, "--basis", "because"][..], &without("--basis")].concat(), "P11");
    // Without the case of article 60-1-2.
    check(&[&["--identity", right, "--basis", "99-3"][..], &without("--basis")].concat(), "P11");
    check(&CASE, "P12");
    check(&[&["--identity", wrong][..], &CASE].concat(), "P13");
    check(&[&["--identity", "nowhere"][..], &CASE].concat(), "K01");
    // Without the shred keys.
    for day in ["2027-11-24", "2027-11-25"] {
        std::fs::rename(node.path(&format!("state/shred/{day}")), node.path(day)).unwrap();
    }
    check(&[&["--identity", right][..], &CASE].concat(), "P14");
    let search = node.replay(&["--ip", "203.0.113.7"]);
    assert_eq!(text(&search.stdout).lines().count(), 2, "a search needs no H: {}", text(&search.stderr));
}

#[test]
fn a_search_for_a_past_day_takes_the_custodian_and_one_for_today_does_not() {
    let node = two_people();
    let output = node.replay_alone(&["--ip", "203.0.113.7"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(text(&output.stderr).contains("error[P12]"));
    let archive = node.path("srv");
    let today = ["replay", "--now", "2026-11-24T12:00:00Z", "--archive", archive.to_str().unwrap()];
    let output = node.run(&[&today[..], &["--ip", "203.0.113.7", "--from", "2026-11-24"]].concat(), b"");
    assert_eq!(text(&output.stdout).lines().count(), 1, "{}", text(&output.stderr));
    let events: Vec<String> = node.accesses().into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["access", "access-refused", "access", "access-done"]);
    // A token requires no identity, and leaves no entry.
    let line = text(&output.stdout);
    let output = node.replay_alone(&["--token", &line[..34]]);
    assert_eq!(text(&output.stdout), line);
    assert_eq!(node.accesses().len(), 4);
}

#[test]
fn an_identity_may_be_locked_with_a_passphrase() {
    let node = two_people();
    let plain = std::fs::read(node.path("state/escrow/identity-1.txt")).unwrap();
    let mut identity = age::scrypt::Recipient::new("correct horse".to_owned().into());
    // The default of a second of work is only needed against guessing.
    identity.set_work_factor(10);
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&identity as &dyn age::Recipient)).unwrap();
    let mut locked = Vec::new();
    let mut writer = encryptor.wrap_output(&mut locked).unwrap();
    writer.write_all(&plain).unwrap();
    writer.finish().unwrap();
    std::fs::write(node.path("locked.age"), locked).unwrap();
    for (passphrase, code) in [("correct horse\n", 0), ("battery staple\n", 2)] {
        std::fs::write(node.path("passphrase"), passphrase).unwrap();
        let (identity, file) = (node.path("locked.age"), node.path("passphrase"));
        let output = node.replay_alone(&[
            "--ip",
            "203.0.113.7",
            "--identity",
            identity.to_str().unwrap(),
            "--passphrase-file",
            file.to_str().unwrap(),
        ]);
        let lines = text(&output.stdout).lines().count();
        assert_eq!(
            (output.status.code(), lines),
            (Some(code), if code == 0 { 2 } else { 0 }),
            "{}",
            text(&output.stderr)
        );
        assert!(!text(&output.stderr).contains(passphrase.trim()));
    }
}

/// Bech32 of the bytes `test`, as a recipient and as an identity of `tests/data/age-plugin-clear`.
const PLUGIN_RECIPIENT: &str = "age1clear1w3jhxaqlf2huv";
const PLUGIN_IDENTITY: &str = "AGE-PLUGIN-CLEAR-1W3JHXAQHCDGGX\n";

#[test]
fn an_identity_may_be_that_of_a_plugin() {
    let node = Node { root: tempfile::tempdir().unwrap() };
    let plugins = std::fs::canonicalize("tests/data").unwrap();
    let path = format!("{}:{}", plugins.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child = node.command(arguments).env("PATH", &path).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let made = run(&["init", "--recipient", PLUGIN_RECIPIENT], b"");
    assert!(made.status.code().is_some_and(|code| code < 2), "{}", text(&made.stderr));
    let (archive, identity) = (node.path("srv"), node.path("identity"));
    let archive = archive.to_str().unwrap();
    let filter = ["filter", "--now", "2026-11-23T09:00:00Z", "--archive", archive];
    let filtered = run(&filter, b"203.0.113.7 req=1\n");
    assert_eq!(filtered.status.code(), Some(0), "{}", text(&filtered.stderr));
    std::fs::write(&identity, PLUGIN_IDENTITY).unwrap();
    let replay = ["replay", "--now", LATER, "--archive", archive, "--identity", identity.to_str().unwrap()];
    let asked = ["--ip", "203.0.113.7", "--reveal"];
    let found = run(&[&replay[..], &asked, &CASE].concat(), b"");
    assert!(text(&found.stdout).starts_with("203.0.113.7 req=1"), "{}", text(&found.stderr));
}

#[test]
fn a_key_file_opens_what_was_written_with_it() {
    let node = Node::new();
    let key = node.path("key");
    std::fs::write(&key, [9; 32]).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = ["--key-file", key.to_str().unwrap()];
    node.archive("2026-11-23T09:00:00Z", &key, "203.0.113.7 req=1\n");
    let found = node.replay_alone(&[&["--ip", "203.0.113.7", "--reveal"][..], &key, &CASE].concat());
    assert!(text(&found.stdout).starts_with("203.0.113.7 req=1"), "{}", text(&found.stderr));
    let other = node.path("other");
    std::fs::write(&other, [8; 32]).unwrap();
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let other = ["--ip", "203.0.113.7", "--key-file", other.to_str().unwrap()];
    for (refused, why) in [
        (node.replay(&["--ip", "203.0.113.7"]), "which its owner keeps"),
        (node.replay_alone(&["--ip", "203.0.113.7"]), "which its owner keeps"),
        (node.replay_alone(&other), "another one than that of `--key-file`"),
    ] {
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains("error[P12]") && message.contains(why), "{message}");
        assert!(message.contains("`--key-file FILE`") && !message.contains("--identity"), "{message}");
    }
    // Without vaults only the kid shows it.
    std::fs::rename(node.path("srv/vault"), node.path("vaults")).unwrap();
    let message = text(&node.replay_alone(&["--ip", "203.0.113.7"]).stderr);
    assert!(message.contains("`--key-file FILE`") && !message.contains("--identity"), "{message}");
}

fn started(node: &Node, extra: &[&str]) -> Child {
    let archive = node.path("srv");
    let arguments = ["replay", "--now", LATER, "--archive", archive.to_str().unwrap()];
    node.command(&[&arguments[..], extra].concat()).spawn().unwrap()
}

#[test]
fn what_is_stopped_goes_on_without_a_line_lost_or_doubled() {
    let node = Node::new();
    let line = |second: u32, request: u32| {
        format!(
            "203.0.113.7 - - [23/Nov/2026:10:00:{second:02} +0100] \"GET /?req={request} HTTP/1.1\" 200 5\n"
        )
    };
    node.archive("2026-11-23T09:01:00Z", &[], &(line(0, 0) + &line(0, 1) + &line(1, 2) + &line(59, 3)));
    let mut child = started(&node, &["--speed", "1x"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    // The line of the second second, after a second of waiting; the last line is far away.
    while reader.read_line(&mut first).unwrap() > 0 && !first.contains("req=2") {}
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    reader.read_to_string(&mut first).unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let resume = message.split("--from ").nth(1).unwrap().split('`').next().unwrap();
    let rest = node.found(&["--from", resume]);
    let all: Vec<String> = first.lines().map(str::to_owned).chain(rest).collect();
    assert_eq!(numbers(&all), [0, 1, 2, 3]);
}

#[test]
fn a_receiver_gets_them_over_tcp_in_either_framing() {
    let node = Node::new();
    node.archive("2026-11-23T09:00:00Z", &[], "one req=1 \ntwo req=2 \n");
    let plain = text(&node.replay(&[]).stdout);
    let counted: String = plain.lines().map(|line| format!("{} {line}", line.len())).collect();
    for (framing, expected) in [("lf", plain), ("octet-counting", counted)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let receiver = std::thread::spawn(move || {
            let mut received = String::new();
            listener.accept().unwrap().0.read_to_string(&mut received).unwrap();
            received
        });
        let output = node.replay(&["--output", &address, "--framing", framing]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", text(&output.stderr));
        assert_eq!(receiver.join().unwrap(), expected);
    }
    // Nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(node.replay(&["--output", &address]).status.code(), Some(2));
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let node = two_people();
    let turned = ["--from", "2026-11-24", "--to", "2026-11-23", "--ip", "203.0.113.7"];
    let nobody = [&["--reveal"][..], &CASE].concat();
    for (extra, code) in [(&turned[..], "P10"), (&nobody, "P11"), (&["--ip", "203.0.113.0/24"], "P10")] {
        let output = node.replay(extra);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{code}");
        assert!(text(&output.stderr).contains(&format!("error[{code}]")), "{}", text(&output.stderr));
        assert_eq!(node.accesses().last().unwrap().1["code"], *code);
    }
    assert_eq!(node.replay(&["--host", "203.0.113.7"]).status.code(), Some(2));
}
