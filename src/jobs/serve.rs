//! `serve`: keeps inputs open all the time, and runs the pipeline again and again.
//!
//! A run ends when rules or keys must be loaded again. It writes what it has gathered, and the next run
//! continues with the batches that wait meanwhile. Connections notice only a pause.

mod before;
mod conversation;
mod following;
mod names;
mod status;
mod waiting;

pub use conversation::{Dialect, Protocol};
pub use following::Matching;
pub use status::{Calendar, Status};
pub use waiting::{WAITS, state_takes_nothing};

use super::filter::{Outcome, Ready};
use crate::input::framing::{Framing, Trailer};
use crate::input::shares::Shares;
use crate::input::sockets::SocketFile;
use crate::input::stream::{Acceptor, Listener};
use crate::input::tail::{self, Claims, Offsets, Ours};
use crate::input::tls::Tls;
use crate::input::{Stop, Waiting, datagram, standard};
use crate::model::Tree;
use crate::pipeline::{Archiver, Fanout, Gate, Gathered, Intake, Metered, Observed, Outlet, Repeats, Room};
use crate::primitives::clock::Clock;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::{Patience, Storage};
use crate::telemetry::{self, Meter, Output, State};
use names::Names;
use std::fs::File;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Limits on what peers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at once.
    pub connections: usize,
    /// The most memory for records in transit, in bytes.
    pub memory_bytes: usize,
    /// The longest record that is not quarantined, in bytes.
    pub max_record_bytes: usize,
    /// How much of a longer record is quarantined, in bytes.
    pub max_sealed_bytes: u64,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// How long a stop waits for connections to end.
    pub drain: Duration,
}

/// An open input: its sockets are bound, and nothing has been taken yet.
#[derive(Debug)]
pub enum OpenInput {
    /// Connections over TCP.
    Tcp(TcpListener, Dialect),
    /// Datagrams over UDP.
    Udp(UdpSocket),
    /// Connections over TLS.
    Tls(TcpListener, Tls, Dialect),
    /// Connections to a socket file, which is removed at the end if the sidecar created it.
    Unix(UnixListener, Option<Arc<SocketFile>>, Dialect),
    /// Datagrams to a socket file, which is removed at the end if the sidecar created it.
    UnixDatagram(UnixDatagram, Option<Arc<SocketFile>>),
    /// A file that another program writes.
    File(tail::Settings, Offsets),
    /// All files that match a pattern.
    Files(Matching),
    /// Standard input. When it ends, the sidecar ends too, if nothing else can come.
    Stdin {
        /// The standard input.
        file: File,
        /// Whether it is the only input.
        is_only: bool,
    },
}

impl OpenInput {
    /// Returns the size of the kernel's buffer for datagrams, in bytes; `None` if the input does not take
    /// datagrams.
    #[must_use]
    pub fn buffer_bytes(&self) -> Option<usize> {
        match self {
            Self::Udp(socket) => Some(datagram::buffer_bytes(socket)),
            Self::UnixDatagram(socket, _) => Some(datagram::buffer_bytes(socket)),
            _ => None,
        }
    }

    /// Asks for a buffer of at least `bytes` bytes, if the input takes datagrams.
    pub fn widen(&self, bytes: usize) {
        match self {
            Self::Udp(socket) => datagram::widen(socket, bytes),
            Self::UnixDatagram(socket, _) => datagram::widen(socket, bytes),
            _ => {}
        }
    }

