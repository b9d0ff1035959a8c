//! `oubliette subject`: requests of a person, and who is affected by a breach.

use super::access::{credentials, handed_over, in_period, reading, refused};
use super::gaps::{left_out, not_searched, others_left_out, remarks};
use super::hold::Request;
use super::{clear, hold, site};
use crate::cli::args::{AccessArgs, Common, DossierForm, PeriodArgs, PersonArgs};
use crate::cli::args::{SearchPlace, SubjectCommand};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Counted, Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::hold::{Extracted, Holds, Scope as HoldScope, Targets};
use crate::jobs::purge::Site;
use crate::jobs::replay::{
    Access, Basis, Credentials, Holders, Line, NO_GRANT, NodePlaces, Plan, Purpose, Question, Ready, Reveal,
    Scope, Secrets, Selection, Unsealed, Visited,
};
use crate::jobs::subject::access::AccessAnswer;
use crate::jobs::subject::affected::{Affected, Count, Person};
use crate::jobs::subject::erase::{self, Answer, Erased, Outcome};
use crate::jobs::subject::{self, LEFT_ON_NODES, STAYS};
use crate::keyring::{Escrow, Identities, StateDir};
use crate::ledger::event::AccessDone;
use crate::model::{ClassName, NodeName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::private_folder::Turn;
use jiff::civil::Date;
use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::sync::atomic::AtomicBool;

/// Answers a request.
pub(crate) fn run(report: Report, common: &Common, command: &SubjectCommand) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    match command {
        SubjectCommand::Access { place, person, period, access, form } => {
            let place = site::open_to_search(&settings, place, ACCESS)?;
            Desk::new(report, settings, place, access).access(person, period, *form)
        }
        SubjectCommand::Erase { place, person, access } => {
            let place = site::open_to_change(&settings, place, ERASE)?;
            Desk::new(report, settings, place, access).erase(person)
        }
        SubjectCommand::Restrict { place, person, until, access } => {
            restrict(report, &settings, place, person, *until, access)
        }
        SubjectCommand::Affected { place, period, class, list, reveal, recipient, access } => {
            let place = site::open_to_search(&settings, place, AFFECTED)?;
            let content = Content { classes: class, list: *list, reveal: *reveal, recipients: recipient };
            Desk::new(report, settings, place, access).affected(period, &content)
        }
    }
}

/// The names of the commands in the ledger.
const ACCESS: &str = "subject access";
const ERASE: &str = "subject erase";
const RESTRICT: &str = "subject restrict";
const AFFECTED: &str = "subject affected";

/// What `affected` must report.
struct Content<'c> {
    classes: &'c [ClassName],
    list: bool,
    reveal: bool,
    recipients: &'c [String],
}

impl Content<'_> {
    /// Returns whether the answer lists persons, and not only their number.
    fn is_of_people(&self) -> bool {
        self.list || !self.recipients.is_empty()
    }
}

/// An erasure that passed every check.
struct PlannedErasure {
    case: String,
    plan: Plan,
    secrets: Secrets,
    /// Whose lines are erased.
    asked: Selection,
    doubt: Option<Doubt>,
    /// Keeps purges, holds and other erasures out until it is done.
    _turn: Turn,
}

/// Why the clock is not believed, and the segments that would be frozen no longer if it was right.
struct Doubt {
    jump: Diagnostic,
    segments: BTreeSet<String>,
}

/// The context in which requests are answered.
struct Desk<'d> {
    report: Report,
    settings: Settings,
    site: Site,
    /// Further places of originals.
    places: NodePlaces,
    access: &'d AccessArgs,
    /// The escrow identities, once the access is announced: they also open extracts of holds.
    identities: Option<Identities>,
}

impl<'d> Desk<'d> {
    fn new(
        report: Report,
        settings: Settings,
        (site, places): (Site, NodePlaces),
        access: &'d AccessArgs,
    ) -> Self {
        Self { report, settings, site, places, access, identities: None }
    }
}

