//! Finds purges that may have removed lines of a period. An answer without those lines is right, because the
//! law demands that they are gone, but nobody must take it for proof that they never were.
//!
//! The ledger names each segment that was purged, with its class and expiry day, and knows when it was
//! sealed. A question without any period is of what is there, so no purge concerns it.

use super::period;
use crate::jobs::purge::{Site, keep};
use crate::ledger::Entry;
use crate::ledger::event::{Event, PurgedFile};
use crate::model::{ClassName, Folder, SegmentName};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The purges that may have removed lines of a period: the numbers of their entries in the ledger, each with
/// the legal day by the machine's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged(BTreeMap<u64, Date>);

/// The first and the last of several purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PurgedSpan {
    /// The legal day of the first purge.
    pub first_day: Date,
    /// The legal day of the last purge.
    pub last_day: Date,
    /// The number of the first entry in the ledger.
    pub first_entry: u64,
    /// The number of the last entry in the ledger.
    pub last_entry: u64,
}

impl PurgedSpan {
    /// Returns its days and its entries in English: `on 2026-11-23`, and `entry 7`.
    #[must_use]
    pub fn in_words(&self) -> (String, String) {
        let Self { first_day, last_day, first_entry, last_entry } = self;
        let days = match first_day == last_day {
            true => format!("on {first_day}"),
            false => format!("from {first_day} to {last_day}"),
        };
        let entries = match first_entry == last_entry {
            true => format!("entry {first_entry}"),
            false => format!("entries {first_entry} to {last_entry}"),
        };
        (days, entries)
    }
}

impl Purged {
    /// Returns the first and the last purge; `None` if there is none.
    #[must_use]
    pub fn span(&self) -> Option<PurgedSpan> {
        let ((first_entry, first_day), (last_entry, last_day)) =
            (self.0.first_key_value()?, self.0.last_key_value()?);
        let (first_day, last_day) = (*first_day, *last_day);
        Some(PurgedSpan { first_day, last_day, first_entry: *first_entry, last_entry: *last_entry })
    }

    /// Returns whether the entry with this number is of one of the purges.
    #[must_use]
    pub fn has(&self, entry: u64) -> bool {
        self.0.contains_key(&entry)
    }
}

/// Returns the purges in the ledger of a site that may have removed lines of `seconds`, in classes that
/// `takes` accepts. Of a damaged ledger, only what is before the damage counts.
pub(in crate::jobs) fn purged_of(
    site: &Site,
    seconds: &RangeInclusive<i64>,
    takes: &dyn Fn(&ClassName) -> bool,
) -> Purged {
    let (mut purges, mut sealed) = (Purges::new(site, seconds, takes), BTreeMap::new());
    // `verify` reports the damage, and it stops no answer.
    let _ = site.ledger.read(&mut |entry, _| {
        if let Some(event) = entry.event() {
            purges.apply(entry, &event, &sealed);
            keep(&mut sealed, &event, entry.at);
        }
    });
    purges.found()
}

/// Finds purges while the ledger is read.
pub(super) struct Purges<'p> {
    site: &'p Site,
    seconds: &'p RangeInclusive<i64>,
    takes: &'p dyn Fn(&ClassName) -> bool,
    /// Purges without an end yet, by expiry day.
    begun: BTreeMap<Date, Begun>,
    found: Purged,
}

/// A purge that has begun.
struct Begun {
    /// The number of its last intent.
    entry: u64,
    /// The legal day of that entry by the machine's clock.
    day: Date,
    /// Its files, and whether each may have had lines that are asked for.
    files: BTreeMap<String, bool>,
}

impl<'p> Purges<'p> {
    pub(super) fn new(
        site: &'p Site,
        seconds: &'p RangeInclusive<i64>,
        takes: &'p dyn Fn(&ClassName) -> bool,
    ) -> Self {
        Self { site, seconds, takes, begun: BTreeMap::new(), found: Purged::default() }
    }

