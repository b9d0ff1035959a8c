//! Compresses lines into frames on separate threads, in the order of the lines.

use crate::archive::{ArchiveError, Frame, Lines, Packer, filter};
use crate::model::Folder;
use crate::pipeline::workers::LineTotals;
use crate::primitives::diag::Diagnostic;
use crate::primitives::key_set::KeySet;
use crate::pseudonym::epoch::EpochKeys;
use crate::pseudonym::{Pseudonymised, Tokens, token};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Lines of one class, day and epoch, with their tokens.
pub(super) struct Pending {
    folder: Folder,
    keys: Arc<EpochKeys>,
    lines: Lines,
    tokens: Tokens,
    /// Memory that the frame will be written to.
    frame: Vec<u8>,
    placeholders: usize,
    since: Instant,
    /// The number of the block that contains the first line.
    first_block: u64,
    /// The number of the block that contains the last line.
    last_block: u64,
}

impl Pending {
    /// Adds as many of these lines of block `number` as fit, and returns how many.
    pub(super) fn push(&mut self, block: &Pseudonymised, number: u64, lines: Range<usize>) -> usize {
        self.last_block = number;
        let start = lines.start;
        let pushed = self.lines.push(block, lines);
        let lines = start..start + pushed;
        self.placeholders += block.placeholders(&lines);
        block.copy_tokens(lines, &mut self.tokens);
        pushed
    }

    /// Whether a block of which no line is here yet may not fit, although it would fit into an empty frame.
    pub(super) fn would_split(&self, block: &Pseudonymised, number: u64) -> bool {
        self.last_block != number && !self.lines.may_take(block)
    }

    /// How long the first line has waited.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub(super) fn first_block(&self) -> u64 {
        self.first_block
    }
}

/// Memory of a written frame, for reuse.
#[derive(Default)]
pub(super) struct Used {
    /// Tokens whose originals are in a vault.
    pub(super) tokens: Tokens,
    /// The bytes of a frame that is in a segment.
    pub(super) frame: Vec<u8>,
}

/// A compressed frame, and the tokens in it.
pub(super) struct Packed {
    pub(super) folder: Folder,
    pub(super) keys: Arc<EpochKeys>,
    pub(super) frame: Frame,
    pub(super) tokens: Tokens,
    /// The lines and bytes that the frame holds.
    pub(super) totals: LineTotals,
    /// The number of the block that contains the first line.
    pub(super) first_block: u64,
    /// The buffer of the lines, emptied for reuse.
    spare: Lines,
}

/// The threads that compress, and the frames they are working on.
pub(super) struct Packing {
    jobs: Sender<Job>,
    /// Results in the order of the jobs, each with the number of the block that its first line came in.
    results: VecDeque<(u64, Receiver<Result<Packed, ArchiveError>>)>,
    threads: usize,
    /// Compresses in the calling thread if `threads` is 0.
    here: FramePacker,
    spares: Spares,
}

/// Memory for later lines and tokens. It is passed on from frame to frame: allocating fresh memory
/// would cost more than copying the lines.
#[derive(Default)]
struct Spares {
    lines: Vec<Lines>,
    used: Vec<Used>,
}

/// Lines to pack, and the channel for the resulting frame.
struct Job {
    pending: Box<Pending>,
    result: Sender<Result<Packed, ArchiveError>>,
}

impl Packing {
    /// Starts `threads` packer threads. If `foreign` is set, the lines may contain tokens of other nodes.
    pub(super) fn start(threads: usize, level: i32, foreign: bool) -> Result<Self, Diagnostic> {
        let (jobs, queue) = bounded::<Job>(threads * 2);
        let frame_packer = || {
            let packer = Packer::new(level).map_err(ArchiveError::Compress)?;
            Ok::<_, ArchiveError>(FramePacker { packer, foreign, index: FrameIndex::default() })
        };
        for _ in 0..threads {
            let packer = frame_packer()?;
            let queue = queue.clone();
            let started = thread::Builder::new().name("packer".to_owned()).spawn(move || packer.run(&queue));
            drop(started.map_err(ArchiveError::Thread)?);
        }
        let (results, spares) = (VecDeque::new(), Spares::default());
        Ok(Self { jobs, results, threads, here: frame_packer()?, spares })
    }

    /// A buffer for lines, from spare memory if there is any.
    pub(super) fn pending(&mut self, folder: Folder, keys: Arc<EpochKeys>, first_block: u64) -> Pending {
        let lines = self.spares.lines.pop().unwrap_or_default();
        let Used { tokens, frame } = self.spares.used.pop().unwrap_or_default();
        let (placeholders, since, last_block) = (0, Instant::now(), first_block);
        Pending { folder, keys, lines, tokens, frame, placeholders, since, first_block, last_block }
    }

