//! Writes a vault. Once the epoch is over, the writer can add to a vault but not read it.

use super::error::VaultError;
use super::layout::{self, Header};
use super::originals;
use crate::model::{Kind, SegmentId, SegmentName, Tree};
use crate::primitives::crypto::{TAG_BYTES, encrypt};
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Storage, Stored, if_there};
use crate::primitives::tag_set::TagSet;
use crate::pseudonym::Tokens;
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Permission bits of directories that hold vaults, and of vaults.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Most tokens remembered as written. Beyond that, all are forgotten and some originals are written again:
/// that costs bytes in the vault, but no memory.
const MOST_REMEMBERED: usize = 1 << 20;

/// Tags prefetched from memory before the first of them is looked up.
const FETCHED_AT_ONCE: usize = 16;

/// The keys and names with which a vault is begun.
#[derive(Clone, Copy, Debug)]
pub struct VaultParameters<'a> {
    /// S, the epoch secret.
    pub secret: &'a Secret,
    /// S wrapped with age; empty if the owner of a key file keeps it.
    pub wrap: &'a [u8],
    /// H, the shred key of the expiry day.
    pub shred_key: &'a Secret,
    /// The number that [`EpochKeys::begin_vault`](crate::pseudonym::epoch::EpochKeys::begin_vault) returned;
    /// 0 if it was not called.
    pub begun: u64,
    /// The tenant whose tokens the vault holds.
    pub tenant: &'a str,
    /// Names of the kinds, by index.
    pub kinds: &'a [String],
}

/// The vault of a segment that is being written.
#[derive(Debug)]
pub struct VaultWriter {
    path: PathBuf,
    file: Box<dyn Stored>,
    key: Secret,
    /// Number of the next record.
    next: u64,
    /// Length of the file.
    bytes: u64,
    digest: Sha256,
    written: TagSet,
    /// Sequence number of this vault among those begun under its keys.
    begun: u64,
    poisoned: bool,
}

impl VaultWriter {
    /// Begins the vault of a segment. It is durable after [`VaultWriter::sync`].
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn begin(
        storage: &Arc<dyn Storage>,
        tree: &Tree,
        name: &SegmentName,
        id: SegmentId,
        parameters: &VaultParameters<'_>,
    ) -> Result<Self, VaultError> {
        Self::begin_at(storage, tree.vault(name), name, id, parameters)
    }

    /// Begins a vault that will replace that of the segment `name`, under a temporary name. Removes whatever
    /// a crash left under that name.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn stage(
        storage: &Arc<dyn Storage>,
        tree: &Tree,
        name: &SegmentName,
        id: SegmentId,
        parameters: &VaultParameters<'_>,
    ) -> Result<Self, VaultError> {
        let path = tree.staged_vault(name);
        if_there(storage.unlink(&path)).map_err(VaultError::io("remove what a crash left", &path))?;
        Self::begin_at(storage, path, name, id, parameters)
    }

    fn begin_at(
        storage: &Arc<dyn Storage>,
        path: PathBuf,
        name: &SegmentName,
        id: SegmentId,
        parameters: &VaultParameters<'_>,
    ) -> Result<Self, VaultError> {
        let directory = path.parent().unwrap_or(&path);
        storage
            .create_directory(directory, DIRECTORY_MODE)
            .map_err(VaultError::io("make a directory", directory))?;
        let file = storage.create(&path, FILE_MODE).map_err(VaultError::io("make a vault", &path))?;
        storage.sync_directory(directory).map_err(VaultError::io("sync a directory", directory))?;
        let key = layout::record_key(parameters.secret, parameters.shred_key, &id);
        let (digest, written) = (Sha256::new(), TagSet::default());
        let begun = parameters.begun;
        let mut vault = Self { path, file, key, next: 0, bytes: 0, digest, written, begun, poisoned: false };
        vault.append(&header(name, id, parameters).encode())?;
        Ok(vault)
    }

    /// Adds the originals of these tokens that are not in the vault yet, as one record. Returns whether there
    /// were any.
    ///
    /// # Errors
    /// If it cannot be written; every later call returns [`VaultError::Poisoned`].
    pub fn add(&mut self, tokens: &[&Tokens]) -> Result<bool, VaultError> {
        let mut record = self.record(tokens);
        if record.is_empty() {
            return Ok(false);
        }
        encrypt(&self.key, self.next, &mut record);
        self.next += 1;
        let header = layout::record_header(&record);
        self.append(&[&header[..], &record].concat())?;
        Ok(true)
    }

    /// Makes all records durable. Only then may the frames that refer to them be written.
    ///
    /// # Errors
    /// If that fails; every later call returns [`VaultError::Poisoned`].
    pub fn sync(&mut self) -> Result<(), VaultError> {
        self.attempt("sync a vault", |file| file.sync())
    }

    /// Returns the length and SHA-256 of the file.
    #[must_use]
    pub fn mark(&self) -> (u64, [u8; 32]) {
        (self.bytes, self.digest.clone().finalize().into())
    }

    /// Encodes the groups of new originals, in clear. They are encrypted in place, so no plaintext copy is
    /// left.
    fn record(&mut self, tokens: &[&Tokens]) -> Vec<u8> {
        if self.written.len() > MOST_REMEMBERED {
            self.written.clear();
        }
        let fresh = tokens.iter().flat_map(|tokens| tokens.fresh(self.begun));
        let fresh: Vec<_> =
            fresh.filter(|(kind, _, original)| *kind != Kind::QR && !original.is_empty()).collect();
        let mut pairs = Vec::with_capacity(fresh.len());
        for batch in fresh.chunks(FETCHED_AT_ONCE) {
            self.written.fetch(batch.iter().map(|(_, tag, _)| *tag));
            let unwritten = batch.iter().filter(|(_, tag, _)| self.written.insert(*tag));
            pairs.extend(unwritten.map(|(kind, _, original)| (*kind, *original)));
        }
        originals::encode(pairs.into_iter(), TAG_BYTES)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        self.attempt("write a vault", |file| file.append(bytes))?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn attempt(
        &mut self,
        action: &'static str,
        operation: impl FnOnce(&mut dyn Stored) -> io::Result<()>,
    ) -> Result<(), VaultError> {
        if self.poisoned {
            return Err(VaultError::Poisoned { path: self.path.clone() });
        }
        operation(&mut *self.file).map_err(|source| {
            self.poisoned = true;
            VaultError::io(action, &self.path)(source)
        })
    }
}

fn header(name: &SegmentName, id: SegmentId, parameters: &VaultParameters<'_>) -> Header {
    let mut sealed_wrap = Vec::new();
    if !parameters.wrap.is_empty() {
        sealed_wrap.extend_from_slice(parameters.wrap);
        encrypt(&layout::wrap_key(parameters.shred_key, &id), 0, &mut sealed_wrap);
    }
    Header::new(id, name.kid(), parameters.tenant.to_owned(), parameters.kinds.to_vec(), sealed_wrap)
}
