//! The file system of the operating system.

use super::{Listed, Names, Storage, Stored, if_there, no_file, parent};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        let make = || DirBuilder::new().mode(mode).create(path).and_then(|()| hand_over_directory(path));
        let made = match make() {
            // A working directory that was removed is its own parent, and is not found either.
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent(path) != path => {
                self.create_directory(parent(path), mode)?;
                make()
            }
            made => made,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made.and_then(|()| self.sync_directory(parent(path))),
        }
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Stored>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(mode).open(path)?;
        hand_over(&file, path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        open(OpenOptions::new().read(true), path)
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        open(OpenOptions::new().read(true).append(true), path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        File::open(from)?.sync_all()?;
        // On every file system that has links, creating one fails if the name is taken.
        fs::hard_link(from, to)?;
        fs::remove_file(from)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        let mut file = match without_waiting(OpenOptions::new().write(true), path) {
            // So the kernel answers for a pipe that nobody reads.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Err(no_file()),
            opened => of_file(opened?)?,
        };
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir(path) {
            // The target of the link is empty, and may be a mount point.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && path.is_dir() => {
                fs::remove_file(path)
            }
            removed => removed,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let Some(entries) = if_there(fs::read_dir(path))? else { return Ok(Vec::new()) };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry?;
            let (name, kind) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?);
            let link = kind.is_symlink();
            let directory = kind.is_dir() || link && entry.path().is_dir();
            listed.push(Listed { name, path: entry.path(), directory, link });
        }
        listed.sort();
        Ok(listed)
    }
}

