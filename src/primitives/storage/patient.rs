//! A storage that waits for room: a full disk is a reason to make senders wait, not to lose what is on its
//! way.
//!
//! An operation is retried only if its failure is known to have had no effect, or the effect can be undone: a
//! failed append is cut off first. After a failed sync nothing is known about the file, so that error is
//! returned as ever.

use super::{Listed, Names, Reserve, Storage, Stored, is_full};
use crate::primitives::lock::Unpoisoned as _;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Shortest pause between attempts.
const AGAIN: Duration = Duration::from_millis(500);

/// How many times as long as an attempt the pause after it is, at least.
const PAUSES: u32 = 10;

/// Shortest interval between two warnings that there is no room.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Decides whether operations may wait for room, and knows whether any does.
pub struct Patience {
    state: Mutex<State>,
    changed: Condvar,
    tell: Box<dyn Fn(DiskEvent<'_>) + Send + Sync>,
    /// What is given up before anything waits or fails for lack of room.
    reserve: Option<Reserve>,
}

/// What the `tell` callback reports.
#[derive(Clone, Copy, Debug)]
pub enum DiskEvent<'a> {
    /// There is no room for this file, with the error of the operating system.
    Full(&'a Path, &'a io::Error),
    /// Nothing can be changed in this directory, with the error of the operating system.
    Stuck(&'a Path, &'a io::Error),
    /// There is room again, or the directory can be changed again.
    Room,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    ended: bool,
    waiting: usize,
    told: Option<Instant>,
    /// Whether an operation failed for lack of room before anything could wait.
    was_short: bool,
    /// Whether some of the reserve was given up.
    has_drawn: bool,
}

impl Patience {
    /// Creates a patience that reports to `tell`. Nothing waits before [`Patience::begin`].
    #[must_use]
    pub fn new(tell: impl Fn(DiskEvent<'_>) + Send + Sync + 'static) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { state, changed, tell: Box::new(tell), reserve: None }
    }

    /// Lets operations that find no room have that of `reserve`, before they wait or fail.
    #[must_use]
    pub fn with_reserve(self, reserve: Reserve) -> Self {
        Self { reserve: Some(reserve), ..self }
    }

    /// Returns the reserve, if there is one.
    #[must_use]
    pub fn reserve(&self) -> Option<&Reserve> {
        self.reserve.as_ref()
    }

    /// Returns whether some of the reserve was given up.
    #[must_use]
    pub fn has_drawn(&self) -> bool {
        self.state().has_drawn
    }

    /// Lets operations that find no room wait, from now on.
    pub fn begin(&self) {
        self.state().begun = true;
    }

    /// Makes a full disk an error for good, also for operations that are waiting.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Returns whether any operation is waiting.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state().waiting > 0
    }

    /// Returns whether an operation failed for lack of room before [`Patience::begin`]. It would have waited
    /// since.
    #[must_use]
    pub fn was_short(&self) -> bool {
        self.state().was_short
    }

    /// Repeats `attempt` until there is room in `directory`. A failed attempt must be one that the next can
    /// continue; between attempts, whoever makes room finds nothing locked.
    ///
    /// # Errors
    /// That of the last attempt.
    pub fn attempt_if_full<T, E: Error + 'static>(
        &self,
        directory: &Path,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        self.until(
            attempt,
            |error| cause(error).filter(|cause| is_full(cause)),
            (directory, |path, error| DiskEvent::Full(path, error)),
        )
    }

    /// Repeats `attempt` until there is room for it.
    fn until_there_is_room<T>(&self, path: &Path, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.until(
            attempt,
            |error| is_full(error).then_some(error),
            (path, |path, error| DiskEvent::Full(path, error)),
        )
    }

    /// Repeats `attempt` until the disk of `directory` is neither full nor read-only.
    ///
    /// A failed attempt must have had no effect, or the next one must continue where it stopped. While it
    /// waits, the caller must not hold anything that is needed to make room.
    ///
    /// # Errors
    /// That of the last attempt.
    pub fn attempt<T, E: Error + 'static>(
        &self,
        directory: &Path,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        self.until(attempt, |error| cause(error), (directory, |path, error| DiskEvent::Stuck(path, error)))
    }

    fn until<T, E>(
        &self,
        mut attempt: impl FnMut() -> Result<T, E>,
        cause: impl Fn(&E) -> Option<&io::Error>,
        (path, event): (&Path, for<'e> fn(&'e Path, &'e io::Error) -> DiskEvent<'e>),
    ) -> Result<T, E> {
        let mut waiting = None;
        loop {
            let begun = Instant::now();
            let done = attempt();
            let Some(cause) = done.as_ref().err().and_then(&cause) else { return done };
            if is_full(cause) && self.draw() {
                continue;
            }
            if !self.lasts(cause) {
                return done;
            }
            // An attempt that reads a large file must not keep a core busy for days.
            let pause = AGAIN.max(begun.elapsed() * PAUSES);
            waiting.get_or_insert_with(|| Waiting::new(self)).wait(event(path, cause), pause);
        }
    }

    /// Gives up a piece of the reserve. Returns false if there is none.
    fn draw(&self) -> bool {
        let has_given = self.reserve.as_ref().is_some_and(Reserve::give_up);
        self.state().has_drawn |= has_given;
        has_given
    }

    /// Returns whether an operation that failed because of `cause` may wait.
    fn lasts(&self, cause: &io::Error) -> bool {
        let mut state = self.state();
        state.was_short |= !state.begun && is_full(cause);
        state.lasts()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    fn lasts(&self) -> bool {
        self.begun && !self.ended
    }
}

