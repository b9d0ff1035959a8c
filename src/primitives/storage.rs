//! Files as an argument: what an archive asks of a disk, and no more.
//!
//! [`Disk`] is the real one. [`Memory`] keeps files in memory, counts operations, fails or freezes at
//! the one it is told to, and knows which bytes and names would survive a power cut: the crash tests run
//! over it.
//!
//! # Assumptions about the medium
//! - What was synced stays, under names whose directory was synced.
//! - Of bytes appended since the last sync, a power cut keeps any part, from none to all, and what
//!   it keeps may be damaged. It never changes bytes that were synced.
//! - A rename is all or nothing. Until its directory is synced, a power cut may undo it.
//! - After a sync that failed nothing is known of the file: it must not be written to again.

mod disk;
mod memory;
mod patient;
mod place;
#[cfg(feature = "s3")]
mod s3;
mod sequential;
#[cfg(feature = "s3")]
mod versions;

pub use disk::Disk;
pub use memory::{Fault, Memory, Survives};
pub use patient::{Patience, Patient, Told};
pub use place::{KNOWS_OBJECTS, Seen, everywhere, is_remote};
#[cfg(feature = "s3")]
pub use s3::{Marks, Probe, S3};
pub use sequential::Sequential;

use rustix::io::Errno;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// Whether an error is of the one file that was to be read, so that others may be read all the same: it is not there, it may
/// not be read, it is none that can be, or the disk does not give it back. A store that is away, or a process that is out of files, is none.
#[must_use]
pub fn is_of_one_file(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied, StaleNetworkFileHandle, UnexpectedEof};
    let of_file = [IsADirectory, NotFound, PermissionDenied, StaleNetworkFileHandle, UnexpectedEof];
    let of_disk = |code| BAD_FILE.iter().any(|bad| bad.raw_os_error() == code);
    of_file.contains(&error.kind()) || error.raw_os_error().is_some_and(of_disk)
}

/// Whether an error says that there is no room on a disk, or for its user.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the kernel says of a file with bad blocks, and of a socket; and ext4, XFS and Btrfs of one that fails their own checks.
const BAD_FILE: [Errno; 4] = [Errno::IO, Errno::NXIO, Errno::UCLEAN, Errno::BADMSG];

/// A directory tree. All paths are absolute or all relative to one place.
pub trait Storage: Debug + Send + Sync {
    /// Makes a directory and those above it, with permission bits `mode`, and makes their names durable.
    /// One that exists stays as it is.
    ///
    /// # Errors
    /// As the operating system says; likewise below.
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Makes a file, which must not exist. Its name is durable after [`Storage::sync_directory`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Stored>>;

    /// Opens a file to read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>>;

    /// Opens a file to read it, append to it, and cut it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>>;

    /// Whether there is something of that name.
    ///
    /// # Errors
    /// If that cannot be known.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Gives a file another name in the same directory, in place of a file that has it.
    ///
    /// # Errors
    /// The old name still holds then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes what a file holds durable, and gives it another name in the same directory, which no file has. Of two who try
    /// at once, one succeeds.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if a file has it; the old name still holds then.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Overwrites a file with as many zeros, durably, through the same inode.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none. Some of it may be overwritten.
    fn overwrite(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory; of a link to one, the link.
    ///
    /// # Errors
    /// If it is not empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Nothing is known of them then.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, sorted by name; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn list(&self, path: &Path) -> io::Result<Vec<Listed>>;
}

/// An open file.
pub trait Stored: Debug + Send {
    /// Adds bytes at the end, all of them.
    ///
    /// # Errors
    /// Some of them may have been added.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what the file holds durable.
    ///
    /// # Errors
    /// Nothing is known of the file then.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are not so many.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Which file it is and how many names it has, where files may have several.
    ///
    /// # Errors
    /// As the operating system says.
    fn names(&self) -> io::Result<Option<Names>> {
        Ok(None)
    }

    /// SHA-256 of the whole file, if it was kept with the file when that was stored; nothing is read.
    ///
    /// # Errors
    /// As the storage says.
    fn recorded_sha256(&self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }

    /// Takes the lock of the file, which ends with it; false if another process or handle has it.
    ///
    /// # Errors
    /// If there are no locks.
    fn try_lock(&mut self) -> io::Result<bool>;
}

/// How many names a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// Its device and inode.
    pub file: (u64, u64),
    /// Hard links to it.
    pub count: u64,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name. What of it is not UTF-8 is replaced by U+FFFD, which no name of ours has.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a directory, or a symbolic link to one.
    pub directory: bool,
    /// Whether it is a symbolic link: what it names lies elsewhere.
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
}
