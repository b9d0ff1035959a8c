//! `oubliette hold`: keeps what a case needs beyond its expiry day.

use super::{access, gaps, site};
use crate::cli::args::{AccessArgs, Common, HoldCommand};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::hold::{self, Extracted, FOLDER, Gap, Hold, Holds, Scope, Searched, Targets};
use crate::jobs::purge::{OF_OTHERS, Site, jumped};
use crate::jobs::replay::{Access, NodePlaces, Purpose, Scope as Originals, Secrets, Selection};
use crate::jobs::subject::IN_EXTRACTS;
use crate::jobs::subject::access::AccessAnswer;
use crate::keyring::{Escrow, Identities, StateDir};
use crate::ledger::event::{AccessDone, NotCovered};
use crate::model::Kind;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Storage};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Adds, lists, extracts for or releases a hold.
pub(crate) fn run(report: Report, common: &Common, command: &HoldCommand) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    match command {
        HoldCommand::List => list(report, &settings),
        HoldCommand::Add { place, case, until, class, from, to } => {
            let scope = Scope { class: class.clone(), from: *from, to: *to, tenant: tenant(&settings) };
            // Checked before the hold is added, which makes the directory.
            let is_new = !settings.state_dir.is_dir();
            let mut site = site::open(&settings, place, COMMAND)?;
            let changed = with(&settings, &mut site, report, |holds, site| {
                let added = holds.add(site, case, *until, &scope);
                gaps::purged(report, &hold::purged(site, &scope));
                let hold = added?;
                report.note(&format!(
                    "frozen until {}: {}; the hold ends on {}",
                    hold.frozen_until,
                    counted(hold.segments.len(), "segment"),
                    hold.until
                ));
                Ok(vec![hold])
            });
            let changed = changed.map_err(|refusal| site::refused(&mut site, COMMAND, refusal))?;
            let held = changed.iter().flat_map(|hold| hold.segments.clone()).collect::<Vec<_>>();
            let told = tell(report, &settings, &mut site, changed)?;
            let state = settings.state_dir.display();
            let why = match &site.held_of_others(&held)?[..] {
                _ if is_new => format!("there was no state directory {state}"),
                [] => return Ok(told),
                [first, more @ ..] => {
                    let segments = counted(1 + more.len(), "segment");
                    format!("the ledger in {state} does not list {segments} of those frozen: {first}")
                }
            };
            Ok(told.and(tell_unseen(report, &settings, why)))
        }
        HoldCommand::Release { place, case } => {
            let mut site = site::open(&settings, place, COMMAND)?;
            let changed = with(&settings, &mut site, report, |holds, site| {
                holds.release(site, case)?;
                report.note("the hold is over, and its extracts are erased");
                Ok(Vec::new())
            });
            let changed = changed.map_err(|refusal| site::refused(&mut site, COMMAND, refusal))?;
            tell(report, &settings, &mut site, changed)
        }
        HoldCommand::Extract { place, case, token, ip, email, user, identity } => {
            let (mut site, places) = site::open_to_change(&settings, place, EXTRACT)?;
            let asked = [ip, email, user].map(Vec::len).iter().sum();
            let purpose =
                Purpose { case: Some(case.clone()), tenant: tenant(&settings), ..Purpose::default() };
            let mut access = Access::new(EXTRACT, &purpose, Originals::Nobody, asked, token.len()).kept();
            let changed = with(&settings, &mut site, report, |holds, site| {
                let targets = targets(token, ip, email, user)?;
                let keys = Keys::new(report, &settings, site, places, identity.as_deref())?;
                extract(report, holds, site, case, &targets, keys, &mut access)
            });
            let (changed, exit) = changed.map_err(|refusal| access::refused(&mut site, &access, refusal))?;
            Ok(exit.and(tell(report, &settings, &mut site, changed)?))
        }
    }
}

/// The names of the commands in the ledger.
const COMMAND: &str = "hold";
const EXTRACT: &str = "hold extract";

/// Returns the tenant to whose segments the command is limited, if one was named.
pub(super) fn tenant(settings: &Settings) -> Option<String> {
    settings.tenancy().only().map(str::to_owned)
}

/// Opens the holds of the node.
pub(super) fn holds(settings: &Settings, site: &Site) -> Result<Holds, Diagnostic> {
    Holds::open(&site.storage, &settings.state_dir.join(FOLDER))
}

/// Notes which holds have ended.
pub(super) fn tell_expired(report: Report, over: &[Hold]) {
    for hold in over {
        report.note(&format!(
            "the hold of case {} ended on {}; its extracts are erased",
            hold.case, hold.until
        ));
    }
}

/// What becomes of a person's lines in the extracts of cases.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    /// They are looked for, because she asks what there is. This is the answer from the archive.
    Access(&'r AccessAnswer),
    /// They stay, because a case needs them.
    Erasure,
}

