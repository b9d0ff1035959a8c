//! The keyring: epoch secrets on disk, made, escrowed before their first use, kept for their epoch, and
//! erased.
//!
//! ```text
//! <state>/keys/epoch-2026-11-23.secret    S of the running epoch, 32 bytes (source random)
//! <state>/keys/chain                      the newest chain key (source seed)
//! <state>/keys/chain.old                  the one before, until it is overwritten
//! <state>/keys/epochs.jsonl               what was made and erased, without secrets
//! <state>/escrow/recipients.txt           age recipients, one per line
//! <state>/escrow/identity-*.txt           their identities, until somebody moves them off the node
//! <state>/wraps/2026-11-23-2epqf.age      S wrapped to all recipients
//! ```
//! A keyring never sees log lines.

mod chain;
mod error;
mod escrow;
mod history;
mod key_file;
mod random;
mod state_dir;
#[cfg(test)]
mod tests;

use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::{Epoch, EpochLength, kid};
pub use chain::{Chain, SeedFile};
pub use error::{CODES, EXPOSED, KeyError};
pub use escrow::{Ask, Escrow, Identities, Wrap, is_wrapped, unwrap, wrapped_kids, wraps_of};
pub use history::{EpochRecord, EpochState};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
pub use key_file::KeyFile;
pub use state_dir::StateDir;
use std::path::{Path, PathBuf};

/// Where secrets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The state directory: from the fleet seed if one was imported, otherwise random bytes of the operating
    /// system.
    StateDir,
    /// A file that holds S itself; the epoch is fixed.
    KeyFile(KeyFile),
}

/// The settings with which a keyring is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state directory; not touched if a key file is used.
    pub directory: PathBuf,
    /// Where secrets come from.
    pub source: SecretSource,
    /// How long an epoch lasts; a fleet seed has its own length.
    pub length: EpochLength,
    /// The legal zone: epochs begin at its midnight.
    pub zone: TimeZone,
    /// Whether a stated clock gives the time. Such a clock ends no secret that the system clock has in use.
    pub is_clock_stated: bool,
}

/// The secret in force.
#[derive(Debug)]
pub struct Current {
    /// Its epoch.
    pub epoch: Epoch,
    /// S.
    pub secret: Secret,
    /// When the epoch ends; `None` if it never does.
    pub until: Option<Timestamp>,
}

impl Current {
    /// The secret of a key file.
    fn fixed(key_file: &KeyFile) -> Result<Self, KeyError> {
        Ok(Self { epoch: Epoch::Fixed, secret: key_file::read(key_file)?, until: None })
    }
}

/// The result of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The epoch of both secrets.
    pub epoch: Epoch,
    /// The kid of the secret that was erased, if there was one.
    pub old: Option<[u8; 5]>,
    /// The kid of the new secret.
    pub new: [u8; 5],
}

/// The secrets of one node.
#[derive(Debug)]
pub struct Keyring {
    settings: Settings,
    place: Place,
}

/// Where the secrets of a keyring are.
#[derive(Debug)]
enum Place {
    KeyFile(KeyFile),
    State(StateDir),
}

impl Keyring {
    /// Opens the keyring: checks the key file, or makes the state directory if it is missing.
    ///
    /// # Errors
    /// If others can write to the state directory, if it cannot be made, or if the key file is refused.
    pub fn open(settings: Settings) -> Result<Self, KeyError> {
        Self::with(settings, StateDir::open)
    }

    /// Refers to the keyring as it is, for reading only: checks the key file. Makes nothing.
    ///
    /// # Errors
    /// If others can write to the state directory, or if the key file is refused.
    pub fn at(settings: Settings) -> Result<Self, KeyError> {
        Self::with(settings, StateDir::at)
    }

    fn with(
        settings: Settings,
        state: impl FnOnce(&Path) -> Result<StateDir, KeyError>,
    ) -> Result<Self, KeyError> {
        let place = match &settings.source {
            SecretSource::KeyFile(key_file) => {
                key_file::read(key_file)?;
                Place::KeyFile(key_file.clone())
            }
            SecretSource::StateDir => Place::State(state(&settings.directory)?),
        };
        Ok(Self { settings, place })
    }

