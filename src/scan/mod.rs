//! Scans a block once and finds line ends, positions where an identifier could be, and the marks that tell
//! formats apart. No later stage looks at every byte again.

mod line_feeds;
mod shapes;

pub use line_feeds::count_lines;
pub(crate) use shapes::{Candidate, Shapes};

use crate::primitives::processor::{Classes, Kernel, Lanes, vectorize};
use shapes::{Found, LEAD, Stretch, WINDOWS};

/// The result of scanning a text. Reused from block to block.
#[derive(Debug, Default)]
pub struct Scan {
    /// Sorted by position.
    pub(crate) candidates: Vec<Candidate>,
    /// Positions of LF.
    line_feeds: Bits,
    /// Positions of `"`.
    quotes: Bits,
    /// Positions of `=`.
    equals: Bits,
    /// Positions of bytes that cannot be part of the name of a host or program.
    name_ends: Bits,
    /// Whether the text contains `expires=` or `retention@`, the words of a retention tag.
    tag_words: bool,
}

impl Scan {
    /// Scans `block` and returns its lines.
    pub fn lines<'a>(&'a mut self, block: &'a [u8]) -> Lines<'a> {
        self.run(block);
        let feeds = self.line_feeds.word(0);
        Lines { block, scan: self, start: 0, candidate: 0, base: 0, feeds }
    }

    /// Scans `text` and returns it as one line, even if it contains line feeds.
    pub fn line<'a>(&'a mut self, text: &'a [u8]) -> Line<'a> {
        self.run(text);
        let candidates = &self.candidates[..];
        let shapes = candidates.iter().fold(Shapes::NONE, |shapes, candidate| shapes.with(candidate.shapes));
        Line { bytes: text, ending: b"", start: 0, block: text, candidates, shapes, scan: self }
    }

    /// Scans `text` and discards the result of the previous scan.
    pub(crate) fn run(&mut self, text: &[u8]) {
        vectorize(Pass { scan: self, text });
    }
}

/// New bits per window. A window has 64 bits and begins with the last [`LEAD`] of the previous one.
const STRIDE: usize = 64 - LEAD;

/// Bytes per stretch of [`WINDOWS`] windows. Their bits follow the last [`LEAD`] of the previous stretch.
const STRETCH: usize = WINDOWS * STRIDE;

/// Chunks of 64 bytes in a stretch.
const CHUNKS: usize = STRETCH / 64;

/// The pass over one text.
struct Pass<'a> {
    scan: &'a mut Scan,
    text: &'a [u8],
}

impl Kernel for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Self { scan, text } = self;
        let Scan { candidates, line_feeds, quotes, equals, name_ends, tag_words } = scan;
        candidates.clear();
        *tag_words = false;
        for bits in [&mut *line_feeds, quotes, equals, name_ends] {
            bits.make_room(text.len());
        }
        let (mut stretch, mut found) = (Stretch::default(), Found::default());
        let mut edge = [0; STRETCH];
        for base in (0..text.len()).step_by(STRETCH) {
            stretch.follow();
            match text[base..].first_chunk() {
                Some(bytes) => classify(lanes, bytes, CHUNKS, &mut stretch),
                None => {
                    let chunks = at_end(&text[base..], &mut edge);
                    classify(lanes, &edge, chunks, &mut stretch);
                }
            }
            line_feeds.put(base, stretch.newline.bits());
            quotes.put(base, stretch.quote.bits());
            equals.put(base, stretch.equals.bits());
            name_ends.put(base, stretch.name_end.bits());
            found.renew(lanes, &stretch);
            #[expect(clippy::cast_possible_truncation, reason = "blocks are bounded, below 4 GiB")]
            let base = base as u32;
            if found.any != [0; WINDOWS] {
                push_candidates(candidates, base, &found);
            }
            if found.tag_words != [0; WINDOWS] {
                *tag_words |= holds_tag_word(text, base, &found.tag_words);
            }
        }
    }
}

/// Classifies the bytes of the first `chunks` chunks of a stretch; the others are of no class.
#[inline(always)]
fn classify(lanes: impl Lanes, bytes: &[u8; STRETCH], chunks: usize, stretch: &mut Stretch) {
    for (chunk, bytes) in bytes.as_chunks::<64>().0.iter().enumerate() {
        let classes = if chunk < chunks { lanes.classify(bytes) } else { Classes::default() };
        stretch.set(chunk, &classes);
    }
}

