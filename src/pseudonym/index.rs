//! What an archive must know of pseudonymised lines beside their bytes: class, days, and the tokens in
//! them with what they stand for.
//!
//! Made only for an archive ([`super::Layout::index_line`]); a filter that writes to a pipe makes none.

use super::epoch::EpochKeys;
use super::hmac::{self, AT_ONCE};
use super::token;
use crate::model::{Expires, Kind};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The retention of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Index of its class in the policy; the number of classes stands for one that the policy has not.
    pub class: usize,
    /// The first legal day on which it must no longer exist.
    pub expires: Expires,
    /// When the event was, in Unix seconds: what the line states if that is believed, otherwise receipt.
    pub event_second: i64,
}

/// One line of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where it ends in the bytes, its line end included.
    pub(super) end: usize,
    /// Where its tokens end in the tokens.
    pub(super) tokens_end: usize,
    pub(super) dated: Dated,
}

/// Lines and tokens in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Of the epoch that all tokens are of.
    pub(super) keys: Option<Arc<EpochKeys>>,
    pub(super) entries: Vec<Entry>,
    /// Whether a line has no line end.
    pub(super) unended: bool,
    pub(super) tokens: Tokens,
    /// Tokens whose tags are not known yet: which, and where the tag will be spelt.
    later: Vec<(usize, usize)>,
}

impl Index {
    /// Adds a token whose tag will be spelt at `at` in the bytes.
    pub(super) fn push_later(&mut self, kind: Kind, at: usize, original: &[u8]) {
        self.later.push((self.tokens.items.len(), at));
        self.tokens.push(kind, [0; 16], original);
    }

    /// Reads the tags that were not known, now that `bytes` spell them.
    pub(super) fn complete(&mut self, bytes: &[u8]) {
        for (item, at) in self.later.drain(..) {
            let spelt = bytes.get(at..).and_then(<[u8]>::first_chunk);
            // We have spelt it ourselves.
            self.tokens.items[item].tag = spelt.and_then(token::decode_tag).expect("a tag");
        }
    }

    pub(super) fn clear(&mut self) {
        (self.keys, self.unended) = (None, false);
        self.later.clear();
        self.entries.clear();
        self.tokens.clear();
    }

    /// Ends a line where `bytes` end.
    pub(super) fn end_line(&mut self, bytes: &[u8], dated: Dated) {
        self.unended |= bytes.last() != Some(&b'\n');
        self.entries.push(Entry { end: bytes.len(), tokens_end: self.tokens.items.len(), dated });
    }

    /// Where the tokens of the line of that number start and end.
    pub(super) fn tokens_of(&self, lines: Range<usize>) -> Range<usize> {
        let end_before = |line: usize| line.checked_sub(1).map_or(0, |line| self.entries[line].tokens_end);
        end_before(lines.start)..end_before(lines.end)
    }
}

/// Tokens and the canonical bytes they stand for, in clear: for the vault alone. Wiped when dropped, never
/// printed.
#[derive(Default)]
pub struct Tokens {
    items: Vec<Item>,
    originals: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Item {
    kind: Kind,
    tag: [u8; 16],
    /// Where its canonical bytes end; they start where those of the item before end.
    end: u32,
}

impl Tokens {
    /// Adds a token. One whose original is not known has none, empty.
    pub fn push(&mut self, kind: Kind, tag: [u8; 16], original: &[u8]) {
        self.originals.extend_from_slice(original);
        // Blocks and frames are far smaller than 4 GiB; a wrong length here would only lose what follows.
        let end = u32::try_from(self.originals.len()).unwrap_or(u32::MAX);
        self.items.push(Item { kind, tag, end });
    }

    /// Adds the tokens of `other` that stand in this range.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let start = other.start_of(range.start);
        let Some(last) = range.end.checked_sub(1).filter(|&last| last >= range.start) else { return };
        let bytes = &other.originals[start as usize..other.items[last].end as usize];
        let base = self.originals.len() as u32;
        self.originals.extend_from_slice(bytes);
        let moved = other.items[range].iter().map(|item| Item { end: item.end - start + base, ..*item });
        self.items.extend(moved);
    }

