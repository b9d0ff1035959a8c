//! Pseudonyms: findings in, [`Pseudonymised`] bytes out.
//!
//! [`Pseudonymised`] proves that nothing leaves in clear: its fields are private to this module,
//! [`Layout`] is the only way to add a line to it, and outputs accept no other type. Code that writes a
//! raw line does not compile. This module knows no formats, no classes and no storage.

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

/// The form of the tokens in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenShape {
    /// A token such as `ip_2epqfnspyfc4whwyd2jp92w06ftvdrr`.
    #[default]
    Native,
    /// An IPv6 unique local address for an IP address, `...@pseudonym.invalid` for an e-mail address.
    Address,
}

/// Lines in which every finding is replaced by its token. Reused from block to block.
#[derive(Default)]
pub struct Pseudonymised {
    /// Longer than `length`, so that short runs can be copied in strides of one size.
    buffer: Vec<u8>,
    /// The number of valid bytes in `buffer`.
    length: usize,
    /// `None` unless the lines are indexed.
    index: Option<Box<Index>>,
}

/// Prints lengths only: beyond `length`, the buffer may hold the end of a stride of a raw line.
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

    /// Removes the lines and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
        if let Some(index) = &mut self.index {
            index.clear();
        }
    }

    /// The keys of the epoch of these tokens; `None` if no line was indexed.
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

    /// The number of lines in the index.
    #[must_use]
    pub fn indexed_lines(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.entries.len())
    }

    /// The bytes of an indexed line, including its line end, and its retention.
    ///
    /// # Panics
    /// If the index holds no such line.
    #[must_use]
    pub fn indexed_line(&self, line: usize) -> (&[u8], Dated) {
        let index = self.index.as_ref().expect("a line is indexed");
        (self.indexed_bytes(line..line + 1), index.dated(line))
    }

    /// The indexed lines in runs of one class and day, each with the retention of its first line.
    pub fn runs(&self) -> impl Iterator<Item = (Range<usize>, Dated)> {
        let mut start = 0;
        self.index.iter().flat_map(|index| &index.runs).map(move |run| {
            let (lines, dated) = (start..run.lines_end, self.indexed_line(start).1);
            start = run.lines_end;
            (lines, dated)
        })
    }

    /// The event times of these indexed lines, in Unix seconds.
    ///
    /// # Panics
    /// If the index does not hold all of them.
    pub fn event_seconds(&self, lines: Range<usize>) -> impl Iterator<Item = i64> {
        let entries = self.index.as_ref().map_or(&[][..], |index| &index.entries);
        entries[lines].iter().map(|entry| entry.event_second)
    }

    /// Whether every indexed line ends with LF. Only the last line of an input may lack it.
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

    /// How many of these indexed lines are placeholders of quarantined lines.
    #[must_use]
    pub fn placeholders(&self, lines: &Range<usize>) -> usize {
        let all = self.index.as_ref().map_or(&[][..], |index| &index.placeholders);
        all.iter().filter(|line| lines.contains(line)).count()
    }
}

#[cfg(test)]
impl Pseudonymised {
    /// Indexed lines without any identifier, given with their event times in seconds.
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

/// Makes tokens. Each worker has its own, because it caches recent tokens.
pub struct Pseudonymiser {
    keys: Arc<EpochKeys>,
    kinds: Arc<Kinds>,
    shape: TokenShape,
    recent: RecentTokens,
    /// The holes of the lines that are being laid out.
    holes: Holes,
    /// The prefix of the tokens of each kind: kind, underscore, kid.
    prefixes: Vec<Prefix>,
    /// The destinations of tokens, if lines are indexed.
    destinations: Destinations,
    /// The networks of addresses, if lines are indexed.
    networks: Option<Networks>,
    /// Tags that were not among the recent tokens.
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
    /// Creates a pseudonymiser for one epoch, with a cache of recent tokens of about `recent_bytes` bytes.
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

    /// Switches to the keys of another epoch and forgets the tokens of the old one.
    pub fn enter(&mut self, keys: &Arc<EpochKeys>) {
        if !Arc::ptr_eq(&self.keys, keys) {
            self.keys = Arc::clone(keys);
            self.recent.clear();
            self.destinations.clear();
            self.networks.iter_mut().for_each(|networks| networks.enter(keys));
            self.set_prefixes();
        }
    }

    /// Begins to lay out lines at the end of `out`. The lines are complete when the layout is dropped.
    pub fn layout<'a>(&'a mut self, out: &'a mut Pseudonymised) -> Layout<'a> {
        Layout::new(self, out)
    }

    /// Drains the tags that were not among the recent tokens since the last call, so that distinct
    /// identifiers can be counted. A tag may occur twice.
    pub fn new_tags(&mut self) -> impl Iterator<Item = (Kind, [u8; 16])> {
        self.new.drain(..)
    }

    /// The hits and misses of the cache of recent tokens.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        self.recent.hits_and_misses()
    }

    fn set_prefixes(&mut self) {
        let kid = self.keys.kid();
        self.prefixes = self.kinds.iter().map(|(_, name)| Prefix::new(name, &kid)).collect();
    }
}

/// What replaces a quarantined line in the output: a token and two numbers, nothing of the line itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    token: String,
    bytes: u64,
    limit: u64,
}

impl Placeholder {
    /// Creates the placeholder of a line of `bytes` bytes, over the limit of `limit` bytes, that is
    /// quarantined under `token`. Returns `None` if `token` is not a `qr` token: the token is written to the
    /// output, so it must not carry anything else.
    #[must_use]
    pub fn new(token: &str, bytes: u64, limit: u64) -> Option<Self> {
        let underscore = token.starts_with("qr_").then_some(2)?;
        let is_token = token::look_alike(token.as_bytes(), underscore) == Some(0..token.len());
        is_token.then(|| Self { token: token.to_owned(), bytes, limit })
    }

    /// The token, which is also the name of the quarantine file.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The length of the line in bytes, without its line end.
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
