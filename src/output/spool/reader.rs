//! The reading end of a spool.

use super::positions::Positions;
use super::record::{self, HEADER_BYTES, Record};
use super::{Level, Position, Shared, file_name};
use crate::primitives::storage::Stored;
use jiff::civil::Date;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Whole lines with their line ends.
    pub bytes: Vec<u8>,
    /// The number of lines.
    pub count: u64,
    /// The position after them.
    pub end: Position,
}

/// Reads lines from a spool.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// Where the next read begins.
    cursor: Position,
    file: Option<(u64, Box<dyn Stored>)>,
    /// Runs of expired lines that were skipped: the position after them, and their number. They are counted
    /// when that position is confirmed, because until then they may be read again.
    skipped: VecDeque<(Position, u64)>,
    positions: Positions,
    /// Delivered files that must still be removed.
    done: Vec<u64>,
    /// The position that was last saved durably, and when.
    saved: (Position, Instant),
    /// Whether the last save failed, so that a failure is logged only once.
    failing: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, confirmed: Position) -> Self {
        let positions = Positions::new(&shared.folder);
        let saved = (confirmed, Instant::now());
        Self {
            shared,
            cursor: confirmed,
            file: None,
            skipped: VecDeque::new(),
            positions,
            done: Vec::new(),
            saved,
            failing: false,
        }
    }

    /// Returns the next lines, or `None` while there are none. Skips lines that have expired by `today`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn next(&mut self, today: Date) -> io::Result<Option<Lines>> {
        let mut start = self.cursor;
        while let Some(record) = self.next_record()? {
            if !record.is_expired(today) {
                return Ok(Some(Lines { bytes: record.bytes, count: record.lines, end: self.cursor }));
            }
            match self.skipped.back_mut() {
                Some((end, lines)) if *end == start => (*end, *lines) = (self.cursor, *lines + record.lines),
                _ => self.skipped.push_back((self.cursor, record.lines)),
            }
            start = self.cursor;
        }
        Ok(None)
    }

    /// Confirms and counts skipped lines, and saves the position. Call it when every line that was read is
    /// delivered and no more arrive for now.
    pub fn rest(&mut self) {
        self.confirm(self.cursor, 0);
        self.save_if_possible();
    }

    /// Waits until lines arrive or the spool is closed.
    pub async fn arrival(&mut self) {
        self.shared.arrived.notified().await;
    }

    /// Returns whether no more lines will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Returns how full the spool is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.lock().level
    }

    /// Confirms that everything up to `end` was delivered, `count` lines of it since the last call. It is not
    /// sent again, even by the process after this one.
    pub fn confirm(&mut self, end: Position, count: u64) {
        let mut state = self.shared.lock();
        state.confirmed = state.confirmed.max(end);
        state.level.lines = state.level.lines.saturating_sub(count);
        let confirmed = state.confirmed;
        while let Some((_, expired)) = self.skipped.pop_front_if(|(end, _)| *end <= confirmed) {
            state.level.lines = state.level.lines.saturating_sub(expired);
            state.level.expired += expired;
        }
        drop(state);
        self.positions.note(confirmed);
        self.collect();
        if self.saved.1.elapsed() >= SAVE_INTERVAL {
            self.save_if_possible();
        }
    }

    /// Saves the position durably if the disk has room. If that fails, some lines are sent twice after a
    /// power cut; it is tried again.
    pub fn save_if_possible(&mut self) {
        let saved = self.save();
        if let Err(error) = &saved {
            self.saved.1 = Instant::now();
            if !self.failing {
                tracing::warn!(%error, "it cannot be kept how far a spool was taken over; it is tried again");
            }
        }
        self.failing = saved.is_err();
    }

    /// Goes back to the first line that is not delivered.
    pub fn rewind(&mut self) {
        self.cursor = self.shared.lock().confirmed;
        self.file = None;
        self.skipped.clear();
    }

    /// Overwrites lines that have expired by `today` in every file that is not being written, and removes
    /// delivered files.
    ///
    /// # Errors
    /// If a file cannot be written; the files before it are done.
    pub fn expire(&mut self, today: Date) -> io::Result<()> {
        self.collect();
        let due: Vec<u64> = {
            let state = self.shared.lock();
            let files = state.files.iter().filter(|(number, _)| Some(**number) != state.open);
            let due =
                files.filter(|(_, contents)| contents.earliest.is_some_and(|day| day.has_come_by(today)));
            due.map(|(number, _)| *number).collect()
        };
        for number in due {
            let Some(bytes) = self.shared.folder.read(&file_name(number))? else { continue };
            let (blanked, earliest) = record::without_expired(&bytes, today);
            self.shared.folder.write(&file_name(number), &blanked)?;
            self.file = None;
            if let Some(contents) = self.shared.lock().files.get_mut(&number) {
                contents.earliest = earliest;
            }
        }
        Ok(())
    }

    /// Saves durably up to where everything was delivered.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&mut self) -> io::Result<()> {
        let confirmed = self.shared.lock().confirmed;
        if confirmed != self.saved.0 {
            self.positions.save(confirmed)?;
        }
        self.saved = (confirmed, Instant::now());
        Ok(())
    }

    /// Removes delivered files. A file that cannot be removed now is tried again with the next ones, or by
    /// the process that opens the spool next.
    fn collect(&mut self) {
        self.done.extend(self.shared.lock().take_confirmed());
        self.shared.freed.notify_all();
        let folder = &self.shared.folder;
        self.done.retain(|&number| {
            let removed = folder.remove(&file_name(number));
            removed
                .inspect_err(|error| tracing::warn!(%error, "a file of a spool cannot be removed"))
                .is_err()
        });
    }

    fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            let (end, next) = {
                let state = self.shared.lock();
                let end = state.files.get(&self.cursor.file).map_or(0, |contents| contents.bytes);
                (end, state.files.range(self.cursor.file + 1..).next().map(|(number, _)| *number))
            };
            if self.cursor.offset < end {
                let offset = self.cursor.offset;
                if let Some(record) = Record::read(self.file()?, offset)? {
                    self.cursor.offset += HEADER_BYTES + record.bytes.len() as u64;
                    return Ok(Some(record));
                }
                tracing::error!(file = self.cursor.file, offset, "the rest of a file of a spool is damaged");
            }
            let Some(next) = next else { return Ok(None) };
            self.cursor = Position { file: next, offset: 0 };
        }
    }

    /// Returns the file at the cursor, and opens it if necessary.
    fn file(&mut self) -> io::Result<&dyn Stored> {
        let number = self.cursor.file;
        let file = match self.file.take() {
            Some((opened, file)) if opened == number => file,
            _ => self.shared.folder.existing(&file_name(number))?.ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(&*self.file.insert((number, file)).1)
    }
}

/// Shortest time between two saves: after a power cut, up to this many seconds of lines are sent twice.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
