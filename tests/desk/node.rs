//! A node with escrow and a small archive: two days, three people, classes with and without a legal duty.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The node, in a directory of its own.
pub(crate) struct Node {
    root: tempfile::TempDir,
}

/// A day after everything that is archived.
pub(crate) const LATER: &str = "2026-11-30T10:00:00Z";

/// The period of everything that is archived.
pub(crate) const PERIOD: [&str; 4] = ["--from", "2026-11-23", "--to", "2026-11-24"];

const FIRST_DAY: &str = r#"203.0.113.7 - - [23/Nov/2026:10:00:00 +0100] "GET /mail?to=anne@example.org HTTP/1.1" 200 5
Nov 23 10:00:02 web1 sshd[1]: Failed password for root from 203.0.113.7 port 57424 ssh2
Nov 23 10:00:03 web1 sshd[1]: Failed password for root from 198.51.100.9 port 50001 ssh2
{"time":"2026-11-23T10:00:04+01:00","event":"ticket","ticket":1,"status":"open","from":"jean@example.org","ip":"203.0.113.7"}
{"time":"2026-11-23T10:00:05+01:00","event":"ticket","ticket":2,"status":"open","from":"anne@example.org","ip":"198.51.100.9"}
"#;

const SECOND_DAY: &str = r#"=1+1 203.0.113.7 a line that begins like a formula
{"time":"2026-11-24T10:00:04+01:00","event":"ticket","ticket":1,"status":"closed","from":"jean@example.org","closed_at":"2026-11-24"}
"#;

impl Node {
    /// Creates a node with everything archived.
    pub(crate) fn new() -> Self {
        let node = Self { root: tempfile::tempdir().unwrap() };
        let made = node.run(&["init"]);
        assert!(node.identity().exists(), "{}", text(&made.stderr));
        node.archive("2026-11-23T09:00:10Z", FIRST_DAY);
        node.archive("2026-11-24T09:00:10Z", SECOND_DAY);
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path("state/escrow/identity-1.txt")
    }

    pub(crate) fn archive(&self, now: &str, lines: &str) {
        drop(self.archive_with(&["--now", now], lines));
    }

    /// Archives lines with a filter that has these options. Returns its messages.
    pub(crate) fn archive_with(&self, options: &[&str], lines: &str) -> String {
        let srv = self.path("srv");
        let mut child =
            self.command(&[&["filter", "--node", "web1", "--archive", arg(&srv)], options].concat());
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--state-dir").arg(self.path("state"));
        command
    }

    /// Prepares a command without the option for the state directory.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(arguments).env_remove("OUBLIETTE_KEY_FILE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command over the archive, on a later day, as the custodian.
    pub(crate) fn desk(&self, command: &[&str], options: &[&str]) -> Output {
        let (srv, identity) = (self.path("srv"), self.identity());
        let place = ["--archive", arg(&srv), "--now", LATER, "--identity", arg(&identity)];
        self.run(&[command, &place, options].concat())
    }

    /// Returns what such a command prints; its exit code must be `exit`.
    pub(crate) fn answer(&self, command: &[&str], options: &[&str], exit: i32) -> String {
        let output = self.desk(command, options);
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Returns the events of the ledger and their details.
    pub(crate) fn ledger(&self) -> Vec<(String, serde_json::Value)> {
        let shown = self.run(&["ledger", "show", "--json", "--now", LATER]);
        let entry = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let entries = text(&shown.stdout).lines().map(entry).collect::<Vec<_>>();
        entries
            .into_iter()
            .map(|entry| (entry["event"].as_str().unwrap().to_owned(), entry["about"].clone()))
            .collect()
    }

    /// Checks that the whole archive and the ledger are as they were sealed, and that the ledger names
    /// nobody.
    pub(crate) fn verify(&self) {
        let srv = self.path("srv");
        let output = self.run(&["verify", arg(&srv), "--now", LATER]);
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        let ledger = std::fs::read_to_string(self.path("state/ledger/ledger.jsonl")).unwrap();
        for telling in ["203.0.113.7", "198.51.100.9", "example.org"] {
            assert!(!ledger.contains(telling), "{telling}");
        }
    }
}

pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
