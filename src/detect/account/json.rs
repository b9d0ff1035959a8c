//! Names in the strings of JSON: where a string ends, and where a name between escaped quotation marks does.

use crate::model::{Format, Record};
use std::ops::Range;

/// Returns whether the line consists of JSON strings. That includes a truncated object, which is not JSON to
/// the parser, but whose strings end in the same way.
pub(super) fn has_strings(line: &[u8], record: &Record) -> bool {
    record.is(Format::Json) || line.starts_with(b"{\"")
}

/// Returns the number of bytes before the quotation mark that ends the JSON string in which `text` begins
/// (RFC 8259, section 7: a quotation mark inside is escaped by a backslash).
pub(super) fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Returns where the strings of a line are, each with the quotation mark that begins it, but without a line
/// end at its end, which `docker logs` adds.
pub(super) fn strings(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + memchr::memchr(b'"', line.get(from..)?)?;
        let end = start + 1 + string_length(&line[start + 1..]);
        from = end + 1;
        Some(start..end - line_end_length(&line[start + 1..end]))
    })
}

/// Returns the length of `\n` or `\r\n`, as JSON spells them, at the end of `text`.
fn line_end_length(text: &[u8]) -> usize {
    let ends =
        |text: &[u8], letter| text.last() == Some(&letter) && backslashes(&text[..text.len() - 1]) % 2 == 1;
    match text {
        _ if !ends(text, b'n') => 0,
        [line @ .., _, _] if ends(line, b'r') => 4,
        _ => 2,
    }
}

/// Returns the end of the string in which `range` begins, if the range extends beyond it.
pub(super) fn string_left(line: &[u8], range: Range<usize>) -> Option<usize> {
    let start = range.start + usize::from(line.get(range.start) == Some(&b'"'));
    let text = line.get(start..range.end)?;
    let length = string_length(text);
    (length < text.len()).then_some(start + length)
}

/// Returns whether `start..end` is a whole string, between its quotation marks.
pub(super) fn is_string(line: &[u8], start: usize, end: usize) -> bool {
    let opening = line[..start].strip_suffix(b"\"").is_some_and(|before| !before.ends_with(b"\\"));
    opening && line.get(end) == Some(&b'"') && string_length(&line[start..=end]) == end - start
}

/// Returns the end of the name `start..end` without the backslashes that escape the quotation mark after it:
/// as many as before the name, `user \"jean\"`, or, in JSON, all.
pub(super) fn unquoted_end(line: &[u8], start: usize, end: usize, json: bool) -> usize {
    if line.get(end) != Some(&b'"') {
        return end;
    }
    let opening = line[..start].strip_suffix(b"\"").map_or(0, backslashes);
    let closing = backslashes(&line[start..end]);
    if opening > 0 && closing >= opening {
        end - opening
    } else if json && closing % 2 == 1 {
        end - closing
    } else {
        end
    }
}

/// Returns the end of a name, and that of the string in which it begins, if `range` extends beyond a string
/// of JSON in a string of JSON: `"user \\\"jean\\\"\",\"detail\":\"x"`. The quotation mark that ends such a
/// string has fewer backslashes than those of its text.
pub(super) fn inner_string_left(line: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let quoting = line[..range.start].strip_suffix(b"\"").map(backslashes).filter(|count| *count > 1)?;
    let text = &line[range.clone()];
    let mut name_end = None;
    for quote in memchr::memchr_iter(b'"', text) {
        let escaping = backslashes(&text[..quote]);
        if escaping < quoting {
            let end = range.start + quote - escaping;
            return Some(name_end.unwrap_or(end)..end);
        }
        if escaping == quoting {
            name_end = Some(range.start + quote - quoting);
        }
    }
    None
}

/// Returns the number of backslashes at the end of `text`, at most as many as five levels of JSON need.
fn backslashes(text: &[u8]) -> usize {
    text.iter().rev().take(31).take_while(|byte| **byte == b'\\').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_before_a_line_end() {
        let line = br#"{"log":"a \"b\"\r\n","c":"d\\n","e":"\n","f":"g"#;
        let texts: Vec<_> = strings(line).map(|string| String::from_utf8_lossy(&line[string])).collect();
        let expected = ["\"log", r#""a \"b\""#, "\"c", r#""d\\n"#, "\"e", "\"", "\"f", "\"g"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn where_a_match_leaves_its_string() {
        let line = br#"{"a":"b \"c\"","d":"e"}"#;
        for (text, left) in
            [(r#"b \"c\""#, false), (r#""b \"c\""#, false), (r#"b \"c\"""#, true), (r#""d":"e""#, true)]
        {
            let start = memchr::memmem::find(line, text.as_bytes()).expect("in the line");
            assert_eq!(string_left(line, start..start + text.len()).is_some(), left, "{text}");
        }
        let is_whole = |text: &str| {
            let start = memchr::memmem::find(line, text.as_bytes()).expect("in the line");
            is_string(line, start, start + text.len())
        };
        assert!(is_whole(r#"b \"c\""#) && is_whole("d") && !is_whole("c") && !is_whole("b "));
    }

    #[test]
    fn where_a_name_leaves_a_string_in_a_string() {
        for (text, expected) in [
            (r#"user \\\"jean\\\"\",\"a\":\"b"#, Some(("jean", r#"jean\\\""#))),
            (r#"user \\\"jean\\\" left\",\"a\":\"b"#, Some(("jean", r#"jean\\\" left"#))),
            (r#"user \\\"je\\\\\\\"an\",\"a\":\"b"#, Some((r#"je\\\\\\\"an"#, r#"je\\\\\\\"an"#))),
            (r#"user \\\"jean d\",\"a\":\"b"#, Some(("jean d", "jean d"))),
            (r#"user \\\"je\\\\\\\"an\\\"\",\"a\":\"b"#, Some((r#"je\\\\\\\"an"#, r#"je\\\\\\\"an\\\""#))),
            (r#"user \\\"jean\\\" x"#, None),
            (r#"user \"jean\" x"#, None),
        ] {
            let start = text.find("je").expect("a name");
            let left = inner_string_left(text.as_bytes(), start..text.len());
            let found = left.map(|left| (&text[start..left.start], &text[start..left.end]));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn names_between_escaped_quotation_marks() {
        for (text, name, json) in [
            (r#"user "jean" x"#, "jean", false),
            (r#"user \"jean\" x"#, "jean", false),
            (r#"user \\\"jean\\\" x"#, "jean", false),
            (r#"user "jean\" x"#, r"jean\", false),
            (r#"user "jean\" x"#, "jean", true),
            (r#"user \"jean\\\" x"#, r"jean\\", true),
        ] {
            let start = text.find("jean").expect("a name");
            let end = text.rfind('"').expect("a quotation mark");
            assert_eq!(&text[start..unquoted_end(text.as_bytes(), start, end, json)], name, "{text}");
        }
    }
}
