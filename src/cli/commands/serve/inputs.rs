//! The inputs of a sidecar: opens, keeps and closes them according to the configuration.

mod handed_on;
mod same_address;
mod same_file;

use crate::cli::codes;
use crate::cli::config::{Input, Kind, Typed};
use crate::cli::files;
use crate::cli::report::Report;
use crate::cli::settings::{STATE_FOLDERS, Settings};
use crate::input::framing::Trailer;
use crate::input::inherited::Inherited;
use crate::input::sockets;
use crate::input::sockets::SocketFile;
use crate::input::tail::{self, Offsets, Ours, Pattern};
use crate::input::tls::{self, Tls};
use crate::jobs::serve::{Daemon, Dialect, Matching, OpenInput, Protocol};
use crate::primitives::diag::Diagnostic;
use crate::primitives::private_folder::Turn;
use crate::primitives::storage::{Disk, Storage};
use handed_on::Socket;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The open inputs.
#[derive(Default)]
pub(super) struct Inputs {
    open: Vec<Open>,
    /// Sockets from systemd that no input has taken yet.
    inherited: Inherited,
    /// The right to follow files, which keeps other processes from doing so; taken for the first input that
    /// follows a file.
    tails: Option<Turn>,
}

struct Open {
    input: Input,
    token: CancellationToken,
    tls: Option<Tls>,
    /// A second descriptor of its socket, if it has one.
    socket: Option<Socket>,
}

/// Sockets that an input can take instead of opening its own.
struct Sockets {
    /// Sockets of inputs that are no longer configured.
    free: Vec<(Input, Socket)>,
    inherited: Inherited,
}

/// Changes that were made but may still fail as a whole. They are reverted unless they are
/// [kept](Self::keep).
#[derive(Default)]
struct Change {
    /// Socket files with their previous modes.
    modes: Vec<(Arc<SocketFile>, u32)>,
    /// Opened inputs with their places.
    opened: Vec<(String, Open)>,
}

impl Inputs {
    /// Creates the set without any input, and takes over the sockets from systemd.
    pub(super) fn new() -> Result<Self, Diagnostic> {
        let inherited = Inherited::from_environment().map_err(not_taken_over)?;
        Ok(Self { open: Vec::new(), inherited, tails: None })
    }

    /// Refuses inputs that can never be opened as configured, and opens none. Leaves out certificates that
    /// systemd loads for the service alone, if this is another process.
    pub(super) fn refuse(settings: &Settings) -> Result<(), Diagnostic> {
        let wanted = settings.serve.inputs();
        same_file::refuse(&wanted, &ours(settings))?;
        same_address::refuse(&wanted, settings.serve.metrics.listen.as_ref())?;
        for input in &wanted {
            if let (Kind::Unix | Kind::UnixDatagram, Some(path)) = (input.kind, input.path()) {
                sockets::refuse_other_file(path)?;
            }
            let Input { certificate, key, client_ca, .. } = input;
            let mut named = [certificate, key, client_ca].into_iter().flatten();
            if certificate.is_some() && !named.any(|path| files::is_hidden_credential(path)) {
                Tls::load(&tls_files(input, settings))?;
            }
        }
        Ok(())
    }

