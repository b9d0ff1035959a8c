//! Epochs of which nobody here has the secret, although an identity was given: an older copy of the state
//! directory lacks their wraps and shred keys. Their segments are named, and all others are searched.

use crate::archive::Segment;
use crate::jobs::purge::Site;
use crate::jobs::replay::secrets::Secrets;
use crate::model::SegmentName;
use crate::primitives::diag::{Code, Diagnostic};
use crate::pseudonym::token::KID_BYTES;
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// Segments that were not searched, by the kid of their epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsearched(BTreeMap<[u8; KID_BYTES], UnsearchedEpoch>);

/// An epoch whose segments were not searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsearchedEpoch {
    /// The code of the message that says what is missing.
    pub code: &'static Code,
    /// What is missing.
    pub what: String,
    /// Why, if that is known.
    pub why: Option<String>,
    /// What would make the search possible.
    pub hint: Option<String>,
    /// The names of the segments.
    pub segments: Vec<String>,
    /// The first and the last legal day of their events; `None` if all of them are still being written.
    pub days: Option<(Date, Date)>,
}

impl UnsearchedEpoch {
    /// Returns the days as they follow a word: ` of 2026-11-23 to 2026-11-24`; nothing if they are unknown.
    #[must_use]
    pub fn of_days(&self) -> String {
        match self.days {
            Some((first, last)) if first == last => format!(" of {first}"),
            Some((first, last)) => format!(" of {first} to {last}"),
            None => String::new(),
        }
    }
}

impl Unsearched {
    /// Returns whether every segment was searched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the epochs, from the earliest on.
    pub fn epochs(&self) -> impl Iterator<Item = &UnsearchedEpoch> {
        self.0.values()
    }

    /// Returns the code that the ledger records for an answer without these segments.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        self.epochs().next().map(|epoch| epoch.code)
    }

    /// Returns the names of all segments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.epochs().flat_map(|epoch| &epoch.segments).cloned().collect()
    }
}

/// Distinguishes the segments that can be searched from those that cannot.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Sorted {
    unsearched: Unsearched,
    /// Whether a secret was had for any segment.
    any: bool,
    /// Why the first segment could not be searched.
    refusal: Option<Diagnostic>,
    /// Epochs whose secret no segment gives.
    lost: BTreeSet<[u8; KID_BYTES]>,
}

impl Sorted {
    /// Returns whether a search of the segment `name`, refused with `refusal`, is worth another try: its
    /// epoch may have its secret from the vault of one of `all`, whose shred key is another.
    pub(in crate::jobs) fn has_secret_elsewhere(
        &mut self,
        name: &SegmentName,
        refusal: &Diagnostic,
        all: &[SegmentName],
        secrets: &mut Secrets,
    ) -> bool {
        if !secrets.are_lost(refusal) || self.lost.contains(&name.kid) {
            return false;
        }
        let mut others = all.iter().filter(|other| other.kid == name.kid && *other != name);
        let given = others.any(|other| secrets.of(other).is_ok());
        if !given {
            self.lost.insert(name.kid);
        }
        given
    }

    /// Returns what was looked for in the segment `name`; `None` if that takes a secret that is lost, which
    /// is noted.
    ///
    /// # Errors
    /// Returns any other error.
    pub(in crate::jobs) fn sort<T>(
        &mut self,
        name: &SegmentName,
        days: Option<(Date, Date)>,
        looked: Result<T, Diagnostic>,
        secrets: &Secrets,
    ) -> Result<Option<T>, Diagnostic> {
        let refusal = match looked {
            Ok(looked) => {
                self.any = true;
                return Ok(Some(looked));
            }
            Err(refusal) if secrets.are_lost(&refusal) => refusal,
            Err(error) => return Err(error),
        };
        self.refusal.get_or_insert_with(|| refusal.clone());
        let Diagnostic { code, what, why, hint, .. } = refusal;
        let new = UnsearchedEpoch { code, what, why, hint, segments: Vec::new(), days };
        let epoch = self.unsearched.0.entry(name.kid).or_insert(new);
        epoch.segments.push(name.to_string());
        let both = epoch.days.into_iter().chain(days);
        epoch.days = both.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)));
        Ok(None)
    }

    /// Refuses a search of which nothing is left: whoever asks may be at the wrong node.
    pub(in crate::jobs) fn demand_something(self) -> Result<Unsearched, Diagnostic> {
        match self.refusal {
            Some(refusal) if !self.any => Err(refusal),
            _ => Ok(self.unsearched),
        }
    }
}

/// Returns the first and the last legal day of the events in these frames of a segment.
pub(in crate::jobs) fn days_of(
    site: &Site,
    segment: &Segment,
    frames: impl Iterator<Item = usize>,
) -> Option<(Date, Date)> {
    let day = |second| Some(Timestamp::from_second(second).ok()?.to_zoned(site.zone.clone()).date());
    let times = frames.map(|frame| &segment.footer().frames[frame]).map(|entry| (entry.first, entry.last));
    let (first, last) = times.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))?;
    day(first).zip(day(last))
}
