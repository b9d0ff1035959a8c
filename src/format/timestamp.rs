//! Parses times in the spellings found in logs. Parts that a line does not state (year, zone) stay `None`;
//! nothing is guessed.

use super::rare_spellings::{self, trailing_year};
use super::zones;
use crate::model::StatedTime;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::character::complete::{char, one_of};
use nom::combinator::{opt, verify};
use nom::sequence::{delimited, preceded, terminated};

/// The result of a parser: the rest of the input and the value. Failures carry no details, because a line
/// that does not fit one format is tried as the next.
pub(super) type Parsed<'a, T> = nom::IResult<&'a [u8], T, ()>;

/// The failure of a parser whose format does not match.
pub(super) const MISMATCH: nom::Err<()> = nom::Err::Error(());

/// First year of an event. Clocks say 1970 before they are set, and programs that know no time write year 1.
const MIN_YEAR: i16 = 1971;
/// Last year of an event; a later year is not the time of an event.
pub(super) const MAX_YEAR: i16 = 2199;
/// Bare numbers are times only from 2000-01-01 to 2100-01-01 (in seconds), so that durations and sizes are
/// not taken for times. The same windows in ms, us and ns do not overlap, since each lies a thousand times
/// higher than the one before.
pub(super) const EPOCH_WINDOW: std::ops::Range<u64> = 946_684_800..4_102_444_800;

/// Returns the time that `text` states, in any known spelling. `text` is a whole field value, such as a JSON
/// member.
///
/// Spaces around it are ignored, as are words after it (such as an unknown zone name), and the name of a zone
/// in brackets, as Java writes it after the offset.
#[must_use]
pub(super) fn stated(text: &[u8]) -> Option<StatedTime> {
    let text = text.trim_ascii();
    if let Some(seconds) = epoch_number(text) {
        return Some(StatedTime::Unix(seconds));
    }
    let (rest, time) = any(text).ok()?;
    matches!(rest.first(), None | Some(b' ' | b'[')).then_some(time)
}

/// Parses any calendar spelling of the time of an event, at the start of the input, and its zone in any.
pub(super) fn any(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, time) = spelled(input)?;
    if is_of_event(time) { Ok(zones::end_of_time(rest, time)) } else { Err(MISMATCH) }
}

/// Parses any calendar spelling of a time, at the start of the input.
pub(super) fn spelled(input: &[u8]) -> Parsed<'_, StatedTime> {
    match input.first() {
        Some(byte) if byte.is_ascii_digit() => {
            alt((iso8601, clf, slashed, day_first, year_bsd, rare_spellings::digit_first)).parse(input)
        }
        Some(byte) if byte.is_ascii_alphabetic() => {
            alt((bsd, asctime, rfc5322, month_first, rare_spellings::letter_first)).parse(input)
        }
        _ => Err(MISMATCH),
    }
}

/// Returns whether a time can be that of an event.
///
/// A time that cannot, because the clock was not set or the day does not exist, is not believed. But it still
/// stands where its format has the time, so it does not change the format of the line.
pub(super) fn is_of_event(time: StatedTime) -> bool {
    let StatedTime::Civil { year, month, day, .. } = time else { return true };
    let leap = year.is_none_or(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= days && year.is_none_or(|year| (MIN_YEAR..=MAX_YEAR).contains(&year))
}

/// Parses `2026-11-23T10:00:00.123+01:00`.
///
/// RFC 3339 5.6: "date-time = full-date "T" full-time"; the letters may be in lower case. A missing zone is
/// tolerated and stays unstated.
pub(super) fn rfc3339(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, clock) = date_and_clock(input, b'-', |separator| matches!(separator, b'T' | b't'))?;
    let (rest, offset) = opt(zone).parse(rest)?;
    finish(rest, clock.at(offset))
}

