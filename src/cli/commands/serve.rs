//! `oubliette serve`: builds sockets, rules and keys from the settings and runs the sidecar; does so again at
//! SIGHUP.

mod exposed;
mod inputs;
mod outlets;
mod schedule;

use super::status::Shown;
use super::{archive, filter, keys, site};
use crate::archive::archive_is_full;
use crate::cli::args::{ArchiveArgs, Common, Reading, ServeArgs, Tokens};
use crate::cli::config::Kind;
use crate::cli::exit::Exit;
use crate::cli::process;
use crate::cli::report::{Report, Stop};
use crate::cli::service;
use crate::cli::settings::Settings;
use crate::jobs::filter::{Plan, Ready};
use crate::jobs::recognition::{Choices, Recognition};
use crate::jobs::serve::{Calendar, Daemon, Limits, SignalRequest, state_takes_nothing};
use crate::model::Tree;
use crate::pipeline::{Archiver, Gate, Totals};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::{Disk, DiskEvent, Patience};
use crate::telemetry::log::{self, Form};
use inputs::Inputs;
use jiff::Timestamp;
use outlets::Outlets;
use schedule::Schedule;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Serves until SIGTERM or SIGINT, or until standard input ends if that is the only input.
///
/// Everything that can be refused is refused before any record is accepted.
pub(crate) fn run(report: Report, common: &Common, args: &ServeArgs) -> Result<Exit, Stop> {
    process::raise_descriptor_limit();
    start_log(report);
    let typed = Typing::new(report, common, args);
    let setup = Setup::load(&typed)?;
    exposed::warn(report, &setup.settings);
    refuse(&setup.settings)?;
    // Otherwise the purge tells.
    if !setup.settings.serve.purge() {
        filter::warn_of_clock(report, &setup.settings);
    }
    let patience = Arc::clone(&typed.patience);
    let opened = match setup.open(report) {
        // A purge may make room, and it runs in here. Meanwhile those senders wait that can.
        Err(_) if patience.was_short() => None,
        opened => Some(opened?),
    };
    let mut daemon = Daemon::new(limits(report, &setup.settings), typed.clock, Arc::clone(&patience))?;
    let mut outlets = Outlets::start(report, &mut daemon, &setup)?;
    let next = Arc::new(Mutex::new(None));
    let again = typed.relying_on(&setup.settings.config_path);
    let on_signal = on_signal(report, again, daemon.gate(), Arc::clone(&next));
    daemon.heed_signals(on_signal)?;
    let mut inputs = Inputs::new()?;
    inputs.follow(report, &daemon, &setup.settings)?;
    if let Some(interval) = service::watchdog() {
        daemon.keep_watch(interval, service::alive);
    }
    let zone = setup.recognition.zone.clone();
    let schedule = Schedule::start(report, &setup.settings, zone, daemon.observed())?;
    let mut shown = Shown::new(&daemon, calendar(&setup));
    shown.follow(report, &daemon, &setup.settings)?;
    patience.begin();
    let opened = opened.map_or_else(|| open_with_patience(report, &setup), Ok);
    daemon.expect_repeats(&Disk, &tree(&setup.settings));
    let (mut worst, mut totals) = (Exit::Done, Totals::default());
    let shows_totals = setup.settings.stats.is_some();
    let mut next_run = opened.map(|opened| (setup, opened));
    let ended = loop {
        let (setup, (ready, archiver)) = match next_run {
            Ok(next_run) => next_run,
            Err(problem) => break Err(problem),
        };
        service::ready();
        let outcome = daemon.run(ready, archiver);
        totals.add(&outcome.tally, &outcome.kinds, &outcome.classes, outcome.elapsed);
        worst = worst.max(filter::conclude(report, &setup.settings, outcome));
        if daemon.is_over() {
            break Ok(worst);
        }
        // What is left at a stop needs no new inputs.
        let loaded = next.lock().unpoisoned().take().filter(|_| !daemon.is_closed());
        let reloads = loaded.is_some();
        next_run = match loaded {
            Some(loaded) => go_on(report, &daemon, &mut inputs, setup, loaded),
            None => setup.open(report).map(|opened| (setup, opened)),
        };
        let Ok((setup, _)) = &next_run else { continue };
        if reloads && let Err(problem) = outlets.follow(report, &mut daemon, setup) {
            break Err(problem);
        }
        schedule.follow(&setup.settings);
        shown.renew(report, &daemon, calendar(setup), &setup.settings);
    };
    drop(schedule);
    let broke = if daemon.input_broke() { Exit::CouldNot } else { Exit::Done };
    let (outputs, unkept) = daemon.end();
    unkept.iter().for_each(|unkept| report.error(unkept));
    let kept = if unkept.is_empty() { Exit::Done } else { Exit::CouldNot };
    if shows_totals {
        report.stats(&totals.counts().with_outputs(&outputs).to_json());
    }
    Ok(ended?.and(broke).and(kept))
}

