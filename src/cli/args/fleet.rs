//! Arguments of the commands for a fleet: `batch`, `archive`, `lifecycle`, `vaults`.

use super::{ArchivePlace, Reading, Tokens};
use crate::model::ClassName;
use clap::{Args, Subcommand, ValueHint};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The commands of a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Pseudonymise old logs: read a list of files, print a manifest
    ///
    /// Reads paths from standard input. Filters each file (plain, gzip or zstd) as `filter --backfill` would, into a zstd
    /// file, whole or not at all. Skips, and reports, files that are done already and have not changed: after a crash, run the
    /// whole list again.
    ///
    /// Start many at once, with `xargs -P` or Spark's pipe(cmd, checkCode=True): with one key file, seed or state
    /// directory, their tokens are equal. Exits with 0 even if lines were quarantined; --check reports them, and exits with 1.
    #[command(
        after_help = "Example: find /srv/old -name '*.gz' | oubliette batch --out /srv/new > manifest.jsonl"
    )]
    Batch(BatchArgs),

    /// Store the records that nodes sent to Kafka in object storage, each once
    ///
    /// Runs as a worker of a consumer group: start as many as you like, kill any. Prints a line of JSON for each segment.
    /// Needs a build with the feature `kafka`. Takes the credentials of the store from the environment (AWS_...).
    #[command(
        after_help = "Example: oubliette archive --kafka broker:9092 --topic logs.connection=connection --s3 s3://logs/fleet"
    )]
    Archive(CollectArgs),

    /// Print lifecycle rules for a bucket, as a safety net under `purge`
    ///
    /// Prints the lifecycle configuration as JSON, and how to apply it and how to lock objects for a case. Changes nothing.
    #[command(after_help = "Example: oubliette lifecycle s3://logs/fleet > lifecycle.json")]
    Lifecycle(LifecycleArgs),

    /// Copy the vaults of sealed segments, encrypted as they are, to object storage
    ///
    /// Skips vaults that are there already. The shred keys stay on this node, so nobody can open a copy once its day is over.
    #[command(after_help = "Example: oubliette vaults --archive /srv/log s3://vaults/web1")]
    Vaults(VaultsArgs),
}

/// `batch`.
#[derive(Args, Debug)]
pub(crate) struct BatchArgs {
    /// Write outputs into DIR, created if missing, or below s3://BUCKET/PREFIX
    ///
    /// The name of an output is made from the SHA-256 of the path of its input as typed, so it names nobody.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "OUTPUT")]
    #[arg(required_unless_present = "check")]
    pub(crate) out: Option<PathBuf>,

    /// Check this manifest against the list and the outputs, and read all of them (repeatable)
    ///
    /// Writes nothing. Exits with 1 if an object is missing, has changed, or has quarantined lines.
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

    /// Threads per file [default: 1, because many processes run at once]
    #[arg(long, value_name = "N", value_parser = super::workers, help_heading = "INPUT", hide_short_help = true)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}

/// `archive`.
#[derive(Args, Debug)]
pub(crate) struct CollectArgs {
    /// Brokers to begin with, as HOST:PORT, separated by commas
    #[arg(long, value_name = "BROKERS", help_heading = "INPUT")]
    pub(crate) kafka: String,

    /// A topic and the retention class of its lines (repeatable)
    #[arg(long, value_name = "NAME=CLASS", value_parser = topic, required = true, help_heading = "INPUT")]
    pub(crate) topic: Vec<(String, ClassName)>,

    /// Consumer group: its workers share the partitions
    #[arg(long, value_name = "NAME", default_value = "oubliette", help_heading = "INPUT")]
    pub(crate) group: String,

    /// Settings of librdkafka, `key=value` a line: TLS, passwords
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "INPUT")]
    pub(crate) kafka_config: Option<PathBuf>,

    /// Where to store segments; the store must honour `If-None-Match: *`, which is tested at the start
    #[arg(long, value_name = "s3://BUCKET/PREFIX", help_heading = "OUTPUT")]
    pub(crate) s3: PathBuf,

    /// End a segment when it has SIZE, compressed [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = super::line_bytes, help_heading = "OUTPUT")]
    pub(crate) cut_bytes: Option<usize>,

    /// End a segment this long after its first record: 10s to 3600s [default: 900s]
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = "OUTPUT")]
    pub(crate) cut_after: Option<Duration>,

    /// Compression level of zstd, 1 to 19 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=19))]
    #[arg(help_heading = "OUTPUT", hide_short_help = true)]
    pub(crate) level: Option<i32>,

    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}

/// `lifecycle`.
#[derive(Args, Debug)]
pub(crate) struct LifecycleArgs {
    /// Where segments are
    #[arg(value_name = "s3://BUCKET/PREFIX")]
    pub(crate) place: PathBuf,
}

/// `vaults`.
#[derive(Args, Debug)]
pub(crate) struct VaultsArgs {
    /// Which archive.
    #[command(flatten)]
    pub(crate) place: ArchivePlace,

    /// Where to store the copies; use another prefix for each node
    #[arg(value_name = "s3://BUCKET/PREFIX", help_heading = "OUTPUT")]
    pub(crate) to: PathBuf,
}

fn topic(text: &str) -> Result<(String, ClassName), &'static str> {
    let (topic, class) = text.split_once('=').ok_or("write NAME=CLASS")?;
    let class =
        ClassName::new(class).ok_or("a class is 1 to 64 of a-z, 0-9 and -, and begins with a letter")?;
    Ok((topic.to_owned(), class))
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.strip_suffix('s').and_then(|digits| digits.parse().ok());
    seconds
        .filter(|seconds| (10..=3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or("a time from 10s to 3600s")
}
