//! A folder for secrets and notes about them. Only its owner can read it, one process at a time changes it,
//! each change is durable or absent, and files are overwritten before they are erased.

use super::secret::Secret;
use super::storage::{Storage, Stored, if_there, no_file};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The folder.
#[derive(Clone, Debug)]
pub struct PrivateFolder {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
}

/// The exclusive right to change the folder, until dropped. Other processes wait for it.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for the lock that dropping it releases")] Box<dyn Stored>);

impl PrivateFolder {
    /// Refers to the folder as it is; creates nothing.
    #[must_use]
    pub fn at(storage: &Arc<dyn Storage>, directory: &Path) -> Self {
        Self { storage: Arc::clone(storage), directory: directory.to_owned() }
    }

    /// Opens the folder, creating it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(storage: &Arc<dyn Storage>, directory: &Path) -> io::Result<Self> {
        let folder = Self::at(storage, directory);
        folder.make()?;
        Ok(folder)
    }

    /// Creates the folder with mode 0700 if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self) -> io::Result<()> {
        self.storage.create_directory(&self.directory, 0o700)
    }

    /// Writes a file that tells backup programs to skip the folder (Cache Directory Tagging Specification),
    /// and tells people why.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn leave_out_of_backups(&self, why: &str) -> io::Result<()> {
        if self.is_left_out_of_backups()? {
            return Ok(());
        }
        self.write(MARKER, format!("{MARKER_SIGNATURE}\n# {why}\n").as_bytes())
    }

    /// Returns whether there is such a file.
    ///
    /// # Errors
    /// If that cannot be determined.
    pub fn is_left_out_of_backups(&self) -> io::Result<bool> {
        self.exists(MARKER)
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits for the turn, at most [`LONGEST_WAIT`].
    ///
    /// # Errors
    /// If the lock cannot be taken: another process has held it for longer than any needs.
    pub fn turn(&self) -> io::Result<Turn> {
        self.turn_within(LONGEST_WAIT)
    }

    /// Waits for the turn, at most `longest`.
    ///
    /// # Errors
    /// As [`PrivateFolder::turn`].
    pub fn turn_within(&self, longest: Duration) -> io::Result<Turn> {
        let path = self.path(LOCK);
        let mut file = match self.storage.create(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => of_file(self.storage.edit(&path))?,
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

    /// Lists the names of all files, sorted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let listed = self.storage.list(&self.directory)?;
        Ok(listed.into_iter().filter(|listed| !listed.directory).map(|listed| listed.name).collect())
    }

    /// Returns whether there is a file of that name.
    ///
    /// # Errors
    /// If that cannot be determined.
    pub fn exists(&self, name: &str) -> io::Result<bool> {
        self.storage.exists(&self.path(name))
    }

    /// Opens a file for reading and writing; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn existing(&self, name: &str) -> io::Result<Option<Box<dyn Stored>>> {
        if_there(of_file(self.storage.edit(&self.path(name))))
    }

    /// Opens a file for reading only; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn readable(&self, name: &str) -> io::Result<Option<Box<dyn Stored>>> {
        if_there(self.file(name))
    }

    /// Opens a file for reading only.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub fn file(&self, name: &str) -> io::Result<Box<dyn Stored>> {
        of_file(self.storage.open(&self.path(name)))
    }

    /// Returns the bytes of a file, which are wiped when dropped; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(file) = self.readable(name)? else { return Ok(None) };
        read_from(&*file, 0).map(|bytes| Some(Zeroizing::new(bytes)))
    }

    /// Returns the content of a file of 32 secret bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it has another length; any other error if it cannot be read.
    pub fn secret(&self, name: &str) -> io::Result<Option<Secret>> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let mut taken = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(Secret::take(&mut taken)))
    }

    /// Opens a file, creating it with mode 0600 and making its name durable if it is missing.
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

    /// Writes a file with mode 0600 whole or not at all, and makes it durable.
    ///
    /// # Errors
    /// If it cannot be written; the previous content is still there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!("{name}.part");
        // Left by a crash and never used.
        self.erase(&part)?;
        let mut file = self.storage.create(&self.path(&part), 0o600)?;
        file.append(bytes)?;
        file.sync()?;
        self.storage.rename(&self.path(&part), &self.path(name))?;
        self.sync()
    }

    /// Overwrites a file with zeros, syncs it, removes it, and syncs the folder. Succeeds if there is no
    /// file.
    ///
    /// The overwrite goes through the same inode, so that file systems that write in place overwrite the old
    /// blocks. Copy-on-write file systems and flash keep old blocks for a while.
    ///
    /// # Errors
    /// If any of that fails: the file may still exist, and may be zeros.
    pub fn erase(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        if if_there(self.storage.overwrite(&path))?.is_none() {
            return Ok(());
        }
        self.storage.unlink(&path)?;
        self.sync()
    }

    /// Removes a file that holds no secret, and makes that durable. Succeeds if there is no file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let removed = if_there(self.storage.unlink(&self.path(name)))?;
        removed.map_or(Ok(()), |()| self.sync())
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.sync_directory(&self.directory)
    }
}

/// Refuses what was opened in the place of a file and is none: it would seem to be an empty file.
fn of_file(opened: io::Result<Box<dyn Stored>>) -> io::Result<Box<dyn Stored>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(no_file()),
        Ok(opened) if !opened.is_file()? => Err(no_file()),
        opened => opened,
    }
}

/// Reads all bytes of a file from `offset` on.
///
/// # Errors
/// If it cannot be read.
pub fn read_from(file: &dyn Stored, offset: u64) -> io::Result<Vec<u8>> {
    let length = file.length()?.saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// Returns 32 random bytes from the operating system.
///
/// # Errors
/// If it gives none.
pub fn random_secret() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret::take(&mut bytes))
}

/// Longest wait for the turn. A turn takes milliseconds; a process that holds it for longer hangs on a disk
/// that hangs.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);
/// The file that the process whose turn it is holds locked.
pub const LOCK: &str = "lock";
const MARKER: &str = "CACHEDIR.TAG";
/// The signature of the Cache Directory Tagging Specification.
const MARKER_SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";

#[cfg(test)]
mod tests {
    use super::super::storage::{Disk, Fault, Memory, Survives, is_no_file};
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

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

    /// Whatever the operation at which it stops: the new bytes or the old ones, and the new ones after a
    /// success.
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
    fn what_lies_in_the_place_of_a_file_and_is_none_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let folder = disk(directory.path());
        let pipe = |name| mknodat(CWD, folder.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
        pipe("pipe").unwrap();
        std::fs::create_dir(folder.path("folder")).unwrap();
        for name in ["pipe", "folder"] {
            assert!(is_no_file(&folder.read(name).unwrap_err()), "{name}");
            assert!(is_no_file(&folder.edit(name).unwrap_err()), "{name}");
            assert!(folder.erase(name).is_err() && folder.path(name).exists(), "{name}");
        }
        pipe(LOCK).unwrap();
        assert!(is_no_file(&folder.turn().unwrap_err()));
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
