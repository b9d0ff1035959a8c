//! The sidecar between peers that expect more than a stream of lines: RELP, a proxy, a file, outputs.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

#[path = "serve/sidecar.rs"]
#[expect(dead_code, reason = "shared with another test, which needs more of it")]
mod sidecar;

use sidecar::{Sidecar, line};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const OPEN: &str = "1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n";

fn once(ids: &[&str]) -> BTreeMap<String, usize> {
    ids.iter().map(|id| ((*id).to_owned(), 1)).collect()
}

/// Appends the line called `id` to a file that a sidecar follows.
fn append(path: &Path, id: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{}", line(id)).unwrap();
}

/// Formats a RELP frame.
fn record(txnr: u32, text: &str) -> String {
    format!("{txnr} syslog {} {text}\n", text.len())
}

/// Reads until the text ends with `end`.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with(end) {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{text}");
        text.push(byte[0].into());
    }
    text
}

#[test]
fn what_is_answered_over_relp_survives_a_kill() {
    let sidecar = Sidecar::start("[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\n", &[]);
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.write_all(OPEN.as_bytes()).unwrap();
    read_until(&mut peer, "commands=syslog\n");
    peer.write_all((record(2, &line("one")) + &record(3, &line("two"))).as_bytes()).unwrap();
    read_until(&mut peer, "3 rsp 6 200 OK\n");
    let sidecar = sidecar.kill_and_restart();
    let ended = sidecar.stop();
    assert_eq!((ended.code, ended.archived()), (Some(0), once(&["one", "two"])));
    ended.check_privacy();
}

#[test]
fn a_stop_answers_what_came_over_relp() {
    let sidecar = Sidecar::start("[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\n", &[]);
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.write_all(OPEN.as_bytes()).unwrap();
    read_until(&mut peer, "commands=syslog\n");
    peer.write_all(record(2, &line("one")).as_bytes()).unwrap();
    read_until(&mut peer, "2 rsp 6 200 OK\n");
    let ended = sidecar.stop();
    read_until(&mut peer, "0 serverclose 0\n");
    assert_eq!((ended.code, ended.archived()), (Some(0), once(&["one"])));
}

#[test]
fn addresses_of_a_proxy_are_in_no_file_and_no_message() {
    let config = "[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\nproxy_protocol = true\n";
    let sidecar = Sidecar::start(config, &[]);
    let send = |bytes: &[u8]| {
        let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
        peer.write_all(bytes).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        // The other end closes once it has taken everything, or refused it.
        let _ = peer.read_to_end(&mut Vec::new());
    };
    let text = format!("PROXY TCP4 203.0.113.77 203.0.113.78 40000 443\r\n{}\n", line("text"));
    send(text.as_bytes());
    let mut binary =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x4d\xcb\0\x71\x4e\x9c\x40\x01\xbb".to_vec();
    binary.extend_from_slice(format!("{}\n", line("binary")).as_bytes());
    send(&binary);
    send(format!("{}\n", line("none")).as_bytes());
    send(format!("PROXY TCP4 203.0.113.77 nonsense\r\n{}\n", line("bad")).as_bytes());
    let ended = sidecar.stop();
    assert_eq!((ended.code, ended.archived()), (Some(0), once(&["text", "binary"])));
    ended.check_privacy();
}

#[test]
fn a_file_is_read_on_after_a_kill_and_through_a_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let out = directory.path().join("out");
    let config = format!(
        "[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n\
         [[serve.output]]\ntype = 'file'\nname = 'f'\npath = '{}'\n",
        path.display(),
        out.display()
    );
    fs::write(&path, line("one") + "\n").unwrap();
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_until_archived("id=one");
    let sidecar = sidecar.kill_and_restart();
    fs::rename(&path, directory.path().join("a.log.1")).unwrap();
    fs::write(&path, line("two") + "\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(&out).is_ok_and(|text| text.contains("id=two")) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = sidecar.stop();
    let archived = ended.archived();
    assert!(archived.contains_key("one") && archived.len() == 2, "{archived:?}");
    ended.check_privacy();
}

