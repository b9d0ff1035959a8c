//! Reads frames, and picks the matching lines in them.

use super::event_time::{EventTime, FrameTimes, Reading};
use super::lines::FrameIndex;
use super::plan::{Plan, PlannedFrame, PlannedSegment};
use super::secrets::State;
use super::selection::Selection;
use super::threads;
use crate::archive::{ArchiveError, FrameReader};
use crate::primitives::storage::Storage;
use crate::retention::DayFrom;
use std::mem;
use std::ops::Range;

/// What is sought in each frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'p> {
    pub(super) plan: &'p Plan,
    pub(super) selection: &'p Selection,
    pub(super) reading: &'p Reading,
}

/// The matching lines of a frame, in order.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Vec<Fitting>,
    /// The number of lines that went out.
    pub(super) done: usize,
}

/// A line that matches.
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
    /// Returns second and nanosecond of the next line to go out.
    pub(super) fn next(&self) -> Option<(i64, u32)> {
        self.lines.get(self.done).map(|line| (line.second, line.nanosecond))
    }

    /// Returns the size in memory, in bytes.
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

/// The state of one thread.
#[derive(Debug)]
struct Reader<'p> {
    frames: FrameReader<'p>,
    /// All lines of a frame, matching or not: most frames have none that match.
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

    /// Reads these frames and returns the matching lines of each.
    pub(super) fn read(&mut self, indices: &[FrameIndex]) -> Vec<Result<Loaded, ArchiveError>> {
        let asked = self.asked;
        threads::map(&mut self.readers, indices, |reader, index| reader.read(&asked, *index))
    }
}

impl Reader<'_> {
    fn read(&mut self, asked: &Asked<'_>, index: FrameIndex) -> Result<Loaded, ArchiveError> {
        let (segment, frame) = (&asked.plan.segments[index.0], asked.plan.frame(index));
        match self.frames.read(&segment.path, &frame.place, &mut self.lines) {
            // This part has been sealed since it was planned: its frames are at the same offsets.
            Err(error) if segment.state == State::Unsealed && error.is_missing() => {
                self.frames.read(&segment.path.with_extension(""), &frame.place, &mut self.lines)?;
            }
            read => read?,
        }
        // The frame passed its filter by chance: no need to read the envelopes in it.
        if segment.wanted.as_ref().is_some_and(|wanted| !wanted.is_in(&self.lines)) {
            return Ok(Loaded::default());
        }
        let lines = fitting(&self.lines, segment, frame, asked);
        Ok(loaded(&mut self.lines, lines))
    }
}

/// Returns the matching lines, sorted by their events.
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
    // The sort is stable: lines of one instant stay in the order of their receipt.
    fitting.sort_by_key(|line| (line.second, line.nanosecond));
    fitting
}

/// Combines the matching lines with their bytes: all bytes of the frame if most of it matches, otherwise
/// copies.
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

/// The mean length of a line, in bytes, assumed to tell whether most of a frame matches: then copying its
/// lines would gain nothing.
const MEAN_LINE_BYTES: usize = 128;
