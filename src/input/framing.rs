//! Cuts a stream of bytes into frames. Octet counting and non-transparent framing are distinguished for each
//! frame.
//!
//! RFC 6587, 3.4.1: `SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG`, and a SYSLOG-MSG starts with `<`. So digits, a
//! space and `<` mean octet counting; any other frame ends with its trailer (3.4.2). A line that merely
//! starts with a number is a line.
//!
//! Half a frame is sealed, and never becomes a record: half of an address does not look like one, and would
//! pass in clear.
//!
//! No byte of a peer is discarded. A wrong count only cuts that peer's own connection in the wrong places. A
//! frame longer than the limit is returned as it arrives, to be sealed.

use super::Batch;
use crate::primitives::diag::Code;
use memchr::{memchr, memchr2};

/// The byte that ends a frame of non-transparent framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trailer {
    /// LF: RFC 6587, 3.4.2.
    Lf,
    /// NUL, with which the C library ends messages on a stream socket, or LF.
    NulOrLf,
    /// NUL, which that RFC also observed in senders. LF is a byte inside the frame.
    Nul,
}

/// How to cut a stream.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Longest frame that becomes a record, in bytes, without trailer and count.
    pub max_frame_bytes: usize,
    /// Most bytes of a longer frame that are sealed; beyond that, the connection must be dropped.
    pub max_sealed_bytes: u64,
    /// The trailer of a frame.
    pub trailer: Trailer,
}

/// Cuts the bytes of one connection into frames.
pub struct Framer {
    framing: Framing,
    /// `start <= scanned <= buffer.len()`. `start..` was received and not returned; if it starts a frame that
    /// ends with a trailer, `start..scanned` contains none.
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    /// Set in the middle of a frame that is too long.
    long: Option<Remaining>,
    /// Bytes of that frame returned so far.
    sealed: u64,
    /// Whether a frame was longer than what may be sealed.
    hopeless: bool,
}

/// The rest of a frame that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remaining {
    Bytes(u64),
    UntilTrailer,
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Octet counting: `header` bytes of MSG-LEN and SP, then `message` bytes of SYSLOG-MSG.
    Counted { header: usize, message: u64 },
    /// The frame ends with its trailer.
    Plain,
    /// The frame may still be either.
    Undecided,
}

/// Prints only lengths, since the buffer is in clear.
impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framer([{} bytes redacted])", self.unfinished_bytes())
    }
}

