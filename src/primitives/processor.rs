//! Uses processor features beyond the baseline of the architecture, detected at run time. The only file with
//! `unsafe`.
//!
//! *Byte classes* of 64 bytes at a time, as bit masks: bit `i` describes byte `i`. A chunk is read with the
//! widest vectors available: AVX-512BW or AVX2, or the baseline of the architecture (SSE2, NEON) through
//! `wide`. All of them are tested against a byte-by-byte implementation. What `unsafe` buys, in time per line
//! in the filter, AVX-512BW against portable lanes in one run: 355 ns instead of 418 ns on `mixed`, 81 ns
//! instead of 113 ns on `clean` (medians of 5).
//!
//! *SHA-256* of several messages side by side ([`compress_sha256`]).
//!
//! # Safety
//! The functions with `#[target_feature]` keep no references: a chunk is a `&[u8; 64]`, bits are a [`Bitmap`],
//! and each load stays within it or within one of its parts. The only condition is that the processor has the
//! feature. An [`Avx512`] or [`Avx2`] is made for [`vectorize`] alone (and for tests), after
//! `is_x86_feature_detected!` has confirmed the feature, so the value itself is the proof.
//!
//! [`prefetch`] gives the processor a hint about an address. A hint reads nothing and every x86-64 processor
//! has it, so there is no condition.

#![allow(
    unsafe_code,
    clippy::allow_attributes,
    reason = "vector instructions that were found at run time; see Safety above"
)]

use wide::u8x16;

/// Bit masks that say which of 64 bytes belong to which class.
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
    /// `"`
    pub(crate) quote: u64,
    /// `=`
    pub(crate) equals: u64,
    /// `x`, the rarest letter of `expires=`.
    pub(crate) x: u64,
    /// `0-9A-Za-z`, `.`, `-`, `/` and `_`: the characters of host and program names.
    pub(crate) name: u64,
}

/// Vectors of some width.
pub(crate) trait Lanes: Copy {
    /// Returns the classes of 64 bytes.
    fn classify(self, chunk: &[u8; 64]) -> Classes;

    /// Returns eight windows of 64 bits, which begin 48 bits apart.
    fn windows(self, bits: &Bitmap) -> [u64; 8];
}

/// Bits of which windows are read: those of eight windows, and some more so that a vector may be read at the
/// start of any pair of them.
pub(crate) type Bitmap = [u8; 56];

/// Work that is compiled once for each kind of [`Lanes`]. `run` must be `#[inline(always)]`, so that all of
/// it uses the instructions of the processor at hand.
pub(crate) trait Kernel {
    /// The result.
    type Output;

    /// Does the work.
    fn run(self, lanes: impl Lanes) -> Self::Output;
}

/// Runs `kernel` with the widest vectors of this processor.
#[inline]
pub(crate) fn vectorize<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if Avx512::is_here() {
            // SAFETY: the processor has the features.
            return unsafe { x86::with_avx512(kernel) };
        }
        if Avx2::is_here() {
            // SAFETY: the processor has the features.
            return unsafe { x86::with_avx2(kernel) };
        }
    }
    kernel.run(Portable)
}

/// Prefetches `value` into the cache without waiting for it. Does nothing except on x86-64.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, whatever the address; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Applies the compression function of SHA-256 (FIPS 180-4, 6.2.2) to one block of each of `N` messages, and
/// updates `states`. Returns `false`, without doing anything, if the processor lacks the instructions.
///
/// Each instruction depends on the previous one of the same message for four cycles, so the instructions of
/// the other messages are interleaved; no processor reorders that far ahead by itself. With four messages, a
/// block takes 21 ns, instead of 31 ns with one call after another and 46 ns for one message alone (medians
/// on a virtual Zen 4).
#[must_use]
#[inline]
pub(crate) fn compress_sha256<const N: usize>(states: &mut [[u32; 8]; N], blocks: [&[u8; 64]; N]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
    {
        // SAFETY: the processor has the features.
        unsafe { x86::compress_sha256(states, blocks) };
        return true;
    }
    let _ = (states, blocks);
    false
}

