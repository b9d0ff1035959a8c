//! The outputs of the sidecar besides the archive: starts and ends them according to the configuration.

#[cfg_attr(not(feature = "kafka"), path = "outlets/no_kafka.rs")]
mod kafka;

use super::Setup;
use crate::cli::codes;
use crate::cli::commands::site::ledger_of_node;
use crate::cli::config::{Output, OutputKind, Typed};
use crate::cli::files;
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::input::tls::UNUSABLE;
use crate::jobs::serve::Daemon;
use crate::output::file::{self, Rotated, Stdout};
use crate::output::relp::Refusals;
use crate::output::tcp::{Peer, Relp, Tcp, Unix};
use crate::output::tls::Files;
use crate::output::unix::Datagrams;
use crate::output::{delivery, spool};
use crate::pipeline::{Outlet, OutletSettings};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, Storage};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The running outputs, in the order of the sidecar.
#[derive(Default)]
pub(super) struct Outlets(Vec<Output>);

impl Outlets {
    /// Refuses outputs that can never start with their configuration. Leaves out those with credentials that
    /// systemd loads for the service alone, if this is another process.
    pub(super) fn refuse(settings: &Settings) -> Result<(), Diagnostic> {
        settings.serve.outputs().iter().filter(|output| is_seen(output)).try_for_each(|output| {
            if output.kind == OutputKind::Kafka {
                return kafka::refuse(output, settings);
            }
            peer(output, settings).map(drop)
        })
    }

    /// Starts the outputs of the first configuration.
    pub(super) fn start(report: Report, daemon: &mut Daemon, setup: &Setup) -> Result<Self, Diagnostic> {
        let mut outlets = Self::default();
        match outlets.start_missing(report, daemon, setup).into_iter().next() {
            Some((_, problem)) => Err(problem),
            None => Ok(outlets),
        }
    }

    /// Ends outputs that are no longer configured or were changed, and starts new ones. Lines left in the
    /// spool of an ended output stay there. Reports an optional output that cannot be started.
    ///
    /// # Errors
    /// If a required output has not kept what it accepted, or cannot be started: nothing may be acknowledged
    /// any more.
    pub(super) fn follow(
        &mut self,
        report: Report,
        daemon: &mut Daemon,
        setup: &Setup,
    ) -> Result<(), Diagnostic> {
        let wanted = setup.settings.serve.outputs();
        for at in (0..self.0.len()).rev() {
            if !wanted.contains(&self.0[at]) {
                self.0.remove(at);
                daemon.outlets().remove(at).leave()?;
            }
        }
        for (output, problem) in self.start_missing(report, daemon, setup) {
            if output.required {
                return Err(problem);
            }
            report.error(&problem);
        }
        Ok(())
    }

    /// Starts the outputs that do not run. Returns those that fail, with the reason.
    fn start_missing(
        &mut self,
        report: Report,
        daemon: &mut Daemon,
        setup: &Setup,
    ) -> Vec<(Output, Diagnostic)> {
        let (wanted, mut failed) = (setup.settings.serve.outputs(), Vec::new());
        wanted.iter().filter(|output| keeps_for_ever(output)).for_each(|output| {
            let name = &output.name.0;
            report.note(&format!("nobody removes the files of the output `{name}`: set `keep_days`"));
        });
        for output in wanted {
            if self.0.contains(&output) {
                continue;
            }
            match start(&output, setup) {
                Ok(outlet) => {
                    daemon.outlets().push(outlet);
                    self.0.push(output);
                }
                Err(problem) => failed.push((output, problem)),
            }
        }
        failed
    }
}

/// Returns whether the files of an output are never removed.
fn keeps_for_ever(output: &Output) -> bool {
    let is_file = output.path.as_ref().is_some_and(|path| !path.exists() || path.is_file());
    output.kind == OutputKind::File && output.keep_days.is_none() && is_file
}

/// Removes the copies of lines that outputs have left: rotated files after their time, and expired lines in
/// spools of outputs that are no longer configured.
pub(super) fn purge(report: Report, settings: &Settings, zone: &TimeZone) {
    let (now, outputs) = (certain_instant(settings).min(settings.clock.now()), settings.serve.outputs());
    for output in &outputs {
        if let (Some(path), Some(Typed(days))) = (&output.path, &output.keep_days) {
            let keep = SignedDuration::from_hours(24 * i64::from(*days));
            match file::purge(path, keep, now) {
                Ok(removed) => removed.iter().for_each(|path| {
                    report.note(&format!("removed, for its time is over: {}", path.display()))
                }),
                Err(error) => report.error(&cannot_purge(path, &error)),
            }
        }
    }
    let (storage, today): (Arc<dyn Storage>, _) = (Arc::new(Disk), zone.to_datetime(now).date());
    for left in storage.list(&settings.state_dir.join(SPOOLS)).unwrap_or_default() {
        let is_wanted = outputs.iter().any(|output| output.name.0 == left.name);
        let is_empty = || storage.list(&left.path).is_ok_and(|files| files.is_empty());
        if is_wanted || !left.directory || is_empty() {
            continue;
        }
        match spool::expire_left(&storage, &left.path, today) {
            Ok(false) => {}
            Ok(true) => report.note(&format!(
                "{} holds lines for an output that is configured no more; remove it, or it stays until their expiry day",
                left.path.display()
            )),
            Err(error) => report.error(&cannot_purge(&left.path, &error)),
        }
    }
}

