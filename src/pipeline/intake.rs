//! Where all inputs meet: merges batches of records from many connections into one sequence of blocks.
//!
//! ```text
//! Intake (one per connection) --batch, waits for memory--> its queue
//! Gathered: a batch from each queue in turn --blocks--> Feed -> workers -> outputs
//! outputs: "durable up to piece n" --Gate--> every Receipt whose batch ended in a piece up to n
//! ```
//! - Memory is bounded: a batch waits for room in its connection's share and in the total, and releases both when
//!   it is copied into a block. Waiting batches are served in FIFO order.
//! - No connection starves: the queues that have batches take turns, one batch each.
//! - While a required output is full, senders that can wait are made to wait ([`Gate::pause`]). Datagrams are
//!   still accepted, because they would be lost otherwise; so at least the archive has them.
//! - There is one order: pieces are numbered as the writer receives them, so a single number says what is durable.

use super::error::PipelineError;
use super::feed::{Part, Parts};
use crate::input::{Batch, Block, Closed, Deliver, Ending, Long, Lost};
use crate::primitives::clock::Clock;
use crate::primitives::lock::Unpoisoned as _;
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Limits on the memory for records in transit.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// For all connections together, in bytes: half for whole records, half for unfinished ones.
    pub all_bytes: usize,
    /// For the whole records of one connection, in bytes.
    pub connection_bytes: usize,
}

/// Admits records. All inputs and outputs share it.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    room: Room,
    whole: Arc<Semaphore>,
    unfinished: Arc<Semaphore>,
}

/// The entry point for the records of one connection or socket.
#[derive(Debug)]
pub struct Intake {
    gate: Gate,
    origin: u64,
    share: Arc<Semaphore>,
    /// Whether an over-long record was begun and has not ended.
    in_long: bool,
    /// The memory reserved for an unfinished record.
    held: Option<OwnedSemaphorePermit>,
    sender: SenderKind,
    /// Whether senders that can wait must do so.
    paused: watch::Receiver<bool>,
}

/// What a sender does while nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// It waits: a connection, a file.
    CanWait,
    /// It goes on and never learns of losses: datagrams.
    CannotWait,
}

/// Resolves when a batch is durable.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

/// The records of all connections. It outlives a run of the pipeline and serves the next one.
pub struct Gathered {
    shared: Arc<Shared>,
    clock: Clock,
    /// Buffers for reuse.
    spare: Vec<Vec<u8>>,
    /// Part of an over-long record that was taken from the queue but not yet returned.
    long: Option<(u64, Long)>,
    /// The origin of an over-long record whose end is to be returned next.
    ending: Option<u64>,
    /// The bytes of the last [`Part::TooLong`] that was returned.
    given: Vec<u8>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to gather or nothing more will come.
    arrived: Condvar,
    /// Whether senders that can wait must do so.
    paused: watch::Sender<bool>,
    /// When the outputs last gave a sign of life, in milliseconds after `start`.
    beat: AtomicU64,
    start: Instant,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<u64, VecDeque<Entry>>,
    /// Origins whose queue is not empty, in the order of their turns.
    turns: VecDeque<u64>,
    next_origin: u64,
    closed: bool,
    interrupted: bool,
    /// The number of pieces given to the pipeline so far.
    pieces: u64,
    /// The receipts of batches, each with the piece that holds the last record of its batch.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    /// Pieces that hold records of senders that can wait and are not durable, in order.
    can_wait: VecDeque<u64>,
}

#[derive(Debug)]
struct Entry {
    batch: Batch,
    sender: SenderKind,
    receipt: oneshot::Sender<()>,
    /// Shares of the connection and of the total, released when the batch is copied.
    _room: [OwnedSemaphorePermit; 2],
}

impl Gate {
    /// Creates a gate, and the queue of the records that it admits.
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

