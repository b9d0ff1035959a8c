//! The Ed25519 key of one legal day (RFC 8032): made, kept for that day, then overwritten and removed. Its
//! public half goes into the ledger.

use super::FORMAT_VERSION;
use super::event::DayKey;
use crate::primitives::hex;
use crate::primitives::secret::Secret;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{SigningKey, VerifyingKey};
use jiff::civil::Date;

/// Returns the name of the key file, such as `key-2026-11-23`.
pub(super) fn file_name(day: Date) -> String {
    format!("{PREFIX}{day}")
}

/// Returns the day of a key file.
pub(super) fn day_of(file_name: &str) -> Option<Date> {
    file_name.strip_prefix(PREFIX)?.parse().ok()
}

/// Makes the key from 32 random bytes; it is wiped when dropped.
pub(super) fn signing_key(secret: &Secret) -> SigningKey {
    SigningKey::from_bytes(secret.expose())
}

/// Describes the key as the ledger records it.
pub(super) fn public(key: &SigningKey, day: Date, zone: &str) -> DayKey {
    let public = hex::encode(key.verifying_key().as_bytes());
    DayKey { version: FORMAT_VERSION, day, zone: zone.to_owned(), public }
}

/// Encodes a public key as `openssl` reads it: a SubjectPublicKeyInfo in PEM (RFC 8410).
#[must_use]
pub fn pem(key: &VerifyingKey) -> String {
    // Always succeeds: 32 bytes under a fixed object identifier.
    key.to_public_key_pem(LineEnding::LF).expect("a public key is PEM")
}

const PREFIX: &str = "key-";

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of the example in RFC 8410, 10.1, in PEM.
    #[test]
    fn the_example_of_the_standard() {
        let public: [u8; 32] =
            hex::decode("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1").unwrap();
        let expected = "-----BEGIN PUBLIC KEY-----\n\
                        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                        -----END PUBLIC KEY-----\n";
        assert_eq!(pem(&VerifyingKey::from_bytes(&public).unwrap()), expected);
    }

    #[test]
    fn a_file_is_named_after_its_day() {
        let day = jiff::civil::date(2026, 11, 23);
        assert_eq!(file_name(day), "key-2026-11-23");
        assert_eq!(day_of("key-2026-11-23"), Some(day));
        assert_eq!(day_of("key-x"), None);
        assert_eq!(day_of("lock"), None);
    }
}