    /// Returns where peers find the input.
    #[must_use]
    pub fn place(&self) -> String {
        let at = |address: io::Result<std::net::SocketAddr>| address.map(|address| address.to_string());
        let file = |name: io::Result<std::os::unix::net::SocketAddr>| {
            let path = name.ok().and_then(|name| name.as_pathname().map(|path| path.display().to_string()));
            path.unwrap_or_default()
        };
        match self {
            Self::Tcp(listener, Dialect { protocol: Protocol::Relp { .. }, .. })
            | Self::Tls(listener, _, Dialect { protocol: Protocol::Relp { .. }, .. }) => {
                format!("relp {}", at(listener.local_addr()).unwrap_or_default())
            }
            Self::Tcp(listener, _) => format!("tcp {}", at(listener.local_addr()).unwrap_or_default()),
            Self::Udp(socket) => format!("udp {}", at(socket.local_addr()).unwrap_or_default()),
            Self::Tls(listener, ..) => format!("tls {}", at(listener.local_addr()).unwrap_or_default()),
            Self::Unix(listener, ..) => format!("unix {}", file(listener.local_addr())),
            Self::UnixDatagram(socket, _) => format!("unix-datagram {}", file(socket.local_addr())),
            Self::File(settings, _) | Self::Files(Matching { settings, .. }) => {
                format!("file {}", settings.path.display())
            }
            Self::Stdin { .. } => "standard input".to_owned(),
        }
    }
}

/// The sidecar. It takes records as soon as an input is opened, and writes them when it [runs](Self::run).
pub struct Daemon {
    runtime: Runtime,
    context: InputContext,
    gathered: Gathered,
    outlets: Vec<Outlet>,
    repeats: Repeats,
}

/// What all inputs share.
#[derive(Clone, Debug)]
struct InputContext {
    gate: Gate,
    acceptor: Acceptor,
    /// Tasks that follow files, which are also among the tasks of `acceptor`. At the end, they save how far they
    /// have read.
    followers: TaskTracker,
    /// The followed files: by their names, and by their identities.
    names: Names,
    claims: Claims,
    /// What no pattern follows.
    ours: Arc<RwLock<Ours>>,
    limits: Arc<RwLock<Limits>>,
    clock: Clock,
    /// Asks for the end.
    ended: CancellationToken,
    /// Whether standard input could not be read to its end.
    broke: Arc<AtomicBool>,
    /// Warnings about files whose read position could not be saved.
    unkept: Arc<Mutex<Vec<Diagnostic>>>,
    observed: Arc<Observed>,
    /// The meter of the input.
    meter: Arc<Meter>,
}

