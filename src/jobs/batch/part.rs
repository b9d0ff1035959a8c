//! An output being written: under a name of its own, locked as long as somebody writes to it, and published
//! whole under a name that nothing else has.

use crate::primitives::hex;
use crate::primitives::storage::{Storage, Stored, if_there};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An output being written. If dropped unpublished, it leaves nothing behind.
pub(super) struct Part {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Box<dyn Stored>,
    published: bool,
}

impl Part {
    /// Begins an output in `directory`.
    pub(super) fn begin(storage: &Arc<dyn Storage>, directory: &Path) -> io::Result<Self> {
        loop {
            let mut name = [0; 8];
            getrandom::fill(&mut name).map_err(io::Error::other)?;
            let path = directory.join(format!(".{}{SUFFIX}", hex::encode(&name)));
            let mut file = storage.create(&path, FILE_MODE)?;
            // Before it was locked, another process may have taken it for the leftover of a crash and removed
            // it.
            if file.try_lock()? && storage.exists(&path)? {
                return Ok(Self { storage: Arc::clone(storage), path, file, published: false });
            }
        }
    }

    /// Publishes the output durably under the name `output`. Returns false if a file of that name exists.
    pub(super) fn publish(mut self, output: &Path) -> io::Result<bool> {
        match self.storage.publish(&self.path, output) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            published => published?,
        }
        self.published = true;
        self.storage.sync_directory(output.parent().unwrap_or(Path::new(".")))?;
        Ok(true)
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published {
            // If it cannot be removed now, the next start removes it.
            let _ = self.storage.unlink(&self.path);
        }
    }
}

/// Removes parts that nobody writes to, which a crash left.
pub(super) fn remove_abandoned(storage: &dyn Storage, directory: &Path) -> io::Result<()> {
    for listed in storage.list(directory)? {
        if listed.directory || !listed.name.starts_with('.') || !listed.name.ends_with(SUFFIX) {
            continue;
        }
        // It may have been published or removed since it was listed.
        let Some(mut part) = if_there(storage.edit(&listed.path))? else { continue };
        // Held until the part is gone: a writer makes a part first and locks it then, and begins another one
        // if it does not get the lock.
        if part.try_lock()? {
            remove(storage, &listed.path)?;
        }
    }
    Ok(())
}

fn remove(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    if_there(storage.unlink(path)).map(drop)
}

const SUFFIX: &str = ".part";
/// A group may read outputs, as it may read segments.
const FILE_MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::{Disk, Memory};

    #[test]
    fn an_abandoned_part_is_removed_under_its_lock() {
        let (memory, directory) = (Memory::new().where_parts_go_locked(), Path::new("/out"));
        memory.create_directory(directory, 0o750).unwrap();
        drop(memory.create(&directory.join(".0123456789abcdef.part"), FILE_MODE).unwrap());
        remove_abandoned(&memory, directory).unwrap();
        assert!(memory.files().is_empty());
    }

    #[test]
    fn whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let names = || Disk.list(directory.path()).unwrap().into_iter().map(|listed| listed.name);
        let output = directory.path().join("out");
        let mut part = Part::begin(&storage, directory.path()).unwrap();
        part.write_all(b"first").unwrap();
        remove_abandoned(&Disk, directory.path()).unwrap();
        assert!(part.publish(&output).unwrap());
        let mut other = Part::begin(&storage, directory.path()).unwrap();
        other.write_all(b"second").unwrap();
        assert!(!other.publish(&output).unwrap());
        assert_eq!(std::fs::read(&output).unwrap(), b"first");
        assert_eq!(names().collect::<Vec<_>>(), ["out"]);
        std::fs::write(directory.path().join(".0123456789abcdef.part"), b"left").unwrap();
        remove_abandoned(&Disk, directory.path()).unwrap();
        assert_eq!(names().collect::<Vec<_>>(), ["out"]);
    }
}
