//! An output beside the archive: a spool, a thread that delivers lines from it to a receiver, and, if the output is
//! required, a thread that syncs the spool.

use super::intake::SenderKind;
use crate::output::Target;
use crate::output::delivery::{self, Delivery, Meter};
use crate::output::spool::{self, Level, Records, Syncer, Writer};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::Storage;
use crate::pseudonym::Pseudonymised;
use crate::telemetry::Output;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The settings of an outlet.
#[derive(Clone, Debug)]
pub struct OutletSettings {
    /// Its name, how days are counted, and how long it drains.
    pub delivery: delivery::Settings,
    /// Whether the output is required: records are acknowledged only when it has them, and wait while its spool is full.
    pub required: bool,
    /// The directory of the spool.
    pub spool: PathBuf,
    /// The maximum size of the spool, in bytes.
    pub most_spool_bytes: u64,
}

/// The error of the first failed sync of the spool, if any.
type Unsynced = Arc<OnceLock<io::Error>>;

/// An output with its spool.
#[derive(Debug)]
pub struct Outlet {
    settings: OutletSettings,
    writer: Writer,
    meter: Arc<Meter>,
    /// Syncs the spool. Used only if the output is required: nobody waits for the others.
    syncer: Syncer,
    /// Why the spool could not be synced. Nothing in it is known to be durable then.
    unsynced: Unsynced,
    threads: Vec<Thread>,
    /// Aborts the delivery, whatever it is doing.
    abort: CancellationToken,
    /// When dropped lines were last reported. A full spool often has room for a moment, so reports are limited.
    told: Option<Instant>,
    /// Pieces for which the spool of a required output has no room, in order. They are few, because senders
    /// that can wait do; what datagrams may add is bounded.
    parked: VecDeque<(u64, Records)>,
    parked_bytes: usize,
}

impl Outlet {
    /// Opens the spool and starts to deliver its contents.
    ///
    /// # Errors
    /// O01 if the spool cannot be used.
    pub fn start<T: Target>(
        settings: OutletSettings,
        target: T,
        storage: &Arc<dyn Storage>,
    ) -> Result<Self, Diagnostic> {
        let failed = |error: io::Error| spool_failed(&settings, &error);
        let (writer, reader, syncer) =
            spool::open(storage, &settings.spool, settings.most_spool_bytes).map_err(failed)?;
        let (meter, unsynced) = (Arc::new(Meter::default()), Unsynced::default());
        let delivery = Delivery::new(settings.delivery.clone(), target, reader, Arc::clone(&meter));
        let abort = CancellationToken::new();
        let aborted = abort.clone();
        let mut threads = vec![start(&settings, async move {
            // Lines that were sent but not confirmed stay in the spool.
            let _ = aborted.run_until_cancelled(delivery.run()).await;
        })?];
        if settings.required {
            threads.push(start(&settings, keep_synced(syncer.clone(), Arc::clone(&unsynced)))?);
        }
        Ok(Self {
            settings,
            writer,
            meter,
            syncer,
            unsynced,
            threads,
            told: None,
            abort,
            parked: VecDeque::new(),
            parked_bytes: 0,
        })
    }

