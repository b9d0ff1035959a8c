//! The output: writes whole blocks of pseudonymised lines, and nothing else.

use super::workers::Flow;
use crate::primitives::diag::{Code, Diagnostic};
use crate::pseudonym::Pseudonymised;
use crate::scan::count_lines;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

/// Bytes that may leave the process.
///
/// The trait is sealed and implemented only in this module, so only what `pseudonym` has made can be
/// written. A raw line has no such type.
pub trait Outgoing: Default + Send + sealed::Sealed {
    /// The bytes, whole lines with their line ends.
    fn as_bytes(&self) -> &[u8];

    /// Removes the bytes and keeps the memory.
    fn clear(&mut self);
}

pub(super) mod sealed {
    /// Seals [`super::Outgoing`].
    pub trait Sealed {}
}

impl sealed::Sealed for Pseudonymised {}

impl Outgoing for Pseudonymised {
    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// Receives blocks in the order of the input.
pub trait Sink<B>: Send {
    /// Writes a block as a whole.
    ///
    /// # Errors
    /// [`WriteError`]; after that, always [`WriteError::Poisoned`].
    fn write(&mut self, block: &B) -> Result<(), WriteError>;

    /// Does periodic work while no block comes.
    ///
    /// # Errors
    /// The same as [`Sink::write`].
    fn idle(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    /// How long to wait for a block before [`Sink::idle`] is called; `None` means forever.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Flushes everything. This is the last call, whether the pipeline succeeded or failed.
    ///
    /// # Errors
    /// The same as [`Sink::write`].
    fn flush(&mut self) -> Result<(), WriteError>;

    /// Enters what was written into `flow`.
    fn report(&self, flow: &mut Flow);
}

/// Writes blocks and counts the lines and bytes written.
#[derive(Debug)]
pub struct Output<W> {
    sink: W,
    lines: u64,
    bytes: u64,
    /// Whether the last line written lacks its line end.
    partial: bool,
    /// Whether a write failed. The state of the sink is then unknown, so nothing more is written to it.
    poisoned: bool,
    /// Whether a flush failed, other than by a broken pipe. It is then unknown how much of the output is kept.
    unkept: bool,
}

impl<W: Write> Output<W> {
    /// Writes to `sink`, which should be unbuffered: each block is one write.
    #[must_use]
    pub fn new(sink: W) -> Self {
        Self { sink, lines: 0, bytes: 0, partial: false, poisoned: false, unkept: false }
    }

    /// Writes a block as a whole.
    ///
    /// # Errors
    /// [`WriteError`]; after that, always [`WriteError::Poisoned`].
    pub fn write<B: Outgoing>(&mut self, block: &B) -> Result<(), WriteError> {
        let bytes = block.as_bytes();
        self.attempt(|output| output.write_whole(bytes))
    }

