//! Computes the requested tokens of each epoch, and finds the frames of a segment that may hold them.

use super::unsearched::{Sorted, days_of};
use super::{Originals, Plan, PlannedFrame, PlannedSegment};
use crate::archive::{Found, Part, Segment};
use crate::jobs::purge::Site;
use crate::jobs::replay::secrets::{Secrets, State};
use crate::jobs::replay::selection::{Identifier, Selection};
use crate::jobs::replay::spelling::TagKey;
use crate::jobs::replay::tenancy::Share;
use crate::jobs::replay::wanted::Wanted;
use crate::model::{Kind, NodeName, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochKeys;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Plans one segment after another.
pub(super) struct Planner<'p> {
    site: &'p Site,
    selection: &'p Selection,
    /// The names of all segments.
    names: &'p [SegmentName],
    pub(super) secrets: &'p mut Secrets,
    /// The tokens that were named as such. They suffice if no identifier in clear is requested.
    named: Rc<InEpoch>,
    /// The requested tokens of each epoch, by node, kid and tenant.
    epochs: HashMap<(NodeName, [u8; 5], String), Rc<InEpoch>>,
    /// The requested tokens of all epochs together, computed when first needed.
    in_any_epoch: Option<Rc<InEpoch>>,
    sorted: Sorted,
    pub(super) plan: Plan,
}

/// The requested tokens, as they are in one epoch.
struct InEpoch {
    /// `None` if no identifier in clear is requested.
    keys: Option<EpochKeys>,
    /// Tokens that occur in lines; for an address, with the network that its frames must also contain.
    tokens: HashMap<TagKey, Option<NetworkOf>>,
    wanted: Arc<Wanted>,
    /// Tokens of networks, which occur only in filters, with the network.
    networks: Vec<(TagKey, Identifier)>,
}

/// The network of an address. Its token is in the filter of every frame that contains the address, so a frame
/// passes by chance once in 256 times instead of once in 16.
struct NetworkOf {
    canonical: Zeroizing<Vec<u8>>,
    tag: OnceCell<[u8; 16]>,
}

impl InEpoch {
    fn of(
        keys: Option<EpochKeys>,
        tokens: HashMap<TagKey, Option<NetworkOf>>,
        networks: Vec<(TagKey, Identifier)>,
    ) -> Self {
        let wanted = Arc::new(Wanted::new(tokens.keys().copied().collect()));
        Self { keys, tokens, wanted, networks }
    }

    /// Returns the tokens that occur in lines, together with `others`.
    fn wanted_and(&self, mut others: Vec<TagKey>) -> Arc<Wanted> {
        if others.is_empty() {
            return Arc::clone(&self.wanted);
        }
        others.extend(self.wanted.iter());
        Arc::new(Wanted::new(others.into_iter().collect()))
    }
}

impl<'p> Planner<'p> {
    pub(super) fn new(
        site: &'p Site,
        selection: &'p Selection,
        names: &'p [SegmentName],
        secrets: &'p mut Secrets,
    ) -> Self {
        let named = selection.tokens.iter().map(|token| (*token, None)).collect();
        let named = Rc::new(InEpoch::of(None, named, Vec::new()));
        let (epochs, in_any_epoch) = (HashMap::new(), None);
        let (sorted, plan) = (Sorted::default(), Plan::default());
        Self { site, selection, names, secrets, named, epochs, in_any_epoch, sorted, plan }
    }

    /// Returns the plan.
    ///
    /// # Errors
    /// If every segment of the period needs a secret that cannot be had.
    pub(super) fn finished(self) -> Result<Plan, Diagnostic> {
        let mut plan = self.plan;
        plan.gaps.unsearched = self.sorted.demand_something()?;
        Ok(plan)
    }

    /// Adds a sealed segment, which is in the file `path`.
    pub(super) fn add(
        &mut self,
        name: &SegmentName,
        path: PathBuf,
        segment: &Segment,
    ) -> Result<(), Diagnostic> {
        let in_time: Vec<usize> = segment.frames_with(self.selection.seconds.clone(), None).collect();
        if !in_time.is_empty() && !self.is_searched(name)? {
            return Ok(());
        }
        let (frames, wanted) = if !in_time.is_empty() && self.selection.names_somebody() {
            let days = days_of(self.site, segment, in_time.iter().copied());
            let looked = self.with_secret(name, |planner| planner.of_somebody(segment, name));
            let Some((frames, wanted)) = self.sorted.sort(name, days, looked, self.secrets)? else {
                return Ok(());
            };
            (frames, Some(wanted))
        } else {
            (in_time, None)
        };
        self.plan.counts.segments += 1;
        self.plan.counts.frames += segment.footer().frames.len() as u64;
        if !frames.is_empty() {
            self.plan.segments.push(planned(segment, name, path, &frames, wanted));
        }
        Ok(())
    }

