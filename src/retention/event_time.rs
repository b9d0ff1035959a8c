//! The legal day of an event: reads the time that a line states in its zone, and decides whether to believe it.

use crate::model::StatedTime;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The source of the legal day of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DayFrom {
    /// The time that the line states.
    Stated,
    /// Receipt, because the time that the line states is not believed. The tag says `clock=received`.
    Received,
    /// Receipt, because the line states no time. There is nothing to contradict, so the tag says nothing.
    Untimed,
}

/// The day from which the retention of a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDay {
    /// The day in the legal zone.
    pub day: Date,
    /// The source of the day.
    pub from: DayFrom,
}

/// Reads stated times and decides which of them to believe.
#[derive(Clone, Debug)]
pub struct EventClock {
    /// The time zone of legal days.
    legal: TimeZone,
    /// The time zone of times that state none.
    source: TimeZone,
    backfill: bool,
}

impl EventClock {
    /// How far a stated time may lie before receipt, inclusive, in seconds. Ignored with `backfill`.
    const MAX_PAST_SECONDS: i64 = 48 * 3600;
    /// How far a stated time may lie after receipt, inclusive, in seconds: the clock of the source is ahead.
    pub const MAX_FUTURE_SECONDS: i64 = 5 * 60;
    /// 1971-01-01T00:00:00Z. An earlier time comes from a clock that was not set, because no log is that old. If it
    /// were believed, the line would expire at once.
    pub const EARLIEST: i64 = 365 * 86_400;

    /// Creates a clock that counts days in `legal`, and reads times without a zone in `source`, or else in
    /// `legal`. With `backfill`, every past time is believed, except those before [`Self::EARLIEST`].
    #[must_use]
    pub fn new(legal: TimeZone, source: Option<TimeZone>, backfill: bool) -> Self {
        let source = source.unwrap_or_else(|| legal.clone());
        Self { legal, source, backfill }
    }

    /// The time zone of legal days.
    #[must_use]
    pub fn legal_zone(&self) -> &TimeZone {
        &self.legal
    }

    /// The time zone of times that state none.
    #[must_use]
    pub fn source_zone(&self) -> &TimeZone {
        &self.source
    }

    /// The legal day of an instant.
    #[must_use]
    pub fn legal_day(&self, instant: Timestamp) -> Date {
        self.legal.to_datetime(instant).date()
    }

    /// The legal day of a line received at `received`.
    #[must_use]
    pub fn event_day(&self, stated: Option<StatedTime>, received: Timestamp) -> EventDay {
        let Some(stated) = stated else {
            return EventDay { day: self.legal_day(received), from: DayFrom::Untimed };
        };
        match self.instant(stated, received) {
            Some(instant) if self.believes(whole_seconds(instant), whole_seconds(received)) => {
                EventDay { day: self.legal_day(instant), from: DayFrom::Stated }
            }
            _ => EventDay { day: self.legal_day(received), from: DayFrom::Received },
        }
    }

    /// Whether the time `instant` of a line received at `received` is believed; both in whole Unix seconds.
    #[must_use]
    pub fn believes(&self, instant: i64, received: i64) -> bool {
        let age_seconds = received.saturating_sub(instant);
        let is_old = age_seconds > Self::MAX_PAST_SECONDS;
        age_seconds >= -Self::MAX_FUTURE_SECONDS && (!is_old || self.backfill && instant >= Self::EARLIEST)
    }

    /// The instant that `stated` denotes to a reader at `now`; `None` if there is no such day, or if it is beyond
    /// the calendar.
    ///
    /// What the line leaves open is chosen so that the instant is nearest to `now`: the year, and which of
    /// the two hours is meant when the clocks are set back. A time that the clocks skipped is read with the
    /// offset before the change. A leap second (60) counts as the second before it, so it keeps its day.
    #[must_use]
    pub fn instant(&self, stated: StatedTime, now: Timestamp) -> Option<Timestamp> {
        let (year, month, day, offset_seconds) = match stated {
            StatedTime::Unix(seconds) => return Timestamp::from_second(seconds).ok(),
            StatedTime::Civil { year, month, day, offset_seconds, .. } => (year, month, day, offset_seconds),
        };
        let this_year = self.source.to_datetime(now).year();
        let reach = if (month, day) == (2, 29) { LEAP_YEARS_APART } else { 1 };
        let years = match year {
            Some(year) => year..=year,
            None => this_year.saturating_sub(reach)..=this_year.saturating_add(reach),
        };
        years
            .filter_map(|year| self.instant_in_year(stated, year, offset_seconds, now))
            .min_by_key(|instant| now.duration_since(*instant).abs())
    }

