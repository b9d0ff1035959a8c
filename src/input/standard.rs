//! Standard input of a sidecar: read until its end or until a stop.

use super::encoding::Start;
use super::framing::{Framer, Framing};
use super::stream::StreamError;
use super::{Arrival, Closed, Deliver, READ_FAILED, ReadBy, ReadError, Waiting};
use crate::primitives::diag::Diagnostic;
use std::io;
use tokio::runtime::Handle;

/// Reads frames until the end or a stop.
///
/// This blocks, so it needs a thread of its own. What was read before is delivered; a frame that a stop or a
/// failure cut off is delivered as too long, to be sealed.
///
/// # Errors
/// I01 if standard input cannot be read, or not to its end because of a line that seems to have no end. I14
/// if it is no text: nothing of it is delivered.
pub fn read<D: Deliver>(
    mut input: Waiting,
    mut deliver: D,
    framing: Framing,
    runtime: &Handle,
) -> Result<(), Diagnostic> {
    let (mut framer, mut start) = (Framer::new(framing), Start::default());
    let (mut buffer, mut offset, mut is_cut_off) = (vec![0; READ_BYTES], 0, false);
    let ended = loop {
        match input.read_by(&mut buffer, None) {
            Ok(Arrival::Bytes(bytes)) => {
                offset += bytes as u64;
                if let Some(encoding) = start.refuses(&buffer[..bytes]) {
                    return Err(encoding.into());
                }
                framer.room(bytes).extend_from_slice(&buffer[..bytes]);
                if hand_on(&mut framer, &mut deliver, runtime).is_err() {
                    break Ok(());
                }
                if framer.is_hopeless() {
                    break Err(endless(offset));
                }
            }
            Ok(Arrival::Deadline) => {}
            Ok(Arrival::End) => break Ok(()),
            Ok(Arrival::Stopped) => {
                is_cut_off = true;
                break Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let torn_bytes = framer.unfinished_bytes() as u64;
                is_cut_off = true;
                break Err(ReadError { offset: offset - torn_bytes, torn_bytes, source }.into());
            }
        }
    };
    if is_cut_off && framer.is_unfinished() {
        // Half a frame is not searched: its other half may be the other half of an address.
        framer.seal_unfinished();
    }
    while let Some(batch) = framer.last_batch() {
        if runtime.block_on(deliver.deliver(batch)).is_err() {
            break;
        }
    }
    ended
}

fn hand_on(framer: &mut Framer, deliver: &mut impl Deliver, runtime: &Handle) -> Result<(), Closed> {
    loop {
        while let Some(batch) = framer.next_batch() {
            drop(runtime.block_on(deliver.deliver(batch))?);
        }
        if deliver.may_hold(framer.unfinished_bytes()) {
            return Ok(());
        }
        framer.seal_unfinished();
    }
}

fn endless(offset: u64) -> Diagnostic {
    Diagnostic::new(&READ_FAILED, "cannot read the input to its end")
        .at(format!("after {offset} bytes"))
        .because(StreamError::Endless.to_string())
        .hint("its beginning is in quarantine, the rest is lost: end each line with LF, or raise `sealed`")
}

const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::Stop;
    use super::super::fake_deliver::FakeDeliver;
    use super::super::framing::Trailer;
    use super::*;
    use crate::primitives::clock::Clock;
    use std::io::{Seek as _, Write as _};

    /// Reads `text` as standard input. Returns the lines, what is sealed, and the error if there is one.
    fn heard(text: &[u8]) -> (String, String, Option<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        let (_stop, stopped) = Stop::new().unwrap();
        let input = Waiting::new(file, stopped, Clock::System);
        let framing = Framing { max_frame_bytes: 10, max_sealed_bytes: 100, trailer: Trailer::Lf };
        let delivered = FakeDeliver::durable();
        let ended = read(input, delivered.clone(), framing, runtime.handle());
        let sealed = String::from_utf8(delivered.long.lock().unwrap().clone()).unwrap();
        (delivered.text(), sealed, ended.err().map(|error| error.to_string()))
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let long = "x".repeat(1000);
        assert_eq!(
            heard(format!("one\n{long}\ntwo\n").as_bytes()),
            ("one\ntwo\n".to_owned(), long.clone(), None)
        );
        let (lines, sealed, error) = heard(format!("one\n{long}").as_bytes());
        assert_eq!((lines, sealed), ("one\n".to_owned(), long));
        let error = error.unwrap();
        assert!(
            error.starts_with("[I01] cannot read the input to its end; where: after 1004 bytes"),
            "{error}"
        );
        assert!(error.contains("a frame is longer than what is sealed of one"), "{error}");
    }

    /// The zero bytes hide each address.
    #[test]
    fn what_is_no_text_is_refused_whole() {
        let (lines, sealed, error) = heard(b"\xff\xfe2\x000\x003\0\n\0");
        assert_eq!((lines, sealed), (String::new(), String::new()));
        assert!(error.unwrap().starts_with("[I14]"));
    }
}
