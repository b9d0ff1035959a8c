//! One pass over a block: where its lines end, where an identifier could be, and where the marks are
//! by which formats are told apart. Nobody after it looks at every byte again.

mod shapes;
mod vectors;

pub(crate) use shapes::{Candidate, Shapes};

use shapes::{Found, LEAD};
use vectors::{Kernel, Lanes, vectorize};

/// The result of scanning a text. Reused from block to block.
#[derive(Debug, Default)]
pub struct Scan {
    /// Sorted by position.
    pub(crate) candidates: Vec<Candidate>,
    /// Offsets of the LF bytes, sorted.
    pub(crate) newlines: Vec<u32>,
    /// Where `"` stands.
    quotes: Bits,
    /// Where `=` stands.
    equals: Bits,
    /// Where either stands.
    marks: Bits,
    /// Where a byte stands that is in no name of a host or program.
    name_ends: Bits,
    /// Whether `expires=` or `retention@` stands in the text: words of a retention tag.
    tag_words: bool,
}

impl Scan {
    /// Scans `block` and gives its lines.
    pub fn lines<'a>(&'a mut self, block: &'a [u8]) -> Lines<'a> {
        self.run(block);
        Lines { block, scan: self, start: 0, newline: 0, candidate: 0 }
    }

    /// Scans `text` and gives it as one line, whatever is in it.
    pub fn line<'a>(&'a mut self, text: &'a [u8]) -> Line<'a> {
        self.run(text);
        Line { bytes: text, ending: b"", start: 0, block: text, candidates: &self.candidates, scan: self }
    }

    /// Scans `text`, forgetting what was scanned before.
    pub(crate) fn run(&mut self, text: &[u8]) {
        self.candidates.clear();
        self.newlines.clear();
        self.tag_words = false;
        let bytes = text.len();
        for bits in [&mut self.quotes, &mut self.equals, &mut self.marks, &mut self.name_ends] {
            bits.reset(bytes);
        }
        vectorize(Pass { scan: self, text });
    }
}

/// New bytes in each window: a window of 64 bytes begins with the last [`LEAD`] of the one before.
const STRIDE: usize = 64 - LEAD;

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
        // Held apart from `scan`, so that they stay in registers.
        let mut candidates = std::mem::take(&mut scan.candidates);
        let mut newlines = std::mem::take(&mut scan.newlines);
        let (quotes, equals, marks, name_ends) =
            (&mut *scan.quotes.0, &mut *scan.equals.0, &mut *scan.marks.0, &mut *scan.name_ends.0);
        let mut edge = [0; 64];
        let mut base = 0_usize;
        while base < text.len() {
            let inner = base.checked_sub(LEAD).and_then(|start| text[start..].first_chunk());
            let window = inner.unwrap_or_else(|| {
                at_edge(text, base, &mut edge);
                &edge
            });
            let classes = lanes.classify(window);
            put(quotes, base, classes.quote >> LEAD);
            put(equals, base, classes.equals >> LEAD);
            put(marks, base, (classes.quote | classes.equals) >> LEAD);
            put(name_ends, base, !classes.name >> LEAD);
            #[expect(clippy::cast_possible_truncation, reason = "blocks are bounded, below 4 GiB")]
            let offset = base as u32;
            let mut ends = classes.newline >> LEAD;
            while ends != 0 {
                newlines.push(offset + ends.trailing_zeros());
                ends &= ends - 1;
            }
            let found = Found::of(&classes);
            let mut any = found.any() >> LEAD;
            while any != 0 {
                let bit = any.trailing_zeros();
                any &= any - 1;
                let shapes = found.shapes(bit + LEAD as u32);
                candidates.push(Candidate { at: offset + bit, shapes });
            }
            if (found.at | found.expires) >> LEAD != 0 {
                scan.tag_words |= holds_tag_word(text, offset, &found);
            }
            base += STRIDE;
        }
        (scan.candidates, scan.newlines) = (candidates, newlines);
    }
}

