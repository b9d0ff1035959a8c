//! `oubliette purge`: removes what has expired; the ledger proves it.

use super::site::Folders;
use super::{hold, site};
use crate::cli::args::{ArchivePlace, Common, PurgeArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::report::{Counted, Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::hold::{self as hold_jobs, Hold, Holds};
use crate::jobs::purge::{
    Absent, BLOCKED, Batch, Blocked, Item, LINKED, LedgerFault, MISPLACED, Misplaced, NOT_THERE, OF_OTHERS,
    Plan, Reason, STUCK, SealedBatch, Site,
};
use crate::jobs::subject::erase;
use crate::jobs::verify::bytes_below;
use crate::keyring::Wrap;
use crate::ledger;
use crate::ledger::event::PurgedFile;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Patience, Seen};
use crate::quarantine::{self, SealedLine};
use jiff::civil::Date;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Purges, or shows what a purge would do.
pub(crate) fn run(report: Report, common: &Common, args: &PurgeArgs) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    // Checked before the purge, which makes the directory.
    let is_new = !settings.state_dir.is_dir();
    let Performed { plan, refusal } = perform(report, &settings, args)?;
    report.table(&rows(&plan))?;
    summarise(report, &plan, args.dry_run);
    holds_not_seen(report, &settings, &plan, is_new);
    refusal.iter().for_each(|refusal| report.warning(refusal));
    Ok(if plan.is_blocked() || refusal.is_some() { Exit::NeedsHuman } else { Exit::Done })
}

/// The result of a purge.
struct Performed {
    /// What was done, or would be done.
    plan: Plan,
    /// For a dry run, the reason why a real purge would be refused.
    refusal: Option<Diagnostic>,
}

/// Purges, or plans a purge.
fn perform(report: Report, settings: &Settings, args: &PurgeArgs) -> Result<Performed, Diagnostic> {
    let is_named = args.place.archive.is_some() || settings.archive().is_some();
    let archive = if is_named { site::archive(settings, &args.place) } else { state_dir(settings) };
    let site = archive.and_then(|archive| site_at(settings, &archive, args));
    let site = site.map_err(|refusal| refused_before(settings, args, refusal))?;
    perform_at(report, settings, args, site)
}

/// Records a refusal in the ledger, except in a dry run, which changes nothing, not even the ledger.
fn refused_before(settings: &Settings, args: &PurgeArgs, refusal: Diagnostic) -> Diagnostic {
    if args.dry_run { refusal } else { site::refused_unopened(settings, "purge", refusal) }
}

/// Purges the archive of a sidecar. The archive may not exist; the ledger knows whether it should.
pub(super) fn perform_due(report: Report, settings: &Settings, archive: &Path) -> Result<Plan, Diagnostic> {
    let place = ArchivePlace { archive: Some(archive.to_owned()), vault: settings.vault.clone() };
    let args = PurgeArgs { place, dry_run: false, confirm_clock: false };
    let site =
        site_at(settings, archive, &args).map_err(|refusal| refused_before(settings, &args, refusal))?;
    Ok(perform_at(report, settings, &args, site)?.plan)
}

/// Returns the state directory, for a purge that names no archive: it is the default archive of `serve`, and
/// holds sealed lines and epoch secrets in any case. If there is an archive elsewhere, the ledger knows.
fn state_dir(settings: &Settings) -> Result<PathBuf, Diagnostic> {
    if !settings.state_dir.is_dir() {
        return Err(Diagnostic::new(&codes::OPEN, "no archive is named, and there is no state directory")
            .at(settings.state_dir.display().to_string())
            .hint("give `--archive DIR` or `--state-dir DIR`, or set `archive` in the configuration"));
    }
    Ok(settings.state_dir.clone())
}

/// Opens an archive that may not exist.
fn site_at(settings: &Settings, archive: &Path, args: &PurgeArgs) -> Result<Site, Diagnostic> {
    site::refuse_dangling(archive)?;
    let folders = if args.dry_run { Folders::AsTheyAre } else { Folders::Made };
    site::at(settings, archive, args.place.vault.as_ref(), &[], Seen::AllVersions, folders)
}

