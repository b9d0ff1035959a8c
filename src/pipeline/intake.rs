//! Where all inputs meet: batches of records from many connections into one order of blocks.
//!
//! ```text
//! Intake (one a connection) --batch, waits for memory--> its queue
//! Gathered: a batch from each queue in turn --blocks--> Feed -> workers -> outputs
//! outputs: "durable up to piece n" --Gate--> every Receipt whose batch ended in a piece up to n
//! ```
//! - Memory is bounded: a batch waits for a share of its connection and a share of all, and gives both back
//!   when it is copied into a block. Whoever waited longest comes first.
//! - Nobody is starved: one batch from each connection that has any, in turn.
//! - While an output that must have everything is full, senders that can wait are made to ([`Gate::pause`]). Datagrams
//!   come all the same, for they would be lost; so the archive has them.
//! - There is one order. Pieces are counted as the writer meets them, and one number says what is durable.

use super::error::PipelineError;
use super::feed::{Part, Parts};
use crate::input::{Batch, Block, Closed, Deliver, Ending, Long, Lost};
use crate::primitives::clock::Clock;
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Memory for records that are on their way.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// For all connections together, in bytes: half for whole records, half for unfinished ones.
    pub all_bytes: usize,
    /// For the whole records of one connection.
    pub connection_bytes: usize,
}

/// Lets records in; all inputs and outputs share it.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    room: Room,
    whole: Arc<Semaphore>,
    unfinished: Arc<Semaphore>,
}

/// The way in for one connection or socket.
#[derive(Debug)]
pub struct Intake {
    gate: Gate,
    origin: u64,
    share: Arc<Semaphore>,
    /// Whether a record that is too long was begun and not ended.
    in_long: bool,
    /// What an unfinished record may take.
    held: Option<OwnedSemaphorePermit>,
    sender: Sender,
    /// Whether senders that can wait are to.
    paused: watch::Receiver<bool>,
}

/// Who sends what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Somebody who waits while nothing is read: a connection, a file.
    Patient,
    /// Somebody who goes on and never knows: datagrams.
    Hasty,
}

/// Resolves when a batch is durable.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

/// The records of all connections, for one run of the pipeline after another.
pub struct Gathered {
    shared: Arc<Shared>,
    clock: Clock,
    /// Buffers that came back.
    spare: Vec<Vec<u8>>,
    /// A part of a long record that was taken out and not given yet.
    long: Option<(u64, Long)>,
    /// The origin of a long record whose end is to be given next.
    ending: Option<u64>,
    /// The bytes of [`Part::TooLong`] that was given last.
    given: Vec<u8>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is something to gather, or no more will come.
    arrived: Condvar,
    /// Whether senders that can wait are to.
    paused: watch::Sender<bool>,
    /// When the outputs last did something, in milliseconds after `start`.
    beat: AtomicU64,
    start: Instant,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<u64, VecDeque<Entry>>,
    /// Origins whose queue is not empty, in the order in which their turn comes.
    turns: VecDeque<u64>,
    next_origin: u64,
    closed: bool,
    interrupted: bool,
    /// Pieces given to the pipeline so far.
    pieces: u64,
    /// Batches whose last record is in that piece.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    /// Pieces with records of patient senders that are not durable, in order.
    patient: VecDeque<u64>,
}

#[derive(Debug)]
struct Entry {
    batch: Batch,
    sender: Sender,
    receipt: oneshot::Sender<()>,
    /// Given back when the batch is copied: the share of the connection, and that of all.
    _room: [OwnedSemaphorePermit; 2],
}

