//! `oubliette ledger`: shows what was done, and checks the proof of it.

use crate::cli::args::{Common, LedgerCommand, LedgerPlace};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::findings::Finding;
use crate::jobs::ledger::{self, Anchor, LedgerReport};
use crate::ledger::{Entry, FAULT, FOLDER, NO_DAY};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Storage};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shows or checks the ledger.
pub(crate) fn run(report: Report, common: &Common, command: &LedgerCommand) -> Result<Exit, Stop> {
    match command {
        LedgerCommand::Show { place, key: None } => show(report, &directory(common, place)?),
        LedgerCommand::Show { place, key: Some(day) } => key(report, &directory(common, place)?, *day),
        LedgerCommand::Verify { place, expect } => verify(report, &directory(common, place)?, expect),
    }
}

/// Returns the directory of the named ledger, or of the ledger of this node.
fn directory(common: &Common, place: &LedgerPlace) -> Result<PathBuf, Diagnostic> {
    match &place.directory {
        Some(directory) => Ok(directory.clone()),
        None => Ok(Settings::of(common)?.state_dir.join(FOLDER)),
    }
}

fn show(report: Report, directory: &Path) -> Result<Exit, Stop> {
    let mut rows = Vec::new();
    let read = ledger::read(&disk(), directory, &[], &mut |entry| rows.push(Shown(entry.clone())));
    let (LedgerReport { findings, .. }, _) = read.map_err(Diagnostic::from)?;
    report.table(&rows)?;
    Ok(tell(report, &findings))
}

fn key(report: Report, directory: &Path, day: Date) -> Result<Exit, Stop> {
    match ledger::key(&disk(), directory, day).map_err(Diagnostic::from)? {
        Some(pem) if report.is_json() => report.value(&json!({ "day": day, "pem": pem }))?,
        Some(pem) => report.text(&pem)?,
        None => {
            let what = format!("the ledger has no key of {day}");
            let missing = Diagnostic::new(&NO_DAY, what).at(directory.display().to_string());
            return Err(missing
                .hint("`oubliette ledger show` shows the days on which it has entries")
                .into());
        }
    }
    Ok(Exit::Done)
}

pub(super) fn verify(report: Report, directory: &Path, expect: &[Anchor]) -> Result<Exit, Stop> {
    let LedgerReport { end, days, findings } =
        ledger::verify(&disk(), directory, expect).map_err(Diagnostic::from)?;
    if report.is_json() {
        report.value(&json!({
            "ledger": directory.display().to_string(),
            "entries": end.n,
            "end": end.to_string(),
            "days": days.len(),
            "first_day": days.first(),
            "last_day": days.last(),
            "findings": findings,
        }))?;
        return Ok(if findings.is_empty() { Exit::Done } else { Exit::NeedsHuman });
    }
    report.table(&findings)?;
    if findings.is_empty() {
        let (entries, days) = (counted(end.n, "entry"), counted(days.len(), "day"));
        report.text(&format!("whole: {entries} of {days}\nend: {end}\n"))?;
    }
    Ok(tell(report, &findings))
}

fn disk() -> Arc<dyn Storage> {
    Arc::new(Disk)
}

/// Warns if the ledger is not whole.
fn tell(report: Report, findings: &[Finding]) -> Exit {
    let Some(finding) = findings.first() else { return Exit::Done };
    report.warning(
        &Diagnostic::new(&FAULT, "the ledger is not what was written")
            .at(format!("{}, {}", finding.file, finding.place.as_deref().unwrap_or("-")))
            .because(finding.what.clone())
            .hint("`oubliette explain L02` says what to keep and how to go on"),
    );
    Exit::NeedsHuman
}

impl Row for Finding {
    const HEADS: &[&str] = &["FILE", "WHERE", "WHAT"];

    fn cells(&self) -> Vec<String> {
        let place = self.place.clone().unwrap_or_else(|| "-".to_owned());
        vec![self.file.clone(), place, self.what.clone()]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Entry);

impl Row for Shown {
    const HEADS: &[&str] = &["ENTRY", "AT", "WHO", "EVENT", "ABOUT"];

    fn cells(&self) -> Vec<String> {
        let Entry { n, at, who, event, .. } = &self.0;
        vec![n.to_string(), at.to_string(), who.clone(), event.clone(), in_brief(&self.0)]
    }
}

/// Formats the details of an entry, such as `command=filter version=0.1.0`. Lists are shown as counts, and
/// hashes shortened. If the clock went back, its reading follows: the entry has the time of the one before.
pub(in crate::cli) fn in_brief(entry: &Entry) -> String {
    let by_clock = entry.clock.map(|clock| format!("by_clock={clock}"));
    let members = entry.about.as_object().into_iter().flatten();
    let brief = members.map(|(name, value)| match value {
        Value::String(text) if text.len() == HASH_DIGITS && !text.contains('/') => {
            format!("{name}={}..", text.get(..8).unwrap_or(text))
        }
        Value::String(text) => format!("{name}={text}"),
        Value::Array(list) => format!("{name}={}", list.len()),
        other => format!("{name}={other}"),
    });
    brief.chain(by_clock).collect::<Vec<_>>().join(" ")
}

/// Length of a SHA-256 hash or an Ed25519 public key in hex.
const HASH_DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn entry(about: Value, clock: Option<Timestamp>) -> Entry {
        let day = jiff::civil::date(2099, 1, 1);
        let (who, event, prev) = ("root".to_owned(), "start".to_owned(), String::new());
        Entry { n: 7, at: "2099-01-01T10:00:00Z".parse().unwrap(), clock, day, who, event, about, prev }
    }

    #[test]
    fn what_an_entry_is_about_in_brief() {
        let hash = "0f".repeat(32);
        for (about, brief) in [
            (json!({ "command": "filter" }), "command=filter"),
            (json!({ "digest": hash, "bytes": 7 }), "bytes=7 digest=0f0f0f0f.."),
            (json!({ "files": [1, 2, 3] }), "files=3"),
            (json!(null), ""),
        ] {
            assert_eq!(in_brief(&entry(about, None)), brief);
        }
        let clock = "2026-11-23T10:00:00Z".parse().unwrap();
        let later = entry(json!({ "command": "filter" }), Some(clock));
        assert_eq!(in_brief(&later), "command=filter by_clock=2026-11-23T10:00:00Z");
    }
}
