//! What an archive must know of pseudonymised lines beside their bytes: class, days, and the tokens in
//! them with what they stand for.
//!
//! Made only for an archive ([`super::Layout::index_line`]); a filter that writes to a pipe makes none.

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
    pub(super) event_second: i64,
    /// Where its tokens end in the tokens.
    tokens_end: u32,
}

/// Lines of one class and day, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where they end in the entries.
    pub(super) lines_end: usize,
    /// Where their tokens end in the tokens.
    tokens_end: u32,
    pub(super) class: usize,
    pub(super) expires: Expires,
    destination: u64,
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
    pub(super) runs: Vec<Run>,
    /// The numbers of lines that stand for sealed ones.
    pub(super) placeholders: Vec<usize>,
}

impl Index {
    /// Adds a token whose tag is not known yet. Its number, for [`Index::complete`].
    #[inline]
    pub(super) fn push_later(&mut self, kind: Kind, original: &[u8]) -> u32 {
        self.tokens.push_item(kind, [0; 16], original)
    }

    /// What is known now of the token of that number, whose line has ended; notes where it goes.
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

    /// All tokens are complete.
    pub(super) fn finish(&mut self) {
        // They came in a few runs that are in order already, which this sort merges.
        self.tokens.fresh.sort();
    }

    pub(super) fn clear(&mut self) {
        (self.keys, self.unended) = (None, false);
        self.runs.clear();
        self.placeholders.clear();
        self.entries.clear();
        self.tokens.clear();
    }

    /// Ends a line where `bytes` end.
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

    /// Where the tokens of the lines of these numbers start and end.
    pub(super) fn tokens_of(&self, lines: Range<usize>) -> Range<u32> {
        let end_before = |line: usize| line.checked_sub(1).map_or(0, |line| self.entries[line].tokens_end);
        end_before(lines.start)..end_before(lines.end)
    }
}

/// Numbers for where lines go: the vault of a class and a day, until any vault is begun. No number is given twice.
#[derive(Default)]
pub(super) struct Destinations {
    numbers: Vec<((usize, Expires), u64)>,
    last: u64,
    /// How many vaults had been begun when the first of these numbers was given.
    vaults: u64,
}

impl Destinations {
    /// Forgets all numbers if a vault was begun since. How many there are.
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

/// Destinations that are told apart. With more of them vaults look more tokens up.
const MOST_DESTINATIONS: usize = 64;

/// Tokens and the canonical bytes they stand for, in clear: for the vault alone. Wiped when dropped, never
/// printed.
pub struct Tokens {
    items: Vec<Item>,
    /// The numbers of those that may not have gone to the same vault before, in order; all others have, unless it was
    /// begun since.
    fresh: Vec<u32>,
    originals: Zeroizing<Vec<u8>>,
    /// How many vaults had been begun before these tokens were made.
    vaults: u64,
}

#[derive(Clone, Copy)]
struct Item {
    kind: Kind,
    tag: [u8; 16],
    /// The first bytes of the tag of the network that an address is in; of anything else, those of its own tag.
    network: [u8; 8],
    /// Where its canonical bytes end; they start where those of the item before end.
    end: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { items: Vec::new(), fresh: Vec::new(), originals: Zeroizing::default(), vaults: u64::MAX }
    }
}

impl Tokens {
    /// Adds a token. One whose original is not known has none, empty.
    pub fn push(&mut self, kind: Kind, tag: [u8; 16], original: &[u8]) {
        let number = self.push_item(kind, tag, original);
        self.fresh.push(number);
    }

    /// Adds the token of an address, with the first bytes of the tag of its network.
    pub(super) fn push_address(&mut self, tag: [u8; 16], network: [u8; 8], original: &[u8]) {
        self.push(Kind::IP, tag, original);
        self.items.iter_mut().last().into_iter().for_each(|item| item.network = network);
    }

    /// Adds a token of which it is not known whether it is fresh. Its number.
    #[inline]
    fn push_item(&mut self, kind: Kind, tag: [u8; 16], original: &[u8]) -> u32 {
        self.originals.extend_from_slice(original);
        // Blocks and frames are far smaller than 4 GiB; a wrong length here would only lose what follows.
        let end = u32::try_from(self.originals.len()).unwrap_or(u32::MAX);
        let number = self.count();
        self.items.push(Item { kind, tag, network: head(&tag), end });
        number
    }

    /// Says that so many vaults had been begun before these tokens were made.
    pub(super) fn made_after(&mut self, vaults: u64) {
        self.vaults = self.vaults.min(vaults);
    }

    /// Adds the tokens of `other` that stand in this range.
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

    /// The first eight bytes of each tag, and of the tag of the network that an address is in; for anything else those
    /// of its own tag once more.
    pub fn heads(&self) -> impl Iterator<Item = ([u8; 8], [u8; 8])> {
        self.items.iter().map(|item| (head(&item.tag), item.network))
    }

    /// Kind, tag and canonical bytes of those that may not be in their vault, the `begun`-th under its keys
    /// ([`EpochKeys::begin_vault`]), although all that were sent there before them are.
    pub fn fresh(&self, begun: u64) -> impl Iterator<Item = (Kind, [u8; 16], &[u8])> {
        // What was sent before that vault was begun is not in it.
        let (fresh, all) = match begun <= self.vaults {
            true => (&self.fresh[..], 0..0),
            false => (&[][..], 0..self.count()),
        };
        fresh.iter().copied().chain(all).map(|number| self.at(number))
    }

    /// Forgets them all, keeps the memory.
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

/// What a filter takes of a tag.
pub(super) fn head(tag: &[u8; 16]) -> [u8; 8] {
    let [head @ .., _, _, _, _, _, _, _, _] = *tag;
    head
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
    /// Those that are asked for together, and under which number; empty in between.
    asked: Vec<(usize, Network)>,
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
        Self { keys, recent, asked: Vec::new() }
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
        self.ask(0, address);
        self.answer(|_, tag| found = Some(tag));
        found
    }

    /// Asks, under a number, for the tag of the network of an address, given its canonical bytes. What is no address has
    /// no answer.
    pub(super) fn ask(&mut self, number: usize, address: &[u8]) {
        self.asked.extend(Network::of(address).map(|network| (number, network)));
    }

    /// Answers all that was asked, in any order.
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

    /// The lines of a block, each with one token, whose classes are given; which of them are sent for the first time, for
    /// all that the block knows.
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
