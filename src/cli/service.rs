//! What systemd is told (sd_notify(3)). Without systemd nobody listens, and nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;

/// Inputs are open.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Configuration and rules are loaded again; [`ready`] comes after it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Nothing more is taken.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Everything goes on.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How long systemd waits for [`alive`] before it restarts the service; `None` if it does not.
pub(crate) fn watchdog() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds).then(|| Duration::from_micros(microseconds))
}

fn tell(state: &[NotifyState<'_>]) {
    // A service manager that cannot be told finds out by itself.
    let _ = sd_notify::notify(false, state);
}
