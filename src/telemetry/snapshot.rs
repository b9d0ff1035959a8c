//! The state of a sidecar at one moment, as plain data.

use crate::model::LineCounts;
use jiff::SignedDuration;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whoever can be asked how a sidecar is doing.
pub trait Observe: Send + Sync + 'static {
    /// How it is doing now. Called for every request; must not wait for the pipeline.
    fn snapshot(&self) -> Snapshot;
}

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// What is shown. Counts are since the start of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Whether it takes lines.
    pub state: State,
    /// How long it has been running.
    pub uptime: Duration,
    /// Records that inputs took.
    pub taken: u64,
    /// What became of those that workers have finished.
    pub lines: LineCounts,
    /// What came in, by input, in the order in which inputs were opened.
    pub inputs: Vec<Input>,
    /// Identifiers replaced, by kind.
    pub kinds: Counts,
    /// Identifiers replaced, by the rule that found them.
    pub rules: Counts,
    /// Lines, by format.
    pub formats: Counts,
    /// Lines, by retention class.
    pub classes: Counts,
    /// Outputs beside the archive.
    pub outputs: Vec<Output>,
    /// How far what is durable is behind what came in.
    pub lag: Lag,
    /// Segments of the archive that are being written.
    pub open_segments: u64,
    /// Lines that the archive had before the start and that came again: their senders had no answer.
    pub repeated: u64,
    /// The expiry day that comes next, of all that is in the archive.
    pub purge: Option<Purge>,
    /// The code of why the last purge left undone what was due; `None` if it did not.
    pub purge_undone: Option<&'static str>,
}

/// Whether a sidecar takes lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not yet: it opens what it writes to.
    #[default]
    Starting,
    /// It does.
    Running,
    /// As long as there is room for them: a disk is full or read-only, and senders wait.
    Waiting,
    /// Not any more: what came is being written.
    Draining,
    /// Not any more: what it writes to failed.
    Failed,
}

impl State {
    /// One word for it.
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

/// What came in at one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// As in the configuration: `tcp 127.0.0.1:5514`.
    pub name: String,
    /// Records.
    pub lines: u64,
    /// Their bytes, with a line end each.
    pub bytes: u64,
    /// Connections at the moment.
    pub connections: u64,
    /// Connections there ever were.
    pub accepted: u64,
    /// Connections that were ended because of what came, or did not come, over them.
    pub broken: u64,
    /// Records that were taken and could not be answered, for their connection broke: they are sent again.
    pub unanswered: u64,
    /// Datagrams that the kernel dropped because its buffer was full, as far as it has told.
    pub kernel_dropped: u64,
    /// How large that buffer is; `None` if it is no input of datagrams.
    pub buffer_bytes: Option<u64>,
}

/// One output beside the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// As in the configuration.
    pub name: String,
    /// Whether records are acknowledged only when it has them.
    pub required: bool,
    /// Bytes that wait for it on disk.
    pub spool_bytes: u64,
    /// Lines that wait there.
    pub spool_lines: u64,
    /// How long the oldest of them has waited, since the start of the process.
    pub waiting: Duration,
    /// Whether there is a connection, or an open file.
    pub linked: bool,
    /// Whether the last one broke or could not be made.
    pub away: bool,
    /// Lines that it took over.
    pub delivered: u64,
    /// Lines that were sent again after a link broke: it may have them twice.
    pub resent: u64,
    /// Lines that it did not get because its spool was full.
    pub dropped: u64,
    /// Lines that its receiver refused, and that are not sent again.
    pub refused: u64,
    /// Lines whose day came before they were sent.
    pub expired: u64,
    /// Links that broke or could not be made.
    pub failures: u64,
}

/// How far what is durable is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Blocks that are not durable yet.
    pub blocks: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// The next purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The first day on which what is purged must not exist any more.
    pub expires: Date,
    /// Legal days until then; negative if it is overdue.
    pub days: i64,
    /// Time until that day begins; negative if it is overdue.
    pub wait: SignedDuration,
}

impl Snapshot {
    /// Records that were taken and that no worker has finished.
    #[must_use]
    pub fn on_their_way(&self) -> u64 {
        self.taken.saturating_sub(self.lines.lines_in)
    }

    /// Whether every line is accounted for, and none came from nowhere.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.lines.holds() && self.lines.lines_in <= self.taken
    }

    /// What a person should look at; empty if there is nothing.
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
        let sealed = (lines.quarantined > 0)
            .then(|| format!("Lines that were too long lie sealed in quarantine: {}.", lines.quarantined));
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
        let ours = [failed, waiting, unbalanced, late, sealed, due, undone].into_iter().flatten();
        ours.chain(lost).chain(away).chain(overrun).collect()
    }
}

/// A disk that is well makes lines durable in a second or two.
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
        let ill = Snapshot {
            state: State::Failed,
            taken: 3,
            lines: sealed,
            lag: late,
            purge: Some(overdue),
            purge_undone: Some("P07"),
            outputs: vec![slow],
            inputs: vec![busy],
            ..Snapshot::default()
        };
        let concerns = ill.concerns().join("\n");
        for part in [
            "nothing is taken",
            "11 seconds",
            "quarantine: 3",
            "2026-11-24",
            "explain P07",
            "all lines: 9",
            "collector is away",
            "514: 5",
        ] {
            assert!(concerns.contains(part), "{concerns}");
        }
        assert!(!concerns.contains("not accounted for"), "{concerns}");
        let waiting = Snapshot { state: State::Waiting, ..Snapshot::default() };
        assert!(waiting.concerns().concat().contains("full or read-only: lines wait"));
    }
}
