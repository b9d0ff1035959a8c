//! Which tokens are in a frame: a binary fuse filter (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller
//! Than Xor Filters", ACM JEA 2022). FORMAT.md, "Filter", fixes every bit; that is why this is no crate.
//!
//! About 10 bits a token, no false negatives, one false positive in 256.

use crate::primitives::byte_map;
use std::collections::HashSet;
use std::hash::BuildHasher;

const NONE: u8 = 0;
const FUSE: u8 = 1;

/// Fields in their order, with their bytes: FORMAT.md says the same, and a test compares them.
pub(super) const HEADER: [(&str, usize); 4] =
    [("filter kind", 1), ("seed", 8), ("segment length", 4), ("segment count", 4)];
const HEADER_BYTES: usize = byte_map::length(&HEADER);

const LONGEST_SEGMENT: u32 = 1 << 18;

/// Seeds tried before giving up; each fails with a chance of less than one in a hundred.
const MAX_ATTEMPTS: u64 = 100;

/// The key of a token: the first eight bytes of its tag.
#[must_use]
pub fn key(tag: &[u8; 16]) -> u64 {
    u64::from_be_bytes([tag[0], tag[1], tag[2], tag[3], tag[4], tag[5], tag[6], tag[7]])
}

/// Builds the filter of these keys. Empty, which stands for "not known", if that does not succeed.
#[must_use]
pub fn build<S: BuildHasher>(keys: &HashSet<u64, S>) -> Vec<u8> {
    if keys.is_empty() {
        return vec![NONE];
    }
    let shape = Shape::of(keys.len());
    // Fixed seeds: the same tokens give the same bytes.
    let seeds = (1..=MAX_ATTEMPTS).map(|attempt| mix(attempt ^ keys.len() as u64));
    let found = seeds.into_iter().find_map(|seed| Some((seed, shape.solve(keys, seed)?)));
    let Some((seed, fingerprints)) = found else { return Vec::new() };
    let mut filter = Vec::with_capacity(HEADER_BYTES + fingerprints.len());
    filter.push(FUSE);
    filter.extend_from_slice(&seed.to_le_bytes());
    filter.extend_from_slice(&shape.segment_length.to_le_bytes());
    filter.extend_from_slice(&shape.segment_count.to_le_bytes());
    filter.extend_from_slice(&fingerprints);
    filter
}

/// Whether a token of that key may be in the frame. What is not understood may hold anything.
#[must_use]
pub fn may_contain(filter: &[u8], key: u64) -> bool {
    if filter.first() == Some(&NONE) {
        return false;
    }
    let Some((seed, shape, fingerprints)) = parse(filter) else { return true };
    let hash = mix(key.wrapping_add(seed));
    let [first, second, third] = shape.positions(hash);
    fingerprints[first] ^ fingerprints[second] ^ fingerprints[third] == fingerprint(hash)
}

fn parse(filter: &[u8]) -> Option<(u64, Shape, &[u8])> {
    let (header, fingerprints) = filter.split_at_checked(HEADER_BYTES)?;
    let number = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let seed = u64::from_le_bytes(*header[1..].first_chunk()?);
    let shape = Shape { segment_length: number(9)?, segment_count: number(13)? };
    let sound = header[0] == FUSE
        && shape.segment_length.is_power_of_two()
        && shape.segment_length <= LONGEST_SEGMENT
        && (1..=u32::MAX - 2).contains(&shape.segment_count)
        && fingerprints.len() as u64 == shape.slots();
    sound.then_some((seed, shape, fingerprints))
}

/// How many fingerprints there are, and how they are cut up.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// A power of two.
    segment_length: u32,
    /// Segments in which a key's first fingerprint may lie; there are two more.
    segment_count: u32,
}