/// Tells which cases have lines of a person in their extracts. These lines are no part of the answer itself:
/// an inquiry may be secret, so a person decides what becomes of them.
pub(super) fn tell_extracts(
    report: Report,
    settings: &Settings,
    asked: &Selection,
    identities: Option<&Identities>,
    request: Request<'_>,
) -> Exit {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let holds = Holds::at(&storage, &settings.state_dir.join(FOLDER));
    // An extract does not say which tenant its lines belong to.
    let identities = identities.filter(|_| tenant(settings).is_none());
    let searched = match identities {
        Some(identities) => holds.search(asked, identities),
        None => holds.not_searched("no identity was given, or a tenant was named"),
    };
    match searched {
        Ok(searched) => tell_searched(report, &searched, request),
        // There may be extracts, and nobody knows of which cases.
        Err(unread) => {
            report.warning(&unread);
            Exit::NeedsHuman
        }
    }
}

fn tell_searched(report: Report, searched: &[Searched], request: Request<'_>) -> Exit {
    let mut exit = Exit::Done;
    for Searched { case, until, lines, .. } in searched.iter().filter(|searched| !searched.lines.is_empty()) {
        let of_person =
            format!("extracts of case {case} have {} of the person", counted(lines.len(), "line"));
        let Request::Access(answer) = request else {
            report.note(&format!(
                "{of_person}, and stay until {until}: what a case needs is not erased (GDPR art. 17(3)(e)); `oubliette hold release` erases them"
            ));
            continue;
        };
        match lines.iter().filter(|line| !answer.has(line)).count() as u64 {
            0 => report.note(&format!("{of_person}, and the answer has all of them")),
            left_out => {
                report.warning(
                    &Diagnostic::new(&IN_EXTRACTS, format!("{of_person}: {left_out} not in the answer"))
                        .because("the archive has them no longer, or they are of another time")
                        .hint(
                            "decide whether to add them: an inquiry may be secret; `oubliette explain D04`",
                        ),
                );
                exit = Exit::NeedsHuman;
            }
        }
    }
    let left = match request {
        Request::Access(_) => "were not searched",
        Request::Erasure => "were not searched or erased",
    };
    let gaps: Vec<_> = searched.iter().filter_map(|one| Some((&*one.case, one.gap.as_ref()?))).collect();
    if let [(_, why), ..] = gaps[..] {
        let cases: Vec<&str> = gaps.iter().take(MOST_CASES).map(|(case, _)| *case).collect();
        let more = gaps.len() - cases.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        report.note(&format!(
            "extracts of {} exist, which may have lines of the person, and {left}: {}{more} ({why})",
            counted(gaps.len(), "case"),
            cases.join(", ")
        ));
    } else if !searched.is_empty() && searched.iter().all(|one| one.lines.is_empty()) {
        let cases = counted(searched.len(), "case");
        report.note(&format!("extracts of {cases} were searched, and have no line of the person"));
        return exit;
    }
    if !searched.is_empty() {
        report.note(
            "`oubliette hold list` shows these extracts and their keys; docs/holds.md says how to read them",
        );
    }
    exit
}

/// The most cases that are named one by one.
const MOST_CASES: usize = 10;

/// Ends the holds whose release was interrupted, and notes them.
pub(super) fn finish_releases(report: Report, holds: &Holds, site: &mut Site) -> Result<(), Diagnostic> {
    for hold in holds.finish_releases(site)? {
        let case = &hold.case;
        report.note(&format!(
            "the release of the hold of case {case} was interrupted; it is over now, and its extracts are erased"
        ));
    }
    Ok(())
}

/// Adds to the ledger the holds in force that it lacks, and notes them.
pub(super) fn record_missing(report: Report, holds: &Holds, site: &mut Site) -> Result<(), Diagnostic> {
    for hold in holds.record_missing(site)? {
        report.note(&format!(
            "the hold of case {} was missing in the ledger, because adding it was interrupted; it is in force until {}",
            hold.case, hold.until
        ));
    }
    Ok(())
}

