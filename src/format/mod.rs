//! Reads the envelope of a line, in any of the known formats, with `nom`. Reading never fails: at worst the
//! format is [`Format::Raw`].
//!
//! A wrong format is worse than none, because the format decides where the tag goes and which class applies.
//! So each parser asks for evidence that text does not contain by chance, and a doubtful line is `Raw`.
//!
//! There are two levels. If the MSG of a syslog line has a format of its own, that is [`Record::inner`]; time
//! and tag remain those of the outer line. The outer time was written by the machine, the inner one perhaps
//! by a client, so the inner time counts only if the outer line states none at all: even a BSD time without
//! year and zone takes precedence. Access log requests are the exception: there a client may have written the
//! outer time, so the later of the two counts (`request_time`).

mod access_log;
mod apache_error;
mod cef;
mod columns;
mod epochs;
mod escapes;
mod haproxy;
mod json;
mod last_times;
mod leef;
mod logfmt;
mod misdated;
mod netfilter;
mod nginx_error;
mod prefixed;
mod pri;
mod rare_heads;
mod rare_members;
mod rare_spellings;
mod raw;
mod request_time;
mod rfc3164;
mod rfc5424;
mod time_names;
mod timestamp;
mod utc_heads;
mod zones;

#[cfg(test)]
mod tests;

use crate::model::{Format, Record, Span, TagPoint};
use crate::scan::Line;
use last_times::LastTimes;
use memchr::memchr3;
use std::borrow::Cow;

/// Recognises the format of each line.
///
/// The result depends on the line alone: its first bytes say which formats are possible, and these are tried
/// in a fixed order. The only state kept between lines is what the last times mean, byte for byte.
#[derive(Clone, Debug)]
pub struct Guess {
    forced: Option<Format>,
    times: LastTimes,
}

impl Guess {
    /// Creates a guesser. With `forced` it reads that one format only, and a line that does not fit is `Raw`.
    #[must_use]
    pub fn new(forced: Option<Format>) -> Self {
        Self { forced, times: LastTimes::default() }
    }

    /// Reads the envelope of a line of a scanned block. The result equals that of [`Self::parse`].
    #[inline]
    pub fn read(&mut self, line: &Line<'_>) -> Record {
        self.read_plain(line).unwrap_or_else(|| self.parse(line.bytes))
    }

    /// Reads the envelope of a line of a scanned block if the line has one of the most common shapes. These
    /// are read from fixed columns and from the marks that the scan found. `None` only means that
    /// [`Self::parse`] has to decide.
    #[inline]
    pub fn read_plain(&mut self, line: &Line<'_>) -> Option<Record> {
        match line.bytes {
            _ if self.forced.is_some() => None,
            [b'{', ..] => json::read_plain(line, &mut self.times),
            [b'A'..=b'Z' | b'a'..=b'z', _, _, b' ', ..] => rfc3164::read_plain(line, &mut self.times),
            [b'<', ..] => rfc5424::read_plain(line, &mut self.times),
            _ => access_log::read_plain(line, &mut self.times),
        }
    }

    /// Reads the envelope of `line`, which must not include its line end.
    pub fn parse(&mut self, line: &[u8]) -> Record {
        let outer = match self.forced {
            None => syslog(line).or_else(|| content(line)),
            Some(format) => only(format, line),
        };
        let mut record = match outer {
            None => raw::read(line),
            Some(outer) if matches!(outer.format, Format::Rfc5424 | Format::Rfc3164) => {
                with_inner(line, outer)
            }
            Some(outer) => outer,
        };
        if ![Some(record.format), record.inner].into_iter().flatten().any(is_access) {
            record.time = request_time::later(record.time, access_log::request_time(record.message.of(line)));
        }
        record
    }
}

/// Returns the value of a named field of a structured line, unescaped.
///
/// A field is a JSON member, a logfmt pair, a header field or extension of CEF or LEEF, or an SD-PARAM (as
/// `SD-ID.PARAM-NAME` or `PARAM-NAME`). Dots reach into nested JSON objects. The outer level is searched
/// first, then the message inside it.
#[must_use]
pub fn field<'a>(line: &'a [u8], record: &Record, name: &str) -> Option<Cow<'a, [u8]>> {
    let name = name.as_bytes();
    // Any part of the name that ends at a dot may be that of a member: `a.b` of `{"a.b":{"c":1}}` for
    // `a.b.c`.
    let mut outer_names = memchr::memchr_iter(b'.', name).map(|dot| &name[..dot]);
    if !record.names.may_hold(name) && !outer_names.any(|outer| record.names.may_hold(outer)) {
        return None;
    }
    let outer = match record.tag {
        TagPoint::StructuredData { elements } => rfc5424::param(line, elements, name),
        _ => field_of(record.format, line, name),
    };
    outer.or_else(|| field_of(record.inner?, inner_text(line, record), name))
}

