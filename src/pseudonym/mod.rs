//! Pseudonyms: findings in, [`Pseudonymised`] bytes out.
//!
//! [`Pseudonymised`] is the proof that nothing leaves in clear: its fields are private to this folder,
//! [`Layout`] is the only way to add a line to it, and outputs accept nothing else. Writing a raw line does
//! not compile. Pseudonyms know no formats, no classes, no storage.

pub mod epoch;
mod index;
pub mod token;

mod hmac;
mod layout;
mod recent;

use crate::model::{Kind, Kinds};
use epoch::EpochKeys;
pub use index::{Dated, Networks, Tokens};
use index::{Destinations, Index};
use layout::Holes;
pub use layout::Layout;
use recent::RecentTokens;
use std::ops::Range;
use std::sync::Arc;

/// Shape of the tokens in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenShape {
    /// `ip_2epqfnspyfc4whwyd2jp92w06ftvdrr`
    #[default]
    Native,
    /// An IPv6 unique local address for an IP, `...@pseudonym.invalid` for an e-mail.
    Address,
}

/// Lines in which every finding has been replaced by its token. Reused from block to block.
#[derive(Default)]
pub struct Pseudonymised {
    /// Longer than what it holds, so that short runs can be copied in strides of one size.
    buffer: Vec<u8>,
    /// How much of `buffer` counts.
    length: usize,
    /// `None` unless somebody asked for it.
    index: Option<Box<Index>>,
}

/// Tells lengths only: behind what counts, the buffer may hold the end of a stride of a raw line.
impl std::fmt::Debug for Pseudonymised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pseudonymised([{} bytes redacted])", self.length)
    }
}

impl Pseudonymised {
    /// The lines.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Forgets the lines, keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
        if let Some(index) = &mut self.index {
            index.clear();
        }
    }

    /// The keys of the epoch that its tokens are of; `None` if no line was indexed.
    #[must_use]
    pub fn keys(&self) -> Option<&Arc<EpochKeys>> {
        self.index.as_ref()?.keys.as_ref()
    }

    /// Whether every byte belongs to an indexed line.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        let end = self.index.as_ref().and_then(|index| index.entries.last()).map_or(0, |last| last.end);
        end == self.length
    }

    /// How many lines the index holds.
    #[must_use]
    pub fn indexed_lines(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.entries.len())
    }

    /// The bytes of an indexed line with its line end, and its retention.
    ///
    /// # Panics
    /// If the index holds no such line.
    #[must_use]
    pub fn indexed_line(&self, line: usize) -> (&[u8], Dated) {
        let index = self.index.as_ref().expect("a line is indexed");
        (self.indexed_bytes(line..line + 1), index.dated(line))
    }

    /// The indexed lines in runs of one class and day, with the retention of the first of each.
    pub fn runs(&self) -> impl Iterator<Item = (Range<usize>, Dated)> {
        let mut start = 0;
        self.index.iter().flat_map(|index| &index.runs).map(move |run| {
            let (lines, dated) = (start..run.lines_end, self.indexed_line(start).1);
            start = run.lines_end;
            (lines, dated)
        })
    }

    /// When the events of these indexed lines were, in Unix seconds.
    ///
    /// # Panics
    /// If the index does not hold all of them.
    pub fn event_seconds(&self, lines: Range<usize>) -> impl Iterator<Item = i64> {
        let entries = self.index.as_ref().map_or(&[][..], |index| &index.entries);
        entries[lines].iter().map(|entry| entry.event_second)
    }

    /// Whether every indexed line ends with LF. Only the last line of an input may end without.
    #[must_use]
    pub fn every_line_ends(&self) -> bool {
        self.index.as_ref().is_none_or(|index| !index.unended)
    }

    /// The bytes of these indexed lines.
    ///
    /// # Panics
    /// If the index does not hold all of them.
    #[must_use]
    pub fn indexed_bytes(&self, lines: Range<usize>) -> &[u8] {
        let entries = self.index.as_ref().map_or(&[][..], |index| &index.entries);
        let end_before = |line: usize| line.checked_sub(1).map_or(0, |before| entries[before].end);
        &self.buffer[end_before(lines.start)..end_before(lines.end)]
    }

    /// Adds the tokens of these indexed lines to `tokens`.
    pub fn copy_tokens(&self, lines: Range<usize>, tokens: &mut Tokens) {
        if let Some(index) = &self.index {
            tokens.extend_from(&index.tokens, index.tokens_of(lines));
        }
    }

    /// How many of these indexed lines stand for sealed ones.
    #[must_use]
    pub fn placeholders(&self, lines: &Range<usize>) -> usize {
        let all = self.index.as_ref().map_or(&[][..], |index| &index.placeholders);
        all.iter().filter(|line| lines.contains(line)).count()
    }
}

