//! Finds what is lost, as far as names of files tell: segments that the ledger lists, and shred keys.
//! `verify` also reads the files, and names each that is at fault.

use super::{Facts, Scope, Stores};
use crate::model::Expires;
use crate::primitives::diag::Diagnostic;
use crate::shred::ShredStore;
use std::collections::BTreeMap;

/// Returns what is lost, in words for people.
///
/// # Errors
/// If the ledger cannot be read again.
pub(super) fn lost(scope: &Scope, facts: &Facts, stores: &Stores) -> Result<Vec<String>, Diagnostic> {
    // Once the key of its day is erased, a segment would be gone in any case.
    let is_missing = |name: &&String| !stores.names.contains(*name) && !facts.erased.contains(day_of(name));
    // Without any segment this is another directory, or its disk is not mounted, which is said once.
    let missing: Vec<&String> =
        if stores.kept.is_empty() { Vec::new() } else { facts.sealed.keys().filter(is_missing).collect() };
    let mut attention = Vec::new();
    let locked = locked(scope, facts, stores, &mut attention);
    if missing.is_empty() && locked.is_empty() {
        return Ok(attention);
    }
    // A purge may have removed them since.
    let mut facts = Facts::default();
    facts.read(scope)?;
    let missing = missing.into_iter().filter(|name| facts.sealed.contains_key(*name));
    let mut counts = BTreeMap::<&str, u64>::new();
    missing.for_each(|name| *counts.entry(day_of(name)).or_default() += 1);
    attention.extend(counts.into_iter().map(|(day, segments)| {
        format!(
            "segments of expiry day {day} that were sealed and not purged, and are not there: {segments}; `oubliette verify DIR` names them"
        )
    }));
    let locked = locked.into_iter().filter(|(expires, _)| !facts.has_purged_key_of(*expires));
    attention.extend(locked.map(|(expires, segments)| {
        format!(
            "segments of expiry day {expires} whose shred key is missing, so that nobody can open their vaults: {segments}; `oubliette verify DIR` tells more"
        )
    }));
    Ok(attention)
}

/// Counts, by expiry day, the segments of this node with a vault but without a shred key. Vaults of other
/// nodes open with the keys there.
fn locked(scope: &Scope, facts: &Facts, stores: &Stores, attention: &mut Vec<String>) -> Vec<(Expires, u64)> {
    let mut counts = BTreeMap::<Expires, u64>::new();
    let ours = stores.with_vault.iter().filter(|name| facts.nodes.contains(&name.node));
    ours.for_each(|name| *counts.entry(name.folder.expires).or_default() += 1);
    let shred = ShredStore::at(&scope.storage, &scope.shred);
    let mut locked = Vec::new();
    for (expires, segments) in counts.into_iter().filter(|(expires, _)| !facts.has_purged_key_of(*expires)) {
        match shred.has(expires) {
            Ok(true) => {}
            Ok(false) => locked.push((expires, segments)),
            Err(error) => attention.push(format!("whether shred keys are there is not known: {error}")),
        }
    }
    locked
}

impl Facts {
    /// Returns whether a purge has erased the shred key, or may have.
    fn has_purged_key_of(&self, expires: Expires) -> bool {
        let is_begun = matches!(expires, Expires::On(day) if self.unfinished.contains(&day));
        is_begun || self.erased.contains(&expires.to_string())
    }
}

