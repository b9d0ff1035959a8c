//! Measures each stage of the pipeline alone, on a block in memory: its speed and its allocations.
//!
//! ```text
//! cargo bench --bench stages             # all
//! cargo bench --bench stages -- find     # those whose name contains a word
//! ```
//!
//! Every stage gets the precomputed results of the stages before it, so that it is timed alone. Rates are
//! input bytes per second of wall time on one thread; allocations are shown if there are any. The findings of
//! each stage are counted, and must equal what the generator put in.

#[expect(dead_code, reason = "other benchmarks generate in other ways")]
mod generate;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use generate::{Counts, Log, Profile, generate};
use jiff::Timestamp;
use oubliette::detect::Scratch;
use oubliette::format::{self, Guess};
use oubliette::jobs::recognition::{Choices, Recognition};
use oubliette::model::{Findings, Kind, Record};
use oubliette::primitives::secret::Secret;
use oubliette::pseudonym::epoch::{Epoch, EpochKeys};
use oubliette::pseudonym::{Pseudonymised, Pseudonymiser, TokenShape};
use oubliette::retention::{Stamper, Verdict};
use oubliette::scan::{Line, Scan};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Bytes in a block: half of an L2 cache, as in the filter.
const BLOCK_BYTES: usize = 512 * 1024;

/// Memory for recent tokens: more than a block of `worst` needs.
const RECENT_BYTES: usize = 1 << 20;

fn main() {
    divan::main();
}

/// A generated block, and what is needed to process it.
struct Bench {
    log: Log,
    recognition: Recognition,
    received: Timestamp,
}

impl Bench {
    fn new(profile: Profile) -> Self {
        Self {
            log: generate(profile, BLOCK_BYTES, 1),
            recognition: Recognition::new(Choices::default()).expect("the built-in rules load"),
            received: "2026-11-23T12:00:00Z".parse().expect("a timestamp"),
        }
    }

    fn lines<'a>(&'a self, scan: &'a mut Scan) -> Vec<Line<'a>> {
        let lines: Vec<_> = scan.lines(&self.log.bytes).collect();
        assert_eq!(lines.len() as u64, self.log.counts.lines, "lines");
        lines
    }

    /// Returns the lines with their envelopes.
    fn records<'a>(&'a self, scan: &'a mut Scan) -> Vec<(Line<'a>, Record)> {
        let mut guess = Guess::new(None);
        self.lines(scan).into_iter().map(|line| (line, guess.read(&line))).collect()
    }

    fn keys(&self) -> Arc<EpochKeys> {
        let kinds = &self.recognition.shared.kinds;
        Arc::new(EpochKeys::derive(&Secret::new([7; 32]), Epoch::Fixed, "default", kinds))
    }

    fn pseudonymiser(&self) -> Pseudonymiser {
        Pseudonymiser::new(
            self.keys(),
            Arc::clone(&self.recognition.shared.kinds),
            TokenShape::Native,
            RECENT_BYTES,
        )
    }
}

/// Finds line ends and candidates.
#[divan::bench(args = Profile::ALL)]
fn scan(bencher: Bencher<'_, '_>, profile: Profile) {
    let bench = Bench::new(profile);
    let mut scan = Scan::default();
    let lines = bench.log.counts.lines;
    measure(bencher, &bench, || {
        assert_eq!(scan.lines(black_box(&bench.log.bytes)).count() as u64, lines);
    });
}

/// Recognises envelopes.
#[divan::bench(args = Profile::ALL)]
fn format(bencher: Bencher<'_, '_>, profile: Profile) {
    let bench = Bench::new(profile);
    let mut scan = Scan::default();
    let lines = bench.lines(&mut scan);
    let mut guess = Guess::new(None);
    measure(bencher, &bench, || {
        for line in &lines {
            black_box(guess.read(black_box(line)));
        }
    });
}

