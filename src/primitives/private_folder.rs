//! A folder of secrets and of notes about them: readable by its owner alone, changed by one process at a
//! time, each change durable or absent, what is erased overwritten first.

use super::secret::Secret;
use super::storage::{Storage, Stored};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::{Zeroize as _, Zeroizing};

/// The folder.
#[derive(Clone, Debug)]
pub struct PrivateFolder {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
}

/// The right to change it, until dropped. Other processes wait for it.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for the lock that dropping it releases")] Box<dyn Stored>);

impl PrivateFolder {
    /// The folder as it is; nothing is made.
    #[must_use]
    pub fn at(storage: &Arc<dyn Storage>, directory: &Path) -> Self {
        Self { storage: Arc::clone(storage), directory: directory.to_owned() }
    }

    /// The folder, made with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(storage: &Arc<dyn Storage>, directory: &Path) -> io::Result<Self> {
        let folder = Self::at(storage, directory);
        folder.make()?;
        Ok(folder)
    }

    /// Makes it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self) -> io::Result<()> {
        self.storage.create_directory(&self.directory, 0o700)
    }

    /// Tells backup programs to leave it out (Cache Directory Tagging Specification), and people, why.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn leave_out_of_backups(&self, why: &str) -> io::Result<()> {
        if self.storage.exists(&self.path(MARKER))? {
            return Ok(());
        }
        self.write(MARKER, format!("{MARKER_SIGNATURE}\n# {why}\n").as_bytes())
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits for the turn, for [`LONGEST_WAIT`] at most.
    ///
    /// # Errors
    /// If the lock cannot be had: somebody has it for longer than anybody needs it.
    pub fn turn(&self) -> io::Result<Turn> {
        self.turn_within(LONGEST_WAIT)
    }

    /// Waits for the turn, for so long at most.
    ///
    /// # Errors
    /// As [`PrivateFolder::turn`].
    pub fn turn_within(&self, longest: Duration) -> io::Result<Turn> {
        let path = self.path(LOCK);
        let mut file = match self.storage.create(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.storage.edit(&path)?,
            made => made?,
        };
        let start = Instant::now();
        while !file.try_lock()? {
            if start.elapsed() > longest {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(POLL);
        }
        Ok(Turn(file))
    }

    /// Names of all files, sorted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let listed = self.storage.list(&self.directory)?;
        Ok(listed.into_iter().filter(|listed| !listed.directory).map(|listed| listed.name).collect())
    }

    /// Whether there is a file of that name.
    ///
    /// # Errors
    /// If that cannot be known.
    pub fn exists(&self, name: &str) -> io::Result<bool> {
        self.storage.exists(&self.path(name))
    }

    /// An open file, `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn existing(&self, name: &str) -> io::Result<Option<Box<dyn Stored>>> {
        match self.storage.edit(&self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// A file that is open to be read, `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn readable(&self, name: &str) -> io::Result<Option<Box<dyn Stored>>> {
        match self.storage.open(&self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// The bytes of a file, `None` if there is none; wiped when they are dropped.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(file) = self.readable(name)? else { return Ok(None) };
        read_from(&*file, 0).map(|bytes| Some(Zeroizing::new(bytes)))
    }

    /// A file of 32 secret bytes, `None` if there is none.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it has another length; if it cannot be read.
    pub fn secret(&self, name: &str) -> io::Result<Option<Secret>> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let mut taken = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| io::ErrorKind::InvalidData)?;
        let secret = Secret::new(taken);
        taken.zeroize();
        Ok(Some(secret))
    }

    /// A file, made with mode 0600 if it is missing; its name is durable.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn edit(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        if let Some(file) = self.existing(name)? {
            return Ok(file);
        }
        let file = self.storage.create(&self.path(name), 0o600)?;
        self.sync()?;
        Ok(file)
    }

    /// Writes a file whole or not at all, mode 0600, and makes it durable.
    ///
    /// # Errors
    /// If it cannot be written: what was there before is there still.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!("{name}.part");
        // Left behind by a crash: it was never used.
        self.erase(&part)?;
        let mut file = self.storage.create(&self.path(&part), 0o600)?;
        file.append(bytes)?;
        file.sync()?;
        self.storage.rename(&self.path(&part), &self.path(name))?;
        self.sync()
    }

    /// Overwrites a file with zeros, syncs it, removes it, syncs the folder. No file is fine.
    ///
    /// Through the same inode, so that the old blocks are what is overwritten on file systems that write in
    /// place; copy-on-write ones and flash keep old blocks for a while.
    ///
    /// # Errors
    /// If any of that fails: the file may be there still, and may be zeros.
    pub fn erase(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        match self.storage.overwrite(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            overwritten => overwritten?,
        }
        self.storage.unlink(&path)?;
        self.sync()
    }

    /// Removes a file that holds no secret, and makes that durable. No file is fine.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self.storage.unlink(&self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.sync_directory(&self.directory)
    }
}

