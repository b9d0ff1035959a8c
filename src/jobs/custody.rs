//! Records in the ledger which keys were made and erased: shred keys of expiry days, and secrets of epochs.
//! The ledger itself seals the segments.

use crate::keyring::{self, EpochRecord, EpochState, Escrow, KeyError, Keyring, Rotation, StateDir};
use crate::ledger::{Event, Ledger};
use crate::model::{Expires, ShredKeys};
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::primitives::storage::Patience;
use crate::pseudonym::epoch::{Epoch, EpochLength};
use crate::shred::{Kept, ShredError, ShredStore};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Shred keys, each of which is recorded in the ledger.
pub struct RecordedShredKeys {
    store: ShredStore,
    ledger: Ledger,
    zone: TimeZone,
    warn: Box<dyn Fn(&Diagnostic) + Send>,
    patience: Arc<Patience>,
    /// The days whose key exists by the ledger, which is read for the first new key: a log of many years
    /// needs thousands. Others may make keys meanwhile, but those are found in the store.
    recorded: Option<BTreeSet<String>>,
}

impl RecordedShredKeys {
    /// Wraps `store`, so that `ledger` records its keys. Days are in `zone`. Calls `warn` if a key was lost.
    #[must_use]
    pub fn new(
        store: ShredStore,
        ledger: Ledger,
        zone: TimeZone,
        warn: Box<dyn Fn(&Diagnostic) + Send>,
    ) -> Self {
        Self { store, ledger, zone, warn, patience: Arc::default(), recorded: None }
    }

    /// Makes operations wait, as long as `patience` lasts, for a disk that accepts no writes.
    #[must_use]
    pub fn waiting_with(self, patience: Arc<Patience>) -> Self {
        let ledger = self.ledger.waiting_with(Arc::clone(&patience));
        Self { ledger, patience, ..self }
    }

    /// Returns whether the ledger says that a key of `expires` exists. A damaged ledger does not say so:
    /// `verify` reports the damage.
    fn should_be_there(&mut self, expires: &str) -> bool {
        if let Some(recorded) = &self.recorded {
            return recorded.contains(expires);
        }
        let mut recorded = BTreeSet::new();
        let read = self.ledger.read(&mut |entry, _| match entry.event() {
            Some(Event::ShredKeyMade { expires }) => drop(recorded.insert(expires)),
            Some(Event::ShredKeyErased { expires }) => drop(recorded.remove(&expires)),
            _ => {}
        });
        read.is_ok() && self.recorded.insert(recorded).contains(expires)
    }

    /// Records in the ledger that the key of `expires` was made; before that, if it had been made already,
    /// that it was lost.
    fn record(&mut self, expires: Expires) -> Result<(), Diagnostic> {
        let name = expires.to_string();
        if self.should_be_there(&name) {
            self.ledger.append(Event::ShredKeyLost { expires: name.clone() })?;
            (self.warn)(&self.store.lost(expires));
        }
        self.ledger.append(Event::ShredKeyMade { expires: name.clone() })?;
        if let Some(recorded) = &mut self.recorded {
            recorded.insert(name);
        }
        Ok(())
    }

    /// Returns whether the legal day of `expires` has come for certain.
    fn has_come(&mut self, expires: Expires) -> Result<bool, Diagnostic> {
        Ok(expires <= Expires::On(self.ledger.certain_now()?.to_zoned(self.zone.clone()).date()))
    }
}

impl fmt::Debug for RecordedShredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedShredKeys").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A keyring whose secrets are recorded in a ledger: when each was made, and when it was erased.
#[derive(Debug)]
pub struct RecordedKeyring {
    keyring: Keyring,
    ledger: Option<Ledger>,
    /// Events from before there was a ledger.
    untold: Vec<Event>,
    patience: Arc<Patience>,
}