/// Opens keys and archive as soon as there is room for what must be written first.
fn open_with_patience(report: Report, setup: &Setup) -> Result<Opened, Diagnostic> {
    // systemd would end a start that lasts as long as the disk is full.
    service::ready();
    setup.open(report)
}

/// Starts logging events to standard error, in the same form as messages.
pub(super) fn start_log(report: Report) {
    // If standard error leads to the journal, the journal adds the time.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let form = if report.is_json() { Form::Json } else { Form::Text { timed } };
    // Fails only if this process already logs events.
    let _ = log::start(form);
}

/// Opens the loaded setup; if that fails, keeps the previous one.
fn go_on(
    report: Report,
    daemon: &Daemon,
    inputs: &mut Inputs,
    before: Setup,
    loaded: Setup,
) -> Result<(Setup, Opened), Diagnostic> {
    // Inputs come last: unchanged ones keep their connections.
    let opened = refuse(&loaded.settings).and_then(|()| loaded.open(report)).and_then(|opened| {
        inputs.follow(report, daemon, &loaded.settings)?;
        Ok(opened)
    });
    match opened {
        Ok(opened) => {
            report.note("rules and configuration are loaded again");
            exposed::warn(report, &loaded.settings);
            daemon.limit(limits(report, &loaded.settings));
            tell_what_waits(report, &before.settings, &loaded.settings);
            Ok((loaded, opened))
        }
        Err(problem) => {
            report.error(&problem);
            report.note("the rules and the configuration from before stay in force");
            let opened = before.open(report)?;
            Ok((before, opened))
        }
    }
}

/// Refuses inputs, outputs and an archive that can never be opened as configured. Opens and makes nothing.
pub(super) fn refuse(settings: &Settings) -> Result<(), Diagnostic> {
    Outlets::refuse(settings)?;
    Inputs::refuse(settings)?;
    archive::refuse_place(&tree(settings))
}

/// Notes which of the new settings take effect only at the next start.
fn tell_what_waits(report: Report, before: &Settings, loaded: &Settings) {
    if before.serve.limits.memory_bytes() != loaded.serve.limits.memory_bytes() {
        report.note("the new `memory` holds from the next start");
    }
    let has_files = loaded.serve.inputs().iter().any(|input| input.kind == Kind::File);
    if has_files && before.max_line_bytes != loaded.max_line_bytes {
        report.note("the new `max_line_bytes` holds for files from the next start");
    }
}

/// Returns the handler for signals. At SIGHUP it loads everything again; if that succeeds, it ends the
/// current run, and the next one begins with the new setup.
fn on_signal(
    report: Report,
    typed: Typing,
    gate: Gate,
    next: Arc<Mutex<Option<Setup>>>,
) -> impl FnMut(SignalRequest) + Send + 'static {
    move |request| {
        match request {
            SignalRequest::Reload => {}
            SignalRequest::Finish => return service::stopping(),
            SignalRequest::Stop => {
                // A stopping service cannot wait until somebody makes room.
                typed.patience.end();
                return service::stopping();
            }
        }
        service::reloading();
        // Keys that cannot be read are refused here, while the run that has read them goes on.
        let checked = |setup: Setup| setup.plan().and_then(|_| keys::check(&setup.settings)).map(|_| setup);
        match Setup::load(&typed).and_then(checked) {
            Ok(setup) => {
                *next.lock().unpoisoned() = Some(setup);
                gate.interrupt();
            }
            Err(problem) => {
                report.error(&problem);
                report.note("the rules and the configuration from before stay in force");
                service::ready();
            }
        }
    }
}

/// The arguments, which are combined with the configuration at each load.
#[derive(Clone)]
struct Typing {
    common: Arc<Common>,
    reading: Arc<Reading>,
    tokens: Arc<Tokens>,
    workers: NonZeroUsize,
    clock: Clock,
    /// How long to wait for a disk that is full.
    patience: Arc<Patience>,
}