#[test]
fn files_of_a_pattern_are_followed_also_when_they_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let append = |name: &str, id: &str| append(&at(name), id);
    let config =
        format!("[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n", at("*.log*").display());
    append("a.log", "one");
    append("b.log", "two");
    append("b.log.1", "rotated before anybody looked");
    append("c.txt", "no log");
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_until_archived("id=one");
    sidecar.wait_until_archived("id=two");
    append("d.log", "three");
    sidecar.wait_until_archived("id=three");
    // Rotate as logrotate does; the sidecar continues after a restart.
    fs::rename(at("a.log"), at("a.log.1")).unwrap();
    append("a.log.1", "four");
    append("a.log", "five");
    sidecar.wait_until_archived("id=four");
    sidecar.wait_until_archived("id=five");
    let sidecar = sidecar.stop().restart(&[]);
    append("d.log", "six");
    sidecar.wait_until_archived("id=six");
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(&["one", "two", "three", "four", "five", "six"]));
    ended.check_privacy();
}

#[test]
fn an_input_that_fails_is_shown_until_it_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let input = |path: &str| {
        format!("[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n", at(path).display())
    };
    let config = format!(
        "[serve.metrics]\nlisten = '127.0.0.1:0'\n{}{}{}",
        input("a.log"),
        input("late.log"),
        input("*.txt")
    );
    fs::create_dir(at("a.log")).unwrap();
    fs::write(at("b.txt"), b"\xff\xfe2\x000\x003\0\n\0").unwrap();
    append(&at("c.txt"), "one");
    let sidecar = Sidecar::start(&config, &[]);
    let told = sidecar.wait_until(|told| told.contains("I12") && told.contains("I14"));
    assert_eq!(told.matches("it does not exist yet").count(), 1, "{told}");
    let failing = |path: &str| format!("oubliette_input_failing{{input=\"file {}\"}}", at(path).display());
    for path in ["a.log", "*.txt"] {
        sidecar.wait_for_metric(&failing(path), |files| files > 0.5);
    }
    sidecar.wait_for_metric(&failing("late.log"), |files| files < 0.5);
    fs::remove_dir(at("a.log")).unwrap();
    fs::write(at("b.txt"), "").unwrap();
    append(&at("a.log"), "two");
    append(&at("b.txt"), "three");
    for path in ["a.log", "*.txt"] {
        sidecar.wait_for_metric(&failing(path), |files| files < 0.5);
    }
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(&["one", "two", "three"]));
}

/// Otherwise each line would come back for ever.
#[test]
fn what_it_writes_itself_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let config = format!(
        "[serve]\narchive = '{}'\n[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n\
         [[serve.output]]\ntype = 'file'\nname = 'f'\npath = '{}'\nrotate_bytes = '100'\n",
        at("archived").display(),
        at("**/*").display(),
        at("out.log").display()
    );
    append(&at("a.log"), "one");
    let sidecar = Sidecar::start(&config, &[]);
    let is_out = |id: &str| {
        let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("out.log");
        let mut found = fs::read_dir(directory.path()).unwrap().map(Result::unwrap).filter(named);
        found.any(|entry| fs::read_to_string(entry.path()).unwrap_or_default().contains(id))
    };
    for id in ["id=one ", "id=two ", "id=three "] {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_out(id) {
            assert!(Instant::now() < deadline, "{id}");
            std::thread::sleep(Duration::from_millis(10));
        }
        append(&at("a.log"), if id == "id=one " { "two" } else { "three" });
    }
    // Longer than two searches.
    std::thread::sleep(Duration::from_secs(3));
    let ended = sidecar.stop();
    // The last one was appended twice.
    assert_eq!(ended.counts()["lines_in"], 4, "{}", ended.told);
}

#[test]
fn files_beyond_the_most_that_are_followed_are_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..1030 {
        append(&directory.path().join(format!("{number}.log")), &format!("n{number}"));
    }
    let pattern = directory.path().join("*.log");
    let config = format!("[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '1s'\n", pattern.display());
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_for("left_out=6");
    // Longer than two searches.
    std::thread::sleep(Duration::from_secs(3));
    let ended = sidecar.stop();
    assert_eq!(ended.told.matches("more than 1024 files").count(), 1, "{}", ended.told);
}

