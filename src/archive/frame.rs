//! Lines on their way into a frame, and frames: compressed, decompressed, and recovered after a crash.

use super::footer::FrameEntry;
use crate::model::{LONGEST_LINE, RenderedTag};
use crate::pseudonym::{Pseudonymised, token};
use std::ops::Range;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter, Strategy};

/// Most bytes of lines in a frame, unless a single line is longer.
pub const MOST_LINE_BYTES: usize = 1 << 20;

/// Longest frame that is decompressed, in bytes of lines. It bounds what a damaged or hostile file can make
/// us allocate.
const LONGEST_LINE_BYTES: u64 = 1_200_000_000;

/// Whatever is archived can be read again, even if each byte of the longest line became a token.
///
/// Separators that an address-shaped token repeats do not change this: each is also a byte of the line.
const _: () =
    assert!((LONGEST_LINE * token::MOST_BYTES + RenderedTag::MOST_BYTES + 2) as u64 <= LONGEST_LINE_BYTES);

/// The magic number of a zstd frame, in file order (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Lines of one class, expiry day and epoch that will become a frame.
///
/// They can only come from [`Pseudonymised`] or from a sealed segment: an archive cannot be given anything
/// else.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    lines: u32,
    /// Line ends that were added because the line came without one.
    ends: u64,
    first: i64,
    last: i64,
}

impl Default for Lines {
    fn default() -> Self {
        Self { bytes: Vec::new(), lines: 0, ends: 0, first: i64::MAX, last: i64::MIN }
    }
}

impl Lines {
    /// Adds as many indexed lines of `block` as fit, and at least one if there are none yet. Returns how
    /// many. A line without a line end gets one.
    pub fn push(&mut self, block: &Pseudonymised, lines: Range<usize>) -> usize {
        let count = self.fitting(block, lines.clone());
        let lines = lines.start..lines.start + count;
        if block.every_line_ends() {
            self.bytes.extend_from_slice(block.indexed_bytes(lines.clone()));
        } else {
            lines.clone().for_each(|line| self.push_ended(block.indexed_bytes(line..line + 1)));
        }
        for event_second in block.event_seconds(lines) {
            self.lines += 1;
            self.first = self.first.min(event_second);
            self.last = self.last.max(event_second);
        }
        count
    }

    /// Returns whether `block` should be added here: all its lines fit, or they would not fit even if there
    /// were none yet.
    #[must_use]
    pub fn may_take(&self, block: &Pseudonymised) -> bool {
        let most = block.as_bytes().len() + if block.every_line_ends() { 0 } else { block.indexed_lines() };
        self.bytes.len() + most <= MOST_LINE_BYTES || most > MOST_LINE_BYTES
    }

    /// Returns how many of these lines fit; at least one if there are none yet.
    fn fitting(&self, block: &Pseudonymised, lines: Range<usize>) -> usize {
        let room = MOST_LINE_BYTES.saturating_sub(self.bytes.len());
        let most_added = usize::from(!block.every_line_ends());
        let fits = |count: usize| {
            let bytes = block.indexed_bytes(lines.start..lines.start + count).len();
            bytes + count * most_added <= room
        };
        if fits(lines.len()) {
            return lines.len();
        }
        let (mut fitting, mut too_many) = (0, lines.len());
        while too_many - fitting > 1 {
            let middle = fitting.midpoint(too_many);
            if fits(middle) {
                fitting = middle;
            } else {
                too_many = middle;
            }
        }
        fitting.max(usize::from(self.lines == 0))
    }

    fn push_ended(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        if line.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
            self.ends += 1;
        }
    }

    /// Copies the lines of a sealed frame for which `stays` returns true. They were [`Pseudonymised`] when
    /// the frame was sealed, and the reader has checked them against the frame's digest.
    pub(super) fn of_frame(entry: &FrameEntry, lines: &[u8], stays: &dyn Fn(&[u8]) -> bool) -> Self {
        let mut kept = Self { first: entry.first, last: entry.last, ..Self::default() };
        for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|line| stays(line)) {
            kept.bytes.extend_from_slice(line);
            kept.lines += 1;
        }
        kept
    }

    /// Returns the lines, each with its line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the length of the lines as they came, without the line ends that were added.
    #[must_use]
    pub fn bytes_as_they_came(&self) -> u64 {
        self.bytes.len() as u64 - self.ends
    }

    /// Removes all lines but keeps the memory.
    pub fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // There may have been a line longer than a frame: give that memory back.
        bytes.shrink_to(2 * MOST_LINE_BYTES);
        *self = Self { bytes, ..Self::default() };
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.lines
    }

    /// Returns whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }
}

/// A compressed frame and its index.
#[derive(Debug)]
pub struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) line_bytes: u32,
    pub(super) lines: u32,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) filter: Vec<u8>,
}

