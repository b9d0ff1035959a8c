//! One pass over a block: where its lines end, and where an identifier could be.
//!
//! A *candidate* is a position at which the shape of an identifier is complete: the third separator
//! of `1.2.3.`, the second colon of `::`, an `@`. Shapes are recognised by bit-parallel chains over
//! the class masks, so that a line without candidates costs nothing more. A candidate is only a
//! place to look: the parsers in the files beside this one decide. The other way round, what has
//! no candidate is never looked at, so each shape here must be implied by the grammar it stands for.

use super::masks::{Classes, classify};

/// The shapes that are complete at a position, as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shapes(u8);

impl Shapes {
    /// Third separator (`.`, `-` or `_`) of a chain of digit groups of 1 to 3 digits.
    pub(crate) const QUAD: Self = Self(1);
    /// Second colon of `::`, or fourth colon of a chain of groups of 1 to 4 bytes (a time has two, the
    /// time of an access log three).
    pub(crate) const COLONS: Self = Self(2);
    /// `@`.
    pub(crate) const AT: Self = Self(4);
    /// Last hex digit of `%XX`, or a backslash.
    pub(crate) const ESCAPE: Self = Self(8);
    /// Thirty-first of 31 lower-case letters or digits that follow an underscore.
    pub(crate) const TOKEN: Self = Self(16);
    /// Eighth of exactly 8 hex digits (so far).
    pub(crate) const HEX8: Self = Self(32);
    /// Ninth or later of single hex digits that are joined by dots.
    pub(crate) const NIBBLES: Self = Self(64);
    /// Second dash of `--`, or fourth dash of a chain of groups of 1 to 4 bytes.
    pub(crate) const DASHES: Self = Self(128);

    /// Whether `shape` is among them.
    pub(crate) fn has(self, shape: Self) -> bool {
        self.0 & shape.0 != 0
    }
}

/// A position at which one or more shapes are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Byte offset in the scanned text.
    pub(crate) at: u32,
    /// What is complete there.
    pub(crate) shapes: Shapes,
}

/// The result of scanning a text. Reused from block to block.
#[derive(Debug, Default)]
pub struct Scan {
    /// Sorted by position.
    pub(crate) candidates: Vec<Candidate>,
    /// Offsets of the LF bytes, sorted.
    pub(crate) newlines: Vec<u32>,
}

impl Scan {
    /// Scans `text`, forgetting what was scanned before.
    pub(crate) fn run(&mut self, text: &[u8]) {
        self.candidates.clear();
        self.newlines.clear();
        let mut chains = Chains::default();
        let (chunks, rest) = text.as_chunks::<64>();
        let mut base = 0;
        for chunk in chunks {
            self.note(base, &classify(chunk), &mut chains);
            base += 64;
        }
        if !rest.is_empty() {
            let mut padded = [0; 64];
            padded[..rest.len()].copy_from_slice(rest);
            self.note(base, &classify(&padded), &mut chains);
        }
    }

    fn note(&mut self, base: u32, classes: &Classes, chains: &mut Chains) {
        let mut newlines = classes.newline;
        while newlines != 0 {
            self.newlines.push(base + newlines.trailing_zeros());
            newlines &= newlines - 1;
        }
        let found = chains.advance(classes);
        let mut any = found.quad
            | found.colons
            | found.at
            | found.escape
            | found.token
            | found.hex8
            | found.nibbles
            | found.dashes;
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            self.candidates.push(Candidate { at: base + bit, shapes: found.shapes(bit) });
        }
    }
}

/// Positions in one chunk at which a shape is complete, one mask a shape.
struct Found {
    quad: u64,
    colons: u64,
    at: u64,
    escape: u64,
    token: u64,
    hex8: u64,
    nibbles: u64,
    dashes: u64,
}

impl Found {
    #[inline(always)]
    fn shapes(&self, bit: u32) -> Shapes {
        let pick = |mask: u64, shape: Shapes| if mask >> bit & 1 == 1 { shape.0 } else { 0 };
        Shapes(
            pick(self.quad, Shapes::QUAD)
                | pick(self.colons, Shapes::COLONS)
                | pick(self.at, Shapes::AT)
                | pick(self.escape, Shapes::ESCAPE)
                | pick(self.token, Shapes::TOKEN)
                | pick(self.hex8, Shapes::HEX8)
                | pick(self.nibbles, Shapes::NIBBLES)
                | pick(self.dashes, Shapes::DASHES),
        )
    }
}

/// A mask of this chunk beside the same mask of the chunk before: what shapes that straddle chunks need.
#[derive(Clone, Copy, Default)]
struct Stream {
    now: u64,
    before: u64,
}

impl Stream {
    #[inline(always)]
    fn push(&mut self, now: u64) -> Self {
        *self = Self { now, before: self.now };
        *self
    }

    /// Bit `i` of the result is the class of byte `i - by`; `by` is 1 to 63.
    #[inline(always)]
    fn back(self, by: u32) -> u64 {
        self.now << by | self.before >> (64 - by)
    }
}

