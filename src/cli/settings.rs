//! The settings of a run: command line, environment and configuration file together.
//!
//! An option takes precedence over the environment, the environment over the configuration file, and that
//! over the default. (The environment arrives with the options: `clap` reads it if the option is not given.)

use super::args::{Common, EpochName, EscrowName, Reading, Stats, Tag, TokenShape, Tokens};
use super::codes;
use super::config::{Config, Serve, SourceName, Typed, Written};
use super::files::{RuleFiles, credential, read_text};
use super::process;
use crate::jobs::recognition::{Choices, load_retention};
use crate::jobs::replay::{DEFAULT_TENANT, Named, Tenancy};
use crate::keyring::{self, KeyFile};
use crate::ledger;
use crate::model::{Format, NodeName};
use crate::pipeline::SyncPolicy;
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Storage, is_remote};
use crate::pseudonym;
use crate::pseudonym::epoch::EpochLength;
use crate::retention::TagForm;
use crate::rules::retention::RetentionRules;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The directory of secrets and quarantine.
    pub(crate) state_dir: PathBuf,
    /// The path of the configuration file, whether it exists or not.
    pub(crate) config_path: PathBuf,
    /// The one secret to use instead of epoch secrets.
    pub(crate) key_file: Option<KeyFile>,
    /// The directory of further rules.
    pub(crate) rules: Option<PathBuf>,
    /// The tenant whose tokens are made.
    pub(crate) tenant: String,
    /// How the tenant was named: if a user names one, searches find no lines of other tenants.
    pub(crate) tenant_named: Named,
    /// The source that epoch secrets must have, if the configuration requires one.
    pub(crate) source: Option<SourceName>,
    /// age recipients to whom every epoch secret is wrapped.
    pub(crate) recipients: Vec<String>,
    /// How long an epoch lasts; `Fixed` whenever there is a key file.
    pub(crate) epoch: EpochLength,
    /// The form of tokens.
    pub(crate) token_shape: TokenShape,
    /// The zone of legal days; `None` for that of the retention rules.
    pub(crate) zone: Option<TimeZone>,
    /// The zone of times that state none; `None` for the legal zone.
    pub(crate) source_zone: Option<TimeZone>,
    /// The clock that gives the current time.
    pub(crate) clock: Clock,
    /// Whether and how counts are printed at the end.
    pub(crate) stats: Option<Stats>,
    /// The format of all lines, if there is only one.
    pub(crate) format: Option<Format>,
    /// Further kinds to find.
    pub(crate) also: Vec<String>,
    /// Networks whose addresses stay in clear.
    pub(crate) keep: Vec<IpNet>,
    /// Whether tokens and tags in the input are kept as they are.
    pub(crate) trust_upstream: bool,
    /// The form of tags.
    pub(crate) tag: Tag,
    /// Whether any past time is accepted.
    pub(crate) backfill: bool,
    /// The longest line, in bytes.
    pub(crate) max_line_bytes: usize,
    /// The directory of the archive, for commands that maintain one.
    pub(crate) archive: Option<PathBuf>,
    /// The directory of vaults, if it is not next to the archive.
    pub(crate) vault: Option<PathBuf>,
    /// When archived lines are synced.
    pub(crate) sync: Option<SyncPolicy>,
    /// The name of this machine in an archive.
    pub(crate) node: Option<NodeName>,
    /// What happens to originals in an archive.
    pub(crate) escrow: Option<EscrowName>,
    /// The settings of the sidecar.
    pub(crate) serve: Serve,
}

/// The parts of the user's environment that decide where state is kept.
#[derive(Clone, Debug, Default)]
struct Environment {
    /// Whether the user is root.
    root: bool,
    /// `XDG_STATE_HOME`.
    xdg_state_home: Option<OsString>,
    /// `HOME`.
    home: Option<OsString>,
}

impl Settings {
    /// Returns the archive to use if none is named: that of the configuration, or that of its `[serve]`.
    pub(crate) fn archive(&self) -> Option<PathBuf> {
        self.archive.as_ref().or(self.serve.archive.as_ref()).map(|archive| self.store(archive))
    }

