//! The archive as an output: writes blocks of pseudonymised lines into segments and vaults.
//!
//! ```text
//! block --by class and day--> Pending --packers (threads)--> Packed
//!       --in order, committer (thread)--> vault: new originals, sync --> segment: frame, sync --> acknowledged
//! ```
//! - The original of a token is durable in the vault before the frame that holds the token is written
//!   (except with [`SyncPolicy::None`]).
//! - Frames are written in the order of their lines. Frames that become ready during a write are written together
//!   afterwards, so that they share one sync.
//! - A frame whose expiry day has come by the time its segment would be opened is dropped and counted.
//! - When an epoch ends, its segments are sealed and the remaining copies of its keys are wiped.

mod committer;
mod open_segments;
mod packing;
#[cfg(test)]
pub(super) mod tests;

pub use open_segments::{ArchiveParts, Escrow, OpenSegments, Wrap};

use super::output::{Descriptor, Output, Sink, WriteError};
use super::workers::Flow;
use crate::model::{ClassName, Folder};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochKeys;
use crate::pseudonym::{Dated, Pseudonymised};
use committer::Committer;
use packing::{Packed, Packing, Pending};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When frames are made durable, and so when lines are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Soon after frames are compressed ([`Options::gather`]) and the previous ones are durable. Frames that are ready
    /// at the same time share a sync.
    Frame,
    /// Once per interval, or when 16 MiB or [`Options::most_unsynced_frames`] frames wait. Until then, frames wait
    /// in memory.
    Interval(Duration),
    /// Not before a segment is sealed. A line is acknowledged once the operating system has it: it survives the end
    /// of the process, but not a crash of the machine. A power cut may also keep a frame and lose the originals of
    /// its tokens.
    None,
}

/// Options for writing an archive.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When frames are made durable.
    pub sync: SyncPolicy,
    /// How long lines wait at most for their frame to fill up.
    pub flush: Duration,
    /// The minimum time between two syncs unless too many frames wait, so that more frames share a sync.
    pub gather: Duration,
    /// The zstd compression level.
    pub level: i32,
    /// The number of threads that compress frames; with 0, the caller of [`Sink::write`] compresses them.
    pub packers: usize,
    /// How many frames may wait for a sync.
    pub most_unsynced_frames: usize,
    /// The size in bytes from which a segment is sealed.
    pub most_segment_bytes: u64,
    /// How many segments may be open at a time. The least recently used one is sealed to make room for another.
    pub most_open: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Frame,
            flush: Duration::from_secs(1),
            gather: Duration::from_millis(20),
            level: 1,
            packers: 1,
            most_unsynced_frames: 256,
            most_segment_bytes: 256 << 20,
            most_open: 64,
        }
    }
}

/// How many compressed bytes may wait for a sync.
const MOST_UNSYNCED_BYTES: usize = 16 << 20;

/// Writes blocks to an archive, and optionally to a second output.
pub struct Archiver {
    options: Options,
    clock: Clock,
    committer: Committer,
    packing: Packing,
    folders: Folders,
    /// The keys of the most recent block.
    keys: Option<Arc<EpochKeys>>,
    /// Lines that wait for their frame to fill up.
    pending: HashMap<Folder, Pending>,
    /// Frames that are compressed but not yet written, in the order of their lines.
    packed: Vec<Packed>,
    packed_bytes: usize,
    last_commit: Instant,
    tee: Option<Output<Descriptor>>,
    /// The number of the most recent block, counted from 1.
    blocks: u64,
    /// The number of the last block whose lines are all either waiting or written.
    taken: u64,
    /// The number of durable blocks, as of the last call of `note`.
    durable: u64,
    lines: u64,
    bytes: u64,
    failed: bool,
}

impl Archiver {
    /// Creates an archiver that writes to the archive of `segments`. `classes` holds the names of the policy's
    /// classes, followed by the name for lines whose class the policy does not have.
    ///
    /// # Errors
    /// Fails if threads cannot be started or there is no memory for compression.
    pub fn new(
        segments: OpenSegments,
        classes: Vec<ClassName>,
        options: Options,
        clock: Clock,
        tee: Option<Output<Descriptor>>,
    ) -> Result<Self, Diagnostic> {
        Ok(Self {
            packing: Packing::start(options.packers, options.level, segments.finds_foreign_tokens())?,
            options,
            clock,
            committer: Committer::start(segments, options)?,
            folders: Folders { classes, last: None },
            keys: None,
            pending: HashMap::new(),
            packed: Vec::new(),
            packed_bytes: 0,
            last_commit: Instant::now(),
            tee,
            blocks: 0,
            taken: 0,
            durable: 0,
            lines: 0,
            bytes: 0,
            failed: false,
        })
    }

