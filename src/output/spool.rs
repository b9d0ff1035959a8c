//! What an output has not taken over yet, on disk: a queue of pseudonymised lines within a bound.
//!
//! Every line goes through it, so that there is one order and one way. An output that keeps up costs a copy into the page
//! cache: files are removed before they are written back. The end of the process loses nothing; a power cut loses
//! what was not [synced](Syncer::sync).
//!
//! ```text
//! <n>.spool    records, see `record`          position, trail    up to where everything was taken over, see `positions`
//! ```
//! Nothing but [`crate::pseudonym::Pseudonymised`] gets in. It is a copy like any other: lines whose day has come are
//! not sent, and are overwritten ([`Reader::expire`]).

mod positions;
mod reader;
mod record;
mod writer;

pub use reader::{Lines, Reader};
pub use record::Records;
pub use writer::Writer;

use crate::primitives::private_folder::{LOCK, PrivateFolder, Turn};
use crate::primitives::storage::Storage;
use jiff::civil::Date;
use positions::Positions;
use record::{Day, HEADER_BYTES, Record};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A place between two records. What comes before it was written before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    file: u64,
    offset: u64,
}

/// What is in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Bytes on disk.
    pub bytes: u64,
    /// Lines that were not taken over.
    pub lines: u64,
    /// Lines whose day came before they were sent.
    pub expired: u64,
}

/// Makes durable what came.
#[derive(Clone, Debug)]
pub struct Syncer(Arc<Shared>);

/// What all ends know.
#[derive(Debug)]
struct Shared {
    folder: PrivateFolder,
    /// Two processes would give the same lines to different receivers, or remove what the other one has not sent.
    _turn: Mutex<Turn>,
    most_bytes: u64,
    state: Mutex<State>,
    /// Told when lines came: once for the reader, once for who makes them durable.
    arrived: Notify,
    unsynced: Notify,
    /// Told when lines went.
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
    /// Where pieces end that are not known to be durable.
    marks: VecDeque<(Position, u64)>,
    /// Where lines end that came at about that time, in order.
    ages: VecDeque<(Position, Instant)>,
    closed: bool,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, Default)]
struct Contents {
    bytes: u64,
    earliest: Option<Day>,
}

/// Opens the spool in `directory`, with whatever was left in it: lines that were not taken over are sent again.
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
        // How long they waited in processes before this one is not known.
        state.came(Position { file, offset: contents.bytes });
    }
    // A file that is continued could hold half a record; a new one cannot.
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

/// Overwrites what has expired by `today` in a spool that nobody sends from any more; whether lines are left in it. Without
/// any, its files are removed.
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
    /// Waits until lines come, or no more will.
    pub async fn arrival(&self) {
        self.0.unsynced.notified().await;
    }

    /// Whether no more lines will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Makes durable what came.
    ///
    /// # Errors
    /// Nothing is known of it then.
    pub fn sync(&self) -> io::Result<()> {
        let (from, files) = {
            let state = self.0.lock();
            (state.synced.max(state.confirmed), state.files.clone())
        };
        let mut synced = from;
        for (&file, contents) in files.range(from.file..) {
            let end = Position { file, offset: contents.bytes };
            if end > from {
                // One that has gone was taken over meanwhile.
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
    /// A thread that panicked while it held the lock left the state whole: every change is one step.
    /// A file of so many bytes is complete: few enough to give room back in time, many enough not to make files all the
    /// time. A small spool has small files, for what was taken over goes with the last of its file.
    fn file_bytes(&self) -> u64 {
        (self.most_bytes / 8).clamp(1, MOST_FILE_BYTES)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A file that was left: what is whole in it counts, and what was not taken over is to be sent.
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

    /// Lines that end at `end` came.
    fn came(&mut self, end: Position) {
        let is_full = self.ages.len() >= MOST_AGES;
        match self.ages.back_mut() {
            Some((last, since)) if is_full || since.elapsed() < AGE_STEP => *last = end,
            _ => self.ages.push_back((end, Instant::now())),
        }
    }

    /// How long the oldest line that was not taken over has waited; at most [`AGE_STEP`] too long.
    fn waiting(&mut self) -> Duration {
        let confirmed = self.confirmed;
        while self.ages.pop_front_if(|(end, _)| *end <= confirmed).is_some() {}
        self.ages.front().map(|(_, since)| since.elapsed()).unwrap_or_default()
    }

    /// The first piece that is not durable.
    fn first_not_durable(&mut self) -> Option<u64> {
        let durable = self.synced.max(self.confirmed);
        while self.marks.pop_front_if(|(end, _)| *end <= durable).is_some() {}
        self.marks.front().map(|(_, piece)| *piece)
    }

    /// Files of which everything was taken over, and which are not being written.
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

/// Lines that came within so long count as equally old.
const AGE_STEP: Duration = Duration::from_secs(1);

/// More than an hour of them; what comes later counts as old as the last.
const MOST_AGES: usize = 4096;

fn in_use(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut => io::Error::new(error.kind(), "another process sends from it"),
        _ => error,
    }
}

/// An output that has just been ended lets go of it by then.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Bytes of a file, however large the spool.
const MOST_FILE_BYTES: u64 = 8 << 20;

const SUFFIX: &str = ".spool";

#[cfg(test)]
mod tests;
