//! What was typed for the commands of a fleet: `batch`.

use super::{Reading, Tokens};
use clap::{Args, Subcommand, ValueHint};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The commands of a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Pseudonymise old logs: a list of files in, a manifest out
    ///
    /// Reads paths from standard input and filters each file, plain, gzip or zstd, as `filter --backfill` would, into a zstd file, whole or not at all. What
    /// was done before, of the same bytes, is skipped and said: run the whole list again after a crash.
    ///
    /// Start many at once, with `xargs -P` or Spark's pipe(cmd, checkCode=True): with one key file, seed or state
    /// directory their tokens are equal. Exits 0 though lines were quarantined; --check tells, and exits 1.
    #[command(
        after_help = "Example: find /srv/old -name '*.gz' | oubliette batch --out /srv/new > manifest.jsonl"
    )]
    Batch(BatchArgs),
}

/// `batch`.
#[derive(Args, Debug)]
pub(crate) struct BatchArgs {
    /// Write outputs into DIR, made if it is missing
    ///
    /// The name of an output is made of the SHA-256 of its input's path as it is typed, so it names nobody.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "OUTPUT")]
    #[arg(required_unless_present = "check")]
    pub(crate) out: Option<PathBuf>,

    /// Compare manifests with the list and the outputs, all of which are read (repeatable)
    ///
    /// Writes nothing. Exits 1 if an object is missing, has changed, or has quarantined lines.
    #[arg(long, value_name = "MANIFEST", value_hint = ValueHint::FilePath, conflicts_with = "out")]
    #[arg(help_heading = "OUTPUT")]
    pub(crate) check: Vec<PathBuf>,

    /// Compression level of zstd, 1 to 19 [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=19))]
    #[arg(help_heading = "OUTPUT", hide_short_help = true)]
    pub(crate) level: Option<i32>,

    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Threads that work on an object [default: 1, for many processes run at once]
    #[arg(long, value_name = "N", help_heading = "INPUT", hide_short_help = true)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}
