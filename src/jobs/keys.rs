//! `keys`: what secrets there are, and changing them.

use super::custody::RecordedKeyring;
use crate::keyring::{Chain, EpochRecord, KeyError, Keyring, Rotation, Settings, StateDir};
use crate::ledger::Ledger;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::{Epoch, EpochLength};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `keys list` shows.
#[derive(Debug, Default)]
pub struct Listing {
    /// All secrets this node has had, oldest first.
    pub epochs: Vec<EpochRecord>,
    /// The recipients that secrets are wrapped to.
    pub recipients: Vec<String>,
    /// Identity files that still lie on the node.
    pub identities_on_node: Vec<String>,
}

/// What secrets there are.
///
/// # Errors
/// If the state directory cannot be read.
pub fn list(settings: Settings) -> Result<Listing, KeyError> {
    let Some(keyring) = Keyring::existing(settings)? else { return Ok(Listing::default()) };
    let (recipients, identities_on_node) = match keyring.escrow()? {
        Some(escrow) => (escrow.names().to_vec(), escrow.identities_on_node().to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Listing { epochs: keyring.history()?, recipients, identities_on_node })
}

/// What `keys rotate` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Rotated {
    /// In which epoch.
    pub epoch: Epoch,
    /// Kid of the secret that was erased, if there was one.
    pub old: Option<String>,
    /// Kid of the new one.
    pub new: String,
}

/// Erases the running secret and makes another. The ledger of the node, if it has one, is told.
///
/// # Errors
/// Refused for key files and fleet seeds; if the ledger cannot be kept.
pub fn rotate(settings: Settings, ledger: Option<Ledger>, now: Timestamp) -> Result<Rotated, Diagnostic> {
    let Rotation { epoch, old, new } = RecordedKeyring::open(settings)?.told_to(ledger).rotate(now)?;
    let text = |kid: [u8; 5]| String::from_utf8_lossy(&kid).into_owned();
    Ok(Rotated { epoch, old: old.map(text), new: text(new) })
}

/// Wraps the running secret to all recipients, after adding some. Its epoch and how many they are now.
///
/// # Errors
/// A recipient that is none; a secret that cannot be wrapped.
pub fn wrap(
    settings: Settings,
    ledger: Option<Ledger>,
    added: &[String],
    now: Timestamp,
) -> Result<(Epoch, usize), Diagnostic> {
    let mut keyring = RecordedKeyring::open(settings)?.told_to(ledger);
    if let Some(state) = keyring.state() {
        crate::keyring::Escrow::add(state, added)?;
    }
    keyring.wrap_again(now)
}

/// Makes a fleet seed that starts with the epoch of `now` and writes it to `file`, mode 0600. Its first
/// epoch.
///
/// # Errors
/// If the file exists already or cannot be written.
pub fn new_seed(
    file: &Path,
    length: EpochLength,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Epoch, KeyError> {
    let epoch = Epoch::at(now, length, zone);
    let text = Chain::generate(epoch, length)?.to_text();
    let write = || {
        let mut output = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        output.write_all(text.as_bytes())?;
        output.sync_all()
    };
    write().map_err(|source| KeyError::Io { action: "write", path: file.to_owned(), source })?;
    Ok(epoch)
}

/// Makes the seed with that text the source of this node's secrets. Its first epoch and its length.
///
/// # Errors
/// If the text is no seed, or the state directory cannot be written.
pub fn import_seed(state_dir: &Path, name: &Path, text: &str) -> Result<(Epoch, EpochLength), KeyError> {
    let chain =
        Chain::from_text(text).map_err(|reason| KeyError::NoSeed { path: name.to_owned(), reason })?;
    chain.import(&StateDir::open(state_dir)?)?;
    Ok((chain.epoch(), chain.length()))
}
