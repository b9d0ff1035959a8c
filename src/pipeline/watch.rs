//! Observes a running pipeline: the counts that workers publish after each block, the progress of the writer, and what
//! the inputs took.
//!
//! Counts continue over all runs of a process. A run with other rules uses other indices, so the counts of a run are
//! added up by name when it ends.

use super::filter::Filter;
use super::tally::Tally;
use super::workers::{Piece, Work};
use crate::detect::Detector;
use crate::input::framing::NUL_TRAILER;
use crate::input::{Batch, Closed, Deliver};
use crate::model::{ClassName, Format, Kinds, LineCounts};
use crate::primitives::diag::Diagnostic;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::Patience;
use crate::pseudonym::Pseudonymised;
use crate::pseudonym::epoch::EpochKeys;
use crate::telemetry::{Connection, Counts, Failing, Lag, Meter, Output, Snapshot, State};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Everything that can be observed of a pipeline.
#[derive(Debug)]
pub struct Observed {
    started: Instant,
    state: Mutex<State>,
    patience: Arc<Patience>,
    meters: Mutex<Vec<Arc<Meter>>>,
    outputs: Mutex<Vec<Output>>,
    run_counts: Mutex<RunCounts>,
    /// Pieces that are not durable yet, in order, with the time they were written.
    written: Mutex<VecDeque<(u64, Instant)>>,
    open_segments: AtomicU64,
    repeated: AtomicU64,
    purge_undone: Mutex<Option<&'static str>>,
}

/// The names behind the indices by which the workers of a run count.
#[derive(Debug)]
pub struct Names {
    /// Kinds of identifiers.
    pub kinds: Arc<Kinds>,
    /// Rules, by their number.
    pub rules: Vec<String>,
    /// Classes, as in the policy.
    pub classes: Vec<ClassName>,
}

#[derive(Debug, Default)]
struct RunCounts {
    /// The counts of runs that have ended.
    before: Named,
    /// The names of the current run.
    names: Option<Names>,
    slots: Vec<Slot>,
}

/// The place where one worker publishes its counts.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Published>>);

/// What a worker publishes: its counts by index.
#[derive(Debug, Default)]
struct Published {
    lines: LineCounts,
    kinds: Vec<u64>,
    rules: Vec<u64>,
    formats: Vec<u64>,
    classes: Vec<u64>,
}

/// Counts by name.
#[derive(Clone, Debug, Default)]
struct Named {
    lines: LineCounts,
    kinds: Counts,
    rules: Counts,
    formats: Counts,
    classes: Counts,
}

impl Names {
    /// The names that `detector` and the policy use.
    #[must_use]
    pub fn new(kinds: Arc<Kinds>, detector: &Detector, classes: Vec<ClassName>) -> Self {
        Self { kinds, rules: detector.rule_names().map(str::to_owned).collect(), classes }
    }
}

