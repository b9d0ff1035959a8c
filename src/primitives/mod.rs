//! Primitives that every layer may use: the clock, secrets, diagnostics, storage, cryptographic formulas.

pub mod byte_map;
pub mod clock;
pub mod crypto;
pub mod diag;
pub mod hex;
pub mod key_set;
#[cfg(feature = "kafka")]
pub mod librdkafka;
pub mod lock;
pub mod private_folder;
pub(crate) mod processor;
pub mod recipient;
mod redaction;
pub mod relp;
pub mod secret;
pub mod socket_file;
pub mod storage;
pub mod tag_set;
