//! Records into segments in a storage in memory: what is stored, adopted, leaked and dropped.

use super::*;
use crate::archive::Segment;
use crate::jobs::filter::Plan;
use crate::jobs::recognition::{Choices, Recognition};
use crate::jobs::scene::{self, site};
use crate::primitives::clock::Clock;
use crate::primitives::storage::{Memory, Storage as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const NOW: &str = "2026-11-23T12:00:00Z";
const TOKEN: &str = "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr";

/// Objects and their ends.
#[derive(Default)]
struct Bucket {
    memory: Memory,
    ends: Mutex<BTreeMap<PathBuf, End>>,
}

impl Bucket {
    /// Returns the lines of all segments, by name.
    fn segments(&self) -> Vec<(String, String)> {
        let ends = self.ends.lock().unwrap();
        let read = |path: &PathBuf| {
            let segment = Segment::open(&self.memory, path).unwrap();
            let lines = (0..segment.footer().frames.len()).flat_map(|frame| segment.lines(frame).unwrap());
            (path.display().to_string(), String::from_utf8(lines.collect()).unwrap())
        };
        ends.keys().map(read).collect()
    }
}

impl SegmentStore for Bucket {
    fn put_new(&self, path: &Path, bytes: Vec<u8>, end: End) -> io::Result<bool> {
        let mut ends = self.ends.lock().unwrap();
        if ends.contains_key(path) {
            return Ok(false);
        }
        self.memory.create_directory(path.parent().unwrap(), 0o700)?;
        self.memory.create(path, 0o600)?.append(&bytes)?;
        ends.insert(path.to_owned(), end);
        Ok(true)
    }

    fn end_of(&self, path: &Path) -> io::Result<End> {
        self.ends.lock().unwrap().get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn digest_of(&self, path: &Path) -> Result<[u8; 32], ArchiveError> {
        Segment::open(&self.memory, path).map(|segment| *segment.digest())
    }
}

struct Scene {
    state: TempDir,
    bucket: Bucket,
}

impl Scene {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap(), bucket: Bucket::default() }
    }

    fn worker(&self, bytes: usize) -> Collector<'_> {
        self.try_worker("logs", "connection", bytes).map_err(|diagnostic| diagnostic.code.id).unwrap()
    }

    fn try_worker(&self, topic: &str, class: &str, bytes: usize) -> Result<Collector<'_>, Diagnostic> {
        let choices = Choices { trust_upstream: true, archived: true, ..Choices::default() };
        let plan = Plan {
            recognition: Recognition::new(choices).unwrap(),
            keys: scene::keys(self.state.path()),
            ledger: None,
            tenant: "default".to_owned(),
            state_dir: self.state.path().to_owned(),
            max_line_bytes: 1000,
            workers: NonZeroUsize::MIN,
            clock: Clock::Fixed(NOW.parse().unwrap()),
            patience: Arc::default(),
        };
        let packer = RecordPacker::new(plan, 1)?;
        let sealer = Box::new(site(&Memory::new(), NOW)?.ledger);
        let topics = BTreeMap::from([(topic.to_owned(), ClassName::new(class).unwrap())]);
        let limits = Limits { bytes, age: Duration::from_secs(3600) };
        Collector::new(&self.bucket, Path::new("/b"), &topics, limits, sealer, packer)
    }
}

fn source() -> Partition {
    Partition { topic: "logs".to_owned(), partition: 3 }
}

fn line(n: u64) -> String {
    format!(
        "{TOKEN} - - [23/Nov/2026:10:00:00 +0100] \"GET /{n} HTTP/1.1\" 200 5 expires=2027-11-24 class=connection"
    )
}

fn give(worker: &mut Collector<'_>, time: &str, offset: u64, payload: Option<&str>) -> Option<Advance> {
    let record = Record { offset, time: time.parse().unwrap(), payload: payload.map(str::as_bytes) };
    worker.take(&source(), &record).unwrap()
}

fn give_lines(worker: &mut Collector<'_>, offsets: std::ops::Range<u64>) {
    for offset in offsets {
        assert_eq!(give(worker, NOW, offset, Some(&line(offset))), None);
    }
}

fn told(advances: &[Advance]) -> Vec<(u64, u64, Fate, u64)> {
    advances.iter().map(|advance| (advance.first, advance.next, advance.done, advance.lines)).collect()
}