    /// Forgets those whose tag `keeps` does not want to keep.
    pub fn retain(&mut self, mut keeps: impl FnMut([u8; 16]) -> bool) {
        let (mut kept, mut kept_end, mut start) = (0, 0, 0);
        for at in 0..self.items.len() {
            let item = self.items[at];
            if keeps(item.tag) {
                if kept < at {
                    self.originals.copy_within(start as usize..item.end as usize, kept_end as usize);
                }
                kept_end += item.end - start;
                self.items[kept] = Item { end: kept_end, ..item };
                kept += 1;
            }
            start = item.end;
        }
        self.items.truncate(kept);
        self.originals.truncate(kept_end as usize);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Kind, tag and canonical bytes of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, [u8; 16], &[u8])> {
        let mut start = 0;
        self.items.iter().map(move |item| {
            let original = &self.originals[start..item.end as usize];
            start = item.end as usize;
            (item.kind, item.tag, original)
        })
    }

    /// Forgets them all, keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.originals.clear();
    }

    fn start_of(&self, index: usize) -> u32 {
        index.checked_sub(1).map_or(0, |before| self.items[before].end)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({}, [{} bytes redacted])", self.items.len(), self.originals.len())
    }
}

/// Tags of the networks that addresses are in: for search, never in a line. One a thread, for it remembers
/// recent ones.
pub struct Networks {
    keys: Arc<EpochKeys>,
    /// Of IPv4 and of IPv6: direct-mapped, small enough to stay in the cache of a core.
    recent: [Vec<Option<Remembered>>; 2],
    /// Those that are asked for together; empty in between.
    asked: Vec<Network>,
    /// Those of them that are not remembered.
    unknown: Vec<Network>,
}

#[derive(Clone, Copy)]
struct Remembered {
    /// The bits of the network.
    network: u64,
    tag: [u8; 16],
}

/// Networks that are remembered of each version; a power of two.
const REMEMBERED: usize = 1 << 13;

/// The /24 of an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy)]
struct Network {
    bits: u64,
    /// 0 for IPv4, 1 for IPv6.
    version: usize,
}

impl Network {
    /// That of an address, given its canonical bytes.
    fn of(address: &[u8]) -> Option<Self> {
        match *address {
            [4, a, b, c, _] => Some(Self { version: 0, bits: u64::from_be_bytes([0, 0, 0, 0, 0, a, b, c]) }),
            [6, a, b, c, d, e, f, g, h, ..] if address.len() == 17 => {
                Some(Self { version: 1, bits: u64::from_be_bytes([a, b, c, d, e, f, g, h]) })
            }
            _ => None,
        }
    }

    fn place(self) -> usize {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        (self.bits.wrapping_mul(MULTIPLIER) >> 32) as usize % REMEMBERED
    }

    /// Its canonical bytes, `04` and 3 bytes or `06` and 8 bytes, as an HMAC takes them.
    fn block(self) -> hmac::Block {
        let mut bytes = [6; 9];
        bytes[1..].copy_from_slice(&self.bits.to_be_bytes());
        let canonical = match self.version {
            0 => {
                bytes[5] = 4;
                &bytes[5..]
            }
            _ => &bytes[..],
        };
        hmac::Block::new(canonical).expect("nine bytes are short enough")
    }
}

impl Networks {
    /// Networks in one epoch.
    #[must_use]
    pub fn new(keys: Arc<EpochKeys>) -> Self {
        let recent = [vec![None; REMEMBERED], vec![None; REMEMBERED]];
        Self { keys, recent, asked: Vec::new(), unknown: Vec::new() }
    }

    /// Goes over to the keys of another epoch.
    pub fn enter(&mut self, keys: &Arc<EpochKeys>) {
        if !Arc::ptr_eq(&self.keys, keys) {
            *self = Self::new(Arc::clone(keys));
        }
    }

    /// The tag of the network of an address, given its canonical bytes: the /24 of an IPv4 address (`04`
    /// and 3 bytes), the /64 of an IPv6 address (`06` and 8 bytes). `None` if that is no address.
    pub fn tag_of(&mut self, address: &[u8]) -> Option<[u8; 16]> {
        let mut found = None;
        self.tags_of([address].into_iter(), |tag| found = Some(tag));
        found
    }

