//! `oubliette archive` in a build without Kafka: names the feature that is missing.

use crate::cli::args::{CollectArgs, Common};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use crate::jobs::collect;

/// Refuses the command.
pub(crate) fn run(_report: Report, _common: &Common, args: &CollectArgs) -> Result<Exit, Stop> {
    Err(collect::not_built(args.kafka.clone()).into())
}
