//! Tests that write, open, damage and cut vaults.

use super::layout::{FIXED, RECORD};
use super::originals::GROUP;
use super::*;
use crate::model::{ClassName, Expires, Folder, Kind, NodeName, SegmentId, SegmentName, Tree};
use crate::primitives::byte_map;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Memory, Storage};
use crate::pseudonym::Tokens;
use jiff::civil::date;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

fn name() -> SegmentName {
    let folder =
        Folder { expires: Expires::On(date(2027, 11, 24)), class: ClassName::new("connection").unwrap() };
    SegmentName { folder, node: NodeName::new("web1").unwrap(), kid: *b"2epqf", number: 1 }
}

fn tree() -> Tree {
    Tree::at(Path::new("/srv"))
}

fn tokens(pairs: &[(Kind, &[u8])]) -> Tokens {
    let mut tokens = Tokens::default();
    for (kind, original) in pairs {
        let mut tag = [kind.0; 16];
        original.iter().zip(&mut tag[..14]).for_each(|(byte, slot)| *slot = *byte);
        tag[15] = original.len() as u8;
        tokens.push(*kind, tag, original);
    }
    tokens
}

struct Keys {
    secret: Secret,
    shred_key: Secret,
}

fn keys() -> Keys {
    Keys { secret: Secret::new([1; 32]), shred_key: Secret::new([2; 32]) }
}

fn begin(memory: &Memory, wrap: &[u8]) -> VaultWriter {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let Keys { secret, shred_key } = &keys();
    let kinds = ["ip", "net", "em"].map(str::to_owned);
    let parameters = VaultParameters { secret, wrap, shred_key, begun: 1, tenant: "acme", kinds: &kinds };
    VaultWriter::begin(&storage, &tree(), &name(), SegmentId([5; 16]), &parameters).unwrap()
}

/// Writes two records. A third `add` in between, with nothing that the first lacks, writes none.
fn written(memory: &Memory) -> VaultWriter {
    let mut vault = begin(memory, b"wrapped");
    assert!(
        vault.add(&[&tokens(&[(Kind::IP, &[4, 203, 0, 113, 7]), (Kind::EM, b"jean@example.org")])]).unwrap()
    );
    assert!(
        !vault
            .add(&[&tokens(&[(Kind::IP, &[4, 203, 0, 113, 7]), (Kind::QR, b"x"), (Kind::FK, b"")])])
            .unwrap()
    );
    let more: [(Kind, &[u8]); 3] =
        [(Kind::IP, &[4, 192, 0, 2, 1]), (Kind::IP, &[4, 203, 0, 113, 7]), (Kind::EM, b"jo@example.org")];
    assert!(vault.add(&[&tokens(&more)]).unwrap());
    vault.sync().unwrap();
    vault
}

fn path() -> std::path::PathBuf {
    tree().vault(&name())
}

fn opened(memory: &Memory) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
    let Keys { secret, shred_key } = &keys();
    let originals = Vault::open(memory, &path())?.originals(secret, shred_key)?;
    Ok(originals.into_iter().map(|original| (original.kind, original.canonical.to_vec())).collect())
}

#[test]
fn the_format_is_as_described() {
    let document = include_str!("FORMAT.md");
    assert_eq!(byte_map::described(document, "## Header"), FIXED);
    let (records, groups) = document.split_once("Then the encrypted part").unwrap();
    assert_eq!(byte_map::described(records, "## Record"), RECORD);
    let groups = format!("## Group\n{groups}");
    assert_eq!(byte_map::described(&groups, "## Group"), GROUP);
}

#[test]
fn what_is_written_opens_with_both_keys() {
    let memory = Memory::new();
    let writer = written(&memory);
    let vault = Vault::open(&memory, &path()).unwrap();
    assert_eq!(vault.mark(), writer.mark());
    let header = vault.header();
    assert_eq!((header.id, &*header.kid, &*header.tenant), (SegmentId([5; 16]), "2epqf", "acme"));
    assert_eq!(vault.wrap(&keys().shred_key).unwrap().unwrap().as_slice(), b"wrapped");
    let pair = |kind: &str, original: &[u8]| (kind.to_owned(), original.to_vec());
    let expected = [
        pair("ip", &[4, 203, 0, 113, 7]),
        pair("em", b"jean@example.org"),
        pair("ip", &[4, 192, 0, 2, 1]),
        pair("em", b"jo@example.org"),
    ];
    assert_eq!(opened(&memory).unwrap(), expected);
}

#[test]
fn one_key_is_not_enough() {
    let memory = Memory::new();
    written(&memory);
    let vault = Vault::open(&memory, &path()).unwrap();
    let Keys { secret, shred_key } = keys();
    let other = Secret::new([9; 32]);
    assert!(matches!(vault.wrap(&other), Err(VaultError::WrongKey { .. })));
    assert!(matches!(vault.originals(&secret, &other), Err(VaultError::WrongKey { .. })));
    assert!(matches!(vault.originals(&other, &shred_key), Err(VaultError::WrongKey { .. })));
}

