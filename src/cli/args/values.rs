//! Values of options and their written forms, which the configuration shares.

use crate::model::{Kinds, LONGEST_LINE};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::num::NonZeroUsize;
use std::str::FromStr as _;

/// A tenant's name, which becomes part of the label that its keys are derived with.
///
/// # Errors
/// If it is not 1 to 64 ASCII letters, digits, dots, underscores or hyphens.
pub(crate) fn tenant(text: &str) -> Result<String, &'static str> {
    let well_formed = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if well_formed { Ok(text.to_owned()) } else { Err("1 to 64 letters, digits, `.`, `_` or `-`") }
}

/// The reference of a case, as the ledger is to keep it.
///
/// # Errors
/// If white space is around it: nobody would see that this is another case than the one without.
pub(crate) fn case(text: &str) -> Result<String, &'static str> {
    if text.trim() == text { Ok(text.to_owned()) } else { Err("no white space before or after it") }
}

/// The name of a kind of identifier.
///
/// # Errors
/// If it cannot be one, or is one that is never looked for.
pub(crate) fn kind(text: &str) -> Result<String, &'static str> {
    let well_formed = (1..=Kinds::MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if well_formed { Ok(text.to_owned()) } else { Err("a kind is 1 to 8 lower-case letters") }
}

/// A network in CIDR notation, or a single address.
///
/// # Errors
/// If it is neither.
pub(crate) fn network(text: &str) -> Result<IpNet, &'static str> {
    let single = || text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
    let network = IpNet::from_str(text).or_else(|_| single());
    network
        .map(|network| network.trunc())
        .map_err(|_| "a network is written 198.51.100.0/24 or 2001:db8::/32")
}

/// A time zone of the IANA database, or `UTC`.
///
/// # Errors
/// If there is none of that name.
pub(crate) fn zone(text: &str) -> Result<TimeZone, &'static str> {
    TimeZone::get(text).map_err(|_| "a zone is named as in the IANA database: Europe/Paris, UTC")
}

/// A size in bytes, with `KiB` or `MiB` if it is one of those.
///
/// # Errors
/// If it is no number, or outside 480 bytes to [`LONGEST_LINE`]. RFC 5424, 6.1: "Any transport receiver MUST
/// be able to accept messages of up to and including 480 octets in length."
pub(crate) fn line_bytes(text: &str) -> Result<usize, &'static str> {
    let bytes = quantity(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("", 1)]);
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (480..=LONGEST_LINE).contains(bytes))
        .ok_or("480 to 16777216 bytes, or such as 64KiB, 4MiB")
}

/// A number with one of these units, times what that counts. A unit that ends another one stands behind it.
pub(crate) fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let read = |(unit, counts): &(&str, u64)| {
        text.strip_suffix(unit)?.parse().ok().and_then(|number: u64| number.checked_mul(*counts))
    };
    units.iter().find_map(read)
}

pub(super) fn day(text: &str) -> Result<Date, &'static str> {
    text.parse().map_err(|_| "a day is written 2026-11-23")
}

pub(super) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "an instant is written 2026-11-23T10:00:00Z")
}

/// How many threads: a mistyped number must not ask the machine for more than it can start.
pub(crate) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let number: Option<NonZeroUsize> = text.parse().ok();
    number
        .filter(|number| number.get() <= MOST_WORKERS)
        .ok_or_else(|| format!("give 1 to {MOST_WORKERS} threads"))
}

const MOST_WORKERS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("480", Some(480)),
            ("4MiB", Some(4 << 20)),
            ("64KiB", Some(64 << 10)),
            ("16MiB", Some(16 << 20)),
            ("479", None),
            // Tokens could make such a line longer than what the archive can read again.
            ("16777217", None),
            ("1024MiB", None),
            ("18446744073709551615KiB", None),
            ("4MB", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
        ] {
            assert_eq!(line_bytes(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn numbers_of_threads() {
        for (text, good) in
            [("1", true), ("512", true), ("513", false), ("0", false), ("-1", false), ("two", false)]
        {
            assert_eq!(workers(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, network_is) in [
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("192.0.2.77/24", Some("192.0.2.0/24")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("192.0.2.0/33", None),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(network(text).ok().map(|net| net.to_string()).as_deref(), network_is, "{text}");
        }
    }

    #[test]
    fn names() {
        for (text, good) in [("acme", true), ("a.b_c-9", true), ("", false), ("a/b", false), ("a b", false)] {
            assert_eq!(tenant(text).is_ok(), good, "tenant {text:?}");
        }
        for (text, good) in [("usr", true), ("Usr", false), ("", false), ("toolongname", false)] {
            assert_eq!(kind(text).is_ok(), good, "kind {text:?}");
        }
        for (text, good) in [("Europe/Paris", true), ("UTC", true), ("Mars/Base", false), ("", false)] {
            assert_eq!(zone(text).is_ok(), good, "zone {text:?}");
        }
    }
}
