//! Escapes that end right before a word and look like its first letters: `\nfe80::1`, `#012fe80::1`, the `m`
//! of a terminal colour.

/// ESC, as programs and loggers spell it.
const ESC: [&[u8]; 9] =
    [b"\x1b", b"\\x1b", b"\\x1B", b"\\u001b", b"\\u001B", b"\\e", b"\\033", b"#033", b"^["];

/// Longest terminal sequence recognised, in bytes.
const MOST_SEQUENCE_BYTES: usize = 24;

/// Returns whether the last letter of `before` belongs to an escape: `\n`, the `^J` of BSD, or ESC `[31m`.
pub(crate) fn ends_in_letter(before: &[u8]) -> bool {
    matches!(before, [.., b'\\', b'n' | b'r' | b't' | b'v'] | [.., b'^', b'I' | b'J' | b'M'])
        || ends_in_colour(before)
}

/// Returns whether `before` ends in the escape of a control byte, `\n`, `^J` or `#012`, so that a word begins
/// after it.
pub(crate) fn is_control(before: &[u8]) -> bool {
    let octal = before.len().checked_sub(3).map(|sign| before.split_at(sign));
    let is_octal = |(rest, digits): (&[u8], &[u8])| {
        matches!(rest, [.., b'#' | b'\\']) && matches!(digits, [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7'])
    };
    ends_in_letter(before) || octal.is_some_and(is_octal)
}

/// Returns the length of the octal digits at the start of `word` if they belong to an escaped control byte,
/// rsyslog's `#012` or the octal `\012`, whose first sign is the end of `before`.
pub(crate) fn octal_digits(before: &[u8], word: &[u8]) -> usize {
    let sign = matches!(before, [.., b'#' | b'\\']);
    let octal = matches!(word, [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', _, ..]);
    if sign && octal { 3 } else { 0 }
}

/// Returns whether `before` ends in ESC `[`, numbers and a letter (ECMA-48, SGR).
fn ends_in_colour(before: &[u8]) -> bool {
    let Some((letter, rest)) = before.split_last() else { return false };
    let rest = &rest[rest.len().saturating_sub(MOST_SEQUENCE_BYTES)..];
    let numbers = rest.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    letter.is_ascii_alphabetic() && introduces_sequence(&rest[..rest.len() - numbers])
}

/// Returns whether `before` ends in ESC `[`.
pub(crate) fn introduces_sequence(before: &[u8]) -> bool {
    before.strip_suffix(b"[").is_some_and(|before| ESC.iter().any(|spelling| before.ends_with(spelling)))
}
