//! Text that looks like one of our tokens: whoever wrote it into a log wants it to be taken for one.

use super::hit::{Canon, Hit, Rule};

/// Characters after the underscore: kid (5) and tag (26).
pub(crate) const BODY_BYTES: usize = 31;

/// Looks at a `TOKEN` candidate: `at` is the offset of the 16th lower-case letter or digit after an
/// underscore.
pub(crate) fn find(text: &[u8], at: usize) -> Option<Hit> {
    let underscore = at.checked_sub(16)?;
    let end = underscore + 1 + BODY_BYTES;
    let body = text.get(underscore + 1..end)?;
    if !body.iter().all(|&byte| is_crockford(byte)) || text.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let letters =
        text[..underscore].iter().rev().take(8).take_while(|byte| byte.is_ascii_lowercase()).count();
    let start = underscore - letters;
    (letters > 0).then(|| Hit::new(start, end, Canon::Verbatim, Rule::ForgedToken))
}

/// Whether a token stands in `text`.
pub(crate) fn holds_token(text: &[u8]) -> bool {
    memchr::memchr_iter(b'_', text).any(|underscore| {
        let lettered = underscore > 0 && text[underscore - 1].is_ascii_lowercase();
        let body = text.get(underscore + 1..underscore + 1 + BODY_BYTES);
        lettered && body.is_some_and(|body| body.iter().all(|&byte| is_crockford(byte)))
    })
}

/// Lower-case Crockford base32: no `i`, `l`, `o`, `u`.
pub(crate) fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z')
}
