//! The configuration file, `config.toml`: its keys, and the errors in them.

mod output;
mod reference;
mod refusal;
mod serve;

pub(crate) use output::{Output, OutputKind};
pub(crate) use reference::{markdown, schema};
pub(crate) use serve::{DEFAULT_METRICS_PORT, Input, Kind, Serve, Shown};

use super::args::{self, EpochName, EscrowName, Tag, TokenShape};
use crate::model::NodeName;
use crate::pipeline::SyncPolicy;
use crate::primitives::diag::Diagnostic;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use refusal::refused;
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::path::{Path, PathBuf};

/// The configuration file. A key that is missing leaves the default in force; one that is unknown is an
/// error.
#[derive(Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The time zone of legal days, by its name in the IANA database.
    #[schemars(extend("default" = "Europe/Paris"))]
    pub(crate) zone: Option<Typed<TimeZone>>,
    /// The time zone of times that state none; `zone` if this is not set.
    pub(crate) source_zone: Option<Typed<TimeZone>>,
    /// Equal identifiers of two tenants get different tokens. Searches then find only the lines of this tenant.
    #[schemars(extend("default" = "default"))]
    pub(crate) tenant: Option<Typed<Tenant>>,
    /// How long tokens stay the same.
    #[schemars(extend("default" = "day"))]
    pub(crate) epoch: Option<EpochName>,
    /// Where epoch secrets must come from.
    #[schemars(extend("default" = "random"))]
    pub(crate) source: Option<SourceName>,
    /// age recipients to whom every epoch secret is wrapped, besides those in `escrow/recipients.txt`.
    pub(crate) recipients: Option<Vec<String>>,
    /// More kinds to find: `usr`, `host`, `mac`, `tel`, or kinds of your own rules.
    pub(crate) also: Option<Vec<Typed<KindName>>>,
    /// Networks whose addresses stay in clear, in CIDR notation.
    pub(crate) keep: Option<Vec<Typed<IpNet>>>,
    /// Form of tags.
    #[schemars(extend("default" = "native"))]
    pub(crate) tag: Option<Tag>,
    /// Form of tokens.
    #[schemars(extend("default" = "native"))]
    pub(crate) token_shape: Option<TokenShape>,
    /// Longest line, from 480 bytes to `16MiB`. Longer ones go into quarantine, and a placeholder goes out.
    #[schemars(extend("default" = "4MiB"))]
    pub(crate) max_line_bytes: Option<Typed<LineBytes>>,
    /// Directory with `identifiers/*.toml` and `retention/*.toml`.
    pub(crate) rules: Option<PathBuf>,
    /// Whether all lines come from another oubliette. Its tokens and tags then stay as they are.
    #[schemars(extend("default" = false))]
    pub(crate) trust_upstream: Option<bool>,
    /// The archive that `purge`, `hold`, `replay` and `verify` use, if it is not that of `[serve]`. `filter`
    /// writes to an archive only with `--archive`.
    pub(crate) archive: Option<PathBuf>,
    /// Directory of vaults; `vault` in the directory of the archive if this is not set.
    pub(crate) vault: Option<PathBuf>,
    /// When to sync archived lines to the disk: `frame` (as soon as they are compressed), a time such as `5s`, or `none`.
    #[schemars(extend("default" = "frame"))]
    pub(crate) sync: Option<Typed<SyncPolicy>>,
    /// The name of this machine in file names of the archive; its host name if this is not set.
    pub(crate) node: Option<Typed<NodeName>>,
    /// What to do with originals in an archive.
    #[schemars(extend("default" = "age"))]
    pub(crate) escrow: Option<EscrowName>,
    /// The sidecar.
    pub(crate) serve: Serve,
}

/// Where epoch secrets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceName {
    /// Each from the operating system's randomness.
    Random,
    /// From the fleet's seed.
    Seed,
}

/// A value with the same written form and the same checks as on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed<T: Written>(pub(crate) T::Value);

/// The written form of a value, shared with the command line.
pub(crate) trait Written {
    /// The type of the value.
    type Value;
    /// Whether the value is a name, so that a number in its place is a mistake.
    const IS_NAME: bool = false;
    /// Parses the written form.
    fn read(text: &str) -> Result<Self::Value, &'static str>;
}