impl Typing {
    fn new(report: Report, common: &Common, args: &ServeArgs) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            common: Arc::new(common.clone()),
            reading: Arc::new(args.reading.clone()),
            tokens: Arc::new(args.tokens.clone()),
            workers: args.workers.unwrap_or_else(cores),
            // If the clock of a daemon stood still, it would never end an epoch.
            clock: common.now.map_or(Clock::System, |now: Timestamp| Clock::starting_at(now)),
            patience: Arc::new(Patience::new(move |event| tell_room(report, event))),
        }
    }

    /// Returns the same arguments, but requires the configuration file if one was read: should it be missing
    /// at the next load, that does not ask for the defaults, because somebody may be about to replace it.
    fn relying_on(&self, config_path: &Path) -> Self {
        if !config_path.exists() {
            return self.clone();
        }
        let common = Common { config: Some(config_path.to_owned()), ..(*self.common).clone() };
        Self { common: Arc::new(common), ..self.clone() }
    }
}

/// Reports that lines wait for room on a disk, or no longer wait.
fn tell_room(report: Report, event: DiskEvent<'_>) {
    match event {
        DiskEvent::Full(path, error) => report.warning(&archive_is_full(path, error)),
        DiskEvent::Stuck(directory, error) => report.warning(&state_takes_nothing(directory, error)),
        DiskEvent::Room => report.note("there is room again: it goes on"),
    }
}

/// The setup of a run: loaded and checked, with nothing opened.
struct Setup {
    settings: Settings,
    recognition: Recognition,
    workers: NonZeroUsize,
    patience: Arc<Patience>,
}

type Opened = (Ready, Archiver);

impl Setup {
    fn load(typed: &Typing) -> Result<Self, Diagnostic> {
        let mut settings = Settings::new(&typed.common, &typed.reading, &typed.tokens)?;
        settings.clock = typed.clock;
        let certain = filter::certain(&settings);
        let recognition = Recognition::new(Choices { archived: true, certain, ..settings.choices()? })?;
        Ok(Self { settings, recognition, workers: typed.workers, patience: Arc::clone(&typed.patience) })
    }

    fn plan(&self) -> Result<Plan, Diagnostic> {
        let plan = filter::plan(&self.settings, self.recognition.clone(), self.workers)?;
        Ok(Plan { patience: Arc::clone(&self.patience), ..plan })
    }

    /// Opens keys and archive.
    fn open(&self, report: Report) -> Result<Opened, Diagnostic> {
        let settings = &self.settings;
        let mut ready = Ready::new(self.plan()?)?.for_command("serve");
        let directory = archive_directory(settings);
        let archiver =
            archive::open(report, settings, &ArchiveArgs::default(), &directory, &mut ready, None)?;
        Ok((ready, archiver))
    }
}

/// Returns where to find the days that are to be purged.
fn calendar(setup: &Setup) -> Calendar {
    let Setup { settings, recognition, .. } = setup;
    Calendar {
        storage: Arc::new(Disk),
        roots: stores(settings),
        zone: recognition.zone.clone(),
        clock: settings.clock,
    }
}

/// Returns the directories of segments, of vaults, and of segments in their second phase.
fn stores(settings: &Settings) -> [PathBuf; 3] {
    let Tree { archive, vault } = tree(settings);
    [archive, vault, site::intermediate(&archive_directory(settings))]
}

/// Returns the directories of segments and vaults.
fn tree(settings: &Settings) -> Tree {
    site::tree(settings, &archive_directory(settings), None)
}

fn archive_directory(settings: &Settings) -> PathBuf {
    let archive = settings.serve.archive.as_ref();
    archive.map_or_else(|| settings.state_dir.clone(), |archive| settings.store(archive))
}

/// Returns the limits for peers. Allows fewer connections than configured if the rest of the sidecar would
/// lack descriptors.
fn limits(report: Report, settings: &Settings) -> Limits {
    let limits = &settings.serve.limits;
    let connections = limits.connections().min(process::descriptors_for_peers());
    if connections < limits.connections() {
        report.note(&format!(
            "{connections} connections at once, not {}: the archive needs descriptors as well; raise `LimitNOFILE=`, or `ulimit -n`",
            limits.connections()
        ));
    }
    Limits {
        connections,
        memory_bytes: limits.memory_bytes(),
        max_record_bytes: settings.max_line_bytes,
        max_sealed_bytes: limits.sealed_bytes(),
        idle: limits.idle(),
        drain: limits.drain(),
    }
}
