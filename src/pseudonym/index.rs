//! The index of pseudonymised lines that an archive needs: class, days, and tokens with their originals.
//!
//! It is built only for an archive ([`super::Layout::index_line`]), not for a filter that writes to a pipe.

use super::epoch::EpochKeys;
use super::hmac::{self, AT_ONCE};
use super::recent::Note;
use crate::model::{Expires, Kind};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The retention of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Index of the class in the policy; the number of classes stands for a class that the policy does not have.
    pub class: usize,
    /// The first legal day on which the line must no longer exist.
    pub expires: Expires,
    /// Event time in Unix seconds: the time that the line states if it is believed, otherwise its receipt.
    pub event_second: i64,
}

/// One line of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The offset in the bytes at which the line ends, including its line end.
    pub(super) end: usize,
    pub(super) event_second: i64,
    /// The number of tokens up to the end of the line.
    tokens_end: u32,
}

/// Consecutive lines of one class and expiry day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The number of entries up to the end of the run.
    pub(super) lines_end: usize,
    /// The number of tokens up to the end of the run.
    tokens_end: u32,
    pub(super) class: usize,
    pub(super) expires: Expires,
    destination: u64,
}

/// The index of a block: its lines and tokens in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The keys of the epoch that all tokens belong to.
    pub(super) keys: Option<Arc<EpochKeys>>,
    pub(super) entries: Vec<Entry>,
    /// Whether a line lacks its line end.
    pub(super) unended: bool,
    pub(super) tokens: Tokens,
    pub(super) runs: Vec<Run>,
    /// The numbers of lines that are placeholders.
    pub(super) placeholders: Vec<usize>,
}

impl Index {
    /// Adds a token whose tag is not known yet. Returns its number for [`Index::complete`].
    #[inline]
    pub(super) fn push_later(&mut self, kind: Kind, original: &[u8]) -> u32 {
        self.tokens.push_item(kind, [0; 16], original)
    }

    /// Completes a token of a finished line with its tag and network, and notes its destination.
    #[inline]
    pub(super) fn complete(&mut self, number: u32, note: &mut Note) {
        let run = self.runs.partition_point(|run| run.tokens_end <= number);
        let destination = self.runs.get(run).map_or(0, |run| run.destination);
        let item = &mut self.tokens.items[number as usize];
        (item.tag, item.network) = (note.tag, note.network);
        if note.sent != destination || destination == 0 {
            note.sent = destination;
            self.tokens.fresh.push(number);
        }
    }

    /// Sorts the fresh tokens. Called once all tokens are complete.
    pub(super) fn finish(&mut self) {
        // The numbers form a few sorted runs, which this sort merges.
        self.tokens.fresh.sort();
    }

    pub(super) fn clear(&mut self) {
        (self.keys, self.unended) = (None, false);
        self.runs.clear();
        self.placeholders.clear();
        self.entries.clear();
        self.tokens.clear();
    }

    /// Ends a line at the end of `bytes`.
    #[inline]
    pub(super) fn end_line(&mut self, bytes: &[u8], dated: Dated, destinations: &mut Destinations) {
        let Dated { class, expires, event_second } = dated;
        self.unended |= bytes.last() != Some(&b'\n');
        let tokens_end = self.tokens.count();
        self.entries.push(Entry { end: bytes.len(), event_second, tokens_end });
        let lines_end = self.entries.len();
        match self.runs.last_mut() {
            Some(run) if (run.class, run.expires) == (class, expires) => {
                (run.lines_end, run.tokens_end) = (lines_end, tokens_end);
            }
            _ => {
                let destination = destinations.of(class, expires);
                self.runs.push(Run { lines_end, tokens_end, class, expires, destination });
            }
        }
    }

    /// The retention of a line.
    pub(super) fn dated(&self, line: usize) -> Dated {
        let Run { class, expires, .. } = self.runs[self.runs.partition_point(|run| run.lines_end <= line)];
        Dated { class, expires, event_second: self.entries[line].event_second }
    }

    /// The range of the tokens of these lines.
    pub(super) fn tokens_of(&self, lines: Range<usize>) -> Range<u32> {
        let end_before = |line: usize| line.checked_sub(1).map_or(0, |line| self.entries[line].tokens_end);
        end_before(lines.start)..end_before(lines.end)
    }
}

/// Numbers the destinations of lines. A destination is the vault of a class and expiry day, as long as no further
/// vault is begun. No number is used twice.
#[derive(Default)]
pub(super) struct Destinations {
    numbers: Vec<((usize, Expires), u64)>,
    last: u64,
    /// How many vaults had been begun when the first of these numbers was assigned.
    vaults: u64,
}

