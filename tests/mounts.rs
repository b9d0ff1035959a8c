//! Real disks that are full or read-only: file systems in memory, which root mounts and unmounts. Who may not is
//! told that the test is skipped, and why.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]
#![expect(clippy::print_stderr, reason = "says why it is skipped")]

use oubliette::archive::{self, Segment};
use oubliette::model::Tree;
use oubliette::primitives::storage::Disk;
use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const LINES: u32 = 60_000;

/// A file system in memory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Of that size; the reason if it may not be mounted.
    fn new(path: PathBuf, size: &str) -> Result<Self, String> {
        std::fs::create_dir(&path).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "oubliette-test"], &path)?;
        Ok(Self(path))
    }

    fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    let mounted = Command::new("mount").args(arguments).arg(path).output();
    let mounted = mounted.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
    if mounted.status.success() { Ok(()) } else { Err(said) }
}

/// A directory with a key, an input and a state directory, and a small disk for the archive.
struct Scene {
    /// Dropped before the directory that it is in.
    disk: Mount,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = match Mount::new(directory.path().join("disk"), size) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("skipped, for nothing can be mounted here: {reason}");
                return None;
            }
        };
        let mut key = std::fs::OpenOptions::new();
        let mut key =
            key.write(true).create_new(true).mode(0o600).open(directory.path().join("key")).unwrap();
        std::io::Write::write_all(&mut key, &[7; 32]).unwrap();
        Some(Self { disk, directory })
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let path = |name: &str| self.directory.path().join(name);
        std::fs::write(path("input"), input).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(arguments).args(["--now", "2026-11-23T12:00:00Z", "--state-dir"]).arg(path("state"));
        command.stdin(std::fs::File::open(path("input")).unwrap()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).output().unwrap()
    }

    fn filter(&self, input: &str) -> Output {
        let (key, tree) = (self.directory.path().join("key"), self.tree());
        self.run(&["filter", "--archive", tree.to_str().unwrap(), "--key-file", key.to_str().unwrap()], input)
    }

    fn verify(&self) -> Output {
        self.run(&["verify", self.tree().to_str().unwrap()], "")
    }

    fn tree(&self) -> PathBuf {
        self.disk.0.join("log")
    }

    /// The numbers of the lines in the archive, all of them whole.
    fn numbers(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        for found in archive::list(&Disk, &Tree::at(&self.tree())).unwrap() {
            let segment = Segment::open(&Disk, &found.path).unwrap();
            for frame in 0..segment.footer().frames.len() {
                let lines = String::from_utf8(segment.lines(frame).unwrap()).unwrap();
                numbers.extend(lines.lines().map(|line| {
                    let (_, rest) = line.split_once("number ").unwrap();
                    let (number, end) = rest.split_once(' ').unwrap();
                    assert_eq!(end, "expires=2027-11-24 class=connection", "half a line");
                    number.parse::<u32>().unwrap()
                }));
            }
        }
        numbers
    }
}

/// Each line has an address of its own, so that it does not compress to nothing.
fn input() -> String {
    (0..LINES).fold(String::new(), |mut text, number| {
        let [a, b, c, d] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
        writeln!(text, "Nov 23 10:00:00 web1 app[7]: from {}.{b}.{c}.{d} number {number}", a % 100 + 1)
            .unwrap();
        text
    })
}

/// Refused with the file and the reason, and without a word of the lines.
fn is_refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error[A01]") || said.contains("error[V01]"), "{said}");
    assert!(said.contains("/disk/log/") && said.contains(reason), "{said}");
    assert!(!said.contains("number"), "{said}");
}

fn is_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_full_disk_stops_the_archive_and_what_was_written_stays() {
    let Some(scene) = Scene::new("600k") else { return };
    let input = input();
    for _ in 0..2 {
        // It stays full: refused every time.
        is_refused(&scene.filter(&input), "No space left on device");
    }
    scene.disk.remount("size=64m");
    is_done(&scene.filter(""));
    is_done(&scene.verify());
    // The lines of a run are written in their order: what stays of each is its beginning.
    let kept = scene.numbers();
    assert!(!kept.is_empty() && kept.len() < 2 * LINES as usize, "{}", kept.len());
    let runs: Vec<&[u32]> = kept.chunk_by(|a, b| a < b).collect();
    for run in runs {
        assert!(run.iter().copied().eq(0..run.len() as u32), "a line is missing or doubled");
    }
}

#[test]
fn a_read_only_disk_is_refused_and_can_be_verified() {
    let Some(scene) = Scene::new("64m") else { return };
    is_done(&scene.filter("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number 0\n"));
    scene.disk.remount("ro");
    is_refused(
        &scene.filter("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number 1\n"),
        "Read-only file system",
    );
    is_done(&scene.verify());
    assert_eq!(scene.numbers(), [0]);
}
