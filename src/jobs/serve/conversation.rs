//! The protocols of a connection: syslog frames or RELP, behind a proxy or not.

use super::InputContext;
use crate::input::encoding::UNREADABLE;
use crate::input::framing::Trailer;
use crate::input::proxy_protocol;
use crate::input::relp;
use crate::input::stream::{self, StreamError};
use crate::input::tls::Tls;
use std::error::Error;
use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time;

/// How the peers of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The protocol that carries the records.
    pub protocol: Protocol,
    /// Whether a proxy first states whom it stands for, with the PROXY protocol. A connection without its
    /// header is refused.
    pub is_proxied: bool,
}

/// A protocol that carries records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Frames of RFC 6587. There are no answers.
    Syslog(Trailer),
    /// RELP: records are answered when they are durable.
    Relp {
        /// The most records without an answer.
        window: usize,
    },
}

/// What ends a conversation before the peer does.
type Failure = Box<dyn Error + Send + Sync>;

impl InputContext {
    /// Serves one connection to its end, inside TLS if `tls` is given.
    pub(super) async fn serve<S>(self, stream: S, dialect: Dialect, tls: Option<Tls>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let meter = Arc::clone(&self.meter);
        let ended = match dialect.is_proxied {
            true => self.serve_proxied(stream, dialect.protocol, tls).await,
            false => self.enter(stream, dialect.protocol, tls).await,
        };
        if let Err(error) = ended {
            meter.broke();
            // The log does not say who: that would be an address in clear.
            let input = meter.name();
            if let Some(StreamError::Encoded(why)) = error.downcast_ref() {
                tracing::warn!(code = UNREADABLE.id, input, %why, "a connection is refused: it sends no text");
            } else {
                tracing::info!(input, error, "a connection ended");
            }
        }
    }

    /// Strips the proxy's header, which comes before TLS. The address in it is not kept.
    async fn serve_proxied<S>(
        self,
        mut stream: S,
        protocol: Protocol,
        tls: Option<Tls>,
    ) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let header = time::timeout(LONGEST_HEADER, proxy_protocol::strip(&mut stream)).await;
        let rest = header.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
        let (reader, writer) = tokio::io::split(stream);
        self.enter(tokio::io::join(Cursor::new(rest).chain(reader), writer), protocol, tls).await
    }

    async fn enter<S>(self, stream: S, protocol: Protocol, tls: Option<Tls>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match tls {
            Some(tls) => self.speak(tls.accept(stream).await?, protocol).await,
            None => self.speak(stream, protocol).await,
        }
    }

    async fn speak<S>(self, mut stream: S, protocol: Protocol) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (intake, limits) = (self.connection(), self.limits());
        let stopped = self.acceptor.stopped.cancelled();
        match protocol {
            Protocol::Syslog(trailer) => {
                let framing = self.framing(trailer);
                let ended = stream::read(&mut stream, intake, framing, limits.idle, stopped).await;
                // RFC 5425, 4.4: a receiver of TLS replies with a close_notify. A peer that is gone needs
                // none.
                let _ = time::timeout(LONGEST_FAREWELL, stream.shutdown()).await;
                Ok(ended?)
            }
            Protocol::Relp { window } => {
                let settings = relp::Settings {
                    max_record_bytes: limits.max_record_bytes,
                    max_sealed_bytes: limits.max_sealed_bytes,
                    window,
                    idle: limits.idle,
                };
                Ok(relp::serve(stream, intake, settings, stopped).await?)
            }
        }
    }
}

/// The longest wait to send a `close_notify`: a few bytes, which fit, because nothing else was sent.
const LONGEST_FAREWELL: Duration = Duration::from_secs(1);

/// The longest wait for the header of a proxy, which sends it at once.
const LONGEST_HEADER: Duration = Duration::from_secs(5);
