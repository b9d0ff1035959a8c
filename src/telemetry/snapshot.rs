//! The state of a sidecar at one moment, as plain data.

use crate::model::LineCounts;
use jiff::SignedDuration;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::time::Duration;

/// A source of snapshots: a running sidecar.
pub trait Observe: Send + Sync + 'static {
    /// Returns the current state. Called for every request, so it must not wait for the pipeline.
    fn snapshot(&self) -> Snapshot;
}

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// The state that is shown. All counts start at zero when the process starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Whether the sidecar takes lines.
    pub state: State,
    /// Time since the start of the process.
    pub uptime: Duration,
    /// Records that inputs took.
    pub taken: u64,
    /// What became of the records that workers have finished.
    pub lines: LineCounts,
    /// Counts of each input, in the order in which inputs were opened.
    pub inputs: Vec<Input>,
    /// Identifiers replaced, by kind.
    pub kinds: Counts,
    /// Identifiers replaced, by the rule that found them.
    pub rules: Counts,
    /// Lines, by format.
    pub formats: Counts,
    /// Lines, by retention class.
    pub classes: Counts,
    /// Outputs other than the archive.
    pub outputs: Vec<Output>,
    /// How far durable data is behind the inputs.
    pub lag: Lag,
    /// Segments of the archive that are being written.
    pub open_segments: u64,
    /// Lines sent again that the archive already had before the start: their senders had received no answer.
    pub repeated: u64,
    /// The next expiry day of anything in the archive.
    pub purge: Option<Purge>,
    /// Code of the error that kept the last purge from removing all that was due; `None` if none did.
    pub purge_undone: Option<&'static str>,
}

/// Whether a sidecar takes lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not yet: it is opening its outputs.
    #[default]
    Starting,
    /// It takes lines.
    Running,
    /// Only as long as it has room in memory: a disk is full or read-only, and senders wait.
    Waiting,
    /// No longer: it is writing what it has taken.
    Draining,
    /// No longer: an output failed.
    Failed,
}

impl State {
    /// Returns the state as one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

/// The counts of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The name, as in the configuration: `tcp 127.0.0.1:5514`.
    pub name: String,
    /// Records taken.
    pub lines: u64,
    /// Bytes of these records, counting one line end for each.
    pub bytes: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections that were ended because of what their peer sent or failed to send, or because it had too
    /// many.
    pub broken: u64,
    /// Records that were taken but not answered, because their connection broke: they will be sent again.
    pub unanswered: u64,
    /// Datagrams that the kernel reports as dropped because its buffer was full.
    pub kernel_dropped: u64,
    /// Files that are not read although they should be.
    pub failing: u64,
    /// Size of that buffer in bytes; `None` if the input does not take datagrams.
    pub buffer_bytes: Option<u64>,
}

/// The state of one output other than the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The name, as in the configuration.
    pub name: String,
    /// Whether records are acknowledged only once this output has them.
    pub required: bool,
    /// Bytes that wait for it on disk.
    pub spool_bytes: u64,
    /// Lines that wait for it on disk.
    pub spool_lines: u64,
    /// How long the oldest of these lines has waited, not counting time before the start of the process.
    pub waiting: Duration,
    /// Whether it has a connection, or an open file.
    pub linked: bool,
    /// Whether the last link broke or could not be made.
    pub away: bool,
    /// Lines delivered.
    pub delivered: u64,
    /// Lines sent again after a link broke; the receiver may have them twice.
    pub resent: u64,
    /// Lines dropped because the spool of this output was full.
    pub dropped: u64,
    /// Lines that the receiver refused, or that are too long for it; they are not sent again.
    pub refused: u64,
    /// Lines that expired before they were sent.
    pub expired: u64,
    /// Links that broke or could not be made.
    pub failures: u64,
}

/// How far durable data is behind the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Blocks that are not durable yet.
    pub blocks: u64,
    /// How long the oldest of these blocks has waited.
    pub oldest: Duration,
}

/// The next purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The first day on which the data must no longer exist.
    pub expires: Date,
    /// Legal days until then; negative if overdue.
    pub days: i64,
    /// Time until that day begins; negative if overdue.
    pub wait: SignedDuration,
}

impl Snapshot {
    /// Returns the number of records that were taken but not finished by a worker yet.
    #[must_use]
    pub fn on_their_way(&self) -> u64 {
        self.taken.saturating_sub(self.lines.lines_in)
    }

