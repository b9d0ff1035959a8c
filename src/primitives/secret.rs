//! A 32-byte secret that is wiped when dropped and never printed.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes: an epoch secret S, a chain key C, a derived key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes a copy of the bytes; the caller must wipe its own, or use [`Secret::take`].
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes the bytes out of `bytes`, which is wiped.
    #[must_use]
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let secret = Self(*bytes);
        bytes.zeroize();
        secret
    }

    /// Returns the bytes. Do not copy them anywhere that outlives the call.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([32 bytes redacted])")
    }
}