impl Daemon {
    /// Creates a sidecar without inputs, and without outputs except the archive of each run, which waits with
    /// `patience` for room.
    ///
    /// # Errors
    /// J01 if the operating system gives no threads.
    pub fn new(limits: Limits, clock: Clock, patience: Arc<Patience>) -> Result<Self, Diagnostic> {
        demand_threads(MOST_NEEDED_THREADS).map_err(|error| cannot_start(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("input")
            .enable_all()
            .build()
            .map_err(|error| cannot_start(&error))?;
        let room = Room { all_bytes: limits.memory_bytes, connection_bytes: CONNECTION_BYTES };
        let (gate, gathered) = Gate::new(room, clock);
        let acceptor = Acceptor {
            connections: Arc::new(Semaphore::new(limits.connections)),
            shares: Some(Shares::new(limits.connections)),
            tasks: TaskTracker::new(),
            stopped: CancellationToken::new(),
        };
        let (ended, observed) = (CancellationToken::new(), Arc::new(Observed::new(patience)));
        let limits = Arc::new(RwLock::new(limits));
        let followers = TaskTracker::new();
        let context = InputContext {
            gate,
            acceptor,
            followers,
            names: Names::default(),
            claims: Claims::default(),
            ours: Arc::default(),
            limits,
            clock,
            ended,
            broke: Arc::default(),
            unkept: Arc::default(),
            observed,
            meter: Arc::default(),
        };
        Ok(Self { runtime, context, gathered, outlets: Vec::new(), repeats: Repeats::default() })
    }

    /// Takes what comes in by `opened`, until the token is cancelled or the sidecar stops.
    ///
    /// # Errors
    /// J01 if the runtime cannot wait on the input.
    pub fn open(&self, opened: OpenInput) -> Result<CancellationToken, Diagnostic> {
        let _runtime = self.runtime.enter();
        let stopped = self.context.acceptor.stopped.child_token();
        let meter = self.context.observed.meter(&opened.place());
        opened.buffer_bytes().into_iter().for_each(|bytes| meter.buffered(bytes));
        let acceptor = Acceptor { stopped: stopped.clone(), ..self.context.acceptor.clone() };
        let context = InputContext { acceptor, meter, ..self.context.clone() };
        context.open(opened).map_err(|error| cannot_start(&error))?;
        Ok(stopped)
    }

    /// Makes patterns leave alone, from now on, what the sidecar writes itself.
    pub fn leave_alone(&self, ours: Ours) {
        self.context.ours.write().unpoisoned().extend(ours);
    }

    /// Makes SIGTERM and SIGINT stop the sidecar from now on. Calls `told` for every signal.
    ///
    /// # Errors
    /// J01 if signals cannot be waited for.
    pub fn heed_signals(&self, told: impl FnMut(SignalRequest) + Send + 'static) -> Result<(), Diagnostic> {
        let _runtime = self.runtime.enter();
        let to = |kind| signal(kind).map_err(|error| cannot_start(&error));
        let signals = [to(SignalKind::terminate())?, to(SignalKind::interrupt())?, to(SignalKind::hangup())?];
        self.runtime.spawn(heed(self.context.clone(), signals, told));
        Ok(())
    }

    /// Applies these limits from now on, to new connections and to datagrams. `memory_bytes` keeps its value.
    pub fn limit(&self, limits: Limits) {
        let mut current = self.context.limits.write().unpoisoned();
        let (before, now) = (current.connections, limits.connections);
        *current = Limits { memory_bytes: current.memory_bytes, ..limits };
        let Acceptor { connections, shares, .. } = self.context.acceptor.clone();
        shares.iter().for_each(|shares| shares.divide(now));
        if now >= before {
            return connections.add_permits(now - before);
        }
        let too_many = u32::try_from(before - now).unwrap_or(u32::MAX);
        self.runtime.spawn(async move {
            // As many connections must end before another one is accepted.
            if let Ok(permits) = connections.acquire_many_owned(too_many).await {
                permits.forget();
            }
        });
    }

    /// Returns the outputs besides the archive, in the order of their creation, for changes between two runs.
    pub fn outlets(&mut self) -> &mut Vec<Outlet> {
        &mut self.outlets
    }

    /// Treats lines as repeated, from now on, if they are among the last that the archive in `tree` received
    /// from earlier processes. Every part that a crash left must be sealed.
    pub fn expect_repeats(&mut self, storage: &dyn Storage, tree: &Tree) {
        self.repeats = before::last_lines(storage, tree);
    }

    /// Calls `alive` twice in each `interval`, as long as the outputs are working, do not exist, or wait for
    /// room.
    pub fn keep_watch(&self, interval: Duration, alive: impl Fn() + Send + 'static) {
        let (gate, observed) = (self.gate(), self.observed());
        self.runtime.spawn(async move {
            let mut ticks = tokio::time::interval(interval / 2);
            loop {
                ticks.tick().await;
                if gate.since_beat() < interval || observed.waits_for_room() {
                    alive();
                }
            }
        });
    }

    /// Returns what can be observed of the sidecar.
    #[must_use]
    pub fn observed(&self) -> Arc<Observed> {
        Arc::clone(&self.context.observed)
    }

    /// Answers requests for the status on `listener`, until the token is cancelled or the sidecar ends.
    pub fn show(&self, listener: telemetry::server::Listener, status: Arc<Status>) -> CancellationToken {
        let shown = CancellationToken::new();
        let until = shown.clone();
        self.runtime.spawn(async move {
            let answered = until.run_until_cancelled(telemetry::serve(listener, status)).await;
            if let Some(Err(error)) = answered {
                tracing::error!(%error, "nobody is answered any more who asks for metrics and health");
            }
        });
        shown
    }

    /// Returns the gate, which ends a run so that the next one can begin with other rules.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.context.gate.clone()
    }

    /// Returns whether nothing more is accepted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.context.gate.is_closed()
    }

