//! Encodes a sorted set of IPv4 addresses compactly, as Golomb-Rice coded differences (Rice and Plaunt,
//! "Adaptive Variable-Length Coding", IEEE Trans. Comm. 1971). FORMAT.md, "Record", fixes every bit.
//!
//! `n` random addresses hold `log2(2^32 / n) + 1.44` bits of information each; this coding takes half a bit
//! more.

use zeroize::Zeroizing;

/// Bits in an address.
const WIDTH: u32 = 32;

/// Encodes sorted addresses.
pub(super) fn encode(sorted: &[u32]) -> Zeroizing<Vec<u8>> {
    let parameter = parameter(sorted);
    // The chosen parameter is never worse than 31, with which an address takes a stop bit and 31 low bits, and
    // a difference above 2^31 one bit more.
    let mut bits = Writer::with_capacity(2 + sorted.len() * 4 + sorted.len().div_ceil(8));
    bits.bytes.push(parameter as u8);
    for difference in differences(sorted) {
        let mut quotient = difference >> parameter;
        while quotient >= WIDTH {
            bits.push(u32::MAX, WIDTH);
            quotient -= WIDTH;
        }
        // The quotient in unary: that many ones, then a zero.
        bits.push((1 << quotient) - 1, quotient + 1);
        bits.push(difference & ((1 << parameter) - 1), parameter);
    }
    bits.finish()
}

/// Decodes `count` addresses from `bytes`; `None` if `bytes` do not hold exactly that.
pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Zeroizing<Vec<u32>>> {
    let (&parameter, bytes) = bytes.split_first()?;
    let parameter = u32::from(parameter);
    if parameter >= WIDTH {
        return None;
    }
    let mut bits = Reader { bytes, next: 0 };
    // Each address takes at least one bit, so a number from the file alone cannot cause a large allocation.
    let mut addresses = Zeroizing::new(Vec::with_capacity(count.min(bytes.len() * 8)));
    let mut last = 0_u32;
    for _ in 0..count {
        let mut quotient = 0_u32;
        while bits.take()? {
            quotient += 1;
        }
        let remainder =
            (0..parameter).try_fold(0, |value, at| Some(value | u32::from(bits.take()?) << at))?;
        let difference = u64::from(quotient) << parameter | u64::from(remainder);
        last = last.checked_add(u32::try_from(difference).ok()?)?;
        addresses.push(last);
    }
    bits.is_at_end().then_some(addresses)
}

/// Finds the Rice parameter, the number of low bits stored as they are, with the shortest encoding; the
/// smallest such parameter, if there are several.
///
/// Each additional low bit costs one bit per address and saves half its quotient, rounded up. Quotients
/// shrink as the parameter grows, so the total length first falls and then rises, and going downhill finds
/// the minimum.
fn parameter(sorted: &[u32]) -> u32 {
    let mean = sorted.last().map_or(0, |last| *last as usize / sorted.len());
    let mut parameter = mean.checked_ilog2().unwrap_or(0);
    while parameter > 0 && bits(sorted, parameter - 1) <= bits(sorted, parameter) {
        parameter -= 1;
    }
    while parameter + 1 < WIDTH && bits(sorted, parameter + 1) < bits(sorted, parameter) {
        parameter += 1;
    }
    parameter
}

/// Returns the encoded length of all addresses, in bits, with that parameter.
fn bits(sorted: &[u32], parameter: u32) -> u64 {
    let quotients: u64 = differences(sorted).map(|difference| u64::from(difference >> parameter)).sum();
    quotients + sorted.len() as u64 * u64::from(parameter + 1)
}

/// Iterates over the differences of consecutive addresses; the first is the difference to zero.
fn differences(sorted: &[u32]) -> impl Iterator<Item = u32> {
    let before = std::iter::once(0).chain(sorted.iter().copied());
    sorted.iter().zip(before).map(|(address, before)| address - before)
}

/// Writes bits into bytes, lowest bit first.
struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    waiting: u64,
    /// Number of pending bits; less than eight between two calls.
    count: u32,
}

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bytes)), waiting: 0, count: 0 }
    }

    /// Appends the `count` lowest bits of `value`; `count` is at most 32, and the other bits of `value` must
    /// be zero.
    fn push(&mut self, value: u32, count: u32) {
        self.waiting |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    fn finish(mut self) -> Zeroizing<Vec<u8>> {
        if self.count > 0 {
            self.bytes.push(self.waiting as u8);
        }
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Index of the next bit.
    next: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<bool> {
        let bit = self.bytes.get(self.next / 8)? >> (self.next % 8) & 1;
        self.next += 1;
        Some(bit == 1)
    }

    /// Returns whether only zero bits of the last byte are left.
    fn is_at_end(&self) -> bool {
        let rest = self.bytes.len() * 8 - self.next;
        rest < 8 && (rest == 0 || self.bytes.last().is_some_and(|last| last >> (8 - rest) == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(count: u32) -> Vec<u32> {
        let mut addresses: Vec<u32> = (0..count).map(|number| number.wrapping_mul(0x9e37_79b1)).collect();
        addresses.sort_unstable();
        addresses
    }

    #[test]
    fn few_bits_an_address() {
        for (count, most) in [(1, 40.0), (100, 30.0), (1_000, 26.0), (8_000, 22.0), (100_000, 18.5)] {
            let bits = encode(&spread(count)).len() as f64 * 8.0 / f64::from(count);
            assert!(bits <= most, "{count}: {bits} bits an address");
        }
        let neighbours: Vec<u32> = (0xc000_0200..0xc000_0300).collect();
        assert!(encode(&neighbours).len() < 1_000, "of a row of neighbours each costs a few bits");
    }

    /// A change here would make existing vaults unreadable.
    #[test]
    fn bits_are_fixed() {
        let bytes = encode(&[0xc000_0201, 0xc000_0207, 0xcb00_7107]);
        assert_eq!(bytes.as_slice(), [0x1d, 0xbf, 0, 1, 0, 0xc0, 0, 0, 0, 0, 0x78, 3, 0x58]);
    }

    #[test]
    fn what_is_no_set() {
        let whole = encode(&spread(50));
        assert!(decode(&whole, 50).is_some());
        assert!(decode(&whole, 49).is_none());
        assert!(decode(&whole, 51).is_none());
        assert!(decode(&whole[..whole.len() - 1], 50).is_none());
        assert!(decode(&[], 0).is_none());
        assert!(decode(&[32], 0).is_none());
        assert!(decode(&[31, 0xff, 0xff, 0xff, 0xff, 0xff], 1).is_none());
    }

    proptest! {
        #[test]
        fn sets_read_back(mut addresses: Vec<u32>) {
            addresses.sort_unstable();
            let bytes = encode(&addresses);
            prop_assert!(bytes.len() <= bytes.capacity() && bytes.len() <= 2 + addresses.len() * 4 + addresses.len().div_ceil(8));
            prop_assert_eq!(&*decode(&bytes, addresses.len()).unwrap(), &addresses);
        }

        #[test]
        fn no_parameter_is_better(mut addresses: Vec<u32>, shift in 0u32..32) {
            addresses.iter_mut().for_each(|address| *address >>= shift);
            addresses.sort_unstable();
            let best = (0..WIDTH).min_by_key(|&parameter| bits(&addresses, parameter));
            prop_assert_eq!(Some(parameter(&addresses)), best);
        }

        #[test]
        fn hostile_bytes_are_read_without_harm(bytes: Vec<u8>, count: usize) {
            let _ = decode(&bytes, count);
        }
    }
}