impl Desk<'_> {
    fn access(mut self, person: &PersonArgs, period: &PeriodArgs, form: DossierForm) -> Result<Exit, Stop> {
        let purpose = self.purpose(Basis::ACCESS, Some(period));
        let access = announced(ACCESS, &purpose, Scope::Asked, person);
        files::warn_of_closed_output(self.report);
        let selection = self.check_basis(Basis::ACCESS).and_then(|()| selection(person, &purpose));
        let asked = selection.as_ref().ok().cloned().unwrap_or_default();
        let mut answer = AccessAnswer::new(self.site.now, self.site.zone.clone());
        (answer.case, answer.from, answer.to) = (purpose.case.clone(), purpose.from, purpose.to);
        let (visited, access) =
            self.visit(access, selection, Scope::Asked, (purpose, period), &mut |line, reveal| {
                answer.add(line, reveal)
            })?;
        answer.explain(&self.site.classes);
        answer.purged = visited.gaps.purged.span();
        let handed = match form {
            DossierForm::Json => self.report.value(&answer),
            DossierForm::Csv => answer
                .csv()
                .map_err(|error| io::Error::from(error).into())
                .and_then(|csv| self.report.bytes(&csv)),
        };
        handed_over(&mut self.site, &access, handed)?;
        self.report.note(&format!("{} of the person", counted(answer.lines.len(), "line")));
        clear::tell(self.report, &self.settings, &asked, answer.lines.len() as u64);
        let told = self.tell_extracts(&asked, Request::Access(&answer));
        remarks(self.report, &self.site, &visited.gaps);
        Ok(told.and(left_out(self.report, &self.site, &visited.gaps)))
    }

    fn affected(mut self, period: &PeriodArgs, content: &Content<'_>) -> Result<Exit, Stop> {
        // Originals are revealed only on a basis that the user can give.
        let (scope, basis) = match content.reveal {
            true => (Scope::Everybody, Basis::INTERNAL),
            false => (Scope::Nobody, Basis::BREACH),
        };
        let purpose = self.purpose(basis, Some(period));
        let access = Access::new(AFFECTED, &purpose, scope, 0, 0).kept();
        let selection = Selection { classes: content.classes.to_vec(), ..in_period(&purpose) };
        let mut affected = Affected::default();
        files::warn_of_closed_output(self.report);
        let selection = self.check_basis(basis).map(|()| selection);
        let (visited, access) =
            self.visit(access, selection, scope, (purpose, period), &mut |line, reveal| {
                let originals = affected.add(line, scope, reveal)?;
                reveal.give_back(if content.is_of_people() { originals } else { 0 });
                Ok(())
            })?;
        let handed = self.tell_affected(&affected, content);
        handed_over(&mut self.site, &access, handed)?;
        let people: u64 = affected.counts().iter().map(|count| count.distinct).sum();
        let by =
            if content.reveal { "" } else { ", counted by tokens: a person has another one in every epoch" };
        self.report.note(&format!("{}{by}", counted(people, "distinct identifier")));
        remarks(self.report, &self.site, &visited.gaps);
        Ok(left_out(self.report, &self.site, &visited.gaps))
    }

    fn tell_affected(&self, affected: &Affected, content: &Content<'_>) -> Result<(), Stop> {
        if !content.recipients.is_empty() {
            let encrypted = subject::encrypted(&affected.people(), content.recipients)?;
            return self.report.bytes(&encrypted);
        }
        if content.is_of_people() {
            self.report.table(&affected.people())
        } else {
            self.report.table(&affected.counts())
        }
    }

    fn erase(mut self, person: &PersonArgs) -> Result<Exit, Stop> {
        let purpose = self.purpose(Basis::ERASURE, None);
        let mut access = announced(ERASE, &purpose, Scope::Nobody, person);
        let planned = self.plan_erasure(person, &purpose, &mut access);
        let mut planned = planned.map_err(|refusal| refused(&mut self.site, &access, refusal))?;
        let doubt = planned.doubt.take();
        let asked = mem::take(&mut planned.asked);
        let erased = self.perform(planned, &access);
        let erased = handed_over(&mut self.site, &access, erased.map_err(Stop::from))?;
        let exit = self.tell(&erased, doubt.as_ref(), &asked)?;
        clear::tell(self.report, &self.settings, &asked, erased.lines() + erased.kept());
        Ok(exit)
    }

    /// Plans an erasure, after every check that could refuse it.
    fn plan_erasure(
        &mut self,
        person: &PersonArgs,
        purpose: &Purpose,
        access: &mut Access,
    ) -> Result<PlannedErasure, Diagnostic> {
        self.check_basis(Basis::ERASURE)?;
        let case = stated_case(purpose)?;
        let selection = selection(person, purpose)?;
        let credentials = self.credentials()?;
        self.identities.clone_from(&credentials.identities);
        let holds = hold::holds(&self.settings, &self.site)?;
        let turn = holds.turn()?;
        // A clock that is ahead must not end a hold.
        let today = self.site.certain_day()?;
        holds.demand_none_lost(&self.site.ledger, today)?;
        self.site.held = holds.held(today)?;
        let doubt = self.doubt(&holds)?;
        access.begin(&mut self.site)?;
        let mut secrets = Secrets::new(&self.site, credentials);
        let plan = erase::plan(&mut self.site, &selection, &mut secrets)?;
        Ok(PlannedErasure { case, plan, secrets, asked: selection, doubt, _turn: turn })
    }

    /// Returns why segments count as frozen that would not be if the clock was right.
    fn doubt(&mut self, holds: &Holds) -> Result<Option<Doubt>, Diagnostic> {
        let by_clock = holds.held(self.site.today())?;
        let segments = self.site.held.keys().filter(|name| !by_clock.contains_key(*name)).cloned().collect();
        Ok(self.site.clock_jump()?.map(|jump| Doubt { jump, segments }))
    }

    fn perform(&mut self, planned: PlannedErasure, access: &Access) -> Result<Erased, Diagnostic> {
        let PlannedErasure { case, plan, mut secrets, _turn, .. } = planned;
        let progress = Counted::of(0);
        let progress = |bytes| progress.add(bytes);
        let erased = erase::erase(&mut self.site, &case, &plan, &mut secrets, &progress)?;
        let segments = erased.answers.len() as u64;
        let lack = erased.gaps.code().or((!erased.elsewhere.is_empty()).then_some(&LEFT_ON_NODES));
        let done = AccessDone { segments, lines: erased.lines(), ..AccessDone::lacking(lack) };
        access.done(&mut self.site, done)?;
        Ok(erased)
    }

    fn tell(&self, erased: &Erased, doubt: Option<&Doubt>, asked: &Selection) -> Result<Exit, Stop> {
        self.report.table(&erased.answers)?;
        others_left_out(self.report, erased.of_other_tenants);
        let (gone, kept) = (counted(erased.lines(), "line"), counted(erased.kept(), "line"));
        self.report.note(&format!("erased: {gone}; kept: {kept}"));
        let stays = erased.answers.iter().filter(|answer| answer.outcome.needs_human()).count() as u64;
        if stays > 0 {
            let what = format!("{} of the person had to stay as they are", counted(stays, "segment"));
            self.report
                .warning(&Diagnostic::new(&STAYS, what).hint("`oubliette explain D02` says what to do"));
        }
        let held = |answer: &&Answer| matches!(answer.outcome, Outcome::Held { .. });
        let mut held = erased.answers.iter().filter(held).map(|answer| &answer.place.segment);
        if let Some(doubt) = doubt.filter(|doubt| held.any(|name| doubt.segments.contains(name))) {
            self.report.warning(&doubt.jump);
        }
        let exit = if stays > 0 { Exit::NeedsHuman } else { Exit::Done };
        let exit = exit.and(self.tell_elsewhere(&erased.elsewhere));
        let exit = exit.and(self.tell_extracts(asked, Request::Erasure));
        remarks(self.report, &self.site, &erased.gaps);
        Ok(exit.and(left_out(self.report, &self.site, &erased.gaps)))
    }

    fn tell_extracts(&self, asked: &Selection, request: Request<'_>) -> Exit {
        hold::tell_extracts(self.report, &self.settings, asked, self.identities.as_ref(), request)
    }

    /// Names the vaults of nodes that the erasure does not reach.
    fn tell_elsewhere(&self, elsewhere: &Holders) -> Exit {
        let told = |what: &str, place: String| Diagnostic::new(&LEFT_ON_NODES, what).at(place);
        for vault in elsewhere.vaults.iter().take(MOST_TOLD) {
            let left =
                told("originals of the person are left in the vault of a node", vault.display().to_string());
            self.report.warning(&left.hint(
                "run `oubliette subject erase` on that node, then `oubliette vaults`: only it can seal its vaults again",
            ));
        }
        for (place, why) in elsewhere.unseen.iter().take(MOST_TOLD) {
            let unseen = told("originals of the person may be left in vaults of nodes", place.clone());
            self.report.warning(&unseen.because(why.clone()).hint(
                "run `oubliette subject erase` on each node, then `oubliette vaults`; or name their vaults with `--vault`, their shred keys with `--shred-keys`, and an `--identity`",
            ));
        }
        for (found, what) in [(elsewhere.vaults.len(), "vault"), (elsewhere.unseen.len(), "place")] {
            if let Some(more) = found.checked_sub(MOST_TOLD).filter(|more| *more > 0) {
                self.report.note(&format!("and {} more", counted(more, what)));
            }
        }
        if !elsewhere.nodes.is_empty() {
            let nodes: Vec<&str> = elsewhere.nodes.iter().map(NodeName::as_str).collect();
            self.report.note(&format!("looked through vaults of these nodes: {}", nodes.join(", ")));
        }
        if elsewhere.is_empty() { Exit::Done } else { Exit::NeedsHuman }
    }

    /// Hands every line to `each`; the ledger records a refusal. Returns what was found, and the access as
    /// the ledger has it.
    fn visit(
        &mut self,
        access: Access,
        selection: Result<Selection, Diagnostic>,
        scope: Scope,
        (purpose, period): (Purpose, &PeriodArgs),
        each: &mut dyn FnMut(&Line<'_>, &mut Reveal<'_>) -> Result<(), Diagnostic>,
    ) -> Result<(Visited, Access), Stop> {
        let prepared = selection.and_then(|selection| Ok((selection, self.credentials()?)));
        let (selection, credentials) =
            prepared.map_err(|refusal| refused(&mut self.site, &access, refusal))?;
        self.identities.clone_from(&credentials.identities);
        let (reading, unsealed) = (reading(&self.settings, &period.times), Unsealed::Read);
        let question = Question { selection, scope, purpose, reading, unsealed };
        let ready = Ready::new(&question, access, &mut self.site, credentials)?;
        let access = ready.access().clone();
        let progress = Counted::skipping(ready.bytes_and_skipped_frames());
        let mut each = |_: &_, line: &Line<'_>, reveal: &mut Reveal<'_>| each(line, reveal);
        let visited =
            ready.visit(&mut self.site, &mut each, &AtomicBool::new(false), &|bytes| progress.add(bytes))?;
        not_searched(self.report, &visited.counts);
        Ok((visited, access))
    }

    /// Returns the identities and secrets with which originals are opened.
    fn credentials(&self) -> Result<Credentials, Diagnostic> {
        credentials(self.report, &self.settings, self.access, self.places.clone())
    }

    /// Refuses an invalid basis; `own` is the basis of the command, which is also valid.
    fn check_basis(&self, own: Basis) -> Result<(), Diagnostic> {
        self.access.basis.as_deref().map(|text| Basis::typed_for(text, own)).transpose().map(drop)
    }

    /// Returns who asks and why; `own` is the basis of the command, used if no other is given.
    fn purpose(&self, own: Basis, period: Option<&PeriodArgs>) -> Purpose {
        Purpose {
            operator: self.access.operator.clone(),
            case: self.access.case.clone(),
            basis: self.access.basis.as_deref().map_or(Some(own), |text| Basis::typed_for(text, own).ok()),
            from: period.map(|period| period.from.begin(&self.site.zone)),
            to: period.map(|period| period.to.end(&self.site.zone)),
            tenant: hold::tenant(&self.settings),
        }
    }
}

