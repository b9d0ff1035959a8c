//! Chooses the frames to read, from the footers of segments alone. A part has no footer, so all of it is
//! read.

mod missing;
mod period;
mod planner;
mod purged;
mod unsearched;

use super::codes;
use super::lines::FrameIndex;
use super::obstacle::{Obstacle, Obstacles};
use super::secrets::{Secrets, State};
use super::selection::Selection;
use super::threads;
use super::wanted::Wanted;
use crate::archive::{self, ArchiveError, Found, FramePlace, Part, Segment, VaultMark};
use crate::jobs::purge::Site;
use crate::model::{ClassName, Expires, SegmentName};
use crate::primitives::diag::{Code, Diagnostic};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use missing::Facts;
use planner::Planner;
pub(in crate::jobs) use purged::purged_of;
pub use purged::{Purged, PurgedSpan};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
pub use unsearched::Unsearched;
pub(in crate::jobs) use unsearched::{Sorted, days_of};

/// How to treat parts: segments that are still being written, or that a crash left unsealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsealed {
    /// Read their whole frames.
    #[default]
    Read,
    /// Leave them out, because whatever is wanted must have a seal over it.
    LeftOut,
}

/// The frames to read, segment by segment in the order of their names.
#[derive(Debug, Default)]
pub struct Plan {
    /// Segments with frames that may hold what is asked for.
    pub segments: Vec<PlannedSegment>,
    /// What was examined to make the plan.
    pub counts: PlanCounts,
    /// What the answer lacks.
    pub gaps: Gaps,
}

/// Segments of the requested classes that the answer lacks, wholly or in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// The number of segments that are not sealed yet and were left out.
    pub unsealed: u64,
    /// The names of segments that do not exist although the ledger says that they were sealed and not purged.
    pub missing: Vec<String>,
    /// The names of segments that cannot be attributed: it is unknown whether they belong to the named
    /// tenant.
    pub unattributed: Vec<String>,
    /// Segments of epochs whose secret cannot be had: they were not searched for identifiers in clear.
    pub unsearched: Unsearched,
    /// Segments that could not be read, or not to their end.
    pub unreadable: Obstacles,
    /// Segments whose vault could not be read completely: the answer lacks what the rest of it would have
    /// told.
    pub unopened: Obstacles,
    /// Segments with tokens that were to be revealed and are not, because none of their vaults opens.
    pub unrevealed: Obstacles,
    /// The names of sealed segments that were searched and that the ledger does not know, so that it cannot
    /// say which others should exist.
    pub unlisted: Vec<String>,
    /// Purges that may have removed lines of the period. The answer is right without those lines.
    pub purged: Purged,
    /// The legal day on which the ledger begins, if the period ended before it and nothing in the archive may
    /// be of the period: perhaps its year is mistyped.
    pub begins_later: Option<Date>,
}

impl Gaps {
    /// Returns whether the answer is known to lack nothing that should be in it: neither a purge nor a
    /// segment that the ledger does not know is such a lack.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unsealed == 0
            && self.missing.is_empty()
            && self.unattributed.is_empty()
            && self.unsearched.is_empty()
            && self.unreadable.is_empty()
            && self.unopened.is_empty()
            && self.unrevealed.is_empty()
    }

    /// Returns the code that the ledger records for an answer that lacks what could not be read or opened;
    /// `None` if everything could.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        let of_files = self.unreadable.code().or(self.unopened.code()).or(self.unrevealed.code());
        of_files.or(self.unsearched.code())
    }
}

