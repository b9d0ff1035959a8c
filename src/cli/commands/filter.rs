//! `oubliette filter`: reads log lines, and writes pseudonymised and tagged lines.

use super::site::ledger_of_node;
use super::{archive, keys};
use crate::cli::args::{Common, FilterArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Progress, Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::input::{Stop as StopReading, Waiting};
use crate::jobs::filter::{Outcome, Plan, Ready};
use crate::jobs::purge::{CLOCK, readings, sealed_past_due};
use crate::jobs::recognition::{Choices, Recognition};
use crate::keyring::Escrow;
use crate::ledger::ClockStep;
use crate::model::Tree;
use crate::pipeline::{Descriptor, Finish, Output};
use crate::primitives::diag::Diagnostic;
use crate::quarantine;
use jiff::Timestamp;
use jiff::civil::Date;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// Filters until the end of the input, or until SIGTERM or SIGINT.
///
/// Everything that can be refused is refused before the output is touched.
pub(crate) fn run(report: Report, common: &Common, args: &FilterArgs) -> Result<Exit, Stop> {
    archive::check(args)?;
    let settings = Settings::new(common, &args.reading, &args.tokens)?;
    let mut ready = ready(&settings, args)?;
    if args.archive.archive.is_none() {
        warn_of_escrow(report, ready.escrow());
    }
    if args.archive.archive.is_some() {
        warn_of_clock(report, &settings);
    }
    warn_of_overdue(report, &settings, ready.plan(), args.archive.archive.as_deref());
    let input = files::input(args.input.as_deref())?;
    let (stop, stopped) = StopReading::new().map_err(|error| no_signals(&error))?;
    let signals = stop.on_signals().map_err(|error| no_signals(&error))?;
    let output = || {
        let output = files::output(report, args.output.as_deref(), &input);
        output.map(|output| Output::new(Descriptor::new(output)))
    };
    let stop = || stop.request();
    let outcome = match &args.archive.archive {
        Some(directory) => {
            let tee = args.archive.tee.then(output).transpose()?;
            let _progress = Progress::of(&input);
            let mut archiver = archive::open(report, &settings, &args.archive, directory, &mut ready, tee)?;
            ready.run_into(Waiting::new(input, stopped, settings.clock), &mut archiver, &stop)
        }
        None => {
            let mut output = output()?;
            let _progress = Progress::of(&input);
            ready.run_into(Waiting::new(input, stopped, settings.clock), &mut output, &stop)
        }
    };
    drop(signals);
    if settings.stats.is_some() {
        report.stats(&outcome.totals().counts().to_json());
    }
    Ok(conclude(report, &settings, outcome))
}

fn ready(settings: &Settings, args: &FilterArgs) -> Result<Ready, Stop> {
    let archived = args.archive.archive.is_some();
    // Whoever archives nothing has the lines that are dropped, and is told how many they are.
    let certain = certain(settings).filter(|_| archived);
    let recognition = Recognition::new(Choices { archived, certain, ..settings.choices()? })?;
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let plan = plan(settings, recognition, args.workers.unwrap_or_else(cores))?;
    // An archive records the whole run, and makes the ledger if there is none.
    let ledger = if archived { None } else { ledger_of_node(settings)? };
    Ok(Ready::new(Plan { ledger, ..plan })?)
}

/// Makes the plan that every filtering command needs.
pub(super) fn plan(
    settings: &Settings,
    recognition: Recognition,
    workers: NonZeroUsize,
) -> Result<Plan, Diagnostic> {
    let keys = keys::prepared(settings, recognition.zone.clone())?;
    Ok(Plan {
        recognition,
        keys,
        ledger: None,
        tenant: settings.tenant.clone(),
        state_dir: settings.state_dir.clone(),
        max_line_bytes: settings.max_line_bytes,
        workers,
        clock: settings.clock,
        patience: Arc::default(),
    })
}

/// Warns in one line of what is missing for escrow.
pub(super) fn warn_of_escrow(report: Report, escrow: Option<&Escrow>) {
    let Some(escrow) = escrow else { return };
    if escrow.is_missing() {
        report.warning(&Diagnostic::new(
            &codes::NO_ESCROW,
            "when this epoch ends, nobody can find the originals of its tokens any more; `oubliette init` sets up escrow",
        ));
    } else if !escrow.identities_on_node().is_empty() {
        report.warning(&Diagnostic::new(
            &codes::IDENTITIES_HERE,
            "escrow identities still lie on this machine; `oubliette explain K16` says where they belong",
        ));
    }
}

/// Warns of a clock that has jumped: lines are dated by it, and nothing else tells before the next purge.
pub(super) fn warn_of_clock(report: Report, settings: &Settings) {
    if let Some(step) = clock_step(settings) {
        report.warning(
            &Diagnostic::new(&CLOCK, "the clock has jumped, and lines get their days by it")
                .because(readings(&step, settings.clock.now()))
                .hint("if it is wrong now, set it, and see `oubliette explain P01` for the lines since; if it is right, run `oubliette purge --confirm-clock`"),
        );
    }
}

/// Returns the latest instant that has come for certain, if the clock has jumped.
pub(super) fn certain(settings: &Settings) -> Option<Timestamp> {
    clock_step(settings).map(|step| step.from)
}

fn clock_step(settings: &Settings) -> Option<ClockStep> {
    // A ledger that cannot be read is reported by what writes to it.
    ledger_of_node(settings).ok().flatten().and_then(|mut ledger| ledger.clock_step().ok().flatten())
}

/// Warns of sealed lines and of archived days past their expiry day: beside a filter, perhaps nobody purges.
fn warn_of_overdue(report: Report, settings: &Settings, plan: &Plan, archive: Option<&Path>) {
    let quarantine = settings.state_dir.join(quarantine::FOLDER);
    let Recognition { stamper, zone, .. } = &plan.recognition;
    let today = zone.to_datetime(plan.clock.now()).date();
    let purge = archive.map_or_else(
        || "run `oubliette purge` now, and daily from a timer; it needs no archive".to_owned(),
        |archive| {
            format!("run `oubliette purge --archive {}` now, and daily from a timer", archive.display())
        },
    );
    if let Some(Tree { archive, .. }) = archive.map(Tree::at)
        && let days @ 1.. = days_over(&archive, today)
    {
        report.warning(
            &Diagnostic::new(
                &codes::UNPURGED,
                format!("in the archive past their day: {}", counted(days, "day")),
            )
            .at(archive.display().to_string())
            .because("no purge has run here since, or something keeps their files")
            .hint(purge.clone()),
        );
    }
    match sealed_past_due(stamper.policy().classes(), zone, &quarantine, today) {
        Ok(0) => {}
        Ok(due) => report.warning(
            &Diagnostic::new(
                &codes::QUARANTINED,
                format!("in quarantine past their day: {}", counted(due, "sealed line")),
            )
            .at(quarantine.display().to_string())
            .because("no purge has run here since their expiry day")
            .hint(purge),
        ),
        // Whether quarantine is usable will show when a line must be sealed.
        Err(problem) => report.warning(&problem),
    }
}

/// Returns the number of expiry days in the archive that lie before the legal day `today`: a purge has all of
/// that day itself. An archive that cannot be read is reported by what opens it.
fn days_over(archive: &Path, today: Date) -> u64 {
    let Ok(folders) = fs::read_dir(archive) else { return 0 };
    let is_over = |name: &str| {
        let day = name.strip_prefix("expires=").and_then(|day| day.parse::<Date>().ok());
        day.is_some_and(|day| day < today)
    };
    folders.flatten().filter(|folder| folder.file_name().to_str().is_some_and(is_over)).count() as u64
}

/// Reports what needs attention.
pub(super) fn conclude(report: Report, settings: &Settings, outcome: Outcome) -> Exit {
    let Outcome { tally, result, .. } = outcome;
    if tally.lines.expired > 0 {
        report.note(&format!("dropped because they had expired: {}", counted(tally.lines.expired, "line")));
    }
    if tally.lines.quarantined > 0 {
        let sealed = counted(tally.lines.quarantined, "line");
        let what = format!("too long or cut off, and sealed in quarantine: {sealed}");
        let place = settings.state_dir.join(quarantine::FOLDER).display().to_string();
        report.warning(
            &Diagnostic::new(&codes::QUARANTINED, what).at(place).hint(
                "if lines of that length are normal here, raise `--max-line-bytes` and send them again; a sender that is cut off should end each line with a line feed",
            ),
        );
    }
    match result {
        Ok(Finish::Complete | Finish::BrokenPipe) if tally.lines.quarantined == 0 => Exit::Done,
        Ok(_) => Exit::NeedsHuman,
        Err(error) => {
            report.error(&error);
            if tally.lines.undelivered > 0 {
                report.note(&format!("read and not written: {}", counted(tally.lines.undelivered, "line")));
            }
            Exit::CouldNot
        }
    }
}

fn no_signals(error: &io::Error) -> Diagnostic {
    Diagnostic::new(&codes::OPEN, "cannot prepare to be stopped by a signal").because(error.to_string())
}
