//! The commands: settings -> job -> report.

mod access;
mod archive;
pub(crate) mod batch;
pub(crate) mod check;
mod clear;
#[cfg_attr(not(feature = "kafka"), path = "no_collect.rs")]
pub(crate) mod collect;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod filter;
mod foreign;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod lifecycle;
pub(crate) mod man;
pub(crate) mod purge;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod serve;
mod site;
mod status;
pub(crate) mod token;
pub(crate) mod vaults;
pub(crate) mod verify;

// Commands for the legal department and the data protection officer.
mod bundle;
mod gaps;
pub(crate) mod subject;