/// Parses RFC 3339 with a space instead of the `T` and before the zone, as most programs write it.
pub(super) fn iso8601(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, clock) =
        date_and_clock(input, b'-', |separator| matches!(separator, b'T' | b't' | b' ' | b'_'))?;
    let (rest, offset) = opt(alt((zone, spaced_zone))).parse(rest)?;
    finish(rest, clock.at(offset))
}

/// Parses `2026/11/23 10:00:00`: nginx and Go.
pub(super) fn slashed(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, clock) = date_and_clock(input, b'/', |separator| separator == b' ')?;
    let (rest, offset) = opt(alt((zone, spaced_zone))).parse(rest)?;
    finish(rest, clock.at(offset))
}

/// Parses `23/Nov/2026:10:00:00 +0100`, cPanel's `11/23/2026:10:00:00 -0000` with the month first, or
/// `23/11/2026:10:00:00 +0100` of Proxmox with the day first. Fraction and zone are optional.
pub(super) fn clf(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, first) = terminated(number_1_2, char('/')).parse(input)?;
    let (rest, name) = opt(month_name).parse(rest)?;
    let (rest, second) = if name.is_none() { number_2(rest)? } else { (rest, first) };
    let (rest, year) = delimited(char('/'), number_4, char(':')).parse(rest)?;
    let (rest, (hour, minute, second_of_minute)) = clock_time(rest)?;
    let (month, day) = match (name, first > 12, second > 12) {
        (Some(month), ..) => (month, first),
        (None, true, _) => (second, first),
        (None, false, true) => (first, second),
        // Either may be the month. Only cPanel writes `-0000`, because strftime writes `+0000`. NetScaler
        // writes `05/11/2026:10:00:00 GMT` for the 5th of November or the 11th of May.
        _ if first == second || rest.starts_with(b" -0000") => (first, second),
        _ => return Err(MISMATCH),
    };
    let (rest, offset) = opt(alt((any_spaced_zone, zone))).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second: second_of_minute }.at(offset))
}

/// Parses `Nov 23 10:00:00`, `Nov  3 10:00:00.123`, `Nov 23 2026 10:00:00` and `Nov 23 10:00:00 2026`. A zone
/// may follow the time or, as in date(1), precede the year.
///
/// RFC 3164 4.1.2: "The TIMESTAMP field is the local time and is in the format of "Mmm dd hh:mm:ss" (without
/// the quote marks)". Years and zones are additions by others.
pub(super) fn bsd(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, month) = terminated(month_name, char(' ')).parse(input)?;
    let (rest, day) = delimited(opt(char(' ')), number_1_2, char(' ')).parse(rest)?;
    let (rest, year_before) = opt(terminated(number_4, char(' '))).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, zone_before) = opt(spaced_zone).parse(rest)?;
    let (rest, year_after) =
        if year_before.is_none() { opt(trailing_year).parse(rest)? } else { (rest, None) };
    let (rest, offset) =
        if zone_before.is_none() { opt(spaced_zone).parse(rest)? } else { (rest, zone_before) };
    finish(rest, Clock { year: year_before.or(year_after), month, day, hour, minute, second }.at(offset))
}

/// Parses `2026 Nov 23 10:00:00`.
pub(super) fn year_bsd(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, year) = terminated(number_4, char(' ')).parse(input)?;
    let (rest, month) = terminated(month_name, char(' ')).parse(rest)?;
    let (rest, day) = delimited(opt(char(' ')), number_1_2, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, offset) = opt(spaced_zone).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(offset))
}

/// Parses `Mon Nov 23 10:00:00.123456 2026`: asctime(3), Apache httpd; and what date(1) and scripts write.
pub(super) fn asctime(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, time) = preceded((weekday, char(' ')), bsd).parse(input)?;
    Ok(rare_spellings::end_of_date(rest, time).unwrap_or((rest, time)))
}

/// Parses `Mon, 23 Nov 2026 10:00:00 +0100`: RFC 5322 3.3.
fn rfc5322(input: &[u8]) -> Parsed<'_, StatedTime> {
    preceded((weekday, char(','), char(' ')), day_first).parse(input)
}

