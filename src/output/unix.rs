//! Output as datagrams to a unix socket such as `/dev/log`, one line each.

use super::{Lines, Link, Target, messages};
use std::io;
use std::path::PathBuf;
use tokio::net::UnixDatagram;

/// A socket that receives datagrams.
#[derive(Clone, Debug)]
pub struct Datagrams(pub PathBuf);

/// An open socket.
#[derive(Debug)]
pub struct Datagram {
    socket: UnixDatagram,
    sent: usize,
    /// Lines of the last send that were too long.
    refused: u64,
}

impl Target for Datagrams {
    type Link = Datagram;

    async fn link(&mut self) -> io::Result<Datagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.0)?;
        Ok(Datagram { socket, sent: 0, refused: 0 })
    }
}

/// A line counts as delivered once it is sent, since it is then in the receiver's queue.
impl Link for Datagram {
    fn has_room(&self) -> bool {
        self.sent == 0
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        self.refused = 0;
        for message in messages(&lines.bytes) {
            match self.socket.send(message).await {
                // This line will never fit into a datagram, so the lines behind it must not wait for it.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    tracing::error!(
                        bytes = message.len(),
                        "a line is too long for a datagram and was not sent"
                    );
                    self.refused += 1;
                }
                sent => drop(sent?),
            }
        }
        self.sent += 1;
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.sent == 0 {
            return std::future::pending().await;
        }
        self.sent -= 1;
        Ok(())
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    async fn close(self) -> io::Result<u64> {
        Ok(if self.sent > 0 { self.refused } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::spool::Position;

    #[tokio::test]
    async fn a_line_is_a_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut target = Datagrams(path.clone());
        assert!(target.link().await.is_err());
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut link = target.link().await.unwrap();
        let bytes = [
            b"one
"
            .to_vec(),
            vec![b'x'; 8 << 20],
            b"
two
"
            .to_vec(),
        ]
        .concat();
        let lines = Lines { bytes, count: 3, end: Position::default() };
        link.send(&lines).await.unwrap();
        assert!(!link.has_room());
        link.taken_over().await.unwrap();
        assert_eq!(link.refused(), 1);
        let mut buffer = [0; 100];
        for expected in [&b"one"[..], b"two"] {
            let count = receiver.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..count], expected);
        }
        link.send(&Lines { bytes: b"three\n".to_vec(), count: 1, ..lines.clone() }).await.unwrap();
        link.taken_over().await.unwrap();
        assert_eq!(link.refused(), 0);
        link.send(&lines).await.unwrap();
        assert_eq!(link.close().await.unwrap(), 1);
    }
}
