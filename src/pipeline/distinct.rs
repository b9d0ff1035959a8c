//! Counts distinct tokens in bounded memory.
//!
//! A k-minimum-values sketch (Bar-Yossef et al. 2002; Beyer et al. 2007) over the first 8 bytes of the
//! tags in the tokens: an HMAC is uniformly distributed already, so nothing is hashed again. Up to
//! k = 2^14 distinct values, the count is exact. Beyond that, it is `(k - 1) * 2^64 / (k-th smallest)`,
//! with a relative standard error of about `1 / sqrt(k)` = 0.8 %. Both depend only on the set of values,
//! not on their order or on the number of workers.

/// Counts distinct 128-bit tags.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    /// Open addressing with linear probing; the length is a power of two, at most half full.
    slots: Vec<u64>,
    /// The number of values in `slots`, at most [`MOST`].
    held: usize,
    /// Greater values are not among the k smallest. Set once values have been discarded.
    ceiling: Option<u64>,
}

impl Distinct {
    /// Adds a tag in constant time: one comparison if it is too large to matter, otherwise a table look-up.
    #[inline]
    pub(super) fn insert(&mut self, tag: &[u8; 16]) {
        let [head @ .., _, _, _, _, _, _, _, _] = *tag;
        // 64 leading ones mark a free slot, and 0 cannot be a divisor; their neighbours serve as well.
        let value = u64::from_be_bytes(head).clamp(1, FREE - 1);
        if self.ceiling.is_none_or(|ceiling| value <= ceiling) {
            self.insert_value(value);
        }
    }

    /// Adds all tags that `other` has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        if let Some(theirs) = other.ceiling {
            self.ceiling = Some(self.ceiling.map_or(theirs, |ours| ours.min(theirs)));
        }
        // Values above the lower ceiling are not among the k smallest of the union either.
        for &value in other.slots.iter().filter(|&&value| value != FREE) {
            if self.ceiling.is_none_or(|ceiling| value <= ceiling) {
                self.insert_value(value);
            }
        }
    }

    /// The number of distinct tags: exact up to 2^14, estimated beyond that.
    #[must_use]
    pub(super) fn count(&self) -> u64 {
        if self.ceiling.is_none() && self.held <= K {
            return self.held as u64;
        }
        let mut values = self.values();
        // At least k values are held: see `shrink` and `merge`.
        let (_, &mut kth, _) = values.select_nth_unstable(K - 1);
        let estimate = ((K as u128 - 1) << 64) / u128::from(kth);
        u64::try_from(estimate).unwrap_or(u64::MAX)
    }

    fn insert_value(&mut self, value: u64) {
        if 2 * self.held >= self.slots.len() {
            self.grow();
        }
        if !place(&mut self.slots, value) {
            return;
        }
        self.held += 1;
        if self.held > MOST {
            self.shrink();
        }
    }

    fn grow(&mut self) {
        let values = self.values();
        self.slots = vec![FREE; (2 * self.slots.len()).max(LEAST_SLOTS)];
        for value in values {
            place(&mut self.slots, value);
        }
    }

    /// Keeps the k smallest of more than 2k values, so that k more can be added before the next call.
    fn shrink(&mut self) {
        let mut values = self.values();
        let (smaller, &mut kth, _) = values.select_nth_unstable(K - 1);
        self.ceiling = Some(kth);
        self.slots.fill(FREE);
        for &value in smaller.iter().chain([&kth]) {
            place(&mut self.slots, value);
        }
        self.held = K;
    }

    fn values(&self) -> Vec<u64> {
        self.slots.iter().copied().filter(|&value| value != FREE).collect()
    }
}

/// Inserts `value`; returns `false` if it is present already. There must be a free slot.
#[inline]
fn place(slots: &mut [u64], value: u64) -> bool {
    let mask = slots.len() - 1;
    // Use the low bits: the values kept are small, so their high bits are similar.
    let mut at = low_bits(value) & mask;
    loop {
        let slot = slots[at];
        if slot == value {
            return false;
        }
        if slot == FREE {
            slots[at] = value;
            return true;
        }
        at = (at + 1) & mask;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
fn low_bits(value: u64) -> usize {
    value as usize
}

/// Marks a free slot. It is not 0 because zeroed memory is mapped twice, on the first read and on the
/// first write, and the second mapping interrupts every core that runs a worker.
const FREE: u64 = u64::MAX;

/// The number of smallest values that determine the estimate. The count is exact up to this number.
const K: usize = 1 << 14;

/// The maximum number of values held. With twice k, the k smallest are selected once in k insertions.
const MOST: usize = 2 * K;

/// The number of slots in the first table.
const LEAST_SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// The n-th tag of a pseudo-random sequence.
    fn tag(n: u64) -> [u8; 16] {
        let mut tag = [0; 16];
        tag.copy_from_slice(&Sha256::digest(n.to_le_bytes())[..16]);
        tag
    }

    fn of(tags: impl IntoIterator<Item = u64>) -> Distinct {
        let mut distinct = Distinct::default();
        for n in tags {
            distinct.insert(&tag(n));
        }
        distinct
    }

    #[test]
    fn exact_up_to_k() {
        assert_eq!(Distinct::default().count(), 0);
        for count in [1, 2, 31, 32, 33, 1000, K as u64 - 1, K as u64] {
            // Each tag three times, in another order.
            let tags = (0..count).chain((0..count).rev()).chain(0..count);
            assert_eq!(of(tags).count(), count);
        }
    }

    #[test]
    fn the_outermost_tags_count() {
        let mut distinct = Distinct::default();
        distinct.insert(&[0; 16]);
        distinct.insert(&[0; 16]);
        assert_eq!(distinct.count(), 1);
        distinct.insert(&[u8::MAX; 16]);
        assert_eq!(distinct.count(), 2);
    }

    #[test]
    fn within_the_stated_error_beyond_k() {
        // Four standard errors; the tags are fixed, so this passes always or never.
        let tolerance = 4.0 / (K as f64).sqrt();
        for count in [K as u64 + 1, 20_000, 32_768, 32_769, 33_000, 100_000, 1_000_000] {
            let distinct = of(0..count);
            let error = distinct.count() as f64 / count as f64 - 1.0;
            assert!(error.abs() < tolerance, "{count}: {error}");
            assert!(distinct.slots.len() <= 4 * MOST && distinct.held <= MOST);
        }
    }

    #[test]
    fn any_number_of_workers_counts_the_same() {
        for count in [100, K as u64, K as u64 + 1, 40_000, 100_000] {
            let alone = of(0..count).count();
            for workers in [2u64, 3, 8] {
                // Overlapping shares of uneven size.
                let shares = (0..workers).map(|worker| of((0..count).filter(|n| n % (worker + 1) == 0)));
                let mut merged = Distinct::default();
                shares.for_each(|share| merged.merge(&share));
                assert_eq!(merged.count(), alone, "{count} by {workers}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn merging_is_seeing_both(
            first in (0..60_000u64, 0..60_000u64),
            second in (0..60_000u64, 0..60_000u64),
        ) {
            let (first, second) = (first.0..first.0 + first.1, second.0..second.0 + second.1);
            let together = of(first.clone().chain(second.clone())).count();
            let (mut ab, mut ba) = (of(first.clone()), of(second.clone()));
            ab.merge(&of(second));
            ba.merge(&of(first));
            prop_assert_eq!(ab.count(), together);
            prop_assert_eq!(ba.count(), together);
        }
    }
}
