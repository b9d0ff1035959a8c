//! Room set aside on a disk: a file that is given up, piece by piece, for what must be written when the disk
//! is full.
//!
//! Any length of the file is a valid one, so a process may be killed at any moment.

use super::{Storage, no_file};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The room, if there was enough.
pub(super) const RESERVE_BYTES: u64 = 512 << 10;

/// The room that is given up at once. Others may take it before whoever needed it does: so there are many
/// pieces.
const PIECE_BYTES: usize = 16 << 10;

/// A file that takes up room.
#[derive(Clone, Debug)]
pub struct Reserve {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl Reserve {
    /// Refers to the file, which may be missing.
    #[must_use]
    pub fn at(storage: &Arc<dyn Storage>, path: PathBuf) -> Self {
        Self { storage: Arc::clone(storage), path }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes what is missing, as far as there is room. The directory must exist.
    ///
    /// # Errors
    /// If not everything could be taken. What was taken is kept.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = match self.storage.create(&self.path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.storage.edit(&self.path)?,
            made => made?,
        };
        if !file.is_file()? {
            return Err(no_file());
        }
        let mut piece = vec![0; PIECE_BYTES];
        while file.length()? < RESERVE_BYTES {
            // Of zeros, a file system that compresses would keep nothing.
            getrandom::fill(&mut piece).map_err(io::Error::other)?;
            file.append(&piece)?;
        }
        file.sync()
    }

    /// Gives up a piece. Returns false if there is none.
    #[must_use]
    pub fn give_up(&self) -> bool {
        // The last piece goes with the file and its inode, which may be what is missing. A file system that
        // copies on write may lack the room to shorten a file, and yet remove it.
        self.shorten().is_ok_and(|is_shorter| is_shorter) || self.storage.unlink(&self.path).is_ok()
    }

    /// Returns whether anything is left.
    fn shorten(&self) -> io::Result<bool> {
        let mut file = self.storage.edit(&self.path)?;
        let left = file.length()?.saturating_sub(PIECE_BYTES as u64);
        if left == 0 {
            return Ok(false);
        }
        file.truncate(left)?;
        // Some file systems hand out freed blocks only when their removal is durable.
        file.sync()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, Fault, Memory, Survives};
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn on(storage: &Memory) -> Reserve {
        let storage: Arc<dyn Storage> = Arc::new(storage.clone());
        storage.create_directory(Path::new("/s"), 0o700).unwrap();
        Reserve::at(&storage, "/s/reserve".into())
    }

    #[test]
    fn it_is_given_up_piece_by_piece_and_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let reserve = Reserve::at(&storage, directory.path().join("reserve"));
        assert!(!reserve.give_up(), "there is none yet");
        for _ in 0..2 {
            reserve.fill().unwrap();
            let metadata = std::fs::metadata(reserve.path()).unwrap();
            assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (RESERVE_BYTES, 0o600));
            let pieces = (0..).take_while(|_| reserve.give_up()).count() as u64;
            assert_eq!((pieces, reserve.path().exists()), (RESERVE_BYTES / PIECE_BYTES as u64, false));
        }
    }

    #[test]
    fn what_lies_in_its_place_and_is_no_file_takes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let reserve = Reserve::at(&storage, directory.path().join("reserve"));
        std::fs::create_dir(reserve.path()).unwrap();
        assert!(reserve.fill().is_err() && !reserve.give_up() && reserve.path().exists());
    }

    /// Whatever it was doing when it was killed, the next fill takes what is missing.
    #[test]
    fn a_kill_leaves_a_reserve_that_can_be_filled_and_given_up() {
        let whole = Memory::new();
        on(&whole).fill().unwrap();
        for before in [Memory::new(), whole] {
            for fault in (0..8).flat_map(|at| [Fault::Freeze(at), Fault::Tear(at), Fault::Full(at)]) {
                let memory = before.with_fault(fault);
                let storage: Arc<dyn Storage> = Arc::new(memory.clone());
                let _ = storage.create_directory(Path::new("/s"), 0o700);
                let reserve = Reserve::at(&storage, "/s/reserve".into());
                let _ = reserve.fill();
                let _ = reserve.give_up();
                for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                    let after = memory.after_crash(survives);
                    on(&after).fill().unwrap();
                    let length = after.files()[Path::new("/s/reserve")].len() as u64;
                    assert!(length >= RESERVE_BYTES, "{fault:?} {survives:?}");
                    assert!(on(&after).give_up());
                }
            }
        }
    }
}
