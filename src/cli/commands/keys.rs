//! `oubliette keys`: lists and changes secrets. Also prepares the keyring for other commands.

use super::site::ledger_of_node;
use crate::cli::args::{Common, EpochName, KeysCommand, Reading, SeedCommand, Tokens};
use crate::cli::codes;
use crate::cli::config::SourceName;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Report, Row, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::keys;
use crate::keyring::{self, EpochRecord, EpochState, Escrow, KeyError, KeyFile, Keyring, Rotation, StateDir};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochLength;
use jiff::tz::TimeZone;
use serde_json::json;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Lists, rotates or wraps secrets, or handles the fleet's seed.
pub(crate) fn run(report: Report, common: &Common, command: &KeysCommand) -> Result<Exit, Stop> {
    match command {
        KeysCommand::List => list(report, common),
        KeysCommand::Rotate(args) => rotate(report, common, &args.tokens),
        KeysCommand::Wrap(args) => wrap(report, common, &args.recipient),
        KeysCommand::Seed(SeedCommand::New { file, epoch }) => new_seed(report, common, file, *epoch),
        KeysCommand::Seed(SeedCommand::Import { file }) => import_seed(report, common, file),
    }
}

/// Returns the settings of the keyring, after adding the configured recipients to those of the node, and
/// after checking that secrets have the configured source.
pub(crate) fn prepared(settings: &Settings, zone: TimeZone) -> Result<keyring::Settings, Diagnostic> {
    let keys = settings.keys(zone);
    if settings.key_file.is_some() {
        return Ok(keys);
    }
    if !settings.recipients.is_empty() {
        let added = Escrow::add(&StateDir::open(&settings.state_dir)?, &settings.recipients);
        added.map_err(|error| match error {
            KeyError::Recipient { unit, number, .. } => {
                KeyError::Recipient { path: place(settings), unit, number }
            }
            error => error,
        })?;
    }
    if let Some(source) = settings.source {
        check_source(source, Keyring::open(keys.clone())?.has_seed()?)?;
    }
    Ok(keys)
}

/// Names the place of the configured recipients, for messages.
pub(crate) fn place(settings: &Settings) -> PathBuf {
    format!("`recipients` in {}", settings.config_path.display()).into()
}

/// Refuses secrets and escrow recipients that cannot be read, and secrets of another source than the
/// configured one. Makes, erases and records nothing. Returns whether secrets are wrapped to anybody; `None`
/// with a key file.
pub(crate) fn check(settings: &Settings) -> Result<Option<bool>, Diagnostic> {
    // No secret is made, so no epoch and no zone is needed.
    let keyring = Keyring::at(settings.keys(TimeZone::UTC))?;
    keyring.history()?;
    if let (Some(source), None) = (settings.source, &settings.key_file) {
        check_source(source, keyring.has_seed()?)?;
    }
    let escrow = keyring.escrow()?;
    Ok(escrow.map(|escrow| !escrow.is_missing() || !settings.recipients.is_empty()))
}

fn check_source(source: SourceName, has_seed: bool) -> Result<(), Diagnostic> {
    let (why, hint) = match (source, has_seed) {
        (SourceName::Seed, false) => (
            "the configuration wants secrets from a fleet seed, and none was imported",
            "`oubliette keys seed import FILE`, or take `source` out of the configuration",
        ),
        (SourceName::Random, true) => (
            "the configuration wants random secrets, and a fleet seed was imported",
            "take `source` out of the configuration, or `keys/chain` out of the state directory",
        ),
        _ => return Ok(()),
    };
    Err(Diagnostic::new(
        &codes::CONFLICT,
        "epoch secrets do not come from the source that the configuration demands",
    )
    .because(why)
    .hint(hint))
}

fn list(report: Report, common: &Common) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    let listing = keys::list(settings.keys(settings.legal_zone()?)).map_err(Diagnostic::from)?;
    report.table(&listing.epochs)?;
    if listing.epochs.is_empty() {
        report.note("there is no secret yet; the first filter makes one");
    }
    report.note(&match listing.recipients.len() {
        0 => "secrets are wrapped to nobody: `oubliette init` sets up escrow".to_owned(),
        count => format!("secrets are wrapped to {}", counted(count, "recipient")),
    });
    for identity in &listing.identities_on_node {
        report.note(&format!("{identity} still lies in {}/escrow", settings.state_dir.display()));
    }
    Ok(Exit::Done)
}

fn rotate(report: Report, common: &Common, tokens: &Tokens) -> Result<Exit, Stop> {
    let settings = Settings::new(common, &Reading::default(), tokens)?;
    let keys = prepared(&settings, settings.legal_zone()?)?;
    let Rotation { epoch, old, new } = keys::rotate(keys, ledger_of_node(&settings)?, settings.clock.now())?;
    let text = |kid: [u8; 5]| String::from_utf8_lossy(&kid).into_owned();
    let (old, new) = (old.map(text), text(new));
    if report.is_json() {
        report.value(&json!({ "epoch": epoch.to_string(), "old": old, "new": new }))?;
    } else {
        let old =
            old.map_or_else(|| "there was no secret".to_owned(), |kid| format!("secret {kid} is erased"));
        report.note(&format!("{old}; epoch {epoch} goes on with {new}"));
        report.note("restart running filters: until then they use the old one");
    }
    Ok(Exit::Done)
}

