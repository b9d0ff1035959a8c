//! Decodes the commands of a RELP peer from whatever the reads return.

use crate::primitives::relp::{self, Header, MOST_HEADER_BYTES};
use std::ops::Range;

use crate::primitives::relp::Malformed;

/// The reasons to stop reading a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not a RELP frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The length of a record exceeds what may be sealed.
    #[error("a record is longer than what is sealed of one")]
    Endless,
}

/// A command of the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// `open`, with the offers of the peer, one per line.
    Open {
        /// The transaction.
        txnr: u32,
        /// `name=value` lines.
        offers: &'a [u8],
    },
    /// `syslog`, with a record to keep.
    Record {
        /// The transaction.
        txnr: u32,
        /// The record, without the one LF that some senders append.
        record: &'a [u8],
    },
    /// The next bytes of a record that is too long.
    LongPart(&'a [u8]),
    /// The last bytes of that record.
    LongEnd {
        /// The transaction.
        txnr: u32,
        /// The bytes; there may be none.
        bytes: &'a [u8],
    },
    /// `close`.
    Close {
        /// The transaction.
        txnr: u32,
    },
    /// Any other command.
    Unknown {
        /// The transaction.
        txnr: u32,
    },
}

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The bytes before this have been returned.
    start: usize,
    /// The long record that is being returned in parts.
    long: Option<Long>,
    max_record_bytes: usize,
    max_sealed_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Long {
    txnr: u32,
    /// Number of bytes that have not been returned.
    left: usize,
}

impl Decoder {
    /// Creates a decoder that returns records of more than `max_record_bytes` in parts, and fails at one of
    /// more than `max_sealed_bytes`.
    #[must_use]
    pub fn new(max_record_bytes: usize, max_sealed_bytes: u64) -> Self {
        Self { buffer: Vec::new(), start: 0, long: None, max_record_bytes, max_sealed_bytes }
    }

    /// Returns the buffer to which the next bytes must be appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > MOST_IDLE_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// Returns the next event; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Unreadable`]; nothing after that can be read.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Unreadable> {
        if let Some(long) = self.long {
            return self.next_of_long(long);
        }
        let Some(Header { txnr, command, data_bytes, header_bytes }) =
            relp::header(&self.buffer[self.start..])?
        else {
            return Ok(None);
        };
        let is_record = command == b"syslog";
        if is_record && data_bytes as u64 > self.max_sealed_bytes {
            return Err(Unreadable::Endless);
        }
        if !is_record && data_bytes > MOST_CONTROL_BYTES {
            return Err(Malformed.into());
        }
        if is_record && data_bytes > self.max_record_bytes {
            self.start += header_bytes;
            let long = *self.long.insert(Long { txnr, left: data_bytes });
            return self.next_of_long(long);
        }
        let (is_open, is_close) = (command == b"open", command == b"close");
        let data = self.start + header_bytes..self.start + header_bytes + data_bytes;
        let Some(end) = self.end_of_frame(&data)? else { return Ok(None) };
        self.start = end;
        let data = &self.buffer[data];
        Ok(Some(match () {
            () if is_record => Event::Record { txnr, record: data.strip_suffix(b"\n").unwrap_or(data) },
            () if is_open => Event::Open { txnr, offers: data },
            () if is_close => Event::Close { txnr },
            () => Event::Unknown { txnr },
        }))
    }

    /// Returns the number of bytes that wait for the rest of their frame.
    #[must_use]
    pub fn unfinished_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Switches to returning the unfinished record in parts, because there is no memory for it.
    pub fn seal_unfinished(&mut self) {
        if let Ok(Some(header)) = relp::header(&self.buffer[self.start..])
            && self.long.is_none()
            && header.command == b"syslog"
        {
            let (txnr, left, bytes) = (header.txnr, header.data_bytes, header.header_bytes);
            self.long = Some(Long { txnr, left });
            self.start += bytes;
        }
    }

    fn next_of_long(&mut self, long: Long) -> Result<Option<Event<'_>>, Unreadable> {
        let Long { txnr, left } = long;
        let part = self.start..self.start + left.min(self.unfinished_bytes());
        if part.len() < left {
            self.long = Some(Long { txnr, left: left - part.len() });
            self.start = part.end;
            return Ok((!part.is_empty()).then(|| Event::LongPart(&self.buffer[part])));
        }
        // The last bytes are held back until the LF after them arrives.
        let Some(end) = self.end_of_frame(&part)? else { return Ok(None) };
        (self.long, self.start) = (None, end);
        Ok(Some(Event::LongEnd { txnr, bytes: &self.buffer[part] }))
    }

    /// Returns the end of the frame whose DATA has been received; `None` if the frame is incomplete.
    fn end_of_frame(&self, data: &Range<usize>) -> Result<Option<usize>, Malformed> {
        if data.is_empty() && self.long.is_none() {
            // The LF has already ended the header.
            return Ok(Some(data.end));
        }
        match self.buffer.get(data.end) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(data.end + 1)),
            Some(_) => Err(Malformed),
        }
    }
}

