//! Runs one replay from the question to the last line, with its entries in the ledger.

mod visit;

use super::access::{Access, Grant, Purpose};
use super::event_time::Reading;
use super::lines::{Lines, ReadCounts};
use super::outlet::{Broken, Ended, Outlet};
use super::plan::{Gaps, Plan, PlanCounts, Unsealed, demand_known_classes};
use super::reveal::{Reveal, Scope};
use super::secrets::{Credentials, Secrets};
use super::selection::Selection;
use crate::jobs::purge::Site;
use crate::ledger::event::AccessDone;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::Storage;
use serde::Serialize;
use std::io::Write;
use std::sync::Arc;
pub use visit::{Each, Visited};

/// What is asked, by whom, and how lines are read.
#[derive(Debug)]
pub struct Question {
    /// The lines asked for.
    pub selection: Selection,
    /// Whose originals are revealed.
    pub scope: Scope,
    /// Who asks, and why.
    pub purpose: Purpose,
    /// How lines are read.
    pub reading: Reading,
    /// How to treat segments that are not sealed yet.
    pub unsealed: Unsealed,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// What was examined.
    #[serde(flatten)]
    pub plan: PlanCounts,
    /// What was read.
    #[serde(flatten)]
    pub read: ReadCounts,
    /// Frames that were left out.
    pub frames_skipped: u64,
    /// Originals revealed: once for each token replaced, or for each entry of a list that is in clear.
    pub revealed: u64,
}

/// How a replay ended.
#[derive(Debug)]
pub struct Outcome<W> {
    /// What the replay did.
    pub counts: Counts,
    /// The writer that took the lines, or why the replay ended before the last line.
    pub end: Result<W, Broken>,
    /// What the answer lacks.
    pub gaps: Gaps,
}

/// A replay that is ready to run: nothing is left that could be refused.
pub struct Ready<'q> {
    question: &'q Question,
    access: Access,
    plan: Plan,
    secrets: Secrets,
}

impl<'q> Ready<'q> {
    /// Checks what must be stated, announces the access in the ledger, and finds the frames to read. A
    /// refusal is recorded in the ledger.
    ///
    /// # Errors
    /// Names what is missing: a case, a basis, a period, an identity, H, a vault.
    pub fn new(
        question: &'q Question,
        mut access: Access,
        site: &mut Site,
        credentials: Credentials,
    ) -> Result<Self, Diagnostic> {
        let mut secrets = Secrets::new(site, credentials);
        match plan(question, &mut access, site, &mut secrets) {
            Ok(plan) => Ok(Self { question, access, plan, secrets }),
            Err(refusal) => {
                access.refuse(site, &refusal)?;
                Err(refusal)
            }
        }
    }

    /// Returns the access as announced in the ledger.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the number of bytes to read, and the number of frames left out.
    #[must_use]
    pub fn bytes_and_skipped_frames(&self) -> (u64, u64) {
        (self.plan.bytes(), self.plan.counts.frames - self.plan.frames())
    }

    /// Writes the lines. Calls `progress` with the number of archive bytes read since the previous call.
    ///
    /// # Errors
    /// If a vault does not open or the ledger cannot be written: then no line has gone out. If the archive
    /// cannot be read.
    pub fn run<W: Write>(
        mut self,
        site: &mut Site,
        outlet: Outlet<W>,
        progress: &dyn Fn(u64),
    ) -> Result<Outcome<W>, Diagnostic> {
        let storage = Arc::clone(&site.storage);
        let (plan, access) = (&self.plan, &self.access);
        let prepared = prepare(plan, self.question, &mut self.secrets, &*storage, access, site)?;
        let (mut reveal, lines) = prepared;
        let mut lines = lines.until(outlet.stopped());
        let ended = write_all(&mut lines, &mut reveal, outlet, progress);
        let (read, revealed) = (lines.counts(), reveal.revealed());
        let met = Gaps::met(&lines, &reveal);
        let gaps = self.gaps(&met);
        let settled =
            self.settle(site, read, revealed, ended.as_ref().err().map(Ended::code).or(gaps.code()));
        let end = match ended {
            Ok(to) => Ok(to),
            Err(Ended::Reader(broken)) => Err(broken),
            Err(Ended::Archive(error)) => return Err(error),
        };
        Ok(Outcome { counts: settled?, end, gaps })
    }

