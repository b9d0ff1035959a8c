//! Workers that take turns: one reads the next piece while the others work, and results go out in the order of the pieces.
//!
//! ```text
//! worker: turn to read --piece n--> work --result n--> its place in the order --> turn to write, if nobody has it
//! ```
//! - Whoever is free reads, and works on what it read: the bytes stay with the core that has them in its cache, and there
//!   are no more threads than there is work for.
//! - A result waits until all before it are written. Whoever has the turn to write writes all that are ready, one after
//!   another; the others leave theirs and go on. If an output has to do things while nothing comes ([`Sink::patience`]),
//!   another thread takes that turn when nobody has had it for so long.
//! - Results that wait are bounded, and so is memory. It cannot lock up: nobody waits for room before its own result is in
//!   its place, so the result that is next is being worked on, or is written by whoever has the turn.
//! - Every piece has a number. A failure to read has that of the next piece, so what comes first in the input is told, after
//!   everything before it is written.

use super::{
    Fed, Finish, Flow, Outgoing, Piece, PipelineError, Sink, Source, Work, attempt, finish, guarded, work,
};
use crate::input::Block;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Results that may wait for one before them, for each worker: enough to even out pieces that take longer than others.
pub(super) const DEPTH: usize = 4;

/// How often an output is asked again that says it may wait for ever.
const LONG_PATIENCE: Duration = Duration::from_secs(1);

/// Runs `source` through `workers`, a thread each, to `output`. Gives the workers, what was read, and how it ended.
///
/// `stop` makes `source` end; it is called when something else has failed.
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
    let turns = Turns {
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
        most_ready: workers.len() * DEPTH,
        stop,
    };
    let workers = thread::scope(|scope| {
        let turns = &turns;
        is_patient.then(|| scope.spawn(|| turns.tend()));
        let toil = |worker| scope.spawn(move || turns.toil(worker));
        let threads: Vec<_> = workers.into_iter().map(toil).collect();
        let workers = threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
        lock(&turns.order).closed = true;
        turns.left.notify_one();
        workers
    });
    let (flow, result) = turns.conclude();
    (workers, flow, result)
}

/// What the threads share. Nobody holds both locks.
struct Turns<'a, S: Source, O, B> {
    reading: Mutex<Reading<'a, S>>,
    /// Told when the turn to read is free, when there are other keys, and when nothing more is read.
    read: Condvar,
    order: Mutex<Order<'a, O, B>>,
    /// Told when no more results will come or be written.
    left: Condvar,
    /// Told when a result was written or no more will be.
    written: Condvar,
    /// Results that may wait.
    most_ready: usize,
    stop: &'a (dyn Fn() + Sync),
}

/// The side of the input.
struct Reading<'a, S: Source> {
    /// Taken by whoever has the turn.
    source: Option<&'a mut S>,
    /// Those that hold for the pieces that follow, and how often there were new ones.
    keys: (u64, Option<Arc<S::Keys>>),
    /// The number of the next piece.
    next: u64,
    /// Nothing more is read.
    over: bool,
    flow: Flow,
}

/// The side of the output.
struct Order<'a, O, B> {
    /// Taken by whoever has the turn.
    output: Option<&'a mut O>,
    /// Results that wait for one before them, by number.
    ready: BTreeMap<u64, Result<B, PipelineError>>,
    /// The number of the next one to write.
    next: u64,
    /// To be used again.
    empty: Vec<B>,
    /// When the output was last used.
    since: Instant,
    /// Nothing more is written, and why.
    ended: Option<Result<Finish, PipelineError>>,
    /// No more results will come.
    closed: bool,
}

/// A piece, its number, and when it was received.
type Numbered = (u64, Piece, Timestamp);

/// The side of the output, locked.
type Guard<'g, 'a, O, B> = MutexGuard<'g, Order<'a, O, B>>;

/// What becomes of a result: it was written and is empty, or nothing more is written.
type Written<B> = ControlFlow<Result<Finish, PipelineError>, B>;

