//! The spool of an output: a bounded on-disk queue of pseudonymised lines that are not delivered yet.
//!
//! Every line goes through the spool, so there is one order and one code path. An output that keeps up costs
//! only a copy into the page cache: files are removed before the operating system writes them back. The end
//! of the process loses nothing; a power cut loses what was not [synced](Syncer::sync).
//!
//! ```text
//! <n>.spool           records, see `record`
//! position, trail     up to where everything was delivered, see `positions`
//! ```
//! A spool holds nothing but [`crate::pseudonym::Pseudonymised`] lines. They expire here as in any other
//! copy: lines whose expiry day has come are not sent, and are overwritten ([`Reader::expire`]).

mod positions;
mod reader;
mod record;
mod writer;

pub use reader::{Lines, Reader};
pub use record::Records;
pub use writer::Writer;

use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::private_folder::{LOCK, PrivateFolder, Turn};
use crate::primitives::storage::Storage;
use jiff::civil::Date;
use positions::Positions;
use record::{Day, HEADER_BYTES, Record};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A place between two records. Positions are ordered as the records were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    file: u64,
    offset: u64,
}

/// How full a spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Bytes on disk.
    pub bytes: u64,
    /// Lines that are not delivered.
    pub lines: u64,
    /// Lines that expired before they were sent.
    pub expired: u64,
}

/// Makes new lines durable.
#[derive(Clone, Debug)]
pub struct Syncer(Arc<Shared>);

/// The state that writer, reader and syncer share.
#[derive(Debug)]
struct Shared {
    folder: PrivateFolder,
    /// Held as long as the spool is open: two processes would send the same lines to different receivers, or
    /// remove lines that the other one has not sent.
    _turn: Mutex<Turn>,
    most_bytes: u64,
    state: Mutex<State>,
    /// Notified when lines arrive: `arrived` for the reader, `unsynced` for the syncer.
    arrived: Notify,
    unsynced: Notify,
    /// Notified when lines are removed.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Contents>,
    /// The file that is being written.
    open: Option<u64>,
    level: Level,
    confirmed: Position,
    synced: Position,
    /// The ends of pieces that are not known to be durable, each with the number of the piece.
    marks: VecDeque<(Position, u64)>,
    /// Positions, in order, each with the time at which the lines before it arrived.
    ages: VecDeque<(Position, Instant)>,
    closed: bool,
}

/// What is in a file of the spool.
#[derive(Clone, Copy, Debug, Default)]
struct Contents {
    bytes: u64,
    earliest: Option<Day>,
}

/// Opens the spool in `directory`. Lines left in it that were not delivered are sent again.
///
/// # Errors
/// If it cannot be made or read.
pub fn open(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    most_bytes: u64,
) -> io::Result<(Writer, Reader, Syncer)> {
    let folder = PrivateFolder::open(storage, directory)?;
    let turn = folder.turn_within(LONGEST_WAIT).map_err(in_use)?;
    let mut state = State { confirmed: Positions::load(&folder)?, ..State::default() };
    for name in folder.names()? {
        if let Some(number) = name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
            state.add_left(&folder, number)?;
        }
    }
    if let Some((&file, contents)) = state.files.last_key_value() {
        // How long these lines waited in earlier processes is not known.
        state.came(Position { file, offset: contents.bytes });
    }
    // The last file may end in half a record, so a new one is begun.
    let last = state.files.last_key_value().map_or(0, |(number, _)| *number);
    let next = last.max(state.confirmed.file) + 1;
    let confirmed = state.confirmed;
    let shared = Arc::new(Shared {
        folder,
        _turn: Mutex::new(turn),
        most_bytes,
        state: Mutex::new(state),
        arrived: Notify::new(),
        unsynced: Notify::new(),
        freed: Condvar::new(),
    });
    let (writer, reader) =
        (Writer::new(Arc::clone(&shared), next), Reader::new(Arc::clone(&shared), confirmed));
    Ok((writer, reader, Syncer(shared)))
}

/// Overwrites the lines that have expired by `today` in a spool from which nobody sends any more. Returns
/// whether lines are left; if not, the files of the spool are removed.
///
/// # Errors
/// If it cannot be read or written.
pub fn expire_left(storage: &Arc<dyn Storage>, directory: &Path, today: Date) -> io::Result<bool> {
    let (_, mut reader, syncer) = open(storage, directory, 0)?;
    reader.expire(today)?;
    if reader.next(today)?.is_some() {
        return Ok(true);
    }
    let folder = &syncer.0.folder;
    let is_ours = |name: &String| {
        let name = name.as_str();
        name.ends_with(SUFFIX) || name == LOCK || positions::NAMES.contains(&name)
    };
    let mut ours = folder.names()?.into_iter().filter(is_ours);
    ours.try_for_each(|name| folder.remove(&name))?;
    Ok(false)
}

