//! Cryptographic formulas by name and source.

use super::secret::Secret;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

/// `HKDF-SHA256(ikm, salt = none, info)`, 32 bytes (RFC 5869).
#[must_use]
pub fn hkdf(ikm: &Secret, info: &[u8]) -> Secret {
    let mut okm = [0; 32];
    hkdf_into(ikm, info, &mut okm);
    let secret = Secret::new(okm);
    okm.zeroize();
    secret
}

/// `HKDF-SHA256(ikm, salt = none, info)` of `okm.len()` bytes.
///
/// # Panics
/// If more than 8160 bytes are asked for (RFC 5869, 255 blocks); callers ask for at most 32.
pub fn hkdf_into(ikm: &Secret, info: &[u8], okm: &mut [u8]) {
    let expanded = Hkdf::<Sha256>::new(None, ikm.expose()).expand(info, okm);
    assert!(expanded.is_ok(), "HKDF output longer than 255 blocks");
}