/// Adds the shapes found in the stretch at `base` to the candidates.
#[inline(always)]
fn push_candidates(candidates: &mut Vec<Candidate>, base: u32, found: &Found) {
    for (window, start) in (base..).step_by(STRIDE).take(WINDOWS).enumerate() {
        let mut any = found.any[window];
        if any == 0 {
            continue;
        }
        let has_rare = found.rare[window] != 0;
        while any != 0 {
            let position = any.trailing_zeros();
            any &= any - 1;
            let bit = position + LEAD as u32;
            let mut shapes = found.common_shapes(window, bit);
            if has_rare {
                shapes = shapes.with(found.rare_shapes(window, bit));
            }
            candidates.push(Candidate { at: start + position, shapes });
        }
    }
}

/// Copies the end of a text, shorter than a stretch, and fills the rest with zeros. Returns the number of
/// chunks that hold some of it, so that a short text does not cost a whole stretch. Never inlined, so that all
/// other stretches are read in place.
#[inline(never)]
fn at_end(text: &[u8], bytes: &mut [u8; STRETCH]) -> usize {
    bytes[text.len()..].fill(0);
    bytes[..text.len()].copy_from_slice(text);
    text.len().div_ceil(64)
}

/// Returns whether a word of a retention tag ends in the stretch of `text` whose new bytes start at `base`.
/// `ends` marks the positions where one could end.
#[inline(never)]
fn holds_tag_word(text: &[u8], base: u32, ends: &[u64; WINDOWS]) -> bool {
    let mut any = false;
    for (start, &ends) in (base..).step_by(STRIDE).zip(ends) {
        let mut ends = ends;
        while ends != 0 {
            let end = (start + ends.trailing_zeros()) as usize;
            ends &= ends - 1;
            any |= match text[..=end] {
                [.., b's', b'='] => text[..=end].ends_with(b"expires="),
                [.., b'n', b'@'] => text[..=end].ends_with(b"retention@"),
                _ => false,
            };
        }
    }
    any
}

/// One bit per byte of the text: bit `i % 8` of byte `i / 8` describes byte `i`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bits(Vec<u8>);

impl Bits {
    /// Makes room for the bits of `bytes` bytes and of one more stretch.
    fn make_room(&mut self, bytes: usize) {
        let needed = bytes / 8 + STRETCH;
        if self.0.len() < needed {
            self.0.resize(needed, 0);
        }
    }

    /// Writes the bits of the stretch at `base`, and zeros after them. Stretches must be written in order.
    #[inline(always)]
    fn put(&mut self, base: usize, bits: &[u8; STRETCH / 8]) {
        let room = self.0.get_mut(base / 8..).and_then(<[u8]>::first_chunk_mut::<{ STRETCH / 8 + 2 }>);
        let Some(room) = room else { return };
        room[..STRETCH / 8].copy_from_slice(bits);
        room[STRETCH / 8..].fill(0);
    }

    /// Returns the bits from `from` on. At least the first 57 are valid.
    #[inline]
    fn window(&self, from: usize) -> u64 {
        self.word(from / 8) >> (from % 8)
    }

    /// Returns the bits before `end`, the last of them in bit 63. At least the last 56 are valid.
    #[inline]
    fn window_before(&self, end: usize) -> u64 {
        let first = (end / 8).saturating_sub(7);
        // The shift is at most 8 if there are enough bits.
        self.word(first).unbounded_shl(u32::try_from(8 * first + 64 - end).unwrap_or(u32::MAX))
    }

    /// Returns 64 bits, starting at byte `byte`; zero if fewer are left.
    #[inline]
    fn word(&self, byte: usize) -> u64 {
        let word = self.0.get(byte..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u64::from_le_bytes(*word))
    }
}

/// One line of a scanned block.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The line without its line end.
    pub bytes: &'a [u8],
    /// LF or CRLF; empty for a last line without a line end.
    pub ending: &'a [u8],
    /// Offset of the line in `block`.
    pub(crate) start: u32,
    pub(crate) block: &'a [u8],
    /// The candidates in the line or its ending. Their offsets count from the start of `block`.
    pub(crate) candidates: &'a [Candidate],
    /// The shapes of all candidates.
    shapes: Shapes,
    scan: &'a Scan,
}

/// Shows only lengths, because a line is raw.
impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line([{} bytes redacted], {} candidates)", self.bytes.len(), self.candidates.len())
    }
}

