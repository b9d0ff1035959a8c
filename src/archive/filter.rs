//! Filters that tell which tokens are in a frame.
//!
//! They are binary fuse filters (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters",
//! ACM JEA 2022). FORMAT.md, "Filter", fixes every bit, so we do not use a crate for them.
//!
//! About 5 bits per token, no false negatives, one false positive in 16. A search for a token that is in none
//! of 1,000 frames reads 63 of them, which takes a few hundredths of a second; a search for an address, which
//! also asks for its network, reads 4. Twice the bits would save those reads and cost 3 to 6 % of the
//! archive.

use crate::primitives::byte_map;

const NONE: u8 = 0;
/// Fingerprints of one byte: written by the first version, still read.
const FUSE_8: u8 = 1;
/// Fingerprints of four bits, two to a byte.
const FUSE_4: u8 = 2;

/// Fields in order, with their lengths in bytes. FORMAT.md has the same table, and a test compares the two.
pub(super) const HEADER: [(&str, usize); 4] =
    [("filter kind", 1), ("seed", 8), ("segment length", 4), ("segment count", 4)];
const HEADER_BYTES: usize = byte_map::length(&HEADER);

const LONGEST_SEGMENT: u32 = 1 << 18;

/// Most seeds tried; each fails with a probability below one in a hundred.
const MAX_ATTEMPTS: u64 = 100;

/// Returns the key of a token: the first eight bytes of its tag.
#[must_use]
pub fn key(tag: &[u8; 16]) -> u64 {
    let [head @ .., _, _, _, _, _, _, _, _] = *tag;
    key_of_head(head)
}

/// Returns the key of a token, given the first eight bytes of its tag.
#[must_use]
pub fn key_of_head(head: [u8; 8]) -> u64 {
    u64::from_be_bytes(head)
}

/// Builds the filter of `keys`; see [`Builder::build`].
#[must_use]
pub fn build(keys: &mut Vec<u64>) -> Vec<u8> {
    Builder::default().build(keys)
}

/// Builds filters and reuses its memory between them.
#[derive(Default)]
pub struct Builder {
    /// For each slot, the number of keys in it and the XOR of their hashes.
    keys_in: Vec<(u32, u64)>,
    /// Slots that hold or have held a single key, in the order in which they reached that state.
    single: Vec<u32>,
    /// Hashes of the keys that were peeled off, each with the slot it was peeled from.
    taken: Vec<(u32, u64)>,
    fingerprints: Vec<u8>,
}

impl Builder {
    /// Builds the filter of `keys`. If that fails, the filter is empty, which means "not known".
    ///
    /// Duplicate keys are sorted and removed, which takes longer.
    #[must_use]
    pub fn build(&mut self, keys: &mut Vec<u64>) -> Vec<u8> {
        if keys.is_empty() {
            return vec![NONE];
        }
        let shape = Shape::of(keys.len());
        // Fixed seeds: the same tokens give the same bytes.
        let count = keys.len() as u64;
        for seed in (1..=MAX_ATTEMPTS).map(|attempt| mix(attempt ^ count)) {
            if self.solve(shape, keys, seed) {
                return shape.encode(seed, &self.fingerprints);
            }
            // No seed succeeds with duplicate keys.
            keys.sort_unstable();
            keys.dedup();
        }
        Vec::new()
    }

    /// Finds fingerprints such that the three slots of each key XOR to the key's own; false if this seed has
    /// no solution.
    ///
    /// A slot that holds a single key can take whatever fingerprint that key needs, regardless of the key's
    /// other two slots. So keys are peeled off such slots until none is left, and fingerprints are assigned
    /// in reverse order.
    ///
    /// Branches on which slots reach a single key would be unpredictable. So each slot is written to the end
    /// of the queue unconditionally, and the end advances only if it counts. The queue is first in, first
    /// out: that way no slot depends on the one just before it.
    fn solve(&mut self, shape: Shape, keys: &[u64], seed: u64) -> bool {
        let Self { keys_in, single, taken, fingerprints } = self;
        let Ok(slots) = u32::try_from(shape.slots()) else { return false };
        keys_in.clear();
        keys_in.resize(slots as usize, (0, 0));
        for key in keys {
            let hash = mix(key.wrapping_add(seed));
            for position in shape.positions(hash) {
                let slot = &mut keys_in[position as usize];
                *slot = (slot.0 + 1, slot.1 ^ hash);
            }
        }
        // Each slot reaches a single key at most once.
        single.clear();
        single.resize(slots as usize + 1, 0);
        let mut end = 0;
        for slot in 0..slots {
            single[end] = slot;
            end += usize::from(keys_in[slot as usize].0 == 1);
        }
        taken.clear();
        let mut next = 0;
        while next < end {
            let slot = single[next];
            next += 1;
            let (1, hash) = keys_in[slot as usize] else { continue };
            taken.push((slot, hash));
            for position in shape.positions(hash) {
                let slot = &mut keys_in[position as usize];
                *slot = (slot.0 - 1, slot.1 ^ hash);
                single[end] = position;
                end += usize::from(slot.0 == 1);
            }
        }
        if taken.len() != keys.len() {
            return false;
        }
        fingerprints.clear();
        fingerprints.resize(slots as usize, 0);
        for &(slot, hash) in taken.iter().rev() {
            // The fingerprint of `slot` itself is still zero.
            let others = shape.positions(hash).map(|position| fingerprints[position as usize]);
            fingerprints[slot as usize] = others[0] ^ others[1] ^ others[2] ^ fingerprint(hash);
        }
        true
    }
}

