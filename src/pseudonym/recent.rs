//! The recent tags of one worker: a bounded table in front of the HMAC.
//!
//! Direct-mapped, two ways a set: the newer entry comes first, the older one falls out. Memory is fixed
//! (`SETS * 2` entries of 40 bytes, 5 MiB), however many distinct addresses go by: a miss costs one
//! HMAC, never memory.

use crate::model::Kind;

/// Longest canonical form that is remembered, in bytes: every address, not every e-mail.
const MOST_BYTES: usize = 22;

/// Sets of two entries. A power of two.
const SETS: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Entry {
    /// Kind + 1; 0 in an empty entry.
    kind: u8,
    length: u8,
    canonical: [u8; MOST_BYTES],
    tag: [u8; 16],
}

const EMPTY: Entry = Entry { kind: 0, length: 0, canonical: [0; MOST_BYTES], tag: [0; 16] };

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
    /// Nothing; the tag may be remembered in that set (`None`: too long to be remembered).
    Free(Option<usize>),
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
        if canonical.len() > MOST_BYTES {
            self.misses += 1;
            return Slot::Free(None);
        }
        let set = hash(kind, canonical) as usize & (SETS - 1);
        for entry in &self.entries[set] {
            if entry.kind == kind.0 + 1
                && usize::from(entry.length) == canonical.len()
                && &entry.canonical[..canonical.len()] == canonical
            {
                self.hits += 1;
                return Slot::Known(entry.tag);
            }
        }
        self.misses += 1;
        Slot::Free(Some(set))
    }

    /// Remembers a tag in the set that [`RecentTags::slot`] named.
    pub(crate) fn remember(&mut self, set: Option<usize>, kind: Kind, canonical: &[u8], tag: [u8; 16]) {
        let Some(set) = set else { return };
        let mut entry = Entry { kind: kind.0 + 1, length: 0, canonical: [0; MOST_BYTES], tag };
        // `slot` gave a set only for a canonical form that fits.
        entry.canonical[..canonical.len()].copy_from_slice(canonical);
        entry.length = u8::try_from(canonical.len()).unwrap_or(u8::MAX);
        let [newer, older] = &mut self.entries[set];
        *older = *newer;
        *newer = entry;
    }

    /// Forgets all tags.
    pub(crate) fn clear(&mut self) {
        self.entries.fill([EMPTY; 2]);
    }

    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

/// A quick mix of at most 22 bytes. Not keyed: whoever crafts collisions gains cache misses, each the
/// price of one HMAC, which is what every new address costs anyway.
#[inline]
fn hash(kind: Kind, canonical: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = u64::from(kind.0) ^ (canonical.len() as u64) << 8;
    for chunk in canonical.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        state ^= state >> 32;
    }
    state
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
                        recent.remember(set, Kind::IP, &canonical, tag);
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
        recent.remember(set, Kind::IP, b"abc", [7; 16]);
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
