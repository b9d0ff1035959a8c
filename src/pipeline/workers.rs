//! Work on blocks across cores, output in order: one worker alone, or several that take turns.

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

/// What a worker processes at a time.
#[derive(Debug)]
pub enum Piece {
    /// Whole lines.
    Lines(Block),
    /// The place of a line that was sealed.
    TooLong {
        /// What goes out instead.
        placeholder: Placeholder,
        /// How the line ended.
        ending: Ending,
    },
}

impl Piece {
    /// Lines of the input that it stands for.
    #[must_use]
    pub fn lines(&self) -> u64 {
        match self {
            Self::Lines(block) => block.line_count(),
            Self::TooLong { .. } => 1,
        }
    }

    /// Bytes of the input that it stands for.
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

/// What a source gives.
#[derive(Debug)]
pub enum Fed<K> {
    /// The next piece, and when it was received.
    Piece(Piece, Timestamp),
    /// These keys hold for the pieces that follow.
    Renewed(Arc<K>),
    /// The end.
    End,
}

/// Where pieces come from.
pub trait Source: Send {
    /// The keys of an epoch.
    type Keys: Send + Sync;

    /// The next piece; waits for it.
    ///
    /// # Errors
    /// What stops the pipeline. All pieces given before are processed and written first.
    fn next(&mut self) -> Result<Fed<Self::Keys>, PipelineError>;

    /// Takes a block back, to reuse its memory.
    fn recycle(&mut self, block: Block);
}

/// What is done with the pieces; one per core.
pub trait Work<K>: Send {
    /// What comes out.
    type Output: Outgoing;

    /// New keys: those before must be dropped now. Called between pieces, also while there are none.
    fn renew(&mut self, keys: Arc<K>);

    /// Processes `piece`, received at `received`, into `out`, which is empty.
    ///
    /// # Errors
    /// What stops the pipeline. `out` is thrown away then.
    fn work(&mut self, piece: &Piece, received: Timestamp, out: &mut Self::Output) -> Result<(), Diagnostic>;
}

/// What the reader and the writer counted, without the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Lines handed to workers, sealed ones included.
    pub lines_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Lines written, placeholders included.
    pub lines_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// What the writer dropped by rule instead: its expiry day came on the way.
    pub expired: Portion,
    /// Whether everything that was read was written.
    pub complete: bool,
}

/// A part of what the workers gave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// Lines, placeholders included.
    pub lines: u64,
    /// Those of them that are placeholders.
    pub placeholders: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How it ended, without error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything was written.
    Complete,
    /// Whoever read the output has gone.
    BrokenPipe,
}

/// What is left when the pipeline has stopped.
#[derive(Debug)]
pub struct Run<W> {
    /// The workers, for their counts.
    pub workers: Vec<W>,
    /// What the reader and the writer counted.
    pub flow: Flow,
    /// How it ended: the failure that comes first in the order of the input, if there was one.
    pub result: Result<Finish, PipelineError>,
}

/// Runs everything that `source` gives through `workers` to `output`. One worker works in this thread, unless
/// the output has to do things while nothing comes; more have a thread each and take turns.
///
/// `stop` is called when the output or a worker has failed: it must make `source` end, now if it is
/// blocked. It may be called more than once, and also after the end.
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

/// Everything in this thread.
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
            Fed::End => return finish(output.flush()),
            Fed::Renewed(keys) => guarded("a worker", || {
                worker.renew(keys);
                Ok(())
            })?,
            Fed::Piece(piece, received) => {
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

/// Has the output do something. If that fails, what it has taken before is handed on: of two that it writes to one may be well.
fn attempt<B, O: Sink<B>>(
    output: &mut O,
    action: impl FnOnce(&mut O) -> Result<(), WriteError>,
) -> Result<Finish, PipelineError> {
    let attempted = guarded("the writer", || finish(action(output)));
    if let Err(PipelineError::Write(_)) = attempted {
        // The failure that came first is the one to tell.
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

/// A panic in `part` is an error like any other. What it may have left half changed is used no more,
/// except for counts, which the error says not to rely on.
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

impl AddAssign for Portion {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.placeholders += other.placeholders;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests;
