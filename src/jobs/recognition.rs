//! Combines rules and options into everything that decides how a line is read. `filter` and `explain` share
//! it, so `explain` shows what `filter` does.

use crate::detect::account::AccountRules;
use crate::detect::{self, Detector};
use crate::model::{Format, Kinds};
use crate::pipeline::filter::Shared;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::TokenShape;
use crate::retention::event_time::EventClock;
use crate::retention::{self, Policy, Stamper, TagForm};
use crate::rules::retention::RetentionError;
pub use crate::rules::retention::load as load_retention;
use crate::rules::{self, RuleFile};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The options of the operator.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// The only format, or `None` to guess.
    pub format: Option<Format>,
    /// Kinds to find besides IP and e-mail addresses.
    pub also: BTreeSet<String>,
    /// Networks that stay readable, besides loopback.
    pub keep: Vec<IpNet>,
    /// Whether the lines come from another oubliette.
    pub trust_upstream: bool,
    /// The shape of the tokens.
    pub shape: TokenShape,
    /// The form of the tags.
    pub tags: TagForm,
    /// The legal zone; `None` for that of the retention rules.
    pub zone: Option<TimeZone>,
    /// The zone of times that state none.
    pub source_zone: Option<TimeZone>,
    /// Whether every past time is believed.
    pub backfill: bool,
    /// Whether the lines go to an archive.
    pub archived: bool,
    /// The latest instant that has come for certain, if the clock has jumped: no line expires after it.
    pub certain: Option<Timestamp>,
    /// Identifier rule files besides the built-in ones.
    pub identifier_rules: Vec<RuleFile>,
    /// Retention rule files besides the built-in ones.
    pub retention_rules: Vec<RuleFile>,
}

/// Everything needed to read lines.
#[derive(Clone, Debug)]
pub struct Recognition {
    /// Shared by all workers.
    pub shared: Shared,
    /// To be cloned for each worker.
    pub stamper: Stamper,
    /// The zone of legal days.
    pub zone: TimeZone,
    /// Decides which times are believed, as the stamper does.
    pub dates: EventClock,
    /// SHA-256 of the retention rules.
    pub policy_digest: [u8; 32],
}

impl Recognition {
    /// Loads the rules and compiles the options.
    ///
    /// # Errors
    /// If a rule file does not load, or no rule finds a kind. Nothing may be read then.
    pub fn new(choices: Choices) -> Result<Self, Diagnostic> {
        let identifier_rules =
            rules::load(&choices.identifier_rules).map_err(|error| Diagnostic::from(&error))?;
        let mut kinds = Kinds::default();
        let known: BTreeSet<&str> =
            identifier_rules.iter().flat_map(|rule| &rule.kinds).map(String::as_str).collect();
        if let Some(unknown) = choices.also.iter().find(|kind| !known.contains(kind.as_str())) {
            let known: Vec<_> = known.into_iter().collect();
            return Err(Diagnostic::new(&super::UNKNOWN_KIND, format!("no rule finds the kind `{unknown}`"))
                .because(format!("the rules find: {}", known.join(", ")))
                .hint("correct --also, or add a rule for it: `oubliette check` tells whether it loads"));
        }
        let accounts = AccountRules::compile(&identifier_rules, &mut kinds, &choices.also)
            .map_err(|error| Diagnostic::from(&error))?;
        let retention_rules =
            load_retention(&choices.retention_rules).map_err(|error| Diagnostic::from(&error))?;
        let policy_digest = rules::retention::digest(&choices.retention_rules);
        let zone = choices.zone.unwrap_or(retention_rules.zone);
        let policy = Policy::new(retention_rules.classes)
            .ok_or_else(|| Diagnostic::from(&RetentionError::NoDefault))?;
        let mut keep = detect::loopback().to_vec();
        keep.extend(choices.keep);
        let options = detect::Options {
            keep,
            trust_upstream: choices.trust_upstream,
            address_shape: choices.shape == TokenShape::Address,
        };
        let names = identifier_rules.into_iter().map(|rule| rule.id).collect();
        let shared = Shared {
            detector: Detector::new(options).with_accounts(accounts, names),
            kinds: Arc::new(kinds),
            shape: choices.shape,
            format: choices.format,
            trust_upstream: choices.trust_upstream,
            indexed: choices.archived,
        };
        let dates = EventClock::new(zone.clone(), choices.source_zone.clone(), choices.backfill);
        let options = retention::Options {
            zone: zone.clone(),
            source_zone: choices.source_zone,
            backfill: choices.backfill,
            archived: choices.archived,
            // Whoever asks for old lines drops those that have expired, and has the files.
            certain: choices.certain.filter(|_| !choices.backfill),
            tags: choices.tags,
            trust_upstream: choices.trust_upstream,
        };
        Ok(Self { shared, stamper: Stamper::new(Arc::new(policy), options), zone, dates, policy_digest })
    }
}
