//! Situations in which other tools leaked, broke or lost lines, and what oubliette does in each.
//!
//! The table lists the test of each situation; tests without a file name are in this file:
//!
//! | situation | test |
//! | --- | --- |
//! | address in brackets, with a port | `brackets_and_ports_stay` |
//! | IPv6 with a port glued on; one address, three spellings; IPv4-mapped | `one_address_has_one_token` |
//! | 6to4, Teredo, NAT64, ISATAP | `no_ipv4_can_be_read_from_a_transition_address` |
//! | zone; address in a host name; lists of proxies | `detection.rs`: `ipv6_in_every_notation`, `addresses_in_names`, `ipv4_and_what_stands_around_it` |
//! | JSON, JSON in JSON, percent-encoding | `json_stays_valid_at_both_levels`, `encoded_and_clear_have_one_token` |
//! | repeated query keys, SRS, VERP | `detection.rs`: `email_in_every_notation` |
//! | user names that are addresses, blanks or passwords | `the_user_field_goes_whole` |
//! | systemd unit names, TLS errors, HOSTNAME | `detection.rs`: `ipv4_and_what_stands_around_it`, `ipv6_in_every_notation` |
//! | look-alikes; borders | `detection.rs`: `left_alone`, `ipv4_borders`, `what_is_glued_together` |
//! | one address is the start of another | `one_address_has_one_token` |
//! | long lines, NUL, invalid UTF-8, line ends | `odd_bytes_and_line_ends_come_out_as_they_went_in`, `a_line_over_the_limit_is_sealed` |
//! | forged tokens and tags | `forged_tokens_and_tags_are_not_trusted`, `filter.rs`: `behind_another_oubliette_nothing_changes` |
//! | keys | `privacy.rs`: `a_key_that_is_no_secret_is_refused_and_nothing_is_printed`; here `a_key_that_cannot_be_read_is_refused` |
//! | 10 million addresses | `privacy.rs`: `ten_million_distinct_addresses_fit_in_256_mib` |
//! | many nodes, restarts, workers | `a_fleet_has_one_token_for_an_address` |
//! | parsers that demand an address | `an_address_takes_the_place_of_an_address` |
//! | own networks | `own_networks_stay_readable` |
//! | source port | `brackets_and_ports_stay` |
//! | `kill -9` at every write, power cuts, torn frames | `crash.rs` |
//! | a clock that jumps before a purge | `jobs::purge`: `a_clock_that_jumped_purges_nothing_until_it_is_confirmed` |
//! | a crash between unlinking and the ledger | `jobs::purge`: `a_purge_that_breaks_off_anywhere_is_ended_by_the_next` |
//! | retention by event, not by rotation or file time | `pipeline::archiver`: `lines_go_where_their_class_and_day_say`; `jobs::purge`: `what_has_expired_goes_with_its_key_and_nothing_else`, `days_that_were_missed_are_caught_up` |
//! | many connections, one hostile | `serve.rs`: `a_hostile_peer_harms_its_own_connection_only` |
//! | a reload and a midnight under load | `serve.rs`: `midnight_and_hangups_under_load_lose_no_line_and_no_token_is_of_the_wrong_epoch` |
//! | `kill -9` of the sidecar | `serve.rs`: `a_kill_loses_at_most_what_came_since_the_last_flush` |
//! | reversible by two parties only | `vault`: `what_is_written_opens_with_both_keys`, `one_key_is_not_enough` |
//! | searching across epochs under a case number | `replay.rs`: `what_is_found_is_what_a_plain_search_finds`, `a_reveal_gives_back_what_was_asked_for_and_nobody_else`, `what_is_refused_leaves_nothing_but_an_entry_in_the_ledger` |
//! | one source at full speed while the disk is slow | `pipeline::intake`: `a_batch_waits_for_room_of_its_connection_and_others_do_not`; `edges.rs`: `the_archive_goes_on_while_a_required_output_is_full` |
//! | standard output closed by whoever starts it | `a_closed_standard_output_is_told` |
//! | deleting the lines of one person | `desk/subject.rs`: `erasure_stops_where_a_duty_stands_and_says_until_when`, `what_is_refused_erases_nothing` |

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::Ipv6Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// A node: a state directory and a key file.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        private(&node.0.path().join("key"), &[9; 32]);
        node
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut oubliette = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        oubliette.args(arguments).arg("--state-dir").arg(self.0.path().join("state"));
        program::fed(oubliette.env_remove("OUBLIETTE_KEY_FILE"), input)
    }

    /// Returns what a filter without tags makes of `input`.
    fn filter(&self, extra: &[&str], input: &[u8]) -> Vec<u8> {
        let key = self.0.path().join("key");
        let fixed = ["filter", "--tag", "none", "--key-file", key.to_str().unwrap()];
        let output = self.run(&[&fixed[..], extra].concat(), input);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn text(&self, extra: &[&str], input: &str) -> String {
        String::from_utf8(self.filter(extra, input.as_bytes())).unwrap()
    }
}