impl Stored for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn is_file(&self) -> io::Result<bool> {
        Ok(self.metadata()?.is_file())
    }

    fn names(&self) -> io::Result<Option<Names>> {
        let metadata = self.metadata()?;
        Ok(Some(Names { file: (metadata.dev(), metadata.ino()), count: metadata.nlink() }))
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Box<dyn Stored>> {
    without_waiting(options, path).map(|file| Box::new(file) as _)
}

/// Opens without blocking: anyone who may write to a directory can put a pipe there, and waiting for its
/// other end could last for ever.
fn without_waiting(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

fn of_file(opened: File) -> io::Result<File> {
    if opened.metadata()?.is_file() { Ok(opened) } else { Err(no_file()) }
}

/// Opens a file for reading, without waiting.
///
/// # Errors
/// [`no_file`] if something else lies in its place; otherwise those of the operating system.
pub fn open_file(path: &Path) -> io::Result<File> {
    of_file(without_waiting(OpenOptions::new().read(true), path)?)
}

/// Reads a file as [`open_file`] opens it.
///
/// # Errors
/// As [`open_file`].
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (open_file(path)?, Vec::new());
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives a new file or directory at `path` to the owner of the directory in which root made it: a search or a
/// purge run by root must not lock a service out of its own state. A directory in which everybody makes files
/// is nobody's state.
///
/// # Errors
/// If it cannot be given away.
pub fn hand_over(file: &File, path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let folder = fs::metadata(parent(path))?;
    let is_of_everybody = folder.mode() & 0o002 != 0;
    if folder.uid() != 0 && !is_of_everybody {
        // The owner may have put another file at `path`: only the open one is given away.
        fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

fn hand_over_directory(path: &Path) -> io::Result<()> {
    let itself = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    hand_over(&OpenOptions::new().read(true).custom_flags(itself).open(path)?, path)
}

#[cfg(test)]
mod tests {
    use super::super::is_no_file;
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    /// Nothing can be created in `/proc`, at any depth.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_that_cannot_be_made_is_an_error() {
        for path in ["/proc/oubliette", "/proc/oubliette/a/b"] {
            assert!(Disk.create_directory(Path::new(path), 0o700).is_err(), "{path}");
        }
    }

    /// Only root can give files away; other users see that nothing changes.
    #[test]
    fn what_root_makes_in_the_directory_of_another_belongs_to_that_user() {
        const NOBODY: u32 = 65534;
        let directory = tempfile::tempdir().unwrap();
        for (mode, owner) in [(0o700, NOBODY), (0o750, NOBODY), (0o755, NOBODY), (0o777, 0)] {
            let folder = directory.path().join(format!("{mode:o}"));
            Disk.create_directory(&folder, 0o700).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            if geteuid().is_root() {
                lchown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            let (file, inner) = (folder.join("file"), folder.join("inner"));
            Disk.create(&file, 0o600).unwrap();
            Disk.create_directory(&inner, 0o700).unwrap();
            let expected = if geteuid().is_root() { owner } else { geteuid().as_raw() };
            for made in [file, inner] {
                assert_eq!(fs::metadata(&made).unwrap().uid(), expected, "{}", made.display());
            }
        }
    }

    #[test]
    fn a_file_from_its_making_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("a/b");
        Disk.create_directory(&folder, 0o700).unwrap();
        Disk.create_directory(&folder, 0o700).unwrap();
        let (part, whole) = (folder.join("x.part"), folder.join("x"));
        let mut file = Disk.create(&part, 0o600).unwrap();
        assert_eq!(Disk.create(&part, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.append(b"hello world").unwrap();
        assert!(file.try_lock().unwrap());
        assert!(!Disk.edit(&part).unwrap().try_lock().unwrap());
        file.truncate(5).unwrap();
        file.append(b"!").unwrap();
        file.sync().unwrap();
        Disk.publish(&part, &whole).unwrap();
        Disk.create(&part, 0o600).unwrap();
        assert_eq!(Disk.publish(&part, &whole).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        Disk.unlink(&part).unwrap();
        Disk.rename(&whole, &part).unwrap();
        Disk.rename(&part, &whole).unwrap();
        Disk.sync_directory(&folder).unwrap();
        let read = Disk.open(&whole).unwrap();
        let mut bytes = [0; 6];
        read.read_at(0, &mut bytes).unwrap();
        assert_eq!((&bytes, read.length().unwrap()), (b"hello!", 6));
        assert_eq!(read.read_at(1, &mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let listed = Disk.list(&folder).unwrap();
        let path = whole.clone();
        assert_eq!(listed, [Listed { name: "x".to_owned(), path, directory: false, link: false }]);
        assert!(Disk.list(&directory.path().join("a")).unwrap()[0].directory);
        Disk.unlink(&whole).unwrap();
        assert!(!Disk.exists(&whole).unwrap());
        Disk.remove_directory(&folder).unwrap();
        assert_eq!(Disk.list(&folder).unwrap(), []);
    }
    #[test]
    fn names_that_are_no_text_links_and_pipes() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let inner = folder.join("inner");
        Disk.create_directory(&inner, 0o700).unwrap();
        Disk.create(&folder.join(OsStr::from_bytes(b"a\xff")), 0o600).unwrap();
        symlink(&inner, folder.join("link")).unwrap();
        mknodat(CWD, folder.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let listed = Disk.list(folder).unwrap();
        let seen = listed.iter().map(|listed| (&*listed.name, listed.directory, listed.link));
        let expected = [
            ("a\u{fffd}", false, false),
            ("inner", true, false),
            ("link", true, true),
            ("pipe", false, false),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        assert_eq!(Disk.open(&listed[0].path).unwrap().length().unwrap(), 0);
        // The pipe has no other end.
        assert_eq!(Disk.open(&folder.join("pipe")).unwrap().length().unwrap(), 0);
        assert_eq!(Disk.edit(&folder.join("pipe")).unwrap().length().unwrap(), 0);
        for name in ["pipe", "inner"] {
            let path = folder.join(name);
            assert!(!Disk.open(&path).unwrap().is_file().unwrap(), "{name}");
            assert!(is_no_file(&open_file(&path).unwrap_err()), "{name}");
            assert!(Disk.overwrite(&path).is_err() && path.exists(), "{name}");
        }
        Disk.remove_directory(&folder.join("link")).unwrap();
        assert!(inner.exists() && !folder.join("link").exists());
        assert!(Disk.remove_directory(&listed[0].path).is_err());
    }
}