/// Parses `23-Nov-2026 10:00:00.123`, `23 Nov 2026 10:00:00`: BIND, Tomcat, PHP, Redis, mail.
pub(super) fn day_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, day) = terminated(number_1_2, one_of("- ")).parse(input)?;
    let (rest, month) = terminated(month_name, one_of("- ")).parse(rest)?;
    let (rest, year) = terminated(number_4, one_of(" :")).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, offset) = opt(spaced_zone).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(offset))
}

/// Parses `Nov 23, 2026 10:00:00 AM`, `November 23, 2026 10:00:00`: Java, Nextcloud.
fn month_first(input: &[u8]) -> Parsed<'_, StatedTime> {
    let rest_of_name = take_while_m_n(0, 6, |byte: u8| byte.is_ascii_lowercase());
    let (rest, month) = terminated(month_name, (rest_of_name, char(' '))).parse(input)?;
    let (rest, day) = terminated(number_1_2, tag(", ")).parse(rest)?;
    let (rest, year) = terminated(number_4, (opt(char(',')), char(' '))).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let (rest, half) = opt(alt((tag(" AM"), tag(" PM")))).parse(rest)?;
    let hour = match (half, hour) {
        (Some(b" AM"), 12) => 0,
        (Some(b" PM"), 1..=11) => hour + 12,
        _ => hour,
    };
    let (rest, offset) = opt(spaced_zone).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(offset))
}

/// Parses seconds since 1970 at the start of the input: 10 digits, an optional fraction, then the end of the
/// word.
pub(super) fn leading_epoch(input: &[u8]) -> Parsed<'_, StatedTime> {
    let number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let (rest, text) = take_while_m_n(10, 20, number).parse(input)?;
    let ends = rest.first().is_none_or(|&next| matches!(next, b' ' | b'\t' | b']' | b':' | b',' | b'|'));
    match epoch_number(text).filter(|_| ends && text[..10].iter().all(u8::is_ascii_digit)) {
        Some(seconds) => Ok((rest, StatedTime::Unix(seconds))),
        None => Err(MISMATCH),
    }
}

/// Returns seconds since 1970, from a number in s, ms, us or ns, optionally with a fraction or an exponent
/// (`1795428000.25`, `1.795428e+09`). The unit is the one in which the time lies between 2000 and 2100.
pub(super) fn epoch_number(text: &[u8]) -> Option<i64> {
    let value = match *text {
        [b'0'..=b'9', ..] if text.len() <= 40 => decimal(text)?,
        _ => return None,
    };
    let seconds = [1, 1_000, 1_000_000, 1_000_000_000].map(|unit| value / unit);
    seconds.into_iter().find(|second| EPOCH_WINDOW.contains(second)).and_then(|at| i64::try_from(at).ok())
}

/// Returns the whole part of a decimal number; `None` if the text is not a number, or far beyond any time.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let (mut digits, mut places, mut at) = (0_u64, 0_i32, 0);
    let mut fraction = false;
    for &byte in text {
        match byte {
            // Below 10^18 another digit fits in 64 bits; digits after the 19th only move the point.
            b'0'..=b'9' if digits < 10_u64.pow(18) => {
                digits = digits * 10 + u64::from(byte - b'0');
                places -= i32::from(fraction);
            }
            b'0'..=b'9' => places += i32::from(!fraction),
            b'.' if !fraction => fraction = true,
            b'e' | b'E' if at > 0 => break,
            _ => return None,
        }
        at += 1;
    }
    if let Some(exponent) = text.get(at + 1..) {
        places += small_exponent(exponent)?;
    } else if at < text.len() {
        return None;
    }
    let power = 10_u64.checked_pow(places.unsigned_abs())?;
    if places >= 0 { digits.checked_mul(power) } else { Some(digits / power) }
}