impl<'a, S: Source, O: Sink<B>, B: Outgoing> Turns<'a, S, O, B> {
    /// Works until nothing more is read. The worker, unless it was lost in a panic.
    fn toil<W: Work<S::Keys, Output = B>>(&self, worker: W) -> Option<W> {
        let toiled = guarded("a worker", || Ok(self.work_through(worker)));
        toiled.map_err(|error| drop(self.end(lock(&self.order), Err(error)))).ok()
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

    /// The next piece, as soon as it is this worker's turn; before that the keys for it. `None` if nothing more is read.
    /// A block that was `used` goes back to the source.
    fn take<W: Work<S::Keys>>(
        &self,
        worker: &mut W,
        renewed: &mut u64,
        mut used: Option<Block>,
    ) -> Option<Numbered> {
        loop {
            let source = self.turn_to_read(worker, renewed)?;
            let fed = guarded("the reader", || {
                used.take().into_iter().for_each(|block| source.recycle(block));
                source.next()
            });
            let mut reading = lock(&self.reading);
            reading.source = Some(source);
            match fed {
                // Something else has failed meanwhile.
                Ok(Fed::Piece(..)) if reading.over => return None,
                Ok(Fed::Piece(piece, received)) => {
                    reading.flow.count(&piece);
                    let number = reading.number();
                    drop(reading);
                    self.read.notify_one();
                    return Some((number, piece, received));
                }
                Ok(Fed::Renewed(keys)) => {
                    reading.keys = (reading.keys.0 + 1, Some(keys));
                    // To all, for the keys before must go now.
                    self.read.notify_all();
                }
                Ok(Fed::End) => {
                    reading.over = true;
                    self.read.notify_all();
                    return None;
                }
                Err(error) => {
                    drop(reading);
                    self.fail(error);
                    return None;
                }
            }
        }
    }

    /// Waits for the turn to read, and meanwhile takes new keys as they come. `None` if nothing more is read.
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
                        self.fail(error);
                        return None;
                    }
                    reading = lock(&self.reading);
                }
                _ => match reading.source.take() {
                    Some(source) => return Some(source),
                    None => reading = self.read.wait(reading).unwrap_or_else(PoisonError::into_inner),
                },
            }
        }
    }

    /// Puts a failure in the place of the next piece.
    fn fail(&self, error: PipelineError) {
        let number = lock(&self.reading).number();
        self.read_no_more();
        self.deliver(number, Err(error));
    }

    fn read_no_more(&self) {
        lock(&self.reading).over = true;
        self.read.notify_all();
        (self.stop)();
    }

    /// Puts a result in its place. Writes those that are ready, unless somebody does; waits while too many wait. Gives an
    /// empty one.
    fn deliver(&self, number: u64, result: Result<B, PipelineError>) -> B {
        let mut order = lock(&self.order);
        order.ready.insert(number, result);
        let is_full =
            |order: &mut Order<'a, O, B>| order.ready.len() >= self.most_ready && order.ended.is_none();
        let order = self.write_ready(order);
        let mut order = self.written.wait_while(order, is_full).unwrap_or_else(PoisonError::into_inner);
        order.empty.pop().unwrap_or_default()
    }

    /// Writes what is ready, unless somebody does.
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

    /// Has the output do what is due whenever it has not been used for as long as it may wait.
    fn tend(&self) {
        let mut order = lock(&self.order);
        let mut patience = LONG_PATIENCE;
        while order.ended.is_none() && !order.closed {
            // Whoever writes has it.
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
                order = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Writes nothing more, and so reads nothing more.
    fn end<'g>(
        &'g self,
        order: Guard<'g, 'a, O, B>,
        ended: Result<Finish, PipelineError>,
    ) -> Guard<'g, 'a, O, B> {
        drop(order);
        // First, for whoever waits for room goes on to read.
        self.read_no_more();
        let mut order = lock(&self.order);
        order.ended.get_or_insert(ended);
        self.written.notify_all();
        self.left.notify_one();
        order
    }

    /// How it ended, after all threads have.
    fn conclude(self) -> (Flow, Result<Finish, PipelineError>) {
        let reading = self.reading.into_inner().unwrap_or_else(PoisonError::into_inner);
        let order = self.order.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = match (order.ended, order.output) {
            (Some(ended), _) => ended,
            // Whoever had the turn has not given it back.
            (None, None) => Err(PipelineError::Panicked { part: "the writer" }),
            (None, Some(output)) => guarded("the writer", || finish(output.flush())),
        };
        (reading.flow, result)
    }
}

impl<S: Source> Reading<'_, S> {
    /// The number of the next piece, which is taken.
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl<'a, O, B> Order<'a, O, B> {
    /// The output and the next result, if nobody has the turn and the result has come.
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

/// Writes the next result, or hands on what came before a failure.
fn write<B: Outgoing, O: Sink<B>>(output: &mut O, result: Result<B, PipelineError>) -> Written<B> {
    let mut out = match result {
        Ok(out) => out,
        Err(error) => {
            // The failure that came first is the one to tell.
            let _ = guarded("the writer", || finish(output.flush()));
            return Written::Break(Err(error));
        }
    };
    match attempt(output, |output| output.write(&out)) {
        Ok(Finish::Complete) => {
            // Now: it may hold keys that must go when their epoch does.
            out.clear();
            Written::Continue(out)
        }
        ended => Written::Break(ended),
    }
}

/// Whoever held it has not panicked half way: what may panic is guarded, and not done under a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