    /// How full the spool is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.writer.level()
    }

    /// Keeps a piece until the spool has room. Drops pieces of senders that cannot wait once too many bytes
    /// are parked.
    fn park(&mut self, piece: u64, records: Records, sender: SenderKind) {
        if sender == SenderKind::CannotWait && self.parked_bytes + records.bytes() > MOST_PARKED_BYTES {
            return self.drop_lines(&records, "the spool is full, and datagrams cannot wait");
        }
        self.parked_bytes += records.bytes();
        self.parked.push_back((piece, records));
    }

    /// Moves parked pieces into the spool as far as it has room.
    fn unpark(&mut self) -> Result<(), Diagnostic> {
        while let Some((piece, records)) = self.parked.front() {
            let failed = |error: io::Error| spool_failed(&self.settings, &error);
            if !self.writer.append_records(records, Some(*piece)).map_err(failed)? {
                break;
            }
            self.parked_bytes -= records.bytes();
            self.parked.pop_front();
        }
        Ok(())
    }

    /// Counts lines that this output loses, and reports the loss at most once per [`TOLD_AGAIN`].
    fn drop_lines(&mut self, lines: &Records, why: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            tracing::error!(
                code = DROPPED.id,
                output = self.settings.delivery.name,
                why,
                "lines are dropped"
            );
            self.told = Some(Instant::now());
        }
        self.meter.dropped.fetch_add(lines.lines(), Ordering::Relaxed);
    }

    /// Takes the lines of piece number `piece`, which came from `sender`. Pieces come in order, counted from 1 over all
    /// runs; empty pieces are left out.
    ///
    /// # Errors
    /// Fails if the lines can neither be sent nor kept; the pipeline stops then.
    pub(super) fn take(
        &mut self,
        piece: u64,
        lines: &Pseudonymised,
        sender: SenderKind,
    ) -> Result<(), Diagnostic> {
        self.unpark()?;
        let records = Records::of(lines);
        if !self.parked.is_empty() {
            self.park(piece, records, sender);
            return Ok(());
        }
        match self.writer.append_records(&records, self.settings.required.then_some(piece)) {
            Ok(true) => {}
            Ok(false) if self.settings.required => self.park(piece, records, sender),
            Ok(false) => self.drop_lines(&records, "the spool is full"),
            Err(error) if self.settings.required => return Err(spool_failed(&self.settings, &error)),
            Err(error) => self.drop_lines(&records, &error.to_string()),
        }
        Ok(())
    }

    /// Whether the output is required and has no room: senders that can wait should do so.
    pub(super) fn is_full(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Waits until there may be room again, for `longest` at most.
    pub(super) fn wait_for_room(&self, longest: Duration) {
        self.writer.wait_for_room(longest);
    }

    /// The diagnostic to report if the output had no room until the end.
    pub(super) fn is_stuck(&self) -> Diagnostic {
        Diagnostic::new(&STUCK, format!("the output `{}` takes no more", self.settings.delivery.name))
            .at(self.settings.spool.display().to_string())
            .because(format!("its spool has {} bytes and its receiver is away", self.level().bytes))
            .hint("bring the receiver back and start again: what is in the spool is sent first")
    }

    /// The state of the output, for display.
    pub(super) fn shown(&self) -> Output {
        let Level { bytes, lines, expired } = self.level();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Meter { delivered, resent, dropped, refused, failures, linked, away } = &*self.meter;
        Output {
            name: self.settings.delivery.name.clone(),
            required: self.settings.required,
            spool_bytes: bytes,
            spool_lines: lines,
            waiting: self.writer.waiting(),
            linked: linked.load(Ordering::Relaxed),
            away: away.load(Ordering::Relaxed),
            delivered: count(delivered),
            resent: count(resent),
            dropped: count(dropped),
            refused: count(refused),
            expired,
            failures: count(failures),
        }
    }

    /// The number of the first piece taken that is not durable yet. `None` if there is none, or if the output is not
    /// required.
    pub(super) fn first_not_durable(&self) -> Option<u64> {
        let spooled = self.writer.first_not_durable();
        spooled.into_iter().chain(self.parked.front().map(|(piece, _)| *piece)).min()
    }

    /// Does periodic work while no piece comes.
    ///
    /// # Errors
    /// Fails if pieces that the output took cannot be made durable; the pipeline stops then.
    pub(super) fn maintain(&mut self) -> Result<(), Diagnostic> {
        self.is_synced()?;
        self.unpark()?;
        self.writer.roll_if_old();
        Ok(())
    }

    /// Ends the output at once, because the configuration no longer has it or has changed it. Afterwards, everything
    /// that a required output took is durable in its spool.
    ///
    /// # Errors
    /// Fails if it is not; nothing more may be acknowledged as durable then.
    pub fn leave(&mut self) -> Result<(), Diagnostic> {
        let kept = self.put_parked();
        self.end_within(LONGEST_CHANGE);
        if self.settings.required {
            kept.and_then(|()| self.syncer.sync()).map_err(|error| spool_failed(&self.settings, &error))?;
            self.is_synced()?;
        }
        Ok(())
    }

    /// Ends the output when no more lines come: waits until its lines are delivered or the time to drain is over. Lines
    /// that are left stay in the spool. Returns the final state.
    pub fn end(&mut self) -> Output {
        self.end_within(self.settings.delivery.drain + LONGEST_END)
    }

    /// Fails if a sync of the spool has failed.
    fn is_synced(&self) -> Result<(), Diagnostic> {
        self.unsynced.get().map_or(Ok(()), |error| Err(spool_failed(&self.settings, error)))
    }

    /// Moves parked pieces into the spool, beyond its maximum size. Another process or configuration sends them later.
    /// Pieces that cannot be written have nowhere else to stay, and are counted as dropped.
    fn put_parked(&mut self) -> io::Result<()> {
        let mut put = Ok(());
        for (_, records) in self.parked.drain(..) {
            if let Err(error) = self.writer.append_beyond(&records) {
                self.meter.dropped.fetch_add(records.lines(), Ordering::Relaxed);
                put = put.and(Err(error));
            }
        }
        self.parked_bytes = 0;
        put.inspect_err(|error| {
            tracing::error!(output = self.settings.delivery.name, %error, "lines cannot be kept for an output");
        })
    }

    /// Ends the delivery within `longest`, aborting it if it takes longer.
    fn end_within(&mut self, longest: Duration) -> Output {
        // `put_parked` has logged the error and counted the lines, which were never acknowledged.
        let _ = self.put_parked();
        self.writer.close();
        let deadline = Instant::now() + longest;
        for Thread(ended) in self.threads.drain(..) {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(left) {
                tracing::warn!(
                    output = self.settings.delivery.name,
                    "an output is ended in the middle of something"
                );
                self.abort.cancel();
                // Wait for it, so that it does not read the spool at the same time as its successor.
                let _ = ended.recv_timeout(LONGEST_ABORT);
            }
        }
        self.shown()
    }
}