/// Parses the exponent of a number, up to 99: `+09`, `9`, `-3`.
fn small_exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let well_formed = (1..=2).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    well_formed.then(|| sign * digits.iter().fold(0, |sum, &digit| sum * 10 + i32::from(digit - b'0')))
}

/// Date and time of day, before the zone is known.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) year: Option<i16>,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl Clock {
    /// Returns the stated time if every field is in range. Whether the month has that day is up to
    /// [`is_of_event`].
    pub(super) fn at(self, offset_seconds: Option<i32>) -> Option<StatedTime> {
        let Self { year, month, day, hour, minute, second } = self;
        let in_range = year.is_none_or(|year| year > 0)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 60;
        in_range.then_some(StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds })
    }
}

/// Returns the result of a parser whose fields may be out of range.
pub(super) fn finish(rest: &[u8], time: Option<StatedTime>) -> Parsed<'_, StatedTime> {
    time.map(|time| (rest, time)).ok_or(MISMATCH)
}

/// Parses `YYYY-MM-DD`, a separator, `HH:MM:SS` and a fraction, with `dash` between the parts of the date.
pub(super) fn date_and_clock(input: &[u8], dash: u8, separator: impl Fn(u8) -> bool) -> Parsed<'_, Clock> {
    let Some(&[y1, y2, y3, y4, dash1, m1, m2, dash2, d1, d2, between]) = input.first_chunk() else {
        return Err(MISMATCH);
    };
    let (Some(high), Some(low)) = (pair(y1, y2), pair(y3, y4)) else { return Err(MISMATCH) };
    let (Some(month), Some(day)) = (pair(m1, m2), pair(d1, d2)) else { return Err(MISMATCH) };
    if dash1 != dash || dash2 != dash || !separator(between) {
        return Err(MISMATCH);
    }
    let (rest, (hour, minute, second)) = clock_time(&input[11..])?;
    let year = Some(i16::from(high) * 100 + i16::from(low));
    Ok((rest, Clock { year, month, day, hour, minute, second }))
}

/// Parses `HH:MM:SS` and drops a fraction after `.` or `,` (RFC 3339 5.6, ISO 8601). Java writes the hour
/// with one digit, MariaDB with a space before it.
pub(super) fn clock_time(input: &[u8]) -> Parsed<'_, (u8, u8, u8)> {
    let (rest, hour) = match *input {
        [b' ', ones, b':', ref rest @ ..] | [ones, b':', ref rest @ ..] => (rest, pair(b'0', ones)),
        [tens, ones, b':', ref rest @ ..] => (rest, pair(tens, ones)),
        _ => return Err(MISMATCH),
    };
    let Some(&[m1, m2, b':', s1, s2]) = rest.first_chunk() else { return Err(MISMATCH) };
    let (Some(hour), Some(minute), Some(second)) = (hour, pair(m1, m2), pair(s1, s2)) else {
        return Err(MISMATCH);
    };
    let rest = &rest[5..];
    let rest = match rest {
        [b'.' | b',', digit, ..] if digit.is_ascii_digit() => {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            &rest[1 + digits..]
        }
        [digit, ..] if digit.is_ascii_digit() => return Err(MISMATCH),
        _ => rest,
    };
    Ok((rest, (hour, minute, second)))
}

/// Parses `Z`, `+01:00`, `+0100` or `+01` into seconds east of UTC.
pub(super) fn zone(input: &[u8]) -> Parsed<'_, i32> {
    let (hours, minutes, rest) = match *input {
        [b'Z' | b'z', ref rest @ ..] => return boundary(rest, 0),
        [b'+' | b'-', h1, h2, b':', m1, m2, ref rest @ ..] if m1.is_ascii_digit() => {
            (pair(h1, h2), pair(m1, m2), rest)
        }
        [b'+' | b'-', h1, h2, m1, m2, ref rest @ ..] if m1.is_ascii_digit() => {
            (pair(h1, h2), pair(m1, m2), rest)
        }
        [b'+' | b'-', h1, h2, ref rest @ ..] => (pair(h1, h2), Some(0), rest),
        _ => return Err(MISMATCH),
    };
    let (Some(hours @ 0..=23), Some(minutes @ 0..=59)) = (hours, minutes) else { return Err(MISMATCH) };
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    boundary(rest, if input[0] == b'-' { -seconds } else { seconds })
}

