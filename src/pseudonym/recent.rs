//! The recent tokens of one worker: fixed-size caches in front of the HMAC.
//!
//! There are two tables for two sizes of key: one for IPv4 addresses, whose entries take half a cache line,
//! and one for all other short identifiers, whose entries take a whole one. Both are two-way
//! set-associative: the newer entry of a set comes first, and the older one is evicted. An entry holds the
//! text of the tag as it appears in a token, so a known identifier costs one look-up and one copy. The
//! memory is fixed, however many distinct identifiers there are: a miss costs one HMAC, never memory.
//!
//! If lines are indexed, each entry has a [`Note`] in a separate table. A filter that does not index lines neither
//! allocates notes nor fetches them.

use super::token::TAG_BYTES;
use crate::model::Kind;
use crate::primitives::processor::prefetch;

/// The encoded text of a tag.
pub(crate) type TagText = [u8; TAG_BYTES];

/// The maximum length of a cached canonical form, in bytes: fits every address, and nearly every e-mail address.
const LONGEST_BYTES: usize = 36;

/// Kind, length and canonical form, padded with zeros. Equal keys are equal identifiers.
#[derive(Clone, Copy)]
pub(crate) struct Key([u8; 2 + LONGEST_BYTES]);

impl Key {
    /// The key of an empty entry: no kind has the number 255.
    const NONE: Self = Self([u8::MAX; 2 + LONGEST_BYTES]);

    /// Returns `None` if the canonical form is too long to be cached.
    #[inline]
    pub(crate) fn new(kind: Kind, canonical: &[u8]) -> Option<Self> {
        let mut bytes = [0; 2 + LONGEST_BYTES];
        bytes[0] = kind.0;
        bytes[1] = u8::try_from(canonical.len()).ok()?;
        bytes[2..].get_mut(..canonical.len())?.copy_from_slice(canonical);
        Some(Self(bytes))
    }

    /// The kind.
    pub(crate) fn kind(&self) -> Kind {
        Kind(self.0[0])
    }

    /// The canonical form.
    pub(crate) fn canonical(&self) -> &[u8] {
        &self.0[2..2 + usize::from(self.0[1])]
    }

    /// A fast hash without a key. An attacker who crafts collisions gains only misses, and each costs one HMAC,
    /// as every new identifier does anyway.
    #[inline]
    fn hash(&self) -> u64 {
        let [a, b, c, d, e] = self.words();
        let (high, low) = (fold(a ^ MIX[0], b ^ MIX[1]), fold(c ^ MIX[2], d ^ MIX[3]));
        fold(high ^ e, low ^ MIX[4])
    }

    /// All bytes as words; the last word overlaps the one before it.
    #[inline]
    fn words(&self) -> [u64; 5] {
        [0, 8, 16, 24, 30].map(|at| self.0[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
    }

    /// Compares without a call or a branch.
    #[inline]
    fn is(&self, other: &Self) -> bool {
        self.words().into_iter().zip(other.words()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// Digits of pi, as in Blowfish: numbers without a pattern.
const MIX: [u64; 5] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
];

/// XORs the two halves of the product.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// An entry of 32 bytes: the two entries of a set fill one cache line.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct V4Entry {
    address: [u8; 4],
    known: bool,
    text: TagText,
}

/// An entry of 64 bytes, one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    key: Key,
    text: TagText,
}

/// What an index needs to know about a token, and where the token was sent. The two notes of a set fill
/// one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(crate) struct Note {
    pub(crate) tag: [u8; 16],
    /// For an address, the first bytes of the tag of its network; for anything else, those of its own tag.
    pub(crate) network: [u8; 8],
    /// The destination that the token was last sent to; 0 for none.
    pub(crate) sent: u64,
}

/// The index of a set. It is computed when the identifier is found in a line, and used when the block is
/// done; in the meantime the set is prefetched from wherever in memory it is.
#[derive(Clone, Copy)]
pub(crate) struct Set(usize);

/// The position of an entry: the set, and which of its two ways.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    set: usize,
    way: usize,
}

const NO_V4: V4Entry = V4Entry { address: [0; 4], known: false, text: [0; TAG_BYTES] };
const NONE: Entry = Entry { key: Key::NONE, text: [0; TAG_BYTES] };

/// Fixed-size caches of recent tag texts.
pub(crate) struct RecentTokens {
    v4: Vec<[V4Entry; 2]>,
    other: Vec<[Entry; 2]>,
    /// The notes of the entries of both tables; empty unless notes are taken.
    v4_notes: Vec<[Note; 2]>,
    other_notes: Vec<[Note; 2]>,
    hits: u64,
    misses: u64,
}

