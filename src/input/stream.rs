//! Input from connections that send frames: TCP, TLS over TCP, and unix stream sockets.

use super::encoding::{Encoding, Start};
use super::framing::{Framer, Framing};
use super::shares::{Peer, Shares};
use super::{Closed, Deliver};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A socket that accepts connections.
pub trait Listener: Send + Sync + 'static {
    /// The type of its connections.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Accepts the next connection, and says whose it is if that can be told.
    ///
    /// # Errors
    /// The error of the operating system.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<Peer>)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<Peer>)> {
        let (stream, address) = self.accept().await?;
        // Answers are small, and peers wait for them. If this fails, answers are only later.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::at(address)))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<Peer>)> {
        let (stream, _) = self.accept().await?;
        let user = stream.peer_cred().ok().map(|user| Peer::User(user.uid()));
        Ok((stream, user))
    }
}

/// The state that all listeners share.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// One permit per connection that is allowed at a time.
    pub connections: Arc<Semaphore>,
    /// Who holds how many of them; `None` for connections through a proxy, which makes all of them.
    pub shares: Option<Arc<Shares>>,
    /// Every connection is a task of this tracker.
    pub tasks: TaskTracker,
    /// Cancelled to accept no more connections; open ones end once their peers have nothing more to send.
    pub stopped: CancellationToken,
}

impl Acceptor {
    /// Accepts connections and spawns a task for each, until stopped.
    ///
    /// At the limit on connections, the next one waits, and others behind it in the backlog. A connection of
    /// a peer that holds its share is closed, and `refused` called. An idle listener takes nothing of the
    /// limit. Connections that wait at the stop are still served, for their peers may have sent everything
    /// already.
    pub async fn open<L, H, F>(self, listener: L, refused: impl Fn(), handle: H)
    where
        L: Listener,
        H: Fn(L::Stream) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut failed, mut full, mut unshared) = (Told::default(), Told::default(), Told::default());
        let mut admit = |(stream, peer): (L::Stream, Option<Peer>), permit: OwnedSemaphorePermit| {
            let share = self.shares.as_ref().zip(peer).map(|(shares, peer)| shares.take(peer));
            if let Some(None) = share {
                refused();
                if unshared.is_due() {
                    // The log does not say whose: that would be an address in clear.
                    tracing::warn!(
                        "a connection is refused: its peer has all but an eighth of `connections`"
                    );
                }
                return;
            }
            let handled = handle(stream);
            self.tasks.spawn(async move {
                handled.await;
                drop((share, permit));
            });
        };
        let mut waiting = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopped.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if failed.is_due() {
                        tracing::warn!(%error, "a connection could not be accepted");
                    }
                    // Probably no descriptors are left, so other connections must end first.
                    time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            if self.connections.available_permits() == 0 && full.is_due() {
                tracing::warn!(
                    "a connection waits until another one ends: there are as many as `connections`"
                );
            }
            tokio::select! {
                biased;
                permit = Arc::clone(&self.connections).acquire_owned() => match permit {
                    Ok(permit) => admit(accepted, permit),
                    Err(_) => return,
                },
                () = self.stopped.cancelled() => {
                    waiting = Some(accepted);
                    break;
                }
            }
        }
        while let Ok(Ok(permit)) = time::timeout(A_PLACE, Arc::clone(&self.connections).acquire_owned()).await
        {
            let accepted = match waiting.take() {
                Some(accepted) => accepted,
                None => match time::timeout(AT_THE_DOOR, listener.accept()).await {
                    Ok(Ok(accepted)) => accepted,
                    _ => break,
                },
            };
            admit(accepted, permit);
        }
    }
}

/// When a warning was given last.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    /// Returns whether the warning should be given, and counts it as given.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|told| told.elapsed() >= TOLD_AGAIN);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// The reasons why a connection ended, other than that the peer ended it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection was silent for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// The connection ended in the middle of a frame.
    #[error("it ended in the middle of a frame, or the last one had no end: what came of it is sealed")]
    Torn,
    /// A frame was longer than what may be sealed.
    #[error("a frame is longer than what is sealed of one")]
    Endless,
    /// What comes is no text: no identifier in it could be found.
    #[error(transparent)]
    Encoded(Encoding),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Records are no longer accepted.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Reads frames until the peer closes the connection, or until `stopped` and what is in flight has arrived.
