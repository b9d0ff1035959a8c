//! A node with escrow and an archive, written by the built binary day by day.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// The first day of the archive.
const FIRST: Date = date(2026, 3, 1);

/// A node in a directory of its own.
pub(crate) struct Node(tempfile::TempDir);

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self(tempfile::tempdir().expect("a directory"));
        // It warns that identities lie on the node, with exit code 1 at most.
        let made = node.command(&["init"]).output().expect("it starts");
        assert!(made.status.code().is_some_and(|code| code < 2), "{}", text(&made.stderr));
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(arguments).arg("--state-dir").arg(self.path("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Archives what `write` writes as the lines of day `day`, received at 10:00 UTC.
    pub(crate) fn archive(&self, day: u64, write: impl FnOnce(&str, &mut dyn Write)) {
        let day = FIRST.checked_add(i64::try_from(day).expect("a day").days()).expect("a day").to_string();
        let now = format!("{day}T10:00:00Z");
        let mut command = self.command(&["filter", "--node", "web1", "--now", &now]);
        command.arg("--archive").arg(self.path("srv")).stdin(Stdio::piped());
        let mut child: Child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        write(&day, &mut stdin);
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Runs a replay with the custodian's identity.
    pub(crate) fn replay(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&["replay", "--now", "2026-12-31T10:00:00Z", "--json"]);
        command.arg("--archive").arg(self.path("srv")).arg("--identity");
        let output = command.arg(self.path("state/escrow/identity-1.txt")).args(arguments).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
