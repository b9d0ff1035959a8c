//! Detects slowdowns independently of the machine: counts instructions with callgrind, and compares them with
//! the figures that were last accepted.
//!
//! ```text
//! alias count='cargo bench --profile dev --bench instructions -- --program "$(packaging/static)"'
//! count            # compare; fails if a figure has grown by over 3 %
//! count --accept   # measure, and write benches/instructions/figures.toml
//! ```
//!
//! Without `--program` it counts the program that cargo builds with the benchmark.
//!
//! The `callgrind` module says what is counted, and why it is stable. The figures hold for one compiler, one
//! valgrind and one kind of processor. Elsewhere they are only shown beside those accepted, and nothing
//! fails.

#[path = "../generate/mod.rs"]
#[expect(dead_code, reason = "other benchmarks generate in other ways")]
mod generate;

mod callgrind;
mod figures;

use callgrind::{Count, Setup};
use figures::{Environment, Figures};
use generate::{Profile, generate};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of each log: enough to remember most of the clients, and a few seconds under callgrind.
const LOG_BYTES: usize = 4_000_000;

/// How far a figure may grow, in percent.
const MARGIN: f64 = 3.0;

#[expect(clippy::print_stderr, reason = "a benchmark reports its failure on standard error")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut accept, mut program) = (false, PathBuf::from(env!("CARGO_BIN_EXE_oubliette")));
    while let Some(word) = words.next() {
        match word.as_str() {
            "--accept" => accept = true,
            "--program" => program = words.next().unwrap_or_default().into(),
            // `cargo bench` passes this to every benchmark.
            "--bench" => {}
            _ => {
                eprintln!("error: no such option: {word}");
                return ExitCode::FAILURE;
            }
        }
    }
    match run(&program, accept) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!(
                "error: more instructions than accepted, by over {MARGIN} %\n\n\
                 hint: if that is what a change costs, accept it with the same command and `--accept`"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all is well, which includes that nothing could be compared.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
fn run(program: &Path, accept: bool) -> io::Result<bool> {
    let Some(valgrind) = callgrind::version() else {
        println!("instructions: skipped, for there is no valgrind (Debian: apt-get install valgrind)");
        return Ok(true);
    };
    let environment = Environment::here(valgrind, program)?;
    let counts = count(program)?;
    if accept {
        let figures = Figures { environment, counts };
        figures.show(&figures.counts);
        figures.save()?;
        return Ok(true);
    }
    let accepted = Figures::load()?;
    let changes = accepted.show(&counts);
    if accepted.environment != environment {
        println!(
            "not compared, for these are not of the same tools:\n  here     {environment}\n  accepted {}",
            accepted.environment
        );
        return Ok(true);
    }
    if changes.iter().any(|&change| change < -MARGIN) {
        println!("less than accepted: the same command with `--accept` keeps it so");
    }
    Ok(changes.iter().all(|&change| change <= MARGIN))
}

/// Counts the instructions of each profile, without those of start and end.
fn count(program: &Path) -> io::Result<BTreeMap<String, Count>> {
    let setup = Setup::new(program)?;
    let idle = setup.count(b"")?;
    let mut counts = BTreeMap::new();
    for profile in Profile::ALL {
        let log = generate(profile, LOG_BYTES, 1);
        counts.insert(profile.name().to_owned(), setup.count(&log.bytes)?.less(idle));
    }
    Ok(counts)
}
