//! Cuts whatever the reads return into blocks of whole lines.
//!
//! A line is ended by LF; a CR before the LF belongs to the line end. A block is returned as soon as a read
//! returned a whole line, so no line waits for a block to fill, and big reads make big blocks. A line longer
//! than the limit is returned in parts as it arrives, so memory stays bounded. Which lines come out depends
//! only on the bytes, never on how the reads cut them.

use super::encoding::Encoding;
use super::{Arrival, ReadBy};
use crate::model::LONGEST_LINE;
use crate::primitives::diag::{Code, Diagnostic};
use crate::scan::count_lines;
use jiff::Timestamp;
use memchr::{memchr, memrchr};
use std::io;
use std::ops::Range;

/// The next part of the input.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Whole lines, none longer than the limit.
    Lines(Block),
    /// The next bytes, without line end, of a line that is longer than the limit, or that a failure or a stop
    /// cut off.
    TooLong(&'a [u8]),
    /// The end of that line, all parts of which have been returned.
    TooLongEnd(Ending),
    /// The deadline passed before anything arrived.
    Deadline,
    /// The end of the input; returned again on every later call.
    End,
}

/// Whole lines in a reusable buffer.
#[derive(Default)]
pub struct Block {
    /// Initialised up to its length, so that a read needs no zeroing.
    buffer: Vec<u8>,
    /// The part of `buffer` that is the block.
    range: Range<usize>,
}

/// Prints only the length, since lines are in clear.
impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block([{} bytes redacted])", self.range.len())
    }
}

impl Block {
    /// Makes a block of these bytes, for tests and for lines from elsewhere.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { buffer: bytes, range }
    }

    /// Returns the buffer for reuse.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Returns the lines with their line ends. Only the last line of the input may lack its line end.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn line_count(&self) -> u64 {
        count_lines(self.bytes())
    }
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// LF.
    Lf,
    /// CR LF.
    CrLf,
    /// None: this is the last line.
    Missing,
}

impl Ending {
    /// Returns the bytes of the line end.
    #[must_use]
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Missing => b"",
        }
    }
}

/// Cuts the bytes of `R` into [`Piece`]s.
pub struct Blocks<R> {
    source: R,
    /// Longest line that is not too long, in bytes without its line end.
    max_line_bytes: usize,
    /// `start <= scanned <= end <= buffer.len()`. `start..end` was read and not returned; `start..scanned`
    /// contains no LF. Between pieces, the range holds at most one partial line, unless another piece can
    /// still be cut from it.
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    /// Whether `start..` continues a line of which a part was returned as too long.
    too_long: bool,
    /// Bytes of that line that were returned.
    too_long_bytes: u64,
    /// Whether the source returns no more bytes, because of its end or because it was `cut_off`.
    ended: bool,
    /// Whether a stop or a failure came, so that the rest may be half a line.
    cut_off: bool,
    /// Returned once everything that was read before it has been.
    failure: Option<io::Error>,
    /// Bytes read so far, for messages.
    offset: u64,
    /// Recycled buffers.
    spare: Vec<Vec<u8>>,
}

impl<R> std::fmt::Debug for Blocks<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks(at {}, [{} bytes redacted])", self.offset, self.end - self.start)
    }
}

impl<R: ReadBy> Blocks<R> {
    /// Cuts `source` into lines of at most `max_line_bytes` bytes without the line end, and at most
    /// [`LONGEST_LINE`].
    #[must_use]
    pub fn new(source: R, max_line_bytes: usize) -> Self {
        Self {
            source,
            max_line_bytes: max_line_bytes.min(LONGEST_LINE),
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            end: 0,
            too_long: false,
            too_long_bytes: 0,
            ended: false,
            cut_off: false,
            failure: None,
            offset: 0,
            spare: Vec::new(),
        }
    }

