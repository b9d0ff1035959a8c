//! What the archive asks of the keys of the node: a seal on a segment, a shred key for an expiry day.
//!
//! The archive and the vault use these traits; the ledger and the store of shred keys implement them. So
//! neither side knows the other.

use super::Expires;
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use jiff::Timestamp;
use jiff::civil::Date;

/// What a segment's seal stands for: the words and the digest that are signed.
const SEAL_LABEL: &[u8; 20] = b"oubliette/1/segment\0";

/// An Ed25519 signature (RFC 8032) by the key of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The legal day whose key signed.
    pub day: Date,
    /// The public key of that day.
    pub key: [u8; 32],
    /// The signature over [`Seal::message`] of the digest.
    pub signature: [u8; 64],
}

impl Seal {
    /// The bytes that are signed for `digest`: `"oubliette/1/segment" || 0x00 || digest`.
    #[must_use]
    pub fn message(digest: &[u8; 32]) -> [u8; 52] {
        let mut message = [0; 52];
        message[..20].copy_from_slice(SEAL_LABEL);
        message[20..].copy_from_slice(digest);
        message
    }
}

/// Signs segments with the key of the day.
pub trait Sealer: Send {
    /// The digest that was sealed last on this node, which the next segment names: so a segment that is
    /// missing is missed. Zeros if there was none.
    ///
    /// # Errors
    /// If that cannot be known.
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic>;

    /// Signs [`Seal::message`] of `digest` with the key of the legal day of `now`.
    ///
    /// # Errors
    /// If there is no key of that day: the segment stays a part then.
    fn seal(&mut self, now: Timestamp, digest: &[u8; 32]) -> Result<Seal, Diagnostic>;

    /// Keeps in mind, durably, that the segment `name`, a path within the archive, has that digest. Called when
    /// the signed segment is durable: a crash before it leaves a segment that nobody knows of, and not a seal
    /// without its segment.
    ///
    /// # Errors
    /// If the fact cannot be kept: the segment stays a part then.
    fn record(&mut self, now: Timestamp, name: &str, digest: &[u8; 32]) -> Result<(), Diagnostic>;

    /// Whether [`Sealer::record`] was called for that very segment, by whatever process.
    ///
    /// # Errors
    /// If that cannot be known.
    fn knows(&mut self, name: &str, digest: &[u8; 32]) -> Result<bool, Diagnostic>;
}

/// The shred keys H of the node, one an expiry day.
pub trait ShredKeys: Send {
    /// H of `expires`; made, durably, if there is none yet. `None` once that day has come: what has expired is
    /// not stored.
    ///
    /// # Errors
    /// If it cannot be read or made, or was erased although its day has not come.
    fn key_for(&mut self, expires: Expires) -> Result<Option<Secret>, Diagnostic>;
}