/// Returns whether a token with that key may be in the frame. A filter that is not understood may hold
/// anything.
#[must_use]
pub fn may_contain(filter: &[u8], key: u64) -> bool {
    if filter.first() == Some(&NONE) {
        return false;
    }
    let Some(Parsed { seed, shape, width, fingerprints }) = parse(filter) else { return true };
    let hash = mix(key.wrapping_add(seed));
    let [first, second, third] =
        shape.positions(hash).map(|position| width.at(fingerprints, position as usize));
    first ^ second ^ third == fingerprint(hash) & width.mask()
}

/// The width of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Byte,
    HalfByte,
}

impl Width {
    fn of(kind: u8) -> Option<Self> {
        match kind {
            FUSE_8 => Some(Self::Byte),
            FUSE_4 => Some(Self::HalfByte),
            _ => None,
        }
    }

    fn bytes(self, slots: u64) -> u64 {
        match self {
            Self::Byte => slots,
            Self::HalfByte => slots.div_ceil(2),
        }
    }

    fn mask(self) -> u8 {
        match self {
            Self::Byte => 0xff,
            Self::HalfByte => 0x0f,
        }
    }

    fn at(self, fingerprints: &[u8], position: usize) -> u8 {
        match self {
            Self::Byte => fingerprints[position],
            Self::HalfByte => fingerprints[position / 2] >> (position % 2 * 4) & 0x0f,
        }
    }
}

struct Parsed<'a> {
    seed: u64,
    shape: Shape,
    width: Width,
    fingerprints: &'a [u8],
}

fn parse(filter: &[u8]) -> Option<Parsed<'_>> {
    let (header, fingerprints) = filter.split_at_checked(HEADER_BYTES)?;
    let width = Width::of(header[0])?;
    let number = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let seed = u64::from_le_bytes(*header[1..].first_chunk()?);
    let shape = Shape { segment_length: number(9)?, segment_count: number(13)? };
    let sound = shape.segment_length.is_power_of_two()
        && shape.segment_length <= LONGEST_SEGMENT
        && (1..=u32::MAX - 2).contains(&shape.segment_count)
        && u32::try_from(shape.slots()).is_ok()
        && fingerprints.len() as u64 == width.bytes(shape.slots());
    sound.then_some(Parsed { seed, shape, width, fingerprints })
}

/// The number of fingerprints and how they are divided into segments.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// A power of two.
    segment_length: u32,
    /// Segments in which a key's first fingerprint may lie; two more follow.
    segment_count: u32,
}

impl Shape {
    /// Computes the sizes that the authors of the paper found best for three segments.
    fn of(keys: usize) -> Self {
        let count = keys.max(2) as f64;
        let exponent = (count.ln() / 3.33_f64.ln() + 2.25).floor();
        let segment_length = (1_u32 << exponent as u32).min(LONGEST_SEGMENT);
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / count.ln()).max(1.125);
        let capacity = (count * factor).round() as u32;
        let segment_count = capacity.div_ceil(segment_length).saturating_sub(2).max(1);
        Self { segment_length, segment_count }
    }

    /// Encodes the filter with these fingerprints, one per slot, of which the low four bits count.
    fn encode(self, seed: u64, fingerprints: &[u8]) -> Vec<u8> {
        let mut filter = Vec::with_capacity(HEADER_BYTES + fingerprints.len().div_ceil(2));
        filter.push(FUSE_4);
        filter.extend_from_slice(&seed.to_le_bytes());
        filter.extend_from_slice(&self.segment_length.to_le_bytes());
        filter.extend_from_slice(&self.segment_count.to_le_bytes());
        // A segment holds at least four slots, so the number of slots is even.
        let (pairs, _) = fingerprints.as_chunks::<2>();
        filter.extend(pairs.iter().map(|[low, high]| (low & 0x0f) | high << 4));
        filter
    }

    fn slots(self) -> u64 {
        (u64::from(self.segment_count) + 2) * u64::from(self.segment_length)
    }

    fn positions(self, hash: u64) -> [u32; 3] {
        let reach = u128::from(self.segment_count) * u128::from(self.segment_length);
        let first = ((u128::from(hash) * reach) >> 64) as u64;
        let (length, mask) = (u64::from(self.segment_length), u64::from(self.segment_length) - 1);
        let second = (first + length) ^ ((hash >> 18) & mask);
        let third = (first + 2 * length) ^ (hash & mask);
        [first as u32, second as u32, third as u32]
    }
}