impl Default for Observed {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Observed {
    /// Observes a pipeline whose archive waits for room with `patience`.
    #[must_use]
    pub fn new(patience: Arc<Patience>) -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::default(),
            patience,
            meters: Mutex::default(),
            outputs: Mutex::default(),
            run_counts: Mutex::default(),
            written: Mutex::default(),
            open_segments: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            purge_undone: Mutex::default(),
        }
    }

    /// Whether the archive waits for room on its disk, and lines wait with it.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        self.patience.is_waiting()
    }

    fn state(&self) -> State {
        match *self.state.lock().unpoisoned() {
            State::Starting | State::Running if self.waits_for_room() => State::Waiting,
            state => state,
        }
    }

    /// The meter of the input `name`. An input that is opened again keeps its meter.
    pub fn meter(&self, name: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock().unpoisoned();
        if let Some(meter) = meters.iter().find(|meter| meter.name() == name) {
            return Arc::clone(meter);
        }
        let meter = Meter::new(name);
        meters.push(Arc::clone(&meter));
        meter
    }

    /// Replaces the state of the outputs.
    pub fn outputs(&self, waiting: impl Iterator<Item = Output>) {
        let mut outputs = self.outputs.lock().unpoisoned();
        outputs.clear();
        outputs.extend(waiting);
    }

    /// Enters a state. [`State::Failed`] is never left.
    pub fn enter(&self, state: State) {
        let mut current = self.state.lock().unpoisoned();
        if *current != State::Failed {
            *current = state;
        }
    }

    /// Begins a run with this number of workers, and returns a slot for each of them.
    pub fn begin(&self, names: Names, workers: usize) -> Vec<Slot> {
        let mut run_counts = self.run_counts.lock().unpoisoned();
        run_counts.names = Some(names);
        run_counts.slots = (0..workers).map(|_| Slot::default()).collect();
        run_counts.slots.clone()
    }

    /// Ends a run and adds what its workers counted.
    pub fn end(&self, tally: &Tally) {
        let mut run_counts = self.run_counts.lock().unpoisoned();
        let Some(names) = run_counts.names.take() else { return };
        let mut published = Published::default();
        published.read(tally);
        run_counts.before.add(&published, &names);
        run_counts.slots.clear();
    }

    /// Notes that a piece was handed to the outputs. Pieces are counted over all runs.
    pub fn wrote(&self, piece: u64) {
        self.written.lock().unpoisoned().push_back((piece, Instant::now()));
    }

    /// Notes that all pieces up to `pieces` are durable.
    pub fn durable(&self, pieces: u64) {
        let mut written = self.written.lock().unpoisoned();
        while written.front().is_some_and(|(piece, _)| *piece <= pieces) {
            written.pop_front();
        }
    }

    /// Sets the number of open segments.
    pub fn segments(&self, open: usize) {
        self.open_segments.store(open as u64, Relaxed);
    }

    /// Counts lines that had been archived before the start and were sent again.
    pub fn repeated(&self, lines: u64) {
        self.repeated.fetch_add(lines, Relaxed);
    }

    /// Sets the code of the reason why the last purge left due work undone; `None` if it did not.
    pub fn purge_undone(&self, code: Option<&'static str>) {
        *self.purge_undone.lock().unpoisoned() = code;
    }

    /// A snapshot of everything. `purge` is left empty: only the caller knows the calendar of the archive.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // Read the workers first: their lines were taken before, so no line can appear to come from nowhere.
        let named = self.run_counts.lock().unpoisoned().current();
        let inputs: Vec<_> = self.meters.lock().unpoisoned().iter().map(|meter| meter.read()).collect();
        let taken = inputs.iter().map(|input| input.lines).sum();
        let written = self.written.lock().unpoisoned();
        let lag = Lag {
            blocks: written.len() as u64,
            oldest: written.front().map(|(_, since)| since.elapsed()).unwrap_or_default(),
        };
        drop(written);
        let Named { lines, kinds, rules, formats, classes } = named;
        Snapshot {
            state: self.state(),
            uptime: self.started.elapsed(),
            taken,
            lines,
            inputs,
            kinds,
            rules,
            formats,
            classes,
            outputs: self.outputs.lock().unpoisoned().clone(),
            lag,
            open_segments: self.open_segments.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            purge: None,
            purge_undone: *self.purge_undone.lock().unpoisoned(),
        }
    }
}

impl RunCounts {
    fn current(&self) -> Named {
        let mut sum = self.before.clone();
        if let Some(names) = &self.names {
            self.slots.iter().for_each(|slot| sum.add(&slot.0.lock().unpoisoned(), names));
        }
        sum
    }
}

impl Published {
    fn read(&mut self, tally: &Tally) {
        self.lines = tally.lines;
        let indexed = tally.indexed();
        for (ours, theirs) in [
            (&mut self.kinds, indexed.kinds),
            (&mut self.rules, indexed.rules),
            (&mut self.formats, indexed.formats),
            (&mut self.classes, indexed.classes),
        ] {
            ours.clear();
            ours.extend_from_slice(theirs);
        }
    }
}