/// The first window, before which there is nothing, or one at the end: what is not there is zeros. Never
/// inlined, so that the common windows are read from where they are.
#[inline(never)]
fn at_edge(text: &[u8], base: usize, window: &mut [u8; 64]) {
    let start = base.saturating_sub(LEAD);
    let lead = LEAD - (base - start);
    let length = (64 - lead).min(text.len() - start);
    window.fill(0);
    window[lead..lead + length].copy_from_slice(&text[start..start + length]);
}

/// Puts the [`STRIDE`] bits of the window at `base` into a map, in the order of the windows: what lies
/// behind them in their words is overwritten.
#[inline(always)]
fn put(map: &mut [u64], base: usize, bits: u64) {
    let (word, bit) = (base / 64, base % 64);
    if let Some([first, second]) = map.get_mut(word..).and_then(<[u64]>::first_chunk_mut) {
        // The bits before are those of the window before. `bit` is a multiple of 16.
        *first = *first & !(u64::MAX << bit) | bits << bit;
        *second = bits >> 1 >> (63 - bit);
    }
}

/// Whether one of the words of a tag ends in the window of `text` whose new bytes start at `base`.
#[inline(never)]
fn holds_tag_word(text: &[u8], base: u32, found: &Found) -> bool {
    let ends_in = |ends: u64, word: &[u8]| {
        let (mut any, mut ends) = (false, ends >> LEAD);
        while ends != 0 {
            let end = (base + ends.trailing_zeros()) as usize;
            ends &= ends - 1;
            any |= text[..=end].ends_with(word);
        }
        any
    };
    ends_in(found.expires, b"expires=") || ends_in(found.at, b"retention@")
}

/// One bit for each byte of the text: bit `i % 64` of word `i / 64` speaks of byte `i`.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Makes room for `bytes` bytes, and a window more.
    fn reset(&mut self, bytes: usize) {
        let words = bytes / 64 + 3;
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        self.0[0] = 0;
    }

    /// 64 bits from `from` on.
    #[inline]
    fn window(&self, from: usize) -> u64 {
        let (word, bit) = (from / 64, from % 64);
        let [first, second] = self.0.get(word..).and_then(<[u64]>::first_chunk).unwrap_or(&[0; 2]);
        first >> bit | second << 1 << (63 - bit)
    }
}

/// One line of a scanned block.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The line without its line end.
    pub bytes: &'a [u8],
    /// LF, CRLF, or nothing for a last line that lacks it.
    pub ending: &'a [u8],
    /// Where the line starts in `block`.
    pub(crate) start: u32,
    pub(crate) block: &'a [u8],
    /// Those in the line or its ending; their offsets count in `block`.
    pub(crate) candidates: &'a [Candidate],
    scan: &'a Scan,
}

/// Tells lengths only: a line is raw.
impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line([{} bytes redacted], {} candidates)", self.bytes.len(), self.candidates.len())
    }
}

impl<'a> Line<'a> {
    /// Where the quotes (`"`) of the line are.
    pub(crate) fn quotes(&self) -> Marks<'a> {
        Marks { bits: &self.scan.quotes, start: self.start as usize, length: self.bytes.len() }
    }

    /// Where its equals signs are.
    pub(crate) fn equals(&self) -> Marks<'a> {
        Marks { bits: &self.scan.equals, start: self.start as usize, length: self.bytes.len() }
    }

    /// Where either of them is.
    pub(crate) fn marks(&self) -> Marks<'a> {
        Marks { bits: &self.scan.marks, start: self.start as usize, length: self.bytes.len() }
    }

    /// Which of 64 bytes from `from` on are in no name of a host or program: all but ASCII letters, digits,
    /// `.`, `-`, `/` and `_`. Bits beyond the line speak of what follows it in the block.
    #[inline]
    pub(crate) fn name_ends(&self, from: usize) -> u64 {
        self.scan.name_ends.window(self.start as usize + from)
    }

    /// Whether `expires=` or `retention@` stands in the block: only then a line may hold what looks like a
    /// retention tag, unless it is a JSON object.
    #[must_use]
    pub fn block_holds_tag_words(&self) -> bool {
        self.scan.tag_words
    }

    /// Whether a backslash, or a percent-escape, stands in the line.
    #[inline]
    pub(crate) fn has_escapes(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.shapes.has(Shapes::ESCAPE))
    }

    /// Whether a backslash stands in the line.
    #[inline]
    #[must_use]
    pub fn has_backslash(&self) -> bool {
        let is_one = |candidate: &Candidate| self.block.get(candidate.at as usize) == Some(&b'\\');
        self.candidates.iter().any(|candidate| candidate.shapes.has(Shapes::ESCAPE) && is_one(candidate))
    }
}

