//! Shapes: positions where an identifier could be.
//!
//! A *candidate* is a position at which the shape of an identifier is complete: the third separator of
//! `1.2.3.`, the second colon of `::`, an `@`. Shapes are recognised by bit-parallel chains over the class
//! masks, so that a line without candidates costs nothing more. A candidate is only a place to look: the
//! parsers of `detect` decide. Conversely, text without a candidate is never looked at, so the grammar of an
//! identifier must imply the shape that stands for it.

use super::STRETCH;
use crate::primitives::processor::{Bitmap, Classes, Lanes};

/// The shapes that are complete at a position, as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shapes(u8);

impl Shapes {
    /// Third separator (`.`, `-` or `_`) of a chain of groups of 1 to 3 digits. Like the shapes of colons,
    /// nibbles and dashes, reported only once or twice per run of the bytes that such a chain consists of.
    pub(crate) const QUAD: Self = Self(1);
    /// Second colon of `::`, or fourth colon of a chain of groups of 1 to 4 bytes. (A time has two colons,
    /// the time of an access log three.)
    pub(crate) const COLONS: Self = Self(2);
    /// `@`, unless it follows another `@`.
    pub(crate) const AT: Self = Self(4);
    /// Last hex digit of `%XX`, or a backslash.
    pub(crate) const ESCAPE: Self = Self(8);
    /// Sixteenth of the lower-case letters or digits that follow an underscore.
    pub(crate) const TOKEN: Self = Self(16);
    /// Eighth hex digit of a run that has exactly 8 so far.
    pub(crate) const HEX8: Self = Self(32);
    /// Eighth or later of single hex digits joined by dots.
    pub(crate) const NIBBLES: Self = Self(64);
    /// Second dash of `--`, or fourth dash of a chain of groups of 1 to 4 bytes.
    pub(crate) const DASHES: Self = Self(128);

    /// The empty set.
    pub(crate) const NONE: Self = Self(0);

    /// Removes `shape` if `gone`.
    #[inline]
    pub(crate) fn without(self, shape: Self, gone: bool) -> Self {
        Self(self.0 & !(shape.0 * u8::from(gone)))
    }

    /// Adds the shapes of `other`.
    #[inline]
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the set contains `shape`.
    pub(crate) fn has(self, shape: Self) -> bool {
        self.0 & shape.0 != 0
    }
}

/// A position at which one or more shapes are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Byte offset in the scanned text.
    pub(crate) at: u32,
    /// The shapes that are complete there.
    pub(crate) shapes: Shapes,
}

/// Windows processed together, side by side in a vector.
pub(super) const WINDOWS: usize = 8;

/// The bytes of a stretch that are of one class: one bit each, after those of the [`LEAD`] bytes before it.
///
/// The windows of a stretch overlap, but no byte is classified twice: they are read from here.
#[derive(Clone, Copy)]
pub(super) struct Mask(Bitmap);

impl Default for Mask {
    fn default() -> Self {
        Self([0; _])
    }
}

impl Mask {
    const LEAD_BYTES: usize = LEAD / 8;

    /// The bits of the new bytes.
    #[inline(always)]
    pub(super) fn bits(&self) -> &[u8; STRETCH / 8] {
        self.0[Self::LEAD_BYTES..].first_chunk().unwrap_or(&[0; _])
    }

    /// Goes on to the next stretch.
    #[inline(always)]
    fn follow(&mut self) {
        self.0.copy_within(STRETCH / 8..STRETCH / 8 + Self::LEAD_BYTES, 0);
    }

    #[inline(always)]
    fn set(&mut self, chunk: usize, mask: u64) {
        self.0[Self::LEAD_BYTES + 8 * chunk..][..8].copy_from_slice(&mask.to_le_bytes());
    }
}

/// The classes of the bytes of a stretch.
#[derive(Default)]
pub(super) struct Stretch {
    pub(super) newline: Mask,
    pub(super) quote: Mask,
    pub(super) equals: Mask,
    pub(super) name_end: Mask,
    dot: Mask,
    dash: Mask,
    underscore: Mask,
    digit: Mask,
    hex: Mask,
    token: Mask,
    colon: Mask,
    at: Mask,
    percent: Mask,
    backslash: Mask,
    x: Mask,
}

impl Stretch {
    /// Goes on to the next stretch.
    #[inline(always)]
    pub(super) fn follow(&mut self) {
        let Self {
            equals, dot, dash, underscore, digit, hex, token, colon, at, percent, backslash, x, ..
        } = self;
        for mask in [equals, dot, dash, underscore, digit, hex, token, colon, at, percent, backslash, x] {
            mask.follow();
        }
    }

