//! Measures what archiving costs.
//!
//! The built binary writes a generated log to an archive, and to /dev/null, and zstd alone compresses the
//! same lines on the same cores. All of it runs in alternation within one run, and the archive is checked.
//!
//! ```text
//! cargo bench --bench archive                      # 1000 MB of each profile, 200 of the slow one, all cores, 5 runs
//! cargo bench --bench archive -- mixed 500 9       # profile, MB, runs
//! ```
//!
//! Rates are MB of input per second of wall time, start and end included, as the median of the runs. `bound`
//! is the best possible rate if filter and zstd share the cores and nothing else takes any time:
//! `1 / (1 / filter + 1 / zstd)`. The second column `of bound`, `CPU`, makes the same comparison with CPU
//! times, including the kernel's: that is the share when nothing waits for a disk. zstd gets the lines in
//! pieces as large as frames, and its frames have a checksum, like those of the zstd program and those of
//! segments; it writes them nowhere. Sizes are those of archive, index and vault together, compared with
//! `zstd -3` of the same lines in one piece, at level 3.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod generate;

use generate::{Log, Profile, generate};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use oubliette::archive::{self, Segment};
use oubliette::model::Tree;
use oubliette::primitives::storage::Disk;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use zstd::zstd_safe::CParameter;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen =
        words.first().and_then(|name| Profile::ALL.into_iter().find(|profile| profile.name() == name));
    let megabytes: Option<usize> = words.get(1).and_then(|word| word.parse().ok());
    let runs: usize = words.get(2).and_then(|word| word.parse().ok()).unwrap_or(5);
    println!("{HEAD}");
    for profile in Profile::ALL.into_iter().filter(|profile| chosen.is_none_or(|chosen| chosen == *profile)) {
        let usual = if profile == Profile::Hostile { 200 } else { 1000 };
        measure(profile, megabytes.unwrap_or(usual), runs);
    }
}

const HEAD: &str = " \
profile      MB    filter   zstd -1     bound   archive  of filter   of bound   of bound     start     size /   index    vault
                      MB/s      MB/s      MB/s      MB/s                            CPU        ms    zstd -3   in it    in it";

fn measure(profile: Profile, megabytes: usize, runs: usize) {
    let place = Place::new();
    let log = generate(profile, megabytes * 1_000_000, 1);
    let input = place.keep("log", &log.bytes);
    let line = &log.bytes[..log.bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1)];
    let one_line = place.keep("line", line);
    let lines = place.filtered(&input);
    let (mut filters, mut zstds, mut archives, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        filters.push(run(place.filter(&input).args(["-o", "/dev/null"])));
        zstds.push(compress(&lines, 1));
        archives.push(run(&mut place.archive(&input)));
        check(&place, &log, lines.len());
        starts.push(run(&mut place.archive(&one_line)));
    }
    let rate = |spent: &[Spent]| log.bytes.len() as f64 / 1e6 / median(spent, |spent| spent.wall);
    let cpu = |spent: &[Spent]| median(spent, |spent| spent.cpu);
    let (filter, zstd, archive) = (rate(&filters), rate(&zstds), rate(&archives));
    let bound = 1.0 / (1.0 / filter + 1.0 / zstd);
    run(place.archive(&input).args(["--level", "3"]));
    let vault = size(&place.path("tree/vault"));
    let archive_bytes = size(&place.path("tree/archive"));
    let index = archive_bytes - data_bytes(&place.path("tree"));
    let plain = zstd::bulk::compress(&lines, 3).expect("zstd").len() as f64;
    println!(
        "{:>8} {:>7.1} {filter:>9.0} {zstd:>9.0} {bound:>9.0} {archive:>9.0} {:>9.0}% {:>9.0}% {:>9.0}% {:>9.0} {:>10.3} {:>7.1}% {:>7.1}%",
        profile.name(),
        log.bytes.len() as f64 / 1e6,
        100.0 * archive / filter,
        100.0 * archive / bound,
        100.0 * (cpu(&filters) + cpu(&zstds)) / cpu(&archives),
        1e3 * median(&starts, |spent| spent.wall),
        (archive_bytes + vault) as f64 / plain,
        100.0 * index as f64 / plain,
        100.0 * vault as f64 / plain,
    );
}

