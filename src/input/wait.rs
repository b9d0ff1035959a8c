//! Waits for bytes, a signal or a deadline, whichever comes first.

use super::{Arrival, ReadBy};
use crate::primitives::clock::Clock;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Asks the reader to stop, because of a signal or because the output is gone.
///
/// A request is permanent: the byte that carries it is never read from the socket.
#[derive(Debug)]
pub struct Stop(UnixStream);

/// The receiving end of a [`Stop`], for a [`Waiting`].
#[derive(Debug)]
pub struct Stopped(UnixStream);

/// Lets signals stop the reader until it is dropped.
#[derive(Debug)]
pub struct Signals(Vec<SigId>);

impl Stop {
    /// Creates a stop and its receiving end.
    ///
    /// # Errors
    /// If no descriptors are left.
    pub fn new() -> io::Result<(Self, Stopped)> {
        let (stop, stopped) = UnixStream::pair()?;
        stop.set_nonblocking(true)?;
        Ok((Self(stop), Stopped(stopped)))
    }

    /// Stops the reader, at once if it is blocked.
    pub fn request(&self) {
        // If the socket is full, a stop was requested before; if it is closed, nobody reads any more.
        let _ = (&self.0).write(&[1]);
    }

    /// Lets SIGTERM and SIGINT stop the reader; also SIGHUP, which comes when the terminal closes, unless the
    /// process was started to ignore it.
    ///
    /// A second signal has its default effect, so that a writer whose reader hangs can still be interrupted.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals(&self) -> io::Result<Signals> {
        let mut signals = Signals(Vec::new());
        let seen = Arc::new(AtomicBool::new(false));
        let hangup = if ignores_hangup() { None } else { Some(SIGHUP) };
        for signal in [SIGTERM, SIGINT].into_iter().chain(hangup) {
            // The order matters: the conditional default comes first, and checks `seen` before it is set.
            signals.0.push(flag::register_conditional_default(signal, Arc::clone(&seen))?);
            signals.0.push(flag::register(signal, Arc::clone(&seen))?);
            signals.0.push(low_level::pipe::register(signal, self.0.try_clone()?)?);
        }
        Ok(signals)
    }
}

/// Returns whether the process was started to ignore SIGHUP, as by nohup(1). If that is unknown, SIGHUP is
/// left as it is.
fn ignores_hangup() -> bool {
    // proc(5): the lowest bit of the mask is signal 1.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|ignored| ignored & 1 << (SIGHUP - 1) != 0)
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// A file, pipe, socket or terminal that is read only when bytes are there or the end has come.
#[derive(Debug)]
pub struct Waiting {
    file: File,
    stopped: Stopped,
    clock: Clock,
    /// After a stop: the number of bytes that were in the pipe by then and are still to be read.
    left: Option<u64>,
}

impl Waiting {
    /// Reads `file` until its end or until `stopped`.
    #[must_use]
    pub fn new(file: File, stopped: Stopped, clock: Clock) -> Self {
        // Sixteen times the default of 64 KiB, for fewer, larger reads. It does not matter if this fails.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_BYTES);
        Self { file, stopped, clock, left: None }
    }

    fn wait(&self, deadline: Option<Timestamp>) -> io::Result<Ready> {
        // If the clock stands still, waiting never reaches a deadline.
        let deadline = deadline.filter(|_| self.clock.is_running());
        loop {
            let left = deadline.map(|deadline| until(deadline, self.clock.now()));
            let mut fds =
                [PollFd::new(&self.stopped.0, PollFlags::IN), PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, left.as_ref()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if !fds[0].revents().is_empty() {
                return Ok(Ready::Stop);
            }
            // An error or hang-up makes the file readable too; the read returns which.
            if !fds[1].revents().is_empty() {
                return Ok(Ready::Bytes);
            }
            if deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
                return Ok(Ready::Deadline);
            }
        }
    }

    /// Returns the number of bytes that a writer has already put into the pipe or socket.
    ///
    /// Dropping them would lose lines that the writer believes delivered. A regular file keeps its bytes, so
    /// nothing is in flight.
    fn in_flight(&self) -> u64 {
        let is_regular = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_regular { 0 } else { rustix::io::ioctl_fionread(&self.file).unwrap_or(0) }
    }

    /// Reads what was in flight when the stop came, and no more, so that a writer which never pauses cannot
    /// keep us from stopping.
    fn read_left(&mut self, buffer: &mut [u8], left: u64) -> io::Result<Arrival> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = if most == 0 { 0 } else { (&self.file).read(&mut buffer[..most])? };
        self.left = Some(if count == 0 { 0 } else { left - count as u64 });
        Ok(if count == 0 { Arrival::Stopped } else { Arrival::Bytes(count) })
    }
}

