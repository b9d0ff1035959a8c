//! Workers that take turns: one reads the next piece while the others work, and results are written in order.
//!
//! ```text
//! worker: turn to read --piece n--> work --result n--> its place in the order --> turn to write, if it is free
//! ```
//! - A free worker reads a piece and processes it itself: the bytes stay in the cache of the core that read them, and
//!   no more threads run than there is work for.
//! - A result waits until all results before it are written. The worker that has the turn to write writes all results
//!   that are ready, one after another; the other workers leave their results and go on. If the output has periodic
//!   work to do ([`Sink::patience`]), a separate thread takes the turn to write whenever it was unused for that long.
//! - The number of waiting results is bounded, and so is memory. There is no deadlock: a worker puts its own result
//!   into the order before it waits for room, so the next result is either being worked on, or is written by the
//!   worker that has the turn.
//! - Every piece has a number. A failed read takes the number of the next piece, so the first failure in the order of
//!   the input is the one reported, after everything before it is written.

use super::{
    Finish, Flow, Outgoing, Piece, PipelineError, Sink, Source, SourceItem, Work, attempt, finish, guarded,
    work,
};
use crate::archive::ArchiveError;
use crate::input::Block;
use crate::primitives::diag::Diagnostic;
use crate::primitives::lock::Unpoisoned as _;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How many results per worker may wait for an earlier one: enough to even out pieces that take longer than others.
pub(super) const DEPTH: usize = 4;

/// How often an output is polled that has no limit on how long it may wait.
const LONG_PATIENCE: Duration = Duration::from_secs(1);

/// Runs `source` through `workers`, each on a thread, to `output`. The first has that of the caller. Returns
/// the workers, what was read, and how the run ended.
///
/// If the system refuses a thread, the others do its work.
///
/// `stop` makes `source` end. It is called when something else has failed.
pub(super) fn together<S, W, O>(
    source: &mut S,
    workers: Vec<W>,
    output: &mut O,
    stop: &(dyn Fn() + Sync),
) -> (Vec<W>, Flow, Result<Finish, PipelineError>)
where
    S: Source,
    W: Work<S::Keys>,
    O: Sink<W::Output>,
{
    let is_patient = output.patience().is_some();
    let turns = Turns::new(source, output, workers.len(), stop);
    let workers = thread::scope(|scope| {
        let turns = &turns;
        if is_patient && let Err(refused) = Builder::new().spawn_scoped(scope, || turns.idle_loop()) {
            // Lines would wait in the output for as long as no others come.
            let refused = Diagnostic::from(ArchiveError::Thread(refused));
            drop(turns.end(lock(&turns.order), Err(PipelineError::Work(Box::new(refused)))));
        }
        let mut workers = workers.into_iter();
        let own = workers.next();
        let start = |worker| Builder::new().spawn_scoped(scope, move || turns.worker_loop(worker)).ok();
        let threads: Vec<_> = workers.filter_map(start).collect();
        let own = own.and_then(|worker| turns.worker_loop(worker));
        let others = threads.into_iter().filter_map(|thread| thread.join().ok().flatten());
        let workers = own.into_iter().chain(others).collect();
        lock(&turns.order).closed = true;
        turns.left.notify_one();
        workers
    });
    let (flow, result) = turns.conclude();
    (workers, flow, result)
}

/// State shared by the threads. No thread holds both locks at once.
struct Turns<'a, S: Source, O, B> {
    reading: Mutex<Reading<'a, S>>,
    /// Notified when the turn to read becomes free, when there are new keys, and when reading is over.
    read: Condvar,
    order: Mutex<Order<'a, O, B>>,
    /// Wakes the thread that calls [`Sink::idle`] when no more results will come or be written.
    left: Condvar,
    /// Notified when a result was written or writing is over.
    written: Condvar,
    /// How many results may wait.
    most_ready: usize,
    stop: &'a (dyn Fn() + Sync),
}

