//! `ledger`: reads the ledger, and checks that it is whole.

use super::findings::Finding;
use crate::ledger::{self, ENTRIES, Entry, LedgerError, Verifier, pem};
use crate::primitives::storage::Storage;
use jiff::civil::Date;
use std::path::Path;
use std::sync::Arc;

/// The end of a ledger, as somebody noted it elsewhere: the number of entries, and the hash of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The number of the entry.
    pub n: u64,
    /// The SHA-256 of its line, in hex.
    pub hash: String,
}

impl Anchor {
    /// Parses `17:<64 hex digits>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (n, hash) = text.split_once(':')?;
        crate::primitives::hex::decode::<32>(hash)?;
        Some(Self { n: n.parse().ok()?, hash: hash.to_owned() })
    }
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

/// The result of checking a ledger.
#[derive(Debug)]
pub struct LedgerReport {
    /// The end of the ledger, or of the part before the first fault.
    pub end: Anchor,
    /// The days on which the ledger was written.
    pub days: Vec<Date>,
    /// What is wrong with the ledger.
    pub findings: Vec<Finding>,
}

/// Checks the ledger in `directory`, and that it has the entries it had when somebody noted `anchors`.
///
/// # Errors
/// If the ledger cannot be read.
pub fn verify(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    anchors: &[Anchor],
) -> Result<LedgerReport, LedgerError> {
    read(storage, directory, anchors, &mut |_| {}).map(|(report, _)| report)
}

/// Checks the ledger as [`verify`] does, and passes every entry before the first fault to `visit`. Also
/// returns the verifier, which has the keys of the days.
///
/// # Errors
/// If the ledger cannot be read.
pub fn read(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    anchors: &[Anchor],
    visit: &mut dyn FnMut(&Entry),
) -> Result<(LedgerReport, Verifier), LedgerError> {
    let mut missed: Vec<&Anchor> = anchors.iter().collect();
    let checked = ledger::check(storage, directory, &mut |entry, head| {
        missed.retain(|anchor| anchor.n != head.n || anchor.hash != head.hash);
        visit(entry);
    })?;
    let file = directory.join(ENTRIES).display().to_string();
    let fault = checked.fault.map(|fault| Finding {
        file: file.clone(),
        place: Some(format!("line {}, byte {}", fault.line, fault.offset)),
        what: fault.kind.to_string(),
    });
    let missed = missed.into_iter().map(|anchor| Finding {
        file: file.clone(),
        place: Some(format!("line {}", anchor.n)),
        what: "the entry is not the one that was noted elsewhere: an older copy was put back".to_owned(),
    });
    let findings = fault.into_iter().chain(missed).collect();
    let head = checked.verifier.head();
    let end = Anchor { n: head.n, hash: head.hash.clone() };
    let days = checked.verifier.keys().iter().map(|key| key.day).collect();
    Ok((LedgerReport { end, days, findings }, checked.verifier))
}

/// Returns the public key of a day in PEM; `None` if the ledger was not written on that day.
///
/// # Errors
/// If the ledger cannot be read.
pub fn key(storage: &Arc<dyn Storage>, directory: &Path, day: Date) -> Result<Option<String>, LedgerError> {
    let (_, verifier) = read(storage, directory, &[], &mut |_| {})?;
    Ok(verifier.key_of(day).map(pem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Event, Ledger, Settings};
    use crate::primitives::clock::Clock;
    use crate::primitives::storage::Disk;

    fn disk() -> Arc<dyn Storage> {
        Arc::new(Disk)
    }

    fn append(directory: &Path) {
        let settings = Settings {
            storage: disk(),
            directory: directory.to_owned(),
            zone: jiff::tz::TimeZone::UTC,
            who: "root".to_owned(),
            clock: Clock::Fixed("2026-11-23T10:00:00Z".parse().unwrap()),
        };
        Ledger::open(settings).unwrap().append(Event::Cut { bytes: 1 }).unwrap();
    }

    #[test]
    fn an_older_copy_that_was_put_back_is_found_by_its_end() {
        let directory = tempfile::tempdir().unwrap();
        append(directory.path());
        let older: Vec<_> = [ENTRIES, "head"]
            .map(|name| (directory.path().join(name), std::fs::read(directory.path().join(name)).unwrap()))
            .into();
        let old = verify(&disk(), directory.path(), &[]).unwrap();
        append(directory.path());
        let new = verify(&disk(), directory.path(), std::slice::from_ref(&old.end)).unwrap();
        assert_eq!((old.end.n, new.end.n, &new.findings[..]), (2, 3, &[][..]));
        older.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        let found = verify(&disk(), directory.path(), &[old.end.clone(), new.end]).unwrap().findings;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place.as_deref(), Some("line 3"));
        assert_eq!(Anchor::parse(&old.end.to_string()), Some(old.end));
    }
}
