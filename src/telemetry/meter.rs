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
    unanswered: AtomicU64,
    kernel_dropped: AtomicU64,
    /// 0: not an input of datagrams.
    buffer_bytes: AtomicU64,
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

    /// A connection broke before its peer had answers for so many records that were taken.
    pub fn left_unanswered(&self, records: u64) {
        self.unanswered.fetch_add(records, Relaxed);
    }

    /// The kernel dropped datagrams.
    pub fn overflowed(&self, datagrams: u64) {
        self.kernel_dropped.fetch_add(datagrams, Relaxed);
    }

    /// The kernel keeps so many bytes of datagrams.
    pub fn buffered(&self, bytes: usize) {
        self.buffer_bytes.store(bytes as u64, Relaxed);
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
            unanswered: self.unanswered.load(Relaxed),
            kernel_dropped: self.kernel_dropped.load(Relaxed),
            buffer_bytes: Some(self.buffer_bytes.load(Relaxed)).filter(|bytes| *bytes > 0),
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
        meter.overflowed(4);
        meter.left_unanswered(6);
        assert_eq!(meter.read().buffer_bytes, None);
        meter.buffered(8192);
        drop(first);
        let read = meter.read();
        assert_eq!((read.connections, read.accepted, read.broken), (1, 2, 1));
        assert_eq!((read.lines, read.bytes, read.name.as_str()), (3, 90, "tcp 127.0.0.1:5514"));
        assert_eq!((read.kernel_dropped, read.unanswered, read.buffer_bytes), (4, 6, Some(8192)));
        drop(second);
        assert_eq!(meter.read().connections, 0);
    }
}