fn private(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(bytes).unwrap();
}

/// Returns everything in `text` that has the shape of a token of `kind`.
fn tokens<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let prefix = format!("{kind}_");
    text.match_indices(&prefix).filter_map(|(at, _)| text.get(at..at + prefix.len() + 31)).collect()
}

/// Replaces each token of `kind` in `text` by `*`.
fn masked(text: &str, kind: &str) -> String {
    tokens(text, kind).iter().fold(text.to_owned(), |text, token| text.replace(token, "*"))
}

#[test]
fn brackets_and_ports_stay() {
    let input = "[client 203.0.113.9:57424]\nclient=h.example[203.0.113.9]:41234\n[2001:db8::1]:443\n\
                 2001:db8:1::ab9:C0A8:102:46824\n203.0.113.9#53\n";
    let output = Node::new().text(&[], input);
    assert_eq!(
        masked(&output, "ip"),
        "[client *:57424]\nclient=h.example[*]:41234\n[*]:443\n*:46824\n*#53\n"
    );
}

/// Lines written to a closed standard output would be lost silently.
#[test]
fn a_closed_standard_output_is_told() {
    let node = Node::new();
    let key = node.0.path().join("key");
    let state = node.0.path().join("state");
    let run = |command: &str, redirected: &str| {
        let script = format!("exec \"$0\" {command} --state-dir \"$1\" --key-file \"$2\" {redirected}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_oubliette")]).arg(&state).arg(&key);
        program::fed(&mut shell, b"203.0.113.9\n")
    };
    let archive = format!("--archive '{}'", node.0.path().join("srv").display());
    assert_eq!(run(&format!("filter {archive}"), ">&-").status.code(), Some(0), "nothing goes there");
    for command in [
        "filter".to_owned(),
        "batch --out out".to_owned(),
        format!("filter --tee {archive}"),
        format!("replay {archive}"),
        format!("subject access {archive} --ip 203.0.113.9 --case C-1 --from 2026-11-23 --to 2026-11-23"),
    ] {
        // A closed standard output alone is not an error: a null device passed on by a program looks the
        // same.
        for redirected in [">&-", "1<>/dev/null"] {
            let told = run(&command, redirected);
            let message = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(
                message.contains("is closed, or the null device opened for reading too"),
                "{command}: {message}"
            );
            assert!(!message.contains("error[C09]"), "{command}: {message}");
        }
    }
    for redirected in [">/dev/null", "| cat"] {
        let output = run("filter", redirected);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), message.contains("C09")), (Some(0), false), "{message}");
    }
    assert_eq!(run("filter", "1<>/dev/null").status.code(), Some(0));
}

#[test]
fn one_address_has_one_token() {
    let node = Node::new();
    for spellings in [
        "2001:DB8:0:0:0:0:0:1\n2001:db8::1\n2001:0db8::0001\n2001-db8--1.ipv6-literal.net\n",
        "203.0.113.9\n::ffff:203.0.113.9\n::ffff:cb00:7109\n203-0-113-9.pool.isp.example\n",
        "203.0.113.9\n9.113.0.203.in-addr.arpa\nip-cb007109.isp\n",
    ] {
        let output = node.text(&[], spellings);
        let found = tokens(&output, "ip");
        assert_eq!(found.len(), spellings.lines().count(), "{output}");
        assert!(found.iter().all(|token| *token == found[0]), "{output}");
    }
    let output = node.text(&[], "203.0.113.95 203.0.113.9\n");
    let found = tokens(&output, "ip");
    assert_eq!(masked(&output, "ip"), "* *\n");
    assert_ne!(found[0], found[1]);
}

