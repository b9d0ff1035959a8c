//! Sets of tags: 16 bytes that are effectively random, so that a part of each tag is its hash.
//!
//! The tags lie one after the other, and a table of small indices finds them. So a set that is emptied and
//! refilled for every frame fits a cache, and refilling it touches memory in order instead of with one cache
//! miss per tag.

/// A set of tags. It need not resist crafted collisions: nobody without the key can craft a tag.
#[derive(Clone, Debug, Default)]
pub struct TagSet {
    /// In order of insertion.
    tags: Vec<[u8; 16]>,
    /// Open addressing with linear probing. A slot holds one more than the index of a tag in `tags`; 0 marks
    /// a free slot. The length is a power of two, at most half full.
    slots: Vec<u32>,
}

impl TagSet {
    /// Inserts a tag; returns `false` if it is there already.
    #[inline]
    pub fn insert(&mut self, tag: [u8; 16]) -> bool {
        if 2 * self.tags.len() >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash(&tag) & mask;
        loop {
            match self.slots[slot] {
                0 => break,
                number if self.tags[number as usize - 1] == tag => return false,
                _ => slot = (slot + 1) & mask,
            }
        }
        self.tags.push(tag);
        self.slots[slot] = self.number();
        true
    }

    /// Loads into the cache what [`TagSet::insert`] will look at for these tags, all at once. A large set
    /// lies in main memory, where one fetch takes as long as a dozen in parallel.
    #[inline]
    pub fn fetch(&self, tags: impl Iterator<Item = [u8; 16]>) {
        let mask = self.slots.len().wrapping_sub(1);
        let near = tags.map(|tag| {
            let number = self.slots.get(hash(&tag) & mask).map_or(0, |&number| number as usize);
            self.tags.get(number.wrapping_sub(1)).map_or(0, |tag| tag[0])
        });
        std::hint::black_box(near.fold(0, |all, byte| all | byte));
    }

    /// Returns the number of tags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Returns whether there are no tags.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Removes all tags but keeps the memory.
    pub fn clear(&mut self) {
        self.tags.clear();
        self.slots.fill(0);
    }

    fn grow(&mut self) {
        self.slots = vec![0; (2 * self.slots.len()).max(LEAST_SLOTS)];
        let mask = self.slots.len() - 1;
        for (tag, number) in self.tags.iter().zip(1..) {
            let mut slot = hash(tag) & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number;
        }
    }

    /// Returns the number of the last tag, counting from 1.
    #[expect(clippy::cast_possible_truncation, reason = "2^32 tags would fill 64 GiB")]
    fn number(&self) -> u32 {
        self.tags.len() as u32
    }
}

/// Slots in the initial table.
const LEAST_SLOTS: usize = 64;

/// Returns the first eight bytes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
fn hash(tag: &[u8; 16]) -> usize {
    let [head @ .., _, _, _, _, _, _, _, _] = *tag;
    u64::from_le_bytes(head) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn tags_that_begin_alike_are_told_apart() {
        let mut set = TagSet::default();
        let tag = |last: u8| [&[0; 15][..], &[last]].concat().try_into().unwrap();
        assert!((0..200).all(|last| set.insert(tag(last))));
        assert!(!(0..200).any(|last| set.insert(tag(last))));
        assert_eq!((set.len(), set.tags[7]), (200, tag(7)));
        set.clear();
        assert!(set.is_empty() && set.insert(tag(7)));
    }

    proptest! {
        #[test]
        fn as_the_standard_library_has_it(
            tags in prop::collection::vec(prop::array::uniform16(0u8..3), 0..600),
            round in 0usize..400,
        ) {
            let (mut set, mut reference) = (TagSet::default(), HashSet::new());
            for (number, tag) in tags.iter().enumerate() {
                set.fetch(tags[number..].iter().take(16).copied());
                prop_assert_eq!(set.insert(*tag), reference.insert(*tag));
                if number == round {
                    set.clear();
                    reference.clear();
                }
            }
            prop_assert_eq!(set.len(), reference.len());
            prop_assert_eq!(set.tags.iter().copied().collect::<HashSet<_>>(), reference);
        }
    }
}