impl Gate {
    /// A gate, and where what it lets in comes out.
    #[must_use]
    pub fn new(room: Room, clock: Clock) -> (Self, Gathered) {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            arrived: Condvar::new(),
            paused: watch::Sender::new(false),
            beat: AtomicU64::new(0),
            start: Instant::now(),
        });
        let half = Arc::new(Semaphore::new(room.all_bytes / 2));
        let unfinished = Arc::new(Semaphore::new(room.all_bytes / 2));
        let gathered = Gathered {
            shared: Arc::clone(&shared),
            clock,
            spare: Vec::new(),
            long: None,
            ending: None,
            given: Vec::new(),
        };
        (Self { shared, room, whole: half, unfinished }, gathered)
    }

    /// A way in for another connection.
    #[must_use]
    pub fn intake(&self) -> Intake {
        self.intake_of(Sender::Patient)
    }

    /// A way in for a socket of datagrams. It never waits for an output, and has a larger share than a connection, for there is
    /// one for all its senders.
    #[must_use]
    pub fn intake_of_datagrams(&self) -> Intake {
        self.intake_of(Sender::Hasty)
    }

    fn intake_of(&self, sender: Sender) -> Intake {
        let mut state = self.shared.lock();
        state.next_origin += 1;
        let origin = state.next_origin;
        drop(state);
        let share = Arc::new(Semaphore::new(self.share_bytes(sender)));
        let paused = self.shared.paused.subscribe();
        Intake { gate: self.clone(), origin, share, in_long: false, held: None, sender, paused }
    }

    /// Takes nothing more. What was taken is still gathered; then comes the end.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        // Under the lock, so that nobody pauses afterwards.
        self.go_on();
        drop(state);
        self.whole.close();
        self.shared.arrived.notify_all();
    }

    /// Ends the run of the pipeline that is gathering, as soon as it can; what is not in a block by then
    /// is for the next one.
    pub fn interrupt(&self) {
        self.shared.lock().interrupted = true;
        self.shared.arrived.notify_all();
    }

    /// Senders that can wait are to, until further notice: an output that must have everything is full.
    pub fn pause(&self) {
        let state = self.shared.lock();
        self.shared.paused.send_if_modified(|paused| !state.closed && !std::mem::replace(paused, true));
    }

    /// Nobody has to wait any more.
    pub fn go_on(&self) {
        self.shared.paused.send_if_modified(std::mem::take);
    }

    /// Whether piece number `piece`, which is not durable, has records of senders that can wait.
    #[must_use]
    pub fn sender_of(&self, piece: u64) -> Sender {
        let is_patient = self.shared.lock().patient.binary_search(&piece).is_ok();
        if is_patient { Sender::Patient } else { Sender::Hasty }
    }

    /// The pieces up to and including number `pieces`, counted from 1 over all runs, are durable.
    pub fn durable(&self, pieces: u64) {
        let mut state = self.shared.lock();
        while state.waiting.front().is_some_and(|(piece, _)| *piece <= pieces) {
            if let Some((_, receipt)) = state.waiting.pop_front() {
                // Who does not wait does not care.
                let _ = receipt.send(());
            }
        }
        while state.patient.pop_front_if(|piece| *piece <= pieces).is_some() {}
    }

    /// Whether somebody waits for pieces that were given to become durable.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.shared.lock().waiting.iter().any(|(_, receipt)| !receipt.is_closed())
    }

    /// Pieces given to the pipeline so far.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.shared.lock().pieces
    }

    /// The pipeline failed: nothing more is taken, and nothing that was is known to be durable.
    pub fn fail(&self) {
        self.close();
        let mut state = self.shared.lock();
        state.waiting.clear();
        state.queues.clear();
        state.turns.clear();
    }

    /// The outputs are at work, or wait for some.
    pub fn beat(&self) {
        let now = u64::try_from(self.shared.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.beat.store(now, Ordering::Relaxed);
    }

    /// How long ago the outputs did something. They do at least every second.
    #[must_use]
    pub fn since_beat(&self) -> Duration {
        let last = Duration::from_millis(self.shared.beat.load(Ordering::Relaxed));
        self.shared.start.elapsed().saturating_sub(last)
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// The outputs have met so many pieces: those that ended a run are among them.
    pub fn count_to(&self, pieces: u64) {
        let mut state = self.shared.lock();
        state.pieces = state.pieces.max(pieces);
    }

    fn share_bytes(&self, sender: Sender) -> usize {
        let wanted = match sender {
            Sender::Patient => self.room.connection_bytes,
            Sender::Hasty => self.room.connection_bytes.max(self.room.all_bytes / 4),
        };
        wanted.min(self.room.all_bytes / 2)
    }
}

impl Intake {
    /// Waits until there is room. A batch larger than all there may be takes all there may be.
    async fn room(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], Closed> {
        let most = u32::try_from(self.gate.share_bytes(self.sender)).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(most);
        let own = Arc::clone(&self.share).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        let of_all = Arc::clone(&self.gate.whole).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        Ok([own, of_all])
    }

    fn enqueue(&mut self, entry: Entry) -> Result<(), Closed> {
        let mut state = self.gate.shared.lock();
        if state.closed {
            return Err(Closed);
        }
        let queue = state.queues.entry(self.origin).or_default();
        queue.push_back(entry);
        if queue.len() == 1 {
            state.turns.push_back(self.origin);
        }
        drop(state);
        self.gate.shared.arrived.notify_one();
        Ok(())
    }
}

impl Deliver for Intake {
    type Receipt = Receipt;

    async fn deliver(&mut self, batch: Batch) -> Result<Receipt, Closed> {
        if self.sender == Sender::Patient {
            // Fails only if there is no gate any more.
            let _ = self.paused.wait_for(|paused| !paused).await;
        }
        let room = self.room(batch.bytes()).await?;
        let long = batch.ends_long();
        let (receipt, resolved) = oneshot::channel();
        self.enqueue(Entry { batch, sender: self.sender, receipt, _room: room })?;
        if let Some(ends) = long {
            self.in_long = !ends;
        }
        Ok(Receipt(resolved))
    }

    fn may_hold(&mut self, bytes: usize) -> bool {
        self.held = None;
        let Some(over) = bytes.checked_sub(FREE_UNFINISHED_BYTES).filter(|over| *over > 0) else {
            return true;
        };
        let Ok(over) = u32::try_from(over) else { return false };
        self.held = Arc::clone(&self.gate.unfinished).try_acquire_many_owned(over).ok();
        self.held.is_some()
    }
}

/// A connection that goes away in the middle of a long record ends it.
impl Drop for Intake {
    fn drop(&mut self) {
        if !self.in_long {
            return;
        }
        let mut batch = Batch::default();
        batch.seal(Vec::new(), true);
        let none = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(0).ok();
        // Closed: then the end of the run ends the record.
        if let (Some(own), Some(of_all)) = (none(&self.share), none(&self.gate.whole)) {
            let (receipt, _) = oneshot::channel();
            let _ = self.enqueue(Entry { batch, sender: self.sender, receipt, _room: [own, of_all] });
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|resolved| resolved.map_err(|_| Lost))
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left the state whole: nothing in here can be half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The batch whose turn it is; its connection goes to the end of the line.
    fn take(&mut self) -> Option<(u64, Entry)> {
        let origin = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&origin)?;
        let entry = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&origin);
        } else {
            self.turns.push_back(origin);
        }
        Some((origin, entry))
    }

    /// The batch of `receipt` ends in the piece that is given next.
    fn await_piece(&mut self, receipt: oneshot::Sender<()>, sender: Sender) {
        let piece = self.pieces + 1;
        if !receipt.is_closed() {
            self.waiting.push_back((piece, receipt));
        }
        if sender == Sender::Patient && self.patient.back() != Some(&piece) {
            self.patient.push_back(piece);
        }
    }
}

