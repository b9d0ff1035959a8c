//! Caches of a worker, so that the common line needs no calendar, no policy and no formatting.
//!
//! Every cache is exact: it stores a result together with everything that the result depends on, and on a
//! miss the result is computed again. So results never depend on earlier lines. All tables are small and
//! direct-mapped: a new entry replaces the one in its slot.

use super::event_time::{EventClock, EventDay, whole_seconds};
use super::expiry::Due;
use super::policy::Policy;
use crate::model::{Format, Idiom, Record, RenderedTag, Span, StatedTime};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::ops::Range;

/// A direct-mapped table of `SLOTS` entries; `SLOTS` is a power of two.
#[derive(Clone, Debug)]
struct Slots<T, const SLOTS: usize>(Box<[Option<T>; SLOTS]>);

impl<T, const SLOTS: usize> Default for Slots<T, SLOTS> {
    fn default() -> Self {
        const { assert!(SLOTS.is_power_of_two()) };
        Self(Box::new([const { None }; SLOTS]))
    }
}

impl<T, const SLOTS: usize> Slots<T, SLOTS> {
    fn slot(&mut self, hash: usize) -> &mut Option<T> {
        &mut self.0[hash % SLOTS]
    }

    fn peek(&self, hash: usize) -> &Option<T> {
        &self.0[hash % SLOTS]
    }
}

/// Caches instants of civil times by the hour: the start of an hour gives every second in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Instants(Slots<Hour, 32>);

/// An hour without a clock change, in which every civil time occurs once.
#[derive(Clone, Copy, Debug)]
struct Hour {
    stated: StatedHour,
    /// The Unix time of the first second. If no year is stated, the year is that of this instant.
    start: i64,
}

/// The stated time down to the hour, packed into one number: year (16 bits, 0 if not stated), month, day,
/// hour and offset (18 bits, all ones if not stated).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatedHour(u64);

impl StatedHour {
    const NO_OFFSET: u64 = (1 << 18) - 1;

    /// Returns `None` if a field is out of range, which is left to the uncached path to reject.
    fn new(year: Option<i16>, month: u8, day: u8, hour: u8, offset_seconds: Option<i32>) -> Option<Self> {
        let year = u64::from(u16::try_from(year.unwrap_or(0)).ok()?);
        let offset = match offset_seconds {
            None => Self::NO_OFFSET,
            Some(seconds) => {
                u64::try_from(i64::from(seconds) + 86_400).ok().filter(|&seconds| seconds <= 2 * 86_400)?
            }
        };
        let fits = month < 16 && day < 32 && hour < 32;
        let date = u64::from(month) << 10 | u64::from(day) << 5 | u64::from(hour);
        fits.then_some(Self(year << 32 | date << 18 | offset))
    }

    fn states_year(self) -> bool {
        self.0 >> 32 != 0
    }

    fn states_offset(self) -> bool {
        self.0 & Self::NO_OFFSET != Self::NO_OFFSET
    }

    fn hour(self) -> u8 {
        (self.0 >> 18).to_le_bytes()[0] & 31
    }

    /// Spreads times of different forms, because lines of several formats alternate within one hour.
    fn hash(self) -> usize {
        usize::try_from(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).unwrap_or(0)
    }
}

impl Instants {
    /// A time without a year that is at most this far from now has the nearest year: in any other year, it is
    /// at least 365 - 150 days away.
    const NEAREST_YEAR_SECONDS: u64 = 150 * 86_400;

