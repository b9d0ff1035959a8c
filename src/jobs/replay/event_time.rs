//! Determines the time of an archived line's event, by reading the line again as the live run read it.
//!
//! The archive keeps no time beside a line. It keeps the range of each frame, which covers the times that
//! were believed when the lines came and, for the other lines, their receipt. This determines the time of
//! each line:
//!
//! 1. The time of a line whose tag says `clock=received` was not believed.
//! 2. A stated time may have several readings (if it states no year, or is in the hour that comes twice in
//!    autumn). The reading within the range of the frame is the one that was believed. If no reading is
//!    within the range, the time was not believed, even if the line has no tag.
//! 3. A line that states no time, or one that was not believed, counts as of its receipt. Lines of a frame
//!    are in the order of their receipt, and no event is much later than its receipt. So the line was
//!    received at about the latest time believed before it in the frame, or at the beginning of the range;
//!    certainly not much earlier, and not after the end of the range. A search finds the line in every period
//!    that it may be of.
//!
//! Days and periods are counted in whole seconds, as the formats read them. Within a second, lines are
//! ordered by the fraction that they state; a line that states none sorts with the line before it, if that is
//! of the same second. The same line in the same frame always gets the same time, so a resumed replay
//! continues exactly where it stopped.

use super::fraction;
use crate::format::Guess;
use crate::model::{Format, Record, StatedTime};
use crate::retention::DayFrom;
use crate::retention::event_time::EventClock;
use crate::retention::tag;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;

/// How lines are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The only format, or `None` to guess: as when the lines were archived.
    pub format: Option<Format>,
    /// The zone of times that state none, given by whoever asks. It overrides the zone that the segment
    /// names.
    pub source_zone: Option<TimeZone>,
    /// The zone of times that state none in segments that name no zone, by the configuration; `None` for the
    /// legal zone of the segment.
    pub assumed_zone: Option<TimeZone>,
}

impl Reading {
    /// Returns how to read the lines of a segment, which `says` the zone of times that state none, or does
    /// not.
    #[must_use]
    pub fn of_segment(&self, says: Option<&TimeZone>) -> Self {
        let source_zone = self.source_zone.as_ref().or(says).or(self.assumed_zone.as_ref()).cloned();
        Self { source_zone, ..self.clone() }
    }
}

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// Unix seconds.
    pub second: i64,
    /// Nanoseconds within that second.
    pub nanosecond: u32,
    /// The source of that time.
    pub from: DayFrom,
    /// The first and the last second that the event may be from: the same if the line states its time.
    pub between: (i64, i64),
}

/// Reads the lines of one frame, in order.
#[derive(Debug)]
pub struct FrameTimes {
    clock: EventClock,
    guess: Guess,
    range: RangeInclusive<i64>,
    /// An instant near all events.
    near: Timestamp,
    /// The latest time believed so far.
    latest: Option<i64>,
    /// Second and nanosecond of the previous line.
    before: (i64, u32),
}

impl FrameTimes {
    /// Creates a reader for a frame with this range of event seconds.
    ///
    /// The segment has the legal zone `legal`, and was sealed at about the instant `sealed`. The range of a
    /// frame that a crash left without one is all numbers.
    #[must_use]
    pub fn new(reading: &Reading, legal: TimeZone, range: RangeInclusive<i64>, sealed: Timestamp) -> Self {
        let known = *range.end() != i64::MAX;
        let near = known.then(|| Timestamp::from_second(*range.end()).ok()).flatten();
        Self {
            clock: EventClock::new(legal, reading.source_zone.clone(), true),
            guess: Guess::new(reading.format),
            range,
            near: near.unwrap_or(sealed),
            latest: None,
            before: (i64::MIN, 0),
        }
    }

