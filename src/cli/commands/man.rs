//! `oubliette man`: the manual pages, generated from the definitions of the command line.

use crate::cli::args::{CommandLine, ManArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use crate::primitives::diag::Diagnostic;
use clap::CommandFactory as _;
use clap_mangen::Man;
use std::path::Path;

/// Prints the page of the program, or writes one page for the program and for each command.
pub(crate) fn run(report: Report, args: &ManArgs) -> Result<Exit, Stop> {
    let mut command = CommandLine::command();
    command.build();
    match &args.out {
        Some(directory) => write_pages(&command, directory)?,
        None => report.bytes(&page(&command)?)?,
    }
    Ok(Exit::Done)
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<(), Stop> {
    let path = directory.join(format!("{}.1", file_stem(command)));
    std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, page(command)?)).map_err(
        |error| {
            Diagnostic::new(&codes::OPEN, "cannot write a manual page")
                .at_path(path, error)
                .hint("name a directory that you may write to")
        },
    )?;
    command.get_subcommands().try_for_each(|subcommand| write_pages(subcommand, directory))
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).title(file_stem(command)).render(&mut page)?;
    Ok(page)
}

/// Returns `oubliette-keys-seed` for `oubliette keys seed`.
fn file_stem(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}
