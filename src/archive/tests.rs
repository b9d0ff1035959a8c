//! Tests that write, read, damage and recover segments.

use super::footer::{ENTRY, FIXED, SEAL};
use super::*;
use crate::model::{ClassName, Expires, Folder, NodeName, Seal, Sealer, SegmentId, SegmentName, Tree};
use crate::primitives::byte_map;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Fault, Memory, Storage, Survives};
use crate::pseudonym::{Pseudonymised, token};
use jiff::Timestamp;
use jiff::civil::date;
use std::path::Path;
use std::sync::Arc;

/// A sealer whose key is meaningless.
#[derive(Default)]
struct TestSealer {
    sealed: Vec<(String, [u8; 32])>,
}

impl Sealer for TestSealer {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        Ok(self.sealed.last().map_or([0; 32], |(_, digest)| *digest))
    }

    fn seal(&mut self, _now: Timestamp, _digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        Ok(Seal { day: date(2026, 11, 23), key: [1; 32], signature: [2; 64] })
    }

    fn record(&mut self, _now: Timestamp, name: &str, digest: &[u8; 32]) -> Result<(), Diagnostic> {
        self.sealed.push((name.to_owned(), *digest));
        Ok(())
    }

    fn knows(&mut self, name: &str, digest: &[u8; 32]) -> Result<bool, Diagnostic> {
        Ok(self.sealed.contains(&(name.to_owned(), *digest)))
    }
}

/// An archive without vaults.
struct NoVaults;

impl VaultOf for NoVaults {
    fn recover(&mut self, _: &SegmentName) -> Result<Option<(SegmentId, VaultMark)>, ArchiveError> {
        Ok(None)
    }

    fn remove(&mut self, _: &SegmentName) -> Result<(), ArchiveError> {
        Ok(())
    }
}

fn block(lines: &[(&str, i64)]) -> Pseudonymised {
    Pseudonymised::of_lines(folder().expires, lines)
}

fn lines(block: &Pseudonymised) -> Lines {
    let mut lines = Lines::default();
    assert_eq!(lines.push(block, 0..block.indexed_lines()), block.indexed_lines());
    lines
}

fn packed(block: &Pseudonymised, keys: &[u64]) -> Frame {
    Packer::new(1).unwrap().pack(&lines(block), filter::build(&mut keys.to_vec())).unwrap()
}

fn folder() -> Folder {
    Folder { expires: Expires::On(date(2027, 11, 24)), class: ClassName::new("connection").unwrap() }
}

fn origin() -> Origin {
    Origin {
        id: SegmentId([5; 16]),
        node: NodeName::new("web1").unwrap(),
        folder: folder(),
        zone: "Europe/Paris".to_owned(),
        kid: *b"2epqf",
        policy: [3; 32],
        source_zone: None,
        networks_unknown: false,
    }
}

fn tree() -> Tree {
    Tree::at(Path::new("/srv"))
}

fn begin(storage: &Arc<dyn Storage>) -> Result<SegmentWriter, ArchiveError> {
    SegmentWriter::begin(storage, &tree(), origin(), &|_| Ok(true))
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const VAULT: Option<VaultMark> = Some(VaultMark { bytes: 9, digest: [4; 32] });

/// Writes a segment of two frames, sealed as number 1.
fn written(memory: &Memory) -> Segment {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut writer = begin(&storage).unwrap();
    writer.append(packed(&block(&[("one", 10), ("two", 12)]), &[100, 200])).unwrap();
    writer.append(packed(&block(&[("three", 20)]), &[300])).unwrap();
    writer.sync().unwrap();
    let name = writer.seal(VAULT, &mut TestSealer::default(), NOW).unwrap();
    Segment::open(memory, &tree().segment(&name)).unwrap()
}

fn recovered(memory: &Memory) -> Vec<Recovered> {
    let known = Known { zone: "Europe/Paris".to_owned(), policy: [3; 32] };
    recover(memory, &tree(), &known, &mut NoVaults, &mut TestSealer::default(), NOW).unwrap()
}

fn text(segment: &Segment) -> String {
    let frames = 0..segment.footer().frames.len();
    let lines = frames.flat_map(|frame| segment.lines(frame).unwrap()).collect();
    String::from_utf8(lines).unwrap()
}

#[test]
fn the_format_is_as_described() {
    let document = include_str!("FORMAT.md");
    assert_eq!(byte_map::described(document, "### Fixed part"), FIXED);
    assert_eq!(byte_map::described(document, "### Frame entry"), ENTRY);
    assert_eq!(byte_map::described(document, "### Seal"), SEAL);
    assert_eq!(byte_map::described(document, "## Filter"), filter::HEADER);
    for constant in [footer::FOOTER_MAGIC, footer::SEEK_MAGIC] {
        assert!(document.contains(&format!("0x{constant:08X}")), "{constant:x}");
    }
}

#[test]
fn what_is_written_is_read() {
    let memory = Memory::new();
    let segment = written(&memory);
    segment.check().unwrap();
    assert_eq!(text(&segment), "one\ntwo\nthree\n");
    let footer = segment.footer();
    assert_eq!((&footer.origin, footer.recovered, footer.vault), (&origin(), false, VAULT));
    assert_eq!((footer.lines(), footer.line_bytes(), footer.previous), (3, 14, [0; 32]));
    assert_eq!(
        footer.name(1),
        SegmentName { folder: folder(), node: origin().node, kid: origin().kid, number: 1 }
    );
    let entries: Vec<_> = footer.frames.iter().map(|frame| (frame.lines, frame.first, frame.last)).collect();
    assert_eq!(entries, [(2, 10, 12), (1, 20, 20)]);
    assert_eq!(segment.seal().signature, [2; 64]);
    let found = list(&memory, &tree()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].part && found[0].path == segment.path());
}