/// Reports to nobody.
impl Default for Patience {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

/// Returns the I/O error behind `error` if it says that the disk is full or read-only, which may pass; `None`
/// otherwise.
fn cause<'e>(mut error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    loop {
        if let Some(cause) = error.downcast_ref::<io::Error>() {
            let takes_nothing = is_full(cause) || cause.kind() == io::ErrorKind::ReadOnlyFilesystem;
            return takes_nothing.then_some(cause);
        }
        error = error.source()?;
    }
}

/// An operation that is waiting.
struct Waiting<'a> {
    patience: &'a Patience,
    /// Whether the wait was reported.
    told: bool,
}

impl<'a> Waiting<'a> {
    fn new(patience: &'a Patience) -> Self {
        patience.state().waiting += 1;
        Self { patience, told: false }
    }

    fn wait(&mut self, event: DiskEvent<'_>, pause: Duration) {
        let Patience { changed, tell, .. } = self.patience;
        let mut state = self.patience.state();
        if state.told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            (state.told, self.told) = (Some(Instant::now()), true);
            drop(state);
            tell(event);
            state = self.patience.state();
        }
        // Retry whether the patience ended or the time is up.
        drop(changed.wait_timeout_while(state, pause, |state| state.lasts()));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let lasts = {
            let mut state = self.patience.state();
            state.waiting -= 1;
            state.lasts()
        };
        if self.told && lasts {
            (self.patience.tell)(DiskEvent::Room);
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A storage that waits for room in another one.
#[derive(Clone, Debug)]
pub struct Patient {
    storage: Arc<dyn Storage>,
    patience: Arc<Patience>,
}

impl Patient {
    /// Wraps `storage` so that it waits for room as long as `patience` lasts.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, patience: Arc<Patience>) -> Self {
        Self { storage, patience }
    }

    fn stored(&self, path: &Path, file: Box<dyn Stored>) -> Box<dyn Stored> {
        Box::new(File { file, path: path.to_owned(), patience: Arc::clone(&self.patience) })
    }
}

impl Storage for Patient {
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.patience.until_there_is_room(path, || self.storage.create_directory(path, mode))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Stored>> {
        let file = self.patience.until_there_is_room(path, || self.storage.create(path, mode))?;
        Ok(self.stored(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        self.storage.open(path)
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        Ok(self.stored(path, self.storage.edit(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.storage.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.patience.until_there_is_room(to, || self.storage.rename(from, to))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.publish(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.storage.unlink(path)
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        self.storage.overwrite(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.storage.remove_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.storage.sync_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        self.storage.list(path)
    }
}

/// An open file of a [`Patient`].
#[derive(Debug)]
struct File {
    file: Box<dyn Stored>,
    path: PathBuf,
    patience: Arc<Patience>,
}

impl Stored for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { file, path, patience } = self;
        let before = file.length()?;
        patience.until_there_is_room(path, || {
            let appended = file.append(bytes);
            if appended.as_ref().is_err_and(is_full) {
                // Cut off the part for which there was room.
                file.truncate(before)?;
            }
            appended
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn is_file(&self) -> io::Result<bool> {
        self.file.is_file()
    }

    fn names(&self) -> io::Result<Option<Names>> {
        self.file.names()
    }

    fn recorded_sha256(&self) -> io::Result<Option<[u8; 32]>> {
        self.file.recorded_sha256()
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::super::reserve::RESERVE_BYTES;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// A file that has no room this many times, and accepts only half of the bytes each time.
    #[derive(Debug)]
    struct Short {
        file: Box<dyn Stored>,
        full: Arc<AtomicUsize>,
    }

    impl Stored for Short {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) == 0 {
                return self.file.append(bytes);
            }
            self.full.fetch_sub(1, Ordering::Relaxed);
            self.file.append(&bytes[..bytes.len() / 2])?;
            Err(io::ErrorKind::StorageFull.into())
        }

        fn sync(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.file.truncate(length)
        }

        fn length(&self) -> io::Result<u64> {
            self.file.length()
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.file.read_at(offset, buffer)
        }

        fn try_lock(&mut self) -> io::Result<bool> {
            self.file.try_lock()
        }
    }

    type Heard = Arc<Mutex<Vec<String>>>;

    fn patience() -> (Arc<Patience>, Heard) {
        let heard = Heard::default();
        let said = Arc::clone(&heard);
        let tell = move |event: DiskEvent<'_>| said.lock().unwrap().push(format!("{event:?}"));
        (Arc::new(Patience::new(tell)), heard)
    }

    fn short(directory: &Path, times: usize, patience: &Arc<Patience>) -> File {
        let path = directory.join(times.to_string());
        let (file, full) = (Disk.create(&path, 0o600).unwrap(), Arc::new(AtomicUsize::new(times)));
        File { file: Box::new(Short { file, full }), path, patience: Arc::clone(patience) }
    }

    fn contents(file: &File) -> Vec<u8> {
        std::fs::read(&file.path).unwrap()
    }

    #[test]
    fn what_there_was_no_room_for_is_written_once_when_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let (patience, heard) = patience();
        patience.begin();
        let mut file = short(directory.path(), 2, &patience);
        file.append(b"whole").unwrap();
        file.append(b" and once").unwrap();
        assert_eq!(contents(&file), b"whole and once");
        assert!(!patience.is_waiting());
        let heard = heard.lock().unwrap();
        assert!(heard.len() == 2 && heard[0].starts_with("Full") && heard[1] == "Room", "{heard:?}");
    }

    /// Before `begin` and after `end`: an error, and no part of the failed append is left.
    #[test]
    fn without_patience_a_full_disk_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (patience, heard) = patience();
        let mut file = short(directory.path(), 1, &patience);
        assert!(!patience.was_short());
        assert_eq!(file.append(b"lines").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((contents(&file), heard.lock().unwrap().len()), (Vec::new(), 0));
        assert!(patience.was_short());
        patience.begin();
        let mut file = short(directory.path(), usize::MAX, &patience);
        thread::scope(|scope| {
            let appended = scope.spawn(|| file.append(b"lines"));
            while !patience.is_waiting() {
                thread::yield_now();
            }
            patience.end();
            assert_eq!(appended.join().unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
        });
        assert!(!patience.is_waiting());
        assert_eq!(contents(&file), b"");
        assert!(heard.lock().unwrap().iter().all(|heard| heard != "Room"));
    }

    #[test]
    fn a_sync_is_tried_once() {
        let directory = tempfile::tempdir().unwrap();
        let (patience, _) = patience();
        patience.begin();
        assert!(short(directory.path(), 0, &patience).sync().is_err());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("not written")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn what_takes_nothing_now_is_waited_for_and_other_errors_are_not() {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        for (kind, waits) in
            [(StorageFull, 1), (QuotaExceeded, 1), (ReadOnlyFilesystem, 1), (PermissionDenied, 0)]
        {
            let (patience, heard) = patience();
            patience.begin();
            let mut attempts = 0;
            let done = patience.attempt(Path::new("/s"), || {
                attempts += 1;
                if attempts > 1 { Ok(()) } else { Err(Wrapped(kind.into())) }
            });
            assert_eq!((done.is_ok(), attempts), (waits == 1, waits + 1), "{kind}");
            assert_eq!(heard.lock().unwrap().len(), 2 * waits, "{kind}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_has_the_reserve_first() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let reserve = Reserve::at(&storage, directory.path().join("reserve"));
        reserve.fill().unwrap();
        let patience = Patience::default().with_reserve(reserve.clone());
        let length = || reserve.path().metadata().map_or(0, |metadata| metadata.len());
        for (kind, needed, works) in [
            (io::ErrorKind::ReadOnlyFilesystem, u64::MAX, false),
            (io::ErrorKind::QuotaExceeded, RESERVE_BYTES / 2, true),
            (io::ErrorKind::StorageFull, RESERVE_BYTES - 1, true),
            (io::ErrorKind::StorageFull, 0, true),
            (io::ErrorKind::StorageFull, u64::MAX, false),
        ] {
            let before = length();
            let done = patience.attempt(Path::new("/s"), || {
                if RESERVE_BYTES - length() >= needed.min(RESERVE_BYTES + 1) {
                    return Ok(());
                }
                Err(Wrapped(kind.into()))
            });
            assert_eq!(done.is_ok(), works, "{kind} {needed}");
            assert_eq!(patience.has_drawn(), kind != io::ErrorKind::ReadOnlyFilesystem, "{kind} {needed}");
            assert!(length() <= before);
        }
        assert_eq!(length(), 0, "all was given up, and then it failed");
    }

    #[test]
    fn a_disk_that_is_read_only_is_no_reason_to_wait_for_room() {
        for (kind, waits) in [(io::ErrorKind::StorageFull, 1), (io::ErrorKind::ReadOnlyFilesystem, 0)] {
            let (patience, heard) = patience();
            patience.begin();
            let mut attempts = 0;
            let done = patience.attempt_if_full(Path::new("/a"), || {
                attempts += 1;
                if attempts > 1 { Ok(()) } else { Err(Wrapped(kind.into())) }
            });
            assert_eq!((done.is_ok(), attempts), (waits == 1, waits + 1), "{kind}");
            assert!(heard.lock().unwrap().first().is_none_or(|heard| heard.starts_with("Full")), "{kind}");
        }
    }
}
