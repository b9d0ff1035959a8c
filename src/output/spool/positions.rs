//! Up to where everything was taken over: kept durably from time to time, and at once for whoever comes after a process that
//! was killed.
//!
//! ```text
//! position    file SP offset LF                     synced: a power cut leaves it
//! trail       file SP offset SP check LF, ...       what came after that, not synced: the end of the process leaves it
//! ```
//! `check` is eight hexadecimal digits of SHA-256 over what comes before it in its line. What a power cut leaves of the trail
//! counts as far as it is whole: nothing was written to it that had not been taken over.

use super::Position;
use crate::primitives::hex;
use crate::primitives::private_folder::PrivateFolder;
use crate::primitives::storage::Stored;
use sha2::{Digest as _, Sha256};
use std::io;

/// Keeps positions.
#[derive(Debug)]
pub(super) struct Positions {
    folder: PrivateFolder,
    /// `None` until something stands in it.
    trail: Option<Box<dyn Stored>>,
    noted: Position,
}

/// The files of their names.
pub(super) const NAMES: [&str; 2] = [POSITION, TRAIL];

const POSITION: &str = "position";
const TRAIL: &str = "trail";

impl Positions {
    pub(super) fn new(folder: &PrivateFolder) -> Self {
        Self { folder: folder.clone(), trail: None, noted: Position::default() }
    }

    /// The last one. If none can be understood, lines are sent twice, and none is lost.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn load(folder: &PrivateFolder) -> io::Result<Position> {
        let lines =
            |name| Ok::<_, io::Error>(folder.read(name)?.map(|bytes| bytes.to_vec()).unwrap_or_default());
        let (kept, trail) = (lines(POSITION)?, lines(TRAIL)?);
        let of_trail = trail.split(|byte| *byte == b'\n').filter_map(|line| parsed(unchecked(line)?));
        Ok(of_trail.chain(parsed(kept.trim_ascii_end())).max().unwrap_or_default())
    }

    /// The end of this process leaves it. What cannot be written is sent twice then, no more.
    pub(super) fn note(&mut self, position: Position) {
        if position == self.noted {
            return;
        }
        self.noted = position;
        let text = written(position);
        let line = format!("{text} {}\n", check(text.as_bytes()));
        if self.trail.is_none() {
            self.trail = self.folder.edit(TRAIL).ok();
        }
        if let Some(trail) = &mut self.trail {
            let _ = trail.append(line.as_bytes());
        }
    }

    /// A power cut leaves it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn save(&mut self, position: Position) -> io::Result<()> {
        self.folder.write(POSITION, format!("{}\n", written(position)).as_bytes())?;
        // What came before it says nothing any more.
        self.trail.as_mut().map_or(Ok(()), |trail| trail.truncate(0))
    }
}

fn written(position: Position) -> String {
    format!("{} {}", position.file, position.offset)
}

fn parsed(text: &[u8]) -> Option<Position> {
    let (file, offset) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some(Position { file: file.parse().ok()?, offset: offset.parse().ok()? })
}

/// What a line of the trail says, if it is whole.
fn unchecked(line: &[u8]) -> Option<&[u8]> {
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    (line[at + 1..] == *check(&line[..at]).as_bytes()).then(|| &line[..at])
}

fn check(text: &[u8]) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}