impl ReadBy for Waiting {
    fn read_by(&mut self, buffer: &mut [u8], deadline: Option<Timestamp>) -> io::Result<Arrival> {
        if let Some(left) = self.left {
            return self.read_left(buffer, left);
        }
        loop {
            match self.wait(deadline)? {
                Ready::Deadline => return Ok(Arrival::Deadline),
                Ready::Stop => {
                    let left = self.in_flight();
                    return self.read_left(buffer, left);
                }
                Ready::Bytes => match (&self.file).read(buffer) {
                    Ok(0) => return Ok(Arrival::End),
                    Ok(count) => return Ok(Arrival::Bytes(count)),
                    // Another reader emptied this non-blocking descriptor: wait again.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

enum Ready {
    Bytes,
    Stop,
    Deadline,
}

/// Returns the time from `now` to `deadline`, but at most a minute: the system clock may be set meanwhile,
/// and the machine may sleep, which the timer of `poll` does not count.
fn until(deadline: Timestamp, now: Timestamp) -> Timespec {
    let left = deadline.duration_since(now);
    if left.is_negative() {
        return Timespec { tv_sec: 0, tv_nsec: 0 };
    }
    if left.as_secs() >= 60 {
        return Timespec { tv_sec: 60, tv_nsec: 0 };
    }
    Timespec { tv_sec: left.as_secs(), tv_nsec: left.subsec_nanos().into() }
}

/// The largest pipe that an unprivileged process may request by default (pipe(7)).
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Blocks, Ending, Piece};
    use jiff::ToSpan;
    use std::os::fd::OwnedFd;

    fn pipe(clock: Clock) -> (File, Stop, Waiting) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (stop, stopped) = Stop::new().unwrap();
        (File::from(writer), stop, Waiting::new(File::from(reader), stopped, clock))
    }

    fn read(waiting: &mut Waiting, deadline: Option<Timestamp>) -> Result<Vec<u8>, Arrival> {
        let mut buffer = [0; 64];
        match waiting.read_by(&mut buffer, deadline).unwrap() {
            Arrival::Bytes(count) => Ok(buffer[..count].to_vec()),
            other => Err(other),
        }
    }

    #[test]
    fn bytes_come_before_the_end() {
        let (mut writer, _stop, mut waiting) = pipe(Clock::System);
        writer.write_all(b"one\n").unwrap();
        drop(writer);
        assert_eq!(read(&mut waiting, None), Ok(b"one\n".to_vec()));
        assert_eq!(read(&mut waiting, None), Err(Arrival::End));
    }

    #[test]
    fn a_stop_ends_the_input_while_it_is_blocked() {
        let (_writer, stop, mut waiting) = pipe(Clock::System);
        let blocked = std::thread::spawn(move || read(&mut waiting, None));
        stop.request();
        assert_eq!(blocked.join().unwrap(), Err(Arrival::Stopped));
    }

    #[test]
    fn what_is_in_the_pipe_at_a_stop_is_read_and_no_more() {
        let (mut writer, stop, mut waiting) = pipe(Clock::System);
        writer.write_all(b"in flight").unwrap();
        stop.request();
        let mut buffer = [0; 4];
        assert_eq!(waiting.read_by(&mut buffer, None).unwrap(), Arrival::Bytes(4));
        writer.write_all(b" and too late").unwrap();
        assert_eq!(read(&mut waiting, None), Ok(b"light".to_vec()));
        assert_eq!(read(&mut waiting, None), Err(Arrival::Stopped));
        assert_eq!(read(&mut waiting, None), Err(Arrival::Stopped));
    }

    #[test]
    fn a_stop_leaves_a_regular_file_alone() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (stop, stopped) = Stop::new().unwrap();
        let mut waiting = Waiting::new(file, stopped, Clock::System);
        let mut buffer = [0; 4];
        assert_eq!(waiting.read_by(&mut buffer, None).unwrap(), Arrival::Bytes(4));
        stop.request();
        assert_eq!(waiting.read_by(&mut buffer, None).unwrap(), Arrival::Stopped);
    }

    #[test]
    fn half_a_line_is_sealed_after_a_stop() {
        let (mut writer, stop, waiting) = pipe(Clock::System);
        writer.write_all(b"whole\nlogin from 203.0.11").unwrap();
        stop.request();
        let mut blocks = Blocks::new(waiting, 100);
        assert!(
            matches!(blocks.next_piece(None).unwrap(), Piece::Lines(block) if block.bytes() == b"whole\n")
        );
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::TooLong(b"login from 203.0.11")));
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::TooLongEnd(Ending::Missing)));
        assert!(matches!(blocks.next_piece(None).unwrap(), Piece::End));
    }

    #[test]
    fn a_deadline_is_kept_and_bytes_go_before_it() {
        let (mut writer, _stop, mut waiting) = pipe(Clock::System);
        let past = Timestamp::now() - 1.second();
        assert_eq!(read(&mut waiting, Some(past)), Err(Arrival::Deadline));
        assert_eq!(read(&mut waiting, Some(Timestamp::now() + 2.milliseconds())), Err(Arrival::Deadline));
        writer.write_all(b"x").unwrap();
        assert_eq!(read(&mut waiting, Some(past)), Ok(b"x".to_vec()));
    }

    #[test]
    fn a_fixed_clock_never_reaches_a_deadline_by_waiting() {
        let now = Timestamp::UNIX_EPOCH;
        let (mut writer, _stop, mut waiting) = pipe(Clock::Fixed(now));
        let blocked = std::thread::spawn(move || read(&mut waiting, Some(now - 1.second())));
        writer.write_all(b"x").unwrap();
        assert_eq!(blocked.join().unwrap(), Ok(b"x".to_vec()));
    }

    #[test]
    fn a_non_blocking_descriptor_waits_too() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let (_stop, stopped) = Stop::new().unwrap();
        let mut waiting = Waiting::new(File::from(OwnedFd::from(reader)), stopped, Clock::System);
        let blocked = std::thread::spawn(move || read(&mut waiting, None));
        writer.write_all(b"x").unwrap();
        assert_eq!(blocked.join().unwrap(), Ok(b"x".to_vec()));
    }

    /// The only test that raises a signal: a second signal while handlers are installed would be fatal.
    #[test]
    fn a_signal_stops_the_reader() {
        let (_writer, stop, mut waiting) = pipe(Clock::System);
        let signals = stop.on_signals().unwrap();
        let blocked = std::thread::spawn(move || read(&mut waiting, None));
        low_level::raise(SIGTERM).unwrap();
        assert_eq!(blocked.join().unwrap(), Err(Arrival::Stopped));
        drop(signals);
    }

    #[test]
    fn a_wait_is_a_minute_at_most() {
        let now = Timestamp::UNIX_EPOCH;
        for (left, seconds, nanos) in [
            (0.seconds(), 0, 0),
            (-(5.seconds()), 0, 0),
            (1500.milliseconds(), 1, 500_000_000),
            (25.hours(), 60, 0),
        ] {
            let timeout = until(now + left, now);
            assert_eq!((timeout.tv_sec, timeout.tv_nsec), (seconds, nanos));
        }
    }
}