/// The state of the input.
struct Reading<'a, S: Source> {
    /// `None` while a worker has the turn to read.
    source: Option<&'a mut S>,
    /// The keys for the pieces that follow, and how often they were renewed.
    keys: (u64, Option<Arc<S::Keys>>),
    /// The number of the next piece.
    next: u64,
    /// Whether reading is over.
    over: bool,
    flow: Flow,
}

/// The state of the output.
struct Order<'a, O, B> {
    /// `None` while a thread has the turn to write.
    output: Option<&'a mut O>,
    /// Results that wait for an earlier one, by number.
    ready: BTreeMap<u64, Result<B, PipelineError>>,
    /// The number of the next result to write.
    next: u64,
    /// Written results, emptied for reuse.
    empty: Vec<B>,
    /// When the output was last used.
    since: Instant,
    /// How writing ended, once it is over.
    ended: Option<Result<Finish, PipelineError>>,
    /// Whether no more results will come.
    closed: bool,
}

/// The number of a piece, the piece, and when it was received.
type Numbered = (u64, Piece, Timestamp);

/// The locked state of the output.
type Guard<'g, 'a, O, B> = MutexGuard<'g, Order<'a, O, B>>;

/// The outcome of writing a result: continue with the emptied result, or end.
type Written<B> = ControlFlow<Result<Finish, PipelineError>, B>;

impl<'a, S: Source, O: Sink<B>, B: Outgoing> Turns<'a, S, O, B> {
    fn new(source: &'a mut S, output: &'a mut O, workers: usize, stop: &'a (dyn Fn() + Sync)) -> Self {
        Self {
            reading: Mutex::new(Reading {
                source: Some(source),
                keys: (0, None),
                next: 0,
                over: false,
                flow: Flow::default(),
            }),
            read: Condvar::new(),
            order: Mutex::new(Order {
                output: Some(output),
                ready: BTreeMap::new(),
                next: 0,
                empty: Vec::new(),
                since: Instant::now(),
                ended: None,
                closed: false,
            }),
            left: Condvar::new(),
            written: Condvar::new(),
            most_ready: workers * DEPTH,
            stop,
        }
    }

    /// Works until reading is over. Returns the worker, unless it was lost in a panic.
    fn worker_loop<W: Work<S::Keys, Output = B>>(&self, worker: W) -> Option<W> {
        let ended = guarded("a worker", || Ok(self.work_through(worker)));
        ended.map_err(|error| drop(self.end(lock(&self.order), Err(error)))).ok()
    }

    fn work_through<W: Work<S::Keys, Output = B>>(&self, mut worker: W) -> W {
        let (mut renewed, mut used, mut out) = (0, None, B::default());
        while let Some((number, piece, received)) = self.take(&mut worker, &mut renewed, used.take()) {
            let worked = guarded("a worker", || work(&mut worker, &piece, received, &mut out));
            if let Piece::Lines(block) = piece {
                used = Some(block);
            }
            out = self.deliver(number, worked.map(|()| out));
        }
        worker
    }

    /// Waits for this worker's turn and reads the next piece, after taking any new keys for it. Returns `None` if reading
    /// is over. A `used` block goes back to the source.
    fn take<W: Work<S::Keys>>(
        &self,
        worker: &mut W,
        renewed: &mut u64,
        mut used: Option<Block>,
    ) -> Option<Numbered> {
        loop {
            let source = self.turn_to_read(worker, renewed)?;
            let item = guarded("the reader", || {
                used.take().into_iter().for_each(|block| source.recycle(block));
                source.next()
            });
            let mut reading = lock(&self.reading);
            reading.source = Some(source);
            match item {
                // Something else has failed in the meantime.
                Ok(SourceItem::Piece(..)) if reading.over => return None,
                Ok(SourceItem::Piece(piece, received)) => {
                    reading.flow.count(&piece);
                    let number = reading.number();
                    drop(reading);
                    self.read.notify_one();
                    return Some((number, piece, received));
                }
                Ok(SourceItem::Renewed(keys)) => {
                    reading.keys = (reading.keys.0 + 1, Some(keys));
                    // Wake all workers, because they must drop the old keys now.
                    self.read.notify_all();
                }
                Ok(SourceItem::End) => {
                    reading.over = true;
                    self.read.notify_all();
                    return None;
                }
                Err(error) => {
                    self.fail(reading, error);
                    return None;
                }
            }
        }
    }

