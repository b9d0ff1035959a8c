//! Vaults: what could name a person again, apart from the lines, for two parties together to open.
//!
//! A vault takes [`crate::pseudonym::Tokens`] and gives back their originals to whoever has the epoch secret
//! and the shred key. It knows no lines.
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
pub use writer::{Custody, VaultWriter};