    /// Creates an intake for another connection.
    #[must_use]
    pub fn intake(&self) -> Intake {
        self.intake_of(SenderKind::CanWait)
    }

    /// Creates an intake for a datagram socket. It never waits for an output, and has a larger share than a
    /// connection, because it serves all senders of the socket.
    #[must_use]
    pub fn intake_of_datagrams(&self) -> Intake {
        self.intake_of(SenderKind::CannotWait)
    }

    fn intake_of(&self, sender: SenderKind) -> Intake {
        let mut state = self.shared.lock();
        state.next_origin += 1;
        let origin = state.next_origin;
        drop(state);
        let share = Arc::new(Semaphore::new(self.share_bytes(sender)));
        let paused = self.shared.paused.subscribe();
        Intake { gate: self.clone(), origin, share, in_long: false, held: None, sender, paused }
    }

    /// Stops taking records. Records taken so far are still gathered, followed by [`Part::End`].
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        // Under the lock, so that `pause` cannot follow it.
        self.go_on();
        drop(state);
        self.whole.close();
        self.shared.arrived.notify_all();
    }

    /// Ends the current run of the pipeline as soon as possible. Records that are not yet in a block are left for
    /// the next run.
    pub fn interrupt(&self) {
        self.shared.lock().interrupted = true;
        self.shared.arrived.notify_all();
    }

    /// Makes senders that can wait do so until [`Gate::go_on`] is called, because a required output is full.
    pub fn pause(&self) {
        let state = self.shared.lock();
        self.shared.paused.send_if_modified(|paused| !state.closed && !std::mem::replace(paused, true));
    }

    /// Lets senders go on.
    pub fn go_on(&self) {
        self.shared.paused.send_if_modified(std::mem::take);
    }

    /// The kind of sender of piece `piece`, which must not be durable yet: [`SenderKind::CanWait`] if any of
    /// its records is from one that can.
    #[must_use]
    pub fn sender_kind(&self, piece: u64) -> SenderKind {
        let can_wait = self.shared.lock().can_wait.binary_search(&piece).is_ok();
        if can_wait { SenderKind::CanWait } else { SenderKind::CannotWait }
    }

    /// Resolves the receipts of all pieces up to and including `pieces`, counted from 1 over all runs.
    pub fn durable(&self, pieces: u64) {
        let mut state = self.shared.lock();
        while state.waiting.front().is_some_and(|(piece, _)| *piece <= pieces) {
            if let Some((_, receipt)) = state.waiting.pop_front() {
                // The sender may have stopped waiting.
                let _ = receipt.send(());
            }
        }
        while state.can_wait.pop_front_if(|piece| *piece <= pieces).is_some() {}
    }

    /// Whether a sender waits for a piece to become durable.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.shared.lock().waiting.iter().any(|(_, receipt)| !receipt.is_closed())
    }

    /// The number of pieces given to the pipeline so far.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.shared.lock().pieces
    }

    /// Closes the gate after a failure of the pipeline. Pending receipts resolve to [`Lost`].
    pub fn fail(&self) {
        self.close();
        let mut state = self.shared.lock();
        state.waiting.clear();
        state.queues.clear();
        state.turns.clear();
    }

    /// Records that the outputs are working, or idle but alive.
    pub fn beat(&self) {
        let now = u64::try_from(self.shared.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.beat.store(now, Ordering::Relaxed);
    }

    /// The time since the last [`Gate::beat`]. The outputs beat at least once a second.
    #[must_use]
    pub fn since_beat(&self) -> Duration {
        let last = Duration::from_millis(self.shared.beat.load(Ordering::Relaxed));
        self.shared.start.elapsed().saturating_sub(last)
    }

    /// Whether no more records are taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Whether no more records are taken, and all that were taken have been gathered. A run that was interrupted
    /// leaves some, and the gate may close before the next one.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let state = self.shared.lock();
        state.closed && state.turns.is_empty()
    }

    /// Raises the number of pieces to what the outputs have received, which includes pieces added at the end of a run.
    pub fn count_to(&self, pieces: u64) {
        let mut state = self.shared.lock();
        state.pieces = state.pieces.max(pieces);
    }

    fn share_bytes(&self, sender: SenderKind) -> usize {
        let wanted = match sender {
            SenderKind::CanWait => self.room.connection_bytes,
            SenderKind::CannotWait => self.room.connection_bytes.max(self.room.all_bytes / 4),
        };
        wanted.min(self.room.all_bytes / 2)
    }
}

