//! Work on blocks across cores, output in order.
//!
//! Block i goes to worker i mod N, and the writer takes block i from worker i mod N: the order needs no
//! heap, and the queues, all short, bound the memory. It cannot lock up: when the writer waits for
//! block i, either block i was handed out, so its worker gets on with it, or every block before it was
//! written, so no worker is stuck and the reader can hand out block i.

use super::error::PipelineError;
use super::output::{Outgoing, Sink, WriteError};
use crate::input::{Block, Ending};
use crate::primitives::diag::Diagnostic;
use crate::quarantine::Placeholder;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

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
pub trait Source {
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
/// the output must not wait; more have a thread each, and so has the writer.
///
/// `stop` is called when the output or a worker has ended: it must make `source` end, now if it is
/// blocked. It may be called more than once, and also after the end.
pub fn run<S, W, O>(mut source: S, workers: Vec<W>, output: &mut O, stop: &(dyn Fn() + Sync)) -> Run<W>
where
    S: Source,
    W: Work<S::Keys>,
    O: Sink<W::Output>,
{
    let mut flow = Flow::default();
    let (workers, result) = match <[W; 1]>::try_from(workers) {
        Ok([mut worker]) if output.patience().is_none() => {
            let result = alone(&mut source, &mut worker, output, &mut flow);
            (vec![worker], result)
        }
        Ok(worker) => together(&mut source, worker.into(), output, stop, &mut flow),
        Err(workers) if workers.is_empty() => (workers, Err(PipelineError::NoWorkers)),
        Err(workers) => together(&mut source, workers, output, stop, &mut flow),
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
                let written = guarded("the writer", || finish(output.write(&out)))?;
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

/// The reader in this thread, a thread for each worker and one for the writer.
fn together<S, W, O>(
    source: &mut S,
    workers: Vec<W>,
    output: &mut O,
    stop: &(dyn Fn() + Sync),
    flow: &mut Flow,
) -> (Vec<W>, Result<Finish, PipelineError>)
where
    S: Source,
    W: Work<S::Keys>,
    O: Sink<W::Output>,
{
    let (spare_in, spares) = bounded(workers.len() * (DEPTH + 2));
    thread::scope(|scope| {
        let (mut jobs, mut lanes, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for worker in workers {
            let (job_in, job_out) = bounded(DEPTH);
            let (done_in, done) = bounded(DEPTH);
            let (empty_in, empties) = bounded(DEPTH + 2);
            let bench = Bench { jobs: job_out, done: done_in, empties, spares: spare_in.clone() };
            threads.push(scope.spawn(move || {
                let _stop = OnDrop(stop);
                bench.toil(worker)
            }));
            jobs.push(job_in);
            lanes.push(Lane { done, empties: empty_in });
        }
        let writer = scope.spawn(move || {
            let _stop = OnDrop(stop);
            write_in_order(&lanes, output)
        });
        // Both take their ends of the queues with them when they return, which ends the others.
        let read = distribute(source, jobs, &spares, flow);
        let workers: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let written = writer.join().unwrap_or(Err(PipelineError::Panicked { part: "the writer" }));
        let result = match (written, workers.iter().any(Result::is_err), read) {
            (Ok(Finish::BrokenPipe), ..) => Ok(Finish::BrokenPipe),
            (Err(error), ..) => Err(error),
            (_, true, _) => Err(PipelineError::Panicked { part: "a worker" }),
            (_, _, Err(error)) => Err(error),
            (finish, ..) => finish,
        };
        (workers.into_iter().flatten().collect(), result)
    })
}

/// Hands the pieces out in turn, new keys to everybody.
fn distribute<S: Source>(
    source: &mut S,
    jobs: Vec<Sender<Job<S::Keys>>>,
    spares: &Receiver<Block>,
    flow: &mut Flow,
) -> Result<(), PipelineError> {
    let mut turn = jobs.iter().cycle();
    loop {
        spares.try_iter().for_each(|block| source.recycle(block));
        // A queue whose other end is gone: the worker failed or the writer ended, and says why itself.
        match guarded("the reader", || source.next())? {
            Fed::End => return Ok(()),
            Fed::Renewed(keys) => {
                for job in &jobs {
                    if job.send(Job::Renew(Arc::clone(&keys))).is_err() {
                        return Ok(());
                    }
                }
            }
            Fed::Piece(piece, received) => {
                flow.count(&piece);
                let Some(job) = turn.next() else { return Ok(()) };
                if job.send(Job::Work(piece, received)).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// What a worker is told.
enum Job<K> {
    Work(Piece, Timestamp),
    Renew(Arc<K>),
}

/// A worker's ends of its queues.
struct Bench<K, B> {
    jobs: Receiver<Job<K>>,
    done: Sender<Result<B, PipelineError>>,
    empties: Receiver<B>,
    spares: Sender<Block>,
}

impl<K, B: Outgoing> Bench<K, B> {
    /// Works until there are no more jobs, nobody takes the results, or one fails.
    fn toil<W: Work<K, Output = B>>(self, mut worker: W) -> W {
        for job in &self.jobs {
            let result = match job {
                Job::Renew(keys) => {
                    match guarded("a worker", || {
                        worker.renew(keys);
                        Ok(())
                    }) {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    }
                }
                Job::Work(piece, received) => {
                    let mut out = self.empties.try_recv().unwrap_or_default();
                    out.clear();
                    let worked = guarded("a worker", || work(&mut worker, &piece, received, &mut out));
                    if let Piece::Lines(block) = piece {
                        // No room means that there are spare blocks enough.
                        let _ = self.spares.try_send(block);
                    }
                    worked.map(|()| out)
                }
            };
            let failed = result.is_err();
            if self.done.send(result).is_err() || failed {
                break;
            }
        }
        worker
    }
}

/// The writer's ends of one worker's queues.
struct Lane<B> {
    done: Receiver<Result<B, PipelineError>>,
    empties: Sender<B>,
}

/// Takes the results in turn, until the first failure.
fn write_in_order<B: Outgoing, O: Sink<B>>(
    lanes: &[Lane<B>],
    output: &mut O,
) -> Result<Finish, PipelineError> {
    for lane in lanes.iter().cycle() {
        let Some(result) = patiently(&lane.done, output)? else { break };
        let mut out = match result {
            Ok(out) => out,
            Err(error) => return Err(ended_by(error, output)),
        };
        let written = finish(output.write(&out))?;
        if written == Finish::BrokenPipe {
            return Ok(written);
        }
        // Now: it may hold keys that must go when their epoch does.
        out.clear();
        // No room means that there are empty ones enough.
        let _ = lane.empties.try_send(out);
    }
    // The worker whose turn it is has ended. At the end of the input all the others have too; a result
    // that still comes is a failure, or shows that this worker died.
    for lane in lanes {
        if let Ok(result) = lane.done.recv() {
            let error = result.err().unwrap_or(PipelineError::Panicked { part: "a worker" });
            return Err(ended_by(error, output));
        }
    }
    finish(output.flush())
}

/// The next result; `None` if none will come. Meanwhile `output` does what is due.
fn patiently<B, O: Sink<B>>(
    done: &Receiver<Result<B, PipelineError>>,
    output: &mut O,
) -> Result<Option<Result<B, PipelineError>>, PipelineError> {
    loop {
        let received = match output.patience() {
            None => done.recv().map_err(RecvTimeoutError::from),
            Some(patience) => done.recv_timeout(patience),
        };
        match received {
            Ok(result) => return Ok(Some(result)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => output.idle()?,
        }
    }
}

/// A failure that is not the output's: what came before it is handed on.
fn ended_by<B, O: Sink<B>>(error: PipelineError, output: &mut O) -> PipelineError {
    // The failure that came first is the one to tell.
    let _ = output.flush();
    error
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

/// Calls it when dropped, on whichever way out.
struct OnDrop<'a>(&'a (dyn Fn() + Sync));

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Pieces that wait for a worker, and results that wait for the writer: enough to even out blocks that
/// take longer than others.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests;
