//! End-to-end benchmark: the built binary on generated logs, compared with other programs that can do part of
//! its work.
//!
//! ```text
//! cargo bench --bench filter                         # everything; see README.md
//! cargo bench --bench filter -- mixed 500 9          # profile, MB, runs
//! cargo bench --bench filter -- mixed --only cat,sed
//! ```

#[path = "../generate/mod.rs"]
mod generate;

mod arguments;
mod child;
mod comparison;
mod contenders;
mod cores;
mod latency;
mod linear;
mod memory;
mod record;
mod reference;
mod statistics;
mod table;
mod workplace;

use arguments::{Arguments, Part};
use contenders::Contender;
use record::Record;
use std::io;
use std::process::ExitCode;
use workplace::Workplace;

/// Lines sent one by one.
const LATENCY_LINES: usize = 10_000;

#[expect(clippy::print_stderr, reason = "a benchmark reports its failure on standard error")]
fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    match arguments.map_err(io::Error::other).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
fn run(arguments: &Arguments) -> io::Result<()> {
    let place = Workplace::new()?;
    let mut record = Record::new();
    let contenders = present(arguments, &mut record);
    print!("{}", record.header());
    let Arguments { megabytes, runs, .. } = *arguments;
    for part in &arguments.parts {
        match part {
            Part::Compare(profile) => {
                let log = generate::generate(*profile, megabytes * 1_000_000, 1);
                comparison::compare_all(*profile, &log, &contenders, runs, &place, &mut record);
            }
            Part::Cores => cores::cores(megabytes, runs, &place, &mut record)?,
            Part::Linear => linear::linear(megabytes, runs, &place, &mut record)?,
            Part::Memory => memory::memory(&place, &mut record)?,
            Part::Latency => latency::latency(LATENCY_LINES, &place, &mut record)?,
        }
    }
    arguments.save.as_ref().map_or(Ok(()), |path| record.save(path))
}

/// Returns the requested contenders that this machine has, and reports those that it lacks.
fn present(arguments: &Arguments, record: &mut Record) -> Vec<Contender> {
    let compared = arguments.parts.iter().any(|part| matches!(part, Part::Compare(_)));
    let wanted = contenders::ALL.into_iter().filter(|contender| compared && arguments.wants(contender.name));
    wanted
        .filter(|contender| {
            let version = contender.version();
            record.note(contender.name, version.as_deref().unwrap_or("skipped: not installed"));
            version.is_some()
        })
        .collect()
}
