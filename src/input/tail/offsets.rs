//! Keeps how far each file was read, across restarts.

use crate::primitives::hex;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::private_folder::{PrivateFolder, Turn};
use crate::primitives::storage::{Storage, is_full};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// The identity of a file, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Nanoseconds since 1970; `None` if the file system does not record it. Then a new file may be mistaken
    /// for the one that had its inode before.
    born_ns: Option<u64>,
}

impl Identity {
    /// Returns the identity of the file with this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born_ns }
    }

    /// Returns the identity of the file that has this name now; `None` if there is none, or nobody can tell.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    /// Returns when the file was made, in nanoseconds since 1970, if that is known.
    #[must_use]
    pub fn born_ns(&self) -> Option<u64> {
        self.born_ns
    }

    /// Returns whether this file is known to be younger than `other`.
    #[must_use]
    pub fn is_younger_than(&self, other: &Self) -> bool {
        self.device == other.device && self.born_ns > other.born_ns && other.born_ns.is_some()
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The file.
    pub file: Identity,
    /// The offset after the last durable line, in bytes.
    pub offset: u64,
    /// The `check` of the bytes before the offset.
    pub check: u16,
    /// Whether the bytes after the offset, up to a line feed, may be the rest of a line that was torn when
    /// the file was truncated.
    #[serde(default)]
    pub torn: bool,
    /// Whether a line had begun and not ended: if the file is truncated meanwhile, that line is torn.
    #[serde(default)]
    pub begun: bool,
}

/// The offsets for one path, in the state directory. Clones share them.
#[derive(Clone, Debug)]
pub struct Offsets {
    folder: PrivateFolder,
    name: String,
    /// The offsets that could not be kept last time. Without them, durable lines would be read again.
    unsaved: Arc<Mutex<Option<Vec<Kept>>>>,
}

/// Takes the right to follow files with a state directory, held until dropped: two processes would each read
/// every line.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if another process holds the right for longer than a process needs to end; an
/// error if the folder cannot be made.
pub fn turn(storage: &Arc<dyn Storage>, state_dir: &Path) -> io::Result<Turn> {
    PrivateFolder::open(storage, &state_dir.join(TAILS))?.turn_within(LONGEST_END)
}

impl Offsets {
    /// Opens the offsets for `path`, in `<state_dir>/tails`.
    ///
    /// # Errors
    /// If that directory cannot be made, or if the disk is full and there is no reserved room for offsets:
    /// durable lines would be read again.
    pub fn open(storage: &Arc<dyn Storage>, state_dir: &Path, path: &Path) -> io::Result<Self> {
        let folder = PrivateFolder::open(storage, &state_dir.join(TAILS))?;
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        let name = format!("{}.json", hex::encode(&digest[..8]));
        if folder.existing(RESERVE)?.is_none() {
            match folder.write(RESERVE, &[0; RESERVE_BYTES]) {
                Err(error) if is_full(&error) => return Err(error),
                // The reserve is not needed as long as there is room.
                _ => {}
            }
        }
        Ok(Self { folder, name, unsaved: Arc::default() })
    }

    /// Returns the kept offsets, oldest file first; `None` if there are none. First keeps what could not be
    /// kept before.
    ///
    /// # Errors
    /// If offsets still cannot be kept, or if the kept ones cannot be read or were not written here.
    pub fn load(&self) -> io::Result<Option<Vec<Kept>>> {
        if let Some(files) = self.keep()? {
            return Ok(Some(files));
        }
        let Some(bytes) = self.folder.read(&self.name)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Keeps the offsets that could not be kept before, and returns them; `None` if there are none.
    ///
    /// # Errors
    /// If they still cannot be kept.
    pub fn keep(&self) -> io::Result<Option<Vec<Kept>>> {
        let unsaved = self.unsaved.lock().unpoisoned().clone();
        unsaved.map(|files| self.save(&files).map(|()| files)).transpose()
    }

    /// Forgets the offsets, because the file is gone for good.
    ///
    /// # Errors
    /// If their file cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        self.folder.remove(&self.name)
    }

