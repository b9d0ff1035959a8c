//! The commands: settings -> job -> report.

pub(crate) mod completions;
pub(crate) mod man;