/// The baseline of the architecture.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn classify(self, chunk: &[u8; 64]) -> Classes {
        let mut classes = Classes::default();
        for (index, lane) in chunk.as_chunks::<16>().0.iter().enumerate() {
            let shift = 16 * index;
            let bytes = u8x16::new(*lane);
            let folded = bytes | u8x16::splat(0x20);
            let digit = at_most(bytes - u8x16::splat(b'0'), 9);
            let hex_letter = at_most(folded - u8x16::splat(b'a'), 5);
            let lower = at_most(bytes - u8x16::splat(b'a'), 25);
            let letter = at_most(folded - u8x16::splat(b'a'), 25);
            // `-`, `.` and `/` are adjacent.
            let joint = at_most(bytes - u8x16::splat(b'-'), 2) | equal(bytes, b'_');
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
            classes.quote |= mask(equal(bytes, b'"'), shift);
            classes.equals |= mask(equal(bytes, b'='), shift);
            classes.x |= mask(equal(bytes, b'x'), shift);
            classes.name |= mask(letter | digit | joint, shift);
        }
        classes
    }

    #[inline(always)]
    fn windows(self, bits: &Bitmap) -> [u64; 8] {
        let mut windows = [0; 8];
        for (index, window) in windows.iter_mut().enumerate() {
            *window = bits[6 * index..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        }
        windows
    }
}

