//! Output over RELP: lines count as delivered once the receiver has answered them.

use super::{Lines, Link, messages};
use crate::primitives::relp::{self, Header};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

/// An open RELP session.
#[derive(Debug)]
pub struct Session<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    /// Limit on unanswered records; more lines are sent only while there are fewer.
    window: usize,
    txnr: u32,
    /// Unanswered transactions, each with the send it belongs to.
    unanswered: BTreeMap<u32, u64>,
    /// Sends that are not delivered yet, in order.
    sends: VecDeque<Sent>,
    /// The number of the first element of `sends`.
    first_send: u64,
    /// Received bytes that do not form a whole frame yet.
    buffer: Vec<u8>,
    frames: Vec<u8>,
    refusals: Refusals,
    /// Records refused in the send that was delivered last.
    refused: u64,
}

/// What to do with a record that the receiver refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// Break the link, and send the record again until the receiver takes it: no line may be missing there.
    Insist,
    /// Count it and go on: the receiver would refuse it for ever, and it would hold up all later records.
    Count,
}

/// Lines that were sent together.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// Answers that are still missing.
    answers: usize,
    /// Records that were refused.
    refused: u64,
}

impl<S: AsyncRead + AsyncWrite> Session<S> {
    /// Opens a session over `stream`.
    ///
    /// # Errors
    /// If the peer does not speak RELP, or does not accept syslog.
    pub async fn open(stream: S, window: usize, refusals: Refusals) -> io::Result<Self> {
        let (reader, writer) = tokio::io::split(stream);
        let mut session = Self {
            reader,
            writer,
            window,
            txnr: 0,
            unanswered: BTreeMap::new(),
            sends: VecDeque::new(),
            first_send: 0,
            buffer: Vec::new(),
            frames: Vec::new(),
            refusals: Refusals::Insist,
            refused: 0,
        };
        let offers = concat!(
            "relp_version=0\nrelp_software=oubliette,",
            env!("CARGO_PKG_VERSION"),
            "\ncommands=syslog"
        );
        session.ask("open", offers.as_bytes()).await?;
        session.refusals = refusals;
        Ok(session)
    }

    /// Sends a command that is not a record, and waits for its answer and the answers to everything before
    /// it, which may come later. Returns how many records were refused.
    async fn ask(&mut self, command: &str, data: &[u8]) -> io::Result<u64> {
        let number = self.begin_send();
        self.frames.clear();
        self.add(number, command, data);
        self.flush().await?;
        while !self.unanswered.is_empty() {
            self.read().await?;
        }
        self.first_send = number + 1;
        Ok(self.sends.drain(..).map(|sent| sent.refused).sum())
    }

    fn begin_send(&mut self) -> u64 {
        self.sends.push_back(Sent::default());
        self.first_send + self.sends.len() as u64 - 1
    }

    fn add(&mut self, send: u64, command: &str, data: &[u8]) {
        self.txnr = relp::next_txnr(self.txnr);
        relp::write(&mut self.frames, self.txnr, command, data);
        self.unanswered.insert(self.txnr, send);
        if let Some(sent) = self.sends.back_mut() {
            sent.answers += 1;
        }
    }