/// A directory with a well-known key.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(place.path("key")).expect("a key file");
        file.write_all(&[7; 32]).expect("a key");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes and syncs a file, so that nothing is left to write back while the clock runs.
    fn keep(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        let mut file = File::create(&path).expect("a file");
        file.write_all(bytes).and_then(|()| file.sync_all()).expect("room for the log");
        path
    }

    /// Returns the command `oubliette filter`, on all cores, with everything on.
    fn filter(&self, input: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["filter", "--now", "2026-11-23T12:00:00Z", "--key-file"]).arg(self.path("key"));
        command.arg("--state-dir").arg(self.path("state")).arg(input);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Returns the same command with a new archive as its output.
    fn archive(&self, input: &Path) -> Command {
        let _ = std::fs::remove_dir_all(self.path("tree"));
        let mut command = self.filter(input);
        command.arg("--archive").arg(self.path("tree"));
        command
    }

    /// Returns the output of the plain filter.
    fn filtered(&self, input: &Path) -> Vec<u8> {
        let path = self.path("filtered");
        run(self.filter(input).arg("-o").arg(&path));
        let lines = std::fs::read(&path).expect("the filtered lines");
        std::fs::remove_file(path).expect("a file of our own");
        lines
    }
}

/// Times in seconds.
#[derive(Clone, Copy)]
struct Spent {
    wall: f64,
    /// User and system time.
    cpu: f64,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { wall: self.wall - before.wall, cpu: self.cpu - before.cpu }
    }
}

/// Returns the time since `start`, and the CPU time so far of this process or of its ended children.
fn spent(whose: UsageWho, start: Instant) -> Spent {
    let usage = getrusage(whose).expect("the kernel's account");
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Spent { wall: start.elapsed().as_secs_f64(), cpu: microseconds as f64 / 1e6 }
}

fn run(command: &mut Command) -> Spent {
    let start = Instant::now();
    let before = spent(UsageWho::RUSAGE_CHILDREN, start);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    spent(UsageWho::RUSAGE_CHILDREN, start) - before
}

/// Compresses the lines with zstd in pieces of 1 MiB, on all cores.
fn compress(lines: &[u8], level: i32) -> Spent {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let before = spent(UsageWho::RUSAGE_SELF, start);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let pieces = lines.chunks(1 << 20).skip(core).step_by(cores);
            scope.spawn(move || {
                let mut compressor = zstd::bulk::Compressor::new(level).expect("zstd");
                compressor.set_parameter(CParameter::ChecksumFlag(true)).expect("zstd");
                let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(1 << 20));
                for piece in pieces {
                    frame.clear();
                    compressor.compress_to_buffer(piece, &mut frame).expect("zstd");
                }
            });
        }
    });
    spent(UsageWho::RUSAGE_SELF, start) - before
}

/// Checks that every line and every token is in the archive, and that all lines together are as long as the
/// output of the plain filter.
fn check(place: &Place, log: &Log, bytes: usize) {
    // The key id of a fixed epoch starts with 000.
    let finders = [&b"\n"[..], b"ip_000", b"em_000"].map(memchr::memmem::Finder::new);
    let (mut counted, mut found) = ([0; 3], 0);
    for file in files(&place.path("tree/archive")) {
        let mut segment = zstd::Decoder::new(File::open(file).expect("a segment")).expect("zstd");
        let mut text = Vec::new();
        while segment.by_ref().take(16 << 20).read_to_end(&mut text).expect("zstd") > 0 {
            let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
            for (slot, finder) in counted.iter_mut().zip(&finders) {
                *slot += finder.find_iter(&text[..whole]).count() as u64;
            }
            found += whole;
            text.drain(..whole);
        }
        assert!(text.is_empty(), "a segment ends within a line");
    }
    assert_eq!(
        counted,
        [log.counts.lines, log.counts.addresses, log.counts.emails],
        "lines, addresses, e-mails in the archive"
    );
    assert_eq!(found, bytes, "bytes in the archive");
}

/// Returns the bytes of compressed lines, without footers.
fn data_bytes(tree: &Path) -> u64 {
    let tree = Tree::at(tree);
    let found = archive::list(&Disk, &tree).expect("an archive");
    let segments = found.iter().map(|found| Segment::open(&Disk, &found.path).expect("a segment"));
    segments.map(|segment| segment.footer().data_bytes()).sum()
}

fn size(directory: &Path) -> u64 {
    let lengths = files(directory).into_iter().map(|file| file.metadata().expect("a file").len());
    lengths.sum()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn median(spent: &[Spent], of: impl Fn(&Spent) -> f64) -> f64 {
    let mut seconds: Vec<f64> = spent.iter().map(of).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
