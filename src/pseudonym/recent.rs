//! The recent tags of one worker: a bounded table in front of the HMAC.
//!
//! Direct-mapped, two ways a set: the newer entry comes first, the older one falls out. Memory is fixed
//! (`SETS * 2` entries of 40 bytes, 2.5 MiB), however many distinct
//! addresses go by: a miss costs one HMAC, never memory.

use crate::model::Kind;

/// Sets of two entries. A power of two.
const SETS: usize = 1 << 15;

/// Kind, length and canonical form, filled up with zeros: equal keys are equal identifiers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key([u64; 3]);

impl Key {
    /// The key of nothing: no kind has the number 255.
    const NONE: Self = Self([u64::MAX; 3]);

    /// `None` if the canonical form has more than 22 bytes: every address fits, not every e-mail.
    #[inline]
    fn new(kind: Kind, canonical: &[u8]) -> Option<Self> {
        let mut bytes = [0; 24];
        bytes[0] = kind.0;
        bytes[1] = u8::try_from(canonical.len()).ok()?;
        bytes[2..].get_mut(..canonical.len())?.copy_from_slice(canonical);
        let (words, _) = bytes.as_chunks::<8>();
        Some(Self([0, 1, 2].map(|word| u64::from_le_bytes(words[word]))))
    }

    /// A quick mix. Not keyed: whoever crafts collisions gains cache misses, each the price of one HMAC,
    /// which is what every new address costs anyway.
    #[inline]
    fn set(self) -> usize {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let [a, b, c] = self.0;
        let mixed = (a ^ b.rotate_left(23) ^ c.rotate_left(47)).wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ mixed >> 32 ^ b).wrapping_mul(MULTIPLIER);
        (mixed >> 40) as usize & (SETS - 1)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    tag: [u8; 16],
}

const EMPTY: Entry = Entry { key: Key::NONE, tag: [0; 16] };

/// A bounded table of recent tags.
pub(crate) struct RecentTags {
    entries: Vec<[Entry; 2]>,
    hits: u64,
    misses: u64,
}

/// What the table knows of a canonical form.
pub(crate) enum Slot {
    /// Its tag.
    Known([u8; 16]),
    /// Nothing; the tag may be remembered in that place (`None`: too long to be remembered).
    Free(Option<Place>),
}

/// Where a tag may be remembered, and under which key.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    key: Key,
    set: usize,
}

impl Default for RecentTags {
    fn default() -> Self {
        Self { entries: vec![[EMPTY; 2]; SETS], hits: 0, misses: 0 }
    }
}

impl RecentTags {
    /// Looks a canonical form up.
    #[inline]
    pub(crate) fn slot(&mut self, kind: Kind, canonical: &[u8]) -> Slot {
        let Some(key) = Key::new(kind, canonical) else {
            self.misses += 1;
            return Slot::Free(None);
        };
        let set = key.set();
        if let Some(entry) = self.entries[set].iter().find(|entry| entry.key == key) {
            self.hits += 1;
            return Slot::Known(entry.tag);
        }
        self.misses += 1;
        Slot::Free(Some(Place { key, set }))
    }

    /// Remembers a tag in the place that [`RecentTags::slot`] named.
    pub(crate) fn remember(&mut self, place: Option<Place>, tag: [u8; 16]) {
        let Some(Place { key, set }) = place else { return };
        let [newer, older] = &mut self.entries[set];
        *older = *newer;
        *newer = Entry { key, tag };
    }

    /// Forgets all tags.
    pub(crate) fn clear(&mut self) {
        self.entries.fill([EMPTY; 2]);
    }

    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_forgets() {
        let mut recent = RecentTags::default();
        for round in 0..2 {
            for value in 0..1000u32 {
                let canonical = value.to_be_bytes();
                match recent.slot(Kind::IP, &canonical) {
                    Slot::Known(tag) => assert_eq!(tag[..4], canonical, "round {round}"),
                    Slot::Free(set) => {
                        let mut tag = [0; 16];
                        tag[..4].copy_from_slice(&canonical);
                        recent.remember(set, tag);
                    }
                }
            }
        }
        let (hits, misses) = recent.hits_and_misses();
        assert!(hits >= 990, "{hits} hits");
        assert_eq!(hits + misses, 2000);
        recent.clear();
        assert!(matches!(recent.slot(Kind::IP, &[0; 4]), Slot::Free(Some(_))));
    }

    #[test]
    fn kinds_and_lengths_do_not_mix() {
        let mut recent = RecentTags::default();
        let Slot::Free(set) = recent.slot(Kind::IP, b"abc") else { panic!("empty table knows a tag") };
        recent.remember(set, [7; 16]);
        assert!(matches!(recent.slot(Kind::EM, b"abc"), Slot::Free(_)));
        assert!(matches!(recent.slot(Kind::IP, b"abc\0"), Slot::Free(_)));
        assert!(matches!(recent.slot(Kind::IP, b"abc"), Slot::Known(_)));
    }

    #[test]
    fn long_values_are_not_remembered() {
        let mut recent = RecentTags::default();
        assert!(matches!(recent.slot(Kind::EM, &[b'a'; 23]), Slot::Free(None)));
    }
}
