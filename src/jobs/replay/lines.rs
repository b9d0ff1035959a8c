//! The lines of a plan in the order of their events, across segments.
//!
//! A merge of frames: each is read when its first event is due, and its lines are sorted. Lines of one instant
//! stand in the order of class, segment and place. Frames whose lines lie far apart wait; when they hold more
//! than `MOST_BYTES`, those that are due last are forgotten and read once more when their time comes. So
//! memory is bounded whatever the archive holds. The frames that are due next are read together, on several threads.

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
    /// Its bytes, with the line feed.
    pub bytes: &'l [u8],
    /// When its event was, in Unix seconds.
    pub second: i64,
    /// What says so.
    pub from: DayFrom,
    /// The first second and the last that it may have been: not one, if the line does not state it.
    pub between: (i64, i64),
    /// Index of its segment in the plan.
    pub segment: usize,
    /// The name of its segment: class, expiry day, epoch.
    pub name: &'l SegmentName,
    /// Whether that is sealed.
    pub state: State,
    /// Number of its frame in the segment.
    pub frame: usize,
    /// Number of the line in its frame, from 0.
    pub number: usize,
}

impl Line<'_> {
    /// The first legal day on which it must no longer exist.
    #[must_use]
    pub fn expires(&self) -> Expires {
        self.name.folder.expires
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReadCounts {
    /// Frames that were read, those twice that did not fit into memory.
    pub frames_read: u64,
    /// Their bytes, compressed.
    pub bytes_read: u64,
    /// Lines that fit.
    pub lines: u64,
    /// Those of them that may have come outside of the period: they state no time that was believed.
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
    /// Frames that were not read yet, in the order in which they are due.
    unread: VecDeque<Place>,
    /// Frames in memory.
    loaded: HashMap<Place, Loaded>,
    loaded_bytes: usize,
    /// How many lines of a frame went out before it was forgotten.
    done: HashMap<Place, usize>,
    current: Option<Place>,
    counts: ReadCounts,
    /// Segments that have a frame that is not as it was written, or cannot be read: its lines are left out.
    unreadable: Obstacles,
    /// The second of the last line.
    last: i64,
    /// Whether to stop; and the second to go on from, once it did.
    stopped: Arc<AtomicBool>,
    resume: Option<i64>,
}

/// A frame by its indices in the plan.
pub(super) type Place = (usize, usize);

/// When a frame is due: first by second and nanosecond, then in the order of the plan.
type Due = (i64, u32, Place);

impl<'p> Lines<'p> {
    /// The lines of `plan`, which was made of `selection`.
    ///
    /// # Errors
    /// If there is no memory to decompress with.
    pub fn new(
        storage: &'p dyn Storage,
        plan: &'p Plan,
        selection: &'p Selection,
        reading: &'p Reading,
    ) -> Result<Self, Diagnostic> {
        let places = plan.segments.iter().enumerate().flat_map(|(segment, planned)| {
            let frames = planned.frames.iter().enumerate();
            frames.map(move |(frame, entry)| (entry.first, 0, (segment, frame)))
        });
        let mut due: Vec<Due> = places.collect();
        due.sort_unstable();
        Ok(Self {
            plan,
            frames: Frames::new(storage, Asked { plan, selection, reading })?,
            unread: due.iter().map(|(.., place)| *place).collect(),
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

    /// The same, until `stopped`: no more frames are read then, unless they may have lines of a second that has
    /// begun.
    #[must_use]
    pub fn until(self, stopped: Arc<AtomicBool>) -> Self {
        Self { stopped, ..self }
    }

    /// If it was stopped, the second to go on from: every line before it came, and none of it or after it.
    #[must_use]
    pub fn resume(&self) -> Option<i64> {
        self.resume
    }

    /// What was read so far.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        self.counts
    }

    /// Segments of which a frame was left out: it is not as it was written, or cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> &Obstacles {
        &self.unreadable
    }

    /// The next line; `None` after the last, or when it was stopped.
    ///
    /// # Errors
    /// A segment that cannot be read.
    #[expect(clippy::should_implement_trait, reason = "a line borrows from the frame in memory")]
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Diagnostic> {
        let Some(place) = self.advance()? else { return Ok(None) };
        self.counts.lines += 1;
        let (segment, frame) = place;
        let planned = &self.plan.segments[segment];
        let Some(loaded) = self.loaded.get_mut(&place) else { return Ok(None) };
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

    /// The frame whose next line is due.
    fn advance(&mut self) -> Result<Option<Place>, Diagnostic> {
        loop {
            if let Some(place) = self.current.take()
                && let Some(due) = self.due(place)
            {
                if self.queue.peek().is_none_or(|Reverse(next)| due <= *next) {
                    self.current = Some(place);
                    return Ok(Some(place));
                }
                self.queue.push(Reverse(due));
            }
            let Some(Reverse((second, _, place))) = self.queue.pop() else { return Ok(None) };
            if !self.loaded.contains_key(&place) {
                if second > self.last && self.stopped.load(Ordering::Relaxed) {
                    self.resume = Some(second);
                    return Ok(None);
                }
                self.load(place)?;
            }
            self.current = Some(place);
        }
    }

    /// When the next line of a frame in memory is due; the frame is forgotten if it has none.
    fn due(&mut self, place: Place) -> Option<Due> {
        let loaded = self.loaded.get(&place)?;
        let due = loaded.next().map(|(second, nanosecond)| (second, nanosecond, place));
        if due.is_none() {
            self.forget(place);
        }
        due
    }

    fn forget(&mut self, place: Place) -> usize {
        let Some(loaded) = self.loaded.remove(&place) else { return 0 };
        self.loaded_bytes -= loaded.size();
        loaded.done
    }

    /// Reads a frame and, if it is read for the first time, those that are due next.
    fn load(&mut self, place: Place) -> Result<(), Diagnostic> {
        let places = self.due_next(place);
        for (place, loaded) in places.iter().zip(self.frames.read(&places)) {
            let mut loaded = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.unreadable.note(&self.plan.segments[place.0].name, error.into())?;
                    Loaded::default()
                }
            };
            self.counts.frames_read += 1;
            self.counts.bytes_read += u64::from(self.plan.frame(*place).place.bytes);
            loaded.done = self.done.remove(place).unwrap_or(0);
            self.loaded_bytes += loaded.size();
            self.loaded.insert(*place, loaded);
        }
        self.make_room(place);
        Ok(())
    }

    /// `place`, and as many of those behind it as are worth reading at once.
    fn due_next(&mut self, place: Place) -> Vec<Place> {
        let mut places = vec![place];
        if self.unread.front() != Some(&place) {
            return places;
        }
        self.unread.pop_front();
        let mut bytes = u64::from(self.plan.frame(place).place.line_bytes);
        while let Some(next) = self.unread.front() {
            bytes += u64::from(self.plan.frame(*next).place.line_bytes);
            if bytes > MOST_AHEAD_BYTES {
                break;
            }
            places.extend(self.unread.pop_front());
        }
        places
    }

    /// Forgets the frames that are due last, until those in memory are small enough.
    fn make_room(&mut self, wanted: Place) {
        while self.loaded_bytes > MOST_BYTES {
            let others = self.loaded.iter().filter(|(place, _)| **place != wanted);
            let last = others.max_by_key(|(place, loaded)| (loaded.next(), **place));
            let Some(place) = last.map(|(place, _)| *place) else { return };
            // It is in the queue, with the second of its next line.
            let done = self.forget(place);
            self.done.insert(place, done);
        }
    }
}

/// Frames in memory take so much together. A frame has 1 MiB, unless a line is longer.
const MOST_BYTES: usize = 256 << 20;

/// Lines of frames that are read together: enough for some threads, and little to wait for.
const MOST_AHEAD_BYTES: u64 = 16 << 20;
