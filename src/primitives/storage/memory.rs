//! Files in memory that fail on request, and lose what a power cut would lose.

use super::{Listed, Names, Storage, Stored};
use crate::primitives::lock::Unpoisoned as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// A failure, injected once, at an operation that changes something. The first such operation has number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// That operation fails with this error and has no effect; later ones succeed.
    Fail(u64, io::ErrorKind),
    /// There is room for half of what that operation appends, and for nothing after it.
    Full(u64),
    /// The process stops before that operation: it and all later ones fail.
    Freeze(u64),
    /// The process stops in the middle of that operation, if it can be done in part.
    Tear(u64),
    /// Another process removes the file that this operation creates, before the creator does anything else.
    Removed(u64),
}

/// What is left after a crash or a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Everything: only the process died.
    Everything,
    /// Only what was synced.
    Synced,
    /// What was synced, all names, and half of the bytes appended since.
    Half,
    /// As [`Survives::Half`], but all bytes appended since are there as zeros: the length of the file was
    /// written, but not its blocks.
    Zeroed,
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<Contents>,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    operations: u64,
    fault: Option<Fault>,
    frozen: bool,
    full: bool,
    /// Whether a part can be removed only while somebody has its lock.
    parts_go_locked: bool,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    locked: bool,
}

impl Memory {
    /// Creates an empty storage without a fault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a copy of the files that counts operations from 0 and injects `fault`.
    #[must_use]
    pub fn with_fault(&self, fault: Fault) -> Self {
        let mut state = self.state().clone();
        (state.operations, state.fault) = (0, Some(fault));
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns a copy of the files that refuses to remove a part which nobody has locked: whoever has just
    /// made it may be about to lock it.
    #[must_use]
    pub fn where_parts_go_locked(&self) -> Self {
        let state = State { parts_go_locked: true, ..self.state().clone() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns how many operations changed something, or tried to.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Returns whether the process was stopped.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// Returns what a new process finds: no more faults, and no locked files.
    #[must_use]
    pub fn after_crash(&self, survives: Survives) -> Self {
        let state = self.state();
        let names = match survives {
            Survives::Synced => state.durable_names.clone(),
            Survives::Everything | Survives::Half | Survives::Zeroed => state.names.clone(),
        };
        let files = state.files.iter().map(|contents| contents.after_crash(survives)).collect();
        let directories = state.directories.clone();
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(State { files, directories, names, durable_names, ..State::default() })))
    }

    /// Returns what a new process may find, by the crash that leaves it. Where several leave the same, only the
    /// first counts: that is the one that takes least.
    #[must_use]
    pub fn crashes(&self) -> Vec<(Survives, Self)> {
        let mut crashes: Vec<(Survives, Self)> = Vec::new();
        for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
            let left = self.after_crash(survives);
            if crashes.iter().all(|(_, known)| known.files() != left.files()) {
                crashes.push((survives, left));
            }
        }
        crashes
    }

    /// Returns all files with their bytes.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(path, &file)| (path.clone(), state.files[file].bytes.clone())).collect()
    }

    /// Changes the bytes of a file, without counting an operation.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(&file) = state.names.get(path) {
            change(&mut state.files[file].bytes);
            state.files[file].durable = state.files[file].bytes.clone();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unpoisoned()
    }

    fn open_file(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        let state = self.state();
        state.living()?;
        let &file = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile { memory: self.clone(), file, locked: false }))
    }
}

impl Contents {
    fn after_crash(&self, survives: Survives) -> Self {
        let unsynced = self.bytes.strip_prefix(&*self.durable);
        let bytes = match (survives, unsynced) {
            (Survives::Everything, _) => self.bytes.clone(),
            (Survives::Half, Some(added)) => [&*self.durable, &added[..added.len() / 2]].concat(),
            (Survives::Zeroed, Some(added)) => [&*self.durable, &vec![0; added.len()]].concat(),
            (_, _) => self.durable.clone(),
        };
        Self { durable: bytes.clone(), bytes, locked: false }
    }
}