fn wrap(report: Report, common: &Common, recipients: &[String]) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    let keys = prepared(&settings, settings.legal_zone()?)?;
    let ledger = ledger_of_node(&settings)?;
    let (epoch, count) = keys::wrap(keys, ledger, recipients, settings.clock.now())?;
    if report.is_json() {
        report.value(&json!({ "epoch": epoch.to_string(), "recipients": count }))?;
    } else {
        let count = counted(count, "recipient");
        report.note(&format!("the secret of epoch {epoch} is wrapped to {count}"));
    }
    Ok(if count == 0 { Exit::NeedsHuman } else { Exit::Done })
}

fn new_seed(report: Report, common: &Common, file: &Path, epoch: Option<EpochName>) -> Result<Exit, Stop> {
    let tokens = Tokens { epoch, ..Tokens::default() };
    let settings = Settings::new(common, &Reading::default(), &tokens)?;
    if settings.epoch == EpochLength::Fixed {
        let conflict = Diagnostic::new(&codes::CONFLICT, "a seed and a fixed epoch exclude each other");
        return Err(conflict
            .because("a seed makes a new secret for each epoch; a fixed epoch has just one")
            .hint("`--epoch day` or `--epoch month`, without a key file")
            .into());
    }
    if file == Path::new("-") {
        let refusal =
            Diagnostic::new(&codes::USAGE, "a seed is written to a file, and not to standard output");
        return Err(refusal
            .because("a terminal and its history would keep it")
            .hint("name a file that does not exist yet; for one that is called so, `./-`")
            .into());
    }
    let epoch = keys::new_seed(file, settings.epoch, &settings.legal_zone()?, settings.clock.now())
        .map_err(Diagnostic::from)?;
    if report.is_json() {
        report.value(&json!({ "file": file.display().to_string(), "epoch": epoch.to_string() }))?;
    } else {
        report.note(&format!("{} holds the seed from epoch {epoch} on", file.display()));
        report.note("import it on every node, then erase it: anybody who has it can make all later secrets");
    }
    Ok(Exit::Done)
}

fn import_seed(report: Report, common: &Common, file: &Path) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    let seed = files::credential(file).map_or_else(|| KeyFile::Own(file.to_owned()), KeyFile::Credential);
    let text = secret_text(&seed)?;
    let (epoch, length) =
        keys::import_seed(&settings.state_dir, seed.path(), &text).map_err(Diagnostic::from)?;
    let length = length.name();
    if report.is_json() {
        report.value(&json!({ "epoch": epoch.to_string(), "length": length }))?;
    } else {
        report.note(&format!("secrets come from the seed now: one a {length}, from epoch {epoch} on"));
        report.note("restart running filters: until then they do not use it");
    }
    Ok(Exit::Done)
}

/// Reads the text of a file that holds a secret. The text is wiped when dropped.
fn secret_text(seed: &KeyFile) -> Result<Zeroizing<String>, Stop> {
    let file = seed.path();
    // Large enough from the start, so that growing leaves no copy in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(SEED_BYTES_LIMIT));
    let input = files::input(Some(file))?;
    // A pipe keeps nothing that others could read later.
    if let Some(metadata) = input.metadata().ok().filter(|metadata| metadata.is_file()) {
        seed.demand_private(&metadata).map_err(Diagnostic::from)?;
    }
    let read = input.take(SEED_BYTES_LIMIT as u64).read_to_string(&mut text);
    read.map(|_| text).map_err(|error: io::Error| {
        Diagnostic::new(&codes::OPEN, "cannot read the seed").at_path(file, error).into()
    })
}

impl Row for EpochRecord {
    const HEADS: &[&str] = &["EPOCH", "KID", "STATE", "MADE", "ERASED", "WRAPPED TO"];

    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            EpochState::Active => "active",
            EpochState::Destroyed => "destroyed",
        };
        let erased = self.destroyed.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let wrapped = self.recipients.to_string();
        [self.epoch.clone(), self.kid.clone(), state.to_owned(), self.created.to_string(), erased, wrapped]
            .into()
    }
}

/// Far more than a seed needs, which is four short lines.
const SEED_BYTES_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_where_they_must() {
        for (source, has_seed, right) in [
            (SourceName::Seed, true, true),
            (SourceName::Seed, false, false),
            (SourceName::Random, false, true),
            (SourceName::Random, true, false),
        ] {
            assert_eq!(check_source(source, has_seed).is_ok(), right, "{source:?} {has_seed}");
        }
    }
}
