//! Spellings of times that few programs use, tried after those of [`super::timestamp`]. In each, the order of
//! year, month and day is beyond doubt.

use super::timestamp::{
    Clock, EPOCH_WINDOW, MAX_YEAR, MISMATCH, Parsed, clock_time, date_and_clock, day_first, finish, iso8601,
    month_name, number_1_2, number_2, number_4, spaced_zone, weekday, zone,
};
use super::zones;
use crate::model::StatedTime;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{opt, verify};
use nom::sequence::{delimited, preceded, terminated};

/// Parses one of these spellings that begins with a digit.
pub(super) fn digit_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    match input {
        [_, b'/' | b'-' | b'.', b'0'..=b'9', ..] | [_, _, b'/' | b'-' | b'.', b'0'..=b'9', ..] => {
            day_or_month(input)
        }
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
        // `2026/11/23-10:00:00`: Munin.
        [_, _, _, _, b'/', ..] => {
            let (rest, clock) = date_and_clock(input, b'/', |separator| separator == b'-')?;
            finish(rest, clock.at(None))
        }
        // `2026-11-23  10:00:00`: Icecast, APT.
        [_, _, _, _, b'-', _, _, b'-', _, _, b' ', b' ', b'0'..=b'9', ..] => {
            let (rest, year) = terminated(number_4, char('-')).parse(input)?;
            let (rest, month) = terminated(number_2, char('-')).parse(rest)?;
            let (rest, day) = terminated(number_2, tag("  ")).parse(rest)?;
            clock_of(rest, year, month, day)
        }
        [_, _, b'A'..=b'Z' | b'/', ..] => day_month_year(input),
        [_, _, _, _, _, _, _, _, b' ' | b'T', ..] => compact(input),
        _ => Err(MISMATCH),
    }
}

/// Parses one of these spellings that begins with a letter.
pub(super) fn letter_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    match input {
        [_, _, _, b'/', ..] => month_day_year(input),
        // `Mon 2026-11-23 10:00:00 CET`: systemd. `Mon 23 Nov 2026 10:00:00 CET`, `Mon 23 Nov 10:00:00 CET
        // 2026`: date(1) in British English.
        [_, _, _, b' ', b'0'..=b'9', ..] => {
            preceded((weekday, char(' ')), alt((iso8601, day_first, british_date))).parse(input)
        }
        _ => klog(input),
    }
}

/// Returns the rest of the line and the time, if what date(1) or a script wrote after the time of day states
/// the year: ` PM`, a zone of any name, ` 2026` or ` 2026:`.
///
/// All of this only after the day of the week. Without that, `2026:` may be the number of a message, as
/// devices write it after the time of a relay.
pub(super) fn end_of_date(rest: &[u8], time: StatedTime) -> Option<(&[u8], StatedTime)> {
    let StatedTime::Civil { year: None, month, day, hour, minute, second, offset_seconds } = time else {
        return None;
    };
    let (rest, half) = opt(zones::half).parse(rest).ok()?;
    let (rest, offset) = match offset_seconds {
        Some(_) => (rest, offset_seconds),
        None => opt(any_zone).parse(rest).map(|(rest, offset)| (rest, offset.flatten())).ok()?,
    };
    let (rest, year) = year_4(rest).ok()?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let ends = matches!(rest, [] | [b' ' | b']' | b'\t' | b',' | b';' | b'|' | b'"' | b')' | b'>', ..]);
    let clock = Clock { year: Some(year), month, day, hour: on_24_hours(hour, half)?, minute, second };
    clock.at(offset).filter(|_| ends).map(|time| (rest, time))
}

/// Parses ` 2026` after a time without the day of the week. What follows must show that it is a year and no
/// other number, as in `Nov 23 10:00:00 2014 bytes`: nothing, a zone, or what a known program writes there.
pub(super) fn trailing_year(input: &[u8]) -> Parsed<'_, i16> {
    let (rest, year) = year_4(input)?;
    let is_year = matches!(rest, [] | [b']', ..]) || spaced_zone(rest).is_ok() || head(rest).is_ok();
    if is_year { Ok((rest, year)) } else { Err(MISMATCH) }
}

fn year_4(input: &[u8]) -> Parsed<'_, i16> {
    verify(preceded(char(' '), number_4), |year: &i16| (1990..=MAX_YEAR).contains(year)).parse(input)
}

