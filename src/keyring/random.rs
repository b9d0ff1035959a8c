//! Source `random`: one secret per epoch from the operating system, on this node only.

use super::state_dir::Lock;
use super::{Escrow, KeyError, StateDir, history};
use crate::primitives::private_folder::random_secret;
use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::{Epoch, kid};
use jiff::Timestamp;
use zeroize::Zeroizing;

fn name(epoch: Epoch) -> String {
    format!("keys/epoch-{epoch}.secret")
}

/// Returns the secret of `epoch`: reads it, or makes and escrows it. Erases the secrets of all other epochs,
/// except that of `spared`.
pub(super) fn secret_at(
    epoch: Epoch,
    now: Timestamp,
    state: &StateDir,
    lock: &Lock,
    escrow: &Escrow,
    spared: Option<Epoch>,
) -> Result<Secret, KeyError> {
    erase_others(epoch, now, state, lock, spared)?;
    if let Some(secret) = read(epoch, state)? {
        return Ok(secret);
    }
    let secret = fresh(epoch, state)?;
    // The wrap comes first, so that any secret that was ever used can be recovered.
    escrow.wrap(state, epoch, &secret)?;
    state.write(&name(epoch), secret.expose())?;
    Ok(secret)
}

/// Makes a new secret whose kid no other secret of `epoch` has. Wraps and segments are named after the kid:
/// of two secrets with one name, one could not be recovered.
fn fresh(epoch: Epoch, state: &StateDir) -> Result<Secret, KeyError> {
    let records = history::load(state)?;
    for _ in 0..MOST_DRAWS {
        let secret = random_secret().map_err(|_| KeyError::Randomness)?;
        let (kid, epoch_name) = (kid(&secret, epoch), epoch.to_string());
        let is_known =
            records.iter().any(|record| record.epoch == epoch_name && record.kid.as_bytes() == kid);
        if !is_known && !Escrow::is_wrapped(state, epoch, &secret) {
            return Ok(secret);
        }
    }
    let reason = format!("nearly all of the 1,024 kids of epoch {epoch} are taken by secrets before");
    Err(KeyError::Damaged { path: state.path("keys"), reason })
}

/// Most attempts to find a free kid. With half of the kids taken, which no node comes near, all of them fail
/// in one of 2^64 epochs.
const MOST_DRAWS: usize = 64;

/// Reads the secret of `epoch`, if this node has it.
pub(super) fn read(epoch: Epoch, state: &StateDir) -> Result<Option<Secret>, KeyError> {
    let Some(bytes) = state.read(&name(epoch))?.map(Zeroizing::new) else { return Ok(None) };
    let damaged = |_| KeyError::Damaged {
        path: state.path(&name(epoch)),
        reason: format!("a secret has 32 bytes, this file {}", bytes.len()),
    };
    let mut taken = <[u8; 32]>::try_from(bytes.as_slice()).map_err(damaged)?;
    Ok(Some(Secret::take(&mut taken)))
}

/// Overwrites and removes the secret of `epoch`.
pub(super) fn erase(epoch: Epoch, state: &StateDir) -> Result<(), KeyError> {
    state.erase(&name(epoch))
}

/// Overwrites and removes the secret of an epoch, and records that.
pub(super) fn destroy(epoch: Epoch, now: Timestamp, state: &StateDir, lock: &Lock) -> Result<(), KeyError> {
    let destroyed = read(epoch, state)?.map(|secret| kid(&secret, epoch));
    erase(epoch, state)?;
    match destroyed {
        Some(destroyed) => history::note_destroyed(state, lock, epoch, &destroyed, now),
        None => Ok(()),
    }
}

fn erase_others(
    epoch: Epoch,
    now: Timestamp,
    state: &StateDir,
    lock: &Lock,
    spared: Option<Epoch>,
) -> Result<(), KeyError> {
    for other in epochs(state)?.into_iter().filter(|other| *other != epoch && Some(*other) != spared) {
        destroy(other, now, state, lock)?;
    }
    for file in state.names("keys")? {
        // A partial file that a crash left was never used.
        if file.starts_with("epoch-") && file.ends_with(".part") {
            state.erase(&format!("keys/{file}"))?;
        }
    }
    Ok(())
}

/// Lists the epochs whose secrets are kept here, oldest first.
pub(super) fn epochs(state: &StateDir) -> Result<Vec<Epoch>, KeyError> {
    let names = state.names("keys")?;
    let stems = names.iter().filter_map(|name| name.strip_prefix("epoch-")?.strip_suffix(".secret"));
    Ok(stems.filter_map(parse).collect())
}

pub(super) fn parse(name: &str) -> Option<Epoch> {
    if name == "fixed" { Some(Epoch::Fixed) } else { name.parse().ok().map(Epoch::From) }
}
