//! IBM Log Event Extended Format (LEEF 1.0 and 2.0): header fields separated by bars, then attributes.

use super::misdated::misdated;
use super::timestamp::{MISMATCH, Parsed, stated};
use crate::model::{Format, Record};
use memchr::memchr;
use nom::Parser;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::verify;
use nom::sequence::terminated;
use std::borrow::Cow;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    "LEEF:1.0|Example|Gateway|1.0|login_failed|src=203.0.113.9\tdst=192.0.2.1\tusrName=jean@example.fr\tdevTime=Nov 23 2026 10:00:00",
    "LEEF:2.0|Example|Gateway|1.0|41|^|src=2001:db8::7^devTime=1795428000123^sev=5",
    "LEEF:2.0|Example|Gateway|1.0|41|0x7C|src=198.51.100.7|sev=3",
    "LEEF:2.0|Example|Gateway|1.0|41|src=198.51.100.7\tsev=3",
];

/// The names of the header fields, for [`super::field`].
const HEADER: [&[u8]; 5] = [b"leefVersion", b"vendor", b"product", b"version", b"eventId"];

/// Reads the envelope of a line.
///
/// "LEEF:Version|Vendor|Product|Version|EventID|" and, in 2.0, "Delimiter|"; attributes follow.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (_, header) = header(line).ok()?;
    let time = header.attributes().find(|(key, _)| *key == b"devTime");
    let time = time.and_then(|(_, value)| stated(value).or_else(|| misdated(value)));
    Some(Record { format: Format::Leef, time, ..Record::raw(line) })
}

/// Returns the value of a header field or of an attribute.
pub(super) fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let (_, header) = header(line).ok()?;
    if let Some(index) = HEADER.iter().position(|known| name.eq_ignore_ascii_case(known)) {
        return Some(Cow::Borrowed(header.fields[index]));
    }
    header.attributes().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(value))
}

/// The header fields and the text of the attributes.
struct Header<'a> {
    fields: [&'a [u8]; 5],
    delimiter: u8,
    text: &'a [u8],
}

impl<'a> Header<'a> {
    /// Returns the attributes: `key=value`, separated by the delimiter.
    fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let delimiter = self.delimiter;
        self.text.split(move |&byte| byte == delimiter).filter_map(|pair| {
            let equals = memchr(b'=', pair)?;
            Some((pair[..equals].trim_ascii(), &pair[equals + 1..]))
        })
    }
}

fn header(input: &[u8]) -> Parsed<'_, Header<'_>> {
    let version = verify(header_field, |version: &[u8]| matches!(version, b"1.0" | b"2.0" | b"1" | b"2"));
    let (rest, (_, version)) = (tag("LEEF:"), version).parse(input)?;
    let (rest, (vendor, product, product_version, event)) =
        (header_field, header_field, header_field, header_field).parse(rest)?;
    let (text, delimiter) = match version.first() {
        Some(b'2') => terminated(delimiter, char('|')).parse(rest).unwrap_or((rest, b'\t')),
        _ => (rest, b'\t'),
    };
    Ok((text, Header { fields: [version, vendor, product, product_version, event], delimiter, text }))
}

fn header_field(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(take_till(|byte| byte == b'|'), char('|')).parse(input)
}

/// Parses one character or its code: `^`, `0x5E`, `x5E`. An empty field means a tab.
fn delimiter(input: &[u8]) -> Parsed<'_, u8> {
    let (rest, text) = take_till(|byte| byte == b'|').parse(input)?;
    match text {
        [] => Ok((rest, b'\t')),
        [byte] => Ok((rest, *byte)),
        [b'0', b'x' | b'X', digits @ ..] | [b'x' | b'X', digits @ ..] if (1..=2).contains(&digits.len()) => {
            let code =
                std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
            code.map(|code| (rest, code)).ok_or(MISMATCH)
        }
        _ => Err(MISMATCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_this_format() {
        for line in [
            "",
            "LEEF:",
            "LEEF:1.0",
            "LEEF:1.0|a|b|c|d",
            "LEEF:3.0|a|b|c|d|",
            "LEEF:x|a|b|c|d|",
            "leef:1.0|a|b|c|d|",
            " LEEF:1.0|a|b|c|d|",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn attributes_between_delimiters() {
        for line in [
            "LEEF:1.0|a|b|c|d|src=203.0.113.9\tmsg=two words=2\t",
            "LEEF:2.0|a|b|c|d|src=203.0.113.9\tmsg=two words=2",
            "LEEF:2.0|a|b|c|d||src=203.0.113.9\tmsg=two words=2",
            "LEEF:2.0|a|b|c|d|^|src=203.0.113.9^msg=two words=2",
            "LEEF:2.0|a|b|c|d|0x5E|src=203.0.113.9^ msg=two words=2",
            "LEEF:2.0|a|b|c|d|x5e|src=203.0.113.9^^msg=two words=2",
        ] {
            assert!(read(line.as_bytes()).is_some(), "{line:?}");
            assert_eq!(value(line.as_bytes(), b"src").as_deref(), Some(&b"203.0.113.9"[..]), "{line:?}");
            assert_eq!(value(line.as_bytes(), b"msg").as_deref(), Some(&b"two words=2"[..]), "{line:?}");
            assert_eq!(value(line.as_bytes(), b"eventId").as_deref(), Some(&b"d"[..]), "{line:?}");
            assert_eq!(value(line.as_bytes(), b"dst"), None, "{line:?}");
        }
    }
}
