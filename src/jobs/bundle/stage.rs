//! Keeps an incomplete bundle under a name that marks it as such, and removes it if it does not become
//! complete.
//!
//! ```text
//! DIR.partial/...                        a directory; renamed to DIR at the end
//! FILE.partial, FILE.partial.lines.log   an encrypted file; renamed to FILE at the end
//! ```
//! A killed process leaves these files behind, without the lock that it held on them. Anything without
//! SHA256SUMS is not a bundle.

use super::Files;
use super::output::{DIRECTORY_MODE, Destination, FILE_MODE, RECIPIENT_OPTION, failed, parsed};
use super::spool::{Appender, Spool, Spooled};
use crate::primitives::diag::Diagnostic;
use crate::primitives::recipient::{self, Recipients};
use crate::primitives::storage::{Storage, Stored, parent};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Digests of files, by name.
pub(super) type Sums = BTreeMap<String, [u8; 32]>;

/// A place where a bundle grows. Dropping it removes what is left there.
pub(super) struct Stage {
    storage: Arc<dyn Storage>,
    destination: Destination,
    /// Opens the spools of an encrypted bundle, as long as this process lives.
    key: Option<age::x25519::Identity>,
    made: Timestamp,
    spooled: BTreeMap<String, Spooled>,
    /// Files and directories created, in that order.
    left: Vec<PathBuf>,
    /// Locks on the growing files. They distinguish the files of a live process from what a killed one left.
    locks: Vec<Box<dyn Stored>>,
}

impl Stage {
    /// Begins a bundle at a place where nothing exists.
    ///
    /// # Errors
    /// [`super::WRITE`].
    pub(super) fn begin(
        storage: &Arc<dyn Storage>,
        destination: &Destination,
        made: Timestamp,
    ) -> Result<Self, Diagnostic> {
        destination.check(&**storage)?;
        let (storage, destination) = (Arc::clone(storage), destination.clone());
        let encrypted = matches!(destination, Destination::Encrypted { .. });
        let key = encrypted.then(age::x25519::Identity::generate);
        let mut stage = Self {
            storage,
            destination,
            key,
            made,
            spooled: BTreeMap::new(),
            left: Vec::new(),
            locks: Vec::new(),
        };
        if !encrypted {
            stage.directory(&stage.partial())?;
        }
        Ok(stage)
    }

    /// Creates a growing file.
    ///
    /// # Errors
    /// [`super::WRITE`].
    pub(super) fn spool(&mut self, name: &str) -> Result<Spool, Diagnostic> {
        let path = match &self.key {
            None => self.partial().join(name),
            Some(_) => with_suffix(&self.partial(), &format!(".{name}")),
        };
        let spool = Spool::create(&*self.storage, &path, self.key.as_ref());
        let spool = spool.map_err(failed("write", &path))?;
        self.left.push(path.clone());
        let lock = self.storage.edit(&path).and_then(|mut file| file.try_lock().map(|_| file));
        self.locks.push(lock.map_err(failed("lock", &path))?);
        Ok(spool)
    }

    /// Takes a growing file that is complete.
    ///
    /// # Errors
    /// [`super::WRITE`].
    pub(super) fn take(&mut self, name: &str, spool: Spool) -> Result<(), Diagnostic> {
        let spooled = spool.finish().map_err(failed("write", &self.partial()))?;
        self.spooled.insert(name.to_owned(), spooled);
        Ok(())
    }

    /// Returns the digests of the spooled files and of `files`.
    pub(super) fn sums(&self, files: &Files) -> Sums {
        let spooled = self.spooled.iter().map(|(name, spooled)| (name.clone(), spooled.digest));
        let others = files.iter().map(|(name, bytes)| (name.clone(), Sha256::digest(bytes).into()));
        spooled.chain(others).collect()
    }

