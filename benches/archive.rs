//! What archiving costs: the built binary writes a generated log to an archive, and to /dev/null, and zstd alone
//! compresses the same lines on the same cores. All in one run, in alternation; the answer is checked.
//!
//! ```text
//! cargo bench --bench archive                      # 200 MB of each profile, all cores, 5 runs
//! cargo bench --bench archive -- mixed 500 9       # profile, MB, runs
//! ```
//!
//! Rates are MB of input per second of wall time, the median of the runs. `bound` is what is possible if filter and
//! zstd share the cores and nothing else takes any time: `1 / (1 / filter + 1 / zstd)`. Sizes are those of
//! archive, index and vault together, against `zstd -3` of the same lines in one piece, at level 3.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod generate;

use generate::{Log, Profile, generate};
use oubliette::archive::{self, Segment};
use oubliette::model::Tree;
use oubliette::primitives::storage::Disk;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen =
        words.first().and_then(|name| Profile::ALL.into_iter().find(|profile| profile.name() == name));
    let megabytes: usize = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    let runs: usize = words.get(2).and_then(|word| word.parse().ok()).unwrap_or(5);
    println!(
        " profile      MB    filter   zstd -1     bound   archive  of filter   of bound     size /   index    vault"
    );
    println!(
        "                      MB/s      MB/s      MB/s      MB/s                          zstd -3   in it    in it"
    );
    for profile in Profile::ALL.into_iter().filter(|profile| chosen.is_none_or(|chosen| chosen == *profile)) {
        measure(profile, megabytes, runs);
    }
}

fn measure(profile: Profile, megabytes: usize, runs: usize) {
    let place = Place::new();
    let log = generate(profile, megabytes * 1_000_000, 1);
    let input = place.path("log");
    std::fs::write(&input, &log.bytes).expect("room for the log");
    let filtered = place.path("filtered");
    run(place.filter(&input).arg("-o").arg(&filtered));
    let lines = std::fs::read(&filtered).expect("the filtered lines");
    let (mut filters, mut zstds, mut archives) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        filters.push(run(place.filter(&input).args(["-o", "/dev/null"])));
        zstds.push(compress(&lines, 1));
        place.forget();
        archives.push(run(place.filter(&input).arg("--archive").arg(place.path("tree"))));
        check(&place, &log, lines.len());
    }
    let rate = |seconds: &mut [f64]| log.bytes.len() as f64 / 1e6 / median(seconds);
    let (filter, zstd, archive) = (rate(&mut filters), rate(&mut zstds), rate(&mut archives));
    let bound = 1.0 / (1.0 / filter + 1.0 / zstd);
    place.forget();
    run(place.filter(&input).args(["--level", "3", "--archive"]).arg(place.path("tree")));
    let vault = size(&place.path("tree/vault"));
    let archive_bytes = size(&place.path("tree/archive"));
    let whole = archive_bytes + vault;
    let index = archive_bytes - data_bytes(&place.path("tree"));
    let plain = zstd::bulk::compress(&lines, 3).expect("zstd").len() as u64;
    println!(
        "{:>8} {:>7.1} {filter:>9.0} {zstd:>9.0} {bound:>9.0} {archive:>9.0} {:>9.0}% {:>9.0}% {:>10.3} {:>7.1}% {:>7.1}%",
        profile.name(),
        log.bytes.len() as f64 / 1e6,
        100.0 * archive / filter,
        100.0 * archive / bound,
        whole as f64 / plain as f64,
        100.0 * index as f64 / plain as f64,
        100.0 * vault as f64 / plain as f64,
    );
}

/// A directory with a key that anyone may know.
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

    /// `oubliette filter` on all cores, with everything on.
    fn filter(&self, input: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["filter", "--now", "2026-11-23T12:00:00Z", "--key-file"]).arg(self.path("key"));
        command.arg("--state-dir").arg(self.path("state")).arg(input);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn forget(&self) {
        let _ = std::fs::remove_dir_all(self.path("tree"));
    }
}

/// Wall seconds of one run.
fn run(command: &mut Command) -> f64 {
    let start = Instant::now();
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed().as_secs_f64()
}

/// Wall seconds of zstd for the lines in pieces of 1 MiB, on all cores.
fn compress(lines: &[u8], level: i32) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for core in 0..cores {
            let pieces = lines.chunks(1 << 20).skip(core).step_by(cores);
            scope.spawn(move || {
                let mut compressor = zstd::bulk::Compressor::new(level).expect("zstd");
                pieces.for_each(|piece| drop(compressor.compress(piece).expect("zstd")));
            });
        }
    });
    start.elapsed().as_secs_f64()
}

/// Every line is in the archive with every token, and all together are as long as what the plain filter writes.
fn check(place: &Place, log: &Log, bytes: usize) {
    // The kid of a fixed epoch starts with 000.
    let finders = [&b"\n"[..], b"ip_000", b"em_000"].map(memchr::memmem::Finder::new);
    let (mut counted, mut found) = ([0; 3], 0);
    for file in files(&place.path("tree/archive")) {
        let text = zstd::decode_all(std::fs::File::open(file).expect("a segment")).expect("zstd");
        for (slot, finder) in counted.iter_mut().zip(&finders) {
            *slot += finder.find_iter(&text).count() as u64;
        }
        found += text.len();
    }
    assert_eq!(
        counted,
        [log.counts.lines, log.counts.addresses, log.counts.emails],
        "lines, addresses, e-mails in the archive"
    );
    assert_eq!(found, bytes, "bytes in the archive");
}

/// Bytes of compressed lines, without footers.
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

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
