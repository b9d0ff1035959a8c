//! ArcSight Common Event Format (CEF 0.1 and 1.x): seven header fields separated by bars, then an extension.

use super::escapes;
use super::misdated::misdated;
use super::request_time::latest;
use super::timestamp::{MISMATCH, Parsed, stated};
use super::zones;
use crate::model::{Format, Record};
use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::{char, digit1};
use nom::combinator::opt;
use nom::sequence::{delimited, preceded, terminated};
use std::borrow::Cow;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    "CEF:0|Example|Firewall|1.0|100|Connection denied|5|rt=1795428000123 src=203.0.113.9 spt=57424 dst=192.0.2.1 msg=denied by rule 7",
    r"CEF:0|Example|Mail \| Gateway|2.1|login|Failed login|7|suser=jean@example.fr cs1=a\=b cs1Label=Query request=https://www.example.org/?q=1 end=Nov 23 2026 10:00:00 UTC",
    "CEF:1|Example|Proxy|1.0|1|Allowed|1|start=Nov 23 2026 10:00:00.123 src=2001:db8::7",
    "CEF: 0|Example|Firewall|1.0|100|Heartbeat|0|",
];

/// The names of the header fields, for [`super::field`].
const HEADER: [&[u8]; 7] = [
    b"version",
    b"deviceVendor",
    b"deviceProduct",
    b"deviceVersion",
    b"deviceEventClassId",
    b"name",
    b"severity",
];

/// Extension keys that state the time, in order of preference: when the device received or created the event,
/// when the activity ended, when it began.
const TIME_KEYS: [&[u8]; 3] = [b"rt", b"end", b"start"];

/// Reads the envelope of a line.
///
/// "CEF:Version|Device Vendor|Device Product|Device Version|Device Event Class ID|Name|Severity|[Extension]"
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (extension, _) = header(line).ok()?;
    let (mut times, mut leads, mut no_time, mut zone) = ([None; TIME_KEYS.len()], false, None, None);
    for (index, (key, value)) in Extension::of(extension).enumerate() {
        if key == b"dtz" {
            zone = zone.or(Some(value));
        }
        let Some(rank) = TIME_KEYS.iter().position(|&known| known == key) else { continue };
        match stated(value) {
            Some(found) if !leads || rank > 0 => {
                times[rank] = latest(times[rank], found);
                leads |= index == 0 && rank == 0;
            }
            Some(_) => {}
            None => no_time = no_time.or(Some(value)),
        }
    }
    // If `rt` does not begin the extension, a client may have written it, so a later time counts.
    let zoned = |time| zone.map_or(time, |name| zones::zoned(time, name));
    let mut found = times.into_iter().flatten().map(zoned);
    let time = if leads { found.next() } else { found.fold(None, latest) };
    let time = time.or_else(|| misdated(no_time?));
    Some(Record { format: Format::Cef, time, ..Record::raw(line) })
}

/// Returns the value of a header field or of an extension key, unescaped.
pub(super) fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let (extension, fields) = header(line).ok()?;
    if let Some(index) = HEADER.iter().position(|known| name.eq_ignore_ascii_case(known)) {
        return Some(unescape(fields[index]));
    }
    Extension::of(extension).find(|(key, _)| *key == name).map(|(_, value)| unescape(value))
}

/// Parses the seven header fields; the rest is the extension.
fn header(input: &[u8]) -> Parsed<'_, [&[u8]; 7]> {
    let (mut rest, version) = delimited((tag("CEF:"), opt(char(' '))), version, char('|')).parse(input)?;
    let mut fields = [version, &[], &[], &[], &[], &[], &[]];
    for field in &mut fields[1..] {
        (rest, *field) = header_field(rest)?;
    }
    Ok((rest, fields))
}

/// Parses `0`, `1`, `1.2`.
fn version(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(digit1, opt(preceded(char('.'), digit1))).parse(input)
}

/// Parses text up to a bar. "If you use a pipe (|) in the header, it has to be escaped with a backslash".
fn header_field(input: &[u8]) -> Parsed<'_, &[u8]> {
    let end = escapes::next_unescaped(b'|', input, 0).ok_or(MISMATCH)?;
    Ok((&input[end + 1..], &input[..end]))
}

/// The pairs of an extension: `key=value`, where a value may contain spaces and ends before the next key.
pub(super) struct Extension<'a> {
    rest: &'a [u8],
}

impl<'a> Extension<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Extension<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let equals = next_equals(self.rest, 0)?;
        let (key, value) = (&self.rest[key_start(self.rest, equals, 0)..equals], &self.rest[equals + 1..]);
        let mut from = 0;
        let next_key = loop {
            let Some(equals) = next_equals(value, from) else { break value.len() };
            let start = key_start(value, equals, from);
            // A key stands after a space; an unescaped `=` elsewhere belongs to the value.
            if start < equals && start > 0 && value[start - 1] == b' ' {
                break start;
            }
            from = equals + 1;
        };
        self.rest = &value[next_key..];
        Some((key, value[..next_key].trim_ascii_end()))
    }
}