/// Parses what follows the year in ` (1234) post to x` of Mailman, ` sw1 %%10SHELL/5/` of Comware, and
/// ` web1 sshd[1234]:` or ` gw /kernel:` of syslog with a year, as Aruba and Junos write it.
fn head(input: &[u8]) -> Parsed<'_, ()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/');
    let host = (opt(char('[')), take_while1(plain), opt(char(']')), char(' '));
    let program = (take_while1(plain), char('['), digit1, tag("]")).map(|_| ());
    let kernel = alt((tag("/kernel: "), tag("kernel: "), tag("%%"))).map(|_| ());
    let mailman = delimited(tag(" ("), digit1, tag(") ")).map(|_| ());
    alt((mailman, preceded((char(' '), host), alt((program, kernel))))).parse(input)
}

/// Parses `@4000000065f0a1b2075bcd15`: TAI64N, as multilog and s6-log write it.
///
/// A label is 2^62 plus TAI seconds. These programs take TAI to be 10 s ahead of UTC, as it was in 1970.
pub(super) fn tai64n(input: &[u8]) -> Parsed<'_, StatedTime> {
    let hex = |byte: u8| byte.is_ascii_hexdigit();
    let (rest, label) = preceded(char('@'), take_while_m_n(24, 24, hex)).parse(input)?;
    let label = std::str::from_utf8(&label[..16]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let seconds = label.and_then(|label| label.checked_sub((1 << 62) + 10));
    let seconds = seconds.filter(|at| EPOCH_WINDOW.contains(at));
    match seconds.and_then(|at| i64::try_from(at).ok()) {
        Some(seconds) => Ok((rest, StatedTime::Unix(seconds))),
        None => Err(MISMATCH),
    }
}

/// Parses a zone after a space. One whose name has several meanings, or is not known, is `None`.
fn any_zone(input: &[u8]) -> Parsed<'_, Option<i32>> {
    if let Some((rest, offset)) = zones::rare_zone(input) {
        return Ok((rest, Some(offset)));
    }
    let name = take_while_m_n(2, 5, |byte: u8| byte.is_ascii_uppercase());
    alt((spaced_zone.map(Some), preceded(char(' '), zone).map(Some), preceded(char(' '), name).map(|_| None)))
        .parse(input)
}

/// Parses ` AM` or ` PM`; `true` is the afternoon. Other spellings are left to [`zones::half`].
fn half(input: &[u8]) -> Parsed<'_, bool> {
    alt((tag(" AM").map(|_| false), tag(" PM").map(|_| true))).parse(input)
}

/// Returns the hour on a clock of 24 hours; `None` if one of twelve does not have it.
fn on_24_hours(hour: u8, afternoon: Option<bool>) -> Option<u8> {
    match (afternoon, hour) {
        (None, _) => Some(hour),
        (Some(false), 12) => Some(0),
        (Some(true), 1..=11) => Some(hour + 12),
        (Some(_), 1..=12) => Some(hour),
        (Some(_), _) => None,
    }
}

/// Parses `23/11/2026 10:00:00`, `11/23/2026 10:00:00 AM`, `23-11-2026 10:00:00`, `23.11.2026 10:00:00`:
/// Windows, FileZilla, CrowdSec and others, some of which write what the country of the machine does. A day
/// above 12 tells which is the month, and so do dots, after the day.
fn day_or_month(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, first) = number_1_2(input)?;
    let (rest, dash) = one_of("/-.").parse(rest)?;
    let (rest, second) = terminated(number_1_2, char(dash)).parse(rest)?;
    let (month, day) = match (first > 12, second > 12) {
        (true, _) => (second, first),
        (_, true) if dash != '.' => (first, second),
        (_, false) if dash == '.' || first == second => (second, first),
        _ => return Err(MISMATCH),
    };
    let (rest, year) = terminated(number_4, (opt(char(',')), char(' '))).parse(rest)?;
    clock_of(rest, year, month, day)
}

/// Parses the time of day after a date, with ` AM` or ` PM`, and a zone.
pub(super) fn clock_of(input: &[u8], year: i16, month: u8, day: u8) -> Parsed<'_, StatedTime> {
    let (rest, (hour, minute, second)) = clock_time(input)?;
    let (rest, half) = opt(half).parse(rest)?;
    let (rest, offset) = opt(spaced_zone).parse(rest)?;
    let hour = on_24_hours(hour, half).ok_or(MISMATCH)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(offset))
}