    /// The number of acknowledged lines: durable, or with [`SyncPolicy::None`] handed to the operating system.
    /// Lines of different segments are acknowledged out of order, so this number is not a position in the input
    /// unless all lines have the same class and day. Lines that expired before they were written are not counted.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.committer.acknowledged().lines
    }

    /// The number of leading blocks of which every line is as safe as the sync policy makes it, or expired before
    /// it was written. Also valid after a failure.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Passes on a result of the committer after updating `durable`; the committer's next result may be an error.
    /// Call this only while every line that is not with the committer is in `pending`, `packing` or `packed`.
    fn note<T>(&mut self, said: Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        let pending = self.pending.values().map(Pending::first_block);
        let waiting = pending
            .chain(self.packing.first_block())
            .chain(self.packed.iter().map(|packed| packed.first_block))
            .chain(self.committer.first_block());
        self.durable = waiting.min().map_or(self.taken, |first| first.saturating_sub(1));
        said
    }

    /// The number of open segments.
    #[must_use]
    pub fn open_segments(&self) -> usize {
        self.committer.open_segments()
    }

    /// Writes all lines that wait for their frame to fill up or for a sync, because a sender waits for them.
    ///
    /// # Errors
    /// The same as [`Sink::write`].
    pub fn hasten(&mut self) -> Result<(), WriteError> {
        self.attempt(Self::drain)
    }

    fn take(&mut self, block: &Pseudonymised) -> Result<(), Diagnostic> {
        self.blocks += 1;
        if let Some(keys) = block.keys().cloned() {
            self.add_all(block, keys)?;
        }
        self.taken = self.blocks;
        self.pack_and_commit()
    }

    fn add_all(&mut self, block: &Pseudonymised, keys: Arc<EpochKeys>) -> Result<(), Diagnostic> {
        if self.keys.as_ref().is_some_and(|before| !Arc::ptr_eq(before, &keys)) {
            self.end_epoch()?;
        }
        self.keys = Some(Arc::clone(&keys));
        self.lines += block.indexed_lines() as u64;
        self.bytes += block.as_bytes().len() as u64;
        for (run, dated) in block.runs() {
            self.add(block, run, dated, &keys)?;
        }
        Ok(())
    }

    /// Adds a run of lines of one class and day.
    fn add(
        &mut self,
        block: &Pseudonymised,
        mut run: Range<usize>,
        dated: Dated,
        keys: &Arc<EpochKeys>,
    ) -> Result<(), Diagnostic> {
        let folder = self.folders.of(dated).clone();
        // If part of a block becomes durable and the rest cannot be written, the whole block is sent again. So avoid
        // splitting it between frames.
        if self.pending.get(&folder).is_none_or(|pending| pending.would_split(block, self.blocks)) {
            if let Some(full) = self.pending.remove(&folder) {
                self.pack(full)?;
            }
            let pending = self.packing.pending(folder.clone(), Arc::clone(keys), self.blocks);
            self.pending.insert(folder.clone(), pending);
        }
        while let Some(pending) = self.pending.get_mut(&folder) {
            run.start += pending.push(block, self.blocks, run.clone());
            if run.is_empty() {
                break;
            }
            // The frame is full.
            let next = self.packing.pending(folder.clone(), Arc::clone(keys), self.blocks);
            let full = std::mem::replace(pending, next);
            self.pack(full)?;
        }
        Ok(())
    }

    fn pack(&mut self, pending: Pending) -> Result<(), Diagnostic> {
        self.packing.send(pending)?;
        while self.packing.is_full() {
            self.receive_one()?;
            self.commit_if_due()?;
        }
        Ok(())
    }

    /// Packs the lines that are due, ordered by folder, so that the same input gives the same archive. Lines that are not
    /// packed yet still count as pending.
    fn pack_those(&mut self, due: impl Fn(&Pending) -> bool) -> Result<(), Diagnostic> {
        let due = self.pending.iter().filter(|(_, pending)| due(pending));
        let mut folders: Vec<_> = due.map(|(folder, _)| folder.clone()).collect();
        folders.sort_unstable();
        for folder in folders {
            if let Some(pending) = self.pending.remove(&folder) {
                self.pack(pending)?;
            }
        }
        Ok(())
    }

    /// Waits for the next frame in order.
    fn receive_one(&mut self) -> Result<(), Diagnostic> {
        if let Some(packed) = self.packing.next()? {
            self.packed_bytes += packed.frame.bytes();
            self.packed.push(packed);
        }
        Ok(())
    }

    /// Packs lines that have waited long enough, and writes packed frames if a commit is due.
    fn pack_and_commit(&mut self) -> Result<(), Diagnostic> {
        let crowded = self.pending.len() > self.options.most_open;
        let flush = self.options.flush;
        let due = |pending: &Pending| crowded || pending.age() >= flush;
        self.pack_those(due)?;
        while self.packing.has_ready() {
            self.receive_one()?;
        }
        self.commit_if_due()
    }

    fn commit_if_due(&mut self) -> Result<(), Diagnostic> {
        let crowded = self.packed_bytes >= MOST_UNSYNCED_BYTES
            || self.packed.len() >= self.options.most_unsynced_frames;
        let interval = match self.options.sync {
            SyncPolicy::Frame | SyncPolicy::None => self.options.gather,
            SyncPolicy::Interval(interval) => interval,
        };
        let due = !self.packed.is_empty() && self.last_commit.elapsed() >= interval;
        let looked = self.committer.look();
        self.note(looked)?;
        if crowded || due && self.committer.is_free() { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Diagnostic> {
        let waited = self.committer.wait();
        self.note(waited)?;
        let packed = std::mem::take(&mut self.packed);
        (self.packed_bytes, self.last_commit) = (0, Instant::now());
        let written = self.committer.write(packed, self.clock);
        self.note(written)?;
        self.packing.keep(self.committer.spares());
        Ok(())
    }

    /// Writes everything and waits until it is written.
    fn drain(&mut self) -> Result<(), Diagnostic> {
        self.pack_those(|_| true)?;
        while !self.packing.is_empty() {
            self.receive_one()?;
        }
        self.commit()?;
        let waited = self.committer.wait();
        self.note(waited)
    }

    /// Writes everything, seals every segment and drops the keys.
    fn end_epoch(&mut self) -> Result<(), Diagnostic> {
        self.drain()?;
        self.committer.seal_all(self.clock)?;
        drop(self.committer.spares());
        self.packing.wipe_spares();
        self.keys = None;
        Ok(())
    }

    fn epoch_is_over(&self) -> bool {
        let until = self.keys.as_ref().and_then(|keys| keys.until());
        until.is_some_and(|until| self.clock.now() >= until)
    }

    /// Runs `action`. After a failure nothing more is written, because the contents of the files are unknown.
    fn attempt(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<(), Diagnostic>,
    ) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Poisoned);
        }
        action(self).map_err(|diagnostic| {
            self.failed = true;
            WriteError::Archive(Box::new(diagnostic))
        })
    }

    /// Writes to the second output. If its reader goes away, archiving continues.
    fn tee(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        let Some(tee) = &mut self.tee else { return Ok(()) };
        match tee.write(block) {
            Err(WriteError::BrokenPipe) => {
                self.tee = None;
                Ok(())
            }
            written => written,
        }
    }
}

