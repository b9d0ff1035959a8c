//! The output of type `kafka`: starts it from the configuration.

use super::DEFAULT_WINDOW;
use crate::cli::config::{Output, Typed};
use crate::cli::librdkafka;
use crate::cli::settings::Settings;
use crate::jobs::collect::KAFKA;
use crate::output::kafka::Topic;
use crate::pipeline::{Outlet, OutletSettings};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use std::sync::Arc;

/// Refuses settings that cannot be read. Connects to nothing.
pub(super) fn refuse(output: &Output, settings: &Settings) -> Result<(), Diagnostic> {
    topic(output, settings).map(drop)
}

/// Starts the output.
///
/// # Errors
/// If librdkafka does not accept a setting. Brokers that are away are waited for.
pub(super) fn start(
    output: &Output,
    outlet: OutletSettings,
    settings: &Settings,
    storage: &Arc<dyn Storage>,
) -> Result<Outlet, Diagnostic> {
    let topic = topic(output, settings)?;
    topic.producer().map_err(|error| {
        Diagnostic::new(&KAFKA, "an output to Kafka cannot be set up")
            .at(format!("the output `{}`", output.name.0))
            .because(error.to_string())
            .hint("CONFIGURATION.md of librdkafka lists the settings")
    })?;
    Outlet::start(outlet, topic, storage)
}

fn topic(output: &Output, settings: &Settings) -> Result<Topic, Diagnostic> {
    let file = output.kafka_config.as_deref().map(|path| settings.named_file(path));
    let brokers = output.brokers.iter().flatten().map(|Typed(broker)| broker.as_str());
    Ok(Topic {
        brokers: brokers.collect::<Vec<_>>().join(","),
        name: output.topic.clone().unwrap_or_default(),
        settings: file.as_deref().map(librdkafka::settings).transpose()?.unwrap_or_default(),
        window: output.window.as_ref().map_or(DEFAULT_WINDOW, |Typed(records)| *records),
    })
}