/// A file name that matches a pattern may contain an address, so messages name the pattern instead.
#[test]
fn a_file_of_a_pattern_is_not_called_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("203.0.113.9.log");
    let pattern = directory.path().join("*.log");
    let config = format!("[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n", pattern.display());
    append(&log, "one");
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_until_archived("id=one");
    let ended = sidecar.stop();
    fs::remove_file(&log).unwrap();
    append(&log, "two");
    let sidecar = ended.restart(&[]);
    sidecar.wait_for("a file that was followed is gone");
    sidecar.wait_until_archived("id=two");
    let ended = sidecar.stop();
    ended.check_privacy();
    for offsets in fs::read_dir(ended.folder().join("tails")).unwrap() {
        fs::write(offsets.unwrap().path(), "nonsense").unwrap();
    }
    let sidecar = ended.restart(&[]);
    sidecar.wait_for("a file cannot be followed; it is tried again");
    // Retried meanwhile, but reported only once.
    std::thread::sleep(Duration::from_secs(6));
    let ended = sidecar.stop();
    assert!(ended.told.contains(pattern.to_str().unwrap()), "{}", ended.told);
    assert_eq!(ended.told.matches("cannot be followed").count(), 1, "{}", ended.told);
    ended.check_privacy();
}

#[test]
fn a_file_with_several_names_is_followed_once() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let append = |name: &str, id: &str| append(&at(name), id);
    let input = |path: &str| {
        format!("[[serve.input]]\ntype = 'file'\npath = '{}'\npoll = '10ms'\n", at(path).display())
    };
    append("b.log", "one");
    append("named.log", "two");
    symlink("b.log", at("a.log")).unwrap();
    symlink("b.log", at("c.log")).unwrap();
    // The name may have been given by a stranger.
    symlink("b.log", at("203.0.113.9.log")).unwrap();
    fs::hard_link(at("b.log"), at("d.log")).unwrap();
    append("first.txt", "five");
    symlink("first.txt", at("link")).unwrap();
    // Matched by two patterns, and also named.
    let config = input("*.log") + &input("?.log") + &input("named.log") + &input("link");
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_until_archived("id=one");
    sidecar.wait_until_archived("id=two");
    append("c.log", "three");
    append("named.log", "four");
    sidecar.wait_until_archived("id=three");
    sidecar.wait_until_archived("id=four");
    let sidecar = sidecar.stop().restart(&[]);
    append("d.log", "six");
    sidecar.wait_until_archived("id=five");
    sidecar.wait_until_archived("id=six");
    // The links lead to other files now: the named one is followed there, the matched one is not.
    append("secret.txt", "nobody's");
    fs::remove_file(at("a.log")).unwrap();
    symlink("secret.txt", at("a.log")).unwrap();
    append("second.txt", "seven");
    fs::remove_file(at("link")).unwrap();
    symlink("second.txt", at("link")).unwrap();
    sidecar.wait_until_archived("id=seven");
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(&["one", "two", "three", "four", "five", "six", "seven"]));
    assert_eq!(ended.told.matches("follows no symbolic link").count(), 2, "{}", ended.told);
    ended.check_privacy();
}

#[test]
fn outputs_get_what_the_archive_gets() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n\
         [[serve.output]]\ntype = 'tcp'\nname = 't'\naddress = '{}'\nframing = 'non-transparent'\n\
         [[serve.output]]\ntype = 'file'\nname = 'f'\npath = '{}'\nrequired = true\n",
        receiver.local_addr().unwrap(),
        directory.path().join("out").display()
    );
    let sidecar = Sidecar::start(&config, &[]);
    let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
    for id in ["one", "two"] {
        writeln!(peer, "{}", line(id)).unwrap();
    }
    let (stream, _) = receiver.accept().unwrap();
    let mut received = BufReader::new(stream).lines();
    let received: Vec<_> = (0..2).map(|_| received.next().unwrap().unwrap()).collect();
    let ended = sidecar.stop();
    let mut archived = ended.lines();
    archived.sort();
    let written = fs::read_to_string(directory.path().join("out")).unwrap();
    assert_eq!(
        (received, written.lines().collect::<Vec<_>>()),
        (archived.clone(), archived.iter().map(String::as_str).collect())
    );
    assert_eq!(ended.code, Some(0));
    ended.check_privacy();
}