    /// Takes an entry into account. `sealed` are the segments that were there before it, with the time of
    /// their seals.
    pub(super) fn apply(&mut self, entry: &Entry, event: &Event, sealed: &BTreeMap<String, Timestamp>) {
        if *self.seconds == (i64::MIN..=i64::MAX) {
            return;
        }
        match event {
            Event::PurgeIntent(purge) => {
                let mut begun =
                    self.begun.remove(&purge.expires).map(|begun| begun.files).unwrap_or_default();
                for file in &purge.files {
                    // A second intent lists the files of the first again, which may be gone by then.
                    let concerns = || self.may_concern(file, purge.zone.is_some(), sealed);
                    begun.entry(file.name.clone()).or_insert_with(concerns);
                }
                let day = entry.day_by_clock(&self.site.zone);
                self.begun.insert(purge.expires, Begun { entry: entry.n, day, files: begun });
            }
            Event::PurgeDone(purge) => {
                let Some(begun) = self.begun.remove(&purge.expires) else { return };
                // What could not be removed is not in this list any more.
                if purge.files.iter().any(|file| begun.files.get(&file.name) == Some(&true)) {
                    self.found.0.insert(entry.n, entry.day_by_clock(&self.site.zone));
                }
            }
            _ => {}
        }
    }

    /// Returns the purges found. One that has no end may have removed everything that it announced.
    pub(super) fn found(mut self) -> Purged {
        for Begun { entry, day, files } in self.begun.into_values() {
            if files.into_values().any(|concerns| concerns) {
                self.found.0.insert(entry, day);
            }
        }
        self.found
    }

    /// Returns whether a purged file may have had lines that are asked for.
    fn may_concern(&self, file: &PurgedFile, other_zone: bool, sealed: &BTreeMap<String, Timestamp>) -> bool {
        let Some(name) = segment_of(&file.name) else { return false };
        (self.takes)(&name.folder.class) && {
            let sealed = sealed.get(&name.to_string()).copied();
            period::may_have_been_of(self.seconds, self.site, &name, sealed, other_zone)
        }
    }
}

