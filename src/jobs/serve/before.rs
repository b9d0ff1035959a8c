//! What the archive got last before the start: senders that had no answer send it again.

use crate::archive::{ArchiveError, Found, Segment, list};
use crate::model::{ClassName, Tree};
use crate::pipeline::Repeats;
use crate::primitives::storage::Storage;
use std::collections::BTreeMap;

/// The last lines of the newest segments of each class. What cannot be read is left out: `verify` tells of it.
///
/// Lines of an earlier epoch would come again with other tokens, so only the newest epoch is looked at.
pub(super) fn last_lines(storage: &dyn Storage, tree: &Tree) -> Repeats {
    let mut repeats = Repeats::default();
    let found = list(storage, tree).unwrap_or_default();
    let newest = found.iter().map(|found| found.name.kid).max();
    let mut by_class: BTreeMap<&ClassName, Vec<&Found>> = BTreeMap::new();
    for segment in found.iter().filter(|found| !found.part && Some(found.name.kid) == newest) {
        by_class.entry(&segment.name.folder.class).or_default().push(segment);
    }
    // In the order of their days and numbers: the last ones are the newest.
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

/// Of each class: a process that is killed soon after its start leaves a segment of its own.
const SEGMENTS: usize = 8;

/// Of each segment, a MiB of lines each: the windows of many senders.
const FRAMES: usize = 4;
