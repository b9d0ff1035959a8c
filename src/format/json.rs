//! JSON objects, one a line (RFC 8259): the members, the time among them, and where the object closes.
//!
//! A tag is inserted before the final brace, so the object must end the line. Strings are told from
//! structure and braces are counted; what stands inside nested values is not judged. An object that
//! is valid JSON stays valid.

use super::timestamp::{MISMATCH, Parsed, epoch_number, stated};
use crate::model::{Format, Record, StatedTime, TagPoint};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize};
use nom::sequence::{delimited, separated_pair};
use std::borrow::Cow;

/// Lines of this format.
pub const SAMPLES: &[&str] = &[
    r#"{"time":"2026-11-23T10:00:00.123Z","level":"info","remote_ip":"203.0.113.9","common_log":"203.0.113.9 - -"}"#,
    r#"{"level":"info","ts":1795428000.7564995,"request":{"remote_ip":"2001:db8::7","headers":{"User-Agent":["curl/8.5.0"]}},"status":200}"#,
    r#" { "@timestamp" : "2026-11-23 10:00:00,123" , "msg" : "{\"ip\":\"203.0.113.9\"}" } "#,
    r#"{"__REALTIME_TIMESTAMP":"1795428000123456","MESSAGE":"Accepted password for jean from 198.51.100.7","_PID":"42"}"#,
    r#"{"timestamp":1795428000123,"user":"jean\u0040example.fr","retention":"forged","\u0072etention":{}}"#,
    r#"{"date":"23\/Nov\/2026:10:00:00 +0100","client":"203.0.113.9"}"#,
    "{}",
];

/// The envelope of a line that is one object, with white space around it at most.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let mut members = Members::of(line)?;
    let (mut time, mut rank, mut empty) = (None, TIME_NAMES.len(), true);
    for (name, value) in members.by_ref() {
        empty = false;
        if let Some(better) = time_rank(name).filter(|&found| found < rank)
            && let Some(found) = time_of(value)
        {
            (time, rank) = (Some(found), better);
        }
    }
    let after = members.after_object()?;
    if !after.iter().all(|&byte| is_space(byte)) {
        return None;
    }
    let close = u32::try_from(line.len() - after.len() - 1).ok()?;
    Some(Record { format: Format::Json, time, tag: TagPoint::JsonObject { close, empty }, ..Record::raw(line) })
}

/// The value of a member, unescaped; `name` may reach into nested objects with dots (`request.host`).
/// A member whose own name holds the dots counts too. The first of equal names wins; null is none.
pub(super) fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    Members::of(object)?.find_map(|(found, value)| {
        if spells(found, name) {
            return text_of(value);
        }
        // Each descent uses up a dot of `name`, which an operator wrote: the depth is his.
        name.iter().enumerate().filter(|&(_, &byte)| byte == b'.').find_map(|(dot, _)| {
            let reaches = value.starts_with(b"{") && spells(found, &name[..dot]);
            if reaches { member(value, &name[dot + 1..]) } else { None }
        })
    })
}

/// The names of an object's members that spell `name`, escapes decoded, as they stand in the line
/// between their quotes.
pub(super) fn names_spelling<'a>(object: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Members::of(object).into_iter().flatten().map(|(found, _)| found).filter(move |found| spells(found, name))
}

/// The members of an object: name (between the quotes, still escaped) and value (as it stands).
/// Ends at the closing brace, or early where the text is no JSON; [`Members::after_object`] tells.
pub(super) struct Members<'a> {
    rest: &'a [u8],
    state: State,
}

#[derive(PartialEq)]
enum State {
    First,
    Next,
    Closed,
    Broken,
}

impl<'a> Members<'a> {
    /// The members of the object that `text` begins with, after white space, a byte order mark or the
    /// cookie `@cee:` (which marks JSON inside syslog).
    pub(super) fn of(text: &'a [u8]) -> Option<Self> {
        let cookie = opt(alt((tag(&b"@cee:"[..]), tag(&b"\xEF\xBB\xBF"[..]))));
        let (rest, _) = (space, cookie, space, char('{')).parse(text).ok()?;
        Some(Self { rest, state: State::First })
    }