/// Returns the spans of the top-level member names of the line's JSON object that spell `key` once their
/// escapes are decoded. A span covers the text between the quotes.
///
/// Yields nothing for a line that is not an object. Nested objects are not searched, because their names
/// cannot clash.
pub fn top_level_key_spans<'a>(line: &'a [u8], record: &Record, key: &'a str) -> impl Iterator<Item = Span> {
    let object = if record.format == Format::Json { line } else { &[] };
    json::names_spelling(object, key.as_bytes()).map(move |name| span_of(line, name))
}

/// Returns sample lines of every format, for tests and as fuzz seeds.
pub fn samples() -> impl Iterator<Item = (Format, &'static str)> {
    let of = |format: Format, lines: &'static [&'static str]| lines.iter().map(move |line| (format, *line));
    of(Format::Rfc5424, rfc5424::SAMPLES)
        .chain(of(Format::Rfc3164, rfc3164::SAMPLES))
        .chain(of(Format::Clf, access_log::CLF_SAMPLES))
        .chain(of(Format::Combined, access_log::COMBINED_SAMPLES))
        .chain(of(Format::VhostCombined, access_log::VHOST_COMBINED_SAMPLES))
        .chain(of(Format::NginxError, nginx_error::SAMPLES))
        .chain(of(Format::ApacheError, apache_error::SAMPLES))
        .chain(of(Format::HaproxyHttp, haproxy::HTTP_SAMPLES))
        .chain(of(Format::HaproxyTcp, haproxy::TCP_SAMPLES))
        .chain(of(Format::Netfilter, netfilter::SAMPLES))
        .chain(of(Format::Json, json::SAMPLES))
        .chain(of(Format::Logfmt, logfmt::SAMPLES))
        .chain(of(Format::Cef, cef::SAMPLES))
        .chain(of(Format::Leef, leef::SAMPLES))
        .chain(of(Format::Raw, raw::SAMPLES))
}

/// Reads a syslog line, recognised by its first byte: PRI, a digit (RFC 3339 time or VERSION) or a letter of
/// a month.
fn syslog(line: &[u8]) -> Option<Record> {
    match line {
        [b'<', ..] => rfc5424::read(line).or_else(|| rfc3164::read(line)),
        [b'0'..=b'9', b' ', ..] => rfc5424::read(line),
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => rfc3164::read(line),
        [b'A'..=b'Z' | b'a'..=b'z', _, _, b' ', ..] => rfc3164::read(line),
        _ => None,
    }
}

/// Reads a line, or the MSG of a syslog line, that is not syslog itself.
fn content(text: &[u8]) -> Option<Record> {
    match text.first()? {
        b'{' | b' ' | b'\t' | 0xEF => {
            json::read(text).or_else(|| netfilter::read(text)).or_else(|| logfmt::read(text))
        }
        b'[' => apache_error::read(text).or_else(|| access_log::read(text)).or_else(|| netfilter::read(text)),
        b'@' if text.starts_with(b"@cee:") => json::read(text),
        b'C' if text.starts_with(b"CEF:") => cef::read(text),
        b'L' if text.starts_with(b"LEEF:") => leef::read(text),
        b'0'..=b'9' if text.get(4) == Some(&b'/') => nginx_error::read(text),
        // All formats below contain one of these bytes; most messages contain none.
        _ if memchr3(b'"', b'=', b'[', text).is_none() => None,
        _ => access_log::read(text)
            .or_else(|| haproxy::read(text))
            .or_else(|| netfilter::read(text))
            .or_else(|| logfmt::read(text)),
    }
}

