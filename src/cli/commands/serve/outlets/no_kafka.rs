//! The output of type `kafka` in a build without Kafka, which is refused.

use crate::cli::config::Output;
use crate::cli::settings::Settings;
use crate::jobs::collect;
use crate::pipeline::{Outlet, OutletSettings};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use std::sync::Arc;

/// Refuses the output.
pub(super) fn refuse(output: &Output, _: &Settings) -> Result<(), Diagnostic> {
    Err(not_built(output))
}

/// Refuses the output.
pub(super) fn start(
    output: &Output,
    _: OutletSettings,
    _: &Settings,
    _: &Arc<dyn Storage>,
) -> Result<Outlet, Diagnostic> {
    Err(not_built(output))
}

fn not_built(output: &Output) -> Diagnostic {
    collect::not_built(format!("the output `{}`", output.name.0))
}