fn perform_at(
    report: Report,
    settings: &Settings,
    args: &PurgeArgs,
    mut site: Site,
) -> Result<Performed, Diagnostic> {
    if !args.dry_run {
        site = site.with_reserve();
    }
    site.demand_place().map_err(|refusal| refused_place(&mut site, args, refusal))?;
    // A dry run only reads, and works even where nothing can be written.
    let (holds, turn) = if args.dry_run {
        (Holds::at(&site.storage, &settings.state_dir.join(hold_jobs::FOLDER)), None)
    } else {
        let holds = hold::holds(settings, &site)?;
        // Nobody can add or release a hold meanwhile.
        let turn = holds.turn()?;
        (holds, Some(turn))
    };
    if !args.dry_run {
        site.trust_clock(args.confirm_clock)?;
    }
    let none_lost = holds.demand_none_lost(&site.ledger, site.today());
    none_lost.map_err(|refusal| refused_place(&mut site, args, refusal))?;
    let mut unfinished = Vec::new();
    if !args.dry_run {
        // What is due is purged even if these fail.
        unfinished.extend(finish_erasures(&mut site).err());
        unfinished.extend(hold::finish_releases(report, &holds, &mut site).err());
        let expired = holds.expire(&mut site);
        unfinished.extend(expired.map(|expired| hold::tell_expired(report, &expired)).err());
        unfinished.extend(hold::record_missing(report, &holds, &mut site).err());
    }
    site.held = holds.held(site.today())?;
    let thawed = holds.thawed(site.today())?;
    let roots = [&*site.tree.archive, &*site.tree.vault, &*site.intermediate];
    let progress = Counted::of(bytes_below(&*site.storage, &roots).unwrap_or(0));
    let tell = |bytes| progress.add(bytes);
    let performed = if args.dry_run {
        let refusal = if args.confirm_clock { None } else { site.clock_jump()? };
        Performed { plan: site.plan(&tell)?, refusal }
    } else {
        let purged = site.purge(args.confirm_clock, &tell);
        set_aside(report, &site.patience);
        Performed { plan: purged?, refusal: None }
    };
    drop(progress);
    tell_thawed(report, &thawed, &performed.plan);
    drop(turn);
    unfinished.into_iter().next().map_or(Ok(performed), Err)
}

/// Takes again what the purge gave up of its reserve, for the next one.
fn set_aside(report: Report, patience: &Patience) {
    let Some(reserve) = patience.reserve() else { return };
    let place = reserve.path().display();
    if patience.has_drawn() {
        report
            .note(&format!("the disk is full: what this purge had to record went into the room of {place}"));
    }
    if let Err(error) = reserve.fill() {
        report.note(&format!(
            "there is no room to set aside in {place} for the next purge on a full disk: {error}"
        ));
    }
}

/// Finishes interrupted erasures. If the ledger was changed, it might name any segment, so nothing is erased
/// on its word; the purge that follows reports it.
fn finish_erasures(site: &mut Site) -> Result<(), Diagnostic> {
    match erase::finish(site) {
        Err(refusal) if refusal.code.id == ledger::FAULT.id => Ok(()),
        finished => finished.map(drop),
    }
}

/// Records a refusal in the ledger, except in a dry run, which changes nothing, not even the ledger.
fn refused_place(site: &mut Site, args: &PurgeArgs, refusal: Diagnostic) -> Diagnostic {
    if args.dry_run { refusal } else { site::refused(site, "purge", refusal) }
}

fn rows(plan: &Plan) -> Vec<Line> {
    let batch = |action, batch: &Batch| {
        let gone = batch.files.iter().map(|file| Line::file(action, batch.expires, file));
        let stays = batch.blocked.iter().map(|blocked| Line::blocked(batch.expires, blocked));
        let absent = batch.vaultless.iter().map(|vault| Line::absent(batch.expires, vault));
        gone.chain(stays).chain(absent).collect::<Vec<_>>()
    };
    let purged = plan.purges.iter().flat_map(|purge| batch("purge", purge));
    let moved = plan.moves.iter().flat_map(|moved| batch("move", moved));
    let misplaced = plan
        .misplaced
        .iter()
        .map(Line::misplaced)
        .chain(plan.absent.iter().map(|absent| Line::absent(absent.expires, &absent.sealed_as)));
    let sealed = plan.sealed.iter().flat_map(|batch| {
        let gone = batch.lines.iter().map(|line| Line::sealed("purge", batch.expires, line, None));
        let held =
            batch.held.iter().map(|(line, case)| Line::sealed("held", batch.expires, line, Some(case)));
        gone.chain(held).chain(batch.stuck.iter().map(|blocked| Line::blocked(batch.expires, blocked)))
    });
    let unseen = plan.unseen.iter().map(Line::unseen);
    purged.chain(sealed).chain(unseen).chain(moved).chain(misplaced).collect()
}

