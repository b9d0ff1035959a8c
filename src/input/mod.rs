//! Bytes from outside: into blocks of whole lines, or batches of records.

mod batch;
pub mod blocks;
pub mod datagram;
pub mod framing;
pub mod inherited;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod proxy_protocol;
pub mod relp;
pub mod sockets;
pub mod standard;
pub mod stream;
pub mod tail;
pub mod tls;
mod wait;

#[cfg(test)]
mod shelf;

pub use batch::{Batch, Closed, Deliver, Long, Lost};
pub use blocks::{Block, Blocks, Ending, Piece, READ_FAILED, ReadError};
pub use wait::{Stop, Stopped, Waiting};

use crate::primitives::diag::Code;
use jiff::Timestamp;
use std::io::{self, Read};

/// The codes of this area.
pub const CODES: &[&Code] =
    &[&READ_FAILED, &sockets::NO_LISTENER, &tail::NOT_FOLLOWED, &tls::UNUSABLE, &framing::NUL_TRAILER];

/// What one read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// That many bytes, at least one, are in the buffer.
    Bytes(usize),
    /// No more bytes will come.
    End,
    /// It is to be read no more, though more may come: its last line may be half a one.
    Stopped,
    /// The deadline passed before a byte came; nothing is lost, reading may go on.
    Deadline,
}

/// A reader that can be told how long to wait.
///
/// Anything that is [`Read`] is one that waits for ever; [`Waiting`] keeps to the deadline.
pub trait ReadBy: Send {
    /// Reads into `buffer`, which is not empty. Waits for the first byte until `deadline` at most.
    ///
    /// # Errors
    /// What the operating system says. The caller retries [`io::ErrorKind::Interrupted`].
    fn read_by(&mut self, buffer: &mut [u8], deadline: Option<Timestamp>) -> io::Result<Arrival>;
}

impl<R: Read + Send> ReadBy for R {
    fn read_by(&mut self, buffer: &mut [u8], _deadline: Option<Timestamp>) -> io::Result<Arrival> {
        Ok(match self.read(buffer)? {
            0 => Arrival::End,
            count => Arrival::Bytes(count),
        })
    }
}
