//! Hands a socket from an input to its successor. At SIGHUP a changed option is no reason to listen anew:
//! that would be impossible before the old input has ended, and would turn peers away.

use crate::cli::config::{Input, Kind, Typed};
use crate::input::sockets::SocketFile;
use crate::jobs::serve::OpenInput;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;

/// The socket of an input, with its file if we made it.
pub(super) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener, Option<Arc<SocketFile>>),
    UnixDatagram(UnixDatagram, Option<Arc<SocketFile>>),
}

impl Socket {
    /// Duplicates the descriptor of an input's socket. Without a second descriptor, the address must be
    /// free before an input can listen there again.
    pub(super) fn of(opened: &OpenInput) -> Option<Self> {
        match opened {
            OpenInput::Tcp(listener, _) | OpenInput::Tls(listener, ..) => {
                listener.try_clone().ok().map(Self::Tcp)
            }
            OpenInput::Udp(socket) => socket.try_clone().ok().map(Self::Udp),
            OpenInput::Unix(listener, file, _) => {
                listener.try_clone().ok().map(|listener| Self::Unix(listener, file.clone()))
            }
            OpenInput::UnixDatagram(socket, file) => {
                socket.try_clone().ok().map(|socket| Self::UnixDatagram(socket, file.clone()))
            }
            OpenInput::File(..) | OpenInput::Files(_) | OpenInput::Stdin { .. } => None,
        }
    }

    /// Duplicates the descriptor again.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().ok().map(Self::Tcp),
            Self::Udp(socket) => socket.try_clone().ok().map(Self::Udp),
            Self::Unix(listener, file) => {
                listener.try_clone().ok().map(|listener| Self::Unix(listener, file.clone()))
            }
            Self::UnixDatagram(socket, file) => {
                socket.try_clone().ok().map(|socket| Self::UnixDatagram(socket, file.clone()))
            }
        }
    }
}

/// Returns whether an input of that kind can use the socket.
fn fits(socket: &Socket, input: &Input) -> bool {
    match socket {
        Socket::Tcp(_) => matches!(input.kind, Kind::Tcp | Kind::Tls | Kind::Relp),
        Socket::Udp(_) => input.kind == Kind::Udp,
        Socket::Unix(..) => input.kind == Kind::Unix,
        Socket::UnixDatagram(..) => input.kind == Kind::UnixDatagram,
    }
}

/// Takes from `free` the socket with the address or path of `input`. If the kernel chooses the port, no
/// socket matches.
pub(super) fn take(free: &mut Vec<(Input, Socket)>, input: &Input) -> Option<Socket> {
    let has_place = input.path.is_some() || input.listen.as_ref().is_some_and(|Typed(at)| at.port() != 0);
    let is_here = |old: &Input| has_place && old.listen == input.listen && old.path == input.path;
    let at = free.iter().position(|(old, socket)| is_here(old) && fits(socket, input))?;
    Some(free.swap_remove(at).1)
}