#[test]
fn records_become_a_segment_and_then_an_offset() {
    let scene = Scene::new();
    let mut worker = scene.worker(1 << 20);
    give_lines(&mut worker, 7..10);
    assert!(scene.bucket.segments().is_empty());
    assert_eq!(told(&worker.finish().unwrap()), [(7, 10, Fate::Stored, 3)]);
    let lines: String = (7..10).map(|n| line(n) + "\n").collect();
    let name = "/b/archive/expires=2027-11-24/class=connection/logs.p3-00000-8.log.zst";
    assert_eq!(scene.bucket.segments(), [(name.to_owned(), lines)]);
    let segment = Segment::open(&scene.bucket.memory, Path::new(name)).unwrap();
    let tag = crate::pseudonym::token::parse(TOKEN.as_bytes()).unwrap().tag;
    assert_eq!(segment.frames_with(i64::MIN..=i64::MAX, Some(&tag)).count(), 1);
    assert_eq!(segment.frames_with(i64::MIN..=i64::MAX, Some(&[7; 16])).count(), 0);
}

#[test]
fn who_comes_second_adopts_and_goes_on_where_the_first_ended() {
    let scene = Scene::new();
    let (mut dead, mut heir) = (scene.worker(1 << 20), scene.worker(1 << 20));
    give_lines(&mut dead, 0..5);
    give_lines(&mut heir, 0..8);
    assert_eq!(told(&dead.finish().unwrap()), [(0, 5, Fate::Stored, 5)]);
    assert_eq!(told(&heir.finish().unwrap()), [(0, 5, Fate::Adopted, 0)]);
    give_lines(&mut heir, 5..8);
    assert_eq!(told(&heir.finish().unwrap()), [(5, 8, Fate::Stored, 3)]);
    let lines: String = scene.bucket.segments().into_iter().map(|(_, lines)| lines).collect();
    assert_eq!(lines, (0..8).map(|n| line(n) + "\n").collect::<String>());
}

#[test]
fn a_segment_has_one_day_and_a_size() {
    let scene = Scene::new();
    let mut worker = scene.worker(1 << 20);
    give_lines(&mut worker, 0..2);
    // Midnight in the legal zone, by the broker's time.
    let advance = give(&mut worker, "2026-11-23T23:00:00Z", 2, Some(&line(2))).unwrap();
    assert_eq!(told(&[advance]), [(0, 2, Fate::Stored, 2)]);
    assert_eq!(told(&worker.finish().unwrap()), [(2, 3, Fate::Stored, 1)]);
    assert!(scene.bucket.segments()[1].0.contains("expires=2027-11-25"));
    // A size limit of almost nothing: a segment is cut whenever a frame is full.
    let mut worker = scene.worker(1);
    let advances: Vec<_> =
        (10..20_000).filter_map(|offset| give(&mut worker, NOW, offset, Some(&line(offset)))).collect();
    assert!(advances.len() >= 2 && advances[1].first == advances[0].next);
}

#[test]
fn a_partition_that_is_read_again_begins_anew() {
    let scene = Scene::new();
    let mut worker = scene.worker(1 << 20);
    give_lines(&mut worker, 0..5);
    give_lines(&mut worker, 3..6);
    assert_eq!(told(&worker.finish().unwrap()), [(3, 6, Fate::Stored, 3)]);
    give_lines(&mut worker, 6..8);
    worker.forget(&source());
    assert!(worker.finish().unwrap().is_empty());
}

#[test]
fn what_leaked_is_replaced_and_counted() {
    let scene = Scene::new();
    let mut worker = scene.worker(1 << 20);
    let raw = "203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5";
    assert_eq!(give(&mut worker, NOW, 0, Some(raw)), None);
    assert_eq!(give(&mut worker, NOW, 1, Some(&"x".repeat(2000))), None);
    let advances = worker.finish().unwrap();
    assert_eq!(told(&advances), [(0, 2, Fate::Stored, 2)]);
    assert_eq!(advances[0].leaked, 1);
    let (_, lines) = &scene.bucket.segments()[0];
    assert!(
        !lines.contains("203.0.113.9")
            && lines.contains("class=connection")
            && !lines.contains(&"x".repeat(40))
    );
}

#[test]
fn what_has_expired_or_is_empty_is_not_stored() {
    let scene = Scene::new();
    let mut worker = scene.worker(1 << 20);
    assert_eq!(give(&mut worker, "2025-01-01T00:00:00Z", 0, Some(&line(0))), None);
    let advances = worker.finish().unwrap();
    assert_eq!((told(&advances), advances[0].dropped), (vec![(0, 1, Fate::Dropped, 0)], 1));
    assert_eq!(give(&mut worker, NOW, 1, None), None);
    assert_eq!(told(&worker.finish().unwrap()), [(1, 2, Fate::Dropped, 0)]);
    assert!(scene.bucket.segments().is_empty());
}

#[test]
fn topics_without_a_class_or_a_usable_name_are_refused() {
    let scene = Scene::new();
    for (topic, class) in [("Logs", "connection"), (&*"x".repeat(60), "connection"), ("logs", "unheard-of")] {
        let refused = scene.try_worker(topic, class, 1).map(drop).unwrap_err();
        assert_eq!(refused.code.id, "F02");
    }
}
