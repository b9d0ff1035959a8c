//! Tokens as they are spelt in lines: native tokens, and tokens in the shape of addresses, however the line
//! spells their separators.
//!
//! Text may touch a token on both sides, and no byte of it marks where the token begins or ends: `\nip_...`,
//! `nodefd12:...:69bat`. What is certain is its tag. So a token is found wherever it may be, and who has the
//! original knows its kind, and with it the bytes that the token replaced.

use crate::model::Kinds;
use crate::primitives::hex;
use crate::pseudonym::token::{self, BODY_BYTES, MAILBOX_DOMAIN, separator_at};
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
    /// The byte range of the token. If text touches a native token, this is a guess: see [`Spelt::of_kind`].
    pub span: Range<usize>,
    /// The key of the token.
    pub key: TagKey,
    /// The byte range that spells its `:` or `@`; empty for a native token, which has none.
    pub separator: Range<usize>,
}

impl Spelt {
    /// Returns the token as one of `kind`, which is that of its original; `None` if the letters in front of
    /// it are not those of this kind: then it is not the token of that original.
    #[must_use]
    pub fn of_kind(self, kind: &str, line: &[u8]) -> Option<Self> {
        let Some(underscore) = self.underscore() else { return Some(self) };
        let start = line[..underscore].ends_with(kind.as_bytes()).then(|| underscore - kind.len())?;
        Some(Self { span: start..self.span.end, ..self })
    }

    /// Returns the token as one of these kinds, of which the longest that may be its own is assumed; if none
    /// may be, the token is as it was.
    #[must_use]
    pub fn of_one_of(self, kinds: &Kinds, line: &[u8]) -> Self {
        let letters =
            self.underscore().and_then(|end| kind_before(line, end, |name| kinds.find(name).is_some()));
        match letters {
            Some(start) => Self { span: start..self.span.end, ..self },
            None => self,
        }
    }

    /// Returns where the underscore of a native token is.
    fn underscore(&self) -> Option<usize> {
        // Only a native token has no separator.
        self.separator.is_empty().then(|| self.span.end - BODY_BYTES - 1)
    }
}

/// Returns everything in `line` that is spelt like a token, in order.
///
/// Hexadecimal digits may follow a token in the shape of an IP address, so every address that it may be is
/// returned, the longest one first.
#[must_use]
pub fn all(line: &[u8]) -> Vec<Spelt> {
    let mut found: Vec<Spelt> = native(line).collect();
    // Address-shaped text is rare, and so are these letters.
    found.extend(memmem::find_iter(line, MAILBOX_DOMAIN).filter_map(|at| {
        let (span, separator) = token::mailbox(line, at)?;
        let key = TagKey::of(&token::decode_tag(line[..separator.start].last_chunk()?)?);
        Some(Spelt { span, key, separator })
    }));
    let groups = memmem::find_iter(line, b"fd").filter(|at| is_first_group(line, *at));
    found.extend(groups.flat_map(|at| addresses(line, at)));
    found.sort_by_key(|spelt| spelt.span.start);
    found
}

/// Parses `text` as a single token; `None` if it is not one.
#[must_use]
pub fn only(text: &str) -> Option<TagKey> {
    let text = text.trim_start_matches('[').trim_end_matches(']').as_bytes();
    let is_all = |spelt: &Spelt| {
        let start =
            spelt.underscore().map_or(spelt.span.start, |underscore| token::kind_start(text, underscore));
        (start, spelt.span.end) == (0, text.len())
    };
    all(text).into_iter().find(is_all).map(|spelt| spelt.key)
}

/// Returns native tokens. Their kind is the longest that is built in, else all letters in front of them
/// that are not of another token: it may be one of a rule file that is gone.
fn native(line: &[u8]) -> impl Iterator<Item = Spelt> {
    let mut previous = 0;
    memchr::memchr_iter(b'_', line).filter_map(move |underscore| {
        let Range { start: letters, end } = token::look_alike(line, underscore)?;
        let tag = token::decode_tag(line[..end].last_chunk()?)?;
        let built_in = kind_before(line, underscore, |name| Kinds::BUILT_IN.contains(&name));
        let start = built_in.unwrap_or(if previous < underscore { letters.max(previous) } else { letters });
        previous = end;
        Some(Spelt { span: start..end, key: TagKey::of(&tag), separator: end..end })
    })
}

/// Returns where the longest kind starts that `is_known` and ends at the underscore.
fn kind_before(line: &[u8], underscore: usize, is_known: impl Fn(&str) -> bool) -> Option<usize> {
    let is_kind = |start: &usize| std::str::from_utf8(&line[*start..underscore]).is_ok_and(&is_known);
    (token::kind_start(line, underscore)..underscore).find(is_kind)
}

/// Returns whether the first group of an address that begins with `fd` may be at `start`; in a digest it is
/// not.
fn is_first_group(line: &[u8], start: usize) -> bool {
    line.get(start..start + 4).is_some_and(|group| group.iter().all(u8::is_ascii_hexdigit))
        && separator_at(line, start + 4, b':').is_some()
}