    /// Returns what the answer lacks, including what was `met` while reading.
    fn gaps(&self, met: &Gaps) -> Gaps {
        let mut gaps = self.plan.gaps.clone();
        gaps.unreadable.extend(&met.unreadable);
        gaps.unrevealed.extend(&met.unrevealed);
        gaps.unopened.extend(&self.secrets.unopened());
        gaps
    }

    /// Records the outcome in the ledger, with the `failure` that ended the replay, or with what the answer
    /// lacks.
    fn settle(
        &self,
        site: &mut Site,
        read: ReadCounts,
        revealed: u64,
        failure: Option<&Code>,
    ) -> Result<Counts, Diagnostic> {
        // The vaults opened for the plan and, since then, for the originals.
        let (opened, epochs) = (self.secrets.opened(), self.secrets.epochs() as u64);
        let plan = PlanCounts { epochs, vaults: opened.len() as u64, ..self.plan.counts };
        let (segments, lines) = (plan.segments, read.lines);
        let done = AccessDone { segments, epochs, opened, lines, revealed, ..AccessDone::lacking(failure) };
        self.access.done(site, done)?;
        let frames_skipped = self.plan.counts.frames - self.plan.frames();
        Ok(Counts { plan, read, frames_skipped, revealed })
    }
}

/// Prepares the lines and what puts originals back. A refusal is recorded in the ledger.
fn prepare<'s, 'l>(
    plan: &'l Plan,
    question: &'l Question,
    secrets: &'s mut Secrets,
    storage: &'l dyn Storage,
    access: &Access,
    site: &mut Site,
) -> Result<(Reveal<'s>, Lines<'l>), Diagnostic> {
    let Question { selection, scope, reading, .. } = question;
    let reveal = Reveal::prepare(plan, selection, *scope, secrets, reading);
    match reveal.and_then(|reveal| Ok((reveal, Lines::new(storage, plan, selection, reading)?))) {
        Ok(prepared) => Ok(prepared),
        Err(refusal) => {
            access.refuse(site, &refusal)?;
            Err(refusal)
        }
    }
}

impl Gaps {
    /// Returns the gaps that appeared while lines were read and originals put back.
    fn met(lines: &Lines<'_>, reveal: &Reveal<'_>) -> Self {
        let (unreadable, unrevealed) = (lines.unreadable().clone(), reveal.withheld().clone());
        Self { unreadable, unrevealed, ..Self::default() }
    }
}

fn plan(
    question: &Question,
    access: &mut Access,
    site: &mut Site,
    secrets: &mut Secrets,
) -> Result<Plan, Diagnostic> {
    let Question { selection, scope, purpose, .. } = question;
    demand_known_classes(site, selection)?;
    access.of_classes(&selection.classes);
    purpose.demand_nobody_named()?;
    purpose.demand_a_period()?;
    if *scope != Scope::Nobody {
        purpose.demand(Grant::Originals, selection, *scope, &site.classes)?;
        if !secrets.has_custodian() {
            return Err(super::codes::nobody_opens());
        }
    }
    access.begin(site)?;
    let plan = Plan::new(site, selection, question.unsealed, secrets)?;
    if plan.frames() == 0 {
        purpose.demand_a_past(site.now)?;
    }
    Ok(plan)
}

fn write_all<W: Write>(
    lines: &mut Lines<'_>,
    reveal: &mut Reveal<'_>,
    mut outlet: Outlet<W>,
    progress: &dyn Fn(u64),
) -> Result<W, Ended> {
    let mut told = 0;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    loop {
        let read = lines.counts().bytes_read;
        if read > told {
            progress(read - told);
            told = read;
        }
        let Some(line) = lines.next()? else { break };
        text.clear();
        reveal.put_back(&line, &mut text)?;
        outlet.line(&text, line.second)?;
    }
    let resume = lines.resume();
    let to = outlet.finish()?;
    match resume {
        Some(resume) => Err(Broken::Stopped { resume }.into()),
        None => Ok(to),
    }
}
