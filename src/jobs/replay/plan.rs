//! Which frames are to be read: from the footers of segments alone.

use super::secrets::Secrets;
use super::selection::{Identifier, Selection};
use super::spelling::TagKey;
use crate::archive::{self, Found, Segment};
use crate::jobs::purge::Site;
use crate::model::{Kind, Kinds, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::{Epoch, EpochKeys};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What is to be read, segment by segment in the order of their names.
#[derive(Debug, Default)]
pub struct Plan {
    /// Segments with frames that may hold what is asked for.
    pub segments: Vec<PlannedSegment>,
    /// What was looked at.
    pub counts: PlanCounts,
    /// Segments that are not sealed yet: nobody can search them.
    pub unsealed: Vec<SegmentName>,
}

/// What was looked at to make a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanCounts {
    /// Sealed segments of the classes asked for.
    pub segments: u64,
    /// Their frames.
    pub frames: u64,
    /// Epochs whose secret was needed.
    pub epochs: u64,
    /// HMACs made: one an epoch for an address, and 256 more for an IPv4 /24 where it may occur.
    pub hmacs: u64,
    /// Vaults opened: to find the addresses of an IPv6 network, to give originals back.
    pub vaults: u64,
}

/// A segment of a plan.
#[derive(Debug)]
pub struct PlannedSegment {
    /// Its name.
    pub name: SegmentName,
    /// Its file.
    pub path: PathBuf,
    /// The frames to read, in order.
    pub frames: Vec<PlannedFrame>,
    /// The tokens asked for; `None` if lines of anybody are.
    pub tokens: Option<Arc<HashSet<TagKey>>>,
    /// Its legal zone.
    pub zone: TimeZone,
    /// The end of the day on which it was sealed.
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
    /// Its length, compressed.
    pub bytes: u32,
}

impl Plan {
    /// Plans to read what is selected. Secrets are needed only for identifiers in clear.
    ///
    /// # Errors
    /// If a footer cannot be read; if a secret that is needed is missing.
    pub fn new(site: &Site, selection: &Selection, secrets: &mut Secrets) -> Result<Self, Diagnostic> {
        let mut planner = Planner {
            site,
            selection,
            secrets,
            epochs: HashMap::new(),
            in_any_epoch: None,
            plan: Self::default(),
        };
        for found in sealed_and_unsealed(site)? {
            if selection.takes_class(&found.name.folder.class) {
                planner.add(found)?;
            }
        }
        planner.plan.counts.epochs = planner.secrets.epochs() as u64;
        Ok(planner.plan)
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
        frames.map(|frame| u64::from(frame.bytes)).sum()
    }
}

/// Everything in both stores, by name. A segment that a crash left in both is there once.
fn sealed_and_unsealed(site: &Site) -> Result<Vec<Found>, Diagnostic> {
    let mut all = Vec::new();
    for tree in [&site.tree, &site.second_tree()] {
        all.extend(archive::list(&*site.storage, tree)?);
    }
    all.sort();
    all.dedup_by(|later, earlier| (&later.name, later.part) == (&earlier.name, earlier.part));
    Ok(all)
}

struct Planner<'p> {
    site: &'p Site,
    selection: &'p Selection,
    secrets: &'p mut Secrets,
    /// What is asked for in each epoch, by kid and tenant.
    epochs: HashMap<([u8; 5], String), Arc<InEpoch>>,
    /// The tokens of all epochs together, once they were needed.
    in_any_epoch: Option<Arc<HashSet<TagKey>>>,
    plan: Plan,
}

/// The identifiers asked for, as they are in one epoch.
struct InEpoch {
    keys: EpochKeys,
    /// Those that stand in lines.
    tokens: HashSet<TagKey>,
    /// Those of networks, which stand in filters alone, with the network.
    networks: Vec<(TagKey, Identifier)>,
}

