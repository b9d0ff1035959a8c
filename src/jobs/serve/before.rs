//! Reads the last lines that the archive received before the start: senders that got no answer send them
//! again.

use crate::archive::{ArchiveError, Found, Segment, list};
use crate::model::{ClassName, Tree};
use crate::pipeline::Repeats;
use crate::primitives::storage::Storage;
use std::collections::BTreeMap;

/// Returns the last lines of the newest segments of each class. Leaves out what cannot be read: `verify`
/// reports it.
///
/// Lines of an earlier epoch would come again with other tokens, so only the newest epoch is read.
pub(super) fn last_lines(storage: &dyn Storage, tree: &Tree) -> Repeats {
    let mut repeats = Repeats::default();
    let found = list(storage, tree).unwrap_or_default();
    let newest = found.iter().map(|found| found.name.kid).max();
    let mut by_class: BTreeMap<&ClassName, Vec<&Found>> = BTreeMap::new();
    for segment in found.iter().filter(|found| !found.part && Some(found.name.kid) == newest) {
        by_class.entry(&segment.name.folder.class).or_default().push(segment);
    }
    // Sorted by day and number: the last ones are the newest.
    for segment in by_class.values().flat_map(|segments| segments.iter().rev().take(SEGMENTS)) {
        if let Err(error) = remember(storage, segment, &mut repeats) {
            tracing::warn!(segment = %segment.name, %error, "lines of a segment cannot be read");
        }
    }
    repeats
}

fn remember(storage: &dyn Storage, found: &Found, repeats: &mut Repeats) -> Result<(), ArchiveError> {
    let segment = Segment::open(storage, &found.path)?;
    for frame in (0..segment.footer().frames.len()).rev().take(FRAMES) {
        repeats.remember(&segment.lines(frame)?);
    }
    Ok(())
}

/// The number of segments read per class. A process that is killed soon after its start leaves a segment of
/// its own.
const SEGMENTS: usize = 8;

/// The number of frames read per segment, each with a MiB of lines: the windows of many senders.
const FRAMES: usize = 4;