impl RecordedKeyring {
    /// Opens the keyring.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn open(settings: keyring::Settings) -> Result<Self, KeyError> {
        let (untold, patience) = (Vec::new(), Arc::default());
        Ok(Self { keyring: Keyring::open(settings)?, ledger: None, untold, patience })
    }

    /// Records in `ledger` the event `first`, what has happened so far, and from now on every change.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn record(&mut self, mut ledger: Ledger, first: Event) -> Result<(), Diagnostic> {
        ledger = ledger.waiting_with(Arc::clone(&self.patience));
        ledger.append(first)?;
        self.ledger = Some(ledger);
        self.tell()
    }

    /// Makes the keyring record every change from now on in `ledger`, if there is one.
    #[must_use]
    pub fn told_to(self, ledger: Option<Ledger>) -> Self {
        Self { ledger, ..self }
    }

    /// Makes operations wait, as long as `patience` lasts, for a disk that accepts no writes.
    #[must_use]
    pub fn waiting_with(self, patience: Arc<Patience>) -> Self {
        Self { patience, ..self }
    }

    /// Returns the ledger, if there is one.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// Does what [`Keyring::current`] does. The ledger records every change of secrets before this returns.
    ///
    /// # Errors
    /// As [`Keyring::current`]; also if the ledger cannot be written.
    pub fn current(&mut self, now: Timestamp) -> Result<keyring::Current, Diagnostic> {
        let patience = Arc::clone(&self.patience);
        self.changing(|keyring| patiently(&patience, keyring, |keyring| keyring.current(now)))
    }

    /// Does what [`Keyring::current`] does, except that no secret ends and no seed advances. Returns `None`
    /// if the secret of that epoch is not here but others are.
    ///
    /// # Errors
    /// As [`Keyring::current`] and [`Keyring::asked`]; also if the ledger cannot be written.
    pub fn asked(&mut self, now: Timestamp) -> Result<Option<keyring::Current>, Diagnostic> {
        let asked = self.keyring.asked(now)?;
        if asked.is_some() || self.keyring.has_secrets()? {
            return Ok(asked);
        }
        self.current(now).map(Some)
    }

    /// Does what [`Keyring::in_place_at`] does.
    ///
    /// # Errors
    /// As [`Keyring::in_place_at`].
    pub fn in_place_at(&self, now: Timestamp) -> Result<Option<(Epoch, EpochLength)>, KeyError> {
        self.keyring.in_place_at(now)
    }

    /// Does what [`Keyring::erase_past`] does, and records it in the ledger.
    ///
    /// # Errors
    /// As [`Keyring::erase_past`]; also if the ledger cannot be written.
    pub fn erase_past(&mut self, now: Timestamp) -> Result<Vec<Epoch>, Diagnostic> {
        let patience = Arc::clone(&self.patience);
        self.changing(|keyring| {
            // An attempt that finds no room to record what it erased finds nothing to erase the next time.
            let past = keyring.past(now)?;
            patiently(&patience, keyring, |keyring| keyring.erase_past(now)).map(|_| past)
        })
    }

    /// Records the end of those of the secrets `made`, by epoch and kid, that are erased: whoever erased them
    /// was killed before it was recorded.
    ///
    /// # Errors
    /// If the history or the ledger cannot be read or written.
    pub fn tell_the_end_of(&mut self, made: &BTreeSet<(String, String)>) -> Result<(), Diagnostic> {
        for EpochRecord { epoch, kid, state, .. } in self.keyring.history()? {
            let secret = (epoch, kid);
            if state == EpochState::Destroyed && made.contains(&secret) {
                let (epoch, kid) = secret;
                self.untold.push(Event::EpochSecretErased { epoch, kid });
            }
        }
        self.tell()
    }

    /// Does what [`Keyring::rotate`] does, and records it in the ledger.
    ///
    /// # Errors
    /// As [`Keyring::rotate`]; also if the ledger cannot be written.
    pub fn rotate(&mut self, now: Timestamp) -> Result<Rotation, Diagnostic> {
        self.changing(|keyring| keyring.rotate(now))
    }

    /// Does what [`Keyring::wrap_again`] does, and records it in the ledger.
    ///
    /// # Errors
    /// As [`Keyring::wrap_again`]; also if the ledger cannot be written.
    pub fn wrap_again(&mut self, now: Timestamp) -> Result<(Epoch, usize), Diagnostic> {
        self.changing(|keyring| keyring.wrap_again(now))
    }

    /// Returns the state directory of the node; `None` if a key file is used.
    #[must_use]
    pub fn state(&self) -> Option<&StateDir> {
        self.keyring.state()
    }

    /// Applies `change` to the keyring, and records what became of secrets, even if it failed half way.
    fn changing<T>(
        &mut self,
        change: impl FnOnce(&mut Keyring) -> Result<T, KeyError>,
    ) -> Result<T, Diagnostic> {
        let before = self.keyring.history()?;
        let changed = change(&mut self.keyring);
        self.untold.extend(changes(&before, &self.keyring.history()?));
        self.tell()?;
        Ok(changed?)
    }

    /// Does what [`Keyring::escrow`] does.
    ///
    /// # Errors
    /// As [`Keyring::escrow`].
    pub fn escrow(&self) -> Result<Option<Escrow>, KeyError> {
        self.keyring.escrow()
    }

    fn tell(&mut self) -> Result<(), Diagnostic> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        for event in self.untold.drain(..) {
            ledger.append(event)?;
        }
        Ok(())
    }
}

