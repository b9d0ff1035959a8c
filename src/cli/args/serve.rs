//! Arguments of the sidecar.

use super::{Reading, Tokens};
use clap::Args;
use std::num::NonZeroUsize;

/// `serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Threads that process lines [default: one per core]
    #[arg(long, value_name = "N", value_parser = super::workers, help_heading = "INPUT", hide_short_help = true)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}