/// Copies of lines left behind by outputs do not stay for ever.
#[test]
fn what_outputs_have_left_goes() {
    let directory = tempfile::tempdir().unwrap();
    let rotated = directory.path().join("out.20200101T000000Z");
    fs::write(&rotated, "long ago\n").unwrap();
    let unreachable = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let input = "[serve.limits]\ndrain = '100ms'\n[serve.metrics]\nlisten = '127.0.0.1:0'\n\
                 [[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";
    let config = format!(
        "{input}[[serve.output]]\ntype = 'file'\nname = 'f'\npath = '{}'\nrotate_every = 'day'\nkeep_days = 1\n\
         [[serve.output]]\ntype = 'tcp'\nname = 'gone'\naddress = '{unreachable}'\n",
        directory.path().join("out").display()
    );
    let sidecar = Sidecar::start(&config, &[]);
    sidecar.wait_for("removed, for its time is over");
    assert!(!rotated.exists());
    let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(peer, "{}", line("one")).unwrap();
    sidecar.wait_for_metric("oubliette_spool_lines{output=\"gone\",required=\"false\"}", |lines| lines > 0.5);
    drop(peer);
    let ended = sidecar.stop();
    let spool = ended.folder().join("spool/gone");
    assert!(fs::read_dir(&spool).unwrap().count() > 0);
    // Without that output, the lines waiting for it are reported, and removed on their expiry day.
    fs::write(ended.folder().join("config.toml"), format!("escrow = 'none'\n{input}")).unwrap();
    let sidecar = ended.restart(&["--now", "2026-11-26T10:00:00Z"]);
    sidecar.wait_for("configured no more");
    let ended = sidecar.stop();
    // Nothing expires by a clock that has jumped until somebody confirms it.
    let far = ["--now", "2999-01-01T00:00:00Z"];
    let mut purge = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    purge.args(["purge", "--confirm-clock"]).args(far).arg("--state-dir").arg(ended.folder());
    let purged = purge.arg("--archive").arg(ended.folder()).output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", String::from_utf8_lossy(&purged.stderr));
    let sidecar = ended.restart(&far);
    let deadline = Instant::now() + Duration::from_secs(60);
    let spool = sidecar.folder().join("spool/gone");
    while fs::read_dir(&spool).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "lines that have expired are still there");
        std::thread::sleep(Duration::from_millis(10));
    }
    sidecar.stop();
}

