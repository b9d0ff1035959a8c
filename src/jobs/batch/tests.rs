//! Runs objects of every kind through a batch, twice, and checks the results.

use super::*;
use crate::jobs::recognition::{Choices, Recognition};
use crate::jobs::scene;
use crate::keyring;
use crate::primitives::clock::Clock;
use crate::primitives::storage::{Disk, Fault, Memory};
use crate::pseudonym::epoch::EpochLength;
use std::fs;
use std::num::NonZeroUsize;
use tempfile::TempDir;

const NOW: &str = "2026-11-23T12:00:00Z";

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn object(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).display().to_string()
    }

    fn batch(&self) -> Batch {
        self.batch_to(Arc::new(Disk), &self.path("out"))
    }

    fn batch_to(&self, storage: Arc<dyn Storage>, out: &Path) -> Batch {
        let choices = Choices { backfill: true, ..Choices::default() };
        let recognition = Recognition::new(choices).unwrap();
        let keys = keyring::Settings { length: EpochLength::Fixed, ..scene::keys(&self.path("state")) };
        let plan = Plan {
            recognition,
            keys,
            ledger: None,
            tenant: "default".to_owned(),
            state_dir: self.path("state"),
            max_line_bytes: 1000,
            workers: NonZeroUsize::MIN,
            clock: Clock::Fixed(NOW.parse().unwrap()),
            patience: Arc::default(),
        };
        Batch::new(storage, out, plan, 1).unwrap()
    }

    fn process(&self, input: &str) -> Result<Entry, &'static str> {
        let processed = self.batch().process(input);
        processed.map(|processed| processed.entry).map_err(|diagnostic| diagnostic.code.id)
    }

    fn outputs(&self) -> usize {
        fs::read_dir(self.path("out")).unwrap().count()
    }
}

fn log(lines: usize) -> String {
    (0..lines)
        .map(|n| {
            format!("203.0.113.{} - - [22/Nov/2026:10:00:00 +0100] \"GET /{n} HTTP/1.1\" 200 5\n", n % 250)
        })
        .collect()
}