    /// Resolves an archive in the configuration, which may be in object storage.
    pub(crate) fn store(&self, archive: &Path) -> PathBuf {
        if is_remote(archive) { archive.to_owned() } else { self.beside_config(archive) }
    }

    /// Resolves a path in the configuration, which is relative to the configuration file.
    pub(crate) fn beside_config(&self, path: &Path) -> PathBuf {
        self.config_path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Resolves a file that the configuration names, which may be a credential that systemd loaded.
    pub(crate) fn named_file(&self, path: &Path) -> PathBuf {
        credential(path).unwrap_or_else(|| self.beside_config(path))
    }

    /// Returns the configuration in the state directory if it is not the one in use: commands for which none is
    /// named read it.
    pub(crate) fn other_config(&self) -> Option<PathBuf> {
        let other = self.state_dir.join(CONFIG);
        let file = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        (file(&other).is_some() && file(&other) != file(&self.config_path)).then_some(other)
    }

    /// Returns the tenant to which searches are limited, and how it was named.
    pub(crate) fn tenancy(&self) -> Tenancy {
        Tenancy { tenant: self.tenant.clone(), named: self.tenant_named }
    }

    /// Combines the settings of a command that has neither `reading` nor `tokens` options.
    ///
    /// # Errors
    /// As [`Settings::new`].
    pub(crate) fn of(common: &Common) -> Result<Self, Diagnostic> {
        Self::new(common, &Reading::default(), &Tokens::default())
    }

    /// Combines the settings of a command that has `reading` and `tokens` options (or their defaults).
    ///
    /// # Errors
    /// If the configuration does not load, options contradict each other, or no place for the state directory
    /// is known.
    pub(crate) fn new(common: &Common, reading: &Reading, tokens: &Tokens) -> Result<Self, Diagnostic> {
        let state_dir = state_dir(common, &Environment::of_process())?;
        let (config_path, config) = config(common, &state_dir)?;
        Self::resolve(common, reading, tokens, state_dir, config_path, config)
    }

    fn resolve(
        common: &Common,
        reading: &Reading,
        tokens: &Tokens,
        state_dir: PathBuf,
        config_path: PathBuf,
        config: Config,
    ) -> Result<Self, Diagnostic> {
        let key_file = common.key_file.as_ref().map(|path| match credential(path) {
            Some(credential) => KeyFile::Credential(credential),
            None => KeyFile::Own(path.clone()),
        });
        let beside = config_path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self {
            state_dir,
            config_path,
            epoch: epoch(key_file.is_some(), tokens.epoch, config.epoch)?,
            key_file,
            rules: common.rules.clone().or_else(|| config.rules.map(|rules| beside.join(rules))),
            tenant_named: match (&common.tenant, &config.tenant) {
                (Some(_), _) => Named::InQuestion,
                (None, Some(_)) => Named::InConfiguration,
                (None, None) => Named::Nowhere,
            },
            tenant: pick(common.tenant.clone(), config.tenant, DEFAULT_TENANT.to_owned()),
            source: config.source,
            recipients: config.recipients.unwrap_or_default(),
            token_shape: tokens.token_shape.or(config.token_shape).unwrap_or(TokenShape::Native),
            zone: common.zone.clone().or(config.zone.map(|Typed(zone)| zone)),
            source_zone: reading.source_zone.clone().or(config.source_zone.map(|Typed(zone)| zone)),
            clock: common.now.map_or(Clock::System, Clock::Fixed),
            stats: common.stats,
            format: reading.format,
            also: list(reading.also.clone(), config.also),
            keep: list(reading.keep.clone(), config.keep),
            trust_upstream: reading.trust_upstream || config.trust_upstream == Some(true),
            tag: reading.tag.or(config.tag).unwrap_or(Tag::Native),
            backfill: reading.backfill,
            max_line_bytes: pick(reading.max_line_bytes, config.max_line_bytes, DEFAULT_MAX_LINE_BYTES),
            archive: config.archive,
            vault: config.vault.map(|vault| if is_remote(&vault) { vault } else { beside.join(vault) }),
            sync: config.sync.map(|Typed(sync)| sync),
            node: config.node.map(|Typed(node)| node),
            escrow: config.escrow,
            serve: config.serve.beside(&beside),
        })
    }

