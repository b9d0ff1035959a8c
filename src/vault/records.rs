//! Iterates over the records of a vault, even past damage. Needs no key.
//!
//! A record is found by its length and verified by its check. If the length is damaged, the check reveals
//! what it was. If both are damaged, the search goes on to the next record that verifies.

use super::layout::{RECORD_HEADER_BYTES, check};
use sha2::{Digest, Sha256};

/// A record, or a damaged stretch in place of one or more records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'b> {
    /// Offset of its start.
    pub(super) offset: usize,
    /// Its encrypted part; empty if its end is unknown.
    pub(super) encrypted: &'b [u8],
    /// Whether its check matches.
    pub(super) is_whole: bool,
    /// Whether its length field is intact, too.
    pub(super) is_intact: bool,
    /// Offset of its end, where the next record starts.
    pub(super) end: usize,
    /// Index of the record, from 0, with which it was encrypted. If several records were lost before it, the
    /// true index is larger, by up to `unsure`.
    pub(super) number: u64,
    /// Most by which the true index may exceed `number`.
    pub(super) unsure: u64,
}

/// Iterates over the records from `start` on.
pub(super) fn records(bytes: &[u8], start: usize) -> impl Iterator<Item = Placed<'_>> {
    let (mut offset, mut number, mut unsure) = (start, 0, 0_u64);
    std::iter::from_fn(move || {
        let placed = Placed { number, unsure, ..at(bytes, offset)? };
        if placed.encrypted.is_empty() {
            // The number of records in the damaged stretch is unknown; this is its upper bound.
            unsure += ((placed.end - offset) / LEAST_RECORD_BYTES) as u64;
        }
        (offset, number) = (placed.end, number + 1);
        Some(placed)
    })
}

/// Returns the record or damaged stretch at `offset`; `None` at the end.
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
        // The encrypted part or its check is damaged, if a whole record or the end of the file follows.
        if end == bytes.len() || whole_at(bytes, end).is_some() {
            return Some(found(end, false, true));
        }
    }
    let proven = end_by_check(&rest[RECORD_HEADER_BYTES..], &header[4..]);
    if let Some(length) = proven {
        return Some(found(offset + RECORD_HEADER_BYTES + length, true, false));
    }
    // The next record may be damaged, too, but not in its length.
    if let Some(end) =
        stated.filter(|end| stated_end(bytes, *end).is_some_and(|next| whole_at(bytes, next).is_some()))
    {
        return Some(found(end, false, true));
    }
    let next = (offset + 1..bytes.len()).find(|next| whole_at(bytes, *next).is_some());
    Some(Placed { end: next.unwrap_or(bytes.len()), ..lost })
}

/// Returns where a record ends according to its length field, if that is within the file.
fn stated_end(bytes: &[u8], offset: usize) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?) as usize;
    // No record is empty, so a run of zeros, which a power cut may leave, is not a record.
    let end = offset.checked_add(RECORD_HEADER_BYTES)?.checked_add(length)?;
    (length > 0 && end <= bytes.len()).then_some(end)
}

fn is_whole(bytes: &[u8], offset: usize, end: usize) -> bool {
    let (header, encrypted) = bytes[offset..end].split_at(RECORD_HEADER_BYTES);
    header[4..] == check(&[encrypted])
}

/// Returns the end of the record at `offset`, if it is whole. Most offsets do not hold a length, so this
/// hashes little in vain: a long candidate must be followed by something that could be a record.
fn whole_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let end = stated_end(bytes, offset)?;
    let could_be = end - offset <= SHORT_BYTES || end == bytes.len() || stated_end(bytes, end).is_some();
    (could_be && is_whole(bytes, offset, end)).then_some(end)
}

/// Finds the length of the encrypted part at the start of `rest` by its check.
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

/// Longer than any record.
const LONGEST_RECORD_BYTES: usize = 16 << 20;

/// Up to this length, testing whether bytes are a record is cheap.
const SHORT_BYTES: usize = 64 << 10;
