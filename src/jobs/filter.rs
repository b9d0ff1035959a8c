//! `filter`: reads lines and writes them pseudonymised and tagged.

use super::custody::RecordedKeyring;
use super::recognition::Recognition;
use crate::input::{Blocks, ReadBy};
use crate::keyring::{self, Escrow};
use crate::ledger::{Event, Ledger};
use crate::model::{ClassName, Kind, Kinds};
use crate::pipeline::filter::Filter;
use crate::pipeline::watch::{Names, Observed, Watched};
use crate::pipeline::{Current, Epochs, Feed, Finish, Output, Parts, Sink, Tally, Totals, run};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Patience;
use crate::pseudonym::epoch::{EpochKeys, TagHasher};
use crate::pseudonym::{Pseudonymised, token};
use crate::quarantine::{KeyedHash, Quarantine};
use jiff::Timestamp;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The memory for recent tokens of all workers together, in bytes: limited by what a node can spare, however
/// many cores it has.
const RECENT_BYTES: usize = 32 << 20;

/// The memory for recent tokens of one worker, in bytes.
///
/// It is as much as stays in the caches while everything else passes through. It remembers 65,536 IPv4
/// addresses, and 32,768 other identifiers. Fetching an entry from farther away costs more than the HMAC of
/// the few that more memory would remember: see ARCHITECTURE.md.
const MOST_RECENT_BYTES: usize = 4 << 20;

/// What a filter needs besides its input and output.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How lines are read.
    pub recognition: Recognition,
    /// The source of the secrets.
    pub keys: keyring::Settings,
    /// The ledger that records which secrets are made and erased by a filter that is not
    /// [recorded](Ready::record): that of the node, if it has one.
    pub ledger: Option<Ledger>,
    /// The tenant of the tokens.
    pub tenant: String,
    /// The state directory, in which over-long lines are quarantined.
    pub state_dir: PathBuf,
    /// The length of the longest line that is not quarantined, in bytes.
    pub max_line_bytes: usize,
    /// The number of workers.
    pub workers: NonZeroUsize,
    /// The clock.
    pub clock: Clock,
    /// How long to wait for a disk that accepts neither lines nor keys.
    pub patience: Arc<Patience>,
}

/// A filter that is ready to run. It is made before the first byte is read, and refuses then whatever must be
/// refused.
#[derive(Debug)]
pub struct Ready {
    plan: Plan,
    keyring: RecordedKeyring,
    escrow: Option<Escrow>,
    /// Whether the ledger has an entry of the start, and must get one of the stop.
    recorded: bool,
    /// The name of the command in the ledger.
    command: &'static str,
    /// The observed state of the pipeline, if anybody observes it.
    observed: Option<Arc<Observed>>,
}

/// What became of the lines.
#[derive(Debug)]
pub struct Outcome {
    /// All counts.
    pub tally: Tally,
    /// The kinds that the counts refer to.
    pub kinds: Arc<Kinds>,
    /// The names of the classes that the counts refer to.
    pub classes: Vec<ClassName>,
    /// How long the run took.
    pub elapsed: Duration,
    /// How the run ended, or why it failed.
    pub result: Result<Finish, Diagnostic>,
}

impl Outcome {
    /// Returns the counts by name.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(&self.tally, &self.kinds, &self.classes, self.elapsed)
    }
}

impl Ready {
    /// Checks keys and escrow, and derives the first keys.
    ///
    /// # Errors
    /// Any reason for which a filter refuses to start.
    pub fn new(plan: Plan) -> Result<Self, Diagnostic> {
        let mut keyring = RecordedKeyring::open(plan.keys.clone())?
            .told_to(plan.ledger.clone())
            .waiting_with(Arc::clone(&plan.patience));
        keyring.current(plan.clock.now())?;
        let escrow = keyring.escrow()?;
        Ok(Self { plan, keyring, escrow, recorded: false, command: "filter", observed: None })
    }

    /// Sets the command on whose behalf the filter runs. The ledger records its name.
    #[must_use]
    pub fn for_command(self, command: &'static str) -> Self {
        Self { command, ..self }
    }

    /// Makes the run observable through `observed`.
    #[must_use]
    pub fn observed_by(self, observed: Arc<Observed>) -> Self {
        Self { observed: Some(observed), ..self }
    }

    /// Records in `ledger` that the filter starts and stops, and which epoch secrets are made and erased.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn record(&mut self, ledger: Ledger) -> Result<(), Diagnostic> {
        self.recorded = true;
        let (command, version) = (self.command.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        self.keyring.record(ledger, Event::Start { command, version })
    }

    /// Records in the ledger, if there is one, that the filter was refused after it had
    /// [begun](Self::record).
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn refuse(&self, refusal: &Diagnostic) -> Result<(), Diagnostic> {
        let Some(ledger) = self.keyring.ledger() else { return Ok(()) };
        let (command, code) = (self.command.to_owned(), refusal.code.id.to_owned());
        ledger.clone().append(Event::Refused { command, code, clock: None })?;
        Ok(())
    }

    /// Returns the escrow that could later open the secrets of this node; `None` with a key file.
    #[must_use]
    pub fn escrow(&self) -> Option<&Escrow> {
        self.escrow.as_ref()
    }