#[test]
fn a_source_zone_is_stated_where_there_is_one() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let origin = Origin { source_zone: Some("America/New_York".to_owned()), ..origin() };
    let mut writer = SegmentWriter::begin(&storage, &tree(), origin.clone(), &|_| Ok(true)).unwrap();
    writer.append(packed(&block(&[("one", 10)]), &[100])).unwrap();
    writer.sync().unwrap();
    let name = writer.seal(VAULT, &mut TestSealer::default(), NOW).unwrap();
    assert_eq!(Segment::open(&memory, &tree().segment(&name)).unwrap().footer().origin, origin);
}

/// Stock readers need data frames first, then only skippable frames. The whole file decompresses to the
/// lines.
#[test]
fn a_segment_is_a_zstd_file_of_lines() {
    let memory = Memory::new();
    let segment = written(&memory);
    let bytes = memory.files().remove(segment.path()).unwrap();
    assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), b"one\ntwo\nthree\n");
    let data_bytes = segment.footer().data_bytes() as usize;
    assert_eq!(bytes[data_bytes..data_bytes + 4], footer::FOOTER_MAGIC.to_le_bytes());
    let frames: Vec<_> = frame::whole_frames(&bytes).map(|(frame, _)| frame.len()).collect();
    assert_eq!(frames.iter().sum::<usize>(), data_bytes);
    // Frame_Header_Descriptor (RFC 8878, 3.1.1.1.1): bit 2 is the content checksum.
    assert_eq!(bytes[4] & 4, 4);
    assert_eq!(bytes[bytes.len() - 4..], 0x8F92_EAB1_u32.to_le_bytes());
}

#[test]
fn the_footer_alone_decides_which_frames_are_read() {
    let segment = written(&Memory::new());
    let tag = |key: u64| {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&key.to_be_bytes());
        tag
    };
    for (seconds, key, frames) in [
        (i64::MIN..=i64::MAX, None, &[0, 1][..]),
        (12..=19, None, &[0]),
        (13..=19, None, &[]),
        (20..=20, None, &[1]),
        (i64::MIN..=i64::MAX, Some(100), &[0]),
        (i64::MIN..=i64::MAX, Some(300), &[1]),
        (0..=15, Some(300), &[]),
    ] {
        let tag = key.map(tag);
        let found: Vec<_> = segment.frames_with(seconds.clone(), tag.as_ref()).collect();
        assert_eq!(found, frames, "{seconds:?} {key:?}");
    }
}

#[test]
fn numbers_are_not_used_twice() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let first = begin(&storage).unwrap();
    let second = begin(&storage).unwrap();
    assert_eq!((first.name().number, second.name().number), (1, 2));
    first.seal(None, &mut TestSealer::default(), NOW).unwrap();
    assert_eq!(begin(&storage).unwrap().name().number, 3);
    let vault_of_4 = |name: &SegmentName| Ok(name.number != 4);
    let fourth = SegmentWriter::begin(&storage, &tree(), origin(), &vault_of_4).unwrap();
    assert_eq!(fourth.name().number, 5);
    // The message is about the vault, which nobody may look for, and not about the segment.
    let no_vault = |_: &SegmentName| Err(Diagnostic::new(CODES[2], "no vault"));
    let refused = SegmentWriter::begin(&storage, &tree(), origin(), &no_vault).unwrap_err();
    assert_eq!(Diagnostic::from(refused).what, "no vault");
}

