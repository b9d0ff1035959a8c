//! Opens what commands work on: an archive with its keys and its ledger, or the ledger alone; and records there
//! what was refused.

use crate::cli::args::{ArchivePlace, SearchPlace};
use crate::cli::codes;
use crate::cli::files;
use crate::cli::settings::Settings;
use crate::jobs::purge::Site;
use crate::jobs::replay::NodePlaces;
use crate::keyring::{self, SecretSource};
use crate::ledger::{self, Event, Ledger, LedgerError};
use crate::model::Tree;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Seen, is_remote};
use crate::quarantine;
use crate::rules::retention::RetentionRules;
use crate::shred::{self, ShredStore};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the archive with its keys and its ledger, for a command that removes something.
///
/// In object storage this includes old versions, so that what is purged is gone and not merely hidden. If the
/// archive is refused, the ledger records that `command` was refused.
pub(super) fn open(settings: &Settings, place: &ArchivePlace, command: &str) -> Result<Site, Diagnostic> {
    open_seen(settings, place, &[], Seen::AllVersions)
        .map_err(|refusal| refused_unopened(settings, command, refusal))
}

/// Like [`open`], for a command that only reads; also returns where else originals are. `command` is its name
/// in the ledger.
pub(super) fn open_to_search(
    settings: &Settings,
    place: &SearchPlace,
    command: &str,
) -> Result<(Site, NodePlaces), Diagnostic> {
    open_with_others(settings, place, command, Seen::Newest)
}

/// Like [`open_to_search`], for a command that also changes the archive.
pub(super) fn open_to_change(
    settings: &Settings,
    place: &SearchPlace,
    command: &str,
) -> Result<(Site, NodePlaces), Diagnostic> {
    open_with_others(settings, place, command, Seen::AllVersions)
}

fn open_with_others(
    settings: &Settings,
    place: &SearchPlace,
    command: &str,
    seen: Seen,
) -> Result<(Site, NodePlaces), Diagnostic> {
    let site = there_are_keys(place)
        .and_then(|()| open_seen(settings, &place.archive(), &place.vault, seen))
        .map_err(|refusal| refused_unopened(settings, command, refusal))?;
    let (vaults, shred_keys) = (place.vault.clone(), place.shred_keys.clone());
    Ok((site, NodePlaces { vaults, shred_keys }))
}

/// Records in the node's ledger, if there is one, that `command` was refused before it had an archive.
pub(super) fn refused_unopened(settings: &Settings, command: &str, refusal: Diagnostic) -> Diagnostic {
    // The ledger itself may be unusable; the refusal then says so.
    if let Ok(Some(mut ledger)) = ledger_of_node(settings) {
        let _ = ledger.append(event_of(command, &refusal));
    }
    refusal
}

/// Opens the ledger of the node, if it has one.
pub(super) fn ledger_of_node(settings: &Settings) -> Result<Option<Ledger>, Diagnostic> {
    // An existing ledger keeps its own zone.
    let zone = settings.zone.clone().unwrap_or(TimeZone::UTC);
    let ledger = settings.ledger(Arc::new(Disk), zone);
    // If we may not look, there may be a ledger, and it must not miss an entry.
    let there_is_none = matches!(ledger.directory.join(ledger::ENTRIES).try_exists(), Ok(false));
    Ok(if there_is_none { None } else { Some(Ledger::open(ledger)?) })
}

fn event_of(command: &str, refusal: &Diagnostic) -> Event {
    Event::Refused { command: command.to_owned(), code: refusal.code.id.to_owned(), clock: None }
}

/// Records in the ledger that `command` was refused.
pub(super) fn refused(site: &mut Site, command: &str, refusal: Diagnostic) -> Diagnostic {
    match site.ledger.append(event_of(command, &refusal)) {
        Ok(_) => refusal,
        // The ledger failed before, and can only repeat that.
        Err(LedgerError::Poisoned { .. }) => refusal,
        Err(unkept) => unkept.into(),
    }
}