///
/// What was read before is always delivered; a frame without an end is delivered as too long, to be sealed.
/// This holds however the connection ended: a sender that is killed or gives up closes the connection just as
/// one that is done (tcp(7)), and RFC 6587, 3.4.2, requires a trailer after every line.
///
/// # Errors
/// [`StreamError`]; the connection must be dropped.
pub async fn read<R, D>(
    reader: R,
    mut deliver: D,
    framing: Framing,
    idle: Duration,
    stopped: impl Future<Output = ()>,
) -> Result<(), StreamError>
where
    R: AsyncRead + Unpin,
    D: Deliver,
{
    let mut framer = Framer::new(framing);
    let ended = read_frames(reader, &mut framer, &mut deliver, idle, stopped).await;
    if matches!(ended, Err(StreamError::Closed(_) | StreamError::Encoded(_))) || !framer.is_unfinished() {
        return ended;
    }
    framer.seal_unfinished();
    while let Some(batch) = framer.last_batch() {
        drop(deliver.deliver(batch).await?);
    }
    ended.and(Err(StreamError::Torn))
}

async fn read_frames<R: AsyncRead + Unpin>(
    mut reader: R,
    framer: &mut Framer,
    deliver: &mut impl Deliver,
    idle: Duration,
    stopped: impl Future<Output = ()>,
) -> Result<(), StreamError> {
    let (mut stopped, mut left) = (pin!(stopped), None);
    let (mut size, mut is_told, mut start) = (LEAST_READ_BYTES, false, Start::default());
    loop {
        let buffer = framer.room(size);
        let room = buffer.capacity() - buffer.len();
        let patience = if left.is_some() { QUIET } else { idle };
        let read = tokio::select! {
            biased;
            () = &mut stopped, if left.is_none() => {
                left = Some(MOST_ON_THE_WAY_BYTES);
                continue;
            }
            read = time::timeout(patience, reader.read_buf(buffer)) => read,
        };
        let bytes = match read {
            Ok(read) => read?,
            Err(_) if left.is_some() => return Ok(()),
            Err(_) => return Err(StreamError::Idle(idle)),
        };
        if bytes == 0 {
            return Ok(());
        }
        if let Some(encoding) = start.refuses(&buffer[buffer.len() - bytes..]) {
            return Err(StreamError::Encoded(encoding));
        }
        let ends_with_nul = buffer.last() == Some(&0);
        size = next_size(size, bytes, room);
        hand_on(framer, deliver).await?;
        if ends_with_nul && !is_told && framer.awaits_line_feed() {
            is_told = true;
            deliver.seems_to_end_with_nul();
        }
        left = left.map(|left| left.saturating_sub(bytes));
        if left == Some(0) {
            return Ok(());
        }
    }
}

/// Delivers whole frames, and an unfinished one if there is no memory to wait for the rest.
async fn hand_on(framer: &mut Framer, deliver: &mut impl Deliver) -> Result<(), StreamError> {
    loop {
        while let Some(batch) = framer.next_batch() {
            // Nobody waits for the receipt.
            drop(deliver.deliver(batch).await?);
        }
        if framer.is_hopeless() {
            return Err(StreamError::Endless);
        }
        if deliver.may_hold(framer.unfinished_bytes()) {
            return Ok(());
        }
        framer.seal_unfinished();
    }
}

/// Returns the next read size: larger for a busy connection, smaller for an idle one, which frees memory.
fn next_size(size: usize, bytes: usize, room: usize) -> usize {
    if bytes == room {
        (2 * size).min(MOST_READ_BYTES)
    } else if bytes < size / 4 {
        (size / 2).max(LEAST_READ_BYTES)
    } else {
        size
    }
}

const LEAST_READ_BYTES: usize = 4 << 10;
const MOST_READ_BYTES: usize = 128 << 10;

/// After a stop: bytes that have not arrived within this time were not in flight.
///
/// A sender holds back small writes until earlier ones are acknowledged (RFC 896), and our acknowledgement
/// may be delayed by up to half a second (RFC 9293, 3.8.6.3; Linux: 40 to 200 ms).
const QUIET: Duration = Duration::from_millis(500);

/// After a stop: by default the sockets of both ends hold no more than this (tcp(7), `tcp_wmem` and
/// `tcp_rmem`). A peer that never pauses therefore cannot keep us from stopping.
const MOST_ON_THE_WAY_BYTES: usize = 16 << 20;

