//! Exit codes, and which of two takes precedence.

use std::process::{ExitCode, Termination};

/// The outcome of a command. Ordered: of two outcomes the greater one is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done. This includes a reader that closes standard output early, since it has what it wanted.
    #[default]
    Done = 0,
    /// Done, but something needs a human: quarantined lines, or findings of `check`.
    NeedsHuman = 1,
    /// Failed because of the command line, configuration, keys, input or output.
    CouldNot = 2,
}

impl Exit {
    /// Combines the outcomes of two parts of one run.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{CouldNot, Done, NeedsHuman};

    #[test]
    fn the_graver_outcome_wins() {
        for (one, other, both) in [
            (Done, Done, Done),
            (Done, NeedsHuman, NeedsHuman),
            (NeedsHuman, Done, NeedsHuman),
            (NeedsHuman, CouldNot, CouldNot),
            (CouldNot, Done, CouldNot),
        ] {
            assert_eq!(one.and(other), both, "{one:?} and {other:?}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_manual() {
        assert_eq!([Done as u8, NeedsHuman as u8, CouldNot as u8], [0, 1, 2]);
    }
}