    /// Opens inputs that `settings` adds, closes those that it no longer has, and loads certificates again.
    /// If anything fails, all inputs stay as they were.
    pub(super) fn follow(
        &mut self,
        report: Report,
        daemon: &Daemon,
        settings: &Settings,
    ) -> Result<(), Diagnostic> {
        let wanted = settings.serve.inputs();
        let is_open = |input: &Input| self.open.iter().any(|open| open.input == *input);
        let mut new: Vec<_> = wanted.iter().filter(|input| !is_open(input)).cloned().collect();
        if self.tails.is_none() && new.iter().any(|input| input.kind == Kind::File) {
            self.tails = Some(turn_to_follow(settings)?);
        }
        // Named files come first, so that patterns which also match them leave them alone.
        new.sort_by_key(is_pattern);
        let mut at_hand =
            Sockets { free: self.free(&wanted), inherited: self.inherited.again().map_err(not_taken_over)? };
        let opened: Result<Vec<_>, Diagnostic> =
            new.iter().map(|input| open_input(input, wanted.len() == 1, &mut at_hand, settings)).collect();
        let new: Vec<_> = new.into_iter().zip(opened?).collect();
        let certificates = self.certificates(&wanted, settings)?;
        // Open inputs are changed last, once everything new is known to be valid.
        let mut change = Change::default();
        new.iter().try_for_each(|(input, opened)| change.permit(input, opened))?;
        daemon.leave_alone(ours(settings));
        for (input, opened) in new {
            // A buffer of a socket that is in use does not become smaller again.
            opened.widen(receive_buffer(&input));
            tell_buffer(report, &input, &opened);
            tell_missing(report, &opened);
            change.open(daemon, input, opened)?;
        }
        // Nothing can fail from here on.
        for (place, open) in change.keep() {
            report.note(&format!("listening: {place}"));
            self.open.push(open);
        }
        certificates.into_iter().for_each(|(tls, loaded)| tls.exchange(&loaded));
        self.inherited = at_hand.inherited;
        self.open.retain(|open| {
            let stays = wanted.contains(&open.input);
            if !stays {
                open.token.cancel();
            }
            stays
        });
        if self.inherited.left() > 0 {
            report.note(&format!(
                "systemd listens to {} sockets for which there is no input",
                self.inherited.left()
            ));
        }
        Ok(())
    }

    /// Duplicates the sockets of inputs that are no longer configured: an input with changed options
    /// continues with the same socket.
    fn free(&self, wanted: &[Input]) -> Vec<(Input, Socket)> {
        let left = self.open.iter().filter(|open| !wanted.contains(&open.input));
        left.filter_map(|open| Some((open.input.clone(), open.socket.as_ref()?.again()?))).collect()
    }

    /// Loads the certificates of the inputs that stay, each with the TLS configuration that it replaces.
    fn certificates(&self, wanted: &[Input], settings: &Settings) -> Result<Vec<(Tls, Tls)>, Diagnostic> {
        let stay = self.open.iter().filter(|open| wanted.contains(&open.input));
        let with_tls = stay.filter_map(|open| Some((open.tls.clone()?, tls_files(&open.input, settings))));
        with_tls.map(|(tls, files)| Ok((tls, Tls::load(&files)?))).collect()
    }
}

impl Change {
    /// Sets the configured mode on the socket file of an input.
    fn permit(&mut self, input: &Input, opened: &OpenInput) -> Result<(), Diagnostic> {
        if let OpenInput::Unix(_, Some(file), _) | OpenInput::UnixDatagram(_, Some(file)) = opened {
            let before = sockets::permit(file, mode(input))?;
            self.modes.push((Arc::clone(file), before));
        }
        Ok(())
    }

    fn open(&mut self, daemon: &Daemon, input: Input, opened: OpenInput) -> Result<(), Diagnostic> {
        let tls = if let OpenInput::Tls(_, tls, _) = &opened { Some(tls.clone()) } else { None };
        let (place, socket) = (opened.place(), Socket::of(&opened));
        let token = daemon.open(opened)?;
        self.opened.push((place, Open { input, token, tls, socket }));
        Ok(())
    }

    /// Keeps the changes, and returns what was opened, and where.
    fn keep(mut self) -> Vec<(String, Open)> {
        self.modes.clear();
        std::mem::take(&mut self.opened)
    }
}

/// Reverts the changes.
impl Drop for Change {
    fn drop(&mut self) {
        self.opened.iter().for_each(|(_, open)| open.token.cancel());
        for (file, mode) in self.modes.drain(..) {
            // The file existed a moment ago.
            let _ = sockets::permit(&file, mode);
        }
    }
}