/// Applies `change` to the keyring, as often as `patience` has it. One that was interrupted continues where
/// it stopped, as after a crash.
fn patiently<T>(
    patience: &Patience,
    keyring: &mut Keyring,
    mut change: impl FnMut(&mut Keyring) -> Result<T, KeyError>,
) -> Result<T, KeyError> {
    match keyring.state().map(|state| state.path("keys")) {
        Some(keys) => patience.attempt(&keys, || change(keyring)),
        None => change(keyring),
    }
}

/// Returns what became of epoch secrets between two states of a keyring's history.
fn changes(before: &[EpochRecord], after: &[EpochRecord]) -> Vec<Event> {
    let known = |record: &EpochRecord| {
        before.iter().find(|known| (&known.epoch, &known.kid) == (&record.epoch, &record.kid))
    };
    let mut events = Vec::new();
    for record in after {
        let EpochRecord { epoch, kid, recipients, state, .. } = record.clone();
        let was = known(record).map(|known| known.state);
        if state == EpochState::Destroyed && was != Some(EpochState::Destroyed) {
            events.push(Event::EpochSecretErased { epoch, kid });
        } else if was.is_none() {
            events.push(Event::EpochSecretMade { epoch, kid, recipients });
        }
    }
    events
}

impl ShredKeys for RecordedShredKeys {
    /// Makes no key for a day that has begun, whether it was purged yet or not.
    fn key_for(&mut self, expires: Expires) -> Result<Option<Secret>, Diagnostic> {
        if self.has_come(expires)? {
            return Ok(None);
        }
        let kept = self.patience.attempt(self.store.directory(), || self.store.key_for(expires));
        let Kept { key, is_new } = match kept {
            // The day has come since the check above, and a purge with it.
            Err(ShredError::Expired { .. }) if self.has_come(expires)? => return Ok(None),
            kept => kept?,
        };
        if is_new {
            // The entry is durable before the key is used. A crash in between leaves a key under which
            // nothing was written.
            self.record(expires)?;
        }
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::scene::{self, DAY, MIDNIGHT, WRITTEN, events, site};
    use crate::primitives::storage::{Memory, Storage};
    use std::path::Path;
    use std::sync::Arc;

    fn keys(memory: &Memory, now: &str) -> RecordedShredKeys {
        let site = site(memory, now).unwrap();
        RecordedShredKeys::new(site.shred, site.ledger, site.zone, Box::new(|lost| panic!("{lost}")))
    }

    #[test]
    fn a_key_that_is_made_is_in_the_ledger_once() {
        let memory = Memory::new();
        let first = keys(&memory, WRITTEN).key_for(Expires::On(DAY)).unwrap().unwrap();
        let again = keys(&memory, WRITTEN).key_for(Expires::On(DAY)).unwrap().unwrap();
        assert_eq!(first.expose(), again.expose());
        let made = Event::ShredKeyMade { expires: DAY.to_string() };
        assert_eq!(events(&memory).iter().filter(|event| **event == made).count(), 1);
    }

    #[test]
    fn a_key_that_was_lost_is_told_and_another_one_is_made() {
        let memory = Memory::new();
        let first = keys(&memory, WRITTEN).key_for(Expires::On(DAY)).unwrap().unwrap();
        // As `rm` does it: nothing records why.
        let remove = |storage: Arc<dyn Storage>| {
            storage.unlink(&Path::new("/state/shred").join(DAY.to_string())).unwrap();
        };
        remove(Arc::new(memory.clone()));
        let (send, told) = std::sync::mpsc::channel();
        let site = site(&memory, WRITTEN).unwrap();
        let warn = Box::new(move |lost: &Diagnostic| send.send(lost.to_string()).unwrap());
        let mut keys = RecordedShredKeys::new(site.shred, site.ledger, site.zone, warn);
        let second = keys.key_for(Expires::On(DAY)).unwrap().unwrap();
        keys.key_for(Expires::On(DAY)).unwrap();
        // Once more, while the same process runs.
        remove(Arc::new(memory.clone()));
        let third = keys.key_for(Expires::On(DAY)).unwrap().unwrap();
        drop(keys);
        assert_ne!(first.expose(), second.expose());
        assert_ne!(second.expose(), third.expose());
        let warnings: Vec<String> = told.iter().collect();
        assert!(
            warnings.len() == 2 && warnings.iter().all(|told| told.contains("2027-11-24")),
            "{warnings:?}"
        );
        let expires = DAY.to_string();
        let keys: Vec<Event> =
            events(&memory).into_iter().filter(|event| format!("{event:?}").starts_with("Shred")).collect();
        let made = Event::ShredKeyMade { expires: expires.clone() };
        let lost = Event::ShredKeyLost { expires };
        assert_eq!(keys, [made.clone(), lost.clone(), made.clone(), lost, made]);
    }

    #[test]
    fn secrets_of_epochs_are_told_when_they_are_made_and_erased() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::new();
        let mut keyring = RecordedKeyring::open(scene::keys(directory.path())).unwrap();
        keyring.current(WRITTEN.parse().unwrap()).unwrap();
        let start = Event::Start { command: "filter".to_owned(), version: "0".to_owned() };
        keyring.record(site(&memory, WRITTEN).unwrap().ledger, start.clone()).unwrap();
        keyring.current(WRITTEN.parse().unwrap()).unwrap();
        keyring.current("2026-11-24T10:00:00Z".parse().unwrap()).unwrap();
        let told = events(&memory);
        let epochs: Vec<&str> = told
            .iter()
            .filter_map(|event| match event {
                Event::EpochSecretMade { epoch, .. } | Event::EpochSecretErased { epoch, .. } => {
                    Some(epoch.as_str())
                }
                _ => None,
            })
            .collect();
        assert_eq!((&told[1], epochs), (&start, vec!["2026-11-23", "2026-11-23", "2026-11-24"]));
        assert!(matches!(told[3], Event::EpochSecretErased { .. }));
    }

