//! Arguments of `replay`.

use super::maintenance::SearchPlace;
use super::{case, format_parser, zone};
use crate::jobs::replay::Framing;
use crate::model::{ClassName, Format, Pattern};
use clap::{Args, ValueEnum, ValueHint};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::path::PathBuf;

/// `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Which archive.
    #[command(flatten)]
    pub(crate) place: SearchPlace,

    /// Which lines.
    #[command(flatten)]
    pub(crate) lines: LineArgs,

    /// Who asks and why.
    #[command(flatten)]
    pub(crate) access: AccessArgs,

    /// Print the originals of the identifiers you asked for, instead of their tokens
    ///
    /// Other people on the same lines stay tokens. Requires --case, --basis, --from, --to and a custodian: --identity.
    #[arg(long, help_heading = "ACCESS")]
    pub(crate) reveal: bool,

    /// Print everybody's originals instead of tokens
    #[arg(long, conflicts_with = "reveal", help_heading = "ACCESS")]
    pub(crate) reveal_all: bool,

    /// Send lines to this receiver instead of standard output
    #[arg(long, value_name = "tcp://HOST:PORT", value_parser = receiver, help_heading = "OUTPUT")]
    pub(crate) output: Option<String>,

    /// Write the lines into a directory for the authority, with all that it needs to check them
    ///
    /// DIR must not exist. It gets the lines as stored, a table of revealed originals, the proof, and a README in
    /// French and English. Requires --case, --basis, --from and --to. Nothing goes to standard output.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "OUTPUT")]
    #[arg(conflicts_with_all = ["output", "speed", "framing"])]
    pub(crate) bundle: Option<PathBuf>,

    /// Encrypt the bundle to this age recipient; DIR is then one file (repeatable)
    #[arg(long, value_name = "AGE", requires = "bundle", help_heading = "OUTPUT")]
    pub(crate) bundle_recipient: Vec<String>,

    /// How to separate messages (RFC 6587): lf (default), octet-counting
    #[arg(long, value_name = "FORM", hide_possible_values = true, default_value = "lf")]
    #[arg(hide_default_value = true, help_heading = "OUTPUT")]
    pub(crate) framing: FramingName,

    /// Replay at a multiple of the original pace [default: as fast as possible]
    #[arg(long, value_name = "10x", value_parser = speed, help_heading = "OUTPUT")]
    pub(crate) speed: Option<f64>,
}

/// Which lines are asked for. Of several values of one option, one is enough.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "LINES")]
pub(crate) struct LineArgs {
    /// Only events from WHEN on: an instant, or a legal day from its beginning
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) from: Option<When>,

    /// Only events until WHEN: an instant with its whole second, or a legal day to its end
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) to: Option<When>,

    /// Only lines of this class (repeatable)
    #[arg(long, value_name = "NAME", value_parser = class, value_delimiter = ',')]
    pub(crate) class: Vec<ClassName>,

    /// Lines with this address, in any notation (repeatable)
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) ip: Vec<String>,

    /// Lines with an address of this IPv4 /24 or IPv6 /64 (repeatable)
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) net: Vec<String>,

    /// Lines with this e-mail address (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,

    /// Lines with this account name, if the filter replaced account names (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Vec<String>,

    /// Lines with this token (repeatable)
    #[arg(long, value_name = "TOKEN", value_delimiter = ',')]
    pub(crate) token: Vec<String>,

    /// Only lines that match this regular expression (repeatable)
    #[arg(long, value_name = "REGEX")]
    pub(crate) grep: Vec<String>,

    /// Only lines of this host; `*` at one end stands for anything (repeatable)
    #[arg(long, value_name = "NAME", value_parser = pattern)]
    pub(crate) host: Vec<Pattern>,

    /// Only lines of this program; `*` at one end stands for anything (repeatable)
    #[arg(long, value_name = "NAME", value_parser = pattern)]
    pub(crate) program: Vec<Pattern>,

    /// How their times are read.
    #[command(flatten)]
    pub(crate) times: TimeArgs,
}

/// How times of lines are read again.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "LINES")]
pub(crate) struct TimeArgs {
    /// Zone of times that state none [default: that in the segment; if none, that of the configuration or the legal zone]
    #[arg(long, value_name = "ZONE", value_parser = zone, hide_short_help = true)]
    pub(crate) source_zone: Option<TimeZone>,

    /// Format of all lines, as you gave it to the filter
    #[arg(long, value_name = "NAME", value_parser = format_parser(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    pub(crate) format: Option<Format>,
}

/// Who asks and why.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "ACCESS")]
pub(crate) struct AccessArgs {
    /// Escrow identity, which opens past epochs: plain, locked with a passphrase, or of a plugin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,