/// Opens an input of the configuration. Missing keys were refused when the configuration was loaded.
fn open_input(
    input: &Input,
    is_only: bool,
    at_hand: &mut Sockets,
    settings: &Settings,
) -> Result<OpenInput, Diagnostic> {
    let Sockets { free, inherited } = at_hand;
    let free = handed_on::take(free, input);
    let mode = mode(input);
    let buffer = receive_buffer(input);
    match (input.kind, &input.listen, input.path()) {
        (Kind::Tcp | Kind::Relp | Kind::Tls, Some(Typed(address)), _) => {
            let has_tls = input.certificate.is_some();
            let tls = has_tls.then(|| Tls::load(&tls_files(input, settings))).transpose()?;
            let free = if let Some(Socket::Tcp(listener)) = free { Some(listener) } else { None };
            let free = free.or_else(|| inherited.tcp(*address));
            let listener = free.map_or_else(|| sockets::tcp(*address), Ok)?;
            Ok(match tls {
                Some(tls) => OpenInput::Tls(listener, tls, dialect(input)),
                None => OpenInput::Tcp(listener, dialect(input)),
            })
        }
        (Kind::Udp, Some(Typed(address)), _) => {
            let free = if let Some(Socket::Udp(socket)) = free { Some(socket) } else { None };
            let free = free.or_else(|| inherited.udp(*address));
            Ok(OpenInput::Udp(free.map_or_else(|| sockets::udp(*address, buffer), Ok)?))
        }
        (Kind::Unix, _, Some(path)) => {
            let free = match free {
                Some(Socket::Unix(listener, file)) => Some((listener, file)),
                _ => inherited.unix(path).map(|listener| (listener, None)),
            };
            let (listener, file) = match free {
                Some(free) => free,
                None => sockets::unix(path, mode).map(|(listener, file)| (listener, Some(file.into())))?,
            };
            Ok(OpenInput::Unix(listener, file, dialect(input)))
        }
        (Kind::UnixDatagram, _, Some(path)) => {
            let free = match free {
                Some(Socket::UnixDatagram(socket, file)) => Some((socket, file)),
                _ => inherited.unix_datagram(path).map(|socket| (socket, None)),
            };
            let (socket, file) = match free {
                Some(free) => free,
                None => sockets::unix_datagram(path, mode, buffer)
                    .map(|(socket, file)| (socket, Some(file.into())))?,
            };
            Ok(OpenInput::UnixDatagram(socket, file))
        }
        (Kind::File, _, Some(path)) => followed(input, path, settings),
        (Kind::Stdin, ..) => Ok(OpenInput::Stdin { file: files::input(None)?, is_only }),
        _ => Err(Diagnostic::new(&codes::BUG, "an input without its address was not refused")),
    }
}

fn not_taken_over(error: io::Error) -> Diagnostic {
    Diagnostic::new(&codes::OPEN, "cannot take over the sockets from systemd")
        .because(error.to_string())
        .hint("`systemctl status` of the socket unit shows what it listens to")
}

/// Returns what the sidecar writes itself. The state directory may be the home of logs as well, so only the
/// folders in it are meant.
fn ours(settings: &Settings) -> Ours {
    let outputs = settings.serve.outputs();
    let files = outputs.iter().filter_map(|output| output.written());
    let files = files.filter(|path| *path != Path::new("")).map(Path::to_owned).collect();
    let state = STATE_FOLDERS.iter().map(|folder| settings.state_dir.join(folder));
    Ours { files, folders: super::stores(settings).into_iter().chain(state).collect() }
}

/// Returns the mode of a socket file.
fn mode(input: &Input) -> u32 {
    input.mode.as_ref().map_or(DEFAULT_MODE, |Typed(mode)| *mode)
}

/// Notes that the kernel grants a smaller buffer for datagrams than was requested.
fn tell_buffer(report: Report, input: &Input, opened: &OpenInput) {
    let wanted = receive_buffer(input);
    if let Some(bytes) = opened.buffer_bytes().filter(|bytes| *bytes < wanted) {
        report.note(&format!(
            "{}: the kernel keeps {bytes} bytes of datagrams, not {wanted}: raise net.core.rmem_max, or let systemd listen",
            opened.place()
        ));
    }
}

/// Notes that a file does not exist yet, for its path may be mistyped.
fn tell_missing(report: Report, opened: &OpenInput) {
    if let OpenInput::File(file, _) = opened
        && let Err(error) = fs::metadata(&file.path)
        && error.kind() == io::ErrorKind::NotFound
    {
        report.note(&format!("{}: it does not exist yet; it is read as soon as it does", opened.place()));
    }
}

