//! Storage as an argument: the operations that an archive needs from a disk, and no more.
//!
//! [`Disk`] is the real one. [`Memory`] keeps files in memory, counts operations, fails or freezes at a
//! chosen one, and knows which bytes and names would survive a power cut: the crash tests run on it.
//!
//! # Assumptions about the medium
//! - Synced bytes stay, under names whose directory was synced.
//! - Of bytes appended since the last sync, a power cut keeps any part, from none to all, possibly damaged.
//!   It never changes bytes that were synced.
//! - A rename is all or nothing. Until its directory is synced, a power cut may undo it.
//! - After a failed sync, nothing is known about the file: it must not be written again.

mod disk;
mod memory;
mod patient;
mod reserve;
#[cfg(feature = "s3")]
mod s3;
mod scheme;
mod sequential;
#[cfg(feature = "s3")]
mod versions;

pub use disk::{Disk, hand_over, open_file, read_file};
pub use memory::{Fault, Memory, Survives};
pub use patient::{DiskEvent, Patience, Patient};
pub use reserve::Reserve;
#[cfg(feature = "s3")]
pub use s3::{Marks, Probe, S3};
pub use scheme::{KNOWS_OBJECTS, Seen, everywhere, is_remote};
pub use sequential::Sequential;

use rustix::io::Errno;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// Returns whether an error concerns only the file being read, so that others may still be readable.
///
/// That is so if the file does not exist, may not be read, cannot be read at all, or the disk cannot return
/// it. It is not so if a store is unavailable or the process is out of file descriptors.
#[must_use]
pub fn is_of_one_file(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied, StaleNetworkFileHandle, UnexpectedEof};
    let of_file = [IsADirectory, NotFound, PermissionDenied, StaleNetworkFileHandle, UnexpectedEof];
    let of_disk = |code| BAD_FILE.iter().any(|bad| bad.raw_os_error() == code);
    of_file.contains(&error.kind()) || error.raw_os_error().is_some_and(of_disk)
}

/// Returns whether an error says that the disk is full, or the quota of its user.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns the error for what lies in the place of a file and is none, such as a pipe or a directory.
#[must_use]
pub fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a pipe, a directory or a device lies in its place")
}

/// Returns whether an error is [`no_file`].
#[must_use]
pub fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

/// How to mend [`no_file`].
pub const PUT_BACK: &str = "move away what lies there, and put the file back in its place";

/// Returns the directory that holds `path`; for a bare name, the working directory.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes [`io::ErrorKind::NotFound`] for an answer: what `done` needed is not there.
///
/// # Errors
/// Any other error of `done`.
pub fn if_there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// Returns whether `path` still is a name of this open file. Another process may have removed or renamed the
/// file since it was opened, and made another one there.
///
/// # Errors
/// If that cannot be determined.
pub fn is_still_at(storage: &dyn Storage, path: &Path, file: &dyn Stored) -> io::Result<bool> {
    if !storage.exists(path)? {
        return Ok(false);
    }
    // In a storage whose files have no identity, nobody else sees an unfinished file.
    let Some(ours) = file.names()? else { return Ok(true) };
    let Some(there) = if_there(storage.open(path))? else { return Ok(false) };
    Ok(there.names()?.is_some_and(|names| names.file == ours.file))
}

/// Errors of the kernel for a file with bad blocks and for a socket, and of ext4, XFS and Btrfs for a file
/// that fails their own checks.
const BAD_FILE: [Errno; 4] = [Errno::IO, Errno::NXIO, Errno::UCLEAN, Errno::BADMSG];

/// A directory tree. All paths are absolute or all relative to one place.
pub trait Storage: Debug + Send + Sync {
    /// Creates a directory and its parents with permission bits `mode`, and makes their names durable. Leaves
    /// an existing directory as it is.
    ///
    /// # Errors
    /// Those of the operating system; likewise below.
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Creates a file, which must not exist. Its name is durable after [`Storage::sync_directory`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Stored>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>>;

    /// Opens a file for reading, appending and truncating.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>>;

    /// Returns whether the path exists.
    ///
    /// # Errors
    /// If that cannot be determined.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file within its directory, replacing any file of the new name.
    ///
    /// # Errors
    /// The old name is still valid then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the content of a file durable and renames it within its directory; the new name must be free. If
    /// two processes try at once, one succeeds.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the new name is taken; the old name is still valid then.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Overwrites a file with as many zeros as it has bytes, durably, through the same inode.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none. After other errors, parts of it may be overwritten.
    fn overwrite(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory; if the path is a link to one, removes the link.
    ///
    /// # Errors
    /// If it is not empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Nothing is known about the names then.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name; empty if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn list(&self, path: &Path) -> io::Result<Vec<Listed>>;
}

/// An open file.
pub trait Stored: Debug + Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Some of them may have been appended.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content of the file durable.
    ///
    /// # Errors
    /// Nothing is known about the file then.
    fn sync(&mut self) -> io::Result<()>;

    /// Truncates the file to `length` bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are too few.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Returns the identity of the file and its number of names, if the storage allows several names.
    ///
    /// # Errors
    /// Those of the operating system.
    fn names(&self) -> io::Result<Option<Names>> {
        Ok(None)
    }

    /// Returns whether this is a file, and not a pipe, a directory or a device in the place of one.
    ///
    /// # Errors
    /// Those of the operating system.
    fn is_file(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns the SHA-256 of the whole file if it was recorded when the file was stored; reads nothing else.
    ///
    /// # Errors
    /// Those of the storage.
    fn recorded_sha256(&self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }

    /// Takes the lock of the file, which is held until the file is closed; returns false if another process
    /// or handle has it.
    ///
    /// # Errors
    /// If there are no locks.
    fn try_lock(&mut self) -> io::Result<bool>;
}

/// Identity of a file and its number of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// Device and inode.
    pub file: (u64, u64),
    /// Number of hard links.
    pub count: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name. Anything that is not UTF-8 is replaced by U+FFFD, which occurs in no name of ours.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a directory, or a symbolic link to one.
    pub directory: bool,
    /// Whether it is a symbolic link, so that its content lies elsewhere.
    pub link: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_file_and_of_all() {
        let of_system = |error: Errno| io::Error::from_raw_os_error(error.raw_os_error());
        for error in
            [Errno::IO, Errno::NXIO, Errno::UCLEAN, Errno::BADMSG, Errno::ACCESS, Errno::STALE, Errno::ISDIR]
        {
            assert!(is_of_one_file(&of_system(error)), "{error}");
        }
        for error in [Errno::MFILE, Errno::NOMEM, Errno::NOTCONN, Errno::TIMEDOUT, Errno::NOSPC] {
            assert!(!is_of_one_file(&of_system(error)), "{error}");
        }
        assert!(!is_of_one_file(&io::ErrorKind::ConnectionAborted.into()), "object storage that is away");
    }

    #[test]
    fn a_file_is_no_longer_where_another_one_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        let storages: [&dyn Storage; 2] = [&Disk, &Memory::new()];
        for storage in storages {
            storage.create_directory(directory.path(), 0o700).unwrap();
            let first = storage.create(&path, 0o600).unwrap();
            assert!(is_still_at(storage, &path, &*first).unwrap());
            storage.unlink(&path).unwrap();
            assert!(!is_still_at(storage, &path, &*first).unwrap());
            let second = storage.create(&path, 0o600).unwrap();
            assert!(!is_still_at(storage, &path, &*first).unwrap());
            assert!(is_still_at(storage, &path, &*second).unwrap());
            storage.rename(&path, &other).unwrap();
            assert!(!is_still_at(storage, &path, &*second).unwrap());
        }
    }
}