#[cfg(test)]
impl Pseudonymised {
    /// Lines without any identifier, indexed, with the seconds of their events.
    pub(crate) fn of_lines(expires: crate::model::Expires, lines: &[(&str, i64)]) -> Self {
        let mut index = Box::<Index>::default();
        let mut bytes = Vec::new();
        for &(line, event_second) in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            let dated = Dated { class: 0, expires, event_second };
            index.end_line(&bytes, dated, &mut Destinations::default());
        }
        Self { length: bytes.len(), buffer: bytes, index: Some(index) }
    }
}

/// Makes tokens; one per worker, for it remembers recent ones.
pub struct Pseudonymiser {
    keys: Arc<EpochKeys>,
    kinds: Arc<Kinds>,
    shape: TokenShape,
    recent: RecentTokens,
    /// Of the lines that are being laid out.
    holes: Holes,
    /// What each token of a kind begins with: kind, underscore, kid.
    prefixes: Vec<Prefix>,
    /// Where tokens were sent to, if lines are indexed.
    destinations: Destinations,
    /// The networks of addresses, if lines are indexed.
    networks: Option<Networks>,
    /// Tags that were not among the recent ones.
    new: Vec<(Kind, [u8; 16])>,
}

/// The first bytes of a token.
#[derive(Clone, Copy)]
struct Prefix {
    bytes: [u8; 16],
    length: usize,
}

impl Prefix {
    fn new(kind: &str, kid: &[u8; token::KID_BYTES]) -> Self {
        let mut bytes = [0; 16];
        let length = kind.len() + 1 + kid.len();
        // A kind has at most 8 letters.
        bytes[..kind.len()].copy_from_slice(kind.as_bytes());
        bytes[kind.len()] = b'_';
        bytes[kind.len() + 1..length].copy_from_slice(kid);
        Self { bytes, length }
    }
}

impl Pseudonymiser {
    /// A pseudonymiser for one epoch, which remembers recent tokens in about `recent_bytes` bytes.
    #[must_use]
    pub fn new(keys: Arc<EpochKeys>, kinds: Arc<Kinds>, shape: TokenShape, recent_bytes: usize) -> Self {
        let mut made = Self {
            keys,
            kinds,
            shape,
            recent: RecentTokens::new(recent_bytes),
            holes: Holes::default(),
            prefixes: Vec::new(),
            destinations: Destinations::default(),
            networks: None,
            new: Vec::new(),
        };
        made.set_prefixes();
        made
    }

    /// Goes over to the keys of another epoch. Tokens of the old one are forgotten.
    pub fn enter(&mut self, keys: &Arc<EpochKeys>) {
        if !Arc::ptr_eq(&self.keys, keys) {
            self.keys = Arc::clone(keys);
            self.recent.clear();
            self.destinations.clear();
            self.networks.iter_mut().for_each(|networks| networks.enter(keys));
            self.set_prefixes();
        }
    }

    /// Begins to lay out lines at the end of `out`. They are complete when the layout is dropped.
    pub fn layout<'a>(&'a mut self, out: &'a mut Pseudonymised) -> Layout<'a> {
        Layout::new(self, out)
    }

    /// The tags that were not among the recent ones since it was last asked, so that distinct
    /// identifiers can be counted. One may come twice.
    pub fn new_tags(&mut self) -> impl Iterator<Item = (Kind, [u8; 16])> {
        self.new.drain(..)
    }

    /// How many tokens were among the recent ones, and how many were not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        self.recent.hits_and_misses()
    }

    fn set_prefixes(&mut self) {
        let kid = self.keys.kid();
        self.prefixes = self.kinds.iter().map(|(_, name)| Prefix::new(name, &kid)).collect();
    }
}

/// What goes out in the place of a quarantined line: a token and two numbers, nothing of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    token: String,
    bytes: u64,
    limit: u64,
}

impl Placeholder {
    /// The line of `bytes` bytes, more than `limit`, that is sealed under `token`. `None` if that is not
    /// a `qr` token: it is written out, so nothing else may get in.
    #[must_use]
    pub fn new(token: &str, bytes: u64, limit: u64) -> Option<Self> {
        let body = token.strip_prefix("qr_").filter(|body| token::is_body(body.as_bytes()));
        body.map(|_| Self { token: token.to_owned(), bytes, limit })
    }

    /// The token, which is also the name of the sealed file.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Length of the line, without its line end.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.bytes
    }
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "oubliette: line quarantined id={} bytes={} limit={}", self.token, self.bytes, self.limit)
    }
}
