//! `oubliette vaults`: copies closed vaults to a place of their own.

use super::site;
use crate::cli::args::{Common, VaultsArgs};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::purge::Site;
use crate::jobs::vaults::{self, Copied};
use crate::primitives::storage::Seen;

/// Copies the vaults that are not there yet.
pub(crate) fn run(report: Report, common: &Common, args: &VaultsArgs) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    // With all versions in view, a replaced copy is gone and not hidden as an old version.
    let storage = files::storage(&[&args.to], Seen::AllVersions)?;
    let site = Site { storage, ..site::open(&settings, &args.place, "vaults")? };
    let mut copied = Vec::new();
    let worked = vaults::copy(&site, &args.to, &mut |vault| {
        copied.push(vault);
        Ok(())
    });
    let (there, new): (Vec<_>, Vec<_>) = copied.into_iter().partition(|vault| vault.skipped);
    report.table(&new)?;
    let removed = worked?;
    let (new, there) = (counted(new.len(), "vault"), counted(there.len(), "vault"));
    report.note(&format!("copied: {new}; there already: {there}"));
    if removed > 0 {
        report.note(&format!("removed: {}, of whose lines an erasure left none", counted(removed, "vault")));
    }
    Ok(Exit::Done)
}

impl Row for Copied {
    const HEADS: &[&str] = &["VAULT", "BYTES"];

    fn cells(&self) -> Vec<String> {
        vec![self.vault.clone(), self.bytes.to_string()]
    }
}
