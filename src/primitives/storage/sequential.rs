//! Reads a stored file from start to end.

use super::{Storage, Stored};
use std::io::{self, Read};
use std::path::Path;

/// A reader over a file, up to the length that the file had when it was opened.
///
/// It does not buffer: each read is one request to the storage, so large reads are cheap and small ones are
/// not.
#[derive(Debug)]
pub struct Sequential {
    file: Box<dyn Stored>,
    offset: u64,
    length: u64,
}

impl Sequential {
    /// Opens the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn open(storage: &dyn Storage, path: &Path) -> io::Result<Self> {
        let file = storage.open(path)?;
        let length = file.length()?;
        Ok(Self { file, offset: 0, length })
    }
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        if count > 0 {
            self.file.read_at(self.offset, &mut buffer[..count])?;
            self.offset += count as u64;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    #[test]
    fn everything_in_order_and_no_more() {
        let (memory, path) = (Memory::new(), Path::new("/d/f"));
        memory.create_directory(Path::new("/d"), 0o700).unwrap();
        memory.create(path, 0o600).unwrap().append(b"hello world").unwrap();
        let mut reader = Sequential::open(&memory, path).unwrap();
        let mut start = [0; 4];
        assert_eq!(reader.read(&mut start).unwrap(), 4);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!((&start, rest.as_slice()), (b"hell", &b"o world"[..]));
        assert_eq!(reader.read(&mut start).unwrap(), 0);
    }
}