/// Parts of records are in clear: none is shown.
impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathered").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Gathered {
    /// Forgets interruptions: they have ended the run that they were meant for.
    pub fn resume(&self) {
        self.shared.lock().interrupted = false;
    }

    /// Lines of as many batches as make a block, or up to the first part of a long record.
    fn gather(&mut self, state: &mut State) -> Option<Block> {
        let mut lines = Vec::new();
        while lines.len() < BLOCK_BYTES && self.long.is_none() {
            let Some((origin, entry)) = state.take() else { break };
            let (whole, long) = entry.batch.into_parts();
            if lines.is_empty() && whole.len() >= BLOCK_BYTES / 2 {
                lines = whole;
            } else {
                if lines.capacity() == 0 {
                    lines = self.spare.pop().unwrap_or_default();
                    lines.clear();
                }
                lines.extend_from_slice(&whole);
            }
            self.long = long.map(|long| (origin, long));
            if self.long.as_ref().is_some_and(|(_, long)| long.ends) && !lines.is_empty() {
                // The lines are a piece, and the sealed record the one after it.
                state.pieces += 1;
                state.await_piece(entry.receipt, entry.sender);
                return Some(Block::new(lines));
            }
            state.await_piece(entry.receipt, entry.sender);
        }
        if lines.is_empty() {
            return None;
        }
        state.pieces += 1;
        Some(Block::new(lines))
    }

    /// Waits for an arrival: until `deadline`, or for a minute, for the clock may be set meanwhile.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Option<Timestamp>) -> MutexGuard<'a, State> {
        let left = deadline.map_or(LONGEST_WAIT, |deadline| {
            Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or(Duration::ZERO)
        });
        let left = if self.clock.is_running() { left.min(LONGEST_WAIT) } else { LONGEST_WAIT };
        let waited = self.shared.arrived.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Parts for Gathered {
    fn next_part(&mut self, deadline: Option<Timestamp>) -> Result<Part<'_>, PipelineError> {
        if let Some(origin) = self.ending.take() {
            self.shared.lock().pieces += 1;
            return Ok(Part::TooLongEnd { origin, ending: Ending::Lf });
        }
        if let Some((origin, Long { bytes, ends })) = self.long.take() {
            // Also without bytes: a run of the pipeline that has only the end must seal something.
            self.given = bytes;
            self.ending = ends.then_some(origin);
            return Ok(Part::TooLong { origin, bytes: &self.given });
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if std::mem::take(&mut state.interrupted) {
                return Ok(Part::End);
            }
            if let Some(block) = self.gather(&mut state) {
                return Ok(Part::Lines(block));
            }
            if self.long.is_some() {
                drop(state);
                return self.next_part(deadline);
            }
            if state.closed {
                return Ok(Part::End);
            }
            if self.clock.is_running() && deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
                return Ok(Part::Deadline);
            }
            state = self.wait(state, deadline);
        }
    }

    fn recycle(&mut self, block: Block) {
        let buffer = block.into_buffer();
        if buffer.capacity() <= 2 * BLOCK_BYTES && self.spare.len() < MOST_SPARE {
            self.spare.push(buffer);
        }
    }
}

impl Parts for &mut Gathered {
    fn next_part(&mut self, deadline: Option<Timestamp>) -> Result<Part<'_>, PipelineError> {
        (**self).next_part(deadline)
    }

    fn recycle(&mut self, block: Block) {
        (**self).recycle(block);
    }
}

/// As the blocks of a file: what second-level caches hold.
const BLOCK_BYTES: usize = 128 << 10;

/// What an unfinished record may take in each connection without asking.
const FREE_UNFINISHED_BYTES: usize = 64 << 10;

/// Buffers kept to be used again.
const MOST_SPARE: usize = 16;

const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
