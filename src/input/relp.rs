//! Input over RELP: a record is answered once it is durable, so that its sender may discard it.
//!
//! ```text
//! peer                     here
//! 1 open 53 ...      -->
//!                    <--   1 rsp 60 200 OK ...       what both sides support
//! 2 syslog 11 ...    -->                             any number, without waiting
//! 3 syslog 12 ...    -->
//!                    <--   2 rsp 6 200 OK            durable; answers keep the order
//! 4 close 0          -->
//!                    <--   3 rsp 6 200 OK            everything before the close
//!                    <--   4 rsp 0
//!                    <--   0 serverclose 0           nothing more will be read
//! ```
//! The sender sends an unanswered record again on its next connection: the record may then be there twice,
//! but it is never lost. Source: librelp, and relp.txt of its documentation.

mod decoder;

pub use decoder::{Decoder, Event, Unreadable};

use super::{Batch, Closed, Deliver, Lost};
use crate::primitives::relp;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time;

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longer records, in bytes, are sealed.
    pub max_record_bytes: usize,
    /// A record that is longer than this, in bytes, ends the connection.
    pub max_sealed_bytes: u64,
    /// Most unanswered records; at that number nothing is read until some are durable.
    pub window: usize,
    /// A connection with nothing unanswered is closed if it is silent for this long.
    pub idle: Duration,
}

/// The reasons to drop a connection. Its peer sends unanswered records again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelpError {
    /// The peer does not speak RELP, or sends a record that is too long even to be sealed.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A record came before `open`, or `open` came twice.
    #[error("the session is not opened once, before all else")]
    NotOpened,
    /// The peer does not offer a supported version or the command that is needed.
    #[error("the peer offers neither version 0 nor 1 of RELP with the command `syslog`")]
    Offers,
    /// The connection was silent for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// The peer does not read its answers.
    #[error("answers were not taken for {0:?}")]
    Stuck(Duration),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Records are no longer accepted.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The records could not be made durable.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Serves one connection until the peer closes it, or until `stopped`; then everything that was received is
/// answered.
///
/// # Errors
/// [`RelpError`]; the connection must be dropped.
pub async fn serve<S, D>(
    stream: S,
    deliver: D,
    settings: Settings,
    stopped: impl Future<Output = ()>,
) -> Result<(), RelpError>
where
    S: AsyncRead + AsyncWrite,
    D: Deliver,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut session = Session::new(writer, deliver, settings);
    let ended = converse(&mut session, reader, stopped).await;
    let ended = match ended {
        Ok(()) => session.farewell().await,
        broken => broken,
    };
    session.deliver.left_unanswered(session.records as u64);
    ended
}

/// Receives records and answers them, until no more come and all are answered.
async fn converse<S, D>(
    session: &mut Session<S, D>,
    mut reader: ReadHalf<S>,
    stopped: impl Future<Output = ()>,
) -> Result<(), RelpError>
where
    S: AsyncRead + AsyncWrite,
    D: Deliver,
{
    let settings = session.settings;
    let mut stopped = pin!(stopped);
    while session.is_open || !session.unanswered.is_empty() {
        let may_read = session.is_open && session.records < settings.window;
        tokio::select! {
            durable = durable(&mut session.unanswered), if !session.unanswered.is_empty() => {
                durable?;
                session.answer_first().await?;
            }
            read = read(&mut reader, &mut session.decoder), if may_read => {
                session.is_open = read? > 0;
                session.take().await?;
            }
            () = &mut stopped, if session.is_open => session.is_open = false,
            () = time::sleep(settings.idle), if session.unanswered.is_empty() => {
                return Err(RelpError::Idle(settings.idle));
            }
        }
    }
    Ok(())
}

/// Transactions whose records were delivered together, in order.
struct Unanswered<R> {
    /// `None` if there was nothing to deliver.
    receipt: Option<Pin<Box<R>>>,
    txnrs: Vec<u32>,
}

/// One connection.
struct Session<S, D: Deliver> {
    writer: WriteHalf<S>,
    deliver: D,
    settings: Settings,
    decoder: Decoder,
    /// Whether an `open` was received.
    is_opened: bool,
    /// Whether more commands may come.
    is_open: bool,
    /// The transaction that closed the session.
    closing: Option<u32>,
    batch: Batch,
    /// The transactions of the records in `batch`.
    txnrs: Vec<u32>,
    unanswered: VecDeque<Unanswered<D::Receipt>>,
    /// The number of records in `unanswered`.
    records: usize,
}

impl<S: AsyncRead + AsyncWrite, D: Deliver> Session<S, D> {
    fn new(writer: WriteHalf<S>, deliver: D, settings: Settings) -> Self {
        Self {
            writer,
            deliver,
            settings,
            decoder: Decoder::new(settings.max_record_bytes, settings.max_sealed_bytes),
            is_opened: false,
            is_open: true,
            closing: None,
            batch: Batch::default(),
            txnrs: Vec::new(),
            unanswered: VecDeque::new(),
            records: 0,
        }
    }

