//! Delays between attempts to make a link.

use std::time::Duration;

/// Exponential backoff up to a limit. Half of each delay is random, so that the many nodes that lost one
/// collector do not all come back to it at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Returns the next delay.
    pub(super) fn next(&mut self) -> Duration {
        let most = self.most();
        self.attempts += 1;
        let mut random = [0; 4];
        // Without random bytes, use the whole delay.
        let part = getrandom::fill(&mut random)
            .map_or(1.0, |()| f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
        most / 2 + most.mul_f64(part) / 2
    }

    /// Starts over, because a link worked.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    fn most(&self) -> Duration {
        (FIRST * 2_u32.saturating_pow(self.attempts.min(16))).min(LONGEST)
    }
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::default();
        let mut most = FIRST;
        for _ in 0..100 {
            let wait = backoff.next();
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