    /// Adds a part. It has no index, so every frame of it is searched.
    pub(super) fn add_part(&mut self, found: &Found, part: &Part) -> Result<(), Diagnostic> {
        let mut parts = part.frames().enumerate().peekable();
        if parts.peek().is_none() {
            // Nothing has been written to the part yet, and its vault may be just as new.
            return Ok(());
        }
        if !self.is_searched(&found.name)? {
            return Ok(());
        }
        let wanted = if self.selection.names_somebody() {
            let looked = self.with_secret(&found.name, |planner| planner.in_part(&found.name));
            let Some(wanted) = self.sorted.sort(&found.name, None, looked, self.secrets)? else {
                return Ok(());
            };
            Some(wanted)
        } else {
            None
        };
        let mut frames = Vec::new();
        for (number, (place, lines)) in parts {
            self.plan.counts.frames += 1;
            if wanted.as_ref().is_none_or(|wanted| wanted.is_in(&lines)) {
                frames.push(PlannedFrame { number, first: i64::MIN, last: i64::MAX, place });
            }
        }
        self.plan.counts.segments += 1;
        self.plan.counts.unsealed += 1;
        if !frames.is_empty() {
            self.plan.segments.push(PlannedSegment {
                name: found.name.clone(),
                path: found.path.clone(),
                state: State::Unsealed,
                originals: Originals::Beside,
                vault: None,
                frames,
                wanted,
                zone: self.site.zone.clone(),
                source_zone: None,
                sealed: self.site.now,
            });
        }
        Ok(())
    }

    /// Looks in a segment, and again if its secret is missing and another segment of its epoch gives it.
    fn with_secret<T>(
        &mut self,
        name: &SegmentName,
        look: impl Fn(&mut Self) -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        let looked = look(self);
        let Err(refusal) = &looked else { return looked };
        match self.sorted.has_secret_elsewhere(name, refusal, self.names, self.secrets) {
            true => look(self),
            false => looked,
        }
    }

    /// Returns whether a segment belongs to the named tenant, or true if none was named. Counts segments that
    /// are left out.
    fn is_searched(&mut self, name: &SegmentName) -> Result<bool, Diagnostic> {
        let share = self.secrets.share_of(name, self.selection.sought())?;
        match share {
            Share::Searched => {}
            Share::OfAnother => self.plan.counts.of_other_tenants += 1,
            Share::Unknown => self.plan.gaps.unattributed.push(name.to_string()),
        }
        Ok(share == Share::Searched)
    }

    /// Returns the tokens to look for in a part.
    fn in_part(&mut self, name: &SegmentName) -> Result<Arc<Wanted>, Diagnostic> {
        let epoch = self.in_epoch(name)?;
        let mut inside = Vec::new();
        for (_, network) in &epoch.networks {
            inside.extend(self.addresses_of(network, epoch.keys.as_ref(), name, State::Unsealed)?);
        }
        Ok(epoch.wanted_and(inside))
    }

    /// Returns the frames of a segment that may have lines of a person who is sought, and the tokens to look
    /// for in them.
    fn of_somebody(
        &mut self,
        segment: &Segment,
        name: &SegmentName,
    ) -> Result<(Vec<usize>, Arc<Wanted>), Diagnostic> {
        let epoch = self.in_epoch(name)?;
        let mut frames = BTreeSet::new();
        for (token, network) in &epoch.tokens {
            frames.extend(self.frames_with(segment, &epoch, *token, network.as_ref()));
        }
        let mut inside = Vec::new();
        for (network, identifier) in &epoch.networks {
            let unknown = segment.footer().origin.networks_unknown;
            if unknown || !self.frames_of(segment, &network.tag()).is_empty() {
                inside.extend(self.addresses_of(identifier, epoch.keys.as_ref(), name, State::Sealed)?);
            }
        }
        frames.extend(inside.iter().flat_map(|token| self.frames_of(segment, &token.tag())));
        Ok((frames.into_iter().collect(), epoch.wanted_and(inside)))
    }

    fn in_epoch(&mut self, name: &SegmentName) -> Result<Rc<InEpoch>, Diagnostic> {
        if self.selection.identifiers.is_empty() {
            return Ok(Rc::clone(&self.named));
        }
        if name.kid == SegmentName::MANY_EPOCHS {
            return self.in_any_epoch(name);
        }
        let place = (name.node.clone(), name.kid, self.secrets.tenant_of(name)?);
        if let Some(known) = self.epochs.get(&place) {
            return Ok(Rc::clone(known));
        }
        let keys = self.secrets.keys_of(name)?;
        let mut tokens: HashMap<_, _> = self.selection.tokens.iter().map(|token| (*token, None)).collect();
        let mut networks = Vec::new();
        for identifier in &self.selection.identifiers {
            let key = TagKey::of(&keys.tag(identifier.kind, &identifier.canonical));
            self.plan.counts.hmacs += 1;
            if identifier.kind == Kind::NET {
                networks.push((key, identifier.clone()));
            } else {
                let network =
                    identifier.network().map(|canonical| NetworkOf { canonical, tag: OnceCell::new() });
                tokens.insert(key, network);
            }
        }
        let epoch = Rc::new(InEpoch::of(Some(keys), tokens, networks));
        self.epochs.insert(place, Rc::clone(&epoch));
        Ok(epoch)
    }

