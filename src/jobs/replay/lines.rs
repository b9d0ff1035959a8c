//! The lines of a plan in the order of their events, across segments.
//!
//! A merge of frames: each is read when its first event is due, and its lines are sorted. Lines of one second
//! stand in the order of class, segment and place. Frames whose lines lie far apart wait; when they hold more
//! than `MOST_BYTES`, those that are due last are forgotten and read once more when their time comes. So
//! memory is bounded whatever the archive holds.

use super::event_time::{FrameTimes, Reading};
use super::plan::{Plan, PlannedSegment};
use super::selection::Selection;
use super::spelling::{self, TagKey};
use crate::archive::Segment;
use crate::model::{Expires, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use crate::retention::DayFrom;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::Range;
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
    /// Index of its segment in the plan.
    pub segment: usize,
    /// The name of its segment: class, expiry day, epoch.
    pub name: &'l SegmentName,
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
}

/// Reads lines in the order of their events.
#[derive(Debug)]
pub struct Lines<'p> {
    storage: &'p dyn Storage,
    plan: &'p Plan,
    selection: &'p Selection,
    reading: &'p Reading,
    /// Frames by the second in which their next line is due, or may be.
    queue: BinaryHeap<Reverse<Due>>,
    /// Frames in memory.
    loaded: HashMap<Place, Loaded>,
    loaded_bytes: usize,
    /// How many lines of a frame went out before it was forgotten.
    done: HashMap<Place, usize>,
    current: Option<Place>,
    /// Segments whose footers are in memory.
    open: HashMap<usize, Segment>,
    counts: ReadCounts,
    /// The second of the last line.
    last: i64,
    /// Whether to stop; and the second to go on from, once it did.
    stopped: Arc<AtomicBool>,
    resume: Option<i64>,
}

/// A frame by its indices in the plan.
type Place = (usize, usize);

/// When a frame is due: first by second, then in the order of the plan.
type Due = (i64, Place);

/// The lines of a frame that fit, in order.
#[derive(Debug, Default)]
struct Loaded {
    bytes: Vec<u8>,
    lines: Vec<Fitting>,
    /// Those that went out.
    done: usize,
}

#[derive(Clone, Debug)]
struct Fitting {
    second: i64,
    from: DayFrom,
    number: usize,
    span: Range<usize>,
}

impl Loaded {
    fn next_second(&self) -> Option<i64> {
        self.lines.get(self.done).map(|line| line.second)
    }

    /// What it takes in memory.
    fn size(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<Fitting>()
    }
}

