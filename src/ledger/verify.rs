//! Verifies that a ledger is whole: each line is signed with the key of its day and chained to the previous
//! line, and none is missing. This needs only public keys, which are in the ledger.

use super::entry::{Entry, LineHash, Parsed, line_hash};
use super::event::{DayKey, Event};
use super::head::Head;
use crate::primitives::hex;
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt;

/// The key of one day, as announced in the ledger.
#[derive(Clone, Debug)]
pub struct KeyPeriod {
    /// The legal day.
    pub day: Date,
    /// The legal zone.
    pub zone: TimeZone,
    /// The public key.
    pub public: VerifyingKey,
}

/// A place where the ledger was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; one past the last line if the end is missing.
    pub line: u64,
    /// The offset of that line in bytes.
    pub offset: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The line has no line end.
    Torn,
    /// The line does not have the form of an entry.
    Form,
    /// The first entry does not begin a ledger, or a later one does.
    Beginning,
    /// The numbers do not go up by one.
    Number {
        /// The number that the entry must have.
        expected: u64,
        /// The number that the entry has.
        found: u64,
    },
    /// The entry does not contain the hash of the previous line.
    Chain,
    /// The entry was not signed with the key of its day.
    Signature {
        /// The day whose key is in force here.
        day: Date,
    },
    /// The entry is of another day than the key that signed it.
    Day {
        /// The day whose key is in force here.
        key: Date,
        /// The day that the entry states.
        entry: Date,
    },
    /// The entry is dated before the previous one.
    Time,
    /// The key that the entry hands over to is not of a later day, or is invalid.
    NextKey,
    /// The head file is missing or was changed.
    Note,
    /// Entries at the end are missing.
    Truncated {
        /// The number of entries according to the head.
        entries: u64,
    },
    /// The entry is not the one that was there when the head was written.
    Replaced,
}

impl Fault {
    /// Returns whether an interrupted write can leave such a line.
    #[must_use]
    pub fn is_of_a_crash(&self) -> bool {
        matches!(self.kind, FaultKind::Torn | FaultKind::Form)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn => f.write_str("the line has no end: a write broke off"),
            Self::Form => f.write_str("the line is not an entry: it was changed"),
            Self::Beginning => f.write_str("a ledger begins here, and nowhere else may one begin"),
            Self::Number { expected, found } => write!(
                f,
                "entry {found} stands where entry {expected} belongs: entries are missing, repeated or in \
                 another order"
            ),
            Self::Chain => f.write_str("the entry does not follow the line before it"),
            Self::Signature { day } => {
                write!(f, "the entry was not signed with the key of {day}: it was changed")
            }
            Self::Day { key, entry } => write!(f, "an entry of {entry} stands under the key of {key}"),
            Self::Time => f.write_str("the entry is dated before the one above it"),
            Self::NextKey => f.write_str("the key that follows is of no later day, or is none"),
            Self::Note => {
                f.write_str("the note about the end of the ledger, `head`, is missing or was changed")
            }
            Self::Truncated { entries } => write!(f, "entries are missing at the end: there were {entries}"),
            Self::Replaced => f.write_str("another entry stands here than when it was written"),
        }
    }
}

/// Reads a ledger line by line, and reports the first fault.
#[derive(Debug, Default)]
pub struct Verifier {
    /// Empty only before the first entry.
    keys: Vec<KeyPeriod>,
    head: Head,
}

impl Verifier {
    /// Continues after `head`, without reading what is before it; `None` if the key in `head` is invalid.
    #[must_use]
    pub fn after(head: Head) -> Option<Self> {
        let keys = head.key.iter().map(key_period).collect::<Option<Vec<_>>>()?;
        (keys.is_empty() == (head.n == 0)).then_some(Self { keys, head })
    }

    /// Returns the keys of all days so far, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[KeyPeriod] {
        &self.keys
    }

    /// Returns the key of that legal day, if the ledger has one.
    #[must_use]
    pub fn key_of(&self, day: Date) -> Option<&VerifyingKey> {
        self.keys.iter().find(|period| period.day == day).map(|period| &period.public)
    }

    /// Returns the head of the ledger so far.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Checks the next line, given with its line end.
    ///
    /// # Errors
    /// The fault of the line. The lines after it cannot be trusted.
    pub fn line(&mut self, line: &[u8]) -> Result<Entry, Fault> {
        let checked = self.check(line);
        let (entry, hash) = checked.map_err(|kind| self.fault(kind))?;
        self.head = self.head.after(&entry, &hash, line.len() as u64);
        Ok(entry)
    }

    /// Returns a fault at the position of the next line.
    #[must_use]
    pub fn fault(&self, kind: FaultKind) -> Fault {
        Fault { line: self.head.n + 1, offset: self.head.bytes, kind }
    }

    fn check(&mut self, line: &[u8]) -> Result<(Entry, LineHash), FaultKind> {
        let line = line.strip_suffix(b"\n").ok_or(FaultKind::Torn)?;
        let Parsed { entry, signed, signature } = Entry::parse(line).ok_or(FaultKind::Form)?;
        let follows = self.follower(&entry)?;
        let key = match (self.keys.last(), &follows) {
            (Some(period), _) => period,
            (None, Some(first)) => first,
            (None, None) => return Err(FaultKind::Beginning),
        };
        let signature = Signature::from_bytes(&signature);
        let signed_under = |_| FaultKind::Signature { day: key.day };
        key.public.verify_strict(signed, &signature).map_err(signed_under)?;
        self.check_place(&entry, key, self.keys.is_empty() || follows.is_none())?;
        self.keys.extend(follows);
        Ok((entry, line_hash(line)))
    }

    /// Returns the key that is in force after `entry`, if it is another one.
    fn follower(&self, entry: &Entry) -> Result<Option<KeyPeriod>, FaultKind> {
        let key = match (entry.event(), self.keys.is_empty()) {
            (Some(Event::Begin(key)), true) | (Some(Event::NextKey(key)), false) => key,
            (Some(Event::Begin(_)), false) | (_, true) => return Err(FaultKind::Beginning),
            _ => return Ok(None),
        };
        let period = key_period(&key).ok_or(FaultKind::NextKey)?;
        let later = self.keys.last().is_none_or(|last| last.day < period.day);
        if later { Ok(Some(period)) } else { Err(FaultKind::NextKey) }
    }

    /// Checks number, chain and time, and that the entry belongs to the day of its key. Only the entry that
    /// hands over to the key of a later day may be dated after the day of its key.
    fn check_place(&self, entry: &Entry, key: &KeyPeriod, on_its_day: bool) -> Result<(), FaultKind> {
        let expected = self.head.n + 1;
        if entry.n != expected {
            return Err(FaultKind::Number { expected, found: entry.n });
        }
        if entry.prev != self.head.hash {
            return Err(FaultKind::Chain);
        }
        if self.head.at.is_some_and(|before| entry.at < before) {
            return Err(FaultKind::Time);
        }
        let dated = entry.at.to_zoned(key.zone.clone()).date();
        let wrong = |entry| Err(FaultKind::Day { key: key.day, entry });
        match () {
            () if entry.day != key.day => wrong(entry.day),
            () if on_its_day && dated != key.day => wrong(dated),
            () => Ok(()),
        }
    }
}

fn key_period(key: &DayKey) -> Option<KeyPeriod> {
    let public = VerifyingKey::from_bytes(&hex::decode(&key.public)?).ok()?;
    Some(KeyPeriod { day: key.day, zone: TimeZone::get(&key.zone).ok()?, public })
}