impl RecentTokens {
    /// Creates tables that take `bytes` bytes together, rounded down to a power of two, but at least 1 MiB.
    pub(crate) fn new(bytes: usize) -> Self {
        let half = (bytes / 2).max(512 << 10);
        let sets = |set_bytes: usize| 1 << (half / set_bytes).ilog2();
        Self {
            v4: vec![[NO_V4; 2]; sets(size_of::<[V4Entry; 2]>())],
            other: vec![[NONE; 2]; sets(size_of::<[Entry; 2]>())],
            v4_notes: Vec::new(),
            other_notes: Vec::new(),
            hits: 0,
            misses: 0,
        }
    }

    /// Allocates notes unless they exist already. Entries cached without notes are removed.
    pub(crate) fn take_notes(&mut self) {
        if self.v4_notes.is_empty() {
            self.clear();
            self.v4_notes = vec![Default::default(); self.v4.len()];
            self.other_notes = vec![Default::default(); self.other.len()];
        }
    }

    /// The set of an IPv4 address. Begins to prefetch it.
    #[inline]
    pub(crate) fn v4_set(&self, address: [u8; 4]) -> Set {
        let set = set(v4_hash(address), self.v4.len());
        prefetch(&self.v4[set]);
        self.v4_notes.get(set).into_iter().for_each(prefetch);
        Set(set)
    }

    /// The set of any other identifier. Begins to prefetch it.
    #[inline]
    pub(crate) fn other_set(&self, key: &Key) -> Set {
        let set = set(key.hash(), self.other.len());
        self.other[set].iter().for_each(prefetch);
        self.other_notes.get(set).into_iter().for_each(prefetch);
        Set(set)
    }

    /// The text of the tag of an IPv4 address and the slot of its entry, if it is cached.
    #[inline]
    pub(crate) fn v4(&mut self, address: [u8; 4], Set(number): Set) -> Option<(&TagText, Slot)> {
        let set = &self.v4[number];
        // Which of the two it is cannot be predicted, so avoid a branch.
        let is = |entry: &V4Entry| {
            entry.known & (u32::from_ne_bytes(entry.address) == u32::from_ne_bytes(address))
        };
        let (newer, older) = (is(&set[0]), is(&set[1]));
        let found = newer | older;
        self.hits += u64::from(found);
        self.misses += u64::from(!found);
        let way = usize::from(!newer);
        found.then(|| (&set[way].text, Slot { set: number, way }))
    }

    /// The note of an IPv4 address that is cached, if notes are taken.
    #[inline]
    pub(crate) fn v4_note(&mut self, slot: Slot) -> Option<&mut Note> {
        self.v4_notes.get_mut(slot.set)?.get_mut(slot.way)
    }

    /// Caches the text of the tag of an IPv4 address, and its note.
    pub(crate) fn remember_v4(&mut self, address: [u8; 4], Set(set): Set, text: TagText, note: Note) {
        push(&mut self.v4[set], V4Entry { address, known: true, text });
        self.v4_notes.get_mut(set).into_iter().for_each(|notes| push(notes, note));
    }

    /// The text of the tag of any other identifier and the slot of its entry, if it is cached.
    #[inline]
    pub(crate) fn other(&mut self, key: &Key, Set(number): Set) -> Option<(&TagText, Slot)> {
        let set = &self.other[number];
        let (newer, older) = (set[0].key.is(key), set[1].key.is(key));
        let found = newer | older;
        self.hits += u64::from(found);
        self.misses += u64::from(!found);
        let way = usize::from(!newer);
        found.then(|| (&set[way].text, Slot { set: number, way }))
    }

    /// The note of any other identifier that is cached, if notes are taken.
    #[inline]
    pub(crate) fn other_note(&mut self, slot: Slot) -> Option<&mut Note> {
        self.other_notes.get_mut(slot.set)?.get_mut(slot.way)
    }

    /// Caches the text of the tag of any other identifier, and its note.
    pub(crate) fn remember_other(&mut self, key: Key, Set(set): Set, text: TagText, note: Note) {
        push(&mut self.other[set], Entry { key, text });
        self.other_notes.get_mut(set).into_iter().for_each(|notes| push(notes, note));
    }

    /// Counts a miss for an identifier that is too long to be cached.
    pub(crate) fn miss(&mut self) {
        self.misses += 1;
    }

    /// Removes all entries and notes.
    pub(crate) fn clear(&mut self) {
        self.v4.fill([NO_V4; 2]);
        self.other.fill([NONE; 2]);
        self.v4_notes.fill(Default::default());
        self.other_notes.fill(Default::default());
    }

