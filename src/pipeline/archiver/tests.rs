//! Tests of the archiver: blocks into segments and vaults, and back.

use super::*;
use crate::archive::{self, Found, Segment};
use crate::model::{
    Canonical, Expires, Finding, Findings, Kind, Kinds, NodeName, RuleId, Seal, Sealer, ShredKeys, Span, Tree,
};
use crate::pipeline::Tally;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Memory, Survives};
use crate::pseudonym::epoch::Epoch;
use crate::pseudonym::{Placeholder, Pseudonymiser, TokenShape};
use crate::scan::Scan;
use crate::vault::Vault;
use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use std::path::Path;

#[derive(Default)]
struct TestCustody(Option<[u8; 32]>);

impl Sealer for TestCustody {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        Ok(self.0.unwrap_or_default())
    }

    fn seal(&mut self, now: Timestamp, _digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        let day = now.to_zoned(TimeZone::UTC).date();
        Ok(Seal { day, key: [1; 32], signature: [2; 64] })
    }

    fn record(&mut self, _now: Timestamp, _name: &str, digest: &[u8; 32]) -> Result<(), Diagnostic> {
        self.0 = Some(*digest);
        Ok(())
    }

    fn knows(&mut self, _name: &str, digest: &[u8; 32]) -> Result<bool, Diagnostic> {
        Ok(self.0 == Some(*digest))
    }
}

impl ShredKeys for TestCustody {
    fn key_for(&mut self, _expires: Expires) -> Result<Option<Secret>, Diagnostic> {
        Ok(Some(Secret::new([8; 32])))
    }
}

/// A key store whose clock is past every expiry day.
struct NoKeyAnyMore;

impl ShredKeys for NoKeyAnyMore {
    fn key_for(&mut self, _expires: Expires) -> Result<Option<Secret>, Diagnostic> {
        Ok(None)
    }
}

/// Wraps a secret by returning its first bytes.
struct FirstBytes;

impl Wrap for FirstBytes {
    fn wrap(&self, secret: &Secret) -> Result<Vec<u8>, Diagnostic> {
        Ok(secret.expose()[..3].to_vec())
    }
}

const NOW: &str = "2026-11-23T12:00:00Z";

fn parts(memory: &Memory, escrow: Escrow) -> ArchiveParts {
    ArchiveParts {
        storage: Arc::new(memory.clone()),
        tree: Tree::at(Path::new("/srv")),
        node: NodeName::new("web1").unwrap(),
        zone: TimeZone::get("Europe/Paris").unwrap(),
        source_zone: TimeZone::get("Europe/Paris").unwrap(),
        policy: [3; 32],
        tenant: "default".to_owned(),
        kinds: Arc::new(Kinds::default()),
        escrow,
        foreign_tokens: false,
        sealer: Box::<TestCustody>::default(),
        shred_keys: Box::<TestCustody>::default(),
        certain: None,
    }
}

pub(in crate::pipeline) fn archiver(memory: &Memory, options: Options, escrow: Escrow) -> Archiver {
    let clock = Clock::Fixed(NOW.parse().unwrap());
    let (segments, _) = OpenSegments::open(parts(memory, escrow), clock.now()).unwrap();
    let classes = ["connection", "ticket"].map(|name| ClassName::new(name).unwrap()).to_vec();
    Archiver::new(segments, classes, options, clock, None).unwrap()
}

pub(in crate::pipeline) fn options() -> Options {
    Options { packers: 0, gather: Duration::ZERO, ..Options::default() }
}

pub(in crate::pipeline) fn keys(secret: u8) -> Arc<EpochKeys> {
    let kinds = Kinds::default();
    let epoch = Epoch::From(date(2026, 11, 23));
    Arc::new(EpochKeys::derive(&Secret::new([secret; 32]), epoch, "default", &kinds))
}

/// A line `<text> <address>`, with the address as its finding.
pub(in crate::pipeline) struct Line<'a> {
    pub(in crate::pipeline) text: &'a str,
    address: [u8; 4],
    class: usize,
    expires: Date,
}