/// All bytes of a file from `offset` on.
///
/// # Errors
/// If it cannot be read.
pub fn read_from(file: &dyn Stored, offset: u64) -> io::Result<Vec<u8>> {
    let length = file.length()?.saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// 32 bytes from the operating system.
///
/// # Errors
/// If it gives none.
pub fn random_secret() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let secret = Secret::new(bytes);
    bytes.zeroize();
    Ok(secret)
}

/// A turn takes milliseconds; who has it for longer hangs on a disk that does.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);
/// The file that whoever has the turn has locked.
pub const LOCK: &str = "lock";
const MARKER: &str = "CACHEDIR.TAG";
/// That of the Cache Directory Tagging Specification.
const MARKER_SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";

#[cfg(test)]
mod tests {
    use super::super::storage::{Disk, Fault, Memory, Survives};
    use super::*;

    fn disk(directory: &Path) -> PrivateFolder {
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        PrivateFolder::open(&storage, directory).unwrap()
    }

    #[test]
    fn what_is_erased_was_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let folder = disk(directory.path());
        folder.write("key", &[7; 32]).unwrap();
        assert_eq!(folder.secret("key").unwrap().unwrap().expose(), &[7; 32]);
        let witness = directory.path().join("witness");
        std::fs::hard_link(folder.path("key"), &witness).unwrap();
        folder.erase("key").unwrap();
        folder.erase("key").unwrap();
        assert_eq!(
            (std::fs::read(&witness).unwrap(), folder.secret("key").unwrap().is_none()),
            (vec![0; 32], true)
        );
    }

    /// At every operation: the new bytes or the old ones, and after a success the new ones.
    #[test]
    fn a_write_is_whole_or_absent() {
        let before = Memory::new();
        let open = |memory: &Memory| {
            let storage: Arc<dyn Storage> = Arc::new(memory.clone());
            PrivateFolder::open(&storage, Path::new("/s"))
        };
        open(&before).unwrap().write("note", b"old").unwrap();
        for fault in (0..8).flat_map(|at| [Fault::Freeze(at), Fault::Tear(at)]) {
            let memory = before.with_fault(fault);
            let written = open(&memory).and_then(|folder| folder.write("note", b"new"));
            for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                let found = open(&memory.after_crash(survives)).unwrap().read("note").unwrap().unwrap();
                let expected: &[&[u8]] = if written.is_ok() { &[b"new"] } else { &[b"old", b"new"] };
                assert!(expected.contains(&found.as_slice()), "{fault:?} {survives:?}");
            }
        }
    }

    #[test]
    fn one_turn_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let folder = disk(directory.path());
        let turn = folder.turn().unwrap();
        let waiting = std::thread::spawn({
            let folder = folder.clone();
            move || folder.turn().map(drop)
        });
        assert!(!waiting.is_finished());
        drop(turn);
        waiting.join().unwrap().unwrap();
    }
}
