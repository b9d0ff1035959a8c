//! Encodes and decodes originals: the groups that a record holds before it is encrypted. FORMAT.md, "Record".
//!
//! A record has many originals of few kinds, in no meaningful order. So each group is sorted, which makes
//! each original cheap to encode relative to its neighbour: about three bytes for an IPv4 address, four or
//! five for an IPv6 address or an e-mail address.

use super::addresses;
use super::layout::count;
use super::reader::Original;
use crate::model::Kind;
use crate::primitives::byte_map;
use zeroize::{Zeroize, Zeroizing};
use zstd::zstd_safe;

/// Fields in order, with their lengths in bytes. FORMAT.md has the same table, and a test compares the two.
pub(super) const GROUP: [(&str, usize); 4] =
    [("kind", 1), ("coding", 1), ("originals", 4), ("group bytes", 4)];
const GROUP_BYTES: usize = byte_map::length(&GROUP);

/// Fields of the first version, in which all originals of a group have the same length and are stored as they
/// are.
const GROUP_1: [(&str, usize); 3] = [("kind", 1), ("original bytes", 4), ("originals", 4)];
const GROUP_1_BYTES: usize = byte_map::length(&GROUP_1);

/// Set if the group is a zstd frame.
const COMPRESSED: u8 = 0x80;

/// Compression level of zstd for groups. Higher levels gain nothing on a few kilobytes.
const LEVEL: i32 = 3;

/// Longest group that is decompressed, in bytes.
const LONGEST_GROUP: u64 = 1 << 30;

/// Bytes in an IPv6 address.
const V6: usize = 16;

/// How a group is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `04` and four bytes, encoded by [`addresses`].
    Ipv4 = 0,
    /// `06` and sixteen bytes: all first bytes, then all second bytes, and so on.
    Ipv6 = 1,
    /// Anything else: all lengths, then all bytes.
    Text = 2,
}

impl Coding {
    fn of(original: &[u8]) -> Self {
        match original {
            [4, _, _, _, _] => Self::Ipv4,
            [6, rest @ ..] if rest.len() == V6 => Self::Ipv6,
            _ => Self::Text,
        }
    }
}

/// An original with its sort key.
struct Ranked<'a> {
    /// Kind, coding, and the first bytes of the original. Most comparisons need only these numbers.
    rank: u128,
    original: &'a [u8],
}

/// Bytes of an original that fit into a rank beside kind and coding.
const RANKED_BYTES: usize = 14;

impl<'a> Ranked<'a> {
    fn new(kind: Kind, original: &'a [u8]) -> Self {
        let mut rank = [0; 2 + RANKED_BYTES];
        rank[..2].copy_from_slice(&[kind.0, Coding::of(original) as u8]);
        rank[2..].iter_mut().zip(original).for_each(|(ranked, byte)| *ranked = *byte);
        Self { rank: u128::from_be_bytes(rank), original }
    }

    /// Returns the kind and coding, which are equal within a group.
    fn group(&self) -> u128 {
        self.rank >> (8 * RANKED_BYTES)
    }
}

/// Encodes the originals as groups, with room for the tag of the encryption: the vector does not move when it
/// is encrypted in place, so no plaintext copy is left behind.
pub(super) fn encode<'a>(pairs: impl Iterator<Item = (Kind, &'a [u8])>, room: usize) -> Vec<u8> {
    let mut ranked: Vec<_> = pairs.map(|(kind, original)| Ranked::new(kind, original)).collect();
    ranked.sort_unstable_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.original.cmp(b.original)));
    let groups: Vec<_> = ranked.chunk_by(|a, b| a.group() == b.group()).map(group).collect();
    ranked.iter_mut().for_each(|ranked| ranked.rank.zeroize());
    let bytes: usize = groups.iter().map(|(_, body)| GROUP_BYTES + body.len()).sum();
    let mut record = Vec::with_capacity(if bytes == 0 { 0 } else { bytes + room });
    for (header, body) in groups {
        record.extend_from_slice(&header);
        record.extend_from_slice(&body);
    }
    record
}

/// Encodes the header and body of a group, whose originals share one kind and one coding.
fn group(ranked: &[Ranked<'_>]) -> ([u8; GROUP_BYTES], Zeroizing<Vec<u8>>) {
    let [kind, ..] = ranked[0].rank.to_be_bytes();
    let coding = Coding::of(ranked[0].original);
    let originals = ranked.iter().map(|ranked| ranked.original);
    let (compressed, body) = match coding {
        Coding::Ipv4 => (0, ipv4(originals)),
        Coding::Ipv6 => compress(ipv6(originals)),
        Coding::Text => compress(text(originals)),
    };
    let mut header = [0; GROUP_BYTES];
    header[..2].copy_from_slice(&[kind, coding as u8 | compressed]);
    header[2..6].copy_from_slice(&count(ranked.len()).to_le_bytes());
    header[6..].copy_from_slice(&count(body.len()).to_le_bytes());
    (header, body)
}

fn ipv4<'a>(originals: impl Iterator<Item = &'a [u8]>) -> Zeroizing<Vec<u8>> {
    let addresses = originals.filter_map(|original| original[1..].first_chunk());
    let addresses: Zeroizing<Vec<u32>> =
        Zeroizing::new(addresses.map(|bytes| u32::from_be_bytes(*bytes)).collect());
    addresses::encode(&addresses)
}