/// Lists holds. For a person, what each freezes and has extracted follows below; in JSON it is part of each
/// hold.
fn list(report: Report, settings: &Settings) -> Result<Exit, Stop> {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let holds = Holds::at(&storage, &settings.state_dir.join(FOLDER));
    let mut ledger = site::ledger_of_node(settings)?;
    // A ledger that cannot be read is reported by whoever relies on it.
    let step = ledger.as_mut().and_then(|ledger| ledger.clock_step().ok().flatten());
    let zone = settings.legal_zone()?;
    let day = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let today = day(settings.clock.now());
    // As in an erasure, a clock that is ahead ends no freeze.
    let certain = step.map_or(today, |step| today.min(day(step.from)));
    let listed = holds.list()?;
    let by_clock = |hold: &Hold| hold.freezes(certain) && !hold.freezes(today);
    let doubt = step.filter(|_| listed.iter().any(by_clock));
    let rows = rows(&holds, listed, certain)?;
    report.table(&rows)?;
    if rows.is_empty() {
        report.note("there is no hold");
    } else if !report.is_json() {
        report.table(&rows.iter().flat_map(HoldRow::kept).collect::<Vec<_>>())?;
    }
    if let Some(step) = doubt {
        report.warning(&jumped(&step, settings.clock.now()));
    }
    let lost = ledger.map_or_else(|| Ok(Vec::new()), |ledger| holds.lost(&ledger, today))?;
    lost.iter()
        .for_each(|hold| report.warning(&holds.lost_hold_error(hold, "and what it froze is not known")));
    Ok(if lost.is_empty() { Exit::Done } else { Exit::NeedsHuman })
}

fn rows(holds: &Holds, listed: Vec<Hold>, today: Date) -> Result<Vec<HoldRow>, Diagnostic> {
    let row = |hold: Hold| {
        let files = holds.extracts(&hold.case)?.iter().map(|path| path.display().to_string()).collect();
        let key = holds.key(&hold).map(|path| path.display().to_string());
        Ok(HoldRow { frozen: hold.freezes(today), files, key, hold })
    };
    listed.into_iter().map(row).collect()
}

/// Runs `work` while nobody else changes holds or purges.
fn with<T>(
    settings: &Settings,
    site: &mut Site,
    report: Report,
    work: impl FnOnce(&Holds, &mut Site) -> Result<T, Diagnostic>,
) -> Result<T, Diagnostic> {
    let holds = holds(settings, site)?;
    let _turn = holds.turn()?;
    finish_releases(report, &holds, site)?;
    end_those_over(report, &holds, site)?;
    record_missing(report, &holds, site)?;
    work(&holds, site)
}

/// Ends the holds whose day has come. If the clock is not believed, no hold ends, and the command continues.
fn end_those_over(report: Report, holds: &Holds, site: &mut Site) -> Result<(), Diagnostic> {
    if holds.over(site)?.is_empty() {
        return Ok(());
    }
    match site.clock_jump()? {
        Some(jump) => report.warning(&jump),
        None => tell_expired(report, &holds.expire(site)?),
    }
    Ok(())
}

/// Warns of a hold that the purge of the archive may not see, because it sees only those of its own state
/// directory.
fn tell_unseen(report: Report, settings: &Settings, why: String) -> Exit {
    report.warning(
        &Diagnostic::new(&OF_OTHERS, "a purge with another state directory does not see this hold")
            .at(settings.state_dir.join(FOLDER).display().to_string())
            .because(why)
            .hint("if you purge with another one, add the hold there as well, with `--state-dir`; `oubliette explain P20`"),
    );
    Exit::NeedsHuman
}

/// With `--json`, prints the changed holds.
fn tell(report: Report, settings: &Settings, site: &mut Site, changed: Vec<Hold>) -> Result<Exit, Stop> {
    if report.is_json() {
        let today = site.certain_day()?;
        report.table(&rows(&holds(settings, site)?, changed, today)?)?;
    }
    Ok(Exit::Done)
}

/// Returns whose lines an extract must contain.
///
/// # Errors
/// An error with the number of the value that is not an identifier or not a token.
pub(super) fn targets(
    tokens: &[String],
    ip: &[String],
    email: &[String],
    user: &[String],
) -> Result<Targets, Diagnostic> {
    let mut selection = Selection::default();
    for (kind, option, typed) in
        [(Kind::IP, "--ip", ip), (Kind::EM, "--email", email), (Kind::USR, "--user", user)]
    {
        selection.add_identifiers(kind, option, typed)?;
    }
    selection.add_tokens("--token", tokens)?;
    Ok(Targets { tokens: selection.tokens, identifiers: selection.identifiers })
}

/// The keys that open segments and vaults, and the recipients of an extract.
struct Keys {
    secrets: Secrets,
    escrow: Escrow,
}

impl Keys {
    fn new(
        report: Report,
        settings: &Settings,
        site: &Site,
        places: NodePlaces,
        identity: Option<&Path>,
    ) -> Result<Self, Diagnostic> {
        let opener = AccessArgs { identity: identity.map(Path::to_owned), ..AccessArgs::default() };
        let escrow = Escrow::load(&StateDir::open(&settings.state_dir)?)?;
        let credentials = access::credentials(report, settings, &opener, places)?;
        Ok(Self { secrets: Secrets::new(site, credentials), escrow })
    }
}

