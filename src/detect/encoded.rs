//! Decoded views: the text around percent- and backslash-escapes as a reader of the log would see it.
//!
//! An identifier may be spelt `2001%3Adb8%3A%3A1`, `jean\u0040example.fr`, or both at once, several levels
//! deep (`%2540`, JSON in JSON). Each level of decoding yields one more view: the windows around escapes,
//! decoded once, with the offset in the line of every decoded byte. Detection runs on each view as on the
//! line itself, and its hits are mapped back.

use super::forged;
use crate::model::Span;
use crate::primitives::hex;
use crate::scan::{Candidate, Line, Shapes};
use std::ops::Range;

/// Most levels of nesting that are decoded. Each level of percent-encoding lengthens the text by two bytes
/// per escape; nothing that a browser or a logger writes has more than three levels.
pub(crate) const MOST_LEVELS: usize = 5;

/// Bytes included before a window, because the text before an identifier helps to judge it.
const LEAD_BYTES: usize = 48;

/// Text decoded once, and the origin of its bytes.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Decoded windows, each followed by LF.
    pub(crate) text: Vec<u8>,
    /// Offsets of the windows in `text`.
    pub(crate) windows: Vec<Window>,
    /// `origin[i]` is the offset in the line of the first byte that spells `text[i]`. Has one entry more than
    /// `text`.
    origin: Vec<u32>,
}

/// Offsets in the text of a view.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) start: usize,
    /// Start of the word that contains escapes. The text before it contains no escapes that matter, and helps
    /// to judge the word.
    pub(crate) word: usize,
    pub(crate) end: usize,
}

impl View {
    /// Decodes the windows around `escapes` of `text` into `self`; `origin` maps an offset in `text` to one
    /// in the line. Returns whether there was anything to decode.
    pub(crate) fn decode(
        &mut self,
        text: &[u8],
        escapes: &[Candidate],
        origin: impl Fn(usize) -> u32,
    ) -> bool {
        self.text.clear();
        self.origin.clear();
        self.windows.clear();
        let mut end = 0;
        let mut rest = escapes;
        while let Some((escape, later)) = rest.split_first() {
            let start = start_of(text, escape);
            if start < end || is_quiet(text, start) {
                rest = later;
                continue;
            }
            let (window_start, word) = window_start(text, start, end);
            end = window_end(text, escape.at as usize);
            // Escapes before it in its window are decoded with it, quiet or not.
            let before = escapes[..escapes.len() - rest.len()].iter().rev();
            let before = before.take_while(|before| start_of(text, before) >= window_start).count();
            rest = &escapes[escapes.len() - rest.len() - before..];
            rest = self.decode_window(text, window_start..end, word, rest, &origin);
        }
        if self.text.is_empty() {
            return false;
        }
        self.origin.push(origin(end));
        true
    }

    /// Decodes a window whose last word begins at `word_start`; `escapes` begin at the start of the window.
    /// Returns the escapes after the window.
    fn decode_window<'e>(
        &mut self,
        text: &[u8],
        window: Range<usize>,
        word_start: usize,
        escapes: &'e [Candidate],
        origin: &impl Fn(usize) -> u32,
    ) -> &'e [Candidate] {
        let start = self.text.len();
        let escapes = self.decode_range(text, window.start..word_start, escapes, origin);
        let word = self.text.len();
        let escapes = self.decode_range(text, word_start..window.end, escapes, origin);
        self.windows.push(Window { start, word, end: self.text.len() });
        self.text.push(b'\n');
        self.origin.push(origin(window.end));
        escapes
    }

    /// Decodes the escapes that begin and end in `range`. Returns the escapes after it.
    fn decode_range<'e>(
        &mut self,
        text: &[u8],
        range: Range<usize>,
        mut escapes: &'e [Candidate],
        origin: &impl Fn(usize) -> u32,
    ) -> &'e [Candidate] {
        let mut position = range.start;
        while let Some((escape, later)) = escapes.split_first() {
            let start = start_of(text, escape);
            if start >= range.end {
                break;
            }
            escapes = later;
            // An escape that begins within the one before is not an escape.
            if start >= position
                && let Some(escape) = escape_at(text, start)
                && start + escape.length <= range.end
            {
                self.copy(text, position..start, origin);
                for &byte in escape.bytes.iter().take(escape.count) {
                    self.text.push(byte);
                    self.origin.push(origin(start));
                }
                position = start + escape.length;
            }
        }
        self.copy(text, position..range.end, origin);
        escapes
    }

    #[inline]
    fn copy(&mut self, text: &[u8], bytes: Range<usize>, origin: &impl Fn(usize) -> u32) {
        // Between two escapes there is mostly nothing.
        if bytes.is_empty() {
            return;
        }
        self.origin.extend(bytes.clone().map(origin));
        self.text.extend_from_slice(&text[bytes]);
    }

    /// Returns the offset in the line from which byte `offset` of this view comes.
    pub(crate) fn origin(&self, offset: usize) -> u32 {
        self.origin[offset]
    }

    /// Returns the bytes of the line that spell `start..end` of this view.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.origin[start], end: self.origin[end] }
    }
}