impl<'p> Lines<'p> {
    /// The lines of `plan`, which was made of `selection`.
    #[must_use]
    pub fn new(
        storage: &'p dyn Storage,
        plan: &'p Plan,
        selection: &'p Selection,
        reading: &'p Reading,
    ) -> Self {
        let frames = plan.segments.iter().enumerate().flat_map(|(segment, planned)| {
            planned
                .frames
                .iter()
                .enumerate()
                .map(move |(frame, entry)| Reverse((entry.first, (segment, frame))))
        });
        Self {
            storage,
            plan,
            selection,
            reading,
            queue: frames.collect(),
            loaded: HashMap::new(),
            loaded_bytes: 0,
            done: HashMap::new(),
            current: None,
            open: HashMap::new(),
            counts: ReadCounts::default(),
            last: i64::MIN,
            stopped: Arc::default(),
            resume: None,
        }
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

    /// The next line; `None` after the last, or when it was stopped.
    ///
    /// # Errors
    /// A segment that cannot be read, or is not as it was written.
    #[expect(clippy::should_implement_trait, reason = "a line borrows from the frame in memory")]
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Diagnostic> {
        let Some(place) = self.advance()? else { return Ok(None) };
        self.counts.lines += 1;
        let (segment, frame) = place;
        let planned = &self.plan.segments[segment];
        let Some(loaded) = self.loaded.get_mut(&place) else { return Ok(None) };
        let Fitting { second, from, number, ref span } = loaded.lines[loaded.done];
        loaded.done += 1;
        self.last = second;
        Ok(Some(Line {
            bytes: &loaded.bytes[span.clone()],
            second,
            from,
            segment,
            name: &planned.name,
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
            let Some(Reverse((second, place))) = self.queue.pop() else { return Ok(None) };
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
        let due = loaded.next_second().map(|second| (second, place));
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

    fn load(&mut self, place: Place) -> Result<(), Diagnostic> {
        let (segment, frame) = place;
        let planned = &self.plan.segments[segment];
        if self.open.len() >= MOST_OPEN && !self.open.contains_key(&segment) {
            self.open.clear();
        }
        let opened = match self.open.entry(segment) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(Segment::open(self.storage, &planned.path)?)
            }
        };
        let bytes = opened.lines(planned.frames[frame].number)?;
        self.counts.frames_read += 1;
        self.counts.bytes_read += u64::from(planned.frames[frame].bytes);
        let mut loaded = fitting(bytes, planned, frame, self.selection, self.reading);
        loaded.done = self.done.remove(&place).unwrap_or(0);
        self.loaded_bytes += loaded.size();
        self.loaded.insert(place, loaded);
        self.make_room(place);
        Ok(())
    }

    /// Forgets the frames that are due last, until those in memory are small enough.
    fn make_room(&mut self, wanted: Place) {
        while self.loaded_bytes > MOST_BYTES {
            let others = self.loaded.iter().filter(|(place, _)| **place != wanted);
            let last = others.max_by_key(|(place, loaded)| (loaded.next_second(), **place));
            let Some(place) = last.map(|(place, _)| *place) else { return };
            // It is in the queue, with the second of its next line.
            let done = self.forget(place);
            self.done.insert(place, done);
        }
    }
}

/// The lines of a frame that are asked for, sorted by their events.
fn fitting(
    bytes: Vec<u8>,
    planned: &PlannedSegment,
    frame: usize,
    selection: &Selection,
    reading: &Reading,
) -> Loaded {
    // One frame in 256 passes its filter by chance: no envelope in it need be read.
    if planned.tokens.as_ref().is_some_and(|tokens| !has_one_of(&bytes, tokens)) {
        return Loaded::default();
    }
    let entry = planned.frames[frame];
    let range = entry.first..=entry.last;
    let mut times = FrameTimes::new(reading, planned.zone.clone(), range, planned.sealed);
    let mut loaded = Loaded::default();
    let mut start = 0;
    for (number, end) in memchr::memchr_iter(b'\n', &bytes).map(|at| at + 1).enumerate() {
        let span = start..end;
        start = end;
        let line = &bytes[span.start..end - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (record, time) = times.read(line);
        let fits = selection.seconds.contains(&time.second)
            && planned.tokens.as_ref().is_none_or(|tokens| has_one_of(line, tokens))
            && selection.takes_text(line)
            && selection.takes_envelope(line, &record);
        if fits {
            loaded.lines.push(Fitting { second: time.second, from: time.from, number, span });
        }
    }
    if loaded.lines.len() * 2 > bytes.len() / MEAN_LINE_BYTES {
        loaded.bytes = bytes;
    } else {
        for line in &mut loaded.lines {
            let start = loaded.bytes.len();
            loaded.bytes.extend_from_slice(&bytes[line.span.clone()]);
            line.span = start..loaded.bytes.len();
        }
    }
    // Stable: lines of one second stay in the order of their receipt.
    loaded.lines.sort_by_key(|line| line.second);
    loaded
}

fn has_one_of(line: &[u8], tokens: &HashSet<TagKey>) -> bool {
    spelling::all(line).iter().any(|spelt| tokens.contains(&spelt.key))
}

/// Frames in memory take so much together. A frame has 1 MiB, unless a line is longer.
const MOST_BYTES: usize = 256 << 20;

/// Segments that are kept open; the footer of a large one has 1 MiB.
const MOST_OPEN: usize = 64;

/// Where most of a frame fits, copying its lines would gain nothing.
const MEAN_LINE_BYTES: usize = 128;
