//! Writes replayed lines: framed for their reader, at a pace, and stopped only between two seconds.
//!
//! Times are whole seconds, so a replay that is stopped finishes its second first: every line before the
//! returned time went out, and none at or after it. Resumed with `--from` that time, it neither loses nor
//! repeats a line.

use super::codes::STOPPED;
use crate::primitives::diag::{Code, Diagnostic};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How a stream is divided into messages (RFC 6587, 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Non-transparent framing: a line feed ends each message (3.4.2).
    #[default]
    LineFeed,
    /// Octet counting: `MSG-LEN SP MSG`, without the line feed (3.4.1).
    OctetCounting,
}

/// Why a replay ended before its last line.
#[derive(Debug)]
pub enum Broken {
    /// It was stopped.
    Stopped {
        /// The second to resume from.
        resume: i64,
    },
    /// The reader accepts no more.
    Write {
        /// The error of the write.
        error: io::Error,
        /// The second to resume from. Lines may then come twice, because it is unknown what the reader took.
        resume: i64,
    },
}

/// Writes lines.
pub struct Outlet<W> {
    to: W,
    framing: Framing,
    pace: Option<Pace>,
    stopped: Arc<AtomicBool>,
    buffer: Vec<u8>,
    /// The second of the last line.
    second: Option<i64>,
    /// The number of bytes written so far, and the offsets at which seconds began: what a reader that goes
    /// away may not have read.
    written: u64,
    seconds: VecDeque<(u64, i64)>,
}

/// A multiple of the original pace.
struct Pace {
    speed: f64,
    began: Option<(Instant, i64)>,
}

impl<W: Write> Outlet<W> {
    /// Creates an outlet that writes to `to` until `stopped` is set, at `speed` times the original pace if
    /// given.
    pub fn new(to: W, framing: Framing, speed: Option<f64>, stopped: Arc<AtomicBool>) -> Self {
        let pace = speed.map(|speed| Pace { speed, began: None });
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { to, framing, pace, stopped, buffer, second: None, written: 0, seconds: VecDeque::new() }
    }

    /// Returns the flag that stops the outlet.
    #[must_use]
    pub fn stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }

    /// Writes a line with its line feed, whose event was in `second`.
    ///
    /// # Errors
    /// [`Broken`] if the line was not accepted.
    pub fn line(&mut self, line: &[u8], second: i64) -> Result<(), Broken> {
        if self.second != Some(second) {
            self.begin_second(second)?;
        }
        match self.framing {
            Framing::LineFeed => self.buffer.extend_from_slice(line),
            Framing::OctetCounting => {
                let message = line.strip_suffix(b"\n").unwrap_or(line);
                self.buffer.extend_from_slice(format!("{} ", message.len()).as_bytes());
                self.buffer.extend_from_slice(message);
            }
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is left in the buffer.
    ///
    /// # Errors
    /// If the reader does not accept it.
    pub fn finish(mut self) -> Result<W, Broken> {
        self.flush()?;
        Ok(self.to)
    }

    fn begin_second(&mut self, second: i64) -> Result<(), Broken> {
        if self.second.is_some() && self.stopped.load(Ordering::Relaxed) {
            return self.stop(second);
        }
        if let Some(due) = self.pace.as_mut().and_then(|pace| pace.due(second)) {
            self.flush()?;
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if self.stopped.load(Ordering::Relaxed) {
                    return self.stop(second);
                }
                thread::sleep(left.min(LOOK_AT_SIGNALS));
            }
        }
        self.second = Some(second);
        self.seconds.push_back((self.written + self.buffer.len() as u64, second));
        Ok(())
    }

    fn stop(&mut self, resume: i64) -> Result<(), Broken> {
        self.flush()?;
        Err(Broken::Stopped { resume })
    }

    fn flush(&mut self) -> Result<(), Broken> {
        if let Err(error) = self.write_whole() {
            return Err(Broken::Write { error, resume: self.earliest_unread() });
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // Seconds that began before the one with the first unread byte are certainly read.
        let unread = self.written.saturating_sub(MOST_UNREAD_BYTES);
        while self.seconds.get(1).is_some_and(|(begin, _)| *begin <= unread) {
            self.seconds.pop_front();
        }
        Ok(())
    }

    /// Writes the buffer. A write that times out is repeated until the replay is stopped.
    fn write_whole(&mut self) -> io::Result<()> {
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) && !self.stopped.load(Ordering::Relaxed) => {}
                Err(error) => return Err(error),
            }
        }
        self.to.flush()
    }

    fn earliest_unread(&self) -> i64 {
        self.seconds.front().map_or(i64::MIN, |(_, second)| *second)
    }
}