/// Makes a hold that freezes nothing, and extracts the person's lines for it at once: only this extract
/// outlasts their expiry day.
fn restrict(
    report: Report,
    settings: &Settings,
    place: &SearchPlace,
    person: &PersonArgs,
    until: Date,
    args: &AccessArgs,
) -> Result<Exit, Stop> {
    let place = site::open_to_change(settings, place, RESTRICT)?;
    let mut desk = Desk::new(report, settings.clone(), place, args);
    let purpose = desk.purpose(Basis::RESTRICTION, None);
    let mut access = announced(RESTRICT, &purpose, Scope::Nobody, person);
    match desk.try_restrict(person, until, &purpose, &mut access) {
        Ok((extracted, before)) => {
            let exit = hold::tell_lacks(report, &extracted);
            let lines = counted(extracted.lines, "line");
            report.note(&match (before, extracted.lines) {
                (0, 0) => "nothing is restricted: no line was found".to_owned(),
                (0, _) => format!("restricted until {until}: {lines}, encrypted in `holds`"),
                (before, _) => {
                    let before = counted(before, "extract");
                    format!("restricted until {until}: {before} made before, and {lines} now, encrypted in `holds`")
                }
            });
            Ok(exit)
        }
        Err(refusal) => Err(refused(&mut desk.site, &access, refusal)),
    }
}

