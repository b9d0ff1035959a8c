//! The lines that lie sealed, and how they go.

use super::{Placeholder, QuarantineError, sync_directory};
use jiff::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A line that lies sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedLine {
    /// Its file.
    pub path: PathBuf,
    /// What went out in its place. Its length and limit are not known any more: they are those of the file.
    pub placeholder: Placeholder,
    /// Length of the file.
    pub bytes: u64,
    /// When it was sealed last: equal lines of one epoch have one file.
    pub sealed: Timestamp,
}

/// All sealed lines in `directory`, by name; none if there is no such directory.
///
/// # Errors
/// [`QuarantineError::Shelf`] if it cannot be read.
pub fn sealed_lines(directory: &Path) -> Result<Vec<SealedLine>, QuarantineError> {
    let failed = |source| QuarantineError::Shelf { action: "list", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut lines = Vec::new();
    for entry in entries {
        lines.extend(sealed_line(entry.map_err(failed)?.path())?);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

/// Removes a sealed line, unless it was sealed again since it was listed. Durable after [`sync`].
///
/// # Errors
/// [`QuarantineError::Shelf`] if it cannot be removed.
pub fn remove(line: &SealedLine) -> Result<(), QuarantineError> {
    if sealed_line(line.path.clone())?.is_none_or(|now| now.sealed != line.sealed) {
        return Ok(());
    }
    match fs::remove_file(&line.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| QuarantineError::Shelf {
            action: "remove",
            path: line.path.clone(),
            source,
        }),
    }
}

/// Makes it durable that lines were removed; also those that a process removed which died before this.
///
/// # Errors
/// [`QuarantineError::Shelf`].
pub fn sync(directory: &Path) -> Result<(), QuarantineError> {
    match sync_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|source| QuarantineError::Shelf {
            action: "sync",
            path: directory.to_owned(),
            source,
        }),
    }
}

/// The line that is sealed in that file; `None` if it is another file, or gone.
fn sealed_line(path: PathBuf) -> Result<Option<SealedLine>, QuarantineError> {
    let token = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".age"));
    let Some(token) = token.filter(|token| Placeholder::new(token, 0, 0).is_some()) else { return Ok(None) };
    let found = fs::symlink_metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    let (bytes, modified) = match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|source| QuarantineError::Shelf {
            action: "look at",
            path: path.clone(),
            source,
        })?,
    };
    // A time that no calendar has is one of the far past or future, which only a broken clock gives: it is kept.
    let sealed = Timestamp::try_from(modified).unwrap_or(Timestamp::MAX);
    Ok(Placeholder::new(token, bytes, bytes).map(|placeholder| SealedLine {
        path,
        placeholder,
        bytes,
        sealed,
    }))
}
