//! `oubliette serve`: settings -> sockets, rules and keys -> the sidecar; and again at SIGHUP.

mod outlets;

use super::{archive, filter, keys};
use crate::cli::args::{ArchiveArgs, Common, Reading, ServeArgs, Tokens};
use crate::cli::codes;
use crate::cli::config::{Input, Kind, Typed};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::process;
use crate::cli::report::{Report, Stop};
use crate::cli::settings::Settings;
use crate::input::framing::Trailer;
use crate::input::sockets;
use crate::input::tail::{self, Offsets};
use crate::jobs::filter::{Plan, Ready};
use crate::jobs::recognition::{Choices, Recognition};
use crate::jobs::serve::{Daemon, Entrance, Limits, Manner, Protocol};
use crate::pipeline::{Archiver, Gate};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Storage};
use jiff::Timestamp;
use outlets::Outlets;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Serves until SIGTERM or SIGINT, or until standard input ends if that is all there is.
///
/// Everything that can be refused is refused before anything is taken.
pub(crate) fn run(report: Report, common: &Common, args: &ServeArgs) -> Result<Exit, Stop> {
    process::raise_descriptor_limit();
    let typed = Typing::new(common, args);
    let mut setup = Setup::load(&typed)?;
    let mut opened = setup.open(report)?;
    let mut daemon = Daemon::new(limits(&setup.settings), typed.clock, Vec::new())?;
    let mut outlets = Outlets::default();
    outlets.follow(report, &mut daemon, &setup)?;
    let next = Arc::new(Mutex::new(None));
    daemon.heed_signals(on_hangup(report, typed.clone(), daemon.gate(), Arc::clone(&next)))?;
    let mut inputs = Inputs::default();
    inputs.follow(report, &daemon, &setup.settings)?;
    let mut worst = Exit::Done;
    loop {
        let (ready, archiver) = opened;
        let outcome = daemon.run(ready, Some(archiver));
        worst = worst.max(filter::conclude(report, &setup.settings, outcome));
        if daemon.is_over() {
            break;
        }
        let loaded = next.lock().unwrap_or_else(PoisonError::into_inner).take();
        (setup, opened) = match loaded {
            Some(loaded) => {
                let (setup, opened) = go_on(report, &daemon, &mut inputs, setup, loaded)?;
                outlets.follow(report, &mut daemon, &setup)?;
                (setup, opened)
            }
            None => {
                let opened = setup.open(report)?;
                (setup, opened)
            }
        };
    }
    daemon.end();
    Ok(worst)
}

/// With what was loaded; with what was in force before, if that cannot be put to use.
fn go_on(
    report: Report,
    daemon: &Daemon,
    inputs: &mut Inputs,
    before: Setup,
    loaded: Setup,
) -> Result<(Setup, Opened), Diagnostic> {
    let opened = inputs.follow(report, daemon, &loaded.settings).and_then(|()| loaded.open(report));
    match opened {
        Ok(opened) => {
            report.note("rules and configuration are loaded again");
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

/// Loads everything again. If it is good, the run that is going on ends, and the next one begins with it.
fn on_hangup(
    report: Report,
    typed: Typing,
    gate: Gate,
    next: Arc<Mutex<Option<Setup>>>,
) -> impl FnMut() + Send + 'static {
    move || match Setup::load(&typed) {
        Ok(setup) => {
            *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(setup);
            gate.interrupt();
        }
        Err(problem) => {
            report.error(&problem);
            report.note("the rules and the configuration from before stay in force");
        }
    }
}

/// What was typed, to be put together with the configuration again and again.
#[derive(Clone)]
struct Typing {
    common: Arc<Common>,
    reading: Arc<Reading>,
    tokens: Arc<Tokens>,
    workers: NonZeroUsize,
    clock: Clock,
}

impl Typing {
    fn new(common: &Common, args: &ServeArgs) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            common: Arc::new(common.clone()),
            reading: Arc::new(args.reading.clone()),
            tokens: Arc::new(args.tokens.clone()),
            workers: args.workers.unwrap_or_else(cores),
            // A daemon whose clock stands still would never end an epoch.
            clock: common.now.map_or(Clock::System, |now: Timestamp| Clock::starting_at(now)),
        }
    }
}

/// What a run goes by: loaded and checked, with nothing opened.
struct Setup {
    settings: Settings,
    recognition: Recognition,
    workers: NonZeroUsize,
}

type Opened = (Ready, Archiver);

impl Setup {
    fn load(typed: &Typing) -> Result<Self, Diagnostic> {
        let mut settings = Settings::new(&typed.common, &typed.reading, &typed.tokens)?;
        settings.clock = typed.clock;
        let recognition = Recognition::new(Choices { archived: true, ..settings.choices()? })?;
        Ok(Self { settings, recognition, workers: typed.workers })
    }

    /// Keys and archive.
    fn open(&self, report: Report) -> Result<Opened, Diagnostic> {
        let settings = &self.settings;
        let plan = Plan {
            recognition: self.recognition.clone(),
            keys: keys::prepared(settings, self.recognition.zone.clone())?,
            tenant: settings.tenant.clone(),
            state_dir: settings.state_dir.clone(),
            max_line_bytes: settings.max_line_bytes,
            workers: self.workers,
            clock: settings.clock,
        };
        let mut ready = Ready::new(plan)?.for_command("serve");
        let directory = archive_directory(settings);
        let archiver =
            archive::open(report, settings, &ArchiveArgs::default(), &directory, &mut ready, None)?;
        Ok((ready, archiver))
    }
}

