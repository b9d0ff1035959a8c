//! Tests of the feed: pieces, keys and quarantined lines in the order of the input.

use super::*;
use crate::input::{Arrival, Stop, Waiting};
use crate::pipeline::output::Output;
use crate::pipeline::output::tests::Plain;
use crate::pipeline::tally::Tally;
use crate::pipeline::workers::{Finish, Work, run};
use crate::primitives::diag::Code;
use age::x25519::Identity;
use jiff::ToSpan;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Weak;

static BAD: Code = Code { id: "X00", title: "test", text: "" };

/// Numbered epochs that end when the test wants.
#[derive(Default)]
struct Numbered {
    /// How long each epoch lasts, in milliseconds from its request; after the last one, forever.
    lasts: VecDeque<i64>,
    count: u32,
    given: Vec<Weak<u32>>,
    fails: bool,
}

impl Epochs for Numbered {
    type Keys = u32;

    fn at(&mut self, now: Timestamp) -> Result<Current<u32>, Diagnostic> {
        assert!(self.given.iter().all(|keys| keys.upgrade().is_none()), "old keys are still held");
        if self.fails {
            return Err(Diagnostic::new(&BAD, "injected"));
        }
        self.count += 1;
        let keys = Arc::new(self.count);
        self.given.push(Arc::downgrade(&keys));
        Ok(Current { keys, until: self.lasts.pop_front().map(|last| now + last.milliseconds()) })
    }

    fn line_hash(&self, keys: &u32) -> Box<dyn KeyedHash> {
        Box::new(Sum(u64::from(*keys)))
    }
}

/// Stands in for the keyed hash: names lines in the form of tokens.
struct Sum(u64);

impl KeyedHash for Sum {
    fn update(&mut self, bytes: &[u8]) {
        self.0 += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }

    fn finalize(self: Box<Self>) -> String {
        format!("qr_{:031}", self.0)
    }
}