    /// Reads the envelope of the next line (without its line end), and the time of its event.
    pub fn read(&mut self, line: &[u8]) -> (Record, EventTime) {
        let record = self.guess.parse(line);
        let tag = tag::existing(line, &record);
        let unbelieved = tag.is_some_and(|tag| tag.clock_received);
        let stated = record.time.filter(|_| !unbelieved).and_then(|stated| self.second(stated));
        let (second, from, between) = match stated {
            Some(second) => {
                self.latest = self.latest.max(Some(second));
                (second, DayFrom::Stated, (second, second))
            }
            None => {
                let from = if record.time.is_some() { DayFrom::Received } else { DayFrom::Untimed };
                let second = self.latest.unwrap_or_else(|| self.begin());
                (second, from, (self.earliest(), self.end().max(second)))
            }
        };
        let fraction = record.time.filter(|_| from == DayFrom::Stated);
        let fraction = fraction.and_then(|time| fraction::nanoseconds(line, time));
        let nanosecond = fraction.unwrap_or(if self.before.0 == second { self.before.1 } else { 0 });
        self.before = (second, nanosecond);
        (record, EventTime { second, nanosecond, from, between })
    }

    /// Returns the second that a stated time means, if that time was believed.
    fn second(&self, stated: StatedTime) -> Option<i64> {
        let first = Timestamp::from_second(*self.range.start()).ok();
        let readings = [Some(self.near), first].into_iter().flatten();
        readings
            .filter_map(|near| self.clock.instant(stated, near))
            .map(Timestamp::as_second)
            .find(|second| self.range.contains(second))
    }

    /// Returns the earliest second that the next event can be from.
    fn earliest(&self) -> i64 {
        let ahead = |latest: i64| latest.saturating_sub(EventClock::MAX_FUTURE_SECONDS);
        self.latest.map_or(i64::MIN, ahead).max(*self.range.start())
    }

    /// Returns the latest second that the next event can be from; without a range, the time of sealing.
    fn end(&self) -> i64 {
        if *self.range.end() == i64::MAX { self.near.as_second() } else { *self.range.end() }
    }

