//! Kills processes at random moments while they write an archive to the disk.

use super::scene::{archiver, block, check_tree, keys};
use oubliette::model::Tree;
use oubliette::pipeline::{Sink, SyncPolicy};
use oubliette::primitives::storage::Disk;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Kills in total.
const KILLS: u32 = 1_000;
/// Kills per archive, and so the number of parts and segments that the last process finds there.
const KILLS_AN_ARCHIVE: u32 = 25;
/// Longest time from the first acknowledgement to the kill.
const LONGEST_LIFE_MICROSECONDS: u64 = 6_000;
const THREADS: u32 = 2;

const DIRECTORY: &str = "OUBLIETTE_CRASH_DIRECTORY";
const FIRST: &str = "OUBLIETTE_CRASH_FIRST";
const POLICY: &str = "OUBLIETTE_CRASH_POLICY";

fn policy(number: u32) -> SyncPolicy {
    match number % 3 {
        0 => SyncPolicy::Frame,
        1 => SyncPolicy::Interval(Duration::from_millis(1)),
        _ => SyncPolicy::None,
    }
}

/// Kills a thousand children, and checks what each has left.
pub(crate) fn run() {
    let archives = KILLS / KILLS_AN_ARCHIVE / THREADS;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                (0..archives).for_each(|archive| kill_on_one_archive(thread * 1000 + archive))
            });
        }
    });
}

fn kill_on_one_archive(seed: u32) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = u64::from(seed) << 20 | 0x9e37_79b9;
    let mut owed = BTreeSet::new();
    for kill in 0..KILLS_AN_ARCHIVE {
        let first = kill * 10_000;
        let mut child = spawn(directory.path(), first, seed + kill);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // The child recovers what the previous one left; then it begins to write.
        let mut acknowledged = wait_for_first(&mut output);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % LONGEST_LIFE_MICROSECONDS));
        kill_and_reap(&mut child);
        acknowledged = acknowledged.max(last_number(&mut output).unwrap_or(0));
        owed.extend(first * 3..first * 3 + acknowledged);
    }
    let tree = Tree::at(directory.path());
    // Opening the archive seals what the last child left.
    drop(archiver(Arc::new(Disk), tree.clone(), SyncPolicy::Frame, 0).unwrap());
    check_tree(&Disk, &tree, &owed, true);
    assert!(owed.len() as u32 >= KILLS_AN_ARCHIVE * 3, "only {} lines", owed.len());
}

fn spawn(directory: &Path, first: u32, policy: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .env(POLICY, policy.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Sends SIGKILL, which the process cannot handle.
fn kill_and_reap(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it ended by itself: {status}");
}

fn wait_for_first(output: &mut BufReader<ChildStdout>) -> u32 {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "a child that does not begin to write");
        if let Some(number) = number(&line) {
            return number;
        }
    }
}

/// Returns the last whole number that is still in the pipe.
fn last_number(output: &mut BufReader<ChildStdout>) -> Option<u32> {
    output.lines().map_while(Result::ok).filter_map(|line| number(&format!("{line}\n"))).last()
}

/// Parses `acknowledged 12.`: the full stop shows that the number is whole.
fn number(line: &str) -> Option<u32> {
    line.trim_end().strip_prefix("acknowledged ")?.strip_suffix('.')?.parse().ok()
}

/// Writes blocks for ever, every second child on threads, and prints after each how many lines are
/// acknowledged.
pub(crate) fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let first = number(FIRST);
    let (policy, packers) = (policy(number(POLICY)), (number(POLICY) % 2) as usize);
    let mut archiver = archiver(Arc::new(Disk), Tree::at(&directory), policy, packers).unwrap();
    let (keys, mut output) = (keys(), std::io::stdout());
    for number in first..first + 10_000 {
        archiver.write(&block(&keys, number)).unwrap();
        // In whole blocks, because lines of two classes are not acknowledged in the order of their numbers.
        let blocks = archiver.acknowledged() / 3;
        if blocks > 0 {
            writeln!(output, "acknowledged {}.", blocks * 3).unwrap();
        }
    }
}
