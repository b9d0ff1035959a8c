//! Vaults: the originals of tokens, stored apart from the lines; opening one takes two secrets held by
//! different parties.
//!
//! A vault accepts [`crate::pseudonym::Tokens`] and returns their originals only to a caller that has both
//! the epoch secret and the shred key. This module knows no lines.
#![doc = include_str!("FORMAT.md")]

mod addresses;
mod error;
mod layout;
mod originals;
mod reader;
mod records;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{CODES, DAMAGED, KEY, UNREADABLE, VaultError};
pub use layout::Header;
pub use reader::{Original, Vault, cut, header};
pub use writer::{VaultParameters, VaultWriter};
