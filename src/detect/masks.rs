//! Byte classes of 64 bytes at a time, as bit masks: bit `i` speaks of byte `i`.
//!
//! This is the one place that looks at every byte of the input. It is written with `wide`'s portable
//! lanes: SSE2 on x86-64, NEON on aarch64, plain integers elsewhere, with no `unsafe` of ours.

use wide::u8x16;

/// Which of 64 bytes belong to which class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// LF.
    pub(crate) newline: u64,
    /// `.`
    pub(crate) dot: u64,
    /// `-`
    pub(crate) dash: u64,
    /// `_`
    pub(crate) underscore: u64,
    /// `0-9`
    pub(crate) digit: u64,
    /// `0-9A-Fa-f`
    pub(crate) hex: u64,
    /// `0-9a-z`
    pub(crate) token: u64,
    /// `:`
    pub(crate) colon: u64,
    /// `@`
    pub(crate) at: u64,
    /// `%`
    pub(crate) percent: u64,
    /// `\`
    pub(crate) backslash: u64,
}

/// The classes of 64 bytes.
pub(crate) fn classify(chunk: &[u8; 64]) -> Classes {
    let mut classes = Classes::default();
    for (index, lane) in chunk.as_chunks::<16>().0.iter().enumerate() {
        let shift = 16 * index;
        let bytes = u8x16::new(*lane);
        let folded = bytes | u8x16::splat(0x20);
        let digit = at_most(bytes - u8x16::splat(b'0'), 9);
        let hex_letter = at_most(folded - u8x16::splat(b'a'), 5);
        let lower = at_most(bytes - u8x16::splat(b'a'), 25);
        classes.newline |= mask(equal(bytes, b'\n'), shift);
        classes.dot |= mask(equal(bytes, b'.'), shift);
        classes.dash |= mask(equal(bytes, b'-'), shift);
        classes.underscore |= mask(equal(bytes, b'_'), shift);
        classes.digit |= mask(digit, shift);
        classes.hex |= mask(digit | hex_letter, shift);
        classes.token |= mask(digit | lower, shift);
        classes.colon |= mask(equal(bytes, b':'), shift);
        classes.at |= mask(equal(bytes, b'@'), shift);
        classes.percent |= mask(equal(bytes, b'%'), shift);
        classes.backslash |= mask(equal(bytes, b'\\'), shift);
    }
    classes
}

/// Lanes of all ones where `bytes == byte`.
#[inline(always)]
fn equal(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

/// Lanes of all ones where `bytes <= limit`, unsigned.
#[inline(always)]
fn at_most(bytes: u8x16, limit: u8) -> u8x16 {
    bytes.min(u8x16::splat(limit)).simd_eq(bytes)
}

#[inline(always)]
fn mask(lanes: u8x16, shift: usize) -> u64 {
    u64::from(lanes.to_bitmask()) << shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_by_one(chunk: &[u8; 64]) -> Classes {
        let mut classes = Classes::default();
        for (index, &byte) in chunk.iter().enumerate() {
            let bit = |holds: bool| u64::from(holds) << index;
            classes.newline |= bit(byte == b'\n');
            classes.dot |= bit(byte == b'.');
            classes.dash |= bit(byte == b'-');
            classes.underscore |= bit(byte == b'_');
            classes.digit |= bit(byte.is_ascii_digit());
            classes.hex |= bit(byte.is_ascii_hexdigit());
            classes.token |= bit(byte.is_ascii_digit() || byte.is_ascii_lowercase());
            classes.colon |= bit(byte == b':');
            classes.at |= bit(byte == b'@');
            classes.percent |= bit(byte == b'%');
            classes.backslash |= bit(byte == b'\\');
        }
        classes
    }

    #[test]
    fn every_byte_value_in_every_lane() {
        for byte in 0..=255 {
            for lane in 0..64 {
                let mut chunk = [b' '; 64];
                chunk[lane] = byte;
                assert_eq!(classify(&chunk), one_by_one(&chunk), "byte {byte:#x} in lane {lane}");
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_byte_by_byte_reading(chunk in proptest::array::uniform32(any::<u8>())) {
            let mut whole = [0; 64];
            whole[..32].copy_from_slice(&chunk);
            whole[32..].copy_from_slice(&chunk);
            prop_assert_eq!(classify(&whole), one_by_one(&whole));
        }
    }
}
