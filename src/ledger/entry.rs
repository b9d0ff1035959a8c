//! Entries as lines: what was done, when and by whom, chained to the previous line and signed.
//!
//! ```text
//! {"n":7,"at":"..","day":"..","who":"..","event":"..","about":{..},"prev":"<64 hex>","sig":"<128 hex>"}
//! \________________ the signed bytes: the line up to `,"sig":"` _________________/
//! ```
//! The bytes of the line are canonical: nothing is serialised again to check it.

use crate::ledger::event::Event;
use crate::primitives::hex;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a line without its line end.
pub type LineHash = [u8; 32];

/// The previous hash of the first entry, before which there is no line.
pub(super) const NO_LINE: LineHash = [0; 32];

/// What separates the signed bytes from the signature.
const SIGNATURE_MEMBER: &str = ",\"sig\":\"";
const END: &str = "\"}";
const SIGNATURE_DIGITS: usize = 128;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: 1, 2, 3 and so on, without gaps.
    pub n: u64,
    /// The time, never before the previous entry: if the clock went back, the time stays and `clock` has the
    /// clock's reading.
    pub at: Timestamp,
    /// The reading of the clock, if it is before `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// The legal day whose key signs the entry.
    pub day: Date,
    /// The system user.
    pub who: String,
    /// The name of the event, a variant of [`Event`].
    pub event: String,
    /// The details of the event.
    pub about: serde_json::Value,
    /// SHA-256 of the previous line, in hex.
    pub prev: String,
}

/// A parsed line.
#[derive(Debug)]
pub(super) struct Parsed<'l> {
    pub(super) entry: Entry,
    pub(super) signed: &'l [u8],
    pub(super) signature: [u8; 64],
}

impl Entry {
    /// Returns the event; `None` if only a later version knows it.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        Event::from_parts(&self.event, &self.about)
    }

    /// Returns the reading of the machine's clock.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.clock.unwrap_or(self.at)
    }

    /// Returns the legal day by the machine's clock. After one boot in a wrong year, `day` stays in that year.
    #[must_use]
    pub fn day_by_clock(&self, zone: &TimeZone) -> Date {
        self.clock.map_or(self.day, |clock| zone.to_datetime(clock).date())
    }

    /// Returns the line, without a line end, signed with `key`.
    pub(super) fn to_line(&self, key: &SigningKey) -> Vec<u8> {
        // Always succeeds: strings, numbers and dates under fixed names.
        let mut line = serde_json::to_vec(self).expect("an entry is JSON");
        line.pop();
        let signature = hex::encode(&key.sign(&line).to_bytes());
        line.extend_from_slice(SIGNATURE_MEMBER.as_bytes());
        line.extend_from_slice(signature.as_bytes());
        line.extend_from_slice(END.as_bytes());
        line
    }

    /// Parses a line, checking nothing but its form.
    pub(super) fn parse(line: &[u8]) -> Option<Parsed<'_>> {
        let rest = line.strip_suffix(END.as_bytes())?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_DIGITS)?)?;
        let signature = hex::decode(std::str::from_utf8(digits).ok()?)?;
        let signed = rest.strip_suffix(SIGNATURE_MEMBER.as_bytes())?;
        let body: Vec<u8> = signed.iter().copied().chain([b'}']).collect();
        Some(Parsed { entry: serde_json::from_slice(&body).ok()?, signed, signature })
    }
}

/// Computes SHA-256 of a line without its line end.
pub(super) fn line_hash(line: &[u8]) -> LineHash {
    Sha256::digest(line).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry() -> Entry {
        Entry {
            n: 1,
            at: "2026-11-23T09:00:00Z".parse().unwrap(),
            clock: None,
            day: jiff::civil::date(2026, 11, 23),
            who: "root".to_owned(),
            event: "start".to_owned(),
            about: json!({ "command": "filter" }),
            prev: hex::encode(&NO_LINE),
        }
    }

    #[test]
    fn a_line_reads_back() {
        let line = entry().to_line(&SigningKey::from_bytes(&[7; 32]));
        let parsed = Entry::parse(&line).unwrap();
        assert_eq!(parsed.entry, entry());
        assert_eq!([parsed.signed, b",\"sig\":\""].concat(), line[..line.len() - 130]);
        assert!(line.starts_with(br#"{"n":1,"at":"2026-11-23T09:00:00Z","day":"2026-11-23","who":"root""#));
    }

    #[test]
    fn what_is_no_entry() {
        let line = entry().to_line(&SigningKey::from_bytes(&[7; 32]));
        for cut in 0..line.len() {
            assert!(Entry::parse(&line[..cut]).is_none(), "{cut}");
        }
        assert!(Entry::parse(&line.to_ascii_uppercase()).is_none());
    }

    #[test]
    fn an_unknown_event_is_kept_and_has_no_meaning() {
        let later = Entry { event: "later".to_owned(), ..entry() };
        let line = later.to_line(&SigningKey::from_bytes(&[7; 32]));
        let read = Entry::parse(&line).unwrap().entry;
        assert_eq!((read.event(), read), (None, later));
    }
}
