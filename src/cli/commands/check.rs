//! `oubliette check`: checks configuration and rules, and every sample of every rule.

use super::{archive, foreign, keys, serve};
use crate::cli::args::{CheckArgs, Common, Reading, Tokens};
use crate::cli::config::{self, Serve};
use crate::cli::exit::Exit;
use crate::cli::files::{self, RuleFiles};
use crate::cli::report::{Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::check::{self, About, CheckReport};
use crate::jobs::recognition::Recognition;
use crate::keyring::KeyError;
use crate::primitives::diag::Diagnostic;
use crate::primitives::recipient;
use serde::Serialize;
use std::path::PathBuf;

/// Checks what is in use, or the named files.
pub(crate) fn run(report: Report, common: &Common, args: &CheckArgs) -> Result<Exit, Stop> {
    if args.schema {
        report.value(&config::schema())?;
        return Ok(Exit::Done);
    }
    if args.reference {
        report.bytes(config::markdown().as_bytes())?;
        return Ok(Exit::Done);
    }
    let (found, configured) =
        if args.files.is_empty() { in_use(common) } else { (of_files(common, &args.files)?, Vec::new()) };
    let CheckReport { rules, classes, samples, problems } = found;
    let rows: Vec<Problem> = configured.iter().chain(&problems).map(Problem::new).collect();
    report.table(&rows)?;
    let problems =
        if rows.is_empty() { "nothing found".to_owned() } else { counted(rows.len() as u64, "problem") };
    report.note(&format!(
        "{rules} identifier rules, {classes} retention classes, {samples} samples: {problems}"
    ));
    Ok(if rows.is_empty() { Exit::Done } else { Exit::NeedsHuman })
}

/// Checks the configuration, rules and keys that a filter would start with, and what a sidecar would refuse
/// if the configuration has one. Also returns the problems that are not of rules.
fn in_use(common: &Common) -> (CheckReport, Vec<Diagnostic>) {
    let settings = match Settings::new(common, &Reading::default(), &Tokens::default()) {
        Ok(settings) => settings,
        Err(problem) => return (check::run(&[], &[]), vec![problem]),
    };
    let mut problems = recipient_problems(&settings);
    let rules = settings.rule_files().unwrap_or_else(|problem| {
        problems.push(problem);
        RuleFiles::default()
    });
    let report = check::run(&rules.identifiers, &rules.retention);
    // Without other problems, a failure here is due to the combination of choices.
    if report.problems.is_empty() && problems.is_empty() {
        let recognised = settings.choices().and_then(Recognition::new);
        problems.extend(recognised.and_then(|_| what_starts(&settings)).err());
    }
    problems.extend(foreign::of_root(&settings.state_dir));
    (report, problems)
}

/// Refuses keys with which nothing starts; and what `serve` refuses, if the configuration is about it.
fn what_starts(settings: &Settings) -> Result<(), Diagnostic> {
    let wrapped = keys::check(settings)?;
    if settings.serve == Serve::default() {
        return Ok(());
    }
    serve::refuse(settings)?;
    archive::refuse_escrow(settings, wrapped)
}

/// Checks the named files, together with the built-in rules. A configuration is checked with all that it
/// names.
fn of_files(common: &Common, paths: &[PathBuf]) -> Result<CheckReport, Stop> {
    let mut rules = RuleFiles::default();
    let mut problems = Vec::new();
    for path in paths {
        let file = files::rule_file(path)?;
        match check::about(&file.text) {
            About::Identifiers => rules.identifiers.push(file),
            About::Retention => rules.retention.push(file),
            About::Other => {
                let (found, configured) = in_use(&Common { config: Some(path.clone()), ..common.clone() });
                problems.extend(configured.into_iter().chain(found.problems));
            }
        }
    }
    let mut report = check::run(&rules.identifiers, &rules.retention);
    report.problems.extend(problems);
    Ok(report)
}

fn recipient_problems(settings: &Settings) -> Vec<Diagnostic> {
    let names = settings.recipients.iter().enumerate();
    let bad = names.filter(|(_, text)| recipient::parse(text).is_none());
    // Not quoted, since it may be a secret key entered by mistake.
    let place = || keys::place(settings);
    bad.map(|(index, _)| KeyError::Recipient { path: place(), unit: "recipient", number: index + 1 }.into())
        .collect()
}

#[derive(Serialize)]
struct Problem {
    code: &'static str,
    place: Option<String>,
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl Problem {
    fn new(problem: &Diagnostic) -> Self {
        let Diagnostic { code, what, place, hint, .. } = problem.clone();
        Self { code: code.id, place, what, why: problem.why_without_picture(), hint }
    }
}

impl Row for Problem {
    const HEADS: &[&str] = &["CODE", "WHERE", "WHAT"];

    fn cells(&self) -> Vec<String> {
        let what = self.why.as_ref().map_or_else(|| self.what.clone(), |why| format!("{}: {why}", self.what));
        vec![self.code.to_owned(), self.place.clone().unwrap_or_else(|| "-".to_owned()), what]
    }
}
