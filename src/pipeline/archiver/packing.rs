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
    content: Content,
    since: Instant,
    /// The number of the block that its first line came in.
    first_block: u64,
}

/// Lines and their tokens. The memory goes from frame to frame: fresh memory would cost more to get than the
/// lines to copy.
#[derive(Default)]
struct Content {
    lines: Lines,
    tokens: Tokens,
}

impl Pending {
    /// Adds lines, as many as fit. How many.
    pub(super) fn push(&mut self, block: &Pseudonymised, lines: Range<usize>) -> usize {
        let start = lines.start;
        let pushed = self.content.lines.push(block, lines);
        block.copy_tokens(start..start + pushed, &mut self.content.tokens);
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
    /// What it was packed from, emptied.
    spare: Content,
}

/// Threads that compress.
pub(super) struct Packing {
    jobs: Sender<Job>,
    /// Results in the order of the jobs, and the number of the block that each begins in.
    results: VecDeque<(u64, Receiver<Result<Packed, ArchiveError>>)>,
    threads: usize,
    /// Does the work if there are no threads.
    here: Bench,
    /// Memory for lines to come; wiped with the keys of their epoch.
    spares: Vec<Content>,
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
            Ok::<_, ArchiveError>(Bench { packer, foreign, networks: None, index: FrameIndex::new() })
        };
        for _ in 0..threads {
            let bench = bench()?;
            let queue = queue.clone();
            let started = thread::Builder::new().name("packer".to_owned()).spawn(move || bench.toil(&queue));
            drop(started.map_err(ArchiveError::Compress)?);
        }
        let (results, spares) = (VecDeque::new(), Vec::new());
        Ok(Self { jobs, results, threads, here: bench()?, spares })
    }

    /// Room for lines.
    pub(super) fn pending(&mut self, folder: Folder, keys: Arc<EpochKeys>, first_block: u64) -> Pending {
        let content = self.spares.pop().unwrap_or_default();
        Pending { folder, keys, content, since: Instant::now(), first_block }
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
        if self.spares.len() <= self.threads * 3 {
            self.spares.push(std::mem::take(&mut packed.spare));
        }
        Ok(Some(packed))
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
        self.spares.clear();
        self.here.networks = None;
        for _ in 0..self.threads {
            // Threads that have ended hold no keys.
            let _ = self.jobs.send(Job::ForgetKeys);
        }
    }
}

fn gone() -> Diagnostic {
    ArchiveError::Compress(io::Error::other("a thread that compresses has ended")).into()
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
        let Pending { folder, keys, mut content, first_block, .. } = pending;
        let Content { lines, tokens } = &content;
        let networks = self.networks.get_or_insert_with(|| Networks::new(Arc::clone(&keys)));
        networks.enter(&keys);
        let distinct = self.index.take(tokens, networks);
        if self.foreign {
            token::all(lines.as_bytes()).for_each(|tag| self.index.note(tag));
        }
        let filter = self.index.filter();
        let frame = self.packer.pack(lines, filter).map_err(ArchiveError::Compress)?;
        let (lines_count, bytes) = (u64::from(lines.count()), lines.bytes_as_they_came());
        let portion = Portion { lines: lines_count, placeholders: placeholders(tokens), bytes };
        content.lines.clear();
        content.tokens.clear();
        Ok(Packed { folder, keys, frame, tokens: distinct, portion, first_block, spare: content })
    }
}

/// How many of the lines stand for sealed ones: each has a token without original.
fn placeholders(tokens: &Tokens) -> u64 {
    // A rule may call what it finds `qr` too, but has found something.
    tokens.iter().filter(|(kind, _, original)| *kind == Kind::QR && original.is_empty()).count() as u64
}

/// What the filter of a frame is made of. Emptied by [`FrameIndex::filter`], and its memory used again.
struct FrameIndex {
    seen: TagSet,
    /// Of all in `seen`.
    keys: Vec<u64>,
    /// Tags of addresses and of their networks: direct-mapped, half a cache of a core. A network costs an HMAC, and
    /// most clients come again. Two addresses whose tags begin with the same 64 bits do not meet.
    known: Vec<(u64, [u8; 16])>,
}

/// Addresses whose networks are remembered; a power of two.
const KNOWN: usize = 1 << 15;

impl FrameIndex {
    fn new() -> Self {
        Self { seen: TagSet::default(), keys: Vec::new(), known: vec![(0, [0; 16]); KNOWN] }
    }

    /// Notes the tokens and the networks of addresses. The tokens, each once.
    fn take(&mut self, tokens: &Tokens, networks: &mut Networks) -> Tokens {
        let mut distinct = Tokens::default();
        for (kind, tag, original) in tokens.iter() {
            if !self.seen.insert(tag) {
                continue;
            }
            self.keys.push(filter::key(&tag));
            distinct.push(kind, tag, original);
            if kind == Kind::IP
                && let Some(network) = self.network(&tag, original, networks)
            {
                self.note(network);
            }
        }
        distinct
    }

    /// The tag of the network of an address.
    fn network(&mut self, tag: &[u8; 16], address: &[u8], networks: &mut Networks) -> Option<[u8; 16]> {
        let key = filter::key(tag);
        let slot = &mut self.known[key as usize % KNOWN];
        if slot.0 != key || key == 0 {
            *slot = (key, networks.tag_of(address)?);
        }
        Some(slot.1)
    }

    fn note(&mut self, tag: [u8; 16]) {
        if self.seen.insert(tag) {
            self.keys.push(filter::key(&tag));
        }
    }

    /// The filter of all that was noted.
    fn filter(&mut self) -> Vec<u8> {
        let filter = filter::build(&mut self.keys);
        self.keys.clear();
        self.seen.clear();
        filter
    }
}
