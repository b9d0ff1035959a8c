//! The zones of times in rarer spellings, and the half of the day before them: `10:00:00UTC`, `(GMT)`,
//! `UTC+2`, `America/New_York`, `10:00:00 p.m. EST`. Read only after a time that states no zone as most do.

use super::logfmt::at;
use super::timestamp::{MISMATCH, Parsed, pair, spaced_zone, zone};
use crate::model::StatedTime;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};
use std::sync::LazyLock;

/// The zones in the binary. Those of the machine may be others, and a line must have the same time
/// everywhere.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Returns the rest of the text and the time, with the half of the day and the zone that follow it, if any.
pub(super) fn end_of_time(rest: &[u8], time: StatedTime) -> (&[u8], StatedTime) {
    let StatedTime::Civil { offset_seconds: None, .. } = time else { return (rest, time) };
    let (rest, time) = match half(rest) {
        Ok((after, afternoon)) => (after, on_24_hours(time, afternoon)),
        Err(_) => (rest, time),
    };
    match offset(rest, time) {
        Some((after, offset)) => (after, at(time, offset)),
        None => (rest, time),
    }
}

/// Returns the time with the zone that another field names, if it states none itself.
pub(super) fn zoned(time: StatedTime, name: &[u8]) -> StatedTime {
    let StatedTime::Civil { offset_seconds: None, .. } = time else { return time };
    let found = zone(name).ok().or_else(|| word(name, time));
    found.filter(|(rest, _)| rest.is_empty()).map_or(time, |(_, offset)| at(time, offset))
}

/// Returns whether clocks somewhere are set to this offset: from -12:00 to +14:00, in quarters of an hour.
pub(super) fn is_in_use(offset_seconds: i32) -> bool {
    (-12 * 3600..=14 * 3600).contains(&offset_seconds) && offset_seconds % 900 == 0
}

/// Parses a zone after a space, of which only few programs write the name. Where a host may stand instead,
/// what follows must show that it is none.
pub(super) fn rare_zone(input: &[u8]) -> Option<(&[u8], i32)> {
    let (name, rest) = letters(input.strip_prefix(b" ")?);
    rare(name).map(|offset| (rest, offset))
}

/// Returns the hours east of UTC of a zone whose name has a single meaning: those of RFC 5322 4.3 and the
/// European ones.
pub(super) fn usual_hours(name: &[u8]) -> Option<i32> {
    Some(match name {
        b"Z" | b"UTC" | b"GMT" | b"UT" | b"WET" => 0,
        b"WEST" | b"CET" => 1,
        b"CEST" | b"EET" => 2,
        b"EEST" => 3,
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    })
}

/// The same for names with a single meaning from elsewhere, in seconds. A host may have such a name.
fn rare(name: &[u8]) -> Option<i32> {
    let quarters = match name {
        b"WAT" | b"MEZ" => 4,
        b"CAT" | b"SAST" | b"MESZ" => 8,
        b"EAT" | b"MSK" => 12,
        b"PKT" => 20,
        b"WIB" => 28,
        b"AWST" | b"HKT" | b"SGT" => 32,
        b"JST" | b"KST" => 36,
        b"ACST" => 38,
        b"AEST" => 40,
        b"ACDT" => 42,
        b"AEDT" => 44,
        b"NZST" => 48,
        b"NZDT" => 52,
        b"NDT" => -10,
        b"BRT" | b"ART" => -12,
        b"NST" => -14,
        b"AKDT" => -32,
        b"AKST" => -36,
        b"HST" => -40,
        _ => return None,
    };
    Some(quarters * 900)
}

/// Parses ` AM` or ` PM` in any case, perhaps with dots, perhaps without the space, or with a narrow one, as
/// browsers and Java write it; `true` is the afternoon.
pub(super) fn half(input: &[u8]) -> Parsed<'_, bool> {
    let (afternoon, rest) = match unspaced(input) {
        [b'a' | b'A', rest @ ..] => (false, rest),
        [b'p' | b'P', rest @ ..] => (true, rest),
        _ => return Err(MISMATCH),
    };
    let rest = rest.strip_prefix(b".").map_or(rest, unspaced);
    let [b'm' | b'M', rest @ ..] = rest else { return Err(MISMATCH) };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    if ends_word(rest) { Ok((rest, afternoon)) } else { Err(MISMATCH) }
}

fn unspaced(input: &[u8]) -> &[u8] {
    let spaces = [" ", "\u{a0}", "\u{202f}"];
    spaces.iter().find_map(|space| input.strip_prefix(space.as_bytes())).unwrap_or(input)
}

