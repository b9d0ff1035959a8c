//! `keys`: lists the secrets of a node, and changes them.

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
    /// All secrets that this node has had, oldest first.
    pub epochs: Vec<EpochRecord>,
    /// The recipients that secrets are wrapped to.
    pub recipients: Vec<String>,
    /// Identity files that are still on the node.
    pub identities_on_node: Vec<String>,
}

/// Lists the secrets.
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

/// Erases the running secret and makes another. Records that in the ledger of the node, if it has one.
///
/// # Errors
/// If the source is a key file or a fleet seed, which cannot be rotated; if the ledger cannot be written.
pub fn rotate(settings: Settings, ledger: Option<Ledger>, now: Timestamp) -> Result<Rotation, Diagnostic> {
    RecordedKeyring::open(settings)?.told_to(ledger).rotate(now)
}

/// Adds recipients, and wraps the running secret to all of them. Returns its epoch and the number of
/// recipients.
///
/// # Errors
/// If a recipient is invalid, or the secret cannot be wrapped.
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

/// Makes a fleet seed that starts with the epoch of `now`, and writes it to `file` with mode 0600. Returns
/// its first epoch.
///
/// # Errors
/// If the file exists already, or cannot be written.
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

/// Makes the seed in `text` the source of this node's secrets. Returns its first epoch and its length.
///
/// # Errors
/// If the text is not a seed, or the state directory cannot be written.
pub fn import_seed(state_dir: &Path, name: &Path, text: &str) -> Result<(Epoch, EpochLength), KeyError> {
    let chain =
        Chain::from_text(text).map_err(|reason| KeyError::NoSeed { path: name.to_owned(), reason })?;
    chain.import(&StateDir::open(state_dir)?)?;
    Ok((chain.epoch(), chain.length()))
}
