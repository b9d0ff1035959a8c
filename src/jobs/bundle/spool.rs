//! A file of a bundle that grows line by line to any length.
//!
//! It is in clear in a directory that is handed over. Otherwise it is encrypted under a key that only this
//! process has, until it goes into the archive for the recipient.

use super::output::FILE_MODE;
use crate::primitives::storage::{Sequential, Storage, Stored};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A file that grows.
pub(super) struct Spool {
    sink: Sink,
    digest: Sha256,
    bytes: u64,
    path: PathBuf,
}

enum Sink {
    Clear(Appender),
    Encrypted(Box<age::stream::StreamWriter<Appender>>),
}

/// A complete file.
#[derive(Debug)]
pub(super) struct Spooled {
    /// The path of the file.
    pub(super) path: PathBuf,
    /// The length in clear, in bytes.
    pub(super) bytes: u64,
    /// The SHA-256 of the bytes in clear.
    pub(super) digest: [u8; 32],
}

impl Spool {
    /// Creates a file, encrypted to `key` if one is given.
    pub(super) fn create(
        storage: &dyn Storage,
        path: &Path,
        key: Option<&age::x25519::Identity>,
    ) -> io::Result<Self> {
        let appender = Appender::create(storage, path)?;
        let sink = match key {
            None => Sink::Clear(appender),
            Some(key) => {
                let recipient = key.to_public();
                let recipients = std::iter::once(&recipient as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
                Sink::Encrypted(Box::new(encryptor.wrap_output(appender)?))
            }
        };
        Ok(Self { sink, digest: Sha256::new(), bytes: 0, path: path.to_owned() })
    }

    /// Writes what is left, durably.
    pub(super) fn finish(self) -> io::Result<Spooled> {
        let mut appender = match self.sink {
            Sink::Clear(appender) => appender,
            Sink::Encrypted(writer) => writer.finish()?,
        };
        appender.flush()?;
        appender.file.sync()?;
        Ok(Spooled { path: self.path, bytes: self.bytes, digest: self.digest.finalize().into() })
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spool({} bytes)", self.bytes)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Clear(appender) => appender.write_all(bytes)?,
            Sink::Encrypted(writer) => writer.write_all(bytes)?,
        }
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// Waiting bytes are written at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spooled {
    /// Opens the file to read its bytes in clear.
    pub(super) fn open(
        &self,
        storage: &dyn Storage,
        key: &age::x25519::Identity,
    ) -> io::Result<impl Read + use<>> {
        let said = |error: age::DecryptError| io::Error::other(error.to_string());
        let decryptor = age::Decryptor::new(Sequential::open(storage, &self.path)?).map_err(said)?;
        decryptor.decrypt(std::iter::once(key as &dyn age::Identity)).map_err(said)
    }
}

/// Appends to a file in large writes.
pub(super) struct Appender {
    file: Box<dyn Stored>,
    waiting: Vec<u8>,
}

impl Appender {
    pub(super) fn create(storage: &dyn Storage, path: &Path) -> io::Result<Self> {
        Ok(Self { file: storage.create(path, FILE_MODE)?, waiting: Vec::new() })
    }

    /// Writes what is left, durably.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()
    }
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= AT_A_TIME_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() { Ok(()) } else { self.file.append(&waiting) }
    }
}

const AT_A_TIME_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::Memory;

    #[test]
    fn what_is_spooled_is_read_again_and_in_clear_only_without_a_key() {
        let text = b"203.0.113.7 here\n".repeat(40_000);
        let key = age::x25519::Identity::generate();
        for key in [None, Some(&key)] {
            let memory = Memory::new();
            memory.create_directory(Path::new("/case"), 0o700).unwrap();
            let mut spool = Spool::create(&memory, Path::new("/case/lines"), key).unwrap();
            text.chunks(1000).for_each(|chunk| spool.write_all(chunk).unwrap());
            let spooled = spool.finish().unwrap();
            let digest: [u8; 32] = Sha256::digest(&text).into();
            assert_eq!((spooled.bytes, spooled.digest), (text.len() as u64, digest));
            let stored = memory.files()[Path::new("/case/lines")].clone();
            let shows = memchr::memmem::find(&stored, b"203.0.113.7").is_some();
            assert_eq!(shows, key.is_none());
            if let Some(key) = key {
                let mut read = Vec::new();
                spooled.open(&memory, key).unwrap().read_to_end(&mut read).unwrap();
                assert_eq!(read, text);
            }
        }
    }
}