/// At a stop: a connection in the backlog is accepted within this time.
const AT_THE_DOOR: Duration = Duration::from_millis(10);

/// At a stop: connections end as soon as their peers are silent, and free their permits for those in the
/// backlog.
const A_PLACE: Duration = Duration::from_secs(1);

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Shortest time between two equal warnings about connections.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::fake_deliver::FakeDeliver;
    use super::super::framing::Trailer;
    use super::*;
    use std::future::{pending, ready};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    const FRAMING: Framing =
        Framing { max_frame_bytes: 1000, max_sealed_bytes: 10_000, trailer: Trailer::Lf };

    /// How the peer ends a connection.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Orderly,
        Reset,
        Silent,
        Stopped,
    }

    /// Sends these bytes over a connection. Returns the lines, what is sealed, and how the connection ended.
    async fn heard(bytes: &[u8], end: End) -> (String, String, Result<(), StreamError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (delivered, stream) = (FakeDeliver::durable(), Listener::accept(&listener).await.unwrap().0);
        peer.write_all(bytes).await.unwrap();
        let idle = Duration::from_millis(if end == End::Silent { 100 } else { 20_000 });
        let reading = async {
            match end {
                End::Stopped => read(stream, delivered.clone(), FRAMING, idle, ready(())).await,
                _ => read(stream, delivered.clone(), FRAMING, idle, pending()).await,
            }
        };
        let ending = async {
            // Gives the bytes time to be read before a reset can discard them.
            time::sleep(Duration::from_millis(50)).await;
            match end {
                End::Orderly => drop(peer),
                End::Reset => {
                    peer.set_zero_linger().unwrap();
                    drop(peer);
                }
                End::Silent | End::Stopped => return Some(peer),
            }
            None
        };
        let (ended, _peer) = tokio::join!(reading, ending);
        let sealed = String::from_utf8(delivered.long.lock().unwrap().clone()).unwrap();
        (delivered.text(), sealed, ended)
    }

    #[tokio::test]
    async fn half_a_frame_is_sealed_however_the_connection_ends() {
        for end in [End::Orderly, End::Reset, End::Silent, End::Stopped] {
            for (bytes, torn) in [
                (&b"<13>one\n<13>login from 203.0.11"[..], "<13>login from 203.0.11"),
                (b"7 <13>one40 <13>mail to jean.dupont@exa", "<13>mail to jean.dupont@exa"),
                (b"<13>one\n40 ", "40 "),
                (b"<13>one\n", ""),
            ] {
                let (lines, sealed, ended) = heard(bytes, end).await;
                assert_eq!((lines.as_str(), sealed.as_str()), ("<13>one\n", torn), "{end:?}");
                match (end, torn) {
                    (End::Silent, _) => assert!(matches!(ended, Err(StreamError::Idle(_))), "{ended:?}"),
                    (End::Reset, _) => assert!(matches!(ended, Err(StreamError::Io(_))), "{ended:?}"),
                    (_, "") => assert!(ended.is_ok(), "{ended:?}"),
                    (End::Orderly | End::Stopped, _) => {
                        assert!(matches!(ended, Err(StreamError::Torn)), "{ended:?}");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_on_its_way_at_a_stop_is_waited_for() {
        let (mut peer, stream) = tokio::io::duplex(1000);
        let delivered = FakeDeliver::durable();
        let sending = async {
            // As long as some peers wait for an acknowledgement of earlier data.
            time::sleep(Duration::from_millis(200)).await;
            peer.write_all(b"<13>one\n").await.unwrap();
            peer
        };
        let reading = read(stream, delivered.clone(), FRAMING, Duration::from_secs(20), ready(()));
        let (ended, _peer) = tokio::join!(reading, sending);
        ended.unwrap();
        assert_eq!(delivered.text(), "<13>one\n");
    }

    /// The zero bytes of UTF-16 hide each address.
    #[tokio::test]
    async fn what_is_no_text_is_refused_whole() {
        for bytes in [&b"\xff\xfe2\x000\x003\0\n\0"[..], b"\x1f\x8b\x08\0 and\nmore\n"] {
            let (lines, sealed, ended) = heard(bytes, End::Orderly).await;
            assert!(matches!(ended, Err(StreamError::Encoded(_))), "{ended:?}");
            assert_eq!((lines, sealed), (String::new(), String::new()));
        }
    }
}
