//! Receivers over TCP and unix stream sockets, with syslog frames or with RELP.

use super::relp::Session;
use super::stream::Stream;
use super::{Framing, Target};
use std::io;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// A receiver of syslog over TCP.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// `host:port`; the name is looked up for each connection.
    pub address: String,
    /// How messages follow one another.
    pub framing: Framing,
}

/// A receiver of RELP over TCP.
#[derive(Clone, Debug)]
pub struct Relp {
    /// `host:port`; the name is looked up for each connection.
    pub address: String,
    /// Records that may be unanswered.
    pub window: usize,
}

/// A receiver of syslog at a unix stream socket.
#[derive(Clone, Debug)]
pub struct Unix {
    /// The socket.
    pub path: PathBuf,
    /// How messages follow one another.
    pub framing: Framing,
}

impl Target for Tcp {
    type Link = Stream<TcpStream>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Ok(Stream::new(connect(&self.address).await?, self.framing))
    }
}

impl Target for Relp {
    type Link = Session<TcpStream>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Session::open(connect(&self.address).await?, self.window).await
    }
}

impl Target for Unix {
    type Link = Stream<UnixStream>;

    async fn link(&mut self) -> io::Result<Self::Link> {
        Ok(Stream::new(UnixStream::connect(&self.path).await?, self.framing))
    }
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Whole blocks are written at once; what is left of one should not wait for an answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}
