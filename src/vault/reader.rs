//! Opens a vault with both keys, and cuts one that a crash left.

use super::error::VaultError;
use super::layout::{self, Header, RECORD_HEADER_BYTES};
use super::originals;
use super::records::{Placed, records};
use crate::model::SegmentId;
use crate::primitives::crypto::decrypt;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Storage, Stored, if_there};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A vault read into memory, not decrypted yet.
pub struct Vault {
    path: PathBuf,
    header: Header,
    bytes: Vec<u8>,
    /// Offset at which the records start.
    records: usize,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The original of a token.
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
    /// Reads the vault at `path`.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if it has no whole header; [`VaultError::Unreadable`] or [`VaultError::Io`] if
    /// it cannot be read.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<Self, VaultError> {
        let file = storage.open(path).map_err(VaultError::reading("open a vault", path))?;
        let bytes = read_whole(&*file).map_err(VaultError::reading("read a vault", path))?;
        let (header, records) =
            Header::decode(&bytes).ok_or_else(|| VaultError::damaged(path, "its header", 0))?;
        Ok(Self { path: path.to_owned(), header, bytes, records })
    }

    /// Reads the vault at `path` up to the end of its first record, which is enough for
    /// [`Vault::opens_with`].
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_beginning(storage: &dyn Storage, path: &Path) -> Result<Self, VaultError> {
        let vault = beginning(storage, path, LONGEST_HEADER_BYTES)?;
        let length = vault.bytes.get(vault.records..).and_then(|record| record.first_chunk());
        let length = length.map_or(0, |length| u32::from_le_bytes(*length) as usize);
        beginning(storage, path, vault.records + RECORD_HEADER_BYTES + length)
    }

    /// Returns whether there is a whole record, so that [`Vault::opens_with`] proves something.
    #[must_use]
    pub fn has_a_record(&self) -> bool {
        self.records().any(|placed| placed.is_whole)
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the length and SHA-256 of the file, which its segment must state.
    #[must_use]
    pub fn mark(&self) -> (u64, [u8; 32]) {
        (self.bytes.len() as u64, Sha256::digest(&self.bytes).into())
    }

    /// Checks every record as far as possible without a key, by the check that each record has.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] with the place of the first damaged record.
    pub fn check(&self) -> Result<(), VaultError> {
        match self.records().find(|placed| !placed.is_whole || !placed.is_intact) {
            None => Ok(()),
            Some(damaged) => Err(VaultError::damaged(&self.path, RECORD, damaged.offset as u64)),
        }
    }

    /// Checks that the vault is as long as it was when it was closed: records cut off at the end leave no
    /// other trace.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] with the offset of its end, if it is shorter.
    pub fn demand_bytes(&self, bytes: u64) -> Result<(), VaultError> {
        let length = self.bytes.len() as u64;
        if length < bytes { Err(VaultError::damaged(&self.path, "its end", length)) } else { Ok(()) }
    }

    /// Drops what follows the last whole record: a writer is still writing it, or crashed while writing it.
    pub fn forget_half_a_record(&mut self) {
        let last = self.records().filter(|placed| placed.is_whole).last();
        let whole = last.map_or(self.records, |placed| placed.end);
        self.bytes.truncate(whole);
    }

    /// Returns S as age wrapped it, for the custodian to unwrap; `None` if the owner of a key file keeps S.
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

    /// Returns all originals, in no meaningful order.
    ///
    /// # Errors
    /// As [`Vault::each_record`].
    pub fn originals(&self, secret: &Secret, shred_key: &Secret) -> Result<Vec<Original>, VaultError> {
        let mut originals = Vec::new();
        self.each_record(secret, shred_key, &mut |record| {
            originals.extend(record);
            ControlFlow::Continue(())
        })?;
        Ok(originals)
    }

    /// Passes the originals of each record to `take` until it breaks. Covers every record that decryption
    /// authenticates, including those after a damaged one.
    ///
    /// # Errors
    /// [`VaultError::WrongKey`] if S or H is another one; `take` was not called. [`VaultError::Damaged`] with
    /// the place of the first damaged record; `take` was given all others.
    pub fn each_record(
        &self,
        secret: &Secret,
        shred_key: &Secret,
        take: &mut dyn FnMut(Vec<Original>) -> ControlFlow<()>,
    ) -> Result<(), VaultError> {
        let key = layout::record_key(secret, shred_key, &self.header.id);
        let (mut opens, mut uncounted) = (false, 0);
        let (mut damage, mut lost_bytes) = (None, 0);
        for placed in self.records() {
            let originals = self.open_record(&key, &placed, &mut uncounted);
            if originals.is_none() || !placed.is_whole || !placed.is_intact {
                damage.get_or_insert(placed.offset);
            }
            let Some(originals) = originals else {
                lost_bytes += placed.end - placed.offset;
                continue;
            };
            opens = true;
            if take(originals).is_break() {
                return Ok(());
            }
        }
        match damage {
            None => Ok(()),
            Some(_) if !opens && self.records().any(|placed| placed.is_whole) => {
                Err(VaultError::WrongKey { path: self.path.clone() })
            }
            Some(offset) => {
                let (path, offset, lost) = (self.path.clone(), offset as u64, Some(lost_bytes as u64));
                Err(VaultError::Damaged { path, what: RECORD, offset, lost })
            }
        }
    }

    /// Returns whether S and H open the vault, as far as its first whole record shows.
    #[must_use]
    pub fn opens_with(&self, secret: &Secret, shred_key: &Secret) -> bool {
        let key = layout::record_key(secret, shred_key, &self.header.id);
        // A vault without a whole record proves nothing against the keys; reading it reports the damage.
        let mut whole = self.records().filter(|placed| placed.is_whole);
        whole.next().is_none_or(|placed| self.open_record(&key, &placed, &mut 0).is_some())
    }

    /// Decrypts a record and returns its originals, if it is authentic.
    ///
    /// `lost` is the number of lost records before it that is known so far: records in a damaged stretch
    /// cannot be counted, so the record's true number is found by trial.
    fn open_record(&self, key: &Secret, placed: &Placed<'_>, lost: &mut u64) -> Option<Vec<Original>> {
        let decrypted = |lost| decrypt(key, placed.number + lost, placed.encrypted.to_vec());
        let most = placed.unsure.min(*lost + MOST_LOST);
        let (number, record) = (*lost..=most).find_map(|lost| Some((lost, decrypted(lost)?)))?;
        *lost = number;
        let mut originals = Vec::new();
        originals::decode(self.header.version, &record, &self.header.kinds, &mut originals)?;
        Some(originals)
    }

    fn records(&self) -> impl Iterator<Item = Placed<'_>> {
        records(&self.bytes, self.records)
    }
}

