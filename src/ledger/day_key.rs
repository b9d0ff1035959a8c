//! The Ed25519 key of one legal day (RFC 8032): made, kept as long as its day, then overwritten and
//! removed. Its public half goes into the ledger.

use super::FORMAT_VERSION;
use super::event::DayKey;
use crate::primitives::hex;
use crate::primitives::secret::Secret;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{SigningKey, VerifyingKey};
use jiff::civil::Date;

/// `key-2026-11-23`
pub(super) fn file_name(day: Date) -> String {
    format!("{PREFIX}{day}")
}

/// The day of a key file.
pub(super) fn day_of(file_name: &str) -> Option<Date> {
    file_name.strip_prefix(PREFIX)?.parse().ok()
}

/// The key that 32 random bytes make; wiped when it is dropped.
pub(super) fn signing_key(secret: &Secret) -> SigningKey {
    SigningKey::from_bytes(secret.expose())
}

/// How the ledger names it.
pub(super) fn public(key: &SigningKey, day: Date, zone: &str) -> DayKey {
    let public = hex::encode(key.verifying_key().as_bytes());
    DayKey { version: FORMAT_VERSION, day, zone: zone.to_owned(), public }
}

/// A public key as `openssl` reads it: PEM of a SubjectPublicKeyInfo (RFC 8410).
#[must_use]
pub fn pem(key: &VerifyingKey) -> String {
    // 32 bytes under a fixed object identifier: they always encode.
    key.to_public_key_pem(LineEnding::LF).expect("a public key is PEM")
}

const PREFIX: &str = "key-";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, 10.1: the public key of that example, in PEM.
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
