//! Reads an object: hashes its bytes as stored, and decompresses it if it is compressed.

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, BufReader, Read};

use crate::primitives::hex;

/// Hashes what is read through it.
pub(super) struct Hashed<R> {
    reader: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, hasher: Sha256::new(), bytes: 0 }
    }

    /// Reads what is left. Returns the SHA-256 in hex, and the number of bytes.
    pub(super) fn finish(mut self) -> io::Result<(String, u64)> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok((hex::encode(&self.hasher.finalize()), self.bytes))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Returns the lines of an object that is gzip (RFC 1952), zstd (RFC 8878) or neither. Its first bytes
/// decide, because names may be wrong.
///
/// # Errors
/// If the object cannot be read, or zstd has no memory. A damaged or truncated object causes an error when it
/// is read.
pub(super) fn lines<'a>(object: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut object = BufReader::with_capacity(CHUNK_BYTES, object);
    let start = first_bytes(&mut object)?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(object)),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(object)?)
        }
        _ => Box::new(object),
    })
}

/// Returns the first four bytes, padded with zeros, without consuming them.
fn first_bytes(object: &mut BufReader<impl Read>) -> io::Result<[u8; 4]> {
    let mut start = [0; 4];
    // A file or an object gives a whole chunk, or all it has.
    let filled = object.fill_buf()?;
    let count = filled.len().min(start.len());
    start[..count].copy_from_slice(&filled[..count]);
    Ok(start)
}

/// Large enough that a range read of an object is worth its round trip.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 1).unwrap()
    }

    fn read(object: &[u8]) -> io::Result<(Vec<u8>, u64)> {
        let mut hashed = Hashed::new(object);
        let mut bytes = Vec::new();
        lines(&mut hashed)?.read_to_end(&mut bytes)?;
        let (digest, count) = hashed.finish()?;
        assert_eq!(digest, hex::encode(&Sha256::digest(object)));
        Ok((bytes, count))
    }

    #[test]
    fn whatever_it_is_compressed_with() {
        let skippable = [&0x184d_2a53_u32.to_le_bytes()[..], &2u32.to_le_bytes(), b"xy"].concat();
        for object in [
            b"a\nb\n".to_vec(),
            gzip(b"a\nb\n"),
            [gzip(b"a\n"), gzip(b"b\n")].concat(),
            zstd(b"a\nb\n"),
            [zstd(b"a\n"), zstd(b"b\n")].concat(),
            [zstd(b"a\nb\n"), skippable.clone()].concat(),
            [skippable, zstd(b"a\nb\n")].concat(),
        ] {
            assert_eq!(read(&object).unwrap(), (b"a\nb\n".to_vec(), object.len() as u64));
        }
        for short in [&b""[..], b"\n", &[0x1f], &[0x28, 0xb5, 0x2f]] {
            assert_eq!(read(short).unwrap(), (short.to_vec(), short.len() as u64));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_shorter_log() {
        for object in [gzip(b"a\nb\n"), zstd(b"a\nb\n")] {
            assert!(read(&object[..object.len() - 1]).is_err());
            assert!(read(&object[..object.len() / 2]).is_err());
        }
    }
}
