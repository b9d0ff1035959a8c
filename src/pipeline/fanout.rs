//! All outputs as one: the archive, and any number beside it; and the one number that says what is durable.

use super::archiver::Archiver;
use super::intake::Gate;
use super::output::{Sink, WriteError};
use super::watch::Observed;
use super::workers::{Flow, Portion};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::Pseudonymised;
use crate::scan::count_lines;
use crate::telemetry::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An output beside the archive. What its receiver does not take now goes to a spool.
pub trait Branch: Send {
    /// Takes the lines of piece number `piece`; false if there is no room for them and they must not be dropped: it is to
    /// be offered again. Pieces come in order, counted from 1 over all runs; empty ones are left out.
    ///
    /// # Errors
    /// If they can neither be sent nor kept: the pipeline stops.
    fn take(&mut self, piece: u64, lines: &Pseudonymised) -> Result<bool, Diagnostic>;

    /// Waits until there may be room again, for so long at most.
    fn wait_for_room(&mut self, longest: Duration);

    /// Told that it had no room until the end: what to say of it.
    fn is_stuck(&self) -> Diagnostic;

    /// What waits for it.
    fn shown(&self) -> Output;

    /// The number of the first piece that it took and that is not durable yet; `None` if there is none, or if nobody
    /// is to wait for this output.
    fn first_not_durable(&self) -> Option<u64>;

    /// Does what is due although no piece comes.
    ///
    /// # Errors
    /// If what it took cannot be made durable: the pipeline stops.
    fn tend(&mut self) -> Result<(), Diagnostic>;
}

/// Writes every piece to all outputs, and tells the gate what is durable in all that must have it.
pub struct Fanout<'a> {
    archiver: Option<Archiver>,
    branches: &'a mut [Box<dyn Branch>],
    gate: Gate,
    observed: Arc<Observed>,
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
    pub fn new(
        archiver: Option<Archiver>,
        branches: &'a mut [Box<dyn Branch>],
        gate: Gate,
        observed: Arc<Observed>,
    ) -> Self {
        let before = gate.pieces();
        Self { archiver, branches, gate, observed, before, pieces: 0, lines: 0, bytes: 0 }
    }

    /// Tells what is durable, but none after piece number `last`.
    fn publish(&self, last: u64) {
        self.gate.beat();
        let archived = self.archiver.as_ref().map_or(self.pieces, Archiver::durable) + self.before;
        let archived = archived.min(last);
        let first = self.branches.iter().filter_map(|branch| branch.first_not_durable()).min();
        let durable = first.map_or(archived, |first| archived.min(first.saturating_sub(1)));
        self.gate.durable(durable);
        self.observed.durable(durable);
        self.observed.outputs(self.branches.iter().map(|branch| branch.shown()));
        self.observed.segments(self.archiver.as_ref().map_or(0, Archiver::open_segments));
    }

    /// Gives a piece to every branch. One that must have it and has no room holds everything up: then nothing is read until
    /// it has, and the archive goes on with what it has.
    fn branch_off(&mut self, piece: u64, block: &Pseudonymised) -> Result<(), WriteError> {
        for at in 0..self.branches.len() {
            let mut ending = None;
            while !self.branches[at].take(piece, block).map_err(failed)? {
                let deadline = || Instant::now() + LAST_WAIT;
                if self.gate.is_closed() && *ending.get_or_insert_with(deadline) <= Instant::now() {
                    return Err(failed(self.branches[at].is_stuck()));
                }
                self.branches[at].wait_for_room(UNHURRIED);
                self.archiver.as_mut().map_or(Ok(()), Sink::idle)?;
                self.publish(piece - 1);
            }
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
        self.lines += count_lines(block.as_bytes());
        self.bytes += block.as_bytes().len() as u64;
        if let Some(archiver) = &mut self.archiver {
            archiver.write(block)?;
        }
        let piece = self.before + self.pieces;
        if !block.as_bytes().is_empty() {
            self.branch_off(piece, block)?;
        }
        self.publish(u64::MAX);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), WriteError> {
        if let Some(archiver) = &mut self.archiver {
            archiver.idle()?;
        }
        if self.gate.is_waited_for()
            && let Some(archiver) = &mut self.archiver
        {
            archiver.hasten()?;
        }
        self.branches.iter_mut().try_for_each(|branch| branch.tend()).map_err(failed)?;
        self.publish(u64::MAX);
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
        self.gate.count_to(self.before + self.pieces);
        self.publish(u64::MAX);
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

/// How long a stop waits for an output that is required and full.
const LAST_WAIT: Duration = Duration::from_secs(10);