    /// Adds `files` and gives the bundle its name, durably. Returns the number of files in the bundle.
    ///
    /// # Errors
    /// [`super::WRITE`].
    pub(super) fn finish(mut self, files: &Files) -> Result<u64, Diagnostic> {
        let (partial, place) = (self.partial(), self.destination.path().to_owned());
        match (&self.destination, &self.key) {
            (Destination::Encrypted { recipients, .. }, Some(key)) => {
                let recipients = parsed(RECIPIENT_OPTION, recipients)?;
                self.left.push(partial.clone());
                let written = self.write_encrypted(key, &recipients, &partial, files);
                written.map_err(failed("write", &partial))?;
            }
            _ => self.write_directory(files)?,
        }
        self.storage.rename(&partial, &place).map_err(failed("rename", &partial))?;
        // The renamed bundle must not be removed any more, but the spools of an encrypted one must be.
        self.left.retain(|path| self.key.is_some() && *path != partial);
        self.storage.sync_directory(parent(&place)).map_err(failed("sync", parent(&place)))?;
        Ok((self.spooled.len() + files.len()) as u64)
    }

    fn partial(&self) -> PathBuf {
        with_suffix(self.destination.path(), PARTIAL)
    }

    fn directory(&mut self, path: &Path) -> Result<(), Diagnostic> {
        self.storage.create_directory(path, DIRECTORY_MODE).map_err(failed("make", path))?;
        self.left.push(path.to_owned());
        Ok(())
    }

    fn write_directory(&mut self, files: &Files) -> Result<(), Diagnostic> {
        let root = self.partial();
        let mut directories = BTreeSet::from([root.clone()]);
        for (name, bytes) in files {
            let path = root.join(name);
            // `proof/segments` before `proof/segments/1`.
            let above: Vec<&Path> = path.ancestors().skip(1).take_while(|above| *above != root).collect();
            for directory in above.into_iter().rev() {
                if directories.insert(directory.to_owned()) {
                    self.directory(directory)?;
                }
            }
            self.left.push(path.clone());
            let written = Appender::create(&*self.storage, &path).and_then(|mut file| {
                io::Write::write_all(&mut file, bytes)?;
                file.finish()
            });
            written.map_err(failed("write", &path))?;
        }
        let sync =
            |directory: &PathBuf| self.storage.sync_directory(directory).map_err(failed("sync", directory));
        directories.iter().try_for_each(sync)
    }

    /// Writes a tar archive (POSIX ustar) of everything, in the directory `bundle`, encrypted to the
    /// recipients.
    fn write_encrypted(
        &self,
        key: &age::x25519::Identity,
        recipients: &Recipients,
        to: &Path,
        files: &Files,
    ) -> io::Result<()> {
        let encryptor = recipient::encryptor(recipients).map_err(io::Error::other)?;
        let output = encryptor.wrap_output(Appender::create(&*self.storage, to)?)?;
        let mut archive = tar::Builder::new(output);
        for (name, bytes) in files {
            archive.append_data(&mut self.header(bytes.len() as u64), inside(name), bytes.as_slice())?;
        }
        for (name, spooled) in &self.spooled {
            let clear = spooled.open(&*self.storage, key)?;
            archive.append_data(&mut self.header(spooled.bytes), inside(name), clear)?;
        }
        archive.into_inner()?.finish()?.finish()
    }

    fn header(&self, bytes: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes);
        header.set_mode(FILE_MODE);
        header.set_mtime(u64::try_from(self.made.as_second()).unwrap_or(0));
        header.set_entry_type(tar::EntryType::Regular);
        header
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for path in self.left.iter().rev() {
            // A file, or a directory that is empty by now. What cannot be removed stays under a name that
            // says what it is.
            if self.storage.unlink(path).is_err() {
                let _ = self.storage.remove_directory(path);
            }
        }
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({:?})", self.destination.path())
    }
}

fn inside(name: &str) -> String {
    format!("bundle/{name}")
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // Drop a trailing slash.
    let mut name = OsString::from(path.components().as_path());
    name.push(suffix);
    PathBuf::from(name)
}

/// The suffix of whatever is incomplete.
pub(super) const PARTIAL: &str = ".partial";
