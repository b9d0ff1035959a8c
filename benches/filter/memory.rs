//! Measures peak memory, on logs that are generated while they are filtered.

use super::record::{Label, Record};
use super::statistics;
use super::workplace::Workplace;
use crate::generate::{Counts, Profile, Stream};
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Bytes generated at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Profiles to filter, and the number of lines of each. On `worst`, each line holds a different address.
const LOGS: [(Profile, u64); 2] = [(Profile::Mixed, 3_000_000), (Profile::Worst, 10_000_000)];

/// Filters the logs with two workers, and prints a table.
///
/// # Errors
/// A run failed, or its answer is wrong.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn memory(place: &Workplace, record: &mut Record) -> io::Result<()> {
    println!("\n{:<24} {:>10} {:>10} {:>10}", "peak memory", "lines", "MB", "MiB");
    for (profile, lines) in LOGS {
        let mut command = place.filter(2);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let (peak, bytes, counts, talk) = feed_and_watch(child, Stream::new(profile, 1), lines)?;
        statistics::check(&talk, counts).map_err(io::Error::other)?;
        let (mebibytes, megabytes) = (peak as f64 / 1024.0, bytes as f64 / 1e6);
        let label = Label { profile: profile.name(), subject: "peak memory", setting: "2 workers" };
        record.add(label, 0, "lines", counts.lines as f64);
        record.add(label, 0, "mebibytes", mebibytes);
        println!("{:<24} {:>10} {megabytes:>10.0} {mebibytes:>10.1}", profile.name(), counts.lines);
        if let Some(share) = statistics::recent_share(&talk) {
            println!("  of all tokens {:.1} % were remembered", 100.0 * share);
        }
    }
    Ok(())
}

/// Feeds the child. Returns its peak resident memory in KiB, the bytes and counts of its input, and its
/// standard error.
fn feed_and_watch(
    mut child: Child,
    mut stream: Stream,
    lines: u64,
) -> io::Result<(u64, usize, Counts, String)> {
    let status = format!("/proc/{}/status", child.id());
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let mut bytes = 0;
            if let Some(mut stdin) = stdin {
                while stream.counts().lines < lines {
                    let piece = stream.piece(PIECE_BYTES);
                    bytes += piece.len();
                    stdin.write_all(piece)?;
                }
            }
            io::Result::Ok((bytes, stream.counts()))
        });
        // It is a high-water mark, so the last value read is the peak, except for the last moments.
        let mut peak = 0;
        while child.try_wait()?.is_none() {
            peak = peak.max(peak_of(&status).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut talk = String::new();
        stderr.map(|mut stderr| stderr.read_to_string(&mut talk)).transpose()?;
        let (bytes, counts) = feeder.join().map_err(|_| io::Error::other("the generator failed"))??;
        Ok((peak, bytes, counts, talk))
    })
}

/// Reads `VmHWM` of proc(5), in KiB. The peak that wait4 reports would be wrong: a child inherits that of its
/// parent, which holds logs of its own.
fn peak_of(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}
