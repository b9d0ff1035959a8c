//! What one input counts: touched for each batch, read for each snapshot, never locked.

use super::snapshot::Input;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counts of one input.
#[derive(Debug, Default)]
pub struct Meter {
    name: String,
    lines: AtomicU64,
    bytes: AtomicU64,
    accepted: AtomicU64,
    ended: AtomicU64,
    broken: AtomicU64,
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub struct Connection(Arc<Meter>);

impl Meter {
    /// Nothing counted yet for the input called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), ..Self::default() })
    }

    /// As in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection was accepted.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> Connection {
        self.accepted.fetch_add(1, Relaxed);
        Connection(Arc::clone(self))
    }

    /// Records came.
    pub fn took(&self, records: u64, bytes: u64) {
        self.lines.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Records came, and were not taken after all.
    pub fn returned(&self, records: u64, bytes: u64) {
        self.lines.fetch_sub(records, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// A connection was ended because of its peer.
    pub fn broke(&self) {
        self.broken.fetch_add(1, Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn read(&self) -> Input {
        // In this order: a connection that comes and goes between the two is not counted below zero.
        let ended = self.ended.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        Input {
            name: self.name.clone(),
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            connections: accepted.saturating_sub(ended),
            accepted,
            broken: self.broken.load(Relaxed),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_until_they_end() {
        let meter = Meter::new("tcp 127.0.0.1:5514");
        let first = meter.connected();
        let second = meter.connected();
        meter.took(3, 90);
        meter.broke();
        drop(first);
        let read = meter.read();
        assert_eq!((read.connections, read.accepted, read.broken), (1, 2, 1));
        assert_eq!((read.lines, read.bytes, read.name.as_str()), (3, 90, "tcp 127.0.0.1:5514"));
        drop(second);
        assert_eq!(meter.read().connections, 0);
    }
}