    #[inline(always)]
    fn windows(&self, lanes: impl Lanes) -> Windows {
        Windows {
            equals: lanes.windows(&self.equals.0),
            dot: lanes.windows(&self.dot.0),
            dash: lanes.windows(&self.dash.0),
            underscore: lanes.windows(&self.underscore.0),
            digit: lanes.windows(&self.digit.0),
            hex: lanes.windows(&self.hex.0),
            token: lanes.windows(&self.token.0),
            colon: lanes.windows(&self.colon.0),
            at: lanes.windows(&self.at.0),
            percent: lanes.windows(&self.percent.0),
            backslash: lanes.windows(&self.backslash.0),
            x: lanes.windows(&self.x.0),
        }
    }

    /// Sets the classes of 64 bytes.
    #[inline(always)]
    pub(super) fn set(&mut self, chunk: usize, classes: &Classes) {
        self.newline.set(chunk, classes.newline);
        self.quote.set(chunk, classes.quote);
        self.equals.set(chunk, classes.equals);
        self.name_end.set(chunk, !classes.name);
        self.dot.set(chunk, classes.dot);
        self.dash.set(chunk, classes.dash);
        self.underscore.set(chunk, classes.underscore);
        self.digit.set(chunk, classes.digit);
        self.hex.set(chunk, classes.hex);
        self.token.set(chunk, classes.token);
        self.colon.set(chunk, classes.colon);
        self.at.set(chunk, classes.at);
        self.percent.set(chunk, classes.percent);
        self.backslash.set(chunk, classes.backslash);
        self.x.set(chunk, classes.x);
    }
}

/// The classes of the windows of a stretch: for each class, one mask per window.
struct Windows {
    equals: [u64; WINDOWS],
    dot: [u64; WINDOWS],
    dash: [u64; WINDOWS],
    underscore: [u64; WINDOWS],
    digit: [u64; WINDOWS],
    hex: [u64; WINDOWS],
    token: [u64; WINDOWS],
    colon: [u64; WINDOWS],
    at: [u64; WINDOWS],
    percent: [u64; WINDOWS],
    backslash: [u64; WINDOWS],
    x: [u64; WINDOWS],
}

/// Positions in the windows of a stretch at which a shape is complete.
///
/// For each shape there is one mask per window, in which bit `i` describes byte `i` of the window. Masks are
/// valid from bit [`LEAD`] on: the bits before it belong to the previous window, and are included because
/// shapes begin in them. Thanks to this lead each step of a chain is one shift, nothing is carried from
/// window to window, and all windows of a stretch form one vector.
#[derive(Default)]
pub(super) struct Found {
    quad: [u64; WINDOWS],
    colons: [u64; WINDOWS],
    at: [u64; WINDOWS],
    escape: [u64; WINDOWS],
    token: [u64; WINDOWS],
    hex8: [u64; WINDOWS],
    nibbles: [u64; WINDOWS],
    dashes: [u64; WINDOWS],
    /// Positions of the rare shapes: token, hex8, nibbles and dashes.
    pub(super) rare: [u64; WINDOWS],
    /// Positions of any shape, shifted right by [`LEAD`].
    pub(super) any: [u64; WINDOWS],
    /// Positions where a word of a retention tag may end, shifted right by [`LEAD`]: an `@`, or the `=` of a
    /// word of eight bytes whose second is `x`, as in `expires=`. Such an `=` is not a candidate.
    pub(super) tag_words: [u64; WINDOWS],
}

impl Found {
    /// Finds the shapes of `stretch` in place of those found before: clearing them first would cost as much
    /// as a window.
    #[inline(always)]
    pub(super) fn renew(&mut self, lanes: impl Lanes, stretch: &Stretch) {
        let (found, stretch) = (self, stretch.windows(lanes));
        // No branches and no calls, so that the compiler can vectorise the loop.
        for window in 0..WINDOWS {
            let (dot, dash, underscore) =
                (stretch.dot[window], stretch.dash[window], stretch.underscore[window]);
            let (digit, hex) = (stretch.digit[window], stretch.hex[window]);
            let at = stretch.at[window] & !(stretch.at[window] << 1);
            let colon = stretch.colon[window];
            let quad = quad(dot | dash | underscore, digit);
            let quad = first_quad(quad, dot, digit)
                | first_quad(quad, dash, digit)
                | first_quad(quad, underscore, digit);
            let colons = first(doubled_or_fourth(colon), hex | colon);
            let escape = (stretch.percent[window] << 2 & hex << 1 & hex) | stretch.backslash[window];
            let token = begun_token(stretch.token[window], underscore);
            let hex8 = hex8(hex);
            let nibbles = first(nibbles(hex, dot), hex | dot);
            let dashes = first(dashes(dash, hex), hex | dash);
            found.quad[window] = quad;
            found.colons[window] = colons;
            found.at[window] = at;
            found.escape[window] = escape;
            found.token[window] = token;
            found.hex8[window] = hex8;
            found.nibbles[window] = nibbles;
            found.dashes[window] = dashes;
            let rare = token | hex8 | nibbles | dashes;
            found.rare[window] = rare;
            found.any[window] = (quad | colons | at | escape | rare) >> LEAD;
            found.tag_words[window] = (stretch.x[window] << 6 & stretch.equals[window] | at) >> LEAD;
        }
    }

