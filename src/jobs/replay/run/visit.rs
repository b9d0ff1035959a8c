//! A replay whose lines somebody else takes, one by one: a bundle, an answer to a person.

use super::{Counts, Question, Ready};
use crate::jobs::purge::Site;
use crate::jobs::replay::lines::{Line, Lines};
use crate::jobs::replay::plan::{PlanCounts, PlannedSegment};
use crate::jobs::replay::reveal::Reveal;
use crate::ledger::event::AccessDone;
use crate::primitives::diag::Diagnostic;
use std::sync::Arc;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visited {
    /// What the replay did.
    pub counts: Counts,
    /// How many segments are not sealed yet, which it left out.
    pub unsealed: u64,
}

/// Takes a line of a segment, with what puts originals back.
pub type Each<'e> = dyn FnMut(&PlannedSegment, &Line<'_>, &mut Reveal<'_>) -> Result<(), Diagnostic> + 'e;

impl Ready<'_> {
    /// Hands every line to `each`, in the order of their events. `progress` is told how many bytes of the archive
    /// were read since it was told last.
    ///
    /// # Errors
    /// As [`Ready::run`]; what `each` says.
    pub fn visit(
        mut self,
        site: &mut Site,
        each: &mut Each<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<Visited, Diagnostic> {
        let storage = Arc::clone(&site.storage);
        let Question { selection, scope, reading, .. } = self.question;
        let mut reveal = match Reveal::prepare(&self.plan, *scope, &mut self.secrets, reading) {
            Ok(reveal) => reveal,
            Err(refusal) => {
                self.access.refuse(site, &refusal)?;
                return Err(refusal);
            }
        };
        let mut lines = Lines::new(&*storage, &self.plan, selection, reading);
        let mut told = 0;
        let mut next = |reveal: &mut Reveal<'_>, lines: &mut Lines<'_>| {
            progress(lines.counts().bytes_read - told);
            told = lines.counts().bytes_read;
            let Some(line) = lines.next()? else { return Ok::<_, Diagnostic>(false) };
            each(&self.plan.segments[line.segment], &line, reveal).map(|()| true)
        };
        let ended = loop {
            match next(&mut reveal, &mut lines) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (read, revealed) = (lines.counts(), reveal.revealed());
        let frames_skipped = self.plan.counts.frames - self.plan.frames();
        let opened = self.secrets.opened();
        let (epochs, vaults) = (self.secrets.epochs() as u64, opened.len() as u64);
        let plan = PlanCounts { epochs, vaults, ..self.plan.counts };
        let done = AccessDone {
            complete: ended.is_ok(),
            segments: plan.segments,
            epochs: plan.epochs,
            opened,
            lines: read.lines,
            revealed,
            ..AccessDone::default()
        };
        self.access.done(site, done)?;
        ended?;
        let counts = Counts { plan, read, frames_skipped, revealed };
        Ok(Visited { counts, unsealed: self.plan.unsealed.len() as u64 })
    }
}
