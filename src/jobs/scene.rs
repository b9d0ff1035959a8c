//! An archive in memory, for tests of what works on archives: two segments that expire on one day, and one
//! that expires on the next.

use super::purge::Site;
use crate::archive::{Lines, Origin, Packer, SegmentWriter, VaultMark, filter};
use crate::keyring;
use crate::ledger::{Event, Ledger, Settings, check};
use crate::model::{ClassName, Expires, Folder, Keep, Kind, NodeName, Period, RetentionClass, SegmentId};
use crate::model::{SegmentName, Starts, Tree};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Memory, Storage};
use crate::pseudonym::epoch::EpochLength;
use crate::pseudonym::{Pseudonymised, Tokens};
use crate::shred::ShredStore;
use crate::vault::{VaultParameters, VaultWriter};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::jobs) const DAY: Date = date(2027, 11, 24);
pub(in crate::jobs) const NEXT: Date = date(2027, 11, 25);
pub(in crate::jobs) const WRITTEN: &str = "2026-11-23T10:00:00Z";
/// The first instant of the legal day 2027-11-24.
pub(in crate::jobs) const MIDNIGHT: &str = "2027-11-23T23:00:00Z";

pub(in crate::jobs) fn site(memory: &Memory, now: &str) -> Result<Site, Diagnostic> {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let now: Timestamp = now.parse().unwrap();
    let ledger = Ledger::open(Settings {
        storage: Arc::clone(&storage),
        directory: "/state/ledger".into(),
        zone: zone.clone(),
        who: "root".to_owned(),
        clock: Clock::Fixed(now),
    })?;
    let shred = ShredStore::open(&storage, Path::new("/state/shred"))?;
    let (tree, intermediate) = (Tree::at(Path::new("/log")), PathBuf::from("/log/intermediate"));
    let quarantine = PathBuf::from("/state/quarantine");
    let (classes, held) = (Vec::new(), BTreeMap::new());
    let (keys, patience) = (None, Arc::default());
    Ok(Site {
        storage,
        tree,
        intermediate,
        quarantine,
        keys,
        shred,
        ledger,
        classes,
        held,
        zone,
        now,
        patience,
    })
}

/// Returns the keyring in this state directory, with a secret for each day of UTC.
pub(in crate::jobs) fn keys(state_dir: &Path) -> keyring::Settings {
    keyring::Settings {
        directory: state_dir.to_owned(),
        source: keyring::SecretSource::StateDir,
        length: EpochLength::Day,
        zone: TimeZone::UTC,
        is_clock_stated: false,
    }
}

pub(in crate::jobs) fn folder(expires: Date, class: &str) -> Folder {
    Folder { expires: Expires::On(expires), class: ClassName::new(class).unwrap() }
}

/// Returns the secret of the vectors. Its kid on 2026-11-23 is that of the segments here.
pub(in crate::jobs) fn secret() -> Secret {
    Secret::new(std::array::from_fn(|index| index as u8))
}

/// The token of 203.0.113.7 under that secret.
pub(in crate::jobs) const TOKEN: &str = "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr";

/// Writes a segment with its vault and the lines `one` and [`TOKEN`]; seals it unless `open`.
pub(in crate::jobs) fn write(site: &mut Site, folder: &Folder, open: bool) -> Option<SegmentWriter> {
    try_write(site, folder, open, b"wrapped").unwrap()
}

/// Writes a segment as [`write`] does, on a disk that may fail, and with this wrap of the epoch secret.
pub(in crate::jobs) fn try_write(
    site: &mut Site,
    folder: &Folder,
    open: bool,
    wrap: &[u8],
) -> Result<Option<SegmentWriter>, Diagnostic> {
    let origin = Origin {
        id: SegmentId([5; 16]),
        node: NodeName::new("web1").unwrap(),
        folder: folder.clone(),
        zone: site.zone.iana_name().unwrap_or("UTC").to_owned(),
        kid: *b"2epqf",
        policy: [3; 32],
        source_zone: None,
        networks_unknown: false,
    };
    let mut segment = SegmentWriter::begin(&site.storage, &site.tree, origin, &|_| Ok(true))?;
    let shred_key = site.shred.key_for(folder.expires)?.key;
    let kinds = ["ip"].map(str::to_owned);
    let parameters = VaultParameters {
        secret: &secret(),
        wrap,
        shred_key: &shred_key,
        begun: 0,
        tenant: "default",
        kinds: &kinds,
    };
    let mut vault = VaultWriter::begin(&site.storage, &site.tree, segment.name(), segment.id(), &parameters)?;
    let mut tokens = Tokens::default();
    tokens.push(Kind::IP, [9; 16], &[4, 203, 0, 113, 7]);
    vault.add(&[&tokens])?;
    vault.sync()?;
    let block = Pseudonymised::of_lines(folder.expires, &[("one", 10), (TOKEN, 12)]);
    let mut lines = Lines::default();
    lines.push(&block, 0..2);
    segment.append(Packer::new(1).unwrap().pack(&lines, filter::build(&mut vec![1])).unwrap())?;
    segment.sync()?;
    if open {
        return Ok(Some(segment));
    }
    let (bytes, digest) = vault.mark();
    segment.seal(Some(VaultMark { bytes, digest }), &mut site.ledger, WRITTEN.parse().unwrap())?;
    Ok(None)
}

/// Creates an archive with two segments that expire on one day, and one that expires on the next.
pub(in crate::jobs) fn archive() -> Memory {
    let memory = Memory::new();
    let mut site = site(&memory, WRITTEN).unwrap();
    for folder in [folder(DAY, "connection"), folder(DAY, "mail"), folder(NEXT, "connection")] {
        write(&mut site, &folder, false);
    }
    memory
}

pub(in crate::jobs) fn events(memory: &Memory) -> Vec<Event> {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut events = Vec::new();
    let checked = check(&storage, Path::new("/state/ledger"), &mut |entry, _| events.extend(entry.event()));
    assert_eq!(checked.unwrap().fault, None);
    events
}

pub(in crate::jobs) fn of_day(memory: &Memory, day: Date) -> Vec<PathBuf> {
    let inside = format!("expires={day}");
    memory.files().into_keys().filter(|path| path.to_string_lossy().contains(&inside)).collect()
}

pub(in crate::jobs) fn segment(expires: Date, class: &str) -> SegmentName {
    SegmentName {
        folder: folder(expires, class),
        node: NodeName::new("web1").unwrap(),
        kid: *b"2epqf",
        number: 1,
    }
}

/// Returns a class, with or without a legal duty to keep its lines.
pub(in crate::jobs) fn class(name: &str, duty: bool) -> RetentionClass {
    RetentionClass {
        name: ClassName::new(name).unwrap(),
        description: String::new(),
        keep: Keep::For(Period::parse("12 months").unwrap()),
        archive_after: None,
        starts: Starts::Event,
        basis: format!("basis of {name}"),
        duty,
        clauses: Vec::new(),
        is_default: false,
        samples: Vec::new(),
        file: String::new(),
        line_number: 1,
    }
}
