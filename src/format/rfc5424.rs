//! RFC 5424 syslog: HEADER, STRUCTURED-DATA, MSG.

use super::escapes;
use super::last_times::LastTimes;
use super::pri::pri;
use super::timestamp::{MISMATCH, Parsed, rfc3339};
use super::{between, some_span};
use crate::model::{Format, Names, Record, Span, StatedTime, TagPoint};
use crate::scan::Line;
use memchr::memchr;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize};
use nom::multi::fold_many1;
use nom::sequence::{delimited, preceded, terminated};
use std::borrow::Cow;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    r#"<34>1 2026-11-23T10:00:00.003+01:00 mail.example.net postfix/smtpd 4321 - - connect from client.example.com[203.0.113.9]"#,
    r#"<165>1 2026-11-23T09:00:00Z web1.example.net app - ID47 [exampleSDID@32473 iut="3" eventSource="A \"b\" \\ \]"][ip@32473 from="2001:db8::7"] user jean@example.fr logged in"#,
    r#"<86>1 - - sshd 77 - - Accepted publickey for jean from 198.51.100.7 port 50022 ssh2"#,
    r#"<14>1 2026-11-23T10:00:00+01:00 203.0.113.80 api 9 - - {"time":"2026-11-23T10:00:00Z","remote_ip":"203.0.113.9"}"#,
    r#"<13>1 2026-11-23T10:00:00Z web1 - - - [meta sequenceId="29"]"#,
];

/// Reads the header of a line, and finds its STRUCTURED-DATA and MSG.
///
/// RFC 5424 6: "SYSLOG-MSG = HEADER SP STRUCTURED-DATA [SP MSG]" and "HEADER = PRI VERSION SP TIMESTAMP SP
/// HOSTNAME SP APP-NAME SP PROCID SP MSGID". The lengths and character sets of the fields are not enforced,
/// and PRI may be missing, as it is in files: the rest is sufficient evidence.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (rest, _) = (opt(pri), version, char(' ')).parse(line).ok()?;
    let (rest, time) = terminated(timestamp, char(' ')).parse(rest).ok()?;
    let (rest, (host, program, _procid, _msgid)) = (field, field, field, field).parse(rest).ok()?;
    let (after, _) = structured_data(rest).ok()?;
    let elements = between(line, rest, after);
    let message = match after {
        [] => after,
        [b' ', text @ ..] => text.strip_prefix(BOM).unwrap_or(text),
        _ => return None,
    };
    Some(Record {
        format: Format::Rfc5424,
        inner: None,
        time,
        host: some_span(line, host),
        program: some_span(line, program),
        message: between(line, message, &[]),
        tag: TagPoint::StructuredData { elements },
        names: Names::ANY,
    })
}

/// Reads the envelope of a line without STRUCTURED-DATA whose message has no format of its own. `None` only
/// means that [`read`] or another format has to decide.
#[inline]
pub(super) fn read_plain(line: &Line<'_>, times: &mut LastTimes) -> Option<Record> {
    let text = line.bytes;
    let (rest, _) = pri(text).ok()?;
    let rest = rest.strip_prefix(b"1 ")?;
    let (time, length) = times.rfc3339_header(rest)?;
    let mut at = text.len() - rest.len() + length;
    let mut fields = [Span::default(); 4];
    for field in &mut fields {
        // `at` is the offset of the space before the field.
        let start = at + 1;
        at = start + memchr(b' ', text.get(start..)?)?;
        *field = Span::new(start, at);
    }
    let elements = Span::new(at + 1, at + 2);
    let message = at + 3;
    let filled = fields.iter().all(|field| !field.is_empty());
    let plain = filled
        && text.get(at + 1..message) == Some(b"- ")
        && text.get(message) != Some(&BOM[0])
        && super::has_no_content(line, message);
    let stated = |field: Span| (field.of(text) != b"-").then_some(field);
    if !plain {
        return None;
    }
    Some(Record {
        format: Format::Rfc5424,
        inner: None,
        time: Some(time),
        host: stated(fields[0]),
        program: stated(fields[1]),
        message: Span::new(message, text.len()),
        tag: TagPoint::StructuredData { elements },
        names: Names::NONE,
    })
}

/// Returns the value of an SD-PARAM. `name` is its PARAM-NAME, or `SD-ID.PARAM-NAME`.
pub(super) fn param<'a>(line: &'a [u8], elements: Span, name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut rest = elements.of(line);
    while let Ok((after_id, id)) = preceded(char('['), sd_name).parse(rest) {
        let qualified = name.strip_prefix(id).and_then(|name| name.strip_prefix(b"."));
        rest = after_id;
        while let Ok((after, (param, value))) = sd_param(rest) {
            if param == name || qualified == Some(param) {
                return Some(unescape(value));
            }
            rest = after;
        }
        rest = rest.strip_prefix(b"]")?;
    }
    None
}