/// Returns `2027-11-24` of `expires=2027-11-24/class=mail/web1-2epqf-1.log.zst`.
fn day_of(name: &str) -> &str {
    let directory = name.split('/').next().unwrap_or_default();
    directory.strip_prefix("expires=").unwrap_or(directory)
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::super::tests::scope;
    use super::*;
    use crate::jobs::scene::{DAY, MIDNIGHT, NEXT, WRITTEN, archive, folder, of_day, segment, site, write};
    use crate::ledger::Event;
    use crate::primitives::storage::{Fault, Memory, Storage as _, Survives};
    use std::path::{Path, PathBuf};

    /// Returns what the report says of lost segments and keys.
    fn told(memory: &Memory, now: &str) -> Vec<String> {
        let attention = report(&scope(memory, now)).unwrap().attention;
        attention.into_iter().filter(|line| line.contains("`oubliette verify DIR`")).collect()
    }

    fn path(expires: jiff::civil::Date, class: &str) -> PathBuf {
        Path::new("/log/archive").join(segment(expires, class).to_string())
    }

    #[test]
    fn a_segment_that_is_gone_without_a_purge_needs_a_human() {
        let memory = archive();
        assert!(told(&memory, WRITTEN).is_empty());
        memory.unlink(&path(NEXT, "connection")).unwrap();
        let missing = told(&memory, WRITTEN);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains("2027-11-25 that were sealed and not purged, and are not there: 1;"));
        // The second phase is elsewhere.
        let memory = archive();
        let moved = Path::new("/log/intermediate").join(segment(DAY, "mail").to_string());
        memory.create_directory(moved.parent().unwrap(), 0o700).unwrap();
        memory.rename(&path(DAY, "mail"), &moved).unwrap();
        assert!(told(&memory, WRITTEN).is_empty());
    }

    #[test]
    fn a_shred_key_that_is_gone_without_a_purge_needs_a_human() {
        let memory = archive();
        memory.unlink(&Path::new("/state/shred").join(DAY.to_string())).unwrap();
        let locked = told(&memory, WRITTEN);
        assert_eq!(locked.len(), 1, "{locked:?}");
        assert!(
            locked[0].contains("2027-11-24 whose shred key is missing") && locked[0].contains("vaults: 2;")
        );
    }

    /// Its ledger does not know the later segments, but their node.
    #[test]
    fn a_state_directory_of_last_month_lacks_keys() {
        let restored = Memory::new();
        write(&mut site(&restored, WRITTEN).unwrap(), &folder(DAY, "mail"), false);
        copy(&archive(), &restored, "/log");
        let locked = told(&restored, WRITTEN);
        assert_eq!(locked.len(), 1, "{locked:?}");
        assert!(
            locked[0].contains("2027-11-25 whose shred key is missing") && locked[0].contains("vaults: 1;")
        );
    }

    #[test]
    fn vaults_of_other_nodes_open_elsewhere() {
        let other = Memory::new();
        let mut ours = site(&other, WRITTEN).unwrap();
        ours.ledger.append(Event::ShredKeyMade { expires: DAY.to_string() }).unwrap();
        copy(&archive(), &other, "/log");
        assert_eq!(told(&other, WRITTEN), Vec::<String>::new());
    }

    fn copy(from: &Memory, to: &Memory, root: &str) {
        for (path, bytes) in from.files().into_iter().filter(|(path, _)| path.starts_with(root)) {
            to.create_directory(path.parent().unwrap(), 0o700).unwrap();
            if !to.exists(&path).unwrap() {
                to.create(&path, 0o600).unwrap();
            }
            to.damage(&path, |there| *there = bytes);
        }
    }

    /// A purge names what it does not find, once.
    #[test]
    fn what_is_past_its_day_is_missed_no_longer() {
        let memory = archive();
        memory.unlink(&path(DAY, "mail")).unwrap();
        assert_eq!(told(&memory, MIDNIGHT).len(), 1);
        site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        assert_eq!(told(&memory, MIDNIGHT), Vec::<String>::new());
    }

    /// The process stops at every operation of a purge: what is gone then was purged.
    #[test]
    fn a_purge_loses_nothing() {
        let memory = archive();
        for at in 0.. {
            let disturbed = memory.with_fault(Fault::Freeze(at));
            let purged = site(&disturbed, MIDNIGHT).and_then(|mut site| site.purge(true, &|_| {}));
            let left = disturbed.after_crash(Survives::Everything);
            assert_eq!(told(&left, MIDNIGHT), Vec::<String>::new(), "{at}");
            if purged.is_ok() && !disturbed.is_frozen() {
                break;
            }
        }
    }

    /// The stores are listed after the ledger was read, and a purge does not wait.
    #[test]
    fn a_purge_that_runs_meanwhile_loses_nothing() {
        let memory = archive();
        let scope = scope(&memory, MIDNIGHT);
        let (mut before, mut attention) = (Facts::default(), Vec::new());
        before.read(&scope).unwrap();
        let stores = super::super::stores(&scope, DAY, &mut attention).unwrap();
        site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        let after = super::super::stores(&scope, DAY, &mut attention).unwrap();
        for stores in [stores, after] {
            assert_eq!(lost(&scope, &before, &stores).unwrap(), Vec::<String>::new());
        }
        assert!(of_day(&memory, DAY).is_empty());
    }
}
