//! Compression on threads of its own: lines in, frames out, in the same order.

use crate::archive::{ArchiveError, Frame, Lines, Packer, filter};
use crate::model::Folder;
use crate::pipeline::workers::Portion;
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
    /// Memory for the frame.
    frame: Vec<u8>,
    placeholders: usize,
    since: Instant,
    /// The number of the block that its first line came in.
    first_block: u64,
    /// That of the block that its last line came in.
    last_block: u64,
}

impl Pending {
    /// Adds lines of the block of that number, as many as fit. How many.
    pub(super) fn push(&mut self, block: &Pseudonymised, number: u64, lines: Range<usize>) -> usize {
        self.last_block = number;
        let start = lines.start;
        let pushed = self.lines.push(block, lines);
        let lines = start..start + pushed;
        self.placeholders += block.placeholders(&lines);
        block.copy_tokens(lines, &mut self.tokens);
        pushed
    }

    /// Whether a block of which it has nothing yet may not fit, and would into an empty one.
    pub(super) fn would_split(&self, block: &Pseudonymised, number: u64) -> bool {
        self.last_block != number && !self.lines.may_take(block)
    }

    /// How long its first line has waited.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub(super) fn first_block(&self) -> u64 {
        self.first_block
    }
}

/// Memory that was used for a frame.
#[derive(Default)]
pub(super) struct Used {
    /// Tokens whose originals are in a vault.
    pub(super) tokens: Tokens,
    /// A frame that is in a segment.
    pub(super) frame: Vec<u8>,
}

/// A frame, and the tokens in it.
pub(super) struct Packed {
    pub(super) folder: Folder,
    pub(super) keys: Arc<EpochKeys>,
    pub(super) frame: Frame,
    pub(super) tokens: Tokens,
    /// How much the frame holds.
    pub(super) portion: Portion,
    /// The number of the block that its first line came in.
    pub(super) first_block: u64,
    /// Where its lines were, emptied.
    spare: Lines,
}

/// Threads that compress.
pub(super) struct Packing {
    jobs: Sender<Job>,
    /// Results in the order of the jobs, and the number of the block that each begins in.
    results: VecDeque<(u64, Receiver<Result<Packed, ArchiveError>>)>,
    threads: usize,
    /// Packs if there are no threads.
    here: FramePacker,
    spares: Spares,
}

/// Memory for lines and tokens to come. It goes from frame to frame: fresh memory
/// would cost more to get than the lines to copy.
#[derive(Default)]
struct Spares {
    lines: Vec<Lines>,
    used: Vec<Used>,
}

/// Lines to pack, and where the frame is awaited.
struct Job {
    pending: Box<Pending>,
    result: Sender<Result<Packed, ArchiveError>>,
}

impl Packing {
    /// Starts `threads` of them. With `foreign` tokens of other nodes may be in the lines.
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

    /// Room for lines.
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
            // There is room for one, and the other end is here.
            let _ = result_in.send(self.here.pack(pending));
        } else {
            let job = Job { pending: Box::new(pending), result: result_in };
            self.jobs.send(job).map_err(|_| gone())?;
        }
        self.results.push_back((first_block, result));
        Ok(())
    }

    /// The next frame in order, waited for; `None` if there is none to come.
    pub(super) fn next(&mut self) -> Result<Option<Packed>, Diagnostic> {
        let Some((_, result)) = self.results.pop_front() else { return Ok(None) };
        let mut packed = result.recv().map_err(|_| gone())??;
        if self.spares.lines.len() <= self.threads * 3 {
            self.spares.lines.push(std::mem::take(&mut packed.spare));
        }
        Ok(Some(packed))
    }

    /// Takes memory back to use it again.
    pub(super) fn keep(&mut self, used: impl Iterator<Item = Used>) {
        let room = MOST_SPARE.saturating_sub(self.spares.used.len());
        self.spares.used.extend(used.take(room).map(|Used { mut tokens, mut frame }| {
            tokens.clear();
            // Of lines that hardly compress.
            frame.shrink_to(LONGEST_SPARE);
            Used { tokens, frame }
        }));
    }

    /// Whether [`Packing::next`] would not wait.
    pub(super) fn has_ready(&self) -> bool {
        self.results.front().is_some_and(|(_, result)| !result.is_empty())
    }

    /// The number of the first block of which a line is on its way.
    pub(super) fn first_block(&self) -> Option<u64> {
        self.results.iter().map(|(first_block, _)| *first_block).min()
    }

    /// Whether so many are on their way that the next should be waited for.
    pub(super) fn is_full(&self) -> bool {
        self.results.len() > self.threads * 3
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Wipes what was kept of the lines and originals of an epoch that is over.
    pub(super) fn wipe_spares(&mut self) {
        self.spares = Spares::default();
    }
}

fn gone() -> Diagnostic {
    ArchiveError::Thread(io::Error::other("one that compresses has ended")).into()
}

/// Packs frames, on one of the threads or on that of the caller.
struct FramePacker {
    packer: Packer,
    foreign: bool,
    index: FrameIndex,
}

impl FramePacker {
    fn run(mut self, queue: &Receiver<Job>) {
        for Job { pending, result } in queue {
            // Whoever asked may have failed meanwhile.
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
        let portion = Portion { lines: lines_in, placeholders: placeholders as u64, bytes };
        lines.clear();
        Ok(Packed { folder, keys, frame, tokens, portion, first_block, spare: lines })
    }
}

/// Frames whose memory is kept: as many as are on their way when the disk keeps up.
const MOST_SPARE: usize = 32;

/// Bytes of a frame that are kept; most frames are shorter.
const LONGEST_SPARE: usize = 256 << 10;

/// What the filter of a frame is made of. Emptied by [`FrameIndex::filter`], and its memory used again.
#[derive(Default)]
struct FrameIndex {
    keys: KeySet,
    filters: filter::Builder,
}

impl FrameIndex {
    /// Notes the tokens and the networks of addresses.
    fn take(&mut self, tokens: &Tokens) {
        for (token, network) in tokens.heads() {
            // Who has seen an address has seen its network.
            if self.note(filter::key_of_head(token)) {
                self.note(filter::key_of_head(network));
            }
        }
    }

    /// Whether it is new.
    fn note(&mut self, key: u64) -> bool {
        self.keys.insert(key)
    }

    /// The filter of all that was noted.
    fn filter(&mut self) -> Vec<u8> {
        let filter = self.filters.build(self.keys.keys());
        self.keys.clear();
        filter
    }
}
