//! What can go wrong with segments, and how to mend it.

use super::footer::Malformed;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::{self, is_full};
use std::io;
use std::path::{Path, PathBuf};

/// Why a segment cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file or directory could not be read or written.
    #[error("cannot {action} in the archive")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A segment that the disk does not give back; others may be read.
    #[error("a segment cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A write or sync failed before: nothing more may be added.
    #[error("the segment failed before")]
    Poisoned {
        /// The segment.
        path: PathBuf,
    },
    /// A file that is no segment, or a damaged one.
    #[error("a segment is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        malformed: Malformed,
    },
    /// The segment could not be sealed, or its vault not be had.
    #[error("a segment cannot be sealed")]
    Custody(#[source] Box<Diagnostic>),
    /// zstd has no memory.
    #[error("lines cannot be compressed")]
    Compress(#[source] io::Error),
    /// A thread that compresses or writes could not be started, or has ended.
    #[error("a thread of the archive is missing")]
    Thread(#[source] io::Error),
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes")]
    Randomness,
}

impl ArchiveError {
    /// Whether a file is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let (Self::Io { source, .. } | Self::Unreadable { source, .. }) = self else { return false };
        source.kind() == io::ErrorKind::NotFound
    }

    /// Of reading a segment: of that file alone, or of all that are where it is.
    pub(super) fn reading(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if storage::is_of_one_file(&source) {
                Self::Unreadable { path: path.to_owned(), source }
            } else {
                Self::io(action, path)(source)
            }
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<ArchiveError> for Diagnostic {
    fn from(error: ArchiveError) -> Self {
        let what = error.to_string();
        match error {
            ArchiveError::Io { path, source, .. } => {
                let hint = match is_full(&source) {
                    true => "make room, then start again: nothing is purged before its day to make any",
                    false => "mend the disk or the permissions, then start again",
                };
                Self::new(&WRITE, what).at(path.display().to_string()).because(source.to_string()).hint(hint)
            }
            ArchiveError::Unreadable { path, source } => Self::new(&UNREADABLE, what)
                .at(path.display().to_string())
                .because(source.to_string())
                .hint("mend the permissions, or restore it from a copy; `oubliette explain A05` says what to try"),
            ArchiveError::Poisoned { path } => Self::new(&WRITE, what)
                .at(path.display().to_string())
                .because("a write or a sync of it failed, so nobody knows what it holds")
                .hint("start again: what is whole in it is kept"),
            ArchiveError::Damaged { path, malformed } => Self::new(&DAMAGED, what)
                .at(format!("{}, byte {}", path.display(), malformed.offset))
                .because(malformed.what)
                .hint("restore it from a copy; `zstd -t FILE` says which lines can still be read"),
            ArchiveError::Custody(diagnostic) => *diagnostic,
            ArchiveError::Compress(source) | ArchiveError::Thread(source) => {
                Self::new(&WRITE, what).because(source.to_string())
            }
            ArchiveError::Randomness => Self::new(&WRITE, what),
        }
    }
}

/// What to say while lines wait for room for the file at `path`.
#[must_use]
pub fn archive_is_full(path: &Path, why: &io::Error) -> Diagnostic {
    Diagnostic::new(&WRITE, "the disk of the archive is full: lines wait until there is room")
        .at(path.display().to_string())
        .because(why.to_string())
        .hint("make room, and it goes on by itself: nothing is purged before its day to make any")
}

/// The codes of this area.
pub const CODES: &[&Code] = &[&WRITE, &DAMAGED, &UNREADABLE];

static WRITE: Code = Code {
    id: "A01",
    title: "the archive cannot be written or read",
    text: "\
What it means
  The operating system reported an error for a file of the archive: the disk is full, the file system is
  read-only, the device failed, or permissions are missing.

Why it matters
  After a failed write or sync nobody knows what a file holds, so nothing more is added to it and nothing
  more is acknowledged. Lines that were acknowledged are safe.

Example
  oubliette filter --archive /srv/full < access.log

What to do
  Make room or mend the disk, then start again: the next start cuts a segment that was left open at its
  last whole frame and seals it. Lines that were read and not acknowledged must be sent again. A full disk
  never purges anything before its day.

  `serve` does not end when its disk gets full: it says so, takes no more lines than fit in its memory, and
  goes on when there is room. Senders wait meanwhile; datagrams are lost. Stopped then, it ends with 2.

References
  FORMAT.md; fsync(2), section ERRORS.",
};

/// A02: a file that is not what was sealed.
pub static DAMAGED: Code = Code {
    id: "A02",
    title: "a segment is damaged",
    text: "\
What it means
  A file of the archive is not what was sealed: its footer, its seek table or a frame differs from its
  digest, or the file is shorter or longer than it was.

Why it matters
  Lines may be missing or changed. A judge cannot rely on that segment.

Example
  a bit that flipped on the disk

What to do
  Keep the file, restore it from a copy, and find out who or what changed it. `zstd -t FILE` checks the
  frames, each of which has a checksum of its own; `zstdcat FILE` shows the lines before the damage.

References
  FORMAT.md, \"Footer\".",
};

/// A05: a file that the disk does not give back.
pub static UNREADABLE: Code = Code {
    id: "A05",
    title: "a segment cannot be read",
    text: "\
What it means
  The operating system does not give a file of the archive back: the disk has bad blocks there (Input/output error), the file
  system finds it damaged, or whoever runs this may not read it.

Why it matters
  Its lines are in no answer. A search gives those of all other segments, says that this one is missing, and ends with 1;
  an answer to an authority or a person must say so.

Example
  a bad block under one segment of a year

What to do
  Run it as a user who may read the archive. Look at the kernel's log and at `smartctl -a` for the disk, and copy what can
  still be read of it before anything else (`ddrescue`). Restore the file from a copy, and ask again: `oubliette verify` says
  whether it is the one that was sealed.

References
  read(2), section ERRORS; docs/replay.md.",
};
