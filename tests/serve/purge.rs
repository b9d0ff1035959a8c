//! The purge inside the sidecar: what has expired goes, by itself.

use crate::sidecar::Sidecar;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

const TCP: &str = "rules = 'rules'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";

/// Lines of this program are kept for a day.
const SHORT: &str = r#"
[class.short]
description = "what is kept for a day"
keep        = "1 days"
starts      = "event"
basis       = "a test"
match       = [{ program = ["short"] }]
[[class.short.sample]]
line    = '<13>1 2026-11-23T10:00:00Z web1 short - - - id=a client 203.0.113.1'
expires = 2026-11-25
"#;

fn days(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("archive")).unwrap();
    let mut days: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    days.sort();
    days
}

#[test]
fn what_has_expired_is_purged_at_the_start() {
    let rules = |folder: &Path| {
        fs::create_dir_all(folder.join("rules/retention")).unwrap();
        fs::write(folder.join("rules/retention/short.toml"), SHORT).unwrap();
    };
    let sidecar = Sidecar::start_with(TCP, &["--now", "2026-11-23T12:00:00Z"], rules);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    for program in ["short", "sshd"] {
        writeln!(stream, "<13>1 2026-11-23T11:59:00Z web1 {program} - - - id={program} client 203.0.113.1")
            .unwrap();
    }
    drop(stream);
    let ended = sidecar.stop();
    assert_eq!(days(ended.folder()), ["expires=2026-11-25", "expires=2027-11-24"], "{}", ended.told);
    // Half a minute after the legal midnight, and less than 36 hours after the last entry of the ledger.
    let sidecar = ended.restart(&["--now", "2026-11-24T23:00:30Z"]);
    sidecar.wait_for("purged: ");
    let ended = sidecar.stop();
    let left: Vec<_> = ended.archived().into_keys().collect();
    assert_eq!(left, ["sshd"], "{}", ended.told);
}