/// What was examined to make a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanCounts {
    /// Segments of the requested classes.
    pub segments: u64,
    /// Those of `segments` that are not sealed yet: they were read as far as they had been written.
    pub unsealed: u64,
    /// Segments with frames to read that are past their expiry day but not purged yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub past_expiry: u64,
    /// Segments of tenants other than the named one. They are left out and not counted in `segments`.
    #[serde(skip_serializing_if = "is_zero")]
    pub of_other_tenants: u64,
    /// Frames in all `segments`.
    pub frames: u64,
    /// Epochs whose secret was needed.
    pub epochs: u64,
    /// HMACs computed: per epoch, one for an address, one more for its network where that saves reading
    /// frames, and 256 more for an IPv4 /24 where it may occur.
    pub hmacs: u64,
    /// Vaults opened to find the addresses of an IPv6 network, or to reveal originals.
    pub vaults: u64,
}

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where the originals of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Originals {
    /// In the vault with the segment's name.
    Beside,
    /// In vaults of the nodes that wrote the lines, because a worker of a fleet stored them.
    OfNodes,
}

/// A segment to read.
#[derive(Clone, Debug)]
pub struct PlannedSegment {
    /// The name of the segment.
    pub name: SegmentName,
    /// The file of the segment. A part may have been sealed since it was planned; its file has lost its last
    /// suffix then.
    pub path: PathBuf,
    /// Whether the segment is sealed or a part.
    pub state: State,
    /// Where the originals of the segment are.
    pub originals: Originals,
    /// The state of the vault when the segment was sealed; `None` if it has no vault or is a part.
    pub vault: Option<VaultMark>,
    /// The frames to read, in order.
    pub frames: Vec<PlannedFrame>,
    /// The tokens asked for; `None` if everybody's lines are.
    pub wanted: Option<Arc<Wanted>>,
    /// The legal zone of the segment.
    pub zone: TimeZone,
    /// The zone of times that state none, if the segment names it.
    pub source_zone: Option<TimeZone>,
    /// The end of the day on which the segment was sealed; the present for a part.
    pub sealed: Timestamp,
}

/// A frame to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFrame {
    /// The number of the frame in its segment.
    pub number: usize,
    /// The earliest event, in Unix seconds.
    pub first: i64,
    /// The latest event, in Unix seconds.
    pub last: i64,
    /// Where the frame lies in the file.
    pub place: FramePlace,
}

impl Plan {
    /// Plans which frames to read for `selection`. Secrets are needed only for identifiers in clear. Segments
    /// that are damaged or unreadable, and may have lines of the period, are listed in [`Self::gaps`]; so
    /// are, for the owner of an identity, those whose secret cannot be had.
    ///
    /// # Errors
    /// If a directory cannot be listed; if a secret that is needed is missing, and there is no identity, or
    /// it is a wrong one, or no segment can be searched.
    pub fn new(
        site: &Site,
        selection: &Selection,
        unsealed: Unsealed,
        secrets: &mut Secrets,
    ) -> Result<Self, Diagnostic> {
        let mut found = sealed_and_unsealed(site)?;
        let names: Vec<SegmentName> = found.iter().map(|found| found.name.clone()).collect();
        let mut planner = Planner::new(site, selection, &names, secrets);
        found.retain(|found| selection.takes_class(&found.name.folder.class));
        let facts = Facts::of(site, selection);
        let mut digests = HashSet::new();
        let mut workers = vec![(); threads::count()];
        // Open a limited number of footers at a time: all of them may not fit into memory.
        for some in found.chunks(FOOTERS_AT_ONCE) {
            let opened = threads::map(&mut workers, some, |(), found| open(site, found, unsealed));
            for (found, opened) in some.iter().zip(opened) {
                let added = match opened {
                    // A copy under another name has the same lines, which are planned already.
                    Ok(Opened::Sealed(segment, _)) if !digests.insert(*segment.digest()) => Ok(()),
                    Ok(Opened::Sealed(segment, path)) => {
                        let (before, digest) = (planner.plan.counts.segments, *segment.digest());
                        let added = planner.add(&found.name, path, &segment);
                        // A part may have been sealed after the ledger was read.
                        if !found.part && planner.plan.counts.segments > before && facts.is_unlisted(&digest)
                        {
                            planner.plan.gaps.unlisted.push(found.name.to_string());
                        }
                        added
                    }
                    Ok(Opened::Part(part)) => planner.add_part(found, &part),
                    Ok(Opened::LeftOut) => {
                        planner.plan.gaps.unsealed += 1;
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                };
                let Err(error) = added else { continue };
                let needed =
                    period::may_be_of(&selection.seconds, site, &found.name, facts.kept.sealed(&found.name));
                let obstacle = Obstacle::of(error)?;
                if needed {
                    planner.plan.gaps.unreadable.insert(&found.name, obstacle);
                }
            }
        }
        let begins_later = facts.begins_later;
        planner.plan.gaps.purged = facts.purged;
        planner.plan.gaps.missing = facts.kept.missing(site, selection, &found);
        let mut plan = planner.finished()?;
        plan.gaps.begins_later = begins_later.filter(|_| plan.segments.is_empty());
        plan.counts.epochs = secrets.epochs() as u64;
        plan.counts.past_expiry = plan.past_expiry(Expires::On(site.today()));
        Ok(plan)
    }

    /// Returns a frame of the plan.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn frame(&self, (segment, frame): FrameIndex) -> &PlannedFrame {
        &self.segments[segment].frames[frame]
    }

