//! Archives that were changed bit by bit, file by file, and with keys of a later day.

use super::*;
use crate::jobs::scene::{DAY, MIDNIGHT, WRITTEN, archive, of_day, segment, site};
use crate::model::Sealer as _;
use crate::primitives::storage::Memory;
use proptest::prelude::*;

fn verify(memory: &Memory) -> Verified {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
    let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    checker.archive(&place, &|_| {}).unwrap()
}

fn copy(memory: &Memory) -> Memory {
    memory.after_crash(crate::primitives::storage::Survives::Everything)
}

#[test]
fn what_was_written_passes_and_does_so_after_a_purge() {
    let memory = archive();
    let Verified { segments, lines, vaults, parts, findings, .. } = verify(&memory);
    assert_eq!((segments, lines, vaults, parts), (3, 6, 3, 0));
    assert_eq!(findings, []);
    site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    let after = verify(&memory);
    assert_eq!((after.segments, after.findings), (1, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Wherever a bit flips, in a segment, a vault or the ledger: it is found, in that file.
    #[test]
    fn a_changed_bit_is_found_in_its_file(file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0..8u8) {
        let memory = ARCHIVE.with(copy);
        let files = memory.files().into_iter().filter(|(path, _)| is_proof(path)).collect::<Vec<_>>();
        let (path, bytes) = file.get(&files);
        let index = byte.index(bytes.len());
        memory.damage(path, |bytes| bytes[index] ^= 1u8 << bit);
        let findings = verify(&memory).findings;
        let named = findings.iter().any(|finding| Path::new(&finding.file) == path);
        prop_assert!(named, "{} {index} {bit}: {findings:?}", path.display());
    }
}

thread_local! {
    static ARCHIVE: Memory = archive();
}

/// The ledger's note about its end is spoken of as part of the ledger; it has its own test.
fn is_proof(path: &Path) -> bool {
    path.starts_with("/log") || path.ends_with("ledger.jsonl")
}

#[test]
fn the_place_of_damage_is_that_of_its_frame() {
    let memory = archive();
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    memory.damage(&path, |bytes| bytes[5] ^= 1);
    let findings = verify(&memory).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (Path::new(&findings[0].file), findings[0].place.as_deref()),
        (path.as_path(), Some("byte 0"))
    );
}

#[test]
fn what_is_missing_is_missed() {
    let memory = archive();
    for path in of_day(&memory, DAY) {
        let without = copy(&memory);
        Storage::unlink(&without, &path).unwrap();
        let files: Vec<String> = verify(&without).findings.into_iter().map(|finding| finding.file).collect();
        assert!(files.contains(&path.display().to_string()), "{}: {files:?}", path.display());
    }
}

#[test]
fn a_segment_put_elsewhere_or_copied_from_another_is_found() {
    let memory = archive();
    let path = |class| Path::new("/log/archive").join(segment(DAY, class).to_string());
    let other = memory.files()[&path("connection")].clone();
    memory.damage(&path("mail"), |bytes| *bytes = other);
    let whats: Vec<String> = verify(&memory).findings.into_iter().map(|finding| finding.what).collect();
    assert!(whats.iter().any(|what| what.contains("directory of another")), "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("another segment of that name")), "{whats:?}");
}

/// Whoever has the key of a later day seals a segment of an earlier one again, and lists it in the ledger.
#[test]
fn a_segment_sealed_again_with_a_later_key_is_found() {
    let memory = archive();
    let name = segment(DAY, "mail").to_string();
    let mut later = site(&memory, "2026-11-24T10:00:00Z").unwrap();
    let digest = {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        *Segment::open(&*storage, &Path::new("/log/archive").join(&name)).unwrap().digest()
    };
    let seal = later.ledger.seal("2026-11-24T10:00:00Z".parse().unwrap(), &name, &digest).unwrap();
    let path = Path::new("/log/archive").join(&name);
    let bytes = memory.files()[&path].clone();
    let old = Segment::open(&memory, &path).unwrap();
    let at = bytes.windows(64).position(|window| window == old.seal().signature).unwrap();
    // Day and key of the seal stand before its signature; only the signature is put in, then all three.
    memory.damage(&path, |bytes| bytes[at..at + 64].copy_from_slice(&seal.signature));
    let found = |memory: &Memory| {
        verify(memory).findings.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>()
    };
    assert!(found(&memory).iter().any(|what| what.contains("the seal is none by the key of 2026-11-23")));
    memory.damage(&path, |bytes| {
        bytes[at - 32..at].copy_from_slice(&seal.key);
        bytes[at - 37] = 24;
    });
    let found = found(&memory);
    assert_eq!(found, ["it was sealed on 2026-11-23, and again with a later key on 2026-11-24"]);
}

#[test]
fn one_segment_is_checked_wherever_it_lies() {
    let memory = archive();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    let checker = || Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let verified = checker().one(&path, &|_| {}).unwrap();
    assert_eq!((verified.segments, verified.findings.len()), (1, 0));
    memory.damage(&path, |bytes| bytes.truncate(20));
    assert_eq!(checker().one(&path, &|_| {}).unwrap().findings.len(), 1);
    assert!(site(&memory, WRITTEN).is_ok());
}
