//! `oubliette archive` of a build without Kafka: says what to build.

use crate::cli::args::{CollectArgs, Common};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use crate::jobs::collect;

/// Refuses.
pub(crate) fn run(_report: Report, _common: &Common, args: &CollectArgs) -> Result<Exit, Stop> {
    Err(collect::not_built(args.kafka.clone()).into())
}