fn ipv6<'a>(originals: impl Iterator<Item = &'a [u8]> + Clone) -> Zeroizing<Vec<u8>> {
    let columns = (1..=V6).flat_map(|column| originals.clone().map(move |original| original[column]));
    let mut body = Zeroizing::new(Vec::with_capacity(originals.clone().count() * V6));
    body.extend(columns);
    body
}

fn text<'a>(originals: impl Iterator<Item = &'a [u8]> + Clone) -> Zeroizing<Vec<u8>> {
    // Five bytes hold any length below 4 GiB, and no original is that long.
    let bytes: usize = originals.clone().map(|original| 5 + original.len()).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(bytes));
    for original in originals.clone() {
        let mut length = original.len();
        while length >= 0x80 {
            body.push(length as u8 | 0x80);
            length >>= 7;
        }
        body.push(length as u8);
    }
    originals.for_each(|original| body.extend_from_slice(original));
    body
}

/// Compresses the body and returns [`COMPRESSED`] with it; returns it unchanged with 0 if that is shorter.
fn compress(body: Zeroizing<Vec<u8>>) -> (u8, Zeroizing<Vec<u8>>) {
    match zstd::bulk::compress(&body, LEVEL).map(Zeroizing::new) {
        Ok(compressed) if compressed.len() < body.len() => (COMPRESSED, compressed),
        _ => (0, body),
    }
}

/// Decodes the originals in a decrypted record of that version; `None` if it does not hold valid groups.
pub(super) fn decode(
    version: u16,
    mut record: &[u8],
    kinds: &[String],
    originals: &mut Vec<Original>,
) -> Option<()> {
    while !record.is_empty() {
        record = match version {
            1 => decode_group_1(record, kinds, originals),
            _ => decode_group(record, kinds, originals),
        }?;
    }
    Some(())
}

/// Decodes the group at the start of `bytes` and returns what follows it.
fn decode_group<'a>(bytes: &'a [u8], kinds: &[String], originals: &mut Vec<Original>) -> Option<&'a [u8]> {
    let (header, rest) = bytes.split_at_checked(GROUP_BYTES)?;
    let kind = kinds.get(usize::from(header[0]))?;
    let number = |at: usize| Some(u32::from_le_bytes(*header[at..].first_chunk()?) as usize);
    let (count, length) = (number(2)?, number(6)?);
    let (body, rest) = rest.split_at_checked(length)?;
    let body = if header[1] & COMPRESSED == 0 { Zeroizing::new(body.to_vec()) } else { decompress(body)? };
    let mut push = |canonical: Vec<u8>| {
        originals.push(Original { kind: kind.clone(), canonical: Zeroizing::new(canonical) });
    };
    match header[1] & !COMPRESSED {
        0 => {
            let addresses = addresses::decode(&body, count)?;
            addresses.iter().for_each(|address| push([&[4][..], &address.to_be_bytes()].concat()));
        }
        1 => {
            if count.checked_mul(V6)? != body.len() {
                return None;
            }
            let column = |original: usize| body.iter().skip(original).step_by(count);
            (0..count).for_each(|original| push([6].iter().chain(column(original)).copied().collect()));
        }
        2 => decode_text(&body, count)?.into_iter().for_each(|original| push(original.to_vec())),
        _ => return None,
    }
    Some(rest)
}

fn decode_text(mut body: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    // Each original has at least one byte, so a number from the file alone cannot cause a large allocation.
    let mut lengths = Vec::with_capacity(count.min(body.len()));
    for _ in 0..count {
        let mut length = 0_u64;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = body.split_first()?;
            body = rest;
            length |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        lengths.push(usize::try_from(length).ok()?);
    }
    let mut originals = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (original, rest) = body.split_at_checked(length)?;
        originals.push(original);
        body = rest;
    }
    body.is_empty().then_some(originals)
}

fn decompress(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let stated = zstd_safe::get_frame_content_size(body).ok()??;
    if stated > LONGEST_GROUP {
        return None;
    }
    zstd::bulk::decompress(body, usize::try_from(stated).ok()?).ok().map(Zeroizing::new)
}