    /// Returns the choices that decide how lines are read, including rule files.
    ///
    /// # Errors
    /// If the rules directory cannot be read.
    pub(crate) fn choices(&self) -> Result<Choices, Diagnostic> {
        let RuleFiles { identifiers, retention } = self.rule_files()?;
        Ok(Choices {
            format: self.format,
            also: self.also.iter().cloned().collect(),
            keep: self.keep.clone(),
            trust_upstream: self.trust_upstream,
            shape: self.shape(),
            tags: match self.tag {
                Tag::Native => TagForm::Native,
                Tag::Suffix => TagForm::Suffix,
                Tag::None => TagForm::None,
            },
            zone: self.zone.clone(),
            source_zone: self.source_zone.clone(),
            backfill: self.backfill,
            archived: false,
            certain: None,
            identifier_rules: identifiers,
            retention_rules: retention,
        })
    }

    /// Reads the rule files of the rules directory.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(crate) fn rule_files(&self) -> Result<RuleFiles, Diagnostic> {
        self.rules.as_deref().map_or_else(|| Ok(RuleFiles::default()), RuleFiles::of_directory)
    }

    /// Returns the zone of legal days, without compiling any rule.
    ///
    /// # Errors
    /// If the retention rules do not load.
    pub(crate) fn legal_zone(&self) -> Result<TimeZone, Diagnostic> {
        match &self.zone {
            Some(zone) => Ok(zone.clone()),
            None => Ok(self.retention()?.zone),
        }
    }

    /// Loads the retention rules, with the zone from the settings if there is one.
    ///
    /// # Errors
    /// If they do not load.
    pub(crate) fn retention(&self) -> Result<RetentionRules, Diagnostic> {
        let rules =
            load_retention(&self.rule_files()?.retention).map_err(|error| Diagnostic::from(&error))?;
        Ok(RetentionRules { zone: self.zone.clone().unwrap_or(rules.zone), ..rules })
    }

    /// Returns the settings with which the ledger of this node is opened.
    pub(crate) fn ledger(&self, storage: Arc<dyn Storage>, zone: TimeZone) -> ledger::Settings {
        let directory = self.state_dir.join(ledger::FOLDER);
        ledger::Settings { storage, directory, zone, who: process::user(), clock: self.clock }
    }

    /// Returns the settings with which a keyring is opened.
    pub(crate) fn keys(&self, zone: TimeZone) -> keyring::Settings {
        let source =
            self.key_file.clone().map_or(keyring::SecretSource::StateDir, keyring::SecretSource::KeyFile);
        let is_clock_stated = self.clock != Clock::System;
        let (directory, length) = (self.state_dir.clone(), self.epoch);
        keyring::Settings { directory, source, length, zone, is_clock_stated }
    }

    /// Returns the shape of tokens.
    pub(crate) fn shape(&self) -> pseudonym::TokenShape {
        match self.token_shape {
            TokenShape::Native => pseudonym::TokenShape::Native,
            TokenShape::Address => pseudonym::TokenShape::Address,
        }
    }
}

impl Environment {
    fn of_process() -> Self {
        Self {
            root: rustix::process::geteuid().is_root(),
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
        }
    }
}

