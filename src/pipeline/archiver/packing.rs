//! Compression on threads of its own: lines in, frames out, in the same order.

use crate::archive::{ArchiveError, Frame, Lines, Packer, filter};
use crate::model::{Folder, Kind};
use crate::pipeline::workers::Portion;
use crate::primitives::diag::Diagnostic;
use crate::primitives::tag_set::TagSet;
use crate::pseudonym::epoch::EpochKeys;
use crate::pseudonym::{Networks, Pseudonymised, Tokens, token};
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
    since: Instant,
    /// The number of the block that its first line came in.
    first_block: u64,
}

impl Pending {
    /// Adds lines, as many as fit. How many.
    pub(super) fn push(&mut self, block: &Pseudonymised, lines: Range<usize>) -> usize {
        let start = lines.start;
        let pushed = self.lines.push(block, lines);
        block.copy_tokens(start..start + pushed, &mut self.tokens);
        pushed
    }

    /// How long its first line has waited.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn first_block(&self) -> u64 {
        self.first_block
    }
}

/// A frame, and the tokens in it, each once.
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
    /// Does the work if there are no threads.
    here: Bench,
    spares: Spares,
}

/// Memory for lines and tokens to come; wiped with the keys of their epoch. It goes from frame to frame: fresh memory
/// would cost more to get than the lines to copy.
#[derive(Default)]
struct Spares {
    lines: Vec<Lines>,
    tokens: Vec<Tokens>,
}

enum Job {
    Pack(Box<Pending>, Sender<Result<Packed, ArchiveError>>),
    /// The keys at hand belong to an epoch that is over.
    ForgetKeys,
}

impl Packing {
    /// Starts `threads` of them. With `foreign` tokens of other nodes may be in the lines.
    pub(super) fn start(threads: usize, level: i32, foreign: bool) -> Result<Self, Diagnostic> {
        let (jobs, queue) = bounded::<Job>(threads * 2);
        let bench = || {
            let packer = Packer::new(level).map_err(ArchiveError::Compress)?;
            Ok::<_, ArchiveError>(Bench { packer, foreign, networks: None, index: FrameIndex::default() })
        };
        for _ in 0..threads {
            let bench = bench()?;
            let queue = queue.clone();
            let started = thread::Builder::new().name("packer".to_owned()).spawn(move || bench.toil(&queue));
            drop(started.map_err(ArchiveError::Thread)?);
        }
        let (results, spares) = (VecDeque::new(), Spares::default());
        Ok(Self { jobs, results, threads, here: bench()?, spares })
    }

    /// Room for lines.
    pub(super) fn pending(&mut self, folder: Folder, keys: Arc<EpochKeys>, first_block: u64) -> Pending {
        let lines = self.spares.lines.pop().unwrap_or_default();
        let tokens = self.spares.tokens.pop().unwrap_or_default();
        Pending { folder, keys, lines, tokens, since: Instant::now(), first_block }
    }

    pub(super) fn send(&mut self, pending: Pending) -> Result<(), Diagnostic> {
        let (result_in, result) = bounded(1);
        let first_block = pending.first_block;
        if self.threads == 0 {
            // There is room for one, and the other end is here.
            let _ = result_in.send(self.here.pack(pending));
        } else {
            self.jobs.send(Job::Pack(Box::new(pending), result_in)).map_err(|_| gone())?;
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

    /// Takes tokens back whose originals are in a vault, to use their memory again.
    pub(super) fn keep(&mut self, tokens: impl Iterator<Item = Tokens>) {
        let room = MOST_SPARE_TOKENS.saturating_sub(self.spares.tokens.len());
        self.spares.tokens.extend(tokens.take(room).map(|mut tokens| {
            tokens.clear();
            tokens
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

    /// Makes every thread forget the keys it used last. Each takes one of these jobs, unless it is slower than
    /// another one; keys that stay behind so are replaced with the next frame.
    pub(super) fn forget_keys(&mut self) {
        self.spares = Spares::default();
        self.here.networks = None;
        for _ in 0..self.threads {
            // Threads that have ended hold no keys.
            let _ = self.jobs.send(Job::ForgetKeys);
        }
    }
}

fn gone() -> Diagnostic {
    ArchiveError::Thread(io::Error::other("one that compresses has ended")).into()
}

/// One of the threads.
struct Bench {
    packer: Packer,
    foreign: bool,
    networks: Option<Networks>,
    index: FrameIndex,
}

impl Bench {
    fn toil(mut self, queue: &Receiver<Job>) {
        for job in queue {
            match job {
                Job::ForgetKeys => self.networks = None,
                Job::Pack(pending, result) => {
                    // Whoever asked may have failed meanwhile.
                    let _ = result.send(self.pack(*pending));
                }
            }
        }
    }

    fn pack(&mut self, pending: Pending) -> Result<Packed, ArchiveError> {
        let Pending { folder, keys, mut lines, mut tokens, first_block, .. } = pending;
        let placeholders = placeholders(&tokens);
        let networks = self.networks.get_or_insert_with(|| Networks::new(Arc::clone(&keys)));
        networks.enter(&keys);
        self.index.take(&mut tokens, networks);
        if self.foreign {
            token::all(lines.as_bytes()).for_each(|tag| self.index.note(tag));
        }
        let filter = self.index.filter();
        let frame = self.packer.pack(&lines, filter).map_err(ArchiveError::Compress)?;
        let bytes = lines.bytes_as_they_came();
        let portion = Portion { lines: u64::from(lines.count()), placeholders, bytes };
        lines.clear();
        Ok(Packed { folder, keys, frame, tokens, portion, first_block, spare: lines })
    }
}

/// Emptied tokens that are kept: as many as are on their way when the disk keeps up.
const MOST_SPARE_TOKENS: usize = 32;

/// How many of the lines stand for sealed ones: each has a token without original.
fn placeholders(tokens: &Tokens) -> u64 {
    // A rule may call what it finds `qr` too, but has found something.
    tokens.iter().filter(|(kind, _, original)| *kind == Kind::QR && original.is_empty()).count() as u64
}

/// What the filter of a frame is made of. Emptied by [`FrameIndex::filter`], and its memory used again.
#[derive(Default)]
struct FrameIndex {
    seen: TagSet,
    /// Of all in `seen`, for as long as it takes to make a filter of them.
    keys: Vec<u64>,
    filters: filter::Builder,
}

impl FrameIndex {
    /// Notes the tokens and the networks of addresses. Each token is left once.
    fn take(&mut self, tokens: &mut Tokens, networks: &mut Networks) {
        tokens.retain(|tag| self.seen.insert(tag));
        let addresses = tokens.iter().filter(|(kind, ..)| *kind == Kind::IP);
        networks.tags_of(addresses.map(|(_, _, address)| address), |network| self.note(network));
    }

    fn note(&mut self, tag: [u8; 16]) {
        self.seen.insert(tag);
    }

    /// The filter of all that was noted.
    fn filter(&mut self) -> Vec<u8> {
        self.keys.clear();
        self.keys.extend(self.seen.as_slice().iter().map(filter::key));
        self.seen.clear();
        self.filters.build(&mut self.keys)
    }
}
