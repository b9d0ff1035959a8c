//! Runs an archive with numbered lines of two classes, and checks what the run leaves.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use oubliette::archive::{self, Segment};
use oubliette::model::{
    Canonical, ClassName, Expires, Finding, Findings, Kind, Kinds, NodeName, RuleId, Seal, Sealer, ShredKeys,
    Span, Tree,
};
use oubliette::pipeline::archiver::{ArchiveParts, Archiver, Escrow, OpenSegments, Options};
use oubliette::pipeline::{Sink, SyncPolicy};
use oubliette::primitives::clock::Clock;
use oubliette::primitives::diag::Diagnostic;
use oubliette::primitives::secret::Secret;
use oubliette::primitives::storage::{Memory, Storage};
use oubliette::pseudonym::epoch::{Epoch, EpochKeys};
use oubliette::pseudonym::{Dated, Pseudonymised, Pseudonymiser, TokenShape};
use oubliette::scan::Scan;
use oubliette::vault::Vault;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The lines of a run and how they are written: three lines per block, numbered from `first * 3`.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) policy: SyncPolicy,
    pub(crate) first: u32,
    pub(crate) blocks: u32,
    /// Threads that compress; if there are any, another thread writes.
    pub(crate) packers: usize,
}

struct Custody;

impl Sealer for Custody {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        Ok([0; 32])
    }

    fn seal(&mut self, _now: Timestamp, _digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        Ok(Seal { day: date(2026, 11, 23), key: [1; 32], signature: [2; 64] })
    }

    fn record(&mut self, _now: Timestamp, _name: &str, _digest: &[u8; 32]) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn knows(&mut self, _name: &str, _digest: &[u8; 32]) -> Result<bool, Diagnostic> {
        Ok(false)
    }
}