    /// Flushes everything, including what was written before a write failed.
    ///
    /// # Errors
    /// [`WriteError::Unkept`] if the sink cannot flush; otherwise the same as [`Output::write`].
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let flushed = self.sink.flush();
        self.unkept |= flushed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
        let failed_before = self.poisoned;
        self.poisoned |= flushed.is_err();
        if failed_before {
            return Err(WriteError::Poisoned);
        }
        flushed.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => WriteError::BrokenPipe,
            _ => WriteError::Unkept { source },
        })
    }

    /// Enters what was written into `flow`.
    pub(super) fn report(&self, flow: &mut Flow) {
        if self.unkept {
            (flow.lines_out, flow.bytes_out) = (0, 0);
            return;
        }
        // An incomplete line is not delivered.
        flow.lines_out = self.lines - u64::from(self.poisoned && self.partial);
        flow.bytes_out = self.bytes;
    }

    fn write_whole(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.count(&rest[..taken]);
                    rest = &rest[taken..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts bytes that the sink has accepted.
    fn count(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        // The first line end may complete a line from the previous block.
        self.lines += count_lines(bytes) - u64::from(self.partial);
        self.partial = last != b'\n';
        self.bytes += bytes.len() as u64;
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), WriteError> {
        if self.poisoned {
            return Err(WriteError::Poisoned);
        }
        write(self).map_err(|source| {
            self.poisoned = true;
            match source.kind() {
                io::ErrorKind::BrokenPipe => WriteError::BrokenPipe,
                _ => {
                    WriteError::Io { lines: self.lines - u64::from(self.partial), bytes: self.bytes, source }
                }
            }
        })
    }
}

impl<B: Outgoing, W: Write + Send> Sink<B> for Output<W> {
    fn write(&mut self, block: &B) -> Result<(), WriteError> {
        self.write(block)
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.flush()
    }

    fn report(&self, flow: &mut Flow) {
        self.report(flow);
    }
}

/// An unbuffered file, pipe, socket or terminal. If another process has made it non-blocking, writes wait
/// until it is ready.
#[derive(Debug)]
pub struct Descriptor(File);

impl Descriptor {
    /// Writes to `file`.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                        Err(rustix::io::Errno::INTR) => {}
                        other => drop(other?),
                    }
                }
                other => return other,
            }
        }
    }

    /// Syncs a regular file: some file systems report only now that they could not keep the data.
    fn flush(&mut self) -> io::Result<()> {
        if self.0.metadata()?.is_file() { self.0.sync_data() } else { Ok(()) }
    }
}

