//! The clock as an argument: the system's, or one fixed by `--now`.

use jiff::Timestamp;

/// Where the present comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The system clock.
    System,
    /// Always this instant (tests, what-if questions).
    Fixed(Timestamp),
}

impl Clock {
    /// The present.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(instant) => instant,
        }
    }
}
