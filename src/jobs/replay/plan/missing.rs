//! Segments that were sealed, were not purged, and are not there: an answer without them looks like a whole one.

use super::period;
use crate::archive::Found;
use crate::jobs::purge::Site;
use crate::jobs::replay::selection::Selection;
use crate::model::SegmentName;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What the ledger says was sealed and neither purged nor erased, and when.
pub(super) struct Kept(BTreeMap<String, Timestamp>);

impl Kept {
    /// As the ledger of a site has it. One that is not whole is for `verify` to tell, and stops no answer.
    pub(super) fn of(site: &Site) -> Self {
        Self(site.kept().unwrap_or_default())
    }

    /// When a segment was sealed.
    pub(super) fn sealed(&self, name: &SegmentName) -> Option<Timestamp> {
        self.0.get(&name.to_string()).copied()
    }

    /// The names of segments that may have lines asked for and that neither `found` nor the stores have.
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
        // One that was sealed since the directories were read is there now. Where nobody can look it may be.
        self.0.retain(|name, _| {
            let places = [site.tree.archive.join(name), site.second_tree().archive.join(name)];
            places.iter().all(|place| site.storage.exists(place).is_ok_and(|lies| !lies))
        });
        self.0.into_keys().collect()
    }
}