    /// Returns whether nothing more is accepted and everything that was is in a run.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.context.gate.is_drained()
    }

    /// Returns whether an input could not be read to its end: lines may be missing that nobody sends again.
    #[must_use]
    pub fn input_broke(&self) -> bool {
        self.context.broke.load(Ordering::Relaxed)
    }

    /// Writes what comes in, until the sidecar stops or the [gate](Self::gate) is interrupted.
    pub fn run(&mut self, ready: Ready, archiver: Archiver) -> Outcome {
        let (gate, observed) = (self.gate(), self.observed());
        let (outlets, repeats) = (&mut self.outlets, &mut self.repeats);
        let mut outputs = Fanout::new(archiver, outlets, repeats, gate.clone(), Arc::clone(&observed));
        if !gate.is_closed() {
            observed.enter(State::Running);
        }
        let ready = ready.observed_by(Arc::clone(&observed));
        let patience = Arc::clone(&ready.plan().patience);
        let stop = || {
            // Something has failed, so there is nothing to wait for.
            patience.end();
            gate.interrupt();
        };
        let outcome = ready.run_parts(&mut self.gathered, &mut outputs, &stop);
        // Parts of the pipeline interrupt the gate when they end. An interruption that came from elsewhere
        // meanwhile has done its work, because the run has ended.
        self.gathered.resume();
        if outcome.result.is_err() {
            observed.enter(State::Failed);
            gate.fail();
            self.context.acceptor.stopped.cancel();
        }
        outcome
    }

    /// Ends the inputs and then the outputs.
    ///
    /// The threads of the inputs end once the followers of files have durably saved how far they read; the
    /// outputs end once they have sent what they can. Returns the result of each output, and warnings about
    /// what could not be saved.
    pub fn end(mut self) -> (Vec<Output>, Vec<Diagnostic>) {
        let InputContext { gate, acceptor, followers, .. } = &self.context;
        acceptor.stopped.cancel();
        gate.fail();
        followers.close();
        let kept =
            self.runtime.block_on(async { tokio::time::timeout(LAST_OFFSETS, followers.wait()).await });
        let late = kept.is_err().then(|| {
            Diagnostic::new(
                &tail::NOT_FOLLOWED,
                "how far files were read is not kept: some lines will be read twice",
            )
            .because("the disk of the state directory did not take it in time")
            .hint("expect the last lines of followed files twice")
        });
        let unkept = std::mem::take(&mut *self.context.unkept.lock().unpoisoned());
        let unkept = unkept.into_iter().chain(late).collect();
        self.runtime.shutdown_timeout(LAST_TASKS);
        // In parallel, because each output may use the whole time to drain.
        let outputs = thread::scope(|scope| {
            let ending: Vec<_> = self.outlets.iter_mut().map(|outlet| scope.spawn(|| outlet.end())).collect();
            ending.into_iter().filter_map(|ended| ended.join().ok()).collect()
        });
        (outputs, unkept)
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("limits", &self.context.limits).finish_non_exhaustive()
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// Load everything again.
    Reload,
    /// Stop when everything is written, because nothing more comes.
    Finish,
    /// Stop now. The sidecar is about to.
    Stop,
}

/// Waits for signals. After the first that stops the sidecar, lets everything drain.
async fn heed(context: InputContext, signals: [Signal; 3], mut told: impl FnMut(SignalRequest)) {
    let [mut terminate, mut interrupt, mut hangup] = signals;
    let request = loop {
        tokio::select! {
            _ = terminate.recv() => break SignalRequest::Stop,
            _ = interrupt.recv() => break SignalRequest::Stop,
            () = context.ended.cancelled() => break SignalRequest::Finish,
            _ = hangup.recv() => tokio::task::block_in_place(|| told(SignalRequest::Reload)),
        }
    };
    told(request);
    context.drain().await;
    if request == SignalRequest::Finish {
        // What is still to be written may wait for room.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told(SignalRequest::Stop);
    }
}

