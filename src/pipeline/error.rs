//! What stops the pipeline.

use super::output::WriteError;
use crate::input::ReadError;
use crate::primitives::diag::{Code, Diagnostic};
use crate::quarantine::QuarantineError;

/// Why the pipeline stopped before the end of its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The input could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A line that was too long could not be sealed.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The keys of the next epoch could not be had.
    #[error("no keys for the next epoch")]
    Renew(#[source] Box<Diagnostic>),
    /// The keys that were had for the next epoch are over already.
    #[error("the next epoch ends before it begins")]
    EpochOver,
    /// A worker could not process a block.
    #[error("a block of lines could not be processed")]
    Work(#[source] Box<Diagnostic>),
    /// A part of the pipeline panicked.
    #[error("{part} panicked")]
    Panicked {
        /// Which one.
        part: &'static str,
    },
    /// The output could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is nobody to do the work.
    #[error("the pipeline has no workers")]
    NoWorkers,
    /// The counts do not add up.
    #[error("lines are not accounted for")]
    Unbalanced {
        /// Lines that the workers took.
        lines_in: u64,
        /// Lines that the workers gave out.
        lines_out: u64,
        /// Lines that were sealed.
        quarantined: u64,
        /// Lines that were dropped by rule.
        dropped: u64,
        /// Lines that the reader counted.
        read: u64,
        /// Lines that the writer counted, placeholders included.
        written: u64,
    },
}

impl From<PipelineError> for Diagnostic {
    fn from(error: PipelineError) -> Self {
        let what = error.to_string();
        match error {
            PipelineError::Read(error) => error.into(),
            PipelineError::Quarantine(error) => error.into(),
            PipelineError::Renew(diagnostic) | PipelineError::Work(diagnostic) => *diagnostic,
            PipelineError::EpochOver => Self::new(&EPOCH_OVER, what)
                .because("the clock was set while the filter ran, or the time zone has no such day")
                .hint("check the clock of this machine, then start again"),
            PipelineError::Panicked { part } => Self::new(&PANICKED, what)
                .at(part)
                .because("this is a defect of oubliette")
                .hint("report it without the line; `oubliette explain I03` says how to find the line"),
            PipelineError::Write(error) => error.into(),
            PipelineError::NoWorkers => {
                Self::new(&PANICKED, what).because("this is a defect of oubliette")
            }
            PipelineError::Unbalanced { lines_in, lines_out, quarantined, dropped, read, written } => {
                Self::new(&UNBALANCED, what)
                    .because(format!(
                        "{lines_in} in = {lines_out} out + {quarantined} quarantined + {dropped} dropped does \
                         not hold, or {read} were read and {written} written"
                    ))
                    .hint("keep the input: this run of it must not be relied upon")
            }
        }
    }
}

/// The codes of this area.
pub const CODES: &[&Code] = &[&super::output::WRITE_FAILED, &PANICKED, &UNBALANCED, &EPOCH_OVER];

static PANICKED: Code = Code {
    id: "I03",
    title: "a part of the pipeline panicked",
    text: "\
What it means
  A check inside oubliette failed while lines were being read, processed or written. Every block before
  it was written; nothing of the block it happened in, and nothing after it, has gone out.

Why it matters
  It is a defect. Going on could have let an identifier through, so the filter stopped. Lines that had
  been read and not yet written are missing from the output.

Example
  a line of a shape that no test has had so far

What to do
  Find the line by halves: run `head -n N` of the input through the filter with growing N. Replace what
  is personal in it, check that it still fails, and report that line.

References
  The line count of `--stats json` says how far the workers came.",
};

static UNBALANCED: Code = Code {
    id: "I04",
    title: "lines are not accounted for",
    text: "\
What it means
  At the end, lines in = lines out + quarantined + dropped by rule must hold, and the reader and the
  writer, who count on their own, must have counted the same. They did not.

Why it matters
  A line was lost, made up, or joined to another one. Whoever relies on the output, a judge for one,
  relies on this sum.

Example
  a rule that put a line feed into a line

What to do
  Keep the input, do not purge it, and report the numbers of the message. They hold no log content.

References
  DESIGN, \"The five losses we prevent\", second loss.",
};

static EPOCH_OVER: Code = Code {
    id: "I05",
    title: "the next epoch ends before it begins",
    text: "\
What it means
  An epoch ended, the keys of the next one were asked for, and they were those of an epoch that is over
  as well.

Why it matters
  Tokens made under the keys of the wrong day are destroyed with that day and cannot be given back to a
  lawful request. The filter stops rather than make them.

Example
  the clock jumped by a year and back while the filter ran

What to do
  Set the clock (`timedatectl`), then start again. What was read before the jump was processed.

References
  DESIGN, section 5, \"Epoch\".",
};
