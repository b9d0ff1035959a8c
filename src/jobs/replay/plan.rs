//! Which frames are to be read: from the footers of segments alone. What is not sealed yet has none, and is read.

mod missing;
mod period;
mod planner;

use super::codes;
use super::lines::Place;
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
use jiff::tz::TimeZone;
use missing::Kept;
use planner::Planner;
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What becomes of segments that are not sealed yet: somebody writes to them, or a crash left them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsealed {
    /// Their whole frames are read.
    #[default]
    Read,
    /// They are left out: what is wanted has a seal over it.
    LeftOut,
}

/// What is to be read, segment by segment in the order of their names.
#[derive(Debug, Default)]
pub struct Plan {
    /// Segments with frames that may hold what is asked for.
    pub segments: Vec<PlannedSegment>,
    /// What was looked at.
    pub counts: PlanCounts,
    /// What the answer lacks.
    pub gaps: Gaps,
}

/// Segments of the classes asked for that an answer lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// How many are not sealed yet, and were left out.
    pub unsealed: u64,
    /// The names of those that the ledger says were sealed and not purged, and that are not there.
    pub missing: Vec<String>,
    /// The names of those of which nobody can tell whether they are the tenant's that was named.
    pub unattributed: Vec<String>,
    /// Those that could not be read, or not to their end.
    pub unreadable: Obstacles,
    /// Those whose vault could not be read, or not all of it: the answer is without what that would have told.
    pub unopened: Obstacles,
    /// Those whose lines have tokens that were to be given back and are not, for no vault of theirs opens.
    pub unrevealed: Obstacles,
}

impl Gaps {
    /// Whether it lacks none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unsealed == 0
            && self.missing.is_empty()
            && self.unattributed.is_empty()
            && self.unreadable.is_empty()
            && self.unopened.is_empty()
            && self.unrevealed.is_empty()
    }

    /// The code that the ledger keeps of an answer that lacks what could not be read or opened; `None` if all could.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        self.unreadable.code().or(self.unopened.code()).or(self.unrevealed.code())
    }
}

/// What was looked at to make a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanCounts {
    /// Segments of the classes asked for.
    pub segments: u64,
    /// Those of them that are not sealed yet: they were read as far as they had come.
    pub unsealed: u64,
    /// Segments past their expiry day with frames to read: they are not purged yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub past_expiry: u64,
    /// Segments of other tenants than the one that was named, which were left out and are not counted above.
    #[serde(skip_serializing_if = "is_zero")]
    pub of_other_tenants: u64,
    /// Frames of them all.
    pub frames: u64,
    /// Epochs whose secret was needed.
    pub epochs: u64,
    /// HMACs made: one an epoch for an address, one more for its network where that spares reading frames, and
    /// 256 more for an IPv4 /24 where it may occur.
    pub hmacs: u64,
    /// Vaults opened: to find the addresses of an IPv6 network, to give originals back.
    pub vaults: u64,
}

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where the originals of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Originals {
    /// In the vault of its name.
    Beside,
    /// In vaults of the nodes that wrote its lines: a worker of a fleet stored them.
    OfNodes,
}

/// A segment of a plan.
#[derive(Clone, Debug)]
pub struct PlannedSegment {
    /// Its name.
    pub name: SegmentName,
    /// Its file. A part may have been sealed since it was planned, and has lost its last suffix then.
    pub path: PathBuf,
    /// Whether it is a part.
    pub state: State,
    /// Where its originals are.
    pub originals: Originals,
    /// What its vault was when it was sealed; `None` if it has none or is a part.
    pub vault: Option<VaultMark>,
    /// The frames to read, in order.
    pub frames: Vec<PlannedFrame>,
    /// The tokens asked for; `None` if lines of anybody are.
    pub wanted: Option<Arc<Wanted>>,
    /// Its legal zone.
    pub zone: TimeZone,
    /// The zone of times that state none, if it says so.
    pub source_zone: Option<TimeZone>,
    /// The end of the day on which it was sealed; the present for a part.
    pub sealed: Timestamp,
}

