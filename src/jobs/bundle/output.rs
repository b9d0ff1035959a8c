//! The destination of a bundle: a directory that does not exist yet, or one file encrypted to age recipients.

use super::WRITE;
use super::stage::{PARTIAL, with_suffix};
use crate::primitives::diag::Diagnostic;
use crate::primitives::recipient::{self, Recipients};
use crate::primitives::storage::Storage;
use std::io;
use std::path::{Path, PathBuf};

/// The destination of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A directory, which must not exist.
    Directory(PathBuf),
    /// A file, which must not exist: a tar archive, encrypted with age to these recipients.
    Encrypted {
        /// The file.
        file: PathBuf,
        /// The names of the recipients: `age1...`.
        recipients: Vec<String>,
    },
}

pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

impl Destination {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Encrypted { file: path, .. } => path,
        }
    }

    /// Checks that nothing exists at the destination and that the recipients are valid.
    ///
    /// # Errors
    /// [`WRITE`].
    pub fn check(&self, storage: &dyn Storage) -> Result<(), Diagnostic> {
        for path in [self.path().to_owned(), with_suffix(self.path(), PARTIAL)] {
            if storage.exists(&path).map_err(failed("look for", &path))? {
                return Err(Diagnostic::new(&WRITE, "there is something of that name already")
                    .at(path.display().to_string())
                    .hint(
                        "name a directory or file that does not exist yet, nor with `.partial` behind it",
                    ));
            }
        }
        match self {
            Self::Directory(_) => Ok(()),
            Self::Encrypted { recipients, .. } => parsed(RECIPIENT_OPTION, recipients).map(drop),
        }
    }
}

pub(super) const RECIPIENT_OPTION: &str = "--bundle-recipient";

/// Encrypts `bytes` with age to the recipients that were named as values of `option`.
///
/// # Errors
/// [`WRITE`] with the number of a name that is not a recipient, or if age refuses.
pub(in crate::jobs) fn encrypted_to(
    bytes: &[u8],
    option: &str,
    recipients: &[String],
) -> Result<Vec<u8>, Diagnostic> {
    recipient::encrypted(bytes, &parsed(option, recipients)?)
        .map_err(|error| Diagnostic::new(&WRITE, "cannot encrypt").because(error.to_string()))
}

pub(super) fn parsed(option: &str, names: &[String]) -> Result<Recipients, Diagnostic> {
    let parsed = names.iter().enumerate().map(|(index, name)| {
        recipient::parse(name).ok_or_else(|| {
            Diagnostic::new(&WRITE, format!("value {} of `{option}` is no recipient", index + 1))
                .hint("a recipient is written age1..., as `age-keygen -y IDENTITY` prints it")
        })
    });
    parsed.collect()
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic + use<> {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&WRITE, format!("cannot {action} a bundle"))
            .at_path(place, error)
            .hint("name a place on a disk with room that does not exist yet")
    }
}
