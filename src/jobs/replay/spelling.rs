//! Tokens as they are spelt in lines: native tokens, and tokens in the shape of addresses, however the line
//! spells their separators.

use crate::primitives::hex;
use crate::pseudonym::token::{self, KID_BYTES, MAILBOX_DOMAIN, TAG_BYTES};
use memchr::memmem;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::ops::Range;

/// Identifies a token: the first 15 bytes of its tag. An address-shaped token spells no more of the tag, and
/// a collision of 120 bits is as good as impossible, like one of 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagKey([u8; 15]);

impl TagKey {
    /// Returns the key of a tag.
    #[must_use]
    pub fn of(tag: &[u8; 16]) -> Self {
        let mut key = [0; 15];
        key.copy_from_slice(&tag[..15]);
        Self(key)
    }

    /// Returns a tag that begins with this key. It suffices for the filter of a frame, which uses eight
    /// bytes.
    #[must_use]
    pub fn tag(self) -> [u8; 16] {
        let mut tag = [0; 16];
        tag[..15].copy_from_slice(&self.0);
        tag
    }

    /// Returns texts of which every spelling of the token contains one: of a native token or a mailbox, the
    /// 24 of its 26 characters that are these 120 bits; of an address, its first group, in either case.
    #[must_use]
    pub fn beginnings(self) -> BTreeSet<String> {
        let characters = token::encode_tag(&self.tag());
        let group = hex::encode(&self.0[..1]);
        let (high, low) = group.split_at(1);
        let mut beginnings = BTreeSet::from([String::from_utf8_lossy(&characters[..24]).into_owned()]);
        for high in [high, &high.to_ascii_uppercase()] {
            beginnings.extend([low, &low.to_ascii_uppercase()].map(|low| format!("fd{high}{low}")));
        }
        beginnings
    }
}

/// A token in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelt {
    /// The byte range of the token.
    pub span: Range<usize>,
    /// The key of the token.
    pub key: TagKey,
    /// The byte range that spells its `:` or `@`; empty for a native token, which has none.
    pub separator: Range<usize>,
}

/// Returns everything in `line` that is spelt like a token, in order.
#[must_use]
pub fn all(line: &[u8]) -> Vec<Spelt> {
    let mut found: Vec<Spelt> = native(line).collect();
    // Address-shaped text is rare, and so are these letters.
    found.extend(memmem::find_iter(line, MAILBOX_DOMAIN).filter_map(|at| mailbox(line, at)));
    found.extend(memmem::find_iter(line, b"fd").filter_map(|at| address(line, at)));
    found.sort_by_key(|spelt| spelt.span.start);
    found
}

/// Parses `text` as a single token; `None` if it is not one.
#[must_use]
pub fn only(text: &str) -> Option<TagKey> {
    let text = text.trim_start_matches('[').trim_end_matches(']').as_bytes();
    all(text).into_iter().find(|spelt| spelt.span == (0..text.len())).map(|spelt| spelt.key)
}

fn native(line: &[u8]) -> impl Iterator<Item = Spelt> {
    memchr::memchr_iter(b'_', line).filter_map(|underscore| {
        let letters = line[..underscore].iter().rev().take_while(|byte| byte.is_ascii_lowercase());
        let start = underscore - letters.take(LONGEST_KIND).count();
        let end = underscore + 1 + KID_BYTES + TAG_BYTES;
        let parts = token::parse(line.get(start..end)?)?;
        Some(Spelt { span: start..end, key: TagKey::of(&parts.tag), separator: end..end })
    })
}

/// Returns the mailbox whose domain starts at `domain`.
fn mailbox(line: &[u8], domain: usize) -> Option<Spelt> {
    let separator = separator_before(line, domain, b"@", "40")?;
    let start = separator.start.checked_sub(TAG_BYTES)?;
    let tag = token::decode_tag(line[start..].first_chunk()?)?;
    let key = TagKey::of(&tag);
    Some(Spelt { span: start..domain + MAILBOX_DOMAIN.len(), key, separator })
}

/// Returns the unique local address (RFC 4193) at `start`.
fn address(line: &[u8], start: usize) -> Option<Spelt> {
    if start.checked_sub(1).is_some_and(|before| line[before].is_ascii_hexdigit()) {
        return None;
    }
    let (text, ends, separator) = address_text(line, start);
    // A port may follow after one more separator, so take the longest text that is an address.
    (2..=text.len()).rev().find_map(|length| {
        let address: Ipv6Addr = text[..length].parse().ok()?;
        let [0xfd, octets @ ..] = address.octets() else { return None };
        let key = octets;
        Some(Spelt { span: start..ends[length - 1], key: TagKey(key), separator: separator.clone() })
    })
}

/// Returns the hexadecimal digits and separators from `start` on, at most as many as an address has.
///
/// The separators are unescaped in the text. Also returns the offset in the line at which each character
/// ends, and the range of the first separator.
fn address_text(line: &[u8], start: usize) -> (String, Vec<usize>, Range<usize>) {
    let (mut text, mut ends) = (String::with_capacity(LONGEST_ADDRESS), Vec::with_capacity(LONGEST_ADDRESS));
    let (mut position, mut separator) = (start, start..start);
    while text.len() < LONGEST_ADDRESS {
        match line.get(position) {
            Some(byte) if byte.is_ascii_hexdigit() => {
                text.push(char::from(*byte));
                position += 1;
            }
            _ => {
                let Some(end) = separator_at(line, position, b":", "3a") else { break };
                if separator.is_empty() {
                    separator = position..end;
                }
                text.push(':');
                position = end;
            }
        }
        ends.push(position);
    }
    (text, ends, separator)
}

