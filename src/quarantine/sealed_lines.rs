//! Lists and removes sealed lines.

use super::{FOLDER, Placeholder, QuarantineError};
use crate::primitives::storage::{Disk, Storage as _, if_there};
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

/// The sealed lines in a directory, by name.
#[derive(Debug, Default)]
pub struct SealedLines {
    /// Those that could be looked at.
    pub lines: Vec<SealedLine>,
    /// The names of the others within the state directory, with the error of the operating system.
    pub unseen: Vec<(String, io::Error)>,
}

/// Lists all sealed lines in `directory`; none if there is no such directory.
///
/// # Errors
/// [`QuarantineError::SealedLines`] if it cannot be read.
pub fn sealed_lines(directory: &Path) -> Result<SealedLines, QuarantineError> {
    let failed = |source| QuarantineError::SealedLines { action: "list", path: directory.to_owned(), source };
    let listed = if_there(fs::read_dir(directory)).map_err(failed)?;
    let Some(entries) = listed else { return Ok(SealedLines::default()) };
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(look_at(paths.map_err(failed)?, sealed_line))
}

/// Looks at each of the files. One that cannot be looked at does not delay the others.
fn look_at(mut paths: Vec<PathBuf>, look: impl Fn(PathBuf) -> io::Result<Option<SealedLine>>) -> SealedLines {
    paths.sort();
    let mut sealed = SealedLines::default();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match look(path) {
            Ok(line) => sealed.lines.extend(line),
            Err(error) => sealed.unseen.push((format!("{FOLDER}/{name}"), error)),
        }
    }
    sealed
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
    if_there(fs::remove_file(&line.path)).map(drop)
}

/// Makes removals durable, including those of a process that died before its own sync.
///
/// # Errors
/// [`QuarantineError::SealedLines`] if that fails.
pub fn sync(directory: &Path) -> Result<(), QuarantineError> {
    let failed = |source| QuarantineError::SealedLines { action: "sync", path: directory.to_owned(), source };
    if_there(Disk.sync_directory(directory)).map(drop).map_err(failed)
}

/// Returns the sealed line in the file at `path`; `None` if it is another file, or gone.
fn sealed_line(path: PathBuf) -> io::Result<Option<SealedLine>> {
    let token = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".age"));
    let Some(token) = token.filter(|token| Placeholder::new(token, 0, 0).is_some()) else { return Ok(None) };
    let found = fs::symlink_metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    let Some((bytes, modified)) = if_there(found)? else { return Ok(None) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_looked_at_hides_no_other() {
        let name = |number: u32| PathBuf::from(format!("/s/quarantine/qr_2epqf{number:026}.age"));
        let line = |path: PathBuf| {
            let placeholder = Placeholder::new(path.file_stem().unwrap().to_str().unwrap(), 1, 1).unwrap();
            SealedLine { path, placeholder, bytes: 1, sealed: Timestamp::UNIX_EPOCH }
        };
        let look = |path: PathBuf| match path == name(2) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(Some(line(path))),
        };
        let SealedLines { lines, unseen } = look_at(vec![name(3), name(2), name(1)], look);
        assert_eq!(lines, [line(name(1)), line(name(3))]);
        let unseen: Vec<_> = unseen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(unseen, [format!("quarantine/qr_2epqf{:026}.age", 2)]);
    }
}
