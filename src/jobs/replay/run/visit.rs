//! A replay that passes its lines one by one to a caller, for a bundle or an answer to a person.

use super::{Counts, Ready, prepare};
use crate::jobs::purge::Site;
use crate::jobs::replay::STOPPED;
use crate::jobs::replay::lines::{Line, Lines};
use crate::jobs::replay::plan::{Gaps, PlannedSegment};
use crate::jobs::replay::reveal::Reveal;
use crate::primitives::diag::Diagnostic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Visited {
    /// What the replay did.
    pub counts: Counts,
    /// What the answer lacks.
    pub gaps: Gaps,
}

/// Receives a line of a segment, with what puts originals back.
pub type Each<'e> = dyn FnMut(&PlannedSegment, &Line<'_>, &mut Reveal<'_>) -> Result<(), Diagnostic> + 'e;

impl Ready<'_> {
    /// Passes every line to `each`, in the order of events, until the last line or until `stopped` is set.
    /// Calls `progress` with the number of archive bytes read since the previous call.
    ///
    /// # Errors
    /// As [`Ready::run`]; also the errors of `each`, and [`STOPPED`].
    pub fn visit(
        mut self,
        site: &mut Site,
        each: &mut Each<'_>,
        stopped: &AtomicBool,
        progress: &dyn Fn(u64),
    ) -> Result<Visited, Diagnostic> {
        let storage = Arc::clone(&site.storage);
        let (plan, access) = (&self.plan, &self.access);
        let prepared = prepare(plan, self.question, &mut self.secrets, &*storage, access, site)?;
        let (mut reveal, mut lines) = prepared;
        let mut told = 0;
        let mut next = |reveal: &mut Reveal<'_>, lines: &mut Lines<'_>| {
            progress(lines.counts().bytes_read - told);
            told = lines.counts().bytes_read;
            let Some(line) = lines.next()? else { return Ok::<_, Diagnostic>(false) };
            each(&self.plan.segments[line.segment], &line, reveal).map(|()| true)
        };
        let ended = loop {
            match next(&mut reveal, &mut lines) {
                Ok(true) if stopped.load(Ordering::Relaxed) => break Err(interrupted()),
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (read, revealed) = (lines.counts(), reveal.revealed());
        let met = Gaps::met(&lines, &reveal);
        let gaps = self.gaps(&met);
        let failure = ended.as_ref().err().map(|error| error.code).or(gaps.code());
        let settled = self.settle(site, read, revealed, failure);
        ended?;
        Ok(Visited { counts: settled?, gaps })
    }
}

fn interrupted() -> Diagnostic {
    Diagnostic::new(&STOPPED, "it was stopped before its last line")
        .because("a signal came")
        .hint("run it again: nothing was handed out")
}