/// Returns a time on a clock of twelve hours on one of 24; unchanged if it was on such a clock already.
fn on_24_hours(time: StatedTime, afternoon: bool) -> StatedTime {
    match time {
        StatedTime::Civil { year, month, day, hour: hour @ 1..=12, minute, second, offset_seconds } => {
            let hour = hour % 12 + if afternoon { 12 } else { 0 };
            StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds }
        }
        _ => time,
    }
}

/// Parses a zone in any of these spellings.
fn offset(input: &[u8], time: StatedTime) -> Option<(&[u8], i32)> {
    if let Ok(found) = spaced_zone(input) {
        return Some(found);
    }
    match input {
        [b' ', b'(', text @ ..] => closed(text, b')', time),
        // A part of a program may have a short name.
        [b' ', b'[', text @ ..] | [b'[', text @ ..] => {
            let is_zone = [&b"UTC]"[..], b"GMT]"].iter().any(|name| text.starts_with(name));
            if is_zone || letters(text).1.starts_with(b"/") { closed(text, b']', time) } else { None }
        }
        [b' ', b'+' | b'-', text @ ..] => hours(&input[1..], text),
        [b' ', text @ ..] => word(text, time),
        [before @ (b'\t' | b',' | b'|'), text @ ..] => {
            let is_zone = text.starts_with(b"UTC") || text.starts_with(b"GMT");
            (is_zone && text.get(3) == Some(before)).then(|| (&text[3..], 0))
        }
        _ => word(input, time),
    }
}

/// Parses a zone up to the bracket `close`.
fn closed(text: &[u8], close: u8, time: StatedTime) -> Option<(&[u8], i32)> {
    let (rest, offset) = word(text, time)?;
    let (first, rest) = rest.split_first()?;
    (*first == close).then_some((rest, offset))
}

/// Parses `+03` or `-03` between a time and what shows that it is no dash in a text: `text` begins after the
/// sign.
fn hours<'a>(input: &[u8], text: &'a [u8]) -> Option<(&'a [u8], i32)> {
    let [tens @ (b'0' | b'1'), ones, rest @ ..] = text else { return None };
    let hours = i32::from(pair(*tens, *ones).filter(|hours| *hours <= 14)?);
    let ends = matches!(rest, [] | [b']' | b',', ..] | [b' ', b'[', ..]);
    ends.then_some((rest, if input.starts_with(b"-") { -hours } else { hours } * 3600))
}

/// Parses `UTC`, `utc`, `UTC+2`, `JST` or `America/New_York`.
fn word(text: &[u8], time: StatedTime) -> Option<(&[u8], i32)> {
    let (name, rest) = letters(text);
    match (name, rest) {
        (b"", _) => None,
        (_, [b'/' | b'_', ..]) => place(text, time),
        (b"UTC" | b"GMT" | b"utc" | b"gmt", [b'+' | b'-', ..]) => from_utc(rest),
        _ => {
            let known = match name {
                b"utc" | b"gmt" => Some(0),
                b"cet" => Some(3600),
                b"cest" => Some(7200),
                _ => usual_hours(name).map(|hours| hours * 3600).or_else(|| rare(name)),
            };
            known.filter(|_| ends_word(rest)).map(|offset| (rest, offset))
        }
    }
}

/// Parses `+2`, `+02`, `+0200`, `+02:00` or `+5:30` after `UTC`.
fn from_utc(text: &[u8]) -> Option<(&[u8], i32)> {
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (hours, rest) = match text[1..].split_at(digits) {
        ([ones], rest) => (pair(b'0', *ones)?, rest),
        ([tens, ones], rest) => (pair(*tens, *ones)?, rest),
        _ => return zone(text).ok(),
    };
    let (minutes, rest) = match rest {
        [b':', tens, ones, rest @ ..] if tens.is_ascii_digit() => (pair(*tens, *ones)?, rest),
        _ => (0, rest),
    };
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    let certain = hours <= 14 && minutes <= 59 && ends_word(rest);
    certain.then_some((rest, if text.starts_with(b"-") { -seconds } else { seconds }))
}

/// Parses the name of a zone in the tz database, such as `America/New_York`, at the time `time`.
///
/// Of the two hours when the clocks are set back, the later one counts, so that no line expires early.
fn place(text: &[u8], time: StatedTime) -> Option<(&[u8], i32)> {
    const LONGEST: usize = 40;
    let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    let length = text.iter().take(LONGEST).take_while(in_name).count();
    let name = str::from_utf8(&text[..length]).ok().filter(|name| name.contains('/'))?;
    let StatedTime::Civil { year, month, day, hour, minute, second, .. } = time else { return None };
    let [month, day, hour, minute, second] =
        [month, day, hour, minute, second.min(59)].map(|field| i8::try_from(field).unwrap_or(-1));
    let civil = DateTime::new(year?, month, day, hour, minute, second, 0).ok()?;
    let offset = match ZONES.get(name).ok()?.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } => before,
        AmbiguousOffset::Fold { after, .. } => after,
    };
    Some((&text[length..], offset.seconds()))
}