    /// Waits for the turn to read, taking new keys as they come. Returns `None` if reading is over.
    fn turn_to_read<W: Work<S::Keys>>(&self, worker: &mut W, renewed: &mut u64) -> Option<&'a mut S> {
        let mut reading = lock(&self.reading);
        loop {
            match &reading.keys {
                _ if reading.over => return None,
                (count, Some(keys)) if count != renewed => {
                    *renewed = *count;
                    let keys = Arc::clone(keys);
                    drop(reading);
                    let taken = guarded("a worker", || {
                        worker.renew(keys);
                        Ok(())
                    });
                    if let Err(error) = taken {
                        self.fail(lock(&self.reading), error);
                        return None;
                    }
                    reading = lock(&self.reading);
                }
                _ => match reading.source.take() {
                    Some(source) => return Some(source),
                    None => reading = self.read.wait(reading).unpoisoned(),
                },
            }
        }
    }

    /// Delivers a failure in the place of the next piece, and ends reading before anyone else can read: a
    /// piece that was read later would otherwise be written in the place of one that was lost.
    fn fail(&self, mut reading: MutexGuard<'_, Reading<'a, S>>, error: PipelineError) {
        let number = reading.number();
        self.read_no_more(reading);
        self.deliver(number, Err(error));
    }

    fn read_no_more(&self, mut reading: MutexGuard<'_, Reading<'a, S>>) {
        reading.over = true;
        drop(reading);
        self.read.notify_all();
        (self.stop)();
    }

    /// Puts a result into the order, and writes the results that are ready unless another thread does. Then waits while
    /// too many results are waiting. Returns an empty result for reuse.
    fn deliver(&self, number: u64, result: Result<B, PipelineError>) -> B {
        let mut order = lock(&self.order);
        order.ready.insert(number, result);
        let is_full =
            |order: &mut Order<'a, O, B>| order.ready.len() >= self.most_ready && order.ended.is_none();
        let order = self.write_ready(order);
        let mut order = self.written.wait_while(order, is_full).unpoisoned();
        order.empty.pop().unwrap_or_default()
    }

    /// Writes the results that are ready, unless another thread does.
    fn write_ready<'g>(&'g self, mut order: Guard<'g, 'a, O, B>) -> Guard<'g, 'a, O, B> {
        while let Some((output, result)) = order.turn_to_write() {
            drop(order);
            let written = write(output, result);
            order = lock(&self.order);
            order.next += 1;
            match written {
                Written::Continue(empty) => order.empty.push(empty),
                Written::Break(ended) => order = self.end(order, ended),
            }
            order.give_back(output);
            self.written.notify_all();
        }
        order
    }

    /// Calls [`Sink::idle`] whenever the output was unused for as long as its patience.
    fn idle_loop(&self) {
        let mut order = lock(&self.order);
        let mut patience = LONG_PATIENCE;
        while order.ended.is_none() && !order.closed {
            // Another thread may have the output; keep the last known patience then.
            patience =
                order.output.as_ref().map_or(patience, |output| output.patience().unwrap_or(LONG_PATIENCE));
            let waited = order.since.elapsed();
            if waited >= patience
                && let Some(output) = order.output.take()
            {
                drop(order);
                let idled = attempt(output, |output| output.idle());
                order = lock(&self.order);
                if !matches!(idled, Ok(Finish::Complete)) {
                    order = self.end(order, idled);
                }
                order.give_back(output);
                order = self.write_ready(order);
            } else {
                let rest = patience.checked_sub(waited).unwrap_or(patience);
                let goes_on = |order: &mut Order<'a, O, B>| order.ended.is_none() && !order.closed;
                let waited = self.left.wait_timeout_while(order, rest, goes_on);
                order = waited.unpoisoned().0;
            }
        }
    }

    /// Ends writing, and therefore reading.
    fn end<'g>(
        &'g self,
        order: Guard<'g, 'a, O, B>,
        ended: Result<Finish, PipelineError>,
    ) -> Guard<'g, 'a, O, B> {
        drop(order);
        // First, because workers that wait for room go on to read.
        self.read_no_more(lock(&self.reading));
        let mut order = lock(&self.order);
        order.ended.get_or_insert(ended);
        self.written.notify_all();
        self.left.notify_one();
        order
    }

    /// Determines how the run ended, after all threads have ended.
    fn conclude(self) -> (Flow, Result<Finish, PipelineError>) {
        let reading = self.reading.into_inner().unpoisoned();
        let order = self.order.into_inner().unpoisoned();
        let result = match (order.ended, order.output) {
            (Some(ended), _) => ended,
            // A thread took the output and never gave it back.
            (None, None) => Err(PipelineError::Panicked { part: "the writer" }),
            (None, Some(output)) => guarded("the writer", || finish(output.flush())),
        };
        (reading.flow, result)
    }
}

