//! A half-open range of bytes within one line.

/// The highest `max_line_bytes`: the longest line that is searched, in bytes without its line end.
///
/// Tokens lengthen a line: in the worst case, each of its bytes becomes one. What becomes of the longest line
/// must still fit into a frame that every reader of an archive accepts.
pub const LONGEST_LINE: usize = 16 << 20;

/// Bytes `start..end` of a line, counted from the line's first byte; `start <= end <= line length`.
///
/// Offsets are 32 bits: no line exceeds [`LONGEST_LINE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`.
    ///
    /// # Panics
    /// In debug builds, if `start > end` or an offset does not fit in 32 bits. The length of lines is limited
    /// far below that.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "lines are bounded by LONGEST_LINE")]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of `line` that the span covers.
    #[must_use]
    pub fn of(self, line: &[u8]) -> &[u8] {
        &line[self.start as usize..self.end as usize]
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span covers no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether the two spans have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}