impl<'a> Line<'a> {
    /// Starts a walk over the quotes (`"`) in the line.
    #[inline]
    pub(crate) fn quotes(&self) -> Quotes<'a> {
        let start = self.start as usize;
        let base = start & !7;
        let bits = &self.scan.quotes;
        Quotes { bits, start, end: start + self.bytes.len(), base, word: bits.word(base / 8) }
    }

    /// Returns the quotes and equals signs in the line from `from` on, up to 64 bytes at a time: the offset
    /// in the block of the first byte, the quotes as a mask, and the equals signs.
    #[inline]
    pub(crate) fn marks(&self, from: usize) -> impl Iterator<Item = (usize, u64, u64)> {
        let (start, end) = (self.start as usize + from, self.start as usize + self.bytes.len());
        let first = start & !7;
        let words = end.saturating_sub(first).div_ceil(64);
        let of = |bits: &'a Bits| {
            bits.0[first / 8..][..8 * words].as_chunks().0.iter().copied().map(u64::from_le_bytes)
        };
        let (mut base, mut left_out) = (first, start - first);
        of(&self.scan.quotes).zip(of(&self.scan.equals)).map(move |(quotes, equals)| {
            let within = u64::MAX << left_out & u64::MAX >> 64_usize.saturating_sub(end - base);
            left_out = 0;
            let at = base;
            base += 64;
            (at, quotes & within, equals & within)
        })
    }

    /// Marks the bytes, from `from` on, that cannot be part of the name of a host or program: all except
    /// ASCII letters, digits, `.`, `-`, `/` and `_`.
    ///
    /// Covers at least 57 bytes. Bits beyond the line describe what follows it in the block.
    #[inline]
    pub(crate) fn name_ends(&self, from: usize) -> u64 {
        self.scan.name_ends.window(self.start as usize + from)
    }

    /// The same as [`Self::name_ends`] for at least 56 bytes before `at`: bit 63 describes the last of them.
    /// Bits before the block are 0.
    #[inline]
    pub(crate) fn name_ends_before(&self, at: usize) -> u64 {
        self.scan.name_ends.window_before(self.start as usize + at)
    }

    /// Returns whether the block contains `expires=` or `retention@`. If not, no line of it can hold anything
    /// that looks like a retention tag, except in a JSON object.
    #[must_use]
    pub fn block_holds_tag_words(&self) -> bool {
        self.scan.tag_words
    }

    /// Returns whether the line contains a backslash or a percent-escape.
    #[inline]
    pub(crate) fn has_escapes(&self) -> bool {
        self.shapes.has(Shapes::ESCAPE)
    }

    /// Returns whether the line contains a backslash.
    #[inline]
    #[must_use]
    pub fn has_backslash(&self) -> bool {
        let is_one = |candidate: &Candidate| self.block.get(candidate.at as usize) == Some(&b'\\');
        self.has_escapes()
            && self
                .candidates
                .iter()
                .any(|candidate| candidate.shapes.has(Shapes::ESCAPE) && is_one(candidate))
    }
}

/// The positions of the quotes in a line, for queries from left to right: a step within 64 bytes reads no
/// memory.
pub(crate) struct Quotes<'a> {
    bits: &'a Bits,
    /// Offsets in the block of the line and of its end.
    start: usize,
    end: usize,
    /// Offset in the block of the first bit of `word`.
    base: usize,
    word: u64,
}

impl Quotes<'_> {
    /// Returns the offset in the line of the first quote at or after `from`.
    #[inline]
    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        let from = self.start + from;
        let mut passed = from.wrapping_sub(self.base);
        if passed >= 64 {
            self.base = from & !7;
            self.word = self.bits.word(self.base / 8);
            passed = from % 8;
        }
        let mut ahead = self.word & (u64::MAX << passed);
        while ahead == 0 {
            self.base += 64;
            if self.base >= self.end {
                return None;
            }
            self.word = self.bits.word(self.base / 8);
            ahead = self.word;
        }
        let found = self.base + ahead.trailing_zeros() as usize;
        (found < self.end).then(|| found - self.start)
    }
}

/// The lines of a scanned block, in order.
pub struct Lines<'a> {
    block: &'a [u8],
    scan: &'a Scan,
    start: usize,
    candidate: usize,
    /// Offset in the block of the first bit of `feeds`.
    base: usize,
    /// The line feeds of 64 bytes that have not been passed yet.
    feeds: u64,
}