    /// Opens the keyring of a node that has made secrets, for reading only; `None` if there are none. Makes
    /// nothing.
    ///
    /// # Errors
    /// See [`Keyring::open`].
    pub fn existing(settings: Settings) -> Result<Option<Self>, KeyError> {
        // A caller without permission to look gets the error from `open`.
        let there_are_none = matches!(settings.directory.join("keys").try_exists(), Ok(false));
        if there_are_none { Ok(None) } else { Self::open(settings).map(Some) }
    }

    /// Returns the secret in force at `now`. A new one is made, wrapped and recorded. The secrets of past
    /// epochs are overwritten and removed.
    ///
    /// # Errors
    /// If the secret cannot be read, made, wrapped or kept; nothing may be written then.
    pub fn current(&mut self, now: Timestamp) -> Result<Current, KeyError> {
        let Settings { length, zone, .. } = &self.settings;
        let state = match &self.place {
            Place::KeyFile(key_file) => return Current::fixed(key_file),
            Place::State(state) => state,
        };
        let lock = state.lock()?;
        let escrow = Escrow::load(state)?;
        let spared = self.spared(state)?;
        let (epoch, secret, length) = match Chain::load(state)? {
            Some(chain) => {
                let epoch = Epoch::at(now, chain.length(), zone);
                let length = chain.length();
                let secret = match spared {
                    Some(_) => chain.advanced_to(epoch)?.secret(),
                    None => chain.secret_at(epoch, state, &lock)?,
                };
                (epoch, secret, length)
            }
            None => {
                let epoch = Epoch::at(now, *length, zone);
                let secret = random::secret_at(epoch, now, state, &lock, &escrow, spared)?;
                (epoch, secret, *length)
            }
        };
        // A secret from a seed is wrapped here, a random one before it was first kept: both before use.
        escrow.wrap(state, epoch, &secret)?;
        let active = history::Active {
            epoch,
            kid: kid(&secret, epoch),
            recipients: escrow.recipients(),
            is_clock_stated: self.settings.is_clock_stated,
        };
        history::note_active(state, &lock, active, now, spared)?;
        Ok(Current { epoch, secret, until: epoch.end(length, zone) })
    }

    /// Returns the epoch whose secret the system clock has in use, if the clock is a stated one: whoever tries
    /// something with `--now` does not mean to end it.
    fn spared(&self, state: &StateDir) -> Result<Option<Epoch>, KeyError> {
        if !self.settings.is_clock_stated {
            return Ok(None);
        }
        let Settings { length, zone, .. } = &self.settings;
        let (records, seed, present) = (history::load(state)?, Chain::load(state)?, Timestamp::now());
        let is_running = |epoch: &Epoch| {
            let length = match &seed {
                Some(chain) => chain.length(),
                None => length_of(*epoch, *length, &records, zone),
            };
            Epoch::at(present, length, zone) == *epoch
        };
        let in_use = records.iter().filter(|record| record.state == EpochState::Active && !record.trial);
        Ok(in_use.filter_map(|record| random::parse(&record.epoch)).find(is_running))
    }

    /// Returns the secret in force at `now` if this node already has it: nothing is made, ratcheted or
    /// erased. The secret of a past epoch counts as erased, whether it is still there or not.
    ///
    /// # Errors
    /// If the secret cannot be read.
    pub fn running(&self, now: Timestamp) -> Result<Option<Current>, KeyError> {
        let Settings { length, zone, .. } = &self.settings;
        let state = match &self.place {
            Place::KeyFile(key_file) => return Current::fixed(key_file).map(Some),
            Place::State(state) => state,
        };
        let (epoch, secret, length) = match Chain::load(state)? {
            Some(chain) => {
                let epoch = Epoch::at(now, chain.length(), zone);
                (epoch, (chain.epoch() == epoch).then(|| chain.secret()), chain.length())
            }
            None => {
                let epoch = Epoch::at(now, *length, zone);
                (epoch, random::read(epoch, state)?, *length)
            }
        };
        Ok(secret.map(|secret| Current { epoch, secret, until: epoch.end(length, zone) }))
    }