    /// Returns the next piece. Waits for it until `deadline` at most.
    ///
    /// # Errors
    /// [`ReadError`] if the source failed, after everything that was read before has been returned; then
    /// [`Piece::End`]. A line that the failure or a stop cut off is returned as too long, because half an
    /// address could not be found in it.
    pub fn next_piece(&mut self, deadline: Option<Timestamp>) -> Result<Piece<'_>, ReadError> {
        loop {
            let step = if self.too_long { self.step_too_long() } else { self.step_lines() };
            match step {
                Step::Lines(block) => return Ok(Piece::Lines(block)),
                Step::TooLong(range) => return Ok(Piece::TooLong(&self.buffer[range])),
                Step::TooLongEnd(ending) => return Ok(Piece::TooLongEnd(ending)),
                Step::Starved if self.ended => {
                    return match self.failure.take() {
                        Some(source) => {
                            let torn_bytes = self.too_long_bytes;
                            Err(ReadError { offset: self.offset - torn_bytes, torn_bytes, source })
                        }
                        None => Ok(Piece::End),
                    };
                }
                Step::Starved => {
                    if !self.fill(deadline) {
                        return Ok(Piece::Deadline);
                    }
                }
            }
        }
    }

    /// Takes a block back and reuses its memory.
    pub fn recycle(&mut self, block: Block) {
        // A buffer that grew for a long line is not kept, so that one hostile line does not cost memory for
        // ever.
        if block.buffer.len() <= 2 * READ_BYTES && self.spare.len() < MAX_SPARE {
            self.spare.push(block.buffer);
        }
    }

    fn step_lines(&mut self) -> Step {
        let whole = self.end_of_whole_lines();
        if whole > self.start {
            return Step::Lines(self.cut(whole));
        }
        let rest = self.end - self.start;
        self.scanned = self.start + rest.min(self.max_line_bytes + 1);
        // One byte over the limit may still turn out to be the CR of the line end.
        let over = rest.saturating_sub(self.max_line_bytes);
        let undecided = over == 1 && !self.ended && self.buffer[self.end - 1] == b'\r';
        let torn = rest > 0 && self.cut_off;
        if torn || over > 0 && !undecided {
            (self.too_long, self.too_long_bytes) = (true, 0);
            return self.step_too_long();
        }
        if self.ended && rest > 0 {
            return Step::Lines(self.cut(self.end));
        }
        Step::Starved
    }

    /// Returns the end of the whole lines from `start` on that are within the limit.
    ///
    /// Jumps from the last LF within reach to the last LF within reach of that one, so a limit far above the
    /// usual line costs nothing, and every byte is examined at most twice.
    fn end_of_whole_lines(&self) -> usize {
        let limit = self.max_line_bytes;
        let mut line = self.start;
        loop {
            let from = line.max(self.scanned);
            let reach = self.end.min(line + limit + 1);
            if from < reach
                && let Some(at) = memrchr(b'\n', &self.buffer[from..reach])
            {
                line = from + at + 1;
            } else if self.end - line >= limit + 2
                && self.buffer[line + limit..].starts_with(Ending::CrLf.as_bytes())
            {
                line += limit + 2;
            } else {
                return line;
            }
        }
    }

    /// Returns `start..whole` as a block. Copies either the lines or the bytes after them, whichever is
    /// shorter, so that the cost of copying is linear in the bytes read.
    fn cut(&mut self, whole: usize) -> Block {
        let lines = self.start..whole;
        let rest = whole..self.end;
        let mut other = self.spare.pop().unwrap_or_default();
        let copied = if rest.len() <= lines.len() { rest.clone() } else { lines.clone() };
        if other.len() < copied.len() {
            other.resize(copied.len().max(READ_BYTES), 0);
        }
        other[..copied.len()].copy_from_slice(&self.buffer[copied.clone()]);
        // `end_of_whole_lines` has established that no LF follows within the limit.
        let scanned = rest.len().min(self.max_line_bytes + 1);
        if rest.len() <= lines.len() {
            std::mem::swap(&mut self.buffer, &mut other);
            (self.start, self.scanned, self.end) = (0, scanned, rest.len());
            Block { buffer: other, range: lines }
        } else {
            (self.start, self.scanned) = (whole, whole + scanned);
            Block { buffer: other, range: 0..copied.len() }
        }
    }

    fn step_too_long(&mut self) -> Step {
        let line_feed = memchr(b'\n', &self.buffer[self.scanned..self.end]).map(|at| self.scanned + at);
        let until = line_feed.unwrap_or(self.end);
        self.scanned = until;
        // A trailing CR may belong to the line end, so it waits for the next byte.
        let cr = until > self.start && self.buffer[until - 1] == b'\r';
        let held_back = usize::from(cr && (line_feed.is_some() || !self.ended));
        let content = self.start..until - held_back;
        if !content.is_empty() {
            self.start = content.end;
            self.too_long_bytes += content.len() as u64;
            return Step::TooLong(content);
        }
        if line_feed.is_some() {
            self.start = until + 1;
            self.scanned = self.start;
            (self.too_long, self.too_long_bytes) = (false, 0);
            return Step::TooLongEnd(if held_back == 1 { Ending::CrLf } else { Ending::Lf });
        }
        if self.ended {
            self.too_long = false;
            return Step::TooLongEnd(Ending::Missing);
        }
        Step::Starved
    }

    /// Reads once. Returns `false` if the deadline passed.
    fn fill(&mut self, deadline: Option<Timestamp>) -> bool {
        self.make_room();
        loop {
            let room = &mut self.buffer[self.end..];
            let most = room.len().min(READ_BYTES);
            match self.source.read_by(&mut room[..most], deadline) {
                Ok(Arrival::Bytes(count)) => {
                    // Guards against a reader that claims to have read more than there was room for.
                    let count = count.min(most);
                    self.end += count;
                    self.offset = self.offset.saturating_add(count as u64);
                    self.refuse_unreadable();
                    return true;
                }
                Ok(Arrival::Deadline) => return false,
                Ok(Arrival::End) => self.ended = true,
                Ok(Arrival::Stopped) => (self.ended, self.cut_off) = (true, true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failure = Some(error);
                    (self.ended, self.cut_off) = (true, true);
                }
            }
            return true;
        }
    }

    /// Ends the input if it begins like one in which no identifier can be found. Nothing of it is returned.
    fn refuse_unreadable(&mut self) {
        // Until a piece is cut, the buffer holds everything that was read.
        if self.end as u64 == self.offset
            && let Some(encoding) = Encoding::of(&self.buffer[..self.end])
        {
            self.failure = Some(io::Error::new(io::ErrorKind::InvalidData, encoding));
            (self.start, self.scanned, self.end, self.offset) = (0, 0, 0, 0);
            self.ended = true;
        }
    }

    /// Makes room of at least [`LEAST_ROOM`] bytes for a read.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
        }
        if self.buffer.len() - self.end >= LEAST_ROOM {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < LEAST_ROOM {
            // Doubling keeps the cost of copying linear. At most one partial line within the limit is kept,
            // so the buffer stays below `max_line_bytes + 2 + READ_BYTES`.
            let most = self.max_line_bytes + 2 + READ_BYTES;
            let length = (2 * self.buffer.len()).clamp(READ_BYTES, most).max(self.end + LEAST_ROOM);
            self.buffer.resize(length, 0);
        }
    }
}

