//! Archives of every version of the format that there has been are read, for ever after.
//!
//! `tests/data/archive-1` was written by oubliette 0.1.0 from `tests/data/sample.log`, with the key `07` 32 times.
//! `shred-keys` names the shred key of each of its expiry days, which a real one would not.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

use oubliette::archive::{self, Segment};
use oubliette::model::{Kind, Kinds, Tree};
use oubliette::primitives::secret::Secret;
use oubliette::primitives::storage::Disk;
use oubliette::pseudonym::epoch::{Epoch, EpochKeys};
use oubliette::vault::Vault;
use std::collections::BTreeMap;
use std::path::Path;

const VERSION_1: &str = "tests/data/archive-1";

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn keys() -> EpochKeys {
    EpochKeys::derive(&secret(), Epoch::Fixed, "default", &Kinds::default())
}

fn segments(tree: &Tree) -> Vec<(archive::Found, Segment)> {
    let found = archive::list(&Disk, tree).unwrap();
    found.into_iter().map(|found| (found.clone(), Segment::open(&Disk, &found.path).unwrap())).collect()
}

#[test]
fn version_1_lines_and_footer() {
    let segments = segments(&Tree::at(Path::new(VERSION_1)));
    let [(found, segment)] = &segments[..] else { panic!("one segment, not {}", segments.len()) };
    assert_eq!(found.name.to_string(), "expires=2027-11-24/class=connection/web1-000y5-1.log.zst");
    segment.check().unwrap();
    let footer = segment.footer();
    assert_eq!((footer.lines(), footer.frames.len(), footer.recovered), (8, 1, false));
    assert_eq!((&*footer.origin.zone, footer.origin.node.as_str()), ("Europe/Paris", "web1"));
    assert_eq!(footer.origin.kid, keys().kid());
    // 2026-11-23T10:00:00+01:00 to 10:00:07.
    assert_eq!((footer.frames[0].first, footer.frames[0].last), (1_795_424_400, 1_795_424_407));
    let lines = String::from_utf8(segment.lines(0).unwrap()).unwrap();
    assert_eq!(lines.lines().count(), 8);
    assert!(lines.lines().all(|line| line.contains("2027-11-24") && line.contains("connection")));
}

#[test]
fn version_1_index() {
    let (_, segment) = segments(&Tree::at(Path::new(VERSION_1))).remove(0);
    let keys = keys();
    let frames = |kind, canonical: &[u8]| {
        segment.frames_with(i64::MIN..=i64::MAX, Some(&keys.tag(kind, canonical))).count()
    };
    assert_eq!(frames(Kind::IP, &[4, 203, 0, 113, 7]), 1);
    assert_eq!(frames(Kind::NET, &[4, 203, 0, 113]), 1);
    assert_eq!(frames(Kind::EM, b"jean@example.org"), 1);
    assert_eq!(frames(Kind::IP, &[4, 203, 0, 113, 8]), 0);
}

#[test]
fn version_1_vault() {
    let tree = Tree::at(Path::new(VERSION_1));
    let shred_keys = std::fs::read_to_string(format!("{VERSION_1}/shred-keys")).unwrap();
    let shred_keys: BTreeMap<_, _> = shred_keys.lines().filter_map(|line| line.split_once(' ')).collect();
    for (found, segment) in segments(&tree) {
        let vault = Vault::open(&Disk, &tree.vault(&found.name)).unwrap();
        let (bytes, digest) = vault.mark();
        assert_eq!(segment.footer().vault, Some(archive::VaultMark { bytes, digest }));
        let expires = found.name.folder.expires.to_string();
        let originals = vault.originals(&secret(), &key(shred_keys[&*expires])).unwrap();
        let of_kind = |kind: &str| originals.iter().filter(|original| original.kind == kind).count();
        assert_eq!((of_kind("ip"), of_kind("em"), originals.len()), (5, 2, 7));
        assert!(originals.iter().any(|original| *original.canonical == [4, 203, 0, 113, 7]));
    }
}

/// 64 hexadecimal digits.
fn key(digits: &str) -> Secret {
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    Secret::new(std::array::from_fn(byte))
}
