//! JSON objects, one per line (RFC 8259): finds the members, the time among them, and the closing brace.
//!
//! A tag is inserted before the final brace, so the object must end the line. The parser distinguishes
//! strings from structure and counts braces, but does not validate nested values. An object that is valid
//! JSON stays valid.

use super::last_times::LastTimes;
use super::misdated::misdated_as;
use super::rare_members;
use super::time_names::{CERTAIN_NAMES, INNER_NAMES, TIME_NAMES, may_last, time_rank};
use super::timestamp::{MISMATCH, Parsed, epoch_number, is_of_event, rfc3339, stated};
use crate::model::{Format, Names, Record, StatedTime, TagPoint};
use crate::primitives::hex;
use crate::scan::Line;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize};
use nom::sequence::{delimited, separated_pair};
use std::borrow::Cow;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    r#"{"time":"2026-11-23T10:00:00.123Z","level":"info","remote_ip":"203.0.113.9","common_log":"203.0.113.9 - -"}"#,
    r#"{"level":"info","ts":1795428000.7564995,"request":{"remote_ip":"2001:db8::7","headers":{"User-Agent":["curl/8.5.0"]}},"status":200}"#,
    r#" { "@timestamp" : "2026-11-23 10:00:00,123" , "msg" : "{\"ip\":\"203.0.113.9\"}" } "#,
    r#"{"__REALTIME_TIMESTAMP":"1795428000123456","MESSAGE":"Accepted password for jean from 198.51.100.7","_PID":"42"}"#,
    r#"{"timestamp":1795428000123,"user":"jean\u0040example.fr","retention":"forged","\u0072etention":{}}"#,
    r#"{"date":"23\/Nov\/2026:10:00:00 +0100","client":"203.0.113.9"}"#,
    r#"{"start_time":"2026-11-23T10:00:00.310Z","response_flags":"-","downstream_remote_address":"203.0.113.9:57424"}"#,
    r#"{"date":"2026-11-23","time":"10:00:00","c-ip":"203.0.113.9","x-edge-location":"CDG50-C1"}"#,
    r#"{"transaction":{"client_ip":"203.0.113.9","time_stamp":"Mon Nov 23 10:00:00 2026"}}"#,
    "{}",
];

/// Reads the envelope of a line that is a single object, optionally surrounded by white space.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let mut members = Members::of(line)?;
    let (mut time, mut rank, mut empty, mut no_time) = (None, TIME_NAMES.len(), true, None);
    for (name, value) in members.by_ref() {
        empty = false;
        if let Some(better) = time_rank(name, rank) {
            match time_of(value) {
                Some(found) if may_last(name, value) => time = time.or(Some(found)),
                Some(found) => (time, rank) = (Some(found), better),
                None if better < CERTAIN_NAMES => no_time = no_time.or(Some((name, value))),
                None => {}
            }
        }
    }
    let after = members.after_object()?;
    if !after.iter().all(|&byte| is_space(byte)) {
        return None;
    }
    let close = u32::try_from(line.len() - after.len() - 1).ok()?;
    Some(Record {
        format: Format::Json,
        time: time.or_else(|| rare_time(line, no_time)),
        tag: TagPoint::JsonObject { close, empty },
        ..Record::raw(line)
    })
}