    /// Keeps `files` durably, and replaces the previous offsets.
    ///
    /// # Errors
    /// If they cannot be written: the previous offsets stay, and this process remembers `files`.
    pub fn save(&self, files: &[Kept]) -> io::Result<()> {
        let bytes = serde_json::to_vec(files).map_err(io::Error::other)?;
        let saved = self.write(&bytes);
        *self.unsaved.lock().unpoisoned() = saved.is_err().then(|| files.to_vec());
        saved
    }

    /// Writes the offsets; on a full disk, into the room reserved for them.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self.folder.write(&self.name, bytes) {
            Err(error) if is_full(&error) => {
                self.folder.remove(RESERVE)?;
                self.folder.write(&self.name, bytes)
            }
            written => written,
        }
    }
}

/// Returns 16 bits of SHA-256 over the bytes before an offset: enough to detect, all but once in 65,536
/// times, that a file was truncated and has grown again, and too few to reveal the bytes.
pub(super) fn check(bytes: &[u8]) -> u16 {
    let digest = Sha256::digest(bytes);
    u16::from_be_bytes([digest[0], digest[1]])
}

/// The folder in a state directory.
const TAILS: &str = "tails";

/// How long a process that ends may still follow files.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Gives up its room to the offsets when the disk is full, which is when a sidecar ends that archives to the
/// same disk. A file system that compresses reserves no room for zeros.
const RESERVE: &str = "reserve";

/// A few blocks of the file system.
const RESERVE_BYTES: usize = 16 << 10;

/// Number of bytes before an offset that are checked.
pub(super) const CHECKED_BYTES: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::{Fault, Memory, Survives};

    #[test]
    fn what_is_saved_is_loaded() {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let open = |path| Offsets::open(&storage, Path::new("/s"), Path::new(path)).unwrap();
        let kept = |born_ns| Kept {
            file: Identity { device: 1, inode: 2, born_ns },
            offset: 3,
            check: 4,
            torn: true,
            begun: true,
        };
        assert_eq!(open("/var/log/a").load().unwrap(), None);
        open("/var/log/a").save(&[kept(None), kept(Some(5))]).unwrap();
        assert_eq!(open("/var/log/a").load().unwrap().unwrap(), [kept(None), kept(Some(5))]);
        assert_eq!(open("/var/log/b").load().unwrap(), None);
        open("/var/log/a").forget().unwrap();
        assert_eq!(open("/var/log/a").load().unwrap(), None);
    }

    #[test]
    fn what_a_full_disk_refuses_goes_where_room_was_kept() {
        let (before, reserve) = (Memory::new(), Path::new("/s/tails/reserve"));
        let open = |memory: &Memory| {
            let storage: Arc<dyn Storage> = Arc::new(memory.clone());
            Offsets::open(&storage, Path::new("/s"), Path::new("/var/log/a")).unwrap()
        };
        let file = Identity { device: 1, inode: 2, born_ns: None };
        let at = |offset| [Kept { file, offset, check: 3, torn: false, begun: false }];
        open(&before).save(&at(1)).unwrap();
        assert!(before.files().contains_key(reserve));
        for operation in 0..6 {
            let memory = before.with_fault(Fault::Fail(operation, io::ErrorKind::StorageFull));
            open(&memory).save(&at(2)).unwrap();
            assert!(!memory.files().contains_key(reserve), "{operation}");
            let kept = open(&memory.after_crash(Survives::Synced)).load().unwrap();
            assert_eq!(kept.unwrap(), at(2), "{operation}");
        }
    }

    #[test]
    fn without_room_for_offsets_nothing_is_followed() {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new().with_fault(Fault::Full(1)));
        let opened = Offsets::open(&storage, Path::new("/s"), Path::new("/var/log/a"));
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_file_is_itself_under_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let of = |path: &Path| Identity::of(&std::fs::metadata(path).unwrap());
        std::fs::write(&one, "x").unwrap();
        let before = of(&one);
        std::fs::rename(&one, &two).unwrap();
        std::fs::write(&one, "x").unwrap();
        assert_eq!(before, of(&two));
        assert_ne!(before, of(&one));
    }
}