impl Pace {
    /// Returns when an event of `second` is due.
    fn due(&mut self, second: i64) -> Option<Instant> {
        let (began, first) = *self.began.get_or_insert_with(|| (Instant::now(), second));
        let after = Duration::try_from_secs_f64(second.saturating_sub(first) as f64 / self.speed).ok()?;
        began.checked_add(after)
    }
}

impl Broken {
    /// Returns the second to resume from.
    #[must_use]
    pub fn resume(&self) -> i64 {
        let (Self::Stopped { resume } | Self::Write { resume, .. }) = self;
        *resume
    }
}

/// Why the writing of lines ended: an error of the archive or of the reader.
pub(super) enum Ended {
    Archive(Diagnostic),
    Reader(Broken),
}

impl Ended {
    /// Returns the code of the message that says why.
    pub(super) fn code(&self) -> &'static Code {
        match self {
            Self::Archive(error) => error.code,
            Self::Reader(_) => &STOPPED,
        }
    }
}

impl From<Diagnostic> for Ended {
    fn from(error: Diagnostic) -> Self {
        Self::Archive(error)
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        Self::Reader(broken)
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The number of bytes written at once.
const BUFFER_BYTES: usize = 128 << 10;

/// The longest time until a signal is noticed while waiting for the next event.
const LOOK_AT_SIGNALS: Duration = Duration::from_millis(50);

/// The most bytes in the buffers at both ends of a connection: `tcp_wmem` and `tcp_rmem` usually go up to 4
/// and 6 MiB.
const MOST_UNREAD_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet<W: Write>(to: W, framing: Framing) -> Outlet<W> {
        Outlet::new(to, framing, None, Arc::default())
    }

    #[test]
    fn framings() {
        for (framing, expected) in [(Framing::LineFeed, "a b\ncd\n"), (Framing::OctetCounting, "3 a b2 cd")] {
            let mut outlet = outlet(Vec::new(), framing);
            outlet.line(b"a b\n", 1).unwrap();
            outlet.line(b"cd\n", 2).unwrap();
            assert_eq!(outlet.finish().unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn it_stops_between_two_seconds() {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut outlet = Outlet::new(Vec::new(), Framing::LineFeed, None, Arc::clone(&stopped));
        outlet.line(b"a\n", 1).unwrap();
        stopped.store(true, Ordering::Relaxed);
        outlet.line(b"b\n", 1).unwrap();
        let broken = outlet.line(b"c\n", 3).unwrap_err();
        assert!(matches!(broken, Broken::Stopped { resume: 3 }));
        assert_eq!(outlet.to, b"a\nb\n");
    }

    /// A writer that accepts this many bytes.
    struct Limited(usize);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_may_have_left_the_last_16_mib_unread() {
        let line = [vec![b'x'; 1 << 20], vec![b'\n']].concat();
        let mut outlet = outlet(Limited(40 << 20), Framing::LineFeed);
        let broken = (0..).find_map(|second| outlet.line(&line, second).err()).unwrap();
        // The fortieth line did not fit.
        assert!((22..=24).contains(&broken.resume()), "{}", broken.resume());
    }

    #[test]
    fn a_pace_is_kept() {
        let began = Instant::now();
        let mut outlet = Outlet::new(Vec::new(), Framing::LineFeed, Some(100.0), Arc::default());
        for second in [7, 8, 17] {
            outlet.line(b"a\n", second).unwrap();
        }
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}
