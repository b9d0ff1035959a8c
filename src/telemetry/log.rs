//! The sidecar's own log, on standard error: what happened to it, and never what it read.

use std::io;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line of text each; `timed` says whether with the time, which a journal adds by itself.
    Text {
        /// With the time.
        timed: bool,
    },
    /// A JSON object each.
    Json,
}

/// From now on events are written to standard error.
///
/// # Errors
/// If events are written already.
pub fn start(form: Form) -> Result<(), SetGlobalDefaultError> {
    // Whoever reads a log file must not be sent control sequences.
    let base = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .with_target(false)
        .with_writer(io::stderr);
    match form {
        Form::Json => tracing::subscriber::set_global_default(base.json().flatten_event(true).finish()),
        Form::Text { timed: true } => tracing::subscriber::set_global_default(base.compact().finish()),
        Form::Text { timed: false } => {
            tracing::subscriber::set_global_default(base.compact().without_time().finish())
        }
    }
}