/// The source could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the input after {offset} bytes")]
#[non_exhaustive]
pub struct ReadError {
    /// Bytes of the whole lines that were read before the failure: the offset at which to continue.
    pub offset: u64,
    /// Bytes of the incomplete line after them.
    pub torn_bytes: u64,
    /// The error of the operating system.
    pub source: io::Error,
}

impl From<ReadError> for Diagnostic {
    fn from(error: ReadError) -> Self {
        if let Some(encoding) = error.source.get_ref().and_then(|inner| inner.downcast_ref::<Encoding>()) {
            return (*encoding).into();
        }
        let at = format!("after {} bytes", error.offset);
        let told = Self::new(&READ_FAILED, "cannot read the input").because(error.source.to_string());
        match error.torn_bytes {
            0 => told.at(at).hint("the lines read before were processed; start again from that offset"),
            bytes => told.at(format!("{at} of whole lines, and {bytes} of another one")).hint(
                "whole lines were processed; the beginning of the line that was cut off is in quarantine; start again from that offset",
            ),
        }
    }
}

/// I01: a read failed.
pub static READ_FAILED: Code = Code {
    id: "I01",
    title: "the input cannot be read",
    text: "\
What it means
  The operating system reported an error while oubliette read log lines. oubliette has processed and
  written every whole line before the error. If the error cut a line off, its first part is in
  `<state>/quarantine`, encrypted, and a placeholder went out in its place. Half an address does not
  look like one, and would go out in clear.

  Or a line on the standard input of `serve` is longer than `sealed` in [serve.limits], and oubliette
  cannot know where the next line begins.

Why it matters
  oubliette has not read the rest of the source. If it is a pipe, the program that writes into it
  gets a broken pipe, and may drop its lines.

Example
  oubliette filter < /mnt/nfs/access.log     # and the file server went away

What to do
  1. Repair the source (disk, mount, peer).
  2. Pipe or peer: start oubliette again.
  3. File: go on at the offset that the message names, where the line that was cut off begins. Add
     one to it: `tail -c +OFFSET FILE | oubliette filter`
  4. Object of a batch: repair it or fetch it again, then run the same list again. Its output was
     not written. The offset in the message counts bytes after decompression.
  5. Line without end: have the program that writes it end each line with LF, or raise `sealed`.
     Then start oubliette again.

References
  read(2), section ERRORS.",
};

/// The result of examining the bytes at hand.
enum Step {
    Lines(Block),
    TooLong(Range<usize>),
    TooLongEnd(Ending),
    /// More bytes are needed.
    Starved,
}