/// Returns the start of the escape of a candidate.
fn start_of(text: &[u8], escape: &Candidate) -> usize {
    let at = escape.at as usize;
    if text[at] == b'\\' { at } else { at - 2 }
}

/// Returns whether `start..end` begins in a percent-escape or right after one, or in the hex digits of an
/// escape of JSON (`\u003d00:1b:44`). Such text is judged in the decoded view, where the bytes before it can
/// be read. Views hold words, so a quoted local part that contains a space is in no view as a whole.
pub(crate) fn touches_escape(text: &[u8], start: usize, end: usize) -> bool {
    // `%91.198.174.192`: nobody encodes letters and digits, or half a character. What the escape spells is
    // judged nevertheless.
    let begins_number =
        |at: usize, byte: u8| at + 1 == start && (byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let is_escape = |at: usize| {
        let escape = if text[at] == b'%' { escape_at(text, at) } else { None };
        escape.is_some_and(|escape| !begins_number(at, escape.bytes[0]))
    };
    // `\xXX` and `\uXXXX`, if they stand for a sign.
    let is_hex_escape = |at: usize| {
        matches!(text[at..], [b'\\', b'x' | b'u', ..])
            && escape_at(text, at).is_some_and(|escape| {
                let sign = escape.bytes[0].is_ascii() && !escape.bytes[0].is_ascii_alphanumeric();
                sign && at + escape.length > start
            })
    };
    let begins_in_escape = (start.saturating_sub(3)..start).any(is_escape)
        || (start.saturating_sub(5)..start).any(is_hex_escape);
    begins_in_escape && !text[start..end].iter().any(|&byte| is_space(byte))
}

/// Returns whether no escape of the line spells part of an identifier: each stands for bytes that end every
/// shape, and is in a word without other candidates. Then the decoded views contain nothing that the line
/// itself does not.
///
/// A word ends at white space here, and at a quote, unless the quote ends a quoted local part.
pub(crate) fn are_inert(line: &Line<'_>) -> bool {
    let mut last: Option<&Candidate> = None;
    for candidate in line.candidates {
        let at = (candidate.at - line.start) as usize;
        let escape = candidate.shapes == Shapes::ESCAPE;
        let spells = candidate.shapes.has(Shapes::ESCAPE) && !(escape && is_inert(line.bytes, at));
        let quoted = candidate.shapes.has(Shapes::AT) && at > 0 && line.bytes[at - 1] == b'"';
        if spells || quoted {
            return false;
        }
        if let Some(last) = last
            && (last.shapes == Shapes::ESCAPE) != escape
            && !line.bytes[(last.at - line.start) as usize..at]
                .iter()
                .any(|&byte| is_space(byte) || byte == b'"')
        {
            return false;
        }
        last = Some(candidate);
    }
    true
}

/// Returns whether the escape at this candidate stands for bytes that end every shape.
fn is_inert(text: &[u8], at: usize) -> bool {
    let start = if text.get(at) == Some(&b'\\') { at } else { at - 2 };
    // A space in a local part, `jean\ d@example.org`.
    let blank = text[start..].starts_with(b"\\ ");
    !blank && is_bare_backslash(text, start)
        || escape_at(text, start).is_none_or(|escape| {
            escape.quiet || escape.bytes[..escape.count].iter().all(|&byte| ends_shapes(byte))
        })
}

/// Returns whether neither the shape of a candidate nor an escape can contain this byte.
fn ends_shapes(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_' | b':' | b'@' | b'%' | b'\\')
}

/// Returns the start of the window and the start of the word for the escape at `at`. The word is delimited by
/// white space; the window includes some text before it. Neither starts before `floor`.
fn window_start(text: &[u8], at: usize, floor: usize) -> (usize, usize) {
    let word = at - text[floor..at].iter().rev().take_while(|byte| !is_space(**byte)).count();
    // The lead starts at a word too, because half a number must not be read as a number. Nothing before
    // `floor` is read, so that all windows together read the text once.
    let lead = floor.max(word.saturating_sub(LEAD_BYTES));
    let lead = lead - text[floor..lead].iter().rev().take_while(|byte| !is_space(**byte)).count();
    // A line feed ends another window, or one of several lines in a record.
    (memchr::memrchr(b'\n', &text[lead..word]).map_or(lead, |line_feed| lead + line_feed + 1), word)
}

fn window_end(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| !is_space(**byte)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// One escape sequence.
struct Escape {
    /// Length of the sequence in bytes.
    length: usize,
    /// The bytes that it stands for: `bytes[..count]`.
    bytes: [u8; 4],
    count: usize,
    /// Whether it stands for a byte that ends identifiers anyway, so that it is no reason to decode.
    quiet: bool,
}

impl Escape {
    fn byte(length: usize, byte: u8) -> Self {
        // A decoded line end would end the window; any other white space does the same job.
        let byte = if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
        Self { length, bytes: [byte, 0, 0, 0], count: 1, quiet: false }
    }

    fn quiet(length: usize, byte: u8) -> Self {
        Self { quiet: true, ..Self::byte(length, byte) }
    }

    fn letter(length: usize, letter: char) -> Self {
        if letter.is_ascii() {
            return Self::byte(length, letter as u8);
        }
        let mut bytes = [0; 4];
        let count = letter.encode_utf8(&mut bytes).len();
        Self { length, bytes, count, quiet: false }
    }
}

/// Returns whether the text at `position` is no reason to decode: no escape, or a quiet one.
#[inline]
fn is_quiet(text: &[u8], position: usize) -> bool {
    is_bare_backslash(text, position) || escape_at(text, position).is_none_or(|escape| escape.quiet)
}

/// Returns whether a backslash at `position` begins no escape except a quiet one. That is the case for nearly
/// every backslash, and is decided without decoding it.
#[inline]
fn is_bare_backslash(text: &[u8], position: usize) -> bool {
    match &text[position..] {
        [b'\\', b'\\', b'\\', b'"', ..] | [b'\\', b'\\', b'\\', b'\\', b'"', ..] => false,
        [b'\\', b'\\', _, ..] => !spells(text, position + 1),
        [b'\\', _, ..] => !spells(text, position),
        rest => rest.first() == Some(&b'\\'),
    }
}

/// Returns whether the backslash at `position` and what follows it may stand for part of an identifier.
#[inline]
fn spells(text: &[u8], position: usize) -> bool {
    match text.get(position + 1) {
        Some(b'u' | b'x' | b'/' | b'@' | b'.' | b':') => true,
        Some(b'\'' | b'_' | b'-' | b'+' | b'=') => is_within_word(text, position, 2),
        Some(b'2' | b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F') => is_hex_pair(text, position),
        _ => false,
    }
}

/// Returns whether the escape of `length` bytes at `position` is between two parts of a word, `o\'brien`,
/// `jean\_d`. An account may begin with a sign after the name of a Windows domain, `EXAMPLE\_jean`.
fn is_within_word(text: &[u8], position: usize, length: usize) -> bool {
    let before = &text[..position];
    let before = before.strip_suffix(b"\\").unwrap_or(before);
    let begins = match (before.last(), text[position + 1]) {
        (Some(byte), b'\'' | b'=') => byte.is_ascii_alphanumeric(),
        (Some(byte), _) => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        (None, _) => false,
    };
    begins && text.get(position + length).is_some_and(u8::is_ascii_alphanumeric)
}

/// Returns whether an escape of LDAP is at `position` (RFC 4514, 2.4): one of several in a row for a letter
/// beyond ASCII, `ren\C3\A9`, or a `+` in a word, `jean\2Btag`.
fn is_hex_pair(text: &[u8], position: usize) -> bool {
    let pair = |at: usize| match text.get(at..at + 3) {
        Some([b'\\', high, low]) => {
            hex::value(*high).is_some_and(|high| high > 7) && hex::value(*low).is_some()
        }
        _ => false,
    };
    // In JSON, each backslash is doubled.
    let doubled = usize::from(position > 0 && text[position - 1] == b'\\');
    let next = position + 3 + doubled;
    let previous = position.checked_sub(3 + doubled);
    let plus = matches!(text[position + 1..], [b'2', b'B' | b'b', ..]);
    pair(position) && (pair(next) || previous.is_some_and(pair)) || plus && is_within_word(text, position, 3)
}

/// Returns the escape sequence that starts at `position`: `%XX` (RFC 3986, 2.1), the escapes of JSON strings
/// (RFC 8259, 7), `\xXX` as nginx and Apache httpd write it, `\@`, `\.` and `\:` of regular expressions, `\'`
/// and `\_` of SQL, `\=` of CEF, `\C3\A9` of LDAP.
fn escape_at(text: &[u8], position: usize) -> Option<Escape> {
    let rest = &text[position..];
    match rest {
        // The byte before an address-shaped token does not make the token an escape.
        [b'%', token @ ..] | [b'\\', b'u' | b'x', token @ ..] if forged::starts_with_shaped(token) => None,
        [b'\\', token @ ..] if forged::starts_with_shaped(token) => None,
        // Control characters that nobody sends, `%198.51.100.7`; but `%19203.0.113.9` contains an address
        // only if the escape is decoded.
        [b'%', b'1', b'0'..=b'9', after @ ..] if !matches!(after, [b'0'..=b'9', b'0'..=b'9', ..]) => None,
        [b'%', high, low, ..] => Some(Escape::byte(3, hex::value(*high)? << 4 | hex::value(*low)?)),
        [b'\\', b'x', high, low, ..] => Some(Escape::byte(4, hex::value(*high)? << 4 | hex::value(*low)?)),
        [b'\\', b'u', ..] => unicode_escape(rest),
        [b'\\', b'/', ..] => Some(Escape::byte(2, b'/')),
        // In regular expressions, in Perl strings, and between the fields of nmcli.
        [b'\\', byte @ (b'@' | b'.' | b':'), ..] => Some(Escape::byte(2, *byte)),
        [b'\\', b'"', ..] => Some(Escape::quiet(2, b'"')),
        // In `\\u` the second backslash is the one that matters, one level further in.
        [b'\\', b'\\', ..] if spells(text, position + 1) => Some(Escape::byte(2, b'\\')),
        [b'\\', sign @ (b'\'' | b'_' | b'-' | b'+' | b'='), ..] if is_within_word(text, position, 2) => {
            Some(Escape::byte(2, *sign))
        }
        [b'\\', high, low, ..] if is_hex_pair(text, position) => {
            Some(Escape::byte(3, hex::value(*high)? << 4 | hex::value(*low)?))
        }
        // A quote that is escaped more than once may belong to a local part.
        [b'\\', b'\\', b'\\', b'"', ..] | [b'\\', b'\\', b'\\', b'\\', b'"', ..] => {
            Some(Escape::byte(2, b'\\'))
        }
        // In a run of backslashes, the last ones decide whether it has to be decoded.
        [b'\\', b'\\', ..] => Some(Escape::quiet(2, b'\\')),
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => Some(Escape::quiet(2, b' ')),
        _ => None,
    }
}

/// Parses `\uXXXX`, or two of them that form a surrogate pair.
fn unicode_escape(rest: &[u8]) -> Option<Escape> {
    let first = code_unit(rest)?;
    if let Some(letter) = char::from_u32(u32::from(first)) {
        return Some(Escape::letter(6, letter));
    }
    let second = code_unit(rest.get(6..)?).unwrap_or(0);
    match char::decode_utf16([first, second]).next() {
        Some(Ok(letter)) => Some(Escape::letter(12, letter)),
        _ => Some(Escape::letter(6, char::REPLACEMENT_CHARACTER)),
    }
}

/// Parses the four hex digits after `\u`.
fn code_unit(rest: &[u8]) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = rest else { return None };
    hex::decode_any_case(digits.get(..4)?).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scan;

    fn decode(text: &str) -> (String, View) {
        let mut scan = Scan::default();
        scan.run(text.as_bytes());
        let escapes: Vec<_> = scan.candidates.into_iter().filter(|c| c.shapes.has(Shapes::ESCAPE)).collect();
        let mut view = View::default();
        view.decode(text.as_bytes(), &escapes, |offset| u32::try_from(offset).unwrap());
        (String::from_utf8_lossy(&view.text).into_owned(), view)
    }

    #[test]
    fn each_escape() {
        for (text, decoded) in [
            ("a%40b", "a@b\n"),
            ("a%2540b", "a%40b\n"),
            (r"a\u0040b", "a@b\n"),
            (r"1\u002e2", "1.2\n"),
            (r"http:\/\/x", "http://x\n"),
            (r"a\x40b", "a@b\n"),
            (r"a\@b\.c", "a@b.c\n"),
            (r"a\=b", "a=b\n"),
            (r"a\\@b", "a\\@b\n"),
            (r"a\\u0040b", "a\\u0040b\n"),
            (r"\u00e9\ud83d\ude00", "\u{e9}\u{1f600}\n"),
            (r"\ud83d!\u0041", "\u{fffd}!A\n"),
            ("a%0Ab", "a b\n"),
            ("100% sure, 50%zz", ""),
            (r#"{\"a\":\"b\"}"#, ""),
            (r"C:\temp", ""),
        ] {
            assert_eq!(decode(text).0, decoded, "{text}");
        }
    }

    #[test]
    fn spans_map_back_to_the_line() {
        let text = "GET /?m=jean%40example.fr&x=1 HTTP";
        let (decoded, view) = decode(text);
        let start = decoded.find("jean").unwrap();
        let span = view.span(start, start + "jean@example.fr".len());
        assert_eq!(span.of(text.as_bytes()), b"jean%40example.fr");
    }

    #[test]
    fn windows_do_not_overlap() {
        let (decoded, _) = decode("a%41 b%42 c%43");
        assert_eq!(decoded.matches("aA").count(), 1);
        assert_eq!(decoded.matches("bB").count(), 1);
    }
}