impl Named {
    fn add(&mut self, counts: &Published, names: &Names) {
        self.lines += counts.lines;
        add(&mut self.kinds, names.kinds.iter().map(|(_, name)| name), &counts.kinds);
        add(&mut self.rules, names.rules.iter().map(String::as_str), &counts.rules);
        add(&mut self.formats, Format::ALL.into_iter().map(Format::name), &counts.formats);
        add(&mut self.classes, names.classes.iter().map(ClassName::as_str), &counts.classes);
    }
}

/// Adds counts by name, leaving out zeros.
fn add<'n>(sum: &mut Counts, names: impl Iterator<Item = &'n str>, counts: &[u64]) {
    for (name, count) in names.zip(counts).filter(|(_, count)| **count > 0) {
        *sum.entry(name.to_owned()).or_default() += count;
    }
}

/// A worker that publishes its counts after each block if it has a slot.
pub struct Watched {
    filter: Filter,
    slot: Option<Slot>,
}

impl Watched {
    /// Wraps `filter`, which publishes in `slot`.
    #[must_use]
    pub fn new(filter: Filter, slot: Option<Slot>) -> Self {
        Self { filter, slot }
    }

    /// The counts of the worker.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.filter.tally()
    }
}

impl Work<EpochKeys> for Watched {
    type Output = Pseudonymised;

    fn renew(&mut self, keys: Arc<EpochKeys>) {
        self.filter.renew(keys);
    }

    fn work(
        &mut self,
        piece: &Piece,
        received: Timestamp,
        out: &mut Pseudonymised,
    ) -> Result<(), Diagnostic> {
        let worked = self.filter.work(piece, received, out);
        if let Some(slot) = &self.slot {
            slot.0.lock().unpoisoned().read(self.filter.tally());
        }
        worked
    }
}

/// Counts what an input delivers.
#[derive(Debug)]
pub struct Metered<D> {
    deliver: D,
    meter: Arc<Meter>,
    /// Whether an over-long record was begun and has not ended.
    in_long: bool,
    left_alone: Option<Failing>,
    _connection: Option<Connection>,
}

impl<D> Metered<D> {
    /// Counts what goes through `deliver`.
    #[must_use]
    pub fn new(deliver: D, meter: Arc<Meter>) -> Self {
        Self { deliver, meter, in_long: false, left_alone: None, _connection: None }
    }

    /// Counts what goes through `deliver`, and counts the connection until this is dropped.
    #[must_use]
    pub fn of_connection(deliver: D, meter: Arc<Meter>) -> Self {
        let connection = Some(meter.connected());
        Self { deliver, meter, in_long: false, left_alone: None, _connection: connection }
    }
}

impl<D: Deliver> Deliver for Metered<D> {
    type Receipt = D::Receipt;

    async fn deliver(&mut self, batch: Batch) -> Result<D::Receipt, Closed> {
        let (records, bytes, long) = (batch.records(), batch.bytes() as u64, batch.ends_long());
        // Count before delivery, so that no worker has a line that was not counted.
        self.meter.took(records, bytes);
        let delivered = self.deliver.deliver(batch).await;
        match (&delivered, long) {
            (Err(Closed), _) => self.meter.returned(records, bytes),
            (Ok(_), Some(ends)) => self.in_long = !ends,
            (Ok(_), None) => {}
        }
        delivered
    }

    fn may_hold(&mut self, bytes: usize) -> bool {
        self.deliver.may_hold(bytes)
    }

    fn seems_to_end_with_nul(&mut self) {
        tracing::warn!(
            code = NUL_TRAILER.id,
            input = self.meter.name(),
            "lines of a connection seem to end with NUL, and none is taken before a line feed: `trailer = \"nul\"` of the input has NUL end them"
        );
    }

    fn leaves_alone(&mut self, files: u64) {
        self.left_alone = None;
        self.left_alone = Some(self.meter.fails(files));
    }

    fn left_unanswered(&mut self, records: u64) {
        self.meter.left_unanswered(records);
    }
}

