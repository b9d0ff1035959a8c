//! The last time of each spelling: most lines state the time of a line just before, to the byte.
//!
//! What is remembered follows from the very bytes it is kept with, and is worked out anew from any others. So
//! the answer for a line depends on that line alone.

use super::columns::{bsd_columns, clf_columns};
use super::timestamp::{is_of_event, rfc3339};
use crate::model::StatedTime;

/// The last times that a guesser read.
#[derive(Clone, Debug, Default)]
pub(super) struct LastTimes {
    bsd: Columns<16>,
    clf: Columns<26>,
    /// In the header of RFC 5424, and in JSON: programs agree less on fractions than each with itself.
    header: Text,
    json: Text,
}

impl LastTimes {
    /// [`bsd_columns`].
    #[inline]
    pub(super) fn bsd(&mut self, text: &[u8; 16]) -> Option<StatedTime> {
        self.bsd.time(text, bsd_columns)
    }

    /// [`clf_columns`].
    #[inline]
    pub(super) fn clf(&mut self, text: &[u8; 26]) -> Option<StatedTime> {
        self.clf.time(text, clf_columns)
    }

    /// The time in the spelling of RFC 3339 that `text` begins with and a space ends, and where that space is.
    #[inline]
    pub(super) fn rfc3339_header(&mut self, text: &[u8]) -> Option<(StatedTime, usize)> {
        if text.get(self.header.length) != Some(&b' ') || !self.header.begins(text) {
            let (rest, time) = rfc3339(text).ok().filter(|(rest, _)| rest.first() == Some(&b' '))?;
            self.header.remember(&text[..text.len() - rest.len()], time);
            return Some((time, text.len() - rest.len()));
        }
        self.header.time.map(|time| (time, self.header.length))
    }

    /// The time that all of `text` is, in the spelling of RFC 3339.
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

/// Bytes in fixed columns, and the time they state, if they do.
#[derive(Clone, Debug)]
struct Columns<const BYTES: usize> {
    text: [u8; BYTES],
    time: Option<StatedTime>,
}

impl<const BYTES: usize> Default for Columns<BYTES> {
    /// Zeros are no time.
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

/// Text of any length up to [`Text::MOST_BYTES`], and the time it is.
#[derive(Clone, Debug)]
struct Text {
    bytes: [u8; Self::MOST_BYTES],
    length: usize,
    time: Option<StatedTime>,
}

impl Default for Text {
    /// No text is that long.
    fn default() -> Self {
        Self { bytes: [0; Self::MOST_BYTES], length: usize::MAX, time: None }
    }
}

impl Text {
    /// With nine digits of a fraction and an offset it is 35 bytes.
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
        /// Whatever was read before, the answer is that of the bytes alone.
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