/// Returns the segment in a purged file, whether it was sealed or not; `None` for a vault.
fn segment_of(file: &str) -> Option<SegmentName> {
    let [store, expires, class, file] = file.splitn(4, '/').collect::<Vec<_>>()[..] else { return None };
    let name = SegmentName::parse(&Folder::parse(expires, class)?, file).map(|(name, _)| name);
    name.filter(|_| store != "vault")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::scene::{self, DAY, MIDNIGHT, NEXT, WRITTEN, class};
    use crate::ledger::event::Purge;
    use crate::model::{Keep, Period};
    use crate::primitives::storage::Memory;

    /// The first instant of the legal day 2027-11-25.
    const NEXT_MIDNIGHT: &str = "2027-11-24T23:00:00Z";

    /// Returns a site whose policy keeps connections for 12 months from the event on, after the purges of
    /// these instants. Lines that expire on [`DAY`] are of 2026-11-23.
    fn purged_at(instants: &[&str]) -> Site {
        let memory = scene::archive();
        for now in instants {
            scene::site(&memory, now).unwrap().purge(true, &|_| {}).unwrap();
        }
        with_policy(&memory, "12 months")
    }

    fn with_policy(memory: &Memory, keep: &str) -> Site {
        let mut site = scene::site(memory, NEXT_MIDNIGHT).unwrap();
        let keep = Keep::For(Period::parse(keep).unwrap());
        site.classes = ["connection", "mail"].map(|name| class(name, true)).to_vec();
        site.classes.iter_mut().for_each(|class| class.keep = keep);
        site
    }

    /// Returns the Unix seconds of a legal day in Paris, in winter.
    fn day(text: &str) -> RangeInclusive<i64> {
        let begin = format!("{text}T00:00:00+01:00").parse::<Timestamp>().unwrap().as_second();
        begin..=begin + 86_399
    }

    fn of_day(site: &Site, text: &str) -> usize {
        purged_of(site, &day(text), &|_| true).0.len()
    }

    #[test]
    fn a_purge_concerns_the_days_whose_lines_expired_and_no_other_day() {
        let site = purged_at(&[MIDNIGHT]);
        let days = ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25", "2027-11-24"];
        assert_eq!(days.map(|day| of_day(&site, day)), [0, 0, 1, 0, 0, 0]);
        let both = purged_at(&[MIDNIGHT, NEXT_MIDNIGHT]);
        assert_eq!(days.map(|day| of_day(&both, day)), [0, 0, 1, 1, 0, 0]);
        let period = *day("2026-11-23").start()..=*day("2026-11-24").end();
        let span = purged_of(&both, &period, &|_| true).span().unwrap();
        assert_eq!((span.first_day, span.last_day), (DAY, NEXT));
        assert!(span.first_entry < span.last_entry);
        // A purge that found nothing due concerns nobody; none concerns a question without a period.
        assert_eq!(of_day(&purged_at(&[WRITTEN]), "2026-11-23"), 0);
        assert_eq!(purged_of(&both, &(i64::MIN..=i64::MAX), &|_| true).span(), None);
        assert!(purged_of(&both, &(i64::MIN..=*day("2026-11-23").start()), &|_| true).span().is_some());
    }

    #[test]
    fn a_purge_concerns_the_classes_that_went() {
        let site = purged_at(&[MIDNIGHT, NEXT_MIDNIGHT]);
        let of_class = |name: &'static str, day_of: &str| {
            purged_of(&site, &day(day_of), &|class| class.as_str() == name).span().is_some()
        };
        assert_eq!((of_class("mail", "2026-11-23"), of_class("mail", "2026-11-24")), (true, false));
        assert_eq!((of_class("connection", "2026-11-24"), of_class("ticket", "2026-11-23")), (true, false));
    }

    #[test]
    fn under_another_policy_a_segment_may_be_of_the_days_before_its_seal() {
        let memory = scene::archive();
        scene::site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        for (keep, days) in [
            // The policy in force says 2027-05-23, which is after the seal.
            ("6 months", [("2026-11-18", 0), ("2026-11-21", 1), ("2026-11-23", 1), ("2027-05-23", 0)]),
            // It says 2025-11-23, which old files that were archived later may be of.
            ("24 months", [("2025-11-22", 0), ("2025-11-23", 1), ("2026-11-23", 1), ("2026-11-25", 0)]),
        ] {
            let site = with_policy(&memory, keep);
            for (day, purges) in days {
                assert_eq!(of_day(&site, day), purges, "{keep}, {day}");
            }
        }
        // Of a class that the policy does not know, lines may be of any time before the seal.
        let site = scene::site(&memory, NEXT_MIDNIGHT).unwrap();
        assert_eq!((of_day(&site, "2024-01-01"), of_day(&site, "2026-11-25")), (1, 0));
    }

    /// Returns the purge of the connections of [`DAY`], which a crash may have left unsealed.
    fn purge(part: bool) -> Purge {
        let end = if part { ".part" } else { "" };
        let segment = format!("archive/{}{end}", scene::segment(DAY, "connection"));
        let vault = format!("vault/{}", scene::segment(NEXT, "connection")).replace(".log.zst", ".vault");
        let file = |name| PurgedFile { name, bytes: None, lines: None, sha256: None, other_names: None };
        let files = [segment, vault].map(file).to_vec();
        Purge { expires: DAY, files, bytes: 0, lines: 0, zone: None, left: Vec::new() }
    }

    #[test]
    fn a_purge_without_an_end_counts_and_what_it_could_not_remove_does_not() {
        let mut site = with_policy(&Memory::new(), "12 months");
        site.ledger.append(Event::PurgeIntent(purge(true))).unwrap();
        // The ledger does not know when a part was sealed, so its day is that of the policy.
        assert_eq!((of_day(&site, "2026-11-23"), of_day(&site, "2026-11-24")), (1, 0));
        let kept = Purge { files: Vec::new(), ..purge(true) };
        site.ledger.append(Event::PurgeDone(kept)).unwrap();
        assert_eq!(of_day(&site, "2026-11-23"), 0);
        // The day may begin earlier elsewhere.
        let zone = Some("Asia/Tokyo".to_owned());
        for event in [Event::PurgeIntent, Event::PurgeDone] {
            site.ledger.append(event(Purge { zone: zone.clone(), ..purge(false) })).unwrap();
        }
        let days = ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"];
        assert_eq!(days.map(|day| of_day(&site, day)), [0, 1, 1, 1, 0]);
        let span = purged_of(&site, &day("2026-11-23"), &|_| true).span().unwrap();
        assert_eq!(span.first_day, NEXT, "the legal day of the entry");
    }

    /// One command or boot in a wrong year keeps the ledger in that year; a letter must not quote it.
    #[test]
    fn after_a_clock_that_was_years_ahead_a_purge_was_on_the_day_of_the_clock() {
        let memory = scene::archive();
        let mut wrong = scene::site(&memory, "2099-01-01T00:00:00Z").unwrap();
        let refused = Event::Refused { command: "hold".to_owned(), code: "H04".to_owned(), clock: None };
        wrong.ledger.append(refused).unwrap();
        scene::site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        let site = with_policy(&memory, "12 months");
        let span = purged_of(&site, &day("2026-11-23"), &|_| true).span().unwrap();
        assert_eq!((span.first_day, span.last_day), (DAY, DAY));
    }
}
