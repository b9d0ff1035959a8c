//! Reads any bytes from a peer, as a RELP session and as a PROXY header: without harm, and with the same
//! result however they are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oubliette::input::framing::{Framer, Framing, Trailer};
use oubliette::input::proxy_protocol::header_bytes;
use oubliette::input::relp::{Decoder, Event};

/// Returns the bytes of all records of a RELP session, the number of its events, and whether it ended with an
/// error.
fn relp(chunks: &mut dyn Iterator<Item = &[u8]>) -> (Vec<u8>, usize, bool) {
    let mut decoder = Decoder::new(64, 1000);
    let (mut bytes, mut long, mut count) = (Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        decoder.room().extend_from_slice(chunk);
        loop {
            match decoder.next_event() {
                Ok(Some(Event::LongPart(part))) => long.extend_from_slice(part),
                Ok(Some(Event::Record { record, .. })) => {
                    bytes.extend_from_slice(record);
                    count += 1;
                }
                Ok(Some(Event::LongEnd { bytes: part, .. })) => {
                    bytes.append(&mut long);
                    bytes.extend_from_slice(part);
                    count += 1;
                }
                Ok(Some(_)) => count += 1,
                Ok(None) => break,
                Err(_) => return (bytes, count, true),
            }
        }
        if decoder.unfinished_bytes() > 100_000 {
            panic!("more than a frame waits for its rest");
        }
    }
    (bytes, count, false)
}

/// Returns the number of records in a stream of frames.
fn frames(chunks: &mut dyn Iterator<Item = &[u8]>) -> u64 {
    let framing = Framing { max_frame_bytes: 64, max_sealed_bytes: 1 << 20, trailer: Trailer::NulOrLf };
    let (mut framer, mut count) = (Framer::new(framing), 0);
    for chunk in chunks {
        framer.room(chunk.len()).extend_from_slice(chunk);
        while let Some(batch) = framer.next_batch() {
            count += batch.records();
        }
    }
    while let Some(batch) = framer.last_batch() {
        count += batch.records();
    }
    count
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = (usize::from(input.0) + 1, input.1);
    assert_eq!(relp(&mut bytes.chunks(size)), relp(&mut std::iter::once(&bytes[..])));
    assert_eq!(frames(&mut bytes.chunks(size)), frames(&mut std::iter::once(&bytes[..])));
    if let Ok(Some(length)) = header_bytes(&bytes) {
        assert!(length <= bytes.len());
        assert_eq!(header_bytes(&bytes[..length]), Ok(Some(length)));
        assert!((0..length).all(|end| header_bytes(&bytes[..end]) == Ok(None)));
    }
});
