//! HMAC-SHA-256 of several short inputs at a time.
//!
//! The two pads of a key are compressed once. After that, a canonical form of at most 55 bytes costs two
//! compressions, inner and outer. Each is a chain of dependent instructions, so the compressions of
//! [`AT_ONCE`] different inputs are interleaved where the processor has instructions for it; elsewhere, the
//! compression function of `sha2` is used. Tests compare the results with the crate `hmac`.

use crate::primitives::processor;
use crate::primitives::secret::Secret;
use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How many inputs are hashed at a time. More would gain nothing.
pub(crate) const AT_ONCE: usize = 4;

/// The maximum length of an input: with its padding it fills one block (FIPS 180-4, 5.1.1).
pub(crate) const LONGEST_BYTES: usize = 55;

/// The initial hash value (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// `SHA-256` states after `K xor ipad` and after `K xor opad` (RFC 2104, 2).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct PaddedKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl PaddedKey {
    /// Computes the states of a 32-byte key.
    pub(crate) fn new(key: &Secret) -> Self {
        let after = |pad: u8| {
            let mut block = [pad; 64];
            block.iter_mut().zip(key.expose()).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: after(0x36), outer: after(0x5c) }
    }
}

/// A message that fits into one block after the 64 bytes of a pad.
#[derive(Clone, Copy)]
pub(crate) struct Block([u8; 64]);

impl Block {
    /// Pads `message`. Returns `None` if it is longer than [`LONGEST_BYTES`].
    #[inline]
    pub(crate) fn new(message: &[u8]) -> Option<Self> {
        let mut block = [0; 64];
        block.get_mut(..message.len()).filter(|room| room.len() <= LONGEST_BYTES)?.copy_from_slice(message);
        block[message.len()] = 0x80;
        let bits = 8 * (64 + u16::try_from(message.len()).ok()?);
        block[62..].copy_from_slice(&bits.to_be_bytes());
        Some(Self(block))
    }

    /// Pads a digest, the input of the outer hash.
    #[inline]
    fn of_digest(digest: [u32; 8]) -> Self {
        let mut block = [0; 64];
        for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(digest) {
            *bytes = word.to_be_bytes();
        }
        block[32] = 0x80;
        block[62..].copy_from_slice(&(8 * (64 + 32_u16)).to_be_bytes());
        Self(block)
    }
}

/// `HMAC-SHA-256(K, message)[0..16]` of several messages, each under its own key.
#[inline]
pub(crate) fn tags<const N: usize>(messages: [(&PaddedKey, Block); N]) -> [[u8; 16]; N] {
    let mut inner = messages.map(|(key, _)| key.inner);
    compress(&mut inner, messages.each_ref().map(|(_, block)| &block.0));
    let blocks = inner.map(Block::of_digest);
    let mut outer = messages.map(|(key, _)| key.outer);
    compress(&mut outer, blocks.each_ref().map(|block| &block.0));
    outer.map(|[a, b, c, d, ..]| {
        let mut tag = [0; 16];
        for (bytes, word) in tag.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
            *bytes = word.to_be_bytes();
        }
        tag
    })
}

/// Applies the compression function to each state and block.
#[inline]
fn compress<const N: usize>(states: &mut [[u32; 8]; N], blocks: [&[u8; 64]; N]) {
    if !processor::compress_sha256(states, blocks) {
        for (state, block) in states.iter_mut().zip(blocks) {
            compress256(state, &[*block]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    fn by_the_crate(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        hmac.update(message);
        let full: [u8; 32] = hmac.finalize().into_bytes().into();
        full[..16].try_into().unwrap()
    }

    #[test]
    fn only_short_messages() {
        assert!(Block::new(&[0; LONGEST_BYTES]).is_some());
        assert!(Block::new(&[0; LONGEST_BYTES + 1]).is_none());
        assert!(Block::new(&[0; 64]).is_none());
        assert!(Block::new(&[0; 65]).is_none());
    }

    proptest! {
        #[test]
        fn equals_the_crate(
            keys in proptest::array::uniform4(any::<[u8; 32]>()),
            messages in proptest::array::uniform4(prop::collection::vec(any::<u8>(), 0..=LONGEST_BYTES)),
        ) {
            let padded = keys.map(|key| PaddedKey::new(&Secret::new(key)));
            let pair = |index: usize| (&padded[index], Block::new(&messages[index]).unwrap());
            let found = tags([pair(0), pair(1), pair(2), pair(3)]);
            for index in 0..4 {
                prop_assert_eq!(found[index], by_the_crate(&keys[index], &messages[index]));
                prop_assert_eq!(tags([pair(index)])[0], found[index]);
            }
        }
    }
}
