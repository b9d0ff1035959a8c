//! Encodes and decodes the header and the keys of a vault: FORMAT.md. Does no I/O.

use crate::model::SegmentId;
use crate::primitives::byte_map;
use crate::primitives::crypto::{decrypt, hkdf, hkdf_salted};
use crate::primitives::secret::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const SIGNATURE: &[u8; 8] = b"OUBLVLT\0";
/// The version written; older ones are still read.
const VERSION: u16 = 2;

/// Fields in order, with their lengths in bytes. FORMAT.md has the same table, and a test compares the two.
pub(super) const FIXED: [(&str, usize); 7] = [
    ("signature", 8),
    ("version", 2),
    ("flags", 2),
    ("wrap bytes", 4),
    ("segment id", 16),
    ("text bytes", 4),
    ("check", 8),
];
pub(super) const RECORD: [(&str, usize); 2] = [("record bytes", 4), ("record check", 8)];
pub(super) const FIXED_BYTES: usize = byte_map::length(&FIXED);
pub(super) const RECORD_HEADER_BYTES: usize = byte_map::length(&RECORD);
const CHECK_OFFSET: usize = 36;
const TEXTS: usize = 3;

/// The header of a vault, which is in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format of its records.
    pub(super) version: u16,
    /// Id of the segment that the vault belongs to.
    pub id: SegmentId,
    /// The key id, which names the epoch and its secret.
    pub kid: String,
    /// The tenant whose tokens the vault holds.
    pub tenant: String,
    /// Names of the kinds, by index.
    pub kinds: Vec<String>,
    /// S wrapped with age and sealed under H; empty if the owner of a key file keeps S.
    pub sealed_wrap: Vec<u8>,
}

impl Header {
    /// Creates a header of the current version.
    pub(super) fn new(
        id: SegmentId,
        kid: String,
        tenant: String,
        kinds: Vec<String>,
        sealed_wrap: Vec<u8>,
    ) -> Self {
        Self { version: VERSION, id, kid, tenant, kinds, sealed_wrap }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut texts = Vec::with_capacity(128);
        let kinds = self.kinds.join(",");
        for text in [&self.kid, &self.tenant, &kinds] {
            // At most 255 kinds of at most 8 letters; a tenant is shorter still.
            texts.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
            texts.extend_from_slice(text.as_bytes());
        }
        let mut bytes = Vec::with_capacity(FIXED_BYTES + texts.len() + self.sealed_wrap.len());
        bytes.extend_from_slice(SIGNATURE);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&count(self.sealed_wrap.len()).to_le_bytes());
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&count(texts.len()).to_le_bytes());
        let check = check(&[&bytes, &texts, &self.sealed_wrap]);
        bytes.extend_from_slice(&check);
        bytes.extend_from_slice(&texts);
        bytes.extend_from_slice(&self.sealed_wrap);
        bytes
    }

    /// Returns whether H may be the shred key of the vault's day and node: it opens the wrap, or there is no
    /// wrap to test it on.
    #[must_use]
    pub fn may_open_with(&self, shred_key: &Secret) -> bool {
        self.sealed_wrap.is_empty() || self.unseal(shred_key).is_some()
    }

    /// Returns the wrap as age made it; `None` if H is another one.
    pub(super) fn unseal(&self, shred_key: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        decrypt(&wrap_key(shred_key, &self.id), 0, self.sealed_wrap.clone())
    }

    /// Decodes the header at the start of `bytes` and returns it with its length; `None` if there is no whole
    /// header.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (fixed, rest) = bytes.split_at_checked(FIXED_BYTES)?;
        let number = |at: usize| Some(u32::from_le_bytes(*fixed.get(at..)?.first_chunk()?) as usize);
        let version = u16::from_le_bytes(*fixed[8..].first_chunk()?);
        if !fixed.starts_with(SIGNATURE) || !(1..=VERSION).contains(&version) || fixed[10..12] != [0, 0] {
            return None;
        }
        let (wrap_bytes, text_bytes) = (number(12)?, number(32)?);
        let (texts, rest) = rest.split_at_checked(text_bytes)?;
        let sealed_wrap = rest.get(..wrap_bytes)?;
        if fixed[CHECK_OFFSET..] != check(&[&fixed[..CHECK_OFFSET], texts, sealed_wrap]) {
            return None;
        }
        let [kid, tenant, kinds] = decode_texts(texts)?;
        let kinds = kinds.split(',').map(str::to_owned).collect();
        let id = SegmentId(*fixed[16..].first_chunk()?);
        let sealed_wrap = sealed_wrap.to_vec();
        Some((Self { version, id, kid, tenant, kinds, sealed_wrap }, FIXED_BYTES + text_bytes + wrap_bytes))
    }
}

fn decode_texts(mut bytes: &[u8]) -> Option<[String; TEXTS]> {
    let mut texts = [const { String::new() }; TEXTS];
    for text in &mut texts {
        let (length, rest) = bytes.split_first_chunk()?;
        let (found, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        *text = std::str::from_utf8(found).ok()?.to_owned();
        bytes = rest;
    }
    bytes.is_empty().then_some(texts)
}

/// Derives the key of the records.
pub(super) fn record_key(secret: &Secret, shred_key: &Secret, id: &SegmentId) -> Secret {
    hkdf_salted(secret, shred_key, format!("oubliette/1/vault/{id}").as_bytes())
}

/// Derives the key that seals the wrap.
pub(super) fn wrap_key(shred_key: &Secret, id: &SegmentId) -> Secret {
    hkdf(shred_key, format!("oubliette/1/wrap/{id}").as_bytes())
}

/// Encodes the header of a record.
pub(super) fn record_header(encrypted: &[u8]) -> Vec<u8> {
    [&count(encrypted.len()).to_le_bytes()[..], &check(&[encrypted])].concat()
}

/// Returns the check of a record or header: the first eight bytes of SHA-256. It guards against accidents;
/// the segment's seal guards against intent.
pub(super) fn check(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    let mut check = [0; 8];
    check.copy_from_slice(&digest[..8]);
    check
}

/// Returns the number as the format stores it; a record is far below 4 GiB.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