/// Why the output could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The reader has gone: a clean end (`oubliette filter | head`).
    #[error("nobody reads the output any more")]
    BrokenPipe,
    /// Any other error of a write.
    #[error("cannot write the output after {bytes} bytes")]
    Io {
        /// Whole lines written before the error.
        lines: u64,
        /// Bytes written before the error: those lines, and possibly the beginning of another one.
        bytes: u64,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The flush failed, so what was written may not be kept.
    #[error("cannot sync the output")]
    Unkept {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Archive(#[source] Box<Diagnostic>),
    /// An earlier write failed.
    #[error("the output failed before")]
    Poisoned,
}

impl From<WriteError> for Diagnostic {
    fn from(error: WriteError) -> Self {
        let what = "cannot write the output";
        match error {
            WriteError::Io { lines, bytes, source } => Self::new(&WRITE_FAILED, what)
                .at(format!(
                    "after {bytes} bytes: {lines} whole {}",
                    if lines == 1 { "line" } else { "lines" }
                ))
                .because(source.to_string())
                .hint("make room or mend the output, then send the input again"),
            WriteError::Unkept { source } => Self::new(&WRITE_FAILED, "the output may be incomplete")
                .at("the sync at its end")
                .because(source.to_string())
                .hint("none of its lines is surely kept: make room or mend the output, then send the input again"),
            WriteError::Archive(diagnostic) => *diagnostic,
            other => Self::new(&WRITE_FAILED, what).because(other.to_string()),
        }
    }
}

/// I02: a write failed.
pub(super) static WRITE_FAILED: Code = Code {
    id: "I02",
    title: "the output cannot be written",
    text: "\
What it means
  The operating system reported an error while oubliette wrote lines, or synced the file at the end:
  the disk is full, the file system is read-only, or the device failed. (A reader that goes away, as
  in `| head`, is no error.)

Why it matters
  Some lines that were read are missing from the output. The message says how many bytes the output
  took, and how many whole lines they hold; the beginning of one more line may follow. After a
  failed sync, nobody knows which lines are on the disk, so `--stats` counts all of them as
  undelivered.

Example
  oubliette filter < access.log > /srv/full/access.log

What to do
  1. Make room, or repair the output.
  2. Remove what was written.
  3. Send the whole input again. The tokens are the same until the epoch ends.

References
  write(2), section ERRORS.",
};

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// Stands in for pseudonymised bytes in the tests of this module and its siblings.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    pub(in super::super) struct Plain(pub(in super::super) Vec<u8>);

    impl sealed::Sealed for Plain {}

    impl Outgoing for Plain {
        fn as_bytes(&self) -> &[u8] {
            &self.0
        }

        fn clear(&mut self) {
            self.0.clear();
        }
    }

    /// Accepts `room` bytes, then fails with `kind`.
    pub(in super::super) struct Failing {
        pub(in super::super) room: usize,
        pub(in super::super) kind: io::ErrorKind,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.room {
                return Err(self.kind.into());
            }
            self.room -= bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn plain(bytes: &[u8]) -> Plain {
        Plain(bytes.to_vec())
    }

    #[test]
    fn lines_are_counted_across_blocks() {
        for (blocks, lines) in [
            (&[&b""[..]][..], 0),
            (&[b"a\nb\n"], 2),
            (&[b"a\nb"], 2),
            (&[b"a\n", b"", b"b\n"], 2),
            (&[b"a", b"b\n", b"c"], 2),
            (&[b"a", b"", b"\n"], 1),
        ] {
            let mut output = Output::new(Vec::new());
            for block in blocks {
                output.write(&plain(block)).unwrap();
            }
            let mut flow = Flow::default();
            output.report(&mut flow);
            assert_eq!((flow.lines_out, flow.bytes_out), (lines, blocks.concat().len() as u64), "{blocks:?}");
            assert_eq!(output.sink, blocks.concat());
        }
    }

    #[test]
    fn a_failed_output_takes_nothing_more() {
        let mut output = Output::new(Failing { room: 4, kind: io::ErrorKind::StorageFull });
        output.write(&plain(b"a\n")).unwrap();
        assert!(matches!(output.write(&plain(b"too much\n")), Err(WriteError::Io { .. })));
        assert!(matches!(output.write(&plain(b"b\n")), Err(WriteError::Poisoned)));
        assert!(matches!(output.flush(), Err(WriteError::Poisoned)));
        let mut output = Output::new(Failing { room: 0, kind: io::ErrorKind::BrokenPipe });
        assert!(matches!(output.write(&plain(b"a\n")), Err(WriteError::BrokenPipe)));
    }

    /// Accepts what there is room for, as a disk does.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn how_far_a_full_disk_came_is_told_to_the_byte() {
        for (room, whole) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (7, 2)] {
            let mut output = Output::new(Disk(room));
            let blocks = [&b"a\nb"[..], b"b\ncc\n"].map(plain);
            let failed = blocks.iter().find_map(|block| output.write(block).err());
            let Some(WriteError::Io { lines, bytes, .. }) = failed else { panic!("{room}: {failed:?}") };
            assert_eq!((lines, bytes), (whole, room as u64));
            let mut flow = Flow::default();
            output.report(&mut flow);
            assert_eq!((flow.lines_out, flow.bytes_out), (whole, room as u64));
        }
    }

    /// Accepts everything, but fails to flush it.
    struct Unkept(io::ErrorKind);

    impl Write for Unkept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn lines_that_are_not_kept_are_not_counted() {
        for (kind, lines) in [(io::ErrorKind::StorageFull, 0), (io::ErrorKind::BrokenPipe, 1)] {
            let mut output = Output::new(Unkept(kind));
            output.write(&plain(b"a\n")).unwrap();
            let flushed = output.flush();
            assert!(
                matches!(flushed, Err(WriteError::Unkept { .. } | WriteError::BrokenPipe)),
                "{flushed:?}"
            );
            assert!(matches!(output.flush(), Err(WriteError::Poisoned)));
            let mut flow = Flow::default();
            output.report(&mut flow);
            assert_eq!((flow.lines_out, flow.bytes_out), (lines, 2 * lines), "{kind}");
        }
    }

    #[test]
    fn a_non_blocking_descriptor_gets_everything() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let sent = bytes.clone();
        let sender = std::thread::spawn(move || {
            let mut output = Output::new(Descriptor::new(File::from(OwnedFd::from(writer))));
            output.write(&Plain(sent)).unwrap();
            output.flush().unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == bytes);
    }

    #[test]
    fn a_pipe_without_reader_is_a_broken_pipe() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let mut output = Output::new(Descriptor::new(File::from(writer)));
        assert!(matches!(output.write(&plain(b"a\n")), Err(WriteError::BrokenPipe)));
    }
}