/// Reads the line as one given format. A combined line also passes as a common one, because it is a common
/// line with more fields.
fn only(format: Format, line: &[u8]) -> Option<Record> {
    let record = match format {
        Format::Rfc5424 => rfc5424::read(line),
        Format::Rfc3164 => rfc3164::read(line),
        Format::Clf | Format::Combined | Format::VhostCombined => access_log::read(line),
        Format::NginxError => nginx_error::read(line),
        Format::ApacheError => apache_error::read(line),
        Format::HaproxyHttp | Format::HaproxyTcp => haproxy::read(line),
        Format::Netfilter => netfilter::read(line),
        Format::Json => json::read(line),
        Format::Logfmt => logfmt::read(line),
        Format::Cef => cef::read(line),
        Format::Leef => leef::read(line),
        Format::Raw => None,
    }?;
    match (format, record.format) {
        (Format::Clf, Format::Combined) => Some(Record { format, ..record }),
        (wanted, found) => (wanted == found).then_some(record),
    }
}

/// Adds the format of the MSG to a syslog record, and its time if the outer line states none.
fn with_inner(line: &[u8], outer: Record) -> Record {
    let Some(inner) = content(inner_text(line, &outer)) else { return outer };
    let time = match outer.time {
        Some(_) if is_access(inner.format) => request_time::later(outer.time, inner.time),
        _ => outer.time.or(inner.time),
    };
    Record { inner: Some(inner.format), time, ..outer }
}

fn is_access(format: Format) -> bool {
    matches!(format, Format::Clf | Format::Combined | Format::VhostCombined)
}

/// Returns whether the message of a syslog line, which starts at `message`, clearly has no format of its own.
/// `false` only means that [`content`] has to decide.
#[inline]
fn has_no_content(line: &Line<'_>, message: usize) -> bool {
    let text = &line.bytes[message..];
    let Some(&first) = text.first() else { return true };
    let begins = match first {
        b'{' | b' ' | b'\t'..=b'\r' | 0xEF | b'[' | b'@' => true,
        b'C' => text.starts_with(b"CEF:"),
        b'L' => text.starts_with(b"LEEF:"),
        _ => false,
    };
    let name = line.name_ends(message).trailing_zeros() as usize;
    if begins || text.get(4) == Some(&b'/') || name == 64 {
        return false;
    }
    // HAProxy lines begin with an address and port, followed by a space and a bracket.
    let word = match text.get(name) {
        Some(b' ') => Some(name),
        _ => text.iter().skip(name).position(|&byte| byte == b' ').map(|length| name + length),
    };
    if word.is_some_and(|word| text.get(word + 1) == Some(&b'[')) {
        return false;
    }
    // An access line has quotes. A logfmt line begins with a pair: a key, which is a name or contains an `@`,
    // and an equals sign. A netfilter line has `IN=` among its first equals signs.
    let begins_pair = matches!(text.get(name), Some(b'=' | b'@'));
    let start = line.start as usize + message;
    let mut first = 1 + netfilter::MAX_EQUALS_IN_PREFIX;
    for (base, quotes, mut equals) in line.marks(message) {
        if quotes != 0 || begins_pair && equals != 0 {
            return false;
        }
        while equals != 0 && first > 0 {
            if line.block[start..base + equals.trailing_zeros() as usize].ends_with(b"IN") {
                return false;
            }
            equals &= equals - 1;
            first -= 1;
        }
    }
    true
}

/// Returns the message without the space that some relays leave before it.
fn inner_text<'a>(line: &'a [u8], record: &Record) -> &'a [u8] {
    record.message.of(line).trim_ascii_start()
}

fn field_of<'a>(format: Format, text: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    match format {
        Format::Json => json::member(text, name),
        Format::Logfmt => logfmt::value(text, name),
        Format::Cef => cef::value(text, name),
        Format::Leef => leef::value(text, name),
        _ => None,
    }
}

/// Returns the span from the start of `from` to the start of `to`; both are tails of `line`.
fn between(line: &[u8], from: &[u8], to: &[u8]) -> Span {
    Span::new(line.len() - from.len(), line.len() - to.len())
}

/// Returns the span of `part`, a slice of `line`. The difference of their addresses is its offset.
fn span_of(line: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr().addr() - line.as_ptr().addr();
    Span::new(start, start + part.len())
}

/// The same as [`span_of`], but `None` for an empty field, which counts as missing.
fn some_span(line: &[u8], part: &[u8]) -> Option<Span> {
    (!part.is_empty()).then(|| span_of(line, part))
}
