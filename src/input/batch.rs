//! Batches: what an input from the network delivers, which is whole records in order, and whether they became
//! durable.

use memchr::{memchr, memchr_iter};
use std::future::Future;

/// The destination of the records of one connection, socket or file, in order.
pub trait Deliver: Send + 'static {
    /// Resolves when the delivered records are durable in every place that requires it.
    type Receipt: Future<Output = Result<(), Lost>> + Send + 'static;

    /// Delivers `batch`. Waits while there is no memory for it, which slows the peer down.
    ///
    /// The receipt may be dropped if nobody waits for it; the records are delivered anyway.
    ///
    /// # Errors
    /// [`Closed`] once records are no longer accepted; `batch` was not delivered.
    fn deliver(&mut self, batch: Batch) -> impl Future<Output = Result<Self::Receipt, Closed>> + Send;

    /// Asks whether an unfinished record of `bytes` bytes may be kept in memory until the rest of it comes.
    ///
    /// Called again with the new total whenever that record has grown or gone. If not, the record must be
    /// delivered as [too long](Batch::seal).
    fn may_hold(&mut self, bytes: usize) -> bool;

    /// Reports that the last bytes end with NUL, which ends no record of this input although its sender may
    /// mean it to.
    fn seems_to_end_with_nul(&mut self) {}

    /// Notes how many files are left alone now because they are no text.
    fn leaves_alone(&mut self, _files: u64) {}

    /// Reports that the connection broke before this many delivered records could be answered: their sender
    /// sends them again.
    fn left_unanswered(&mut self, _records: u64) {}
}

/// Records are no longer accepted, because the program is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records are taken no more")]
pub struct Closed;

/// The pipeline failed or ended before the records were durable. Some of them may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not known whether the records are durable")]
pub struct Lost;

/// Records of one connection, in order. A record is the contents of a frame: a line without its line end.
///
/// The core reads lines, so a record must be one. A line feed inside a record, which only octet counting,
/// RELP and datagrams can carry, is written as `#012`, as rsyslog and syslog-ng do. Everything else stays as
/// it is, including CR and NUL. Empty records are dropped.
#[derive(Default, PartialEq, Eq)]
pub struct Batch {
    /// Records, each ended by LF and without any other LF.
    lines: Vec<u8>,
    /// Part of a long record, which comes after all of `lines`.
    long: Option<Long>,
}

/// Bytes of a record that exceeds the limit, or for which there is no memory.
#[derive(PartialEq, Eq)]
pub struct Long {
    /// The next bytes of the record, raw.
    pub bytes: Vec<u8>,
    /// Whether these bytes are the last ones.
    pub ends: bool,
}

/// Prints only lengths, since records are in clear.
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch([{} bytes redacted], {:?})", self.lines.len(), self.long)
    }
}

impl std::fmt::Debug for Long {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Long([{} bytes redacted], ends: {})", self.bytes.len(), self.ends)
    }
}

impl Batch {
    /// Appends a record without its trailer; a record of more than `limit` bytes is sealed. The batch must
    /// not be [full](Self::is_full).
    pub fn push(&mut self, record: &[u8], limit: usize) {
        if record.len() > limit {
            self.seal(record.to_vec(), true);
        } else if memchr(b'\n', record).is_some() {
            record.split(|&byte| byte == b'\n').enumerate().for_each(|(index, part)| {
                let before: &[u8] = if index > 0 { ESCAPED_LF } else { b"" };
                self.lines.extend_from_slice(before);
                self.lines.extend_from_slice(part);
            });
            self.lines.push(b'\n');
        } else if !record.is_empty() {
            self.lines.extend_from_slice(record);
            self.lines.push(b'\n');
        }
    }

    /// Appends the next bytes of a record that is too long. Nothing can be appended after them.
    pub fn seal(&mut self, bytes: Vec<u8>, ends: bool) {
        debug_assert!(self.long.is_none(), "a batch ends with its long record");
        self.long = Some(Long { bytes, ends });
    }

    /// Returns whether the batch should be delivered before anything is appended.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.long.is_some() || self.lines.len() >= FULL_BYTES
    }

    /// Returns whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.long.is_none()
    }

    /// Returns the memory that the records take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len() + self.long.as_ref().map_or(0, |long| long.bytes.len())
    }

    /// Returns the number of records that end in the batch.
    #[must_use]
    pub fn records(&self) -> u64 {
        let long = self.long.as_ref().is_some_and(|long| long.ends);
        memchr_iter(b'\n', &self.lines).count() as u64 + u64::from(long)
    }

    /// Returns whether a long record ends in the batch; `None` if the batch has no part of one.
    #[must_use]
    pub fn ends_long(&self) -> Option<bool> {
        self.long.as_ref().map(|long| long.ends)
    }

    /// Returns the whole records, each ended by LF, and the part of a long record after them.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Option<Long>) {
        (self.lines, self.long)
    }
}

/// The replacement for a line feed inside a record: its code in octal.
const ESCAPED_LF: &[u8] = b"#012";

/// Half the size of a block in the core.
const FULL_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_lines() {
        let mut batch = Batch::default();
        for record in [&b"one"[..], b"", b"tw\no\n", b"\n", b"cr\r", b"nul\0 \xff"] {
            batch.push(record, 10);
        }
        assert_eq!((batch.records(), batch.is_full()), (5, false));
        let (lines, long) = batch.into_parts();
        assert_eq!(lines, b"one\ntw#012o#012\n#012\ncr\r\nnul\0 \xff\n");
        assert_eq!(long, None);
    }

    #[test]
    fn a_record_is_judged_by_the_bytes_it_came_with() {
        for (bytes, is_long) in [(9, false), (10, false), (11, true)] {
            let mut batch = Batch::default();
            batch.push(&vec![b'\n'; bytes], 10);
            assert_eq!((batch.is_full(), batch.records()), (is_long, 1));
            assert_eq!(batch.into_parts().1.is_some(), is_long);
        }
    }

    #[test]
    fn it_is_full_before_it_is_large() {
        let mut batch = Batch::default();
        while !batch.is_full() {
            batch.push(&[b'x'; 1000], 1000);
        }
        assert!((FULL_BYTES..FULL_BYTES + 1001).contains(&batch.bytes()));
    }
}
