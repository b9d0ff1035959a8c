//! Combines all outputs, the archive and any number beside it, and tracks the one number that says what is durable.

use super::archiver::Archiver;
use super::intake::Gate;
use super::outlet::Outlet;
use super::output::{Sink, WriteError};
use super::repeats::Repeats;
use super::watch::Observed;
use super::workers::Flow;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::Pseudonymised;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Writes every piece to all outputs, and tells the gate what is durable in all required ones.
pub struct Fanout<'a> {
    archiver: Archiver,
    outlets: &'a mut [Outlet],
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
        outlets: &'a mut [Outlet],
        repeats: &'a mut Repeats,
        gate: Gate,
        observed: Arc<Observed>,
    ) -> Self {
        let before = gate.pieces();
        Self { archiver, outlets, repeats, gate, observed, before, pieces: 0, taken: before }
    }

    /// Publishes what is durable, and whether senders must wait.
    fn publish(&self) {
        self.gate.beat();
        match self.is_full() {
            true => self.gate.pause(),
            false => self.gate.go_on(),
        }
        let archived = (self.archiver.durable() + self.before).min(self.taken);
        let first = self.outlets.iter().filter_map(|outlet| outlet.first_not_durable()).min();
        let durable = first.map_or(archived, |first| archived.min(first.saturating_sub(1)));
        self.gate.durable(durable);
        self.observed.durable(durable);
        self.observed.outputs(self.outlets.iter().map(|outlet| outlet.shown()));
        self.observed.segments(self.archiver.open_segments());
    }

    fn is_full(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.is_full())
    }

    /// Passes the latest piece to every output.
    fn take(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        self.archiver.write(block)?;
        let piece = self.before + self.pieces;
        if !block.as_bytes().is_empty() {
            let sender = self.gate.sender_kind(piece);
            let mut outlets = self.outlets.iter_mut();
            outlets.try_for_each(|outlet| outlet.take(piece, block, sender)).map_err(failed)?;
        }
        self.taken = piece;
        Ok(())
    }

    fn idle_all(&mut self) -> Result<(), WriteError> {
        self.archiver.idle()?;
        if self.gate.is_waited_for() {
            self.archiver.hasten()?;
        }
        self.maintain()
    }

    fn maintain(&mut self) -> Result<(), WriteError> {
        self.outlets.iter_mut().try_for_each(|outlet| outlet.maintain()).map_err(failed)
    }

    /// Waits at the end, for [`LAST_WAIT`] at most, until the required outputs have taken everything.
    fn wait_for_full(&mut self) -> Result<(), WriteError> {
        let deadline = Instant::now() + LAST_WAIT;
        while let Some(full) = self.outlets.iter().find(|outlet| outlet.is_full()) {
            if Instant::now() >= deadline {
                return Err(failed(full.is_stuck()));
            }
            full.wait_for_room(UNHURRIED);
            self.maintain()?;
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