/// Returns all texts from `start` on that are a unique local address (RFC 4193), the longest one first.
///
/// Whatever text touches an address in a line touches its token, too, so a digit in front or behind, as in
/// `%20fd12:...`, is no reason to pass over it.
fn addresses(line: &[u8], start: usize) -> impl Iterator<Item = Spelt> {
    let (text, ends, separator) = address_text(line, start);
    // Eight groups, or fewer and a `::`.
    let last_group = text.match_indices(':').nth(6).map(|(at, _)| at);
    let shortest = text.find("::").into_iter().chain(last_group).min().map_or(usize::MAX, |at| at + 2);
    (shortest..=text.len()).rev().filter_map(move |length| {
        let address: Ipv6Addr = text[..length].parse().ok()?;
        let [0xfd, key @ ..] = address.octets() else { return None };
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
                let Some(end) = separator_at(line, position, b':') else { break };
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

/// The most characters of an IPv6 address.
const LONGEST_ADDRESS: usize = 39;

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
                let other = spelt.clone().of_one_of(&Kinds::default(), line.as_bytes());
                prop_assert!(other.span.start < other.span.end && other.key == spelt.key);
                prop_assert!(spelt.of_kind("ip", line.as_bytes()).is_none_or(|ip| ip.span.start < ip.span.end));
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

    /// Returns the tokens with [`TAG`] in a line, and the separator of each. Everything else there must be a
    /// part of one of them.
    fn spelt(line: &str) -> Vec<(&str, &str)> {
        let (found, others): (Vec<_>, Vec<_>) =
            all(line.as_bytes()).into_iter().partition(|spelt| spelt.key == TagKey::of(&TAG));
        for other in others {
            assert!(found.iter().any(|spelt| spelt.span.start == other.span.start), "{line}");
        }
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
        for separator in ["%3A", "%3a", "%253A", "\\u003a", "\\\\u003A", "\\x3a", "\\:", "%5Cu003a"] {
            let encoded = address.replace(':', separator);
            assert_eq!(spelt(&format!("x={encoded}&y")), [(&*encoded, separator)]);
        }
        // A port follows.
        assert_eq!(spelt(&format!("{address}:46824")), [(address, ":")]);
        assert!(spelt("fd0 fd: fda fd0:::: 5fd8 fdaefdae6de7b09c8f3cd14ac91700").is_empty());
    }

    #[test]
    fn an_address_is_found_whatever_text_touches_it() {
        let (address, short) =
            ("fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d", "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6");
        for before in ["?q=%20", "ip%3D", "joined#012", "node", "a", "fd", "fd:", "0"] {
            for after in ["", " ", "g", ":443", "]:443", "%3A443"] {
                assert_eq!(spelt(&format!("{before}{address}{after}")), [(address, ":")], "{before} {after}");
            }
        }
        // Hexadecimal digits behind it: the address is one of several.
        let mut tag = TAG;
        tag[14] = 0xb6;
        tag[13] = 0x0e;
        for after in ["at", "ba", "d", "0", "f:443"] {
            let line = format!("{short}{after}");
            let mut ends = all(line.as_bytes()).into_iter().filter(|spelt| spelt.key == TagKey::of(&tag));
            assert_eq!(ends.next().map(|spelt| &line[spelt.span]), Some(short), "{after}");
        }
        // Without any, the address comes before its own beginnings.
        let ends: Vec<_> = all(address.as_bytes()).into_iter().map(|spelt| spelt.span.end).collect();
        assert_eq!(ends, [37, 36, 35, 34]);
    }

    #[test]
    fn letters_that_touch_a_token_are_not_of_it() {
        let token = native_token();
        for before in ["\\n", "\\t", "\\u005b", "\u{1b}[31m", "node", "n", "longer than a kind", "_"] {
            assert_eq!(spelt(&format!("{before}{token}node{token}")), [(&*token, ""); 2], "{before}");
        }
        // The longest kind that is known.
        let host = token.replacen("ip", "host", 1);
        assert_eq!(spelt(&format!("vhost: ghost: g{host}")), [(&*host, "")]);
    }

    #[test]
    fn a_kind_that_nobody_knows_is_found_and_the_original_tells_where_it_begins() {
        let (token, badge) = (native_token(), native_token().replacen("ip", "badge", 1));
        let line = format!("{token}n{badge}x{badge}");
        let found = all(line.as_bytes());
        let texts: Vec<_> = found.iter().map(|spelt| &line[spelt.span.clone()]).collect();
        assert_eq!(texts, [&*token, &*format!("n{badge}"), &*format!("x{badge}")]);
        let mut kinds = Kinds::default();
        kinds.intern("badge").unwrap();
        for spelt in found.iter().skip(1) {
            let by_original = spelt.clone().of_kind("badge", line.as_bytes()).unwrap();
            assert_eq!(&line[by_original.span.clone()], badge);
            assert_eq!(spelt.clone().of_one_of(&kinds, line.as_bytes()), by_original);
            // An original of another kind has another token.
            assert_eq!(spelt.clone().of_kind("usr", line.as_bytes()), None);
        }
        // A kind of a rule file may end like one that is built in.
        let vhost = token.replacen("ip", "vhost", 1);
        let spelt = all(vhost.as_bytes()).remove(0);
        assert_eq!((&vhost[spelt.span.clone()], only(&vhost)), (&vhost[1..], Some(spelt.key)));
        assert_eq!(spelt.of_kind("vhost", vhost.as_bytes()).unwrap().span, 0..vhost.len());
        // Text of a client that looks like a token may end where a true one begins.
        let line = format!("a_2epqf{}mac{}", "0".repeat(23), &token[2..]);
        let spelt = all(line.as_bytes()).pop().unwrap();
        assert_eq!((&line[spelt.span], spelt.key), (&line[30..], TagKey::of(&TAG)));
    }

    #[test]
    fn mailboxes_in_every_spelling() {
        let tag = String::from_utf8(token::encode_tag(&TAG).to_vec()).unwrap();
        for separator in ["@", "%40", "%2540", "\\u0040", "\\\\u0040", "\\x40", "\\\\x40", "\\@", "%5Cu0040"]
        {
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
