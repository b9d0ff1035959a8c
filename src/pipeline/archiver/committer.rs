//! The open segments on a thread of their own, so that taking lines does not wait for the disk.
//!
//! One batch of frames is written at a time. What is packed meanwhile is the next batch, so that a disk that syncs slowly
//! has more lines in each sync, and not fewer lines a second.

use super::Options;
use super::open_segments::OpenSegments;
use super::packing::{Packed, Used};
use crate::archive::ArchiveError;
use crate::pipeline::workers::Portion;
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::thread::{self, JoinHandle};

/// Writes, one thing after another; knows what became of what it was given.
pub(super) struct Committer {
    place: Place,
    /// Whether a result is still to come.
    busy: bool,
    /// The number of the first block of which a line is being written, or could not be.
    first_block: Option<u64>,
    acknowledged: Portion,
    shown: Shown,
    /// Memory that is no longer needed.
    spares: Vec<Used>,
}

/// Where the open segments are.
enum Place {
    /// Here: the caller waits.
    Here(Box<Work>),
    /// On a thread of its own.
    There(Queues),
}

/// The ends of its queues.
struct Queues {
    /// `None` when it shall end.
    jobs: Option<Sender<Job>>,
    results: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be done, by the clock at the time when it is done.
enum Job {
    Write(Vec<Packed>, Clock),
    SealOld(Clock),
    SealAll(Clock),
}

/// What became of a job, unless nothing was written.
type Done = Result<Written, Diagnostic>;

struct Written {
    /// Lines that are as safe as the sync policy makes them.
    acknowledged: Portion,
    /// The memory that was used for them.
    spares: Vec<Used>,
    /// What the open segments show afterwards.
    shown: Shown,
    /// Whether the segments that were to be sealed then are: if not, the lines in them are safe all the same.
    sealed: Result<(), Diagnostic>,
}

/// What others ask of the open segments.
#[derive(Clone, Copy, Default)]
struct Shown {
    open_segments: usize,
    expired: Portion,
}

impl Committer {
    /// Moves the segments to a thread of their own; without `packers` they stay here.
    pub(super) fn start(segments: OpenSegments, options: Options) -> Result<Self, Diagnostic> {
        let work = Work { segments, options };
        let place = match options.packers {
            0 => Place::Here(Box::new(work)),
            _ => Place::There(Queues::start(work).map_err(ArchiveError::Thread)?),
        };
        let (shown, spares) = (Shown::default(), Vec::new());
        Ok(Self { place, busy: false, first_block: None, acknowledged: Portion::default(), shown, spares })
    }

    /// Whether nothing is being written.
    pub(super) fn is_free(&self) -> bool {
        !self.busy
    }

    /// Begins to write these frames; those before are written.
    pub(super) fn write(&mut self, packed: Vec<Packed>, clock: Clock) -> Result<(), Diagnostic> {
        if packed.is_empty() {
            return Ok(());
        }
        self.first_block = packed.iter().map(|packed| packed.first_block).min();
        self.ask(Job::Write(packed, clock))
    }

    /// Takes note of what has been written.
    pub(super) fn look(&mut self) -> Result<(), Diagnostic> {
        match &self.place {
            Place::There(Queues { results, .. }) if !results.is_empty() => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits until everything is written.
    pub(super) fn wait(&mut self) -> Result<(), Diagnostic> {
        match &self.place {
            Place::There(Queues { results, .. }) if self.busy => {
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

    /// Memory of frames that are written, to be used again.
    pub(super) fn spares(&mut self) -> impl Iterator<Item = Used> {
        self.spares.drain(..)
    }

    /// Lines that are as safe as the sync policy makes them; none that has expired.
    pub(super) fn acknowledged(&self) -> Portion {
        self.acknowledged
    }

    /// The number of the first block of which a line is being written, or could not be.
    pub(super) fn first_block(&self) -> Option<u64> {
        self.first_block
    }

    /// Segments that were open after what was written last.
    pub(super) fn open_segments(&self) -> usize {
        self.shown.open_segments
    }

    /// What was dropped so far, because its day had come when its segment was to be begun.
    pub(super) fn expired(&self) -> Portion {
        self.shown.expired
    }

    fn seal(&mut self, job: Job) -> Result<(), Diagnostic> {
        self.wait()?;
        self.ask(job)?;
        self.wait()
    }

    fn ask(&mut self, job: Job) -> Result<(), Diagnostic> {
        self.busy = true;
        match &mut self.place {
            Place::Here(work) => {
                let done = work.on(job);
                self.note(done)
            }
            Place::There(Queues { jobs, .. }) => {
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

/// Who drops it may open the archive again: nobody may hold its files then.
impl Drop for Queues {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has said what it had to say.
            let _ = thread.join();
        }
    }
}

/// The open segments, and how to write them.
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
