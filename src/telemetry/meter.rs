//! Counters of one input: updated for each batch, read for each snapshot, without locks.

use super::snapshot::Input;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one input.
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
    failing: AtomicU64,
    /// 0 if the input does not take datagrams.
    buffer_bytes: AtomicU64,
}

/// A connection, counted as open until it is dropped.
#[derive(Debug)]
pub struct Connection(Arc<Meter>);

/// Files that are not read, counted until it is dropped.
#[derive(Debug)]
pub struct Failing(Arc<Meter>, u64);

impl Meter {
    /// Creates a meter with zero counts for the input called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), ..Self::default() })
    }

    /// Returns the name of the input, as in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an accepted connection.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> Connection {
        self.accepted.fetch_add(1, Relaxed);
        Connection(Arc::clone(self))
    }

    /// Counts records that were taken, and their bytes.
    pub fn took(&self, records: u64, bytes: u64) {
        self.lines.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Takes back a count by [`Meter::took`], for records that were not taken after all.
    pub fn returned(&self, records: u64, bytes: u64) {
        self.lines.fetch_sub(records, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Counts a connection that was ended because of its peer.
    pub fn broke(&self) {
        self.broken.fetch_add(1, Relaxed);
    }

    /// Counts records that were taken but not answered, because their connection broke first.
    pub fn left_unanswered(&self, records: u64) {
        self.unanswered.fetch_add(records, Relaxed);
    }

    /// Counts datagrams that the kernel dropped.
    pub fn overflowed(&self, datagrams: u64) {
        self.kernel_dropped.fetch_add(datagrams, Relaxed);
    }

    /// Counts files that are not read although they should be.
    #[must_use]
    pub fn fails(self: &Arc<Self>, files: u64) -> Failing {
        self.failing.fetch_add(files, Relaxed);
        Failing(Arc::clone(self), files)
    }

    /// Sets the size of the kernel's buffer for datagrams, in bytes.
    pub fn buffered(&self, bytes: usize) {
        self.buffer_bytes.store(bytes as u64, Relaxed);
    }

    /// Returns the current counts.
    #[must_use]
    pub fn read(&self) -> Input {
        // Read in this order: a connection that comes and goes between the two reads cannot make the count
        // negative.
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
            failing: self.failing.load(Relaxed),
            buffer_bytes: Some(self.buffer_bytes.load(Relaxed)).filter(|bytes| *bytes > 0),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.failing.fetch_sub(self.1, Relaxed);
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
        let (_one, more) = (meter.fails(1), meter.fails(5));
        assert_eq!(meter.read().failing, 6);
        drop(more);
        assert_eq!(meter.read().failing, 1);
        drop(second);
        assert_eq!(meter.read().connections, 0);
    }
}