    /// [`EventClock::instant`] in Unix seconds.
    pub(super) fn seconds(
        &mut self,
        clock: &EventClock,
        stated: StatedTime,
        received: Timestamp,
    ) -> Option<i64> {
        let (stated_hour, second_of_hour) = match stated {
            StatedTime::Unix(seconds) => {
                return Timestamp::from_second(seconds).is_ok().then_some(seconds);
            }
            StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds } => {
                let second_of_hour = i64::from(minute) * 60 + i64::from(second.min(59));
                (StatedHour::new(year, month, day, hour, offset_seconds), second_of_hour)
            }
        };
        let Some(stated_hour) = stated_hour else {
            return clock.instant(stated, received).map(whole_seconds);
        };
        let slot = self.0.slot(stated_hour.hash());
        if let Some(hour) = slot
            && hour.stated == stated_hour
            // Fields out of range are left to the uncached path to reject.
            && second_of_hour < 3600
        {
            let seconds = hour.start + second_of_hour;
            let nearest = || seconds.abs_diff(whole_seconds(received)) <= Self::NEAREST_YEAR_SECONDS;
            if stated_hour.states_year() || nearest() {
                return Some(seconds);
            }
        }
        let seconds = whole_seconds(clock.instant(stated, received)?);
        if let Some(start) = plain_hour(clock.source_zone(), stated_hour, seconds - second_of_hour) {
            *slot = Some(Hour { stated: stated_hour, start });
        }
        Some(seconds)
    }
}

/// Returns `start` if it is the first second of an hour whose seconds can be counted: always with a stated
/// offset; otherwise if both ends of the hour occur only once and no clock changes in between.
fn plain_hour(zone: &TimeZone, stated: StatedHour, start: i64) -> Option<i64> {
    let (first, last) = (Timestamp::from_second(start).ok()?, Timestamp::from_second(start + 3599).ok()?);
    if stated.states_offset() {
        return Some(start);
    }
    let occurs_once = |civil: DateTime| !zone.to_ambiguous_timestamp(civil).is_ambiguous();
    let from = zone.to_datetime(first);
    let at_the_hour = (from.minute(), from.second()) == (0, 0) && from.hour().unsigned_abs() == stated.hour();
    let steady = zone.following(first).next().is_none_or(|change| change.timestamp() > last);
    (at_the_hour && steady && occurs_once(from) && occurs_once(zone.to_datetime(last))).then_some(start)
}

/// Caches the legal days of instants.
#[derive(Clone, Debug, Default)]
pub(super) struct Days(Slots<Day, 8>);

/// A range of seconds that belong to one legal day.
#[derive(Clone, Debug)]
struct Day {
    seconds: Range<i64>,
    date: Date,
}

impl Days {
    /// [`EventClock::legal_day`] of an instant in Unix seconds that is within the calendar.
    pub(super) fn day(&mut self, clock: &EventClock, seconds: i64) -> Date {
        let slot = self.0.slot(usize::try_from(seconds.div_euclid(86_400) & 7).unwrap_or(0));
        if let Some(day) = slot
            && day.seconds.contains(&seconds)
        {
            return day.date;
        }
        slot.insert(Day::around(clock.legal_zone(), seconds)).date
    }
}

impl Day {
    /// The part of the day around `seconds` between clock changes. A zone may set its clocks back over midnight,
    /// and then a day consists of two parts.
    fn around(zone: &TimeZone, seconds: i64) -> Self {
        let edge = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let instant = Timestamp::from_second(seconds).unwrap_or(edge);
        let offset = i64::from(zone.to_offset(instant).seconds());
        let midnight = (seconds + offset).div_euclid(86_400) * 86_400 - offset;
        // `preceding` is exclusive, and clock changes happen on whole seconds: this includes one at this second.
        let next_second = instant.saturating_add(SignedDuration::from_secs(1)).unwrap_or(instant);
        let last_change = zone.preceding(next_second).next().map(|change| change.timestamp().as_second());
        let next_change = zone.following(instant).next().map(|change| change.timestamp().as_second());
        let start = last_change.map_or(midnight, |change| change.max(midnight));
        let end = next_change.map_or(midnight + 86_400, |change| change.min(midnight + 86_400));
        Self { seconds: start..end, date: zone.to_datetime(instant).date() }
    }
}

/// Caches shortlists of clauses by format and program.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortlists {
    slots: Slots<Shortlist, 64>,
    /// The shortlist of a program whose name is too long to be cached.
    other: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Shortlist {
    format: Format,
    inner: Option<Format>,
    has_program: bool,
    /// The length of the program's name, followed by its bytes.
    length: u8,
    name: [u8; Self::LONGEST_NAME_BYTES],
    clauses: Vec<usize>,
}

impl Shortlist {
    const LONGEST_NAME_BYTES: usize = 32;
}