fn archive_directory(settings: &Settings) -> PathBuf {
    let beside = settings.config_path.parent().unwrap_or(Path::new("."));
    settings.serve.archive.as_ref().map_or_else(|| settings.state_dir.clone(), |archive| beside.join(archive))
}

fn limits(settings: &Settings) -> Limits {
    let limits = &settings.serve.limits;
    Limits {
        connections: limits.connections(),
        memory_bytes: limits.memory_bytes(),
        max_record_bytes: settings.max_line_bytes,
        max_sealed_bytes: limits.sealed_bytes(),
        idle: limits.idle(),
        drain: limits.drain(),
    }
}

/// The inputs that are open.
#[derive(Default)]
struct Inputs(Vec<(Input, CancellationToken)>);

impl Inputs {
    /// Opens those that `settings` has and that are not open, then closes those that it has no more. If one
    /// cannot be opened, all stays as it was.
    fn follow(&mut self, report: Report, daemon: &Daemon, settings: &Settings) -> Result<(), Diagnostic> {
        let wanted = settings.serve.inputs();
        let is_only = wanted.len() == 1;
        let new: Vec<_> =
            wanted.iter().filter(|input| !self.0.iter().any(|(open, _)| open == *input)).collect();
        let entrances = new
            .iter()
            .map(|input| entrance(input, is_only, settings))
            .collect::<Result<Vec<_>, Diagnostic>>()?;
        for (input, entrance) in new.into_iter().zip(entrances) {
            report.note(&format!("listening: {}", entrance.place()));
            self.0.push((input.clone(), daemon.open(entrance)?));
        }
        self.0.retain(|(input, token)| {
            let stays = wanted.contains(input);
            if !stays {
                token.cancel();
            }
            stays
        });
        Ok(())
    }
}

/// Binds the socket of an input. What the configuration lacks was refused when it was loaded.
fn entrance(input: &Input, is_only: bool, settings: &Settings) -> Result<Entrance, Diagnostic> {
    let mode = input.mode.as_ref().map_or(0o660, |Typed(mode)| *mode);
    let buffer_bytes =
        input.receive_buffer.as_ref().map_or(DEFAULT_RECEIVE_BUFFER_BYTES, |Typed(bytes)| *bytes);
    match (input.kind, &input.listen, &input.path) {
        (Kind::Tcp | Kind::Relp, Some(Typed(address)), _) => {
            Ok(Entrance::Tcp(sockets::tcp(*address)?, manner(input)))
        }
        (Kind::Udp, Some(Typed(address)), _) => Ok(Entrance::Udp(sockets::udp(*address, buffer_bytes)?)),
        (Kind::Unix, _, Some(path)) => {
            sockets::unix(path, mode).map(|(listener, file)| Entrance::Unix(listener, file, manner(input)))
        }
        (Kind::UnixDatagram, _, Some(path)) => sockets::unix_datagram(path, mode, buffer_bytes)
            .map(|(socket, file)| Entrance::UnixDatagram(socket, file)),
        (Kind::File, _, Some(path)) => followed(input, path, settings),
        (Kind::Stdin, ..) => Ok(Entrance::Stdin { file: files::input(None)?, is_only }),
        _ => Err(Diagnostic::new(&codes::BUG, "an input without its address was not refused")),
    }
}

/// What the peers of an input speak.
fn manner(input: &Input) -> Manner {
    let window = input.window.as_ref().map_or(DEFAULT_WINDOW, |Typed(records)| *records);
    let protocol = match input.kind {
        Kind::Relp => Protocol::Relp { window },
        Kind::Unix => Protocol::Syslog(Trailer::NulOrLf),
        _ => Protocol::Syslog(Trailer::Lf),
    };
    Manner { protocol, is_proxied: input.proxy_protocol }
}

/// A file, and how far it was read.
fn followed(input: &Input, path: &Path, settings: &Settings) -> Result<Entrance, Diagnostic> {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let offsets = Offsets::open(&storage, &settings.state_dir, path).map_err(|error| {
        Diagnostic::new(&tail::NOT_FOLLOWED, "cannot keep how far a file was read")
            .at(settings.state_dir.join("tails").display().to_string())
            .because(error.to_string())
            .hint("the state directory must belong to the user who runs oubliette, with mode 0700")
    })?;
    let file = tail::Settings {
        path: path.to_owned(),
        max_record_bytes: settings.max_line_bytes,
        poll: input.poll.as_ref().map_or(DEFAULT_POLL, |Typed(time)| *time),
        linger: LINGER,
    };
    Ok(Entrance::File(file, offsets))
}

/// Enough to share a sync; few to be sent again after a crash.
const DEFAULT_WINDOW: usize = 1000;

/// How often a file is looked at.
const DEFAULT_POLL: Duration = Duration::from_millis(250);

/// How long somebody may go on writing to a file that was renamed: until a daemon has opened the new one.
const LINGER: Duration = Duration::from_secs(60);

/// Some seconds of datagrams, if net.core.rmem_max or CAP_NET_ADMIN allows.
const DEFAULT_RECEIVE_BUFFER_BYTES: usize = 8 << 20;