    /// Computes the requested tokens in the epochs of all secrets: a worker of a fleet stores the lines of
    /// all nodes together.
    fn in_any_epoch(&mut self, name: &SegmentName) -> Result<Rc<InEpoch>, Diagnostic> {
        if let Some(known) = &self.in_any_epoch {
            return Ok(Rc::clone(known));
        }
        let mut tokens: HashMap<_, _> = self.selection.tokens.iter().map(|token| (*token, None)).collect();
        for keys in self.secrets.of_all(name)? {
            for identifier in &self.selection.identifiers {
                if identifier.kind == Kind::NET {
                    let inside = self.addresses_of(identifier, Some(&keys), name, State::Sealed)?;
                    tokens.extend(inside.into_iter().map(|token| (token, None)));
                } else {
                    tokens.insert(TagKey::of(&keys.tag(identifier.kind, &identifier.canonical)), None);
                    self.plan.counts.hmacs += 1;
                }
            }
        }
        let epoch = Rc::new(InEpoch::of(None, tokens, Vec::new()));
        self.in_any_epoch = Some(Rc::clone(&epoch));
        Ok(epoch)
    }

    /// Returns the tokens of the addresses in a network: all 256 of an IPv4 /24, or those that the vault of
    /// the segment has of an IPv6 /64.
    fn addresses_of(
        &mut self,
        network: &Identifier,
        keys: Option<&EpochKeys>,
        name: &SegmentName,
        state: State,
    ) -> Result<Vec<TagKey>, Diagnostic> {
        let prefix: &[u8] = &network.canonical;
        if let (Some(4), Some(keys)) = (prefix.first(), keys) {
            let all = (0..=u8::MAX).map(|last| [prefix, &[last]].concat());
            self.plan.counts.hmacs += 256;
            return Ok(all.map(|address| TagKey::of(&keys.tag(Kind::IP, &address))).collect());
        }
        let Some(opened) = self.secrets.open_readable(name, state, None)? else { return Ok(Vec::new()) };
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

    /// Returns the frames of the period that may hold a token. If there are several, they must also contain
    /// the token's network.
    fn frames_with(
        &mut self,
        segment: &Segment,
        epoch: &InEpoch,
        token: TagKey,
        network: Option<&NetworkOf>,
    ) -> Vec<usize> {
        let mut frames = self.frames_of(segment, &token.tag());
        if let (Some(network), Some(keys)) = (network, &epoch.keys)
            && frames.len() >= FRAMES_WORTH_AN_HMAC
            && !segment.footer().origin.networks_unknown
        {
            let hmacs = &mut self.plan.counts.hmacs;
            let tag = network.tag.get_or_init(|| {
                *hmacs += 1;
                keys.tag(Kind::NET, &network.canonical)
            });
            let of_network: HashSet<usize> = self.frames_of(segment, tag).into_iter().collect();
            frames.retain(|frame| of_network.contains(frame));
        }
        frames
    }

    fn frames_of(&self, segment: &Segment, tag: &[u8; 16]) -> Vec<usize> {
        segment.frames_with(self.selection.seconds.clone(), Some(tag)).collect()
    }
}

fn planned(
    segment: &Segment,
    name: &SegmentName,
    path: PathBuf,
    frames: &[usize],
    wanted: Option<Arc<Wanted>>,
) -> PlannedSegment {
    let footer = segment.footer();
    let frame = |&number: &usize| {
        let entry = &footer.frames[number];
        PlannedFrame { number, first: entry.first, last: entry.last, place: segment.place(number) }
    };
    // A fixed epoch may have the kid `SegmentName::MANY_EPOCHS` by chance, but then the segment has a
    // vault.
    let of_worker = name.kid == SegmentName::MANY_EPOCHS && footer.vault.is_none();
    let zone = TimeZone::get(&footer.origin.zone).unwrap_or(TimeZone::UTC);
    // Every day of the calendar has an instant, except perhaps the last one.
    let sealed = segment.seal().day.tomorrow().and_then(|day| day.to_zoned(zone.clone()));
    PlannedSegment {
        name: name.clone(),
        path,
        state: State::Sealed,
        originals: if of_worker { Originals::OfNodes } else { Originals::Beside },
        vault: footer.vault,
        frames: frames.iter().map(frame).collect(),
        wanted,
        zone,
        source_zone: footer.origin.source_zone.as_deref().and_then(|name| TimeZone::get(name).ok()),
        sealed: sealed.map_or(Timestamp::MAX, |zoned| zoned.timestamp()),
    }
}

/// The number of frames in a segment from which one more HMAC costs less than reading the frames that pass by
/// chance: a microsecond, against half a millisecond per frame.
const FRAMES_WORTH_AN_HMAC: usize = 2;