impl Shortlists {
    /// The clauses that may fit, given format and program.
    pub(super) fn of<'s>(&'s mut self, policy: &Policy, line: &[u8], record: &Record) -> &'s [usize] {
        let program = record.program.map(|program| program.of(line));
        let name = program.unwrap_or_default();
        let Some(length) =
            u8::try_from(name.len()).ok().filter(|_| name.len() <= Shortlist::LONGEST_NAME_BYTES)
        else {
            policy.shortlist(record, program, &mut self.other);
            return &self.other;
        };
        let ends =
            name.first().zip(name.last()).map_or(0, |(&first, &last)| first as usize * 5 + last as usize);
        let slot = self.slots.slot(ends + name.len() * 3 + record.format as usize * 11);
        let known = slot.as_ref().is_some_and(|entry| {
            entry.format == record.format
                && entry.inner == record.inner
                && entry.has_program == program.is_some()
                && entry.length == length
                // An empty slice may have a dangling pointer, with which glibc's `memcmp` takes 80 ns: its masked
                // load faults and is completed in microcode.
                && (name.is_empty() || entry.name[..name.len()] == *name)
        });
        if !known {
            // Reuse the vector of the evicted entry.
            let mut clauses = slot.take().map(|entry| entry.clauses).unwrap_or_default();
            policy.shortlist(record, program, &mut clauses);
            let mut padded = [0; Shortlist::LONGEST_NAME_BYTES];
            padded[..name.len()].copy_from_slice(name);
            *slot = Some(Shortlist {
                format: record.format,
                inner: record.inner,
                has_program: program.is_some(),
                length,
                name: padded,
                clauses,
            });
        }
        slot.as_ref().map_or(&[], |entry| &entry.clauses)
    }
}

/// Caches verdicts by envelope, for lines whose class and day depend on nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts(Slots<(Envelope, Tag), 256>);

/// Everything that such a verdict depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The name of the program, padded with zeros.
    program: u128,
    /// From the lowest byte: format, inner format (255 for none), length of the program's name (255 for
    /// none), then in one byte the idiom (3 bits), whether fields may affect the class (1 bit) and the source of
    /// the day (4 bits); then the day of the event: day, month, and year in two bytes.
    rest: u64,
}

impl Envelope {
    const LONGEST_NAME_BYTES: usize = 16;

    /// Returns `None` if the program's name is too long to be cached.
    #[inline]
    pub(super) fn new(
        line: &[u8],
        record: &Record,
        idiom: Idiom,
        event: EventDay,
        fields: bool,
    ) -> Option<Self> {
        let (length, program) = match record.program {
            None => (u8::MAX, 0),
            Some(name) if name.len() > Self::LONGEST_NAME_BYTES => return None,
            Some(name) => (u8::try_from(name.len()).ok()?, padded(line, name)),
        };
        let inner = record.inner.map_or(u8::MAX, |inner| inner as u8);
        let idiom_and_from = number_of(idiom) | u8::from(fields) << 3 | (event.from as u8) << 4;
        let [day, month] = [event.day.day(), event.day.month()].map(i8::cast_unsigned);
        let [early, late] = event.day.year().to_le_bytes();
        let parts = [record.format as u8, inner, length, idiom_and_from, day, month, early, late];
        Some(Self { program, rest: u64::from_le_bytes(parts) })
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
    fn hash(&self) -> usize {
        let name = self.program as u64 ^ (self.program >> 64) as u64;
        ((name ^ self.rest).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
    }
}

/// The bytes of `name`, at most 16, padded with zeros.
#[inline]
fn padded(line: &[u8], name: Span) -> u128 {
    let start = name.start as usize;
    if let Some(bytes) = line.get(start..).and_then(<[u8]>::first_chunk) {
        return u128::from_le_bytes(*bytes) & !u128::MAX.unbounded_shl(8 * (name.end - name.start));
    }
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.of(line));
    u128::from_le_bytes(bytes)
}

fn number_of(idiom: Idiom) -> u8 {
    match idiom {
        Idiom::SdElement => 0,
        Idiom::JsonMember { only } => 1 + u8::from(only),
        Idiom::Suffix => 3,
    }
}

impl Verdicts {
    /// The place of the cached verdict on lines with this envelope, if there is one.
    #[inline]
    pub(super) fn place_of(&self, envelope: &Envelope) -> Option<usize> {
        let place = envelope.hash();
        self.0.peek(place).as_ref().is_some_and(|(known, _)| known == envelope).then_some(place)
    }