#[test]
fn a_frame_takes_a_mebibyte_of_whole_lines() {
    let long = "x".repeat(400_000);
    let block = block(&[(&long, 1), (&long, 2), (&long, 3), (&"y".repeat(2_000_000), 4)]);
    let mut first = Lines::default();
    assert_eq!(first.push(&block, 0..4), 2);
    let mut second = Lines::default();
    assert_eq!(second.push(&block, 2..4), 1);
    let mut third = Lines::default();
    assert_eq!(third.push(&block, 3..4), 1);
    assert_eq!(third.as_bytes().len(), 2_000_001);
}

/// Every byte of the file matters: each flipped bit is found, and its place reported. Only the seal is left
/// to the ledger.
#[test]
fn every_flipped_bit_is_found() {
    let memory = Memory::new();
    let segment = written(&memory);
    let path = segment.path().to_owned();
    let whole = memory.files().remove(&path).unwrap();
    let seal_end = whole.len() - 17 - 3 * 8;
    let seal = seal_end - 104..seal_end;
    for byte in 0..whole.len() {
        for bit in 0..8 {
            memory.damage(&path, |bytes| bytes[byte] ^= 1 << bit);
            let result = Segment::open(&memory, &path).and_then(|segment| segment.check());
            match result {
                Err(ArchiveError::Damaged { path: named, malformed }) => {
                    assert_eq!(named, path);
                    assert!(malformed.offset <= whole.len() as u64);
                }
                Ok(()) if seal.contains(&byte) => {}
                other => panic!("byte {byte}, bit {bit}: {other:?}"),
            }
            memory.damage(&path, |bytes| bytes[byte] ^= 1 << bit);
        }
    }
    for length in 0..whole.len() {
        memory.damage(&path, |bytes| bytes.truncate(length));
        let opened = Segment::open(&memory, &path);
        assert!(matches!(opened, Err(ArchiveError::Damaged { .. })), "cut at {length}");
        memory.damage(&path, |bytes| bytes.clone_from(&whole));
    }
}

#[test]
fn a_part_is_cut_at_its_last_whole_frame_and_sealed() {
    for torn in 0..40 {
        let memory = Memory::new();
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let mut writer = begin(&storage).unwrap();
        writer.append(packed(&block(&[("one", 10), ("two", 12)]), &[])).unwrap();
        let whole = writer.bytes();
        writer.append(packed(&block(&[("three", 20)]), &[])).unwrap();
        writer.sync().unwrap();
        let (part, end) = (tree().part(writer.name()), writer.bytes());
        drop(writer);
        memory.damage(&part, |bytes| bytes.truncate(end as usize - torn));
        let crashed = memory.after_crash(Survives::Everything);
        let [Recovered::Sealed { name, lines, cut_bytes }] = &recovered(&crashed)[..] else { panic!() };
        let expected = if torn == 0 { "one\ntwo\nthree\n" } else { "one\ntwo\n" };
        assert_eq!(*lines, if torn == 0 { 3 } else { 2 });
        let left = end.saturating_sub(torn as u64).max(whole);
        assert_eq!(*cut_bytes, if torn == 0 { 0 } else { left - whole }, "{torn}");
        let segment = Segment::open(&crashed, &tree().segment(name)).unwrap();
        segment.check().unwrap();
        assert_eq!(text(&segment), expected);
        assert!(segment.footer().recovered);
        // The times of events are not known; the tokens are, and there are none.
        assert_eq!(segment.frames_with(5..=5, None).count(), segment.footer().frames.len());
        assert_eq!(segment.frames_with(5..=5, Some(&[9; 16])).count(), 0);
        assert_eq!(recovered(&crashed), []);
        if end - whole <= torn as u64 {
            break;
        }
    }
}

