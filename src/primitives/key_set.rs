//! Sets of 64-bit keys that are effectively random, so that each key is its own hash.
//!
//! A set is meant to be emptied and refilled for every frame, so that its table stays in a cache.

/// A set of keys. It need not resist crafted collisions: a key is part of a tag, and nobody can craft a tag
/// without the secret.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// In order of insertion.
    keys: Vec<u64>,
    /// Open addressing with linear probing; the length is a power of two, at most half full; 0 marks a free
    /// slot.
    slots: Vec<u64>,
    /// Whether the key 0, which no slot can hold, is in the set.
    zero: bool,
}

impl KeySet {
    /// Inserts a key; returns `false` if it is there already.
    #[inline]
    pub fn insert(&mut self, key: u64) -> bool {
        if 2 * self.keys.len() >= self.slots.len() {
            self.grow();
        }
        let is_new = match key {
            0 => !std::mem::replace(&mut self.zero, true),
            _ => place(&mut self.slots, key),
        };
        if is_new {
            self.keys.push(key);
        }
        is_new
    }

    /// Returns all keys, each once. The caller may reorder them.
    #[must_use]
    pub fn keys(&mut self) -> &mut Vec<u64> {
        &mut self.keys
    }

    /// Removes all keys but keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.slots.fill(0);
        self.zero = false;
    }

    fn grow(&mut self) {
        self.slots = vec![0; (2 * self.slots.len()).max(LEAST_SLOTS)];
        for &key in self.keys.iter().filter(|key| **key != 0) {
            place(&mut self.slots, key);
        }
    }
}

/// Slots in the initial table.
const LEAST_SLOTS: usize = 64;

/// Stores a nonzero key in its slot; returns `false` if it is there already.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
fn place(slots: &mut [u64], key: u64) -> bool {
    let mask = slots.len() - 1;
    let mut slot = key as usize & mask;
    loop {
        match slots[slot] {
            0 => break,
            held if held == key => return false,
            _ => slot = (slot + 1) & mask,
        }
    }
    slots[slot] = key;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn as_the_standard_library_has_it(
            keys in prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 0..600),
            round in 0usize..400,
        ) {
            let (mut set, mut reference) = (KeySet::default(), HashSet::new());
            for (number, key) in keys.iter().enumerate() {
                prop_assert_eq!(set.insert(*key), reference.insert(*key));
                if number == round {
                    set.clear();
                    reference.clear();
                }
            }
            prop_assert_eq!(set.keys().len(), reference.len());
            prop_assert_eq!(set.keys().iter().copied().collect::<HashSet<_>>(), reference);
        }
    }
}