#[test]
fn no_ipv4_can_be_read_from_a_transition_address() {
    let input = "2002:cb00:7109::1\n2001:0:4136:e378:8000:63bf:34ff:8ef6\n64:ff9b::203.0.113.9\n\
                 64:ff9b::cb00:7109\nfe80::5efe:203.0.113.9\nfe80::200:5efe:cb00:7109\n";
    let output = Node::new().text(&[], input);
    assert_eq!(masked(&output, "ip"), "*\n*\n*\n*\n*\n*\n");
}

#[test]
fn json_stays_valid_at_both_levels() {
    let line = r#"{"msg":"{\"ip\":\"203.0.113.9\",\"m\":\"jean\\u0040example.fr\"}","n":1.50}"#;
    let output = Node::new().text(&[], line);
    let outer: serde_json::Value = serde_json::from_str(&output).unwrap();
    let inner: serde_json::Value = serde_json::from_str(outer["msg"].as_str().unwrap()).unwrap();
    assert!(inner["ip"].as_str().unwrap().starts_with("ip_"), "{output}");
    assert!(inner["m"].as_str().unwrap().starts_with("em_"), "{output}");
    assert!(output.ends_with(r#""n":1.50}"#), "{output}");
    let output = Node::new().text(&[], r#"{"remote_ip":"203.0.113.9","common_log":"203.0.113.9 - -"}"#);
    assert_eq!(masked(&output, "ip"), r#"{"remote_ip":"*","common_log":"* - -"}"#);
}

#[test]
fn encoded_and_clear_have_one_token() {
    let input =
        "GET /?m=a%2Bb%40example.fr&ip=2001%3Adb8%3A%3A1&x=%20 HTTP/1.1\na+b@example.fr 2001:db8::1\n";
    let output = Node::new().text(&[], input);
    assert_eq!(masked(&masked(&output, "ip"), "em"), "GET /?m=*&ip=*&x=%20 HTTP/1.1\n* *\n");
    for kind in ["ip", "em"] {
        let found = tokens(&output, kind);
        assert_eq!(found[0], found[1]);
    }
    let shaped = Node::new().text(&["--token-shape", "address"], input);
    assert!(shaped.contains("%40pseudonym.invalid&ip=fd") && shaped.contains("%3A"), "{shaped}");
}

#[test]
fn the_user_field_goes_whole() {
    let node = Node::new();
    let failed =
        |user: &str| format!("Nov 23 10:00:00 h sshd[1]: Invalid user {user} from 198.51.100.7 port 22\n");
    let output = node.text(&[], &failed("x x x 203.0.113.9"));
    assert_eq!(masked(&output, "ip"), "Nov 23 10:00:00 h sshd[1]: Invalid user x x x * from * port 22\n");
    for user in ["x x x 203.0.113.9", "MyP4ssw0rd!"] {
        let output = node.text(&["--also", "usr"], &failed(user));
        let expected = "Nov 23 10:00:00 h sshd[1]: Invalid user * from * port 22\n";
        assert_eq!(masked(&masked(&output, "usr"), "ip"), expected, "{output}");
    }
}

#[test]
fn odd_bytes_and_line_ends_come_out_as_they_went_in() {
    let node = Node::new();
    let odd = b"\n\r\n\0\xff\xfe\n a\0b\r\n\xc3\x28\nlast";
    assert_eq!(node.filter(&[], odd), odd);
    assert_eq!(node.filter(&[], b""), b"");
    let output = node.filter(&[], b"\xff\xfe203.0.113.9\0\r\nno end 203.0.113.9");
    assert!(output.starts_with(b"\xff\xfeip_") && !output.ends_with(b"\n"));
    assert!(output.windows(3).any(|bytes| bytes == b"\0\r\n"));
    // A long line without identifiers, and one that ends in an address.
    for length in [131_072, 1_000_000] {
        let plain = vec![b'x'; length];
        assert_eq!(node.filter(&[], &plain), plain);
        let output = node.filter(&[], &[&plain[..], b" 203.0.113.9"].concat());
        assert_eq!(output.len(), length + 1 + 34);
        assert!(output.starts_with(&plain));
    }
}

#[test]
fn a_line_over_the_limit_is_sealed() {
    let node = Node::new();
    let key = node.0.path().join("key");
    let input = format!("before\n{}203.0.113.9\nafter\n", "x".repeat(131_072));
    let arguments =
        ["filter", "--tag", "none", "--max-line-bytes", "131072", "--key-file", key.to_str().unwrap()];
    let output = node.run(&arguments, input.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, "before", "after"));
    assert!(lines[1].starts_with("oubliette: line quarantined id=qr_"), "{text}");
}

#[test]
fn forged_tokens_and_tags_are_not_trusted() {
    let node = Node::new();
    let genuine = node.text(&[], "203.0.113.9");
    let line = format!("user {genuine} said expires=2027-01-01 class=connection");
    let output = node.text(&[], &line);
    assert!(!output.contains(&genuine) && tokens(&output, "fk").len() == 1, "{output}");
    assert!(output.contains(" expires_=2027-01-01"), "{output}");
    assert_eq!(node.text(&["--trust-upstream"], &line), line);
    // Beside a trusted token, an address in clear is still replaced.
    let output = node.text(&["--trust-upstream"], &format!("{genuine} 198.51.100.7"));
    assert!(output.starts_with(&genuine) && tokens(&output, "ip").len() == 2, "{output}");
}

#[test]
fn a_key_that_cannot_be_read_is_refused() {
    let node = Node::new();
    let missing = node.0.path().join("missing");
    for path in [missing.as_path(), node.0.path()] {
        let output = node.run(&["filter", "--key-file", path.to_str().unwrap()], b"203.0.113.9\n");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("error[K") && message.contains("hint:"), "{message}");
    }
}

#[test]
fn a_fleet_has_one_token_for_an_address() {
    let chain = format!("oubliette fleet seed 1\nlength day\nepoch 2026-11-23\nchain {}\n", "01".repeat(32));
    let log = "203.0.113.9 x\n".repeat(2000);
    let mut seen = std::collections::BTreeSet::new();
    for node in 0..5 {
        let node = (Node::new(), node);
        let state = node.0.0.path().join("state");
        private(&state.join("keys/chain"), chain.as_bytes());
        for folder in [state.clone(), state.join("keys")] {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        // Run twice: the second run is a restart.
        for workers in ["1", "4"] {
            let arguments =
                ["filter", "--tag", "none", "--workers", workers, "--now", "2026-11-23T12:00:00Z"];
            let output = node.0.run(&arguments, log.as_bytes());
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.lines().count(), 2000);
            seen.extend(text.lines().map(str::to_owned));
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn an_address_takes_the_place_of_an_address() {
    let output =
        Node::new().text(&["--token-shape", "address"], "203.0.113.9 - -\n203.0.113.9:443\na@x.fr\n");
    let lines: Vec<_> = output.lines().collect();
    let address: Ipv6Addr = lines[0].strip_suffix(" - -").unwrap().parse().unwrap();
    assert_eq!(address.octets()[0], 0xfd);
    assert_eq!(lines[1], format!("[{address}]:443"));
    assert!(lines[2].ends_with("@pseudonym.invalid"));
}

#[test]
fn own_networks_stay_readable() {
    let input = "10.1.2.3 203.0.113.9 2001:db8:aaaa::1 2001:db8:bbbb::1 127.0.0.1\n";
    let output = Node::new().text(&["--keep", "10.0.0.0/8", "--keep", "2001:db8:aaaa::/48"], input);
    assert_eq!(masked(&output, "ip"), "10.1.2.3 * 2001:db8:aaaa::1 * 127.0.0.1\n");
}

/// Starts a filter that keeps running, with SIGHUP ignored or not, and waits until it has filtered a line.
#[cfg(target_os = "linux")]
fn running(node: &Node, hangup: &str) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = Command::new("env")
        .arg(format!("--{hangup}-signal=HUP"))
        .args([env!("CARGO_BIN_EXE_oubliette"), "filter", "--tag", "none", "--key-file"])
        .arg(node.0.path().join("key"))
        .arg("--state-dir")
        .arg(node.0.path().join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    stdin.write_all(b"from 203.0.113.9\n").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    (child, stdin, stdout)
}

#[cfg(target_os = "linux")]
fn hang_up(child: &Child) {
    let process = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_closes_ends_the_input_but_not_under_nohup() {
    let node = Node::new();
    let (mut child, stdin, stdout) = running(&node, "default");
    hang_up(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop((stdin, stdout));
    // Half an address does not look like one, and would go out in clear.
    let (mut child, mut stdin, mut stdout) = running(&node, "default");
    stdin.write_all(b"from 203.0.11").unwrap();
    hang_up(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("quarantine") && !rest.contains("203.0.11"), "{rest}");
    drop(stdin);
    let (mut child, mut stdin, mut stdout) = running(&node, "ignore");
    hang_up(&child);
    stdin.write_all(b"from 203.0.113.9\n").unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("from ip_"), "{line}");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
