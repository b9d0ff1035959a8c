//! The sidecar's own log, on standard error: it reports what happened to the sidecar, never what the sidecar
//! read.

use std::io;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line of text per event.
    Text {
        /// Whether each line states the time, which a journal adds by itself.
        timed: bool,
    },
    /// One JSON object per event.
    Json,
}

/// Starts to write events to standard error.
///
/// # Errors
/// If a log was started already.
pub fn start(form: Form) -> Result<(), SetGlobalDefaultError> {
    // No control sequences: they must not reach the terminal of a person who reads the log file.
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
