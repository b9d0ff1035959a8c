//! The grammar of a token: `<kind> "_" <kid: 5> <tag: 26>` in lower-case Crockford base32.
//!
//! ```text
//! ip_2epqfnspyfc4whwyd2jp92w06ftvdrr
//! ^^ kind  ^^^^^ kid: 15 bits of day, 10 bits of fingerprint
//!               ^^^^^^^^^^^^^^^^^^^^^^^^^^ tag: 128 bits, then two zero bits
//! ```
//!
//! In the shape of an address it is `fd` and 15 bytes of the tag, or `<tag: 26>@pseudonym.invalid`. Whatever
//! touches an identifier in a line touches its token, too.

use crate::model::Kinds;
use crate::primitives::hex;
use std::net::Ipv6Addr;
use std::ops::Range;

/// Crockford base32, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The number of characters of a kid.
pub const KID_BYTES: usize = 5;

/// The number of characters of a tag.
pub const TAG_BYTES: usize = 26;

/// The number of characters after the underscore.
pub const BODY_BYTES: usize = KID_BYTES + TAG_BYTES;

/// The maximum length of a token: kind, underscore, kid and tag, or an address or a mailbox in its place.
/// Separators of an address or a mailbox that the line spells in several bytes are not counted.
pub const MOST_BYTES: usize = 48;

/// The domain of address-shaped e-mail tokens (`.invalid`: RFC 2606, 2).
pub const MAILBOX_DOMAIN: &[u8] = b"pseudonym.invalid";

/// The most bytes that spell one separator: an escape nested in five others.
const MOST_SEPARATOR_BYTES: usize = 40;

/// Appends a token.
pub fn write(kind: &str, kid: &[u8; KID_BYTES], tag: &[u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(kind.as_bytes());
    out.push(b'_');
    out.extend_from_slice(kid);
    out.extend_from_slice(&encode_tag(tag));
}

/// Appends an address-shaped IP token: the unique local address (RFC 4193) `fd || tag[0..15]` in the
/// text form of RFC 5952, in brackets if a port follows an IPv4 address. `separator` is the spelling of
/// `:` in the line; if it is empty or would not be read again (`%25%33%41`), `:` itself is written.
pub fn write_address(tag: &[u8; 16], separator: &[u8], brackets: bool, out: &mut Vec<u8>) {
    let mut octets = [0xfd; 16];
    octets[1..].copy_from_slice(&tag[..15]);
    let mut text = AddressText { bytes: [0; 39], length: 0 };
    // The longest IPv6 text is 39 bytes: it fits.
    let _ = std::fmt::write(&mut text, format_args!("{}", Ipv6Addr::from(octets)));
    let is_escape = separator_at(separator, 0, b':') == Some(separator.len());
    if brackets {
        out.push(b'[');
    }
    for &byte in &text.bytes[..text.length] {
        match byte {
            b':' if is_escape => out.extend_from_slice(separator),
            _ => out.push(byte),
        }
    }
    if brackets {
        out.push(b']');
    }
}

/// Appends an address-shaped e-mail token, `<tag: 26>@pseudonym.invalid`. `separator` is the spelling of
/// `@` in the line, as in [`write_address`].
pub fn write_mailbox(tag: &[u8; 16], separator: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&encode_tag(tag));
    let is_escape = separator_at(separator, 0, b'@') == Some(separator.len());
    out.extend_from_slice(if is_escape { separator } else { b"@" });
    out.extend_from_slice(MAILBOX_DOMAIN);
}

/// Encodes a tag in 26 characters.
#[must_use]
pub fn encode_tag(tag: &[u8; 16]) -> [u8; TAG_BYTES] {
    let value = u128::from_be_bytes(*tag);
    let mut characters = [0; TAG_BYTES];
    let (pairs, _) = characters.as_chunks_mut::<2>();
    // 6 pairs of characters from the first 60 bits, 6 from the next 60, then 8 bits and two zero bits.
    let (high, middle, low) = ((value >> 68) as u64, (value >> 8) as u64, (value as u64 & 0xff) << 2);
    for index in 0..6 {
        let shift = 50 - 10 * index;
        pairs[index] = PAIRS[(high >> shift & 1023) as usize];
        pairs[6 + index] = PAIRS[(middle >> shift & 1023) as usize];
    }
    pairs[12] = PAIRS[low as usize];
    characters
}

/// The two characters of each 10-bit number.
static PAIRS: [[u8; 2]; 1024] = {
    let mut pairs = [[0; 2]; 1024];
    let mut number = 0;
    while number < 1024 {
        pairs[number] = [ALPHABET[number >> 5], ALPHABET[number & 31]];
        number += 1;
    }
    pairs
};

