//! Sockets that systemd listens on for us (sd_listen_fds(3)): nothing is lost while the sidecar restarts, and
//! the sidecar needs no privilege to open them.

use listenfd::ListenFd;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{SocketAddr as Name, UnixDatagram, UnixListener};
use std::path::Path;

/// Sockets that systemd handed over and no input has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<UnixListener>,
    unix_datagram: Vec<UnixDatagram>,
}

impl Inherited {
    /// Takes over the sockets that the environment names.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn from_environment() -> io::Result<Self> {
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
                socket.set_nonblocking(true)?;
                inherited.tcp.push(socket);
            } else if let Ok(Some(socket)) = handed.take_udp_socket(index) {
                socket.set_nonblocking(true)?;
                inherited.udp.push(socket);
            } else if let Ok(Some(socket)) = handed.take_unix_listener(index) {
                socket.set_nonblocking(true)?;
                inherited.unix.push(socket);
            } else if let Ok(Some(socket)) = handed.take_unix_datagram(index) {
                socket.set_nonblocking(true)?;
                inherited.unix_datagram.push(socket);
            }
        }
        Ok(inherited)
    }

    /// Duplicates the sockets, for a caller that may take some of them and then not use them.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self {
            tcp: self.tcp.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?,
            udp: self.udp.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?,
            unix: self.unix.iter().map(UnixListener::try_clone).collect::<io::Result<_>>()?,
            unix_datagram: self
                .unix_datagram
                .iter()
                .map(UnixDatagram::try_clone)
                .collect::<io::Result<_>>()?,
        })
    }

    /// Takes the listener at this address.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        take(&mut self.tcp, |socket| socket.local_addr().is_ok_and(|at| at == address))
    }

    /// Takes the datagram socket at this address.
    pub fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        take(&mut self.udp, |socket| socket.local_addr().is_ok_and(|at| at == address))
    }

    /// Takes the listener at this socket file.
    pub fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        take(&mut self.unix, |socket| is_at(socket.local_addr(), path))
    }

    /// Takes the datagram socket at this socket file.
    pub fn unix_datagram(&mut self, path: &Path) -> Option<UnixDatagram> {
        take(&mut self.unix_datagram, |socket| is_at(socket.local_addr(), path))
    }

    /// Returns how many sockets no input has taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.tcp.len() + self.udp.len() + self.unix.len() + self.unix_datagram.len()
    }
}

fn is_at(name: io::Result<Name>, path: &Path) -> bool {
    name.is_ok_and(|name| name.as_pathname() == Some(path))
}

fn take<S>(sockets: &mut Vec<S>, is_it: impl Fn(&S) -> bool) -> Option<S> {
    let index = sockets.iter().position(is_it)?;
    Some(sockets.swap_remove(index))
}
