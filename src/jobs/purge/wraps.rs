//! Erases wraps of epoch secrets that nothing archived needs any more.
//!
//! S can make every token of its epoch again, so whoever opens a wrap can find the addresses behind the
//! tokens of a copy by trying them all, without H. In vaults, S is sealed under H. The wrap in the state
//! directory is not, so it is erased with the last of what was archived under it.

use super::{Batch, Item, Reason, Site};
use crate::keyring::{Keyring, Wrap};
use crate::ledger::event::Event;
use crate::model::{Expires, SegmentName};
use crate::primitives::diag::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// By kid, the last day on which anything sealed under it expires.
#[derive(Debug, Default)]
pub(super) struct LastDays(BTreeMap<[u8; 5], Expires>);

impl LastDays {
    /// Takes an entry of the ledger into account.
    pub(super) fn apply(&mut self, event: &Event) {
        let Event::Segment(segment) = event else { return };
        if let Some(SegmentName { folder, kid, .. }) = SegmentName::parse_path(&segment.name) {
            let last = self.0.entry(kid).or_insert(folder.expires);
            *last = folder.expires.max(*last);
        }
    }
}

impl Site {
    /// Returns the wraps for which everything archived under them has expired, and is gone once `purges` are
    /// done.
    pub(super) fn spent_wraps(
        &self,
        last_days: &LastDays,
        purges: &[Batch],
    ) -> Result<Vec<Wrap>, Diagnostic> {
        let Some(keyring) = self.keyring()? else { return Ok(Vec::new()) };
        let today = Expires::On(self.today());
        let mut spent = keyring.past_wraps(self.now)?;
        // A damaged ledger may not list what is removed now.
        let going: BTreeSet<_> = purges.iter().flat_map(|batch| &batch.files).filter_map(kid_of).collect();
        spent.retain(|wrap| match last_days.0.get(&wrap.kid) {
            Some(last) => *last <= today,
            None => going.contains(&wrap.kid),
        });
        if !spent.is_empty() {
            let left = self.kids_left(purges)?;
            spent.retain(|wrap| !left.contains(&wrap.kid));
        }
        Ok(spent)
    }

    /// Returns the kids of segments and parts that may still be needed after `purges`. Nobody needs files
    /// that could not be removed.
    fn kids_left(&self, purges: &[Batch]) -> Result<BTreeSet<[u8; 5]>, Diagnostic> {
        let gone = purges.iter().flat_map(|batch| &batch.files).map(|file| file.entry.name.as_str());
        let blocked = purges.iter().flat_map(|batch| &batch.blocked);
        let stuck = blocked.filter(|blocked| matches!(blocked.reason, Reason::Stuck { .. }));
        let gone: BTreeSet<&str> = gone.chain(stuck.map(|blocked| blocked.name.as_str())).collect();
        let mut left = BTreeSet::new();
        for (store, tree) in [("archive", &self.tree), ("intermediate", &self.second_tree())] {
            for found in self.segments(tree)? {
                let within = found.path.strip_prefix(&tree.archive).unwrap_or(&found.path);
                if !gone.contains(&*format!("{store}/{}", within.display())) {
                    left.insert(found.name.kid);
                }
            }
        }
        Ok(left)
    }

    /// Erases these wraps, and returns those that it erased.
    pub(super) fn erase_spent_wraps(
        &mut self,
        last_days: &LastDays,
        purges: &[Batch],
    ) -> Result<Vec<Wrap>, Diagnostic> {
        let wraps = self.spent_wraps(last_days, purges)?;
        let Some(keys) = &self.keys else { return Ok(wraps) };
        let mut keyring = Keyring::open(keys.clone())?;
        for wrap in &wraps {
            let (epoch, kid) = (wrap.epoch.to_string(), String::from_utf8_lossy(&wrap.kid).into_owned());
            self.ledger.append(Event::WrapErased { epoch, kid })?;
            self.patience.attempt(&keys.directory, || keyring.erase_wrap(wrap))?;
        }
        Ok(wraps)
    }
}