impl Intake {
    /// Waits for room. A batch that is larger than the whole share takes the whole share.
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
        if self.sender == SenderKind::CanWait {
            // Fails only if the gate no longer exists.
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

/// Ends an over-long record whose connection closes in the middle of it.
impl Drop for Intake {
    fn drop(&mut self) {
        if !self.in_long {
            return;
        }
        let mut batch = Batch::default();
        batch.seal(Vec::new(), true);
        let none = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(0).ok();
        // If the gate is closed, the end of the run ends the record.
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
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    /// Takes the batch whose turn it is. Its connection goes to the back of the queue.
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

    /// Notes that the batch of `receipt` ends in the next piece.
    fn await_piece(&mut self, receipt: oneshot::Sender<()>, sender: SenderKind) {
        if !receipt.is_closed() {
            self.waiting.push_back((self.pieces + 1, receipt));
        }
        self.note_sender(sender);
    }

    /// Notes that records in the next piece are from `sender`.
    fn note_sender(&mut self, sender: SenderKind) {
        let piece = self.pieces + 1;
        if sender == SenderKind::CanWait && self.can_wait.back() != Some(&piece) {
            self.can_wait.push_back(piece);
        }
    }
}

/// Shows no parts of records, which are in clear.
impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathered").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Gathered {
    /// Clears an interruption, which has ended the run that it was meant for.
    pub fn resume(&self) {
        self.shared.lock().interrupted = false;
    }

    /// Gathers the lines of enough batches for a block, or up to the first part of an over-long record.
    fn gather(&mut self, state: &mut State) -> Option<Block> {
        let mut lines = Vec::new();
        while lines.len() < BLOCK_BYTES && self.long.is_none() {
            let Some((origin, entry)) = state.take() else { break };
            let (whole, long) = entry.batch.into_parts();
            let has_lines = !whole.is_empty();
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
                // The lines form one piece, and the quarantined record forms the next.
                if has_lines {
                    state.note_sender(entry.sender);
                }
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

    /// Waits for an arrival, until `deadline` but at most a minute, because the clock may be set meanwhile.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Option<Timestamp>) -> MutexGuard<'a, State> {
        let left = deadline.map_or(LONGEST_WAIT, |deadline| {
            Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or(Duration::ZERO)
        });
        let left = if self.clock.is_running() { left.min(LONGEST_WAIT) } else { LONGEST_WAIT };
        let waited = self.shared.arrived.wait_timeout(state, left);
        waited.unpoisoned().0
    }
}

impl Parts for Gathered {
    fn next_part(&mut self, deadline: Option<Timestamp>) -> Result<Part<'_>, PipelineError> {
        if let Some(origin) = self.ending.take() {
            self.shared.lock().pieces += 1;
            return Ok(Part::TooLongEnd { origin, ending: Ending::Lf });
        }
        if let Some((origin, Long { bytes, ends })) = self.long.take() {
            // Even if it is empty: a run that gets only the end of a record must still quarantine something.
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

/// The same as for the blocks of a file: fits into a second-level cache.
const BLOCK_BYTES: usize = 128 << 10;

/// How much memory an unfinished record may take in each connection without a reservation.
const FREE_UNFINISHED_BYTES: usize = 64 << 10;

/// How many buffers are kept for reuse.
const MOST_SPARE: usize = 16;

const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
