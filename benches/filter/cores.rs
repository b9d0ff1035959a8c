//! Compares two workers with one, per wall second, from a pipe and from a file.
//!
//! The writer of the pipe is one more process, and takes its share of two cores. A third run shows the most
//! that two cores can give: two processes of one worker each, which share nothing but the machine.

use super::child::{Input, Time, cpu_of_children, run_to_null};
use super::record::{Label, Record, rate};
use super::statistics;
use super::workplace::Workplace;
use crate::generate::{Log, Profile, generate};
use std::fs::File;
use std::io;

/// Runs both, in alternation, on `mixed`, and prints a table.
///
/// # Errors
/// A run failed, or its answer is wrong.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn cores(megabytes: usize, runs: usize, place: &Workplace, record: &mut Record) -> io::Result<()> {
    let log = generate(Profile::Mixed, megabytes * 1_000_000, 1);
    let file = File::open(place.write("cores.log", &log.bytes)?)?;
    println!("\n{:<24} {:>10} {:>10} {:>8}", "workers (mixed)", "1: MB/s", "2: MB/s", "ratio");
    for (name, input) in [("pipe", Input::Pipe(&log.bytes)), ("file", Input::File(&file))] {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for run in 0..runs {
            for (workers, times) in [(1, &mut one), (2, &mut two)] {
                let time = time(workers, input, &log, place)?;
                let subject = format!("{workers} workers");
                let label = Label { profile: "mixed", subject: &subject, setting: name };
                record.add_time(label, run, log.bytes.len(), time);
                times.push(time);
            }
        }
        let [one, two] = [one, two].map(|times| rate(log.bytes.len(), &times, Time::wall));
        println!("{name:<24} {one:>10.0} {two:>10.0} {:>8.2}", two / one);
    }
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let inputs = [File::open(place.path("cores.log"))?, File::open(place.path("cores.log"))?];
    for run in 0..runs {
        for (processes, times) in [(1, &mut alone), (2, &mut beside)] {
            let time = side_by_side(&inputs[..processes], &log, place)?;
            let subject = format!("{processes} processes");
            let label = Label { profile: "mixed", subject: &subject, setting: "file" };
            record.add_time(label, run, processes * log.bytes.len(), time);
            times.push(time);
        }
    }
    let alone = rate(log.bytes.len(), &alone, Time::wall);
    let beside = rate(2 * log.bytes.len(), &beside, Time::wall);
    println!("{:<24} {alone:>10.0} {beside:>10.0} {:>8.2}", "processes, from files", beside / alone);
    Ok(())
}

/// Runs one process with one worker for each input, all at once. Returns the wall time of the slowest and the
/// CPU time of all.
fn side_by_side(inputs: &[File], log: &Log, place: &Workplace) -> io::Result<Time> {
    let before = cpu_of_children();
    let runs = std::thread::scope(|scope| {
        let started: Vec<_> =
            inputs.iter().map(|input| scope.spawn(|| time(1, Input::File(input), log, place))).collect();
        let ended = started.into_iter().map(|run| run.join().expect("a benchmark may panic"));
        ended.collect::<io::Result<Vec<Time>>>()
    })?;
    let wall = runs.iter().map(|time| time.wall).fold(0.0, f64::max);
    Ok(Time { wall, cpu: cpu_of_children() - before })
}

fn time(workers: usize, mut input: Input<'_>, log: &Log, place: &Workplace) -> io::Result<Time> {
    input.rewind()?;
    let outcome = run_to_null(&mut place.filter(workers), input).map_err(io::Error::other)?;
    statistics::check(&outcome.talk, log.counts).map_err(io::Error::other)?;
    Ok(outcome.time)
}