pub(in crate::pipeline) fn line(text: &str, address: [u8; 4]) -> Line<'_> {
    Line { text, address, class: 0, expires: date(2027, 11, 24) }
}

fn pseudonymiser(keys: &Arc<EpochKeys>) -> Pseudonymiser {
    Pseudonymiser::new(Arc::clone(keys), Arc::new(Kinds::default()), TokenShape::Native, 0)
}

pub(in crate::pipeline) fn block(keys: &Arc<EpochKeys>, lines: &[Line<'_>]) -> Pseudonymised {
    block_by(&mut pseudonymiser(keys), lines)
}

fn block_by(pseudonymiser: &mut Pseudonymiser, lines: &[Line<'_>]) -> Pseudonymised {
    let (mut scan, mut block) = (Scan::default(), Pseudonymised::default());
    let mut layout = pseudonymiser.layout(&mut block);
    layout.index_lines();
    for Line { text, address, class, expires } in lines {
        let clear = format!("{text} {}\n", std::net::Ipv4Addr::from(*address));
        let span = Span::new(text.len() + 1, clear.len() - 1);
        let canonical = Canonical::V4(*address);
        let rule = RuleId(0);
        let finding =
            Finding { span, kind: Kind::IP, canonical, rule, separator: Span::default(), brackets: false };
        let findings = Findings { items: vec![finding], ..Findings::default() };
        let dated = Dated { class: *class, expires: Expires::On(*expires), event_second: 1_795_435_200 };
        layout.line(&scan.lines(clear.as_bytes()).next().unwrap(), &findings, None);
        layout.index_line(dated);
    }
    drop(layout);
    block
}

fn segments(memory: &Memory) -> Vec<(Found, Segment)> {
    let found = archive::list(memory, &Tree::at(Path::new("/srv"))).unwrap();
    assert!(found.iter().all(|found| !found.part), "{found:?}");
    found.into_iter().map(|found| (found.clone(), Segment::open(memory, &found.path).unwrap())).collect()
}

fn text(segment: &Segment) -> String {
    let frames = 0..segment.footer().frames.len();
    String::from_utf8(frames.map(|frame| segment.lines(frame).unwrap()).collect::<Vec<_>>().concat()).unwrap()
}

fn originals(memory: &Memory, found: &Found, secret: u8) -> Vec<Vec<u8>> {
    let vault = Vault::open(memory, &Tree::at(Path::new("/srv")).vault(&found.name)).unwrap();
    let originals = vault.originals(&Secret::new([secret; 32]), &Secret::new([8; 32])).unwrap();
    originals.into_iter().map(|original| original.canonical.to_vec()).collect()
}

#[test]
fn lines_go_where_their_class_and_day_say() {
    let memory = Memory::new();
    let keys = keys(1);
    let mut archiver = archiver(&memory, options(), Escrow::KeyFile);
    let late = Line { expires: date(2027, 11, 23), ..line("late", [192, 0, 2, 3]) };
    let ticket = Line { class: 1, ..line("ticket", [192, 0, 2, 1]) };
    let unknown = Line { class: 7, ..line("unknown", [192, 0, 2, 1]) };
    let lines = [
        line("one", [192, 0, 2, 1]),
        late,
        line("two", [192, 0, 2, 2]),
        ticket,
        line("three", [192, 0, 2, 1]),
        unknown,
    ];
    let block = block(&keys, &lines);
    archiver.write(&block).unwrap();
    archiver.flush().unwrap();
    assert_eq!(archiver.acknowledged(), 6);
    let segments = segments(&memory);
    let kid = String::from_utf8(keys.kid().to_vec()).unwrap();
    let names: Vec<_> = segments.iter().map(|(found, _)| found.name.to_string()).collect();
    let file = |folder: &str| format!("{folder}/web1-{kid}-1.log.zst");
    assert_eq!(
        names,
        [
            file("expires=2027-11-23/class=connection"),
            file("expires=2027-11-24/class=connection"),
            file("expires=2027-11-24/class=ticket"),
        ]
    );
    let (found, connection) = &segments[1];
    let texts = text(connection);
    let words: Vec<_> = texts.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["one", "two", "three"]);
    assert_eq!(
        texts,
        String::from_utf8(block.as_bytes().to_vec())
            .unwrap()
            .lines()
            .enumerate()
            .filter(|(index, _)| [0, 2, 4].contains(index))
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    );
    // Each original occurs once, and only those of the segment's own lines.
    assert_eq!(originals(&memory, found, 1), [[4, 192, 0, 2, 1], [4, 192, 0, 2, 2]]);
    assert_eq!(originals(&memory, &segments[0].0, 1), [[4, 192, 0, 2, 3]]);
    assert_eq!(originals(&memory, &segments[2].0, 1).len(), 1);
}

#[test]
fn the_index_knows_addresses_and_their_networks() {
    let memory = Memory::new();
    let keys = keys(1);
    let mut archiver = archiver(&memory, options(), Escrow::KeyFile);
    archiver.write(&block(&keys, &[line("one", [192, 0, 2, 1])])).unwrap();
    archiver.flush().unwrap();
    let (_, segment) = segments(&memory).remove(0);
    let frames = |kind, canonical: &[u8]| {
        segment.frames_with(i64::MIN..=i64::MAX, Some(&keys.tag(kind, canonical))).count()
    };
    assert_eq!(frames(Kind::IP, &[4, 192, 0, 2, 1]), 1);
    assert_eq!(frames(Kind::NET, &[4, 192, 0, 2]), 1);
    let others = (0..100).filter(|&last| frames(Kind::IP, &[4, 198, 51, 100, last]) > 0).count();
    assert!(others < 20, "{others} of 100 addresses that are not there");
}

#[test]
fn the_vault_and_its_segment_know_each_other() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, options(), Escrow::Wrap(Box::new(FirstBytes)));
    archiver.write(&block(&keys(1), &[line("one", [192, 0, 2, 1])])).unwrap();
    archiver.flush().unwrap();
    let (found, segment) = segments(&memory).remove(0);
    let vault = Vault::open(&memory, &Tree::at(Path::new("/srv")).vault(&found.name)).unwrap();
    let (bytes, digest) = vault.mark();
    assert_eq!(segment.footer().vault, Some(archive::VaultMark { bytes, digest }));
    assert_eq!(vault.header().id, segment.footer().origin.id);
    assert_eq!(vault.wrap(&Secret::new([8; 32])).unwrap().unwrap().as_slice(), [1, 1, 1]);
}