    /// Reads the escrow recipients again, for a caller to keep; `None` with a key file.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn recipients(&self) -> Result<Option<Escrow>, Diagnostic> {
        Ok(self.keyring.escrow()?)
    }

    /// Returns the plan of the filter.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Filters `input` into `output` until the end of the input. `stop` ends the input early.
    pub fn run<R, W>(self, input: R, output: W, stop: &(dyn Fn() + Sync)) -> Outcome
    where
        R: ReadBy,
        W: Write + Send,
    {
        self.run_into(input, &mut Output::new(output), stop)
    }

    /// Filters `input` as [`Self::run`] does, into any kind of output, such as an archive.
    pub fn run_into<R, O>(self, input: R, output: &mut O, stop: &(dyn Fn() + Sync)) -> Outcome
    where
        R: ReadBy,
        O: Sink<Pseudonymised>,
    {
        let blocks = Blocks::new(input, self.plan.max_line_bytes);
        self.run_parts(blocks, output, stop)
    }

    /// Filters lines as [`Self::run_into`] does, from any source, such as the records of many connections.
    pub fn run_parts<P, O>(self, parts: P, output: &mut O, stop: &(dyn Fn() + Sync)) -> Outcome
    where
        P: Parts,
        O: Sink<Pseudonymised>,
    {
        let start = Instant::now();
        let Self { plan, keyring, escrow, recorded, command, observed } = self;
        let mut ledger = keyring.ledger().filter(|_| recorded).cloned();
        let recipients = escrow.map(Escrow::into_recipients).unwrap_or_default();
        let quarantine = Quarantine::new(&plan.state_dir, recipients, plan.max_line_bytes as u64)
            .waiting_with(Arc::clone(&plan.patience));
        let Recognition { shared, stamper, .. } = plan.recognition;
        let kinds = Arc::clone(&shared.kinds);
        let classes: Vec<_> = stamper.policy().classes().iter().map(|class| class.name.clone()).collect();
        let epochs = EpochsOf::new(keyring, plan.tenant, Arc::clone(&kinds));
        let feed = Feed::new(parts, quarantine, epochs, plan.clock);
        let recent_bytes = (RECENT_BYTES / plan.workers).min(MOST_RECENT_BYTES);
        let count = plan.workers.get();
        let mut slots = observed.as_ref().map_or_else(Vec::new, |observed| {
            let classes = classes.iter().cloned().chain(ClassName::new(ClassName::UPSTREAM)).collect();
            observed.begin(Names::new(Arc::clone(&kinds), &shared.detector, classes), count)
        });
        let filter = || Filter::new(shared.clone(), stamper.clone(), recent_bytes);
        let workers = (0..count).map(|_| Watched::new(filter(), slots.pop())).collect();
        let finished = run(feed, workers, output, stop);
        let mut tally = Tally::new(classes.len() + 1);
        finished.workers.iter().for_each(|worker| tally.merge(worker.tally()));
        tally.expire(finished.flow.expired);
        tally.settle(&finished.flow);
        if let Some(observed) = &observed {
            observed.end(&tally);
        }
        let checked = tally.check(&finished.flow);
        let result = finished.result.and_then(|finish| checked.map(|()| finish)).map_err(Diagnostic::from);
        let exit = if result.is_err() { 2 } else { u8::from(tally.lines.quarantined > 0) };
        let code = result.as_ref().err().map(|error| error.code.id.to_owned());
        let stop = Event::Stop { command: command.to_owned(), exit, code };
        let stopped = ledger.as_mut().map_or(Ok(0), |ledger| ledger.append(stop));
        let result = result.and_then(|finish| Ok(stopped.map(|_| finish)?));
        Outcome { tally, kinds, classes, elapsed: start.elapsed(), result }
    }
}

/// Supplies the keys of each epoch from a keyring.
pub(super) struct EpochsOf {
    keyring: RecordedKeyring,
    tenant: String,
    kinds: Arc<Kinds>,
}

impl EpochsOf {
    pub(super) fn new(keyring: RecordedKeyring, tenant: String, kinds: Arc<Kinds>) -> Self {
        Self { keyring, tenant, kinds }
    }
}

impl Epochs for EpochsOf {
    type Keys = EpochKeys;

    fn at(&mut self, now: Timestamp) -> Result<Current<EpochKeys>, Diagnostic> {
        let current = self.keyring.current(now)?;
        let keys = EpochKeys::derive(&current.secret, current.epoch, &self.tenant, &self.kinds)
            .lasting_until(current.until);
        Ok(Current { keys: Arc::new(keys), until: current.until })
    }

    fn line_hash(&self, keys: &EpochKeys) -> Box<dyn KeyedHash> {
        Box::new(LineHash { hasher: keys.hasher(Kind::QR), kid: keys.kid() })
    }
}

/// Names a quarantined line by the token of its bytes: equal lines of one epoch have equal names.
struct LineHash {
    hasher: TagHasher,
    kid: [u8; token::KID_BYTES],
}

impl KeyedHash for LineHash {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn finalize(self: Box<Self>) -> String {
        let mut name = Vec::with_capacity(34);
        token::write("qr", &self.kid, &self.hasher.finish(), &mut name);
        String::from_utf8_lossy(&name).into_owned()
    }
}