    /// Returns the number of segments that expired on `today` or earlier.
    fn past_expiry(&self, today: Expires) -> u64 {
        self.segments.iter().filter(|segment| segment.name.folder.expires <= today).count() as u64
    }

    /// Returns the number of frames to read.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.segments.iter().map(|segment| segment.frames.len() as u64).sum()
    }

    /// Returns the number of compressed bytes to read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let frames = self.segments.iter().flat_map(|segment| &segment.frames);
        frames.map(|frame| u64::from(frame.place.bytes)).sum()
    }
}

/// Refuses a class that neither the policy nor the archive knows, because finding nothing would look like an
/// answer.
pub(super) fn demand_known_classes(site: &Site, selection: &Selection) -> Result<(), Diagnostic> {
    let upstream = ClassName::new(ClassName::UPSTREAM);
    let of_policy = site.classes.iter().map(|class| &class.name);
    let mut known: BTreeSet<&ClassName> = of_policy.chain(&upstream).collect();
    if selection.classes.iter().all(|class| known.contains(class)) {
        return Ok(());
    }
    let found = sealed_and_unsealed(site)?;
    known.extend(found.iter().map(|found| &found.name.folder.class));
    match selection.classes.iter().position(|class| !known.contains(class)) {
        Some(index) => Err(codes::unknown_class(index + 1, &known)),
        None => Ok(()),
    }
}

/// Lists all segments and parts in both stores, sorted by name. A segment that a crash left in both stores is
/// listed once, and so is one that was sealed while its directory was read.
pub(in crate::jobs) fn sealed_and_unsealed(site: &Site) -> Result<Vec<Found>, Diagnostic> {
    let mut all = Vec::new();
    for tree in [&site.tree, &site.second_tree()] {
        all.extend(archive::list(&*site.storage, tree)?);
    }
    // A part sorts behind the segment with the same name.
    all.sort();
    all.dedup_by(|later, earlier| later.name == earlier.name);
    Ok(all)
}

enum Opened {
    Sealed(Box<Segment>, PathBuf),
    Part(Part),
    LeftOut,
}

fn open(site: &Site, found: &Found, unsealed: Unsealed) -> Result<Opened, ArchiveError> {
    let sealed = |path: PathBuf| {
        let segment = Segment::open_as(&*site.storage, &path, &found.name)?;
        Ok(Opened::Sealed(Box::new(segment), path))
    };
    match (found.part, unsealed) {
        (false, _) => sealed(found.path.clone()),
        (true, Unsealed::LeftOut) => Ok(Opened::LeftOut),
        (true, Unsealed::Read) => match Part::open(&*site.storage, &found.path) {
            // The part has been sealed in the meantime.
            Err(error) if error.is_missing() => sealed(found.path.with_extension("")),
            part => part.map(Opened::Part),
        },
    }
}

/// The number of footers in memory at once. The footer of a segment of 256 MiB has a few MiB.
const FOOTERS_AT_ONCE: usize = 32;