/// Extracts the lines of a case. The access is recorded before anything is opened.
fn extract(
    report: Report,
    holds: &Holds,
    site: &mut Site,
    case: &str,
    targets: &Targets,
    mut keys: Keys,
    access: &mut Access,
) -> Result<(Vec<Hold>, Exit), Diagnostic> {
    access.begin(site)?;
    let extracted = holds.extract(site, case, targets, &mut keys.secrets, &keys.escrow)?;
    let changed: Vec<Hold> = holds.list()?.into_iter().filter(|hold| hold.case == case).collect();
    let held: u64 = changed.iter().map(|hold| hold.segments.len() as u64).sum();
    let (opened, epochs) = (keys.secrets.opened(), keys.secrets.epochs() as u64);
    let not_searched = extracted.absent.len() + extracted.unsearched.names().len();
    let (lines, segments) = (extracted.lines, held - not_searched as u64);
    let done = AccessDone { segments, epochs, opened, lines, ..AccessDone::lacking(extracted.code()) };
    access.done(site, done)?;
    let exit = tell_lacks(report, &extracted);
    let today = site.certain_day()?;
    let until = changed.first().filter(|hold| hold.freezes(today)).map(|hold| hold.frozen_until);
    let frozen = until.map_or_else(
        || "the segments are no longer frozen".to_owned(),
        |until| format!("the segments stay frozen until {until}"),
    );
    let (lines, pairs) = (counted(lines, "line"), counted(extracted.pairs, "pair"));
    report.note(&format!("extracted: {lines}, {pairs}; {frozen}"));
    if extracted.lines > 0 && !keys.secrets.has_custodian() {
        report.note(
            "without `--identity`, no originals were extracted: after the purge of their day, nobody can tell whose these tokens are",
        );
    }
    Ok((changed, exit))
}

/// Warns of what an extract lacks.
pub(super) fn tell_lacks(report: Report, extracted: &Extracted) -> Exit {
    gaps::others_left_out(report, extracted.of_other_tenants);
    if extracted.unsealed > 0 {
        let segments = counted(extracted.unsealed, "segment");
        report
            .note(&format!("{segments} not sealed yet: what a filter has not written out was not extracted"));
    }
    let lacks = extracted.lacks();
    lacks.iter().for_each(|lack| report.warning(lack));
    if lacks.is_empty() { Exit::Done } else { Exit::NeedsHuman }
}

/// A hold in its state of today.
#[derive(Serialize)]
struct HoldRow {
    #[serde(flatten)]
    hold: Hold,
    /// Whether its segments must not be purged today.
    frozen: bool,
    /// The files of its extracts.
    files: Vec<String>,
    /// The file of the key that opens them.
    key: Option<String>,
}

impl HoldRow {
    fn kept(&self) -> Vec<KeptRow> {
        let row = |what, name: &String| KeptRow { case: self.hold.case.clone(), what, name: name.clone() };
        let frozen = self.hold.segments.iter().filter(|_| self.frozen).map(|name| row("frozen", name));
        let extracts = self.files.iter().map(|file| row("extract", file));
        let gaps = self.hold.gaps.iter().map(|gap| row("not covered", &not_covered(gap)));
        frozen.chain(extracts).chain(gaps).chain(self.key.iter().map(|key| row("key", key))).collect()
    }
}

/// Returns which days an extract does not cover.
fn not_covered(Gap { extract, not_covered }: &Gap) -> String {
    let NotCovered { first_day, last_day, segments } = not_covered;
    let segments = counted(*segments, "segment");
    match (first_day, last_day) {
        (Some(first), Some(last)) if first == last => format!("{segments} of {first}, by extract {extract}"),
        (Some(first), Some(last)) => format!("{segments} of {first} to {last}, by extract {extract}"),
        _ => format!("{segments}, by extract {extract}"),
    }
}

impl Row for HoldRow {
    const HEADS: &[&str] = &["CASE", "UNTIL", "FROZEN", "EXTRACTS"];

    fn cells(&self) -> Vec<String> {
        let Hold { case, until, frozen_until, segments, extracts, .. } = &self.hold;
        let frozen = match self.frozen {
            true => format!("{} until {frozen_until}", counted(segments.len(), "segment")),
            false => "no longer".to_owned(),
        };
        vec![case.clone(), until.to_string(), frozen, extracts.to_string()]
    }
}

/// Something that a hold keeps.
#[derive(Serialize)]
struct KeptRow {
    case: String,
    what: &'static str,
    name: String,
}

impl Row for KeptRow {
    const HEADS: &[&str] = &["CASE", "KEPT", "NAME"];

    fn cells(&self) -> Vec<String> {
        vec![self.case.clone(), self.what.to_owned(), self.name.clone()]
    }
}