    /// The hits and misses so far.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

/// Puts `newest` in front and evicts the older entry.
#[inline]
fn push<T>([newer, older]: &mut [T; 2], newest: T) {
    *older = std::mem::replace(newer, newest);
}

#[inline]
fn v4_hash(address: [u8; 4]) -> u64 {
    fold(u64::from(u32::from_ne_bytes(address)) ^ MIX[0], MIX[1])
}

/// The set of a hash among `sets` sets; `sets` is a power of two.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
fn set(hash: u64, sets: usize) -> usize {
    hash as usize & (sets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 1 << 20;

    fn text(value: u32) -> TagText {
        let mut text = [b'0'; TAG_BYTES];
        text[..4].copy_from_slice(&value.to_be_bytes());
        text
    }

    fn find_v4(recent: &mut RecentTokens, address: [u8; 4]) -> Option<(&TagText, Slot)> {
        recent.v4(address, recent.v4_set(address))
    }

    fn find<'r>(recent: &'r mut RecentTokens, key: &Key) -> Option<(&'r TagText, Slot)> {
        recent.other(key, recent.other_set(key))
    }

    fn remember_v4(recent: &mut RecentTokens, address: [u8; 4], text: TagText, note: Note) {
        recent.remember_v4(address, recent.v4_set(address), text, note);
    }

    fn remember(recent: &mut RecentTokens, key: Key, text: TagText, note: Note) {
        recent.remember_other(key, recent.other_set(&key), text, note);
    }

    #[test]
    fn sizes() {
        assert_eq!((size_of::<V4Entry>(), size_of::<Entry>(), size_of::<Note>()), (32, 64, 32));
        let recent = RecentTokens::new(SMALL);
        assert_eq!(recent.v4.len() * 64 + recent.other.len() * 128, SMALL);
        assert_eq!(RecentTokens::new(0).v4.len(), recent.v4.len());
    }

    #[test]
    fn remembers_and_forgets() {
        let mut recent = RecentTokens::new(SMALL);
        for round in 0..2 {
            for value in 0..1000u32 {
                let address = value.to_be_bytes();
                let key = Key::new(Kind::EM, &address).unwrap();
                match find_v4(&mut recent, address) {
                    Some((known, _)) => assert_eq!(*known, text(value), "round {round}"),
                    None => remember_v4(&mut recent, address, text(value), Note::default()),
                }
                match find(&mut recent, &key) {
                    Some((known, _)) => assert_eq!(*known, text(!value), "round {round}"),
                    None => remember(&mut recent, key, text(!value), Note::default()),
                }
            }
        }
        let (hits, misses) = recent.hits_and_misses();
        assert!(hits >= 1950, "{hits} hits");
        assert_eq!(hits + misses, 4000);
        recent.clear();
        assert!(find_v4(&mut recent, [0; 4]).is_none());
        assert!(find(&mut recent, &Key::new(Kind::EM, &[0; 4]).unwrap()).is_none());
    }

    #[test]
    fn kinds_and_lengths_do_not_mix() {
        let mut recent = RecentTokens::new(SMALL);
        let key = |kind, canonical: &[u8]| Key::new(kind, canonical).unwrap();
        remember(&mut recent, key(Kind::IP, b"abc"), text(7), Note::default());
        assert!(find(&mut recent, &key(Kind::EM, b"abc")).is_none());
        assert!(find(&mut recent, &key(Kind::IP, b"abc\0")).is_none());
        assert!(find(&mut recent, &key(Kind::IP, b"abc")).is_some());
        assert!(find_v4(&mut recent, [0; 4]).is_none(), "an empty entry is no address");
    }

    #[test]
    fn a_note_stays_with_its_entry() {
        let mut recent = RecentTokens::new(SMALL);
        remember_v4(&mut recent, [9; 4], text(9), Note::default());
        recent.take_notes();
        assert!(find_v4(&mut recent, [9; 4]).is_none(), "it had no note");
        let note = |value: u32| Note { sent: u64::from(value) + 1, ..Note::default() };
        // Many sets hold two entries; in those the older one was moved.
        for value in 0..20_000u32 {
            let address = value.to_be_bytes();
            remember_v4(&mut recent, address, text(value), note(value));
            remember(&mut recent, Key::new(Kind::EM, &address).unwrap(), text(value), note(value));
        }
        let mut found = 0;
        for value in 0..20_000u32 {
            let address = value.to_be_bytes();
            let slot = find_v4(&mut recent, address).map(|(_, slot)| slot);
            let other = find(&mut recent, &Key::new(Kind::EM, &address).unwrap()).map(|(_, slot)| slot);
            let sent = [
                slot.and_then(|slot| recent.v4_note(slot)).map(|note| note.sent),
                other.and_then(|slot| recent.other_note(slot)).map(|note| note.sent),
            ];
            assert!(sent.iter().flatten().all(|&sent| sent == u64::from(value) + 1), "{value}");
            found += sent.iter().flatten().count();
        }
        assert!(found > 10_000, "{found}");
    }

    #[test]
    fn keys_keep_what_they_are_made_of() {
        let key = Key::new(Kind::EM, b"jean@example.fr").unwrap();
        assert_eq!((key.kind(), key.canonical()), (Kind::EM, &b"jean@example.fr"[..]));
        assert!(Key::new(Kind::EM, &[b'a'; LONGEST_BYTES]).is_some());
        assert!(Key::new(Kind::EM, &[b'a'; LONGEST_BYTES + 1]).is_none());
    }
}