/// How much of an operation takes place.
#[derive(PartialEq, Eq)]
enum Turn {
    Whole,
    Half,
}

impl State {
    fn living(&self) -> io::Result<()> {
        if self.frozen { Err(io::Error::other("frozen")) } else { Ok(()) }
    }

    /// Counts an operation and returns how much of it takes place.
    fn turn(&mut self, needs_room: bool) -> io::Result<Turn> {
        self.living()?;
        let number = self.operations;
        self.operations += 1;
        let full = || Err(io::ErrorKind::StorageFull.into());
        match self.fault {
            Some(Fault::Fail(at, kind)) if at == number => return Err(kind.into()),
            Some(Fault::Full(at)) if at == number => self.full = true,
            Some(Fault::Freeze(at)) if at == number => self.frozen = true,
            Some(Fault::Tear(at)) if at == number => {
                self.frozen = true;
                return Ok(Turn::Half);
            }
            _ => {}
        }
        self.living()?;
        if self.full && needs_room { full() } else { Ok(Turn::Whole) }
    }

    fn within(directory: &Path, path: &Path) -> bool {
        path.parent() == Some(directory)
    }
}

impl Storage for Memory {
    fn create_directory(&self, path: &Path, _mode: u32) -> io::Result<()> {
        let mut state = self.state();
        state.living()?;
        if state.directories.contains(path) {
            return Ok(());
        }
        if state.turn(true)? == Turn::Whole {
            // Durable at once, as the trait requires.
            state.directories.extend(path.ancestors().map(Path::to_owned));
        }
        state.living()
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn Stored>> {
        let mut state = self.state();
        state.living()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| state.directories.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_removed = state.fault == Some(Fault::Removed(state.operations));
        state.turn(true)?;
        let file = state.files.len();
        state.files.push(Contents::default());
        if !is_removed {
            state.names.insert(path.to_owned(), file);
        }
        state.living()?;
        Ok(Box::new(MemoryFile { memory: self.clone(), file, locked: false }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        self.open_file(path)
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        self.open_file(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.living()?;
        Ok(state.names.contains_key(path) || state.directories.contains(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.turn(false)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.living()
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.living()?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.turn(false)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files[file].durable = state.files[file].bytes.clone();
        state.names.insert(to.to_owned(), file);
        state.living()
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.turn(false)?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let is_part = path.extension().is_some_and(|extension| extension == "part");
        if is_part && state.parts_go_locked && !state.files[file].locked {
            return Err(io::Error::other("nobody has locked this part"));
        }
        state.names.remove(path);
        state.living()
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let turn = state.turn(false)?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let Contents { bytes, durable, .. } = &mut state.files[file];
        let overwritten = if turn == Turn::Whole { bytes.len() } else { bytes.len() / 2 };
        bytes[..overwritten].fill(0);
        // If torn, some of it may have reached the disk: assume that all did.
        durable.clone_from(bytes);
        state.living()
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.turn(false)?;
        let inside = |other: &PathBuf| State::within(path, other);
        if state.names.keys().any(inside) || state.directories.iter().any(inside) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.directories.remove(path);
        state.living()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.turn(false)? == Turn::Whole {
            let State { names, durable_names, .. } = &mut *state;
            durable_names.retain(|name, _| !State::within(path, name));
            let inside = names.iter().filter(|(name, _)| State::within(path, name));
            durable_names.extend(inside.map(|(name, &file)| (name.clone(), file)));
        }
        state.living()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let state = self.state();
        state.living()?;
        let directories = state.directories.iter().map(|path| (path, true));
        let files = state.names.keys().map(|path| (path, false));
        let listed = directories.chain(files).filter(|(inside, _)| State::within(path, inside));
        let mut listed: Vec<_> = listed
            .filter_map(|(path, directory)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(Listed { name, path: path.clone(), directory, link: false })
            })
            .collect();
        listed.sort();
        Ok(listed)
    }
}

/// An open file of [`Memory`].
#[derive(Debug)]
struct MemoryFile {
    memory: Memory,
    file: usize,
    /// Whether this handle has the lock.
    locked: bool,
}

impl Stored for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.memory.state();
        let was_full = state.full;
        let turn = state.turn(true);
        let done = match &turn {
            Ok(Turn::Whole) => bytes,
            Err(_) if was_full || !state.full => b"",
            Ok(Turn::Half) | Err(_) => &bytes[..bytes.len() / 2],
        };
        state.files[self.file].bytes.extend_from_slice(done);
        turn.and_then(|_| state.living())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.memory.state();
        if state.turn(false)? == Turn::Whole {
            let contents = &mut state.files[self.file];
            contents.durable.clone_from(&contents.bytes);
        }
        state.living()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.memory.state();
        state.turn(false)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.files[self.file].bytes.resize(length, 0);
        state.living()
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.memory.state();
        state.living()?;
        Ok(state.files[self.file].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.memory.state();
        state.living()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = state.files[self.file].bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn names(&self) -> io::Result<Option<Names>> {
        let state = self.memory.state();
        state.living()?;
        let count = state.names.values().filter(|file| **file == self.file).count() as u64;
        Ok(Some(Names { file: (0, self.file as u64), count }))
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        let mut state = self.memory.state();
        state.living()?;
        let contents = &mut state.files[self.file];
        self.locked = self.locked || !contents.locked;
        contents.locked = true;
        Ok(self.locked)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        if self.locked {
            self.memory.state().files[self.file].locked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/d/f";

    /// Syncs `abcd` under a durable name, then appends `efgh` and renames the file.
    fn scene() -> Memory {
        let memory = Memory::new();
        memory.create_directory(Path::new("/d"), 0o700).unwrap();
        let mut file = memory.create(Path::new(FILE), 0o600).unwrap();
        file.append(b"abcd").unwrap();
        file.sync().unwrap();
        memory.sync_directory(Path::new("/d")).unwrap();
        file.append(b"efgh").unwrap();
        memory.rename(Path::new(FILE), Path::new("/d/g")).unwrap();
        memory
    }

    #[test]
    fn what_survives() {
        let memory = scene();
        assert_eq!(memory.operations(), 7);
        for (survives, name, bytes) in [
            (Survives::Everything, "/d/g", &b"abcdefgh"[..]),
            (Survives::Synced, "/d/f", b"abcd"),
            (Survives::Half, "/d/g", b"abcdef"),
            (Survives::Zeroed, "/d/g", b"abcd\0\0\0\0"),
        ] {
            let files = memory.after_crash(survives).files();
            assert_eq!(files, BTreeMap::from([(PathBuf::from(name), bytes.to_vec())]), "{survives:?}");
        }
    }

    #[test]
    fn faults() {
        let append = |fault| {
            let memory = scene().with_fault(fault);
            let mut file = memory.edit(Path::new("/d/g")).unwrap();
            let results = [file.append(b"ij").is_ok(), file.append(b"kl").is_ok(), file.sync().is_ok()];
            drop(file);
            (results, memory.files()[Path::new("/d/g")][8..].to_vec())
        };
        for (fault, results, added) in [
            (Fault::Fail(0, io::ErrorKind::Other), [false, true, true], &b"kl"[..]),
            (Fault::Full(0), [false, false, true], b"i"),
            (Fault::Freeze(1), [true, false, false], b"ij"),
            (Fault::Tear(1), [true, false, false], b"ijk"),
        ] {
            assert_eq!(append(fault), (results, added.to_vec()), "{fault:?}");
        }
    }

    #[test]
    fn locks_end_with_their_handle() {
        let memory = scene();
        let mut first = memory.edit(Path::new("/d/g")).unwrap();
        assert!(first.try_lock().unwrap() && first.try_lock().unwrap());
        assert!(!memory.edit(Path::new("/d/g")).unwrap().try_lock().unwrap());
        drop(first);
        assert!(memory.edit(Path::new("/d/g")).unwrap().try_lock().unwrap());
    }
}
