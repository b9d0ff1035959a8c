//! How many different tokens were made, in bounded memory.
//!
//! A k-minimum-values sketch (Bar-Yossef et al. 2002; Beyer et al. 2007) over the first 8 bytes of the
//! tokens' own tags: an HMAC is uniformly random already, so nothing is hashed again. Up to
//! k = 2^14 different values the count is exact. Beyond, it is `(k - 1) * 2^64 / (k-th smallest)`, with
//! a relative standard error of about `1 / sqrt(k)` = 0.8 %. Both depend on the set of values alone:
//! not on their order, nor on how many workers saw them.

/// Different 128-bit tags, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    /// Open addressing, linear probing; a power of two long, at most half full.
    slots: Vec<u64>,
    /// Values in `slots`, at most [`MOST`].
    held: usize,
    /// Values above are not among the k smallest. Set once values had to be thrown away.
    ceiling: Option<u64>,
}

impl Distinct {
    /// Takes note of a tag. Constant time: one comparison if it is too large to matter, a look into a
    /// table otherwise.
    #[inline]
    pub(super) fn insert(&mut self, tag: &[u8; 16]) {
        let [head @ .., _, _, _, _, _, _, _, _] = *tag;
        // A tag that starts with 64 ones is as good as one that ends them in 0, and 0 is no divisor.
        let value = u64::from_be_bytes(head).clamp(1, FREE - 1);
        if self.ceiling.is_none_or(|ceiling| value <= ceiling) {
            self.insert_value(value);
        }
    }

    /// Takes note of all that `other` saw.
    pub(super) fn merge(&mut self, other: &Self) {
        if let Some(theirs) = other.ceiling {
            self.ceiling = Some(self.ceiling.map_or(theirs, |ours| ours.min(theirs)));
        }
        // What lies above the lower ceiling is not among the k smallest of the union either.
        for &value in other.slots.iter().filter(|&&value| value != FREE) {
            if self.ceiling.is_none_or(|ceiling| value <= ceiling) {
                self.insert_value(value);
            }
        }
    }

    /// How many different tags there were: exact up to 2^14, estimated beyond.
    #[must_use]
    pub(super) fn count(&self) -> u64 {
        if self.ceiling.is_none() && self.held <= K {
            return self.held as u64;
        }
        let mut values = self.values();
        // At least k are held: see `shrink` and `merge`.
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

    /// Keeps the k smallest of more than 2k values: after it, k more can come before the next time.
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

/// Puts `value` into its slot; `false` if it is there already. There is a free slot.
#[inline]
fn place(slots: &mut [u64], value: u64) -> bool {
    let mask = slots.len() - 1;
    // The low bits: the values that are kept are small, so their high bits are alike.
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

/// Marks a free slot. Not 0: memory that is zeros at first is mapped twice, once when it is read and again when it is
/// written, and the second time every core that runs a worker is interrupted.
const FREE: u64 = u64::MAX;

/// Values that settle the estimate, and up to which the count is exact.
const K: usize = 1 << 14;

/// Most values held. Twice k: the k smallest are selected anew once in k insertions.
const MOST: usize = 2 * K;

/// Slots of the first table.
const LEAST_SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// The n-th of a sequence of tags that look random.
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
            // Each three times, in another order.
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
