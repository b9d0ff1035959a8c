//! Reads the lines of a plan in the order of their events, across segments.
//!
//! This is a merge of frames: each frame is read when its first event is due, and its lines are sorted. Lines
//! of the same instant are in the order of class, segment and place. Frames whose lines lie far apart wait in
//! memory; when they hold more than `MOST_BYTES`, those due last are dropped and read again when they are
//! due. So memory is bounded, whatever the archive holds. Frames that are due next are read together, on
//! several threads.

use super::event_time::Reading;
use super::frames::{Asked, Fitting, Frames, Loaded};
use super::obstacle::Obstacles;
use super::plan::{Plan, is_zero};
use super::secrets::State;
use super::selection::Selection;
use crate::model::{Expires, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use crate::retention::DayFrom;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A line as it is in the archive.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// The bytes of the line, with the line feed.
    pub bytes: &'l [u8],
    /// The time of the event, in Unix seconds.
    pub second: i64,
    /// The source of that time.
    pub from: DayFrom,
    /// The first and the last second that the event may be from. They differ if the line does not state its
    /// time.
    pub between: (i64, i64),
    /// The index of the segment in the plan.
    pub segment: usize,
    /// The name of the segment: class, expiry day, epoch.
    pub name: &'l SegmentName,
    /// Whether the segment is sealed.
    pub state: State,
    /// The number of the frame in its segment.
    pub frame: usize,
    /// The number of the line in its frame, from 0.
    pub number: usize,
}

impl Line<'_> {
    /// Returns the first legal day on which the line must no longer exist.
    #[must_use]
    pub fn expires(&self) -> Expires {
        self.name.folder.expires
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReadCounts {
    /// Frames read. A frame that was dropped from memory and read again counts twice.
    pub frames_read: u64,
    /// Compressed bytes of these frames.
    pub bytes_read: u64,
    /// Lines that match.
    pub lines: u64,
    /// Lines among them whose events may lie outside the period, because they state no time that was
    /// believed.
    #[serde(skip_serializing_if = "is_zero")]
    pub perhaps_outside: u64,
}

/// Reads lines in the order of their events.
#[derive(Debug)]
pub struct Lines<'p> {
    plan: &'p Plan,
    frames: Frames<'p>,
    /// Frames by the second in which their next line is due, or may be.
    queue: BinaryHeap<Reverse<Due>>,
    /// Frames not read yet, in the order in which they are due.
    unread: VecDeque<FrameIndex>,
    /// Frames in memory.
    loaded: HashMap<FrameIndex, Loaded>,
    loaded_bytes: usize,
    /// For each frame dropped from memory, the number of its lines that had gone out.
    done: HashMap<FrameIndex, usize>,
    current: Option<FrameIndex>,
    counts: ReadCounts,
    /// Segments with a frame that is damaged or cannot be read: the lines of that frame are left out.
    unreadable: Obstacles,
    /// The second of the last line.
    last: i64,
    /// Whether to stop, and then the second to resume from.
    stopped: Arc<AtomicBool>,
    resume: Option<i64>,
}

/// A frame, as the indices of its segment and of itself in the plan.
pub(super) type FrameIndex = (usize, usize);

/// When a frame is due: ordered by second and nanosecond, then by place in the plan.
type Due = (i64, u32, FrameIndex);

impl<'p> Lines<'p> {
    /// Creates a reader of the lines of `plan`, which was made for `selection`.
    ///
    /// # Errors
    /// If there is no memory to decompress with.
    pub fn new(
        storage: &'p dyn Storage,
        plan: &'p Plan,
        selection: &'p Selection,
        reading: &'p Reading,
    ) -> Result<Self, Diagnostic> {
        let indices = plan.segments.iter().enumerate().flat_map(|(segment, planned)| {
            let frames = planned.frames.iter().enumerate();
            frames.map(move |(frame, entry)| (entry.first, 0, (segment, frame)))
        });
        let mut due: Vec<Due> = indices.collect();
        due.sort_unstable();
        Ok(Self {
            plan,
            frames: Frames::new(storage, Asked { plan, selection, reading })?,
            unread: due.iter().map(|(.., index)| *index).collect(),
            queue: due.into_iter().map(Reverse).collect(),
            loaded: HashMap::new(),
            loaded_bytes: 0,
            done: HashMap::new(),
            current: None,
            counts: ReadCounts::default(),
            unreadable: Obstacles::default(),
            last: i64::MIN,
            stopped: Arc::default(),
            resume: None,
        })
    }

    /// Makes the reader stop when `stopped` is set. It then reads no more frames, except those that may have
    /// lines of the second already begun.
    #[must_use]
    pub fn until(self, stopped: Arc<AtomicBool>) -> Self {
        Self { stopped, ..self }
    }

    /// Returns the second to resume from, if the reader was stopped: all earlier lines were returned, and
    /// none of that second or later.
    #[must_use]
    pub fn resume(&self) -> Option<i64> {
        self.resume
    }

