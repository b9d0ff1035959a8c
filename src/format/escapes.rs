//! Finds and decodes backslash escapes in values. Each format defines its own.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Returns the offset of the next `byte`, from `from` on, that is not escaped.
#[inline]
pub(super) fn next_unescaped(byte: u8, text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr2(byte, b'\\', text.get(at..)?)?;
        if text[at] == byte {
            return Some(at);
        }
        at += 2;
    }
}

/// Decodes the escapes in `value`. `meaning` returns what a byte after a backslash stands for; if it returns
/// `None`, the backslash is ordinary text.
pub(super) fn decoded(value: &[u8], meaning: impl Fn(u8) -> Option<u8>) -> Cow<'_, [u8]> {
    if memchr(b'\\', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        let escaped = after.first().filter(|_| *first == b'\\').and_then(|&byte| meaning(byte));
        text.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[1..] } else { after };
    }
    Cow::Owned(text)
}
