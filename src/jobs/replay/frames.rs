//! Frames read, and the lines in them that are asked for.

use super::event_time::{EventTime, FrameTimes, Reading};
use super::lines::Place;
use super::plan::{Plan, PlannedFrame, PlannedSegment};
use super::secrets::State;
use super::selection::Selection;
use super::threads;
use crate::archive::{ArchiveError, FrameReader};
use crate::primitives::storage::Storage;
use crate::retention::DayFrom;
use std::mem;
use std::ops::Range;

/// What is asked of each frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'p> {
    pub(super) plan: &'p Plan,
    pub(super) selection: &'p Selection,
    pub(super) reading: &'p Reading,
}

/// The lines of a frame that fit, in order.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Vec<Fitting>,
    /// Those that went out.
    pub(super) done: usize,
}

/// A line that fits.
#[derive(Clone, Debug)]
pub(super) struct Fitting {
    pub(super) second: i64,
    pub(super) nanosecond: u32,
    pub(super) from: DayFrom,
    pub(super) between: (i64, i64),
    pub(super) number: usize,
    pub(super) span: Range<usize>,
}

impl Loaded {
    /// Second and nanosecond of the next line to go out.
    pub(super) fn next(&self) -> Option<(i64, u32)> {
        self.lines.get(self.done).map(|line| (line.second, line.nanosecond))
    }

    /// What it takes in memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<Fitting>()
    }
}

/// Reads frames on several threads.
#[derive(Debug)]
pub(super) struct Frames<'p> {
    readers: Vec<Reader<'p>>,
    asked: Asked<'p>,
}

/// What one thread reads with.
#[derive(Debug)]
struct Reader<'p> {
    frames: FrameReader<'p>,
    /// The lines of a frame, whether they fit or not: most frames hold none that do.
    lines: Vec<u8>,
}

impl<'p> Frames<'p> {
    pub(super) fn new(storage: &'p dyn Storage, asked: Asked<'p>) -> Result<Self, ArchiveError> {
        let reader = |_| Ok(Reader { frames: FrameReader::new(storage)?, lines: Vec::new() });
        Ok(Self { readers: (0..threads::count()).map(reader).collect::<Result<_, ArchiveError>>()?, asked })
    }

    pub(super) fn selection(&self) -> &Selection {
        self.asked.selection
    }

    /// The lines that fit of each of these frames.
    pub(super) fn read(&mut self, places: &[Place]) -> Vec<Result<Loaded, ArchiveError>> {
        let asked = self.asked;
        threads::map(&mut self.readers, places, |reader, place| reader.read(&asked, *place))
    }
}

impl Reader<'_> {
    fn read(&mut self, asked: &Asked<'_>, place: Place) -> Result<Loaded, ArchiveError> {
        let (segment, frame) = (&asked.plan.segments[place.0], asked.plan.frame(place));
        match self.frames.read(&segment.path, &frame.place, &mut self.lines) {
            // A part that was sealed since it was planned: its frames lie where they lay.
            Err(error) if segment.state == State::Unsealed && error.is_missing() => {
                self.frames.read(&segment.path.with_extension(""), &frame.place, &mut self.lines)?;
            }
            read => read?,
        }
        // A frame that passed its filter by chance: no envelope in it need be read.
        if segment.wanted.as_ref().is_some_and(|wanted| !wanted.is_in(&self.lines)) {
            return Ok(Loaded::default());
        }
        let lines = fitting(&self.lines, segment, frame, asked);
        Ok(loaded(&mut self.lines, lines))
    }
}

/// The lines that fit, sorted by their events.
fn fitting(bytes: &[u8], segment: &PlannedSegment, frame: &PlannedFrame, asked: &Asked<'_>) -> Vec<Fitting> {
    let Asked { selection, reading, .. } = asked;
    let reading = reading.of_segment(segment.source_zone.as_ref());
    let mut times = FrameTimes::new(&reading, segment.zone.clone(), frame.first..=frame.last, segment.sealed);
    let mut fitting = Vec::new();
    let mut start = 0;
    for (number, end) in memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).enumerate() {
        let span = start..end;
        start = end;
        let line = &bytes[span.start..end - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (record, time) = times.read(line);
        let fits = selection.may_take(time.between)
            && segment.wanted.as_ref().is_none_or(|wanted| wanted.is_in(line))
            && selection.takes_text(line)
            && selection.takes_envelope(line, &record);
        if fits {
            let EventTime { second, nanosecond, from, between } = time;
            fitting.push(Fitting { second, nanosecond, from, between, number, span });
        }
    }
    // Stable: lines of one instant stay in the order of their receipt.
    fitting.sort_by_key(|line| (line.second, line.nanosecond));
    fitting
}

/// Those lines with their bytes: all of the frame if most of it fits, or else copies.
fn loaded(bytes: &mut Vec<u8>, mut lines: Vec<Fitting>) -> Loaded {
    if lines.len() * 2 > bytes.len() / MEAN_LINE_BYTES {
        return Loaded { bytes: mem::take(bytes), lines, done: 0 };
    }
    let mut copies = Vec::with_capacity(lines.iter().map(|line| line.span.len()).sum());
    for line in &mut lines {
        let start = copies.len();
        copies.extend_from_slice(&bytes[line.span.clone()]);
        line.span = start..copies.len();
    }
    Loaded { bytes: copies, lines, done: 0 }
}

/// Where most of a frame fits, copying its lines would gain nothing.
const MEAN_LINE_BYTES: usize = 128;