/// Returns the offset of the next unescaped `=`. "If you use an equal sign (=) in the extensions, it has to
/// be escaped with a backslash".
fn next_equals(text: &[u8], from: usize) -> Option<usize> {
    escapes::next_unescaped(b'=', text, from)
}

/// Returns the start of the key before `equals`. Searches back no further than `from`, so that all calls
/// together take linear time.
fn key_start(text: &[u8], equals: usize, from: usize) -> usize {
    let in_key =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'@');
    equals - text[from..equals].iter().rev().take_while(in_key).count()
}

/// Decodes `\|`, `\=` and `\\`, which stand for themselves, and `\n` and `\r`, which stand for line ends.
fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    escapes::decoded(value, |byte| match byte {
        b'|' | b'=' | b'\\' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_this_format() {
        for line in [
            "",
            "CEF:",
            "CEF:0",
            "CEF:0|a|b|c|d|e|5",
            r"CEF:0|a|b|c|d|e|5\|",
            "CEF:x|a|b|c|d|e|5|",
            "CEF:|a|b|c|d|e|5|",
            "cef:0|a|b|c|d|e|5|",
            " CEF:0|a|b|c|d|e|5|",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn values_by_key() {
        let line = br"CEF:0|Ven\|dor|Prod|1.0|100|A \\ name|5|src=203.0.113.9 msg=two words\=2\nlines request=https://www.example.org/?a=1&b=2 cs1Label=L empty= end=x  ";
        let cases: &[(&str, Option<&str>)] = &[
            ("version", Some("0")),
            ("deviceVendor", Some("Ven|dor")),
            ("DEVICEEVENTCLASSID", Some("100")),
            ("name", Some(r"A \ name")),
            ("severity", Some("5")),
            ("src", Some("203.0.113.9")),
            ("msg", Some("two words=2\nlines")),
            ("request", Some("https://www.example.org/?a=1&b=2")),
            ("cs1Label", Some("L")),
            ("empty", Some("")),
            ("end", Some("x")),
            ("b", None),
            ("dst", None),
        ];
        for &(name, expected) in cases {
            assert_eq!(value(line, name.as_bytes()).as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn the_most_telling_time_wins() {
        let expected = stated(b"2026-11-23T10:00:00Z");
        for extension in [
            "rt=Nov 23 2026 10:00:00 UTC start=1100000000000",
            "start=1100000000000 end=1200000000000 rt=2026-11-23T10:00:00Z src=203.0.113.9",
            "start=1100000000000 end=Nov 23 2026 10:00:00.123 GMT rt=soon",
            "end=x start=2026-11-23T10:00:00Z",
        ] {
            let line = format!("CEF:0|a|b|c|d|e|5|{extension}");
            assert_eq!(read(line.as_bytes()).unwrap().time, expected, "{extension}");
        }
        assert_eq!(read(b"CEF:0|a|b|c|d|e|5|msg=rt 1795428000123").unwrap().time, None);
    }

    /// A client may have written what precedes a pair, and with it another such pair.
    #[test]
    fn no_pair_of_a_client_makes_a_line_older() {
        let expected = stated(b"1795428000123");
        for extension in [
            "request=https://www.example.net/? rt=1577836800000 x rt=1795428000123",
            "rt=1795428000123 request=https://www.example.net/? rt=1577836800000 x",
            "rt=1795428000123 request=https://www.example.net/? rt=1798020000000 end=1798020000000",
            "request=https://www.example.net/? rt=Jan 01 2020 00:00:00 UTC end=1795428000123",
            "start=1577836800000 rt=1795428000123",
        ] {
            let line = format!("CEF:0|a|b|c|d|e|5|{extension}");
            assert_eq!(read(line.as_bytes()).unwrap().time, expected, "{extension}");
        }
    }

    #[test]
    fn the_zone_of_the_device_counts_if_the_time_states_none() {
        for (extension, expected) in [
            ("end=Nov 23 2026 10:00:00 dtz=America/New_York", "2026-11-23T10:00:00-05:00"),
            ("dtz=+01:00 start=Nov 23 2026 10:00:00", "2026-11-23T10:00:00+01:00"),
            ("rt=Nov 23 2026 10:00:00 UTC dtz=CET", "2026-11-23T10:00:00Z"),
        ] {
            let line = format!("CEF:0|a|b|c|d|e|5|{extension}");
            assert_eq!(read(line.as_bytes()).unwrap().time, stated(expected.as_bytes()), "{extension}");
        }
    }
}
