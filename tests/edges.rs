//! The sidecar between peers that expect more than a stream of lines: RELP, a proxy, a file, outputs.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

#[path = "serve/sidecar.rs"]
#[expect(dead_code, reason = "shared with another test, which needs more of it")]
mod sidecar;

use sidecar::{Sidecar, line};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const OPEN: &str = "1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n";

fn once(ids: &[&str]) -> BTreeMap<String, usize> {
    ids.iter().map(|id| ((*id).to_owned(), 1)).collect()
}

/// A frame of RELP.
fn record(txnr: u32, text: &str) -> String {
    format!("{txnr} syslog {} {text}\n", text.len())
}

/// Reads until `end` has come.
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
        // The other end closes when it has taken everything, or refused it.
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
    let sidecar = Sidecar::start(&config, &[]).kill_and_restart();
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

/// A required output without room: nothing more is answered until there is, and the stop says so.
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
    // An empty spool takes any block; and it is durable there.
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