/// Parses a zone after a space: ` +0100`, ` UTC`, ` CEST`. Only names with a single meaning are known: those
/// of RFC 5322 4.3 and the European ones. Any other name leaves the zone unstated.
///
/// Nor is an offset that no clock is set to: "10:00:00 -2014 bytes".
pub(super) fn spaced_zone(input: &[u8]) -> Parsed<'_, i32> {
    verify(any_spaced_zone, |&offset| zones::is_in_use(offset)).parse(input)
}

fn any_spaced_zone(input: &[u8]) -> Parsed<'_, i32> {
    let (rest, _) = char(' ').parse(input)?;
    if !matches!(rest.first(), Some(b'A'..=b'Z')) {
        return match rest {
            // Four digits only: "10:00:00 -05 text" is more likely a dash in a message than a zone.
            [_, _, _, b':', ..] | [_, _, _, b'0'..=b'9', ..] => zone(rest),
            _ => Err(MISMATCH),
        };
    }
    let (rest, name) = take_while_m_n(1, 4, |byte: u8| byte.is_ascii_uppercase()).parse(rest)?;
    let hours = zones::usual_hours(name).ok_or(MISMATCH)?;
    // JavaScript: "GMT+0100".
    if let (b"GMT" | b"UTC", [b'+' | b'-', ..]) = (name, rest) {
        return zone(rest);
    }
    // Hosts may begin like a zone: WEST-WEB01.
    if matches!(rest.first(), Some(b'-' | b'.' | b'_')) {
        return Err(MISMATCH);
    }
    boundary(rest, hours * 3600)
}

/// Checks that no letter or digit follows the zone.
fn boundary(rest: &[u8], seconds: i32) -> Parsed<'_, i32> {
    match rest.first() {
        Some(byte) if byte.is_ascii_alphanumeric() => Err(MISMATCH),
        _ => Ok((rest, seconds)),
    }
}

/// Parses `Mon` to `Sun`.
pub(super) fn weekday(input: &[u8]) -> Parsed<'_, ()> {
    match input.first_chunk::<3>() {
        Some(b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun") => Ok((&input[3..], ())),
        _ => Err(MISMATCH),
    }
}

/// Parses `Jan` to `Dec`, in any case.
pub(super) fn month_name(input: &[u8]) -> Parsed<'_, u8> {
    let month = input.first_chunk::<3>().and_then(|name| month_number(*name)).ok_or(MISMATCH)?;
    Ok((&input[3..], month))
}

pub(super) fn month_number(name: [u8; 3]) -> Option<u8> {
    Some(match &name.map(|byte| byte | 0x20) {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

pub(super) fn number_2(input: &[u8]) -> Parsed<'_, u8> {
    match *input {
        [tens, ones, ref rest @ ..] => pair(tens, ones).map(|value| (rest, value)).ok_or(MISMATCH),
        _ => Err(MISMATCH),
    }
}

pub(super) fn number_1_2(input: &[u8]) -> Parsed<'_, u8> {
    match *input {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ref rest @ ..] => {
            Ok((rest, (tens - b'0') * 10 + (ones - b'0')))
        }
        [ones @ b'0'..=b'9', ref rest @ ..] => Ok((rest, ones - b'0')),
        _ => Err(MISMATCH),
    }
}

pub(super) fn number_4(input: &[u8]) -> Parsed<'_, i16> {
    let (rest, high) = number_2(input)?;
    let (rest, low) = number_2(rest)?;
    Ok((rest, i16::from(high) * 100 + i16::from(low)))
}