    /// File whose first line is the passphrase of the identity [default: ask on the terminal]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "identity")]
    #[arg(hide_short_help = true)]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Reference of the case or request; must contain no identifier
    #[arg(long, value_name = "REF", value_parser = case)]
    pub(crate) case: Option<String>,

    /// Legal basis: 60-1, 77-1-1, 99-3 (with /1 to /4, see 60-1-2), EPOC, EPOC-PR, GDPR-15, internal
    ///
    /// The commands of `subject` each have a basis of their own, which you can leave out: access GDPR-15, erase GDPR-17,
    /// restrict GDPR-18, affected GDPR-33 (with --reveal: internal).
    #[arg(long, value_name = "TEXT")]
    pub(crate) basis: Option<String>,

    /// Who ordered this, for the ledger: a name or number, no address [default: only the system user]
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
}

/// A legal day or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A legal day.
    Day(Date),
    /// An instant.
    Instant(Timestamp),
}

impl When {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let day = || text.parse().map(Self::Day).ok().filter(|_| text.len() == "2026-11-23".len());
        let instant = || text.parse().map(Self::Instant).ok();
        let written = "a day is written 2026-11-23, an instant with its zone: 2026-11-23T11:00:00+01:00, or in UTC 2026-11-23T10:00:00Z";
        day().or_else(instant).ok_or(written)
    }

    /// Its first instant in a zone.
    pub(crate) fn begin(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Instant(instant) => instant,
            // Every day that can be given has a beginning, except perhaps the first one of the calendar.
            Self::Day(day) => day.to_zoned(zone.clone()).map_or(Timestamp::MIN, |zoned| zoned.timestamp()),
        }
    }

    /// Its last second in a zone.
    pub(crate) fn end(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => {
                let next = day.tomorrow().and_then(|next| next.to_zoned(zone.clone()));
                let last = next.and_then(|next| next.timestamp().checked_sub(1.second()));
                last.unwrap_or(Timestamp::MAX)
            }
        }
    }
}

/// `--framing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingName {
    /// Each message ends with a line feed
    #[default]
    Lf,
    /// Each message begins with its length
    OctetCounting,
}

impl From<FramingName> for Framing {
    fn from(name: FramingName) -> Self {
        match name {
            FramingName::Lf => Self::LineFeed,
            FramingName::OctetCounting => Self::OctetCounting,
        }
    }
}

pub(super) fn class(text: &str) -> Result<ClassName, &'static str> {
    ClassName::new(text).ok_or("a class is 1 to 64 of a-z, 0-9 and -, and begins with a letter")
}

fn pattern(text: &str) -> Result<Pattern, &'static str> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err("an address is looked for with --ip: in the archive a token stands for it");
    }
    Pattern::new(text).ok_or("a name, with at most one `*`, at its beginning or end")
}

fn receiver(text: &str) -> Result<String, &'static str> {
    let address = text.strip_prefix("tcp://").filter(|address| {
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    });
    address.map(str::to_owned).ok_or("a receiver is written tcp://192.0.2.1:514")
}

fn speed(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('x').unwrap_or(text).parse().ok();
    number.filter(|speed: &f64| (0.001..=1e9).contains(speed)).ok_or("a speed is written 10x, from 0.001x on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_a_beginning_and_an_end() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        for (text, begin, end) in [
            ("2026-11-23", "2026-11-22T23:00:00Z", "2026-11-23T22:59:59Z"),
            // 25 hours.
            ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"),
            ("2026-11-23T10:00:00+01:00", "2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z"),
        ] {
            let when = When::parse(text).unwrap();
            let instant = |text: &str| text.parse::<Timestamp>().unwrap();
            assert_eq!((when.begin(&paris), when.end(&paris)), (instant(begin), instant(end)), "{text}");
        }
        for text in ["", "2026", "2026-11-23T10:00:00", "yesterday", "20261123"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn receivers_and_speeds() {
        for (text, address) in [
            ("tcp://127.0.0.1:5140", Some("127.0.0.1:5140")),
            ("tcp://[::1]:5140", Some("[::1]:5140")),
            ("tcp://log.example.net:514", Some("log.example.net:514")),
            ("udp://127.0.0.1:5140", None),
            ("tcp://127.0.0.1", None),
            ("tcp://:1", None),
        ] {
            assert_eq!(receiver(text).ok().as_deref(), address, "{text}");
        }
        for (text, expected) in [
            ("10x", Some(10.0)),
            ("0.5x", Some(0.5)),
            ("2", Some(2.0)),
            ("0x", None),
            ("-1x", None),
            ("x", None),
            ("NaNx", None),
        ] {
            assert_eq!(speed(text).ok(), expected, "{text}");
        }
    }
}
