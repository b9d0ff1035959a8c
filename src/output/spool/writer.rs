//! The writing end of a spool.

use super::{Level, Position, Records, Shared, file_name};
use crate::primitives::storage::Stored;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Appends lines. Closing or dropping it tells the other ends that no more lines will come.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// The file that is being written, and when it was begun.
    file: Option<(Box<dyn Stored>, Instant)>,
    number: u64,
    /// The position after the last line.
    end: Position,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, file: None, number, end: Position { file: number, offset: 0 } }
    }

    /// Appends the lines of a block; see [`Writer::append_records`].
    #[cfg(test)]
    pub(crate) fn append(
        &mut self,
        block: &crate::pseudonym::Pseudonymised,
        piece: Option<u64>,
    ) -> io::Result<bool> {
        self.append_records(&Records::of(block), piece)
    }

    /// Appends lines even if there is no room: the last ones, which have nowhere else to stay.
    ///
    /// # Errors
    /// If they cannot be written; none of them will be sent.
    pub fn append_beyond(&mut self, records: &Records) -> io::Result<()> {
        self.add(records, None)
    }

    /// Appends the lines of a block; false if there is no room. `piece` is its number, if somebody waits
    /// until it is durable.
    ///
    /// # Errors
    /// If they cannot be written; none of them will be sent.
    pub fn append_records(&mut self, records: &Records, piece: Option<u64>) -> io::Result<bool> {
        if !self.has_room(records.bytes.len() as u64) {
            return Ok(false);
        }
        self.add(records, piece)?;
        Ok(true)
    }

    fn add(&mut self, records: &Records, piece: Option<u64>) -> io::Result<()> {
        let length = records.bytes.len() as u64;
        if length == 0 {
            return Ok(());
        }
        self.write(&records.bytes)?;
        self.end = Position { file: self.number, offset: self.offset() + length };
        let mut state = self.shared.lock();
        let contents = state.files.entry(self.number).or_default();
        contents.bytes += length;
        contents.earliest = contents.earliest.into_iter().chain(records.earliest).min();
        state.open = Some(self.number);
        state.level.bytes += length;
        state.level.lines += records.lines;
        state.came(self.end);
        state.marks.extend(piece.map(|piece| (self.end, piece)));
        drop(state);
        self.shared.arrived.notify_one();
        self.shared.unsynced.notify_one();
        if self.offset() >= self.shared.file_bytes() {
            self.roll();
        }
        Ok(())
    }

    /// Ends a file that has been written to for a long time, so that the delivered lines in it can be
    /// removed.
    pub fn roll_if_old(&mut self) {
        if self.file.as_ref().is_some_and(|(_, since)| since.elapsed() >= LONGEST_OPEN) {
            self.roll();
        }
    }

    /// Waits until lines are removed, for at most `longest`.
    pub fn wait_for_room(&self, longest: Duration) {
        let state = self.shared.lock();
        drop(self.shared.freed.wait_timeout(state, longest));
    }

    /// Returns the number of the first piece that is neither synced nor delivered.
    #[must_use]
    pub fn first_not_durable(&self) -> Option<u64> {
        self.shared.lock().first_not_durable()
    }

    /// Returns how full the spool is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.lock().level
    }

    /// Returns how long the oldest undelivered line has waited in this process.
    #[must_use]
    pub fn waiting(&self) -> Duration {
        self.shared.lock().waiting()
    }

    /// Tells the other ends that no more lines will come.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
        self.shared.unsynced.notify_one();
    }

    /// Returns whether there is room for `bytes`. An empty spool has room for any block.
    fn has_room(&self, bytes: u64) -> bool {
        let level = self.shared.lock().level;
        level.lines == 0 || level.bytes.saturating_add(bytes) <= self.shared.most_bytes
    }

    fn offset(&self) -> u64 {
        if self.end.file == self.number { self.end.offset } else { 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.offset();
        let (file, _) = match &mut self.file {
            Some(file) => file,
            none => none.insert((self.shared.folder.edit(&file_name(self.number))?, Instant::now())),
        };
        let appended = file.append(bytes);
        // The next process would send any whole records among these bytes, although the caller, who gets this
        // error, sends them again.
        if appended.is_err() && file.truncate(before).is_err() {
            // The contents of the file are unknown now, so nothing more is appended to it.
            self.roll();
        }
        appended
    }

    fn roll(&mut self) {
        if self.file.take().is_some() {
            self.number += 1;
            self.shared.lock().open = None;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// A file that has been written to for this long is complete.
const LONGEST_OPEN: Duration = Duration::from_secs(60);
