//! Source `seed`: a chain key that all nodes of a fleet share. It is only ratcheted forwards, and only the
//! newest is kept.
//!
//! `S_e = HKDF(C_e, "oubliette/1/epoch")`, `C_{e+1} = HKDF(C_e, "oubliette/1/next")`: every node makes equal
//! tokens, and a thief of a node cannot compute the secrets of past epochs.

use super::random;
use super::state_dir::{Lock, io_error};
use super::{KeyError, StateDir};
use crate::primitives::crypto::hkdf;
use crate::primitives::hex;
use crate::primitives::private_folder::random_secret;
use crate::primitives::secret::Secret;
use crate::primitives::storage::if_there;
use crate::pseudonym::epoch::{Epoch, EpochLength};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use zeroize::Zeroizing;

const NAME: &str = "keys/chain";

/// The chain key before this one, while it is being replaced.
const OLD: &str = "keys/chain.old";
const HEADER: &str = "oubliette fleet seed 1";

/// Most ratchet steps at once: 50 years of days, which take some 20 ms.
const MOST_STEPS: u32 = 18_300;

/// A chain key and the epoch it belongs to.
#[derive(Clone, Debug)]
pub struct Chain {
    epoch: Epoch,
    length: EpochLength,
    key: Secret,
}

/// The text form of a chain, to copy to all nodes. Secret: whoever has it can compute all later tokens.
pub type SeedFile = Zeroizing<String>;

