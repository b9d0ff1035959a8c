//! The output of type `kafka` in a build without Kafka, which is refused.

use crate::cli::config::Output;
use crate::cli::settings::Settings;
use crate::jobs::collect;
use crate::pipeline::{Outlet, OutletSettings};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use std::sync::Arc;

/// Refuses the output.
pub(super) fn start(
    output: &Output,
    _: OutletSettings,
    _: &Settings,
    _: &Arc<dyn Storage>,
) -> Result<Outlet, Diagnostic> {
    Err(collect::not_built(format!("the output `{}`", output.name.0)))
}
