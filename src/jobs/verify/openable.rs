//! Checks that vaults can still be opened: the shred key that each was written under must exist until it is
//! erased on its day.
//!
//! Only vaults of segments that the ledger of this node lists are checked: vaults of other nodes open with
//! the keys there.

use super::Checker;
use crate::model::SegmentName;
use crate::primitives::diag::Diagnostic;
use crate::shred::{ShredError, ShredStore};
use crate::vault;
use std::io::ErrorKind;
use std::path::Path;

impl Checker {
    /// Also checks vaults with the shred keys of the node that has the first ledger.
    #[must_use]
    pub fn with_shred_keys(self, shred: ShredStore) -> Self {
        Self { shred: Some(shred), ..self }
    }

    /// Checks that the shred key of a vault exists.
    pub(super) fn openable(&mut self, name: &SegmentName, vault: &Path) -> Result<(), Diagnostic> {
        let (Some(shred), Some(record)) = (&self.shred, self.records.first()) else { return Ok(()) };
        let expires = name.folder.expires;
        // A purge first overwrites and removes the key, and then records that in the ledger.
        if self.is_being_purged(expires) {
            return Ok(());
        }
        if !record.sealed.contains_key(&name.to_string()) || !record.shred_keys.contains(&expires.to_string())
        {
            return Ok(());
        }
        let key = match shred.existing(expires) {
            // A user who may not read keys gets all other results.
            Err(ShredError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                return Ok(());
            }
            key => key?,
        };
        let Some(key) = key else {
            // A purge may have begun since the ledger was read.
            if self.read_again()? && self.is_being_purged(expires) {
                return Ok(());
            }
            self.wrong(vault, None, "the shred key of its day is lost: its originals open for nobody");
            return Ok(());
        };
        // A header that cannot be read has been reported already.
        if vault::header(&*self.storage, vault).is_ok_and(|header| !header.may_open_with(&key)) {
            let what = "it was written under a shred key that is lost: its originals open for nobody";
            self.wrong(vault, None, what);
        }
        Ok(())
    }
}
