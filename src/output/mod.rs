//! Outputs: where pseudonymised lines go besides the archive.
//!
//! ```text
//! block --Writer--> spool --Reader--> delivery --Link--> TCP, TLS, RELP, Kafka, unix socket, file, stdout
//!                     ^                  |
//!                     +---- confirmed ---+      undelivered lines are sent again on the next link
//! ```
//! A line is delivered when its receiver has taken it over, which each kind of [`Link`] defines in its own
//! way. Delivered lines leave the spool. The spool of an output that is away or slow fills up; the caller
//! that writes to the spool decides what happens when it is full.

pub mod delivery;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod relp;
pub mod spool;
mod stream;
pub mod tcp;
pub mod tls;
pub mod unix;

mod backoff;

pub use delivery::{Delivery, Meter};
pub use spool::Lines;

use std::fmt;
use std::future::Future;
use std::io;

/// A receiver that links can be made to.
pub trait Target: Send + 'static {
    /// The kind of link to this receiver.
    type Link: Link;

    /// Makes a link.
    ///
    /// # Errors
    /// If it cannot be made now; the caller tries again later.
    fn link(&mut self) -> impl Future<Output = io::Result<Self::Link>> + Send;
}

/// A way to a receiver: a connection, an open file.
pub trait Link: Send {
    /// Returns whether more lines may be sent before any of the lines in flight are delivered.
    fn has_room(&self) -> bool;

    /// Sends lines. Not cancel safe: if the future is dropped before it completes, drop the link as well.
    ///
    /// # Errors
    /// If the link is broken.
    fn send(&mut self, lines: &Lines) -> impl Future<Output = io::Result<()>> + Send;

    /// Resolves once for each [`Link::send`], in order, when its lines are delivered. Cancel safe.
    ///
    /// # Errors
    /// If the link is broken, even if no lines are in flight.
    fn taken_over(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Returns how many of the lines for which [`Link::taken_over`] last resolved were refused by the
    /// receiver, or can never be sent to it, and must not be sent again.
    fn refused(&self) -> u64 {
        0
    }

    /// Closes the link. On success, everything that was sent is delivered, except for the returned number of
    /// lines in flight that the receiver refused and that must not be sent again.
    ///
    /// # Errors
    /// If it is not known whether everything was delivered.
    fn close(self) -> impl Future<Output = io::Result<u64>> + Send;
}

/// The framing of syslog messages in a stream (RFC 6587).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// MSG-LEN SP SYSLOG-MSG, which suits every line, whatever bytes it contains.
    #[default]
    OctetCounting,
    /// SYSLOG-MSG LF.
    NonTransparent,
}

impl Framing {
    /// Appends the frames of whole lines. Octet counting drops the line ends, CR LF as well as LF;
    /// non-transparent framing keeps them as they are.
    fn write(self, lines: &[u8], frames: &mut Vec<u8>) {
        match self {
            Self::NonTransparent => frames.extend_from_slice(lines),
            Self::OctetCounting => {
                for message in messages(lines) {
                    frames.extend_from_slice(message.len().to_string().as_bytes());
                    frames.push(b' ');
                    frames.extend_from_slice(message);
                }
            }
        }
    }
}

/// Returns the lines without their line ends. Skips empty lines, which are not messages.
fn messages(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let contents = lines.split_inclusive(|&byte| byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    contents.filter(|message| !message.is_empty())
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OctetCounting => "octet-counting",
            Self::NonTransparent => "non-transparent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_lines() {
        for (lines, counted) in [
            (&b""[..], &b""[..]),
            (b"one\n", b"3 one"),
            (b"one\r\ntwelve bytes\n", b"3 one12 twelve bytes"),
            (b"\n\r\na b\n", b"3 a b"),
            (b"no end", b"6 no end"),
        ] {
            let (mut octets, mut plain) = (Vec::new(), Vec::new());
            Framing::OctetCounting.write(lines, &mut octets);
            Framing::NonTransparent.write(lines, &mut plain);
            assert_eq!((octets.as_slice(), plain.as_slice()), (counted, lines));
        }
    }
}
