//! Combines all outputs, the archive and any number beside it, and tracks the one number that says what is durable.

use super::archiver::Archiver;
use super::intake::{Gate, SenderKind};
use super::output::{Sink, WriteError};
use super::repeats::Repeats;
use super::watch::Observed;
use super::workers::Flow;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::Pseudonymised;
use crate::telemetry::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An output beside the archive. Lines that its receiver cannot take yet go to a spool.
pub trait Branch: Send {
    /// Takes the lines of piece number `piece`, which came from `sender`. Pieces come in order, counted from 1 over all
    /// runs; empty pieces are left out.
    ///
    /// # Errors
    /// Fails if the lines can neither be sent nor kept; the pipeline stops then.
    fn take(&mut self, piece: u64, lines: &Pseudonymised, sender: SenderKind) -> Result<(), Diagnostic>;

    /// Whether the output is required and has no room: senders that can wait should do so.
    fn is_full(&self) -> bool;

    /// Waits until there may be room again, for `longest` at most.
    fn wait_for_room(&self, longest: Duration);

    /// The diagnostic to report if the output had no room until the end.
    fn is_stuck(&self) -> Diagnostic;

    /// The state of the output, for display.
    fn shown(&self) -> Output;

    /// The number of the first piece taken that is not durable yet. `None` if there is none, or if the output is not
    /// required.
    fn first_not_durable(&self) -> Option<u64>;

    /// Does periodic work while no piece comes.
    ///
    /// # Errors
    /// Fails if pieces that the output took cannot be made durable; the pipeline stops then.
    fn tend(&mut self) -> Result<(), Diagnostic>;

    /// Ends the output at once, because the configuration no longer has it or has changed it. Afterwards, everything
    /// that a required output took is durable in its spool.
    ///
    /// # Errors
    /// Fails if it is not; nothing more may be acknowledged as durable then.
    fn leave(&mut self) -> Result<(), Diagnostic>;

    /// Ends the output when no more lines come: waits until its lines are delivered or the time to drain is over. Lines
    /// that are left stay in the spool. Returns the final state.
    fn end(&mut self) -> Output;
}

/// Writes every piece to all outputs, and tells the gate what is durable in all required ones.
pub struct Fanout<'a> {
    archiver: Archiver,
    branches: &'a mut [Box<dyn Branch>],
    repeats: &'a mut Repeats,
    gate: Gate,
    observed: Arc<Observed>,
    /// The number of pieces in earlier runs.
    before: u64,
    /// The number of pieces in this run.
    pieces: u64,
    /// The number of pieces, over all runs, that every output has taken.
    taken: u64,
}

impl<'a> Fanout<'a> {
    /// Creates a fan-out to these outputs for one run of the pipeline.
    #[must_use]
    pub fn new(
        archiver: Archiver,
        branches: &'a mut [Box<dyn Branch>],
        repeats: &'a mut Repeats,
        gate: Gate,
        observed: Arc<Observed>,
    ) -> Self {
        let before = gate.pieces();
        Self { archiver, branches, repeats, gate, observed, before, pieces: 0, taken: before }
    }

    /// Publishes what is durable, and whether senders must wait.
    fn publish(&self) {
        self.gate.beat();
        match self.is_full() {
            true => self.gate.pause(),
            false => self.gate.go_on(),
        }
        let archived = (self.archiver.durable() + self.before).min(self.taken);
        let first = self.branches.iter().filter_map(|branch| branch.first_not_durable()).min();
        let durable = first.map_or(archived, |first| archived.min(first.saturating_sub(1)));
        self.gate.durable(durable);
        self.observed.durable(durable);
        self.observed.outputs(self.branches.iter().map(|branch| branch.shown()));
        self.observed.segments(self.archiver.open_segments());
    }

    fn is_full(&self) -> bool {
        self.branches.iter().any(|branch| branch.is_full())
    }

    /// Passes the latest piece to every output.
    fn take(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        self.archiver.write(block)?;
        let piece = self.before + self.pieces;
        if !block.as_bytes().is_empty() {
            let sender = self.gate.sender_kind(piece);
            let mut branches = self.branches.iter_mut();
            branches.try_for_each(|branch| branch.take(piece, block, sender)).map_err(failed)?;
        }
        self.taken = piece;
        Ok(())
    }

    fn idle_all(&mut self) -> Result<(), WriteError> {
        self.archiver.idle()?;
        if self.gate.is_waited_for() {
            self.archiver.hasten()?;
        }
        self.tend()
    }

    fn tend(&mut self) -> Result<(), WriteError> {
        self.branches.iter_mut().try_for_each(|branch| branch.tend()).map_err(failed)
    }

    /// Waits at the end, for [`LAST_WAIT`] at most, until the required outputs have taken everything.
    fn wait_for_full(&mut self) -> Result<(), WriteError> {
        let deadline = Instant::now() + LAST_WAIT;
        while let Some(full) = self.branches.iter().find(|branch| branch.is_full()) {
            if Instant::now() >= deadline {
                return Err(failed(full.is_stuck()));
            }
            full.wait_for_room(UNHURRIED);
            self.tend()?;
            self.publish();
        }
        Ok(())
    }
}

fn failed(diagnostic: Diagnostic) -> WriteError {
    WriteError::Archive(Box::new(diagnostic))
}

impl Sink<Pseudonymised> for Fanout<'_> {
    fn write(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        self.pieces += 1;
        self.observed.wrote(self.before + self.pieces);
        let again = self.repeats.count(block.as_bytes());
        if again > 0 {
            self.observed.repeated(again);
            tracing::info!(lines = again, "lines came again that were archived before the start");
        }
        let taken = self.take(block);
        // After a failure, too: what was durable before it must not be sent again.
        self.publish();
        taken
    }

    fn idle(&mut self) -> Result<(), WriteError> {
        let idled = self.idle_all();
        self.publish();
        idled
    }

    fn patience(&self) -> Option<Duration> {
        if self.is_full() {
            return Some(FULL);
        }
        if self.gate.is_waited_for() {
            return Some(WAITED_FOR);
        }
        Some(self.archiver.patience().unwrap_or(UNHURRIED))
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let flushed = self.archiver.flush();
        if flushed.is_ok() {
            self.gate.count_to(self.before + self.pieces);
        }
        self.publish();
        flushed?;
        if self.gate.is_closed() { self.wait_for_full() } else { Ok(()) }
    }

    fn report(&self, flow: &mut Flow) {
        self.archiver.report(flow);
    }
}

impl std::fmt::Debug for Fanout<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fanout").field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

/// How long to wait while an input waits for an acknowledgement: more lines may come and share a sync.
const WAITED_FOR: Duration = Duration::from_millis(2);

/// How long to wait between checks while an output is full.
const FULL: Duration = Duration::from_millis(20);

const UNHURRIED: Duration = Duration::from_millis(100);

/// How long a stop waits for a required output that is full.
const LAST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