impl Sink<Pseudonymised> for Archiver {
    fn write(&mut self, block: &Pseudonymised) -> Result<(), WriteError> {
        // A line that is not in the index would be lost.
        assert!(block.is_indexed(), "a line of the block is not in its index");
        self.attempt(|archiver| archiver.take(block))?;
        self.tee(block)
    }

    fn idle(&mut self) -> Result<(), WriteError> {
        self.attempt(|archiver| {
            archiver.pack_and_commit()?;
            if archiver.epoch_is_over() {
                archiver.end_epoch()?;
            }
            archiver.committer.seal_old(archiver.clock)
        })
    }

    fn patience(&self) -> Option<Duration> {
        let packing = !self.pending.is_empty() || !self.packing.is_empty();
        let waiting = packing || !self.packed.is_empty() || !self.committer.is_free();
        Some(if waiting { SHORT_PATIENCE } else { LONG_PATIENCE })
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let archived = self.attempt(Self::end_epoch);
        // Flush the second output even if the archive failed: it may still work.
        let handed_on = self.tee.as_mut().map_or(Ok(()), Output::flush);
        archived.and(handed_on)
    }

    fn report(&self, flow: &mut Flow) {
        let (expired, done) = (self.committer.expired(), self.committer.acknowledged());
        (flow.lines_out, flow.bytes_out) = match self.failed {
            // Lines after these are in an unknown state.
            true => (done.lines, done.bytes),
            false => (self.lines - expired.lines, self.bytes - expired.bytes),
        };
        flow.expired = expired;
    }
}

impl std::fmt::Debug for Archiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archiver").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Maps a class index and an expiry day to a folder, and caches the last one.
struct Folders {
    classes: Vec<ClassName>,
    last: Option<(usize, Folder)>,
}

impl Folders {
    fn of(&mut self, dated: Dated) -> &Folder {
        let same =
            |(class, folder): &(usize, Folder)| *class == dated.class && folder.expires == dated.expires;
        let class = dated.class.min(self.classes.len().saturating_sub(1));
        let made = || (dated.class, Folder { expires: dated.expires, class: self.classes[class].clone() });
        let folder = self.last.take().filter(same).unwrap_or_else(made);
        &self.last.insert(folder).1
    }
}

/// How long to wait for a block while something waits to be written.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// How long to wait for a block while only the end of the epoch is awaited.
const LONG_PATIENCE: Duration = Duration::from_secs(1);
