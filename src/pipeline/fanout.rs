//! All outputs as one: the archive, and any number beside it; and the one number that says what is durable.

use super::archiver::Archiver;
use super::intake::Gate;
use super::output::{Sink, WriteError};
use super::workers::{Flow, Portion};

use crate::primitives::diag::Diagnostic;
use crate::pseudonym::Pseudonymised;
use crate::scan::count_lines;
use std::time::Duration;

/// An output beside the archive. It must not wait for its peer for long: what that does not take now goes to a spool.
pub trait Branch: Send {
    /// Takes the lines of piece number `piece`. Pieces come in order, counted from 1 over all runs; empty ones
    /// are left out.
    ///
    /// # Errors
    /// If they can neither be sent nor kept: the pipeline stops.
    fn take(&mut self, piece: u64, lines: &Pseudonymised) -> Result<(), Diagnostic>;

    /// The number of the first piece that it took and that is not durable yet; `None` if there is none, or if nobody
    /// is to wait for this output.
    fn first_not_durable(&self) -> Option<u64>;

    /// Makes durable what can be, soon, for somebody waits for it.
    ///
    /// # Errors
    /// As [`Branch::take`].
    fn hasten(&mut self) -> Result<(), Diagnostic>;

    /// No more pieces come in this run. What is not sent stays in the spool.
    ///
    /// # Errors
    /// As [`Branch::take`].
    fn finish(&mut self) -> Result<(), Diagnostic>;
}

/// Writes every piece to all outputs, and tells the gate what is durable in all that must have it.
pub struct Fanout<'a> {
    archiver: Option<Archiver>,
    branches: &'a mut [Box<dyn Branch>],
    gate: Gate,
    /// Pieces of earlier runs.
    before: u64,
    /// Pieces of this run.
    pieces: u64,
    lines: u64,
    bytes: u64,
}

impl<'a> Fanout<'a> {
    /// Writes to these outputs, for one run of the pipeline.
    #[must_use]
    pub fn new(archiver: Option<Archiver>, branches: &'a mut [Box<dyn Branch>], gate: Gate) -> Self {
        let before = gate.pieces();
        Self { archiver, branches, gate, before, pieces: 0, lines: 0, bytes: 0 }
    }

    fn publish(&self) {
        let archived = self.archiver.as_ref().map_or(self.pieces, Archiver::durable) + self.before;
        let first = self.branches.iter().filter_map(|branch| branch.first_not_durable()).min();
        self.gate.durable(first.map_or(archived, |first| archived.min(first.saturating_sub(1))));
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut dyn Branch) -> Result<(), Diagnostic>,
    ) -> Result<(), WriteError> {
        let mut branches = self.branches.iter_mut();
        branches
            .try_for_each(|branch| act(&mut **branch))
            .map_err(|error| WriteError::Archive(Box::new(error)))
    }
}

impl Sink<Pseudonymised> for Fanout<'_> {
    fn write(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        self.pieces += 1;
        self.lines += count_lines(block.as_bytes());
        self.bytes += block.as_bytes().len() as u64;
        if let Some(archiver) = &mut self.archiver {
            archiver.write(block)?;
        }
        let piece = self.before + self.pieces;
        if !block.as_bytes().is_empty() {
            self.each(|branch| branch.take(piece, block))?;
        }
        self.publish();
        Ok(())
    }

    fn idle(&mut self) -> Result<(), WriteError> {
        if let Some(archiver) = &mut self.archiver {
            archiver.idle()?;
        }
        if self.gate.is_waited_for() {
            if let Some(archiver) = &mut self.archiver {
                archiver.hasten()?;
            }
            self.each(|branch| branch.hasten())?;
        }
        self.publish();
        Ok(())
    }

    fn patience(&self) -> Option<Duration> {
        if self.gate.is_waited_for() {
            return Some(WAITED_FOR);
        }
        Some(self.archiver.as_ref().and_then(Archiver::patience).unwrap_or(UNHURRIED))
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if let Some(archiver) = &mut self.archiver {
            archiver.flush()?;
        }
        self.each(|branch| branch.finish())?;
        self.gate.count_to(self.before + self.pieces);
        self.publish();
        Ok(())
    }

    fn report(&self, flow: &mut Flow) {
        match &self.archiver {
            Some(archiver) => archiver.report(flow),
            None => {
                (flow.lines_out, flow.bytes_out) = (self.lines, self.bytes);
                flow.expired = Portion::default();
            }
        }
    }
}

impl std::fmt::Debug for Fanout<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fanout").field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

/// While an input waits to acknowledge: more lines may come with which to share a sync.
const WAITED_FOR: Duration = Duration::from_millis(2);

const UNHURRIED: Duration = Duration::from_millis(100);