/// Decodes a group of the first version.
fn decode_group_1<'a>(bytes: &'a [u8], kinds: &[String], originals: &mut Vec<Original>) -> Option<&'a [u8]> {
    let (header, rest) = bytes.split_at_checked(GROUP_1_BYTES)?;
    let kind = kinds.get(usize::from(header[0]))?;
    let length = u32::from_le_bytes(*header[1..].first_chunk()?) as usize;
    let count = u32::from_le_bytes(*header[5..].first_chunk()?) as usize;
    let (group, rest) = rest.split_at_checked(length.checked_mul(count)?)?;
    if length == 0 {
        return None;
    }
    let canonical = |original: &[u8]| Zeroizing::new(original.to_vec());
    originals.extend(
        group
            .chunks_exact(length)
            .map(|original| Original { kind: kind.clone(), canonical: canonical(original) }),
    );
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> Vec<String> {
        ["ip", "net", "em"].map(str::to_owned).to_vec()
    }

    fn decoded(record: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut originals = Vec::new();
        decode(2, record, &kinds(), &mut originals)?;
        Some(originals.into_iter().map(|original| (original.kind, original.canonical.to_vec())).collect())
    }

    fn email(number: u32) -> Vec<u8> {
        format!("client{}@mail{}.example.net", number * 7919 % 100_000, number % 23).into_bytes()
    }

    #[test]
    fn originals_cost_few_bytes() {
        let address = |number: u32| [&[4][..], &number.wrapping_mul(0x9e37_79b1).to_be_bytes()].concat();
        let v6 = |number: u32| {
            let host = (u64::from(number) * 0x9e37_79b1).to_be_bytes();
            [&[6, 0x20, 1, 0xd, 0xb8][..], &host[4..], &[0; 7], &[1]].concat()
        };
        for (original, most) in [(&address as &dyn Fn(u32) -> Vec<u8>, 3.3), (&v6, 5.0), (&email, 6.0)] {
            let all: Vec<_> = (0..1_000).map(original).collect();
            let record = encode(all.iter().map(|original| (Kind::IP, &**original)), 16);
            assert!((record.len() as f64) < most * 1_000.0, "{} bytes for 1000", record.len());
            let mut read: Vec<_> =
                decoded(&record).unwrap().into_iter().map(|(_, original)| original).collect();
            read.sort();
            let mut sorted = all.clone();
            sorted.sort();
            assert_eq!(read, sorted);
        }
    }

    #[test]
    fn nothing_is_no_record() {
        assert_eq!(encode(std::iter::empty(), 16).capacity(), 0);
        assert_eq!(decoded(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_group() {
        let emails: Vec<_> = (0..50).map(email).collect();
        let record = encode(emails.iter().map(|original| (Kind::EM, &**original)), 16);
        assert!(decoded(&record).is_some());
        for (at, byte) in [(0, 3), (1, 3), (1, 0x83), (2, 49), (2, 51), (6, 1)] {
            let mut other = record.clone();
            other[at] = byte;
            assert_eq!(decoded(&other), None, "byte {at}");
        }
        for length in 1..record.len() {
            assert_eq!(decoded(&record[..length]), None, "cut at {length}");
        }
    }

    proptest! {
        #[test]
        fn records_read_back(pairs in prop::collection::vec((0u8..3, prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::array::uniform4(any::<u8>()).prop_map(|address| [&[4][..], &address].concat()),
            prop::array::uniform16(any::<u8>()).prop_map(|address| [&[6][..], &address].concat()),
        ]), 0..60)) {
            let record = encode(pairs.iter().map(|(kind, original)| (Kind(*kind), &**original)), 16);
            let names = kinds();
            let mut read = decoded(&record).unwrap();
            read.sort();
            let named = pairs.iter().map(|(kind, original)| (names[usize::from(*kind)].clone(), original.clone()));
            let mut expected: Vec<_> = named.collect();
            expected.sort();
            prop_assert_eq!(read, expected);
            let backwards = pairs.iter().rev().map(|(kind, original)| (Kind(*kind), &**original));
            prop_assert_eq!(&encode(backwards, 16), &record, "their order says nothing");
        }

        #[test]
        fn hostile_records_are_read_without_harm(version in 1u16..3, record: Vec<u8>) {
            let _ = decode(version, &record, &kinds(), &mut Vec::new());
        }

        #[test]
        fn hostile_groups_are_read_without_harm(
            version in 1u16..3, kind in 0u8..3, coding in 0u8..4, compressed: bool,
            count in 0u32..40, body: Vec<u8>,
        ) {
            let coding = if compressed { coding | COMPRESSED } else { coding };
            let length = (body.len() as u32).to_le_bytes();
            let record = [&[kind, coding][..], &count.to_le_bytes(), &length, &body].concat();
            let _ = decode(version, &record, &kinds(), &mut Vec::new());
        }
    }
}