impl InputContext {
    /// Accepts nothing more, lets connections send what is in transit, and closes the gate behind them.
    async fn drain(&self) {
        self.observed.enter(State::Draining);
        self.acceptor.stopped.cancel();
        self.acceptor.tasks.close();
        if tokio::time::timeout(self.limits().drain, self.acceptor.tasks.wait()).await.is_err() {
            tracing::warn!("connections are cut off: they did not end in time");
        }
        self.gate.close();
    }

    fn open(self, opened: OpenInput) -> io::Result<()> {
        match opened {
            OpenInput::Tcp(listener, dialect) => {
                self.listen(tokio::net::TcpListener::from_std(listener)?, dialect, None, None);
            }
            OpenInput::Tls(listener, tls, dialect) => {
                self.listen(tokio::net::TcpListener::from_std(listener)?, dialect, Some(tls), None);
            }
            OpenInput::Unix(listener, file, dialect) => {
                self.listen(tokio::net::UnixListener::from_std(listener)?, dialect, None, file);
            }
            OpenInput::File(settings, offsets) => {
                let named = self.names.add(&settings.path);
                self.follow(settings, offsets, named);
            }
            OpenInput::Files(matching) => self.follow_all(matching),
            OpenInput::Udp(socket) => {
                self.receive(tokio::net::UdpSocket::from_std(socket)?, datagram::LONGEST_UDP_BYTES, None);
            }
            OpenInput::UnixDatagram(socket, file) => {
                let socket = tokio::net::UnixDatagram::from_std(socket)?;
                self.receive(socket, datagram::LONGEST_UNIX_BYTES, file);
            }
            OpenInput::Stdin { file, is_only } => self.read_standard(file, is_only)?,
        }
        Ok(())
    }

    fn listen<L: Listener>(
        self,
        listener: L,
        dialect: Dialect,
        tls: Option<Tls>,
        file: Option<Arc<SocketFile>>,
    ) {
        let tasks = self.acceptor.tasks.clone();
        // All connections of a proxy come from its address, and it has limits of its own.
        let shares = self.acceptor.shares.clone().filter(|_| !dialect.is_proxied);
        let acceptor = Acceptor { shares, ..self.acceptor.clone() };
        let meter = Arc::clone(&self.meter);
        tasks.spawn(async move {
            let serve = move |stream| self.clone().serve(stream, dialect, tls.clone());
            acceptor.open(listener, || meter.broke(), serve).await;
            drop(file);
        });
    }

    fn receive(self, socket: impl datagram::Socket, longest_bytes: usize, file: Option<Arc<SocketFile>>) {
        let intake = Metered::new(self.gate.intake_of_datagrams(), Arc::clone(&self.meter));
        let limits = Arc::clone(&self.limits);
        let max_record_bytes = move || limits.read().unpoisoned().max_record_bytes;
        let datagrams = datagram::Datagrams { max_record_bytes, longest_bytes };
        let tasks = self.acceptor.tasks.clone();
        let dropped = count_dropped(Arc::clone(&self.meter));
        tasks.spawn(async move {
            let stopped = self.acceptor.stopped.cancelled();
            if let Err(error) = datagram::read(socket, intake, datagrams, dropped, stopped).await {
                tracing::error!(%error, "datagrams are received no more");
            }
            drop(file);
        });
    }