/// Splits the text after its first letters.
fn letters(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count())
}

/// Returns whether a name that ends before `rest` is whole: `EST-gw1` and `pm2` are other names.
fn ends_word(rest: &[u8]) -> bool {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    !rest.first().is_some_and(goes_on)
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::super::timestamp::stated;
    use super::*;

    /// Checks the time of a field and, followed by text, at the start of a line.
    fn check(cases: &[(&str, &str)]) {
        for &(text, expected) in cases {
            let expected = stated(expected.as_bytes());
            assert!(expected.is_some());
            assert_eq!(stated(text.as_bytes()), expected, "{text}");
            for line in [format!("{text} x"), format!("[{text}] x")] {
                assert_eq!(raw::time(line.as_bytes()), expected, "{line}");
            }
        }
    }

    #[test]
    fn a_zone_counts_in_rarer_spellings() {
        check(&[
            ("2026-11-23 10:00:00UTC", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00.123GMT", "2026-11-23T10:00:00Z"),
            ("2026-11-23 10:00:00 utc", "2026-11-23T10:00:00Z"),
            ("2026-11-23 10:00:00 (UTC)", "2026-11-23T10:00:00Z"),
            ("2026-11-23 10:00:00 (GMT)", "2026-11-23T10:00:00Z"),
            ("2026-11-23 10:00:00 [UTC]", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00[UTC]", "2026-11-23T10:00:00Z"),
            ("2026-11-23 10:00:00EST", "2026-11-23T10:00:00-05:00"),
            ("2026-11-23 10:00:00 (CET)", "2026-11-23T10:00:00+01:00"),
            ("2026-11-23 10:00:00 cet", "2026-11-23T10:00:00+01:00"),
            ("2026-11-23 10:00:00 MEZ", "2026-11-23T10:00:00+01:00"),
            ("2026-11-23 10:00:00 +0200 (CEST)", "2026-11-23T10:00:00+02:00"),
            ("2026-11-23 10:00:00 UTC+2", "2026-11-23T10:00:00+02:00"),
            ("2026-11-23 10:00:00 GMT-5", "2026-11-23T10:00:00-05:00"),
            ("2026-11-23 10:00:00 (UTC+05:30)", "2026-11-23T10:00:00+05:30"),
            ("2026-11-23 10:00:00 UTC+5:30", "2026-11-23T10:00:00+05:30"),
            ("2026-11-23 10:00:00 JST", "2026-11-23T10:00:00+09:00"),
            ("2026-11-23 10:00:00 ACDT", "2026-11-23T10:00:00+10:30"),
            ("2026-11-23 10:00:00 NST", "2026-11-23T10:00:00-03:30"),
            // In spellings that mostly have none.
            ("23/Nov/2026 10:00:00 +0100", "2026-11-23T10:00:00+01:00"),
            ("23Nov2026 10:00:00 UTC", "2026-11-23T10:00:00Z"),
            ("20261123 10:00:00 UTC", "2026-11-23T10:00:00Z"),
            ("2026.11.23 10:00:00 -0500", "2026-11-23T10:00:00-05:00"),
            ("2026:11:23-10:00:00 UTC", "2026-11-23T10:00:00Z"),
            ("Nov 23 10:00:00 JST", "Nov 23 10:00:00 +0900"),
        ]);
        for line in ["2026-11-23 10:00:00\tUTC\tx", "2026-11-23 10:00:00,GMT,x", "2026-11-23 10:00:00|UTC|x"]
        {
            assert_eq!(raw::time(line.as_bytes()), stated(b"2026-11-23T10:00:00Z"), "{line}");
        }
    }

    #[test]
    fn a_zone_of_the_tz_database_counts_with_its_summer_time() {
        check(&[
            ("23-Nov-2026 10:00:00 Europe/Paris", "2026-11-23T10:00:00+01:00"),
            ("23-Jul-2026 10:00:00 Europe/Paris", "2026-07-23T10:00:00+02:00"),
            ("23-Nov-2026 10:00:00 America/New_York", "2026-11-23T10:00:00-05:00"),
            ("2026-11-23T10:00:00[America/Argentina/Buenos_Aires]", "2026-11-23T10:00:00-03:00"),
            ("2026-11-23 10:00:00 Etc/UTC", "2026-11-23T10:00:00Z"),
            // The clocks are set back, and forward.
            ("2026-10-25 02:30:00 Europe/Paris", "2026-10-25T02:30:00+01:00"),
            ("2026-03-29 02:30:00 Europe/Paris", "2026-03-29T02:30:00+01:00"),
            ("2026-11-23 10:00:00 Europe/Nowhere", "2026-11-23 10:00:00"),
        ]);
    }

    #[test]
    fn two_digits_are_a_zone_where_no_text_follows() {
        for (line, expected) in [
            ("2026-11-23 10:00:00.123 -03 [7] LOG:  x", "2026-11-23T10:00:00-03:00"),
            ("2026-11-23 10:00:00.123 +03,\"jean\",\"db\"", "2026-11-23T10:00:00+03:00"),
            ("[2026-11-23 10:00:00 +03] x", "2026-11-23T10:00:00+03:00"),
            ("2026-11-23 10:00:00 -03 degrees", "2026-11-23 10:00:00"),
            ("2026-11-23 10:00:00 +15,x", "2026-11-23 10:00:00"),
        ] {
            assert_eq!(raw::time(line.as_bytes()), stated(expected.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_half_of_the_day_counts_after_any_spelling() {
        for hour in 0..24_u8 {
            let (shown, halves) = match hour {
                0..12 => ((hour + 11) % 12 + 1, ["AM", "am", "a.m."]),
                _ => ((hour + 11) % 12 + 1, ["PM", "pm", "p.m."]),
            };
            let expected = format!("2026-11-23 {hour:02}:05:07");
            let utc = format!("{expected} +0000");
            for half in halves {
                check(&[
                    (&format!("2026-11-23 {shown:02}:05:07 {half}"), &expected),
                    (&format!("2026-11-23T{shown:02}:05:07{half}"), &expected),
                    (&format!("2026/11/23 {shown:02}:05:07 {half} UTC"), &utc),
                    (&format!("11/23/2026, {shown}:05:07\u{202f}{half}"), &expected),
                    (&format!("Nov 23, 2026, {shown}:05:07\u{202f}{half} UTC"), &utc),
                    (&format!("Mon 23 Nov 2026 {shown:02}:05:07 {half} UTC"), &utc),
                    (&format!("Mon Nov 23 {shown:02}:05:07 {half} UTC 2026"), &utc),
                ]);
            }
        }
        // On a clock of 24 hours, it says nothing.
        check(&[
            ("2026-11-23 22:00:00 PM UTC", "2026-11-23T22:00:00Z"),
            ("2026-11-23 00:30:00 AM", "2026-11-23 00:30:00"),
        ]);
    }

    #[test]
    fn other_words_are_no_zone_and_no_half() {
        for text in [
            "EST-gw1",
            "UTC-web1",
            "UTC-3.example.net",
            "JST1",
            "BST",
            "IST",
            "met",
            "[EST]",
            "[main]",
            "(main)",
            "(UTC",
            "pm2",
            "amavis[7]:",
            "P.example.net",
            "PM-1",
            "a/b",
            "+1",
        ] {
            let line = format!("2026-11-23 10:00:00 {text} x");
            assert_eq!(raw::time(line.as_bytes()), stated(b"2026-11-23 10:00:00"), "{line}");
        }
        for line in ["2026-11-23 10:00:00,UTCx,x", "2026-11-23 10:00:00\tEST\tx", "2026-11-23 10:00:00,UTC x"]
        {
            assert_eq!(raw::time(line.as_bytes()), stated(b"2026-11-23 10:00:00"), "{line}");
        }
    }

    #[test]
    fn a_zone_of_another_field_counts_if_the_time_states_none() {
        let local = stated(b"2026-11-23 10:00:00").unwrap();
        for (name, expected) in [
            ("+0530", "2026-11-23T10:00:00+05:30"),
            ("-05:00", "2026-11-23T10:00:00-05:00"),
            ("CET", "2026-11-23T10:00:00+01:00"),
            ("America/New_York", "2026-11-23T10:00:00-05:00"),
            ("Paris", "2026-11-23 10:00:00"),
            ("CET x", "2026-11-23 10:00:00"),
            ("", "2026-11-23 10:00:00"),
        ] {
            assert_eq!(Some(zoned(local, name.as_bytes())), stated(expected.as_bytes()), "{name}");
        }
        let utc = stated(b"2026-11-23T10:00:00Z").unwrap();
        assert_eq!(zoned(utc, b"CET"), utc);
    }
}