/// Returns the requested size of the kernel's buffer for datagrams, in bytes.
fn receive_buffer(input: &Input) -> usize {
    input.receive_buffer.as_ref().map_or(DEFAULT_RECEIVE_BUFFER_BYTES, |Typed(bytes)| *bytes)
}

/// Returns the files of an input with TLS, resolved relative to the configuration file.
fn tls_files(input: &Input, settings: &Settings) -> tls::Files {
    let place = |path: &Path| settings.named_file(path);
    tls::Files {
        certificate: input.certificate.as_deref().map(place).unwrap_or_default(),
        key: input.key.as_deref().map(place).unwrap_or_default(),
        client_ca: input.client_ca.as_deref().map(place),
        clients: input.clients.iter().flatten().map(|Typed(client)| client.clone()).collect(),
    }
}

/// Returns the protocol of an input's peers.
fn dialect(input: &Input) -> Dialect {
    let window = input.window.as_ref().map_or(DEFAULT_WINDOW, |Typed(records)| *records);
    let usual = if input.kind == Kind::Unix { Trailer::NulOrLf } else { Trailer::Lf };
    let protocol = match input.kind {
        Kind::Relp => Protocol::Relp { window },
        _ => Protocol::Syslog(input.trailer.unwrap_or(usual)),
    };
    Dialect { protocol, is_proxied: input.proxy_protocol }
}

/// Returns whether the input follows all files that match a pattern.
fn is_pattern(input: &Input) -> bool {
    input.kind == Kind::File && input.path().is_some_and(|path| matches!(Pattern::of(path), Ok(Some(_))))
}

fn turn_to_follow(settings: &Settings) -> Result<Turn, Diagnostic> {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    tail::turn(&storage, &settings.state_dir).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            Diagnostic::new(&tail::NOT_FOLLOWED, "another process follows files with this state directory")
                .at(settings.state_dir.join("tails").display().to_string())
                .because("each line would be archived twice")
                .hint("stop the other one, or give this one a state directory of its own")
        }
        _ => cannot_keep(settings, &error),
    })
}

fn cannot_keep(settings: &Settings, error: &io::Error) -> Diagnostic {
    Diagnostic::new(&tail::NOT_FOLLOWED, "cannot keep how far a file was read")
        .at_path(settings.state_dir.join("tails"), error)
        .hint("the state directory must belong to the user who runs oubliette, with mode 0700, and have room")
}

/// Makes the input for a file, with the record of how far it was read.
fn followed(input: &Input, path: &Path, settings: &Settings) -> Result<OpenInput, Diagnostic> {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    // Opened here, so that an unusable state directory is reported before any record is accepted.
    let offsets =
        Offsets::open(&storage, &settings.state_dir, path).map_err(|error| cannot_keep(settings, &error))?;
    let file = tail::Settings {
        path: path.to_owned(),
        pattern: None,
        max_record_bytes: settings.max_line_bytes,
        poll: input.poll.as_ref().map_or(DEFAULT_POLL, |Typed(time)| *time),
        linger: LINGER,
    };
    // Invalid patterns were refused when the configuration was loaded.
    Ok(match Pattern::of(path).ok().flatten() {
        Some(pattern) => {
            let state_dir = settings.state_dir.clone();
            OpenInput::Files(Matching { pattern, settings: file, storage, state_dir })
        }
        None => OpenInput::File(file, offsets),
    })
}

/// Enough records to share a sync, and few enough to send again after a crash.
const DEFAULT_WINDOW: usize = 1000;

/// How often to look at a file.
const DEFAULT_POLL: Duration = Duration::from_millis(250);

/// How long a renamed file may still be written to, until a daemon has opened the new one.
const LINGER: Duration = Duration::from_secs(60);

/// Read and write for our user and group.
const DEFAULT_MODE: u32 = 0o660;

/// Some seconds of datagrams, if net.core.rmem_max or CAP_NET_ADMIN allows it.
const DEFAULT_RECEIVE_BUFFER_BYTES: usize = 8 << 20;