    pub(super) fn send(&mut self, pending: Pending) -> Result<(), Diagnostic> {
        let (result_in, result) = bounded(1);
        let first_block = pending.first_block;
        if self.threads == 0 {
            // The channel has room for one result, and its receiver is in scope.
            let _ = result_in.send(self.here.pack(pending));
        } else {
            let job = Job { pending: Box::new(pending), result: result_in };
            self.jobs.send(job).map_err(|_| gone())?;
        }
        self.results.push_back((first_block, result));
        Ok(())
    }

    /// Waits for the next frame in order. Returns `None` if no frame is in progress.
    pub(super) fn next(&mut self) -> Result<Option<Packed>, Diagnostic> {
        let Some((_, result)) = self.results.pop_front() else { return Ok(None) };
        let mut packed = result.recv().map_err(|_| gone())??;
        if self.spares.lines.len() <= self.threads * 3 {
            self.spares.lines.push(std::mem::take(&mut packed.spare));
        }
        Ok(Some(packed))
    }

    /// Takes back memory for reuse.
    pub(super) fn keep(&mut self, used: impl Iterator<Item = Used>) {
        let room = MOST_SPARE.saturating_sub(self.spares.used.len());
        self.spares.used.extend(used.take(room).map(|Used { mut tokens, mut frame }| {
            tokens.clear();
            // Lines that hardly compress make it too large to keep.
            frame.shrink_to(LONGEST_SPARE);
            Used { tokens, frame }
        }));
    }

    /// Whether [`Packing::next`] would return a frame without waiting.
    pub(super) fn has_ready(&self) -> bool {
        self.results.front().is_some_and(|(_, result)| !result.is_empty())
    }

    /// The number of the first block with a line that is being packed.
    pub(super) fn first_block(&self) -> Option<u64> {
        self.results.iter().map(|(first_block, _)| *first_block).min()
    }

    /// Whether so many frames are in progress that the caller should wait for one first.
    pub(super) fn is_full(&self) -> bool {
        self.results.len() > self.threads * 3
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Wipes the spare memory, which holds lines and originals of an epoch that is over.
    pub(super) fn wipe_spares(&mut self) {
        self.spares = Spares::default();
    }
}

fn gone() -> Diagnostic {
    ArchiveError::Thread(io::Error::other("one that compresses has ended")).into()
}

/// Packs frames, on a packer thread or in the calling thread.
struct FramePacker {
    packer: Packer,
    foreign: bool,
    index: FrameIndex,
}

impl FramePacker {
    fn run(mut self, queue: &Receiver<Job>) {
        for Job { pending, result } in queue {
            // The receiver is gone if the archiver has failed.
            let _ = result.send(self.pack(*pending));
        }
    }

    fn pack(&mut self, pending: Pending) -> Result<Packed, ArchiveError> {
        let Pending { folder, keys, mut lines, tokens, frame, placeholders, first_block, .. } = pending;
        self.index.take(&tokens);
        if self.foreign {
            for tag in token::all(lines.as_bytes()) {
                self.index.note(filter::key(&tag));
            }
        }
        let filter = self.index.filter();
        let frame = self.packer.pack_into(frame, &lines, filter).map_err(ArchiveError::Compress)?;
        let bytes = lines.bytes_as_they_came();
        let lines_in = u64::from(lines.count());
        let totals = LineTotals { lines: lines_in, placeholders: placeholders as u64, bytes };
        lines.clear();
        Ok(Packed { folder, keys, frame, tokens, totals, first_block, spare: lines })
    }
}

/// How many frames' memory is kept: about as many as are in progress while the disk keeps up.
const MOST_SPARE: usize = 32;

/// How much memory of a frame is kept, in bytes; most frames are shorter.
const LONGEST_SPARE: usize = 256 << 10;

/// Collects the keys of a frame's filter. [`FrameIndex::filter`] empties it and keeps the memory.
#[derive(Default)]
struct FrameIndex {
    keys: KeySet,
    filters: filter::Builder,
}

impl FrameIndex {
    /// Adds the tokens and the networks of addresses.
    fn take(&mut self, tokens: &Tokens) {
        for (token, network) in tokens.heads() {
            // The network of a known address is known, too.
            if self.note(filter::key_of_head(token)) {
                self.note(filter::key_of_head(network));
            }
        }
    }

    /// Adds a key. Returns whether it is new.
    fn note(&mut self, key: u64) -> bool {
        self.keys.insert(key)
    }

    /// Builds the filter of all keys that were added, and removes them.
    fn filter(&mut self) -> Vec<u8> {
        let filter = self.filters.build(self.keys.keys());
        self.keys.clear();
        filter
    }
}