impl ShredKeys for Custody {
    fn key_for(&mut self, _expires: Expires) -> Result<Option<Secret>, Diagnostic> {
        Ok(Some(shred_key()))
    }
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn shred_key() -> Secret {
    Secret::new([8; 32])
}

pub(crate) fn keys() -> Arc<EpochKeys> {
    Arc::new(EpochKeys::derive(&secret(), Epoch::From(date(2026, 11, 23)), "default", &Kinds::default()))
}

const NOW: &str = "2026-11-23T12:00:00Z";

fn open_segments(storage: Arc<dyn Storage>, tree: Tree) -> Result<OpenSegments, Diagnostic> {
    let parts = ArchiveParts {
        storage,
        tree,
        node: NodeName::new("web1").unwrap(),
        zone: TimeZone::UTC,
        source_zone: TimeZone::UTC,
        policy: [3; 32],
        tenant: "default".to_owned(),
        kinds: Arc::new(Kinds::default()),
        escrow: Escrow::KeyFile,
        foreign_tokens: false,
        sealer: Box::new(Custody),
        shred_keys: Box::new(Custody),
        certain: None,
    };
    OpenSegments::open(parts, NOW.parse().unwrap()).map(|(segments, _)| segments)
}

/// Opens an archive in which every line becomes a frame of its own as soon as its block is written.
pub(crate) fn archiver(
    storage: Arc<dyn Storage>,
    tree: Tree,
    policy: SyncPolicy,
    packers: usize,
) -> Result<Archiver, Diagnostic> {
    let options = Options {
        sync: policy,
        flush: Duration::ZERO,
        gather: Duration::ZERO,
        packers,
        most_unsynced_frames: 3,
        // Small, so that some segments are sealed during the run.
        most_segment_bytes: 600,
        most_open: 1,
        ..Options::default()
    };
    let classes = ["connection", "ticket"].map(|name| ClassName::new(name).unwrap()).to_vec();
    Archiver::new(open_segments(storage, tree)?, classes, options, Clock::Fixed(NOW.parse().unwrap()), None)
}

fn address(number: u32) -> [u8; 4] {
    (0x0a00_0000 + number).to_be_bytes()
}

/// Returns the numbers of the lines of a block in the order in which they are acknowledged: by class.
fn order(block: u32) -> [u32; 3] {
    [block * 3, block * 3 + 2, block * 3 + 1]
}

/// Creates three lines, the second of another class; each has an address of its own.
pub(crate) fn block(keys: &Arc<EpochKeys>, block: u32) -> Pseudonymised {
    let kinds = Arc::new(Kinds::default());
    let mut pseudonymiser = Pseudonymiser::new(Arc::clone(keys), kinds, TokenShape::Native, 0);
    let (mut scan, mut out) = (Scan::default(), Pseudonymised::default());
    let mut layout = pseudonymiser.layout(&mut out);
    layout.index_lines();
    for (number, class) in (block * 3..).zip([0, 1, 0]) {
        let clear = format!("{} says hello, line {number}\n", std::net::Ipv4Addr::from(address(number)));
        let finding = Finding {
            span: Span::new(0, clear.find(' ').unwrap()),
            kind: Kind::IP,
            canonical: Canonical::V4(address(number)),
            rule: RuleId(0),
            separator: Span::default(),
            brackets: false,
        };
        let findings = Findings { items: vec![finding], ..Findings::default() };
        let expires = Expires::On(date(2027, 11, 24));
        layout.line(&scan.lines(clear.as_bytes()).next().unwrap(), &findings, None);
        layout.index_line(Dated { class, expires, event_second: 0 });
    }
    drop(layout);
    out
}

/// Runs until the end, or until something fails. Returns the numbers of the acknowledged lines.
pub(crate) fn play(memory: &Memory, scene: Scene) -> BTreeSet<u32> {
    let Ok(mut archiver) = archiver(Arc::new(memory.clone()), tree(), scene.policy, scene.packers) else {
        return BTreeSet::new();
    };
    let keys = keys();
    let blocks = scene.first..scene.first + scene.blocks;
    let written = blocks.clone().try_for_each(|number| archiver.write(&block(&keys, number)));
    if written.is_ok() {
        // The result does not matter: only what was acknowledged counts.
        drop(archiver.flush());
    }
    let acknowledged = usize::try_from(archiver.acknowledged()).unwrap();
    blocks.flat_map(order).take(acknowledged).collect()
}

pub(crate) fn tree() -> Tree {
    Tree::at(Path::new("/srv"))
}

/// Seals what a crash left.
pub(crate) fn recover(memory: &Memory) -> Result<(), Diagnostic> {
    open_segments(Arc::new(memory.clone()), tree()).map(drop)
}

pub(crate) fn check(memory: &Memory, owed: &BTreeSet<u32>, pairs: bool) {
    check_tree(memory, &tree(), owed, pairs);
}

/// Checks that every segment is sealed and whole, that it holds whole lines and none twice, and that all owed
/// lines are there. With `pairs`, the vault must have the original of every token.
pub(crate) fn check_tree(storage: &dyn Storage, tree: &Tree, owed: &BTreeSet<u32>, pairs: bool) {
    let keys = keys();
    let mut seen = BTreeSet::new();
    for found in archive::list(storage, tree).unwrap() {
        assert!(!found.part, "{:?} is left open", found.path);
        let segment = Segment::open(storage, &found.path).unwrap();
        segment.check().unwrap();
        let frames = 0..segment.footer().frames.len();
        let lines: Vec<u8> = frames.flat_map(|frame| segment.lines(frame).unwrap()).collect();
        let originals = if pairs { originals(storage, tree, &found.name, &keys) } else { BTreeMap::new() };
        for line in std::str::from_utf8(&lines).unwrap().split_terminator('\n') {
            let number: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
            let token = line.split(' ').next().unwrap();
            assert_eq!(line, format!("{token} says hello, line {number}"), "half a line");
            assert!(seen.insert(number), "line {number} is there twice");
            let is_ticket = found.name.folder.class.as_str() == "ticket";
            assert_eq!(is_ticket, number % 3 == 1, "line {number} is of another class");
            if pairs {
                let original = originals.get(token.as_bytes()).expect("a token without its original");
                assert_eq!(original[1..], address(number));
            }
        }
    }
    let lost: Vec<_> = owed.difference(&seen).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// Returns the originals in the vault of a segment, by token.
fn originals(
    storage: &dyn Storage,
    tree: &Tree,
    name: &oubliette::model::SegmentName,
    keys: &EpochKeys,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let vault = Vault::open(storage, &tree.vault(name)).unwrap();
    let originals = vault.originals(&secret(), &shred_key()).unwrap();
    let token = |canonical: &[u8]| {
        let mut token = Vec::new();
        oubliette::pseudonym::token::write("ip", &keys.kid(), &keys.tag(Kind::IP, canonical), &mut token);
        token
    };
    originals.iter().map(|original| (token(&original.canonical), original.canonical.to_vec())).collect()
}