    /// Returns whether every line is accounted for, and no more lines were processed than taken.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.lines.holds() && self.lines.lines_in <= self.taken
    }

    /// Returns what a person should look at; empty if all is well.
    #[must_use]
    pub fn concerns(&self) -> Vec<String> {
        let lines = &self.lines;
        let seconds = self.lag.oldest.as_secs();
        let overdue = self.purge.filter(|purge| purge.days < 0);
        let failed =
            (self.state == State::Failed).then(|| "What it writes to has failed; nothing is taken.".into());
        let waiting = (self.state == State::Waiting).then(|| {
            "The disk of the archive is full, or that of the state directory is full or read-only: lines wait."
                .into()
        });
        let unbalanced =
            (!self.balanced()).then(|| "Lines are not accounted for. Please report this bug.".into());
        let late = (self.lag.oldest >= LATE)
            .then(|| format!("Lines have waited for {seconds} seconds to become durable."));
        let sealed = (lines.quarantined > 0).then(|| {
            format!("Lines that were too long or cut off lie sealed in quarantine: {}.", lines.quarantined)
        });
        let due = overdue.map(|purge| format!("Lines that expired on {} are still there.", purge.expires));
        let undone = self.purge_undone.map(|code| {
            format!(
                "What has expired could not be purged: {code}, which `oubliette explain {code}` explains."
            )
        });
        let missing = |output: &Output| output.dropped + output.refused;
        let lost = self.outputs.iter().filter(|output| missing(output) > 0);
        let lost = lost.map(|output| format!("{} did not get all lines: {}.", output.name, missing(output)));
        let away = self.outputs.iter().filter(|output| output.away);
        let away =
            away.map(|output| format!("{} is away; {} lines wait for it.", output.name, output.spool_lines));
        let overrun = self.inputs.iter().filter(|input| input.kernel_dropped > 0);
        let overrun = overrun
            .map(|input| format!("Datagrams were lost before {}: {}.", input.name, input.kernel_dropped));
        let unread = self.inputs.iter().filter(|input| input.failing > 0);
        let unread = unread.map(|input| {
            format!("Files of {} are not read: {}. The log says why.", input.name, input.failing)
        });
        let ours = [failed, waiting, unbalanced, late, sealed, due, undone].into_iter().flatten();
        ours.chain(lost).chain(away).chain(overrun).chain(unread).collect()
    }
}

/// Lag that is worth a warning. A healthy disk makes lines durable within a second or two.
const LATE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_accounted_for_or_not() {
        let lines =
            LineCounts { lines_in: 10, lines_out: 7, quarantined: 1, dropped: 2, ..LineCounts::default() };
        let lost = LineCounts { lines_out: 6, ..lines };
        for (taken, lines, balanced) in
            [(12, lines, true), (10, lines, true), (9, lines, false), (12, lost, false)]
        {
            let snapshot = Snapshot { taken, lines, ..Snapshot::default() };
            assert_eq!((snapshot.balanced(), snapshot.on_their_way()), (balanced, taken.saturating_sub(10)));
        }
    }

    #[test]
    fn a_person_is_told_what_to_look_at() {
        let well = Snapshot { state: State::Running, ..Snapshot::default() };
        assert!(well.concerns().is_empty());
        let sealed = LineCounts { lines_in: 3, quarantined: 3, ..LineCounts::default() };
        let late = Lag { blocks: 1, oldest: Duration::from_secs(11) };
        let overdue = Purge {
            expires: jiff::civil::date(2026, 11, 24),
            days: -1,
            wait: SignedDuration::from_hours(-30),
        };
        let slow =
            Output { name: "collector".into(), dropped: 7, refused: 2, away: true, ..Output::default() };
        let busy = Input { name: "udp 127.0.0.1:514".into(), kernel_dropped: 5, ..Input::default() };
        let broken = Input { name: "file /var/log/*.log".into(), failing: 3, ..Input::default() };
        let ill = Snapshot {
            state: State::Failed,
            taken: 3,
            lines: sealed,
            lag: late,
            purge: Some(overdue),
            purge_undone: Some("P07"),
            outputs: vec![slow],
            inputs: vec![busy, broken],
            ..Snapshot::default()
        };
        let concerns = ill.concerns().join("\n");
        for part in [
            "nothing is taken",
            "11 seconds",
            "too long or cut off lie sealed in quarantine: 3",
            "2026-11-24",
            "explain P07",
            "all lines: 9",
            "collector is away",
            "514: 5",
            "*.log are not read: 3",
        ] {
            assert!(concerns.contains(part), "{concerns}");
        }
        assert!(!concerns.contains("not accounted for"), "{concerns}");
        let waiting = Snapshot { state: State::Waiting, ..Snapshot::default() };
        assert!(waiting.concerns().concat().contains("full or read-only: lines wait"));
    }
}
