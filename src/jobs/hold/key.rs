//! The key of a hold: an age identity of its own, encrypted to the escrow recipients.
//!
//! Extracts are encrypted to it alone, so opening them takes two parties, as with a vault: a custodian, and
//! this node for as long as the hold lasts. When the key is erased, no copy of an extract can be opened any
//! more, in whatever backup it is.

use super::{Hold, Holds, IO, failed, stem};
use crate::keyring::Escrow;
use crate::primitives::diag::Diagnostic;
use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The folder of keys, in the folder of holds.
pub(super) const KEYS: &str = "keys";

/// Why backups must leave the folder out.
const WHY: &str = "Keys of holds of oubliette. Leave this folder out of every backup: a copy of a key outlives its erasure, and\n\
    # with it the extracts of a hold that is over could be opened again.";

impl Holds {
    /// Returns the path of a hold's key, once it has one.
    #[must_use]
    pub fn key(&self, hold: &Hold) -> Option<PathBuf> {
        hold.recipient.is_some().then(|| self.keys.path(&name(&hold.case)))
    }

    /// Returns what the extracts of a hold are encrypted to. The key is made with the first extract, and is
    /// durable before it is used. It is not made anew as long as there are extracts under an earlier one.
    pub(super) fn recipient(&self, hold: &mut Hold, escrow: &Escrow) -> Result<Recipient, Diagnostic> {
        let path = self.keys.path(&name(&hold.case));
        if let Some(known) = &hold.recipient {
            self.demand_key(&hold.case)?;
            return known.parse().map_err(|why: &str| failed("read", &path)(io::Error::other(why)));
        }
        if let Some(extract) = self.extracts(&hold.case)?.first() {
            return Err(Diagnostic::new(&IO, "the hold has extracts that its file does not know")
                .at(extract.display().to_string())
                .because("the file is older than they are, and a new key would write over theirs")
                .hint("put a newer copy of the file back; if there is none, `oubliette explain H01`"));
        }
        let identity = Identity::generate();
        self.write_key(&name(&hold.case), &identity, escrow).map_err(failed("write", &path))?;
        let recipient = identity.to_public();
        hold.recipient = Some(recipient.to_string());
        self.keep(hold)?;
        Ok(recipient)
    }

    /// Checks that the key of a case exists: nobody could open what is encrypted to a lost key.
    fn demand_key(&self, case: &str) -> Result<(), Diagnostic> {
        let path = self.keys.path(&name(case));
        match self.existing_key(case)? {
            Some(_) => Ok(()),
            None => Err(Diagnostic::new(&IO, "the key of the hold is not there")
                .at(path.display().to_string())
                .because("it is in no backup, so nobody can open the extracts under it any more")
                .hint("release the hold and add it again, as long as its segments are there")),
        }
    }

    /// Returns the path of a case's key, if it exists.
    pub(super) fn existing_key(&self, case: &str) -> Result<Option<PathBuf>, Diagnostic> {
        let path = self.keys.path(&name(case));
        let there = self.keys.existing(&name(case)).map_err(failed("look for", &path))?;
        Ok(there.map(|_| path))
    }

    fn write_key(&self, name: &str, identity: &Identity, escrow: &Escrow) -> io::Result<()> {
        self.keys.make()?;
        self.keys.leave_out_of_backups(WHY)?;
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# opens the extracts of a hold of oubliette\n# public key: ");
        text.push_str(&identity.to_public().to_string());
        text.push('\n');
        text.push_str(identity.to_string().expose_secret());
        text.push('\n');
        let encrypted = escrow.encrypted(text.as_bytes()).map_err(io::Error::other)?;
        self.keys.write(name, &encrypted)
    }

    /// Overwrites and removes the key of a case, if it exists.
    pub(super) fn erase_key(&self, case: &str) -> Result<(), Diagnostic> {
        let name = name(case);
        self.keys.erase(&name).map_err(failed("erase", &self.keys.path(&name)))
    }
}

pub(super) fn name(case: &str) -> String {
    format!("{}.age", stem(case))
}