fn fingerprint(hash: u64) -> u8 {
    (hash ^ hash >> 32) as u8
}

/// The finaliser of MurmurHash3.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    value = (value ^ value >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ value >> 33
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_size_is_built_whole_and_small() {
        for count in (0..300).chain([1_000, 4_096, 10_000, 65_537]) {
            let mut keys: Vec<u64> = (0..count).map(|number| mix(number + 7)).collect();
            let filter = build(&mut keys);
            assert!(!filter.is_empty(), "{count}: not built");
            assert!(keys.iter().all(|&key| may_contain(&filter, key)), "{count}");
            if count >= 1_000 {
                let bits = filter.len() as f64 * 8.0 / count as f64;
                assert!(bits < 6.8, "{count}: {bits} bits a key");
            }
        }
    }

    #[test]
    fn false_positives_are_rare() {
        let filter = build(&mut (0..5_000).map(mix).collect());
        let wrong = (5_000..105_000).filter(|&number| may_contain(&filter, mix(number))).count();
        assert!((5_900..6_600).contains(&wrong), "{wrong} of 100000; 6250 are expected");
    }

    #[test]
    fn an_empty_frame_and_an_unknown_one() {
        assert_eq!(build(&mut Vec::new()), [NONE]);
        assert!(!may_contain(&[NONE], 7));
        assert!(may_contain(&[], 7));
        assert!(may_contain(&[9, 1, 2], 7));
    }

    #[test]
    fn equal_keys_count_once() {
        let mut keys: Vec<u64> = (0..1_000).map(|number| mix(number % 500)).collect();
        let filter = build(&mut keys);
        assert_eq!(keys.len(), 500);
        assert!(keys.iter().all(|&key| may_contain(&filter, key)));
        assert!((500..1_500).any(|number| !may_contain(&filter, mix(number))));
    }

    /// If you change these bytes on purpose, add the old ones to the filters that must still be read.
    #[test]
    fn bytes_are_fixed() {
        let hexadecimal = crate::primitives::hex::encode(&build(&mut vec![1, 2, 3]));
        insta::assert_snapshot!(hexadecimal, @"02e7830665202abf3a0800000001000000002000000000000000000006");
    }

    /// Written by an earlier version, which peeled keys off in another order.
    #[test]
    fn other_solutions_are_still_read() {
        let header = [0x02, 0xe7, 0x83, 0x06, 0x65, 0x20, 0x2a, 0xbf, 0x3a, 8, 0, 0, 0, 1, 0, 0, 0];
        let filter = [&header[..], &[0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 4]].concat();
        assert!([1, 2, 3].iter().all(|&key| may_contain(&filter, key)));
    }

    /// Written by the first version.
    #[test]
    fn fingerprints_of_a_byte_are_still_read() {
        let header = [0x01, 0xe7, 0x83, 0x06, 0x65, 0x20, 0x2a, 0xbf, 0x3a, 8, 0, 0, 0, 1, 0, 0, 0];
        let end = [0x62, 0, 0xd0, 0, 0, 0, 0, 0x34, 0];
        let filter = [&header[..], &[0; 15], &end].concat();
        assert!([1, 2, 3].iter().all(|&key| may_contain(&filter, key)));
        assert!(!(4..100).any(|key| may_contain(&filter, key)));
    }

    proptest! {
        #[test]
        fn hostile_filters_are_read_without_harm(filter: Vec<u8>, key: u64) {
            let _ = may_contain(&filter, key);
        }

        #[test]
        fn hostile_shapes_are_read_without_harm(
            kind in FUSE_8..=FUSE_4, seed: [u8; 8], length in 0u32..1 << 20, count: u32,
            rest in 0usize..2048, key: u64,
        ) {
            let mut filter = vec![kind];
            filter.extend(seed);
            filter.extend(length.to_le_bytes());
            filter.extend(count.to_le_bytes());
            filter.resize(filter.len() + rest, 0x55);
            let _ = may_contain(&filter, key);
        }
    }
}
