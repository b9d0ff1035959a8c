//! Expiry on the calendar: from the day on which retention starts to the day on which lines must be gone.
//!
//! `last = d + N calendar months, clamped to the month's end; expires = last + 1 day` (art. 641 CPC: a
//! period in months ends on the same day number, or on the last day of a month that has no such day).
//! Never 365 times 24 hours, never a UTC day, no weekend roll-over.

use crate::model::{Expires, Keep, Period, RetentionClass, Unit};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use std::ops::RangeInclusive;

/// The days on which something happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The first legal day of the line in the intermediate archive, if its class has that phase.
    pub archive: Option<Date>,
    /// The first legal day on which the line must no longer exist.
    pub expires: Expires,
}

/// The days on which something happens to a line of `class` whose retention starts on the legal day `start`.
///
/// The phases follow each other: `keep` runs from the last day of `archive_after`, and each is clamped
/// to the end of its own month.
#[must_use]
pub fn due(class: &RetentionClass, start: Date) -> Due {
    let last_active = class.archive_after.map(|phase| last_day(start, phase));
    let expires = match class.keep {
        Keep::Contract => Expires::Contract,
        Keep::For(period) => Expires::On(next_day(last_day(last_active.unwrap_or(start), period))),
    };
    Due { archive: last_active.map(next_day), expires }
}

/// The last legal day of a `period` that starts on `start`. Months are clamped to the month's end.
#[must_use]
pub fn last_day(start: Date, period: Period) -> Date {
    let count = i32::from(period.count);
    let span: Span = match period.unit {
        Unit::Days => count.days(),
        Unit::Months => count.months(),
        Unit::Years => count.years(),
    };
    // The calendar of jiff ends with the year 9999, so every period ends by then.
    start.saturating_add(span)
}

/// The first legal day of the second phase, for lines that expire on `expires` after `keep` in that phase. This
/// is the reverse of [`due`].
///
/// Where months are clamped, several days expire together. The earliest of them counts, so that no line stays
/// in its first phase for too long.
#[must_use]
pub fn archive_day(expires: Date, keep: Period) -> Date {
    let last = expires.saturating_sub(1.day());
    let about = before(last, keep);
    // Clamping moves a day by three at most: from the 31st to the 28th.
    let around = (-3..=3).map(|days: i64| about.saturating_add(days.days()));
    let ends_then = around.clone().find(|day| last_day(*day, keep) == last);
    next_day(ends_then.unwrap_or(about))
}

/// The start days of lines of `class` that expire on `expires`, as legal days; the reverse of [`due`].
/// Where months are clamped, several days expire together. `None` if there is no such day.
#[must_use]
pub fn start_days(class: &RetentionClass, expires: Date) -> Option<RangeInclusive<Date>> {
    let Keep::For(keep) = class.keep else { return None };
    let last = expires.saturating_sub(1.day());
    let about = [Some(keep), class.archive_after].into_iter().flatten().fold(last, before);
    // Each of the two phases is clamped by three days at most.
    let around = (-6..=6).map(|days: i64| about.saturating_add(days.days()));
    let mut starts = around.filter(|day| due(class, *day).expires == Expires::On(expires));
    let first = starts.next()?;
    Some(first..=starts.next_back().unwrap_or(first))
}

/// The day that lies `period` before `day`.
fn before(day: Date, period: Period) -> Date {
    let count = i32::from(period.count);
    day.saturating_sub(match period.unit {
        Unit::Days => count.days(),
        Unit::Months => count.months(),
        Unit::Years => count.years(),
    })
}

/// The instant from which lines that expire on `expires` must no longer exist: the start of that legal
/// day, which is not always midnight (some zones change their clocks at midnight).
///
/// Returns `None` if the instant is beyond the calendar.
#[must_use]
pub fn purge_instant(expires: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = expires.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day());
    start.ok().map(|start| start.timestamp())
}