/// Reads the envelope of a line that is an object from its first byte to its last, without backslashes and
/// without white space between its parts, as loggers write it. `None` only means that [`read`] has to decide.
#[inline]
pub(super) fn read_plain(line: &Line<'_>, times: &mut LastTimes) -> Option<Record> {
    let text = line.bytes;
    if line.has_backslash() {
        return None;
    }
    let mut quotes = line.quotes();
    let (mut time, mut rank, mut at, mut names) = (None, TIME_NAMES.len(), 0, Names::NONE);
    let mut no_time = None;
    loop {
        // `at` is just before the name: at the opening brace, or at a comma.
        let name = at + 2;
        if text.get(at + 1) != Some(&b'"') {
            return None;
        }
        let colon = quotes.next(name)? + 1;
        let value = colon + 1;
        if text.get(colon) != Some(&b':') {
            return None;
        }
        at = match text.get(value)? {
            b'"' => quotes.next(value + 1)? + 1,
            b'{' | b'[' => {
                let (rest, _) = nested(&text[value..]).ok()?;
                text.len() - rest.len()
            }
            _ => {
                let (rest, _) = self::value(&text[value..]).ok()?;
                text.len() - rest.len()
            }
        };
        names.add(&text[name..colon - 1]);
        if let Some(better) = time_rank(&text[name..colon - 1], rank) {
            match plain_time_of(&text[value..at], times) {
                Some(found) if may_last(&text[name..colon - 1], &text[value..at]) => {
                    time = time.or(Some(found));
                }
                Some(found) => (time, rank) = (Some(found), better),
                None if better < CERTAIN_NAMES => {
                    no_time = no_time.or(Some((&text[name..colon - 1], &text[value..at])));
                }
                None => {}
            }
        }
        match text.get(at)? {
            b',' => {}
            b'}' if at + 1 == text.len() => break,
            _ => return None,
        }
    }
    let tag = TagPoint::JsonObject { close: u32::try_from(at).ok()?, empty: false };
    let time = time.or_else(|| rare_time(text, no_time));
    Some(Record { format: Format::Json, time, tag, names, ..Record::raw(text) })
}

/// Returns the value of a member, unescaped. Dots in `name` reach into nested objects (`request.host`), or
/// are part of a member's own name. Of equal names the first wins; a null counts as missing.
pub(super) fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    Members::of(object)?.find_map(|(found, value)| {
        if spells(found, name) {
            return text_of(value);
        }
        // Each level of recursion uses up a dot of `name`. An operator wrote `name`, so its depth is trusted.
        name.iter().enumerate().filter(|&(_, &byte)| byte == b'.').find_map(|(dot, _)| {
            let reaches = value.starts_with(b"{") && spells(found, &name[..dot]);
            if reaches { member(value, &name[dot + 1..]) } else { None }
        })
    })
}

/// Returns the member names of an object that spell `name` once their escapes are decoded. They are returned
/// as they stand in the line, without their quotes.
pub(super) fn names_spelling<'a>(object: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Members::of(object).into_iter().flatten().map(|(found, _)| found).filter(move |found| spells(found, name))
}

/// The members of an object: the name (between the quotes, still escaped) and the value (as it stands).
/// Iteration ends at the closing brace, or early if the text is not JSON; see [`Members::after_object`].
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
    /// Starts iterating over the object at the start of `text`. White space, a byte order mark or the cookie
    /// `@cee:` (which marks JSON inside syslog) may precede it.
    pub(super) fn of(text: &'a [u8]) -> Option<Self> {
        let cookie = opt(alt((tag(&b"@cee:"[..]), tag(&b"\xEF\xBB\xBF"[..]))));
        let (rest, _) = (space, cookie, space, char('{')).parse(text).ok()?;
        Some(Self { rest, state: State::First })
    }

    /// Returns what follows the closing brace, once iteration has reached it.
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

/// The same as [`time_of`], but tries the remembered time of the most common spelling first.
fn plain_time_of(value: &[u8], times: &mut LastTimes) -> Option<StatedTime> {
    let plain = match value {
        [b'"', text @ .., b'"'] => times.rfc3339_json(text),
        _ => None,
    };
    plain.or_else(|| time_of(value))
}

/// Returns the time of an object of which no member states the time of the event alone. `no_time` is the
/// first member that should state it: it may be of an unset clock or of an impossible day.
#[cold]
fn rare_time(object: &[u8], no_time: Option<(&[u8], &[u8])>) -> Option<StatedTime> {
    let together = no_time.and_then(|_| rare_members::date_and_time(object));
    together.or_else(|| rare_members::envoy(object)).or_else(|| {
        let (name, value) = no_time?;
        misdated_as(name, &text_of(value)?)
    })
}