    /// The same for many addresses, whose waits for memory overlap. Tags come in any order, those of a
    /// network once or more often.
    pub fn tags_of<'a>(&mut self, addresses: impl Iterator<Item = &'a [u8]>, mut take: impl FnMut([u8; 16])) {
        let Self { keys, recent, asked, unknown } = self;
        asked.extend(addresses.filter_map(Network::of));
        for batch in asked.chunks(FETCHED_AT_ONCE) {
            let near = batch.iter().map(|network| recent[network.version][network.place()].is_some());
            std::hint::black_box(near.fold(false, |any, known| any | known));
            for network in batch {
                let known =
                    recent[network.version][network.place()].filter(|known| known.network == network.bits);
                match known {
                    Some(known) => take(known.tag),
                    None => unknown.push(*network),
                }
            }
        }
        let mut remember = |network: &Network, tag| {
            recent[network.version][network.place()] = Some(Remembered { network: network.bits, tag });
            take(tag);
        };
        let (batches, rest) = unknown.as_chunks::<AT_ONCE>();
        for batch in batches {
            let tags = keys.tags(batch.map(|network| (Kind::NET, network.block())));
            batch.iter().zip(tags).for_each(|(network, tag)| remember(network, tag));
        }
        for network in rest {
            let [tag] = keys.tags([(Kind::NET, network.block())]);
            remember(network, tag);
        }
        asked.clear();
        unknown.clear();
    }
}

/// How many networks are fetched before the first is looked at.
const FETCHED_AT_ONCE: usize = 16;

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Networks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kinds;
    use crate::primitives::secret::Secret;
    use crate::pseudonym::epoch::Epoch;

    fn all(tokens: &Tokens) -> Vec<(Kind, u8, Vec<u8>)> {
        tokens.iter().map(|(kind, tag, original)| (kind, tag[0], original.to_vec())).collect()
    }

    #[test]
    fn networks_are_those_of_the_addresses() {
        let keys = EpochKeys::derive(&Secret::new([7; 32]), Epoch::Fixed, "default", &Kinds::default());
        let mut networks = Networks::new(Arc::new(keys.clone()));
        let v6 = |last: u8| [&[6, 0x20, 1, 0xd, 0xb8, 0, 0, 0, last][..], &[1; 8]].concat();
        // Twice, in an order in which networks push each other out.
        for round in 0..2 {
            for number in 0..20_000_u32 {
                let [_, a, b, c] = number.to_be_bytes();
                let tag = networks.tag_of(&[4, a, b, c, 9]);
                assert_eq!(tag, Some(keys.tag(Kind::NET, &[4, a, b, c])), "round {round}");
            }
            for last in 0..3 {
                assert_eq!(networks.tag_of(&v6(last)), Some(keys.tag(Kind::NET, &v6(last)[..9])));
            }
        }
        let others = [&b""[..], b"\x04\x01", b"\x06\x01", b"jean@example.org"];
        assert!(others.iter().all(|other| networks.tag_of(other).is_none()));
        // Together, with some that are remembered and one that comes twice.
        let many: Vec<_> = [7, 7, 0, 1, 2].map(v6).into_iter().chain([vec![4, 1, 2, 3, 9]]).collect();
        let mut tags = Vec::new();
        networks.tags_of(many.iter().map(Vec::as_slice).chain(others), |tag| tags.push(tag));
        tags.sort_unstable();
        let mut expected: Vec<_> = many.iter().map(|address| networks.tag_of(address).unwrap()).collect();
        expected.sort_unstable();
        assert_eq!(tags, expected);
    }

    #[test]
    fn tokens_keep_their_originals() {
        let mut first = Tokens::default();
        for (number, original) in [(1, &b"one"[..]), (2, b""), (3, b"three"), (4, b"four")] {
            first.push(Kind::EM, [number; 16], original);
        }
        let mut second = Tokens::default();
        second.push(Kind::IP, [9; 16], b"nine");
        second.extend_from(&first, 1..3);
        second.extend_from(&first, 2..2);
        second.extend_from(&first, 0..1);
        let expected = [
            (Kind::IP, 9, b"nine".to_vec()),
            (Kind::EM, 2, b"".to_vec()),
            (Kind::EM, 3, b"three".to_vec()),
            (Kind::EM, 1, b"one".to_vec()),
        ];
        assert_eq!(all(&second), expected);
        second.retain(|tag| ![[2; 16], [9; 16]].contains(&tag));
        assert_eq!(all(&second), expected[2..]);
        second.push(Kind::IP, [5; 16], b"five");
        second.retain(|tag| tag != [1; 16]);
        assert_eq!(all(&second), [expected[2].clone(), (Kind::IP, 5, b"five".to_vec())]);
        assert_eq!(format!("{second:?}"), "Tokens(2, [9 bytes redacted])");
    }
}
