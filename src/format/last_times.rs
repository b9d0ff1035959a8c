//! Remembers the last time of each spelling, because most lines repeat the time of a recent line byte for
//! byte.
//!
//! A remembered time is a function of the bytes kept with it, and other bytes are parsed anew. So the result
//! for a line depends on that line alone.

use super::columns::{bsd_columns, clf_columns};
use super::timestamp::{is_of_event, rfc3339};
use crate::model::StatedTime;

/// The last times that a guesser read.
#[derive(Clone, Debug, Default)]
pub(super) struct LastTimes {
    bsd: Columns<16>,
    clf: Columns<26>,
    /// RFC 3339 times, kept separately for RFC 5424 headers and JSON: the fraction varies more between
    /// programs than within one.
    header: Text,
    json: Text,
}

impl LastTimes {
    /// Returns the time in columns; see [`bsd_columns`].
    #[inline]
    pub(super) fn bsd(&mut self, text: &[u8; 16]) -> Option<StatedTime> {
        self.bsd.time(text, bsd_columns)
    }

    /// Returns the time in columns; see [`clf_columns`].
    #[inline]
    pub(super) fn clf(&mut self, text: &[u8; 26]) -> Option<StatedTime> {
        self.clf.time(text, clf_columns)
    }

    /// Returns the RFC 3339 time at the start of `text`, and the offset of the space that must follow it.
    #[inline]
    pub(super) fn rfc3339_header(&mut self, text: &[u8]) -> Option<(StatedTime, usize)> {
        if text.get(self.header.length) != Some(&b' ') || !self.header.begins(text) {
            let (rest, time) = rfc3339(text).ok().filter(|(rest, _)| rest.first() == Some(&b' '))?;
            self.header.remember(&text[..text.len() - rest.len()], time);
            return Some((time, text.len() - rest.len()));
        }
        self.header.time.map(|time| (time, self.header.length))
    }

    /// Returns the RFC 3339 time that makes up all of `text`.
    #[inline]
    pub(super) fn rfc3339_json(&mut self, text: &[u8]) -> Option<StatedTime> {
        if text.len() != self.json.length || !self.json.begins(text) {
            let (_, time) =
                rfc3339(text).ok().filter(|(rest, time)| rest.is_empty() && is_of_event(*time))?;
            self.json.remember(text, time);
            return Some(time);
        }
        self.json.time
    }
}

/// Bytes in fixed columns, and the time they state, if any.
#[derive(Clone, Debug)]
struct Columns<const BYTES: usize> {
    text: [u8; BYTES],
    time: Option<StatedTime>,
}

impl<const BYTES: usize> Default for Columns<BYTES> {
    /// Zeros state no time.
    fn default() -> Self {
        Self { text: [0; BYTES], time: None }
    }
}

impl<const BYTES: usize> Columns<BYTES> {
    #[inline]
    fn time(
        &mut self,
        text: &[u8; BYTES],
        read: impl Fn(&[u8; BYTES]) -> Option<StatedTime>,
    ) -> Option<StatedTime> {
        if self.text != *text {
            *self = Self { text: *text, time: read(text) };
        }
        self.time
    }
}

/// Text of up to [`Text::MOST_BYTES`] bytes, and the time it states.
#[derive(Clone, Debug)]
struct Text {
    bytes: [u8; Self::MOST_BYTES],
    length: usize,
    time: Option<StatedTime>,
}

impl Default for Text {
    /// Starts with a length that no text has.
    fn default() -> Self {
        Self { bytes: [0; Self::MOST_BYTES], length: usize::MAX, time: None }
    }
}

impl Text {
    /// A time with a fraction of nine digits and an offset has 35 bytes.
    const MOST_BYTES: usize = 40;

    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        self.bytes.get(..self.length).is_some_and(|known| text.starts_with(known))
    }

    fn remember(&mut self, text: &[u8], time: StatedTime) {
        if let Some(bytes) = self.bytes.get_mut(..text.len()) {
            bytes.copy_from_slice(text);
            (self.length, self.time) = (text.len(), Some(time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The result depends on the bytes alone, no matter what was read before.
        #[test]
        fn the_times_before_change_nothing(
            texts in prop::collection::vec("2026-11-2[0-9]T1[0-9]:00:00([.][0-9]{1,9})?(Z|[+]01:00)?( x)?|[N ]ov 2[0-9] 10:00:00 |2[0-9]/Nov/2026:10:00:00 [+]0100", 1..20),
        ) {
            let mut last = LastTimes::default();
            for text in texts.iter().map(String::as_bytes) {
                let mut fresh = LastTimes::default();
                prop_assert_eq!(last.rfc3339_header(text), fresh.rfc3339_header(text));
                prop_assert_eq!(last.rfc3339_json(text), fresh.rfc3339_json(text));
                if let Some(text) = text.first_chunk() {
                    prop_assert_eq!(last.bsd(text), bsd_columns(text));
                }
                if let Some(text) = text.first_chunk() {
                    prop_assert_eq!(last.clf(text), clf_columns(text));
                }
            }
        }
    }

    #[test]
    fn times_of_the_header_end_at_a_space() {
        let mut last = LastTimes::default();
        let known = last.rfc3339_header(b"2026-11-23T10:00:00Z host").unwrap();
        assert_eq!(known.1, 20);
        assert_eq!(last.rfc3339_header(b"2026-11-23T10:00:00Z host"), Some(known));
        for other in [&b"2026-11-23T10:00:00Z"[..], b"2026-11-23T10:00:00Zhost", b"2026-11-23T10:00:00", b""]
        {
            assert_eq!(last.rfc3339_header(other), None, "{}", other.escape_ascii());
        }
    }
}