/// Parses `23 Nov 10:00:00 CET 2026`.
fn british_date(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, day) = terminated(number_1_2, char(' ')).parse(input)?;
    let (rest, month) = terminated(month_name, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, time) = finish(rest, Clock { year: None, month, day, hour, minute, second }.at(None))?;
    end_of_date(rest, time).ok_or(MISMATCH)
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

/// Parses `20261123 10:00:00`: MariaDB's audit log; and `20261123T10:00:00.123Z`: XenServer. If the day or
/// the month came first, the fifth and sixth digit would be 19 or 20, which is no month.
fn compact(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (year, month, day)) = (number_4, number_2, number_2).parse(input)?;
    let (rest, separator) = one_of(" T").parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, offset) = if separator == 'T' { opt(zone).parse(rest)? } else { (rest, None) };
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(offset))
}

/// Parses `nov/23/2026 10:00:00`: RouterOS 6.
fn month_day_year(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, month) = terminated(month_name, char('/')).parse(input)?;
    let (rest, day) = terminated(number_2, char('/')).parse(rest)?;
    let (rest, year) = terminated(number_4, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(None))
}

/// Parses `I1123 10:00:00.123456` and `I20261123 10:00:00.123456`: klog and glog, a severity letter followed
/// by the date.
fn klog(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, _) = one_of("IWEF").parse(input)?;
    // `2026` cannot be month and day.
    let (rest, year) = opt(verify(number_4, |year: &i16| *year >= 1990)).parse(rest)?;
    let (rest, (month, day)) = (number_2, terminated(number_2, char(' '))).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year, month, day, hour, minute, second }.at(None))
}

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;
    use super::*;

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
            ("Mon 23 Nov 10:00:00 CET 2026", paris),
            ("2026/11/23-10:00:00 CONNECT", local),
            ("2026-11-23  10:00:00", local),
            ("2026-11-23  10:00:00.5 x", local),
            ("20261123T10:00:00.123", local),
            ("20261123T10:00:00.123+0100", paris),
            ("I20261123 10:00:00.123456 x", local),
            ("23/11/2026 10:00:00", local),
            ("11/23/2026 10:00:00 AM x", local),
            ("11/23/2026, 10:00:00", local),
            ("23-11-2026 10:00:00", local),
            ("11-23-2026 10:00:00.123 +0100 x", paris),
            ("23.11.2026 10:00:00", local),
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
            "2026/11/23-10:00",
            "2026-11-23  10:00",
            "2026-11-23   10:00:00",
            "2026-31-11  10:00:00",
            "I20261323 10:00:00",
            "20261123T100000Z",
            // The month may be the day.
            "11/10/2026 10:00:00",
            "10-11-2026 10:00:00",
            "1/2/2026 1:00:00 PM",
            // No month, no day, or neither twice the same dash.
            "23/13/2026 10:00:00",
            "31.11.2026 10:00:00",
            "11.23.2026 10:00:00",
            "23/11-2026 10:00:00",
            "23/11/26 10:00:00",
            "23/11/2026 13:00:00 PM",
            "23/11/2026 0:00:00 AM",
            "203.0.113.9 10:00:00",
            "10.11.2026.9 10:00:00",
            "Mon 11/23/2026 10:00:00",
            "Mox 2026-11-23 10:00:00",
            "Mon 2026",
        ] {
            assert_eq!(stated(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_one_reading_of_a_numeric_date_counts() {
        for dash in ["/", "-", "."] {
            for (first, second) in (1..=31).flat_map(|first| (1..=31).map(move |second| (first, second))) {
                let text = format!("{first:02}{dash}{second:02}/2026 10:00:00").replace('/', dash);
                let read = |year_first: String| stated(year_first.as_bytes());
                let by_day = read(format!("2026-{second:02}-{first:02} 10:00:00"));
                let by_month = read(format!("2026-{first:02}-{second:02} 10:00:00")).filter(|_| dash != ".");
                let expected = match (by_day, by_month) {
                    (Some(one), Some(other)) if one != other => None,
                    (one, other) => one.or(other),
                };
                assert_eq!(stated(text.as_bytes()), expected, "{text}");
            }
        }
    }

    #[test]
    fn twelve_hours_have_each_hour_of_the_day() {
        for hour in 0..24_u8 {
            let (shown, half) = ((hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" });
            let expected = stated(format!("2026-11-23 {hour:02}:05:07 +0000").as_bytes());
            assert!(expected.is_some());
            for text in [
                format!("Mon Nov 23 {shown:02}:05:07 {half} UTC 2026 x"),
                format!("Mon 23 Nov {shown:02}:05:07 {half} UTC 2026"),
                format!("11/23/2026 {shown}:05:07 {half} +0000"),
            ] {
                assert_eq!(stated(text.as_bytes()), expected, "{text}");
            }
        }
    }

    #[test]
    fn the_year_counts_after_a_zone_of_any_name() {
        for (text, expected) in [
            ("Mon Jun 16 10:00:00 BST 2025 x", "2025-06-16 10:00:00"),
            ("Mon Jun 16 10:00:00 AEST 2025", "2025-06-16 10:00:00 +1000"),
            ("Mon Jun 16 10:00:00 +04 2025", "2025-06-16 10:00:00 +0400"),
            ("Mon Jun 16 10:00:00 PM BST 2025", "2025-06-16 22:00:00"),
            ("Mon 16 Jun 10:00:00 BST 2025", "2025-06-16 10:00:00"),
            // Without the day of the week it may be a host and a number.
            ("Jun 16 10:00:00 WEB 2025 x", "Jun 16 10:00:00"),
            ("Mon Jun 16 10:00:00 WEB 12025 x", "Jun 16 10:00:00"),
            ("Mon Jun 16 10:00:00 web 2025 x", "Jun 16 10:00:00"),
            ("Mon Jun 16 13:00:00 PM BST 2025 x", "Jun 16 13:00:00"),
        ] {
            let (found, expected) = (stated(text.as_bytes()), stated(expected.as_bytes()));
            assert!(expected.is_some());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn tai64n_labels() {
        // 2^62 + 10 + 1795428000.
        let label = format!("@{:016x}075bcd15", (1_u64 << 62) + 10 + 1_795_428_000);
        let (rest, time) = tai64n(label.as_bytes()).expect("a label");
        assert_eq!((rest, time), (&b""[..], StatedTime::Unix(1_795_428_000)));
        for text in [
            "@",
            "@4000",
            "@00000000000000000000000f",
            "@ffffffffffffffffffffffff",
            "@400000006b03c62a075bcd1g",
        ] {
            assert!(tai64n(text.as_bytes()).is_err(), "{text}");
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

    #[test]
    fn any_mark_may_follow_the_year_of_a_time_with_the_day_of_the_week() {
        for mark in ["\t192.0.2.1\tx", ", x", "; x", "|x", ") x", "\" x"] {
            let line = format!("Mon Nov 23 10:00:00 2020{mark}");
            assert_eq!(super::super::raw::time(line.as_bytes()), stated(b"2020-11-23 10:00:00"), "{line}");
        }
    }

    #[test]
    fn a_number_after_a_time_is_a_year_only_if_what_follows_shows_it() {
        for (text, expected) in [
            ("Nov 23 10:00:00 2020", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00 2020 GMT x", "2020-11-23T10:00:00Z"),
            ("Nov 23 10:00:00 2020 (1234) post to x from jean@example.net, size=2014", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00 2020 sw1 %%10SHELL/5/SHELL_LOGIN: x", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00 2020 web1 sshd[7]: x", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00 2020 [192.0.2.1] stm[7]: <501093> x", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00.123 2020 gw /kernel: x", "2020-11-23 10:00:00"),
            ("Nov 23 10:00:00 2014 bytes from 203.0.113.9", "Nov 23 10:00:00"),
            ("Nov 23 10:00:00 -2014 bytes from 203.0.113.9", "Nov 23 10:00:00"),
            ("2026-11-23 10:00:00 +2014 bytes", "2026-11-23 10:00:00"),
            ("2026-11-23 10:00:00 +1037 bytes", "2026-11-23 10:00:00"),
            ("2026-11-23 10:00:00 +1400 x", "2026-11-23T10:00:00+14:00"),
            ("2026-11-23 10:00:00 +05:45 x", "2026-11-23T10:00:00+05:45"),
            ("2026-11-23 10:00:00 -1200 x", "2026-11-23T10:00:00-12:00"),
            ("Nov 23 10:00:00 2014 bytes sent: x", "Nov 23 10:00:00"),
            ("Nov 23 10:00:00 2014 (x) y", "Nov 23 10:00:00"),
            ("Nov 23 10:00:00 UTC 2014 bytes", "Nov 23 10:00:00 UTC"),
            ("Nov 23 10:00:00 1514 EST", "Nov 23 10:00:00"),
        ] {
            let (found, expected) = (stated(text.as_bytes()), stated(expected.as_bytes()));
            assert!(expected.is_some());
            assert_eq!(found, expected, "{text}");
        }
    }
}