#[test]
fn without_escrow_originals_are_nowhere() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, options(), Escrow::None);
    archiver.write(&block(&keys(1), &[line("one", [192, 0, 2, 1])])).unwrap();
    archiver.flush().unwrap();
    let (_, segment) = segments(&memory).remove(0);
    assert_eq!(segment.footer().vault, None);
    assert!(memory.files().keys().all(|path| !path.starts_with("/srv/vault")));
}

#[test]
fn an_epoch_that_ends_takes_its_segments_with_it() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, options(), Escrow::KeyFile);
    let first = Arc::downgrade(&{
        let keys = keys(1);
        archiver.write(&block(&keys, &[line("old", [192, 0, 2, 1])])).unwrap();
        keys
    });
    archiver.write(&block(&keys(2), &[line("new", [192, 0, 2, 1])])).unwrap();
    assert_eq!(first.strong_count(), 0, "keys of an epoch that is over");
    let sealed = archive::list(&memory, &Tree::at(Path::new("/srv"))).unwrap();
    assert_eq!(sealed.iter().filter(|found| !found.part).count(), 1);
    archiver.flush().unwrap();
    let segments = segments(&memory);
    let mut words: Vec<_> = segments.iter().map(|(_, segment)| text(segment)[..3].to_owned()).collect();
    words.sort();
    assert_eq!(words, ["new", "old"]);
    // In the order of sealing, each segment names the previous one.
    let (old, new) = if text(&segments[0].1).starts_with("old") { (0, 1) } else { (1, 0) };
    assert_eq!(&segments[new].1.footer().previous, segments[old].1.digest());
}