    fn instant_in_year(
        &self,
        stated: StatedTime,
        year: i16,
        offset_seconds: Option<i32>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let civil = civil(stated, year)?;
        match offset_seconds {
            Some(seconds) => Offset::from_seconds(seconds).ok()?.to_timestamp(civil).ok(),
            None => self.in_source_zone(civil, now),
        }
    }

    fn in_source_zone(&self, civil: DateTime, now: Timestamp) -> Option<Timestamp> {
        let reading = self.source.to_ambiguous_timestamp(civil);
        let AmbiguousOffset::Fold { .. } = reading.offset() else {
            return reading.compatible().ok();
        };
        let (earlier, later) = (reading.earlier().ok()?, reading.later().ok()?);
        let distance = |instant: Timestamp| -> SignedDuration { now.duration_since(instant).abs() };
        Some(if distance(earlier) <= distance(later) { earlier } else { later })
    }

    /// The legal day that the text of a start field denotes: `2026-11-23`; a date and time as in RFC 3339,
    /// possibly with a space instead of `T` and without a zone; or Unix time in seconds, milliseconds or
    /// microseconds. `None` if it is none of these, or if it is later than `received` plus the five minutes
    /// that a clock may be ahead: nobody has closed a ticket tomorrow.
    #[must_use]
    pub fn start_day(&self, text: &[u8], received: Timestamp) -> Option<Date> {
        let latest = received.checked_add(SignedDuration::from_secs(Self::MAX_FUTURE_SECONDS)).ok()?;
        let text = str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST_TIME_BYTES)?;
        let day = if text.len() == "2026-11-23".len() && text.contains('-') {
            text.parse().ok()?
        } else {
            let instant = match unix_seconds(text) {
                Some(seconds) => Timestamp::from_second(seconds).ok()?,
                None => self.rfc3339(text, received)?,
            };
            (instant <= latest).then(|| self.legal_day(instant))?
        };
        (day <= self.legal_day(latest)).then_some(day)
    }

    fn rfc3339(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        // Accept only the extended form, `2026-11-23...`: jiff accepts other ISO 8601 notations, too.
        if text.as_bytes().get(4) != Some(&b'-') {
            return None;
        }
        text.parse().ok().or_else(|| self.in_source_zone(text.parse().ok()?, now))
    }
}