/// RFC 5424 6.4: "If a syslog application encodes MSG in UTF-8, the string MUST start with the
/// Unicode byte order mask (BOM)". It is not part of the text.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// RFC 5424 6: "VERSION = NONZERO-DIGIT 0*2DIGIT".
fn version(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while_m_n(1, 3, |byte: u8| byte.is_ascii_digit()).parse(input)
}

/// RFC 5424 6: "TIMESTAMP = NILVALUE / FULL-DATE "T" FULL-TIME".
fn timestamp(input: &[u8]) -> Parsed<'_, Option<StatedTime>> {
    alt((rfc3339.map(Some), tag("-").map(|_| None))).parse(input)
}

/// Parses HOSTNAME, APP-NAME, PROCID or MSGID and the space after it; empty for the NILVALUE `-`.
fn field(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, text) = terminated(take_while1(|byte| byte != b' '), char(' ')).parse(input)?;
    Ok((rest, if text == b"-" { &[] } else { text }))
}

/// RFC 5424 6: "STRUCTURED-DATA = NILVALUE / 1*SD-ELEMENT".
fn structured_data(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((tag("-"), recognize(fold_many1(sd_element, || (), |(), _| ())))).parse(input)
}

/// RFC 5424 6: "SD-ELEMENT = "[" SD-ID *(SP SD-PARAM) "]"".
fn sd_element(input: &[u8]) -> Parsed<'_, ()> {
    let (mut rest, _) = preceded(char('['), sd_name).parse(input)?;
    while let Ok((after, _)) = sd_param(rest) {
        rest = after;
    }
    char(']').map(|_| ()).parse(rest)
}

/// RFC 5424 6: "SD-PARAM = PARAM-NAME "=" %d34 PARAM-VALUE %d34", after its space.
fn sd_param(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    (delimited(char(' '), sd_name, tag("=\"")), param_value).parse(input)
}

/// RFC 5424 6: "SD-NAME = 1*32PRINTUSASCII ; except '=', SP, ']', %d34 (")".
fn sd_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"')).parse(input)
}

/// Parses a PARAM-VALUE and its closing quote.
///
/// RFC 5424 6.3.3: "Inside PARAM-VALUE, the characters '"' (ABNF %d34), '\' (ABNF %d92), and ']' (ABNF %d93)
/// MUST be escaped." A bare `]`, which many senders write, is still inside the quotes.
fn param_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    let end = escapes::next_unescaped(b'"', input, 0).ok_or(MISMATCH)?;
    Ok((&input[end + 1..], &input[..end]))
}

