//! Errors of vaults, with their diagnostics.

use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage;
use std::io;
use std::path::{Path, PathBuf};

/// Why a vault cannot be written or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A file or directory could not be read or written.
    #[error("cannot {action}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The disk cannot return this vault; other vaults may be readable.
    #[error("a vault cannot be read")]
    Unreadable {
        /// The vault file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An earlier write or sync failed, so nothing more may be added.
    #[error("the vault failed before")]
    Poisoned {
        /// The vault file.
        path: PathBuf,
    },
    /// The file is not a vault, or is a damaged one.
    #[error("a vault is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The part of the file that is damaged.
        what: &'static str,
        /// Offset of that part.
        offset: u64,
        /// Bytes of the file whose originals cannot be recovered, if known.
        lost: Option<u64>,
    },
    /// The keys are not those of this vault.
    #[error("a vault does not open")]
    WrongKey {
        /// The vault file.
        path: PathBuf,
    },
}

impl VaultError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Wraps an error from reading a vault: [`Self::Unreadable`] if it concerns that file alone, [`Self::Io`]
    /// if it concerns the whole storage.
    pub(super) fn reading(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if storage::is_of_one_file(&source) {
                Self::Unreadable { path: path.to_owned(), source }
            } else {
                Self::io(action, path)(source)
            }
        }
    }

    pub(super) fn damaged(path: &Path, what: &'static str, offset: u64) -> Self {
        Self::Damaged { path: path.to_owned(), what, offset, lost: None }
    }
}

impl From<VaultError> for Diagnostic {
    fn from(error: VaultError) -> Self {
        let what = error.to_string();
        match error {
            VaultError::Io { path, source, .. } => Self::new(&WRITE, what)
                .at_path(path, source)
                .hint("mend the disk or the permissions, then start again"),
            VaultError::Unreadable { path, source } => Self::new(&UNREADABLE, what)
                .at_path(path, source)
                .hint("mend the permissions, or restore it from a copy; `oubliette explain V04` says what to try"),
            VaultError::Poisoned { path } => Self::new(&WRITE, what)
                .at(path.display().to_string())
                .because("a write or a sync of it failed, so nobody knows what it holds")
                .hint("start again: its whole records are kept"),
            VaultError::Damaged { path, what: part, offset, lost } => Self::new(&DAMAGED, what)
                .at(format!("{}, byte {offset}", path.display()))
                .because(match lost {
                    None => format!("{part} is not as it was written"),
                    Some(0) => format!("{part} is not as it was written; nothing of what stands in it is lost"),
                    Some(bytes) => format!("{part} is not as it was written; {bytes} bytes of records are lost"),
                })
                .hint("restore it from a copy: without one, the originals in the damaged part are lost"),
            VaultError::WrongKey { path } => Self::new(&KEY, what)
                .at(path.display().to_string())
                .because("the epoch secret or the shred key is not the one it was written under")
                .hint("use the shred key of its expiry day, and an identity of that epoch's recipients"),
        }
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&WRITE, &DAMAGED, &KEY, &UNREADABLE];

static WRITE: Code = Code {
    id: "V01",
    title: "a vault cannot be written or read",
    text: "\
What it means
  The operating system reported an error for a file of the vault: the disk is full, the file system
  is read-only, the device failed, or permissions are missing.

Why it matters
  The original of a token must be durable before the line that holds the token. So oubliette
  archives no line either.

Example
  oubliette filter --archive /srv/log --vault /mnt/read-only

What to do
  1. Make room, or repair the disk or the permissions.
  2. Start oubliette again.

References
  ARCHITECTURE.md, \"Vault\"; fsync(2), section ERRORS.",
};

/// V02: a file that is not as it was written.
pub static DAMAGED: Code = Code {
    id: "V02",
    title: "a vault is damaged",
    text: "\
What it means
  A file of the vault is not as it was written. The message says how many bytes are damaged, if any.

Why it matters
  Nobody can reveal the originals in the damaged part any more, not even for a lawful request. All
  others can still be revealed, also those behind the damage.

Example
  a bit that flipped on the disk

What to do
  Restore the file from a copy. A copy opens as the original does, as long as the shred key of the
  day exists.

References
  src/vault/FORMAT.md.",
};

/// V03: keys of another vault.
pub static KEY: Code = Code {
    id: "V03",
    title: "a vault does not open",
    text: "\
What it means
  Two keys open a vault: the epoch secret, which the custodian's identity unwraps, and the shred key
  of the expiry day, which is on the node. One of them is not the right one.

Why it matters
  A vault exists so that nobody can open it alone.

Example
  a vault copied from another node, with this node's shred keys

What to do
  Open the vault on the node that wrote it, or with that node's shred key of the day.

References
  ARCHITECTURE.md, \"Vault\".",
};

/// V04: a file that the disk cannot return.
pub static UNREADABLE: Code = Code {
    id: "V04",
    title: "a vault cannot be read",
    text: "\
What it means
  The operating system cannot read a vault: the disk has bad blocks there (Input/output error), the
  file system is damaged, or the user who runs this command may not read the file.

Why it matters
  oubliette cannot reveal the originals of that segment. It gives its lines with tokens, and
  everything else in full. The command says what is missing, and ends with exit code 1.

Example
  vaults of a service, read by another user

What to do
  1. Run the command as the user who owns the vaults, or as root.
  2. If it still fails, copy what can still be read of the disk (`ddrescue`), before anything else.
     Look at the kernel's log and at `smartctl -a`.
  3. Restore the vault from a copy. It opens as the original does, as long as the shred key of the
     day exists.

References
  read(2), section ERRORS; docs/replay.md.",
};