/// Returns its parts one by one; an empty part waits for the deadline.
struct Script(VecDeque<&'static str>);

impl ReadBy for Script {
    fn read_by(&mut self, buffer: &mut [u8], deadline: Option<Timestamp>) -> io::Result<Arrival> {
        let Some(part) = self.0.pop_front() else { return Ok(Arrival::End) };
        if part.is_empty() {
            let deadline = deadline.unwrap();
            while Timestamp::now() < deadline {
                std::thread::yield_now();
            }
            return Ok(Arrival::Deadline);
        }
        buffer[..part.len()].copy_from_slice(part.as_bytes());
        Ok(Arrival::Bytes(part.len()))
    }
}

fn feed(state: &std::path::Path, parts: &[&'static str], epochs: Numbered) -> Feed<Blocks<Script>, Numbered> {
    let quarantine = Quarantine::new(state, Vec::new(), 4);
    Feed::new(Blocks::new(Script(parts.iter().copied().collect()), 4), quarantine, epochs, Clock::System)
}

/// Everything that a feed returns, as text.
fn told<P: Parts>(feed: &mut Feed<P, Numbered>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(match feed.next() {
            Ok(SourceItem::Renewed(keys)) => format!("keys {keys}"),
            Ok(SourceItem::Piece(piece, received)) => {
                assert!((Timestamp::now() - received).abs().compare(1.minute()).unwrap().is_lt());
                match piece {
                    Piece::Lines(block) => format!("{:?}", String::from_utf8_lossy(block.bytes())),
                    Piece::TooLong { placeholder, ending } => {
                        format!("{} bytes {ending:?}", placeholder.line_bytes())
                    }
                }
            }
            Ok(SourceItem::End) => return told,
            Err(error) => {
                told.push(Diagnostic::from(error).code.id.to_owned());
                return told;
            }
        });
    }
}

#[test]
fn pieces_and_keys_come_in_the_order_they_must() {
    for (parts, lasts, expected) in [
        (&[][..], &[][..], &["keys 1"][..]),
        (&["a\n", "b\n"], &[], &["keys 1", "\"a\\n\"", "\"b\\n\""]),
        // Over-long lines in their places, with CRLF and without a line end.
        (
            &["a\nlong ", "line\r\nb\nlonger"],
            &[],
            &["keys 1", "\"a\\n\"", "9 bytes CrLf", "\"b\\n\"", "6 bytes Missing"],
        ),
        // The epoch ends while nothing comes, twice.
        (&["a\n", "", "", "b\n"], &[5, 5], &["keys 1", "\"a\\n\"", "keys 2", "keys 3", "\"b\\n\""]),
        // The epoch ends in the middle of a line, and of an over-long line.
        (&["a", "", "b\n"], &[5], &["keys 1", "keys 2", "\"ab\\n\""]),
        (&["long ", "", "line\n"], &[5], &["keys 1", "keys 2", "9 bytes Lf"]),
    ] {
        let state = tempfile::tempdir().unwrap();
        let epochs = Numbered { lasts: lasts.iter().copied().collect(), ..Numbered::default() };
        assert_eq!(told(&mut feed(state.path(), parts, epochs)), expected);
    }
}

#[test]
fn a_piece_received_in_the_new_epoch_waits_for_the_new_keys() {
    /// Delivers its data after the deadline.
    struct Late(usize);
    impl ReadBy for Late {
        fn read_by(&mut self, buffer: &mut [u8], deadline: Option<Timestamp>) -> io::Result<Arrival> {
            self.0 += 1;
            if self.0 > 1 {
                return Ok(Arrival::End);
            }
            while Timestamp::now() < deadline.unwrap() {
                std::thread::yield_now();
            }
            buffer[..2].copy_from_slice(b"a\n");
            Ok(Arrival::Bytes(2))
        }
    }
    let state = tempfile::tempdir().unwrap();
    let epochs = Numbered { lasts: [5].into(), ..Numbered::default() };
    let quarantine = Quarantine::new(state.path(), Vec::new(), 4);
    let mut feed = Feed::new(Blocks::new(Late(0), 4), quarantine, epochs, Clock::System);
    assert_eq!(told(&mut feed), ["keys 1", "keys 2", "\"a\\n\""]);
}

#[test]
fn without_keys_nothing_is_read() {
    struct Untouched;
    impl ReadBy for Untouched {
        fn read_by(&mut self, _: &mut [u8], _: Option<Timestamp>) -> io::Result<Arrival> {
            panic!("read before there were keys")
        }
    }
    let state = tempfile::tempdir().unwrap();
    for (epochs, code) in [
        (Numbered { fails: true, ..Numbered::default() }, "X00"),
        // An epoch that has ended when it arrives, which would be requested over and over.
        (Numbered { lasts: [0].into(), ..Numbered::default() }, "I05"),
    ] {
        let quarantine = Quarantine::new(state.path(), Vec::new(), 4);
        let mut feed = Feed::new(Blocks::new(Untouched, 4), quarantine, epochs, Clock::System);
        assert_eq!(told(&mut feed), [code]);
    }
}

#[test]
fn a_line_that_cannot_be_sealed_stops_the_feed() {
    let state = tempfile::tempdir().unwrap();
    // A file in place of the state directory.
    let file = state.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let mut feed = feed(&file, &["a\nlong line\nb\n"], Numbered::default());
    assert_eq!(told(&mut feed), ["keys 1", "\"a\\n\"", "Q01"]);
}

/// Copies lines, and counts as the worker of `filter` does.
struct Copying(Tally);

impl Work<u32> for Copying {
    type Output = Plain;

    fn renew(&mut self, _keys: Arc<u32>) {}

    fn work(&mut self, piece: &Piece, _received: Timestamp, out: &mut Plain) -> Result<(), Diagnostic> {
        self.0.lines.lines_in += piece.lines();
        self.0.lines.bytes_in += piece.bytes();
        match piece {
            Piece::Lines(block) => {
                self.0.lines.lines_out += block.line_count();
                out.0.extend_from_slice(block.bytes());
            }
            Piece::TooLong { placeholder, ending } => {
                self.0.lines.quarantined += 1;
                write!(out.0, "{placeholder}").unwrap();
                out.0.extend_from_slice(ending.as_bytes());
            }
        }
        self.0.lines.bytes_out += out.0.len() as u64;
        Ok(())
    }
}

/// The whole pipeline between a pipe and a buffer.
fn pipeline(
    state: &std::path::Path,
    waiting: Waiting,
    recipients: Vec<Box<dyn age::Recipient + Send>>,
    workers: usize,
    stop: &Stop,
) -> (Result<Finish, PipelineError>, Vec<u8>, Tally) {
    let quarantine = Quarantine::new(state, recipients, 4096);
    let feed = Feed::new(Blocks::new(waiting, 4096), quarantine, Numbered::default(), Clock::System);
    let team = (0..workers).map(|_| Copying(Tally::new(0))).collect();
    let mut bytes = Vec::new();
    let run = run(feed, team, &mut Output::new(&mut bytes), &|| stop.request());
    let mut tally = Tally::new(0);
    run.workers.iter().for_each(|worker| tally.merge(&worker.0));
    tally.check(&run.flow).unwrap();
    (run.result, bytes, tally)
}

#[test]
fn every_line_comes_out_or_is_sealed_and_every_one_is_counted() {
    let mut input = Vec::new();
    for n in 0..2000 {
        writeln!(input, "line {n} of the input").unwrap();
        if n % 500 == 7 {
            input.extend(std::iter::repeat_n(b'x', 5000 + n));
            input.extend_from_slice(b"\r\n");
        }
    }
    input.extend_from_slice(b"the last one, open");
    let identity = Identity::generate();
    for workers in [1, 2, 4] {
        let state = tempfile::tempdir().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (stop, stopped) = Stop::new().unwrap();
        let sent = input.clone();
        let sender = std::thread::spawn(move || File::from(writer).write_all(&sent).unwrap());
        let waiting = Waiting::new(File::from(reader), stopped, Clock::System);
        let (result, bytes, tally) =
            pipeline(state.path(), waiting, vec![Box::new(identity.to_public())], workers, &stop);
        sender.join().unwrap();
        assert!(matches!(result, Ok(Finish::Complete)));
        assert_eq!((tally.lines.lines_in, tally.lines.lines_out, tally.lines.quarantined), (2005, 2001, 4));
        assert_eq!(tally.lines.bytes_in, input.len() as u64);

        // After replacing each placeholder by its quarantined line, the output equals the input.
        let mut restored = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, ending) = line.split_at(line.trim_ascii_end().len());
            match content.strip_prefix(b"oubliette: line quarantined id=") {
                Some(rest) => {
                    let token = String::from_utf8(rest[..34].to_vec()).unwrap();
                    let path = state.path().join("quarantine").join(format!("{token}.age"));
                    let decryptor = age::Decryptor::new(File::open(path).unwrap()).unwrap();
                    let keys = std::iter::once(&identity as &dyn age::Identity);
                    decryptor.decrypt(keys).unwrap().read_to_end(&mut restored).unwrap();
                }
                None => restored.extend_from_slice(content),
            }
            restored.extend_from_slice(ending);
        }
        assert!(restored == input, "{workers}");
    }
}

#[test]
fn a_stop_drains_and_ends_cleanly() {
    for workers in [1, 3] {
        let state = tempfile::tempdir().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut writer = File::from(writer);
        let (stop, stopped) = Stop::new().unwrap();
        let waiting = Waiting::new(File::from(reader), stopped, Clock::System);
        writer.write_all(b"one\ntwo\nhalf").unwrap();
        stop.request();
        let (result, bytes, tally) = pipeline(state.path(), waiting, Vec::new(), workers, &stop);
        assert!(matches!(result, Ok(Finish::Complete)));
        // An incomplete line may contain an incomplete address, so it is quarantined.
        let lines = String::from_utf8(bytes).unwrap();
        assert!(
            lines.starts_with("one\ntwo\noubliette: line quarantined ") && !lines.contains("half"),
            "{lines}"
        );
        assert_eq!((tally.lines.lines_in, tally.lines.quarantined), (3, 1));
        drop(writer);
    }
}