impl<D> Drop for Metered<D> {
    fn drop(&mut self) {
        // `deliver` is dropped after this and ends the record.
        if self.in_long {
            self.meter.took(1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Options;
    use crate::model::{Kind, RuleId};
    use std::future::{Ready, ready};

    fn names(classes: &[&str]) -> Names {
        let classes = classes.iter().map(|name| ClassName::new(name).unwrap()).collect();
        Names::new(Arc::default(), &Detector::new(Options::default()), classes)
    }

    fn tally(lines: u64, class: usize) -> Tally {
        let mut tally = Tally::new(3);
        (tally.lines.lines_in, tally.lines.lines_out) = (lines, lines);
        tally.identifier(Kind::IP, RuleId(3));
        tally.format(Format::Json);
        tally.class(class);
        tally
    }

    #[test]
    fn counts_go_on_when_a_run_has_other_rules() {
        let observed = Observed::default();
        let meter = observed.meter("stdin");
        let _slots = observed.begin(names(&["connection", "billing"]), 1);
        observed.end(&tally(4, 1));
        let slots = observed.begin(names(&["billing"]), 2);
        for slot in &slots {
            slot.0.lock().unpoisoned().read(&tally(3, 0));
        }
        meter.took(10, 100);
        let snapshot = observed.snapshot();
        assert_eq!((snapshot.lines.lines_in, snapshot.taken), (10, 10));
        assert!(snapshot.balanced());
        let count = |name: &str, count| Counts::from([(name.to_owned(), count)]);
        assert_eq!(snapshot.classes, count("billing", 3));
        assert_eq!((snapshot.kinds, snapshot.rules), (count("ip", 3), count("ipv6", 3)));
        assert_eq!(snapshot.formats, count("json", 3));
    }

    #[test]
    fn what_has_failed_stays_failed() {
        let observed = Observed::default();
        for (state, then) in [
            (State::Running, State::Running),
            (State::Failed, State::Failed),
            (State::Draining, State::Failed),
        ] {
            observed.enter(state);
            assert_eq!(observed.snapshot().state, then);
        }
    }

    #[test]
    fn the_oldest_block_that_is_not_durable_tells_the_lag() {
        let observed = Observed::default();
        assert_eq!(observed.snapshot().lag, Lag::default());
        (1..=3).for_each(|piece| observed.wrote(piece));
        observed.durable(2);
        assert_eq!(observed.snapshot().lag.blocks, 1);
        observed.durable(3);
        assert_eq!(observed.snapshot().lag, Lag::default());
    }

    /// Accepts batches until it is closed.
    struct Sink {
        open: bool,
    }

    impl Deliver for Sink {
        type Receipt = Ready<Result<(), crate::input::Lost>>;

        async fn deliver(&mut self, _: Batch) -> Result<Self::Receipt, Closed> {
            if self.open { Ok(ready(Ok(()))) } else { Err(Closed) }
        }

        fn may_hold(&mut self, _: usize) -> bool {
            true
        }
    }

    fn block_on(future: impl Future<Output = Result<Ready<Result<(), crate::input::Lost>>, Closed>>) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(future).is_ok()
    }

    #[test]
    fn a_record_that_is_broken_off_is_counted_once() {
        let observed = Observed::default();
        let mut metered = Metered::of_connection(Sink { open: true }, observed.meter("tcp"));
        let mut batch = Batch::default();
        batch.push(b"one", 100);
        batch.seal(vec![b'x'; 1000], false);
        assert!(block_on(metered.deliver(batch)));
        let read = || observed.meter("tcp").read();
        assert_eq!((read().lines, read().connections), (1, 1));
        drop(metered);
        assert_eq!((read().lines, read().connections), (2, 0));
    }

    #[test]
    fn what_is_not_taken_is_not_counted() {
        let observed = Observed::default();
        let mut metered = Metered::new(Sink { open: false }, observed.meter("tcp"));
        let mut batch = Batch::default();
        batch.push(b"one", 100);
        assert!(!block_on(metered.deliver(batch)));
        let read = observed.meter("tcp").read();
        assert_eq!((read.lines, read.bytes), (0, 0));
    }
}
