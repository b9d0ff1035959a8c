//! Text that looks like one of our tokens. From a client it is a forgery, written to be taken for a token.
//! From a trusted upstream it is a token, and is kept.

use super::hit::{Canon, Hit, Rule};

/// Characters after the underscore: kid (5) and tag (26).
pub(crate) const BODY_BYTES: usize = 31;

/// Most letters of a kind.
const MOST_KIND_BYTES: usize = 8;

/// Examines a `TOKEN` candidate: `at` is the offset of the 16th lower-case letter or digit after an
/// underscore.
pub(crate) fn find(text: &[u8], at: usize) -> Option<Hit> {
    let (start, end) = native(text, at.checked_sub(16)?)?;
    let longer = text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (!longer).then(|| Hit::new(start, end, Canon::Verbatim, Rule::ForgedToken))
}

/// Returns the token whose underscore is at `underscore`, even if something is glued to its end.
fn native(text: &[u8], underscore: usize) -> Option<(usize, usize)> {
    let end = underscore + 1 + BODY_BYTES;
    let body = text.get(underscore + 1..end)?;
    let before = text[..underscore].iter().rev().take(MOST_KIND_BYTES);
    let letters = before.take_while(|byte| byte.is_ascii_lowercase()).count();
    (letters > 0 && body.iter().all(|&byte| is_crockford(byte))).then(|| (underscore - letters, end))
}

/// Returns the end of the token that contains a `TOKEN` candidate, even if something is glued to it.
pub(crate) fn end_at(text: &[u8], at: usize) -> Option<usize> {
    native(text, at.checked_sub(16)?).map(|(_, end)| end)
}

/// Returns what follows the last token of `word`; all of `word` if it has none.
pub(crate) fn after_tokens(word: &[u8]) -> &[u8] {
    let last = memchr::memrchr_iter(b'_', word).find_map(|underscore| native(word, underscore));
    last.map_or(word, |(_, end)| &word[end..])
}

/// The form of the tokens of a trusted upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// `ip_...`
    Native,
    /// The same, and also `fd..:...` and `...@pseudonym.invalid`.
    AddressShaped,
}

impl Tokens {
    /// Returns whether a token overlaps `start..end` of `text`.
    pub(crate) fn overlap(self, text: &[u8], start: usize, end: usize) -> bool {
        self.any(text, start, end, |from, to| from < end && to > start)
    }

    /// Returns whether a token touches `start..end` of `text`, or is joined to it as part of one name or one
    /// address: by a dot, or by a colon if tokens contain colons themselves.
    ///
    /// The upstream saw that text together with the identifier that the token replaced, and left it. If it
    /// looks like an identifier now, that is only because the token reads differently.
    pub(crate) fn touch(self, text: &[u8], start: usize, end: usize) -> bool {
        let joins = |byte: &u8| *byte == b'.' || (*byte == b':' && self == Self::AddressShaped);
        let start = start - usize::from(text[..start].last().is_some_and(joins));
        let end = end + usize::from(text.get(end).is_some_and(joins));
        self.any(text, start, end, |from, to| from <= end && to >= start)
    }

    /// Returns whether `test` holds for the start and the end of any token in `start..end` or near it.
    fn any(self, text: &[u8], start: usize, end: usize, test: impl Fn(usize, usize) -> bool) -> bool {
        let near = |before: usize, after: usize| {
            let from = start.saturating_sub(before);
            (from, &text[from..text.len().min(end + after)])
        };
        let (base, window) = near(BODY_BYTES + 1, MOST_KIND_BYTES + 1);
        if memchr::memchr_iter(b'_', window)
            .filter_map(|underscore| native(text, base + underscore))
            .any(|(from, to)| test(from, to))
        {
            return true;
        }
        if self == Self::Native {
            return false;
        }
        let (base, window) = near(MAILBOX_DOMAIN.len(), TAG_BYTES + MOST_ESCAPE_BYTES + MAILBOX_DOMAIN.len());
        if memchr::memmem::find_iter(window, MAILBOX_DOMAIN)
            .filter_map(|domain| mailbox(text, base + domain))
            .any(|(from, to)| test(from, to))
        {
            return true;
        }
        let (base, window) = near(MOST_ADDRESS_BYTES, 3);
        memchr::memmem::find_iter(window, b"fd")
            .filter_map(|at| Some((base + at, base + at + address_length(&text[base + at..])?)))
            .any(|(from, to)| test(from, to))
    }
}

/// Characters of the local part of an address-shaped e-mail token.
const TAG_BYTES: usize = 26;

/// The domain of an address-shaped e-mail token.
const MAILBOX_DOMAIN: &[u8] = b"pseudonym.invalid";

/// The spellings of `@`.
pub(crate) const AT_SIGNS: [&[u8]; 5] = [b"@", b"%40", b"%2540", b"\\u0040", b"\\x40"];

/// The spellings of `:`.
const COLONS: [&[u8]; 9] =
    [b":", b"%3A", b"%3a", b"%253A", b"%253a", b"\\u003a", b"\\u003A", b"\\x3a", b"\\x3A"];

/// The length of the longest of these spellings.
const MOST_ESCAPE_BYTES: usize = 6;

/// Length of the longest address-shaped IP token: eight groups of four, seven colons.
const MOST_ADDRESS_BYTES: usize = 8 * 4 + 7 * MOST_ESCAPE_BYTES;

/// Returns the address-shaped e-mail token whose domain starts at `domain`.
fn mailbox(text: &[u8], domain: usize) -> Option<(usize, usize)> {
    let at_sign = AT_SIGNS.iter().find(|at_sign| text[..domain].ends_with(at_sign))?;
    let start = (domain - at_sign.len()).checked_sub(TAG_BYTES)?;
    let tag = text[start..start + TAG_BYTES].iter().all(|&byte| is_crockford(byte));
    tag.then(|| (start, domain + MAILBOX_DOMAIN.len()))
}

/// Returns whether an address-shaped token is at the start of `text`.
#[inline]
pub(crate) fn starts_with_shaped(text: &[u8]) -> bool {
    text.starts_with(b"fd") && address_length(text).is_some()
        // All spellings of `@` begin with one of these bytes, which are rare at just this place.
        || matches!(text.get(TAG_BYTES), Some(b'@' | b'%' | b'\\')) && is_mailbox(text)
}

/// Returns whether an address-shaped e-mail token is at the start of `text`.
fn is_mailbox(text: &[u8]) -> bool {
    let Some((tag, rest)) = text.split_at_checked(TAG_BYTES) else { return false };
    if !tag.iter().all(|&byte| is_crockford(byte)) {
        return false;
    }
    let domain = AT_SIGNS.iter().find_map(|at_sign| rest.strip_prefix(*at_sign));
    domain.is_some_and(|domain| domain.starts_with(MAILBOX_DOMAIN))
}

/// Returns the length of the address-shaped IP token at the start of `text`: `fdXX` and seven more groups.
/// The 15 bytes of the token are random, so it has no two groups of zeros that `::` would stand for.
fn address_length(text: &[u8]) -> Option<usize> {
    let colon = COLONS.iter().find(|colon| text.get(4..).is_some_and(|rest| rest.starts_with(colon)))?;
    let mut end = 0;
    for index in 0..8 {
        if index > 0 {
            end += text[end..].starts_with(colon).then_some(colon.len())?;
        }
        let digits = text[end..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
        end += (digits > 0).then_some(digits)?;
    }
    Some(end)
}

/// Returns whether `byte` is in lower-case Crockford base32, which has no `i`, `l`, `o`, `u`.
fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z')
}