    /// Returns the shapes complete at bit `at` of a window, without the rare ones. Branch-free, because which
    /// shape comes next is unpredictable.
    #[inline(always)]
    pub(super) fn common_shapes(&self, window: usize, at: u32) -> Shapes {
        let bit = |masks: &[u64; WINDOWS], shape: Shapes| (masks[window] >> at) as u8 % 2 * shape.0;
        let (quad, colons) = (bit(&self.quad, Shapes::QUAD), bit(&self.colons, Shapes::COLONS));
        Shapes(quad | colons | bit(&self.at, Shapes::AT) | bit(&self.escape, Shapes::ESCAPE))
    }

    /// Returns the rare shapes complete at bit `at` of a window, as [`Self::common_shapes`] does the others.
    #[inline(always)]
    pub(super) fn rare_shapes(&self, window: usize, at: u32) -> Shapes {
        let bit = |masks: &[u64; WINDOWS], shape: Shapes| (masks[window] >> at) as u8 % 2 * shape.0;
        let (token, hex8) = (bit(&self.token, Shapes::TOKEN), bit(&self.hex8, Shapes::HEX8));
        Shapes(token | hex8 | bit(&self.nibbles, Shapes::NIBBLES) | bit(&self.dashes, Shapes::DASHES))
    }
}

/// Bytes that a shape may reach back: the longest shape, [`Shapes::TOKEN`], has 17 bytes.
pub(super) const LEAD: usize = 16;

/// Keeps only the first of the `complete` positions in each run of `run`, counting those in the lead. That is
/// enough, because a parser that looks there reads the whole run.
///
/// The addition carries from each position to the end of its run, so that the first position becomes 0 and no
/// later one does. A position in the lead whose shape begins before the lead is missing, which adds at most
/// one position too many.
#[inline(always)]
fn first(complete: u64, run: u64) -> u64 {
    complete & !run.wrapping_add(complete)
}

/// [`first`] for the quads whose third separator is `separator`; two separators in a row end a run.
#[inline(always)]
fn first_quad(quad: u64, separator: u64, digit: u64) -> u64 {
    first(quad & separator, digit | separator & !(separator << 1))
}

/// Finds `d.d.d.` with 1 to 3 bytes between separators: at most 10 bytes. Each separator follows a digit, and
/// the first two precede one.
#[inline(always)]
fn quad(separator: u64, digit: u64) -> u64 {
    let near = |mask: u64| (mask | mask << 1 | mask << 2) << 2;
    let joint = digit >> 1;
    let first = separator & digit << 1;
    let second = first & near(first & joint);
    second & near(second & joint)
}

/// Finds 16 letters or digits after an underscore, by doubling: runs of 2, 4, 8, 16.
#[inline(always)]
fn begun_token(word: u64, underscore: u64) -> u64 {
    let two = word & word << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & eight << 8 & underscore << 16
}

/// Finds runs of 8 that do not continue a longer run on the left.
#[inline(always)]
fn hex8(hex: u64) -> u64 {
    let two = hex & hex << 1;
    let four = two & two << 2;
    four & four << 4 & !(hex << 8)
}

/// Finds `h.h.h.h.h.h.h.h`: eight hex digits joined by dots, 15 bytes.
#[inline(always)]
fn nibbles(hex: u64, dot: u64) -> u64 {
    let one = hex & dot << 1 & hex << 2;
    let two = one & one << 2;
    let four = two & two << 4;
    four & one << 8 & two << 8 & one << 12
}

/// Finds dashes like [`doubled_or_fourth`], but `--` only after a hex digit: a row of dashes or an option is
/// not an address.
#[inline(always)]
fn dashes(dash: u64, hex: u64) -> u64 {
    doubled_or_fourth(dash) & (hex << 1 | hex << 2)
}

/// Finds two separators in a row, or the fourth of a chain with 1 to 4 bytes between them: at most 16 bytes.
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
