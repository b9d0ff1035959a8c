//! The status page of a sidecar: listens where the settings say, and moves when they change.

use crate::cli::config::{DEFAULT_METRICS_PORT, Typed};
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::jobs::serve::{Calendar, Daemon, Status};
use crate::primitives::diag::Diagnostic;
use crate::telemetry::ListenAddress;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The status, and the address where it is shown.
pub(super) struct Shown {
    status: Arc<Status>,
    at: Option<(ListenAddress, CancellationToken)>,
}

impl Shown {
    /// Creates the status of `daemon`, which is not shown yet.
    pub(super) fn new(daemon: &Daemon, calendar: Calendar) -> Self {
        Self { status: Arc::new(Status::new(daemon.observed(), calendar)), at: None }
    }

    /// Shows the status where `settings` say. Shows it nowhere if no address is configured and the default
    /// address is taken.
    pub(super) fn follow(
        &mut self,
        report: Report,
        daemon: &Daemon,
        settings: &Settings,
    ) -> Result<(), Diagnostic> {
        let said = settings.serve.metrics.listen.as_ref();
        let usual = ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_METRICS_PORT)));
        let wanted = said.map_or(Some(usual), |Typed(address)| address.clone());
        if self.at.as_ref().map(|(address, _)| address) == wanted.as_ref() {
            return Ok(());
        }
        let listener = match wanted.as_ref().map(ListenAddress::listen).transpose() {
            Err(problem) if said.is_none() => {
                report.warning(&problem);
                None
            }
            listener => listener?,
        };
        if let Some((_, before)) = self.at.take() {
            before.cancel();
        }
        if let Some((address, listener)) = wanted.zip(listener) {
            report.note(&format!("status: {}", listener.address(&address)));
            self.at = Some((address, daemon.show(listener, Arc::clone(&self.status))));
        }
        Ok(())
    }

    /// Follows newly loaded settings. If the status cannot be shown at the new address, it stays at the old
    /// one.
    pub(super) fn renew(&mut self, report: Report, daemon: &Daemon, calendar: Calendar, settings: &Settings) {
        self.status.follow(calendar);
        if let Err(problem) = self.follow(report, daemon, settings) {
            report.error(&problem);
        }
    }
}
