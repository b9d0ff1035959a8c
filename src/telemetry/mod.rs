//! What a running sidecar shows of itself: `/metrics` for Prometheus, `/healthz` and `/readyz` for a supervisor, a
//! page for a person at `/`.
//!
//! It knows counts and names of configuration: no line, identifier, token or key, and no address of a peer. Whoever
//! asks gets a [`Snapshot`] in one of two forms; nothing can be changed from here.

pub mod log;
mod meter;
mod metrics;
mod page;
pub mod server;
mod snapshot;

pub use meter::{Connection, Meter};
pub use server::{CODES, Place, serve};
pub use snapshot::{Counts, Lag, Observe, Output, Purge, Snapshot, State};