fn text(output: &str) -> String {
    let bytes = zstd::stream::decode_all(fs::read(output).unwrap().as_slice()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_object_is_done_once() {
    let scene = Scene::new();
    let input = scene.object("a.log.zst", &zstd::bulk::compress(log(5000).as_bytes(), 1).unwrap());
    let entry = scene.process(&input).unwrap();
    assert_eq!((entry.done.lines_in, entry.done.lines_out, entry.skipped), (5000, 5000, false));
    let lines = text(&entry.output);
    assert!(!lines.contains("203.0.113.") && lines.lines().all(|line| line.contains(" expires=2027-11-23 ")));
    assert_eq!(lines.lines().count(), 5000);
    let again = scene.process(&input).unwrap();
    assert_eq!(again, Entry { skipped: true, ..entry });
    assert_eq!(scene.outputs(), 1);
}

#[test]
fn what_expired_is_dropped_and_what_is_too_long_is_sealed() {
    let scene = Scene::new();
    let old = "203.0.113.9 - - [22/Nov/2020:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5\n";
    let input = scene.object("b.log", format!("{old}{}{}\n", log(2), "x".repeat(2000)).as_bytes());
    let Done { lines_in, lines_out, quarantined, dropped, .. } = scene.process(&input).unwrap().done;
    assert_eq!((lines_in, lines_out, quarantined, dropped), (4, 2, 1, 1));
}

#[test]
fn an_object_that_changed_is_refused() {
    let scene = Scene::new();
    let input = scene.object("a.log", log(3).as_bytes());
    let before = scene.process(&input).unwrap();
    scene.object("a.log", log(4).as_bytes());
    assert_eq!(scene.process(&input), Err("F12"));
    fs::remove_file(&before.output).unwrap();
    assert_eq!(scene.process(&input).unwrap().done.lines_in, 4);
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let scene = Scene::new();
    let whole = zstd::bulk::compress(log(5000).as_bytes(), 1).unwrap();
    let cut = scene.object("cut.zst", &whole[..whole.len() / 2]);
    assert_eq!(scene.process(&scene.path("missing").display().to_string()), Err("F10"));
    assert_eq!(scene.process(&cut), Err("I01"));
    assert_eq!(scene.outputs(), 0);
}

#[test]
fn an_object_that_ends_in_its_middle_is_not_to_be_gone_on_with() {
    let source = io::ErrorKind::UnexpectedEof.into();
    let cut = crate::input::ReadError { offset: 7, torn_bytes: 0, source };
    let told = placed("old/a.log.gz", cut.into()).to_string();
    assert!(told.contains("where: old/a.log.gz, after 7 bytes"), "{told}");
    assert!(told.contains("nothing of it was kept") && !told.contains("from that offset"), "{told}");
}

#[test]
fn the_check_sees_every_difference() {
    let scene = Scene::new();
    let inputs = ["a", "b", "c"].map(|name| scene.object(name, log(100).as_bytes()));
    let entries: Vec<Entry> = inputs.iter().map(|input| scene.process(input).unwrap()).collect();
    let found = |inputs: &[String], entries: &[Entry]| {
        let checked = check(&Disk, inputs, entries).unwrap();
        checked.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; ")
    };
    let clean = check(&Disk, &inputs, &entries).unwrap();
    assert_eq!((clean.objects, clean.lines_in, clean.lines_out, clean.findings.len()), (3, 300, 300, 0));
    let twice: Vec<Entry> = entries.iter().chain(&entries).cloned().collect();
    assert_eq!(found(&inputs, &twice), "");
    assert_eq!(found(&inputs, &entries[..2]), "it is not in the manifest");
    assert_eq!(found(&inputs[..2], &entries), "it is in the manifest, and not in the list");
    let mut lied = entries.clone();
    lied[0].done.lines_in = 99;
    assert!(
        found(&inputs, &lied).starts_with("it has another number of lines than the manifest says; lines in")
    );
    lied[0] = Entry { output: entries[1].output.clone(), ..entries[0].clone() };
    assert_eq!(found(&inputs, &lied), "");
    lied.push(entries[0].clone());
    assert_eq!(found(&inputs, &lied), "the manifest says different things of it");
    scene.object("b", log(101).as_bytes());
    assert_eq!(found(&inputs, &entries), "it has other bytes than when it was processed");
    scene.object("b", log(100).as_bytes());
    let mut bytes = fs::read(&entries[2].output).unwrap();
    bytes[40] ^= 1;
    fs::write(&entries[2].output, &bytes).unwrap();
    assert_eq!(found(&inputs, &entries), "it is damaged");
    fs::remove_file(&entries[2].output).unwrap();
    assert_eq!(found(&inputs, &entries), "the output is missing");
}

/// Whichever operation fails, and with whatever kind of error, each object has no output or a whole one.
#[test]
fn an_output_that_fails_once_does_not_appear_in_part() {
    let scene = Scene::new();
    // Lines that hardly compress, so that they are written in several parts.
    let noise = |n: u32| hex::encode(&Sha256::digest(n.to_le_bytes()));
    let log: String = (0..6_000).map(|n| format!("{} {}\n", noise(n), noise(n + 6_000))).collect();
    let (before, out) = (Memory::new(), Path::new("/out"));
    before.create_directory(Path::new("/old"), 0o700).unwrap();
    before.create_directory(out, 0o700).unwrap();
    before.create(Path::new("/old/log"), 0o600).unwrap().append(log.as_bytes()).unwrap();
    let clean = before.with_fault(Fault::Freeze(u64::MAX));
    scene.batch_to(Arc::new(clean.clone()), out).process("/old/log").unwrap();
    let mut failed = 0;
    // The first operation is that of the directory.
    for at in 1..clean.operations() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::Other] {
            let memory = before.with_fault(Fault::Fail(at, kind));
            let batch = scene.batch_to(Arc::new(memory.clone()), out);
            let processed = batch.process("/old/log");
            failed += usize::from(processed.is_err());
            let outputs = memory.list(out).unwrap();
            assert!(processed.is_err() || outputs.len() == 1, "{at} {kind}");
            for output in outputs {
                let bytes = memory.files()[&output.path].clone();
                let lines = zstd::stream::decode_all(bytes.as_slice()).unwrap();
                assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 6_000, "{at} {kind}");
            }
        }
    }
    assert!(failed > 4);
}