/// Encodes a kid in 5 characters: 25 bits, `day` (15) then `fingerprint` (10).
#[must_use]
pub fn encode_kid(day: u16, fingerprint: u16) -> [u8; KID_BYTES] {
    let value = u32::from(day & 0x7fff) << 10 | u32::from(fingerprint & 0x3ff);
    [20, 15, 10, 5, 0].map(|shift| ALPHABET[(value >> shift & 31) as usize])
}

/// The parts of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenParts<'a> {
    /// 1 to 8 lower-case letters.
    pub kind: &'a str,
    /// Identifies the epoch and its secret.
    pub kid: [u8; KID_BYTES],
    /// The tag.
    pub tag: [u8; 16],
}

/// Parses a token strictly: nothing before or after it, and the padding bits are zero.
#[must_use]
pub fn parse(token: &[u8]) -> Option<TokenParts<'_>> {
    let underscore = token.iter().position(|&byte| byte == b'_')?;
    look_alike(token, underscore).filter(|span| *span == (0..token.len()))?;
    let (kind, tag) = (std::str::from_utf8(&token[..underscore]).ok()?, decode_tag(token.last_chunk()?)?);
    Some(TokenParts { kind, kid: *token[underscore + 1..].first_chunk()?, tag })
}

/// Returns the span of the token whose underscore is given, whatever text touches it. Of the letters before
/// it, all that may be its kind are taken for it.
#[must_use]
pub fn at(text: &[u8], underscore: usize) -> Option<Range<usize>> {
    look_alike(text, underscore).filter(|span| text[..span.end].last_chunk().is_some_and(is_tag))
}

/// Returns the span of what looks like a token to a reader, who does not see the padding bits.
#[must_use]
pub fn look_alike(text: &[u8], underscore: usize) -> Option<Range<usize>> {
    let (start, end) = (kind_start(text, underscore), underscore + 1 + BODY_BYTES);
    let body = text.get(underscore + 1..end)?;
    (start < underscore && is_of_alphabet(body)).then_some(start..end)
}

/// Returns whether the characters are a tag, at less cost than [`decode_tag`].
#[must_use]
pub fn is_tag(characters: &[u8; TAG_BYTES]) -> bool {
    is_of_alphabet(characters) && VALUES[usize::from(characters[TAG_BYTES - 1])] & 3 == 0
}

fn is_of_alphabet(characters: &[u8]) -> bool {
    characters.iter().all(|&character| VALUES[usize::from(character)] < 32)
}

/// Returns where the letters start that may be the kind of the token whose underscore is given.
#[must_use]
pub fn kind_start(text: &[u8], underscore: usize) -> usize {
    let letters = text[..underscore].iter().rev().take(Kinds::MAX_NAME_BYTES);
    underscore - letters.take_while(|byte| byte.is_ascii_lowercase()).count()
}

/// Returns the span and the separator of the address-shaped e-mail token whose domain starts at `domain`.
#[must_use]
pub fn mailbox(text: &[u8], domain: usize) -> Option<(Range<usize>, Range<usize>)> {
    // In `\\u0040` two spellings of `@` end, but only one has a tag in front.
    (domain.saturating_sub(MOST_SEPARATOR_BYTES)..domain).rev().find_map(|at| {
        separator_at(text, at, b'@').filter(|end| *end == domain)?;
        text[..at].last_chunk().filter(|tag| is_tag(tag))?;
        Some((at - TAG_BYTES..domain + MAILBOX_DOMAIN.len(), at..domain))
    })
}

/// Returns the end of the separator at `position`: either `plain` itself, or an escape of it, however deeply
/// nested (`%3A`, `%253a`, `\u003a`, `\\x3a`, `%5Cu003a`, `\:`).
#[must_use]
pub fn separator_at(text: &[u8], position: usize, plain: u8) -> Option<usize> {
    let limit = text.len().min(position + MOST_SEPARATOR_BYTES);
    let (&(mut byte), mut rest) = text.get(position..limit)?.split_first()?;
    while byte != plain {
        (byte, rest) = match (byte, rest) {
            (b'%', [high, low, rest @ ..])
            | (b'\\', [b'x', high, low, rest @ ..] | [b'u', b'0', b'0', high, low, rest @ ..]) => {
                (hex::value(*high)? << 4 | hex::value(*low)?, rest)
            }
            (b'\\', [escaped, rest @ ..]) => (*escaped, rest),
            _ => return None,
        };
    }
    Some(limit - rest.len())
}

