//! Seals one line into a file.

use super::{Placeholder, QuarantineError};
use crate::primitives::recipient::{Recipients, encryptor};
use crate::primitives::storage::{Disk, Patience, Storage as _, hand_over};
use age::stream::StreamWriter;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The keyed hash that names a sealed line: equal lines have equal names within an epoch, and the name
/// reveals nothing about the line.
pub trait KeyedHash: Send {
    /// Adds the next bytes of the line.
    fn update(&mut self, bytes: &[u8]);

    /// Returns the token of kind `qr` for the bytes added.
    fn finalize(self: Box<Self>) -> String;
}

/// A line that is being sealed. If dropped before [`Sealing::finish`], it leaves nothing behind.
pub struct Sealing {
    directory: PathBuf,
    part: Part,
    encryptor: LineEncryptor<PatientFile>,
    max_line_bytes: u64,
    patience: Arc<Patience>,
}

impl Sealing {
    pub(super) fn begin(
        directory: &Path,
        max_line_bytes: u64,
        recipients: &Recipients,
        hash: Box<dyn KeyedHash>,
        patience: Arc<Patience>,
    ) -> Result<Self, QuarantineError> {
        let (part, file) = patience
            .attempt(directory, || Part::create(directory))
            .map_err(|source| QuarantineError::Seal { path: directory.to_owned(), source })?;
        let file = PatientFile { file, directory: directory.to_owned(), patience: Arc::clone(&patience) };
        let encryptor =
            LineEncryptor::begin(file, recipients, hash).map_err(|error| in_file(&part.path, error))?;
        Ok(Self { directory: directory.to_owned(), part, encryptor, max_line_bytes, patience })
    }

    /// Seals the next bytes of the line.
    ///
    /// # Errors
    /// [`QuarantineError::Seal`]; the line cannot be continued then.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), QuarantineError> {
        self.encryptor
            .update(bytes)
            .map_err(|source| QuarantineError::Seal { path: self.part.path.clone(), source })
    }

    /// Makes the sealed line durable under its name.
    ///
    /// If the same line is there already, the new file replaces it, and with it the date from which it is
    /// kept: the placeholder of the later line is kept that long, too.
    ///
    /// # Errors
    /// [`QuarantineError::Seal`] if it could not be written, [`QuarantineError::Token`] if the keyed hash
    /// yields anything but a token.
    pub fn finish(self) -> Result<Placeholder, QuarantineError> {
        let Self { directory, mut part, encryptor, max_line_bytes, patience } = self;
        let failed = |source| QuarantineError::Seal { path: part.path.clone(), source };
        let (PatientFile { file, .. }, token, bytes) = encryptor.finish().map_err(failed)?;
        let placeholder = Placeholder::new(&token, bytes, max_line_bytes).ok_or(QuarantineError::Token)?;
        let path = directory.join(format!("{}.age", placeholder.token()));
        file.sync_all().map_err(failed)?;
        patience.attempt(&directory, || fs::rename(&part.path, &path)).map_err(failed)?;
        part.is_renamed = true;
        Disk.sync_directory(&directory).map_err(failed)?;
        Ok(placeholder)
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("part", &self.part.path).finish_non_exhaustive()
    }
}

/// A file whose writes wait for room on the disk. A write that fails has written nothing, so it can be
/// retried.
struct PatientFile {
    file: File,
    directory: PathBuf,
    patience: Arc<Patience>,
}

impl Write for PatientFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patience.attempt(&self.directory, || self.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Encrypts, names and measures a line in one pass.
pub(super) struct LineEncryptor<W: Write> {
    sealed: StreamWriter<W>,
    hash: Box<dyn KeyedHash>,
    bytes: u64,
}

impl<W: Write> LineEncryptor<W> {
    pub(super) fn begin(
        output: W,
        recipients: &Recipients,
        hash: Box<dyn KeyedHash>,
    ) -> Result<Self, age::EncryptError> {
        let sealed = encryptor(recipients)?.wrap_output(output)?;
        Ok(Self { sealed, hash, bytes: 0 })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.sealed.write_all(bytes)
    }

    /// Returns the output, and the token and length of the line.
    pub(super) fn finish(self) -> io::Result<(W, String, u64)> {
        let output = self.sealed.finish()?;
        Ok((output, self.hash.finalize(), self.bytes))
    }
}

/// A file under a temporary name. It is locked while it is being written, and removed when dropped, unless it
/// was renamed before: another process may have a part of that name since.
struct Part {
    path: PathBuf,
    is_renamed: bool,
}

impl Part {
    fn create(directory: &Path) -> io::Result<(Self, File)> {
        let process = std::process::id();
        let mut attempt = 0u32;
        loop {
            let path = directory.join(format!(".{process}-{attempt}{PART_SUFFIX}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                    hand_over(&file, &path)?;
                    return Ok((Self { path, is_renamed: false }, file));
                }
                // Left by a process that died, or in use for another line of this one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_renamed {
            // If the removal fails, the remains are sealed, and the next run removes them.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes incomplete sealed lines that dead processes left: without its end, a file may not open, and a copy
/// that nothing counts would outlive its day.
pub(super) fn remove_stale(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_part(path)) {
        // The lock is held until the part is gone.
        if let Ok(Some(_lock)) = abandoned(&path) {
            // A failure here does not affect lines that are being sealed now.
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') && name.ends_with(PART_SUFFIX)
}

/// Locks a part that is old and unlocked; `None` if it is not. The writer of a part holds its lock, but a new
/// part may not be locked yet.
fn abandoned(path: &Path) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    let is_old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > LOCKED_WITHIN);
    let is_free = is_old && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(is_free.then_some(file))
}

fn in_file(path: &Path, error: age::EncryptError) -> QuarantineError {
    match error {
        age::EncryptError::Io(source) => QuarantineError::Seal { path: path.to_owned(), source },
        source => QuarantineError::Recipients { source },
    }
}

const PART_SUFFIX: &str = ".age.part";

/// A live process locks a part within this time after making it.
const LOCKED_WITHIN: Duration = Duration::from_secs(60);

/// Names tried before giving up.
const MAX_ATTEMPTS: u32 = 1000;
