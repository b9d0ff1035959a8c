//! End to end: the built binary on a generated log, its answer checked against what the generator put in.
//!
//! ```text
//! cargo bench --bench filter                      # 200 MB of each profile, 1 worker, 5 runs
//! cargo bench --bench filter -- mixed 500 9       # profile, MB, runs
//! ```
//!
//! Rates are MB of input per second of CPU (user and system) and of wall time: the median of the runs.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod generate;

use generate::{Log, Profile, generate};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let chosen =
        words.first().and_then(|name| Profile::ALL.into_iter().find(|profile| profile.name() == name));
    let megabytes: usize = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    let runs: usize = words.get(2).and_then(|word| word.parse().ok()).unwrap_or(5);
    println!(
        "{:>8} {:>9} {:>14} {:>14} {:>12}",
        "profile", "MB", "MB/CPU-second", "MB/second", "cat: MB/CPU-s"
    );
    for profile in Profile::ALL.into_iter().filter(|profile| chosen.is_none_or(|chosen| chosen == *profile)) {
        let log = generate(profile, megabytes * 1_000_000, 1);
        // In alternation, so that a busy neighbour slows down both.
        let (mut ours, mut cats): (Vec<_>, Vec<_>) = (0..runs)
            .map(|_| (run(&log, &mut filter(), true), run(&log, &mut Command::new("cat"), false)))
            .unzip();
        let rate = |seconds: f64| log.bytes.len() as f64 / 1e6 / seconds;
        let (cpu, wall) = medians(&mut ours);
        let (cat, _) = medians(&mut cats);
        println!(
            "{:>8} {:>9.1} {:>14.0} {:>14.0} {:>12.0}",
            profile.name(),
            log.bytes.len() as f64 / 1e6,
            rate(cpu),
            rate(wall),
            rate(cat)
        );
    }
}

/// `oubliette filter` with everything on, one worker, a key that anyone may know.
fn filter() -> Command {
    let directory = std::env::temp_dir().join(format!("oubliette-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the key");
    let key = directory.join("key");
    if !key.exists() {
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(&key).expect("a key file");
        file.write_all(&[7; 32]).expect("a key");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    command.args(["filter", "--workers", "1", "--now", "2026-11-23T12:00:00Z", "--key-file"]).arg(key);
    command.arg("--state-dir").arg(directory);
    command
}

/// CPU and wall seconds of one run of `command` over the log, through pipes; checks what comes out.
fn run(log: &Log, command: &mut Command, filtered: bool) -> (f64, f64) {
    let before = children_seconds();
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("its input");
    let mut output = child.stdout.take().expect("its output");
    let counted = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&log.bytes));
        count(&mut output)
    });
    let status = child.wait().expect("it ends");
    let wall = start.elapsed().as_secs_f64();
    assert!(status.success(), "it failed: {status}");
    let expected =
        if filtered { [log.lines, log.addresses, log.emails, log.lines] } else { [log.lines, 0, 0, 0] };
    assert_eq!(counted, expected, "lines, addresses, e-mails, tags");
    (children_seconds() - before, wall)
}

/// Lines, `ip_` tokens (the kid of a fixed epoch starts with 000), `em_` tokens, and tags in the output.
fn count(output: &mut impl Read) -> [u64; 4] {
    let finders = [&b"ip_000"[..], b"em_000", b"2027-11-24"].map(memchr::memmem::Finder::new);
    let mut counted = [0; 4];
    let mut buffer = vec![0; 1 << 20];
    let mut held = 0;
    loop {
        let read = output.read(&mut buffer[held..]).expect("its output can be read");
        if read == 0 {
            return counted;
        }
        let filled = held + read;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |newline| newline + 1);
        counted[0] += memchr::memchr_iter(b'\n', &buffer[..whole]).count() as u64;
        for (slot, finder) in counted[1..].iter_mut().zip(&finders) {
            *slot += finder.find_iter(&buffer[..whole]).count() as u64;
        }
        buffer.copy_within(whole..filled, 0);
        held = filled - whole;
    }
}

/// CPU seconds of all children that have ended, from `/proc/self/stat` (cutime and cstime, in ticks of
/// 10 ms).
fn children_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux /proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field =
        |number: usize| after_name.split_whitespace().nth(number - 3).and_then(|field| field.parse().ok());
    // Fields 16 and 17 of proc(5); the first after the name is 3.
    let ticks: u64 = field(16).unwrap_or(0) + field(17).unwrap_or(0);
    ticks as f64 / 100.0
}

fn medians(runs: &mut [(f64, f64)]) -> (f64, f64) {
    let mut median = |pick: fn(&(f64, f64)) -> f64| {
        runs.sort_by(|a, b| pick(a).total_cmp(&pick(b)));
        pick(&runs[runs.len() / 2])
    };
    (median(|run| run.0), median(|run| run.1))
}
