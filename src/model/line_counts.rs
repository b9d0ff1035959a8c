//! What happened to lines: one set of counts that all modules count, add and show.

use serde::Serialize;
use std::ops::AddAssign;

/// What happened to lines, and to their bytes. Names and order are those of `--stats json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounts {
    /// Lines received, including quarantined ones.
    pub lines_in: u64,
    /// Lines written, without placeholders.
    pub lines_out: u64,
    /// Lines quarantined. A placeholder was written for each, unless it expired before that.
    pub quarantined: u64,
    /// Lines dropped by rule, including expired ones.
    pub dropped: u64,
    /// Lines that had expired on arrival, or when their segment was to be opened.
    pub expired: u64,
    /// Lines not written because the output failed or its reader went away. They are neither out nor in quarantine.
    pub undelivered: u64,
    /// Bytes received, including line ends and quarantined lines.
    pub bytes_in: u64,
    /// Bytes written, including tokens, tags and placeholders.
    pub bytes_out: u64,
}

impl LineCounts {
    /// Whether lines in = lines out + quarantined + dropped + undelivered, and expired lines are among the dropped ones.
    #[must_use]
    pub fn holds(&self) -> bool {
        let accounted = [self.lines_out, self.quarantined, self.dropped, self.undelivered];
        let accounted = accounted.into_iter().try_fold(0, u64::checked_add);
        accounted == Some(self.lines_in) && self.expired <= self.dropped
    }
}

impl AddAssign for LineCounts {
    fn add_assign(&mut self, other: Self) {
        self.lines_in += other.lines_in;
        self.lines_out += other.lines_out;
        self.quarantined += other.quarantined;
        self.dropped += other.dropped;
        self.expired += other.expired;
        self.undelivered += other.undelivered;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_holds_or_not() {
        for ([lines_in, lines_out, quarantined, dropped, expired, undelivered], holds) in [
            ([0, 0, 0, 0, 0, 0], true),
            ([10, 7, 1, 2, 0, 0], true),
            ([10, 7, 1, 2, 2, 0], true),
            ([10, 3, 1, 2, 2, 4], true),
            // A line lost, a line invented, an expired line that was not dropped.
            ([10, 6, 1, 2, 0, 0], false),
            ([10, 8, 1, 2, 0, 0], false),
            ([10, 7, 1, 2, 0, 1], false),
            ([10, 9, 1, 0, 1, 0], false),
            ([1, u64::MAX, 1, 1, 0, 0], false),
        ] {
            let (bytes_in, bytes_out) = (0, 0);
            let counts = LineCounts {
                lines_in,
                lines_out,
                quarantined,
                dropped,
                expired,
                undelivered,
                bytes_in,
                bytes_out,
            };
            assert_eq!(counts.holds(), holds, "{counts:?}");
        }
    }
}
