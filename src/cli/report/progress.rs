//! Progress bars for an input file, and for files that are read in part.

use super::counted;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A bar that follows how far a file has been read, until it is dropped.
///
/// It watches the position of the file, so the pipeline need not know about it: a duplicated descriptor
/// shares its position (dup(2)).
#[derive(Debug)]
pub(crate) struct Progress {
    /// Dropped to end the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Creates a bar for `input` if that is a regular file, standard error is a terminal and standard output
    /// is not.
    pub(crate) fn of(input: &File) -> Option<Self> {
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let metadata = input.metadata().ok().filter(|metadata| watched && metadata.is_file())?;
        let mut position = input.try_clone().ok()?;
        let bar = ProgressBar::with_draw_target(Some(metadata.len()), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(TEMPLATE).ok()?.progress_chars("=> "));
        let (end, ended) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Ok(bytes) = position.stream_position() {
                    bar.set_position(bytes);
                }
            }
            bar.finish_and_clear();
        });
        Some(Self { end: Some(end), thread: Some(thread.ok()?) })
    }
}

/// A bar that the caller advances by the number of bytes done.
#[derive(Debug)]
pub(crate) struct Counted(Option<ProgressBar>);

impl Counted {
    /// Creates a bar for `bytes` bytes, if standard error is a terminal.
    pub(crate) fn of(bytes: u64) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).ok().filter(|_| io::stderr().is_terminal());
        Self(style.map(|style| {
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            bar.set_style(style.progress_chars("=> "));
            bar
        }))
    }

    /// Creates a bar for `bytes` bytes that says how many frames are skipped, unless standard output is a
    /// terminal.
    pub(crate) fn skipping((bytes, frames): (u64, u64)) -> Self {
        if io::stdout().is_terminal() {
            return Self(None);
        }
        let progress = Self::of(bytes);
        if let Self(Some(bar)) = &progress
            && let Ok(style) = ProgressStyle::with_template(NOTED_TEMPLATE)
        {
            bar.set_style(style.progress_chars("=> "));
            bar.set_message(format!("{} skipped", counted(frames, "frame")));
        }
        progress
    }

    /// Advances the bar by `bytes`.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.iter().for_each(|bar| bar.inc(bytes));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A bar that failed is not worth a message.
            let _ = thread.join();
        }
    }
}

const INTERVAL: Duration = Duration::from_millis(100);
const NOTED_TEMPLATE: &str = "[{bar:30}] {bytes} of {total_bytes}, {msg}, {eta} left";
const TEMPLATE: &str = "[{bar:30}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
