//! Quarantine: lines that cannot be processed, sealed.
//!
//! A line longer than the limit cannot be searched for identifiers, so it must not be output, but it must not
//! be lost either. It is encrypted unchanged to `<state>/quarantine/<token>.age`, for the escrow recipients,
//! and a placeholder is output in its place. Stock `age -d -i IDENTITY` opens it.

mod error;
mod identity;
mod seal;
mod sealed_lines;

pub use crate::pseudonym::Placeholder;
pub use error::{CODES, QuarantineError, SEALED_LINES};
pub use seal::{KeyedHash, Sealing};
pub use sealed_lines::{SealedLine, SealedLines, remove, sealed_lines, sync};

use crate::primitives::recipient::Recipients;
use crate::primitives::storage::{Disk, Patience, Storage as _};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder for sealed lines in the state directory.
pub const FOLDER: &str = "quarantine";

/// Seals lines that are too long.
pub struct Quarantine {
    directory: PathBuf,
    /// The longest line that passes; stated in the placeholder.
    max_line_bytes: u64,
    /// Recipients who can open sealed lines; the quarantine identity if no others are configured.
    recipients: Recipients,
    /// Whether `directory` is known to exist and be private.
    ready: bool,
    /// How to wait for a full or read-only disk.
    patience: Arc<Patience>,
}

impl Quarantine {
    /// Creates a quarantine in `<state_dir>/quarantine` for these recipients. No file is created before the
    /// first line that needs it.
    ///
    /// Without recipients, the quarantine makes an identity of its own in that directory and uses it.
    #[must_use]
    pub fn new(state_dir: &Path, recipients: Recipients, max_line_bytes: u64) -> Self {
        let directory = state_dir.join(FOLDER);
        Self { directory, max_line_bytes, recipients, ready: false, patience: Arc::default() }
    }

    /// Makes the quarantine wait, as long as `patience` lasts, for a disk that is full or read-only.
    #[must_use]
    pub fn waiting_with(self, patience: Arc<Patience>) -> Self {
        Self { patience, ..self }
    }

    /// Starts to seal one line, which is named by `hash`.
    ///
    /// # Errors
    /// If the directory, the identity or the file cannot be made.
    pub fn begin(&mut self, hash: Box<dyn KeyedHash>) -> Result<Sealing, QuarantineError> {
        let patience = Arc::clone(&self.patience);
        if !self.ready {
            patience.attempt(&self.directory.clone(), || self.prepare())?;
            self.ready = true;
        }
        Sealing::begin(&self.directory, self.max_line_bytes, &self.recipients, hash, patience)
    }

    /// Makes the directory private and settles the recipients.
    fn prepare(&mut self) -> Result<(), QuarantineError> {
        private_directory(&self.directory)
            .map_err(|source| QuarantineError::Directory { path: self.directory.clone(), source })?;
        seal::remove_stale(&self.directory);
        if self.recipients.is_empty() {
            let identity = identity::load_or_make(&self.directory.join("identity.txt"))?;
            self.recipients.push(Box::new(identity));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quarantine")
            .field("directory", &self.directory)
            .field("recipients", &self.recipients.len())
            .finish_non_exhaustive()
    }
}

/// Creates `directory` for its owner only, or removes everybody else's access.
fn private_directory(directory: &Path) -> io::Result<()> {
    Disk.create_directory(directory, 0o700)?;
    if fs::metadata(directory)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests;