    /// Returns the secret in force at `now`, for a command that only asks. Like [`Keyring::running`], except
    /// that a seed also gives the secrets of future epochs.
    ///
    /// # Errors
    /// If the secret cannot be read, or if the epoch is out of reach of the seed.
    pub fn asked(&self, now: Timestamp) -> Result<Option<Current>, KeyError> {
        let zone = &self.settings.zone;
        let Some(chain) = self.state().map(Chain::load).transpose()?.flatten() else {
            return self.running(now);
        };
        let (epoch, length) = (Epoch::at(now, chain.length(), zone), chain.length());
        let secret = chain.advanced_to(epoch)?.secret();
        Ok(Some(Current { epoch, secret, until: epoch.end(length, zone) }))
    }

    /// Returns whether there is any secret here: [`Keyring::current`] erases it if it is of another epoch.
    ///
    /// # Errors
    /// If secrets cannot be listed.
    pub fn has_secrets(&self) -> Result<bool, KeyError> {
        self.state().map_or(Ok(false), |state| Ok(!random::epochs(state)?.is_empty()))
    }

    /// Returns the epochs that are past at `now` but still have a secret here, oldest first.
    ///
    /// # Errors
    /// If secrets cannot be listed or read.
    pub fn past(&self, now: Timestamp) -> Result<Vec<Epoch>, KeyError> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let zone = &self.settings.zone;
        if let Some(chain) = Chain::load(state)? {
            let is_over = chain.epoch().end(chain.length(), zone).is_some_and(|end| end <= now);
            return Ok(is_over.then_some(chain.epoch()).into_iter().collect());
        }
        let records = history::load(state)?;
        let is_over = |epoch: &Epoch| {
            let length = length_of(*epoch, self.settings.length, &records, zone);
            epoch.end(length, zone).is_some_and(|end| end <= now)
        };
        Ok(random::epochs(state)?.into_iter().filter(is_over).collect())
    }

    /// Returns the epoch, and its length, of a secret here that is not over at `now`, although `now` may be in
    /// another epoch of the configured length: a filter with another configuration has made it.
    ///
    /// # Errors
    /// If secrets cannot be listed or read.
    pub fn in_place_at(&self, now: Timestamp) -> Result<Option<(Epoch, EpochLength)>, KeyError> {
        let Some(state) = self.state() else { return Ok(None) };
        let (records, zone) = (history::load(state)?, &self.settings.zone);
        let with_length = |epoch| (epoch, length_of(epoch, self.settings.length, &records, zone));
        let mut kept = random::epochs(state)?.into_iter().map(with_length);
        Ok(kept.find(|&(epoch, length)| Epoch::at(now, length, zone) == epoch))
    }

    /// Overwrites and removes the secrets of epochs that are past at `now`, as [`Keyring::current`] does,
    /// without making one for the running epoch. Returns those past epochs.
    ///
    /// # Errors
    /// If a secret cannot be erased.
    pub fn erase_past(&mut self, now: Timestamp) -> Result<Vec<Epoch>, KeyError> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let lock = state.lock()?;
        Chain::erase_old(state, &lock)?;
        let past = self.past(now)?;
        for &epoch in &past {
            match Chain::load(state)? {
                Some(chain) => {
                    let running = Epoch::at(now, chain.length(), &self.settings.zone);
                    chain.secret_at(running, state, &lock)?;
                }
                None => random::destroy(epoch, now, state, &lock)?,
            }
        }
        let (chain, kept) = (Chain::load(state)?, random::epochs(state)?);
        let is_gone = |epoch| chain.as_ref().map_or(!kept.contains(&epoch), |chain| epoch < chain.epoch());
        history::note_gone(state, &lock, is_gone, now)?;
        Ok(past)
    }

    /// Returns the escrow, which says who could open this node's secrets later; `None` with a key file, which
    /// its owner keeps.
    ///
    /// # Errors
    /// If the recipients cannot be read.
    pub fn escrow(&self) -> Result<Option<Escrow>, KeyError> {
        self.state().map(Escrow::load).transpose()
    }

    /// Returns the wraps of secrets that are no longer here, or that a purge at `now` would erase, oldest
    /// first.
    ///
    /// # Errors
    /// If secrets or wraps cannot be listed.
    pub fn past_wraps(&self, now: Timestamp) -> Result<Vec<Wrap>, KeyError> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let (past, records) = (self.past(now)?, history::load(state)?);
        let is_destroyed = |wrap: &Wrap| {
            let (epoch, kid) = (wrap.epoch.to_string(), wrap.kid);
            let record = records.iter().find(|record| record.epoch == epoch && record.kid.as_bytes() == kid);
            record.is_some_and(|record| record.state == EpochState::Destroyed)
        };
        let wraps = Wrap::all(state)?.into_iter();
        Ok(wraps.filter(|wrap| past.contains(&wrap.epoch) || is_destroyed(wrap)).collect())
    }

    /// Overwrites and removes a wrap: nobody can recover that secret from this directory afterwards.
    ///
    /// # Errors
    /// If it cannot be erased.
    pub fn erase_wrap(&mut self, wrap: &Wrap) -> Result<(), KeyError> {
        let Some(state) = self.state() else { return Ok(()) };
        let _lock = state.lock()?;
        wrap.erase(state)
    }

    /// Returns the record of the secrets that this node has had, oldest first.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn history(&self) -> Result<Vec<EpochRecord>, KeyError> {
        self.state().map_or(Ok(Vec::new()), history::load)
    }

    /// Wraps the running secret again, to all recipients, after some were added. Returns its epoch and the
    /// number of recipients.
    ///
    /// # Errors
    /// See [`Keyring::current`].
    pub fn wrap_again(&mut self, now: Timestamp) -> Result<(Epoch, usize), KeyError> {
        let current = self.current(now)?;
        let Some(state) = self.state() else { return Err(KeyError::RotateKeyFile) };
        let escrow = Escrow::load(state)?;
        if !escrow.is_missing() {
            escrow.wrap_again(state, current.epoch, &current.secret)?;
        }
        Ok((current.epoch, escrow.recipients()))
    }

    /// Returns whether secrets come from a fleet seed.
    ///
    /// # Errors
    /// If the seed cannot be read.
    pub fn has_seed(&self) -> Result<bool, KeyError> {
        self.state().map_or(Ok(false), |state| Ok(Chain::load(state)?.is_some()))
    }

    /// Returns the state directory, unless a key file is used.
    #[must_use]
    pub fn state(&self) -> Option<&StateDir> {
        match &self.place {
            Place::KeyFile(_) => None,
            Place::State(state) => Some(state),
        }
    }

    /// Erases the running secret at once and makes a new one.
    ///
    /// # Errors
    /// Refused for a key file and for a fleet seed, since others share them.
    pub fn rotate(&mut self, now: Timestamp) -> Result<Rotation, KeyError> {
        let Some(state) = self.state() else { return Err(KeyError::RotateKeyFile) };
        if Chain::load(state)?.is_some() {
            return Err(KeyError::RotateSeed);
        }
        let epoch = Epoch::at(now, self.settings.length, &self.settings.zone);
        let lock = state.lock()?;
        let old = random::read(epoch, state)?.map(|secret| kid(&secret, epoch));
        random::erase(epoch, state)?;
        if let Some(old) = &old {
            history::note_destroyed(state, &lock, epoch, old, now)?;
        }
        drop(lock);
        let current = self.current(now)?;
        Ok(Rotation { epoch, old, new: kid(&current.secret, epoch) })
    }
}

/// Returns the length of the epoch of a secret that is kept here.
///
/// `configured` comes from the configuration, but the filter that made the secret may have been given another
/// length. A secret that was made after the first day of its epoch belongs to a month. So may one of the
/// first day of a month that no secret of a later day has followed: erasing it too early would change the
/// tokens of a filter that still uses it.
fn length_of(epoch: Epoch, configured: EpochLength, records: &[EpochRecord], zone: &TimeZone) -> EpochLength {
    let Epoch::From(first) = epoch else { return EpochLength::Fixed };
    let name = epoch.to_string();
    let mut made = records.iter().filter(|record| record.epoch == name).map(|record| record.created);
    let is_first_of_month = first == first.first_of_month();
    let later = made.any(|at| at.to_zoned(zone.clone()).date() > first);
    let is_followed = records.iter().any(|record| record.epoch.parse::<Date>().is_ok_and(|day| day > first));
    match configured {
        EpochLength::Day if !is_first_of_month || (is_followed && !later) => EpochLength::Day,
        _ if is_first_of_month => EpochLength::Month,
        _ => EpochLength::Day,
    }
}
