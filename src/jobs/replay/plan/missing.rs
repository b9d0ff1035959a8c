//! Finds segments that were sealed and not purged, and that do not exist: an answer without them would look
//! complete. Also finds segments that exist and that the ledger does not know: then it cannot say which
//! others should exist.

use super::period;
use super::purged::{Purged, Purges};
use crate::archive::Found;
use crate::jobs::purge::{Site, keep};
use crate::jobs::replay::selection::Selection;
use crate::ledger::event::{Erasure, Event, Segment};
use crate::model::SegmentName;
use crate::primitives::hex;
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashSet};

/// What the ledger says about the segments of a site.
pub(super) struct Facts {
    pub(super) kept: Kept,
    /// The purges that may have removed lines asked for.
    pub(super) purged: Purged,
    /// The legal day on which the ledger begins, if the period ends before that.
    pub(super) begins_later: Option<Date>,
    /// The digests of all segments ever sealed; `None` if the ledger is damaged.
    sealed: Option<HashSet<[u8; 32]>>,
}

impl Facts {
    /// Reads the ledger of a site. A damaged ledger names no segments: `verify` reports the damage, and it
    /// stops no answer.
    pub(super) fn of(site: &Site, selection: &Selection) -> Self {
        let (mut kept, mut sealed) = (BTreeMap::new(), HashSet::new());
        let takes = |class: &_| selection.takes_class(class);
        let mut purges = Purges::new(site, &selection.seconds, &takes);
        let mut begins_later = None;
        let read = site.ledger.read(&mut |entry, _| {
            if entry.n == 1 && *selection.seconds.end() < entry.at.as_second() {
                begins_later = Some(entry.day);
            }
            let Some(event) = entry.event() else { return };
            purges.apply(entry, &event, &kept);
            keep(&mut kept, &event, entry.at);
            sealed.extend(digest_of(&event));
        });
        let is_whole = read.is_ok();
        Self {
            kept: Kept(if is_whole { kept } else { BTreeMap::new() }),
            purged: purges.found(),
            begins_later,
            sealed: is_whole.then_some(sealed),
        }
    }

    /// Returns whether the ledger says nothing of a sealed segment that exists.
    pub(super) fn is_unlisted(&self, digest: &[u8; 32]) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| !sealed.contains(digest))
    }
}

/// Returns the digest of the segment that an event says was sealed.
fn digest_of(event: &Event) -> Option<[u8; 32]> {
    match event {
        Event::Segment(Segment { digest, .. }) | Event::EraseIntent(Erasure { digest: Some(digest), .. }) => {
            hex::decode(digest)
        }
        _ => None,
    }
}

/// The segments that the ledger says were sealed and neither purged nor erased, with the time of the seal.
pub(super) struct Kept(BTreeMap<String, Timestamp>);

impl Kept {
    /// Returns when a segment was sealed.
    pub(super) fn sealed(&self, name: &SegmentName) -> Option<Timestamp> {
        self.0.get(&name.to_string()).copied()
    }

    /// Returns the names of segments that may have matching lines and that are neither in `found` nor in the
    /// stores.
    pub(super) fn missing(mut self, site: &Site, selection: &Selection, found: &[Found]) -> Vec<String> {
        for found in found {
            self.0.remove(&found.name.to_string());
        }
        self.0.retain(|name, sealed| {
            SegmentName::parse_path(name).is_some_and(|segment| {
                selection.takes_class(&segment.folder.class)
                    && period::may_be_of(&selection.seconds, site, &segment, Some(*sealed))
            })
        });
        // A segment that was sealed after the directories were read exists now. If a store cannot be looked
        // into, the segment may exist, so it does not count as missing.
        self.0.retain(|name, _| {
            let places = [site.tree.archive.join(name), site.second_tree().archive.join(name)];
            places.iter().all(|place| site.storage.exists(place).is_ok_and(|lies| !lies))
        });
        self.0.into_keys().collect()
    }
}