impl Destinations {
    /// Forgets all numbers if a vault was begun since they were assigned. Returns `vaults_begun`.
    pub(super) fn renew(&mut self, vaults_begun: u64) -> u64 {
        if self.vaults != vaults_begun {
            self.clear();
            self.vaults = vaults_begun;
        }
        vaults_begun
    }

    /// Forgets all numbers.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
    }

    fn of(&mut self, class: usize, expires: Expires) -> u64 {
        let wanted = (class, expires);
        if let Some((_, number)) = self.numbers.iter().find(|(whose, _)| *whose == wanted) {
            return *number;
        }
        if self.numbers.len() >= MOST_DESTINATIONS {
            self.clear();
        }
        self.last += 1;
        self.numbers.push((wanted, self.last));
        self.last
    }
}

/// The maximum number of destinations. With more than this, vaults have to look up more tokens.
const MOST_DESTINATIONS: usize = 64;

/// Tokens and their originals in clear (as canonical bytes), for the vault only. Wiped when dropped, and
/// never printed.
pub struct Tokens {
    items: Vec<Item>,
    /// The numbers of tokens that may be new to their vault, in order. All others have been sent to the same vault
    /// before, unless it was begun since.
    fresh: Vec<u32>,
    originals: Zeroizing<Vec<u8>>,
    /// How many vaults had been begun before these tokens were made.
    vaults: u64,
}

#[derive(Clone, Copy)]
struct Item {
    kind: Kind,
    tag: [u8; 16],
    /// For an address, the first bytes of the tag of its network; for anything else, those of its own tag.
    network: [u8; 8],
    /// The end of the canonical bytes, which start where those of the previous item end.
    end: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { items: Vec::new(), fresh: Vec::new(), originals: Zeroizing::default(), vaults: u64::MAX }
    }
}

impl Tokens {
    /// Adds a token. If its original is unknown, `original` is empty.
    pub fn push(&mut self, kind: Kind, tag: [u8; 16], original: &[u8]) {
        let number = self.push_item(kind, tag, original);
        self.fresh.push(number);
    }

    /// Adds the token of an address, with the first bytes of the tag of its network.
    pub(super) fn push_address(&mut self, tag: [u8; 16], network: [u8; 8], original: &[u8]) {
        self.push(Kind::IP, tag, original);
        self.items.iter_mut().last().into_iter().for_each(|item| item.network = network);
    }

    /// Adds a token without marking it as fresh. Returns its number.
    #[inline]
    fn push_item(&mut self, kind: Kind, tag: [u8; 16], original: &[u8]) -> u32 {
        self.originals.extend_from_slice(original);
        // Blocks and frames are far smaller than 4 GiB; a wrong length here would only lose the originals after it.
        let end = u32::try_from(self.originals.len()).unwrap_or(u32::MAX);
        let number = self.count();
        self.items.push(Item { kind, tag, network: head(&tag), end });
        number
    }

    /// Records that `vaults` vaults had been begun before these tokens were made.
    pub(super) fn made_after(&mut self, vaults: u64) {
        self.vaults = self.vaults.min(vaults);
    }

    /// Adds the tokens of `other` in this range.
    pub fn extend_from(&mut self, other: &Self, range: Range<u32>) {
        self.vaults = self.vaults.min(other.vaults);
        if range.is_empty() {
            return;
        }
        let (start, end) = (other.start_of(range.start), other.start_of(range.end));
        let (base, first) = (self.start_of(self.count()), self.count());
        self.originals.extend_from_slice(&other.originals[start as usize..end as usize]);
        let items = &other.items[range.start as usize..range.end as usize];
        self.items.extend(items.iter().map(|item| Item { end: item.end - start + base, ..*item }));
        let place = |number| other.fresh.partition_point(|&fresh| fresh < number);
        let fresh = &other.fresh[place(range.start)..place(range.end)];
        self.fresh.extend(fresh.iter().map(|number| number - range.start + first));
    }

    /// The first eight bytes of each tag, each with those of its network's tag. For tokens of anything but an
    /// address, the second part is the same as the first.
    pub fn heads(&self) -> impl Iterator<Item = ([u8; 8], [u8; 8])> {
        self.items.iter().map(|item| (head(&item.tag), item.network))
    }

