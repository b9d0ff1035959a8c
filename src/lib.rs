//! `oubliette`: a log pseudonymisation and retention filter.
//!
//! The path of a line, from left to right:
//!
//! ```text
//! input --Block--> scan --Line--> format --Record--> retention --Verdict--> detect --Findings--> pseudonym
//!   | too long                    | unknown: Raw     ^ rules/retention      ^ rules/identifiers   | ^ epoch secret
//!   v                                                                                             v Pseudonymised
//! quarantine (sealed)                                                           output, or archive and vault
//! ```
//!
//! Imports go to the right only:
//!
//! ```text
//! main -> cli -> jobs -> pipeline
//!     -> { input format rules detect pseudonym retention keyring quarantine archive vault ledger shred output telemetry }
//!     -> scan -> model -> primitives
//! ```
//!
//! The modules in braces do not import each other, except for a few types of `pseudonym`; `pipeline` and `jobs`
//! compose them.

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