impl Lines<'_> {
    /// Returns the next line feed.
    #[inline]
    fn next_line_feed(&mut self) -> Option<usize> {
        while self.feeds == 0 {
            self.base += 64;
            if self.base >= self.block.len() {
                return None;
            }
            self.feeds = self.scan.line_feeds.word(self.base / 8);
        }
        let found = self.base + self.feeds.trailing_zeros() as usize;
        self.feeds &= self.feeds - 1;
        // Bits beyond the block may be those of a longer one before it.
        (found < self.block.len()).then_some(found)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        if self.start >= self.block.len() {
            return None;
        }
        let (end, next) = match self.next_line_feed() {
            Some(line_feed) => (line_feed, line_feed + 1),
            None => (self.block.len(), self.block.len()),
        };
        let candidates = &self.scan.candidates[self.candidate..];
        let (mut here, mut shapes) = (0, Shapes::NONE);
        while let Some(candidate) = candidates.get(here).filter(|candidate| (candidate.at as usize) < next) {
            shapes = shapes.with(candidate.shapes);
            here += 1;
        }
        self.candidate += here;
        let carriage_return = end < next && end > self.start && self.block[end - 1] == b'\r';
        let text_end = if carriage_return { end - 1 } else { end };
        let line = Line {
            bytes: &self.block[self.start..text_end],
            ending: &self.block[text_end..next],
            start: u32::try_from(self.start).unwrap_or(u32::MAX),
            block: self.block,
            candidates: &candidates[..here],
            shapes,
            scan: self.scan,
        };
        self.start = next;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::shapes::Shapes;
    use super::*;
    use crate::primitives::processor::tests::with_each;

    fn shapes_in(text: &[u8], shape: Shapes) -> Vec<u32> {
        let mut scan = Scan::default();
        scan.run(text);
        scan.candidates.iter().filter(|c| c.shapes.has(shape)).map(|c| c.at).collect()
    }

    /// Tests every shape at every alignment to the windows and stretches.
    #[test]
    fn shapes_are_seen_across_borders() {
        let token = format!("x_{}", "0123456789abcdefghjkmnpqrstvwxy");
        let cases: [(&[u8], Shapes, usize); 11] = [
            (b"2001-db8--1", Shapes::DASHES, 9),
            (b"2001-db8-0-1-2", Shapes::DASHES, 12),
            (b"203.0.113.9", Shapes::QUAD, 9),
            (b"203-0-113-9", Shapes::QUAD, 9),
            (b"1.2.3.4", Shapes::QUAD, 5),
            (b"fe80::1", Shapes::COLONS, 5),
            (b"1:22:3333:4:5", Shapes::COLONS, 11),
            (b"a@b", Shapes::AT, 1),
            (b"%3A", Shapes::ESCAPE, 2),
            (token.as_bytes(), Shapes::TOKEN, 17),
            (b"x-cb007109.", Shapes::HEX8, 9),
        ];
        for (text, shape, at) in cases {
            for lead in 0..900 {
                let mut padded = vec![b' '; lead];
                padded.extend_from_slice(text);
                assert!(
                    shapes_in(&padded, shape).contains(&u32::try_from(lead + at).unwrap()),
                    "{:?} after {lead} bytes",
                    String::from_utf8_lossy(text)
                );
            }
        }
    }

    #[test]
    fn runs_too_short_are_none() {
        assert!(shapes_in(b"x_0123456789abcde ", Shapes::TOKEN).is_empty());
        assert!(shapes_in(b"x-cb00710.", Shapes::HEX8).is_empty());
        assert!(shapes_in(b"1:22:3333:4", Shapes::COLONS).is_empty());
        assert!(shapes_in(b"2026-11-23T10", Shapes::DASHES).is_empty());
    }

    #[test]
    fn plain_text_has_no_candidates() {
        let text = b"Nov 23 10:15:30 host sshd[123]: Connection reset (1.5 s, 3.10.2, 2026-11-23)\n";
        let mut scan = Scan::default();
        scan.run(text);
        assert_eq!(scan.candidates, []);
        assert_eq!(scan.lines(text).map(|line| line.bytes.len()).collect::<Vec<_>>(), [76]);
    }

    /// Every implementation of [`Lanes`] finds the same.
    #[test]
    fn lanes_agree() {
        #[derive(Clone)]
        struct Alone<'a>(&'a [u8]);
        impl Kernel for Alone<'_> {
            type Output = (Vec<Candidate>, [Bits; 4], bool);
            #[inline(always)]
            fn run(self, lanes: impl Lanes) -> Self::Output {
                let mut scan = Scan::default();
                Pass { scan: &mut scan, text: self.0 }.run(lanes);
                let bits = [scan.line_feeds, scan.quotes, scan.equals, scan.name_ends];
                (scan.candidates, bits, scan.tag_words)
            }
        }
        let pieces = [
            "1.",
            "203.0.113.9",
            "::",
            "ab:",
            "\n",
            "@",
            "%3A",
            "\\",
            "_0123456789abcdefghjkmnpqrstvwxy",
            " ",
        ];
        let mut random = 7_u64;
        for length in 0..300 {
            let text: String = (0..length)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    pieces[usize::try_from(random >> 33).unwrap() % pieces.len()]
                })
                .collect();
            let found = with_each(&Alone(text.as_bytes()));
            for (lanes, other) in &found {
                assert!(*other == found[0].1, "{lanes} differs on {text:?}");
            }
        }
    }

    #[test]
    fn marks_are_those_of_the_line() {
        let block = format!("a=\"{}\"\n=\n\"x=\"", "b".repeat(150));
        let mut scan = Scan::default();
        let walked = |line: &Line<'_>| {
            let (mut quotes, mut found) = (line.quotes(), Vec::new());
            while let Some(at) = quotes.next(found.last().map_or(0, |last| last + 1)) {
                found.push(at);
            }
            found
        };
        let of = |line: &Line<'_>, base: usize, mask: u64| {
            let start = line.start as usize;
            (0..64).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| base + bit - start)
        };
        let marks: Vec<_> = scan
            .lines(block.as_bytes())
            .map(|line| {
                let (mut quotes, mut equals) = (Vec::new(), Vec::new());
                for (base, quote, equal) in line.marks(0) {
                    quotes.extend(of(&line, base, quote));
                    equals.extend(of(&line, base, equal));
                }
                assert_eq!(quotes, walked(&line));
                for from in 0..=line.bytes.len() {
                    let left = quotes.iter().chain(&equals).filter(|at| **at >= from).count();
                    let marks =
                        line.marks(from).map(|(_, quote, equal)| (quote | equal).count_ones() as usize);
                    assert_eq!(marks.sum::<usize>(), left);
                }
                (quotes, equals)
            })
            .collect();
        assert_eq!(marks, [(vec![2, 153], vec![1]), (vec![], vec![0]), (vec![0, 3], vec![2])]);
    }

    /// Whatever an earlier and longer block has left behind.
    #[test]
    fn lines_end_at_line_feeds() {
        let mut scan = Scan::default();
        for length in (0..900).rev() {
            let block: Vec<u8> =
                (0..length).map(|at| if at % 7 == 3 || at % 97 == 96 { b'\n' } else { b'a' }).collect();
            let lines: Vec<_> = scan.lines(&block).map(|line| [line.bytes, line.ending].concat()).collect();
            let expected: Vec<_> = block.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn escapes_of_a_line_are_its_own() {
        let mut scan = Scan::default();
        let lines = scan.lines(b"a%40b\n203.0.113.9\n\\n\nplain\n203.0.113.9 a@b %3A \\");
        let escapes: Vec<_> = lines.map(|line| (line.has_escapes(), line.has_backslash())).collect();
        assert_eq!(escapes, [(true, false), (false, false), (true, true), (false, false), (true, true)]);
    }

    #[test]
    fn debug_shows_nothing_of_a_line() {
        let mut scan = Scan::default();
        let shown = format!("{:?}", scan.line(b"from 203.0.113.9"));
        assert_eq!(shown, "Line([16 bytes redacted], 1 candidates)");
    }

    #[test]
    fn words_of_tags_are_seen() {
        let mut scan = Scan::default();
        for lead in 0..900 {
            let lead = " ".repeat(lead);
            for (text, holds) in [
                ("expires=", true),
                ("retention@32473", true),
                ("expires", false),
                ("expired=", false),
                ("retention @", false),
                ("xxxxxxx=", false),
            ] {
                scan.run(format!("{lead}{text} and more").as_bytes());
                assert_eq!(scan.tag_words, holds, "{lead}{text}");
            }
        }
    }

    #[test]
    fn nibbles_need_eight() {
        assert!(shapes_in(b"1.2.3.4.5.6.7", Shapes::NIBBLES).is_empty());
        assert_eq!(shapes_in(b"1.2.3.4.5.6.7.8", Shapes::NIBBLES), [14]);
    }
}
