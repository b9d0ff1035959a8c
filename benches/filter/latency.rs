//! Measures the time that a single line spends in an idle filter, from its write until it has come out.

use super::record::{Label, Record};
use super::workplace::Workplace;
use crate::generate::{Log, Profile, generate};
use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Sends `lines` lines one by one, and prints percentiles.
///
/// # Errors
/// The filter could not be run, or failed.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn latency(lines: usize, place: &Workplace, record: &mut Record) -> io::Result<()> {
    let mut command = place.filter(2);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut waits = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => measure_waits(lines, stdin, BufReader::new(stdout))?,
        _ => Vec::new(),
    };
    assert!(child.wait()?.success(), "the filter failed");
    for (run, wait) in waits.iter().enumerate() {
        let label = Label { profile: "mixed", subject: "latency", setting: "one line" };
        record.add(label, run, "seconds", *wait);
    }
    waits.sort_by(f64::total_cmp);
    let percentile = |share: usize| 1e6 * waits.get(waits.len() * share / 1000).copied().unwrap_or(f64::NAN);
    println!(
        "\n{:<24} {:>10} {:>10} {:>10} {:>10}",
        "a line's microseconds", "lines", "median", "p99", "p99.9"
    );
    let [middle, p99, p999] = [500, 990, 999].map(percentile);
    println!("{:<24} {:>10} {middle:>10.0} {p99:>10.0} {p999:>10.0}", "idle filter", waits.len());
    Ok(())
}

fn measure_waits(lines: usize, mut stdin: impl Write, mut stdout: impl BufRead) -> io::Result<Vec<f64>> {
    let Log { bytes, .. } = generate(Profile::Mixed, lines * 300, 1);
    let mut answer = Vec::new();
    let mut waits = Vec::with_capacity(lines);
    for line in bytes.split_inclusive(|&byte| byte == b'\n').take(lines) {
        // Long enough for all its threads to fall asleep.
        std::thread::sleep(Duration::from_micros(200));
        answer.clear();
        let start = Instant::now();
        stdin.write_all(line)?;
        stdout.read_until(b'\n', &mut answer)?;
        waits.push(start.elapsed().as_secs_f64());
        assert!(answer.ends_with(b"\n"), "no answer to a line");
    }
    Ok(waits)
}
