//! Shred keys: 32 bytes H for each expiry day, which stay on the node, outside every backup. Without H,
//! nobody can open the originals of that day, so erasing H destroys them in every copy at once.
//!
//! ```text
//! <state>/shred/2027-11-24       H of that expiry day, mode 0600; made, durably, on its first use
//! <state>/shred/expired-until    no key of this day or an earlier one is ever made again
//! <state>/shred/CACHEDIR.TAG     tells backup programs to leave the folder out
//! <state>/shred/lock             held while keys are made or erased
//! ```
//! The store knows no segments, no ledger and no clock: it erases whatever its caller names.

mod error;

use crate::model::Expires;
use crate::primitives::diag::Diagnostic;
use crate::primitives::private_folder::{PrivateFolder, random_secret};
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Storage, is_no_file};
pub use error::{CODES, IO, ShredError};
use jiff::civil::Date;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The folder for shred keys in the state directory.
pub const FOLDER: &str = "shred";

const EXPIRED_UNTIL: &str = "expired-until";

/// The text of `CACHEDIR.TAG` that explains why backups must leave the folder out.
const WHY: &str = "Shred keys of oubliette. Leave this folder out of every backup: a copy of a key outlives its erasure, and\n\
    # with it the originals of a day that is over could be opened again.";

/// The shred keys of a node.
#[derive(Clone, Debug)]
pub struct ShredStore {
    folder: PrivateFolder,
}

/// A shred key that exists.
#[derive(Debug)]
pub struct Kept {
    /// H.
    pub key: Secret,
    /// Whether this call made it.
    pub is_new: bool,
}

