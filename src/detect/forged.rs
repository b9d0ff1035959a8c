//! Text that looks like one of our tokens. From a client it is a forgery, written to be taken for a token.
//! From a trusted upstream it is a token, and is kept.

use super::hit::{Canon, Hit, Rule};
use crate::model::Kinds;
use crate::primitives::hex;
use crate::pseudonym::token::{self, BODY_BYTES, MAILBOX_DOMAIN, TAG_BYTES};
use std::ops::Range;

/// Examines a `TOKEN` candidate: `at` is the offset of the 16th lower-case letter or digit after an
/// underscore.
pub(crate) fn find(text: &[u8], at: usize) -> Option<Hit> {
    let Range { start, end } = token::look_alike(text, at.checked_sub(16)?)?;
    let longer = text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (!longer).then(|| Hit::new(start, end, Canon::Verbatim, Rule::ForgedToken))
}

/// Returns the end of the token that contains a `TOKEN` candidate, even if something is glued to it.
pub(crate) fn end_at(text: &[u8], at: usize) -> Option<usize> {
    token::at(text, at.checked_sub(16)?).map(|token| token.end)
}

/// Returns what follows the last token of `word`; all of `word` if it has none.
pub(crate) fn after_tokens(word: &[u8]) -> &[u8] {
    let last = memchr::memrchr_iter(b'_', word).find_map(|underscore| token::at(word, underscore));
    last.map_or(word, |token| &word[token.end..])
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
        self.any(text, start, end, |token| token.start < end && token.end > start)
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
        self.any(text, start, end, |token| token.start <= end && token.end >= start)
    }

    /// Returns whether `test` holds for any token in `start..end` or near it.
    fn any(self, text: &[u8], start: usize, end: usize, test: impl Fn(Range<usize>) -> bool) -> bool {
        let near = |before: usize, after: usize| {
            let from = start.saturating_sub(before);
            (from, &text[from..text.len().min(end + after)])
        };
        let (base, window) = near(BODY_BYTES + 1, Kinds::MAX_NAME_BYTES + 1);
        if memchr::memchr_iter(b'_', window)
            .filter_map(|underscore| token::at(text, base + underscore))
            .any(&test)
        {
            return true;
        }
        if self == Self::Native {
            return false;
        }
        let (base, window) = near(MAILBOX_DOMAIN.len(), TAG_BYTES + MOST_ESCAPE_BYTES + MAILBOX_DOMAIN.len());
        if memchr::memmem::find_iter(window, MAILBOX_DOMAIN)
            .filter_map(|domain| token::mailbox(text, base + domain))
            .any(|(span, _)| test(span))
        {
            return true;
        }
        let (base, window) = near(MOST_ADDRESS_BYTES, 3);
        memchr::memmem::find_iter(window, b"fd")
            .filter_map(|at| Some(base + at..base + at + address_length(&text[base + at..])?))
            .any(test)
    }
}

/// The length of the longest spelling of a separator that is looked for: views have the deeper ones decoded.
const MOST_ESCAPE_BYTES: usize = 6;

/// Length of the longest address-shaped IP token: eight groups of four, seven colons.
const MOST_ADDRESS_BYTES: usize = 8 * 4 + 7 * MOST_ESCAPE_BYTES;

/// Returns whether an address-shaped token is at the start of `text`.
#[inline]
pub(crate) fn starts_with_shaped(text: &[u8]) -> bool {
    text.starts_with(b"fd") && address_length(text).is_some()
        // All spellings of `@` begin with one of these bytes, which are rare at just this place.
        || matches!(text.get(TAG_BYTES), Some(b'@' | b'%' | b'\\')) && is_mailbox(text)
}

/// Returns whether an address-shaped e-mail token is at the start of `text`.
fn is_mailbox(text: &[u8]) -> bool {
    let tag = text.first_chunk().filter(|tag| token::is_tag(tag));
    let domain = tag.and_then(|_| token::separator_at(text, TAG_BYTES, b'@'));
    domain.is_some_and(|domain| text[domain..].starts_with(MAILBOX_DOMAIN))
}

/// Returns the length of the address-shaped IP token at the start of `text`: `fdXX` and seven more groups.
/// The 15 bytes of the token are random, so it has no two groups of zeros that `::` would stand for.
fn address_length(text: &[u8]) -> Option<usize> {
    let colon = &text[4..token::separator_at(text, 4, b':')?];
    let mut end = 0;
    for index in 0..8 {
        if index > 0 {
            end += text[end..].starts_with(colon).then_some(colon.len())?;
        }
        let digits = text[end..].iter().take(4).take_while(|byte| hex::value(**byte).is_some()).count();
        end += (digits > 0).then_some(digits)?;
    }
    Some(end)
}
