//! Writes to the open segments on a separate thread, so that taking lines does not wait for the disk.
//!
//! One batch of frames is written at a time, and frames that are packed meanwhile form the next batch. So a disk that
//! syncs slowly gets more lines per sync, not fewer lines per second.

use super::Options;
use super::open_segments::OpenSegments;
use super::packing::{Packed, Used};
use crate::archive::ArchiveError;
use crate::pipeline::workers::LineTotals;
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::thread::{self, JoinHandle};

/// Runs one job at a time on the open segments, and keeps track of the results.
pub(super) struct Committer {
    runner: Runner,
    /// Whether a result is outstanding.
    busy: bool,
    /// The number of the first block with a line that is being written or could not be written.
    first_block: Option<u64>,
    acknowledged: LineTotals,
    shown: Shown,
    /// Memory that can be reused.
    spares: Vec<Used>,
}

/// Where the open segments live.
enum Runner {
    /// In the calling thread, which waits for each job.
    Inline(Box<Work>),
    /// On a separate thread.
    Threaded(Queues),
}

/// Channels to and from the committer thread.
struct Queues {
    /// `None` once the thread is to end.
    jobs: Option<Sender<Job>>,
    results: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// A job, with the clock that it reads when it runs.
enum Job {
    Write(Vec<Packed>, Clock),
    SealOld(Clock),
    SealAll(Clock),
}

/// The result of a job; an error if nothing was written.
type Done = Result<Written, Diagnostic>;

struct Written {
    /// Lines that are now as safe as the sync policy makes them.
    acknowledged: LineTotals,
    /// The memory of these lines' frames, for reuse.
    spares: Vec<Used>,
    /// The state of the open segments after the job.
    shown: Shown,
    /// Whether the segments that were due were sealed. If not, the lines in them are safe nonetheless.
    sealed: Result<(), Diagnostic>,
}

/// The state of the open segments that is visible from outside.
#[derive(Clone, Copy, Default)]
struct Shown {
    open_segments: usize,
    expired: LineTotals,
}

impl Committer {
    /// Moves the segments to a separate thread; with 0 `packers` they stay in the calling thread.
    pub(super) fn start(segments: OpenSegments, options: Options) -> Result<Self, Diagnostic> {
        let work = Work { segments, options };
        let runner = match options.packers {
            0 => Runner::Inline(Box::new(work)),
            _ => Runner::Threaded(Queues::start(work).map_err(ArchiveError::Thread)?),
        };
        let (shown, spares) = (Shown::default(), Vec::new());
        Ok(Self { runner, busy: false, first_block: None, acknowledged: Default::default(), shown, spares })
    }

    /// Whether no job is running.
    pub(super) fn is_free(&self) -> bool {
        !self.busy
    }

    /// Begins to write these frames. All earlier frames must have been written.
    pub(super) fn write(&mut self, packed: Vec<Packed>, clock: Clock) -> Result<(), Diagnostic> {
        if packed.is_empty() {
            return Ok(());
        }
        self.first_block = packed.iter().map(|packed| packed.first_block).min();
        self.ask(Job::Write(packed, clock))
    }

    /// Takes in the result of the running job if it is available, without waiting.
    pub(super) fn look(&mut self) -> Result<(), Diagnostic> {
        match &self.runner {
            Runner::Threaded(Queues { results, .. }) if !results.is_empty() => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits until the running job is done.
    pub(super) fn wait(&mut self) -> Result<(), Diagnostic> {
        match &self.runner {
            Runner::Threaded(Queues { results, .. }) if self.busy => {
                let done = results.recv().map_err(|_| gone())?;
                self.note(done)
            }
            _ => Ok(()),
        }
    }

    /// Seals segments that were begun on another legal day.
    pub(super) fn seal_old(&mut self, clock: Clock) -> Result<(), Diagnostic> {
        self.seal(Job::SealOld(clock))
    }

    /// Seals all segments.
    pub(super) fn seal_all(&mut self, clock: Clock) -> Result<(), Diagnostic> {
        self.seal(Job::SealAll(clock))
    }

    /// Drains the memory of frames that are written, for reuse.
    pub(super) fn spares(&mut self) -> impl Iterator<Item = Used> {
        self.spares.drain(..)
    }

    /// Lines that are as safe as the sync policy makes them; lines that expired are not included.
    pub(super) fn acknowledged(&self) -> LineTotals {
        self.acknowledged
    }

    /// The number of the first block with a line that is being written or could not be written.
    pub(super) fn first_block(&self) -> Option<u64> {
        self.first_block
    }

    /// The number of segments that were open after the last job.
    pub(super) fn open_segments(&self) -> usize {
        self.shown.open_segments
    }

    /// The lines dropped so far because their expiry day had come before their segment was begun.
    pub(super) fn expired(&self) -> LineTotals {
        self.shown.expired
    }

    fn seal(&mut self, job: Job) -> Result<(), Diagnostic> {
        self.wait()?;
        self.ask(job)?;
        self.wait()
    }

    fn ask(&mut self, job: Job) -> Result<(), Diagnostic> {
        self.busy = true;
        match &mut self.runner {
            Runner::Inline(work) => {
                let done = work.on(job);
                self.note(done)
            }
            Runner::Threaded(Queues { jobs, .. }) => {
                jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)
            }
        }
    }

    fn note(&mut self, done: Done) -> Result<(), Diagnostic> {
        self.busy = false;
        let Written { acknowledged, spares, shown, sealed } = done?;
        self.acknowledged += acknowledged;
        self.spares.extend(spares);
        (self.first_block, self.shown) = (None, shown);
        sealed
    }
}

impl Queues {
    fn start(mut work: Work) -> io::Result<Self> {
        let (job_in, jobs) = bounded(1);
        let (done, results) = bounded(1);
        let work = move || {
            for job in jobs {
                if done.send(work.on(job)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(job_in), results, thread: Some(thread) })
    }
}

/// Joins the thread: the owner may open the archive again, and by then nothing else may hold its files.
impl Drop for Queues {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its last result, or its panic, is of no use any more.
            let _ = thread.join();
        }
    }
}

/// The open segments and the options for writing them.
struct Work {
    segments: OpenSegments,
    options: Options,
}

impl Work {
    fn on(&mut self, job: Job) -> Done {
        let Self { segments, options } = self;
        let ((acknowledged, spares), sealed) = match job {
            Job::Write(packed, clock) => {
                let now = clock.now();
                (segments.write(packed, options, now)?, segments.seal_due(options, now))
            }
            Job::SealOld(clock) => (Default::default(), segments.seal_old(clock.now())),
            Job::SealAll(clock) => (Default::default(), segments.seal_all(clock.now())),
        };
        let shown = Shown { open_segments: segments.open_segments(), expired: segments.expired() };
        Ok(Written { acknowledged, spares, shown, sealed })
    }
}

fn gone() -> Diagnostic {
    ArchiveError::Thread(io::Error::other("the one that writes has ended")).into()
}