    fn read_standard(self, file: File, is_only: bool) -> io::Result<()> {
        let (stop, stopped) = Stop::new()?;
        let waiting = Waiting::new(file, stopped, self.clock);
        let (intake, framing) = (self.intake(), self.framing(Trailer::Lf));
        let runtime = tokio::runtime::Handle::current();
        let (tasks, token) = (self.acceptor.tasks.clone(), self.acceptor.stopped.clone());
        let over = token.clone();
        tasks.spawn(async move {
            over.cancelled().await;
            stop.request();
        });
        let (ended, broke) = (self.ended.clone(), Arc::clone(&self.broke));
        tasks.spawn_blocking(move || {
            if let Err(error) = standard::read(waiting, intake, framing, &runtime) {
                tracing::error!(code = error.code.id, %error, "standard input is read no more");
                broke.store(true, Ordering::Relaxed);
            }
            token.cancel();
            if is_only {
                ended.cancel();
            }
        });
        Ok(())
    }

    /// Returns the current limits.
    fn limits(&self) -> Limits {
        *self.limits.read().unpoisoned()
    }

    /// Returns an intake for a connection, which is counted.
    fn connection(&self) -> Metered<Intake> {
        Metered::of_connection(self.gate.intake(), Arc::clone(&self.meter))
    }

    /// Returns an intake whose records are counted.
    fn intake(&self) -> Metered<Intake> {
        Metered::new(self.gate.intake(), Arc::clone(&self.meter))
    }

    fn framing(&self, trailer: Trailer) -> Framing {
        let Limits { max_record_bytes, max_sealed_bytes, .. } = self.limits();
        Framing { max_frame_bytes: max_record_bytes, max_sealed_bytes, trailer }
    }
}

/// Counts the datagrams that the kernel drops, and logs them once a minute at most.
fn count_dropped(meter: Arc<Meter>) -> impl FnMut(u64) + Send {
    let mut told: Option<Instant> = None;
    move |datagrams| {
        meter.overflowed(datagrams);
        if told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            let all = meter.read().kernel_dropped;
            tracing::warn!(input = meter.name(), all, "the kernel drops datagrams, for its buffer is full");
            told = Some(Instant::now());
        }
    }
}

/// Checks that the system gives that many threads at once. A runtime that does not get its threads neither
/// starts nor fails: it waits for them for ever.
fn demand_threads(count: usize) -> io::Result<()> {
    let all_started = Mutex::new(());
    thread::scope(|scope| {
        let held = all_started.lock();
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(all_started.lock()));
        let started: io::Result<Vec<_>> = (0..count).map(start).collect();
        drop(held);
        started.map(drop)
    })
}

fn cannot_start(error: &io::Error) -> Diagnostic {
    Diagnostic::new(&CANNOT_START, "the sidecar cannot start").because(error.to_string())
}

/// Those of the runtime, and those that a sidecar starts after them: for the purge, and for an output that
/// waits.
const MOST_NEEDED_THREADS: usize = RUNTIME_THREADS + 2;

/// The number of threads that wait for peers. Workers and packers do the rest, and need the cores.
const RUNTIME_THREADS: usize = 2;

/// The most whole records of one connection in transit, in bytes.
const CONNECTION_BYTES: usize = 1 << 20;

/// The shortest time between two log messages about lost datagrams.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How long the disk may take at the end to save how far files were read.
const LAST_OFFSETS: Duration = Duration::from_secs(10);

/// How long tasks may take after everything is written. Nobody waits for what they still do.
const LAST_TASKS: Duration = Duration::from_millis(100);

/// J01: the operating system gives no threads or descriptors.
pub static CANNOT_START: Code = Code {
    id: "J01",
    title: "the sidecar cannot start",
    text: "\
What it means
  The operating system did not give oubliette the threads, descriptors or signals that `serve`
  needs.

Why it matters
  `serve` took no line from any sender. Only datagrams that arrive meanwhile are lost.

Example
  a unit with TasksMax=1

What to do
  Raise the limits of the unit: `LimitNOFILE=` above the connections of [serve.limits], `TasksMax=`
  above 32.

References
  systemd.exec(5), systemd.resource-control(5)",
};
