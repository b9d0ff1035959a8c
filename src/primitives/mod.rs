//! What every layer may use: the clock, secrets, diagnostics, cryptographic formulas.

pub mod clock;
pub mod crypto;
pub mod diag;
pub mod hex;
pub mod recipient;
pub mod secret;
