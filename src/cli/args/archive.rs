//! Arguments for an archive.

use super::quantity;
use crate::model::NodeName;
use crate::pipeline::SyncPolicy;
use clap::{Args, ValueEnum, ValueHint};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// How an archive is written.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "ARCHIVE")]
pub(crate) struct ArchiveArgs {
    /// Store lines in DIR/archive by expiry day, originals in DIR/vault
    ///
    /// Then nothing goes to standard output, unless you give --tee. Segments are zstd files of plain lines.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) archive: Option<PathBuf>,

    /// Write lines to the output as well as to the archive
    ///
    /// Lines go to the output before the archive writes their frame. If their expiry day comes in between, the archive
    /// drops them, but they have gone out already.
    #[arg(long, requires = "archive")]
    pub(crate) tee: bool,

    /// Store vaults in DIR, for example on another volume
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "archive")]
    #[arg(hide_short_help = true)]
    pub(crate) vault: Option<PathBuf>,

    /// When to sync lines to the disk: frame (default), a time such as 5s, none
    ///
    /// frame: as soon as they are compressed. A time: at most that long after, many at once. none: when their
    /// segment is sealed, or earlier if the operating system chooses to.
    #[arg(long, value_name = "WHEN", value_parser = sync, requires = "archive", hide_short_help = true)]
    pub(crate) sync: Option<SyncPolicy>,

    /// Compression level of zstd, 1 to 19 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=19), requires = "archive")]
    #[arg(hide_short_help = true)]
    pub(crate) level: Option<i32>,

    /// Name of this machine in file names [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = node, requires = "archive", hide_short_help = true)]
    pub(crate) node: Option<NodeName>,

    /// What to do with originals: age (default), or none, which nobody can undo
    ///
    /// age: encrypt them into vaults, which only an escrow identity and this machine together can open.
    /// none: drop them. That is anonymisation: you can never answer a lawful request.
    #[arg(
        long,
        value_name = "HOW",
        hide_possible_values = true,
        requires = "archive",
        hide_short_help = true
    )]
    pub(crate) escrow: Option<EscrowName>,
}

/// What becomes of originals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EscrowName {
    /// Encrypt them into vaults.
    Age,
    /// Drop them, which nobody can undo.
    None,
}

/// When lines are made durable.
///
/// # Errors
/// If it is neither `frame`, `none`, nor a time from 10 ms to an hour.
pub(crate) fn sync(text: &str) -> Result<SyncPolicy, &'static str> {
    let milliseconds = match text {
        "frame" => return Ok(SyncPolicy::Frame),
        "none" => return Ok(SyncPolicy::None),
        time => quantity(time, &[("ms", 1), ("s", 1000)]),
    };
    milliseconds
        .filter(|milliseconds| (10..=3_600_000).contains(milliseconds))
        .map(|milliseconds| SyncPolicy::Interval(Duration::from_millis(milliseconds)))
        .ok_or("frame, none, or a time from 10ms to 3600s")
}

/// The name of this machine.
///
/// # Errors
/// If it cannot stand in a file name.
pub(crate) fn node(text: &str) -> Result<NodeName, &'static str> {
    NodeName::new(text).ok_or("1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_syncing() {
        let interval = |milliseconds| Ok(SyncPolicy::Interval(Duration::from_millis(milliseconds)));
        for (text, expected) in [
            ("frame", Ok(SyncPolicy::Frame)),
            ("none", Ok(SyncPolicy::None)),
            ("5s", interval(5_000)),
            ("250ms", interval(250)),
            ("3600s", interval(3_600_000)),
        ] {
            assert_eq!(sync(text), expected, "{text}");
        }
        for text in ["", "5", "0s", "9ms", "3601s", "-1s", "1m", "frames", "99999999999999999999s"] {
            assert!(sync(text).is_err(), "{text}");
        }
    }
}