#[test]
fn an_epoch_that_ends_without_another_line_is_ended_while_idle() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, options(), Escrow::KeyFile);
    let over: Timestamp = NOW.parse().unwrap();
    let over = Arc::new(EpochKeys::clone(&keys(1)).lasting_until(Some(over)));
    archiver.write(&block(&over, &[line("old", [192, 0, 2, 1])])).unwrap();
    archiver.idle().unwrap();
    assert_eq!(segments(&memory).len(), 1);
    assert_eq!(Arc::strong_count(&over), 1);
}

#[test]
fn segments_roll_by_size_and_few_are_open() {
    let memory = Memory::new();
    let small = Options { most_segment_bytes: 1, flush: Duration::ZERO, ..options() };
    let mut rolling = archiver(&memory, small, Escrow::KeyFile);
    for _ in 0..3 {
        rolling.write(&block(&keys(1), &[line("one", [192, 0, 2, 1])])).unwrap();
    }
    assert_eq!(segments(&memory).len(), 3);
    let memory = Memory::new();
    let few = Options { most_open: 2, flush: Duration::ZERO, ..options() };
    let mut crowded = archiver(&memory, few, Escrow::KeyFile);
    let keys = keys(1);
    for day in 1..=9 {
        let lines = [Line { expires: date(2027, 1, day), ..line("one", [192, 0, 2, 1]) }];
        crowded.write(&block(&keys, &lines)).unwrap();
        let found = archive::list(&memory, &Tree::at(Path::new("/srv"))).unwrap();
        assert!(found.iter().filter(|found| found.part).count() <= 2);
    }
    crowded.flush().unwrap();
    assert_eq!(segments(&memory).len(), 9);
}

#[test]
fn every_vault_has_what_its_lines_need_although_others_had_it_before() {
    let memory = Memory::new();
    let each = Options { most_segment_bytes: 1, flush: Duration::ZERO, ..options() };
    let mut archiver = archiver(&memory, each, Escrow::KeyFile);
    let keys = keys(1);
    let mut pseudonymiser = pseudonymiser(&keys);
    let mut again = || block_by(&mut pseudonymiser, &[line("again", [192, 0, 2, 1])]);
    // First blocks made before any vault was begun, then two at a time between one vault and the next.
    let early = [again(), again(), again()];
    early.iter().for_each(|block| archiver.write(block).unwrap());
    for _ in 0..3 {
        let blocks = [again(), again()];
        blocks.iter().for_each(|block| archiver.write(block).unwrap());
    }
    archiver.flush().unwrap();
    let segments = segments(&memory);
    assert_eq!(segments.len(), 9);
    for (found, _) in &segments {
        assert_eq!(originals(&memory, found, 1), [[4, 192, 0, 2, 1]], "{found:?}");
    }
}

#[test]
fn a_vault_has_each_original_once() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, Options { flush: Duration::ZERO, ..options() }, Escrow::KeyFile);
    let keys = keys(1);
    let mut workers = [pseudonymiser(&keys), pseudonymiser(&keys)];
    let other = |number| Line { class: 1, ..line("other class", [192, 0, 2, number]) };
    for round in 0..6 {
        let lines = [line("one", [192, 0, 2, 1]), line("new", [192, 0, 2, 10 + round]), other(1), other(2)];
        archiver.write(&block_by(&mut workers[usize::from(round) % 2], &lines)).unwrap();
    }
    archiver.flush().unwrap();
    let vaults: Vec<_> = segments(&memory).iter().map(|(found, _)| originals(&memory, found, 1)).collect();
    let all = |numbers: &[u8]| numbers.iter().map(|&number| vec![4, 192, 0, 2, number]).collect::<Vec<_>>();
    assert_eq!(vaults.len(), 2);
    for mut vault in vaults {
        vault.sort();
        let expected = if vault.contains(&vec![4, 192, 0, 2, 2]) {
            all(&[1, 2])
        } else {
            all(&[1, 10, 11, 12, 13, 14, 15])
        };
        assert_eq!(vault, expected);
    }
}

