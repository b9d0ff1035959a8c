//! Standard input of a sidecar: read until its end or until a stop.

use super::framing::{Framer, Framing};
use super::{Arrival, Closed, Deliver, ReadBy, ReadError, Waiting};
use std::io;
use tokio::runtime::Handle;

/// Reads frames until the end or a stop.
///
/// This blocks, so it needs a thread of its own. What was read before is delivered; a frame that a stop or a
/// failure cut off is delivered as too long, to be sealed.
///
/// # Errors
/// If standard input cannot be read.
pub fn read<D: Deliver>(
    mut input: Waiting,
    mut deliver: D,
    framing: Framing,
    runtime: &Handle,
) -> Result<(), ReadError> {
    let mut framer = Framer::new(framing);
    let (mut buffer, mut offset, mut is_cut_off) = (vec![0; READ_BYTES], 0, false);
    let ended = loop {
        match input.read_by(&mut buffer, None) {
            Ok(Arrival::Bytes(bytes)) => {
                offset += bytes as u64;
                framer.room(bytes).extend_from_slice(&buffer[..bytes]);
                if hand_on(&mut framer, &mut deliver, runtime).is_err() || framer.is_hopeless() {
                    break Ok(());
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
                break Err(ReadError { offset: offset - torn_bytes, torn_bytes, source });
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

const READ_BYTES: usize = 64 << 10;
