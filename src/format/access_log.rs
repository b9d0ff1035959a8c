//! Access logs: NCSA common (CLF), combined, and either with the virtual host in front.

use super::last_times::LastTimes;
use super::some_span;
use super::timestamp::{MISMATCH, Parsed, any, clf, spelled};
use crate::model::{Format, Record, StatedTime};
use crate::scan::Line;
use memchr::{memchr, memchr2, memmem, memrchr};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, peek, verify};
use nom::sequence::{delimited, preceded, terminated};

/// Sample lines of the common log format.
pub(super) const CLF_SAMPLES: &[&str] = &[
    r#"203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5"#,
    r#"2001:db8::7 - jean [23/Nov/2026:10:00:00 +0100] "GET /a\"b HTTP/1.1" 304 -"#,
    r#"client.example.com - John Doe [23/Nov/2026:10:00:00 +0100] "-" 408 0"#,
    r#"203.0.113.9 - - [23/Nov/2026 10:00:00] "GET / HTTP/1.1" 200 -"#,
    r#"203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "POST /login?user=jean%40example.fr HTTP/2.0" 302 0 0.003"#,
];

/// Sample lines of the combined log format.
pub(super) const COMBINED_SAMPLES: &[&str] = &[
    r#"203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)""#,
    r#"2001:db8::7 - jean@example.fr [23/Nov/2026:10:00:00 +0100] "GET /?q=\\\" HTTP/1.1" 200 5 "https://www.example.org/?a=\"b\"" "x \" y" 0.003 "203.0.113.9, 198.51.100.7""#,
    r#"203.0.113.9, 198.51.100.7 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5 "" """#,
    r#"198.51.100.7 - - [23/Nov/2026:10:00:00 +0100] "\x16\x03\x01" 400 150 "-" "-""#,
    r#"203.0.113.9 - - [11/23/2026:10:00:00 -0000] "GET / HTTP/1.1" 200 0 "-" "-" "-" "-" 2086"#,
];

/// Sample lines with the virtual host in front.
pub(super) const VHOST_COMBINED_SAMPLES: &[&str] = &[
    r#"www.example.org:443 203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "curl/8.5.0""#,
    r#"www.example.org 2001:db8::7 - John Doe [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5"#,
    r#"[2001:db8::80]:443 203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 404 162 "-" "-" 0.000 -"#,
];

/// Reads the envelope of a line.
///
/// Reads from the first unescaped quote in both directions. Client and user may contain anything except a
/// bare quote, even a forged time in brackets; the time that counts stands right before the request.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let Request { quote, bracket, time } = request(line)?;
    let vhost = vhost(line[..bracket].strip_suffix(b" ")?)?;
    let (rest, _) = (quoted, char(' '), status, char(' '), size).parse(&line[quote..]).ok()?;
    if !rest.is_empty() && !rest.starts_with(b" ") {
        return None;
    }
    let format = match (vhost.is_empty(), combined(rest)) {
        (false, _) => Format::VhostCombined,
        (true, true) => Format::Combined,
        (true, false) => Format::Clf,
    };
    Some(Record { format, time: Some(time), host: some_span(line, without_port(vhost)), ..Record::raw(line) })
}

/// Reads the envelope of a common or combined line without a virtual host or backslash, and with an ident of
/// `-`, as in nearly all lines. `None` only means that [`read`] has to decide.
#[inline]
pub(super) fn read_plain(line: &Line<'_>, times: &mut LastTimes) -> Option<Record> {
    let text = line.bytes;
    // Lines that begin like another format are left to that format, which comes first.
    let begins_plain = match text {
        [b'0'..=b'9', second, _, _, fifth, ..] => *second != b' ' && !matches!(fifth, b'-' | b'/'),
        [b'C', b'E', b'F', b':', ..] | [b'L', b'E', b'E', b'F', ..] => false,
        [first, ..] => first.is_ascii_alphabetic() || *first == b':',
        [] => false,
    };
    if !begins_plain || line.has_backslash() {
        return None;
    }
    let mut quotes = line.quotes();
    let request = quotes.next(0)?;
    let head = text[..request].strip_suffix(b"] ")?;
    let (head, time) = head.split_last_chunk::<26>()?;
    let time = times.clf(time)?;
    let head = head.strip_suffix(b" [")?;
    let client = memchr(b' ', head)?;
    if client == 0 || text[client - 1] == b',' || !head[client..].starts_with(b" - ") {
        return None;
    }
    let after_request = quotes.next(request + 1)? + 1;
    let [b' ', s1, s2, s3, b' ', size @ ..] = &text[after_request..] else { return None };
    let digits = size.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if ![s1, s2, s3].iter().all(|byte| byte.is_ascii_digit()) || digits == 0 {
        return None;
    }
    let format = match &size[digits..] {
        [] => Format::Clf,
        [b' ', b'"', ..] => {
            // Referrer and user agent: two more pairs of quotes, separated by a space.
            let referrer = quotes.next(after_request + 5 + digits + 2)?;
            let agent = quotes.next(referrer + 1)?;
            let joined = agent == referrer + 2 && text[referrer + 1] == b' ';
            quotes.next(agent + 1).filter(|_| joined).map(|_| Format::Combined)?
        }
        _ => return None,
    };
    Some(Record { format, time: Some(time), ..Record::raw(text) })
}

