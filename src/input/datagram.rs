//! Datagrams: UDP (RFC 5426) and datagram sockets of this machine, many in one call.
//!
//! A datagram is a record. Nothing slows its sender down: what comes while the buffer of the socket is full,
//! the kernel drops. So that buffer is made large, and emptied in batches.

use super::{Batch, Closed, Deliver};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

/// How datagrams are read.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams {
    /// Longer records are sealed, in bytes.
    pub max_record_bytes: usize,
    /// Longest datagram that the socket can carry, in bytes.
    pub longest_bytes: usize,
}

/// What a UDP datagram can carry at most.
pub const LONGEST_UDP_BYTES: usize = 65_507;

/// A datagram socket of this machine carries what its sender's buffer holds: 208 KiB by default, and no
/// message is near that.
pub const LONGEST_UNIX_BYTES: usize = 256 << 10;

/// A socket that receives datagrams.
pub trait Socket: AsFd + Send + Sync + 'static {
    /// Waits until there may be some.
    ///
    /// # Errors
    /// What the operating system says.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Receives, and remembers if there was nothing.
    ///
    /// # Errors
    /// As `receive`.
    fn try_receive<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> io::Result<T>;
}

impl Socket for UdpSocket {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.readable()
    }

    fn try_receive<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::READABLE, receive)
    }
}

impl Socket for UnixDatagram {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.readable()
    }

    fn try_receive<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::READABLE, receive)
    }
}

/// Asks the kernel for so large a buffer; it may give less, unless we may insist.
pub fn widen(socket: &impl AsFd, bytes: usize) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
    if set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        // As much as net.core.rmem_max allows.
        let _ = set_socket_recv_buffer_size(socket, bytes);
    }
}

/// Reads datagrams until `stopped` and those that the kernel holds by then are read.
///
/// # Errors
/// If the socket fails. [`io::ErrorKind::BrokenPipe`] if records are taken no more.
pub async fn read<S: Socket, D: Deliver>(
    socket: S,
    mut deliver: D,
    datagrams: Datagrams,
    stopped: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut receiver = Receiver::new(datagrams);
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            ready = socket.readable() => ready?,
        }
        match socket.try_receive(|| receiver.receive(&socket)) {
            Ok(batches) => hand_on(batches, &mut deliver).await?,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    // What is in the buffer now and no more: a sender that goes on and on cannot keep us.
    for _ in 0..MOST_CALLS_AFTER_STOP {
        match receiver.receive(&socket) {
            Ok(batches) => hand_on(batches, &mut deliver).await?,
            Err(_) => break,
        }
    }
    Ok(())
}

async fn hand_on(batches: Vec<Batch>, deliver: &mut impl Deliver) -> io::Result<()> {
    for batch in batches {
        drop(deliver.deliver(batch).await.map_err(|Closed| io::ErrorKind::BrokenPipe)?);
    }
    Ok(())
}

/// Nothing there after all, a signal, or an answer to something sent before: the next call may well succeed.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}

/// Buffers for many datagrams.
struct Receiver {
    datagrams: Datagrams,
    buffers: Vec<Vec<u8>>,
}

impl Receiver {
    fn new(datagrams: Datagrams) -> Self {
        let buffers = vec![vec![0; datagrams.longest_bytes]; AT_A_TIME];
        Self { datagrams, buffers }
    }

    /// As many as are there, up to [`AT_A_TIME`].
    fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Batch>> {
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        // Made anew each time, for it holds pointers and may not go from thread to thread.
        let mut headers = MultiHeaders::<()>::preallocate(AT_A_TIME, None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_fd().as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        let lengths: Vec<_> =
            received.map(|message| (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC))).collect();
        let mut batches = vec![Batch::default()];
        for (buffer, (bytes, is_cut)) in self.buffers.iter().zip(lengths) {
            if is_cut {
                tracing::warn!(bytes, "a datagram is longer than any can be; its end is lost");
            }
            if batches.last().is_some_and(Batch::is_full) {
                batches.push(Batch::default());
            }
            if let Some(batch) = batches.last_mut() {
                batch.push(record(&buffer[..bytes]), self.datagrams.max_record_bytes);
            }
        }
        batches.retain(|batch| !batch.is_empty());
        Ok(batches)
    }
}

/// The record in a datagram: without the line feed or NUL that many senders put at its end.
fn record(datagram: &[u8]) -> &[u8] {
    let end = datagram.iter().rposition(|byte| !matches!(byte, 0 | b'\n' | b'\r')).map_or(0, |at| at + 1);
    &datagram[..end]
}

const AT_A_TIME: usize = 32;

/// 8 MiB of the smallest datagrams, which take 768 bytes each in the kernel.
const MOST_CALLS_AFTER_STOP: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_a_record() {
        for (datagram, expected) in [
            (&b"<1>a"[..], &b"<1>a"[..]),
            (b"<1>a\n", b"<1>a"),
            (b"<1>a\r\n\0", b"<1>a"),
            (b"<1>a\nb\n", b"<1>a\nb"),
            (b"\n", b""),
            (b"", b""),
        ] {
            assert_eq!(record(datagram), expected);
        }
    }
}