    /// The verdict in a place that [`Self::place_of`] has just returned.
    #[inline]
    pub(super) fn at(&self, place: usize) -> &Tag {
        self.0.peek(place).as_ref().map(|(_, tag)| tag).expect("a verdict")
    }

    /// Caches the verdict on lines with this envelope.
    pub(super) fn remember(&mut self, envelope: Envelope, tag: Tag) {
        *self.0.slot(envelope.hash()) = Some((envelope, tag));
    }
}

/// Caches tags by their contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags(Slots<Tag, 64>);

/// Everything that a tag depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TagKey {
    pub(super) class: usize,
    pub(super) start: Date,
    pub(super) clock_received: bool,
    pub(super) idiom: Idiom,
}

/// A tag, and the days on which it is based.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) key: TagKey,
    pub(super) due: Due,
    pub(super) text: RenderedTag,
}

impl Tags {
    /// The tag for `key`, made by `render` if it is not cached.
    pub(super) fn of(&mut self, key: TagKey, render: impl FnOnce() -> (Due, RenderedTag)) -> &Tag {
        let idiom = match key.idiom {
            Idiom::SdElement => 0,
            Idiom::JsonMember { .. } => 1,
            Idiom::Suffix => 2,
        };
        let day =
            usize::from(key.start.day().unsigned_abs()) + usize::from(key.start.month().unsigned_abs()) * 31;
        let slot = self.0.slot(day + key.class * 3 + idiom * 21 + usize::from(key.clock_received) * 42);
        if slot.as_ref().is_none_or(|tag| tag.key != key) {
            let (due, text) = render();
            *slot = Some(Tag { key, due, text });
        }
        // The slot was either filled above or held this tag already.
        slot.as_ref().expect("a tag")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClassName, Expires, Span};
    use crate::retention::policy::tests::policy;
    use proptest::prelude::*;

    /// Zones that change their clocks around midnight, by half an hour or within the hour, or that
    /// skipped a day.
    const ZONES: [&str; 8] = [
        "Europe/Paris",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "America/Havana",
        "Africa/Cairo",
        "Pacific/Apia",
        "Africa/Monrovia",
        "America/Toronto",
    ];

    fn clock(name: &str) -> EventClock {
        EventClock::new(TimeZone::get(name).unwrap(), None, false)
    }

    /// Clock changes of a zone in Unix seconds: the first ones ever, and recent ones.
    fn changes(clock: &EventClock) -> Vec<i64> {
        let from = |start: &str| {
            let start: Timestamp = start.parse().unwrap();
            let changes = clock.legal_zone().following(start).take(6);
            changes.map(|change| change.timestamp().as_second()).collect::<Vec<_>>()
        };
        [
            from("1915-01-01T00:00:00Z"),
            from("1970-01-01T00:00:00Z"),
            from("2006-01-01T00:00:00Z"),
            from("2026-01-01T00:00:00Z"),
        ]
        .concat()
    }

    /// A civil time with or without its year.
    fn stated(civil: DateTime, with_year: bool) -> StatedTime {
        StatedTime::Civil {
            year: with_year.then_some(civil.year()),
            month: civil.month().unsigned_abs(),
            day: civil.day().unsigned_abs(),
            hour: civil.hour().unsigned_abs(),
            minute: civil.minute().unsigned_abs(),
            second: civil.second().unsigned_abs(),
            offset_seconds: None,
        }
    }

    /// The numbers below `count`, each once, in a scattered order.
    fn scrambled(count: i64) -> impl Iterator<Item = i64> {
        // 7919 is prime, and no `count` used here is a multiple of it.
        (0..count).map(move |index| index * 7919 % count)
    }