    #[test]
    fn a_rotation_by_hand_and_the_end_of_a_leftover_secret_are_told() {
        let (directory, memory) = (tempfile::tempdir().unwrap(), Memory::new());
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let settings = keyring::Settings { zone, ..scene::keys(directory.path()) };
        let next_day = "2026-11-24T10:00:00Z";
        let ledger = |now| Some(site(&memory, now).unwrap().ledger);
        let at = |now: &str| now.parse::<Timestamp>().unwrap();
        crate::jobs::keys::rotate(settings.clone(), ledger(WRITTEN), at(WRITTEN)).unwrap();
        crate::jobs::keys::rotate(settings.clone(), ledger(WRITTEN), at(WRITTEN)).unwrap();
        // The purge of the next day removes what is left of it.
        let purge = |now| {
            let mut site =
                crate::jobs::purge::Site { keys: Some(settings.clone()), ..site(&memory, now).unwrap() };
            let planned = site.plan(&|_| {}).unwrap();
            assert_eq!(site.purge(false, &|_| {}).unwrap(), planned);
            planned.epochs.len()
        };
        assert_eq!((purge(WRITTEN), purge(next_day), purge(next_day)), (0, 1, 0));
        let kind = |event: &Event| match event {
            Event::EpochSecretMade { .. } => Some("made"),
            Event::EpochSecretErased { .. } => Some("erased"),
            _ => None,
        };
        let told: Vec<_> = events(&memory).iter().filter_map(kind).collect();
        assert_eq!(told, ["made", "erased", "made", "erased"]);
    }

