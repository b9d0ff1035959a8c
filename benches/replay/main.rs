//! Benchmarks replay over archives of realistic size: it must find what a plain search in the originals
//! finds, and be faster than reading everything.
//!
//! ```text
//! cargo bench --bench replay                       # both, at the sizes that are claimed
//! cargo bench --bench replay -- exact 5000000 1000 # lines, identifiers: over 40 days, an epoch each
//! cargo bench --bench replay -- speed 10000 5      # MB before filtering, runs; beside zstdcat | rg
//! ```
//!
//! `speed` needs `zstd` and `rg`; `benches/peers/get` unpacks the latter. All runs are of one process after
//! another, with the files in the page cache for both. rg is given the tokens of all epochs, so it need not
//! compute them.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod log;
mod node;

use log::{Days, address, mail, number, words};
use node::{Node, text};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Days, each of which is an epoch.
const DAYS: u64 = 40;

/// An address that is in no generated line; every fifth day gets one line with it.
const RARE: &str = "198.51.100.77";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number =
        |index: usize, default: u64| words.get(index).and_then(|word| word.parse().ok()).unwrap_or(default);
    match words.first().map(String::as_str) {
        Some("exact") => exact(number(1, 5_000_000), number(2, 1_000)),
        Some("speed") => speed(number(1, 10_000), number(2, 5)),
        _ => {
            exact(5_000_000, 1_000);
            speed(10_000, 5);
        }
    }
}

/// Checks for random identifiers that replay finds the lines that a plain search finds.
fn exact(lines: u64, identifiers: u64) {
    let people = lines / 50;
    let (node, mut days) = (Node::new(), Days::new(people));
    let mut chosen: HashMap<String, BTreeSet<u64>> = HashMap::new();
    let mut random = Days::new(1);
    while (chosen.len() as u64) < identifiers {
        let person = random.below(people + people / 20);
        let identifier = if random.below(4) == 0 { mail(person) } else { address(person) };
        chosen.insert(identifier, BTreeSet::new());
    }
    for day in 0..DAYS {
        let mut originals = String::new();
        node.archive(day, |date, to| {
            days.write(date, lines / DAYS, &mut originals);
            to.write_all(originals.as_bytes()).expect("the filter reads");
        });
        for line in originals.lines() {
            for word in words(line) {
                if let Some(found) = chosen.get_mut(word) {
                    found.insert(number(line));
                }
            }
        }
    }
    let start = Instant::now();
    let (mut found, mut empty, mut hmacs) = (0, 0, 0);
    for (identifier, expected) in &chosen {
        let option = if identifier.contains('@') { "--email" } else { "--ip" };
        let output = node.replay(&[option, identifier]);
        let numbers: Vec<u64> = text(&output.stdout).lines().map(number).collect();
        assert_eq!(numbers.len(), expected.len(), "lines of one identifier, each once");
        assert_eq!(&numbers.into_iter().collect::<BTreeSet<_>>(), expected, "lines of one identifier");
        let counts: serde_json::Value = serde_json::from_slice(&output.stderr).expect("counts");
        // One more for the network of an address, where that avoids reading frames.
        let made = counts["hmacs"].as_u64().expect("a number");
        assert!(counts["epochs"] == DAYS && (DAYS..=2 * DAYS).contains(&made), "{counts}");
        found += expected.len();
        empty += usize::from(expected.is_empty());
        hmacs += made;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "exact: {} lines over {DAYS} days; {identifiers} identifiers, {empty} of them nowhere: {found} lines found, \
         none missing, none extra; {hmacs} HMACs; {:.1} ms each",
        days.lines,
        1e3 * seconds / identifiers as f64
    );
}

/// Times the search for one address, beside `zstdcat | rg`.
fn speed(megabytes: u64, runs: u64) {
    let (node, mut days) = (Node::new(), Days::new(200_000));
    let (bytes_a_day, mut raw) = (megabytes * 1_000_000 / DAYS, 0);
    let mut rare = 0;
    for day in 0..DAYS {
        node.archive(day, |date, to| {
            let mut written = 0;
            while written < bytes_a_day {
                let mut lines = String::new();
                days.write(date, 20_000, &mut lines);
                if written == 0 && day % 5 == 0 {
                    lines.push_str(&format!("{date}T09:59:59Z web1 sshd[1]: from {RARE} req=0 end\n"));
                    rare += 1;
                }
                to.write_all(lines.as_bytes()).expect("the filter reads");
                written += lines.len() as u64;
            }
            raw += written;
        });
    }
    let tokens: Vec<String> = {
        let output = text(&node.replay(&["--ip", RARE]).stdout);
        let tokens = output.lines().filter_map(|line| line.split("from ").nth(1)?.split(' ').next());
        tokens.map(str::to_owned).collect()
    };
    assert_eq!(tokens.len(), rare, "every line of the address");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut counts = String::new();
    for _ in 0..runs {
        let start = Instant::now();
        let output = node.replay(&["--ip", RARE]);
        ours.push(start.elapsed().as_secs_f64());
        assert_eq!(text(&output.stdout).lines().count(), rare);
        counts = text(&output.stderr);
        let start = Instant::now();
        assert_eq!(zstdcat_rg(&node.path("srv/archive"), &tokens), rare);
        theirs.push(start.elapsed().as_secs_f64());
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!(
        "speed: {:.2} GB raw; {rare} lines; replay {:.0} ms, zstdcat | rg {:.0} ms: {:.0} x\n{}",
        raw as f64 / 1e9,
        1e3 * ours,
        1e3 * theirs,
        theirs / ours,
        counts.trim_end()
    );
}

/// Returns how many lines of all segments contain one of these tokens.
fn zstdcat_rg(archive: &Path, tokens: &[String]) -> usize {
    let mut zstdcat = Command::new("zstd");
    zstdcat.args(["-dc", "--"]).args(segments(archive)).stdout(Stdio::piped());
    let mut zstdcat = zstdcat.spawn().expect("zstd is installed");
    let mut rg = Command::new(rg());
    rg.arg("-F").args(tokens.iter().flat_map(|token| ["-e", token]));
    let output = rg.stdin(zstdcat.stdout.take().expect("a pipe")).output().expect("rg starts");
    assert!(zstdcat.wait().expect("zstd ends").success());
    text(&output.stdout).lines().count()
}

/// Returns the path of rg: that of `benches/peers/get`, or that of the machine.
fn rg() -> PathBuf {
    let unpacked = PathBuf::from("target/peers/usr/bin/rg");
    if unpacked.exists() { unpacked } else { PathBuf::from("rg") }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { segments(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