/// A frame of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFrame {
    /// Its number in the segment.
    pub number: usize,
    /// The earliest event, in Unix seconds.
    pub first: i64,
    /// The latest event.
    pub last: i64,
    /// Where it lies.
    pub place: FramePlace,
}

impl Plan {
    /// Plans to read what is selected. Secrets are needed only for identifiers in clear. What is damaged or cannot be read,
    /// and may be of the period, is among the gaps.
    ///
    /// # Errors
    /// If a directory cannot be listed; if a secret that is needed is missing.
    pub fn new(
        site: &Site,
        selection: &Selection,
        unsealed: Unsealed,
        secrets: &mut Secrets,
    ) -> Result<Self, Diagnostic> {
        let mut planner = Planner::new(site, selection, secrets);
        let mut found = sealed_and_unsealed(site)?;
        found.retain(|found| selection.takes_class(&found.name.folder.class));
        let kept = Kept::of(site);
        let mut digests = HashSet::new();
        let mut workers = vec![(); threads::count()];
        // Footers are opened some at a time: all of them may be too many for memory.
        for some in found.chunks(FOOTERS_AT_ONCE) {
            let opened = threads::map(&mut workers, some, |(), found| open(site, found, unsealed));
            for (found, opened) in some.iter().zip(opened) {
                let added = match opened {
                    // A copy under another name has no line that was not looked at.
                    Ok(Opened::Sealed(segment, _)) if !digests.insert(*segment.digest()) => Ok(()),
                    Ok(Opened::Sealed(segment, path)) => planner.add(&found.name, path, &segment),
                    Ok(Opened::Part(part)) => planner.add_part(found, &part),
                    Ok(Opened::LeftOut) => {
                        planner.plan.gaps.unsealed += 1;
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                };
                let Err(error) = added else { continue };
                let needed =
                    period::may_be_of(&selection.seconds, site, &found.name, kept.sealed(&found.name));
                let obstacle = Obstacle::of(error)?;
                if needed {
                    planner.plan.gaps.unreadable.insert(&found.name, obstacle);
                }
            }
        }
        planner.plan.gaps.missing = kept.missing(site, selection, &found);
        let mut plan = planner.plan;
        plan.counts.epochs = secrets.epochs() as u64;
        plan.counts.past_expiry = plan.past_expiry(Expires::On(site.today()));
        Ok(plan)
    }

    /// The frame at some place in the plan.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn frame(&self, (segment, frame): Place) -> &PlannedFrame {
        &self.segments[segment].frames[frame]
    }

    /// How many segments expired on `today` or before it.
    fn past_expiry(&self, today: Expires) -> u64 {
        self.segments.iter().filter(|segment| segment.name.folder.expires <= today).count() as u64
    }

    /// How many frames are to be read.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.segments.iter().map(|segment| segment.frames.len() as u64).sum()
    }

    /// How many bytes they have, compressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let frames = self.segments.iter().flat_map(|segment| &segment.frames);
        frames.map(|frame| u64::from(frame.place.bytes)).sum()
    }
}

/// Refuses a class that neither the policy nor the archive knows: that nothing is found would look like an answer.
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

/// Everything in both stores, by name. A segment that a crash left in both is there once, and so is one that
/// was sealed while its directory was read.
pub(in crate::jobs) fn sealed_and_unsealed(site: &Site) -> Result<Vec<Found>, Diagnostic> {
    let mut all = Vec::new();
    for tree in [&site.tree, &site.second_tree()] {
        all.extend(archive::list(&*site.storage, tree)?);
    }
    // A part comes behind the segment of its name.
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
            // It has been sealed in the meantime.
            Err(error) if error.is_missing() => sealed(found.path.with_extension("")),
            part => part.map(Opened::Part),
        },
    }
}

/// Footers in memory at once; that of a segment of 256 MiB has some MiB.
const FOOTERS_AT_ONCE: usize = 32;