impl Shape {
    /// The sizes that the authors found best for three segments.
    fn of(keys: usize) -> Self {
        let count = keys.max(2) as f64;
        let exponent = (count.ln() / 3.33_f64.ln() + 2.25).floor();
        let segment_length = (1_u32 << exponent as u32).min(LONGEST_SEGMENT);
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / count.ln()).max(1.125);
        let capacity = (count * factor).round() as u32;
        let segment_count = capacity.div_ceil(segment_length).saturating_sub(2).max(1);
        Self { segment_length, segment_count }
    }

    fn slots(self) -> u64 {
        (u64::from(self.segment_count) + 2) * u64::from(self.segment_length)
    }

    fn positions(self, hash: u64) -> [usize; 3] {
        let reach = u128::from(self.segment_count) * u128::from(self.segment_length);
        let first = ((u128::from(hash) * reach) >> 64) as u64;
        let (length, mask) = (u64::from(self.segment_length), u64::from(self.segment_length) - 1);
        let second = (first + length) ^ ((hash >> 18) & mask);
        let third = (first + 2 * length) ^ (hash & mask);
        [first as usize, second as usize, third as usize]
    }

    /// Fingerprints such that those of each key come to its own; `None` if this seed allows none.
    ///
    /// A slot in which a single key lies can be given the fingerprint that key needs, whatever the other two
    /// are. So keys are taken away from such slots until none is left, and then fingerprints are
    /// given in the reverse order.
    fn solve<S>(self, keys: &HashSet<u64, S>, seed: u64) -> Option<Vec<u8>> {
        let slots = usize::try_from(self.slots()).ok()?;
        // Of the keys in a slot: how many, and all of them in one (exclusive or).
        let mut keys_in = vec![(0_u32, 0_u64); slots];
        for key in keys {
            let hash = mix(key.wrapping_add(seed));
            for position in self.positions(hash) {
                keys_in[position].0 += 1;
                keys_in[position].1 ^= hash;
            }
        }
        let mut single: Vec<usize> = (0..slots).filter(|&slot| keys_in[slot].0 == 1).collect();
        let mut taken = Vec::with_capacity(keys.len());
        while let Some(slot) = single.pop() {
            let (1, hash) = keys_in[slot] else { continue };
            taken.push((slot, hash));
            for position in self.positions(hash) {
                keys_in[position].0 -= 1;
                keys_in[position].1 ^= hash;
                if keys_in[position].0 == 1 {
                    single.push(position);
                }
            }
        }
        if taken.len() != keys.len() {
            return None;
        }
        let mut fingerprints = vec![0; slots];
        for (slot, hash) in taken.into_iter().rev() {
            let [first, second, third] = self.positions(hash);
            // That of `slot` is still zero.
            let others = fingerprints[first] ^ fingerprints[second] ^ fingerprints[third];
            fingerprints[slot] = others ^ fingerprint(hash);
        }
        Some(fingerprints)
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
            let keys: HashSet<u64> = (0..count).map(|number| mix(number + 7)).collect();
            let filter = build(&keys);
            assert!(!filter.is_empty(), "{count}: not built");
            assert!(keys.iter().all(|&key| may_contain(&filter, key)), "{count}");
            if count >= 1_000 {
                let bits = filter.len() as f64 * 8.0 / count as f64;
                assert!(bits < 13.5, "{count}: {bits} bits a key");
            }
        }
    }

    #[test]
    fn false_positives_are_rare() {
        let keys: HashSet<u64> = (0..5_000).map(mix).collect();
        let filter = build(&keys);
        let wrong = (5_000..105_000).filter(|&number| may_contain(&filter, mix(number))).count();
        assert!((250..550).contains(&wrong), "{wrong} of 100000; 391 are expected");
    }

    #[test]
    fn an_empty_frame_and_an_unknown_one() {
        assert_eq!(build(&HashSet::<u64>::new()), [NONE]);
        assert!(!may_contain(&[NONE], 7));
        assert!(may_contain(&[], 7));
        assert!(may_contain(&[9, 1, 2], 7));
    }

    /// The bytes of version 1: a change here would make old archives unreadable.
    #[test]
    fn bytes_are_fixed() {
        let keys: HashSet<u64> = [1, 2, 3].into();
        let filter = build(&keys);
        let hexadecimal: String = filter.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hexadecimal, @"01e7830665202abf3a08000000010000000000000000000000000000000000006200d0000000003400");
    }

    proptest! {
        #[test]
        fn hostile_filters_are_read_without_harm(filter: Vec<u8>, key: u64) {
            let _ = may_contain(&filter, key);
        }

        #[test]
        fn hostile_shapes_are_read_without_harm(
            seed: [u8; 8], length in 0u32..1 << 20, count: u32, rest in 0usize..2048, key: u64,
        ) {
            let mut filter = vec![FUSE];
            filter.extend(seed);
            filter.extend(length.to_le_bytes());
            filter.extend(count.to_le_bytes());
            filter.resize(filter.len() + rest, 0x55);
            let _ = may_contain(&filter, key);
        }
    }
}