/// Returns the time that a value states: a string in any spelling, a number, or an object that has it, such
/// as MongoDB's `{"$date":"..."}`.
pub(super) fn time_of(value: &[u8]) -> Option<StatedTime> {
    match value {
        [b'"', text @ .., b'"'] => {
            // Fast path for the most common spelling; `stated` knows it too.
            if let Ok((b"", time)) = rfc3339(text)
                && is_of_event(time)
            {
                return Some(time);
            }
            // PHP escapes slashes: 23\/Nov\/2026. No time needs more than 64 bytes.
            let mut plain = [0; 64];
            stated(if text.contains(&b'\\') { unescape_short(text, &mut plain)? } else { text })
        }
        [b'{', ..] => {
            let (_, inner) = Members::of(value)?.find(|(name, _)| INNER_NAMES.contains(name))?;
            if inner.starts_with(b"{") { None } else { time_of(inner) }
        }
        _ => epoch_number(value).map(StatedTime::Unix),
    }
}

/// Parses a string with its quotes and returns the text between them. RFC 8259 7: "A string begins and ends
/// with quotation marks. All Unicode characters may be placed within the quotation marks, except for the
/// characters that MUST be escaped: quotation mark, reverse solidus, and the control characters". Control
/// characters are tolerated.
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

/// Parses a value. RFC 8259 3: "A JSON value MUST be an object, array, number, or string, or one of the
/// following three literal names". Numbers and literals are accepted as any word.
fn value(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.first() {
        Some(b'"') => recognize(string).parse(input),
        Some(b'{' | b'[') => nested(input),
        _ => take_while1(|byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
            .parse(input),
    }
}

/// Parses an object or array up to its closing bracket. Counts brackets, so that depth costs no memory.
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
            // The depth is at least 1 after the first byte.
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    Err(MISMATCH)
}

/// Counts the bytes before the first `"` or `\`, eight at a time (Mycroft's test for a zero byte).
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

/// Returns whether the content of a string is `wanted` once its escapes are decoded.
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

/// Returns the text of a string, the bytes of any other value, and `None` for null.
pub(super) fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
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

/// Unescapes the content of a string into `room`; `None` if it does not fit.
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

/// One character of a string: at most 4 bytes of UTF-8, or a single byte as it stands.
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

