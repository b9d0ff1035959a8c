//! Opening a vault, with both keys; and cutting one that a crash left.

use super::error::VaultError;
use super::layout::{self, Header};
use super::originals;
use crate::model::SegmentId;
use crate::primitives::crypto::decrypt;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Storage, Stored};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A vault that was read, still closed.
pub struct Vault {
    path: PathBuf,
    header: Header,
    bytes: Vec<u8>,
    /// Where the records start.
    records: usize,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Something that a token stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// Name of its kind.
    pub kind: String,
    /// Its canonical bytes, in clear.
    pub canonical: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Original({}, [{} bytes redacted])", self.kind, self.canonical.len())
    }
}

impl Vault {
    /// Reads the vault in that file.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if it has no whole header; [`VaultError::Io`] if it cannot be read.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<Self, VaultError> {
        let file = storage.open(path).map_err(VaultError::io("open a vault", path))?;
        let bytes = read_whole(&*file).map_err(VaultError::io("read a vault", path))?;
        let (header, records) =
            Header::decode(&bytes).ok_or_else(|| VaultError::damaged(path, "its header", 0))?;
        Ok(Self { path: path.to_owned(), header, bytes, records })
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Length and SHA-256 of the file: what its segment must say.
    #[must_use]
    pub fn mark(&self) -> (u64, [u8; 32]) {
        (self.bytes.len() as u64, Sha256::digest(&self.bytes).into())
    }

    /// Whether every record is as it was written, as far as that can be told without a key: each has a check.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] with the place of the first record that is not.
    pub fn check(&self) -> Result<(), VaultError> {
        let mut rest = &self.bytes[self.records..];
        while !rest.is_empty() {
            let offset = (self.bytes.len() - rest.len()) as u64;
            let record = layout::split_record(rest);
            (_, rest) = record.ok_or_else(|| VaultError::damaged(&self.path, "a record", offset))?;
        }
        Ok(())
    }

    /// Leaves out what follows the last whole record: somebody is writing it.
    pub fn forget_half_a_record(&mut self) {
        let whole = self.bytes.len() - behind_whole_records(&self.bytes[self.records..]).len();
        self.bytes.truncate(whole);
    }

    /// S as age wrapped it, for the custodian to unwrap; `None` if the owner of a key file keeps S.
    ///
    /// # Errors
    /// [`VaultError::WrongKey`] if H is that of another day.
    pub fn wrap(&self, shred_key: &Secret) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        if self.header.sealed_wrap.is_empty() {
            return Ok(None);
        }
        let wrap = self.header.unseal(shred_key);
        wrap.map(Some).ok_or_else(|| VaultError::WrongKey { path: self.path.clone() })
    }

    /// Everything in it, in no order that means anything.
    ///
    /// # Errors
    /// [`VaultError::WrongKey`] if S or H is another one; [`VaultError::Damaged`] with the place at which a
    /// record is not as it was written.
    pub fn originals(&self, secret: &Secret, shred_key: &Secret) -> Result<Vec<Original>, VaultError> {
        let mut originals = Vec::new();
        self.each_record(secret, shred_key, &mut |record| {
            originals.extend(record);
            ControlFlow::Continue(())
        })?;
        Ok(originals)
    }

    /// Hands the originals of one record after the other to `take`, until it has enough.
    ///
    /// # Errors
    /// As [`Vault::originals`].
    pub fn each_record(
        &self,
        secret: &Secret,
        shred_key: &Secret,
        take: &mut dyn FnMut(Vec<Original>) -> ControlFlow<()>,
    ) -> Result<(), VaultError> {
        let key = layout::record_key(secret, shred_key, &self.header.id);
        let (mut rest, mut number) = (&self.bytes[self.records..], 0);
        while !rest.is_empty() {
            let damaged =
                || VaultError::damaged(&self.path, "a record", self.bytes.len() as u64 - rest.len() as u64);
            let (encrypted, after) = layout::split_record(rest).ok_or_else(damaged)?;
            let record = decrypt(&key, number, encrypted.to_vec());
            let record = record.ok_or_else(|| VaultError::WrongKey { path: self.path.clone() })?;
            let mut originals = Vec::new();
            originals::decode(self.header.version, &record, &self.header.kinds, &mut originals)
                .ok_or_else(damaged)?;
            if take(originals).is_break() {
                break;
            }
            (rest, number) = (after, number + 1);
        }
        Ok(())
    }

    /// Whether S and H are those of it, as far as its first record tells.
    #[must_use]
    pub fn opens_with(&self, secret: &Secret, shred_key: &Secret) -> bool {
        // One that is damaged is no proof against the keys: whoever reads it is told.
        let Some((encrypted, _)) = layout::split_record(&self.bytes[self.records..]) else { return true };
        let key = layout::record_key(secret, shred_key, &self.header.id);
        decrypt(&key, 0, encrypted.to_vec()).is_some()
    }
}

/// What the vault in that file says of itself, without reading the rest of it.
///
/// # Errors
/// As [`Vault::open`].
pub fn header(storage: &dyn Storage, path: &Path) -> Result<Header, VaultError> {
    let file = storage.open(path).map_err(VaultError::io("open a vault", path))?;
    let length = file.length().map_err(VaultError::io("read a vault", path))?;
    let most = usize::try_from(length).unwrap_or(usize::MAX).min(LONGEST_HEADER_BYTES);
    let mut bytes = vec![0; most];
    file.read_at(0, &mut bytes).map_err(VaultError::io("read a vault", path))?;
    match Header::decode(&bytes) {
        Some((header, _)) => Ok(header),
        // A wrap to hundreds of recipients.
        None => Vault::open(storage, path).map(|vault| vault.header),
    }
}

/// A header with a wrap to twenty recipients has 3 KiB.
const LONGEST_HEADER_BYTES: usize = 16 << 10;

/// Cuts the vault in that file at its last whole record, durably. Its segment's id, length and SHA-256; `None`
/// if there is no vault, or not even a whole header: then no frame was ever written that needed it.
///
/// # Errors
/// If it cannot be read or cut.
pub fn cut(storage: &dyn Storage, path: &Path) -> Result<Option<(SegmentId, u64, [u8; 32])>, VaultError> {
    let mut file = match storage.edit(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(VaultError::io("open a vault", path))?,
    };
    let bytes = read_whole(&*file).map_err(VaultError::io("read a vault", path))?;
    let Some((header, records)) = Header::decode(&bytes) else { return Ok(None) };
    let rest = behind_whole_records(&bytes[records..]);
    let whole = &bytes[..bytes.len() - rest.len()];
    if !rest.is_empty() {
        file.truncate(whole.len() as u64).map_err(VaultError::io("cut a vault", path))?;
    }
    file.sync().map_err(VaultError::io("sync a vault", path))?;
    Ok(Some((header.id, whole.len() as u64, Sha256::digest(whole).into())))
}

fn behind_whole_records(records: &[u8]) -> &[u8] {
    let mut rest = records;
    while let Some((_, after)) = layout::split_record(rest) {
        rest = after;
    }
    rest
}

fn read_whole(file: &dyn Stored) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