/// Decodes a tag from 26 characters strictly: the padding bits are zero.
#[must_use]
pub fn decode_tag(characters: &[u8; TAG_BYTES]) -> Option<[u8; 16]> {
    let values = characters.map(|character| VALUES[usize::from(character)]);
    // In words: 60 bits, 60 bits, then 8 bits and two zero bits.
    let number = |values: &[u8]| values.iter().fold(0, |number, &value| number << 5 | u64::from(value));
    let (high, middle, low) = (number(&values[..12]), number(&values[12..24]), number(&values[24..]));
    let all = values.iter().fold(0, |all, value| all | value);
    let tag = u128::from(high) << 68 | u128::from(middle) << 8 | u128::from(low >> 2);
    (all < 32 && low & 3 == 0).then(|| tag.to_be_bytes())
}

/// The tags of everything in `text` that has the form of a token, whoever made it.
pub fn all(text: &[u8]) -> impl Iterator<Item = [u8; 16]> {
    let look_alikes =
        memchr::memchr_iter(b'_', text).filter_map(move |underscore| look_alike(text, underscore));
    look_alikes.filter_map(move |span| decode_tag(text[..span.end].last_chunk()?))
}

/// The value of each character; 32 for characters that are not in the alphabet.
static VALUES: [u8; 256] = {
    let mut values = [32; 256];
    let mut value = 0;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// A buffer on the stack for the text of one address.
struct AddressText {
    bytes: [u8; 39],
    length: usize,
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn address_shape_spells_the_separator_as_the_line_does() {
        let tag = [0xae, 0x6d, 0xe7, 0xb0, 0x9c, 0x8f, 0x3c, 0xd1, 0x4a, 0xc9, 0x17, 0, 0x67, 0xeb, 0x6d, 9];
        let mut out = Vec::new();
        write_address(&tag, b"%3A", true, &mut out);
        assert_eq!(out, b"[fdae%3A6de7%3Ab09c%3A8f3c%3Ad14a%3Ac917%3A67%3Aeb6d]");
    }

    #[test]
    fn what_is_no_token() {
        for text in [
            "ip_2epqfnspyfc4whwyd2jp92w06ftvdrs", // padding bits
            "ip_2epqfnspyfc4whwyd2jp92w06ftvdr",
            "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr0",
            "ip-2epqfnspyfc4whwyd2jp92w06ftvdrr",
            "IP_2epqfnspyfc4whwyd2jp92w06ftvdrr",
            "_2epqfnspyfc4whwyd2jp92w06ftvdrr",
            "ip_2epqinspyfc4whwyd2jp92w06ftvdrr", // no `i` in the alphabet
            "",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_token() {
        let text = b"x.ip_2epqfnspyfc4whwyd2jp92w06ftvdrs0";
        assert_eq!((look_alike(text, 4), at(text, 4)), (Some(2..36), None));
    }

    #[test]
    fn a_separator_however_it_is_spelt() {
        for spelt in r": %3A %253a \u003a \\u003A \x3a \\x3A \: %5Cu003a %255C: \u00253a".split(' ') {
            let text = format!("a{spelt}0");
            assert_eq!(separator_at(text.as_bytes(), 1, b':'), Some(text.len() - 1), "{spelt}");
        }
        let deep = "\\".repeat(MOST_SEPARATOR_BYTES) + ":";
        for other in ["", "0", "%", "%3", "%40", "%zz", "\\", "\\u003", "\\u013a", "\\n:", &deep] {
            assert_eq!(separator_at(other.as_bytes(), 0, b':'), None, "{other}");
        }
    }

    #[test]
    fn tokens_are_found_in_a_line() {
        let token = "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr";
        let tag = parse(token.as_bytes()).unwrap().tag;
        let line = format!("a_b {token}:443 x=__{token} ip_2epqinspyfc4whwyd2jp92w06ftvdrr_ {token}");
        assert_eq!(all(line.as_bytes()).collect::<Vec<_>>(), [tag; 3]);
        assert_eq!(all(&token.as_bytes()[..33]).count(), 0);
    }

    proptest! {
        #[test]
        fn tokens_parse_back(tag: [u8; 16], day in 0u16..0x8000, fingerprint in 0u16..0x400) {
            let kid = encode_kid(day, fingerprint);
            let mut out = Vec::new();
            write("em", &kid, &tag, &mut out);
            prop_assert_eq!(out.len(), 34);
            prop_assert_eq!(parse(&out), Some(TokenParts { kind: "em", kid, tag }));
        }
    }
}