fn state_dir(common: &Common, environment: &Environment) -> Result<PathBuf, Diagnostic> {
    if let Some(typed) = common.state_dir.as_ref() {
        return Ok(typed.clone());
    }
    if environment.root {
        return Ok(PathBuf::from(PACKAGED.0));
    }
    // XDG Base Directory Specification: "All paths set in these environment variables must be absolute. If
    // an implementation encounters a relative path [...] it should consider the path invalid and ignore it."
    let absolute = |path: &OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let xdg = environment.xdg_state_home.as_ref().and_then(absolute);
    let home = || environment.home.as_ref().and_then(absolute).map(|home| home.join(".local/state"));
    xdg.or_else(home).map(|base| base.join("oubliette")).ok_or_else(|| {
        Diagnostic::new(&codes::NO_STATE_DIR, "there is no place for the state directory")
            .because("neither XDG_STATE_HOME nor HOME is set to an absolute path")
            .hint("name one with `--state-dir DIR` or OUBLIETTE_STATE_DIR")
    })
}

/// Loads the configuration and returns its path with it. A file that was named must exist; the default one
/// need not.
fn config(common: &Common, state_dir: &Path) -> Result<(PathBuf, Config), Diagnostic> {
    let named = common.config.clone();
    let path = named.clone().unwrap_or_else(|| default_config(state_dir, PACKAGED));
    if named.is_none() && absent(&path) {
        return Ok((path, Config::default()));
    }
    let config = Config::parse(&path, &read_text(&path, "the configuration")?)?;
    Ok((path, config))
}

/// Returns the configuration to use if none is named: that of the state directory. If there is none, and the
/// state directory is that of the package, it is the one with which the package starts the service: the other
/// commands must make the same tokens and purge in the same zone.
fn default_config(state_dir: &Path, packaged: (&str, &str)) -> PathBuf {
    let own = state_dir.join(CONFIG);
    let service = Path::new(packaged.1);
    let is_of_service = state_dir == Path::new(packaged.0) && absent(&own) && !absent(service);
    if is_of_service { service.to_owned() } else { own }
}

