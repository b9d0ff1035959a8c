//! Errors of segments, with their diagnostics.

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
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The disk cannot return this segment; other segments may be readable.
    #[error("a segment cannot be read")]
    Unreadable {
        /// The segment file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An earlier write or sync failed, so nothing more may be added.
    #[error("the segment failed before")]
    Poisoned {
        /// The segment file.
        path: PathBuf,
    },
    /// The file is not a segment, or is a damaged one.
    #[error("a segment is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        malformed: Malformed,
    },
    /// The segment could not be sealed, or its vault could not be obtained.
    #[error("a segment cannot be sealed")]
    Custody(#[source] Box<Diagnostic>),
    /// zstd could not allocate memory.
    #[error("lines cannot be compressed")]
    Compress(#[source] io::Error),
    /// A thread that compresses or writes could not be started, or has ended.
    #[error("a thread of the archive is missing")]
    Thread(#[source] io::Error),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Randomness,
}

impl ArchiveError {
    /// Returns whether the error says that a file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let (Self::Io { source, .. } | Self::Unreadable { source, .. }) = self else { return false };
        source.kind() == io::ErrorKind::NotFound
    }

    /// Wraps an error from reading a segment: [`Self::Unreadable`] if it concerns that file alone,
    /// [`Self::Io`] if it concerns the whole storage.
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
                Self::new(&WRITE, what).at_path(path, source).hint(hint)
            }
            ArchiveError::Unreadable { path, source } => Self::new(&UNREADABLE, what)
                .at_path(path, source)
                .hint("mend the permissions, or restore it from a copy; `oubliette explain A05` says what to try"),
            ArchiveError::Poisoned { path } => Self::new(&WRITE, what)
                .at(path.display().to_string())
                .because("a write or a sync of it failed, so nobody knows what it holds")
                .hint("start again: its whole frames are kept"),
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

/// Returns the warning shown while lines wait for room on the disk of `path`.
#[must_use]
pub fn archive_is_full(path: &Path, why: &io::Error) -> Diagnostic {
    Diagnostic::new(&WRITE, "the disk of the archive is full: lines wait until there is room")
        .at_path(path, why)
        .hint("make room, and it goes on by itself: nothing is purged before its day to make any")
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&WRITE, &DAMAGED, &UNREADABLE];

static WRITE: Code = Code {
    id: "A01",
    title: "the archive cannot be written or read",
    text: "\
What it means
  The operating system reported an error for a file of the archive: the disk is full, the file
  system is read-only, the device failed, or permissions are missing.

Why it matters
  After a failed write or sync, nobody knows what a file holds. So oubliette adds nothing to it and
  acknowledges no more lines. Lines that it has acknowledged are safe.

  When its disk is full, `serve` does not end. It reports it, takes only as many lines as fit in its
  memory, and goes on when there is room. Meanwhile, senders wait, and datagrams are lost. If you
  stop `serve` in that state, it says how many lines it had read and not written, and ends with exit
  code 2. A full disk never makes oubliette purge anything before its day.

Example
  oubliette filter --archive /srv/full < access.log

What to do
  1. Make room, or repair the disk.
  2. Start oubliette again, unless `serve` still runs. The next start cuts an open segment at its
     last whole frame and seals it.
  3. Send the lines again that oubliette had not acknowledged. Where lines of several classes or days
     were mixed, some of the last may be stored already. On the same day such doubles are equal byte
     for byte: `oubliette replay --from INSTANT | sort | uniq -d` shows them.

References
  FORMAT.md; fsync(2), section ERRORS.",
};

/// A02: a file that is not as it was sealed.
pub static DAMAGED: Code = Code {
    id: "A02",
    title: "a segment is damaged",
    text: "\
What it means
  A file of the archive is not as it was sealed: its footer, its seek table or a frame differs from
  its digest, or the file is shorter or longer than it was.

Why it matters
  Lines may be missing or changed. A judge cannot rely on that segment.

Example
  a bit that flipped on the disk

What to do
  1. Keep the damaged file. `zstdcat FILE` shows the lines before the damage; `zstd -t FILE` checks
     the frames, each of which has its own checksum.
  2. Restore the file from a copy.
  3. Find out who or what changed it.

References
  FORMAT.md, \"Footer\".",
};

/// A05: a file that the disk cannot return.
pub static UNREADABLE: Code = Code {
    id: "A05",
    title: "a segment cannot be read",
    text: "\
What it means
  The operating system cannot read a file of the archive: the disk has bad blocks there
  (Input/output error), the file system is damaged, or the user who runs this command may not read
  the file.

Why it matters
  No answer contains the lines of that segment. A search gives the lines of all other segments,
  names the missing one, and ends with exit code 1. Your answer to an authority or a person must say
  so.

Example
  a bad block under one segment of a year

What to do
  1. Run the command as a user who may read the archive.
  2. If it still fails, copy what can still be read of the disk (`ddrescue`), before anything else.
     Look at the kernel's log and at `smartctl -a`.
  3. Restore the file from a copy. `oubliette verify` says whether it is the one that was sealed.
  4. Search again.

References
  read(2), section ERRORS; docs/replay.md.",
};
