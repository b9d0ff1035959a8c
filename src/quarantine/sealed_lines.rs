//! Lists and removes sealed lines.

use super::{FOLDER, Placeholder, QuarantineError, sync_directory};
use jiff::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A sealed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedLine {
    /// Path of the file.
    pub path: PathBuf,
    /// The placeholder that was output in its place. The original length and limit are no longer known: both
    /// are the length of the file.
    pub placeholder: Placeholder,
    /// Length of the file.
    pub bytes: u64,
    /// When it was last sealed: equal lines of one epoch share a file.
    pub sealed: Timestamp,
}

impl SealedLine {
    /// Returns the path of the file within the state directory.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{FOLDER}/{}.age", self.placeholder.token())
    }
}

/// Lists all sealed lines in `directory`, by name; none if there is no such directory.
///
/// # Errors
/// [`QuarantineError::SealedLines`] if it cannot be read.
pub fn sealed_lines(directory: &Path) -> Result<Vec<SealedLine>, QuarantineError> {
    let failed = |source| QuarantineError::SealedLines { action: "list", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut lines = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        lines.extend(sealed_line(path.clone()).map_err(|source| QuarantineError::SealedLines {
            action: "look at",
            path,
            source,
        })?);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

/// Removes a sealed line, unless it was sealed again after it was listed. The removal is durable after
/// [`sync`].
///
/// # Errors
/// If it cannot be removed.
pub fn remove(line: &SealedLine) -> io::Result<()> {
    if sealed_line(line.path.clone())?.is_none_or(|now| now.sealed != line.sealed) {
        return Ok(());
    }
    match fs::remove_file(&line.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes removals durable, including those of a process that died before its own sync.
///
/// # Errors
/// [`QuarantineError::SealedLines`] if that fails.
pub fn sync(directory: &Path) -> Result<(), QuarantineError> {
    match sync_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|source| QuarantineError::SealedLines {
            action: "sync",
            path: directory.to_owned(),
            source,
        }),
    }
}

/// Returns the sealed line in the file at `path`; `None` if it is another file, or gone.
fn sealed_line(path: PathBuf) -> io::Result<Option<SealedLine>> {
    let token = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".age"));
    let Some(token) = token.filter(|token| Placeholder::new(token, 0, 0).is_some()) else { return Ok(None) };
    let found = fs::symlink_metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    let (bytes, modified) = match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    // A time outside the calendar comes from a broken clock. The line is kept, as if sealed in the far
    // future.
    let sealed = Timestamp::try_from(modified).unwrap_or(Timestamp::MAX);
    Ok(Placeholder::new(token, bytes, bytes).map(|placeholder| SealedLine {
        path,
        placeholder,
        bytes,
        sealed,
    }))
}