impl Framer {
    /// Creates a framer for a connection that has sent nothing yet.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, buffer: Vec::new(), start: 0, scanned: 0, long: None, sealed: 0, hopeless: false }
    }

    /// Returns the buffer with room for `least` more bytes. The caller may only append to it.
    pub fn room(&mut self, least: usize) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * least {
            // An idle connection frees the memory that it used while busy.
            self.buffer = Vec::new();
        }
        self.buffer.reserve(least);
        &mut self.buffer
    }

    /// Returns the next whole records; `None` if more bytes are needed.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.gather(false)
    }

    /// Returns what is left when nothing more will come; call it until it returns `None`. The last line needs
    /// no trailer. A counted frame that is incomplete is returned as too long, to be sealed.
    pub fn last_batch(&mut self) -> Option<Batch> {
        self.gather(true)
    }

    /// Returns the number of bytes of an unfinished frame.
    #[must_use]
    pub fn unfinished_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Treats the unfinished frame as too long, because there is no memory for it or its rest will not come.
    pub fn seal_unfinished(&mut self) {
        if self.long.is_none() {
            self.begin_long(head(&self.buffer[self.start..]));
        }
    }

    /// Returns whether a frame has begun and not ended.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.long.is_some() || self.unfinished_bytes() > 0
    }

    /// Returns whether a frame has begun that only LF can end.
    #[must_use]
    pub fn awaits_line_feed(&self) -> bool {
        let awaits_trailer = match self.long {
            Some(remaining) => remaining == Remaining::UntilTrailer,
            None => self.is_unfinished() && head(&self.buffer[self.start..]) == Head::Plain,
        };
        self.framing.trailer == Trailer::Lf && awaits_trailer
    }

    /// Returns whether a frame was longer than what may be sealed, so that the connection must be dropped.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    fn gather(&mut self, ended: bool) -> Option<Batch> {
        let mut batch = Batch::default();
        while !batch.is_full() && !self.hopeless && self.step(&mut batch, ended) {}
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes one frame, or a part of a long one. Returns `false` if more bytes are needed.
    fn step(&mut self, batch: &mut Batch, ended: bool) -> bool {
        if let Some(remaining) = self.long {
            return self.step_long(remaining, batch, ended);
        }
        if self.framing.trailer == Trailer::Nul && self.buffer.get(self.start) == Some(&b'\n') {
            // Some senders put an LF after each counted frame. If LF ended lines here, this would be an empty
            // line.
            self.advance(1);
            return true;
        }
        let rest = &self.buffer[self.start..];
        if rest.is_empty() {
            return false;
        }
        match head(rest) {
            Head::Counted { header, message } => self.step_counted(header, message, batch, ended),
            Head::Undecided if !ended => false,
            Head::Plain | Head::Undecided => self.step_plain(batch, ended),
        }
    }

    fn step_counted(&mut self, header: usize, message: u64, batch: &mut Batch, ended: bool) -> bool {
        let most = self.framing.max_frame_bytes;
        let Some(message) = usize::try_from(message).ok().filter(|message| *message <= most) else {
            self.begin_long(Head::Counted { header, message });
            return true;
        };
        let Some(frame) = self.buffer[self.start + header..].get(..message) else {
            if ended {
                self.begin_long(Head::Counted { header, message: message as u64 });
            }
            return ended;
        };
        // Many senders append a line feed and count it.
        batch.push(frame.strip_suffix(b"\n").unwrap_or(frame), most);
        self.advance(header + message);
        true
    }

    fn step_plain(&mut self, batch: &mut Batch, ended: bool) -> bool {
        let most = self.framing.max_frame_bytes;
        let from = self.scanned.max(self.start);
        let found = self.find_trailer(from).map(|at| at - self.start);
        let available = self.buffer.len() - self.start;
        let (frame, taken) = match found {
            Some(at) => (at, at + 1),
            // A lone CR may still become an empty line, even if the limit is too low for any other line.
            None if available > most.max(1) => {
                self.begin_long(Head::Plain);
                return true;
            }
            None if ended => (available, available),
            None => {
                self.scanned = self.buffer.len();
                return false;
            }
        };
        let frame = &self.buffer[self.start..self.start + frame];
        let frame = match frame.strip_suffix(b"\n") {
            // As in a counted frame; with other trailers no LF is left. A frame that is too long only because
            // of its LF stays too long.
            Some(line) if frame.len() <= most => line,
            _ => frame,
        };
        // A lone CR is an empty line.
        if frame != b"\r" {
            batch.push(frame, most);
        }
        self.advance(taken);
        true
    }

    fn begin_long(&mut self, head: Head) {
        self.sealed = 0;
        self.long = Some(match head {
            Head::Counted { header, message } => {
                self.advance(header);
                Remaining::Bytes(message)
            }
            Head::Plain | Head::Undecided => Remaining::UntilTrailer,
        });
    }

    fn step_long(&mut self, remaining: Remaining, batch: &mut Batch, ended: bool) -> bool {
        let available = self.buffer.len() - self.start;
        let (content, taken, mut ends) = match remaining {
            Remaining::Bytes(left) => {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(available);
                (take, take, take as u64 == left)
            }
            Remaining::UntilTrailer => match self.find_trailer(self.start).map(|at| at - self.start) {
                Some(at) => (at, at + 1, true),
                None => (available, available, false),
            },
        };
        if taken == 0 && !ends && !ended {
            return false;
        }
        self.sealed += content as u64;
        self.hopeless = !ends && self.sealed > self.framing.max_sealed_bytes;
        ends |= self.hopeless || ended && taken == available;
        batch.seal(self.buffer[self.start..self.start + content].to_vec(), ends);
        self.long = match remaining {
            _ if ends => None,
            Remaining::Bytes(left) => Some(Remaining::Bytes(left - content as u64)),
            Remaining::UntilTrailer => Some(Remaining::UntilTrailer),
        };
        self.advance(taken);
        true
    }

    fn find_trailer(&self, from: usize) -> Option<usize> {
        let bytes = &self.buffer[from..];
        let found = match self.framing.trailer {
            Trailer::Lf => memchr(b'\n', bytes),
            Trailer::NulOrLf => memchr2(b'\n', 0, bytes),
            Trailer::Nul => memchr(0, bytes),
        };
        found.map(|at| from + at)
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.scanned = self.start;
    }
}

