//! Segments that were sealed, were not purged, and are not there: an answer without them looks like a whole one.

use crate::archive::Found;
use crate::jobs::purge::Site;
use crate::jobs::replay::selection::Selection;
use crate::ledger::LedgerError;
use crate::ledger::event::{Event, PurgedFile};
use crate::model::ClassName;
use std::collections::BTreeSet;

/// The names, as the ledger has them, of segments of the classes asked for that neither `found` nor the stores have.
/// Which period their lines are of nobody can tell.
pub(super) fn missing(site: &Site, selection: &Selection, found: &[Found]) -> Vec<String> {
    // A ledger that is not whole is for `verify` to tell, and stops no answer.
    let mut missing = kept(site).unwrap_or_default();
    for found in found {
        missing.remove(&found.name.to_string());
    }
    missing.retain(|name| class_of(name).is_some_and(|class| selection.takes_class(&class)));
    // One that was sealed since the directories were read is there now. Where nobody can look it may be.
    missing.retain(|name| {
        let places = [site.tree.archive.join(name), site.second_tree().archive.join(name)];
        places.iter().all(|place| site.storage.exists(place).is_ok_and(|lies| !lies))
    });
    missing.into_iter().collect()
}

/// What the ledger says was sealed and neither purged nor erased.
fn kept(site: &Site) -> Result<BTreeSet<String>, LedgerError> {
    let mut kept = BTreeSet::new();
    site.ledger.read(&mut |entry, _| match entry.event() {
        Some(Event::Segment(segment)) => {
            kept.insert(segment.name);
        }
        // From the intent on a segment may be gone.
        Some(Event::PurgeIntent(purge)) => {
            for name in purge.files.iter().filter_map(within_store) {
                kept.remove(name);
            }
        }
        Some(Event::EraseIntent(erasure)) if erasure.digest.is_none() => {
            kept.remove(&erasure.name);
        }
        _ => {}
    })?;
    Ok(kept)
}

/// The path within the store.
fn within_store(file: &PurgedFile) -> Option<&str> {
    file.name.split_once('/').map(|(_, name)| name)
}

/// The class of `expires=2027-11-24/class=connection/...`.
fn class_of(name: &str) -> Option<ClassName> {
    ClassName::new(name.split('/').nth(1)?.strip_prefix("class=")?)
}
