//! Receivers over TCP, TLS and unix stream sockets, with syslog frames or with RELP.

use super::relp::{Refusals, Session};
use super::stream::Stream;
use super::tls::Files;
use super::{Framing, Target};
use std::io;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// The address of a receiver.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `host:port`; the name is resolved for each connection.
    pub address: String,
    /// The files for TLS; `None` for a connection without encryption.
    pub tls: Option<Files>,
}

/// A connection to a receiver.
pub type Wire = Either<TcpStream, TlsStream<TcpStream>>;

/// A receiver of syslog.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// The address.
    pub peer: Peer,
    /// How messages are framed.
    pub framing: Framing,
}

/// A receiver of RELP.
#[derive(Clone, Debug)]
pub struct Relp {
    /// The address.
    pub peer: Peer,
    /// Limit on unanswered records.
    pub window: usize,
    /// What to do with a record that the receiver refuses.
    pub refusals: Refusals,
}

/// A receiver of syslog at a unix stream socket.
#[derive(Clone, Debug)]
pub struct Unix {
    /// The path of the socket.
    pub path: PathBuf,
    /// How messages are framed.
    pub framing: Framing,
}

impl Target for Tcp {
    type Link = Stream<Wire>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Ok(Stream::new(self.peer.connect().await?, self.framing))
    }
}

impl Target for Relp {
    type Link = Session<Wire>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Session::open(self.peer.connect().await?, self.window, self.refusals).await
    }
}

impl Target for Unix {
    type Link = Stream<UnixStream>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Ok(Stream::new(UnixStream::connect(&self.path).await?, self.framing))
    }
}

impl Peer {
    async fn connect(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(&self.address).await?;
        // Whole blocks are written at once; the last, partial packet of a block must not wait for an ACK.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Either::Left(stream)) };
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Either::Right(tls.connect(stream, host).await?))
    }
}
