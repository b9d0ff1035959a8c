//! Connections that send frames: TCP, TLS on top of it, and stream sockets of this machine.

use super::framing::{Framer, Framing};
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

/// What takes connections.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    ///
    /// # Errors
    /// What the operating system says.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        // Answers are small and waited for. If it cannot be set, they are later, no more.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(self.accept().await?.0)
    }
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Doors {
    /// A permit for each connection there may be.
    pub connections: Arc<Semaphore>,
    /// Every connection is a task.
    pub tasks: TaskTracker,
    /// No more connections; those there are end when they have nothing to say.
    pub stopped: CancellationToken,
}

impl Doors {
    /// Takes connections and has each handled, until stopped. When there are as many as there may be, the next one
    /// waits at the door. Those who wait there at the stop are heard, for they may have said what they had to say.
    pub async fn open<L, H, F>(self, listener: L, handle: H)
    where
        L: Listener,
        H: Fn(L::Stream) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let admit = |stream, permit: OwnedSemaphorePermit| {
            let handled = handle(stream);
            self.tasks.spawn(async move {
                handled.await;
                drop(permit);
            });
        };
        let mut told: Option<Instant> = None;
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = self.stopped.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => admit(stream, permit),
                Err(error) => {
                    if told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
                        tracing::warn!(%error, "a connection could not be accepted");
                        told = Some(Instant::now());
                    }
                    // Out of descriptors, most likely: others must end first.
                    time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        while let Ok(Ok(permit)) = time::timeout(A_PLACE, Arc::clone(&self.connections).acquire_owned()).await
            && let Ok(Ok(stream)) = time::timeout(AT_THE_DOOR, listener.accept()).await
        {
            admit(stream, permit);
        }
    }
}

/// Why a connection ended, if not because its peer wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// It ended in the middle of a frame.
    #[error("it ended in the middle of a frame, or the last one had no end: what came of it is sealed")]
    Torn,
    /// A frame was longer than what is sealed of one.
    #[error("a frame is longer than what is sealed of one")]
    Endless,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Records are taken no more.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Reads frames until the peer ends, or until `stopped` and what is on its way has come. What was read before
/// is always delivered; what came of a frame that has no end, to be sealed. That holds however the connection ended: a
/// sender that is killed, or gives up, closes it as one does that has said all (tcp(7)), and RFC 6587, 3.4.2, has
/// every line end with its trailer.
///
/// # Errors
/// [`StreamError`]: the connection is to be dropped.
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
    if matches!(ended, Err(StreamError::Closed(_))) || !framer.is_unfinished() {
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
    let (mut size, mut is_told) = (LEAST_READ_BYTES, false);
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

/// Delivers what is whole, and what there is no memory to wait for.
async fn hand_on(framer: &mut Framer, deliver: &mut impl Deliver) -> Result<(), StreamError> {
    loop {
        while let Some(batch) = framer.next_batch() {
            // Nobody is told when it is durable.
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

/// A busy connection gets larger reads, an idle one gives the memory back.
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

/// After a stop: what has not come after so long was not on its way. Small writes wait at their sender for an answer to those
/// before (RFC 896), which ours may delay by up to half a second (RFC 9293, 3.8.6.3; Linux: 40 to 200 ms).
const QUIET: Duration = Duration::from_millis(500);

/// After a stop: the sockets of both ends together hold no more by default (tcp(7), `tcp_wmem` and `tcp_rmem`), so a
/// peer that goes on and on cannot keep us.
const MOST_ON_THE_WAY_BYTES: usize = 16 << 20;

/// At a stop: who waits at the door is there at once.
const AT_THE_DOOR: Duration = Duration::from_millis(10);

/// At a stop: connections end as soon as they have nothing to say, and leave their place to who waits at the door.
const A_PLACE: Duration = Duration::from_secs(1);

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often it is told that connections cannot be accepted.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::framing::Trailer;
    use super::super::shelf::Shelf;
    use super::*;
    use std::future::{pending, ready};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    const FRAMING: Framing =
        Framing { max_frame_bytes: 1000, max_sealed_bytes: 10_000, trailer: Trailer::Lf };

    /// How a connection ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Orderly,
        Reset,
        Silent,
        Stopped,
    }

    /// What comes of a connection over which these bytes came: lines, what is sealed, how it was left.
    async fn heard(bytes: &[u8], end: End) -> (String, String, Result<(), StreamError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (shelf, stream) = (Shelf::durable(), Listener::accept(&listener).await.unwrap());
        peer.write_all(bytes).await.unwrap();
        let idle = Duration::from_millis(if end == End::Silent { 100 } else { 20_000 });
        let reading = async {
            match end {
                End::Stopped => read(stream, shelf.clone(), FRAMING, idle, ready(())).await,
                _ => read(stream, shelf.clone(), FRAMING, idle, pending()).await,
            }
        };
        let ending = async {
            // What was sent is read before a reset can take it away.
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
        let sealed = String::from_utf8(shelf.long.lock().unwrap().clone()).unwrap();
        (shelf.text(), sealed, ended)
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
        let shelf = Shelf::durable();
        let sending = async {
            // As long as some peers wait for an answer to what they sent before.
            time::sleep(Duration::from_millis(200)).await;
            peer.write_all(b"<13>one\n").await.unwrap();
            peer
        };
        let reading = read(stream, shelf.clone(), FRAMING, Duration::from_secs(20), ready(()));
        let (ended, _peer) = tokio::join!(reading, sending);
        ended.unwrap();
        assert_eq!(shelf.text(), "<13>one\n");
    }
}