/// Says what was purged, or would be, and warns of what a person must look at.
pub(super) fn summarise(report: Report, plan: &Plan, dry_run: bool) {
    let files = |batches: &[Batch]| batches.iter().map(|batch| batch.files.len() as u64).sum::<u64>();
    let lines: u64 = plan.purges.iter().map(Batch::lines).sum();
    let bytes: u64 = plan.purges.iter().map(Batch::bytes).sum();
    let would = if dry_run { "would be " } else { "" };
    let (gone, keys) =
        (counted(files(&plan.purges), "file"), plan.purges.iter().filter(|batch| batch.key).count());
    report.note(&format!(
        "{would}purged: {gone} with {} and {}, {}",
        counted(lines, "line"),
        counted(bytes, "byte"),
        counted(keys, "shred key")
    ));
    let sealed: u64 = plan.sealed.iter().map(SealedBatch::count).sum();
    if sealed > 0 {
        report.note(&format!("{would}purged from quarantine: {}", counted(sealed, "sealed line")));
    }
    for epoch in &plan.epochs {
        report.note(&format!("{would}erased: the secret of epoch {epoch}, which is over"));
    }
    for Wrap { epoch, .. } in &plan.wraps {
        report.note(&format!(
            "{would}erased: the wrap of the secret of epoch {epoch}, under which nothing is left"
        ));
    }
    if !plan.moves.is_empty() {
        report.note(&format!(
            "{would}moved to the intermediate archive: {}",
            counted(files(&plan.moves), "segment")
        ));
    }
    warn(report, plan);
}

/// Warns of what a person must look at.
fn warn(report: Report, plan: &Plan) {
    for Misplaced { expires, sealed_as, lies_as } in &plan.misplaced {
        report.warning(
            &Diagnostic::new(&MISPLACED, "a segment of a day that is over lies under another day, or where none should")
                .at(lies_as.clone())
                .because(format!("it expired on {expires}, and was sealed as {sealed_as}"))
                .hint("move it to that path in `archive` or `intermediate`, then run `oubliette purge` again; a copy may be removed"),
        );
    }
    if let Some(LedgerFault { place, why, .. }) = &plan.fault {
        let what = "the ledger is not what was written, and what is due goes all the same";
        report.warning(
            &Diagnostic::new(&ledger::FAULT, what)
                .at(place.clone())
                .because(why.clone())
                .hint("the purge ignored it from there on, so an interrupted erasure may not be finished; `oubliette explain L02`"),
        );
    }
    if let Some(Absent { expires, sealed_as }) = plan.absent.first() {
        let what = format!("of days that are over, {} not there", counted(plan.absent.len(), "segment"));
        report.warning(
            &Diagnostic::new(&NOT_THERE, what)
                .at(sealed_as.clone())
                .because(format!(
                    "it expired on {expires}; it was sealed and not purged, and is nowhere in the archive"
                ))
                .hint(
                    "find out where it is: `oubliette explain P07`; if it lies elsewhere it is kept too long",
                ),
        );
    }
    vaults_not_there(report, plan);
    if let Some(first) = plan.linked().next() {
        let count = counted(plan.linked().count(), "segment");
        report.warning(
            &Diagnostic::new(&LINKED, format!("the bytes of {count} lie under other names as well"))
                .at(first.name.clone())
                .because(format!("hard links to it elsewhere: {}", first.other_names.unwrap_or_default()))
                .hint("remove these as well: without its names in the archive no purge finds them; `oubliette explain P09`"),
        );
    }
    if let Some((first, why)) = plan.failures().next() {
        let count = counted(plan.failures().count(), "file");
        let what = format!("of days that are over, {count} could not be removed, or not be read before");
        report.warning(
            &Diagnostic::new(&STUCK, what)
                .at(first.to_owned())
                .because(why.to_owned())
                .hint("`oubliette explain P08` says what to do about each; everything else of the day is gone, and so is its shred key"),
        );
    }
    if let Some(Blocked { name, reason: Reason::Stuck { why } }) = plan.unseen.first() {
        let count = counted(plan.unseen.len(), "line");
        report.warning(
            &Diagnostic::new(
                &quarantine::SEALED_LINES,
                format!("nobody can tell the day of {count} in quarantine, and what else is due went"),
            )
            .at(name.clone())
            .because(why.clone())
            .hint("run it as the user who owns the state directory, or repair the disk; then run it again"),
        );
    }
    let kept = plan.purges.iter().flat_map(|batch| &batch.blocked);
    let files = kept.filter(|blocked| !matches!(blocked.reason, Reason::Stuck { .. })).count();
    let blocked = files + plan.sealed.iter().map(|batch| batch.held.len()).sum::<usize>();
    if blocked > 0 {
        let what = format!("of days that are over, {} had to stay", counted(blocked, "file"));
        report.warning(
            &Diagnostic::new(&BLOCKED, what).hint("`oubliette explain P04` says what to do about each"),
        );
    }
}

