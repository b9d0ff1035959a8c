//! The records of a vault one after the other, also behind damage. Needs no key.
//!
//! A record is found by its length, and proven by its check: so where a length is damaged, the check says what it was. Where
//! both are, the next record proves itself.

use super::layout::{RECORD_HEADER_BYTES, check};
use sha2::{Digest, Sha256};

/// A record, or what is there in the place of some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'b> {
    /// Where it starts.
    pub(super) offset: usize,
    /// Its encrypted part; empty if it is not known where that ends.
    pub(super) encrypted: &'b [u8],
    /// Whether its check says that it is as it was written.
    pub(super) is_whole: bool,
    /// Whether its length is, as well.
    pub(super) is_intact: bool,
    /// Where it ends, and the next one starts.
    pub(super) end: usize,
    /// The how-many-th it is, from 0, which it was encrypted with; more than that, by up to `unsure`, if several were lost
    /// before it.
    pub(super) number: u64,
    /// By how much.
    pub(super) unsure: u64,
}

/// Those from `start` on.
pub(super) fn records(bytes: &[u8], start: usize) -> impl Iterator<Item = Placed<'_>> {
    let (mut offset, mut number, mut unsure) = (start, 0, 0_u64);
    std::iter::from_fn(move || {
        let placed = Placed { number, unsure, ..at(bytes, offset)? };
        if placed.encrypted.is_empty() {
            // How many records that were is not known.
            unsure += ((placed.end - offset) / LEAST_RECORD_BYTES) as u64;
        }
        (offset, number) = (placed.end, number + 1);
        Some(placed)
    })
}

/// What starts there; `None` at the end.
fn at(bytes: &[u8], offset: usize) -> Option<Placed<'_>> {
    let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
    let lost = Placed {
        offset,
        encrypted: &[],
        is_whole: false,
        is_intact: false,
        end: bytes.len(),
        number: 0,
        unsure: 0,
    };
    let Some(header) = rest.get(..RECORD_HEADER_BYTES) else { return Some(lost) };
    let found = |end: usize, is_whole, is_intact| {
        let encrypted = &bytes[offset + RECORD_HEADER_BYTES..end];
        Placed { encrypted, is_whole, is_intact, end, ..lost }
    };
    let stated = stated_end(bytes, offset);
    if let Some(end) = stated {
        if is_whole(bytes, offset, end) {
            return Some(found(end, true, true));
        }
        // The encrypted part or its check is damaged, if what comes next is as it should be.
        if end == bytes.len() || whole_at(bytes, end).is_some() {
            return Some(found(end, false, true));
        }
    }
    let proven = end_by_check(&rest[RECORD_HEADER_BYTES..], &header[4..]);
    if let Some(length) = proven {
        return Some(found(offset + RECORD_HEADER_BYTES + length, true, false));
    }
    // The next one as well may be damaged, in another place than its length.
    if let Some(end) =
        stated.filter(|end| stated_end(bytes, *end).is_some_and(|next| whole_at(bytes, next).is_some()))
    {
        return Some(found(end, false, true));
    }
    let next = (offset + 1..bytes.len()).find(|next| whole_at(bytes, *next).is_some());
    Some(Placed { end: next.unwrap_or(bytes.len()), ..lost })
}

/// Where a record ends by what it says, if that is within the file.
fn stated_end(bytes: &[u8], offset: usize) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?) as usize;
    // No record is empty: a row of zeros, which a power cut may leave, is none.
    let end = offset.checked_add(RECORD_HEADER_BYTES)?.checked_add(length)?;
    (length > 0 && end <= bytes.len()).then_some(end)
}

fn is_whole(bytes: &[u8], offset: usize, end: usize) -> bool {
    let (header, encrypted) = bytes[offset..end].split_at(RECORD_HEADER_BYTES);
    header[4..] == check(&[encrypted])
}

/// Where the record ends that starts there, if it is whole. Most numbers are no lengths, so little is hashed in vain: what is
/// said to be long must have something behind it that could be a record.
fn whole_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let end = stated_end(bytes, offset)?;
    let could_be = end - offset <= SHORT_BYTES || end == bytes.len() || stated_end(bytes, end).is_some();
    (could_be && is_whole(bytes, offset, end)).then_some(end)
}

/// How long the encrypted part is that starts there, by its check.
fn end_by_check(rest: &[u8], expected: &[u8]) -> Option<usize> {
    let mut hasher = Sha256::new();
    rest.iter()
        .take(LONGEST_RECORD_BYTES)
        .position(|byte| {
            hasher.update([*byte]);
            hasher.clone().finalize()[..expected.len()] == *expected
        })
        .map(|last| last + 1)
}

/// Header and tag.
const LEAST_RECORD_BYTES: usize = RECORD_HEADER_BYTES + crate::primitives::crypto::TAG_BYTES;

/// More than a record has.
const LONGEST_RECORD_BYTES: usize = 16 << 20;

/// Of so many bytes it costs little to see whether they are a record.
const SHORT_BYTES: usize = 64 << 10;