    /// What follows the closing brace, once it was reached.
    fn after_object(&self) -> Option<&'a [u8]> {
        (self.state == State::Closed).then_some(self.rest)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let input = skip_space(self.rest);
        let input = match (&self.state, input) {
            (State::First | State::Next, [b'}', rest @ ..]) => {
                (self.rest, self.state) = (rest, State::Closed);
                return None;
            }
            (State::First, _) => input,
            (State::Next, [b',', rest @ ..]) => skip_space(rest),
            (State::Closed, _) => return None,
            _ => {
                self.state = State::Broken;
                return None;
            }
        };
        match separated_pair(string, delimited(space, char(':'), space), value).parse(input) {
            Ok((rest, member)) => {
                (self.rest, self.state) = (rest, State::Next);
                Some(member)
            }
            Err(_) => {
                self.state = State::Broken;
                None
            }
        }
    }
}

/// Names of members that state the event's time, the most telling first; ASCII case does not matter.
/// The last two are journald's, in microseconds.
const TIME_NAMES: [&[u8]; 14] = [
    b"@timestamp",
    b"timestamp",
    b"time",
    b"ts",
    b"date",
    b"datetime",
    b"eventTime",
    b"@t",
    b"t",
    b"time_iso8601",
    b"time_local",
    b"StartUTC",
    b"_SOURCE_REALTIME_TIMESTAMP",
    b"__REALTIME_TIMESTAMP",
];

fn time_rank(name: &[u8]) -> Option<usize> {
    // Most names are told apart by their first letter alone.
    match name.first().map(|byte| byte | 0x20) {
        Some(b'@' | b't' | b'd' | b'e' | b's' | 0x7f) => {}
        _ => return None,
    }
    TIME_NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))
}

/// The time that a value states: a string in any spelling, a number, or MongoDB's `{"$date":"..."}`.
fn time_of(value: &[u8]) -> Option<StatedTime> {
    match value {
        [b'"', text @ .., b'"'] => {
            // PHP escapes slashes: 23\/Nov\/2026. No time needs more than 64 bytes.
            let mut plain = [0; 64];
            stated(if text.contains(&b'\\') { unescape_short(text, &mut plain)? } else { text })
        }
        [b'{', ..] => Members::of(value)?.find(|(name, _)| *name == b"$date").and_then(|(_, date)| match date {
            [b'{', ..] => None,
            _ => time_of(date),
        }),
        _ => epoch_number(value).map(StatedTime::Unix),
    }
}

/// A string and its quotes; the result lies between them.
///
/// RFC 8259 7: "A string begins and ends with quotation marks. All Unicode characters may be placed
/// within the quotation marks, except for the characters that MUST be escaped: quotation mark,
/// reverse solidus, and the control characters". Control characters are tolerated.
fn string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let [b'"', text @ ..] = input else { return Err(MISMATCH) };
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        at += quote_or_backslash(rest);
        match text.get(at) {
            Some(b'"') => return Ok((&text[at + 1..], &text[..at])),
            Some(_) => at += 2,
            None => break,
        }
    }
    Err(MISMATCH)
}