impl Desk<'_> {
    /// Returns what was extracted, and the number of extracts made before.
    fn try_restrict(
        &mut self,
        person: &PersonArgs,
        until: Date,
        purpose: &Purpose,
        access: &mut Access,
    ) -> Result<(Extracted, u32), Diagnostic> {
        self.check_basis(Basis::RESTRICTION)?;
        let case = stated_case(purpose)?;
        // Invalid targets are refused before there is a hold.
        let targets = targets(person)?;
        let escrow = Escrow::load(&StateDir::open(&self.settings.state_dir)?)?;
        let mut secrets = Secrets::new(&self.site, self.credentials()?);
        let holds = hold::holds(&self.settings, &self.site)?;
        let _turn = holds.turn()?;
        access.begin(&mut self.site)?;
        let scope = HoldScope { tenant: hold::tenant(&self.settings), ..HoldScope::default() };
        let before = holds.restrict(&mut self.site, &case, until, &scope)?;
        let extracts = before.as_ref().map_or(0, |before| before.extracts);
        let extracted = holds.extract(&mut self.site, &case, &targets, &mut secrets, &escrow);
        if extracted.is_err() {
            // A refused request must not leave a hold behind, which would be more than anybody asked for.
            match before {
                Some(before) => holds.put(&mut self.site, &before)?,
                None => drop(holds.release(&mut self.site, &case)?),
            }
        }
        let extracted = extracted?;
        let done = AccessDone { lines: extracted.lines, ..AccessDone::lacking(extracted.code()) };
        access.done(&mut self.site, done)?;
        Ok((extracted, extracts))
    }
}

