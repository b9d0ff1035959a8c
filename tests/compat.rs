//! Archives of every version of the format remain readable for ever.
//!
//! Each was written by the oubliette of its time from `tests/data/sample.log`, with the key `07` 32 times.
//! `shred-keys` contains the shred key of each expiry day, which a real archive would not contain.
//!
//! - `archive-1`: filters with fingerprints of a byte; vaults of version 1, with originals as they are.
//! - `archive-2`: filters with fingerprints of four bits; vaults of version 2, with coded originals.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

use oubliette::archive::{self, Segment};
use oubliette::model::{Kind, Kinds, Tree};
use oubliette::primitives::secret::Secret;
use oubliette::primitives::storage::Disk;
use oubliette::pseudonym::epoch::{Epoch, EpochKeys};
use oubliette::vault::Vault;
use std::collections::BTreeMap;
use std::path::Path;

const ARCHIVES: [&str; 2] = ["tests/data/archive-1", "tests/data/archive-2"];

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn keys() -> EpochKeys {
    EpochKeys::derive(&secret(), Epoch::Fixed, "default", &Kinds::default())
}

/// Opens the only segment of each archive.
fn segments() -> impl Iterator<Item = (&'static str, archive::Found, Segment)> {
    ARCHIVES.into_iter().map(|archive| {
        let mut found = archive::list(&Disk, &Tree::at(Path::new(archive))).unwrap();
        assert_eq!(found.len(), 1, "{archive}");
        let found = found.remove(0);
        let segment = Segment::open(&Disk, &found.path).unwrap();
        (archive, found, segment)
    })
}

#[test]
fn lines_and_footer() {
    for (archive, found, segment) in segments() {
        assert_eq!(found.name.to_string(), "expires=2027-11-24/class=connection/web1-000y5-1.log.zst");
        segment.check().unwrap();
        let footer = segment.footer();
        assert_eq!((footer.lines(), footer.frames.len(), footer.recovered), (8, 1, false), "{archive}");
        assert_eq!((&*footer.origin.zone, footer.origin.node.as_str()), ("Europe/Paris", "web1"));
        assert_eq!(footer.origin.kid, keys().kid());
        // 2026-11-23T10:00:00+01:00 to 10:00:07.
        assert_eq!((footer.frames[0].first, footer.frames[0].last), (1_795_424_400, 1_795_424_407));
        let lines = String::from_utf8(segment.lines(0).unwrap()).unwrap();
        assert_eq!(lines.lines().count(), 8);
        assert!(lines.lines().all(|line| line.contains("2027-11-24") && line.contains("connection")));
    }
}

#[test]
fn index() {
    for (archive, _, segment) in segments() {
        let keys = keys();
        let frames = |kind, canonical: &[u8]| {
            segment.frames_with(i64::MIN..=i64::MAX, Some(&keys.tag(kind, canonical))).count()
        };
        assert_eq!(frames(Kind::IP, &[4, 203, 0, 113, 7]), 1, "{archive}");
        assert_eq!(frames(Kind::NET, &[4, 203, 0, 113]), 1, "{archive}");
        assert_eq!(frames(Kind::EM, b"jean@example.org"), 1, "{archive}");
        // Every filter has false positives, but few.
        let wrong: usize = (8..=255).map(|last| frames(Kind::IP, &[4, 203, 0, 113, last])).sum();
        assert!(wrong < 40, "{archive}: {wrong} of 248");
    }
}

#[test]
fn vault() {
    for (archive, found, segment) in segments() {
        let shred_keys = std::fs::read_to_string(format!("{archive}/shred-keys")).unwrap();
        let shred_keys: BTreeMap<_, _> = shred_keys.lines().filter_map(|line| line.split_once(' ')).collect();
        let vault = Vault::open(&Disk, &Tree::at(Path::new(archive)).vault(&found.name)).unwrap();
        let (bytes, digest) = vault.mark();
        assert_eq!(segment.footer().vault, Some(archive::VaultMark { bytes, digest }));
        let expires = found.name.folder.expires.to_string();
        let originals = vault.originals(&secret(), &key(shred_keys[&*expires])).unwrap();
        let of_kind = |kind: &str| originals.iter().filter(|original| original.kind == kind).count();
        assert_eq!((of_kind("ip"), of_kind("em"), originals.len()), (5, 2, 7), "{archive}");
        for expected in [&[4, 203, 0, 113, 7][..], b"jean@example.org"] {
            assert!(originals.iter().any(|original| *original.canonical == expected), "{archive}");
        }
    }
}

/// Parses 64 hexadecimal digits.
fn key(digits: &str) -> Secret {
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    Secret::new(std::array::from_fn(byte))
}
