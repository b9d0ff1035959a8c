//! `oubliette token`: prints the token of an identifier.

use super::site::ledger_of_node;
use super::{access, keys};
use crate::cli::args::{Common, Reading, TokenArgs};
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use crate::cli::settings::Settings;
use crate::jobs::recognition::{Choices, Recognition};
use crate::jobs::token::{self, Question};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::{Epoch, EpochLength};
use jiff::civil::Date;
use serde_json::json;

/// Prints one token per line; there are several if the secret was rotated within the epoch.
pub(crate) fn run(report: Report, common: &Common, args: &TokenArgs) -> Result<Exit, Stop> {
    let settings = Settings::new(common, &Reading::default(), &args.tokens)?;
    refuse_unknown_kind(&settings, args.kind.as_deref())?;
    let question = Question {
        value: args.value.clone(),
        kind: args.kind.clone(),
        tenant: settings.tenant.clone(),
        shape: settings.shape(),
        epoch: args.day.map(|day| epoch_of(day, settings.epoch)),
        identity: args.identity.clone(),
    };
    access::warn_of_exposed(report, args.identity.as_deref())?;
    // Checked before the next step, which makes the directory.
    if question.epoch.is_none() && settings.key_file.is_none() && !settings.state_dir.is_dir() {
        report.note(&format!(
            "there was no state directory {}: no line has this token yet",
            settings.state_dir.display()
        ));
    }
    let keys = keys::prepared(&settings, settings.legal_zone()?)?;
    let tokens = token::run(&question, keys, ledger_of_node(&settings)?, settings.clock)?;
    for token in &tokens {
        if report.is_json() {
            report.value(&json!({ "token": token }))?;
        } else {
            report.text(&format!("{token}\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// Refuses a kind that no rule finds: its token is in no log, and finding nothing would look like an answer.
fn refuse_unknown_kind(settings: &Settings, kind: Option<&str>) -> Result<(), Diagnostic> {
    let by_rule = kind.filter(|kind| !["ip", "net", "em"].contains(kind));
    let Some(kind) = by_rule else { return Ok(()) };
    let also = [kind.to_owned()].into();
    Recognition::new(Choices { also, ..settings.choices()? }).map(drop)
}

/// Returns the epoch of `day`. A key file has a fixed epoch, so its owner must know to which day it belonged.
fn epoch_of(day: Date, length: EpochLength) -> Epoch {
    match length {
        EpochLength::Month => Epoch::From(day.first_of_month()),
        EpochLength::Day | EpochLength::Fixed => Epoch::From(day),
    }
}
