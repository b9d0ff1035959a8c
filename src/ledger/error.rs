//! Errors of the ledger, with their diagnostics.

use super::verify::Fault;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::{PUT_BACK, is_no_file};
use jiff::civil::Date;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An error of writing or reading the ledger.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A file of the ledger could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An earlier write or sync failed, and the ledger has not been opened again since.
    #[error("cannot write {path} after a write that failed")]
    Poisoned {
        /// The file with the entries.
        path: PathBuf,
    },
    /// The ledger was changed.
    #[error("the ledger is not what was written")]
    Fault {
        /// The file with the entries.
        path: PathBuf,
        /// Where the fault is, and what it is.
        fault: Fault,
    },
    /// The key that must sign is missing.
    #[error("the key of the ledger for {day} is lost")]
    KeyLost {
        /// The key file.
        path: PathBuf,
        /// The day of the key.
        day: Date,
    },
    /// The legal zone has no name, or one that is not known here.
    #[error("the legal zone of the ledger is not known")]
    Zone,
}

impl From<LedgerError> for Diagnostic {
    fn from(error: LedgerError) -> Self {
        let what = error.to_string();
        match error {
            LedgerError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::new(&IO, what).because(source.to_string()).hint(
                    "the first line that is archived, or the first purge, begins one; if there was one, put it back, or name \
                     where it is",
                )
            }
            LedgerError::Io { source, .. } if is_no_file(&source) => {
                Self::new(&IO, what).because(source.to_string()).hint(PUT_BACK)
            }
            LedgerError::Io { source, .. } => Self::new(&IO, what).because(source.to_string()).hint(
                "run it as the user who owns the state directory; on a full disk make room: an entry \
                     needs half a kilobyte",
            ),
            LedgerError::Poisoned { .. } => Self::new(&IO, what)
                .because("nobody can say how much of it reached the disk")
                .hint("mend the disk and start again; the next start reads what is there"),
            LedgerError::Fault { path, fault } => Self::new(&FAULT, what)
                .at(format!("{}:{}, byte {}", path.display(), fault.line, fault.offset))
                .because(fault.kind.to_string())
                .hint("`oubliette explain L02` says what to keep and how to go on"),
            LedgerError::KeyLost { path, .. } => Self::new(&KEY_LOST, what)
                .at(path.display().to_string())
                .because("the file is missing, or holds another key than the ledger names")
                .hint("`oubliette explain L03` says how to go on"),
            LedgerError::Zone => Self::new(&ZONE, what)
                .because("it is an IANA name such as Europe/Paris")
                .hint("name one with `--zone`"),
        }
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&IO, &FAULT, &KEY_LOST, &ZONE, &NO_DAY];

static IO: Code = Code {
    id: "L01",
    title: "the ledger cannot be read or written",
    text: "\
What it means
  oubliette could not open, read, write or sync a file in `<state>/ledger`.

Why it matters
  oubliette writes down what it does to personal data before it does it. While it cannot write that
  down, it does not do it: it purges nothing and seals no segment.

Example
  oubliette purge    run by a user who may not write to the state directory

What to do
  - Permissions: run the command as the user who owns the state directory, or name another one with
    `--state-dir DIR`.
  - Disk full: make room. An entry needs half a kilobyte.

References
  docs/verify.md; GDPR art. 5(2)",
};

/// L02: the ledger was changed.
pub static FAULT: Code = Code {
    id: "L02",
    title: "the ledger is not what was written",
    text: "\
What it means
  A line of the ledger does not follow from the one before, or was not signed with the key of its
  day, or lines are missing. The message names the first such line, and the byte at which it begins.
  That line and all after it prove nothing.

Why it matters
  The ledger proves what was purged, held and handed over. A failing disk, an incomplete copy and a
  forger leave the same traces. `oubliette purge` still goes on, because expiry days do not wait. It
  ignores the ledger from that line on, adds the entry `ledger-fault`, and ends with exit code 1. It
  stops only if it can add no entry.

Example
  ledger.jsonl:17, byte 8123: the entry was not signed with the key of 2026-11-23: it was changed

What to do
  1. Compare the folder `<state>/ledger` with its backup.
  2. Move the whole folder away and keep it. Do not edit it.
  3. Start again. A new ledger begins.
  4. Note the break in your register. `oubliette verify` no longer knows the segments sealed before
     it; it counts them.

References
  docs/verify.md; GDPR art. 5(2), 33",
};

static KEY_LOST: Code = Code {
    id: "L03",
    title: "the key of the ledger is lost",
    text: "\
What it means
  The ledger says which key signs its next entry. The file of that key is missing, or holds another
  key.

Why it matters
  The signatures protect the ledger: nobody can add to it without that key. oubliette erases the key
  of a day when the day is over, so an older backup of the state directory does not have the right
  one.

Example
  a state directory put back from the backup of last night

What to do
  1. Move the whole folder `<state>/ledger` away and keep it. `oubliette ledger verify DIR` still
     checks it.
  2. Start again. A new ledger begins.
  3. Leave the keys of the ledger out of backups: they are of no use there.

References
  docs/verify.md; NIST SP 800-57 Part 1, 8.3.4",
};

static ZONE: Code = Code {
    id: "L04",
    title: "the zone of the ledger is not known",
    text: "\
What it means
  The days of the ledger are legal days, in a time zone that has a name in the IANA database. The
  zone in use has none.

Why it matters
  Anybody who checks the ledger later must know when its days began and ended.

Example
  a zone that was taken out of the IANA database

What to do
  Name a zone of the IANA database: `--zone Europe/Paris`

References
  RFC 6557; docs/retention.md",
};

/// L05: the ledger has no key for that day.
pub static NO_DAY: Code = Code {
    id: "L05",
    title: "the ledger has no key of that day",
    text: "\
What it means
  oubliette makes a key of the ledger only on a legal day on which it writes an entry. On the day
  that you named, it wrote none.

Why it matters
  Without the public key of a day, nobody can check the entries and seals of that day.

Example
  oubliette ledger show --key 2026-11-22    on a node that began on 2026-11-23

What to do
  Run `oubliette ledger show` to see the days on which it wrote entries. The first entry names the
  time zone.

References
  docs/verify.md",
};