impl ShredStore {
    /// Opens the store, creating it if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(storage: &Arc<dyn Storage>, directory: &Path) -> Result<Self, ShredError> {
        let folder = PrivateFolder::open(storage, directory).map_err(ShredError::io("make", directory))?;
        let mark = || {
            // Another process that also starts for the first time may be about to do the same.
            let _turn = folder.turn()?;
            folder.leave_out_of_backups(WHY)
        };
        let is_marked = folder.is_left_out_of_backups();
        let marked = is_marked.and_then(|is_marked| if is_marked { Ok(()) } else { mark() });
        marked.map_err(ShredError::io("mark", directory))?;
        Ok(Self { folder })
    }

    /// Opens an existing store for reading, possibly that of another node if its folder is reachable. Creates
    /// nothing.
    #[must_use]
    pub fn at(storage: &Arc<dyn Storage>, directory: &Path) -> Self {
        Self { folder: PrivateFolder::at(storage, directory) }
    }

    /// Returns the folder of the store.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.folder.directory()
    }

    /// Returns H of `expires`; makes it, durably, if there is none yet.
    ///
    /// # Errors
    /// [`ShredError::Expired`] if that day was declared over; [`ShredError::Io`] if H cannot be read or made.
    pub fn key_for(&self, expires: Expires) -> Result<Kept, ShredError> {
        let name = expires.to_string();
        let io = |action| ShredError::io(action, &self.folder.path(&name));
        let _turn = self.folder.turn().map_err(io("lock"))?;
        // Check under the lock: once a day is declared over, no key of it is made.
        if let Expires::On(day) = expires
            && self.expired_until()?.is_some_and(|until| day <= until)
        {
            return Err(ShredError::Expired { day });
        }
        if let Some(key) = self.folder.secret(&name).map_err(io("read"))? {
            return Ok(Kept { key, is_new: false });
        }
        let key = random_secret().map_err(io("make"))?;
        self.folder.write(&name, key.expose()).map_err(io("write"))?;
        Ok(Kept { key, is_new: true })
    }

    /// Returns H of `expires` if there is one; makes nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn existing(&self, expires: Expires) -> Result<Option<Secret>, ShredError> {
        let name = expires.to_string();
        self.folder.secret(&name).map_err(ShredError::io("read", &self.folder.path(&name)))
    }

    /// Returns whether there is a key of `expires`, even one that cannot be read.
    ///
    /// # Errors
    /// If that cannot be determined.
    pub fn has(&self, expires: Expires) -> Result<bool, ShredError> {
        let name = expires.to_string();
        self.folder.exists(&name).map_err(ShredError::io("look for", &self.folder.path(&name)))
    }

    /// Returns the diagnostic that the key of `expires` was lost and replaced by another one.
    #[must_use]
    pub fn lost(&self, expires: Expires) -> Diagnostic {
        error::lost(&self.folder.path(&expires.to_string()))
    }

    /// Declares `day` and all days before it over: their keys are never made again.
    ///
    /// # Errors
    /// If that cannot be made durable.
    pub fn expire_until(&self, day: Date) -> Result<(), ShredError> {
        let io = |action| ShredError::io(action, &self.folder.path(EXPIRED_UNTIL));
        let _turn = self.folder.turn().map_err(io("lock"))?;
        match self.expired_until() {
            Ok(Some(until)) if day <= until => return Ok(()),
            // A damaged file names no day, so it is written anew. Otherwise nothing could ever be purged
            // again.
            Err(ShredError::Io { source, .. })
                if source.kind() == io::ErrorKind::InvalidData || is_no_file(&source) => {}
            read => drop(read?),
        }
        self.folder.write(EXPIRED_UNTIL, format!("{day}\n").as_bytes()).map_err(io("write"))
    }

    /// Overwrites and removes the key of `day`, and what a crash during its creation left. Returns whether
    /// there was one.
    ///
    /// # Errors
    /// If that fails; the key may still exist.
    pub fn erase(&self, day: Date) -> Result<bool, ShredError> {
        let name = day.to_string();
        let io = |action| ShredError::io(action, &self.folder.path(&name));
        let _turn = self.folder.turn().map_err(io("lock"))?;
        let was_there = self.folder.existing(&name).map_err(io("open"))?.is_some();
        let erased = self.folder.erase(&name).and_then(|()| self.folder.erase(&format!("{name}.part")));
        erased.map_err(io("erase"))?;
        Ok(was_there)
    }

    /// Lists the days that have a key, in order.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn days(&self) -> Result<Vec<Date>, ShredError> {
        let names = self.folder.names().map_err(ShredError::io("list", &self.folder.path("")))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".part").unwrap_or(name).parse().ok()).collect())
    }

    fn expired_until(&self) -> Result<Option<Date>, ShredError> {
        let path = self.folder.path(EXPIRED_UNTIL);
        let Some(text) = self.folder.read(EXPIRED_UNTIL).map_err(ShredError::io("read", &path))? else {
            return Ok(None);
        };
        let day = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
        let damaged = || ShredError::io("read", &path)(io::ErrorKind::InvalidData.into());
        day.map(Some).ok_or_else(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::{Disk, Fault, Memory, Survives};
    use jiff::civil::date;
    use std::os::unix::fs::PermissionsExt as _;

    const DAY: Date = date(2027, 11, 24);

    fn memory(memory: &Memory) -> ShredStore {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        ShredStore::open(&storage, Path::new("/shred")).unwrap()
    }

    #[test]
    fn one_key_a_day_private_and_left_out_of_backups() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let store = ShredStore::open(&storage, &directory.path().join("shred")).unwrap();
        let first = store.key_for(Expires::On(DAY)).unwrap();
        let again = store.key_for(Expires::On(DAY)).unwrap();
        assert_eq!((first.is_new, again.is_new), (true, false));
        assert_eq!(first.key.expose(), again.key.expose());
        assert_ne!(store.key_for(Expires::Contract).unwrap().key.expose(), first.key.expose());
        assert_eq!(store.days().unwrap(), [DAY]);
        for name in ["2027-11-24", "contract", "CACHEDIR.TAG"] {
            let mode =
                std::fs::metadata(directory.path().join("shred").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let marker = std::fs::read(directory.path().join("shred/CACHEDIR.TAG")).unwrap();
        assert!(marker.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"));
    }

    #[test]
    fn processes_that_start_for_the_first_time_at_once_all_start() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().unwrap();
            let open = || {
                let storage: Arc<dyn Storage> = Arc::new(Disk);
                ShredStore::open(&storage, directory.path()).map(drop)
            };
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
                opening.into_iter().for_each(|opened| opened.join().unwrap().unwrap());
            });
        }
    }

    #[test]
    fn a_day_that_is_over_has_no_key_ever_again() {
        let store = memory(&Memory::new());
        store.key_for(Expires::On(DAY)).unwrap();
        store.expire_until(DAY).unwrap();
        store.expire_until(date(2027, 1, 1)).unwrap();
        assert!(store.erase(DAY).unwrap());
        assert!(!store.erase(DAY).unwrap());
        for day in [DAY, date(2026, 1, 1)] {
            assert!(matches!(store.key_for(Expires::On(day)), Err(ShredError::Expired { .. })), "{day}");
        }
        assert!(store.key_for(Expires::On(date(2027, 11, 25))).unwrap().is_new);
        assert!(store.key_for(Expires::Contract).unwrap().is_new);
    }

    /// A key that was returned is still there after a crash, so what was sealed under it can be opened.
    #[test]
    fn a_key_is_durable_before_it_is_used() {
        let before = Memory::new();
        drop(memory(&before));
        for fault in (0..8).flat_map(|at| [Fault::Freeze(at), Fault::Tear(at)]) {
            let faulty = before.with_fault(fault);
            let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
            let given = ShredStore::open(&storage, Path::new("/shred"))
                .and_then(|store| store.key_for(Expires::On(DAY)));
            for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                let found = memory(&faulty.after_crash(survives)).key_for(Expires::On(DAY)).unwrap();
                if let Ok(given) = &given {
                    assert_eq!(found.key.expose(), given.key.expose(), "{fault:?} {survives:?}");
                }
            }
        }
    }
}