    /// It was killed after it had erased the secret, and before the ledger said so.
    #[test]
    fn the_end_of_a_secret_that_was_not_told_is_told_by_the_next_purge() {
        let (directory, memory) = (tempfile::tempdir().unwrap(), Memory::new());
        let settings = keyring::Settings {
            directory: directory.path().to_owned(),
            source: keyring::SecretSource::StateDir,
            length: crate::pseudonym::epoch::EpochLength::Day,
            zone: TimeZone::UTC,
            is_clock_stated: false,
        };
        let next_day = "2026-11-24T10:00:00Z";
        let keyring = RecordedKeyring::open(settings.clone()).unwrap();
        let ledger = Some(site(&memory, WRITTEN).unwrap().ledger);
        keyring.told_to(ledger).current(WRITTEN.parse().unwrap()).unwrap();
        Keyring::open(settings.clone()).unwrap().erase_past(next_day.parse().unwrap()).unwrap();
        let is_end = |event: &Event| matches!(event, Event::EpochSecretErased { .. });
        assert!(!events(&memory).iter().any(is_end));
        for _ in 0..2 {
            let keys = Some(settings.clone());
            let mut site = crate::jobs::purge::Site { keys, ..site(&memory, next_day).unwrap() };
            site.purge(false, &|_| {}).unwrap();
            assert_eq!(events(&memory).iter().filter(|event| is_end(event)).count(), 1);
        }
    }

    #[test]
    fn a_clock_that_has_jumped_ends_no_epoch() {
        let (directory, memory) = (tempfile::tempdir().unwrap(), Memory::new());
        let keys = scene::keys(directory.path());
        let ledger = Some(site(&memory, WRITTEN).unwrap().ledger);
        crate::jobs::keys::rotate(keys.clone(), ledger, WRITTEN.parse().unwrap()).unwrap();
        let mut site = crate::jobs::purge::Site { keys: Some(keys), ..site(&memory, MIDNIGHT).unwrap() };
        assert_eq!(site.purge(false, &|_| {}).unwrap_err().code.id, "P01");
        assert!(directory.path().join("keys/epoch-2026-11-23.secret").exists());
    }

    #[test]
    fn a_day_that_has_begun_gets_none() {
        let memory = Memory::new();
        assert!(keys(&memory, MIDNIGHT).key_for(Expires::On(DAY)).unwrap().is_none());
        assert!(keys(&memory, MIDNIGHT).key_for(Expires::Contract).unwrap().is_some());
    }

    #[test]
    fn a_day_that_was_purged_and_has_not_come_is_refused() {
        let memory = Memory::new();
        site(&memory, MIDNIGHT).unwrap().shred.expire_until(DAY).unwrap();
        let refused = keys(&memory, WRITTEN).key_for(Expires::On(DAY)).unwrap_err();
        assert_eq!(refused.code.id, "S02");
    }
}