impl Drop for Outlet {
    /// Ends an outlet that was not ended, in little time because lines wait meanwhile; what is left is in the spool.
    fn drop(&mut self) {
        let Output { delivered, resent, dropped, refused, failures, .. } = self.end_within(LONGEST_CHANGE);
        tracing::info!(
            output = self.settings.delivery.name,
            delivered,
            resent,
            dropped,
            refused,
            failures,
            "an output has ended"
        );
    }
}

/// A thread. Its channel is disconnected when it ends.
#[derive(Debug)]
struct Thread(Receiver<()>);

/// How many bytes of datagrams may be parked while the spool of a required output is full.
const MOST_PARKED_BYTES: usize = 32 << 20;

/// How long a stop waits for a connection that hangs, in addition to the time to drain.
const LONGEST_END: Duration = Duration::from_secs(6);

/// How long a change of configuration waits for it. This is short because incoming lines wait meanwhile.
const LONGEST_CHANGE: Duration = Duration::from_secs(2);

/// How long to wait for the end of an aborted thread, which may be waiting for a disk.
const LONGEST_ABORT: Duration = Duration::from_secs(2);

/// The minimum time between two reports of dropped lines.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Runs `task` on its own thread.
fn start(
    settings: &OutletSettings,
    task: impl Future<Output = ()> + Send + 'static,
) -> Result<Thread, Diagnostic> {
    let failed = |error: io::Error| spool_failed(settings, &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let name = format!("output {}", settings.delivery.name);
    let (running, ended) = bounded(0);
    let run = move || {
        let _running: Sender<()> = running;
        runtime.block_on(task);
    };
    thread::Builder::new().name(name).spawn(run).map_err(failed)?;
    Ok(Thread(ended))
}

/// Syncs the spool whenever something was added to it, until it is closed.
async fn keep_synced(syncer: Syncer, unsynced: Unsynced) {
    while !syncer.is_closed() {
        syncer.arrival().await;
        if let Err(error) = syncer.sync() {
            // The contents of the spool are uncertain now, so nothing more is acknowledged.
            let _ = unsynced.set(error);
            return;
        }
    }
}

fn spool_failed(settings: &OutletSettings, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::TimedOut => "stop the other one, or give this one a state directory of its own",
        _ => "make room, or put the state directory on a disk that can be written to",
    };
    Diagnostic::new(&SPOOL_FAILED, format!("cannot use the spool of the output `{}`", settings.delivery.name))
        .at_path(&settings.spool, error)
        .hint(hint)
}

