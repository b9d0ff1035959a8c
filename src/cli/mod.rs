//! The command line: arguments, settings, commands, output and exit codes.

mod args;
mod codes;
mod commands;
mod config;
pub mod exit;
mod files;
#[cfg(feature = "kafka")]
mod librdkafka;
mod page;
mod passphrase;
mod picture;
mod process;
mod report;
mod service;
mod settings;
mod usage;

use args::{Command, CommandLine, FleetCommand};
use clap::Parser as _;
use clap::error::ErrorKind;
use exit::Exit;
use report::{Report, Stop};

/// Runs the command line of this process.
///
/// # Panics
/// Never: a panic of a command is caught here and ends in [`Exit::CouldNot`], so that the exit code is ours.
#[must_use]
pub fn run() -> Exit {
    process::outlive_file_limits();
    if let Err(diagnostic) = process::harden() {
        Report::new(false).error(&diagnostic);
        return Exit::CouldNot;
    }
    std::panic::catch_unwind(parse_and_dispatch).unwrap_or(Exit::CouldNot)
}

fn parse_and_dispatch() -> Exit {
    let line = match CommandLine::try_parse_from(usage::words(std::env::args_os())) {
        Ok(line) => line,
        Err(error) => return not_a_command(&error),
    };
    let report = Report::new(line.common.json);
    match dispatch(report, &line) {
        Ok(exit) => exit,
        Err(Stop::StdoutClosed) => Exit::Done,
        Err(Stop::Because(diagnostic)) => {
            report.error(&diagnostic);
            Exit::CouldNot
        }
    }
}

fn dispatch(report: Report, line: &CommandLine) -> Result<Exit, Stop> {
    let common = &line.common;
    usage::refuse_useless_stats(line)?;
    usage::tell_useless_tenant(report, line);
    match &line.command {
        Command::Init(args) => commands::init::run(report, common, args),
        Command::Filter(args) => commands::filter::run(report, common, args),
        Command::Serve(args) => commands::serve::run(report, common, args),
        Command::Replay(args) => commands::replay::run(report, common, args),
        Command::Fleet(FleetCommand::Batch(args)) => commands::batch::run(report, common, args),
        Command::Fleet(FleetCommand::Archive(args)) => commands::collect::run(report, common, args),
        Command::Fleet(FleetCommand::Lifecycle(args)) => commands::lifecycle::run(report, common, args),
        Command::Fleet(FleetCommand::Vaults(args)) => commands::vaults::run(report, common, args),
        Command::Keys(command) => commands::keys::run(report, common, command),
        Command::Ledger(command) => commands::ledger::run(report, common, command),
        Command::Purge(args) => commands::purge::run(report, common, args),
        Command::Hold(command) => commands::hold::run(report, common, command),
        Command::Subject(command) => commands::subject::run(report, common, command),
        Command::Verify(args) => commands::verify::run(report, common, args),
        Command::Report(args) => commands::report::run(report, common, args),
        Command::Token(args) => commands::token::run(report, common, args),
        Command::Explain(args) => commands::explain::run(report, common, args),
        Command::Check(args) => commands::check::run(report, common, args),
        Command::Completions(args) => commands::completions::run(report, args),
        Command::Man(args) => commands::man::run(report, args),
    }
}

/// Prints help or version to standard output; reports everything else that `clap` returns as an error.
fn not_a_command(error: &clap::Error) -> Exit {
    // After a parse error it is not known whether `--json` was an option, so look for the word.
    let report = Report::new(std::env::args_os().any(|typed| typed == "--json"));
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let typed: Vec<_> = std::env::args_os().skip(1).collect();
        report.error(&usage::diagnostic(error, &typed));
        return Exit::CouldNot;
    }
    match report.text(&format!("{}\n", error.render().ansi().to_string().trim_end())) {
        Ok(()) | Err(Stop::StdoutClosed) => Exit::Done,
        Err(Stop::Because(diagnostic)) => {
            report.error(&diagnostic);
            Exit::CouldNot
        }
    }
}
