//! `oubliette`: the log pseudonymisation and retention filter.
//!
//! The modules stand in the order in which a line meets them:
//!
//! ```text
//! input --Block--> format --Record--> detect --Findings--> pseudonym --Pseudonymised--> stdout
//!   | too long       | unknown: Raw      ^ rules/identifiers  ^ epoch secret
//!   v                                                          ^ retention: class, expiry, tag
//! quarantine (sealed)
//! ```
//!
//! Imports go to the right only:
//! `main -> cli -> jobs -> pipeline -> { input format rules detect pseudonym retention keyring quarantine archive vault ledger shred output telemetry } -> scan -> model -> primitives`.
//! The modules in braces do not know each other; `pipeline` and `jobs` compose them.

pub mod cli;
pub mod jobs;
pub mod pipeline;

pub mod archive;
pub mod detect;
pub mod format;
pub mod input;
pub mod keyring;
pub mod ledger;
pub mod output;
pub mod pseudonym;
pub mod quarantine;
pub mod retention;
pub mod rules;
pub mod shred;
pub mod telemetry;
pub mod vault;

pub mod scan;

pub mod model;
pub mod primitives;
