//! The position up to which everything was delivered. It is saved durably from time to time, and noted at
//! once for the process that follows one that was killed.
//!
//! ```text
//! position    file SP offset LF                     synced: survives a power cut
//! trail       file SP offset SP check LF, ...       later positions, not synced: survive the end of the process
//! ```
//! `check` is eight hexadecimal digits of SHA-256 over what precedes it in its line. Whole lines that a power
//! cut leaves of the trail are valid: a position is only ever written to it once everything before that
//! position was delivered.

use super::Position;
use crate::primitives::hex;
use crate::primitives::private_folder::PrivateFolder;
use crate::primitives::storage::Stored;
use sha2::{Digest as _, Sha256};
use std::io;

/// Saves and notes positions.
#[derive(Debug)]
pub(super) struct Positions {
    folder: PrivateFolder,
    /// `None` until something was written to the trail.
    trail: Option<Box<dyn Stored>>,
    noted: Position,
}

/// The names of both files.
pub(super) const NAMES: [&str; 2] = [POSITION, TRAIL];

const POSITION: &str = "position";
const TRAIL: &str = "trail";

impl Positions {
    pub(super) fn new(folder: &PrivateFolder) -> Self {
        Self { folder: folder.clone(), trail: None, noted: Position::default() }
    }

    /// Loads the latest position. If none is readable, lines are sent twice, and none is lost.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub(super) fn load(folder: &PrivateFolder) -> io::Result<Position> {
        let lines =
            |name| Ok::<_, io::Error>(folder.read(name)?.map(|bytes| bytes.to_vec()).unwrap_or_default());
        let (kept, trail) = (lines(POSITION)?, lines(TRAIL)?);
        let of_trail = trail.split(|byte| *byte == b'\n').filter_map(|line| parsed(unchecked(line)?));
        Ok(of_trail.chain(parsed(kept.trim_ascii_end())).max().unwrap_or_default())
    }

    /// Notes the position so that it survives the end of this process. If it cannot be written, lines are
    /// sent twice, nothing worse.
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

    /// Saves the position so that it survives a power cut.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn save(&mut self, position: Position) -> io::Result<()> {
        self.folder.write(POSITION, format!("{}\n", written(position)).as_bytes())?;
        // The trail up to here is obsolete.
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

/// Returns the position in a line of the trail, without its check, if the line is whole.
fn unchecked(line: &[u8]) -> Option<&[u8]> {
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    (line[at + 1..] == *check(&line[..at]).as_bytes()).then(|| &line[..at])
}

fn check(text: &[u8]) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}