fn next_day(day: Date) -> Date {
    day.saturating_add(1.day())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{ClassName, Starts};
    use proptest::prelude::*;

    /// A class with a retention period and nothing else.
    pub(in crate::retention) fn class(archive_after: Option<&str>, keep: &str) -> RetentionClass {
        RetentionClass {
            name: ClassName::new("test").unwrap(),
            description: String::new(),
            keep: match keep {
                "contract" => Keep::Contract,
                period => Keep::For(Period::parse(period).unwrap()),
            },
            archive_after: archive_after.map(|phase| Period::parse(phase).unwrap()),
            starts: Starts::Event,
            basis: String::new(),
            duty: false,
            clauses: Vec::new(),
            is_default: true,
            samples: Vec::new(),
            file: String::new(),
            line_number: 1,
        }
    }

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    /// Periods of the published policy, including days that a month lacks.
    #[test]
    fn vectors() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        for (event, keep, day, expires, purge) in [
            ("2026-03-15T23:30:00Z", "12 months", "2026-03-16", "2027-03-17", "2027-03-16T23:00:00Z"),
            ("2026-07-01T22:30:00Z", "12 months", "2026-07-02", "2027-07-03", "2027-07-02T22:00:00Z"),
            ("2026-12-31T23:30:00Z", "12 months", "2027-01-01", "2028-01-02", "2028-01-01T23:00:00Z"),
            ("2027-02-28T10:00:00Z", "12 months", "2027-02-28", "2028-02-29", "2028-02-28T23:00:00Z"),
            ("2028-02-28T10:00:00Z", "12 months", "2028-02-28", "2029-03-01", "2029-02-28T23:00:00Z"),
            ("2028-02-29T10:00:00Z", "12 months", "2028-02-29", "2029-03-01", "2029-02-28T23:00:00Z"),
            ("2026-08-31T10:00:00Z", "6 months", "2026-08-31", "2027-03-01", "2027-02-28T23:00:00Z"),
        ] {
            let legal_day = event.parse::<Timestamp>().unwrap().to_zoned(paris.clone()).date();
            assert_eq!(legal_day, date(day), "{event}");
            let expected = Due { archive: None, expires: Expires::On(date(expires)) };
            assert_eq!(due(&class(None, keep), legal_day), expected, "{event}");
            assert_eq!(purge_instant(date(expires), &paris), Some(purge.parse().unwrap()), "{event}");
        }
    }

    /// For any start day of a class, the reverse is that day, or an earlier one that expires together
    /// with it.
    #[test]
    fn the_second_phase_begins_when_it_should() {
        for keep in ["6 months", "1 month", "30 days", "10 years", "1 year"] {
            let class = class(Some("3 months"), keep);
            let Keep::For(period) = class.keep else { panic!("a period") };
            for offset in 0..1500 {
                let due = due(&class, date("2026-11-23").saturating_add(offset.days()));
                let (Some(archive), Expires::On(expires)) = (due.archive, due.expires) else {
                    panic!("two phases")
                };
                let found = archive_day(expires, period);
                assert!(found <= archive && archive <= found.saturating_add(3.days()), "{keep} {expires}");
                assert_eq!(next_day(last_day(found.saturating_sub(1.day()), period)), expires);
            }
        }
    }

    #[test]
    fn the_days_that_expire_together_are_found_from_their_end() {
        for (archive_after, keep) in
            [(None, "12 months"), (None, "1 month"), (None, "30 days"), (Some("3 months"), "6 months")]
        {
            let class = class(archive_after, keep);
            for offset in 0..1500 {
                let start = date("2026-11-23").saturating_add(offset.days());
                let Expires::On(expires) = due(&class, start).expires else { panic!("a period") };
                let days = start_days(&class, expires).unwrap();
                assert!(days.contains(&start), "{start} {keep}");
                for outside in [days.start().saturating_sub(1.day()), days.end().saturating_add(1.day())] {
                    assert_ne!(due(&class, outside).expires, Expires::On(expires), "{start} {keep}");
                }
            }
        }
        assert_eq!(start_days(&class(None, "contract"), date("2027-11-24")), None);
    }

    #[test]
    fn units_and_phases() {
        for (start, archive_after, keep, archive, expires) in [
            ("2026-11-23", None, "30 days", None, Some("2026-12-24")),
            ("2026-11-23", None, "1 day", None, Some("2026-11-25")),
            ("2026-12-31", None, "10 years", None, Some("2037-01-01")),
            ("2028-02-29", None, "10 years", None, Some("2038-03-01")),
            ("2028-02-29", None, "4 years", None, Some("2032-03-01")),
            ("2026-01-31", None, "1 month", None, Some("2026-03-01")),
            // Three months clamp to 28 February, and six more run from there: not nine months from 30 November.
            ("2026-11-30", Some("3 months"), "6 months", Some("2027-03-01"), Some("2027-08-29")),
            ("2026-01-15", Some("3 months"), "6 months", Some("2026-04-16"), Some("2026-10-16")),
            ("2026-01-15", Some("3 months"), "contract", Some("2026-04-16"), None),
            ("2026-01-15", None, "contract", None, None),
        ] {
            let expected = Due {
                archive: archive.map(date),
                expires: expires.map_or(Expires::Contract, |day| Expires::On(date(day))),
            };
            assert_eq!(due(&class(archive_after, keep), date(start)), expected, "{start} {keep}");
        }
    }

    #[test]
    fn a_day_that_does_not_start_at_midnight() {
        let zone = TimeZone::get("Africa/Cairo").unwrap();
        // Summer time began at 00:00 on 2026-04-24: that day starts at 01:00.
        assert_eq!(purge_instant(date("2026-04-24"), &zone), Some("2026-04-23T22:00:00Z".parse().unwrap()));
        // It ends at 24:00 on 2026-10-29: 23:00 occurs twice, and the 30th starts after both.
        assert_eq!(purge_instant(date("2026-10-30"), &zone), Some("2026-10-29T22:00:00Z".parse().unwrap()));
    }

    #[test]
    fn the_end_of_the_calendar() {
        let expires = due(&class(None, "10 years"), Date::MAX).expires;
        assert_eq!(expires, Expires::On(Date::MAX));
    }

    fn any_day() -> impl Strategy<Value = Date> {
        (1900i16..2200, 1i8..=12, 1i8..=31)
            .prop_filter_map("a day of the calendar", |(year, month, day)| Date::new(year, month, day).ok())
    }

    fn any_class() -> impl Strategy<Value = RetentionClass> {
        let period = prop_oneof![
            (1u16..800).prop_map(|count| format!("{count} days")),
            (1u16..60).prop_map(|count| format!("{count} months")),
            (1u16..12).prop_map(|count| format!("{count} years")),
        ];
        (prop::option::of(period.clone()), period)
            .prop_map(|(archive_after, keep)| class(archive_after.as_deref(), &keep))
    }

    proptest! {
        #[test]
        fn a_later_start_never_expires_earlier(class in any_class(), one in any_day(), other in any_day()) {
            let (early, late) = (one.min(other), one.max(other));
            prop_assert!(due(&class, early).expires <= due(&class, late).expires);
            prop_assert!(due(&class, early).archive <= due(&class, late).archive);
        }

        /// Compares with the definition: the same day number, or the last day of the month.
        #[test]
        fn the_day_before_is_the_clamped_date(start in any_day(), months in 1u16..240) {
            let Expires::On(expires) = due(&class(None, &format!("{months} months")), start).expires else {
                return Err(TestCaseError::fail("a period has an end"));
            };
            let last = expires.yesterday().unwrap();
            let month_index = i32::from(start.year()) * 12 + i32::from(start.month()) - 1 + i32::from(months);
            prop_assert_eq!(i32::from(last.year()), month_index.div_euclid(12));
            prop_assert_eq!(i32::from(last.month()), month_index.rem_euclid(12) + 1);
            prop_assert_eq!(last.day(), start.day().min(last.last_of_month().day()));
        }
    }
}
