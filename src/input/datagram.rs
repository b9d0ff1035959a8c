//! Input from datagrams: UDP (RFC 5426) and unix datagram sockets, many datagrams per system call.
//!
//! Each datagram is one record. Nothing slows down a sender over UDP: while the buffer of the socket is full,
//! the kernel drops what arrives. So the buffer is made large and emptied in batches, and dropped datagrams
//! are counted.

use super::{Batch, Closed, Deliver};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

/// Settings for reading datagrams.
#[derive(Clone, Copy)]
pub struct Datagrams<M> {
    /// Longer records, in bytes, are sealed; asked for at each read.
    pub max_record_bytes: M,
    /// Longest datagram that the socket can carry, in bytes.
    pub longest_bytes: usize,
}

/// The largest payload of a UDP datagram in bytes.
pub const LONGEST_UDP_BYTES: usize = 65_507;

/// A unix datagram is limited by its sender's buffer, 208 KiB by default, and no message comes near that.
pub const LONGEST_UNIX_BYTES: usize = 256 << 10;

/// A socket that receives datagrams.
pub trait Socket: AsFd + Send + Sync + 'static {
    /// Waits until there may be datagrams.
    ///
    /// # Errors
    /// The error of the operating system.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Calls `receive`, and notes if no datagram was there.
    ///
    /// # Errors
    /// The error of `receive`.
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

/// Asks the kernel for a receive buffer of at least `bytes` bytes. Without the privilege to exceed
/// net.core.rmem_max, the buffer may be smaller.
pub fn widen(socket: &impl AsFd, bytes: usize) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
    if buffer_bytes(socket) < bytes && set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        // As much as net.core.rmem_max allows.
        let _ = set_socket_recv_buffer_size(socket, bytes);
    }
}

/// Returns the size of the receive buffer as it was requested: Linux doubles the request for its own
/// bookkeeping (socket(7)).
#[must_use]
pub fn buffer_bytes(socket: &impl AsFd) -> usize {
    rustix::net::sockopt::socket_recv_buffer_size(socket).unwrap_or(0) / 2
}

