//! The state directory: private from the first byte, with one writer at a time, where every change is durable
//! or absent.

use super::KeyError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// An existing state directory that only its owner can change.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

/// The lock for changing secrets, held until dropped. Other processes wait for it.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for the lock that closing it releases")] File);

impl StateDir {
    /// Opens the directory, and makes it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or if group or others may write to it.
    pub fn open(root: &Path) -> Result<Self, KeyError> {
        let state = Self { root: root.to_owned() };
        for directory in [root.to_owned(), state.path("keys"), state.path("escrow"), state.path("wraps")] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&directory).map_err(io_error("make", &directory))?;
        }
        let metadata = fs::metadata(root).map_err(io_error("read", root))?;
        if metadata.mode() & 0o022 != 0 {
            return Err(KeyError::Directory { path: root.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        Ok(state)
    }

    /// Returns the path of `name` within the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Waits for the lock on the secrets.
    pub(super) fn lock(&self) -> Result<Lock, KeyError> {
        let path = self.path("keys/lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| io_error("lock", &path)(error.into()))?;
        Ok(Lock(file))
    }

    /// Reads a secret file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let path = self.path(name);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io_error("open", &path))?,
        };
        let mode = file.metadata().map_err(io_error("read", &path))?.mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::ExposedState { path, mode: mode & 0o7777 });
        }
        let mut bytes = Vec::with_capacity(4096);
        file.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        Ok(Some(bytes))
    }

    /// Writes a file atomically, with mode 0600, and makes it durable.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let path = self.path(name);
        let part = path.with_extension("part");
        let written = || -> io::Result<()> {
            // A part that a crash left was never used.
            erase_if_there(&part)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            sync_directory(&path)
        };
        written().map_err(io_error("write", &path))
    }

    /// Overwrites a file with zeros, syncs and removes it, and syncs the directory. The file may be missing.
    pub(super) fn erase(&self, name: &str) -> Result<(), KeyError> {
        let path = self.path(name);
        let erased = erase_if_there(&path).and_then(|()| sync_directory(&path));
        erased.map_err(io_error("erase", &path))
    }

    /// Lists the files in a sub-directory, sorted.
    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>, KeyError> {
        let path = self.path(directory);
        let listed = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path)? {
                names.extend(entry?.file_name().into_string().ok());
            }
            names.sort();
            Ok(names)
        };
        listed().map_err(io_error("list", &path))
    }
}

/// Overwrites a file with zeros and removes it.
///
/// It writes through the same inode, so that file systems which write in place overwrite the old blocks.
/// Copy-on-write file systems and flash keep old blocks for a while, which is why epochs are short.
fn erase_if_there(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()?;
    fs::remove_file(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}

/// Takes 32 bytes out of a buffer, and wipes the buffer.
pub(super) fn take_32(mut bytes: Vec<u8>) -> Result<[u8; 32], usize> {
    let taken = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| bytes.len());
    bytes.zeroize();
    taken
}
