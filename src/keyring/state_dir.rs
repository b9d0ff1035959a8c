//! The state directory: private from the first byte, with one writer at a time, where every change is durable
//! or absent.

use super::KeyError;
use crate::primitives::private_folder::{LOCK, PrivateFolder, Turn};
use crate::primitives::storage::{Disk, Storage, if_there, open_file};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An existing state directory that only its owner can change.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
    storage: Arc<dyn Storage>,
}

/// The lock for changing secrets, held until dropped. Other processes wait for it.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for the lock that dropping it releases")] Turn);

impl StateDir {
    /// Opens the directory, and makes it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or if group or others may write to it.
    pub fn open(root: &Path) -> Result<Self, KeyError> {
        let state = Self { root: root.to_owned(), storage: Arc::new(Disk) };
        for directory in [root.to_owned(), state.path("keys"), state.path("escrow"), state.path("wraps")] {
            PrivateFolder::open(&state.storage, &directory).map_err(io_error("make", &directory))?;
        }
        Self::at(root)
    }

    /// Refers to the directory as it is, even if it is missing. Makes nothing.
    ///
    /// # Errors
    /// If group or others may write to it.
    pub fn at(root: &Path) -> Result<Self, KeyError> {
        match fs::metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => {
                let mode = found.map_err(io_error("read", root))?.mode();
                if mode & 0o022 != 0 {
                    return Err(KeyError::Directory { path: root.to_owned(), mode: mode & 0o7777 });
                }
            }
        }
        Ok(Self { root: root.to_owned(), storage: Arc::new(Disk) })
    }

    /// Returns the path of `name` within the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Waits for the lock on the secrets.
    pub(super) fn lock(&self) -> Result<Lock, KeyError> {
        let keys = PrivateFolder::at(&self.storage, &self.path("keys"));
        keys.turn().map(Lock).map_err(io_error("lock", &keys.path(LOCK)))
    }

    /// Reads a secret file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let path = self.path(name);
        let opened = if_there(open_file(&path)).map_err(io_error("open", &path))?;
        let Some(mut file) = opened else { return Ok(None) };
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
        let (folder, file) = self.place(name);
        folder.write(file, bytes).map_err(io_error("write", &self.path(name)))
    }

    /// Overwrites a file with zeros, syncs and removes it, and syncs the directory. The file may be missing.
    pub(super) fn erase(&self, name: &str) -> Result<(), KeyError> {
        let (folder, file) = self.place(name);
        folder.erase(file).map_err(io_error("erase", &self.path(name)))
    }

    /// Lists the files in a sub-directory, sorted.
    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>, KeyError> {
        let path = self.path(directory);
        PrivateFolder::at(&self.storage, &path).names().map_err(io_error("list", &path))
    }

    /// Returns the sub-directory of a file, and its name there.
    fn place<'a>(&self, name: &'a str) -> (PrivateFolder, &'a str) {
        let (directory, file) = name.split_once('/').unwrap_or(("", name));
        (PrivateFolder::at(&self.storage, &self.path(directory)), file)
    }
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}