#[test]
fn tokens_are_known_again_after_a_crash() {
    let token = "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr";
    let tag = token::parse(token.as_bytes()).unwrap().tag;
    let with_port = format!("connection from {token}:443");
    for (other, frames) in [
        ("nobody", &[0][..]),
        // These may be tokens in the shape of an address, so the frame must be read.
        ("from [fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d]:443", &[0, 1]),
        ("peer=fdae%3A6de7%3Ab09c%3A8f3c%3Ad14a%3Ac917%3A67%3Aeb6d", &[0, 1]),
        ("to=<ps049vxty9y8jbv82397yeke8r@pseudonym.invalid>", &[0, 1]),
    ] {
        let memory = Memory::new();
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let mut writer = begin(&storage).unwrap();
        writer.append(packed(&block(&[(&*with_port, 10)]), &[])).unwrap();
        writer.append(packed(&block(&[(other, 12)]), &[])).unwrap();
        writer.sync().unwrap();
        drop(writer);
        let [Recovered::Sealed { name, .. }] = &recovered(&memory)[..] else { panic!() };
        let segment = Segment::open(&memory, &tree().segment(name)).unwrap();
        let found: Vec<_> = segment.frames_with(i64::MIN..=i64::MAX, Some(&tag)).collect();
        assert_eq!(found, frames, "{other}");
        assert!(segment.footer().origin.networks_unknown);
    }
}

#[test]
fn a_part_without_frames_is_removed_and_one_in_use_is_left() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let writer = begin(&storage).unwrap();
    assert_eq!(recovered(&memory), []);
    let name = writer.name().clone();
    drop(writer);
    assert_eq!(recovered(&memory), [Recovered::Removed { name, cut_bytes: 0 }]);
    assert!(memory.files().is_empty());
}

/// To a recovery, a part that is not locked yet looks like one that a crash left.
#[test]
fn a_part_that_a_recovery_removes_before_it_is_locked_is_not_written_to() {
    let memory = Memory::new().with_fault(Fault::Removed(1));
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut writer = begin(&storage).unwrap();
    writer.append(packed(&block(&[("one", 10)]), &[])).unwrap();
    writer.sync().unwrap();
    let name = writer.seal(None, &mut TestSealer::default(), NOW).unwrap();
    assert_eq!(text(&Segment::open(&memory, &tree().segment(&name)).unwrap()), "one\n");
}

#[test]
fn a_recovery_leaves_a_part_that_was_begun_anew_after_it_had_looked() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let crashed = begin(&storage).unwrap();
    let part = tree().part(crashed.name());
    drop(crashed);
    let opened = memory.edit(&part).unwrap();
    assert_eq!(recovered(&memory).len(), 1, "another recovery is faster");
    let writer = begin(&storage).unwrap();
    assert_eq!(tree().part(writer.name()), part);
    assert!(recovery::locked(&memory, &part, opened).unwrap().is_none());
}

#[test]
fn a_part_that_lacks_only_its_name_keeps_its_index() {
    let memory = Memory::new();
    let segment = written(&memory);
    let name = segment.footer().name(1);
    memory.rename(segment.path(), &tree().part(&name)).unwrap();
    assert_eq!(recovered(&memory), [Recovered::Sealed { name, lines: 3, cut_bytes: 0 }]);
    let again = Segment::open(&memory, segment.path()).unwrap();
    assert_eq!(again.footer(), segment.footer());
}

#[test]
fn a_writer_that_failed_does_nothing_more() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> =
        Arc::new(memory.with_fault(Fault::Fail(4, std::io::ErrorKind::StorageFull)));
    let mut writer = begin(&storage).unwrap();
    writer.append(packed(&block(&[("one", 10)]), &[])).unwrap();
    assert!(matches!(writer.sync(), Err(ArchiveError::Io { .. })));
    let failed = writer.append(packed(&block(&[("two", 10)]), &[])).unwrap_err();
    assert!(matches!(failed, ArchiveError::Poisoned { .. }), "{failed:?}");
    assert!(matches!(writer.sync(), Err(ArchiveError::Poisoned { .. })));
    assert!(writer.seal(None, &mut TestSealer::default(), NOW).is_err());
}

#[test]
fn a_read_only_directory_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    // A file where a directory should be fails for every user, root included.
    std::fs::write(directory.path().join("archive"), "").unwrap();
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let tree = Tree::at(directory.path());
    let error = SegmentWriter::begin(&storage, &tree, origin(), &|_| Ok(true)).unwrap_err();
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.code.id, "A01");
    assert!(diagnostic.place.unwrap().starts_with(directory.path().to_str().unwrap()));
}
