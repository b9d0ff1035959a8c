//! What the archive needs from the keys of the node: a seal for a segment, a shred key for an expiry day.
//!
//! The archive and the vault use these traits; the ledger and the store of shred keys implement them, so that
//! neither side depends on the other.

use super::Expires;
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use jiff::Timestamp;
use jiff::civil::Date;

/// The label that precedes the digest in the message that is signed.
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

/// Signs segments with the key of the legal day.
pub trait Sealer: Send {
    /// The digest of the segment that was last sealed on this node; zeros if there is none. The next segment
    /// names it, so that a missing segment is noticed.
    ///
    /// # Errors
    /// Fails if the digest cannot be determined.
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic>;

    /// Signs [`Seal::message`] of `digest` with the key of the legal day of `now`.
    ///
    /// # Errors
    /// Fails if there is no key for that day; the segment stays a part then.
    fn seal(&mut self, now: Timestamp, digest: &[u8; 32]) -> Result<Seal, Diagnostic>;

    /// Durably records that the segment `name`, a path within the archive, has this digest. Called once the
    /// signed segment is durable, so that a crash before the call leaves a segment without a record, not a
    /// record without its segment.
    ///
    /// # Errors
    /// Fails if the record cannot be stored; the segment stays a part then.
    fn record(&mut self, now: Timestamp, name: &str, digest: &[u8; 32]) -> Result<(), Diagnostic>;

    /// Whether [`Sealer::record`] was called for this segment with this digest, by any process.
    ///
    /// # Errors
    /// Fails if that cannot be determined.
    fn knows(&mut self, name: &str, digest: &[u8; 32]) -> Result<bool, Diagnostic>;
}

/// The shred keys H of the node, one per expiry day.
pub trait ShredKeys: Send {
    /// The shred key H of `expires`. It is created durably if it does not exist. Returns `None` once that day
    /// has come, because expired lines are not stored.
    ///
    /// # Errors
    /// Fails if the key cannot be read or created, or was erased before its day.
    fn key_for(&mut self, expires: Expires) -> Result<Option<Secret>, Diagnostic>;
}
