//! `init`: makes the state directory and its escrow. It is safe to run twice.

use crate::keyring::{Escrow, KeyError, StateDir};
use std::path::{Path, PathBuf};

/// What `init` did.
#[derive(Debug, PartialEq, Eq)]
pub struct InitReport {
    /// Identity files that were made. They belong on other machines.
    pub identities: Vec<PathBuf>,
    /// The number of recipients added.
    pub added: usize,
    /// The number of recipients there are now.
    pub recipients: usize,
}

/// The number of identities made. Either of them can open, so one may be lost.
const IDENTITIES: usize = 2;

/// Makes the state directory and adds `recipients`. If there are no recipients at all, makes two identities.
///
/// # Errors
/// If the directory cannot be made private, or a recipient is invalid.
pub fn run(state_dir: &Path, recipients: &[String]) -> Result<InitReport, KeyError> {
    let state = StateDir::open(state_dir)?;
    let added = Escrow::add(&state, recipients)?;
    let identities = if Escrow::load(&state)?.is_missing() {
        Escrow::make_identities(&state, IDENTITIES)?
    } else {
        Vec::new()
    };
    let recipients = Escrow::load(&state)?.recipients();
    Ok(InitReport { added: added + identities.len(), identities, recipients })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = run(&state, &[]).unwrap();
        assert_eq!((first.identities.len(), first.recipients), (2, 2));
        let text = std::fs::read(&first.identities[0]).unwrap();
        let second = run(&state, &[]).unwrap();
        assert_eq!(second, InitReport { identities: Vec::new(), added: 0, recipients: 2 });
        assert_eq!(std::fs::read(&first.identities[0]).unwrap(), text);
    }

    #[test]
    fn recipients_of_ones_own_replace_the_identities() {
        let directory = tempfile::tempdir().unwrap();
        let own = age::x25519::Identity::generate().to_public().to_string();
        let report = run(directory.path(), std::slice::from_ref(&own)).unwrap();
        assert_eq!(report, InitReport { identities: Vec::new(), added: 1, recipients: 1 });
        assert!(run(directory.path(), &["age1nonsense".to_owned()]).is_err());
    }
}