    /// Kind, tag and original of each token that may be missing from its vault. That vault is the `begun`-th under
    /// its keys ([`EpochKeys::begin_vault`]), and must hold all tokens that were sent to it before.
    pub fn fresh(&self, begun: u64) -> impl Iterator<Item = (Kind, [u8; 16], &[u8])> {
        // Tokens that were sent before that vault was begun are not in it.
        let (fresh, all) = match begun <= self.vaults {
            true => (&self.fresh[..], 0..0),
            false => (&[][..], 0..self.count()),
        };
        fresh.iter().copied().chain(all).map(|number| self.at(number))
    }

    /// Removes all tokens and keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.fresh.clear();
        self.originals.clear();
        self.vaults = u64::MAX;
    }

    #[expect(clippy::cast_possible_truncation, reason = "blocks and frames are far smaller than 4 GiB")]
    fn count(&self) -> u32 {
        self.items.len() as u32
    }

    fn at(&self, number: u32) -> (Kind, [u8; 16], &[u8]) {
        let item = &self.items[number as usize];
        (item.kind, item.tag, &self.originals[self.start_of(number) as usize..item.end as usize])
    }

    fn start_of(&self, number: u32) -> u32 {
        number.checked_sub(1).map_or(0, |before| self.items[before as usize].end)
    }
}

/// The part of a tag that a filter uses.
pub(super) fn head(tag: &[u8; 16]) -> [u8; 8] {
    let [head @ .., _, _, _, _, _, _, _, _] = *tag;
    head
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({}, [{} bytes redacted])", self.items.len(), self.originals.len())
    }
}

/// Makes the tags of the networks of addresses, which serve for search and never appear in a line. Each
/// thread has its own, because it caches recent ones.
pub struct Networks {
    keys: Arc<EpochKeys>,
    /// Caches for IPv4 and IPv6: direct-mapped, and small enough for the cache of a core.
    recent: [Vec<Option<Remembered>>; 2],
    /// Pending requests, each with its number. Empty between batches.
    asked: Vec<(usize, Network)>,
}

#[derive(Clone, Copy)]
struct Remembered {
    /// The prefix bits of the network.
    network: u64,
    tag: [u8; 16],
}

/// The number of networks cached per IP version; a power of two.
const REMEMBERED: usize = 1 << 13;

/// The /24 of an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy)]
struct Network {
    bits: u64,
    /// 0 for IPv4, 1 for IPv6.
    version: usize,
}

impl Network {
    /// The network of an address, given its canonical bytes.
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

    /// The canonical bytes, `04` and 3 bytes or `06` and 8 bytes, as an HMAC block.
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
    /// Creates an empty cache for one epoch.
    #[must_use]
    pub fn new(keys: Arc<EpochKeys>) -> Self {
        let recent = [vec![None; REMEMBERED], vec![None; REMEMBERED]];
        Self { keys, recent, asked: Vec::new() }
    }

    /// Switches to the keys of another epoch.
    pub fn enter(&mut self, keys: &Arc<EpochKeys>) {
        if !Arc::ptr_eq(&self.keys, keys) {
            *self = Self::new(Arc::clone(keys));
        }
    }

    /// The tag of the network of an address, given its canonical bytes: the /24 of an IPv4 address (`04`
    /// and 3 bytes) or the /64 of an IPv6 address (`06` and 8 bytes). `None` if these are no address.
    pub fn tag_of(&mut self, address: &[u8]) -> Option<[u8; 16]> {
        let mut found = None;
        self.ask(0, address);
        self.answer(|_, tag| found = Some(tag));
        found
    }

    /// Requests the tag of the network of an address, given its canonical bytes. Bytes that are no address get no
    /// answer.
    pub(super) fn ask(&mut self, number: usize, address: &[u8]) {
        self.asked.extend(Network::of(address).map(|network| (number, network)));
    }

