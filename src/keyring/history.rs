//! The record of all secrets: epochs, kids and dates, without the secrets. The states are those of NIST SP
//! 800-57 Part 1, 7.

use super::state_dir::Lock;
use super::{KeyError, StateDir};
use crate::pseudonym::epoch::Epoch;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const NAME: &str = "keys/epochs.jsonl";

/// The state of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochState {
    /// In use.
    Active,
    /// Overwritten and removed on this node.
    Destroyed,
}

/// The record of one secret of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// The first legal day of its epoch, or `fixed`.
    pub epoch: String,
    /// The kid in the tokens of this secret.
    pub kid: String,
    /// Active or destroyed.
    pub state: EpochState,
    /// When it was made or first used here.
    pub created: Timestamp,
    /// When it was erased here.
    pub destroyed: Option<Timestamp>,
    /// The number of recipients to which it was wrapped.
    pub recipients: usize,
    /// Whether a stated clock made it: it is none that the system clock has in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
}

/// A secret that is in use from now on.
pub(super) struct Active {
    pub(super) epoch: Epoch,
    pub(super) kid: [u8; 5],
    pub(super) recipients: usize,
    pub(super) is_clock_stated: bool,
}

/// Loads the records of all secrets that this node has had, oldest first.
pub(super) fn load(state: &StateDir) -> Result<Vec<EpochRecord>, KeyError> {
    let bytes = state.read(NAME)?.unwrap_or_default();
    let mut records = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let damaged = |error: serde_json::Error| KeyError::Damaged {
            path: state.path(NAME),
            reason: format!("line {}: {error}", index + 1),
        };
        records.push(serde_json::from_slice(line).map_err(damaged)?);
    }
    Ok(records)
}

/// Records that a secret is in use. All others have been destroyed by then, except that of `spared`.
pub(super) fn note_active(
    state: &StateDir,
    _lock: &Lock,
    Active { epoch, kid, recipients, is_clock_stated }: Active,
    now: Timestamp,
    spared: Option<Epoch>,
) -> Result<(), KeyError> {
    let mut records = load(state)?;
    let (epoch, kid) = (epoch.to_string(), String::from_utf8_lossy(&kid).into_owned());
    let spared = spared.map(|spared| spared.to_string());
    let mut changed = false;
    for record in records.iter_mut().filter(|record| record.kid != kid || record.epoch != epoch) {
        if record.state == EpochState::Active && Some(&record.epoch) != spared.as_ref() {
            record.state = EpochState::Destroyed;
            record.destroyed = Some(now);
            changed = true;
        }
    }
    match records.iter_mut().find(|record| record.kid == kid && record.epoch == epoch) {
        Some(known) => {
            // What a stated clock made, the system clock may have come to use.
            let trial = known.trial && is_clock_stated;
            changed |= (known.recipients, known.trial) != (recipients, trial);
            (known.recipients, known.trial) = (recipients, trial);
        }
        None => {
            let (state, trial) = (EpochState::Active, is_clock_stated);
            records.push(EpochRecord { epoch, kid, state, created: now, destroyed: None, recipients, trial });
            changed = true;
        }
    }
    if changed { save(state, &records) } else { Ok(()) }
}

/// Records that a secret was erased.
pub(super) fn note_destroyed(
    state: &StateDir,
    _lock: &Lock,
    epoch: Epoch,
    kid: &[u8; 5],
    now: Timestamp,
) -> Result<(), KeyError> {
    let mut records = load(state)?;
    let (epoch, kid) = (epoch.to_string(), String::from_utf8_lossy(kid));
    for record in records.iter_mut().filter(|record| record.kid == kid && record.epoch == epoch) {
        record.state = EpochState::Destroyed;
        record.destroyed = Some(now);
    }
    save(state, &records)
}

/// Records that secrets are erased which are in use by the record, and which `is_gone` says are not here any
/// more: whoever erased them was killed, or found no room, before it could record that.
pub(super) fn note_gone(
    state: &StateDir,
    _lock: &Lock,
    is_gone: impl Fn(Epoch) -> bool,
    now: Timestamp,
) -> Result<(), KeyError> {
    let mut records = load(state)?;
    let is_untold = |record: &EpochRecord| {
        record.state == EpochState::Active && super::random::parse(&record.epoch).is_some_and(&is_gone)
    };
    let mut changed = false;
    for record in &mut records {
        if is_untold(record) {
            (record.state, record.destroyed) = (EpochState::Destroyed, Some(now));
            changed = true;
        }
    }
    if changed { save(state, &records) } else { Ok(()) }
}

fn save(state: &StateDir, records: &[EpochRecord]) -> Result<(), KeyError> {
    let mut text = String::new();
    for record in records {
        // Always succeeds: strings, numbers and dates under fixed names.
        text.push_str(&serde_json::to_string(record).expect("a record is JSON"));
        text.push('\n');
    }
    state.write(NAME, text.as_bytes())
}
