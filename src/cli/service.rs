//! Notifies systemd (sd_notify(3)). Without systemd, nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;

/// Notifies that inputs are open.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Notifies that configuration and rules are being loaded again; [`ready`] must follow.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Notifies that nothing more is accepted.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Notifies the watchdog that the service is alive.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Returns how long systemd waits for [`alive`] before it restarts the service; `None` if it has no watchdog.
pub(crate) fn watchdog() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds).then(|| Duration::from_micros(microseconds))
}

fn tell(state: &[NotifyState<'_>]) {
    // A service manager that cannot be notified detects the state by itself.
    let _ = sd_notify::notify(false, state);
}