#[test]
fn threads_keep_the_order_and_lose_nothing() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, Options { packers: 3, ..Options::default() }, Escrow::KeyFile);
    let keys = keys(1);
    let long = "x".repeat(1000);
    let mut number = 0;
    for _ in 0..40 {
        let lines: Vec<_> = (0..100)
            .map(|_| {
                number += 1;
                format!("{number} {long}")
            })
            .collect();
        let lines: Vec<_> = lines.iter().map(|text| line(text, [192, 0, 2, 1])).collect();
        archiver.write(&block(&keys, &lines)).unwrap();
    }
    archiver.flush().unwrap();
    assert_eq!(archiver.acknowledged(), 4000);
    let (_, segment) = segments(&memory).remove(0);
    assert!(segment.footer().frames.len() >= 4);
    let numbers: Vec<u32> =
        text(&segment).lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=4000).collect::<Vec<_>>());
}

/// The first instant of the legal day 2026-11-24, and one just before it.
const MIDNIGHT: &str = "2026-11-23T23:00:00Z";
const BEFORE_MIDNIGHT: &str = "2026-11-23T22:59:59.999Z";
const DAY: Date = date(2026, 11, 24);

fn set_clock(archiver: &mut Archiver, now: &str) {
    archiver.clock = Clock::Fixed(now.parse().unwrap());
}

/// What the workers of a filter count if all lines are written as the bytes of `block`.
fn counted(block: &Pseudonymised, lines: u64, placeholders: u64) -> Tally {
    let mut tally = Tally::new(2);
    (tally.lines.lines_in, tally.lines.lines_out, tally.lines.quarantined) =
        (lines, lines - placeholders, placeholders);
    tally.lines.bytes_out = block.as_bytes().len() as u64;
    tally
}

/// The tally after expiry in the archiver, checked against what the archiver wrote.
fn settled(archiver: &Archiver, mut tally: Tally) -> Tally {
    let mut flow = Flow { lines_in: tally.lines.lines_in, complete: true, ..Flow::default() };
    archiver.report(&mut flow);
    tally.expire(flow.expired);
    tally.check(&flow).unwrap();
    tally
}

#[test]
fn lines_that_expire_before_their_segment_opens_are_dropped_and_counted() {
    for escrow in [Escrow::KeyFile, Escrow::Wrap(Box::new(FirstBytes)), Escrow::None] {
        let memory = Memory::new();
        let mut archiver = archiver(&memory, options(), escrow);
        set_clock(&mut archiver, BEFORE_MIDNIGHT);
        let due = |text| Line { expires: DAY, ..line(text, [192, 0, 2, 1]) };
        let block = block(&keys(1), &[due("one"), line("stays", [192, 0, 2, 2]), due("two")]);
        archiver.write(&block).unwrap();
        set_clock(&mut archiver, MIDNIGHT);
        archiver.flush().unwrap();
        let segments = segments(&memory);
        assert_eq!(segments.len(), 1);
        assert!(text(&segments[0].1).starts_with("stays "));
        assert!(memory.files().keys().all(|path| !path.to_string_lossy().contains("expires=2026-11-24")));
        assert_eq!(archiver.acknowledged(), 1);
        let tally = settled(&archiver, counted(&block, 3, 0));
        assert_eq!((tally.lines.lines_out, tally.lines.dropped, tally.lines.expired), (1, 2, 2));
        assert_eq!(tally.lines.bytes_out, text(&segments[0].1).len() as u64);
    }
}

