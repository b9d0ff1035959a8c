//! Counts line feeds in a pass of its own, for callers that need a number of lines without a scan.

use crate::primitives::processor::{Kernel, Lanes, vectorize};

/// Returns the number of lines in `bytes`: the line feeds, plus one if anything follows the last of them.
#[must_use]
pub fn count_lines(bytes: &[u8]) -> u64 {
    let partial = bytes.last().is_some_and(|&last| last != b'\n');
    vectorize(LineFeeds(bytes)) + u64::from(partial)
}

#[derive(Clone)]
struct LineFeeds<'a>(&'a [u8]);

/// Bytes processed together.
const CHUNK: usize = 64;

impl Kernel for LineFeeds<'_> {
    type Output = u64;

    #[inline(always)]
    fn run(self, _: impl Lanes) -> u64 {
        let (chunks, rest) = self.0.as_chunks::<CHUNK>();
        let mut count = 0;
        // A column of one byte can count to 255.
        for chunks in chunks.chunks(usize::from(u8::MAX)) {
            let mut columns = [0_u8; CHUNK];
            for chunk in chunks {
                for (column, byte) in columns.iter_mut().zip(chunk) {
                    *column = column.wrapping_add(u8::from(*byte == b'\n'));
                }
            }
            for column in columns {
                count += u64::from(column);
            }
        }
        for byte in rest {
            count += u64::from(*byte == b'\n');
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::processor::tests::with_each;

    #[test]
    fn all_are_counted() {
        for length in (0..200).chain([255 * CHUNK - 1, 255 * CHUNK, 255 * CHUNK + 1, 600 * CHUNK + 7]) {
            for every in [1, 3, 64] {
                let bytes: Vec<u8> =
                    (0..length).map(|at| if at % every == 0 { b'\n' } else { b'.' }).collect();
                let expected = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                for (lanes, count) in with_each(&LineFeeds(&bytes)) {
                    assert_eq!(count, expected, "{lanes}: {length} bytes, every {every}");
                }
            }
        }
    }

    #[test]
    fn a_last_line_needs_no_line_feed() {
        for (bytes, lines) in [(&b""[..], 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"\n\n", 2)] {
            assert_eq!(count_lines(bytes), lines, "{bytes:?}");
        }
    }
}