impl Chain {
    /// Generates a new chain that starts with `epoch`.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate(epoch: Epoch, length: EpochLength) -> Result<Self, KeyError> {
        let key = random_secret().map_err(|_| KeyError::Randomness)?;
        Ok(Self { epoch, length, key })
    }

    /// Returns the length of its epochs.
    #[must_use]
    pub fn length(&self) -> EpochLength {
        self.length
    }

    /// Returns the epoch of its key.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the text form, which has four lines.
    #[must_use]
    pub fn to_text(&self) -> SeedFile {
        let mut text = Zeroizing::new(String::with_capacity(256));
        let _ = writeln!(text, "{HEADER}\nlength {}\nepoch {}", self.length.name(), self.epoch);
        let _ = writeln!(text, "chain {}", *Zeroizing::new(hex::encode(self.key.expose())));
        text
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// What is wrong with the text, without quoting it.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(format!("the first line is not `{HEADER}`"));
        }
        let mut value = |name: &str| {
            let line =
                lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
            line.ok_or_else(|| format!("a line `{name} ...` is missing"))
        };
        let length = match value("length")? {
            "day" => EpochLength::Day,
            "month" => EpochLength::Month,
            "fixed" => EpochLength::Fixed,
            _ => return Err("the length is not day, month or fixed".to_owned()),
        };
        let epoch = random::parse(value("epoch")?).ok_or("the epoch is not a date")?;
        if (epoch == Epoch::Fixed) != (length == EpochLength::Fixed) {
            return Err("the epoch does not fit its length".to_owned());
        }
        let chain = hex::decode_any_case(value("chain")?.as_bytes());
        let mut bytes = chain.ok_or("the chain is not 64 hex digits")?;
        Ok(Self { epoch, length, key: Secret::take(&mut bytes) })
    }

    /// Loads the chain of this node, if a seed was imported.
    pub(super) fn load(state: &StateDir) -> Result<Option<Self>, KeyError> {
        let Some(bytes) = state.read(NAME)? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned());
        let chain = text.and_then(Self::from_text);
        chain.map(Some).map_err(|reason| KeyError::Damaged { path: state.path(NAME), reason })
    }

    /// Makes this the chain of the node, and erases the secrets of the source `random`.
    ///
    /// # Errors
    /// If a secret cannot be erased or the chain cannot be written.
    pub fn import(&self, state: &StateDir) -> Result<(), KeyError> {
        let lock = state.lock()?;
        for name in state.names("keys")? {
            if name.starts_with("epoch-") {
                state.erase(&format!("keys/{name}"))?;
            }
        }
        self.replace(state, &lock)
    }

    /// Returns S of `epoch`. First advances the chain to that epoch durably, and overwrites the earlier key.
    pub(super) fn secret_at(&self, epoch: Epoch, state: &StateDir, lock: &Lock) -> Result<Secret, KeyError> {
        let chain = self.advanced_to(epoch)?;
        if chain.epoch == self.epoch {
            Self::erase_old(state, lock)?;
        } else {
            chain.replace(state, lock)?;
        }
        Ok(chain.secret())
    }

    /// Returns S of the chain's own epoch.
    #[must_use]
    pub fn secret(&self) -> Secret {
        hkdf(&self.key, b"oubliette/1/epoch")
    }

    /// Returns the chain ratcheted to `epoch`.
    ///
    /// # Errors
    /// If `epoch` is before the chain's epoch, or more than 18,300 epochs after it.
    pub(super) fn advanced_to(&self, epoch: Epoch) -> Result<Self, KeyError> {
        let out_of_reach =
            || KeyError::ClockBeforeChain { now: epoch.to_string(), chain: self.epoch.to_string() };
        let mut chain = self.clone();
        for _ in 0..MOST_STEPS {
            if chain.epoch >= epoch {
                break;
            }
            chain.epoch = chain.epoch.next(self.length).ok_or_else(out_of_reach)?;
            chain.key = hkdf(&chain.key, b"oubliette/1/next");
        }
        if chain.epoch == epoch { Ok(chain) } else { Err(out_of_reach()) }
    }

    /// Writes the chain. The new chain key is durable before the old one is overwritten.
    fn replace(&self, state: &StateDir, lock: &Lock) -> Result<(), KeyError> {
        Self::erase_old(state, lock)?;
        if_there(fs::hard_link(state.path(NAME), state.path(OLD)))
            .map_err(io_error("link", &state.path(OLD)))?;
        state.write(NAME, self.to_text().as_bytes())?;
        Self::erase_old(state, lock)
    }

    /// Overwrites and removes the chain key before this one, which is still there if the process ended before
    /// it had done so.
    pub(super) fn erase_old(state: &StateDir, _lock: &Lock) -> Result<(), KeyError> {
        let file = |name| {
            let found = if_there(fs::symlink_metadata(state.path(name)));
            let found = found.map_err(io_error("read", &state.path(name)))?;
            Ok::<_, KeyError>(found.map(|metadata| (metadata.dev(), metadata.ino())))
        };
        match (file(OLD)?, file(NAME)?) {
            (None, _) => Ok(()),
            // The new chain was not written: this is another name of the chain in force, which must stay.
            (old, chain) if old == chain => {
                fs::remove_file(state.path(OLD)).map_err(io_error("remove", &state.path(OLD)))
            }
            _ => state.erase(OLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn chain() -> Chain {
        let key = Secret::new([9; 32]);
        Chain { epoch: Epoch::From(date(2026, 1, 1)), length: EpochLength::Day, key }
    }

    #[test]
    fn two_steps_by_hand() {
        let first = hkdf(&Secret::new([9; 32]), b"oubliette/1/next");
        let second = hkdf(&first, b"oubliette/1/next");
        let expected = hkdf(&second, b"oubliette/1/epoch");
        let reached = chain().advanced_to(Epoch::From(date(2026, 1, 3))).unwrap();
        assert_eq!(reached.secret().expose(), expected.expose());
    }

    #[test]
    fn nodes_that_start_on_different_days_agree() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let nodes = directories.each_ref().map(|directory| StateDir::open(directory.path()).unwrap());
        nodes.iter().for_each(|node| chain().import(node).unwrap());
        for offset in 0..400 {
            let day = date(2026, 1, 1).checked_add(jiff::ToSpan::days(offset)).unwrap();
            let secret = |node: &StateDir| {
                let lock = node.lock().unwrap();
                let chain = Chain::load(node).unwrap().unwrap();
                *chain.secret_at(Epoch::From(day), node, &lock).unwrap().expose()
            };
            let first = secret(&nodes[0]);
            // The second node is down three days in four.
            if offset % 4 == 0 {
                assert_eq!(first, secret(&nodes[1]), "{day}");
            }
        }
        assert_eq!(Chain::load(&nodes[0]).unwrap().unwrap().epoch, Epoch::From(date(2027, 2, 4)));
        assert!(!nodes[0].path("keys/chain.old").exists());
    }

    /// The power fails after the new chain is durable, and before the old one is overwritten.
    #[test]
    fn a_chain_key_that_a_crash_left_is_erased_in_the_same_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let today = Epoch::From(date(2026, 1, 2));
        let leave = || {
            state.write("keys/chain.old", chain().to_text().as_bytes()).unwrap();
            let _ = fs::remove_file(state.path("witness"));
            fs::hard_link(state.path("keys/chain.old"), state.path("witness")).unwrap();
        };
        let is_erased = || {
            let witness = fs::read(state.path("witness")).unwrap();
            !state.path("keys/chain.old").exists() && witness.iter().all(|byte| *byte == 0)
        };
        chain().advanced_to(today).unwrap().import(&state).unwrap();
        leave();
        let lock = state.lock().unwrap();
        Chain::load(&state).unwrap().unwrap().secret_at(today, &state, &lock).unwrap();
        drop(lock);
        assert!(is_erased(), "a start erases it");
        leave();
        let source = crate::keyring::SecretSource::StateDir;
        let (zone, length) = (jiff::tz::TimeZone::UTC, EpochLength::Day);
        let directory = directory.path().into();
        let settings = crate::keyring::Settings { directory, source, length, zone, is_clock_stated: false };
        let mut keys = crate::keyring::Keyring::open(settings).unwrap();
        assert_eq!(keys.erase_past("2026-01-02T10:00:00Z".parse().unwrap()).unwrap(), []);
        assert!(is_erased(), "a purge erases it");
        assert_eq!(Chain::load(&state).unwrap().unwrap().epoch, today);
    }

    /// Until the new chain has its name, the old one has two.
    #[test]
    fn a_chain_that_cannot_be_replaced_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        chain().import(&state).unwrap();
        // In the way of the new chain, like a full disk.
        fs::create_dir(state.path("keys/chain.part")).unwrap();
        let lock = state.lock().unwrap();
        let secret_of =
            |day| Chain::load(&state).unwrap().unwrap().secret_at(Epoch::From(day), &state, &lock);
        for _ in 0..3 {
            assert!(matches!(secret_of(date(2026, 1, 2)), Err(KeyError::Io { .. })));
        }
        // The clock was wrong, and is right again.
        assert_eq!(secret_of(date(2026, 1, 1)).unwrap().expose(), chain().secret().expose());
        fs::remove_dir(state.path("keys/chain.part")).unwrap();
        let expected = chain().advanced_to(Epoch::From(date(2026, 1, 2))).unwrap().secret();
        assert_eq!(secret_of(date(2026, 1, 2)).unwrap().expose(), expected.expose());
        assert!(!state.path("keys/chain.old").exists());
    }

    #[test]
    fn the_chain_never_goes_back_nor_too_far() {
        for day in [date(2025, 12, 31), date(2099, 1, 1)] {
            assert!(matches!(chain().advanced_to(Epoch::From(day)), Err(KeyError::ClockBeforeChain { .. })));
        }
    }

    #[test]
    fn text_form_reads_back_and_says_what_is_wrong() {
        let text = chain().to_text();
        let read = Chain::from_text(&text).unwrap();
        assert_eq!((read.epoch, read.length), (chain().epoch, chain().length));
        assert_eq!(read.key.expose(), chain().key.expose());
        for (from, to) in
            [("seed 1", "seed 2"), ("length day", "length week"), ("2026", "x"), ("chain 0", "chain ")]
        {
            let reason = Chain::from_text(&text.replacen(from, to, 1)).unwrap_err();
            assert!(!reason.contains("0909"), "quotes the key: {reason}");
        }
    }
}