/// A tenant; see [`args::tenant`].
#[derive(Debug, PartialEq)]
pub(crate) enum Tenant {}

/// The name of a kind; see [`args::kind`].
#[derive(Debug, PartialEq)]
pub(crate) enum KindName {}

/// The longest line; see [`args::line_bytes`].
#[derive(Debug, PartialEq)]
pub(crate) enum LineBytes {}

/// A size in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Size {}

/// A length of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Span {}

impl Config {
    /// Parses `text`, the contents of `path`.
    ///
    /// # Errors
    /// If it is not TOML, or has a key or value that is not allowed.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Diagnostic> {
        let config: Self = toml::from_str(text)
            .map_err(|error: toml::de::Error| refused(path, text, error.span(), error.message()))?;
        match config.serve.problem() {
            None => Ok(config),
            // An empty list has no place.
            Some((span, problem)) => {
                Err(refused(path, text, Some(span).filter(|span| !span.is_empty()), &problem))
            }
        }
    }
}

impl<'de, T: Written> Deserialize<'de> for Typed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(_) if T::IS_NAME => {
                return Err(D::Error::custom(
                    "a string is expected, not a number: write it in quotation marks",
                ));
            }
            toml::Value::Integer(number) => number.to_string(),
            other => {
                return Err(D::Error::custom(format!("a string is expected, not a {}", other.type_str())));
            }
        };
        T::read(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Written for TimeZone {
    type Value = Self;
    fn read(text: &str) -> Result<Self, &'static str> {
        args::zone(text)
    }
}

impl Written for IpNet {
    type Value = Self;
    fn read(text: &str) -> Result<Self, &'static str> {
        args::network(text)
    }
}

impl Written for SyncPolicy {
    type Value = Self;
    fn read(text: &str) -> Result<Self, &'static str> {
        args::sync(text)
    }
}

impl Written for NodeName {
    type Value = Self;
    const IS_NAME: bool = true;
    fn read(text: &str) -> Result<Self, &'static str> {
        args::node(text)
    }
}

impl Written for Tenant {
    type Value = String;
    const IS_NAME: bool = true;
    fn read(text: &str) -> Result<String, &'static str> {
        args::tenant(text)
    }
}

impl Written for KindName {
    type Value = String;
    const IS_NAME: bool = true;
    fn read(text: &str) -> Result<String, &'static str> {
        args::kind(text)
    }
}

impl Written for LineBytes {
    type Value = usize;
    fn read(text: &str) -> Result<usize, &'static str> {
        args::line_bytes(text)
    }
}

/// The file that `oubliette init` writes: every key at its default, with its meaning.
pub(crate) const TEMPLATE: &str = r#"# Configuration of oubliette. Every key is optional; what is commented out shows the default.
# An option on the command line beats the environment, which beats this file. A relative path starts at the
# directory of this file.

# The time zone of legal days, and that of times that state no zone.
# zone = "Europe/Paris"
# source_zone = "Europe/Paris"

# Equal identifiers of two tenants get different tokens.
# tenant = "default"

# How long tokens stay the same: "day", "month", or "fixed".
# epoch = "day"

# Where epoch secrets must come from: "random", or "seed" after `oubliette keys seed import`.
# source = "random"

# age recipients to whom every epoch secret is wrapped, besides those in escrow/recipients.txt.
# recipients = ["age1..."]

# Find these kinds as well: "usr", "host", "mac", "tel", or kinds of your own rules.
# also = []

# Leave addresses of these networks in clear.
# keep = ["10.0.0.0/8"]

# Form of tags: "native", "suffix", or "none". Form of tokens: "native" or "address".
# tag = "native"
# token_shape = "native"

# Longest line. Longer ones go into quarantine, and a placeholder goes out.
# max_line_bytes = "4MiB"

# Directory with identifiers/*.toml and retention/*.toml.
# rules = "rules"

# Set it if all lines come from another oubliette: its tokens and tags then stay as they are.
# trust_upstream = false

