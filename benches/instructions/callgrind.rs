//! Counts the instructions of a run of the filter, with callgrind.
//!
//! Only instructions in the program's own file count. Of the static program those of its C library are some;
//! that of a machine does not count, for its `memcpy` differs from processor to processor and from release to
//! release. What remains differs from run to run by some tens of
//! instructions in a hundred million, because of hash seeds and thread hand-over.
//!
//! Those of SHA-256 are counted separately. valgrind does not support the SHA instructions, so it runs the
//! portable code, which is twenty times as long; in one sum that would hide the rest. Similarly, valgrind
//! before 3.26 does not support AVX-512, and the filter takes its AVX2 path there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Instructions of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Count {
    /// All except those of SHA-256.
    pub(crate) work: u64,
    /// Those of the `sha2` crate.
    pub(crate) sha256: u64,
}

impl Count {
    /// Subtracts the instructions of an idle run.
    pub(crate) fn less(self, idle: Self) -> Self {
        Self { work: self.work.saturating_sub(idle.work), sha256: self.sha256.saturating_sub(idle.sha256) }
    }
}

/// Returns the version of valgrind; `None` if there is none.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The program, and a directory with its key.
pub(crate) struct Setup {
    program: PathBuf,
    directory: tempfile::TempDir,
}

impl Setup {
    /// Sets up `program`.
    ///
    /// # Errors
    /// There is no such program, or the key could not be written.
    pub(crate) fn new(program: &Path) -> io::Result<Self> {
        // callgrind names objects by their absolute path.
        let program = program
            .canonicalize()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let directory = tempfile::tempdir()?;
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(directory.path().join("key"))?
            .write_all(&[7; 32])?;
        Ok(Self { program, directory })
    }

    /// Counts the instructions of the filter over `log`, with one worker and a fixed key and clock.
    ///
    /// # Errors
    /// It could not be run, or failed.
    pub(crate) fn count(&self, log: &[u8]) -> io::Result<Count> {
        let [key, input, report] = ["key", "log", "report"].map(|name| self.directory.path().join(name));
        fs::write(&input, log)?;
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--tool=callgrind", "--dump-line=no", "--compress-strings=no"]);
        command.arg(format!("--callgrind-out-file={}", report.display())).arg(&self.program);
        command.args(["filter", "--workers", "1", "--now", "2026-11-23T12:00:00Z", "--key-file"]).arg(key);
        command.arg("--state-dir").arg(self.directory.path());
        let output =
            command.stdin(fs::File::open(&input)?).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            let talk = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("valgrind: {}\n{talk}", output.status)));
        }
        let count = sum(&fs::read_to_string(&report)?, &self.program.to_string_lossy());
        if count.work == 0 {
            return Err(io::Error::other("callgrind has seen no instruction of the program"));
        }
        Ok(count)
    }
}

/// Sums the self cost of all functions of `object` in callgrind's output format.
fn sum(report: &str, object: &str) -> Count {
    let mut count = Count::default();
    let (mut ours, mut hashes, mut call) = (false, false, false);
    for line in report.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            ours = name == object;
        } else if let Some(name) = line.strip_prefix("fn=") {
            hashes = name.contains("sha2::");
        } else if line.starts_with("calls=") {
            call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line after `calls=` is the cost of the callee, which has its own entry.
            let cost: u64 = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            match std::mem::take(&mut call) || !ours {
                true => {}
                false if hashes => count.sha256 += cost,
                false => count.work += cost,
            }
        }
    }
    count
}