impl Syncer {
    /// Waits until lines arrive or the spool is closed.
    pub async fn arrival(&self) {
        self.0.unsynced.notified().await;
    }

    /// Returns whether no more lines will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Makes the lines that have arrived so far durable.
    ///
    /// # Errors
    /// If a file cannot be synced; its lines may or may not be durable.
    pub fn sync(&self) -> io::Result<()> {
        let (from, files) = {
            let state = self.0.lock();
            (state.synced.max(state.confirmed), state.files.clone())
        };
        let mut synced = from;
        for (&file, contents) in files.range(from.file..) {
            let end = Position { file, offset: contents.bytes };
            if end > from {
                // A file that is gone was delivered in the meantime.
                if let Some(mut stored) = self.0.folder.existing(&file_name(file))? {
                    stored.sync()?;
                }
                synced = end;
            }
        }
        let mut state = self.0.lock();
        state.synced = state.synced.max(synced);
        Ok(())
    }
}

impl Shared {
    /// Returns the size at which a file is complete: small enough to free space in time, large enough not to
    /// create files constantly.
    ///
    /// A small spool has small files, because delivered lines are removed only with the whole file.
    fn file_bytes(&self) -> u64 {
        (self.most_bytes / 8).clamp(1, MOST_FILE_BYTES)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    /// Counts the whole records of a file that was left, and the lines in it that must still be sent.
    fn add_left(&mut self, folder: &PrivateFolder, number: u64) -> io::Result<()> {
        if number < self.confirmed.file {
            return folder.remove(&file_name(number));
        }
        let Some(file) = folder.existing(&file_name(number))? else { return Ok(()) };
        let mut contents = Contents::default();
        while let Some(record) = Record::read(&*file, contents.bytes)? {
            contents.bytes += HEADER_BYTES + record.bytes.len() as u64;
            contents.earliest = contents.earliest.into_iter().chain([record.expires]).min();
            if (Position { file: number, offset: contents.bytes }) > self.confirmed {
                self.level.lines += record.lines;
            }
        }
        self.level.bytes += contents.bytes;
        self.files.insert(number, contents);
        Ok(())
    }

    /// Records that the lines up to `end` have arrived.
    fn came(&mut self, end: Position) {
        let is_full = self.ages.len() >= MOST_AGES;
        match self.ages.back_mut() {
            Some((last, since)) if is_full || since.elapsed() < AGE_STEP => *last = end,
            _ => self.ages.push_back((end, Instant::now())),
        }
    }

    /// Returns how long the oldest undelivered line has waited, at most [`AGE_STEP`] too long.
    fn waiting(&mut self) -> Duration {
        let confirmed = self.confirmed;
        while self.ages.pop_front_if(|(end, _)| *end <= confirmed).is_some() {}
        self.ages.front().map(|(_, since)| since.elapsed()).unwrap_or_default()
    }

    /// Returns the number of the first piece that is not durable.
    fn first_not_durable(&mut self) -> Option<u64> {
        let durable = self.synced.max(self.confirmed);
        while self.marks.pop_front_if(|(end, _)| *end <= durable).is_some() {}
        self.marks.front().map(|(_, piece)| *piece)
    }

    /// Removes from the state, and returns, the fully delivered files that are not being written.
    fn take_confirmed(&mut self) -> Vec<u64> {
        let (confirmed, open) = (self.confirmed, self.open);
        let is_done = |number: u64, contents: &Contents| {
            Some(number) != open && Position { file: number, offset: contents.bytes } <= confirmed
        };
        let done: Vec<_> = self.files.extract_if(.., |number, contents| is_done(*number, contents)).collect();
        self.level.bytes -= done.iter().map(|(_, contents)| contents.bytes).sum::<u64>();
        done.into_iter().map(|(number, _)| number).collect()
    }
}

fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// Lines that arrive within this time count as equally old.
const AGE_STEP: Duration = Duration::from_secs(1);

/// Enough for more than an hour; lines that arrive later count as old as the last entry.
const MOST_AGES: usize = 4096;

fn in_use(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut => io::Error::new(error.kind(), "another process sends from it"),
        _ => error,
    }
}

/// Long enough for an output that has just ended to release the spool.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Largest size at which a file is complete, however large the spool.
const MOST_FILE_BYTES: u64 = 8 << 20;

const SUFFIX: &str = ".spool";

#[cfg(test)]
mod tests;