    /// Processes all whole commands, and delivers their records.
    async fn take(&mut self) -> Result<(), RelpError> {
        let limit = self.settings.max_record_bytes;
        while let Some(event) = self.decoder.next_event()? {
            if self.is_opened == matches!(event, Event::Open { .. }) {
                return Err(RelpError::NotOpened);
            }
            match event {
                Event::Record { txnr, record } => {
                    self.batch.push(record, limit);
                    self.txnrs.push(txnr);
                }
                Event::LongPart(bytes) => self.batch.seal(bytes.to_vec(), false),
                Event::LongEnd { txnr, bytes } => {
                    self.batch.seal(bytes.to_vec(), true);
                    self.txnrs.push(txnr);
                }
                Event::Open { txnr, offers } => {
                    let answer = accepted(offers).ok_or(RelpError::Offers)?;
                    self.is_opened = true;
                    self.send(txnr, &answer).await?;
                }
                Event::Close { txnr } => {
                    (self.closing, self.is_open) = (Some(txnr), false);
                    return self.hand_on().await;
                }
                Event::Unknown { txnr } => self.send(txnr, b"500 command not known").await?,
            }
            if self.batch.is_full() {
                self.hand_on().await?;
            }
        }
        if !self.deliver.may_hold(self.decoder.unfinished_bytes()) {
            self.decoder.seal_unfinished();
        }
        self.hand_on().await
    }

    async fn hand_on(&mut self) -> Result<(), RelpError> {
        let (batch, txnrs) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.txnrs));
        if batch.is_empty() && txnrs.is_empty() {
            return Ok(());
        }
        let receipt = match batch.is_empty() {
            true => None,
            false => Some(Box::pin(self.deliver.deliver(batch).await?)),
        };
        self.records += txnrs.len();
        self.unanswered.push_back(Unanswered { receipt, txnrs });
        Ok(())
    }

    /// Answers the oldest records, which are durable.
    async fn answer_first(&mut self) -> Result<(), RelpError> {
        let Some(first) = self.unanswered.pop_front() else { return Ok(()) };
        let mut frames = Vec::new();
        first.txnrs.iter().for_each(|&txnr| relp::write(&mut frames, txnr, "rsp", b"200 OK"));
        self.write(&frames).await?;
        self.records -= first.txnrs.len();
        Ok(())
    }

    async fn farewell(&mut self) -> Result<(), RelpError> {
        if let Some(txnr) = self.closing {
            self.send(txnr, b"").await?;
        }
        let mut hint = Vec::new();
        relp::write(&mut hint, 0, "serverclose", b"");
        self.write(&hint).await?;
        Ok(self.writer.shutdown().await?)
    }

    async fn send(&mut self, txnr: u32, data: &[u8]) -> Result<(), RelpError> {
        let mut frame = Vec::new();
        relp::write(&mut frame, txnr, "rsp", data);
        self.write(&frame).await
    }

    async fn write(&mut self, frames: &[u8]) -> Result<(), RelpError> {
        let limit = self.settings.idle;
        let written = async {
            self.writer.write_all(frames).await?;
            self.writer.flush().await
        };
        Ok(time::timeout(limit, written).await.map_err(|_| RelpError::Stuck(limit))??)
    }
}

/// Waits until the oldest records are durable. Cancel safe.
async fn durable<R>(unanswered: &mut VecDeque<Unanswered<R>>) -> Result<(), Lost>
where
    R: Future<Output = Result<(), Lost>>,
{
    match unanswered.front_mut().and_then(|first| first.receipt.as_mut()) {
        Some(receipt) => receipt.as_mut().await,
        None => Ok(()),
    }
}

async fn read(reader: &mut ReadHalf<impl AsyncRead>, decoder: &mut Decoder) -> io::Result<usize> {
    reader.read_buf(decoder.room()).await
}

/// Returns the answer to an `open`; `None` if the peer cannot be served.
fn accepted(offers: &[u8]) -> Option<Vec<u8>> {
    let offer = |name: &str| {
        let lines = offers.split(|&byte| byte == b'\n');
        lines.filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()
    };
    let version = offer("relp_version").filter(|version| matches!(*version, b"0" | b"1"))?;
    offer("commands")?.split(|&byte| byte == b',').find(|&command| command == b"syslog")?;
    let mut answer = b"200 OK\nrelp_version=".to_vec();
    answer.extend_from_slice(version);
    answer.extend_from_slice(b"\nrelp_software=oubliette,");
    answer.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
    answer.extend_from_slice(b"\ncommands=syslog");
    Some(answer)
}

#[cfg(test)]
mod tests;