impl<S: Source> Reading<'_, S> {
    /// Takes the number of the next piece.
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl<'a, O, B> Order<'a, O, B> {
    /// Takes the output and the next result, if the turn to write is free and the result is ready.
    fn turn_to_write(&mut self) -> Option<(&'a mut O, Result<B, PipelineError>)> {
        if self.ended.is_some() || self.output.is_none() {
            return None;
        }
        let result = self.ready.remove(&self.next)?;
        self.output.take().map(|output| (output, result))
    }

    fn give_back(&mut self, output: &'a mut O) {
        (self.output, self.since) = (Some(output), Instant::now());
    }
}

/// Writes the next result; or, if it is a failure, flushes what came before it.
fn write<B: Outgoing, O: Sink<B>>(output: &mut O, result: Result<B, PipelineError>) -> Written<B> {
    let mut out = match result {
        Ok(out) => out,
        Err(error) => {
            // Report the first failure, not that of the flush.
            let _ = guarded("the writer", || finish(output.flush()));
            return Written::Break(Err(error));
        }
    };
    match attempt(output, |output| output.write(&out)) {
        Ok(Finish::Complete) => {
            // Clear it now: it may hold keys that must be dropped when their epoch ends.
            out.clear();
            Written::Continue(out)
        }
        ended => Written::Break(ended),
    }
}

/// Locks a mutex. No holder can have panicked half way: code that may panic is guarded and runs without a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Output;
    use crate::pipeline::output::tests::Plain;
    use crate::primitives::diag::Diagnostic;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A source that fails.
    struct Failing<'f>(&'f AtomicBool);

    impl Source for Failing<'_> {
        type Keys = u8;

        fn next(&mut self) -> Result<SourceItem<u8>, PipelineError> {
            self.0.store(true, Ordering::SeqCst);
            Err(PipelineError::EpochOver)
        }

        fn recycle(&mut self, _block: Block) {}
    }

    /// A worker that gets nothing to do.
    struct Idle;

    impl Work<u8> for Idle {
        type Output = Plain;

        fn renew(&mut self, _keys: Arc<u8>) {}

        fn work(&mut self, _: &Piece, _: Timestamp, _: &mut Plain) -> Result<(), Diagnostic> {
            Ok(())
        }
    }

    /// A piece that another worker read then would be written in the place of the one that was lost.
    #[test]
    fn there_is_no_moment_at_which_a_source_that_has_failed_can_be_read() {
        for _ in 0..1000 {
            let failed = AtomicBool::new(false);
            let (mut source, mut output) = (Failing(&failed), Output::new(io::sink()));
            let turns = Turns::new(&mut source, &mut output, 1, &|| ());
            thread::scope(|scope| {
                scope.spawn(|| turns.worker_loop(Idle));
                loop {
                    let reading = lock(&turns.reading);
                    if reading.over {
                        break;
                    }
                    assert!(reading.source.is_none() || !failed.load(Ordering::SeqCst));
                }
            });
        }
    }
}