/// Bytes to ask for at a time: large compared with the cost of a system call, small compared with the
/// second-level cache, in which the worker finds the block.
const READ_BYTES: usize = 128 << 10;

/// A read with less room than this is not worth its system call.
const LEAST_ROOM: usize = 64 << 10;

/// Most buffers kept for reuse.
const MAX_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::io::Read;

    /// Returns its bytes in reads of the given sizes, over and over; every third read is interrupted.
    struct Chunks<'a> {
        bytes: &'a [u8],
        sizes: Vec<usize>,
        reads: usize,
    }

    impl Read for Chunks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            if self.reads.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = self.sizes[self.reads % self.sizes.len()].min(buffer.len()).min(self.bytes.len());
            let (now, later) = self.bytes.split_at(size);
            buffer[..size].copy_from_slice(now);
            self.bytes = later;
            Ok(size)
        }
    }

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Seen {
        Line(Vec<u8>, Ending),
        TooLong(Vec<u8>, Ending),
    }

    fn lines_of(source: impl ReadBy, limit: usize) -> Vec<Seen> {
        let mut blocks = Blocks::new(source, limit);
        let (mut seen, mut long) = (Vec::new(), Vec::new());
        loop {
            match blocks.next_piece(None).unwrap() {
                Piece::Lines(block) => {
                    assert!(long.is_empty() && !block.bytes().is_empty());
                    let lines = split(block.bytes());
                    assert_eq!(block.line_count(), lines.len() as u64);
                    seen.extend(lines.into_iter().map(|(content, ending)| Seen::Line(content, ending)));
                    blocks.recycle(block);
                }
                Piece::TooLong(bytes) => {
                    assert!(!bytes.is_empty());
                    long.extend_from_slice(bytes);
                }
                Piece::TooLongEnd(ending) => seen.push(Seen::TooLong(std::mem::take(&mut long), ending)),
                Piece::Deadline => unreachable!(),
                Piece::End => break,
            }
        }
        assert!(long.is_empty());
        seen
    }

    /// Cuts lines by their definition, without any buffer.
    fn lines_by_definition(bytes: &[u8], limit: usize) -> Vec<Seen> {
        let judged = |(content, ending): (Vec<u8>, Ending)| match content.len() > limit {
            true => Seen::TooLong(content, ending),
            false => Seen::Line(content, ending),
        };
        split(bytes).into_iter().map(judged).collect()
    }

    /// Splits the input into lines and their line ends.
    fn split(bytes: &[u8]) -> Vec<(Vec<u8>, Ending)> {
        let line = |line: &[u8]| match line {
            [content @ .., b'\r', b'\n'] => (content.to_vec(), Ending::CrLf),
            [content @ .., b'\n'] => (content.to_vec(), Ending::Lf),
            content => (content.to_vec(), Ending::Missing),
        };
        bytes.split_inclusive(|&byte| byte == b'\n').map(line).collect()
    }

    #[test]
    fn lines_end_at_line_feeds() {
        let line = |content: &[u8], ending| Seen::Line(content.to_vec(), ending);
        let long = |content: &[u8], ending| Seen::TooLong(content.to_vec(), ending);
        use Ending::{CrLf, Lf, Missing};
        for (input, limit, expected) in [
            // Nothing.
            (&b""[..], 4, vec![]),
            // Line ends.
            (b"\n", 4, vec![line(b"", Lf)]),
            (b"\r\n", 4, vec![line(b"", CrLf)]),
            (b"a\nb", 4, vec![line(b"a", Lf), line(b"b", Missing)]),
            (b"a\r\nb\r", 4, vec![line(b"a", CrLf), line(b"b\r", Missing)]),
            (b"a\rb\r\r\n", 9, vec![line(b"a\rb\r", CrLf)]),
            // The limit, without the line end.
            (b"abcd\nabcd\r\nabcd", 4, vec![line(b"abcd", Lf), line(b"abcd", CrLf), line(b"abcd", Missing)]),
            (b"abcde\nx\n", 4, vec![long(b"abcde", Lf), line(b"x", Lf)]),
            (b"x\nabcde\r\ny", 4, vec![line(b"x", Lf), long(b"abcde", CrLf), line(b"y", Missing)]),
            (b"abcd\r", 4, vec![long(b"abcd\r", Missing)]),
            (b"abcd\rx\n", 4, vec![long(b"abcd\rx", Lf)]),
            (b"abcd\r\r\n", 4, vec![long(b"abcd\r", CrLf)]),
            // Only the empty line passes.
            (b"\na\n\r\n\r", 0, vec![line(b"", Lf), long(b"a", Lf), line(b"", CrLf), long(b"\r", Missing)]),
            // Bytes need not be text.
            (b"\0\xff\xfe\n", 4, vec![line(b"\0\xff\xfe", Lf)]),
        ] {
            assert_eq!(lines_of(input, limit), expected, "{input:?} limit {limit}");
            for size in 1..4 {
                let chunks = Chunks { bytes: input, sizes: vec![size], reads: 0 };
                assert_eq!(lines_of(chunks, limit), expected, "{input:?} limit {limit} reads of {size}");
            }
        }
    }

    #[test]
    fn a_line_does_not_wait_for_a_full_block() {
        struct Script(VecDeque<Arrival>);
        impl ReadBy for Script {
            fn read_by(&mut self, buffer: &mut [u8], _: Option<Timestamp>) -> io::Result<Arrival> {
                let arrival = self.0.pop_front().unwrap();
                if let Arrival::Bytes(count) = arrival {
                    buffer[..count].fill(b'x');
                    buffer[count - 1] = b'\n';
                }
                Ok(arrival)
            }
        }
        let script = [Arrival::Bytes(5), Arrival::Deadline, Arrival::Bytes(7), Arrival::End];
        let mut blocks = Blocks::new(Script(script.into()), 100);
        assert!(
            matches!(blocks.next_piece(None).unwrap(), Piece::Lines(block) if block.bytes() == b"xxxx\n")
        );
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::Deadline));
        assert!(
            matches!(blocks.next_piece(None).unwrap(), Piece::Lines(block) if block.bytes() == b"xxxxxx\n")
        );
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::End));
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::End));
    }

    #[test]
    fn what_was_read_before_a_failure_comes_out_first() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 1 {
                    return Err(io::Error::other("gone"));
                }
                buffer[..5].copy_from_slice(b"a\nb\nc");
                Ok(5)
            }
        }
        let mut blocks = Blocks::new(Failing(0), 100);
        assert!(
            matches!(blocks.next_piece(None).unwrap(), Piece::Lines(block) if block.bytes() == b"a\nb\n")
        );
        // Half a line is not searched: its other half may be the other half of an address.
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::TooLong(b"c")));
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::TooLongEnd(Ending::Missing)));
        let error = blocks.next_piece(None).unwrap_err();
        assert_eq!((error.offset, error.torn_bytes), (4, 1));
        assert_eq!(Diagnostic::from(error).code.id, "I01");
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::End));
    }

    #[test]
    fn a_line_without_end_does_not_grow_the_buffer() {
        let limit = 1 << 20;
        let mut blocks = Blocks::new(io::repeat(b'a').take(300 << 20), limit);
        let mut bytes = 0;
        loop {
            match blocks.next_piece(None).unwrap() {
                Piece::TooLong(chunk) => bytes += chunk.len(),
                Piece::TooLongEnd(ending) => assert_eq!(ending, Ending::Missing),
                Piece::End => break,
                piece => panic!("{piece:?}"),
            }
            assert!(blocks.buffer.len() <= limit + 2 + READ_BYTES);
        }
        assert_eq!(bytes, 300 << 20);
    }

    #[test]
    fn hostile_alternation_of_long_and_short_lines_is_copied_once() {
        // Half of the lines are too long; the bytes after each must not be moved again and again.
        let input = b"aaaaaaaaaa\nb\n".repeat(50_000);
        assert_eq!(lines_of(&input[..], 4), lines_by_definition(&input, 4));
    }

    fn bytes_with_line_ends() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(b'a'), 2 => Just(b'\n'), 2 => Just(b'\r'), 1 => any::<u8>()];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            bytes in bytes_with_line_ends(),
            sizes in proptest::collection::vec(1..20usize, 1..6),
            limit in 0..12usize,
        ) {
            let expected = lines_by_definition(&bytes, limit);
            prop_assert_eq!(lines_of(Chunks { bytes: &bytes, sizes, reads: 0 }, limit), expected);
        }

        #[test]
        fn a_line_about_the_limit_is_judged_by_its_length(
            limit in 0..70_000usize,
            over in -1..=2i32,
            ending in prop_oneof![Just("\n"), Just("\r\n"), Just(""), Just("\r")],
            size in prop_oneof![1..3usize, 60_000..70_000usize],
        ) {
            let length = limit.saturating_add_signed(over as isize);
            let mut bytes = b"first\n".to_vec();
            bytes.resize(bytes.len() + length, b'x');
            bytes.extend_from_slice(ending.as_bytes());
            let expected = lines_by_definition(&bytes, limit);
            let chunks = Chunks { bytes: &bytes, sizes: vec![size], reads: 0 };
            prop_assert_eq!(lines_of(chunks, limit), expected);
        }
    }
}
