//! Where a bundle goes: a directory that does not exist yet, or one file encrypted to an age recipient.

use super::{Files, WRITE};
use crate::primitives::diag::Diagnostic;
use crate::primitives::recipient;
use crate::primitives::storage::Storage;
use jiff::Timestamp;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where a bundle goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A directory, which must not exist.
    Directory(PathBuf),
    /// A file, which must not exist: a tar archive, encrypted with age to these recipients.
    Encrypted {
        /// The file.
        file: PathBuf,
        /// The recipients' names: `age1...`.
        recipients: Vec<String>,
    },
}

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

impl Destination {
    fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Encrypted { file: path, .. } => path,
        }
    }

    /// Refuses what exists and recipients that are none.
    ///
    /// # Errors
    /// [`WRITE`].
    pub fn check(&self, storage: &dyn Storage) -> Result<(), Diagnostic> {
        let path = self.path();
        if storage.exists(path).map_err(failed("look for", path))? {
            return Err(Diagnostic::new(&WRITE, "there is something of that name already")
                .at(path.display().to_string())
                .hint("name a directory or file that does not exist yet"));
        }
        match self {
            Self::Directory(_) => Ok(()),
            Self::Encrypted { recipients, .. } => parsed(RECIPIENT_OPTION, recipients).map(drop),
        }
    }

    /// Writes the files, durably.
    ///
    /// # Errors
    /// [`WRITE`].
    pub fn write(&self, storage: &dyn Storage, files: &Files, made: Timestamp) -> Result<(), Diagnostic> {
        match self {
            Self::Directory(directory) => write_directory(storage, directory, files),
            Self::Encrypted { file, recipients } => {
                let tar = tar(files, made).map_err(failed("put together", file))?;
                let encrypted = encrypted_to(&tar, RECIPIENT_OPTION, recipients)?;
                let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                write_file(storage, file, &encrypted)?;
                sync_directory(storage, parent.unwrap_or(Path::new(".")))
            }
        }
    }
}

const RECIPIENT_OPTION: &str = "--bundle-recipient";

fn write_directory(storage: &dyn Storage, directory: &Path, files: &Files) -> Result<(), Diagnostic> {
    let mut directories = vec![directory.to_owned()];
    for (name, bytes) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent().filter(|parent| !directories.iter().any(|known| known == parent))
        {
            directories.push(parent.to_owned());
        }
        let parent = path.parent().unwrap_or(directory);
        storage.create_directory(parent, DIRECTORY_MODE).map_err(failed("make", parent))?;
        write_file(storage, &path, bytes)?;
    }
    directories.iter().try_for_each(|directory| sync_directory(storage, directory))
}

fn write_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let written = storage.create(path, FILE_MODE).and_then(|mut file| {
        file.append(bytes)?;
        file.sync()
    });
    written.map_err(failed("write", path))
}

fn sync_directory(storage: &dyn Storage, path: &Path) -> Result<(), Diagnostic> {
    storage.sync_directory(path).map_err(failed("sync", path))
}

/// A tar archive (POSIX ustar) of the files, in the directory `bundle`.
fn tar(files: &Files, made: Timestamp) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(FILE_MODE);
        header.set_mtime(u64::try_from(made.as_second()).unwrap_or(0));
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, format!("bundle/{name}"), bytes.as_slice())?;
    }
    archive.into_inner().map(zeroize::Zeroizing::new)
}

/// `bytes`, encrypted with age to the recipients that were named as values of `option`.
///
/// # Errors
/// [`WRITE`] with the number of a name that is no recipient; if age refuses.
pub(in crate::jobs) fn encrypted_to(
    bytes: &[u8],
    option: &str,
    recipients: &[String],
) -> Result<Vec<u8>, Diagnostic> {
    let refused = |error: io::Error| Diagnostic::new(&WRITE, "cannot encrypt").because(error.to_string());
    encrypt(bytes, &parsed(option, recipients)?).map_err(refused)
}

/// Whom something is encrypted to.
type Recipients = Vec<Box<dyn age::Recipient + Send>>;

fn parsed(option: &str, names: &[String]) -> Result<Recipients, Diagnostic> {
    let parsed = names.iter().enumerate().map(|(index, name)| {
        recipient::parse(name).ok_or_else(|| {
            Diagnostic::new(&WRITE, format!("value {} of `{option}` is no recipient", index + 1))
                .hint("a recipient is written age1..., as `age-keygen -y IDENTITY` prints it")
        })
    });
    parsed.collect()
}

fn encrypt(bytes: &[u8], recipients: &Recipients) -> io::Result<Vec<u8>> {
    let recipients = recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let mut encrypted = Vec::new();
    let mut writer = encryptor.wrap_output(&mut encrypted)?;
    writer.write_all(bytes)?;
    writer.finish()?;
    Ok(encrypted)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic + use<> {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&WRITE, format!("cannot {action} a bundle"))
            .at(place)
            .because(error.to_string())
            .hint("name a place on a disk with room that does not exist yet")
    }
}
