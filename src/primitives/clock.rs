//! The clock as an argument: the system clock, one fixed by `--now`, or one that starts there.

use jiff::{SignedDuration, Timestamp};

/// The source of the current time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The system clock.
    System,
    /// Always this instant (tests, what-if questions).
    Fixed(Timestamp),
    /// The system clock moved forward by this much: it runs, but from another instant (tests of a daemon).
    Shifted(SignedDuration),
}

impl Clock {
    /// Returns the current time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(instant) => instant,
            // Beyond the range of timestamps, stop at its end.
            Self::Shifted(ahead) => Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX),
        }
    }

    /// Returns whether time passes on this clock.
    #[must_use]
    pub fn is_running(self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// Creates a clock that shows `instant` now and runs on.
    #[must_use]
    pub fn starting_at(instant: Timestamp) -> Self {
        Self::Shifted(instant.duration_since(Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_clock_runs() {
        let start: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(start);
        let first = clock.now();
        assert!(first >= start && first.duration_since(start) < SignedDuration::from_mins(1));
        while clock.now() <= first {
            std::thread::yield_now();
        }
        assert!(clock.is_running() && !Clock::Fixed(start).is_running());
    }
}
