//! What the ledger says about past purges, and what it will say about this one.

use super::misplaced::Sealed;
use super::wraps::LastDays;
use super::{Batch, Site};
use crate::ledger::LedgerError;
use crate::ledger::event::{self, Event, LeftFile, Purge, PurgedFile};
use crate::primitives::diag::Diagnostic;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// What the ledger says about the past.
#[derive(Debug)]
pub(super) struct History {
    /// Purges with an intent and no end.
    pub(super) unfinished: BTreeMap<Date, UnfinishedPurge>,
    /// Purges of quarantined lines with an intent and no end.
    pub(super) quarantine: BTreeMap<Date, event::Quarantined>,
    /// Segments that were sealed and not purged.
    pub(super) sealed: Sealed,
    /// The last days on which secrets are needed.
    pub(super) last_days: LastDays,
    /// Secrets, by epoch and kid, that were made and of whose end nothing is recorded.
    pub(super) secrets: BTreeSet<(String, String)>,
    /// Where the ledger is damaged: nothing after that is known.
    pub(super) fault: Option<LedgerFault>,
}

/// What an interrupted purge had begun.
#[derive(Debug, Default)]
pub(super) struct UnfinishedPurge {
    files: Vec<PurgedFile>,
    zone: Option<String>,
    pub(super) key_erased: bool,
}

impl UnfinishedPurge {
    /// Returns whether the intent listed a file of that name, which includes its store.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

/// Where a ledger is damaged. Nothing that it says after that is relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFault {
    /// The file and the line.
    pub place: String,
    /// What is wrong with the line.
    pub why: String,
    /// The number of the line, from 1.
    pub(super) line: u64,
}

impl LedgerFault {
    /// Converts an error that reports a fault; returns any other error.
    fn of(error: LedgerError) -> Result<Self, LedgerError> {
        let LedgerError::Fault { path, fault } = error else { return Err(error) };
        let place = format!("{}:{}, byte {}", path.display(), fault.line, fault.offset);
        Ok(Self { place, why: fault.kind.to_string(), line: fault.line })
    }
}

impl Site {
    /// Reads the ledger.
    pub(super) fn history(&self) -> Result<History, Diagnostic> {
        let mut history = History {
            unfinished: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            sealed: Sealed::until(self.today()),
            last_days: LastDays::default(),
            secrets: BTreeSet::new(),
            fault: None,
        };
        let mut apply = |event| history.apply(event);
        let read = self.ledger.read(&mut |entry, _| entry.event().into_iter().for_each(&mut apply));
        history.fault = read.err().map(LedgerFault::of).transpose()?;
        if history.fault.is_some() {
            // Their end may be recorded after the fault.
            history.secrets.clear();
        }
        Ok(history)
    }
}

impl History {
    fn apply(&mut self, event: Event) {
        self.sealed.apply(&event);
        self.last_days.apply(&event);
        match event {
            Event::PurgeIntent(purge) => {
                let begun = self.unfinished.entry(purge.expires).or_default();
                (begun.files, begun.zone) = (purge.files, purge.zone);
            }
            Event::ShredKeyErased { expires } => {
                let day = expires.parse::<Date>().ok();
                if let Some(begun) = day.and_then(|day| self.unfinished.get_mut(&day)) {
                    begun.key_erased = true;
                }
            }
            Event::EpochSecretMade { epoch, kid, .. } => drop(self.secrets.insert((epoch, kid))),
            Event::EpochSecretErased { epoch, kid } => drop(self.secrets.remove(&(epoch, kid))),
            Event::PurgeDone(purge) => drop(self.unfinished.remove(&purge.expires)),
            Event::QuarantineIntent(lines) => drop(self.quarantine.insert(lines.expires, lines)),
            Event::QuarantinePurged(lines) => drop(self.quarantine.remove(&lines.expires)),
            _ => {}
        }
    }
}

/// Returns the entry for the ledger: the files of the batch, and those that an earlier run listed and perhaps
/// removed.
pub(super) fn joined(expires: Date, batch: &Batch, before: Option<&UnfinishedPurge>) -> Purge {
    let listed = batch.files.iter().map(|file| file.entry.clone());
    // Perhaps none of the files that were listed first is left to state the zone.
    let zone = before.and_then(|begun| begun.zone.clone()).or_else(|| batch.zone.clone());
    let before = before.map(|begun| begun.files.clone()).unwrap_or_default();
    let mut files: BTreeMap<String, PurgedFile> =
        before.into_iter().chain(listed).map(|file| (file.name.clone(), file)).collect();
    let left = batch.left();
    // A directory that cannot be listed may still hold files listed before, so none of these is reported as
    // removed.
    let is_in = |name: &str, left: &LeftFile| {
        name.strip_prefix(&*left.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    files.retain(|name, _| !left.iter().any(|left| is_in(name, left)));
    let files: Vec<PurgedFile> = files.into_values().collect();
    let bytes = files.iter().filter_map(|file| file.bytes).sum();
    let lines = files.iter().filter_map(|file| file.lines).sum();
    Purge { expires, files, bytes, lines, zone, left }
}
