//! Objects that are being written. They are kept in memory, since a store takes objects only whole.

use super::{Marks, S3};
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::Stored;
use object_store::PutMode;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The objects being written, by the name under which they were created.
#[derive(Debug, Default)]
pub(super) struct Parts(Mutex<HashMap<PathBuf, Written>>);

#[derive(Clone, Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    /// Whether an object of that name is stored as well.
    stored: bool,
}

impl Parts {
    pub(super) fn begin(&self, path: &Path) -> io::Result<()> {
        let mut parts = self.0.lock().unpoisoned();
        if parts.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        parts.insert(path.to_owned(), Written::default());
        Ok(())
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.lock().unpoisoned().contains_key(path)
    }

    pub(super) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.lock().unpoisoned().get(path).map(|part| part.bytes.clone())
    }

    /// Drops a part. Returns whether there was one and nothing of it is stored.
    pub(super) fn end(&self, path: &Path) -> bool {
        self.0.lock().unpoisoned().remove(path).is_some_and(|part| !part.stored)
    }

    fn with<T>(&self, path: &Path, action: impl FnOnce(&mut Written) -> T) -> io::Result<T> {
        self.0.lock().unpoisoned().get_mut(path).map(action).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) s3: S3,
    pub(super) path: PathBuf,
}

impl Part {
    fn with<T>(&self, action: impl FnOnce(&mut Written) -> T) -> io::Result<T> {
        self.s3.shared.parts.with(&self.path, action)
    }
}

impl Stored for Part {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|part| part.bytes.extend_from_slice(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        let bytes = self.with(|part| part.bytes.clone())?;
        self.s3.put(&self.path, bytes, PutMode::Overwrite, &Marks::new())?;
        self.with(|part| part.stored = true)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.with(|part| part.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX)))
    }

    fn length(&self) -> io::Result<u64> {
        self.with(|part| part.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let read = self.with(|part| {
            let bytes = part.bytes.get(start..)?.get(..buffer.len())?;
            buffer.copy_from_slice(bytes);
            Some(())
        })?;
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}
