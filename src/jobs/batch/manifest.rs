//! The record of one object: a line of the manifest, repeated at the end of the output itself, in a skippable
//! frame that readers of zstd ignore. So an output states what it was made of, even if the manifest is lost.
//!
//! ```text
//! magic 0x184D2A53 (4) | bytes of what follows (4) | JSON | bytes of the JSON (4) | "OUBLBAT\0" (8)
//! ```
//! Numbers are little-endian (RFC 8878, 3.1.2).

use crate::primitives::storage::{Storage, Stored, if_there};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// A line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The object, as it was named.
    pub input: String,
    /// What was done with it.
    #[serde(flatten)]
    pub done: Done,
    /// The file that holds its lines now.
    pub output: String,
    /// Whether the output existed already, made of the same bytes.
    pub skipped: bool,
}

/// What was done with an object. Lines in = lines out + quarantined + dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// SHA-256 of the object as stored, compressed or not, in lower-case hex.
    pub sha256: String,
    /// The length of the object as stored, in bytes.
    pub bytes: u64,
    /// The number of its lines, decompressed.
    pub lines_in: u64,
    /// The number of its lines in the output.
    pub lines_out: u64,
    /// The number of lines that were quarantined; the output has a placeholder for each.
    pub quarantined: u64,
    /// The number of lines that had expired.
    pub dropped: u64,
}

impl Done {
    /// Returns whether every line is accounted for.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let counts = [self.lines_out, self.quarantined, self.dropped];
        counts.into_iter().try_fold(0, u64::checked_add) == Some(self.lines_in)
    }

    /// Returns the skippable frame that ends an output.
    pub(super) fn frame(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        // Five numbers and a digest take far less than 4 GiB.
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        let frame_bytes = length + END_BYTES as u32;
        let parts: [&[u8]; 5] =
            [&MAGIC.to_le_bytes(), &frame_bytes.to_le_bytes(), &json, &length.to_le_bytes(), SIGNATURE];
        Ok(parts.concat())
    }

    /// Reads what the output at `path` was made of; `None` if there is no output.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the file does not end as an output does.
    pub(super) fn of_output(storage: &dyn Storage, path: &Path) -> io::Result<Option<Self>> {
        if_there(storage.open(path))?.map(|file| read(&*file)).transpose()
    }
}

fn read(file: &dyn Stored) -> io::Result<Done> {
    let foreign =
        || io::Error::new(io::ErrorKind::InvalidData, "it does not end as the output of a batch does");
    let end_offset = file.length()?.checked_sub(END_BYTES as u64).ok_or_else(foreign)?;
    let mut end = [0; END_BYTES];
    file.read_at(end_offset, &mut end)?;
    let (length, signature) = end.split_at(4);
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    // The length comes from the file, so check it before allocating that much.
    if signature != SIGNATURE || length > MOST_JSON_BYTES {
        return Err(foreign());
    }
    let mut json = vec![0; length as usize];
    file.read_at(end_offset.checked_sub(u64::from(length)).ok_or_else(foreign)?, &mut json)?;
    serde_json::from_slice(&json).map_err(|_| foreign())
}

const MAGIC: u32 = 0x184D_2A53;
const SIGNATURE: &[u8; 8] = b"OUBLBAT\0";
const END_BYTES: usize = 12;
const MOST_JSON_BYTES: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::Memory;

    fn done() -> Done {
        Done { sha256: "ab".repeat(32), bytes: 9, lines_in: 5, lines_out: 3, quarantined: 1, dropped: 1 }
    }

    fn output(bytes: &[u8]) -> io::Result<Option<Done>> {
        let (memory, path) = (Memory::new(), Path::new("/d/f"));
        memory.create_directory(Path::new("/d"), 0o700)?;
        memory.create(path, 0o600)?.append(bytes)?;
        Done::of_output(&memory, path)
    }

    #[test]
    fn what_an_output_was_made_of_reads_back() {
        let bytes = [zstd::bulk::compress(b"a line\n", 1).unwrap(), done().frame().unwrap()].concat();
        assert_eq!(output(&bytes).unwrap(), Some(done()));
        assert_eq!(zstd::stream::decode_all(bytes.as_slice()).unwrap(), b"a line\n");
    }

    #[test]
    fn what_is_no_output_is_refused() {
        let frame = done().frame().unwrap();
        let mut long = frame.clone();
        let at = long.len() - END_BYTES;
        long[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut far = frame.clone();
        far[at..at + 4].copy_from_slice(&4096u32.to_le_bytes());
        for bytes in [&b""[..], b"short", &frame[..frame.len() - 1], &long, &far] {
            assert_eq!(output(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(Done::of_output(&Memory::new(), Path::new("/d/f")).unwrap(), None);
    }

    #[test]
    fn lines_are_accounted_for() {
        assert!(done().is_balanced());
        assert!(!Done { lines_in: 6, ..done() }.is_balanced());
        assert!(!Done { lines_out: u64::MAX, ..done() }.is_balanced());
    }
}
