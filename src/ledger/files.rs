//! The files of a ledger: private, one writer at a time, durable when a call returns.

use super::head::Head;
use super::verify::Fault;
use super::{ENTRIES, HEAD, LedgerError};
use crate::primitives::secret::Secret;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroize as _;

/// The folder of a ledger.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

/// The turn at the ledger, until dropped. Other processes wait for it.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for the lock that closing it releases")] File);

impl Files {
    /// Makes the folder if it is missing.
    pub(super) fn open(directory: &Path) -> Result<Self, LedgerError> {
        let files = Self::at(directory);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(io_error("make", directory))?;
        Ok(files)
    }

    /// The folder as it is, for reading.
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits for the turn.
    pub(super) fn lock(&self) -> Result<Lock, LedgerError> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| io_error("lock", &path)(error.into()))?;
        Ok(Lock(file))
    }

    /// Names of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, LedgerError> {
        let list = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(&self.directory)?;
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let mut names: Vec<String> =
                names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect();
            names.sort();
            Ok(names)
        };
        list().map_err(io_error("list", &self.directory))
    }

    /// How long the entries are, in bytes.
    pub(super) fn entries_length(&self) -> Result<u64, LedgerError> {
        match fs::metadata(self.path(ENTRIES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            metadata => Ok(metadata.map_err(self.reading(ENTRIES))?.len()),
        }
    }

    /// The entries that begin at byte `from` or after it.
    pub(super) fn entries_after(&self, from: u64) -> Result<Vec<u8>, LedgerError> {
        let mut bytes = Vec::new();
        let Some(mut file) = self.existing(ENTRIES)? else { return Ok(bytes) };
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(self.reading(ENTRIES))
    }

    /// All entries, to be read line by line.
    pub(super) fn entries(&self) -> Result<impl io::BufRead + use<>, LedgerError> {
        File::open(self.path(ENTRIES)).map(BufReader::new).map_err(self.reading(ENTRIES))
    }

    /// Adds a line with its end.
    pub(super) fn append(&self, line: &[u8]) -> Result<(), LedgerError> {
        let path = self.path(ENTRIES);
        let is_new = !path.exists();
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            file.write_all(line)?;
            file.sync_all()?;
            if is_new { self.sync() } else { Ok(()) }
        };
        append().map_err(io_error("write", &path))
    }

    /// Cuts the entries off at that length.
    pub(super) fn cut(&self, length: u64) -> Result<(), LedgerError> {
        let path = self.path(ENTRIES);
        let cut = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(length)?;
            file.sync_all()
        };
        cut().map_err(io_error("cut", &path))
    }

    pub(super) fn head_text(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        self.read(HEAD)
    }

    /// The note about the end. One that cannot be read is as good as none here: then all is read.
    pub(super) fn head(&self) -> Result<Option<Head>, LedgerError> {
        Ok(self.head_text()?.and_then(|text| Head::from_text(&text)))
    }

    pub(super) fn write_head(&self, head: &Head) -> Result<(), LedgerError> {
        self.write(HEAD, &head.to_text())
    }

    /// A file of 32 secret bytes; `None` if there is none or it is no such file.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, LedgerError> {
        let Some(mut bytes) = self.read(name)? else { return Ok(None) };
        let secret = <[u8; 32]>::try_from(bytes.as_slice()).ok().map(|mut taken| {
            let secret = Secret::new(taken);
            taken.zeroize();
            secret
        });
        bytes.zeroize();
        Ok(secret)
    }

    /// Writes a file whole or not at all, mode 0600, and makes it durable.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LedgerError> {
        let path = self.path(name);
        let part = self.path(&format!("{name}.part"));
        let write = || -> io::Result<()> {
            erase_if_there(&part)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            self.sync()
        };
        write().map_err(io_error("write", &path))
    }

    /// Overwrites a file with zeros, syncs, removes it, syncs the folder. No file is fine.
    pub(super) fn erase(&self, name: &str) -> Result<(), LedgerError> {
        let path = self.path(name);
        erase_if_there(&path).and_then(|()| self.sync()).map_err(io_error("erase", &path))
    }

    /// Something that was found to be wrong with the entries.
    pub(super) fn fault(&self, fault: Fault) -> LedgerError {
        LedgerError::Fault { path: self.path(ENTRIES), fault }
    }

    /// What an error of reading the file `name` becomes.
    pub(super) fn reading(&self, name: &str) -> impl FnOnce(io::Error) -> LedgerError + use<> {
        io_error("read", &self.path(name))
    }

    /// What an error of making the file `name` becomes.
    pub(super) fn making(&self, name: &str) -> impl FnOnce(io::Error) -> LedgerError + use<> {
        io_error("make", &self.path(name))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(mut file) = self.existing(name)? else { return Ok(None) };
        // Room enough for a secret, of which no shorter copy is left behind then.
        let mut bytes = Vec::with_capacity(4096);
        file.read_to_end(&mut bytes).map_err(self.reading(name))?;
        Ok(Some(bytes))
    }

    fn existing(&self, name: &str) -> Result<Option<File>, LedgerError> {
        match File::open(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(self.reading(name)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Through the same inode, so that the old blocks are what is overwritten on file systems that write in
/// place; copy-on-write ones and flash keep old blocks for a while.
fn erase_if_there(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all(&vec![0; length.min(1 << 20)])?;
    file.sync_all()?;
    fs::remove_file(path)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError::Io { action, path, source }
}