#[test]
fn without_escrow_no_segment_opens_on_its_expiry_day() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, Options { flush: Duration::ZERO, ..options() }, Escrow::None);
    set_clock(&mut archiver, MIDNIGHT);
    let block = block(&keys(1), &[Line { expires: DAY, ..line("late", [192, 0, 2, 1]) }]);
    archiver.write(&block).unwrap();
    assert!(memory.files().is_empty(), "{:?}", memory.files().keys());
    archiver.flush().unwrap();
    assert!(memory.files().is_empty(), "{:?}", memory.files().keys());
    let tally = settled(&archiver, counted(&block, 1, 0));
    assert_eq!(
        (tally.lines.lines_out, tally.lines.dropped, tally.lines.expired, tally.lines.bytes_out),
        (0, 1, 1, 0)
    );
}

#[test]
fn lines_stay_in_a_segment_that_was_open_before_their_day() {
    let memory = Memory::new();
    let now = Options { flush: Duration::ZERO, ..options() };
    let mut archiver = archiver(&memory, now, Escrow::KeyFile);
    let keys = keys(1);
    let due = |text| block(&keys, &[Line { expires: DAY, ..line(text, [192, 0, 2, 1]) }]);
    set_clock(&mut archiver, BEFORE_MIDNIGHT);
    archiver.write(&due("in time")).unwrap();
    set_clock(&mut archiver, MIDNIGHT);
    archiver.write(&due("still open")).unwrap();
    archiver.write(&due("too late")).unwrap();
    archiver.flush().unwrap();
    let segments = segments(&memory);
    assert_eq!(segments.len(), 1);
    assert_eq!(text(&segments[0].1).lines().count(), 2);
    assert_eq!(archiver.acknowledged(), 2);
    assert_eq!(archiver.committer.expired().lines, 1);
}

#[test]
fn a_key_that_is_refused_past_midnight_is_no_failure() {
    let memory = Memory::new();
    let parts = ArchiveParts { shred_keys: Box::new(NoKeyAnyMore), ..parts(&memory, Escrow::KeyFile) };
    let clock = Clock::Fixed(BEFORE_MIDNIGHT.parse().unwrap());
    let (segments, _) = OpenSegments::open(parts, clock.now()).unwrap();
    let classes = vec![ClassName::new("connection").unwrap()];
    let mut archiver = Archiver::new(segments, classes, options(), clock, None).unwrap();
    let block = block(&keys(1), &[Line { expires: DAY, ..line("late", [192, 0, 2, 1]) }]);
    archiver.write(&block).unwrap();
    archiver.flush().unwrap();
    assert!(memory.files().is_empty(), "{:?}", memory.files().keys());
    assert_eq!(settled(&archiver, counted(&block, 1, 0)).lines.expired, 1);
}

#[test]
fn a_sealed_line_stays_quarantined_when_its_placeholder_expires() {
    let memory = Memory::new();
    let mut archiver = archiver(&memory, options(), Escrow::KeyFile);
    let keys = keys(1);
    let mut pseudonymiser = pseudonymiser(&keys);
    let mut block = Pseudonymised::default();
    let mut layout = pseudonymiser.layout(&mut block);
    layout.index_lines();
    // The same placeholder twice: one token. The last one has no line end, which the archive would add.
    let placeholder = Placeholder::new(&format!("qr_2ep1w{}", "0".repeat(26)), 20, 10).unwrap();
    for ending in [&b"\n"[..], b""] {
        layout.placeholder(&placeholder, None, ending);
        let dated = Dated { class: 0, expires: Expires::On(DAY), event_second: 1_795_435_200 };
        layout.index_placeholder(&placeholder, dated);
    }
    drop(layout);
    archiver.write(&block).unwrap();
    set_clock(&mut archiver, MIDNIGHT);
    archiver.flush().unwrap();
    let tally = settled(&archiver, counted(&block, 2, 2));
    assert_eq!(
        (tally.lines.lines_out, tally.lines.quarantined, tally.lines.dropped, tally.lines.bytes_out),
        (0, 2, 0, 0)
    );
}