/// Returns the kid of a segment.
fn kid_of(file: &Item) -> Option<[u8; 5]> {
    let (_, name) = file.entry.name.split_once('/')?;
    SegmentName::parse_path(name).map(|name| name.kid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::scene::{DAY, MIDNIGHT, NEXT, WRITTEN, archive, events, folder, segment, site, write};
    use crate::keyring::{self, EpochState, SecretSource};
    use crate::primitives::storage::Memory;
    use crate::pseudonym::epoch::EpochLength;
    use jiff::civil::Date;
    use std::fs;
    use std::path::{Path, PathBuf};

    const AFTER_NEXT: &str = "2027-11-25T10:00:00Z";

    /// A node with the archive of the scene. It has the wrap of that archive's secret, which was erased, and
    /// one other wrap.
    struct Node {
        memory: Memory,
        state: tempfile::TempDir,
    }

    impl Node {
        fn new(secret: EpochState) -> Self {
            let node = Self { memory: archive(), state: tempfile::tempdir().unwrap() };
            Keyring::open(node.keys()).unwrap();
            fs::write(node.wrap("2epqf"), "wrapped").unwrap();
            fs::write(node.wrap("2epzz"), "wrapped").unwrap();
            let record = |kid| keyring::EpochRecord {
                epoch: "2026-11-23".to_owned(),
                kid,
                state: secret,
                created: WRITTEN.parse().unwrap(),
                destroyed: None,
                recipients: 1,
                trial: false,
            };
            let records =
                ["2epqf", "2epzz"].map(|kid| serde_json::to_string(&record(kid.to_owned())).unwrap());
            let history = node.state.path().join("keys/epochs.jsonl");
            fs::write(&history, records.join("\n")).unwrap();
            fs::set_permissions(history, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            node
        }

        fn keys(&self) -> keyring::Settings {
            keyring::Settings {
                directory: self.state.path().to_owned(),
                source: SecretSource::StateDir,
                length: EpochLength::Day,
                zone: jiff::tz::TimeZone::get("Europe/Paris").unwrap(),
                is_clock_stated: false,
            }
        }

        fn wrap(&self, kid: &str) -> PathBuf {
            self.state.path().join(format!("wraps/2026-11-23-{kid}.age"))
        }

        fn site(&self, now: &str) -> Site {
            Site { keys: Some(self.keys()), ..site(&self.memory, now).unwrap() }
        }

        /// Purges, and checks that it does what was planned. Returns how many wraps were erased.
        fn purge(&self, now: &str, held: Option<Date>) -> usize {
            let site = || {
                let mut site = self.site(now);
                site.held.extend(held.map(|day| (segment(day, "mail").to_string(), "2027/0815".to_owned())));
                site
            };
            let planned = site().plan(&|_| {}).unwrap();
            assert_eq!(site().purge(true, &|_| {}).unwrap(), planned);
            planned.wraps.len()
        }
    }

    #[test]
    fn a_wrap_goes_with_the_last_segment_of_its_secret_and_no_other_does() {
        let node = Node::new(EpochState::Destroyed);
        assert_eq!((node.purge(MIDNIGHT, None), node.wrap("2epqf").exists()), (0, true));
        assert_eq!((node.purge(AFTER_NEXT, None), node.wrap("2epqf").exists()), (1, false));
        // Nothing was archived under it here, but somebody who filters into a pipe may need it.
        assert!(node.wrap("2epzz").exists());
        assert_eq!(node.purge(AFTER_NEXT, None), 0);
        let erased = Event::WrapErased { epoch: "2026-11-23".to_owned(), kid: "2epqf".to_owned() };
        assert_eq!(events(&node.memory).iter().filter(|event| **event == erased).count(), 1);
    }

    #[test]
    fn a_wrap_stays_as_long_as_a_segment_of_its_secret_is_held_kept_for_longer_or_written_to() {
        let node = Node::new(EpochState::Destroyed);
        assert_eq!((node.purge(AFTER_NEXT, Some(DAY)), node.purge(AFTER_NEXT, None)), (0, 1));

        let node = Node::new(EpochState::Destroyed);
        write(&mut node.site(WRITTEN), &folder(NEXT.tomorrow().unwrap(), "mail"), false);
        assert_eq!((node.purge(AFTER_NEXT, None), node.purge("2027-11-26T10:00:00Z", None)), (0, 1));

        let node = Node::new(EpochState::Destroyed);
        let writer = write(&mut node.site(WRITTEN), &folder(DAY, "web"), true).unwrap();
        assert_eq!(node.purge(AFTER_NEXT, None), 0);
        drop(writer);
        assert_eq!(node.purge(AFTER_NEXT, None), 1);
    }

    #[test]
    fn the_wrap_of_a_running_secret_stays() {
        let node = Node::new(EpochState::Active);
        assert_eq!((node.purge(AFTER_NEXT, None), node.wrap("2epqf").exists()), (0, true));
    }

    #[test]
    fn a_ledger_that_was_changed_keeps_no_wrap_of_what_goes() {
        let node = Node::new(EpochState::Destroyed);
        // Nothing is trusted from the first line of the ledger on.
        node.memory.damage(Path::new("/state/ledger/ledger.jsonl"), |bytes| bytes[20] ^= 1);
        let purge = |now| node.site(now).purge(true, &|_| {}).unwrap().wraps.len();
        assert_eq!((purge(MIDNIGHT), purge(AFTER_NEXT), node.wrap("2epqf").exists()), (0, 1, false));
    }

    /// A crash between the entry and the erasure of the wrap: the next purge completes it.
    #[test]
    fn a_wrap_that_was_announced_and_is_there_goes_with_the_next_purge() {
        let node = Node::new(EpochState::Destroyed);
        let announced = Event::WrapErased { epoch: "2026-11-23".to_owned(), kid: "2epqf".to_owned() };
        node.site(AFTER_NEXT).ledger.append(announced).unwrap();
        assert_eq!((node.purge(AFTER_NEXT, None), node.wrap("2epqf").exists()), (1, false));
    }
}