    /// Returns what was read so far.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        self.counts
    }

    /// Returns the segments with a frame that was left out because it is damaged or cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> &Obstacles {
        &self.unreadable
    }

    /// Returns the next line; `None` after the last one, or if the reader was stopped.
    ///
    /// # Errors
    /// If the archive cannot be read. A single segment that cannot be read is noted in [`Self::unreadable`]
    /// instead.
    #[expect(clippy::should_implement_trait, reason = "a line borrows from the frame in memory")]
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Diagnostic> {
        let Some(index) = self.advance()? else { return Ok(None) };
        self.counts.lines += 1;
        let (segment, frame) = index;
        let planned = &self.plan.segments[segment];
        let Some(loaded) = self.loaded.get_mut(&index) else { return Ok(None) };
        let Fitting { second, from, between, number, ref span, .. } = loaded.lines[loaded.done];
        loaded.done += 1;
        self.counts.perhaps_outside += u64::from(!self.frames.selection().surely_takes(between));
        self.last = second;
        Ok(Some(Line {
            bytes: &loaded.bytes[span.clone()],
            second,
            from,
            between,
            segment,
            name: &planned.name,
            state: planned.state,
            frame: planned.frames[frame].number,
            number,
        }))
    }

    /// Finds the frame whose next line is due.
    fn advance(&mut self) -> Result<Option<FrameIndex>, Diagnostic> {
        loop {
            if let Some(index) = self.current.take()
                && let Some(due) = self.due(index)
            {
                if self.queue.peek().is_none_or(|Reverse(next)| due <= *next) {
                    self.current = Some(index);
                    return Ok(Some(index));
                }
                self.queue.push(Reverse(due));
            }
            let Some(Reverse((second, _, index))) = self.queue.pop() else { return Ok(None) };
            if !self.loaded.contains_key(&index) {
                if second > self.last && self.stopped.load(Ordering::Relaxed) {
                    self.resume = Some(second);
                    return Ok(None);
                }
                self.load(index)?;
            }
            self.current = Some(index);
        }
    }

    /// Returns when the next line of a frame in memory is due. A frame without further lines is dropped.
    fn due(&mut self, index: FrameIndex) -> Option<Due> {
        let loaded = self.loaded.get(&index)?;
        let due = loaded.next().map(|(second, nanosecond)| (second, nanosecond, index));
        if due.is_none() {
            self.forget(index);
        }
        due
    }

    fn forget(&mut self, index: FrameIndex) -> usize {
        let Some(loaded) = self.loaded.remove(&index) else { return 0 };
        self.loaded_bytes -= loaded.size();
        loaded.done
    }

    /// Reads a frame. If it is read for the first time, also reads the frames that are due next.
    fn load(&mut self, index: FrameIndex) -> Result<(), Diagnostic> {
        let indices = self.due_next(index);
        for (index, loaded) in indices.iter().zip(self.frames.read(&indices)) {
            let mut loaded = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.unreadable.note(&self.plan.segments[index.0].name, error.into())?;
                    Loaded::default()
                }
            };
            self.counts.frames_read += 1;
            self.counts.bytes_read += u64::from(self.plan.frame(*index).place.bytes);
            loaded.done = self.done.remove(index).unwrap_or(0);
            self.loaded_bytes += loaded.size();
            self.loaded.insert(*index, loaded);
        }
        self.make_room(index);
        Ok(())
    }

    /// Returns `index`, followed by those due next that are worth reading together with it.
    fn due_next(&mut self, index: FrameIndex) -> Vec<FrameIndex> {
        let mut indices = vec![index];
        if self.unread.front() != Some(&index) {
            return indices;
        }
        self.unread.pop_front();
        let mut bytes = u64::from(self.plan.frame(index).place.line_bytes);
        while let Some(next) = self.unread.front() {
            bytes += u64::from(self.plan.frame(*next).place.line_bytes);
            if bytes > MOST_AHEAD_BYTES {
                break;
            }
            indices.extend(self.unread.pop_front());
        }
        indices
    }

    /// Drops the frames that are due last, until the rest fits into [`MOST_BYTES`].
    fn make_room(&mut self, wanted: FrameIndex) {
        while self.loaded_bytes > MOST_BYTES {
            let others = self.loaded.iter().filter(|(index, _)| **index != wanted);
            let last = others.max_by_key(|(index, loaded)| (loaded.next(), **index));
            let Some(index) = last.map(|(index, _)| *index) else { return };
            // The frame stays in the queue, with the second of its next line.
            let done = self.forget(index);
            self.done.insert(index, done);
        }
    }
}

/// The most memory that frames take together. A frame has 1 MiB, unless a line is longer.
const MOST_BYTES: usize = 256 << 20;

/// The most bytes of lines in frames that are read together: enough for several threads, and a short wait.
const MOST_AHEAD_BYTES: u64 = 16 << 20;