    /// Answers all pending requests, in any order.
    pub(super) fn answer(&mut self, mut take: impl FnMut(usize, [u8; 16])) {
        let Self { keys, recent, asked } = self;
        asked.retain(|&(number, network)| {
            let known =
                recent[network.version][network.place()].filter(|known| known.network == network.bits);
            known.into_iter().for_each(|known| take(number, known.tag));
            known.is_none()
        });
        let mut remember = |&(number, network): &(usize, Network), tag| {
            recent[network.version][network.place()] = Some(Remembered { network: network.bits, tag });
            take(number, tag);
        };
        let (batches, rest) = asked.as_chunks::<AT_ONCE>();
        for batch in batches {
            let tags = keys.tags(batch.map(|(_, network)| (Kind::NET, network.block())));
            batch.iter().zip(tags).for_each(|(asked, tag)| remember(asked, tag));
        }
        for asked in rest {
            let [tag] = keys.tags([(Kind::NET, asked.1.block())]);
            remember(asked, tag);
        }
        asked.clear();
    }
}

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
        let token = |number| tokens.at(number);
        let short = |(kind, tag, original): (Kind, [u8; 16], &[u8])| (kind, tag[0], original.to_vec());
        (0..tokens.count()).map(token).map(short).collect()
    }

    #[test]
    fn networks_are_those_of_the_addresses() {
        let keys = EpochKeys::derive(&Secret::new([7; 32]), Epoch::Fixed, "default", &Kinds::default());
        let mut networks = Networks::new(Arc::new(keys.clone()));
        let v6 = |last: u8| [&[6, 0x20, 1, 0xd, 0xb8, 0, 0, 0, last][..], &[1; 8]].concat();
        // Twice, in an order in which networks evict each other.
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
        // In one batch, with some that are cached and one that occurs twice.
        let many: Vec<_> = [7, 7, 0, 1, 2].map(v6).into_iter().chain([vec![4, 1, 2, 3, 9]]).collect();
        let asked = many.iter().map(Vec::as_slice).chain(others);
        asked.enumerate().for_each(|(number, address)| networks.ask(number, address));
        let mut tags = vec![None; many.len() + others.len()];
        networks.answer(|number, tag| tags[number] = Some(tag));
        let expected: Vec<_> = many.iter().map(|address| networks.tag_of(address)).chain([None; 4]).collect();
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
        second.push_address([5; 16], [6; 8], b"five");
        assert_eq!(second.heads().skip(3).collect::<Vec<_>>(), [([1; 8], [1; 8]), ([5; 8], [6; 8])]);
        assert_eq!(format!("{second:?}"), "Tokens(5, [16 bytes redacted])");
        second.clear();
        assert_eq!(all(&second), []);
    }

    /// Builds the lines of a block, each with one token, from the given classes. Returns which tokens are sent for the
    /// first time, as far as the block can tell.
    fn first_sent(
        classes: &[usize],
        note: &mut Note,
        destinations: &mut Destinations,
        begun: u64,
    ) -> Vec<bool> {
        let mut index = Index::default();
        index.tokens.made_after(destinations.renew(begun));
        for &class in classes {
            index.push_later(Kind::IP, b"\x04one");
            index.end_line(
                b"x\n",
                Dated { class, expires: Expires::Contract, event_second: 0 },
                destinations,
            );
        }
        (0..index.tokens.count()).for_each(|number| index.complete(number, note));
        index.finish();
        (0..index.tokens.count()).map(|number| index.tokens.fresh.contains(&number)).collect()
    }

    #[test]
    fn a_token_is_fresh_once_a_destination() {
        let (mut note, mut destinations) =
            (Note { tag: [7; 16], ..Note::default() }, Destinations::default());
        assert_eq!(first_sent(&[3, 3, 3], &mut note, &mut destinations, 1), [true, false, false]);
        assert_eq!(first_sent(&[3, 4, 4, 3], &mut note, &mut destinations, 1), [false, true, false, true]);
        assert_eq!(first_sent(&[3, 3], &mut note, &mut destinations, 2), [true, false], "another vault");
        let many: Vec<_> = (0..=MOST_DESTINATIONS).collect();
        assert!(first_sent(&many, &mut note, &mut destinations, 2).iter().all(|fresh| *fresh));
        assert_eq!(first_sent(&[0, 0], &mut note, &mut destinations, 2), [true, false], "it was forgotten");
    }

    #[test]
    fn what_was_sent_before_its_vault_was_begun_is_fresh() {
        let mut block = Tokens::default();
        block.made_after(5);
        block.push(Kind::EM, [0; 16], b"one");
        block.push_item(Kind::EM, [1; 16], b"two");
        let fresh =
            |tokens: &Tokens, begun| tokens.fresh(begun).map(|(_, tag, _)| tag[0]).collect::<Vec<_>>();
        assert_eq!([4, 5, 6].map(|begun| fresh(&block, begun)), [vec![0], vec![0], vec![0, 1]]);
        let mut older = Tokens::default();
        older.made_after(4);
        let mut frame = Tokens::default();
        [&block, &older].iter().for_each(|tokens| frame.extend_from(tokens, 0..tokens.count()));
        assert_eq!([4, 5].map(|begun| fresh(&frame, begun)), [vec![0], vec![0, 1]]);
    }
}