/// Determines class, day and tag.
#[divan::bench(args = Profile::ALL)]
fn stamp(bencher: Bencher<'_, '_>, profile: Profile) {
    let bench = Bench::new(profile);
    let mut scan = Scan::default();
    let records = bench.records(&mut scan);
    let mut stamper = bench.recognition.stamper.clone();
    measure(bencher, &bench, || {
        let kept = records.iter().filter(|(line, record)| {
            let verdict = stamp_line(&mut stamper, line, record, bench.received);
            matches!(verdict, Verdict::Keep { tag: Some(_), .. })
        });
        assert_eq!(kept.count(), records.len());
    });
}

/// Validates candidates and merges findings.
#[divan::bench(args = Profile::ALL)]
fn find(bencher: Bencher<'_, '_>, profile: Profile) {
    let bench = Bench::new(profile);
    let mut scan = Scan::default();
    let records = bench.records(&mut scan);
    let detector = &bench.recognition.shared.detector;
    let (mut scratch, mut findings) = (Scratch::default(), Findings::default());
    measure(bencher, &bench, || {
        let mut found = Counts { lines: bench.log.counts.lines, ..Counts::default() };
        for (line, record) in black_box(&records) {
            detector.find(line, record, &mut scratch, &mut findings);
            let of = |kind: Kind| findings.items.iter().filter(|finding| finding.kind == kind).count() as u64;
            found.addresses += of(Kind::IP);
            found.emails += of(Kind::EM);
        }
        assert_eq!(found, bench.log.counts);
    });
}

/// Writes lines with tokens and tags; every token has been seen before. This includes the stamping, because a
/// tag borrows from its stamper: subtract `stamp`.
#[divan::bench(args = Profile::ALL)]
fn pseudonymise(bencher: Bencher<'_, '_>, profile: Profile) {
    let bench = Bench::new(profile);
    let mut scan = Scan::default();
    let records = bench.records(&mut scan);
    let findings: Vec<Findings> =
        records.iter().map(|(line, record)| findings(&bench, line, record)).collect();
    let mut stamper = bench.recognition.stamper.clone();
    let mut pseudonymiser = bench.pseudonymiser();
    let mut out = Pseudonymised::default();
    measure(bencher, &bench, || {
        out.clear();
        let mut layout = pseudonymiser.layout(&mut out);
        for ((line, record), findings) in records.iter().zip(&findings) {
            if let Verdict::Keep { tag, .. } = stamp_line(&mut stamper, line, record, bench.received) {
                layout.line(line, findings, tag);
            }
        }
        drop(layout);
        pseudonymiser.new_tags().for_each(drop);
        assert!(out.as_bytes().len() > bench.log.bytes.len(), "tags are missing");
    });
}

/// Computes tokens of new identifiers: one HMAC-SHA-256 each, of 5 bytes.
#[divan::bench]
fn hmac(bencher: Bencher<'_, '_>) {
    let bench = Bench::new(Profile::Clean);
    let keys = bench.keys();
    let mut canonical = [4_u8, 203, 0, 113, 7];
    bencher.counter(BytesCount::new(canonical.len())).bench_local(|| {
        canonical[4] = canonical[4].wrapping_add(1);
        keys.tag(Kind::IP, black_box(&canonical))
    });
}

/// Times `work`. Its first run, which fills the buffers and caches of the worker, does not count.
fn measure(bencher: Bencher<'_, '_>, bench: &Bench, mut work: impl FnMut()) {
    work();
    bencher.counter(BytesCount::new(bench.log.bytes.len())).bench_local(work);
}

fn stamp_line<'s>(
    stamper: &'s mut Stamper,
    line: &Line<'_>,
    record: &Record,
    received: Timestamp,
) -> Verdict<'s> {
    stamper.stamp(line.bytes, record, received, &|name| format::field(line.bytes, record, name))
}

fn findings(bench: &Bench, line: &Line<'_>, record: &Record) -> Findings {
    let mut findings = Findings::default();
    bench.recognition.shared.detector.find(line, record, &mut Scratch::default(), &mut findings);
    findings
}
