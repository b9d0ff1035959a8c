//! `oubliette batch`: reads a list of old logs, and writes their pseudonymised copies and a manifest.

use super::filter;
use super::site::ledger_of_node;
use crate::cli::args::{BatchArgs, Common};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::batch::{self, Batch, Checked, Entry, Processed};
use crate::jobs::filter::{Plan, Ready};
use crate::jobs::recognition::{Choices, Recognition};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Seen, Storage, everywhere, is_remote};
use std::io::{self, BufRead as _};
use std::num::NonZeroUsize;
use std::path::Path;

/// Processes the list on standard input, or checks it against manifests.
pub(crate) fn run(report: Report, common: &Common, args: &BatchArgs) -> Result<Exit, Stop> {
    let storage = everywhere(Seen::Newest).map_err(|error| {
        Diagnostic::new(&batch::UNREADABLE, "cannot use object storage").because(error.to_string())
    })?;
    let Some(out) = &args.out else { return check(report, &*storage, args) };
    files::storage(&[out], Seen::Newest)?;
    // The manifest goes to standard output.
    files::warn_of_closed_output(report);
    let settings = Settings::new(common, &args.reading, &args.tokens)?;
    let plan = plan(&settings, args)?;
    // Refuse whatever can be refused before the list is read. The first process also makes the secret here.
    filter::warn_of_escrow(report, Ready::new(plan.clone())?.escrow());
    let batch = Batch::new(storage, out, plan, args.level.unwrap_or(DEFAULT_LEVEL))?;
    let mut exit = Exit::Done;
    for input in list()? {
        let processed = input.and_then(|input| regular(&input)).and_then(|input| batch.process(&input));
        match processed {
            Ok(Processed { entry, outcome }) => {
                if let Some(outcome) = outcome.filter(|_| settings.stats.is_some()) {
                    report.stats(&outcome.totals().counts().to_json());
                }
                report.value(&entry)?;
            }
            Err(diagnostic) => {
                report.error(&diagnostic);
                exit = exit.and(Exit::CouldNot);
            }
        }
    }
    Ok(exit)
}

fn plan(settings: &Settings, args: &BatchArgs) -> Result<Plan, Diagnostic> {
    let recognition = Recognition::new(Choices { backfill: true, ..settings.choices()? })?;
    let plan = filter::plan(settings, recognition, args.workers.unwrap_or(NonZeroUsize::MIN))?;
    Ok(Plan { ledger: ledger_of_node(settings)?, ..plan })
}

/// Returns the paths on standard input as they arrive; skips empty lines. A path that is no text is an error
/// of its own; one in reading is the last item.
fn list() -> Result<impl Iterator<Item = Result<String, Diagnostic>>, Diagnostic> {
    let input = io::BufReader::new(files::input(None)?);
    let lines = input.split(b'\n').enumerate().scan(false, |is_over, (index, line)| {
        if std::mem::replace(is_over, line.is_err()) {
            return None;
        }
        let text = line.and_then(|line| String::from_utf8(line).map_err(io::Error::other));
        Some(text.map(|text| text.trim_end_matches('\r').to_owned()).map_err(|error| {
            Diagnostic::new(&batch::UNREADABLE, "cannot read the list of objects")
                .at(format!("standard input, line {}", index + 1))
                .because(error.to_string())
                .hint("give one path a line, in UTF-8")
        }))
    });
    Ok(lines.filter(|line| !line.as_ref().is_ok_and(String::is_empty)))
}

/// Refuses pipes, directories and devices: they have no length, and would seem empty.
fn regular(input: &str) -> Result<String, Diagnostic> {
    let path = Path::new(input);
    if is_remote(path) {
        return files::storage(&[path], Seen::Newest).map(|_| input.to_owned());
    }
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Diagnostic::new(&batch::UNREADABLE, "an object of the batch is no regular file")
            .at(input)
            .hint("name files: `find DIR -type f`"));
    }
    Ok(input.to_owned())
}

fn check(report: Report, storage: &dyn Storage, args: &BatchArgs) -> Result<Exit, Stop> {
    let mut manifest = Vec::new();
    for path in &args.check {
        manifest.extend(entries(path)?);
    }
    let inputs = list()?.collect::<Result<Vec<_>, _>>()?;
    let checked = batch::check(storage, &inputs, &manifest)?;
    report.table(&checked.findings)?;
    let Checked { objects, lines_in, lines_out, dropped, findings } = checked;
    let read = format!(
        "{}, {} in and {} out",
        counted(objects, "object"),
        counted(lines_in, "line"),
        counted(lines_out, "line")
    );
    if dropped > 0 {
        report.note(&format!(
            "dropped because they had expired by the clock of that time: {}",
            counted(dropped, "line")
        ));
    }
    if findings.is_empty() {
        report.note(&format!("manifest, inputs and outputs agree: {read}"));
        return Ok(Exit::Done);
    }
    let what = format!("of {read}, {} found", counted(findings.len(), "fault"));
    report.warning(&Diagnostic::new(&batch::DIFFERS, what).hint("`oubliette explain F13` says how to go on"));
    Ok(Exit::NeedsHuman)
}

/// Reads the lines of a manifest.
fn entries(path: &Path) -> Result<Vec<Entry>, Diagnostic> {
    let text = files::read_text(path, "a manifest")?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let entry = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            Diagnostic::new(&codes::OPEN, "cannot read a manifest")
                .at(format!("{}, line {}", path.display(), index + 1))
                // Report only the position: the parser's message may quote the line.
                .because(format!("it is no line of a manifest, from column {} on", error.column()))
                .hint("give what `oubliette batch` wrote to standard output, and nothing else")
        })
    };
    lines.map(entry).collect()
}

/// The default level of the zstd command: a batch is read once and kept for months.
const DEFAULT_LEVEL: i32 = 3;
