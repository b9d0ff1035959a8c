//! A segment written anew without some of its lines, to take the place of the old one.
//!
//! ```text
//! create staged file -> frames: as they are, or with the lines that stay -> footer and seal -> sync
//!                                                    ... somebody renames it over the old segment: publish
//! ```
//! Until then it has a name that no search, no other program and no start of a filter looks at. Frames that lose
//! nothing keep their bytes. One that loses lines keeps its range of times, in which those that stay are.
//! The new segment has an id of its own, for its vault needs a key of its own.

use super::error::ArchiveError;
use super::footer::Origin;
use super::frame::{Frame, Lines, Packer};
use super::reader::Segment;
use super::writer::{Place, SegmentWriter};
use crate::model::SegmentId;
use crate::primitives::storage::Storage;
use std::sync::Arc;

/// Which lines stay, and what a search needs to know of them.
pub trait Keeps {
    /// Whether a line, with its line end, stays.
    fn keeps(&self, line: &[u8]) -> bool;

    /// The keys of the tokens in some lines ([`super::filter::key`]), and of the networks of their addresses.
    fn keys(&mut self, lines: &[u8]) -> Vec<u64>;

    /// Whether the networks of all addresses are known.
    fn knows_networks(&self) -> bool;
}

/// A segment that was written anew, still without its end.
#[derive(Debug)]
pub struct Rewritten {
    /// The segment; `None` if no line stays.
    pub segment: Option<SegmentWriter>,
    /// How many lines stay.
    pub lines: u64,
}

/// Writes `segment` anew, as segment `id`, under a name that [`crate::model::Tree::staged`] gives.
///
/// # Errors
/// If the old one cannot be read or is not as it was written; if the new one cannot be written: a staged file
/// is left then.
pub fn rewrite(
    storage: &Arc<dyn Storage>,
    segment: &Segment,
    place: &Place<'_>,
    id: SegmentId,
    keeping: &mut dyn Keeps,
) -> Result<Rewritten, ArchiveError> {
    let origin = &segment.footer().origin;
    let networks_unknown = origin.networks_unknown || !keeping.knows_networks();
    let origin = Origin { id, networks_unknown, ..origin.clone() };
    let mut writer = SegmentWriter::stage(storage, place, origin)?;
    let mut packer = Packer::new(LEVEL).map_err(ArchiveError::Compress)?;
    let mut lines = 0;
    for number in 0..segment.footer().frames.len() {
        if let Some(frame) = what_stays(segment, number, keeping, &mut packer)? {
            lines += u64::from(frame.lines());
            writer.append(frame)?;
        }
    }
    if lines == 0 {
        writer.discard()?;
        return Ok(Rewritten { segment: None, lines });
    }
    Ok(Rewritten { segment: Some(writer), lines })
}

/// The frame with the lines that stay; `None` if none does.
fn what_stays(
    segment: &Segment,
    number: usize,
    keeping: &mut dyn Keeps,
    packer: &mut Packer,
) -> Result<Option<Frame>, ArchiveError> {
    let bytes = segment.lines(number)?;
    let stays = Lines::of_frame(&segment.footer().frames[number], &bytes, &|line| keeping.keeps(line));
    if stays.as_bytes().len() == bytes.len() {
        return segment.frame(number).map(Some);
    }
    if stays.is_empty() {
        return Ok(None);
    }
    let filter = super::filter::build(&mut keeping.keys(stays.as_bytes()));
    packer.pack(&stays, filter).map(Some).map_err(ArchiveError::Compress)
}

/// Compression level of zstd: rewriting is rare, and what is kept may be kept for years.
const LEVEL: i32 = 3;
