//! Inputs: bytes from outside, cut into blocks of whole lines or batches of records.

mod batch;
pub mod blocks;
pub mod datagram;
pub mod encoding;
pub mod framing;
pub mod inherited;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod proxy_protocol;
pub mod relp;
pub mod shares;
pub mod sockets;
pub mod standard;
pub mod stream;
pub mod tail;
pub mod tls;
mod wait;

#[cfg(test)]
mod fake_deliver;

pub use batch::{Batch, Closed, Deliver, Long, Lost};
pub use blocks::{Block, Blocks, Ending, Piece, READ_FAILED, ReadError};
pub use wait::{Stop, Stopped, Waiting};

use crate::primitives::diag::Code;
use jiff::Timestamp;
use std::io::{self, Read};

/// All error codes of this module.
pub const CODES: &[&Code] = &[
    &READ_FAILED,
    &encoding::UNREADABLE,
    &sockets::NO_LISTENER,
    &tail::NOT_FOLLOWED,
    &tls::UNUSABLE,
    &framing::NUL_TRAILER,
];

/// The outcome of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// This many bytes, at least one, are in the buffer.
    Bytes(usize),
    /// No more bytes will come.
    End,
    /// Reading was stopped, although more bytes may come; the last line may be incomplete.
    Stopped,
    /// The deadline passed before a byte came. Nothing is lost, and reading may continue.
    Deadline,
}

/// A reader with a deadline.
///
/// Every [`Read`] is one that ignores the deadline and waits for ever; [`Waiting`] keeps to it.
pub trait ReadBy: Send {
    /// Reads into `buffer`, which must not be empty. Waits for the first byte until `deadline` at most.
    ///
    /// # Errors
    /// The error of the operating system. The caller retries [`io::ErrorKind::Interrupted`].
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
