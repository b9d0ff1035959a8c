//! What can go wrong with shred keys, and how to mend it.

use crate::primitives::diag::{Code, Diagnostic};
use jiff::civil::Date;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a shred key is not to be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShredError {
    /// A file could not be read or written.
    #[error("cannot {action} a shred key")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The day is over.
    #[error("the expiry day {day} is over: it has no shred key any more")]
    Expired {
        /// The day.
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
            ShredError::Io { path, source, .. } => Self::new(&IO, what)
                .at(path.display().to_string())
                .because(source.to_string())
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
        .hint("what was archived for that day so far opens for nobody; `oubliette explain S03` says what to do if the key is found again")
}

/// All codes of this area.
pub const CODES: &[&Code] = &[&IO, &EXPIRED, &LOST];

/// S01: a key that cannot be had.
pub static IO: Code = Code {
    id: "S01",
    title: "a shred key cannot be read or written",
    text: "\
What it means
  A file in `<state>/shred` could not be opened, read, written, made durable or erased.

Why it matters
  What a token stands for is encrypted under the shred key of its expiry day. Without the key nothing can
  be archived for that day; and a key that cannot be erased keeps alive what must be gone.

Example
  a state directory on a file system that became read-only

What to do
  Mend the disk or the permissions, then run the command again: it goes on where it stopped.

References
  docs/purge.md; NIST SP 800-88r1, cryptographic erase",
};

static EXPIRED: Code = Code {
    id: "S02",
    title: "an expiry day is over",
    text: "\
What it means
  The lines of that expiry day were purged, and by the clock the day has not come yet. So the clock is wrong
  now, or it was when `oubliette purge` ran. A line for that day came, and the filter stopped: it neither
  archives the line nor drops it.

Why it matters
  A line that is stored after its day is one kept too long; one that is dropped before it is lost.

Example
  a clock that went back by a month while the machine was off

What to do
  Set the clock. `oubliette ledger show` says when the purge was. Lines that come after their day by a clock
  that is right stop nothing: they are dropped and counted.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};

static LOST: Code = Code {
    id: "S03",
    title: "a shred key is lost",
    text: "\
What it means
  The ledger says that the shred key of an expiry day was made and not that it was erased, and its file in `<state>/shred` is
  not there. So that no line is lost, the filter made another key and goes on. The ledger keeps that: `shred-key-lost`.

Why it matters
  What was archived for that day before opens with the key that is lost, and with nothing else: nobody can give its
  originals back. Lines can still be searched and read. What comes now opens with the new key.

Example
  rm /var/lib/oubliette/shred/2027-11-24

What to do
  Find out who or what removed it, and whether other keys are missing: `oubliette verify` names every vault that does not
  open any more. If the file turns up, leave the new one where it is, put the old one into a folder of its own, and name
  that with --shred-keys DIR in searches; erase it when its day is over, for `purge` does not know it. If it is lost for
  good, it is a loss of availability of personal data: tell the data protection officer.

References
  docs/purge.md; GDPR art. 4(12), 32(1)(b), 33",
};
