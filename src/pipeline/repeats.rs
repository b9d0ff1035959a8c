//! Counts repeated lines: a sender that got no answer before a process ended sends its lines again to the next process.
//!
//! Records do not show that they were sent before; RELP numbers its records anew for each connection. But a line that is
//! sent again in the same epoch results in the same bytes. So the hashes of the last lines of the archive are loaded at
//! the start, and lines that match one are counted. A line that a daemon happens to write twice counts as well.

use memchr::memchr_iter;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// The last lines archived before the start. Each is kept until it is repeated or no sender retries any more.
#[derive(Debug)]
pub struct Repeats {
    hasher: RandomState,
    /// Hashes of the lines, under a random key of this process.
    hashes: HashSet<u64>,
    until: Instant,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { hasher: RandomState::new(), hashes: HashSet::new(), until: Instant::now() + LONGEST_AWAY }
    }
}

impl Repeats {
    /// Adds whole lines as they are in the archive.
    pub fn remember(&mut self, lines: &[u8]) {
        for line in each(lines) {
            if self.hashes.len() < MOST_LINES {
                self.hashes.insert(self.hasher.hash_one(line));
            }
        }
    }

    /// Counts the lines that were archived before the start. Each such line counts once.
    pub fn count(&mut self, lines: &[u8]) -> u64 {
        if self.hashes.is_empty() {
            return 0;
        }
        if Instant::now() >= self.until {
            self.hashes = HashSet::new();
            return 0;
        }
        each(lines).filter(|line| self.hashes.remove(&self.hasher.hash_one(line))).count() as u64
    }
}

fn each(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', lines).map(move |end| {
        let line = &lines[start..end];
        start = end + 1;
        line
    })
}

/// More than the windows of a hundred connections; 16 bytes each.
const MOST_LINES: usize = 200_000;

/// How long to look for repeats. Senders retry after seconds or minutes.
const LONGEST_AWAY: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_again_is_counted_once() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.count(b"a\n"), 0);
        repeats.remember(b"a\nb\n");
        repeats.remember(b"\nc\n");
        for (lines, count) in [
            (&b"new\nb\nB\n"[..], 1),
            (b"b\na\n", 1),
            (b"\n", 1),
            (b"", 0),
            (b"c\nc\n", 1),
            (b"a\nb\nc\n", 0),
        ] {
            assert_eq!(repeats.count(lines), count, "{lines:?}");
        }
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let mut repeats = Repeats::default();
        repeats.remember(b"a\nb\n");
        repeats.until = Instant::now();
        assert_eq!((repeats.count(b"a\n"), repeats.hashes.len()), (0, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::default();
        let lines: String = (0..MOST_LINES + 10).map(|number| format!("{number}\n")).collect();
        repeats.remember(lines.as_bytes());
        assert_eq!(repeats.count(lines.as_bytes()), MOST_LINES as u64);
    }
}
