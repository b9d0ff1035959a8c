//! Canaries: identifiers planted in every notation, then searched for in every byte that is written.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

mod program;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Creates a state directory with a key file.
fn place() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut key =
        options.write(true).create_new(true).mode(0o600).open(directory.path().join("key")).unwrap();
    key.write_all(&[9; 32]).unwrap();
    directory
}

fn oubliette(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut oubliette = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    oubliette.args(arguments).arg("--state-dir").arg(directory.join("state"));
    program::fed(oubliette.env_remove("OUBLIETTE_KEY_FILE").env("TMPDIR", directory), input)
}

/// Returns all files below `directory` with their contents.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Parts of the planted identifiers that must not be found anywhere, in lower case.
const TELLING: [&str; 10] = [
    "203.0.113.77",
    "203-0-113-77",
    "77.113.0.203",
    "cb00714d",
    "198.51.100.177",
    "feed:beef",
    "canary.local",
    "canary.mail",
    "secretuser",
    "%2e113",
];

fn planted() -> String {
    let identifiers = [
        "203.0.113.77",
        "203.0.113.77:443",
        "[::ffff:203.0.113.77]:22",
        "::ffff:cb00:714d",
        "203%2E0%2E113%2E77",
        "203\\u002e0\\u002e113\\u002e77",
        "203-0-113-77.dyn.example.net",
        "77.113.0.203.in-addr.arpa",
        "77.113.0.203.pool.isp.example",
        "ip-cb00714d.isp",
        "2001:db8::feed:beef",
        "2001:DB8::FEED:BEEF",
        "[2001:db8:0:0:0:0:feed:beef]:443",
        "2001%3Adb8%3A%3Afeed%3Abeef",
        "2002:cb00:714d::feed:beef",
        "64:ff9b::198.51.100.177",
        "canary.local@canary.mail.example",
        "Canary.Local%40canary.mail.example",
        "canary.local\\u0040canary.mail.example",
        "canary.local%2540canary.mail.example",
        "<SRS0=ab=cd=canary.mail.example=canary.local@fwd.example>",
        "bounce+canary.local=canary.mail.example@l.example",
        "\"canary.local\"@canary.mail.example",
    ];
    let mut log = String::new();
    for identifier in identifiers {
        for (before, after) in [
            ("Nov 23 10:00:00 host sshd[1]: Invalid user secretuser from ", " port 22"),
            ("<34>1 2026-11-23T10:00:00Z ", " app - - - hello"),
            ("<34>1 2026-11-23T10:00:00Z host app - - [a@1 ip=\"", "\"] hello"),
            ("{\"time\":\"2026-11-23T10:00:00Z\",\"a\":{\"b\":[\"", "\"]}}"),
            ("{\"msg\":\"{\\\"ip\\\":\\\"", "\\\"}\"}"),
            ("192.0.2.1 - - [23/Nov/2026:10:00:00 +0100] \"GET /?x=", "&y=1 HTTP/1.1\" 200 5 \"-\" \"-\""),
            ("a=b c=", " d=e"),
            ("CEF:0|v|p|1|2|n|3|src=", " dst=192.0.2.2"),
            ("", ""),
            ("\u{1b}[31m", "\u{1b}[0m"),
            ("text,", ",text"),
        ] {
            log.push_str(&format!("{before}{identifier}{after}\n"));
        }
    }
    log
}

fn assert_no_canary(name: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    for telling in TELLING {
        let line = text.lines().find(|line| line.contains(telling));
        assert_eq!(line, None, "{telling} in {name}");
    }
}

#[test]
fn no_canary_in_any_byte_that_is_written() {
    let directory = place();
    let key = directory.path().join("key");
    let mut log = planted();
    // A line that is too long goes to quarantine, where it is sealed.
    log.push_str(&"203.0.113.77 canary.local@canary.mail.example ".repeat(40));
    let output_file = directory.path().join("out.log");
    for extra in [
        &["--also", "usr,host,mac,tel"][..],
        &["--also", "usr", "--token-shape", "address"],
        &["--also", "usr", "--tag", "none"],
    ] {
        let mut arguments = vec![
            "filter",
            "--max-line-bytes",
            "1000",
            "--stats",
            "json",
            "--key-file",
            key.to_str().unwrap(),
        ];
        arguments.extend(extra);
        let output = oubliette(directory.path(), &arguments, log.as_bytes());
        assert_eq!(output.status.code(), Some(1), "one line was quarantined");
        assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count() + 1, log.lines().count());
        assert_no_canary("stdout", &output.stdout);
        assert_no_canary("stderr", &output.stderr);
        std::fs::write(&output_file, &output.stdout).unwrap();
    }
    let written = files(directory.path());
    assert!(written.iter().any(|(name, _)| name.contains("quarantine/qr_")), "nothing was sealed");
    for (name, bytes) in written {
        assert_no_canary(&name, &bytes);
    }
}

/// Neither in the lines, once decompressed, nor in the index, the vault, the ledger or the shred keys.
#[test]
fn no_canary_in_any_byte_of_an_archive() {
    let directory = place();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, tree) = (path("key"), path("tree"));
    let mut log = planted();
    log.push_str(&"203.0.113.77 canary.local@canary.mail.example ".repeat(40));
    let now = "2026-11-23T09:30:00Z";
    let arguments =
        ["filter", "--also", "usr", "--max-line-bytes", "1000", "--key-file", &key, "--archive", &tree];
    let output = oubliette(directory.path(), &[&arguments[..], &["--now", now]].concat(), log.as_bytes());
    assert_eq!(output.status.code(), Some(1), "one line was quarantined");
    assert_eq!(output.stdout, b"");
    assert_no_canary("stderr", &output.stderr);
    let (mut lines, mut vaults) = (0, 0);
    for (name, bytes) in files(directory.path()) {
        assert_no_canary(&name, &bytes);
        // The canonical bytes of identifiers, in the form that a vault stores.
        for canonical in [&[4, 203, 0, 113, 77][..], b"canary.local", b"secretuser"] {
            assert!(!bytes.windows(canonical.len()).any(|window| window == canonical), "{name}");
        }
        if name.ends_with(".log.zst") {
            let text = zstd::decode_all(&bytes[..]).unwrap();
            assert_no_canary(&name, &text);
            lines += text.iter().filter(|&&byte| byte == b'\n').count();
        }
        vaults += usize::from(name.ends_with(".vault"));
    }
    assert_eq!(lines, log.lines().count());
    assert!(vaults > 0);
}

#[test]
fn a_key_that_is_no_secret_is_refused_and_nothing_is_printed() {
    for (bytes, mode, code) in
        [(vec![9; 32], 0o644, "K02"), (vec![9; 31], 0o600, "K03"), (vec![0; 32], 0o600, "K04")]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode).open(&path).unwrap().write_all(&bytes).unwrap();
        let output =
            oubliette(directory.path(), &["filter", "--key-file", path.to_str().unwrap()], b"203.0.113.77\n");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, b"");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(&format!("error[{code}]")) && message.contains("hint:"), "{message}");
        assert_no_canary("stderr", message.as_bytes());
    }
}

#[test]
fn a_rule_file_that_does_not_load_stops_everything() {
    let directory = place();
    let rules = directory.path().join("rules/identifiers");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join("bad.toml"), "[[rule]]\nid = \"x\"\nnonsense = 1\n").unwrap();
    let rules = directory.path().join("rules");
    let key = directory.path().join("key");
    let arguments = ["filter", "--rules", rules.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
    let output = oubliette(directory.path(), &arguments, b"203.0.113.77\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"));
}
