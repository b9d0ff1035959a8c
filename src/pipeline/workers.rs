//! Processes pieces on several cores and writes the results in order.
//!
//! A single worker may run alone; several take turns.

mod turns;

use super::error::PipelineError;
use super::output::{Outgoing, Sink, WriteError};
use crate::input::{Block, Ending};
use crate::primitives::diag::Diagnostic;
use crate::quarantine::Placeholder;
use jiff::Timestamp;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use turns::together;

/// The unit of work.
#[derive(Debug)]
pub enum Piece {
    /// Whole lines.
    Lines(Block),
    /// Stands for a line that was quarantined.
    TooLong {
        /// The line that is written instead.
        placeholder: Placeholder,
        /// How the line ended.
        ending: Ending,
    },
}

impl Piece {
    /// The number of input lines in this piece.
    #[must_use]
    pub fn lines(&self) -> u64 {
        match self {
            Self::Lines(block) => block.line_count(),
            Self::TooLong { .. } => 1,
        }
    }

    /// The number of input bytes in this piece.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Lines(block) => block.bytes().len() as u64,
            Self::TooLong { placeholder, ending } => {
                placeholder.line_bytes() + ending.as_bytes().len() as u64
            }
        }
    }
}

/// The next item of a source.
#[derive(Debug)]
pub enum SourceItem<K> {
    /// The next piece, and when it was received.
    Piece(Piece, Timestamp),
    /// The keys for the pieces that follow.
    Renewed(Arc<K>),
    /// The end of the input.
    End,
}

/// A source of pieces.
pub trait Source: Send {
    /// The keys of an epoch.
    type Keys: Send + Sync;

    /// Waits for the next piece.
    ///
    /// # Errors
    /// An error stops the pipeline, after all earlier pieces are processed and written.
    fn next(&mut self) -> Result<SourceItem<Self::Keys>, PipelineError>;

    /// Takes a block back, to reuse its memory.
    fn recycle(&mut self, block: Block);
}

/// Processes pieces. There is one worker per core.
pub trait Work<K>: Send {
    /// The result of processing a piece.
    type Output: Outgoing;

    /// Switches to new keys and drops the old ones at once. Called between pieces, also while none come.
    fn renew(&mut self, keys: Arc<K>);

    /// Processes `piece`, received at `received`, into `out`, which is empty.
    ///
    /// # Errors
    /// An error stops the pipeline; `out` is discarded.
    fn work(&mut self, piece: &Piece, received: Timestamp, out: &mut Self::Output) -> Result<(), Diagnostic>;
}

/// The counts of the reader and the writer, independent of those of the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Lines handed to workers, including quarantined ones.
    pub lines_in: u64,
    /// Bytes of those lines.
    pub bytes_in: u64,
    /// Lines written, including placeholders.
    pub lines_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Lines that the writer dropped by rule because their expiry day came in the meantime.
    pub expired: LineTotals,
    /// Whether everything that was read was written.
    pub complete: bool,
}

/// The totals of some lines of the workers' output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineTotals {
    /// Lines, including placeholders.
    pub lines: u64,
    /// How many of the lines are placeholders.
    pub placeholders: u64,
    /// Bytes of the lines.
    pub bytes: u64,
}

/// How a run ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything was written.
    Complete,
    /// The reader of the output has gone.
    BrokenPipe,
}

/// The result of a run of the pipeline.
#[derive(Debug)]
pub struct Run<W> {
    /// The workers, with their counts.
    pub workers: Vec<W>,
    /// The counts of the reader and the writer.
    pub flow: Flow,
    /// How the run ended: if there were failures, the first one in the order of the input.
    pub result: Result<Finish, PipelineError>,
}

/// Runs everything from `source` through `workers` to `output`. A single worker runs in the calling thread,
/// unless the output has periodic work to do; otherwise, each worker has its own thread and they take turns.
///
/// `stop` is called when the output or a worker has failed. It must make `source` end, even if it is
/// blocked at that moment. It may be called more than once, and also after the end.
pub fn run<S, W, O>(mut source: S, workers: Vec<W>, output: &mut O, stop: &(dyn Fn() + Sync)) -> Run<W>
where
    S: Source,
    W: Work<S::Keys>,
    O: Sink<W::Output>,
{
    let (workers, mut flow, result) = match <[W; 1]>::try_from(workers) {
        Ok([mut worker]) if output.patience().is_none() => {
            let mut flow = Flow::default();
            let result = alone(&mut source, &mut worker, output, &mut flow);
            (vec![worker], flow, result)
        }
        Ok(worker) => together(&mut source, worker.into(), output, stop),
        Err(workers) if workers.is_empty() => (workers, Flow::default(), Err(PipelineError::NoWorkers)),
        Err(workers) => together(&mut source, workers, output, stop),
    };
    output.report(&mut flow);
    flow.complete = matches!(result, Ok(Finish::Complete));
    Run { workers, flow, result }
}

/// Runs everything in the calling thread.
fn alone<S, W, O>(
    source: &mut S,
    worker: &mut W,
    output: &mut O,
    flow: &mut Flow,
) -> Result<Finish, PipelineError>
where
    S: Source,
    W: Work<S::Keys>,
    O: Sink<W::Output>,
{
    let mut out = W::Output::default();
    loop {
        match guarded("the reader", || source.next())? {
            SourceItem::End => return finish(output.flush()),
            SourceItem::Renewed(keys) => guarded("a worker", || {
                worker.renew(keys);
                Ok(())
            })?,
            SourceItem::Piece(piece, received) => {
                flow.count(&piece);
                out.clear();
                guarded("a worker", || work(worker, &piece, received, &mut out))?;
                let written = attempt(output, |output| output.write(&out))?;
                if written == Finish::BrokenPipe {
                    return Ok(written);
                }
                if let Piece::Lines(block) = piece {
                    source.recycle(block);
                }
            }
        }
    }
}

/// Runs `action` on the output. If it fails, flushes what was written before: one of two outputs may still work.
fn attempt<B, O: Sink<B>>(
    output: &mut O,
    action: impl FnOnce(&mut O) -> Result<(), WriteError>,
) -> Result<Finish, PipelineError> {
    let attempted = guarded("the writer", || finish(action(output)));
    if let Err(PipelineError::Write(_)) = attempted {
        // Report the first failure, not that of the flush.
        let _ = guarded("the writer", || finish(output.flush()));
    }
    attempted
}

fn finish(written: Result<(), WriteError>) -> Result<Finish, PipelineError> {
    match written {
        Ok(()) => Ok(Finish::Complete),
        Err(WriteError::BrokenPipe) => Ok(Finish::BrokenPipe),
        Err(error) => Err(error.into()),
    }
}

fn work<K, W: Work<K>>(
    worker: &mut W,
    piece: &Piece,
    received: Timestamp,
    out: &mut W::Output,
) -> Result<(), PipelineError> {
    worker.work(piece, received, out).map_err(|diagnostic| PipelineError::Work(Box::new(diagnostic)))
}

/// Turns a panic in `part` into an error. State that the panic may have left inconsistent is not used any
/// more, except for counts, which the error says not to rely on.
fn guarded<T>(
    part: &'static str,
    action: impl FnOnce() -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or(Err(PipelineError::Panicked { part }))
}

impl Flow {
    fn count(&mut self, piece: &Piece) {
        self.lines_in += piece.lines();
        self.bytes_in += piece.bytes();
    }
}

impl AddAssign for LineTotals {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.placeholders += other.placeholders;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests;
