//! `oubliette archive`: a worker that stores in object storage what nodes sent to Kafka.

use super::{filter, serve};
use crate::cli::args::{CollectArgs, Common};
use crate::cli::exit::Exit;
use crate::cli::librdkafka;
use crate::cli::process;
use crate::cli::report::{Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::input::kafka::Member;
use crate::jobs::collect::{Advance, Collector, KAFKA, LEAKED, Limits, Objects, RecordPacker, worker};
use crate::jobs::filter::Plan;
use crate::jobs::recognition::{Choices, Recognition};
use crate::ledger::{Event, Ledger};
use crate::primitives::diag::Diagnostic;
use crate::primitives::librdkafka::why;
use crate::primitives::storage::{Disk, S3};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Works until SIGTERM or SIGINT, and then stores what it has.
pub(crate) fn run(report: Report, common: &Common, args: &CollectArgs) -> Result<Exit, Stop> {
    let settings = Settings::new(common, &args.reading, &args.tokens)?;
    let packer = RecordPacker::new(plan(&settings)?, args.level.unwrap_or(1))?;
    let mut ledger = ledger(&settings, &packer)?;
    let s3 = S3::from_environment().map_err(|error| unready(&error.to_string()))?;
    let store = Objects::open(s3, &args.s3)?;
    let topics: BTreeMap<_, _> = args.topic.iter().cloned().collect();
    let limits = Limits {
        bytes: args.cut_bytes.unwrap_or(DEFAULT_CUT_BYTES),
        age: args.cut_after.unwrap_or(DEFAULT_CUT_AFTER),
    };
    let mut collector = Collector::new(&store, &args.s3, &topics, limits, Box::new(ledger.clone()), packer)?;
    serve::start_log(report);
    let stopped = process::interrupted().map_err(|error| unready(&error.to_string()))?;
    let names: Vec<&str> = topics.keys().map(String::as_str).collect();
    let kafka = args.kafka_config.as_deref().map(librdkafka::settings).transpose()?.unwrap_or_default();
    let member =
        Member::join(&args.kafka, &args.group, &names, &kafka).map_err(|error| unready(&why(&error)))?;
    let (command, version) = (COMMAND.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    ledger.append(Event::Start { command, version }).map_err(Diagnostic::from)?;
    let (mut leaked, mut dropped) = (0, 0);
    let mut tell = |advance: &Advance| {
        leaked += advance.leaked;
        dropped += advance.dropped;
        report.value(advance).map_err(|_| unready("standard output does not take what was stored"))
    };
    let worked = worker::work(&member, &mut collector, None, &|| stopped.load(Ordering::Relaxed), &mut tell);
    let exit = if worked.is_err() { 2 } else { u8::from(leaked > 0) };
    let code = worked.as_ref().err().map(|failure| failure.code.id.to_owned());
    ledger.append(Event::Stop { command: COMMAND.to_owned(), exit, code }).map_err(Diagnostic::from)?;
    worked?;
    if dropped > 0 {
        report.note(&format!("dropped because they had expired: {}", counted(dropped, "line")));
    }
    if leaked > 0 {
        report.warning(
            &Diagnostic::new(&LEAKED, "nodes left identifiers in clear")
                .because(format!("{leaked} were found and replaced before they were stored"))
                .hint("`oubliette explain F06` says what to do"),
        );
        return Ok(Exit::NeedsHuman);
    }
    Ok(Exit::Done)
}

fn plan(settings: &Settings) -> Result<Plan, Diagnostic> {
    let certain = filter::certain(settings);
    let choices = Choices { trust_upstream: true, archived: true, certain, ..settings.choices()? };
    filter::plan(settings, Recognition::new(choices)?, NonZeroUsize::MIN)
}

fn ledger(settings: &Settings, packer: &RecordPacker) -> Result<Ledger, Diagnostic> {
    Ok(Ledger::open(settings.ledger(Arc::new(Disk), packer.zone().clone()))?)
}

fn unready(why: &str) -> Diagnostic {
    Diagnostic::new(&KAFKA, "the worker cannot start or go on")
        .because(why)
        .hint("mend that, then start it again: offsets are committed only of records that are stored")
}

const COMMAND: &str = "archive";

/// The size of one PUT, which takes ten seconds on a busy network.
const DEFAULT_CUT_BYTES: usize = 64 << 20;

/// Longest time until a line is in the archive.
const DEFAULT_CUT_AFTER: Duration = Duration::from_secs(900);
