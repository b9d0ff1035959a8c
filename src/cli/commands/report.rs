//! `oubliette report`: a page or JSON with what a data protection officer needs to know.

use super::site::{archive, intermediate, tree};
use crate::cli::args::{Common, ReportArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::files::{self, write_whole};
use crate::cli::page::{TITLE, page};
use crate::cli::report::{Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::report::{self, Scope};
use crate::ledger::FOLDER;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Seen;
use crate::quarantine;
use crate::rules::retention::RetentionRules;
use crate::shred;
use jiff::ToSpan as _;
use jiff::civil::Date;
use memchr::memmem;
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::Path;

/// Writes the report.
pub(crate) fn run(report: Report, common: &Common, args: &ReportArgs) -> Result<Exit, Stop> {
    // Checked before the archive is read, which may take long.
    refuse_other_file(&args.out)?;
    let made = report::report(&scope(common, args)?)?;
    let text = if report.is_json() {
        // Always succeeds: strings, numbers and dates under fixed names.
        serde_json::to_string(&made).expect("a report is JSON") + "\n"
    } else {
        page(&made)
    };
    if args.out == Path::new("-") {
        report.bytes(text.as_bytes())?;
    } else {
        write_whole(&args.out, text.as_bytes())?;
    }
    if made.attention.is_empty() {
        return Ok(Exit::Done);
    }
    let what = format!("the report names {} to attend to", counted(made.attention.len(), "thing"));
    report.warning(
        &Diagnostic::new(&codes::ATTENTION, what).hint("`oubliette explain C12` says what to do about each"),
    );
    Ok(Exit::NeedsHuman)
}

/// Refuses to overwrite a file that is not a report: a mistyped name would destroy it. An earlier report is
/// replaced.
fn refuse_other_file(out: &Path) -> Result<(), Diagnostic> {
    // Anything but a regular file keeps no contents. A file that is missing or cannot be opened is reported
    // when it is written.
    if out == Path::new("-") || !out.is_file() {
        return Ok(());
    }
    let Ok(file) = File::open(out) else { return Ok(()) };
    let mut beginning = Vec::new();
    let read = file.take(BEGINNING_BYTES).read_to_end(&mut beginning);
    if read.is_err() || beginning.is_empty() || is_report(&beginning) {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::OPEN, "there is a file of that name already, and it is no report")
        .at(out.display().to_string())
        .because("a report takes the place of an earlier one, and of nothing else")
        .hint("give `--out` another name, or remove the file"))
}

/// Returns whether a file with this beginning is a report, as a page or as JSON.
fn is_report(beginning: &[u8]) -> bool {
    beginning.starts_with(JSON.as_bytes())
        || beginning.starts_with(b"<!DOCTYPE html>") && memmem::find(beginning, TITLE.as_bytes()).is_some()
}

/// Enough to include the title of the page.
const BEGINNING_BYTES: u64 = 512;

/// The beginning of a report in JSON: its first member.
const JSON: &str = "{\"made\":\"";

fn scope(common: &Common, args: &ReportArgs) -> Result<Scope, Diagnostic> {
    let settings = Settings::of(common)?;
    let RetentionRules { zone, classes } = settings.retention()?;
    let now = settings.clock.now();
    let archive = archive(&settings, &args.place)?;
    let tree = tree(&settings, &archive, args.place.vault.as_ref());
    Ok(Scope {
        storage: files::storage(&[&archive, &tree.vault], Seen::Newest)?,
        tree,
        intermediate: intermediate(&archive),
        shred: settings.state_dir.join(shred::FOLDER),
        ledger: settings.state_dir.join(FOLDER),
        quarantine: settings.state_dir.join(quarantine::FOLDER),
        classes,
        days: days(args, zone.to_datetime(now).date())?,
        zone,
        now,
    })
}

fn days(args: &ReportArgs, today: Date) -> Result<RangeInclusive<Date>, Diagnostic> {
    let to = args.to.unwrap_or(today);
    let from = args.from.unwrap_or_else(|| to.saturating_sub(1.year()));
    if from > to {
        return Err(Diagnostic::new(&codes::USAGE, "`--from` is a later day than `--to`")
            .hint("both days are part of the report, so they may be the same"));
    }
    Ok(from..=to)
}