/// Decodes the escapes of a PARAM-VALUE.
///
/// RFC 5424 6.3.3: "A backslash ('\') followed by none of the three described characters is an invalid escape
/// sequence. In this case, the '\' character MUST be treated as a regular backslash".
fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    escapes::decoded(value, |byte| matches!(byte, b'"' | b'\\' | b']').then_some(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns HOSTNAME, APP-NAME, STRUCTURED-DATA and MSG of a line, each empty if missing.
    fn parts(line: &str) -> Option<[&str; 4]> {
        let record = read(line.as_bytes())?;
        let TagPoint::StructuredData { elements } = record.tag else {
            panic!("no STRUCTURED-DATA in {line}")
        };
        let text = |span: Span| &line[span.start as usize..span.end as usize];
        Some([
            record.host.map_or("", text),
            record.program.map_or("", text),
            text(elements),
            text(record.message),
        ])
    }

    #[test]
    fn header_fields() {
        let cases: &[(&str, [&str; 4])] = &[
            ("<34>1 2026-11-23T10:00:00Z web1 sshd 7 ID1 - hello", ["web1", "sshd", "-", "hello"]),
            ("<34>1 - - - - - -", ["", "", "-", ""]),
            ("<34>1 - - - - - - ", ["", "", "-", ""]),
            // A message may begin with anything, but a byte order mark is not part of it.
            ("<34>1 - web1 app - - -  two spaces", ["web1", "app", "-", " two spaces"]),
            ("<34>1 - web1 app - - - \u{feff}text", ["web1", "app", "-", "text"]),
            ("<34>1 - web1 app - - [a@1] [b]", ["web1", "app", "[a@1]", "[b]"]),
            // Addresses and long names; length limits are not enforced.
            ("<34>1 - 203.0.113.80 app - - - x", ["203.0.113.80", "app", "-", "x"]),
            ("<34>1 - 2001:db8::80 caf\u{e9}/app - - - x", ["2001:db8::80", "caf\u{e9}/app", "-", "x"]),
            // Without PRI, as in files; with another VERSION.
            ("1 2026-11-23T10:00:00Z web1 app - - - x", ["web1", "app", "-", "x"]),
            ("<34>2 - web1 app - - - x", ["web1", "app", "-", "x"]),
            // From an unset clock.
            ("<34>1 1970-01-01T00:00:12Z web1 app - - - x", ["web1", "app", "-", "x"]),
            ("<34>1 0001-01-01T00:00:00Z web1 app - - - x", ["web1", "app", "-", "x"]),
        ];
        for &(line, expected) in cases {
            assert_eq!(parts(line), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn structured_data_ends_where_it_ends() {
        let cases: &[(&str, &str)] = &[
            ("[a@1]", "[a@1]"),
            ("[a@1][b@2]", "[a@1][b@2]"),
            (r#"[a@1 x="1" y=""]"#, r#"[a@1 x="1" y=""]"#),
            // The three escapes, and a backslash that starts none.
            (r#"[a@1 x="\"]\\\]\n"]"#, r#"[a@1 x="\"]\\\]\n"]"#),
            // A bare bracket inside the quotes, which the RFC forbids but senders write.
            (r#"[a@1 x="[b]"] [c]"#, r#"[a@1 x="[b]"]"#),
        ];
        for &(data, expected) in cases {
            let line = format!("<34>1 - web1 app - - {data} msg");
            let found = parts(&line).unwrap_or_else(|| panic!("{data}"));
            assert_eq!(found[2], expected, "{data}");
            assert!(found[3].ends_with("msg"), "{data}");
        }
    }

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "<34>",
            "<34>1",
            "<34>1 ",
            "<34>1 - web1 app - -",
            "<34>1 - web1 app - - ",
            "<34>1 - web1 app - - message without structured data",
            // PRI out of range, VERSION missing or out of range.
            "<192>1 - web1 app - - - x",
            "<999>1 - web1 app - - - x",
            "<34> - web1 app - - - x",
            "<34>1234 - web1 app - - - x",
            // Times.
            "<34>1 2026-11-23 web1 app - - - x",
            "<34>1 2026-13-23T10:00:00Z web1 app - - - x",
            "<34>1 Nov 23 10:00:00 web1 app - - - x",
            // Empty fields.
            "<34>1 -  web1 app - - - x",
            // STRUCTURED-DATA: nothing after it but a space.
            "<34>1 - web1 app - - -x",
            "<34>1 - web1 app - - [a@1]x",
            "<34>1 - web1 app - - []",
            "<34>1 - web1 app - - [a@1 ]",
            "<34>1 - web1 app - - [a@1 x]",
            "<34>1 - web1 app - - [a@1 x=1]",
            r#"<34>1 - web1 app - - [action:"Drop"; flags:"1"]"#,
            "<34>1 - web1 app - - [a@1",
            // An octet count is framing.
            "25 <34>1 - web1 app - - - x",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn sd_param_unterminated() {
        for value in [r#"""#, r#""abc"#, r#""abc\""#, r#""abc\\\""#, r#""abc" y="#, r#""abc]"#] {
            let line = format!("<34>1 - web1 app - - [a@1 x={value}");
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn params_by_name() {
        let line = br#"<34>1 - web1 app - - [a@1 x="1" y="\"\\\]\n"][b.c@2 x="2" z=""] m"#;
        let TagPoint::StructuredData { elements } = read(line).unwrap().tag else { panic!() };
        let cases: &[(&str, Option<&str>)] = &[
            ("x", Some("1")),
            ("a@1.x", Some("1")),
            ("b.c@2.x", Some("2")),
            ("y", Some(r#""\]\n"#)),
            ("z", Some("")),
            ("a@1.z", None),
            ("a@1", None),
            ("", None),
        ];
        for &(name, expected) in cases {
            let value = param(line, elements, name.as_bytes());
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{name}");
        }
        assert!(matches!(param(line, elements, b"x"), Some(Cow::Borrowed(_))));
        assert_eq!(param(b"-", Span::new(0, 1), b"x"), None);
    }

    proptest! {
        /// Whatever a conforming sender escapes is decoded to the original value.
        #[test]
        fn escaped_values_come_back(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut line = b"<34>1 - web1 app - - [a@1 first=\"\" x=\"".to_vec();
            for &byte in &value {
                if matches!(byte, b'"' | b'\\' | b']') {
                    line.push(b'\\');
                }
                line.push(byte);
            }
            line.extend_from_slice(b"\"] message");
            let record = read(&line).unwrap();
            let TagPoint::StructuredData { elements } = record.tag else { panic!() };
            prop_assert_eq!(record.message.of(&line), b"message");
            prop_assert_eq!(param(&line, elements, b"a@1.x").unwrap().into_owned(), value);
        }
    }
}
