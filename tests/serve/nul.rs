//! Senders that end each message with NUL instead of a line feed.

use crate::sidecar::{Sidecar, line};
use crate::{TCP, counted, ids, once};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

/// The handler of the standard library, which sends each message followed by NUL. The addresses stand right
/// before the ends of messages, and at the start of a line of a traceback.
const PYTHON: &str = r#"
import logging, sys
from logging.handlers import SysLogHandler
from socket import SOCK_STREAM

host, port = sys.argv[1].rsplit(":", 1)
handler = SysLogHandler(address=(host, int(port)), socktype=SOCK_STREAM)
log = logging.getLogger("app")
log.setLevel(logging.INFO)
log.addHandler(handler)
for number in range(200):
    log.info("1 - web1 app - - - id=py%d client 203.0.113.%d", number, number % 250 + 1)
try:
    raise ValueError("no such customer:\n203.0.113.9 is unknown,\njean.dupont@example.net as well")
except ValueError:
    log.exception("1 - web1 app - - - id=trace client 203.0.113.8")
log.info("1 - web1 app - - - id=last client 203.0.113.7")
handler.close()
"#;

fn run_python(address: &str) {
    let ended = Command::new("python3").args(["-c", PYTHON, address]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn each_message_of_python_is_a_line() {
    let sidecar = Sidecar::start(&format!("{TCP}trailer = 'nul'\n"), &[]);
    run_python(sidecar.address("tcp"));
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    let expected = ids("py", 200).chain(["trace".to_owned(), "last".to_owned()]);
    assert_eq!(ended.archived(), once(expected));
    let trace = ended.lines().into_iter().find(|line| line.contains("id=trace ")).unwrap();
    assert!(trace.contains("#012Traceback (most recent call last):#012  File "), "{trace}");
    assert!(trace.contains("no such customer:#012ip_") && trace.contains(" is unknown,#012"), "{trace}");
    assert!(trace.contains(" as well") && !trace.contains("jean.dupont"), "{trace}");
    assert!(!ended.lines().iter().any(|line| line.contains('\0')));
    assert!(!ended.told.contains("I13"), "{}", ended.told);
    ended.check_balance(202, 0);
    ended.check_privacy();
}

#[test]
fn with_either_trailer_senders_of_all_kinds_share_a_port() {
    let sidecar = Sidecar::start(&format!("{TCP}trailer = 'nul-or-lf'\n"), &[]);
    run_python(sidecar.address("tcp"));
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    for number in 0..100 {
        let text = line(&format!("mixed{number}"));
        let frame = [format!("{text}\n"), format!("{text}\0"), counted(&text)];
        stream.write_all(frame[number % 3].as_bytes()).unwrap();
    }
    drop(stream);
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    let python = ids("py", 200).chain(["trace".to_owned(), "last".to_owned()]);
    assert_eq!(ended.archived(), once(python.chain(ids("mixed", 100))));
    assert!(ended.lines().iter().any(|line| line.starts_with("ip_") && line.contains(" is unknown,")));
    ended.check_privacy();
}

#[test]
fn without_the_key_it_is_named_and_nothing_is_in_clear() {
    let sidecar = Sidecar::start(TCP, &[]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    stream.write_all(format!("{}\n{}\0", line("whole"), line("half")).as_bytes()).unwrap();
    // While the connection is open, because such a sender keeps it for days.
    sidecar.wait_for("trailer = \"nul\"");
    drop(stream);
    sidecar.wait_for("it ended in the middle of a frame");
    run_python(sidecar.address("tcp"));
    let ended = sidecar.stop();
    assert!(ended.told.contains("I13"), "{}", ended.told);
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    ended.check_privacy();
    let config = ended.folder().join("config.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "trailer = 'nul'\n").unwrap();
    let sidecar = ended.restart(&[]);
    run_python(sidecar.address("tcp"));
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert_eq!(ended.archived()["py199"], 1);
}
