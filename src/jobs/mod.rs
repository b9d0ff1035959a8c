//! The use cases, built on the layers below. They neither print nor read the command line.

pub mod archive;
pub mod batch;
pub mod bundle;
pub mod check;
pub mod collect;
pub mod custody;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod hold;
pub mod init;
pub mod keys;
pub mod ledger;
pub mod lifecycle;
pub mod purge;
pub mod recognition;
pub mod replay;
pub mod report;
mod retention_samples;
mod rule_samples;
#[cfg(test)]
mod scene;
pub mod serve;
pub mod subject;
pub mod token;
pub mod vaults;
pub mod verify;

use crate::primitives::diag::Code;

/// All error codes of this module.
pub const CODES: &[&Code] = &[
    &check::SAMPLE,
    &check::OVERLAP,
    &token::NO_IDENTIFIER,
    &UNKNOWN_KIND,
    &archive::NOBODY_OPENS,
    &archive::ANONYMISED,
    &verify::CHANGED,
    &serve::CANNOT_START,
    &serve::WAITS,
];

/// R10: the name of a kind that no rule finds.
pub static UNKNOWN_KIND: Code = Code {
    id: "R10",
    title: "no rule finds this kind",
    text: "\
What it means
  `--also`, or `also` in the configuration, names a kind that no loaded rule finds.

Why it matters
  Identifiers of that kind would stay in clear, though you asked for their replacement. So oubliette
  does not start.

Example
  oubliette filter --also user      the kind is called usr

What to do
  Correct the name; or add a rule with a group of that name in `--rules DIR/identifiers/`.

References
  docs/detection.md",
};