# The archive that purge, hold, replay and verify use, if it is not that of [serve].
# filter writes to an archive only with --archive.
# archive = "/srv/log"

# Directory of vaults; vault in the directory of the archive if this is not set.
# vault = "/srv/vault"

# When to sync archived lines to the disk: "frame" (as soon as they are compressed), a time such as "5s", or "none".
# sync = "frame"

# The name of this machine in file names of the archive; its host name if this is not set.
# node = "web1"

# What to do with originals in an archive: "age" encrypts them into vaults, "none" drops them for good.
# escrow = "age"

# Inputs of `oubliette serve`. Without any: TCP and UDP on 127.0.0.1:5514. Without archive: in the state directory.
# [serve]
# archive = "/srv/log"
# [[serve.input]]
# type = "tcp"
# listen = "127.0.0.1:5514"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn refusal(text: &str) -> String {
        let diagnostic = Config::parse(Path::new("config.toml"), text).unwrap_err();
        format!("{}\n{}", diagnostic.place.unwrap(), diagnostic.why.unwrap().trim_end())
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            zone = "Europe/Berlin"
            source_zone = "UTC"
            tenant = "acme"
            epoch = "month"
            source = "seed"
            recipients = ["age1example"]
            also = ["usr", "host"]
            keep = ["10.0.0.0/8", "2001:db8::1"]
            tag = "suffix"
            token_shape = "address"
            max_line_bytes = "64KiB"
            rules = "rules"
            trust_upstream = true
            archive = "/srv/log"
            vault = "/srv/vault"
            sync = "5s"
            node = "web1"
            escrow = "none"
        "#;
        let config = Config::parse(Path::new("config.toml"), text).unwrap();
        assert_eq!(config.epoch, Some(EpochName::Month));
        assert_eq!(config.source, Some(SourceName::Seed));
        assert_eq!(config.keep.unwrap()[1].0, "2001:db8::1/128".parse().unwrap());
        assert_eq!(config.max_line_bytes, Some(Typed(64 << 10)));
        assert_eq!(config.trust_upstream, Some(true));
    }

    #[test]
    fn nothing_need_stand_in_it() {
        assert_eq!(Config::parse(Path::new("config.toml"), "").unwrap(), Config::default());
    }

    #[test]
    fn the_template_loads_and_shows_every_key_that_loads() {
        assert_eq!(Config::parse(Path::new("c"), TEMPLATE).unwrap(), Config::default());
        let shown: String = TEMPLATE
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = ") || line.starts_with('['))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = Config::parse(Path::new("c"), &shown).unwrap();
        let Config { serve, .. } = &config;
        assert!(!format!("{config:?}").replace(&format!("{serve:?}"), "").contains("None"), "{config:?}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert_snapshot!(refusal("tag = \"none\"\nzoen = \"UTC\"\n"), @r#"
        config.toml:2:1
          |
        2 | zoen = .....
          | ^^^^
        unknown field `zoen`, expected one of `zone`, `source_zone`, `tenant`, `epoch`, `source`, `recipients`, `also`, `keep`, `tag`, `token_shape`, `max_line_bytes`, `rules`, `trust_upstream`, `archive`, `vault`, `sync`, `node`, `escrow`, `serve`
        "#);
    }

    #[test]
    fn a_wrong_value_is_pointed_at() {
        for (text, column, why) in [
            ("zone = 'Mars/Base'", 8, "a zone is named"),
            ("keep = ['10.0.0.0/40']", 8, "a network is"),
            ("max_line_bytes = 12", 18, "480 to 16777216 bytes"),
            ("tenant = true", 10, "a string is expected, not a boolean"),
            ("tenant = 5", 10, "a string is expected, not a number"),
            ("node = 5", 8, "a string is expected, not a number"),
            ("also = [5]", 8, "a string is expected, not a number"),
            ("epoch = 'week'", 9, "unknown value, expected one of `day`, `month`, `fixed`"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(&format!("config.toml:1:{column}\n")), "{refusal}");
            assert!(refusal.contains(why), "{refusal}");
        }
    }
}