/// Returns how outputs find out what of the clock is certain.
fn certain(settings: &Settings) -> delivery::Certain {
    let settings = settings.clone();
    delivery::Certain::new(move || certain_instant(&settings))
}

/// Returns the latest instant that can have come: that before a jump of the clock which nobody has confirmed.
/// If the ledger does not tell, nothing is certain.
fn certain_instant(settings: &Settings) -> Timestamp {
    let step = ledger_of_node(settings)
        .and_then(|ledger| Ok(ledger.map(|mut ledger| ledger.clock_step()).transpose()?.flatten()));
    step.map_or(Timestamp::MIN, |step| step.map_or(Timestamp::MAX, |step| step.from))
}

/// Returns whether this process sees every file that an output names.
fn is_seen(output: &Output) -> bool {
    let Output { ca, certificate, key, kafka_config, .. } = output;
    let mut named = [ca, certificate, key, kafka_config].into_iter().flatten();
    !named.any(|path| files::is_hidden_credential(path))
}

fn cannot_purge(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(&codes::OPEN, "cannot remove what an output has left")
        .at_path(path, error)
        .hint("mend the permissions; it is tried again after the next legal midnight")
}

fn start(output: &Output, setup: &Setup) -> Result<Outlet, Diagnostic> {
    let storage: Arc<dyn Storage> = Arc::new(Disk);
    let (zone, clock) = (setup.recognition.zone.clone(), setup.settings.clock);
    let Typed(name) = &output.name;
    let settings = OutletSettings {
        delivery: delivery::Settings {
            name: name.clone(),
            clock,
            certain: certain(&setup.settings),
            zone: zone.clone(),
            drain: setup.settings.serve.limits.drain(),
        },
        required: output.required,
        spool: setup.settings.state_dir.join(SPOOLS).join(name),
        most_spool_bytes: output.most_spool_bytes(),
    };
    let framing = output.framing.unwrap_or_default();
    match (output.kind, peer(output, &setup.settings)?, output.path.clone()) {
        (OutputKind::Tcp | OutputKind::Tls, Some(peer), _) => {
            Outlet::start(settings, Tcp { peer, framing }, &storage)
        }
        (OutputKind::Relp, Some(peer), _) => {
            let window = output.window.as_ref().map_or(DEFAULT_WINDOW, |Typed(records)| *records);
            let refusals = if output.required { Refusals::Insist } else { Refusals::Count };
            Outlet::start(settings, Relp { peer, window, refusals }, &storage)
        }
        (OutputKind::Kafka, ..) => kafka::start(output, settings, &setup.settings, &storage),
        (OutputKind::Unix, _, Some(path)) => Outlet::start(settings, Unix { path, framing }, &storage),
        (OutputKind::UnixDatagram, _, Some(path)) => Outlet::start(settings, Datagrams(path), &storage),
        (OutputKind::File, _, Some(path)) => {
            let most_bytes = output.rotate_bytes.as_ref().map_or(u64::MAX, |Typed(bytes)| *bytes as u64);
            let every = output.rotate_every.unwrap_or_default();
            Outlet::start(settings, Rotated { path, most_bytes, every, zone, clock }, &storage)
        }
        (OutputKind::Stdout, ..) => {
            // Warnings are easily overlooked while lines are being lost, so a closed output is an error.
            files::closed_output().map_or(Ok(()), Err)?;
            Outlet::start(settings, Stdout, &storage)
        }
        _ => Err(Diagnostic::new(&codes::BUG, "an output without its address was not refused")),
    }
}

/// Returns the address of the receiver, and the TLS files for the connection.
fn peer(output: &Output, settings: &Settings) -> Result<Option<Peer>, Diagnostic> {
    let Some(Typed(address)) = &output.address else { return Ok(None) };
    let place = |path: &PathBuf| settings.named_file(path);
    let identity = output.certificate.as_ref().zip(output.key.as_ref());
    let tls = output.ca.as_ref().map(|ca| Files {
        ca: place(ca),
        identity: identity.map(|(certificate, key)| (place(certificate), place(key))),
        server_name: output.server_name.clone(),
    });
    if let Some(files) = &tls {
        let unusable = |error: std::io::Error| {
            Diagnostic::new(&UNUSABLE, "TLS cannot be set up")
                .at(format!("the output `{}`", output.name.0))
                .because(error.to_string())
                .hint("`openssl x509 -noout -text -in FILE` shows a certificate")
        };
        files.load().map_err(unusable)?;
    }
    Ok(Some(Peer { address: address.clone(), tls }))
}

/// The directory of spools in the state directory, with one directory per output.
const SPOOLS: &str = "spool";

/// Enough records to keep a distant receiver busy, and few enough to send again after a crash.
const DEFAULT_WINDOW: usize = 1000;