/// What the chains remember from one chunk to the next.
#[derive(Default)]
struct Chains {
    digit: Stream,
    hex: Stream,
    dot: Stream,
    colon: Stream,
    percent: Stream,
    underscore: Stream,
    separator: Stream,
    second_separator: Stream,
    colon_chain: [Stream; 2],
    dash: Stream,
    dash_chain: [Stream; 2],
    hex_runs: [Stream; 3],
    token_runs: [Stream; 5],
    nibbles: [Stream; 3],
}

impl Chains {
    #[inline(always)]
    fn advance(&mut self, classes: &Classes) -> Found {
        let digit = self.digit.push(classes.digit);
        let hex = self.hex.push(classes.hex);
        let dot = self.dot.push(classes.dot);
        let colon = self.colon.push(classes.colon);
        let percent = self.percent.push(classes.percent);
        let underscore = self.underscore.push(classes.underscore);
        Found {
            quad: self.quad(classes, digit),
            colons: doubled_or_fourth(colon, &mut self.colon_chain),
            at: classes.at,
            escape: (percent.back(2) & hex.back(1) & hex.now) | classes.backslash,
            token: self.token(classes) & underscore.back(31),
            hex8: self.hex8(hex),
            nibbles: self.nibbles(hex, dot),
            dashes: {
                let dash = self.dash.push(classes.dash);
                // `--` only after a hex digit: a rule of dashes or an option is no address.
                doubled_or_fourth(dash, &mut self.dash_chain) & (hex.back(1) | hex.back(2))
            },
        }
    }

    /// `d.d.d.` with 1 to 3 bytes between separators, each separator after a digit.
    #[inline(always)]
    fn quad(&mut self, classes: &Classes, digit: Stream) -> u64 {
        let separators = (classes.dot | classes.dash | classes.underscore) & digit.back(1);
        let first = self.separator.push(separators);
        let second = self.second_separator.push(first.now & (first.back(2) | first.back(3) | first.back(4)));
        second.now & (second.back(2) | second.back(3) | second.back(4))
    }

    /// Runs of at least 31, by doubling: 2, 4, 8, 16, then 16 + 15.
    #[inline(always)]
    fn token(&mut self, classes: &Classes) -> u64 {
        let mut run = self.token_runs[0].push(classes.token);
        for (level, by) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
            run = self.token_runs[level].push(run.now & run.back(by));
        }
        run.now & run.back(15)
    }

    /// Runs of 8 that do not continue a longer run on the left.
    #[inline(always)]
    fn hex8(&mut self, hex: Stream) -> u64 {
        let two = self.hex_runs[0].push(hex.now & hex.back(1));
        let four = self.hex_runs[1].push(two.now & two.back(2));
        let eight = self.hex_runs[2].push(four.now & four.back(4));
        eight.now & !hex.back(8)
    }

    /// `h.h.h.h.h.h.h.h.h`: nine hex digits joined by dots, by doubling.
    #[inline(always)]
    fn nibbles(&mut self, hex: Stream, dot: Stream) -> u64 {
        let one = self.nibbles[0].push(hex.now & dot.back(1) & hex.back(2));
        let two = self.nibbles[1].push(one.now & one.back(2));
        let four = self.nibbles[2].push(two.now & two.back(4));
        four.now & four.back(8)
    }
}

/// Two separators in a row, or the fourth of a chain with 1 to 4 bytes between them. `chain` is what it
/// remembers of the second and the third.
#[inline(always)]
fn doubled_or_fourth(separator: Stream, chain: &mut [Stream; 2]) -> u64 {
    let near = |stream: Stream| stream.back(2) | stream.back(3) | stream.back(4) | stream.back(5);
    let second = chain[0].push(separator.now & near(separator));
    let third = chain[1].push(second.now & near(second));
    separator.now & (separator.back(1) | near(third))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes_in(text: &[u8], shape: Shapes) -> Vec<u32> {
        let mut scan = Scan::default();
        scan.run(text);
        scan.candidates.iter().filter(|c| c.shapes.has(shape)).map(|c| c.at).collect()
    }

    /// Every shape at every alignment to the 64-byte chunks.
    #[test]
    fn shapes_are_seen_across_chunk_borders() {
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
            (token.as_bytes(), Shapes::TOKEN, 32),
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
    fn plain_text_has_no_candidates() {
        let text = b"Nov 23 10:15:30 host sshd[123]: Connection reset (1.5 s, 3.10.2, 2026-11-23)\n";
        let mut scan = Scan::default();
        scan.run(text);
        assert_eq!(scan.candidates, []);
        assert_eq!(scan.newlines, [76]);
    }

    #[test]
    fn nibbles_need_nine() {
        assert!(shapes_in(b"1.2.3.4.5.6.7.8", Shapes::NIBBLES).is_empty());
        assert_eq!(shapes_in(b"1.2.3.4.5.6.7.8.9", Shapes::NIBBLES), [16]);
    }
}
