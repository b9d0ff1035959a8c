//! Pseudonyms: findings in, `Pseudonymised` bytes out.

pub mod epoch;
pub mod token;
