//! The head of the ledger: what the next entry needs to know of all previous ones.
//!
//! It is kept next to the ledger, in the file `head`, which is written after each entry is durable. So it is
//! never ahead of an intact ledger, and reveals that entries at the end are missing. After a crash it may be
//! behind; the entries after it are then checked one by one.

use super::entry::{Entry, LineHash, NO_LINE};
use super::event::{DayKey, Event};
use crate::primitives::hex;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest step by which the clock may go forwards from one entry to the next.
const LONGEST_STEP: SignedDuration = SignedDuration::from_hours(36);

/// Longest step by which the clock may go back without being reported: a correction by NTP, two processes at
/// once.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// The head of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of entries.
    pub n: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// SHA-256 of the last line, in hex.
    pub hash: String,
    /// The time of the last entry.
    pub at: Option<Timestamp>,
    /// The reading of the clock at the last entry.
    pub clock: Option<Timestamp>,
    /// The first clock jump that nobody has confirmed.
    pub step: Option<ClockStep>,
    /// The key that signs the next entry.
    pub key: Option<DayKey>,
    /// The digest of the last sealed segment, in hex.
    pub seal: String,
}

/// A jump of the clock: back by more than 5 minutes, or forwards by more than 36 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// The reading before the jump.
    pub from: Timestamp,
    /// The reading after the jump.
    pub to: Timestamp,
}

impl Default for Head {
    /// Returns the head of a ledger without entries.
    fn default() -> Self {
        let none = hex::encode(&NO_LINE);
        Self { n: 0, bytes: 0, hash: none.clone(), at: None, clock: None, step: None, key: None, seal: none }
    }
}

impl Head {
    /// Returns the text of the file: one line of JSON.
    pub(super) fn to_text(&self) -> Vec<u8> {
        // Always succeeds: strings, numbers and dates under fixed names.
        let mut text = serde_json::to_vec(self).expect("a head is JSON");
        text.push(b'\n');
        text
    }

    /// Parses the text of the file; `None` unless it is exactly what [`Head::to_text`] writes.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let head: Self = serde_json::from_slice(text).ok()?;
        (head.to_text() == text).then_some(head)
    }

    /// Returns the head after one more entry, whose line has this hash and, with its line end, `bytes` bytes.
    pub(super) fn after(&self, entry: &Entry, hash: &LineHash, bytes: u64) -> Self {
        let event = entry.event();
        let step = match event {
            Some(Event::ClockConfirmed { .. }) => None,
            _ => self.step_to(entry.clock()),
        };
        let (key, seal) = match event {
            Some(Event::Begin(key) | Event::NextKey(key)) => (Some(key), None),
            Some(Event::Segment(segment)) => (None, Some(segment.digest)),
            _ => (None, None),
        };
        Self {
            n: entry.n,
            bytes: self.bytes + bytes,
            hash: hex::encode(hash),
            at: Some(entry.at),
            clock: Some(entry.clock()),
            step,
            key: key.or_else(|| self.key.clone()),
            seal: seal.unwrap_or_else(|| self.seal.clone()),
        }
    }

    /// Returns the jump that must be confirmed before a clock that reads `now` is believed, if there is one.
    #[must_use]
    pub fn step_to(&self, now: Timestamp) -> Option<ClockStep> {
        let jump = |from: Timestamp| {
            let forwards = now.duration_since(from);
            (forwards > LONGEST_STEP || forwards < -CLOCK_SLACK).then_some(ClockStep { from, to: now })
        };
        self.step.or_else(|| self.clock.and_then(jump))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_text_has_one_spelling() {
        let head = Head { n: 3, clock: Some(at("2026-11-23T09:00:00Z")), ..Head::default() };
        let text = head.to_text();
        assert_eq!(Head::from_text(&text), Some(head));
        for index in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[index] ^= 1 << bit;
                assert_ne!(Head::from_text(&flipped), Head::from_text(&text), "{index} {bit}");
            }
        }
    }

    #[test]
    fn a_clock_that_jumps() {
        let last = at("2026-11-23T09:00:00Z");
        let head = Head { clock: Some(last), ..Head::default() };
        for (now, jumps) in [
            ("2026-11-23T09:00:00Z", false),
            ("2026-11-24T21:00:00Z", false),
            ("2026-11-24T21:00:01Z", true),
            ("2026-11-23T08:55:00Z", false),
            ("2026-11-23T08:54:59Z", true),
        ] {
            let step = jumps.then_some(ClockStep { from: last, to: at(now) });
            assert_eq!(head.step_to(at(now)), step, "{now}");
        }
        assert_eq!(Head::default().step_to(last), None);
        let first = ClockStep { from: last, to: at("2027-01-01T00:00:00Z") };
        let jumped = Head { step: Some(first), clock: Some(first.to), ..Head::default() };
        assert_eq!(jumped.step_to(first.to), Some(first), "until it is confirmed");
    }
}