/// The error codes of this module.
pub const CODES: &[&Code] = &[&SPOOL_FAILED, &DROPPED, &STUCK];

/// O01: the spool of an output cannot be used.
static SPOOL_FAILED: Code = Code {
    id: "O01",
    title: "the spool of an output cannot be used",
    text: "\
What it means
  Lines wait in `<state>/spool/<name>` until an output has taken them. oubliette cannot create,
  read, write or sync that directory: the disk is full or read-only, or the permissions are wrong.

Why it matters
  - A required output must get every acknowledged line. If oubliette cannot keep its lines, it
    acknowledges no more and stops, also when it finds this at SIGHUP. Senders that wait for an
    answer send again. The spool keeps its lines.
  - An output that is not required never stops oubliette. oubliette drops the lines that it cannot
    keep for it, and counts and reports them (O02).

Example
  [[serve.output]] with required = true, and /var full

What to do
  1. Make room, or repair the disk or the permissions.
  2. If oubliette has stopped, start it again.

References
  docs/outputs.md",
};

/// O02: an output that is not required lost lines.
static DROPPED: Code = Code {
    id: "O02",
    title: "lines are dropped for an output",
    text: "\
What it means
  An output has been away or slow for so long that its spool is full, or oubliette cannot write its
  spool. Lines that arrive now are in the archive, but oubliette does not send them to this output.

  A required output loses only datagrams in this way: oubliette cannot make their senders wait, and
  has room for 32 MiB of them in memory. When oubliette stops, lines that still wait in memory are
  counted, too, if it cannot write them to the spool. Senders that wait for an answer send theirs
  again.

Why it matters
  The receiver will miss these lines. oubliette reports it once a minute, and counts the lines until
  it ends.

Example
  a collector that was switched off for good, and is still configured

What to do
  1. Bring the receiver back, or remove the output from the configuration.
  2. Send the missing lines with `oubliette replay`.
  3. For the future, give the output more room: `spool_bytes = \"8GiB\"`. If no line may be missing
     there, set `required = true` and receive lines by RELP or TCP: then senders wait.

References
  docs/outputs.md",
};

/// O03: a required output was full at the end.
static STUCK: Code = Code {
    id: "O03",
    title: "a required output takes no more",
    text: "\
What it means
  oubliette was stopped while the receiver of a required output was away and its spool was full. The
  last lines found no room there in time.

Why it matters
  oubliette did not acknowledge these lines: senders that wait for an answer (RELP, files) send them
  again. It also kept them in the spool, beyond its size, and sends them at the next start. So the
  receiver may get some lines twice.

Example
  a collector that is away for longer than the spool lasts, and `systemctl stop oubliette`

What to do
  1. Bring the receiver back.
  2. Start oubliette again. It sends the lines in the spool first.
  3. For longer absences, enlarge the spool: `spool_bytes = \"8GiB\"`

References
  docs/outputs.md",
};

#[cfg(test)]
pub(super) mod tests;