/// Returns the number that two digits spell.
pub(super) fn pair(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T10:00:00 with this year and offset.
    fn ten(year: Option<i16>, offset_seconds: Option<i32>) -> Option<StatedTime> {
        Some(StatedTime::Civil { year, month: 11, day: 23, hour: 10, minute: 0, second: 0, offset_seconds })
    }

    fn check(cases: &[&str], expected: Option<StatedTime>) {
        for text in cases {
            assert_eq!(stated(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn zone_is_stated() {
        check(
            &[
                "2026-11-23T10:00:00+01:00",
                "2026-11-23t10:00:00.123456789+01:00",
                "2026-11-23T10:00:00,123+0100",
                "2026-11-23T10:00:00+01",
                "2026-11-23 10:00:00 +0100",
                "2026-11-23 10:00:00.123 CET",
                "2026/11/23 10:00:00 +0100",
                "23/Nov/2026:10:00:00 +0100",
                "23/Nov/2026:10:00:00.5 +01:00",
                "23-Nov-2026 10:00:00 +0100",
                "Mon, 23 Nov 2026 10:00:00 +0100",
                "Mon Nov 23 2026 10:00:00 GMT+0100 (CET)",
                "Mon Nov 23 10:00:00 CET 2026",
                "2026-11-23T10:00:00.123+01:00[Europe/Paris]",
                "Nov 23 2026 10:00:00 CET",
                " 2026-11-23T10:00:00+01:00 ",
            ],
            ten(Some(2026), Some(3600)),
        );
        check(
            &["2026-11-23T10:00:00Z", "2026-11-23 10:00:00 UTC", "2026-11-23T10:00:00-00:00"],
            ten(Some(2026), Some(0)),
        );
        check(&["2026-11-23T10:00:00-05:30"], ten(Some(2026), Some(-19_800)));
    }

    #[test]
    fn zone_is_not_stated() {
        check(
            &[
                "2026-11-23T10:00:00",
                "2026-11-23 10:00:00,123",
                "2026-11-23_10:00:00",
                "2026/11/23 10:00:00.123456",
                "23/Nov/2026:10:00:00",
                "11/23/2026:10:00:00",
                "23-Nov-2026 10:00:00.123",
                "23 Nov 2026 10:00:00.123",
                "Mon Nov 23 10:00:00.123456 2026",
                "Nov 23 10:00:00 2026",
                "NOV 23 2026 10:00:00",
                "2026 Nov 23 10:00:00",
                "November 23, 2026 10:00:00",
                "Nov 23, 2026 10:00:00 AM",
                // A zone name with several meanings.
                "2026-11-23 10:00:00 BST",
                // Dashes in a message.
                "2026-11-23 10:00:00 - text",
                "2026-11-23 10:00:00 -5 degrees",
            ],
            ten(Some(2026), None),
        );
    }

    #[test]
    fn a_month_that_may_be_the_day_is_not_believed() {
        check(&["05/11/2026:10:00:00 GMT ns", "05/11/2026:10:00:00", "05/11/2026:10:00:00 +0100"], None);
        check(&["11/23/2026:10:00:00 GMT"], ten(Some(2026), Some(0)));
        check(&["23/11/2026:10:00:00 +0100"], ten(Some(2026), Some(3600)));
        let cpanel = stated(b"05/11/2026:10:00:00 -0000");
        assert_eq!(cpanel, stated(b"2026-05-11T10:00:00Z"));
    }

    #[test]
    fn year_is_not_stated() {
        check(&["Nov 23 10:00:00", "Nov 23 10:00:00.123", "I1123 10:00:00.123456"], ten(None, None));
        check(&["Nov 23 10:00:00 UTC"], ten(None, Some(0)));
    }

    #[test]
    fn hour_on_another_clock() {
        let at = |hour| {
            Some(StatedTime::Civil {
                year: Some(2026),
                month: 11,
                day: 3,
                hour,
                minute: 5,
                second: 7,
                offset_seconds: None,
            })
        };
        check(&["2026-11-03  5:05:07", "Nov 3, 2026 5:05:07 AM", "Nov 3, 2026, 5:05:07"], at(5));
        check(&["Nov 3, 2026 5:05:07 PM", "Nov  3 2026 17:05:07"], at(17));
        check(&["Nov 3, 2026 12:05:07 AM"], at(0));
        check(&["Nov 3, 2026 12:05:07 PM"], at(12));
    }

    #[test]
    fn epochs_in_their_units() {
        check(
            &[
                "1795428000",
                "1795428000.7564995",
                "1.795428e9",
                "1.7954280007564995e+09",
                "17954280000e-1",
                "1795428000123",
                "1795428000123.25",
                "1795428000123456",
                "1795428000123456789",
            ],
            Some(StatedTime::Unix(1_795_428_000)),
        );
        check(&["946684800"], Some(StatedTime::Unix(946_684_800)));
        check(&["4102444799"], Some(StatedTime::Unix(4_102_444_799)));
    }

    #[test]
    fn not_times() {
        check(
            &[
                "",
                " ",
                "-",
                "null",
                // Durations, sizes, counters.
                "0",
                "12",
                "0.003",
                "946684799",
                "4102444800",
                "12345678901234567890123456789",
                "99999999999999999999999999999999999999999999999999999999999",
                "1e99",
                "1.8e-9",
                "1795428000e",
                "1795428000e+",
                "1795428000e100",
                "1795428000.1.2",
                "-1795428000",
                "0x6B03C620",
                // Halves of a time.
                "2026-11-23",
                "10:00:00",
                "2026-11-23T10:00",
                "23/Nov/2026",
                // Out of range.
                "2026-13-23T10:00:00Z",
                "2026-00-23T10:00:00Z",
                "2026-11-31T10:00:00Z",
                "2026-11-00T10:00:00Z",
                "2026-02-29T10:00:00Z",
                "2026-11-23T24:00:00Z",
                "2026-11-23T10:60:00Z",
                "2026-11-23T10:00:61Z",
                "31/Feb/2026:10:00:00 +0100",
                "Nov 31 10:00:00",
                "Feb 30 10:00:00",
                // Clocks that were never set, and Go's zero time.
                "1970-01-01T00:00:00Z",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59Z",
                // One digit too many.
                "2026-11-23T10:00:000",
                "12026-11-23T10:00:00Z",
                // Hostile.
                "2026-11-23T1\u{0}:00:00Z",
                "2026-11-2\u{e9}T10:00:00Z",
                "\u{ff12}\u{ff10}26-11-23T10:00:00Z",
            ],
            None,
        );
    }

    #[test]
    fn leap_days_and_leap_seconds_are_times() {
        for text in
            ["2028-02-29T10:00:00Z", "Feb 29 10:00:00", "2000-02-29T10:00:00Z", "2026-12-31T23:59:60Z"]
        {
            assert!(stated(text.as_bytes()).is_some(), "{text}");
        }
        assert!(stated(b"2100-02-29T10:00:00Z").is_none());
    }

    #[test]
    fn zones_out_of_range_stay_unstated() {
        for text in ["2026-11-23 10:00:00 +9999", "2026-11-23 10:00:00 +24:00"] {
            assert_eq!(stated(text.as_bytes()), ten(Some(2026), None), "{text}");
        }
        // Attached to the time, it is neither a zone nor a valid end of the time.
        assert_eq!(stated(b"2026-11-23T10:00:00+99:99"), None);
    }

    #[test]
    fn an_epoch_in_front_of_a_line_ends_before_a_space() {
        for (text, expected) in [
            ("1795428000 text", true),
            ("1795428000.123\ttext", true),
            ("1795428000] text", true),
            ("1795428000", true),
            ("1795428000x", false),
            ("17954280001 text", false),
            ("179542800.0 text", false),
            ("1795428000/2 text", false),
        ] {
            assert_eq!(leading_epoch(text.as_bytes()).is_ok(), expected, "{text}");
        }
    }
}
