//! The files of a ledger, in a folder that only its owner can read.

use super::head::Head;
use super::verify::Fault;
use super::{ENTRIES, HEAD, LedgerError};
use crate::primitives::private_folder::{PrivateFolder, Turn, read_from};
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Storage, Stored, is_full};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of a ledger.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PrivateFolder,
}

impl Files {
    /// Opens the folder, and makes it if it is missing.
    pub(super) fn open(storage: &Arc<dyn Storage>, directory: &Path) -> Result<Self, LedgerError> {
        let folder = PrivateFolder::open(storage, directory).map_err(io_error("make", directory))?;
        Ok(Self { folder })
    }

    /// Opens the folder for reading, and makes nothing.
    pub(super) fn at(storage: &Arc<dyn Storage>, directory: &Path) -> Self {
        Self { folder: PrivateFolder::at(storage, directory) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// Waits for the turn, in which no other process changes the ledger.
    pub(super) fn lock(&self) -> Result<Turn, LedgerError> {
        self.folder.turn().map_err(self.error("lock", ENTRIES))
    }

    /// Returns the names of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, LedgerError> {
        self.folder.names().map_err(self.error("list", ""))
    }

    /// Returns the length of the entries in bytes.
    pub(super) fn entries_length(&self) -> Result<u64, LedgerError> {
        let length = self.folder.readable(ENTRIES).and_then(|file| file.map_or(Ok(0), |file| file.length()));
        length.map_err(self.error("read", ENTRIES))
    }

    /// Returns the entries from byte `from` on.
    pub(super) fn entries_after(&self, from: u64) -> Result<Vec<u8>, LedgerError> {
        let file = self.folder.readable(ENTRIES);
        let bytes = file.and_then(|file| file.map_or(Ok(Vec::new()), |file| read_from(&*file, from)));
        bytes.map_err(self.error("read", ENTRIES))
    }

    /// Opens all entries for reading line by line.
    pub(super) fn entries(&self) -> Result<impl io::BufRead + use<>, LedgerError> {
        let file = self.folder.file(ENTRIES).map_err(self.error("read", ENTRIES))?;
        Ok(BufReader::new(Growing { file, offset: 0 }))
    }

    /// Appends a line with its line end. If the disk is full, nothing of the line is added.
    pub(super) fn append(&self, line: &[u8]) -> Result<(), LedgerError> {
        let appended = || -> io::Result<()> {
            let mut file = self.folder.edit(ENTRIES)?;
            let before = file.length()?;
            let appended = file.append(line);
            if appended.as_ref().is_err_and(is_full) {
                // Remove the part for which there was room. If that fails, it is cut off later, as after a
                // crash.
                let _ = file.truncate(before);
            }
            appended?;
            file.sync()
        };
        appended().map_err(self.error("write", ENTRIES))
    }

    /// Truncates the entries to `length`.
    pub(super) fn cut(&self, length: u64) -> Result<(), LedgerError> {
        let file = self.folder.edit(ENTRIES);
        let cut = file.and_then(|mut file| file.truncate(length).and_then(|()| file.sync()));
        cut.map_err(self.error("cut", ENTRIES))
    }

    pub(super) fn head_text(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let text = self.folder.read(HEAD).map_err(self.error("read", HEAD))?;
        Ok(text.map(|text| text.to_vec()))
    }

    /// Reads the head. An unreadable one counts as missing here, so that all entries are read.
    pub(super) fn head(&self) -> Result<Option<Head>, LedgerError> {
        Ok(self.head_text()?.and_then(|text| Head::from_text(&text)))
    }

    pub(super) fn write_head(&self, head: &Head) -> Result<(), LedgerError> {
        self.write(HEAD, &head.to_text())
    }

    /// Reads a file of 32 secret bytes; `None` if it is missing or is not such a file.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, LedgerError> {
        match self.folder.secret(name) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            secret => secret.map_err(self.error("read", name)),
        }
    }

    /// Writes a file atomically, with mode 0600, and makes it durable.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LedgerError> {
        self.folder.write(name, bytes).map_err(self.error("write", name))
    }

    /// Overwrites and removes a file, and syncs the folder. The file may be missing.
    pub(super) fn erase(&self, name: &str) -> Result<(), LedgerError> {
        self.folder.erase(name).map_err(self.error("erase", name))
    }

    /// Wraps a fault in the entries.
    pub(super) fn fault(&self, fault: Fault) -> LedgerError {
        LedgerError::Fault { path: self.path(ENTRIES), fault }
    }

    /// Returns a function that wraps an error of doing `action` to the file `name`.
    pub(super) fn error(
        &self,
        action: &'static str,
        name: &str,
    ) -> impl FnOnce(io::Error) -> LedgerError + use<> {
        io_error(action, &self.path(name))
    }
}

/// Reads a file from its beginning to its end, which other processes move meanwhile.
struct Growing {
    file: Box<dyn Stored>,
    offset: u64,
}

impl io::Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.file.length()?.saturating_sub(self.offset);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.file.read_at(self.offset, &mut buffer[..count])?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError::Io { action, path, source }
}