const RECORD: &str = "a record";

/// Most records assumed to be lost in one place.
const MOST_LOST: u64 = 1024;

/// Reads only the header of the vault at `path`.
///
/// # Errors
/// As [`Vault::open`].
pub fn header(storage: &dyn Storage, path: &Path) -> Result<Header, VaultError> {
    beginning(storage, path, LONGEST_HEADER_BYTES).map(|vault| vault.header)
}

/// Reads the first `most` bytes of the vault at `path`.
fn beginning(storage: &dyn Storage, path: &Path, most: usize) -> Result<Vault, VaultError> {
    let file = storage.open(path).map_err(VaultError::reading("open a vault", path))?;
    let length = file.length().map_err(VaultError::reading("read a vault", path))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(most)];
    file.read_at(0, &mut bytes).map_err(VaultError::reading("read a vault", path))?;
    match Header::decode(&bytes) {
        Some((header, records)) => Ok(Vault { path: path.to_owned(), header, bytes, records }),
        // The header may be longer: a wrap to hundreds of recipients.
        None => Vault::open(storage, path),
    }
}

/// Bytes read for a header. One with a wrap to twenty recipients has 3 KiB.
const LONGEST_HEADER_BYTES: usize = 16 << 10;
/// Cuts the vault at `path` after its last whole record, durably.
///
/// Damage before that record stays, since the records after it still open. Returns the segment's id, and the
/// vault's length and SHA-256; `None` if there is no vault, or no whole header: then either no frame that
/// needs it was ever written, or the header is damaged.
///
/// # Errors
/// If it cannot be read or cut.
pub fn cut(storage: &dyn Storage, path: &Path) -> Result<Option<(SegmentId, u64, [u8; 32])>, VaultError> {
    let opened = if_there(storage.edit(path)).map_err(VaultError::io("open a vault", path))?;
    let Some(mut file) = opened else { return Ok(None) };
    let bytes = read_whole(&*file).map_err(VaultError::io("read a vault", path))?;
    let length = bytes.len() as u64;
    let Some((header, records)) = Header::decode(&bytes) else { return Ok(None) };
    let mut vault = Vault { path: path.to_owned(), header, bytes, records };
    vault.forget_half_a_record();
    let (whole, digest) = vault.mark();
    if whole < length {
        file.truncate(whole).map_err(VaultError::io("cut a vault", path))?;
    }
    file.sync().map_err(VaultError::io("sync a vault", path))?;
    Ok(Some((vault.header.id, whole, digest)))
}

fn read_whole(file: &dyn Stored) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
