//! Errors that stop the pipeline.

use super::output::WriteError;
use crate::input::ReadError;
use crate::model::LineCounts;
use crate::primitives::diag::{Code, Diagnostic};
use crate::quarantine::QuarantineError;

/// Why the pipeline stopped before the end of its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The input could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An over-long line could not be quarantined.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The keys of the next epoch were unavailable.
    #[error("no keys for the next epoch")]
    Renew(#[source] Box<Diagnostic>),
    /// The keys of the next epoch had expired already.
    #[error("the next epoch ends before it begins")]
    EpochOver,
    /// A worker could not process a block.
    #[error("a block of lines could not be processed")]
    Work(#[source] Box<Diagnostic>),
    /// A part of the pipeline panicked.
    #[error("{part} panicked")]
    Panicked {
        /// The part that panicked.
        part: &'static str,
    },
    /// The output could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The list of workers is empty.
    #[error("the pipeline has no workers")]
    NoWorkers,
    /// The counts do not add up.
    #[error("lines are not accounted for")]
    Unbalanced {
        /// The counts of the workers.
        counts: LineCounts,
        /// The number of lines that the reader counted.
        read: u64,
        /// The number of lines that the writer counted, including placeholders.
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
            PipelineError::NoWorkers => Self::new(&PANICKED, what).because("this is a defect of oubliette"),
            PipelineError::Unbalanced { counts, read, written } => {
                let LineCounts { lines_in, lines_out, quarantined, dropped, .. } = counts;
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

/// The error codes of this module.
pub const CODES: &[&Code] = &[&super::output::WRITE_FAILED, &PANICKED, &UNBALANCED, &EPOCH_OVER];

static PANICKED: Code = Code {
    id: "I03",
    title: "a part of the pipeline panicked",
    text: "\
What it means
  A check inside oubliette failed while it read, processed or wrote lines. Every block before that
  one was written. Nothing of that block, and nothing after it, went out.

Why it matters
  This is a bug in oubliette. Going on could have let an identifier through, so it stopped. Lines
  that it had read and not yet written are missing from the output.

Example
  a line of a shape that no test has had so far

What to do
  1. Find the line: run `head -n N FILE | oubliette filter` with a growing N.
  2. Replace the personal data in the line, and check that it still fails.
  3. Report that line.

References
  The line count of `--stats json` says how far the workers came.",
};

static UNBALANCED: Code = Code {
    id: "I04",
    title: "lines are not accounted for",
    text: "\
What it means
  At the end, lines in = lines out + quarantined + dropped by rule must hold. The reader and the
  writer each count on their own, and their counts must agree. They did not.

Why it matters
  oubliette lost a line, added one, or joined two. Everybody who relies on the output, such as a
  judge, relies on this sum.

Example
  a rule that put a line feed into a line

What to do
  1. Keep the input; do not purge it.
  2. Report the numbers in the message. They hold no log content.

References
  GDPR 5(1)(f), integrity; CNIL deliberation 2021-122 on logs.",
};

static EPOCH_OVER: Code = Code {
    id: "I05",
    title: "the next epoch ends before it begins",
    text: "\
What it means
  An epoch ended. oubliette asked for the keys of the next epoch, and got keys of an epoch that is
  over as well.

Why it matters
  Tokens made under the keys of the wrong day would lose their originals with that day, and nobody
  could answer a lawful request. So the filter stops.

Example
  the clock jumped by a year and back while the filter ran

What to do
  1. Set the clock (`timedatectl`).
  2. Start the filter again. It has processed everything that it read before the jump.

References
  NIST SP 800-57 Part 1, section 5.3, cryptoperiods.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_whole_and_different() {
        let codes: Vec<_> = crate::input::CODES.iter().chain(CODES).collect();
        for (index, code) in codes.iter().enumerate() {
            assert!(code.id.starts_with('I') && codes[..index].iter().all(|other| other.id != code.id));
            for part in ["What it means\n", "Why it matters\n", "Example\n", "What to do\n", "References\n"] {
                assert!(code.text.contains(part), "{} {part}", code.id);
            }
        }
    }

    #[test]
    fn every_failure_has_its_code() {
        let io = || std::io::Error::other("gone");
        for (error, code) in [
            (ReadError { offset: 7, torn_bytes: 0, source: io() }.into(), "I01"),
            (WriteError::Io { lines: 1, bytes: 7, source: io() }.into(), "I02"),
            (PipelineError::Panicked { part: "a worker" }, "I03"),
            (PipelineError::EpochOver, "I05"),
            (QuarantineError::Token.into(), "Q02"),
            (PipelineError::Work(Box::new(Diagnostic::new(&EPOCH_OVER, "as the worker said"))), "I05"),
        ] {
            let error: PipelineError = error;
            assert_eq!(Diagnostic::from(error).code.id, code);
        }
        let counts =
            LineCounts { lines_in: 10, lines_out: 6, quarantined: 1, dropped: 2, ..LineCounts::default() };
        let error = PipelineError::Unbalanced { counts, read: 10, written: 7 };
        assert_eq!(
            Diagnostic::from(error).to_string(),
            "[I04] lines are not accounted for; why: 10 in = 6 out + 1 quarantined + 2 dropped does not hold, \
             or 10 were read and 7 written; hint: keep the input: this run of it must not be relied upon"
        );
    }
}