/// RFC 8259 3: "A JSON value MUST be an object, array, number, or string, or one of the following
/// three literal names". Numbers and literals are taken as words.
fn value(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.first() {
        Some(b'"') => recognize(string).parse(input),
        Some(b'{' | b'[') => nested(input),
        _ => take_while1(|byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')).parse(input),
    }
}

/// An object or array, to the bracket that closes it. Counts, so depth costs no memory.
fn nested(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = input.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let (rest, _) = string(&input[at - 1..])?;
                at = input.len() - rest.len();
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Ok((&input[at..], &input[..at])),
            // Depth is at least 1 from the first byte on.
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    Err(MISMATCH)
}

/// The number of bytes before the first `"` or `\`: eight at a time (Mycroft's test for a zero byte).
fn quote_or_backslash(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_bytes(word ^ (ONES * b'"' as u64)) | zero_bytes(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            // False hits can only follow a true one, towards the high end.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

/// RFC 8259 2: "Insignificant whitespace is allowed before or after any of the six structural characters."
fn space(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_space).parse(input)
}

fn skip_space(input: &[u8]) -> &[u8] {
    match input {
        [byte, ..] if is_space(*byte) => &input[input.iter().take_while(|&&byte| is_space(byte)).count()..],
        _ => input,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether the content of a string, escapes decoded, is `wanted`.
fn spells(content: &[u8], wanted: &[u8]) -> bool {
    if !content.contains(&b'\\') {
        return content == wanted;
    }
    let (mut content, mut wanted) = (content, wanted);
    while !content.is_empty() {
        let (unit, rest) = unescape_one(content);
        let Some(after) = wanted.strip_prefix(unit.bytes()) else { return false };
        (content, wanted) = (rest, after);
    }
    wanted.is_empty()
}

/// What a value says: the text of a string, the bytes of anything else, nothing for null.
fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value {
        b"null" => None,
        [b'"', content @ .., b'"'] if content.contains(&b'\\') => {
            let mut text = Vec::with_capacity(content.len());
            let mut content = content;
            while !content.is_empty() {
                let (unit, rest) = unescape_one(content);
                text.extend_from_slice(unit.bytes());
                content = rest;
            }
            Some(Cow::Owned(text))
        }
        [b'"', content @ .., b'"'] => Some(Cow::Borrowed(content)),
        _ => Some(Cow::Borrowed(value)),
    }
}

/// The content of a string unescaped into `room`; `None` if it does not fit.
fn unescape_short<'r>(mut content: &[u8], room: &'r mut [u8; 64]) -> Option<&'r [u8]> {
    let mut length = 0;
    while !content.is_empty() {
        let (unit, rest) = unescape_one(content);
        let bytes = unit.bytes();
        room.get_mut(length..length + bytes.len())?.copy_from_slice(bytes);
        length += bytes.len();
        content = rest;
    }
    Some(&room[..length])
}

/// One character of a string: at most 4 bytes of UTF-8, or one byte as it stands.
struct Unit {
    bytes: [u8; 4],
    length: usize,
}

impl Unit {
    fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }

    fn character(character: char) -> Self {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The first character of a string's content, decoded, and the rest. Never takes nothing of a content
/// that is not empty; what is no escape stays as it stands.
///
/// RFC 8259 7: "To escape an extended character that is not in the Basic Multilingual Plane, the
/// character is represented as a 12-character sequence, encoding the UTF-16 surrogate pair."
fn unescape_one(content: &[u8]) -> (Unit, &[u8]) {
    let (byte, rest) = match content {
        [b'\\', b'u', rest @ ..] => match code_unit(rest) {
            Some((high @ 0xD800..=0xDBFF, after)) => match after.strip_prefix(b"\\u").and_then(code_unit) {
                Some((low @ 0xDC00..=0xDFFF, after)) => {
                    let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    return (Unit::character(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)), after);
                }
                _ => return (Unit::character(char::REPLACEMENT_CHARACTER), after),
            },
            Some((unit, after)) => {
                return (Unit::character(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)), after);
            }
            None => (b'\\', &content[1..]),
        },
        [b'\\', b'b', rest @ ..] => (0x08, rest),
        [b'\\', b'f', rest @ ..] => (0x0C, rest),
        [b'\\', b'n', rest @ ..] => (b'\n', rest),
        [b'\\', b'r', rest @ ..] => (b'\r', rest),
        [b'\\', b't', rest @ ..] => (b'\t', rest),
        [b'\\', escaped @ (b'"' | b'\\' | b'/'), rest @ ..] => (*escaped, rest),
        [byte, rest @ ..] => (*byte, rest),
        [] => return (Unit { bytes: [0; 4], length: 0 }, content),
    };
    (Unit::byte(byte), rest)
}

/// Four hexadecimal digits.
fn code_unit(input: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = input.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |sum, &digit| Some((sum << 4) | char::from(digit).to_digit(16)?))?;
    Some((unit, rest))
}
