//! Local parts between quotation marks, `"john doe"@` (RFC 5321, 4.1.2), which programs escape or double.

/// Longest quoted local part that is recognised, in bytes; RFC 5321, 4.5.3.1.1 allows 64.
pub(super) const MOST_QUOTED_BYTES: usize = 128;

/// Most backslashes before a quotation mark: those of JSON in JSON in JSON.
const MOST_ESCAPES: usize = 7;

/// Finds the start of `"john doe"@`: the offset of the opening quote, of the backslashes before it in JSON,
/// or of the first of two quotes in CSV. `closing` is the offset of the last quote.
pub(super) fn quoted_start(text: &[u8], closing: usize, floor: usize) -> Option<usize> {
    let backslashes = |end: usize| {
        text[floor..end].iter().rev().take(MOST_ESCAPES).take_while(|byte| **byte == b'\\').count()
    };
    // `"john\\"@`: an even number does not escape the quote.
    let escapes = match backslashes(closing) {
        even if even % 2 == 0 => even.min(1),
        odd => odd,
    };
    if escapes == 0 && text[floor..closing].ends_with(b"\"") {
        return doubled_start(text, closing - 1, floor);
    }
    let content_end = closing - escapes;
    let limit = floor.max(content_end.saturating_sub(MOST_QUOTED_BYTES));
    let (mut position, mut other) = (content_end, None);
    while position > limit {
        position -= 1;
        if text[position] != b'"' {
            continue;
        }
        let before = backslashes(position);
        if (escapes == 0 && before == 0) || (escapes > 0 && before >= escapes) {
            let start = position - escapes;
            return is_quoted_local(&text[position + 1..content_end]).then_some(start);
        }
        other = Some(position);
    }
    // `DOMAIN\"jean d"@`: the backslash does not belong to an escape.
    other.filter(|quote| escapes == 0 && is_quoted_local(&text[quote + 1..content_end]))
}

/// Finds the start of `""john doe""@`, as CSV spells it: the offset of the first quote.
fn doubled_start(text: &[u8], content_end: usize, floor: usize) -> Option<usize> {
    let limit = floor.max(content_end.saturating_sub(MOST_QUOTED_BYTES));
    let quote = limit + text[limit..content_end].iter().rposition(|&byte| byte == b'"')?;
    let start = quote.checked_sub(1).filter(|&start| start >= floor && text[start] == b'"')?;
    is_quoted_local(&text[quote + 1..content_end]).then_some(start)
}

/// Returns a quoted local part without one level of escapes: those of JSON, or the doubled quotes of CSV.
pub(super) fn unescaped(local: &[u8]) -> Option<Vec<u8>> {
    let sign = match local {
        [b'\\', .., b'"'] if local.iter().find(|&&byte| byte != b'\\') == Some(&b'"') => b'\\',
        [b'"', b'"', _, .., b'"', b'"'] => b'"',
        _ => return None,
    };
    let (mut plain, mut bytes) = (Vec::with_capacity(local.len()), local.iter());
    while let Some(&byte) = bytes.next() {
        let escaped = if byte == sign { bytes.next() } else { None };
        plain.push(*escaped.unwrap_or(&byte));
    }
    Some(plain)
}

/// Returns whether `content` between two quotes is the local part of an address, and not the text between two
/// strings: in `{"a":"b","@timestamp":1}` and `"GET /" "@jean"` the quote before the `@` is the first of its
/// string.
fn is_quoted_local(content: &[u8]) -> bool {
    let divides = |byte: &u8| matches!(byte, b' ' | b',' | b':' | b';' | b'=' | b'}' | b']' | b')');
    content.first().is_some_and(|byte| !divides(byte)) && content.last().is_some_and(|byte| !divides(byte))
}