/// Decodes the first character of a string's content and returns it with the rest. Always consumes at least
/// one byte of a non-empty content; a backslash that starts no escape stays as it stands.
///
/// RFC 8259 7: "To escape an extended character that is not in the Basic Multilingual Plane, the character is
/// represented as a 12-character sequence, encoding the UTF-16 surrogate pair."
fn unescape_one(content: &[u8]) -> (Unit, &[u8]) {
    let (byte, rest) = match content {
        [b'\\', b'u', rest @ ..] => match code_unit(rest) {
            Some((high @ 0xD800..=0xDBFF, after)) => match after.strip_prefix(b"\\u").and_then(code_unit) {
                Some((low @ 0xDC00..=0xDFFF, after)) => {
                    let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    return (
                        Unit::character(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)),
                        after,
                    );
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

/// Parses four hexadecimal digits.
fn code_unit(input: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = input.split_first_chunk::<4>()?;
    let unit = u16::from_be_bytes(hex::decode_any_case(digits)?);
    Some((u32::from(unit), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn time(line: &str) -> Option<StatedTime> {
        read(line.as_bytes()).unwrap_or_else(|| panic!("no object: {line}")).time
    }

    #[test]
    fn objects_that_end_the_line() {
        for line in [
            "{}",
            " {\t} \r",
            r#"{"a":1}"#,
            r#"{"a":{"b":[1,{"c":"}"}]},"d":"]"}"#,
            r#"{"a":"\\"}"#,
            r#"{"a":"\"}"}"#,
            r#"{"":null,"a":-1.5e+9,"b":true}"#,
            "\u{feff}{}",
            "@cee: {\"a\":1}",
            // Not quite JSON, but insertion cannot break it further: nginx's \x22, raw control characters.
            r#"{"a":"\x22"}"#,
            "{\"a\":\"\u{0}\u{1}\"}",
            "{\"a\":NaN}",
        ] {
            let record = read(line.as_bytes()).unwrap_or_else(|| panic!("{line:?}"));
            let TagPoint::JsonObject { close, .. } = record.tag else { panic!("{line:?}") };
            assert_eq!(line.as_bytes()[close as usize], b'}', "{line:?}");
            assert!(line[close as usize + 1..].trim().is_empty(), "{line:?}");
        }
    }

    #[test]
    fn not_this_format() {
        for line in [
            "",
            "{",
            "[]",
            "[{}]",
            "null",
            "{} {}",
            "{}x",
            "{},",
            "x{}",
            "{foo}",
            "{foo:1}",
            "{1:2}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#.trim_end_matches('}'),
            r#"{"a":1"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":"1}"#,
            r#"{"a":"1\"}"#,
            r#"{"a":{"b":1}"#,
            r#"{"a":[1}"#,
            r#"{"a":1}}"#,
            r#"{,"a":1}"#,
            "{{}}",
            "{\"a\":\"\\",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn emptiness_decides_the_comma() {
        for (line, expected) in [("{}", true), ("{ }", true), (r#"{"a":{}}"#, false), (r#"{"":1}"#, false)] {
            let TagPoint::JsonObject { empty, .. } = read(line.as_bytes()).unwrap().tag else {
                panic!("{line}")
            };
            assert_eq!(empty, expected, "{line}");
        }
    }

    #[test]
    fn times_among_the_members() {
        let unix = Some(StatedTime::Unix(1_795_428_000));
        for line in [
            r#"{"ts":1795428000}"#,
            r#"{"ts":1795428000.123}"#,
            r#"{"ts":1.795428000123e+09}"#,
            r#"{"time":"1795428000"}"#,
            r#"{"Timestamp":1795428000123}"#,
            r#"{"_SOURCE_REALTIME_TIMESTAMP":"1795428000123456"}"#,
            r#"{"time":1795428000123456789}"#,
            r#"{"t":{"$date":1795428000123}}"#,
            // The preferred name wins, then the first one.
            r#"{"date":1000000000,"@timestamp":1795428000,"ts":1100000000}"#,
            r#"{"ts":1795428000,"ts":1100000000}"#,
            // A time name without a time does not count.
            r#"{"@timestamp":"soon","time":12,"ts":1795428000}"#,
            r#"{"time":null,"timestamp":{},"ts":1795428000,"date":[]}"#,
        ] {
            assert_eq!(time(line), unix, "{line}");
        }
        for line in [
            "{}",
            r#"{"time":5}"#,
            r#"{"nested":{"time":1795428000}}"#,
            r#"{"times":1795428000}"#,
            r#"{"msg":"time","1795428000":"time"}"#,
            r#"{"t":{"$date":{"$date":1795428000}}}"#,
            r#"{"time":"\\u\\u\\u"}"#,
            // Durations.
            r#"{"time":0.003,"T":0}"#,
            // A number that is neither a plausible time nor one of an unset clock.
            r#"{"ts":120261123}"#,
        ] {
            assert_eq!(time(line), None, "{line}");
        }
        // Unset clocks, and Go's zero time.
        for (line, seconds) in [
            (r#"{"ts":0}"#, 0),
            (r#"{"a":1,"@timestamp":"37.5"}"#, 37),
            (r#"{"level":"info","ts":-62135596800,"msg":"x"}"#, -62_135_596_800),
        ] {
            assert_eq!(time(line), Some(StatedTime::Unix(seconds)), "{line}");
        }
        assert_eq!(time(r#"{"time":"23\/Nov\/2026:10:00:00 +0100"}"#), stated(b"2026-11-23T10:00:00+01:00"));
        let long = format!(r#"{{"time":"\u0031{}"}}"#, "0".repeat(200));
        assert_eq!(time(&long), None);
    }

    #[test]
    fn members_by_path() {
        let line = br#"{"a":"x","b":{"c":{"d":7},"c.d":8,"e":null},"b.c":{"f":9},"g":"\u00e9\n\"\/\ud83d\ude00","a":"y","h":[1,2]}"#;
        let cases: &[(&str, Option<&str>)] = &[
            ("a", Some("x")),
            ("b.c.d", Some("7")),
            ("b.c.f", Some("9")),
            ("b.e", None),
            ("b.c", Some(r#"{"d":7}"#)),
            ("g", Some("\u{e9}\n\"/\u{1f600}")),
            ("h", Some("[1,2]")),
            ("h.0", None),
            ("a.b", None),
            ("", None),
            (".", None),
            ("...", None),
        ];
        for &(name, expected) in cases {
            assert_eq!(member(line, name.as_bytes()).as_deref(), expected.map(str::as_bytes), "{name}");
        }
        assert!(matches!(member(line, b"a"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (content, expected) in [
            (r"\x22", r"\x22"),
            (r"\u12", r"\u12"),
            (r"\ud800x", "\u{fffd}x"),
            (r"\udc00", "\u{fffd}"),
            (r"\ud800\u0041", "\u{fffd}A"),
            (r"\u+123", r"\u+123"),
        ] {
            let line = format!(r#"{{"a":"{content}"}}"#);
            assert_eq!(member(line.as_bytes(), b"a").unwrap(), expected.as_bytes(), "{content}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        proptest::collection::hash_map("[a-z.\\\\\"\u{e9}]{0,6}", value(), 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        /// Every JSON object is recognised, and stays valid with a member inserted before its closing brace.
        #[test]
        fn valid_objects_stay_valid(object in object(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let record = read(text.as_bytes()).unwrap();
            let TagPoint::JsonObject { close, empty } = record.tag else { panic!() };
            let (head, tail) = text.split_at(close as usize);
            let tagged = format!(r#"{head}{}"~retention":1{tail}"#, if empty { "" } else { "," });
            let mut read_back: Value = serde_json::from_str(&tagged).unwrap();
            prop_assert_eq!(read_back.as_object_mut().unwrap().remove("~retention"), Some(Value::from(1)));
            prop_assert_eq!(read_back, serde_json::from_str::<Value>(&text).unwrap());
        }

        /// The text of a member equals what another JSON parser reads.
        #[test]
        fn members_say_what_serde_reads(object in object()) {
            let text = serde_json::to_string(&object).unwrap();
            for (name, value) in object.as_object().unwrap() {
                let Value::String(expected) = value else { continue };
                let found = member(text.as_bytes(), name.as_bytes()).unwrap();
                // A shorter name may reach the same path; then the first in the line counts.
                if !name.contains('.') {
                    prop_assert_eq!(found.as_ref(), expected.as_bytes());
                }
            }
        }

        /// A name is found no matter how it is escaped.
        #[test]
        fn names_are_found_in_every_spelling(escaped in proptest::collection::vec(0_u8..3, 9)) {
            let name: String = "retention".chars().zip(escaped).map(|(letter, how)| match how {
                0 => letter.to_string(),
                1 => format!("\\u{:04x}", letter as u32),
                _ => format!("\\u{:04X}", letter as u32),
            }).collect();
            let text = format!(r#"{{"a":{{"{name}":1}},"{name}":2,"retentions":3,"b":"{name}"}}"#);
            let found: Vec<_> = names_spelling(text.as_bytes(), b"retention").collect();
            prop_assert_eq!(found, vec![name.as_bytes()]);
        }

        /// The word-wise search agrees with a bytewise one.
        #[test]
        fn quote_or_backslash_is_the_first(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), 0x20_u8..0x60], 0..40)) {
            let plain = text.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(text.len());
            prop_assert_eq!(quote_or_backslash(&text), plain);
        }
    }
}