#[test]
fn nothing_stands_in_it_in_clear() {
    let memory = Memory::new();
    written(&memory);
    let bytes = memory.files().remove(&path()).unwrap();
    for clear in [&[203, 0, 113, 7][..], b"jean", b"example.org", b"wrapped"] {
        assert!(!bytes.windows(clear.len()).any(|window| window == clear), "{clear:?}");
    }
}

#[test]
fn a_key_file_needs_no_wrap() {
    let memory = Memory::new();
    begin(&memory, b"").sync().unwrap();
    assert_eq!(Vault::open(&memory, &path()).unwrap().wrap(&keys().shred_key).unwrap(), None);
}

#[test]
fn every_flipped_bit_is_found() {
    let memory = Memory::new();
    written(&memory);
    let whole = memory.files().remove(&path()).unwrap();
    for bit in 0..whole.len() * 8 {
        memory.damage(&path(), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(opened(&memory).is_err(), "bit {bit}");
        memory.damage(&path(), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
}

/// Returns the originals that a damaged vault still yields, and where it is damaged.
fn readable(memory: &Memory) -> (Vec<Vec<u8>>, Option<u64>) {
    let Keys { secret, shred_key } = &keys();
    let vault = Vault::open(memory, &path()).unwrap();
    assert!(vault.opens_with(secret, shred_key));
    let mut originals = Vec::new();
    let read = vault.each_record(secret, shred_key, &mut |record| {
        originals.extend(record.into_iter().map(|original| original.canonical.to_vec()));
        ControlFlow::Continue(())
    });
    match read {
        Ok(()) => (originals, None),
        Err(VaultError::Damaged { offset, .. }) => (originals, Some(offset)),
        Err(error) => panic!("{error}"),
    }
}

/// Writes records of one address each. Returns the offset of each, then the end of the file.
fn four_records(memory: &Memory) -> Vec<usize> {
    let mut vault = begin(memory, b"wrapped");
    let mut places = vec![vault.mark().0 as usize];
    for last in 1..=4 {
        vault.add(&[&tokens(&[(Kind::IP, &[4, 192, 0, 2, last])])]).unwrap();
        places.push(vault.mark().0 as usize);
    }
    vault.sync().unwrap();
    places
}

#[test]
fn of_a_damaged_vault_every_other_record_is_given_back() {
    let memory = Memory::new();
    let places = four_records(&memory);
    let whole = memory.files().remove(&path()).unwrap();
    let all: Vec<Vec<u8>> = (1..=4).map(|last| vec![4, 192, 0, 2, last]).collect();
    assert_eq!(readable(&memory), (all.clone(), None));
    for (number, place) in places[..4].iter().enumerate() {
        let mut others = all.clone();
        others.remove(number);
        // In the encrypted part: the start of the next record is known.
        memory.damage(&path(), |bytes| bytes[place + 12] ^= 1);
        assert_eq!(readable(&memory), (others.clone(), Some(*place as u64)), "{number}");
        memory.damage(&path(), |bytes| bytes[place + 12] ^= 1);
        // In its length, which its check reveals.
        for byte in 0..4 {
            memory.damage(&path(), |bytes| bytes[place + byte] ^= 1);
            assert_eq!(readable(&memory), (all.clone(), Some(*place as u64)), "{number}");
            memory.damage(&path(), |bytes| bytes[place + byte] ^= 1);
        }
        // In both: the next record verifies by itself.
        memory.damage(&path(), |bytes| bytes[place + 3..place + 5].fill(0xa5));
        assert_eq!(readable(&memory), (others.clone(), Some(*place as u64)), "{number}");
        memory.damage(&path(), |bytes| bytes.copy_from_slice(&whole));
        // In its check alone: the encrypted part is authenticated by its tag.
        memory.damage(&path(), |bytes| bytes[place + 4] ^= 1);
        assert_eq!(readable(&memory), (all.clone(), Some(*place as u64)), "{number}");
        memory.damage(&path(), |bytes| bytes[place + 4] ^= 1);
    }
}

/// Wherever damage begins and ends, all records that it does not touch are returned, and the number of lost
/// bytes is reported.
#[test]
fn damage_over_several_records_takes_those_alone() {
    let memory = Memory::new();
    let places = four_records(&memory);
    let whole = memory.files().remove(&path()).unwrap();
    let Keys { secret, shred_key } = &keys();
    for (from, to) in (places[0]..places[4]).flat_map(|from| (from + 1..=places[4]).map(move |to| (from, to)))
    {
        memory.damage(&path(), |bytes| bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0xa5));
        let untouched = (0..4).filter(|number| to <= places[*number] || from >= places[*number + 1]);
        let untouched: Vec<_> = untouched.map(|number| vec![4, 192, 0, 2, number as u8 + 1]).collect();
        let vault = Vault::open(&memory, &path()).unwrap();
        let mut given = Vec::new();
        let read = vault.each_record(secret, shred_key, &mut |record| {
            given.extend(record.into_iter().map(|original| original.canonical.to_vec()));
            ControlFlow::Continue(())
        });
        let lost = match read {
            Err(VaultError::Damaged { lost: Some(lost), .. }) => usize::try_from(lost).unwrap(),
            // No record is left to prove the keys by.
            other => panic!("{other:?}"),
        };
        assert!(untouched.iter().all(|original| given.contains(original)), "{from}..{to}: {given:?}");
        let records = places.windows(2).filter(|record| from < record[1] && to > record[0]);
        let touched: usize = records.map(|record| record[1] - record[0]).sum();
        assert!(lost <= touched && (given.len() == 4) == (lost == 0), "{from}..{to}: {lost}");
        assert!(vault.check().is_err(), "{from}..{to}");
        memory.damage(&path(), |bytes| bytes.copy_from_slice(&whole));
    }
}

/// A record is encrypted with its number, so removing one makes those after it unreadable.
#[test]
fn records_that_were_moved_are_not_given_back() {
    let memory = Memory::new();
    let places = four_records(&memory);
    memory.damage(&path(), |bytes| drop(bytes.drain(places[1]..places[2])));
    assert_eq!(readable(&memory), (vec![vec![4, 192, 0, 2, 1]], Some(places[1] as u64)));
}

#[test]
fn a_vault_that_was_cut_between_records_is_too_short() {
    let memory = Memory::new();
    let places = four_records(&memory);
    memory.damage(&path(), |bytes| bytes.truncate(places[3]));
    let vault = Vault::open(&memory, &path()).unwrap();
    assert_eq!((vault.check().is_ok(), vault.demand_bytes(places[3] as u64).is_ok()), (true, true));
    let Err(VaultError::Damaged { offset, .. }) = vault.demand_bytes(places[4] as u64) else { panic!() };
    assert_eq!(offset, places[3] as u64);
}

/// A start after a crash cuts what was not written to its end, but not what follows damage.
#[test]
fn a_damaged_length_is_no_end() {
    let memory = Memory::new();
    let places = four_records(&memory);
    let half = places[4] - 1;
    memory.damage(&path(), |bytes| bytes.truncate(half));
    memory.damage(&path(), |bytes| bytes[places[1] + 1] ^= 1);
    assert_eq!(cut(&memory, &path()).unwrap().unwrap().1, places[3] as u64);
    let first = (1..=3).map(|last| vec![4, 192, 0, 2, last]).collect();
    assert_eq!(readable(&memory), (first, Some(places[1] as u64)));
}

/// While a filter writes, the last record may be incomplete; damage before it is not an incomplete record.
#[test]
fn half_a_record_is_at_the_end() {
    let memory = Memory::new();
    let places = four_records(&memory);
    let Keys { secret, shred_key } = &keys();
    memory.damage(&path(), |bytes| bytes.truncate(places[4] - 1));
    let mut vault = Vault::open(&memory, &path()).unwrap();
    vault.forget_half_a_record();
    assert_eq!(vault.originals(secret, shred_key).unwrap().len(), 3);
    memory.damage(&path(), |bytes| bytes[places[1] + 12] ^= 1);
    let mut vault = Vault::open(&memory, &path()).unwrap();
    vault.forget_half_a_record();
    let Err(VaultError::Damaged { offset, .. }) = vault.originals(secret, shred_key) else { panic!() };
    assert_eq!(offset, places[1] as u64);
}

#[test]
fn what_a_crash_left_is_not_cut_at_a_damaged_record_before_its_end() {
    let memory = Memory::new();
    let places = four_records(&memory);
    let half = places[4] - 1;
    memory.damage(&path(), |bytes| bytes.truncate(half));
    memory.damage(&path(), |bytes| bytes[places[1] + 12] ^= 1);
    let (_, bytes, _) = cut(&memory, &path()).unwrap().unwrap();
    assert_eq!((bytes, memory.files()[&path()].len()), (places[3] as u64, places[3]));
    let others = vec![vec![4, 192, 0, 2, 1], vec![4, 192, 0, 2, 3]];
    assert_eq!(readable(&memory), (others, Some(places[1] as u64)));
}

#[test]
fn a_torn_vault_is_cut_at_its_last_whole_record() {
    let memory = Memory::new();
    let mark = written(&memory).mark();
    let whole = memory.files().remove(&path()).unwrap();
    let (_, header) = Header::decode(&whole).unwrap();
    for length in 0..=whole.len() {
        memory.damage(&path(), |bytes| *bytes = whole[..length].to_vec());
        let cut = cut(&memory, &path()).unwrap();
        if length < header {
            assert_eq!(cut, None, "{length}");
            continue;
        }
        let (id, bytes, digest) = cut.unwrap();
        assert_eq!(id, SegmentId([5; 16]));
        assert_eq!(Vault::open(&memory, &path()).unwrap().mark(), (bytes, digest));
        let count = opened(&memory).unwrap().len();
        assert!(if length == whole.len() {
            (bytes, digest) == mark && count == 4
        } else {
            count == 0 || count == 2
        });
    }
    // A power cut may leave zeros.
    memory.damage(&path(), |bytes| *bytes = [&whole[..], &[0; 100]].concat());
    assert_eq!(cut(&memory, &path()).unwrap().unwrap().1, mark.0);
    memory.unlink(&path()).unwrap();
    assert_eq!(cut(&memory, &path()).unwrap(), None);
}