/// A failure in one segment leaves the other one sealed, with its index, up to what was acknowledged.
#[test]
fn a_failure_in_one_segment_does_not_leave_the_others_to_the_next_start() {
    use crate::primitives::storage::Fault;
    let keys = keys(1);
    let run = |memory: &Memory| {
        let mut archiver = archiver(memory, Options { flush: Duration::ZERO, ..options() }, Escrow::KeyFile);
        let written = (1..=3).try_for_each(|last| {
            let other = Line { expires: date(2027, 11, 25), ..line("other", [192, 0, 2, last]) };
            archiver.write(&block(&keys, &[line("one", [192, 0, 2, last]), other]))
        });
        (written.is_err(), archiver.acknowledged())
    };
    let clean = Memory::new().with_fault(Fault::Freeze(u64::MAX));
    assert!(!run(&clean).0);
    let mut sealed = 0;
    for at in 0..clean.operations() {
        let memory = Memory::new().with_fault(Fault::Fail(at, std::io::ErrorKind::Other));
        let (failed, acknowledged) = run(&memory);
        let after = memory.after_crash(Survives::Synced);
        let ends =
            |end: &str| after.files().keys().filter(|path| path.to_string_lossy().ends_with(end)).count();
        if failed && acknowledged >= 2 {
            assert_eq!((ends(".log.zst"), ends(".part")), (1, 1), "{at}");
            sealed += 1;
        }
        drop(self::archiver(&after, options(), Escrow::KeyFile));
        let found = archive::list(&after, &Tree::at(Path::new("/srv"))).unwrap();
        let lines = found.iter().map(|found| Segment::open(&after, &found.path).unwrap().footer().lines());
        assert!(!failed || lines.sum::<u64>() == acknowledged, "{at}");
    }
    assert!(sealed > 4, "{sealed}");
}

/// Two segments are sealed at midnight or, with the third one, at the end. What was not due is sealed, too.
#[test]
fn a_segment_that_cannot_be_sealed_does_not_leave_the_others_to_the_next_start() {
    use crate::primitives::storage::Fault;
    let keys = keys(1);
    let run = |memory: &Memory, second: &str| {
        let mut archiver = archiver(memory, Options { flush: Duration::ZERO, ..options() }, Escrow::KeyFile);
        let mut write = |now, days: &[i8]| {
            set_clock(&mut archiver, now);
            let of = |day: &i8| Line { expires: date(2027, 11, *day), ..line("one", [192, 0, 2, 1]) };
            archiver.write(&block(&keys, &days.iter().map(of).collect::<Vec<_>>()))
        };
        let written = write(BEFORE_MIDNIGHT, &[25, 26]).and_then(|()| write(second, &[27]));
        let ended = written.and_then(|()| archiver.flush());
        (ended.is_err(), archiver.acknowledged())
    };
    for second in [BEFORE_MIDNIGHT, MIDNIGHT] {
        let clean = Memory::new().with_fault(Fault::Freeze(u64::MAX));
        assert_eq!(run(&clean, second), (false, 3));
        let mut failures = 0;
        for at in 0..clean.operations() {
            let memory = Memory::new().with_fault(Fault::Fail(at, std::io::ErrorKind::Other));
            if run(&memory, second) != (true, 3) {
                continue;
            }
            let found = archive::list(&memory, &Tree::at(Path::new("/srv"))).unwrap();
            let parts = found.iter().filter(|found| found.part).count();
            assert!(found.len() == 3 && parts <= 1, "{second} {at}: {found:?}");
            failures += 1;
        }
        assert!(failures > 4, "{failures}");
    }
}

