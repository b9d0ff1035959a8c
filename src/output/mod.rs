//! Where pseudonymised lines go besides the archive.
//!
//! ```text
//! block --Writer--> spool --Reader--> delivery --Link--> TCP, TLS, RELP, Kafka, unix socket, file, stdout
//!                     ^                  |
//!                     +---- confirmed ---+      what was not is sent again on the next link
//! ```
//! A link says when lines were taken over, and lines leave the spool then. An output that is away or slow fills its spool;
//! what happens when that is full is for whoever writes to it.

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

/// Something that links can be made to.
pub trait Target: Send + 'static {
    /// A link to it.
    type Link: Link;

    /// Makes a link.
    ///
    /// # Errors
    /// If it cannot be made now; it is tried again later.
    fn link(&mut self) -> impl Future<Output = io::Result<Self::Link>> + Send;
}

/// A way to whoever takes lines over: a connection, an open file.
pub trait Link: Send {
    /// Whether more may be sent before something of what was sent is taken over.
    fn has_room(&self) -> bool;

    /// Sends lines. If it is dropped half-way, so must the link be.
    ///
    /// # Errors
    /// If the link is broken.
    fn send(&mut self, lines: &Lines) -> impl Future<Output = io::Result<()>> + Send;

    /// Resolves once for each [`Link::send`], in order, when its lines were taken over. Loses nothing if it is dropped.
    ///
    /// # Errors
    /// If the link is broken, also while nothing is on its way.
    fn taken_over(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// How many of the lines that [`Link::taken_over`] resolved for last were refused and are not to be sent again.
    fn refused(&self) -> u64 {
        0
    }

    /// Ends the link; afterwards everything that was sent is taken over.
    ///
    /// # Errors
    /// If that cannot be known.
    fn close(self) -> impl Future<Output = io::Result<()>> + Send;
}

/// How syslog messages follow one another in a stream (RFC 6587).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// MSG-LEN SP SYSLOG-MSG: for every line, whatever is in it.
    #[default]
    OctetCounting,
    /// SYSLOG-MSG LF.
    NonTransparent,
}

impl Framing {
    /// Appends the frames of whole lines. A CR that belongs to a line end stays with the line only where LF follows it.
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

/// The lines without their line ends; none that is empty, for that is no message.
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
