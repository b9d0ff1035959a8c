//! What commands that ask for somebody's lines have in common: what opens originals, which lines are meant, and
//! what the ledger is told.

use crate::cli::args::{AccessArgs, TimeArgs};
use crate::cli::passphrase::Passphrases;
use crate::cli::report::{Report, Stop};
use crate::cli::settings::Settings;
use crate::jobs::purge::Site;
use crate::jobs::replay::{Access, Credentials, NodePlaces, Purpose, Reading, STOPPED, Selection};
use crate::keyring::{Identities, Keyring};
use crate::primitives::diag::Diagnostic;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

/// Returns what opens originals, which may also be in `places`: the custodian's identity, the secret of the
/// running epoch, or a key file.
pub(super) fn credentials(
    report: Report,
    settings: &Settings,
    access: &AccessArgs,
    places: NodePlaces,
) -> Result<Credentials, Diagnostic> {
    warn_of_exposed(report, access.identity.as_deref())?;
    let ask = Arc::new(Passphrases::new(access.passphrase_file.as_deref())?);
    let identities = access.identity.as_deref().map(|path| Identities::unlock(path, ask)).transpose()?;
    let keyring = Keyring::open(settings.keys(settings.legal_zone()?))?;
    Ok(Credentials {
        identities,
        running: keyring.running(settings.clock.now())?,
        owns_key_file: settings.key_file.is_some(),
        state_dir: settings.state_dir.clone(),
        tenancy: settings.tenancy(),
        places,
    })
}

/// Warns of an identity file that others can read, which is used nevertheless.
pub(super) fn warn_of_exposed(report: Report, identity: Option<&Path>) -> Result<(), Diagnostic> {
    if let Some(exposed) = identity.map(Identities::exposure).transpose()?.flatten() {
        report.warning(&exposed.into());
    }
    Ok(())
}

/// Selects the lines of a period, which includes both ends; times of lines are whole seconds.
pub(super) fn in_period(purpose: &Purpose) -> Selection {
    let from = purpose.from.map_or(i64::MIN, Timestamp::as_second);
    let to = purpose.to.map_or(i64::MAX, Timestamp::as_second);
    Selection { seconds: from..=to, ..Selection::default() }
}

/// Returns how the times of lines are interpreted again.
pub(super) fn reading(settings: &Settings, times: &TimeArgs) -> Reading {
    let (source_zone, assumed_zone) = (times.source_zone.clone(), settings.source_zone.clone());
    Reading { format: times.format, source_zone, assumed_zone }
}

/// Records a refusal in the ledger.
pub(super) fn refused(site: &mut Site, access: &Access, refusal: Diagnostic) -> Stop {
    match access.refuse(site, &refusal) {
        Ok(()) => refusal.into(),
        Err(unkept) => unkept.into(),
    }
}

/// If the result could not be handed over, records that in the ledger, unless it is recorded already.
pub(super) fn handed_over<T>(site: &mut Site, access: &Access, handed: Result<T, Stop>) -> Result<T, Stop> {
    let code = match &handed {
        Ok(_) => return handed,
        Err(Stop::StdoutClosed) => &STOPPED,
        Err(Stop::Because(failure)) => failure.code,
    };
    // If the ledger cannot record this either, because the disk is full, the original failure is still the
    // one to report.
    let _ = access.broke_off(site, code);
    handed
}