/// Returns lanes of all ones where `bytes == byte`.
#[inline(always)]
fn equal(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

/// Returns lanes of all ones where `bytes <= limit`, unsigned.
#[inline(always)]
fn at_most(bytes: u8x16, limit: u8) -> u8x16 {
    bytes.min(u8x16::splat(limit)).simd_eq(bytes)
}

#[inline(always)]
fn mask(lanes: u8x16, shift: usize) -> u64 {
    u64::from(lanes.to_bitmask()) << shift
}

/// Proof that the processor has AVX-512F and AVX-512BW, and the features they imply.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Proof that the processor has AVX2, and the bit instructions that came with it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    #[inline]
    fn is_here() -> bool {
        is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512f") && Avx2::is_here()
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    #[inline]
    fn is_here() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512 {
    #[inline(always)]
    fn classify(self, chunk: &[u8; 64]) -> Classes {
        // SAFETY: `self` is the proof that the processor has the features.
        unsafe { x86::classify_avx512(chunk) }
    }

    #[inline(always)]
    fn windows(self, bits: &Bitmap) -> [u64; 8] {
        // SAFETY: `self` is the proof that the processor has the features.
        unsafe { x86::windows_avx2(bits) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2 {
    #[inline(always)]
    fn classify(self, chunk: &[u8; 64]) -> Classes {
        // SAFETY: `self` is the proof that the processor has the features.
        unsafe { x86::classify_avx2(chunk) }
    }

    #[inline(always)]
    fn windows(self, bits: &Bitmap) -> [u64; 8] {
        // SAFETY: `self` is the proof that the processor has the features.
        unsafe { x86::windows_avx2(bits) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Avx2, Avx512, Bitmap, Classes, Kernel};
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128,
        _mm_set_epi8, _mm_set_epi32, _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32,
        _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm256_cmpeq_epi8, _mm256_loadu_si256,
        _mm256_loadu2_m128i, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_storeu_si256, _mm256_sub_epi8, _mm512_cmpeq_epi8_mask,
        _mm512_cmple_epu8_mask, _mm512_loadu_si512, _mm512_or_si512, _mm512_set1_epi8, _mm512_sub_epi8,
    };

    #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512(()))
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2(()))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn classify_avx512(chunk: &[u8; 64]) -> Classes {
        // SAFETY: reads the 64 bytes of the chunk; the instruction requires no alignment.
        let bytes = unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) };
        let folded = _mm512_or_si512(bytes, _mm512_set1_epi8(0x20));
        let digit = within_512(bytes, b'0', 9);
        let underscore = equal_512(bytes, b'_');
        Classes {
            newline: equal_512(bytes, b'\n'),
            dot: equal_512(bytes, b'.'),
            dash: equal_512(bytes, b'-'),
            underscore,
            digit,
            hex: digit | within_512(folded, b'a', 5),
            token: digit | within_512(bytes, b'a', 25),
            colon: equal_512(bytes, b':'),
            at: equal_512(bytes, b'@'),
            percent: equal_512(bytes, b'%'),
            backslash: equal_512(bytes, b'\\'),
            quote: equal_512(bytes, b'"'),
            equals: equal_512(bytes, b'='),
            x: equal_512(bytes, b'x'),
            // `-`, `.` and `/` are adjacent.
            name: digit | within_512(folded, b'a', 25) | within_512(bytes, b'-', 2) | underscore,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn equal_512(bytes: __m512i, byte: u8) -> u64 {
        _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte.cast_signed()))
    }

    /// Returns a mask of the bytes from `first` to `first + more`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn within_512(bytes: __m512i, first: u8, more: u8) -> u64 {
        let from_first = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first.cast_signed()));
        _mm512_cmple_epu8_mask(from_first, _mm512_set1_epi8(more.cast_signed()))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn classify_avx2(chunk: &[u8; 64]) -> Classes {
        let half = chunk.as_ptr().cast::<__m256i>();
        // SAFETY: reads the two halves of the chunk; the instruction requires no alignment.
        let bytes = unsafe { [_mm256_loadu_si256(half), _mm256_loadu_si256(half.add(1))] };
        let fold = _mm256_set1_epi8(0x20);
        let folded = [_mm256_or_si256(bytes[0], fold), _mm256_or_si256(bytes[1], fold)];
        let digit = within_256(bytes, b'0', 9);
        let underscore = equal_256(bytes, b'_');
        Classes {
            newline: equal_256(bytes, b'\n'),
            dot: equal_256(bytes, b'.'),
            dash: equal_256(bytes, b'-'),
            underscore,
            digit,
            hex: digit | within_256(folded, b'a', 5),
            token: digit | within_256(bytes, b'a', 25),
            colon: equal_256(bytes, b':'),
            at: equal_256(bytes, b'@'),
            percent: equal_256(bytes, b'%'),
            backslash: equal_256(bytes, b'\\'),
            quote: equal_256(bytes, b'"'),
            equals: equal_256(bytes, b'='),
            x: equal_256(bytes, b'x'),
            // `-`, `.` and `/` are adjacent.
            name: digit | within_256(folded, b'a', 25) | within_256(bytes, b'-', 2) | underscore,
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn windows_avx2(bits: &Bitmap) -> [u64; 8] {
        // From 14 bytes, the eight of a window and the eight of the next. Left to itself, the compiler loads
        // each window apart, which takes longer than to classify bytes twice.
        let pair = _mm256_setr_epi8(
            0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12, 13, 0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11,
            12, 13,
        );
        let mut windows = [0; 8];
        let from = bits.as_ptr();
        // SAFETY: reads 16 bytes at 0, 12, 24 and 36 of 56, and writes the two halves of the windows; the
        // instructions require no alignment.
        unsafe {
            let four = _mm256_loadu2_m128i(from.add(12).cast(), from.cast());
            let more = _mm256_loadu2_m128i(from.add(36).cast(), from.add(24).cast());
            let to = windows.as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(to, _mm256_shuffle_epi8(four, pair));
            _mm256_storeu_si256(to.add(1), _mm256_shuffle_epi8(more, pair));
        }
        windows
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mask_256([low, high]: [__m256i; 2]) -> u64 {
        let low = u64::from(_mm256_movemask_epi8(low).cast_unsigned());
        low | u64::from(_mm256_movemask_epi8(high).cast_unsigned()) << 32
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn equal_256([low, high]: [__m256i; 2], byte: u8) -> u64 {
        let byte = _mm256_set1_epi8(byte.cast_signed());
        mask_256([_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte)])
    }

    /// Returns a mask of the bytes from `first` to `first + more`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn within_256([low, high]: [__m256i; 2], first: u8, more: u8) -> u64 {
        let (first, more) = (_mm256_set1_epi8(first.cast_signed()), _mm256_set1_epi8(more.cast_signed()));
        let (low, high) = (_mm256_sub_epi8(low, first), _mm256_sub_epi8(high, first));
        let (least_low, least_high) = (_mm256_min_epu8(low, more), _mm256_min_epu8(high, more));
        mask_256([_mm256_cmpeq_epi8(least_low, low), _mm256_cmpeq_epi8(least_high, high)])
    }

    /// Round constants, in fours (FIPS 180-4, 4.2.2).
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub(super) fn compress_sha256<const N: usize>(states: &mut [[u32; 8]; N], blocks: [&[u8; 64]; N]) {
        let big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        // The instructions take the eight words of a state as two vectors: `a`, `b`, `e`, `f`, and the
        // others.
        let before = states.map(|state| {
            let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
            (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h))
        });
        let (mut abef, mut cdgh) = (before.map(|(abef, _)| abef), before.map(|(_, cdgh)| cdgh));
        // The last sixteen words of each message schedule, in fours; new words replace the oldest.
        let mut words = [[_mm_setzero_si128(); N]; 4];
        for (quarter, [first, second, third, fourth]) in
            ROUNDS.iter().map(|k| k.map(u32::cast_signed)).enumerate()
        {
            let constants = _mm_set_epi32(fourth, third, second, first);
            let [oldest, older, newer, newest] = [0, 1, 2, 3].map(|ago| (quarter + ago) % 4);
            for message in 0..N {
                words[oldest][message] = match blocks[message].as_chunks::<16>().0.get(quarter) {
                    Some(bytes) => _mm_shuffle_epi8(load(bytes), big_endian),
                    None => next_words([oldest, older, newer, newest].map(|four| words[four][message])),
                };
            }
            for message in 0..N {
                let two = _mm_add_epi32(words[oldest][message], constants);
                let two_more = _mm_shuffle_epi32::<0b1110>(two);
                // Two rounds give the next `a`, `b`, `e`, `f`; the other vector becomes the previous one.
                cdgh[message] = _mm_sha256rnds2_epu32(cdgh[message], abef[message], two);
                abef[message] = _mm_sha256rnds2_epu32(abef[message], cdgh[message], two_more);
            }
        }
        for (message, state) in states.iter_mut().enumerate() {
            let abef = _mm_add_epi32(before[message].0, abef[message]);
            let cdgh = _mm_add_epi32(before[message].1, cdgh[message]);
            let (a, b) = (_mm_extract_epi32::<3>(abef), _mm_extract_epi32::<2>(abef));
            let (e, f) = (_mm_extract_epi32::<1>(abef), _mm_extract_epi32::<0>(abef));
            let (c, d) = (_mm_extract_epi32::<3>(cdgh), _mm_extract_epi32::<2>(cdgh));
            let (g, h) = (_mm_extract_epi32::<1>(cdgh), _mm_extract_epi32::<0>(cdgh));
            *state = [a, b, c, d, e, f, g, h].map(i32::cast_unsigned);
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: reads these 16 bytes; the instruction requires no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    /// Computes the next four words of the message schedule from the last sixteen.
    #[inline]
    #[target_feature(enable = "sha,ssse3")]
    fn next_words([oldest, older, newer, newest]: [__m128i; 4]) -> __m128i {
        let seven_ago = _mm_alignr_epi8::<4>(newest, newer);
        _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(oldest, older), seven_ago), newest)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Runs `kernel` with every kind of lanes that this machine has, by name.
    pub(crate) fn with_each<K: Kernel + Clone>(kernel: &K) -> Vec<(&'static str, K::Output)> {
        let portable = ("portable", kernel.clone().run(Portable));
        std::iter::once(portable).chain(with_found(kernel)).collect()
    }

    /// Runs `kernel` with the lanes that are detected at run time.
    #[cfg(target_arch = "x86_64")]
    fn with_found<K: Kernel + Clone>(kernel: &K) -> impl Iterator<Item = (&'static str, K::Output)> {
        // SAFETY: the processor has the features.
        let avx2 = Avx2::is_here().then(|| ("avx2", unsafe { x86::with_avx2(kernel.clone()) }));
        // SAFETY: the processor has the features.
        let avx512 = Avx512::is_here().then(|| ("avx512", unsafe { x86::with_avx512(kernel.clone()) }));
        avx2.into_iter().chain(avx512)
    }

    /// Other architectures have none.
    #[cfg(not(target_arch = "x86_64"))]
    fn with_found<K: Kernel>(_: &K) -> impl Iterator<Item = (&'static str, K::Output)> {
        std::iter::empty()
    }

    #[derive(Clone)]
    struct Classify([u8; 64]);

    impl Kernel for Classify {
        type Output = Classes;

        #[inline(always)]
        fn run(self, lanes: impl Lanes) -> Classes {
            lanes.classify(&self.0)
        }
    }

    fn one_by_one(chunk: &[u8; 64]) -> Classes {
        let mut classes = Classes::default();
        // A space is of no class; not to ask spares Miri most of its work.
        for (index, &byte) in chunk.iter().enumerate().filter(|(_, byte)| **byte != b' ') {
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
            classes.quote |= bit(byte == b'"');
            classes.equals |= bit(byte == b'=');
            classes.x |= bit(byte == b'x');
            classes.name |= bit(byte.is_ascii_alphanumeric() || b"./-_".contains(&byte));
        }
        classes
    }

    #[test]
    fn every_byte_value_in_every_lane() {
        // Miri takes a tenth of a second for each chunk: there, four bytes share one, and are in one place only.
        let shared = if cfg!(miri) { 4 } else { 1 };
        let (bytes, places) = (256 / shared, 64 / shared);
        for byte in 0..bytes {
            let only = byte % places;
            for place in if cfg!(miri) { only..only + 1 } else { 0..places } {
                let mut chunk = [b' '; 64];
                for nth in 0..shared {
                    chunk[place + nth * places] = (byte + nth * bytes) as u8;
                }
                let expected = one_by_one(&chunk);
                for (lanes, classes) in with_each(&Classify(chunk)) {
                    assert_eq!(classes, expected, "{lanes}: byte {byte:#x} in lane {place}");
                }
            }
        }
    }

    #[derive(Clone)]
    struct Windows(Bitmap);

    impl Kernel for Windows {
        type Output = [u64; 8];

        #[inline(always)]
        fn run(self, lanes: impl Lanes) -> [u64; 8] {
            lanes.windows(&self.0)
        }
    }

    #[test]
    fn every_bit_in_its_windows() {
        // Four bits at once, of which no two are in one window.
        for first in 0..112 {
            let mut bits = [0; 56];
            let mut expected = [0; 8];
            for at in (first..448).step_by(112) {
                bits[at / 8] |= 1 << (at % 8);
                for (index, window) in expected.iter_mut().enumerate() {
                    *window |= at.checked_sub(48 * index).filter(|bit| *bit < 64).map_or(0, |bit| 1 << bit);
                }
            }
            for (lanes, windows) in with_each(&Windows(bits)) {
                assert_eq!(windows, expected, "{lanes}: bit {first}, and every 112th after it");
            }
        }
    }

    /// FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first primes.
    static CONSTANTS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let primes = (2_u32..).filter(|number| (2..*number).all(|divisor| number % divisor != 0));
        primes.map(|prime| (f64::from(prime).cbrt().fract() * 2_f64.powi(32)) as u32).take(64).collect()
    });

    /// Implements FIPS 180-4, 6.2.2, word by word.
    fn compressed_word_by_word(state: [u32; 8], block: &[u8; 64]) -> [u32; 8] {
        let mut words: Vec<u32> =
            block.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
        let mix = |word: u32, [one, two]: [u32; 2], shift| {
            word.rotate_right(one) ^ word.rotate_right(two) ^ (word >> shift)
        };
        for at in 16..64 {
            let (old, new) = (mix(words[at - 15], [7, 18], 3), mix(words[at - 2], [17, 19], 10));
            words.push(words[at - 16].wrapping_add(old).wrapping_add(words[at - 7]).wrapping_add(new));
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for (&constant, word) in CONSTANTS.iter().zip(words) {
            let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let one = h.wrapping_add(sum).wrapping_add(choice).wrapping_add(constant).wrapping_add(word);
            let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = sum.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (a, b, c, d, e, f, g, h) = (one.wrapping_add(two), a, b, c, d.wrapping_add(one), e, f, g);
        }
        let mut next = [a, b, c, d, e, f, g, h];
        next.iter_mut().zip(state).for_each(|(word, before)| *word = word.wrapping_add(before));
        next
    }

    /// Makes a block of words, of which there are fewer to make than bytes.
    fn block(words: [u64; 8]) -> [u8; 64] {
        let mut block = [0; 64];
        for (bytes, word) in block.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        block
    }

    proptest! {
        #[test]
        fn sha256_equals_the_word_by_word_reading(
            states in prop::array::uniform4(any::<[u32; 8]>()),
            blocks in prop::array::uniform4(any::<[u64; 8]>()),
        ) {
            let blocks = blocks.map(block);
            let expected: Vec<_> =
                states.iter().zip(&blocks).map(|(state, block)| compressed_word_by_word(*state, block)).collect();
            let mut found = states;
            if compress_sha256(&mut found, blocks.each_ref()) {
                prop_assert_eq!(&found[..], expected);
            } else {
                prop_assert_eq!(found, states, "nothing is done where it cannot be");
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_byte_by_byte_reading(words in any::<[u64; 8]>()) {
            let chunk = block(words);
            let expected = one_by_one(&chunk);
            for (lanes, classes) in with_each(&Classify(chunk)) {
                prop_assert_eq!(&classes, &expected, "{}", lanes);
            }
        }
    }
}