/// Parses the head of a frame. RFC 6587, 3.4.1: `MSG-LEN = NONZERO-DIGIT *DIGIT`.
fn head(bytes: &[u8]) -> Head {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return Head::Plain;
    }
    let digits = bytes.iter().take(MOST_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits > MOST_DIGITS {
        return Head::Plain;
    }
    match bytes[digits..] {
        [] | [b' '] => Head::Undecided,
        [b' ', b'<', ..] => {
            let number = |value: u64, digit: &u8| value * 10 + u64::from(digit - b'0');
            Head::Counted { header: digits + 1, message: bytes[..digits].iter().fold(0, number) }
        }
        _ => Head::Plain,
    }
}

/// Allows up to 999,999,999 bytes. Nobody means a larger number as a count.
const MOST_DIGITS: usize = 9;

/// I13: a sender ends lines with NUL where LF ends them.
pub static NUL_TRAILER: Code = Code {
    id: "I13",
    title: "lines of a connection seem to end with NUL",
    text: "\
What it means
  Data from a connection ends with a NUL, and no line feed has come after it. Some senders end each
  message with NUL instead of a line feed, such as the SysLogHandler of Python over TCP. This input
  takes NUL for a byte like any other, so the messages run together.

Why it matters
  When such a run is longer than `max_line_bytes`, or its connection ends, oubliette puts it into
  quarantine as one line. Nothing is lost and nothing is in clear, but the lines are not in the
  archive.

Example
  handlers.SysLogHandler(address=(\"log.example.net\", 5514), socktype=socket.SOCK_STREAM)

What to do
  - If all senders of this input end messages with NUL, set `trailer = \"nul\"` for it. oubliette then
    writes a line feed inside a message, as in a Python traceback, as `#012`.
  - If some senders use NUL and some a line feed, set `trailer = \"nul-or-lf\"`.
  - If no sender ends its messages with NUL, this was chance: do nothing.

  Octet counting works with each setting.

References
  RFC 6587, 3.4.2; docs/inputs.md",
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns what is cut from `chunks`: lines as they are, long records joined and in brackets.
    fn cut(framing: Framing, chunks: &[&[u8]]) -> String {
        let mut framer = Framer::new(framing);
        let mut told = String::new();
        for chunk in chunks {
            framer.room(1).extend_from_slice(chunk);
            while let Some(batch) = framer.next_batch() {
                tell(batch, &mut told);
            }
        }
        while let Some(batch) = framer.last_batch() {
            tell(batch, &mut told);
        }
        told.replace("][", "")
    }

    fn tell(batch: Batch, told: &mut String) {
        let (lines, long) = batch.into_parts();
        told.push_str(&String::from_utf8_lossy(&lines).replace('\n', "|"));
        if let Some(long) = long {
            told.push_str(&format!(
                "[{}]{}",
                String::from_utf8_lossy(&long.bytes),
                if long.ends { "!" } else { "" }
            ));
        }
    }

    fn framing(max_frame_bytes: usize) -> Framing {
        Framing { max_frame_bytes, max_sealed_bytes: 100, trailer: Trailer::Lf }
    }

    #[test]
    fn frames() {
        for (name, input, expected) in [
            ("nothing", "", ""),
            ("lines", "<1>a\n<1>b\n", "<1>a|<1>b|"),
            ("no trailer at the end", "<1>a\n<1>b", "<1>a|<1>b|"),
            ("empty lines", "\n\na\n\r\n\n", "a|"),
            ("CR stays", "a\r\nb\n", "a\r|b|"),
            ("NUL stays", "a\0b\n", "a\0b|"),
            ("counted", "4 <1>a5 <1>bc", "<1>a|<1>bc|"),
            ("counted with a line feed", "5 <1>a\n4 <1>b", "<1>a|<1>b|"),
            ("counted with a line feed after it", "4 <1>a\n4 <1>b\n", "<1>a|<1>b|"),
            ("counted with a line feed inside", "6 <1>a\nb", "<1>a#012b|"),
            ("mixed", "4 <1>a<1>b\n4 <1>c<1>d\n", "<1>a|<1>b|<1>c|<1>d|"),
            ("a line that starts with a number", "12 monkeys\n7\n", "12 monkeys|7|"),
            ("a date", "2026-11-23 10:00:00 a\n", "2026-11-23 10:00:00 a|"),
            ("an address", "203.0.113.7 - -\n", "203.0.113.7 - -|"),
            ("octet_count_zero", "0 <1>a\n", "0 <1>a|"),
            ("octet_count_too_small", "3 <1>abc\n<1>d\n", "<1>|abc|<1>d|"),
            ("octet_count_too_large", "9 <1>a\n<1>b\n<1>c\n", "<1>a#012<1>b|<1>c|"),
            ("octet_count_cut_off", "<1>a\n9 <1>a", "<1>a|[<1>a]!"),
            ("octet_count_overflow", "18446744073709551617 <1>a\n", "18446744073709551617 <1>a|"),
            ("octet_count_of_ten_digits", "1000000000 <1>a\n", "1000000000 <1>a|"),
            ("only digits", "123", "123|"),
            ("digits and a space", "123 ", "123 |"),
        ] {
            assert_eq!(cut(framing(40), &[input.as_bytes()]), expected, "{name}");
        }
    }

    #[test]
    fn about_the_limit() {
        for (limit, input, expected) in [
            (0, "a\n", "[a]!"),
            (1, "a\nbb\nc\n", "a|[bb]!c|"),
            (3, "aaa\naaaa\nb\n", "aaa|[aaaa]!b|"),
            (3, "aaaaaaaa", "[aaaaaaaa]!"),
            (4, "4 <1>a5 <1>bb4 <1>c", "<1>a|[<1>bb]!<1>c|"),
            (4, "9 <1>bb", "[<1>bb]!"),
        ] {
            assert_eq!(cut(framing(limit), &[input.as_bytes()]), expected, "{limit} {input:?}");
        }
    }

    #[test]
    fn what_is_sealed_is_bounded_and_then_the_connection_is_hopeless() {
        let mut framer = Framer::new(framing(10));
        let (mut bytes, mut ended) = (0, false);
        for _ in 0..1000 {
            framer.room(50).extend_from_slice(&[b'x'; 50]);
            while let Some(batch) = framer.next_batch() {
                bytes += batch.bytes();
                ended = batch.ends_long() == Some(true);
            }
            if framer.is_hopeless() {
                break;
            }
        }
        assert!(framer.is_hopeless() && ended);
        assert_eq!(bytes, 150);
        assert_eq!(framer.next_batch(), None);
    }

    #[test]
    fn a_frame_that_is_not_held_is_sealed_from_its_start() {
        for (first, rest, expected) in
            [("<1>aa", "aa\n<1>b\n", "[<1>aaaa]!<1>b|"), ("7 <1>aa", "aa<1>b\n", "[<1>aaaa]!<1>b|")]
        {
            let mut framer = Framer::new(framing(100));
            let mut told = String::new();
            framer.room(9).extend_from_slice(first.as_bytes());
            assert_eq!(framer.next_batch(), None);
            framer.seal_unfinished();
            tell(framer.next_batch().unwrap(), &mut told);
            assert_eq!(framer.unfinished_bytes(), 0);
            framer.room(9).extend_from_slice(rest.as_bytes());
            while let Some(batch) = framer.next_batch() {
                tell(batch, &mut told);
            }
            assert_eq!(told.replace("][", ""), expected);
        }
    }

    #[test]
    fn streams_of_the_c_library_end_with_nul() {
        let framing = Framing { trailer: Trailer::NulOrLf, ..framing(20) };
        assert_eq!(cut(framing, &[b"<1>a\0<1>b\0<1>c\n\0<1>d"]), "<1>a|<1>b|<1>c|<1>d|");
    }

    #[test]
    fn where_nul_alone_ends_a_frame() {
        for (name, input, expected) in [
            ("lines", "<1>a\0<1>b\0", "<1>a|<1>b|"),
            ("several lines in one", "<1>a\n\nb\r\nc\0<1>d\0", "<1>a#012#012b\r#012c|<1>d|"),
            ("a line feed before the trailer", "<1>a\n\0<1>b\r\n\0", "<1>a|<1>b\r|"),
            ("a line feed after the trailer", "<1>a\0\n<1>b\0\n", "<1>a|<1>b|"),
            ("empty", "\0\0\n\0a\0\r\0", "a|"),
            ("counted", "6 <1>a\0b4 <1>c<1>d\0", "<1>a\0b|<1>c|<1>d|"),
            ("counted with a line feed after it", "4 <1>a\n4 <1>b\n<1>c\0", "<1>a|<1>b|<1>c|"),
            ("too long", "<1>a\0<1>bbb\nbbbb\n\0<1>c\0", "<1>a|[<1>bbb\nbbbb\n]!<1>c|"),
        ] {
            let framing = Framing { trailer: Trailer::Nul, ..framing(10) };
            assert_eq!(cut(framing, &[input.as_bytes()]), expected, "{name}");
        }
    }

    #[test]
    fn it_says_what_only_a_line_feed_ends() {
        for (trailer, input, expected) in [
            (Trailer::Lf, "<1>a\0", true),
            (Trailer::Lf, "<1>a\n<1>aaaaaaaaaa\0", true),
            (Trailer::Lf, "<1>a\0b\n", false),
            (Trailer::Lf, "9 <1>a\0", false),
            (Trailer::Lf, "99 <1>a\0", false),
            (Trailer::NulOrLf, "<1>a", false),
            (Trailer::Nul, "<1>a", false),
        ] {
            let mut framer = Framer::new(Framing { trailer, ..framing(10) });
            framer.room(1).extend_from_slice(input.as_bytes());
            while framer.next_batch().is_some() {}
            assert_eq!(framer.awaits_line_feed(), expected, "{trailer:?} {input:?}");
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut framer = Framer::new(framing(1 << 20));
        framer.room(1).extend_from_slice(&[b'x'; 1 << 20]);
        assert_eq!(framer.next_batch(), None);
        framer.room(1).push(b'\n');
        assert!(framer.next_batch().is_some());
        assert!(framer.room(4096).capacity() < 10_000);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            input in "(([0-9]{1,2} )?<?[a-c\n\r\x000]{0,9}\n?){0,12}",
            sizes in proptest::collection::vec(1..9usize, 1..5),
            limit in 0..12usize,
            trailer in proptest::sample::select(vec![Trailer::Lf, Trailer::NulOrLf, Trailer::Nul]),
        ) {
            let framing = Framing { trailer, ..framing(limit) };
            let (mut chunks, mut rest, mut sizes) = (Vec::new(), input.as_bytes(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(cut(framing, &chunks), cut(framing, &[input.as_bytes()]));
        }
    }
}
