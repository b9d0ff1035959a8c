//! Measures time against the length of a line: clients choose that length, so the rate must not fall as it
//! grows.

use super::child::{Input, Time, run_to_null};
use super::record::{Label, Record, rate};
use super::statistics;
use super::workplace::Workplace;
use crate::generate::generate_hostile_runs;
use std::io;

/// Length of each hostile shape in bytes; one line each.
const RUNS_BYTES: [usize; 4] = [64, 4096, 65_536, 1 << 20];

/// Filters hostile text in short and in long lines, and prints a table.
///
/// # Errors
/// A run failed, or its answer is wrong.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn linear(
    megabytes: usize,
    runs: usize,
    place: &Workplace,
    record: &mut Record,
) -> io::Result<()> {
    println!("\n{:<24} {:>10} {:>14}", "hostile, bytes a line", "lines", "MB/CPU-second");
    for run_bytes in RUNS_BYTES {
        let log = generate_hostile_runs(megabytes * 1_000_000, run_bytes);
        let setting = format!("{run_bytes} bytes");
        let label = Label { profile: "hostile", subject: "line length", setting: &setting };
        let mut times = Vec::new();
        for run in 0..runs {
            let outcome = run_to_null(&mut place.filter(1), Input::Pipe(&log.bytes));
            let outcome = outcome.map_err(io::Error::other)?;
            statistics::check(&outcome.talk, log.counts).map_err(io::Error::other)?;
            record.add_time(label, run, log.bytes.len(), outcome.time);
            times.push(outcome.time);
        }
        let rate = rate(log.bytes.len(), &times, Time::cpu);
        println!("{run_bytes:<24} {:>10} {rate:>14.0}", log.counts.lines);
    }
    Ok(())
}