/// Reads datagrams until `stopped`, and then those that the kernel holds at that time.
///
/// Calls `dropped` with the number of datagrams that the kernel has dropped since the last call because its
/// buffer was full; the kernel reports them with the next datagram that fits.
///
/// # Errors
/// If the socket fails; [`io::ErrorKind::BrokenPipe`] if records are no longer accepted.
pub async fn read<S: Socket, D: Deliver>(
    socket: S,
    mut deliver: D,
    datagrams: Datagrams<impl Fn() -> usize + Send>,
    dropped: impl FnMut(u64) + Send,
    stopped: impl Future<Output = ()>,
) -> io::Result<()> {
    // Unix sockets make their senders wait instead, and have no such count.
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    let mut receiver = Receiver::new(datagrams, dropped);
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
    // Read what is in the buffer now and no more, so that a sender which never pauses cannot keep us from
    // stopping.
    for _ in 0..most_calls_after_stop(buffer_bytes(&socket)) {
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

/// Returns whether the next call may succeed: no datagram after all, a signal, or a response to something
/// sent earlier.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}

/// Buffers for many datagrams.
struct Receiver<M, F> {
    datagrams: Datagrams<M>,
    buffers: Vec<Vec<u8>>,
    /// The kernel's count of dropped datagrams as of the newest datagram, modulo 2^32; `None` before the
    /// first. The kernel counts as long as the socket exists, and another process may have had it before.
    overflow: Option<u32>,
    dropped: F,
}

impl<M: Fn() -> usize, F: FnMut(u64)> Receiver<M, F> {
    fn new(datagrams: Datagrams<M>, dropped: F) -> Self {
        let buffers = vec![vec![0; datagrams.longest_bytes]; AT_A_TIME];
        Self { datagrams, buffers, overflow: None, dropped }
    }

    /// Receives the datagrams that are there, up to [`AT_A_TIME`].
    fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Batch>> {
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        // Allocated anew each time: it holds pointers and cannot move between threads.
        let mut headers = MultiHeaders::<()>::preallocate(AT_A_TIME, Some(nix::cmsg_space!(u32)));
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_fd().as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        let mut before = self.overflow;
        let received = received.inspect(|message| {
            let count = message.cmsgs().into_iter().flatten().find_map(|control| match control {
                ControlMessageOwned::RxqOvfl(count) => Some(count),
                _ => None,
            });
            // The kernel leaves out a count of 0.
            self.overflow = count.or(self.overflow).or(Some(0));
            before = before.or(self.overflow);
        });
        let lengths: Vec<_> =
            received.map(|message| (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC))).collect();
        if let (Some(before), Some(now)) = (before, self.overflow)
            && now != before
        {
            (self.dropped)(now.wrapping_sub(before).into());
        }
        let (mut batches, most) = (vec![Batch::default()], (self.datagrams.max_record_bytes)());
        for (buffer, (bytes, is_cut)) in self.buffers.iter().zip(lengths) {
            if batches.last().is_some_and(Batch::is_full) {
                batches.push(Batch::default());
            }
            let Some(batch) = batches.last_mut() else { continue };
            if is_cut {
                // The last bytes may be half an address, which does not look like one.
                tracing::warn!(
                    bytes,
                    "a datagram is longer than any can be: its end is lost, the rest sealed"
                );
                batch.seal(buffer[..bytes].to_vec(), true);
            } else {
                batch.push(record(&buffer[..bytes]), most);
            }
        }
        batches.retain(|batch| !batch.is_empty());
        Ok(batches)
    }
}

/// Returns the record in a datagram, without the LF, CR and NUL bytes that many senders put at its end.
fn record(datagram: &[u8]) -> &[u8] {
    let end = datagram.iter().rposition(|byte| !matches!(byte, 0 | b'\n' | b'\r')).map_or(0, |at| at + 1);
    &datagram[..end]
}

const AT_A_TIME: usize = 32;

/// Returns how many calls empty a full buffer: the smallest datagrams take 768 bytes each of the doubled
/// buffer.
fn most_calls_after_stop(buffer_bytes: usize) -> usize {
    2 * buffer_bytes / 768 / AT_A_TIME + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel reports them with the first datagram for which it has room again. It goes on counting when
    /// another process has the socket.
    #[test]
    fn what_the_kernel_drops_is_counted_once() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        setsockopt(&socket, sockopt::RxqOvfl, &1).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(socket.local_addr().unwrap()).unwrap();
        for _process in 0..2 {
            let (datagrams, mut dropped) = (Datagrams { max_record_bytes: || 9000, longest_bytes: 9000 }, 0);
            let mut receiver = Receiver::new(datagrams, |count| dropped += count);
            let all = |receiver: &mut Receiver<_, _>| {
                let batches = std::iter::from_fn(|| receiver.receive(&socket).ok());
                batches.flatten().map(|batch| batch.records()).sum::<u64>()
            };
            let sent = (buffer_bytes(&socket) / 4000) as u64;
            let full = vec![b'x'; 8000];
            for _ in 0..sent {
                sender.send(&full).unwrap();
            }
            let mut received = all(&mut receiver);
            sender.send(b"again").unwrap();
            received += all(&mut receiver);
            assert!(dropped > 0);
            assert_eq!(received + dropped, sent + 1);
        }
    }

    #[test]
    fn a_datagram_whose_end_is_lost_is_sealed() {
        let (sender, socket) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let datagrams = Datagrams { max_record_bytes: || 9000, longest_bytes: 19 };
        let mut receiver = Receiver::new(datagrams, |_| {});
        for datagram in ["whole", "login from 203.0.113.7", "whole"] {
            sender.send(datagram.as_bytes()).unwrap();
        }
        let (mut lines, mut sealed) = (Vec::new(), Vec::new());
        for batch in receiver.receive(&socket).unwrap() {
            let (whole, long) = batch.into_parts();
            lines.extend(whole);
            sealed.extend(long.map(|long| (String::from_utf8(long.bytes).unwrap(), long.ends)));
        }
        assert_eq!(lines, b"whole\nwhole\n");
        assert_eq!(sealed, [("login from 203.0.11".to_owned(), true)]);
    }

    #[test]
    fn a_buffer_is_widened_and_never_narrowed() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = buffer_bytes(&socket);
        widen(&socket, before / 2);
        assert_eq!(buffer_bytes(&socket), before);
        widen(&socket, before * 2);
        assert!(buffer_bytes(&socket) >= before);
    }

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