impl Planner<'_> {
    fn add(&mut self, found: Found) -> Result<(), Diagnostic> {
        if found.part {
            self.plan.unsealed.push(found.name);
            return Ok(());
        }
        let segment = Segment::open(&*self.site.storage, &found.path)?;
        self.plan.counts.segments += 1;
        self.plan.counts.frames += segment.footer().frames.len() as u64;
        let in_time: Vec<usize> = segment.frames_with(self.selection.seconds.clone(), None).collect();
        if in_time.is_empty() {
            return Ok(());
        }
        let (frames, tokens) = if self.selection.names_somebody() {
            let tokens = self.tokens_in(&segment, &found.name)?;
            (self.frames_with_one_of(&segment, &tokens), Some(Arc::new(tokens)))
        } else {
            (in_time, None)
        };
        if !frames.is_empty() {
            self.plan.segments.push(planned(&segment, found, &frames, tokens));
        }
        Ok(())
    }

    /// The tokens asked for, as they are in this segment.
    fn tokens_in(&mut self, segment: &Segment, name: &SegmentName) -> Result<HashSet<TagKey>, Diagnostic> {
        let mut tokens: HashSet<TagKey> = self.selection.tokens.iter().copied().collect();
        if self.selection.identifiers.is_empty() {
            return Ok(tokens);
        }
        if name.kid == SegmentName::MANY_EPOCHS {
            tokens.extend(self.in_any_epoch(name)?.iter());
            return Ok(tokens);
        }
        let epoch = self.in_epoch(name)?;
        tokens.extend(&epoch.tokens);
        for (network, identifier) in &epoch.networks {
            let asked = HashSet::from([*network]);
            let unknown = segment.footer().origin.networks_unknown;
            if unknown || !self.frames_with_one_of(segment, &asked).is_empty() {
                tokens.extend(self.addresses_of(identifier, &epoch.keys, name)?);
            }
        }
        Ok(tokens)
    }

    /// The tokens asked for, as they are in the epochs of all secrets: a worker of a fleet stores those of all nodes together.
    fn in_any_epoch(&mut self, name: &SegmentName) -> Result<Arc<HashSet<TagKey>>, Diagnostic> {
        if let Some(known) = &self.in_any_epoch {
            return Ok(Arc::clone(known));
        }
        let mut tokens = HashSet::new();
        for keys in self.secrets.of_all(name)? {
            for identifier in &self.selection.identifiers {
                if identifier.kind == Kind::NET {
                    tokens.extend(self.addresses_of(identifier, &keys, name)?);
                } else {
                    tokens.insert(TagKey::of(&keys.tag(identifier.kind, &identifier.canonical)));
                    self.plan.counts.hmacs += 1;
                }
            }
        }
        let tokens = Arc::new(tokens);
        self.in_any_epoch = Some(Arc::clone(&tokens));
        Ok(tokens)
    }

    fn in_epoch(&mut self, name: &SegmentName) -> Result<Arc<InEpoch>, Diagnostic> {
        let place = (name.kid, self.secrets.tenant_of(name)?);
        if let Some(known) = self.epochs.get(&place) {
            return Ok(Arc::clone(known));
        }
        let secret = self.secrets.of(name)?;
        // A tag does not depend on the day of its epoch, and nothing here depends on the kid.
        let keys = EpochKeys::derive(&secret, Epoch::Fixed, &place.1, &Kinds::default());
        let mut epoch = InEpoch { keys, tokens: HashSet::new(), networks: Vec::new() };
        for identifier in &self.selection.identifiers {
            let key = TagKey::of(&epoch.keys.tag(identifier.kind, &identifier.canonical));
            self.plan.counts.hmacs += 1;
            if identifier.kind == Kind::NET {
                epoch.networks.push((key, identifier.clone()));
            } else {
                epoch.tokens.insert(key);
            }
        }
        let epoch = Arc::new(epoch);
        self.epochs.insert(place, Arc::clone(&epoch));
        Ok(epoch)
    }

    /// The tokens of the addresses of a network: of an IPv4 /24 all 256 that there are, of an IPv6 /64 those
    /// in the vault of the segment.
    fn addresses_of(
        &mut self,
        network: &Identifier,
        keys: &EpochKeys,
        name: &SegmentName,
    ) -> Result<Vec<TagKey>, Diagnostic> {
        let prefix: &[u8] = &network.canonical;
        if prefix.first() == Some(&4) {
            let all = (0..=u8::MAX).map(|last| [prefix, &[last]].concat());
            self.plan.counts.hmacs += 256;
            return Ok(all.map(|address| TagKey::of(&keys.tag(Kind::IP, &address))).collect());
        }
        let opened = self.secrets.open(name)?;
        self.plan.counts.vaults += 1;
        let inside = opened
            .originals
            .iter()
            .filter(|original| original.kind == "ip" && original.canonical.starts_with(prefix));
        let keys: Vec<TagKey> =
            inside.map(|original| TagKey::of(&opened.keys.tag(Kind::IP, &original.canonical))).collect();
        self.plan.counts.hmacs += keys.len() as u64;
        Ok(keys)
    }

    fn frames_with_one_of(&self, segment: &Segment, tokens: &HashSet<TagKey>) -> Vec<usize> {
        let mut frames = BTreeSet::new();
        for token in tokens {
            frames.extend(segment.frames_with(self.selection.seconds.clone(), Some(&token.tag())));
        }
        frames.into_iter().collect()
    }
}

fn planned(
    segment: &Segment,
    found: Found,
    frames: &[usize],
    tokens: Option<Arc<HashSet<TagKey>>>,
) -> PlannedSegment {
    let footer = segment.footer();
    let frame = |&number: &usize| {
        let entry = &footer.frames[number];
        PlannedFrame { number, first: entry.first, last: entry.last, bytes: entry.bytes }
    };
    let zone = TimeZone::get(&footer.origin.zone).unwrap_or(TimeZone::UTC);
    // Days of the calendar have an instant, the last one perhaps apart.
    let sealed = segment.seal().day.tomorrow().and_then(|day| day.to_zoned(zone.clone()));
    PlannedSegment {
        name: found.name,
        path: found.path,
        frames: frames.iter().map(frame).collect(),
        tokens,
        zone,
        sealed: sealed.map_or(Timestamp::MAX, |zoned| zoned.timestamp()),
    }
}