/// Notes the cases that froze what goes, and for which nothing was extracted.
fn tell_thawed(report: Report, thawed: &[Hold], plan: &Plan) {
    for Hold { case, frozen_until, segments, .. } in thawed {
        let files = plan.purges.iter().flat_map(|batch| &batch.files);
        let names = files.filter_map(|file| file.entry.name.split_once('/'));
        let due = names.filter(|(_, name)| segments.iter().any(|segment| segment == name)).count();
        if due > 0 {
            let due = counted(due, "segment");
            report.note(&format!(
                "the freeze of case {case} ended on {frozen_until}, and nothing was extracted for it: due of what it froze: {due}"
            ));
        }
    }
}

/// Warns that purged segments were written with another state directory, whose holds were not considered.
pub(super) fn holds_not_seen(report: Report, settings: &Settings, plan: &Plan, is_new: bool) {
    let [first, ..] = &plan.of_others[..] else { return };
    let segments = counted(plan.of_others.len(), "segment");
    let what = format!(
        "of days that are over, {segments} written with another state directory: its holds are not seen"
    );
    let state = settings.state_dir.display();
    let why = match is_new {
        true => format!("there was no state directory {state}"),
        false => format!("the ledger in {state} does not list what goes: {first}"),
    };
    report.warning(
        &Diagnostic::new(&OF_OTHERS, what)
            .at(settings.state_dir.join(hold_jobs::FOLDER).display().to_string())
            .because(why)
            .hint("with `--state-dir`, name the state directory of the program that writes the archive; try `--dry-run` first; `oubliette explain P20`"),
    );
}

/// Warns of missing vaults of segments that are due.
fn vaults_not_there(report: Report, plan: &Plan) {
    let mut vaults = plan.purges.iter().flat_map(|batch| &batch.vaultless);
    let Some(first) = vaults.next() else { return };
    let what = format!("of days that are over, {} not there", counted(1 + vaults.count(), "vault"));
    report.warning(
        &Diagnostic::new(&NOT_THERE, what)
            .at(first.clone())
            .because("its segment, which is due, says that it has one")
            .hint("find out where it is: `oubliette explain P07`; nobody can open it without the shred key of its day, and it is kept too long"),
    );
}

/// A file of a plan.
#[derive(Serialize)]
struct Line {
    action: &'static str,
    /// `None` if nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Date>,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
    /// The error of the operating system, if the file stays or is purged unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    bytes: Option<u64>,
    lines: Option<u64>,
    sha256: Option<String>,
    /// The number of other hard links to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_names: Option<u64>,
}

impl Line {
    fn file(action: &'static str, expires: Date, file: &Item) -> Self {
        let PurgedFile { name, bytes, lines, sha256, other_names } = file.entry.clone();
        let why = file.unread.clone();
        Self { why, bytes, lines, sha256, other_names, ..Self::bare(action, expires, name) }
    }

    fn bare(action: &'static str, expires: Date, file: String) -> Self {
        let (case, why, bytes, lines, sha256, other_names) = Default::default();
        Self { action, expires: Some(expires), file, case, why, bytes, lines, sha256, other_names }
    }

    fn unseen(blocked: &Blocked) -> Self {
        Self { expires: None, ..Self::blocked(Date::default(), blocked) }
    }

    fn sealed(action: &'static str, expires: Date, line: &SealedLine, case: Option<&String>) -> Self {
        let (case, bytes, lines) = (case.cloned(), Some(line.bytes), Some(1));
        Self { case, bytes, lines, ..Self::bare(action, expires, line.name()) }
    }

    fn misplaced(misplaced: &Misplaced) -> Self {
        Self::bare("astray", misplaced.expires, misplaced.lies_as.clone())
    }

    fn absent(expires: Date, file: &str) -> Self {
        Self::bare("absent", expires, file.to_owned())
    }

    fn blocked(expires: Date, blocked: &Blocked) -> Self {
        let (action, case, why) = match &blocked.reason {
            Reason::Held { case } => ("held", Some(case.clone()), None),
            Reason::InUse => ("in use", None, None),
            Reason::Foreign => ("not ours", None, None),
            Reason::NotDue => ("not due", None, None),
            Reason::NotYet { due } => ("not due", None, Some(format!("its day begins at {due} in its zone"))),
            Reason::Stuck { why } => ("stuck", None, Some(why.clone())),
        };
        Self { case, why, ..Self::bare(action, expires, blocked.name.clone()) }
    }
}

impl Row for Line {
    const HEADS: &[&str] = &["ACTION", "FILE", "LINES", "BYTES"];

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let action =
            self.case.as_ref().map_or_else(|| self.action.to_owned(), |case| format!("held, {case}"));
        vec![action, self.file.clone(), number(self.lines), number(self.bytes)]
    }
}