/// The positions of one byte value in a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks<'a> {
    bits: &'a Bits,
    start: usize,
    length: usize,
}

impl Marks<'_> {
    /// Offset in the line of the first at or after `from`.
    #[inline]
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        let (at, end) = (self.start + from, self.start + self.length);
        let mut word = at / 64;
        let mut bits = self.bits.0.get(word)? >> (at % 64) << (at % 64);
        while bits == 0 {
            word += 1;
            if word * 64 >= end {
                return None;
            }
            bits = *self.bits.0.get(word)?;
        }
        let found = word * 64 + bits.trailing_zeros() as usize;
        (found < end).then(|| found - self.start)
    }
}

/// The lines of a scanned block, in order.
pub struct Lines<'a> {
    block: &'a [u8],
    scan: &'a Scan,
    start: usize,
    newline: usize,
    candidate: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        if self.start >= self.block.len() {
            return None;
        }
        let (end, next) = match self.scan.newlines.get(self.newline) {
            Some(&newline) => (newline as usize, newline as usize + 1),
            None => (self.block.len(), self.block.len()),
        };
        self.newline += 1;
        let candidates = &self.scan.candidates[self.candidate..];
        let here = candidates.iter().take_while(|candidate| (candidate.at as usize) < next).count();
        self.candidate += here;
        let carriage_return = end < next && end > self.start && self.block[end - 1] == b'\r';
        let text_end = if carriage_return { end - 1 } else { end };
        let line = Line {
            bytes: &self.block[self.start..text_end],
            ending: &self.block[text_end..next],
            start: u32::try_from(self.start).unwrap_or(u32::MAX),
            block: self.block,
            candidates: &candidates[..here],
            scan: self.scan,
        };
        self.start = next;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::shapes::Shapes;
    use super::vectors::tests::with_each;
    use super::*;

    fn shapes_in(text: &[u8], shape: Shapes) -> Vec<u32> {
        let mut scan = Scan::default();
        scan.run(text);
        scan.candidates.iter().filter(|c| c.shapes.has(shape)).map(|c| c.at).collect()
    }

    /// Every shape at every alignment to the windows.
    #[test]
    fn shapes_are_seen_across_window_borders() {
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
            for lead in 0..200 {
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
        assert_eq!(scan.newlines, [76]);
    }

    /// Every kind of lanes finds the same.
    #[test]
    fn lanes_agree() {
        #[derive(Clone)]
        struct Alone<'a>(&'a [u8]);
        impl Kernel for Alone<'_> {
            type Output = (Vec<Candidate>, Vec<u32>);
            #[inline(always)]
            fn run(self, lanes: impl Lanes) -> Self::Output {
                let mut scan = Scan::default();
                for bits in [&mut scan.quotes, &mut scan.equals, &mut scan.marks, &mut scan.name_ends] {
                    bits.reset(self.0.len());
                }
                Pass { scan: &mut scan, text: self.0 }.run(lanes);
                (scan.candidates, scan.newlines)
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
        for length in 0..400 {
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
        let of = |marks: Marks<'_>| {
            let mut found = Vec::new();
            while let Some(at) = marks.next(found.last().map_or(0, |last| last + 1)) {
                found.push(at);
            }
            found
        };
        let marks: Vec<_> =
            scan.lines(block.as_bytes()).map(|line| (of(line.quotes()), of(line.equals()))).collect();
        assert_eq!(marks, [(vec![2, 153], vec![1]), (vec![], vec![0]), (vec![0, 3], vec![2])]);
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
        for lead in 0..130 {
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
