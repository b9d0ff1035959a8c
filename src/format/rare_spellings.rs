//! Spellings of times that few programs use, tried after those of [`super::timestamp`]. In each, the order of
//! year, month and day is beyond doubt.

use super::timestamp::{
    Clock, MAX_YEAR, MISMATCH, Parsed, clock_time, date_and_clock, day_first, finish, iso8601, month_name,
    number_2, number_4, weekday,
};
use crate::model::StatedTime;
use nom::Parser;
use nom::branch::alt;
use nom::character::complete::{char, one_of};
use nom::combinator::opt;
use nom::sequence::{delimited, preceded, terminated};

/// Parses one of these spellings that begins with a digit.
pub(super) fn digit_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    match input {
        // `2026:11:23-10:00:00`: DirectAdmin, Sophos.
        [_, _, _, _, b':', ..] => {
            let (rest, clock) = date_and_clock(input, b':', |separator| separator == b'-')?;
            finish(rest, clock.at(None))
        }
        // `2026.11.23 10:00:00`: stunnel, e2guardian.
        [_, _, _, _, b'.', ..] => {
            let (rest, clock) = date_and_clock(input, b'.', |separator| separator == b' ')?;
            finish(rest, clock.at(None))
        }
        [_, _, b'A'..=b'Z' | b'/', ..] => day_month_year(input),
        [_, _, _, _, _, _, _, _, b' ', ..] => compact(input),
        _ => Err(MISMATCH),
    }
}

/// Parses one of these spellings that begins with a letter.
pub(super) fn letter_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    match input {
        [_, _, _, b'/', ..] => month_day_year(input),
        // `Mon 2026-11-23 10:00:00 CET`: systemd. `Mon 23 Nov 2026 10:00:00 CET`: date(1) in British English.
        [_, _, _, b' ', b'0'..=b'9', ..] => {
            preceded((weekday, char(' ')), alt((iso8601, day_first))).parse(input)
        }
        _ => klog(input),
    }
}

/// Parses ` 2026:` after a time that begins with the day of the week. Without that, `2026:` may be the number
/// of a message, as devices write it after the time of a relay.
pub(super) fn year_and_colon(input: &[u8]) -> Parsed<'_, i16> {
    let (rest, year) = delimited(char(' '), number_4, char(':')).parse(input)?;
    let ends = matches!(rest, [] | [b' ', ..]);
    if ends && (1990..=MAX_YEAR).contains(&year) { Ok((rest, year)) } else { Err(MISMATCH) }
}

/// Parses `23Nov2026 10:00:00`: Check Point; and `23/Nov/2026 10:00:00`: Django.
fn day_month_year(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (day, dash)) = (number_2, opt(char('/'))).parse(input)?;
    let (rest, month) = month_name(rest)?;
    let rest = if dash.is_some() { char('/').parse(rest)?.0 } else { rest };
    let (rest, year) = terminated(number_4, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(None))
}

/// Parses `20261123 10:00:00`: MariaDB's audit log. If the day or the month came first, the fifth and sixth
/// digit would be 19 or 20, which is no month.
fn compact(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (year, month, day)) = (number_4, number_2, terminated(number_2, char(' '))).parse(input)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(None))
}

/// Parses `nov/23/2026 10:00:00`: RouterOS 6.
fn month_day_year(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, month) = terminated(month_name, char('/')).parse(input)?;
    let (rest, day) = terminated(number_2, char('/')).parse(rest)?;
    let (rest, year) = terminated(number_4, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(None))
}

/// Parses `I1123 10:00:00.123456`: klog and glog, a severity letter followed by month and day.
fn klog(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, month) = preceded(one_of("IWEF"), number_2).parse(input)?;
    let (rest, day) = terminated(number_2, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: None, month, day, hour, minute, second }.at(None))
}

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;

    #[test]
    fn the_same_time_in_each_spelling() {
        let local = stated(b"2026-11-23 10:00:00");
        let paris = stated(b"2026-11-23 10:00:00 +0100");
        assert!(local.is_some() && paris.is_some());
        for (text, expected) in [
            ("2026:11:23-10:00:00", local),
            ("2026.11.23 10:00:00", local),
            ("23Nov2026 10:00:00", local),
            ("23/Nov/2026 10:00:00", local),
            ("20261123 10:00:00", local),
            ("20261123 10:00:00.5 x", local),
            ("nov/23/2026 10:00:00", local),
            ("Nov/23/2026 10:00:00 x", local),
            ("Mon 2026-11-23 10:00:00 CET", paris),
            ("Mon 23 Nov 2026 10:00:00 CET", paris),
        ] {
            assert_eq!(stated(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn no_times() {
        for text in [
            "2026:11:23 10:00:00",
            "2026:13:23-10:00:00",
            "2026:11:31-10:00:00",
            "2001:db8:1:2-10:00:00",
            "2026.11.23-10:00:00",
            "2026.23.11 10:00:00",
            "192.0.2.1 10:00:00",
            "3Nov2026 10:00:00",
            "23Nov26 10:00:00",
            "23/Nov2026 10:00:00",
            "23Nov/2026 10:00:00",
            "23Nox2026 10:00:00",
            // Day, month and year, and month, day and year.
            "23112026 10:00:00",
            "11232026 10:00:00",
            "10112026 10:00:00",
            "20112026 10:00:00",
            "12345678 10:00:00",
            "20261123 100000",
            "nov/31/2026 10:00:00",
            "nov/23 10:00:00",
            "11/23/2026 10:00:00",
            "Mon 11/23/2026 10:00:00",
            "Mox 2026-11-23 10:00:00",
            "Mon 2026",
        ] {
            assert_eq!(stated(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_colon_may_follow_the_year_of_a_time_with_the_day_of_the_week() {
        for (text, expected) in [
            ("Mon Nov 23 10:00:00 CET 2026:", "2026-11-23 10:00:00 CET"),
            ("Mon Nov 23 10:00:00 CET 2020: x", "2020-11-23 10:00:00 CET"),
            ("Mon Nov  3 10:00:00 2026: x", "2026-11-03 10:00:00"),
            // The start of an address, the number of a message, and no year at all.
            ("Mon Nov 23 10:00:00 2001:db8::80 x", "Nov 23 10:00:00"),
            ("Nov 23 10:00:00 2026: x", "Nov 23 10:00:00"),
            ("Mon Nov 23 10:00:00 0123: x", "Nov 23 10:00:00"),
            ("Mon Nov 23 10:00:00 12026: x", "Nov 23 10:00:00"),
        ] {
            let (found, expected) = (stated(text.as_bytes()), stated(expected.as_bytes()));
            assert!(expected.is_some());
            assert_eq!(found, expected, "{text}");
        }
    }
}
