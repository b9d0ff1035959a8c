//! `oubliette verify`: checks that segments, vaults and the ledger are as they were written.

use super::ledger as ledger_command;
use super::site::{intermediate, tree};
use crate::cli::args::{Common, VerifyArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Counted, Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::hold::{self, Holds};
use crate::jobs::verify::{Archive, CHANGED, Checker, Days, Verified, bytes_below};
use crate::ledger::{ENTRIES, FOLDER};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Seen, is_remote};
use crate::rules::retention::RetentionRules;
use crate::shred::{self, ShredStore};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// Checks what is at the path, or else the configured archive, or the ledger of this node.
pub(crate) fn run(report: Report, common: &Common, args: &VerifyArgs) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    // `--expect` applies to the first ledger.
    let (ledger, others) = match args.ledger.as_slice() {
        [first, others @ ..] => (first.clone(), others),
        [] => (settings.state_dir.join(FOLDER), &[][..]),
    };
    let Some(path) = &args.path.clone().or_else(|| settings.archive()) else {
        return ledger_command::verify(report, &ledger, &args.expect);
    };
    if path.join(ENTRIES).is_file() {
        return ledger_command::verify(report, path, &args.expect);
    }
    refuse_missing(path)?;
    files::refuse_store(path)?;
    refuse_vault(path)?;
    let tree = tree(&settings, path, args.vault.as_ref());
    let intermediate = intermediate(path);
    let places = [&tree.archive, &tree.vault, &intermediate];
    places
        .into_iter()
        .filter(|place| !is_remote(place))
        .try_for_each(|place| files::refuse_dangling(place))?;
    let storage = files::storage(&[path, &tree.vault], Seen::Newest)?;
    // Another ledger may be of another node, whose holds are not here.
    let holds = Holds::at(&storage, &settings.state_dir.join(hold::FOLDER));
    let purges = || args.ledger.is_empty() && holds.are_changed();
    let purged_before = purges();
    let mut checker = Checker::new(&storage, &ledger, &args.expect)?;
    let is_purging = purged_before || purges();
    if args.ledger.is_empty() {
        let shred_keys = settings.state_dir.join(shred::FOLDER);
        checker = checker.with_shred_keys(ShredStore::at(&storage, &shred_keys));
    }
    others.iter().try_for_each(|other| checker.add_ledger(other, &[]))?;
    match days(&settings, args.ledger.is_empty().then_some(&holds)) {
        Ok(days) => checker = checker.with_days(days),
        // What was written can be checked without any rule.
        Err(problem) => report.warning(&problem),
    }
    let verified = if is_archive(path) {
        let archive = Archive { tree, intermediate };
        let roots = [&*archive.tree.archive, &*archive.tree.vault, &*archive.intermediate];
        let progress = Counted::of(bytes_below(&*storage, &roots).unwrap_or(0));
        checker.archive(&archive, &|bytes| progress.add(bytes))?
    } else {
        let progress = Counted::of(path.metadata().map_or(0, |metadata| metadata.len()));
        checker.one(path, &|bytes| progress.add(bytes))?
    };
    tell(report, path, &verified, is_purging)
}

/// Returns when a segment should be where. Reports no holds that cannot be read: `purge` and `hold` do.
fn days(settings: &Settings, holds: Option<&Holds>) -> Result<Days, Diagnostic> {
    let RetentionRules { zone, classes } = settings.retention()?;
    let now = settings.clock.now();
    let today = zone.to_datetime(now).date();
    let held = holds.and_then(|holds| holds.held(today).ok()).unwrap_or_default();
    Ok(Days { now, zone, classes, held })
}

/// Refuses a path that does not exist, which is a mistyped name and not a damaged archive.
fn refuse_missing(path: &Path) -> Result<(), Diagnostic> {
    if is_remote(path)
        || path.symlink_metadata().err().is_none_or(|error| error.kind() != ErrorKind::NotFound)
    {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::OPEN, "there is no such archive or segment")
        .at(path.display().to_string())
        .hint("name the directory that `oubliette filter --archive` writes to, a segment in it, or a copy of a ledger"))
}

/// Refuses a vault, which is not a damaged segment. A copy of a segment may have any name.
fn refuse_vault(path: &Path) -> Result<(), Diagnostic> {
    if is_remote(path) || !path.is_file() || path.extension().is_none_or(|extension| extension != "vault") {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::OPEN, "that file is not a segment")
        .at(path.display().to_string())
        .because("it is a vault, which is checked with its segment")
        .hint("name the directory of the archive"))
}

/// Returns whether the path is, or may be, a directory: in object storage a segment is recognised by its
/// name.
fn is_archive(path: &Path) -> bool {
    if is_remote(path) { !path.to_string_lossy().ends_with(".log.zst") } else { path.is_dir() }
}

fn tell(report: Report, path: &Path, verified: &Verified, is_purging: bool) -> Result<Exit, Stop> {
    let Verified { segments, lines, vaults, parts, left_open, overdue, early, .. } = verified;
    let Verified { bytes, entries, broken_off, findings, .. } = verified;
    let none = BTreeSet::new();
    let (purging, broken_off) = if is_purging { (broken_off, &none) } else { (&none, broken_off) };
    let is_done = findings.is_empty() && broken_off.is_empty();
    let exit = if is_done { Exit::Done } else { Exit::NeedsHuman };
    if report.is_json() {
        report.value(&json!({
            "path": path.display().to_string(), "segments": segments, "lines": lines, "vaults": vaults,
            "parts": parts, "left_open": left_open, "overdue": overdue, "early": early, "bytes": bytes, "ledger_entries": entries, "broken_off": broken_off,
            "purging": purging, "findings": findings,
        }))?;
        return Ok(exit);
    }
    report.table(findings)?;
    let (segments, lines) = (counted(*segments, "segment"), counted(*lines, "line"));
    let (vaults, entries) = (counted(*vaults, "vault"), counted(*entries, "entry"));
    let read = format!("{segments} with {lines}, {vaults}, a ledger of {entries}");
    if findings.is_empty() {
        report.text(&format!("whole: {read}\n"))?;
    } else {
        let what = format!("of {read}, {} found", counted(findings.len(), "fault"));
        report.warning(
            &Diagnostic::new(&CHANGED, what)
                .hint("`oubliette explain P05` says what to keep and how to go on"),
        );
    }
    for day in broken_off {
        report.note(&format!(
            "the purge of {day} broke off, so something of that day may be gone: the next `oubliette purge` ends it"
        ));
    }
    for day in purging {
        report.note(&format!("the purge of {day} runs now, so something of that day may be gone"));
    }
    if *parts > 0 {
        report.note(&format!("still written to, so without a seal yet: {}", counted(*parts, "segment")));
    }
    if *left_open > 0 {
        report.note(&format!(
            "left open by a process that was killed, so without a seal: {}; the next start of the filter seals what is whole in it",
            counted(*left_open, "segment")
        ));
    }
    if *overdue > 0 {
        report.note(&format!(
            "past the expiry day and not purged: {}; `oubliette purge` removes what is due, or says why not",
            counted(*overdue, "segment")
        ));
    }
    if *early > 0 {
        report.note(&format!(
            "in the intermediate store before the second phase: {}; somebody moved what no purge did",
            counted(*early, "segment")
        ));
    }
    Ok(exit)
}
