//! `oubliette completions SHELL`.

use crate::cli::args::{CommandLine, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use clap::CommandFactory as _;

/// Prints the completion script of a shell.
pub(crate) fn run(report: Report, args: &CompletionsArgs) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "oubliette", &mut script);
    report.bytes(&script)?;
    Ok(Exit::Done)
}