/// A reader that resumes its input after what is durable misses nothing and repeats nothing.
#[test]
fn what_is_durable_before_a_failure_is_there_and_the_rest_is_not() {
    use crate::primitives::storage::Fault;
    let keys = keys(1);
    let classes = [("one", date(2027, 11, 24)), ("two", date(2027, 11, 25))];
    // Three blocks of the first class for each one of the second; a frame fills up soon.
    let text = |class: &str| format!("{class} {}", "x".repeat(400 << 10));
    for of_both in [false, true] {
        let blocks = (0..12u8).map(|number| {
            let (class, expires) = classes[usize::from(of_both && number % 4 == 0)];
            let text = text(class);
            block(&keys, &[Line { expires, ..line(&text, [192, 0, 2, number]) }])
        });
        let blocks: Vec<_> = blocks.collect();
        let run = |memory: &Memory| {
            let flush = if of_both { Duration::from_secs(3600) } else { Duration::ZERO };
            let mut archiver = archiver(memory, Options { flush, ..options() }, Escrow::KeyFile);
            let written = blocks.iter().try_for_each(|block| archiver.write(block));
            let ended = written.and_then(|()| archiver.flush());
            (ended.is_err(), archiver.durable())
        };
        let clean = Memory::new().with_fault(Fault::Freeze(u64::MAX));
        assert_eq!(run(&clean), (false, 12));
        let mut seen = std::collections::BTreeSet::new();
        for at in 0..clean.operations() {
            let memory = Memory::new().with_fault(Fault::Full(at));
            let (failed, durable) = run(&memory);
            let after = memory.after_crash(Survives::Everything);
            drop(self::archiver(&after, options(), Escrow::KeyFile));
            let lines: String = segments(&after).iter().map(|(_, segment)| self::text(segment)).collect();
            let there = |class: &str| lines.lines().filter(|line| line.starts_with(class)).count() as u64;
            let expected = |class: usize| {
                (0..durable).filter(|number| usize::from(of_both && number % 4 == 0) == class).count() as u64
            };
            assert!(there("one ") >= expected(0) && there("two ") >= expected(1), "{at}: lost");
            assert!(of_both || !failed || there("one ") == durable, "{at}: {durable} durable");
            seen.insert(durable);
        }
        assert!(seen.len() > 3, "{seen:?}");
    }
}

#[test]
fn a_failure_is_told_once_and_nothing_is_written_after_it() {
    use crate::primitives::storage::Fault;
    let memory = Memory::new().with_fault(Fault::Full(12));
    let mut archiver = archiver(&memory, Options { flush: Duration::ZERO, ..options() }, Escrow::KeyFile);
    let keys = keys(1);
    let results: Vec<_> =
        (0..20).map(|_| archiver.write(&block(&keys, &[line("one", [192, 0, 2, 1])]))).collect();
    let first = results.iter().position(Result::is_err).unwrap();
    assert!(matches!(&results[first], Err(WriteError::Archive(diagnostic)) if diagnostic.code.id == "A01"));
    assert!(results[first + 1..].iter().all(|result| matches!(result, Err(WriteError::Poisoned))));
    assert_eq!(archiver.acknowledged(), first as u64);
    let before = memory.files();
    assert!(archiver.flush().is_err());
    assert_eq!(memory.files(), before);
}

/// The lines are sealed in the archive although the pipeline ends with the failure of the other output.
#[test]
fn an_archive_whose_other_output_fails_is_sealed_all_the_same() {
    let (memory, clock) = (Memory::new(), Clock::Fixed(NOW.parse().unwrap()));
    let (segments, _) = OpenSegments::open(parts(&memory, Escrow::None), clock.now()).unwrap();
    let classes = ["connection", "ticket"].map(|name| ClassName::new(name).unwrap()).to_vec();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let tee = Some(Output::new(Descriptor::new(full)));
    let mut archiver = Archiver::new(segments, classes, options(), clock, tee).unwrap();
    let lines = [line("one", [192, 0, 2, 1]), line("two", [192, 0, 2, 2])];
    archiver.write(&block(&keys(1), &lines)).unwrap_err();
    assert!(matches!(archiver.flush(), Err(WriteError::Poisoned)));
    let found = archive::list(&memory, &Tree::at(Path::new("/srv"))).unwrap();
    assert!(!found.is_empty() && found.iter().all(|found| !found.part), "{found:?}");
    let mut flow = Flow::default();
    archiver.report(&mut flow);
    assert_eq!(flow.lines_out, 2);
}