/// Returns the end of the separator at `position`: either `plain` itself, or an escape of its `code`, however
/// deeply nested (`%3A`, `%253a`, `\u003a`, `\\u003a`).
fn separator_at(line: &[u8], position: usize, plain: &[u8], code: &str) -> Option<usize> {
    let rest = line.get(position..)?;
    if rest.starts_with(plain) {
        return Some(position + plain.len());
    }
    let escape = match rest.first()? {
        b'%' => 1 + rest[1..].chunks(2).take_while(|pair| *pair == b"25").count() * 2,
        b'\\' => {
            let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
            rest[slashes..].starts_with(b"u00").then_some(slashes + 3)?
        }
        _ => return None,
    };
    let digits = rest.get(escape..escape + code.len())?;
    digits.eq_ignore_ascii_case(code.as_bytes()).then_some(position + escape + code.len())
}

/// Returns the separator that ends at `end`.
fn separator_before(line: &[u8], end: usize, plain: &[u8], code: &str) -> Option<Range<usize>> {
    let first = end.saturating_sub(LONGEST_SEPARATOR);
    (first..end).find(|&start| separator_at(line, start, plain, code) == Some(end)).map(|start| start..end)
}

/// The most letters of a kind.
const LONGEST_KIND: usize = 8;
/// The most characters of an IPv6 address.
const LONGEST_ADDRESS: usize = 39;
/// The most bytes of a separator: an escape nested in five others.
const LONGEST_SEPARATOR: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the line contains, every token found lies within it.
        #[test]
        fn anything_can_stand_in_a_line(line in "(fd|f|d|0|12|:|%3[aA]|%253a|u003a|\\\\{1,3}u003a|pseudonym.invalid|@|%40|_|ip|[a-z]{26}|.){0,40}") {
            for spelt in all(line.as_bytes()) {
                prop_assert!(spelt.span.start < spelt.span.end && spelt.span.end <= line.len());
                prop_assert!(spelt.separator.start <= spelt.separator.end && spelt.separator.end <= line.len());
            }
        }
    }

    #[test]
    fn separators_may_differ_within_an_address() {
        let line = b"fd%3A:::::: fd00%3A:%3A0:1:2:3";
        assert!(all(line).iter().all(|spelt| spelt.span.end <= line.len()));
    }

    const TAG: [u8; 16] =
        [0xae, 0x6d, 0xe7, 0xb0, 0x9c, 0x8f, 0x3c, 0xd1, 0x4a, 0xc9, 0x17, 0, 0x67, 0xeb, 0x6d, 9];

    fn spelt(line: &str) -> Vec<(&str, &str)> {
        let found = all(line.as_bytes());
        assert!(found.iter().all(|spelt| spelt.key == TagKey::of(&TAG)), "{line}");
        found.into_iter().map(|spelt| (&line[spelt.span], &line[spelt.separator])).collect()
    }

    fn native_token() -> String {
        let mut text = Vec::new();
        token::write("ip", b"2epqf", &TAG, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn native_tokens() {
        let token = native_token();
        assert_eq!(spelt(&format!("a {token} b [{token}]:443")), [(&*token, ""), (&*token, "")]);
        assert!(spelt(&token[..33]).is_empty());
    }

    #[test]
    fn addresses_in_every_spelling() {
        let address = "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d";
        assert_eq!(spelt(address), [(address, ":")]);
        assert_eq!(spelt(&format!("[{address}]:443, {address}/64")), [(address, ":"), (address, ":")]);
        for separator in ["%3A", "%3a", "%253A", "\\u003a", "\\\\u003A"] {
            let encoded = address.replace(':', separator);
            assert_eq!(spelt(&format!("x={encoded}&y")), [(&*encoded, separator)]);
        }
        // A port follows.
        assert_eq!(spelt(&format!("{address}:46824")), [(address, ":")]);
        assert!(spelt("afdae:6de7:b09c:8f3c:d14a:c917:67:eb6d fd0 fd: fda").is_empty());
    }

    #[test]
    fn mailboxes_in_every_spelling() {
        let tag = String::from_utf8(token::encode_tag(&TAG).to_vec()).unwrap();
        for separator in ["@", "%40", "%2540", "\\u0040"] {
            let mailbox = format!("{tag}{separator}pseudonym.invalid");
            assert_eq!(spelt(&format!("<{mailbox}>")), [(&*mailbox, separator)]);
        }
    }

    #[test]
    fn what_is_typed_is_one_token_or_none() {
        let token = native_token();
        for typed in
            [&*token, "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d", "[fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d]"]
        {
            assert_eq!(only(typed), Some(TagKey::of(&TAG)), "{typed}");
        }
        for typed in ["", "ip_", &token[1..33], &format!("{token} "), "203.0.113.7", "2001:db8::1"] {
            assert_eq!(only(typed), None, "{typed}");
        }
    }
}
