//! Cuts the bytes of a file into lines, and keeps the offset up to which lines are whole.

use crate::input::Batch;
use memchr::memchr;

/// The beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineStart {
    /// The offset of its first byte in the file.
    pub(super) offset: u64,
    /// Whether it may be the rest of a line that was torn when the file was truncated. Then it is sealed, for
    /// half of an address does not look like one.
    pub(super) torn: bool,
}

/// Cuts what was read from a file into batches of lines.
#[derive(Debug)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    /// The bytes before this position in `buffer` have been returned.
    start: usize,
    /// The offset of `buffer[start]` in the file.
    offset: u64,
    /// The position after the last whole line that was returned.
    next: LineStart,
    /// Whether the current line is too long and a part of it was returned.
    in_long: bool,
    max_record_bytes: usize,
}

impl Cutter {
    /// Creates a cutter that starts at `next`.
    pub(super) fn new(next: LineStart, max_record_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, offset: next.offset, next, in_long: false, max_record_bytes }
    }

    /// Returns the buffer to which the next bytes must be appended.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * READ_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// Returns the next lines, and the beginning of the line after the last whole one; `None` if more bytes
    /// are needed.
    pub(super) fn next_batch(&mut self) -> Option<(Batch, LineStart)> {
        let before = self.offset;
        let mut batch = Batch::default();
        while !batch.is_full() {
            let rest = &self.buffer[self.start..];
            match memchr(b'\n', rest) {
                Some(end) => {
                    match self.in_long || self.next.torn && end > 0 {
                        true => batch.seal(rest[..end].to_vec(), true),
                        false => batch.push(&rest[..end], self.max_record_bytes),
                    }
                    self.advance(end + 1);
                    self.line_ends();
                }
                None if !rest.is_empty() && (self.in_long || rest.len() > self.max_record_bytes) => {
                    self.seal_part(&mut batch);
                }
                None => break,
            }
        }
        (self.offset > before).then_some((batch, self.next))
    }

    /// Returns the number of bytes of the unfinished line.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Returns whether a line has begun and not ended.
    pub(super) fn is_unfinished(&self) -> bool {
        self.in_long || self.unfinished_bytes() > 0
    }

    /// Returns the unfinished line as too long, because there is no memory for it.
    pub(super) fn seal_unfinished(&mut self) -> Option<(Batch, LineStart)> {
        let mut batch = Batch::default();
        self.seal_part(&mut batch);
        (!batch.is_empty()).then_some((batch, self.next))
    }

    /// Returns the rest to be sealed when no more bytes will come, for it may be half a line.
    pub(super) fn finish(&mut self) -> Option<(Batch, LineStart)> {
        if !self.is_unfinished() {
            return None;
        }
        let mut batch = Batch::default();
        batch.seal(self.buffer[self.start..].to_vec(), true);
        self.advance(self.unfinished_bytes());
        self.line_ends();
        Some((batch, self.next))
    }

    /// Continues at the beginning of the file, which was truncated. An unfinished line is sealed together
    /// with the bytes up to the next line feed, which may be its other half.
    pub(super) fn start_again(&mut self) -> Option<(Batch, LineStart)> {
        let torn = self.next.torn || self.is_unfinished();
        let rest = self.seal_unfinished();
        self.offset = 0;
        self.next = LineStart { offset: 0, torn };
        rest
    }

    /// Returns the beginning of the next line.
    pub(super) fn next(&self) -> LineStart {
        self.next
    }

    /// Returns the offset after the last byte that was read.
    pub(super) fn read_to(&self) -> u64 {
        self.offset + self.unfinished_bytes() as u64
    }

    fn seal_part(&mut self, batch: &mut Batch) {
        let rest = &self.buffer[self.start..];
        if !rest.is_empty() {
            batch.seal(rest.to_vec(), false);
            self.in_long = true;
            self.advance(self.unfinished_bytes());
        }
    }

    fn line_ends(&mut self) {
        self.in_long = false;
        self.next = LineStart { offset: self.offset, torn: false };
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }
}

/// Bytes to read at a time.
pub(super) const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns lines, sealed lines and the last offset.
    fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<u8>, Vec<Vec<u8>>, u64) {
        let mut cutter = Cutter::new(LineStart { offset: 100, torn: false }, limit);
        let (mut lines, mut sealed, mut part, mut last) = (Vec::new(), Vec::new(), Vec::new(), 100);
        let mut take = |(batch, next): (Batch, LineStart)| {
            assert!(next.offset >= last && !next.torn);
            last = next.offset;
            let (whole, long) = batch.into_parts();
            lines.extend(whole);
            if let Some(long) = long {
                part.extend(long.bytes);
                if long.ends {
                    sealed.push(std::mem::take(&mut part));
                }
            }
        };
        for chunk in chunks {
            cutter.room().extend_from_slice(chunk);
            while let Some(batch) = cutter.next_batch() {
                take(batch);
            }
        }
        cutter.finish().into_iter().for_each(take);
        assert!(part.is_empty());
        (lines, sealed, last)
    }

    #[test]
    fn lines_and_offsets() {
        let seal = |lines: &[&[u8]]| lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
        for (bytes, lines, sealed) in [
            (&b""[..], &b""[..], seal(&[])),
            (b"a\nbb\n", b"a\nbb\n", seal(&[])),
            (b"a\r\n\n\nb", b"a\r\n", seal(&[b"b"])),
            (b"1234\n12345\n1\n", b"1234\n1\n", seal(&[b"12345"])),
            (b"1\n1234567", b"1\n", seal(&[b"1234567"])),
        ] {
            for size in 1..6 {
                let cut = cut(bytes.chunks(size), 4);
                assert_eq!(
                    cut,
                    (lines.to_vec(), sealed.clone(), 100 + bytes.len() as u64),
                    "{bytes:?} by {size}"
                );
            }
        }
    }

    #[test]
    fn an_offset_is_never_inside_a_line() {
        let mut cutter = Cutter::new(LineStart { offset: 0, torn: false }, 4);
        let begins_at = |offset| LineStart { offset, torn: false };
        cutter.room().extend_from_slice(b"a\n123456");
        let (batch, next) = cutter.next_batch().unwrap();
        assert_eq!((batch.records(), next, cutter.read_to()), (1, begins_at(2), 8));
        cutter.room().extend_from_slice(b"789");
        assert_eq!(cutter.next_batch().unwrap().1, begins_at(2));
        cutter.room().extend_from_slice(b"\nx");
        assert_eq!(cutter.next_batch().unwrap().1, begins_at(12));
        assert_eq!((cutter.next_batch(), cutter.unfinished_bytes()), (None, 1));
        assert_eq!(cutter.seal_unfinished().unwrap().1, begins_at(12));
        assert_eq!(cutter.finish().unwrap().1, begins_at(13));
        assert_eq!(cutter.finish(), None);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(bytes in "[ab\n]{0,80}", limit in 0..6usize, size in 1..30usize) {
            let bytes = bytes.as_bytes();
            prop_assert_eq!(cut(bytes.chunks(size), limit), cut([bytes], limit));
        }
    }
}