/// Checks that the named folders of shred keys exist.
fn there_are_keys(place: &SearchPlace) -> Result<(), Diagnostic> {
    for folder in &place.shred_keys {
        // In a folder with a misspelt name, every key would be missing and seem erased.
        if !folder.is_dir() {
            return Err(Diagnostic::new(&codes::OPEN, "there is no such folder of shred keys")
                .at(folder.display().to_string())
                .hint("name the folder `shred` of the state directory of a node"));
        }
    }
    Ok(())
}

fn open_seen(
    settings: &Settings,
    place: &ArchivePlace,
    others: &[PathBuf],
    seen: Seen,
) -> Result<Site, Diagnostic> {
    let archive = archive(settings, place)?;
    files::refuse_store(&archive)?;
    at(settings, &archive, place.vault.as_ref(), others, seen, Folders::Made)
}

/// How to treat missing folders of a state directory.
#[derive(Clone, Copy)]
pub(super) enum Folders {
    Made,
    /// Leave them, for a dry run, which must leave no trace.
    AsTheyAre,
}

pub(super) fn at(
    settings: &Settings,
    archive: &Path,
    vault: Option<&PathBuf>,
    others: &[PathBuf],
    seen: Seen,
    folders: Folders,
) -> Result<Site, Diagnostic> {
    let tree = tree(settings, archive, vault);
    let others = others.iter().map(PathBuf::as_path);
    let paths: Vec<&Path> = [archive, &tree.vault].into_iter().chain(others).collect();
    paths.iter().filter(|path| !is_remote(path)).try_for_each(|path| files::refuse_dangling(path))?;
    files::refuse_nested(&tree.archive, &tree.vault)?;
    let storage = files::storage(&paths, seen)?;
    let RetentionRules { zone, classes } = settings.retention()?;
    let ledger = settings.ledger(Arc::clone(&storage), zone.clone());
    let shred = settings.state_dir.join(shred::FOLDER);
    let (ledger, shred) = match folders {
        Folders::Made => (Ledger::open(ledger)?, ShredStore::open(&storage, &shred)?),
        Folders::AsTheyAre => (Ledger::at(ledger), ShredStore::at(&storage, &shred)),
    };
    // Used even if there is a key file now: the secrets in the state directory were made earlier.
    let keys = keyring::Settings { source: SecretSource::StateDir, ..settings.keys(zone.clone()) };
    Ok(Site {
        storage,
        tree,
        intermediate: intermediate(archive),
        quarantine: settings.state_dir.join(quarantine::FOLDER),
        keys: Some(keys),
        shred,
        ledger,
        classes,
        held: BTreeMap::new(),
        zone,
        now: settings.clock.now(),
        patience: Arc::default(),
    })
}

/// Returns the archive from the command line or the configuration, which must exist.
pub(super) fn archive(settings: &Settings, place: &ArchivePlace) -> Result<PathBuf, Diagnostic> {
    let archive = place.archive.clone().or_else(|| settings.archive()).ok_or_else(|| {
        Diagnostic::new(&codes::OPEN, "no archive is named")
            .hint("give `--archive DIR`, or set `archive` in the configuration")
    })?;
    if is_remote(&archive) {
        return Ok(archive);
    }
    refuse_dangling(&archive)?;
    if !archive.is_dir() {
        // Otherwise a purge of a misspelt archive would succeed for ever without removing anything.
        return Err(Diagnostic::new(&codes::OPEN, "there is no such archive")
            .at(archive.display().to_string())
            .hint("name the directory that `oubliette filter --archive` writes to"));
    }
    Ok(archive)
}

pub(super) fn refuse_dangling(archive: &Path) -> Result<(), Diagnostic> {
    ["archive", "intermediate"].iter().try_for_each(|store| files::refuse_dangling(&archive.join(store)))
}

/// Returns the archive in a directory; `vault` or the configuration may place its vaults elsewhere.
pub(super) fn tree(settings: &Settings, archive: &Path, vault: Option<&PathBuf>) -> Tree {
    let tree = Tree::at(archive);
    let vault = vault.or(settings.vault.as_ref());
    Tree { vault: vault.cloned().unwrap_or(tree.vault), ..tree }
}

/// Returns the place of segments in their second phase, for the archive in a directory.
pub(super) fn intermediate(archive: &Path) -> PathBuf {
    archive.join("intermediate")
}
