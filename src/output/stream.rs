//! Syslog over a stream: TCP, TLS, a unix socket.
//!
//! A stream has no answers. What was written counts as delivered when the connection has lasted for another
//! second: a receiver that ends loses what it has not read, and that much is sent again. Whether the receiver
//! then loses lines that it has read, nobody knows; where no line may be lost, use RELP.

use super::{Framing, Lines, Link};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{self, Instant};

/// A connection.
#[derive(Debug)]
pub struct Stream<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    framing: Framing,
    /// For each send, when its lines count as delivered.
    settled: VecDeque<Instant>,
    frames: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> Stream<S> {
    /// Creates a link that sends frames over `stream`.
    pub fn new(stream: S, framing: Framing) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, framing, settled: VecDeque::new(), frames: Vec::new() }
    }

    /// Returns when the peer has closed the connection. Ignores whatever the peer sends.
    async fn end(&mut self) -> io::Result<()> {
        let mut ignored = [0; 512];
        while self.reader.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Send> Link for Stream<S> {
    fn has_room(&self) -> bool {
        self.settled.len() < MOST_UNSETTLED
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        self.frames.clear();
        self.framing.write(&lines.bytes, &mut self.frames);
        self.writer.write_all(&self.frames).await?;
        self.writer.flush().await?;
        self.settled.push_back(Instant::now() + SETTLE);
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        let first = self.settled.front().copied();
        let settled = async {
            match first {
                Some(settled) => time::sleep_until(settled).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = self.end() => ended.and(Err(io::ErrorKind::UnexpectedEof.into())),
            () = settled => {
                self.settled.pop_front();
                Ok(())
            }
        }
    }

    /// A peer that closes its side after we have closed ours has read everything.
    async fn close(mut self) -> io::Result<u64> {
        self.writer.shutdown().await?;
        self.end().await?;
        Ok(0)
    }
}

/// How long after a write the connection must last until the lines count as delivered.
const SETTLE: Duration = Duration::from_secs(1);

/// Most blocks that may be unsettled: a second of more blocks than this, at 128 KiB each, would fill the
/// spool.
const MOST_UNSETTLED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::spool::Position;

    fn lines(text: &str) -> Lines {
        Lines { bytes: text.into(), count: text.lines().count() as u64, end: Position::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_settles_while_the_connection_lasts() {
        let (mut peer, stream) = tokio::io::duplex(1000);
        let mut link = Stream::new(stream, Framing::OctetCounting);
        let start = Instant::now();
        link.send(&lines("one\n")).await.unwrap();
        link.send(&lines("two\n")).await.unwrap();
        link.taken_over().await.unwrap();
        link.taken_over().await.unwrap();
        assert!(start.elapsed() >= SETTLE);
        let mut read = [0; 10];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"3 one3 two");
        link.send(&lines("three\n")).await.unwrap();
        drop(peer);
        assert_eq!(link.taken_over().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_seen_while_nothing_is_on_its_way() {
        let (mut peer, stream) = tokio::io::duplex(1000);
        let mut link = Stream::new(stream, Framing::NonTransparent);
        peer.write_all(b"whatever").await.unwrap();
        assert!(time::timeout(SETTLE * 5, link.taken_over()).await.is_err());
        drop(peer);
        assert!(link.taken_over().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_the_peer() {
        let (mut peer, stream) = tokio::io::duplex(4);
        let mut link = Stream::new(stream, Framing::NonTransparent);
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.unwrap();
            read
        });
        link.send(&lines("one\ntwo\n")).await.unwrap();
        link.close().await.unwrap();
        assert_eq!(reading.await.unwrap(), b"one\ntwo\n");
    }
}
