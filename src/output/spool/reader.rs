//! The end of a spool where lines come out.

use super::positions::Positions;
use super::record::{self, HEADER_BYTES, Record};
use super::{Level, Position, Shared, file_name};
use crate::primitives::storage::Stored;
use jiff::civil::Date;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines that are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Whole lines with their line ends.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub count: u64,
    /// Where they end.
    pub end: Position,
}

/// Takes lines out.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// What is read next.
    cursor: Position,
    file: Option<(u64, Box<dyn Stored>)>,
    positions: Positions,
    /// Files that were taken over, and are to be removed.
    done: Vec<u64>,
    /// The position that was kept durably last, and when.
    saved: (Position, Instant),
    /// Whether that failed last time, so that it is told once.
    failing: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, confirmed: Position) -> Self {
        let positions = Positions::new(&shared.folder);
        let saved = (confirmed, Instant::now());
        Self { shared, cursor: confirmed, file: None, positions, done: Vec::new(), saved, failing: false }
    }

    /// The next lines; `None` as long as there are none. Those whose day has come by `today` are passed over.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn next(&mut self, today: Date) -> io::Result<Option<Lines>> {
        while let Some(record) = self.next_record()? {
            if !record.is_expired(today) {
                return Ok(Some(Lines { bytes: record.bytes, count: record.lines, end: self.cursor }));
            }
            let mut state = self.shared.lock();
            state.level.expired += record.lines;
            state.level.lines = state.level.lines.saturating_sub(record.lines);
        }
        Ok(None)
    }

    /// All that was given out was taken over, and no more comes for now: forgets what was passed over, and keeps that.
    pub fn rest(&mut self) {
        self.confirm(self.cursor, 0);
        self.save_if_possible();
    }

    /// Waits until lines come, or no more will.
    pub async fn arrival(&mut self) {
        self.shared.arrived.notified().await;
    }

    /// Whether no more lines will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// What is in it.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.lock().level
    }

    /// Everything up to `end` was taken over: it is forgotten, also by whoever comes after this process.
    pub fn confirm(&mut self, end: Position, count: u64) {
        let mut state = self.shared.lock();
        state.confirmed = state.confirmed.max(end);
        state.level.lines = state.level.lines.saturating_sub(count);
        let confirmed = state.confirmed;
        drop(state);
        self.positions.note(confirmed);
        self.collect();
        if self.saved.1.elapsed() >= SAVE_INTERVAL {
            self.save_if_possible();
        }
    }

    /// Keeps it durably if the disk has room. If not, some lines are sent twice after a power cut, and it is tried again.
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

    /// Goes back to what was not taken over.
    pub fn rewind(&mut self) {
        self.cursor = self.shared.lock().confirmed;
        self.file = None;
    }

    /// Overwrites the lines whose day has come by `today`, in every file that is not being written; removes files that
    /// were taken over.
    ///
    /// # Errors
    /// If one cannot be written; those before it are done.
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

    /// Keeps up to where everything was taken over.
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

    /// Removes files that were taken over. One that cannot be removed now is tried again with the next ones, or by whoever
    /// opens the spool next.
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

    /// The file of the cursor.
    fn file(&mut self) -> io::Result<&dyn Stored> {
        let number = self.cursor.file;
        let file = match self.file.take() {
            Some((opened, file)) if opened == number => file,
            _ => self.shared.folder.existing(&file_name(number))?.ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(&*self.file.insert((number, file)).1)
    }
}

/// How often the position is kept durably at most: so many seconds of lines are sent twice after a power cut.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