/// Each metric of an output changes when it should.
#[test]
fn metrics_of_outputs_tell_what_becomes_of_lines() {
    let unreachable = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[serve.limits]\ndrain = '100ms'\n[serve.metrics]\nlisten = '127.0.0.1:0'\n\
         [[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n\
         [[serve.output]]\ntype = 'relp'\nname = 'r'\naddress = '{}'\n\
         [[serve.output]]\ntype = 'tcp'\nname = 'gone'\naddress = '{unreachable}'\nspool_bytes = '1'\n",
        receiver.local_addr().unwrap()
    );
    let sidecar = Sidecar::start(&config, &[]);
    let of =
        |output: &str, metric: &str| format!("oubliette_{metric}{{output=\"{output}\",required=\"false\"}}");
    let is = |value: f64| move |found: f64| (found - value).abs() < 0.5;
    let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(peer, "{}", line("one")).unwrap();
    let mut session = accepted(&receiver);
    let first = read_until(&mut session, "\n");
    assert!(first.starts_with("2 syslog ") && first.contains("id=one"), "{first}");
    session.write_all(b"2 rsp 9 500 error\n").unwrap();
    sidecar.wait_for_metric(&of("r", "output_refused_total"), is(1.0));
    // The other receiver is away: the first block is in its spool, and there is no room for the next one.
    sidecar.wait_for_metric(&of("gone", "spool_lines"), is(1.0));
    sidecar.wait_for_metric(&of("gone", "spool_bytes"), |bytes| bytes > 100.0);
    sidecar.wait_for_metric(&of("gone", "output_failures_total"), |failures| failures > 0.5);
    let waited = sidecar.wait_for_metric(&of("gone", "output_lag_seconds"), |seconds| seconds > 0.0);
    sidecar.wait_for_metric(&of("gone", "output_lag_seconds"), |seconds| seconds > waited);
    writeln!(peer, "{}", line("two")).unwrap();
    sidecar.wait_for_metric(&of("gone", "output_dropped_total"), is(1.0));
    // The receiver got the line but breaks off, so nobody knows whether it has kept it.
    assert!(read_until(&mut session, "\n").contains("id=two"));
    drop(session);
    let mut session = accepted(&receiver);
    sidecar.wait_for_metric(&of("r", "output_resent_total"), is(1.0));
    sidecar.wait_for_metric(&of("r", "output_linked"), is(1.0));
    assert!(read_until(&mut session, "\n").contains("id=two"));
    session.write_all(b"2 rsp 6 200 OK\n").unwrap();
    sidecar.wait_for_metric(&of("r", "output_delivered_total"), is(1.0));
    sidecar.wait_for_metric(&of("r", "spool_lines"), is(0.0));
    sidecar.wait_for_metric(&of("r", "output_lag_seconds"), is(0.0));
    sidecar.wait_for_metric(&of("gone", "output_linked"), is(0.0));
    drop((peer, session));
    let ended = sidecar.stop();
    assert_eq!((ended.code, ended.archived()), (Some(0), once(&["one", "two"])));
    ended.check_privacy();
}

/// A required output without room holds back only senders that can wait; datagrams still go to the archive.
#[test]
fn the_archive_goes_on_while_a_required_output_is_full() {
    // The receiver accepts connections but says nothing yet.
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[serve.metrics]\nlisten = '127.0.0.1:0'\n[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\n\
         [[serve.input]]\ntype = 'udp'\nlisten = '127.0.0.1:0'\n[[serve.output]]\ntype = 'relp'\nname = 'r'\n\
         address = '{}'\nrequired = true\nspool_bytes = '1'\n",
        receiver.local_addr().unwrap()
    );
    let sidecar = Sidecar::start(&config, &[]);
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.write_all(OPEN.as_bytes()).unwrap();
    read_until(&mut peer, "commands=syslog\n");
    peer.write_all(record(2, &line("one")).as_bytes()).unwrap();
    read_until(&mut peer, "2 rsp 6 200 OK\n");
    peer.write_all(record(3, &line("two")).as_bytes()).unwrap();
    sidecar.wait_until_archived("id=two");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    for id in ["three", "four"] {
        datagrams.send_to(line(id).as_bytes(), sidecar.address("udp")).unwrap();
        sidecar.wait_until_archived(&format!("id={id}"));
    }
    // This record may be read before or after the pause is known. Either way, it is not answered.
    peer.write_all(record(4, &line("five")).as_bytes()).unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(peer.read(&mut [0; 100]).is_err(), "a record is answered that the output does not have");
    let mut session = accepted(&receiver);
    let mut received = BTreeMap::new();
    for txnr in 2..7 {
        let text = read_until(&mut session, "\n");
        let id = text.split_once("id=").unwrap().1.split(' ').next().unwrap().to_owned();
        *received.entry(id).or_default() += 1;
        session.write_all(format!("{txnr} rsp 6 200 OK\n").as_bytes()).unwrap();
    }
    let all = once(&["one", "two", "three", "four", "five"]);
    assert_eq!(received, all);
    read_until(&mut peer, "4 rsp 6 200 OK\n");
    drop((peer, session));
    let ended = sidecar.stop();
    assert_eq!((ended.code, ended.archived()), (Some(0), all));
}

/// Accepts the next session of a RELP receiver and opens it.
fn accepted(receiver: &TcpListener) -> TcpStream {
    let (mut session, _) = receiver.accept().unwrap();
    read_until(&mut session, "commands=syslog\n");
    session.write_all(b"1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n").unwrap();
    session
}

/// While a required output has no room, nothing more is answered, and the final message says so.
#[test]
fn a_required_output_that_is_full_holds_answers_back() {
    let unreachable = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[serve.limits]\ndrain = '100ms'\n[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\n\
         [[serve.output]]\ntype = 'relp'\nname = 'r'\naddress = '{unreachable}'\nrequired = true\nspool_bytes = '1'\n"
    );
    let sidecar = Sidecar::start(&config, &[]);
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.write_all(OPEN.as_bytes()).unwrap();
    read_until(&mut peer, "commands=syslog\n");
    // An empty spool takes any block, which is durable there.
    peer.write_all(record(2, &line("one")).as_bytes()).unwrap();
    read_until(&mut peer, "2 rsp 6 200 OK\n");
    peer.write_all(record(3, &line("two")).as_bytes()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let start = Instant::now();
    let answer = peer.read(&mut [0; 100]);
    assert!(answer.is_err() && start.elapsed() >= Duration::from_secs(1), "{answer:?}");
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(2));
    assert!(ended.told.contains("O03"), "{}", ended.told);
}

#[test]
fn files_are_followed_by_one_process_with_a_state_directory() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "one");
    let input = format!("[[serve.input]]\ntype = 'file'\npath = '{}'\n", log.display());
    let sidecar = Sidecar::start(&input, &[]);
    sidecar.wait_until_archived("id=one");
    let mut second = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    second.args(["serve", "--state-dir"]).arg(sidecar.folder()).stderr(Stdio::piped());
    let mut second = second.spawn().unwrap();
    // If the second process is not refused, it keeps running.
    std::thread::sleep(Duration::from_secs(7));
    let ended = second.try_wait().unwrap();
    second.kill().unwrap();
    let told = String::from_utf8(second.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(ended.and_then(|ended| ended.code()), Some(2), "{told}");
    assert!(told.contains("error[I12]: another process follows files"), "{told}");
    assert_eq!(sidecar.stop().archived(), once(&["one"]));
}

