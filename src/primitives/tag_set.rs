//! Sets of tags: 16 bytes that are as good as random, so that a part of them is their hash.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A set of tags. It need not fear crafted collisions: nobody without the key can craft a tag.
pub type TagSet = HashSet<[u8; 16], BuildHasherDefault<TagHasher>>;

/// Takes the first eight bytes of a tag for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length of the array, which says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