/// Returns the time in brackets right before the first unescaped quote, as before a request. The rest of the
/// text may be anything.
pub(super) fn request_time(text: &[u8]) -> Option<StatedTime> {
    request(text).map(|request| request.time)
}

/// The start of a request.
struct Request {
    /// Offset of the opening quote.
    quote: usize,
    /// Offset of the bracket before the time.
    bracket: usize,
    time: StatedTime,
}

fn request(line: &[u8]) -> Option<Request> {
    let quote = request_start(line)?;
    let head = line[..quote].strip_suffix(b"] ")?;
    let bracket = memrchr(b'[', head)?;
    let text = &head[bracket + 1..];
    let (_, time) =
        all_consuming(alt((clf, spelled))).parse(text).or_else(|_| all_consuming(any).parse(text)).ok()?;
    Some(Request { quote, bracket, time })
}

/// Returns the offset of the quote that opens the request: the first that is not escaped. Escaped quotes are
/// inside a user name, as httpd writes it.
fn request_start(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(b'"', line.get(from..)?)?;
        if at == 0 || line[at - 1] != b'\\' {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Returns the virtual host from `client ident user` or `vhost client ident user`: empty without one, `None`
/// if the text is neither.
///
/// The ident (RFC 1413) is practically always `-`, which distinguishes the two even if a user name contains
/// spaces. If it is not `-`, the client must be an address, because words before a bracket prove nothing;
/// then other fields may be missing.
///
/// The client may be a list (`203.0.113.9, 198.51.100.7`), as in X-Forwarded-For, or any text that a client
/// put there. Such text must not turn the line into another format.
fn vhost(head: &[u8]) -> Option<&[u8]> {
    let mut fields = head.split(|&byte| byte == b' ');
    let first = fields.next().filter(|field| !field.is_empty())?;
    let mut client = first;
    while client.ends_with(b",") {
        client = fields.next()?;
    }
    let one_client = !first.ends_with(b",");
    match [fields.next(), fields.next(), fields.next(), fields.next()] {
        [Some(b"-"), Some(_), ..] => Some(&[]),
        [_, Some(b"-"), Some(_), _] if one_client => Some(first),
        [Some(second), Some(_), Some(_), None] if one_client && is_address(second) => Some(first),
        [second, _, None, _] if is_address(client) || second.is_some_and(is_address) => Some(&[]),
        // Any text that a client wrote into X-Forwarded-For, where nothing has to be an address.
        _ => memmem::find(head, b" - ").map(|_| &[][..]),
    }
}

/// Returns whether a field has only bytes of an IP address.
fn is_address(field: &[u8]) -> bool {
    let separated = field.iter().any(|byte| matches!(byte, b'.' | b':'));
    separated && field.iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
}

/// Returns a virtual host without its port.
fn without_port(vhost: &[u8]) -> &[u8] {
    match memrchr(b':', vhost) {
        Some(colon) if vhost[colon + 1..].iter().all(u8::is_ascii_digit) => &vhost[..colon],
        _ => vhost,
    }
}

/// Parses a quoted field, which may contain `\"` and `\\` (httpd) or `\x22` (nginx).
fn quoted(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (text, _) = char('"').parse(input)?;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return Ok((&text[at + 1..], &text[..at]));
        }
        at += 2;
    }
    Err(MISMATCH)
}

/// Parses three digits, or `-` if there was no response.
fn status(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((verify(digit1, |digits: &[u8]| digits.len() == 3), tag("-"))).parse(input)
}

fn size(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((digit1, tag("-"))).parse(input)
}

/// Returns whether referrer and user agent follow, possibly after other numbers (bytes in, duration).
fn combined(input: &[u8]) -> bool {
    let mut rest = input;
    while let Ok((after, _)) = preceded(char(' '), number).parse(rest) {
        rest = after;
    }
    (delimited(char(' '), quoted, char(' ')), quoted).parse(rest).is_ok()
}

