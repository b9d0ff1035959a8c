//! Chooses the storage of a path: object storage if it begins with `s3://`, otherwise the disk.

use super::Storage;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Whether this build supports object storage.
pub const KNOWS_OBJECTS: bool = cfg!(feature = "s3");

/// Returns whether `path` is in object storage.
#[must_use]
pub fn is_remote(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"s3://")
}

/// Returns a storage for paths on the disk and, if this build supports it, in object storage. With
/// [`Seen::AllVersions`], it also lists and removes old versions of objects.
///
/// # Errors
/// If the operating system gives no descriptors.
#[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "files have no versions"))]
pub fn everywhere(versions: Seen) -> io::Result<Arc<dyn Storage>> {
    #[cfg(feature = "s3")]
    {
        let s3 = super::S3::from_environment()?;
        let s3 = if versions == Seen::AllVersions { s3.with_versions() } else { s3 };
        Ok(Arc::new(mixed::Mixed { s3 }))
    }
    #[cfg(not(feature = "s3"))]
    Ok(Arc::new(super::Disk))
}

/// Which versions of an object are visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Only the current one.
    Newest,
    /// Old versions, too, including those of deleted objects: for a caller that must remove them all.
    AllVersions,
}

#[cfg(feature = "s3")]
mod mixed {
    //! Combines both storages and forwards each path to its own.

    use super::super::{Disk, Listed, S3, Storage, Stored};
    use super::is_remote;
    use std::io;
    use std::path::Path;

    #[derive(Debug)]
    pub(super) struct Mixed {
        pub(super) s3: S3,
    }

    impl Mixed {
        fn of(&self, path: &Path) -> &dyn Storage {
            if is_remote(path) { &self.s3 } else { &Disk }
        }
    }

    impl Storage for Mixed {
        fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
            self.of(path).create_directory(path, mode)
        }

        fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Stored>> {
            self.of(path).create(path, mode)
        }

        fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
            self.of(path).open(path)
        }

        fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
            self.of(path).edit(path)
        }

        fn exists(&self, path: &Path) -> io::Result<bool> {
            self.of(path).exists(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.of(from).rename(from, to)
        }

        fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.of(from).publish(from, to)
        }

        fn unlink(&self, path: &Path) -> io::Result<()> {
            self.of(path).unlink(path)
        }

        fn overwrite(&self, path: &Path) -> io::Result<()> {
            self.of(path).overwrite(path)
        }

        fn remove_directory(&self, path: &Path) -> io::Result<()> {
            self.of(path).remove_directory(path)
        }

        fn sync_directory(&self, path: &Path) -> io::Result<()> {
            self.of(path).sync_directory(path)
        }

        fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
            self.of(path).list(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_paths_are() {
        assert!(is_remote(Path::new("s3://bucket/a")) && is_remote(&Path::new("s3://bucket").join("a")));
        assert!(!is_remote(Path::new("/srv/s3://bucket")) && !is_remote(Path::new("s3:bucket")));
        assert!(everywhere(Seen::Newest).unwrap().exists(Path::new("Cargo.toml")).unwrap());
    }
}