/// Bytes to ask for at a time.
const READ_BYTES: usize = 64 << 10;

/// Most memory kept while nothing is unfinished.
const MOST_IDLE_BYTES: usize = 4 * READ_BYTES;

/// Most DATA of an `open` or of an unknown command; a kilobyte is a lot.
const MOST_CONTROL_BYTES: usize = 16 << 10;

const _: () = assert!(MOST_HEADER_BYTES < READ_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event that owns its bytes. The parts of a long record are joined.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Seen {
        Open(u32, Vec<u8>),
        Record(u32, Vec<u8>),
        Long(u32, Vec<u8>),
        Close(u32),
        Unknown(u32),
        Malformed,
        Endless,
        Unfinished,
    }

    fn events(chunks: impl IntoIterator<Item = Vec<u8>>, limit: usize) -> Vec<Seen> {
        let mut decoder = Decoder::new(limit, 1000);
        let (mut seen, mut long) = (Vec::new(), Vec::new());
        for chunk in chunks {
            decoder.room().extend_from_slice(&chunk);
            loop {
                match decoder.next_event() {
                    Ok(None) => break,
                    Ok(Some(Event::Open { txnr, offers })) => seen.push(Seen::Open(txnr, offers.to_vec())),
                    Ok(Some(Event::Record { txnr, record })) => {
                        seen.push(Seen::Record(txnr, record.to_vec()))
                    }
                    Ok(Some(Event::LongPart(bytes))) => {
                        assert!(!bytes.is_empty());
                        long.extend_from_slice(bytes);
                    }
                    Ok(Some(Event::LongEnd { txnr, bytes })) => {
                        long.extend_from_slice(bytes);
                        seen.push(Seen::Long(txnr, std::mem::take(&mut long)));
                    }
                    Ok(Some(Event::Close { txnr })) => seen.push(Seen::Close(txnr)),
                    Ok(Some(Event::Unknown { txnr })) => seen.push(Seen::Unknown(txnr)),
                    Err(Unreadable::Malformed(_)) => {
                        seen.push(Seen::Malformed);
                        return seen;
                    }
                    Err(Unreadable::Endless) => {
                        seen.push(Seen::Endless);
                        return seen;
                    }
                }
            }
        }
        if decoder.unfinished_bytes() > 0 || decoder.long.is_some() {
            seen.push(Seen::Unfinished);
        }
        seen
    }

    #[test]
    fn events_by_frames() {
        use Seen::{Close, Long, Open, Record, Unfinished, Unknown};
        for (bytes, expected) in [
            (&b""[..], vec![]),
            (b"1 open 5 a=b\nc\n", vec![Open(1, b"a=b\nc".to_vec())]),
            (b"2 syslog 3 abc\n3 close 0\n", vec![Record(2, b"abc".to_vec()), Close(3)]),
            // One LF at the end belongs to the sender's framing, all others to the record.
            (b"2 syslog 4 a\nb\n\n", vec![Record(2, b"a\nb".to_vec())]),
            (b"2 syslog 2 \n\n\n", vec![Record(2, b"\n".to_vec())]),
            (b"2 syslog 1 \n\n", vec![Record(2, vec![])]),
            (b"2 syslog 0\n", vec![Record(2, vec![])]),
            (b"7 starttls 0\n8 rsp 1 x\n", vec![Unknown(7), Unknown(8)]),
            // At the limit of 8, and above it.
            (b"1 syslog 8 12345678\n", vec![Record(1, b"12345678".to_vec())]),
            (b"1 syslog 9 123456789\n2 close 0\n", vec![Long(1, b"123456789".to_vec()), Close(2)]),
            (b"1 syslog 9 12345678\n\n", vec![Long(1, b"12345678\n".to_vec())]),
            // Cut off.
            (b"1 syslog 3 abc", vec![Unfinished]),
            (b"1 syslog 9 123", vec![Unfinished]),
            (b"1 sys", vec![Unfinished]),
            // Not RELP.
            (b"<13>Nov 23 10:00:00 host app: x\n", vec![Seen::Malformed]),
            (b"1 syslog 3 abcd\n", vec![Seen::Malformed]),
            (b"1 syslog 9 1234567890\n", vec![Seen::Malformed]),
            (b"1 open 999999999 x", vec![Seen::Malformed]),
            (b"1 syslog 1001 x", vec![Seen::Endless]),
        ] {
            let whole = events([bytes.to_vec()], 8);
            assert_eq!(whole, expected, "{:?}", String::from_utf8_lossy(bytes));
            for size in 1..5 {
                let chunks = bytes.chunks(size).map(<[u8]>::to_vec);
                assert_eq!(events(chunks, 8), expected, "{:?} by {size}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn what_cannot_be_held_goes_as_it_comes() {
        let mut decoder = Decoder::new(100, 1000);
        decoder.room().extend_from_slice(b"1 syslog 9 1234");
        assert_eq!(decoder.next_event(), Ok(None));
        assert_eq!(decoder.unfinished_bytes(), 15);
        decoder.seal_unfinished();
        assert_eq!(decoder.next_event(), Ok(Some(Event::LongPart(b"1234"))));
        decoder.seal_unfinished();
        assert_eq!(decoder.next_event(), Ok(None));
        decoder.room().extend_from_slice(b"56789\n");
        assert_eq!(decoder.next_event(), Ok(Some(Event::LongEnd { txnr: 1, bytes: b"56789" })));
    }

    #[test]
    fn memory_is_given_back() {
        let mut decoder = Decoder::new(1 << 20, 1 << 20);
        decoder.room().extend_from_slice(b"1 syslog 1000000 ");
        decoder.room().extend(std::iter::repeat_n(b'x', 1_000_000));
        decoder.room().push(b'\n');
        assert!(matches!(decoder.next_event(), Ok(Some(Event::Record { .. }))));
        assert!(decoder.room().capacity() <= MOST_IDLE_BYTES);
    }

    proptest! {
        /// However the stream is cut, it yields the same events, and they are those that were written.
        #[test]
        fn any_chunking_gives_the_same(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            limit in 0..40usize,
            sizes in prop::collection::vec(1..50usize, 1..6),
        ) {
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for (record, txnr) in records.iter().zip(1..) {
                relp::write(&mut stream, txnr, "syslog", record);
                expected.push(match record.len() > limit {
                    true => Seen::Long(txnr, record.clone()),
                    false => Seen::Record(txnr, record.strip_suffix(b"\n").unwrap_or(record).to_vec()),
                });
            }
            let (mut chunks, mut rest, mut sizes) = (Vec::new(), &stream[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                chunks.push(chunk.to_vec());
                rest = after;
            }
            prop_assert_eq!(events(chunks, limit), expected);
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>, size in 1..9usize) {
            let by_size = events(bytes.chunks(size).map(<[u8]>::to_vec), 16);
            prop_assert_eq!(events([bytes], 16), by_size);
        }
    }
}
