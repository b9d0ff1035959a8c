//! Rewrites a segment without some of its lines, to replace the old one.
//!
//! ```text
//! create staged file -> frames: as they are, or with the lines that stay -> footer and seal -> sync
//!                                                    ... the caller renames it over the old segment: publish
//! ```
//! Until it is published, the file has a name that no search, no other program and no starting filter looks
//! at. Frames that lose no line keep their bytes. A frame that loses lines keeps its time range, which still
//! contains the remaining events. The new segment has its own id, since its vault needs its own key.

use super::error::ArchiveError;
use super::footer::Origin;
use super::frame::{Frame, Lines, Packer};
use super::reader::Segment;
use super::writer::{Destination, SegmentWriter};
use crate::model::SegmentId;
use crate::primitives::storage::Storage;
use std::sync::Arc;

/// Decides which lines stay, and supplies what a search needs to know about them.
pub trait Keeps {
    /// Returns whether a line, given with its line end, stays.
    fn keeps(&self, line: &[u8]) -> bool;

    /// Returns the keys ([`super::filter::key`]) of the tokens in `lines` and of the networks of their
    /// addresses.
    fn keys(&mut self, lines: &[u8]) -> Vec<u64>;

    /// Returns whether the networks of all addresses are known.
    fn knows_networks(&self) -> bool;
}

/// A rewritten segment that is not sealed yet.
#[derive(Debug)]
pub struct Rewritten {
    /// The segment; `None` if no line stays.
    pub segment: Option<SegmentWriter>,
    /// Number of lines that stay.
    pub lines: u64,
}

/// Rewrites `segment` as segment `id`, under the name from [`crate::model::Tree::staged`].
///
/// # Errors
/// If the old segment cannot be read or is not as it was written, or if the new one cannot be written; a
/// staged file is left then.
pub fn rewrite(
    storage: &Arc<dyn Storage>,
    segment: &Segment,
    destination: &Destination<'_>,
    id: SegmentId,
    keeping: &mut dyn Keeps,
) -> Result<Rewritten, ArchiveError> {
    let origin = &segment.footer().origin;
    let networks_unknown = origin.networks_unknown || !keeping.knows_networks();
    let origin = Origin { id, networks_unknown, ..origin.clone() };
    let mut writer = SegmentWriter::stage(storage, destination, origin)?;
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

/// Returns the frame with the lines that stay; `None` if none does.
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

/// Compression level of zstd. Rewriting is rare, and the result may be kept for years.
const LEVEL: i32 = 3;