    fn begin(&self) -> i64 {
        if *self.range.start() == i64::MIN { self.near.as_second() } else { *self.range.start() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn times(first: &str, last: &str) -> FrameTimes {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let range = seconds(first)..=seconds(last);
        FrameTimes::new(&Reading::default(), paris, range, "2026-11-25T00:00:00Z".parse().unwrap())
    }

    fn check(times: &mut FrameTimes, lines: &[(&str, &str, DayFrom)]) {
        for (line, second, from) in lines {
            let (_, time) = times.read(line.as_bytes());
            assert_eq!((time.second, time.from), (seconds(second), *from), "{line}");
        }
    }

    #[test]
    fn what_is_typed_holds_before_what_the_segment_says_and_that_before_the_configuration() {
        let zone = |name| TimeZone::get(name).ok();
        let (typed, says, assumed) = (zone("Asia/Tokyo"), zone("America/New_York"), zone("Europe/London"));
        for (source_zone, says, assumed_zone, holds) in [
            (&typed, &says, &assumed, &typed),
            (&None, &says, &assumed, &says),
            (&None, &None, &assumed, &assumed),
            (&None, &None, &None, &None),
        ] {
            let (source_zone, assumed_zone) = (source_zone.clone(), assumed_zone.clone());
            let reading = Reading { source_zone, assumed_zone, ..Reading::default() };
            assert_eq!(reading.of_segment(says.as_ref()).source_zone, *holds);
        }
    }

    #[test]
    fn stated_times_are_those_of_the_live_run() {
        let mut times = times("2026-11-23T08:59:00Z", "2026-11-23T09:00:10Z");
        check(
            &mut times,
            &[
                (
                    "a - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
                    "2026-11-23T09:00:00Z",
                    DayFrom::Stated,
                ),
                ("Nov 23 09:59:00 web1 sshd[1]: x", "2026-11-23T08:59:00Z", DayFrom::Stated),
            ],
        );
    }

    #[test]
    fn what_was_not_believed_counts_with_its_receipt() {
        let mut times = times("2026-11-23T08:59:00Z", "2026-11-23T09:00:10Z");
        check(
            &mut times,
            &[
                ("no time at all", "2026-11-23T08:59:00Z", DayFrom::Untimed),
                ("Nov 23 10:00:05 web1 sshd[1]: x", "2026-11-23T09:00:05Z", DayFrom::Stated),
                // The time is within the range, but the tag says that it was not believed.
                (
                    "Nov 23 10:00:09 web1 sshd[1]: x expires=2027-11-24 class=connection clock=received",
                    "2026-11-23T09:00:05Z",
                    DayFrom::Received,
                ),
                // There is no tag, but the time is far from everything else in the frame.
                ("Jun 23 10:00:09 web1 sshd[1]: x", "2026-11-23T09:00:05Z", DayFrom::Received),
            ],
        );
    }

    #[test]
    fn what_was_not_believed_may_have_come_until_the_end_of_its_frame() {
        let (begin, end) = ("2026-11-23T08:00:00Z", "2026-11-23T09:00:10Z");
        let mut times = times(begin, end);
        for (line, first, last) in [
            ("no time at all", begin, end),
            ("Nov 23 09:59:00 web1 sshd[1]: x", "2026-11-23T08:59:00Z", "2026-11-23T08:59:00Z"),
            // The clock of a source may be five minutes ahead.
            ("no time at all", "2026-11-23T08:54:00Z", end),
            ("Jun 23 10:00:09 web1 sshd[1]: x", "2026-11-23T08:54:00Z", end),
            ("Nov 23 09:02:00 web1 sshd[1]: x", "2026-11-23T08:02:00Z", "2026-11-23T08:02:00Z"),
            ("no time at all", "2026-11-23T08:54:00Z", end),
        ] {
            assert_eq!(times.read(line.as_bytes()).1.between, (seconds(first), seconds(last)), "{line}");
        }
    }

    #[test]
    fn what_a_line_leaves_open_is_found_in_the_range() {
        // The hour that comes twice.
        for (first, last, meant) in [
            ("2026-10-25T00:29:00Z", "2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T01:29:00Z", "2026-10-25T01:31:00Z", "2026-10-25T01:30:00Z"),
        ] {
            let line = [("Oct 25 02:30:00 web1 sshd[1]: x", meant, DayFrom::Stated)];
            check(&mut times(first, last), &line);
        }
        // The turn of the year.
        let line = [("Dec 31 23:59:59 web1 sshd[1]: x", "2025-12-31T22:59:59Z", DayFrom::Stated)];
        check(&mut times("2025-12-31T22:59:00Z", "2026-01-01T10:00:00Z"), &line);
    }

    #[test]
    fn a_line_without_fraction_stands_with_the_one_before() {
        let mut times = times("2026-11-23T09:00:00Z", "2026-11-23T09:00:10Z");
        for (line, nanosecond) in [
            ("Nov 23 10:00:05 web1 sshd[1]: x", 0),
            ("2026-11-23T10:00:05.25+01:00 web1 sshd[1]: x", 250_000_000),
            ("Nov 23 10:00:05 web1 sshd[1]: x", 250_000_000),
            ("Nov 23 10:00:06 web1 sshd[1]: x", 0),
            ("2026-11-23T10:00:06.1+01:00 web1 sshd[1]: x expires=2027-11-24 class=c clock=received", 0),
        ] {
            assert_eq!(times.read(line.as_bytes()).1.nanosecond, nanosecond, "{line}");
        }
    }

    #[test]
    fn a_frame_without_range_is_read_near_to_its_seal() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let sealed = "2026-11-25T00:00:00Z".parse().unwrap();
        let mut times = FrameTimes::new(&Reading::default(), paris, i64::MIN..=i64::MAX, sealed);
        check(
            &mut times,
            &[
                ("no time", "2026-11-25T00:00:00Z", DayFrom::Untimed),
                ("Nov 23 10:00:05 web1 sshd[1]: x", "2026-11-23T09:00:05Z", DayFrom::Stated),
                ("no time", "2026-11-23T09:00:05Z", DayFrom::Untimed),
            ],
        );
    }
}
