//! Errors of shred keys, with their diagnostics.

use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::{PUT_BACK, is_no_file};
use jiff::civil::Date;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a shred key is not available.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShredError {
    /// A file could not be read or written.
    #[error("cannot {action} a shred key")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The expiry day is over.
    #[error("the expiry day {day} is over: it has no shred key any more")]
    Expired {
        /// The expiry day.
        day: Date,
    },
}

impl ShredError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<ShredError> for Diagnostic {
    fn from(error: ShredError) -> Self {
        let what = error.to_string();
        match error {
            ShredError::Io { path, source, .. } if is_no_file(&source) => {
                Self::new(&IO, what).at_path(path, source).hint(PUT_BACK)
            }
            ShredError::Io { path, source, .. } => Self::new(&IO, what)
                .at_path(path, source)
                .hint("run it as the user who owns the state directory; on a full disk make room first"),
            ShredError::Expired { .. } => Self::new(&EXPIRED, what)
                .because("its lines were purged, and by the clock it has not come yet")
                .hint("check the clock of this machine; `oubliette ledger show` says when the purge was"),
        }
    }
}

pub(super) fn lost(key: &Path) -> Diagnostic {
    Diagnostic::new(&LOST, "a shred key is lost, and another one was made")
        .at(key.display().to_string())
        .because("the ledger says that it was made and not that it was erased, and it is not there")
        .hint("nobody can reveal the originals archived for that day so far; `oubliette explain S03` says what to do if the key is found again")
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&IO, &EXPIRED, &LOST];

/// S01: a key that cannot be read or written.
pub static IO: Code = Code {
    id: "S01",
    title: "a shred key cannot be read or written",
    text: "\
What it means
  oubliette could not open, read, write, sync or erase a file in `<state>/shred`.

Why it matters
  The originals of lines are encrypted under the shred key of their expiry day. Without that key,
  oubliette can archive nothing for that day. If it cannot erase the key on that day, the originals
  stay readable when they must be gone.

Example
  a state directory on a file system that became read-only

What to do
  1. Repair the disk or the permissions.
  2. Run the command again. It goes on where it stopped.

References
  docs/purge.md; NIST SP 800-88r1, cryptographic erase",
};

static EXPIRED: Code = Code {
    id: "S02",
    title: "an expiry day was purged, though the clock says that it has not come",
    text: "\
What it means
  A line with this expiry day came. The ledger says that the lines of that day were purged, but by
  the clock the day has not come yet. So the clock is wrong now, or it was wrong when
  `oubliette purge` ran. The filter stopped: it neither archived the line nor dropped it.

Why it matters
  If the day is over, archiving the line would keep it too long. If it is not, dropping the line
  would lose it.

Example
  a clock that went back by a month while the machine was off

What to do
  1. Compare the clock with another one, and set it. `oubliette ledger show` says when the purge
     was.
  2. Start the filter again. Lines that come after their day by a correct clock stop nothing:
     oubliette drops and counts them.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};

static LOST: Code = Code {
    id: "S03",
    title: "a shred key is lost",
    text: "\
What it means
  The ledger says that the shred key of an expiry day was made and not erased. But its file in
  `<state>/shred` is missing. The filter made another key and goes on, so that no line is lost. The
  ledger records this as `shred-key-lost`.

Why it matters
  Only the lost key opens the vaults that were written for that day before. Without it, nobody can
  reveal their originals. You can still search and read the lines. Vaults that are written from now
  on open with the new key.

Example
  rm /var/lib/oubliette/shred/2027-11-24

What to do
  1. Find out who or what removed the key.
  2. Run `oubliette verify`: it names every vault that no longer opens, and so shows whether other
     keys are missing.
  3. If you find the old key, leave the new one where it is. Put the old one into a folder of its
     own, and name that folder in searches with `--shred-keys DIR`. Erase it yourself when its day
     is over: `purge` does not know it.
  4. If it is lost for good, tell the data protection officer: it is a loss of availability of
     personal data.

References
  docs/purge.md; GDPR art. 4(12), 32(1)(b), 33",
};