fn number(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(take_while1(|byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')), peek(char(' ')))
        .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(line: &[u8]) -> Option<(Format, String)> {
        let record = read(line)?;
        Some((
            record.format,
            record.host.map_or(String::new(), |span| span.of(line).escape_ascii().to_string()),
        ))
    }

    #[test]
    fn virtual_hosts() {
        let cases: &[(&str, Format, &str)] = &[
            ("203.0.113.9 - -", Format::Combined, ""),
            ("203.0.113.9 - jean", Format::Combined, ""),
            ("203.0.113.9 - John Doe the 3rd", Format::Combined, ""),
            ("203.0.113.9 ident jean", Format::Combined, ""),
            ("a=1 b=2 c=3 d=4 - -", Format::Combined, ""),
            ("a=1 b=2 c=3 d=4 - John Doe", Format::Combined, ""),
            ("203.0.113.9 -", Format::Combined, ""),
            ("2001:db8::7", Format::Combined, ""),
            ("- 203.0.113.9 -", Format::Combined, ""),
            ("::1 - -", Format::Combined, ""),
            ("203.0.113.9, 198.51.100.7, 2001:db8::7 - -", Format::Combined, ""),
            ("www.example.org 203.0.113.9 - -", Format::VhostCombined, "www.example.org"),
            ("www.example.org:8080 203.0.113.9 - -", Format::VhostCombined, "www.example.org"),
            ("203.0.113.80:443 203.0.113.9 - -", Format::VhostCombined, "203.0.113.80"),
            ("[2001:db8::80]:443 2001:db8::7 - John Doe", Format::VhostCombined, "[2001:db8::80]"),
            ("www.example.org 203.0.113.9 - jean@example.fr", Format::VhostCombined, "www.example.org"),
            ("www.example.org 203.0.113.9 ident jean", Format::VhostCombined, "www.example.org"),
        ];
        for &(head, format, vhost) in cases {
            let line = format!(r#"{head} [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "curl""#);
            assert_eq!(host(line.as_bytes()), Some((format, vhost.to_owned())), "{head}");
        }
    }

    #[test]
    fn what_follows_the_request() {
        let cases: &[(&str, Option<Format>)] = &[
            (r#""GET / HTTP/1.1" 200 5"#, Some(Format::Clf)),
            (r#""GET / HTTP/1.1" 200 -"#, Some(Format::Clf)),
            (r#""-" 408 0"#, Some(Format::Clf)),
            (r#""" - -"#, Some(Format::Clf)),
            (r#""GET / HTTP/1.1" 200 5 0.003"#, Some(Format::Clf)),
            (r#""GET / HTTP/1.1" 200 5 "only one""#, Some(Format::Clf)),
            (r#""GET / HTTP/1.1" 200 5 "-" "unterminated"#, Some(Format::Clf)),
            (r#""GET / HTTP/1.1" 200 5 "-" "curl""#, Some(Format::Combined)),
            (
                r#""GET / HTTP/1.1" 200 5 "-" "curl" "203.0.113.9, 198.51.100.7" 0.003 x"#,
                Some(Format::Combined),
            ),
            (r#""GET / HTTP/1.1" 200 5 17 0.003 - "-" "curl""#, Some(Format::Combined)),
            // Escapes inside the quotes.
            (r#""GET /\" 200 5 \"" 404 5 "\\" "\"\\\"""#, Some(Format::Combined)),
            (r#""GET /\x22 \\" 404 5 "" """#, Some(Format::Combined)),
            // Not an access log.
            (r#""GET / HTTP/1.1" 2000 5"#, None),
            (r#""GET / HTTP/1.1" 20 5"#, None),
            (r#""GET / HTTP/1.1" FAILED LOGIN"#, None),
            (r#""GET / HTTP/1.1" 200"#, None),
            (r#""GET / HTTP/1.1" 200 5x"#, None),
            (r#""GET / HTTP/1.1"#, None),
            (r#""GET / HTTP/1.1\" 200 5"#, None),
        ];
        for &(tail, expected) in cases {
            let line = format!("203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] {tail}");
            assert_eq!(read(line.as_bytes()).map(|record| record.format), expected, "{tail}");
        }
    }

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "\"",
            "[] \"",
            "] \"GET / HTTP/1.1\" 200 5",
            "[23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "one [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "one - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "dead beef cafe [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            " - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "203.0.113.9, [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "203.0.113.9 - - [23/Nov/2026:25:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "203.0.113.9 - - [23/Nov/2026:10:00:00 +0100]\"GET / HTTP/1.1\" 200 5",
            "203.0.113.9 - - [23/Nov/2026:10:00:00 +0100 x] \"GET / HTTP/1.1\" 200 5",
            "203.0.113.9 - - [yesterday] \"GET / HTTP/1.1\" 200 5",
            "one two three [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5",
            "2026-11-23T10:00:00Z stdout F [2026-11-23T10:00:00Z] \"GET / HTTP/1.1\" 200 5",
            "a plain sentence with five words [23/Nov/2026:10:00:00 +0100] \"GET\" 200 5",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    /// A user name is whatever a client types. Neither its brackets nor its quotes (which httpd escapes)
    /// change the time.
    #[test]
    fn forged_time_in_the_user_name() {
        let user = r#"x [01/Jan/2020:00:00:00 +0000] \"GET / HTTP/1.0\" 200 5"#;
        let line = format!(r#"203.0.113.9 - {user} [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 401 5"#);
        let Some(StatedTime::Civil { year, .. }) = read(line.as_bytes()).unwrap().time else {
            panic!("{line}")
        };
        assert_eq!(year, Some(2026));
    }
}
