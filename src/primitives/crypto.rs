//! Cryptographic formulas, by name and source.

use super::secret::Secret;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Computes `HKDF-SHA256(ikm, salt = none, info)`, 32 bytes (RFC 5869).
#[must_use]
pub fn hkdf(ikm: &Secret, info: &[u8]) -> Secret {
    let mut okm = [0; 32];
    hkdf_into(ikm, info, &mut okm);
    Secret::take(&mut okm)
}

/// Computes `HKDF-SHA256(ikm, salt, info)`, 32 bytes (RFC 5869). The result cannot be derived without both
/// secrets.
#[must_use]
pub fn hkdf_salted(ikm: &Secret, salt: &Secret, info: &[u8]) -> Secret {
    let mut okm = [0; 32];
    let expanded = Hkdf::<Sha256>::new(Some(salt.expose()), ikm.expose()).expand(info, &mut okm);
    assert!(expanded.is_ok(), "32 bytes are one block");
    Secret::take(&mut okm)
}

/// Computes `HKDF-SHA256(ikm, salt = none, info)`, `okm.len()` bytes.
///
/// # Panics
/// If `okm` is longer than 8160 bytes (RFC 5869, 255 blocks); callers ask for at most 32.
pub fn hkdf_into(ikm: &Secret, info: &[u8], okm: &mut [u8]) {
    let expanded = Hkdf::<Sha256>::new(None, ikm.expose()).expand(info, okm);
    assert!(expanded.is_ok(), "HKDF output longer than 255 blocks");
}

/// Bytes that [`encrypt`] adds to a message.
pub const TAG_BYTES: usize = 16;

/// Encrypts `message` in place and appends the tag: AEAD_CHACHA20_POLY1305 (RFC 8439, 2.8) without associated
/// data. The nonce is `number`, which must never repeat under one key.
///
/// # Panics
/// If the message is longer than 256 GiB; callers' messages are at most a few MiB.
pub fn encrypt(key: &Secret, number: u64, message: &mut Vec<u8>) {
    let encrypted = cipher(key).encrypt_in_place(&nonce(number), &[], message);
    assert!(encrypted.is_ok(), "ChaCha20-Poly1305 message longer than 256 GiB");
}

/// Reverses [`encrypt`]; `None`, and nothing of the message, if the tag does not match.
#[must_use]
pub fn decrypt(key: &Secret, number: u64, mut message: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
    cipher(key).decrypt_in_place(&nonce(number), &[], &mut message).ok()?;
    Some(Zeroizing::new(message))
}

fn cipher(key: &Secret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.expose().into())
}

/// Builds the 96-bit nonce: four zero bytes, then the number in little-endian order.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_opens_under_its_key_and_number_alone() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let mut message = b"message".to_vec();
        encrypt(&key, 7, &mut message);
        assert_eq!(message.len(), 7 + 16);
        assert_eq!(decrypt(&key, 7, message.clone()).unwrap().as_slice(), b"message");
        assert!(decrypt(&key, 8, message.clone()).is_none());
        assert!(decrypt(&other, 7, message.clone()).is_none());
        message[0] ^= 1;
        assert!(decrypt(&key, 7, message).is_none());
    }

    /// RFC 5869 has no test vector with a salt and a key of 32 bytes each. What could be wrong is the order
    /// of the arguments, so they are swapped here.
    #[test]
    fn salt_and_key_differ() {
        let (first, second) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let derived = hkdf_salted(&first, &second, b"info");
        assert_ne!(derived.expose(), hkdf_salted(&second, &first, b"info").expose());
        assert_ne!(derived.expose(), hkdf(&first, b"info").expose());
        let (prk, _) = Hkdf::<Sha256>::extract(Some(second.expose()), first.expose());
        let mut expected = [0; 32];
        Hkdf::<Sha256>::from_prk(&prk).unwrap().expand(b"info", &mut expected).unwrap();
        assert_eq!(derived.expose(), &expected);
    }
}