fn absent(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Returns the epoch length. A key file is one secret for ever, so it excludes `--epoch` with another length.
fn epoch(
    key_file: bool,
    typed: Option<EpochName>,
    config: Option<EpochName>,
) -> Result<EpochLength, Diagnostic> {
    match (key_file, typed) {
        (true, Some(EpochName::Day | EpochName::Month)) => {
            Err(Diagnostic::new(&codes::CONFLICT, "a key file and an epoch that ends exclude each other")
                .because("a key file is one secret for ever: its epoch is `fixed`")
                .hint("leave out `--epoch`, or `--key-file` and OUBLIETTE_KEY_FILE"))
        }
        (true, _) => Ok(EpochLength::Fixed),
        (false, _) => Ok(match typed.or(config).unwrap_or(EpochName::Day) {
            EpochName::Day => EpochLength::Day,
            EpochName::Month => EpochLength::Month,
            EpochName::Fixed => EpochLength::Fixed,
        }),
    }
}

fn pick<T: Written>(typed: Option<T::Value>, config: Option<Typed<T>>, default: T::Value) -> T::Value {
    typed.or(config.map(|Typed(value)| value)).unwrap_or(default)
}

/// Returns a list from the command line, which replaces that of the configuration entirely.
fn list<T: Written>(typed: Option<Vec<T::Value>>, config: Option<Vec<Typed<T>>>) -> Vec<T::Value> {
    let configured = || config.unwrap_or_default().into_iter().map(|Typed(value)| value).collect();
    typed.unwrap_or_else(configured)
}

/// The folders in a state directory.
pub(crate) const STATE_FOLDERS: &[&str] =
    &["escrow", "holds", "keys", "ledger", "quarantine", "shred", "spool", "tails", "wraps"];

/// The name of the configuration in the state directory.
const CONFIG: &str = "config.toml";

/// The state directory and the configuration of the service that the package installs.
const PACKAGED: (&str, &str) = ("/var/lib/oubliette", "/etc/oubliette/config.toml");

/// 4 MiB.
const DEFAULT_MAX_LINE_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, CommandLine};
    use clap::Parser as _;

    fn settings(typed: &str, config: &str) -> Result<Settings, Diagnostic> {
        let line =
            CommandLine::try_parse_from(format!("oubliette filter {typed}").split_whitespace()).unwrap();
        let Command::Filter(filter) = &line.command else { panic!("not filter") };
        let path = PathBuf::from("/etc/oubliette/config.toml");
        let config = Config::parse(&path, config)?;
        Settings::resolve(&line.common, &filter.reading, &filter.tokens, PathBuf::from("/s"), path, config)
    }

    #[test]
    fn defaults() {
        let settings = settings("", "").unwrap();
        assert_eq!(settings.zone, None);
        assert_eq!((settings.tenant.as_str(), settings.epoch), ("default", EpochLength::Day));
        assert_eq!((settings.max_line_bytes, settings.tag), (4 << 20, Tag::Native));
        assert!(settings.also.is_empty() && settings.keep.is_empty() && !settings.trust_upstream);
    }

    #[test]
    fn the_file_beats_the_default_and_the_option_beats_the_file() {
        let file = "zone = 'UTC'\ntenant = 'file'\nepoch = 'month'\nalso = ['usr']\nmax_line_bytes = 1000\n\
                    tag = 'none'\ntoken_shape = 'address'\nrules = 'more'\nkeep = ['192.0.2.0/24']";
        let from_file = settings("", file).unwrap();
        assert_eq!((from_file.tenant.as_str(), from_file.epoch), ("file", EpochLength::Month));
        assert_eq!((from_file.zone, from_file.max_line_bytes), (Some(TimeZone::UTC), 1000));
        assert_eq!((from_file.tag, from_file.token_shape), (Tag::None, TokenShape::Address));
        assert_eq!((from_file.also, from_file.keep.len()), (vec!["usr".to_owned()], 1));
        assert_eq!(from_file.rules, Some(PathBuf::from("/etc/oubliette/more")));

        let typed = "--zone Europe/Rome --tenant typed --epoch day --also host,mac --max-line-bytes 64KiB \
                     --tag suffix --token-shape native --rules here --keep ::1";
        let from_line = settings(typed, file).unwrap();
        assert_eq!((from_line.tenant.as_str(), from_line.epoch), ("typed", EpochLength::Day));
        assert_eq!((from_line.zone, from_line.max_line_bytes), (TimeZone::get("Europe/Rome").ok(), 64 << 10));
        assert_eq!((from_line.tag, from_line.token_shape), (Tag::Suffix, TokenShape::Native));
        assert_eq!(from_line.also, ["host", "mac"]);
        assert_eq!(from_line.keep, ["::1/128".parse().unwrap()]);
        assert_eq!(from_line.rules, Some(PathBuf::from("here")));
    }

    #[test]
    fn every_path_in_the_file_is_relative_to_it() {
        let file = "rules = 'r'\narchive = '../log'\nvault = '../v'\n[serve]\narchive = 'a'\n\
                    [[serve.input]]\ntype = 'unix'\npath = '../log.sock'\n\
                    [[serve.input]]\ntype = 'file'\npath = 'logs/*.log'\n\
                    [[serve.input]]\ntype = 'file'\npath = '/var/log/*.log'\n\
                    [[serve.output]]\ntype = 'unix'\nname = 'u'\npath = 'out.sock'\n\
                    [[serve.output]]\ntype = 'file'\nname = 'f'\npath = '/srv/out.log'\n";
        let found = settings("", file).unwrap();
        let path = |path: Option<PathBuf>| path.unwrap().to_str().unwrap().to_owned();
        let inputs = found.serve.inputs().into_iter().map(|input| input.path().map(Path::to_owned));
        let outputs = found.serve.outputs().into_iter().map(|output| output.path);
        let paths =
            [found.rules.clone(), found.archive(), found.vault].into_iter().chain(inputs).chain(outputs);
        assert_eq!(
            paths.map(path).collect::<Vec<_>>(),
            [
                "/etc/oubliette/r",
                "/etc/oubliette/../log",
                "/etc/oubliette/../v",
                "/etc/oubliette/../log.sock",
                "/etc/oubliette/logs/*.log",
                "/var/log/*.log",
                "/etc/oubliette/out.sock",
                "/srv/out.log",
            ]
        );
        let remote = settings("", "vault = 's3://vaults/web1'").unwrap().vault;
        assert_eq!(path(remote), "s3://vaults/web1");
    }

    #[test]
    fn a_key_file_fixes_the_epoch() {
        for (typed, config, epoch) in [
            ("--key-file k", "", Some(EpochLength::Fixed)),
            ("--key-file k", "epoch = 'month'", Some(EpochLength::Fixed)),
            ("--key-file k --epoch fixed", "", Some(EpochLength::Fixed)),
            ("--key-file k --epoch day", "", None),
            ("--epoch fixed", "", Some(EpochLength::Fixed)),
        ] {
            assert_eq!(
                settings(typed, config).map(|settings| settings.epoch).ok(),
                epoch,
                "{typed} {config}"
            );
        }
    }

    #[test]
    fn where_state_lives() {
        let os = |text: &str| Some(OsString::from(text));
        for (typed, root, xdg, home, expected) in [
            ("--state-dir /x", true, None, None, Some("/x")),
            ("", true, os("/xdg"), os("/root"), Some("/var/lib/oubliette")),
            ("", false, os("/xdg"), os("/home/jo"), Some("/xdg/oubliette")),
            ("", false, os("relative"), os("/home/jo"), Some("/home/jo/.local/state/oubliette")),
            ("", false, os(""), os("/home/jo"), Some("/home/jo/.local/state/oubliette")),
            ("", false, None, os(""), None),
            ("", false, None, None, None),
        ] {
            let line = format!("oubliette filter {typed}");
            let line = CommandLine::try_parse_from(line.split_whitespace()).unwrap();
            let environment = Environment { root, xdg_state_home: xdg, home };
            let found = state_dir(&line.common, &environment).ok();
            assert_eq!(found, expected.map(PathBuf::from), "{typed} {environment:?}");
        }
    }

    #[test]
    fn a_named_configuration_must_exist_and_the_default_one_need_not() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.toml");
        let line = ["oubliette", "filter", "--config", missing.to_str().unwrap()];
        let named = CommandLine::try_parse_from(line).unwrap().common;
        assert_eq!(config(&named, directory.path()).unwrap_err().code.id, "C02");
        let default = CommandLine::try_parse_from(["oubliette", "filter"]).unwrap().common;
        assert_eq!(config(&default, directory.path()).unwrap().1, Config::default());
        std::fs::write(directory.path().join("config.toml"), "tag = 'none'").unwrap();
        assert_eq!(config(&default, directory.path()).unwrap().1.tag, Some(Tag::None));
    }

    #[test]
    fn every_unit_of_the_package_has_the_same_configuration() {
        let (state, config) = PACKAGED;
        for unit in [
            include_str!("../../packaging/systemd/oubliette.service"),
            include_str!("../../packaging/systemd/oubliette-purge.service"),
            include_str!("../../packaging/systemd/oubliette-vaults.service"),
        ] {
            let start = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
            assert!(start.ends_with(&format!(" --config {config} --state-dir {state}")), "{start}");
        }
    }

    #[test]
    fn the_state_of_the_packaged_service_has_its_configuration_unless_it_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (state, service, own) = (at("state"), at("etc.toml"), at("state/config.toml"));
        std::fs::create_dir(&state).unwrap();
        let packaged = (state.to_str().unwrap(), service.to_str().unwrap());
        assert_eq!(default_config(&state, packaged), own);
        std::fs::write(&service, "").unwrap();
        assert_eq!(default_config(&state, packaged), service);
        assert_eq!(default_config(&at("other"), packaged), at("other/config.toml"));
        let other = |config_path: &Path| {
            let (state_dir, config_path) = (state.clone(), config_path.to_owned());
            Settings { state_dir, config_path, ..settings("", "").unwrap() }.other_config()
        };
        assert_eq!(other(&service), None);
        std::fs::write(&own, "").unwrap();
        assert_eq!(default_config(&state, packaged), own);
        assert_eq!((other(&service), other(&own)), (Some(own), None));
    }
}