/// The Unix time in whole seconds, rounded down.
#[must_use]
pub(super) fn whole_seconds(instant: Timestamp) -> i64 {
    // In jiff, sign and fraction agree: only times before 1970 have a negative fraction.
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

/// The largest distance between two leap years, around a century that is not one.
const LEAP_YEARS_APART: i16 = 8;

/// An upper limit on the length of a date and time.
const LONGEST_TIME_BYTES: usize = 64;

fn civil(stated: StatedTime, year: i16) -> Option<DateTime> {
    let StatedTime::Civil { month, day, hour, minute, second, .. } = stated else {
        return None;
    };
    let [month, day, hour, minute] =
        [month, day, hour, minute].map(|field| i8::try_from(field).unwrap_or(-1));
    let second = i8::try_from(second.min(59)).ok()?;
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

/// Parses Unix time by its number of digits: 9 to 11 are seconds (1973 to 5138), 12 to 14 milliseconds,
/// 15 to 17 microseconds. A fraction is dropped. Fewer digits mean something else: 0 for "never", `20261123`.
fn unix_seconds(text: &str) -> Option<i64> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        9..=11 => Some(number),
        12..=14 => Some(number / 1_000),
        15..=17 => Some(number / 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn live() -> EventClock {
        EventClock::new(zone("Europe/Paris"), None, false)
    }

    fn backfill() -> EventClock {
        EventClock::new(zone("Europe/Paris"), None, true)
    }

    /// Parses `2026-11-23T10:00:00+01:00`, where the year may be `----` and the offset may be missing.
    fn stated(text: &str) -> StatedTime {
        let number = |from: usize| text[from..from + 2].parse::<u8>().unwrap();
        let offset_seconds = match &text[19..] {
            "" => None,
            "Z" => Some(0),
            offset => {
                let seconds =
                    offset[1..3].parse::<i32>().unwrap() * 3600 + offset[4..6].parse::<i32>().unwrap() * 60;
                Some(if offset.starts_with('-') { -seconds } else { seconds })
            }
        };
        StatedTime::Civil {
            year: text[..4].parse().ok(),
            month: number(5),
            day: number(8),
            hour: number(11),
            minute: number(14),
            second: number(17),
            offset_seconds,
        }
    }

    #[test]
    fn instants() {
        let clock = live();
        for (text, now, expected) in [
            // Zones.
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z", Some("2026-11-23T10:00:00Z")),
            ("2026-11-23T10:00:00-05:30", "2026-11-23T10:00:00Z", Some("2026-11-23T15:30:00Z")),
            ("2026-11-23T10:00:00", "2026-11-23T10:00:00Z", Some("2026-11-23T09:00:00Z")),
            ("2026-07-01T10:00:00", "2026-07-01T10:00:00Z", Some("2026-07-01T08:00:00Z")),
            ("2026-07-01T10:00:00+99:00", "2026-07-01T10:00:00Z", None),
            // No year: the nearest.
            ("-----11-23T10:00:00", "2026-11-23T10:00:00Z", Some("2026-11-23T09:00:00Z")),
            ("-----12-31T23:59:59", "2027-01-01T00:00:10Z", Some("2026-12-31T22:59:59Z")),
            ("-----01-01T00:00:01", "2026-12-31T22:59:59Z", Some("2026-12-31T23:00:01Z")),
            ("-----06-30T10:00:00", "2026-11-23T10:00:00Z", Some("2026-06-30T08:00:00Z")),
            ("-----03-30T10:00:00", "2026-11-23T10:00:00Z", Some("2027-03-30T08:00:00Z")),
            ("-----02-29T10:00:00", "2028-03-01T10:00:00Z", Some("2028-02-29T09:00:00Z")),
            ("-----02-29T10:00:00", "2026-11-23T10:00:00Z", Some("2028-02-29T09:00:00Z")),
            ("-----02-29T10:00:00", "2025-11-23T10:00:00Z", Some("2024-02-29T09:00:00Z")),
            ("-----02-29T10:00:00", "2100-02-28T10:00:00Z", Some("2096-02-29T09:00:00Z")),
            ("-----02-29T10:00:00", "2100-03-02T10:00:00Z", Some("2104-02-29T09:00:00Z")),
            // No such day.
            ("2027-02-29T10:00:00", "2027-03-01T10:00:00Z", None),
            ("-----02-30T10:00:00", "2027-03-01T10:00:00Z", None),
            // The clocks go forward: 02:30 does not exist, and is read as 02:30+01:00.
            ("2026-03-29T02:30:00", "2026-03-29T01:31:00Z", Some("2026-03-29T01:30:00Z")),
            // The clocks go back: 02:30 occurs twice.
            ("2026-10-25T02:30:00", "2026-10-25T00:30:05Z", Some("2026-10-25T00:30:00Z")),
            ("2026-10-25T02:30:00", "2026-10-25T01:30:05Z", Some("2026-10-25T01:30:00Z")),
            ("-----10-25T02:30:00", "2026-10-25T01:30:05Z", Some("2026-10-25T01:30:00Z")),
            // A leap second.
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", Some("2016-12-31T23:59:59Z")),
            ("2017-01-01T00:59:60", "2017-01-01T00:00:00Z", Some("2016-12-31T23:59:59Z")),
        ] {
            assert_eq!(clock.instant(stated(text), instant(now)), expected.map(instant), "{text} at {now}");
        }
    }

    #[test]
    fn the_source_zone_reads_the_time_and_the_legal_zone_counts_the_day() {
        let clock = EventClock::new(zone("Europe/Paris"), Some(zone("America/New_York")), false);
        let received = instant("2026-11-23T23:30:00Z");
        let expected = EventDay { day: "2026-11-24".parse().unwrap(), from: DayFrom::Stated };
        assert_eq!(clock.event_day(Some(stated("2026-11-23T18:30:00")), received), expected);
        assert_eq!(clock.event_day(Some(stated("2026-11-23T23:30:00Z")), received), expected);
    }

    #[test]
    fn belief() {
        let received = instant("2026-11-23T10:00:00Z");
        for (clock, text, day, from) in [
            (live(), "2026-11-23T10:05:00Z", "2026-11-23", DayFrom::Stated),
            (live(), "2026-11-23T10:05:01Z", "2026-11-23", DayFrom::Received),
            (live(), "2026-11-21T10:00:00Z", "2026-11-21", DayFrom::Stated),
            (live(), "2026-11-21T09:59:59Z", "2026-11-23", DayFrom::Received),
            (live(), "1970-01-01T00:00:00Z", "2026-11-23", DayFrom::Received),
            (live(), "2027-12-28T10:00:00Z", "2026-11-23", DayFrom::Received),
            (live(), "2027-02-29T10:00:00Z", "2026-11-23", DayFrom::Received),
            (backfill(), "2026-11-23T10:05:00Z", "2026-11-23", DayFrom::Stated),
            (backfill(), "2026-11-23T10:05:01Z", "2026-11-23", DayFrom::Received),
            (backfill(), "2025-06-30T22:30:00Z", "2025-07-01", DayFrom::Stated),
            (backfill(), "1971-01-01T00:00:00Z", "1971-01-01", DayFrom::Stated),
            (backfill(), "1970-01-01T00:00:12Z", "2026-11-23", DayFrom::Received),
            (backfill(), "0001-01-01T00:00:00Z", "2026-11-23", DayFrom::Received),
            (backfill(), "9999-12-31T23:59:59Z", "2026-11-23", DayFrom::Received),
            (backfill(), "2027-02-29T10:00:00Z", "2026-11-23", DayFrom::Received),
        ] {
            let expected = EventDay { day: day.parse().unwrap(), from };
            assert_eq!(clock.event_day(Some(stated(text)), received), expected, "{text}");
        }
        assert_eq!(live().event_day(None, received).from, DayFrom::Untimed);
        for seconds in [i64::MIN, i64::MAX] {
            assert_eq!(
                backfill().event_day(Some(StatedTime::Unix(seconds)), received).from,
                DayFrom::Received
            );
        }
    }

    #[test]
    fn start_fields() {
        let received = instant("2026-11-23T10:00:00Z");
        for (text, expected) in [
            ("2026-11-01", Some("2026-11-01")),
            ("2019-02-28", Some("2019-02-28")),
            ("2026-11-23", Some("2026-11-23")),
            ("2026-11-24", None),
            ("2026-02-30", None),
            ("2026-06-30T22:30:00Z", Some("2026-07-01")),
            ("2026-06-30T22:30:00.123456+02:00", Some("2026-06-30")),
            ("2026-06-30 23:30:00", Some("2026-06-30")),
            ("2026-06-30T23:30", Some("2026-06-30")),
            ("2026-11-23T10:05:00Z", Some("2026-11-23")),
            ("2026-11-23T10:05:01Z", None),
            ("9999-12-31", None),
            ("1795428000", Some("2026-11-23")),
            ("1795428000.5", Some("2026-11-23")),
            ("1795428000123", Some("2026-11-23")),
            ("1795428000123456", Some("2026-11-23")),
            ("0", None),
            ("99999999999999999999", None),
            ("-5", None),
            ("null", None),
            ("", None),
            ("P1D", None),
            ("20261101", None),
            ("yesterday", None),
        ] {
            let expected = expected.map(|day| day.parse::<Date>().unwrap());
            assert_eq!(live().start_day(text.as_bytes(), received), expected, "{text:?}");
        }
        assert_eq!(live().start_day(b"2026-11-0\xff", received), None);
        assert_eq!(live().start_day(&[b'9'; 4096], received), None);
    }

    proptest! {
        /// Any stated time and any receipt give an answer, which is never a day in the future.
        #[test]
        fn never_a_future_day(
            year in prop::option::of(any::<i16>()),
            month in any::<u8>(), day in any::<u8>(), hour in any::<u8>(),
            minute in any::<u8>(), second in any::<u8>(),
            offset_seconds in prop::option::of(any::<i32>()),
            received in -100_000_000_000i64..200_000_000_000,
            backfill in any::<bool>(),
        ) {
            let clock = EventClock::new(zone("Europe/Paris"), Some(zone("America/St_Johns")), backfill);
            let stated = StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds };
            let received = Timestamp::from_second(received).unwrap();
            let latest = received + SignedDuration::from_secs(EventClock::MAX_FUTURE_SECONDS);
            prop_assert!(clock.event_day(Some(stated), received).day <= clock.legal_day(latest));
        }

        #[test]
        fn start_fields_never_panic(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let received = instant("2026-11-23T10:00:00Z");
            if let Some(day) = live().start_day(&text, received) {
                prop_assert!(day <= live().legal_day(received));
            }
        }
    }
}
