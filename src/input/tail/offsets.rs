//! Up to where each file was read, kept over restarts.

use crate::primitives::hex;
use crate::primitives::private_folder::PrivateFolder;
use crate::primitives::storage::Storage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Which file it is, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Nanoseconds since 1970; `None` where the file system does not say. Without it a new file may be taken for one
    /// whose inode it was given.
    born_ns: Option<u64>,
}

impl Identity {
    /// The file of `metadata`.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born_ns }
    }

    /// When it was made, in nanoseconds since 1970, if that is known.
    #[must_use]
    pub fn born_ns(&self) -> Option<u64> {
        self.born_ns
    }

    /// Whether it is known to be younger than `other`.
    #[must_use]
    pub fn is_younger_than(&self, other: &Self) -> bool {
        self.device == other.device && self.born_ns > other.born_ns && other.born_ns.is_some()
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which file.
    pub file: Identity,
    /// After the last line that is durable, in bytes.
    pub offset: u64,
    /// `check` of the bytes before it.
    pub check: u16,
}

/// The offsets of one path, in the state directory.
#[derive(Clone, Debug)]
pub struct Offsets {
    folder: PrivateFolder,
    name: String,
}

impl Offsets {
    /// Of `path`, in `<state_dir>/tails`.
    ///
    /// # Errors
    /// If that directory cannot be made.
    pub fn open(storage: &Arc<dyn Storage>, state_dir: &Path, path: &Path) -> io::Result<Self> {
        let folder = PrivateFolder::open(storage, &state_dir.join("tails"))?;
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        Ok(Self { folder, name: format!("{}.json", hex::encode(&digest[..8])) })
    }

    /// What is kept, oldest file first; nothing if there is nothing.
    ///
    /// # Errors
    /// If it cannot be read, or was not written here.
    pub fn load(&self) -> io::Result<Option<Vec<Kept>>> {
        let Some(bytes) = self.folder.read(&self.name)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Forgets what is kept: the file is gone for good.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        self.folder.remove(&self.name)
    }

    /// Keeps `files` durably, in place of what was kept.
    ///
    /// # Errors
    /// If it cannot be written: what was kept is kept still.
    pub fn save(&self, files: &[Kept]) -> io::Result<()> {
        let bytes = serde_json::to_vec(files).map_err(io::Error::other)?;
        self.folder.write(&self.name, &bytes)
    }
}

/// 16 bits of SHA-256 over the bytes before an offset: enough to see, all but once in 65,536 times, that a file was cut
/// and has grown again, and too few to tell what the bytes are.
pub(super) fn check(bytes: &[u8]) -> u16 {
    let digest = Sha256::digest(bytes);
    u16::from_be_bytes([digest[0], digest[1]])
}

/// How many bytes before an offset are checked.
pub(super) const CHECKED_BYTES: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::Memory;

    #[test]
    fn what_is_saved_is_loaded() {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let open = |path| Offsets::open(&storage, Path::new("/s"), Path::new(path)).unwrap();
        let kept = |born_ns| Kept { file: Identity { device: 1, inode: 2, born_ns }, offset: 3, check: 4 };
        assert_eq!(open("/var/log/a").load().unwrap(), None);
        open("/var/log/a").save(&[kept(None), kept(Some(5))]).unwrap();
        assert_eq!(open("/var/log/a").load().unwrap().unwrap(), [kept(None), kept(Some(5))]);
        assert_eq!(open("/var/log/b").load().unwrap(), None);
        open("/var/log/a").forget().unwrap();
        assert_eq!(open("/var/log/a").load().unwrap(), None);
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
