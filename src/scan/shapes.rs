//! Shapes: where an identifier could be.
//!
//! A *candidate* is a position at which the shape of an identifier is complete: the third separator
//! of `1.2.3.`, the second colon of `::`, an `@`. Shapes are recognised by bit-parallel chains over
//! the class masks, so that a line without candidates costs nothing more. A candidate is only a
//! place to look: the parsers of `detect` decide. The other way round, what has
//! no candidate is never looked at, so each shape here must be implied by the grammar it stands for.

use super::vectors::Classes;

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
    /// Sixteenth of the lower-case letters or digits that follow an underscore.
    pub(crate) const TOKEN: Self = Self(16);
    /// Eighth of exactly 8 hex digits (so far).
    pub(crate) const HEX8: Self = Self(32);
    /// Eighth or later of single hex digits that are joined by dots.
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

/// Positions in one chunk at which a shape is complete, one mask a shape.
pub(super) struct Found {
    quad: u64,
    colons: u64,
    pub(super) at: u64,
    /// Where `=` ends a word of eight bytes whose second is `x`, as in `expires=`. No candidate.
    pub(super) expires: u64,
    escape: u64,
    token: u64,
    hex8: u64,
    nibbles: u64,
    dashes: u64,
}

impl Found {
    #[inline(always)]
    pub(super) fn any(&self) -> u64 {
        self.quad | self.colons | self.at | self.escape | self.token | self.hex8 | self.nibbles | self.dashes
    }

    #[inline(always)]
    pub(super) fn shapes(&self, bit: u32) -> Shapes {
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

/// The masks of one window, in which bit `i` speaks of byte `i`. What is found is right from bit
/// [`LEAD`] on: the bits before belong to the window before, and are there because shapes begin in them.
/// With them each step of a chain is one shift, and nothing is carried from window to window.
impl Found {
    #[inline(always)]
    pub(super) fn of(classes: &Classes) -> Self {
        let &Classes { dot, dash, underscore, digit, hex, token, colon, at, percent, backslash, .. } =
            classes;
        Self {
            quad: quad(dot | dash | underscore, digit),
            colons: doubled_or_fourth(colon),
            at,
            expires: classes.x << 6 & classes.equals,
            escape: (percent << 2 & hex << 1 & hex) | backslash,
            token: begun_token(token, underscore),
            hex8: hex8(hex),
            nibbles: nibbles(hex, dot),
            dashes: dashes(dash, hex),
        }
    }
}

/// Bytes that a shape may reach back: the longest, [`Shapes::TOKEN`], has 17.
pub(super) const LEAD: usize = 16;

/// `d.d.d.` with 1 to 3 bytes between separators, each separator after a digit: 10 bytes at most.
#[inline(always)]
fn quad(separator: u64, digit: u64) -> u64 {
    let near = |mask: u64| (mask | mask << 1 | mask << 2) << 2;
    let first = separator & digit << 1;
    let second = first & near(first);
    second & near(second)
}

/// 16 letters or digits after an underscore, by doubling: runs of 2, 4, 8, 16.
#[inline(always)]
fn begun_token(word: u64, underscore: u64) -> u64 {
    let two = word & word << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & eight << 8 & underscore << 16
}

/// Runs of 8 that do not continue a longer run on the left.
#[inline(always)]
fn hex8(hex: u64) -> u64 {
    let two = hex & hex << 1;
    let four = two & two << 2;
    four & four << 4 & !(hex << 8)
}

/// `h.h.h.h.h.h.h.h`: eight hex digits joined by dots, 15 bytes.
#[inline(always)]
fn nibbles(hex: u64, dot: u64) -> u64 {
    // Seven dots are rare, so this is nearly always all.
    if dot.count_ones() < 7 {
        return 0;
    }
    let one = hex & dot << 1 & hex << 2;
    let two = one & one << 2;
    let four = two & two << 4;
    four & one << 8 & two << 8 & one << 12
}

/// Dashes as [`doubled_or_fourth`]. `--` only after a hex digit: a rule of dashes or an option is no
/// address.
#[inline(always)]
fn dashes(dash: u64, hex: u64) -> u64 {
    // A date has two dashes, apart from each other; more are rare.
    if dash.count_ones() < 4 && dash & dash << 1 == 0 {
        return 0;
    }
    doubled_or_fourth(dash) & (hex << 1 | hex << 2)
}

/// Two separators in a row, or the fourth of a chain with 1 to 4 bytes between them: 16 bytes at most.
#[inline(always)]
fn doubled_or_fourth(separator: u64) -> u64 {
    let near = |mask: u64| {
        let two = mask | mask << 1;
        (two | two << 2) << 2
    };
    let second = separator & near(separator);
    let third = second & near(second);
    separator & (separator << 1 | near(third))
}