impl Frame {
    /// Returns the number of lines.
    #[must_use]
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Returns the compressed length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Compresses frames. Each thread needs its own, since it reuses its memory.
pub struct Packer {
    compressor: Compressor<'static>,
    /// As large as the longest possible frame; each frame is copied out at its own length.
    buffer: Vec<u8>,
}

impl Packer {
    /// Creates a packer for a compression level of zstd. The fast levels are tuned to lines full of tokens.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new(level: i32) -> std::io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        for parameter in [CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(true)] {
            compressor.set_parameter(parameter)?;
        }
        for parameter in tuning(level) {
            compressor.set_parameter(parameter)?;
        }
        Ok(Self { compressor, buffer: Vec::new() })
    }

    /// Compresses `lines`; `filter` records which tokens they contain.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn pack(&mut self, lines: &Lines, filter: Vec<u8>) -> std::io::Result<Frame> {
        self.pack_into(Vec::new(), lines, filter)
    }

    /// Like [`Packer::pack`], but reuses the memory of `bytes`, a frame that is no longer needed (see
    /// [`super::SegmentWriter::append`]).
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn pack_into(
        &mut self,
        mut bytes: Vec<u8>,
        lines: &Lines,
        filter: Vec<u8>,
    ) -> std::io::Result<Frame> {
        self.buffer.clear();
        self.buffer.reserve(zstd_safe::compress_bound(lines.bytes.len()));
        self.compressor.compress_to_buffer(&lines.bytes, &mut self.buffer)?;
        bytes.clear();
        bytes.extend_from_slice(&self.buffer);
        self.buffer.shrink_to(2 * MOST_LINE_BYTES);
        // No line is longer, even with its tokens.
        let line_bytes = u32::try_from(lines.bytes.len()).map_err(std::io::Error::other)?;
        let Lines { lines, first, last, .. } = *lines;
        Ok(Frame { bytes, line_bytes, lines, first, last, filter })
    }
}

/// Returns the parameters that are set beside the level.
///
/// A token has 26 random characters. Matches of four or five bytes within them are accidental: each evicts a
/// more useful table entry and costs more to encode than it saves. So levels 1 to 4 search for matches of six
/// bytes, in one table instead of two, over the whole frame. Compared with zstd's own parameters, logs become
/// 1 to 4 % smaller, at no loss of speed. Higher levels compare candidates and need no tuning.
///
/// At level 1 the table is half the size of zstd's own, so that it stays in the L1 cache beside the lines.
/// That is 4 to 10 % faster, and the result is between 1 % smaller and 3 % larger.
fn tuning(level: i32) -> Vec<CParameter> {
    let hash_log = match level {
        1 => 13,
        2..=4 => 16,
        _ => return Vec::new(),
    };
    vec![
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::MinMatch(6),
        CParameter::HashLog(hash_log),
        CParameter::WindowLog(MOST_LINE_BYTES.ilog2()),
    ]
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

/// Decompresses frames. Each thread needs its own, since it reuses its memory.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    /// # Errors
    /// If zstd has no memory.
    pub(super) fn new() -> std::io::Result<Self> {
        Decompressor::new().map(Self)
    }

    /// Decompresses a frame into `lines`, replacing what is there, and verifies its content checksum. Returns
    /// `None` if it is not one whole frame; the content of `lines` is meaningless then.
    pub(super) fn unpack(&mut self, frame: &[u8], lines: &mut Vec<u8>) -> Option<()> {
        let stated = zstd_safe::get_frame_content_size(frame).ok()??;
        if !frame.starts_with(&ZSTD_MAGIC) || stated > LONGEST_LINE_BYTES {
            return None;
        }
        lines.clear();
        // The last frame may have held a line longer than a normal frame: give that memory back.
        lines.shrink_to(2 * MOST_LINE_BYTES);
        lines.reserve_exact(usize::try_from(stated).ok()?);
        self.0.decompress_to_buffer(frame, lines).ok()?;
        (lines.len() as u64 == stated).then_some(())
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

/// Iterates over the whole frames at the start of `bytes` and their lines; ends at the first thing that is
/// not a whole frame of whole lines.
pub(super) fn whole_frames(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut rest = bytes;
    let mut unpacker = Unpacker::new().ok();
    std::iter::from_fn(move || {
        if !rest.starts_with(&ZSTD_MAGIC) {
            return None;
        }
        let length = zstd_safe::find_frame_compressed_size(rest).ok()?;
        let (frame, after) = rest.split_at_checked(length)?;
        let mut lines = Vec::new();
        unpacker.as_mut()?.unpack(frame, &mut lines)?;
        if lines.last() != Some(&b'\n') {
            return None;
        }
        rest = after;
        Some((frame, lines))
    })
}