    /// Writes the frames, and reads answers at the same time: a peer that cannot send its answers might stop
    /// reading.
    async fn flush(&mut self) -> io::Result<()> {
        let frames = std::mem::take(&mut self.frames);
        let mut rest = &frames[..];
        while !rest.is_empty() {
            tokio::select! {
                written = self.writer.write(rest) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => rest = &rest[count..],
                },
                read = self.reader.read_buf(&mut self.buffer) => Self::some(read)?,
            }
            self.take_answers()?;
        }
        self.frames = frames;
        self.writer.flush().await
    }

    async fn read(&mut self) -> io::Result<()> {
        Self::some(self.reader.read_buf(&mut self.buffer).await)?;
        self.take_answers()
    }

    fn some(read: io::Result<usize>) -> io::Result<()> {
        if read? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Processes the whole frames in `buffer`.
    fn take_answers(&mut self) -> io::Result<()> {
        let mut start = 0;
        while let Some(Header { txnr, command, data_bytes, header_bytes }) =
            relp::header(&self.buffer[start..]).map_err(|_| refused("it does not speak RELP"))?
        {
            if data_bytes > MOST_ANSWER_BYTES {
                return Err(refused("an answer is too long"));
            }
            let data = start + header_bytes..start + header_bytes + data_bytes;
            let end = if data.is_empty() { data.end } else { data.end + 1 };
            if self.buffer.len() < end {
                break;
            }
            if command == b"serverclose" {
                if self.unanswered.is_empty() {
                    // The peer closes the connection next.
                    start = end;
                    continue;
                }
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let is_taken = data.is_empty() || self.buffer[data].starts_with(b"200");
            if command != b"rsp" || !is_taken && self.refusals == Refusals::Insist {
                return Err(refused("it refuses what it is sent"));
            }
            self.answered(txnr)?.refused += u64::from(!is_taken);
            start = end;
        }
        self.buffer.drain(..start);
        Ok(())
    }

    fn answered(&mut self, txnr: u32) -> io::Result<&mut Sent> {
        let send = self.unanswered.remove(&txnr).ok_or_else(|| refused("it answers what it was not sent"))?;
        // A send stays in `sends` until its last answer has come.
        let at = usize::try_from(send - self.first_send).map_err(io::Error::other)?;
        self.sends[at].answers -= 1;
        Ok(&mut self.sends[at])
    }
}

impl<S: AsyncRead + AsyncWrite + Send> Link for Session<S> {
    fn has_room(&self) -> bool {
        self.unanswered.len() < self.window
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        let send = self.begin_send();
        self.frames.clear();
        messages(&lines.bytes).for_each(|message| self.add(send, "syslog", message));
        self.flush().await
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        while self.sends.front().is_none_or(|sent| sent.answers > 0) {
            self.read().await?;
        }
        self.refused = self.sends.pop_front().map_or(0, |sent| sent.refused);
        self.first_send += 1;
        Ok(())
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    async fn close(mut self) -> io::Result<u64> {
        let refused = self.ask("close", b"").await?;
        self.writer.shutdown().await?;
        Ok(refused)
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Longest answer. Answers are a number and a few words; the answer to `open` is some lines.
const MOST_ANSWER_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::spool::Position;
    use tokio::io::DuplexStream;

    fn lines(text: &str) -> Lines {
        Lines { bytes: text.into(), count: text.lines().count() as u64, end: Position::default() }
    }

    async fn expect(peer: &mut DuplexStream, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        peer.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    /// Opens a session with a window of 2, and returns it with the peer's end.
    async fn opened(refusals: Refusals) -> (Session<DuplexStream>, DuplexStream) {
        let (mut peer, stream) = tokio::io::duplex(1 << 16);
        let opening = tokio::spawn(Session::open(stream, 2, refusals));
        let offers = concat!(
            "relp_version=0\nrelp_software=oubliette,",
            env!("CARGO_PKG_VERSION"),
            "\ncommands=syslog"
        );
        expect(&mut peer, &format!("1 open {} {offers}\n", offers.len())).await;
        peer.write_all(b"1 rsp 41 200 OK\nrelp_version=0\ncommands=syslog\nx=\n\n").await.unwrap();
        (opening.await.unwrap().unwrap(), peer)
    }

    #[tokio::test]
    async fn a_send_is_taken_over_when_all_of_it_is_answered() {
        let (mut session, mut peer) = opened(Refusals::Insist).await;
        session.send(&lines("one\n")).await.unwrap();
        assert!(session.has_room());
        session.send(&lines("two\r\n\nthree\n")).await.unwrap();
        assert!(!session.has_room());
        expect(&mut peer, "2 syslog 3 one\n3 syslog 3 two\n4 syslog 5 three\n").await;
        // The answers are out of order, and one is cut.
        peer.write_all(b"4 rsp 6 200 OK\n3 rsp 6 20").await.unwrap();
        let none = tokio::time::timeout(std::time::Duration::from_millis(20), session.taken_over()).await;
        assert!(none.is_err());
        peer.write_all(b"0 OK\n2 rsp 6 200 OK\n").await.unwrap();
        session.taken_over().await.unwrap();
        session.taken_over().await.unwrap();
        assert!(session.has_room());
        let closing = tokio::spawn(session.close());
        expect(&mut peer, "5 close 0\n").await;
        peer.write_all(b"5 rsp 0\n0 serverclose 0\n").await.unwrap();
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_refused_is_counted_where_nobody_insists() {
        let (mut session, mut peer) = opened(Refusals::Count).await;
        session.send(&lines("one\ntwo\n")).await.unwrap();
        session.send(&lines("three\n")).await.unwrap();
        peer.write_all(b"2 rsp 9 500 error\n3 rsp 6 200 OK\n4 rsp 6 200 OK\n").await.unwrap();
        session.taken_over().await.unwrap();
        assert_eq!(session.refused(), 1);
        session.taken_over().await.unwrap();
        assert_eq!(session.refused(), 0);
    }

    /// The answer to `close` does not answer the records before it.
    #[tokio::test]
    async fn a_session_is_closed_when_everything_is_answered() {
        for (refusals, answers, expected) in [
            (Refusals::Insist, "4 rsp 0\n", Err(io::ErrorKind::UnexpectedEof)),
            (Refusals::Insist, "4 rsp 0\n2 rsp 6 200 OK\n", Err(io::ErrorKind::UnexpectedEof)),
            (Refusals::Insist, "4 rsp 0\n0 serverclose 0\n", Err(io::ErrorKind::ConnectionReset)),
            (Refusals::Insist, "4 rsp 0\n3 rsp 6 200 OK\n2 rsp 6 200 OK\n", Ok(0)),
            (Refusals::Count, "3 rsp 9 500 error\n4 rsp 0\n2 rsp 6 200 OK\n", Ok(1)),
            (Refusals::Count, "2 rsp 9 500 error\n3 rsp 9 500 error\n4 rsp 0\n", Ok(2)),
        ] {
            let (mut session, mut peer) = opened(refusals).await;
            session.send(&lines("one\n")).await.unwrap();
            session.send(&lines("two\n")).await.unwrap();
            peer.write_all(answers.as_bytes()).await.unwrap();
            if expected.is_err() {
                peer.shutdown().await.unwrap();
            }
            assert_eq!(session.close().await.map_err(|error| error.kind()), expected, "{answers:?}");
        }
    }

    #[tokio::test]
    async fn a_bad_answer_breaks_the_session() {
        for (answer, kind) in [
            (&b"2 rsp 9 500 error\n"[..], io::ErrorKind::InvalidData),
            (b"7 rsp 6 200 OK\n", io::ErrorKind::InvalidData),
            (b"2 syslog 6 200 OK\n", io::ErrorKind::InvalidData),
            (b"HTTP/1.1 400 Bad Request\r\n", io::ErrorKind::InvalidData),
            (b"2 rsp 999999 200 OK\n", io::ErrorKind::InvalidData),
            (b"0 serverclose 0\n", io::ErrorKind::ConnectionReset),
            (b"", io::ErrorKind::UnexpectedEof),
        ] {
            let (mut session, mut peer) = opened(Refusals::Insist).await;
            session.send(&lines("one\n")).await.unwrap();
            peer.write_all(answer).await.unwrap();
            drop(peer);
            assert_eq!(session.taken_over().await.unwrap_err().kind(), kind, "{answer:?}");
        }
    }

    /// The peer's answers fill the pipe while frames are still being sent to it.
    #[tokio::test]
    async fn answers_are_taken_while_sending() {
        let (mut peer, stream) = tokio::io::duplex(256);
        let answering = tokio::spawn(async move {
            let (mut buffer, mut answered) = (Vec::new(), 0);
            while answered < 1001 {
                while let Some(Header { txnr, data_bytes, header_bytes, .. }) = relp::header(&buffer).unwrap()
                {
                    if buffer.len() <= header_bytes + data_bytes {
                        break;
                    }
                    buffer.drain(..=header_bytes + data_bytes);
                    let mut answer = Vec::new();
                    relp::write(&mut answer, txnr, "rsp", b"200 OK");
                    peer.write_all(&answer).await.unwrap();
                    answered += 1;
                }
                if answered < 1001 {
                    peer.read_buf(&mut buffer).await.unwrap();
                }
            }
            peer
        });
        let mut session = Session::open(stream, 10_000, Refusals::Insist).await.unwrap();
        session.send(&lines(&"line\n".repeat(1000))).await.unwrap();
        session.taken_over().await.unwrap();
        drop(answering.await.unwrap());
    }
}
