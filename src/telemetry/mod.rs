//! The status of a running sidecar over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for a
//! supervisor, a page for a person at `/`.
//!
//! This module knows counts and names from the configuration. It knows no line, identifier, token or key, and
//! no address of a peer. It renders a [`Snapshot`] in one of two forms, and offers no way to change anything.

pub mod log;
mod meter;
mod metrics;
mod page;
pub mod server;
mod snapshot;

pub use meter::{Connection, Failing, Meter};
pub use server::{CODES, ListenAddress, serve};
pub use snapshot::{Counts, Lag, Observe, Output, Purge, Snapshot, State};