/// Most vaults, and most places of vaults, that are named one by one.
const MOST_TOLD: usize = 10;

fn announced(command: &str, purpose: &Purpose, scope: Scope, person: &PersonArgs) -> Access {
    let identifiers = person.ip.len() + person.email.len() + person.user.len();
    Access::new(command, purpose, scope, identifiers, person.token.len()).kept()
}

fn stated_case(purpose: &Purpose) -> Result<String, Diagnostic> {
    purpose.demand_nobody_named()?;
    purpose.case.clone().filter(|case| !case.trim().is_empty()).ok_or_else(|| {
        Diagnostic::new(&NO_GRANT, "a request of a person needs a reference")
            .because("a case is missing")
            .hint("state it with `--case REF`")
    })
}

fn selection(person: &PersonArgs, purpose: &Purpose) -> Result<Selection, Diagnostic> {
    let Targets { tokens, identifiers } = targets(person)?;
    Ok(Selection { tokens, identifiers, ..in_period(purpose) })
}

fn targets(person: &PersonArgs) -> Result<Targets, Diagnostic> {
    hold::targets(&person.token, &person.ip, &person.email, &person.user)
}

impl Row for Answer {
    const HEADS: &[&str] = &["CLASS", "EXPIRES", "LINES", "ANSWER"];

    fn cells(&self) -> Vec<String> {
        let answer = match &self.outcome {
            Outcome::Erased => "erased".to_owned(),
            Outcome::Duty { basis } => format!("kept until that day by law: {basis}"),
            Outcome::Held { case } => format!("held, case {case}"),
            Outcome::ClassUnknown => "kept: no rule says whether the law obliges to".to_owned(),
            Outcome::VaultClosed { code } => format!("kept: its vault does not open ({code})"),
        };
        vec![self.place.class.clone(), self.place.expires.clone(), self.lines.to_string(), answer]
    }
}

impl Row for Count {
    const HEADS: &[&str] = &["KIND", "DISTINCT", "LINES"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), self.distinct.to_string(), self.lines.to_string()]
    }
}

impl Row for Person {
    const HEADS: &[&str] = &["KIND", "IDENTIFIER", "LINES", "FIRST", "LAST"];

    fn cells(&self) -> Vec<String> {
        let Self { kind, identifier, lines, first, last } = self;
        vec![kind.clone(), identifier.clone(), lines.to_string(), first.to_string(), last.to_string()]
    }
}