#[test]
fn two_inputs_that_name_one_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (log, link) = (folder.path().join("app.log"), folder.path().join("link"));
    fs::write(&log, format!("{}\n", line("one"))).unwrap();
    symlink(&log, &link).unwrap();
    let input =
        |path: &std::path::Path| format!("[[serve.input]]\ntype = 'file'\npath = '{}'\n", path.display());
    let sidecar = Sidecar::start(&input(&log), &[]);
    sidecar.configure(&(sidecar.configuration() + &input(&link)));
    sidecar.hang_up();
    sidecar.wait_for("error[C06]");
    sidecar.wait_for("stay in force");
    sidecar.wait_until_archived("id=one ");
    assert_eq!(sidecar.stop().archived(), once(&["one"]));
}

#[test]
fn the_counts_tell_of_each_output_what_it_has_and_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[serve.limits]\ndrain = '500ms'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n\
         [[serve.output]]\ntype = 'file'\nname = 'copy'\npath = '{}'\n\
         [[serve.output]]\ntype = 'tcp'\nname = 'away'\naddress = '{unreachable}'\n",
        folder.path().join("copy.log").display()
    );
    let sidecar = Sidecar::start(&config, &[]);
    let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(peer, "{}\n{}", line("one"), line("two")).unwrap();
    drop(peer);
    sidecar.wait_until_archived("id=two ");
    let ended = sidecar.stop();
    let outputs = &ended.counts()["outputs"];
    for (at, name, delivered, waiting) in [(0, "copy", 2, 0), (1, "away", 0, 2)] {
        let output = &outputs[at];
        let told = (output["name"].as_str(), output["delivered"].as_u64(), output["waiting"].as_u64());
        assert_eq!(told, (Some(name), Some(delivered), Some(waiting)), "{outputs}");
        assert!(["resent", "dropped", "refused", "expired"].iter().all(|count| output[count] == 0));
    }
}

#[test]
fn a_spool_that_is_full_again_and_again_is_told_once() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[serve.limits]\ndrain = '100ms'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n\
         [[serve.output]]\ntype = 'tcp'\nname = 'slow'\naddress = '{}'\nspool_bytes = '256KiB'\n",
        receiver.local_addr().unwrap()
    );
    // The receiver reads much more slowly than lines arrive, so that there is room many times, but only for a
    // moment.
    std::thread::spawn(move || {
        let (mut stream, _) = receiver.accept().unwrap();
        let mut buffer = vec![0; 256 << 10];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let sidecar = Sidecar::start(&config, &[]);
    let mut peer = TcpStream::connect(sidecar.address("tcp")).unwrap();
    for burst in 0..150 {
        let lines: String = (0..1_000).map(|number| line(&format!("n{burst}-{number}")) + "\n").collect();
        peer.write_all(lines.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(peer);
    sidecar.wait_until_archived("id=n149-999 ");
    let ended = sidecar.stop();
    assert_eq!(ended.told.matches("lines are dropped").count(), 1, "{}", ended.told);
    assert!(ended.counts()["outputs"][0]["dropped"].as_u64().unwrap() > 0);
}