    #[test]
    fn days_are_exact_around_every_change_of_the_clock() {
        for name in ZONES {
            let clock = clock(name);
            let mut days = Days::default();
            for change in changes(&clock) {
                // Four days, every 29 seconds.
                for step in scrambled(4 * 86_400 / 29) {
                    let seconds = change - 2 * 86_400 + step * 29;
                    let expected = clock.legal_day(Timestamp::from_second(seconds).unwrap());
                    assert_eq!(days.day(&clock, seconds), expected, "{name} {seconds}");
                }
            }
        }
    }

    #[test]
    fn instants_are_exact_around_every_change_of_the_clock() {
        for name in ZONES {
            let clock = clock(name);
            let mut instants = Instants::default();
            for change in changes(&clock) {
                let at_change = Timestamp::from_second(change).unwrap();
                let around = clock.legal_zone().to_datetime(at_change);
                // Six hours of civil time, including times that are skipped and times that occur twice.
                for step in scrambled(6 * 3600 / 101) {
                    let civil = around + SignedDuration::from_secs(step * 101 - 3 * 3600);
                    for after in [-3 * 3600, -1800, 0, 1800, 3600, 86_400] {
                        let received = Timestamp::from_second(change + after).unwrap();
                        let stated = stated(civil, step % 2 == 0);
                        let expected = clock.instant(stated, received).map(whole_seconds);
                        assert_eq!(instants.seconds(&clock, stated, received), expected, "{name} {civil}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_year_depends_on_now() {
        let clock = clock("Europe/Paris");
        let mut instants = Instants::default();
        let midsummer: DateTime = "2026-06-30T12:34:56".parse().unwrap();
        let leap_day: DateTime = "2028-02-29T12:34:56".parse().unwrap();
        for civil in [midsummer, leap_day] {
            // Day by day, so that the cached year is right until it no longer is.
            for step in (0..5000).chain(scrambled(5000)) {
                let received = Timestamp::from_second(1_700_000_000 + step * 86_400).unwrap();
                let stated = stated(civil, false);
                let expected = clock.instant(stated, received).map(whole_seconds);
                assert_eq!(instants.seconds(&clock, stated, received), expected, "{civil} {received}");
            }
        }
    }

    proptest! {
        #[test]
        fn shortlists_are_exact(
            lines in prop::collection::vec(
                (0usize..Format::ALL.len(), prop::option::of(0usize..Format::ALL.len()), 0usize..8), 1..80,
            ),
        ) {
            let policy = policy();
            let mut shortlists = Shortlists::default();
            for (format, inner, program) in lines {
                let long = "postfix/a-name-that-is-not-remembered";
                let program = ["", "postfix/smtpd", "postfix/cleanup", "postfix", "dovecot", "d", long, "tocevod"][program];
                let record = Record {
                    format: Format::ALL[format],
                    inner: inner.map(|inner| Format::ALL[inner]),
                    program: (program != "d").then(|| Span::new(0, program.len())),
                    ..Record::raw(program.as_bytes())
                };
                let mut expected = Vec::new();
                policy.shortlist(&record, record.program.map(|_| program.as_bytes()), &mut expected);
                prop_assert_eq!(shortlists.of(&policy, program.as_bytes(), &record), expected);
            }
        }

        #[test]
        fn tags_are_exact(
            keys in prop::collection::vec((0usize..3, 1i16..3, 1i8..13, 1i8..29, any::<bool>(), 0usize..4), 1..200),
        ) {
            let mut tags = Tags::default();
            for (class, year, month, day, clock_received, idiom) in keys {
                let idiom = [
                    Idiom::SdElement,
                    Idiom::JsonMember { only: false },
                    Idiom::JsonMember { only: true },
                    Idiom::Suffix,
                ][idiom];
                let start = Date::new(2025 + year, month, day).unwrap();
                let name = ClassName::new(["a", "b", "c"][class]).unwrap();
                let render = || {
                    let due = Due { archive: None, expires: Expires::On(start) };
                    (due, RenderedTag::new(&name, due.expires, clock_received, idiom))
                };
                let tag = tags.of(TagKey { class, start, clock_received, idiom }, render);
                prop_assert_eq!((tag.due, tag.text.clone()), render());
            }
        }
    }
}
