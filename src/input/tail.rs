//! Follows a log file that another program writes, through its rotations.
//!
//! - The offset up to which lines are durable is kept durably. So after a crash some lines are read twice,
//!   and none is missed.
//! - A file is identified by device, inode and time of birth, not by its name. When it is renamed, it is read
//!   to its end alongside the file that takes its name, even if that happened while nobody followed it.
//! - When a file is truncated (`copytruncate`), reading starts again at its beginning. What was written
//!   between the last look and the truncation is lost, as it is for every follower.
//! - A file that is already followed under another name is left alone. When that follower gives it up,
//!   reading continues where it ended.
//! - Below the directory of a pattern no symbolic link is followed, whenever it was made: otherwise whoever
//!   may make names there could have any file read.
//! - Nothing is read of a file that begins like one in which no identifier can be found, as long as it does.
//! - A last line without line feed waits for its rest. When the file is given up, that line is sealed, for it
//!   may be half a line. When the file is truncated, it is sealed together with the first line after the
//!   truncation, which may be its other half. This is known even after a restart.

mod claims;
mod cutter;
mod file;
mod offsets;
mod ours;
mod pattern;

pub use claims::Claims;
pub use offsets::{Identity, Kept, Offsets, turn};
pub use ours::{Ours, Resolved, resolve};
pub use pattern::{Found, Pattern};

use super::encoding::UNREADABLE;
use super::{Closed, Deliver, Lost};
use crate::primitives::diag::Code;
use crate::primitives::storage::{if_there, parent};
use file::Followed;
use std::collections::HashSet;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tokio::task;
use tokio::time::{self, Instant};

/// Settings for following a file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path of the file, which need not exist yet.
    pub path: PathBuf,
    /// The pattern that matched the path. Others may make names below its directory, so no symbolic link
    /// there is followed, and no message quotes such a name.
    pub pattern: Option<Pattern>,
    /// Longer lines, in bytes, are sealed.
    pub max_record_bytes: usize,
    /// How often to look for more bytes and for a rotation.
    pub poll: Duration,
    /// A renamed file is given up when nothing was written to it for this long: its writer needs a moment to
    /// open the new one.
    pub linger: Duration,
}

impl Settings {
    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        if self.pattern.is_some() { fs::symlink_metadata(path) } else { fs::metadata(path) }
    }

    /// Returns what messages call the file: the path or pattern in the configuration.
    #[must_use]
    pub fn place(&self) -> String {
        self.pattern.as_ref().map_or_else(|| self.path.display().to_string(), Pattern::to_string)
    }
}

/// The reasons why a file is no longer followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TailError {
    /// Offsets cannot be read or kept.
    #[error("cannot keep how far it was read")]
    Offsets(#[source] io::Error),
    /// The file exists and cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Records are no longer accepted.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Lines could not be made durable; they are read again next time.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Follows a file until `stopped` or an error, unless `claims` says that it is already followed. Then waits
/// until it is known which lines are durable, and keeps the offsets.
///
/// # Errors
/// [`TailError`]. Following the file again with the same `offsets` loses nothing.
pub async fn follow<D: Deliver>(
    settings: Settings,
    claims: Claims,
    deliver: D,
    offsets: Offsets,
    stopped: impl Future<Output = ()>,
) -> Result<(), TailError> {
    let mut tail = Tail::start(settings, claims, deliver, offsets)?;
    let followed = tail.follow(stopped).await;
    let settled = tail.settle_all().await;
    tail.save().await?;
    followed.and(settled)
}

/// The files that are followed for one path.
struct Tail<D: Deliver> {
    settings: Settings,
    claims: Claims,
    deliver: D,
    offsets: Offsets,
    /// Renamed files first, oldest first; last, the file that has the name.
    files: Vec<Followed<D::Receipt>>,
    /// The rotated files that were there when no file was followed and none had the name: others have come
    /// since. `None` if that is not known.
    before: Option<HashSet<Identity>>,
    /// How many of the files are no text.
    refused: u64,
    /// The offsets that were last kept, and when.
    kept: (Vec<Kept>, Instant),
}

impl<D: Deliver> Tail<D> {
    /// Finds the files that were followed before, whatever their names are now, and those that came between
    /// them and the file that has the name now.
    fn start(settings: Settings, claims: Claims, deliver: D, offsets: Offsets) -> Result<Self, TailError> {
        let kept = offsets.load().map_err(TailError::Offsets)?.unwrap_or_default();
        let mut files = Vec::new();
        if let Some(newest) = kept.last() {
            let siblings = siblings(&settings).map_err(TailError::Read)?;
            for known in &kept {
                match siblings.iter().find(|(_, file)| *file == known.file) {
                    Some((path, _)) => files.extend(open(path, Some(known), &claims, &settings)?),
                    None => {
                        tracing::warn!(path = %settings.place(), "a file that was followed is gone")
                    }
                }
            }
            files.extend(between(&newest.file, &siblings, &claims, &settings)?);
            files.sort_by_key(|followed| followed.identity().born_ns());
        }
        let mut tail = Self {
            settings,
            claims,
            deliver,
            offsets,
            files,
            before: None,
            refused: 0,
            kept: (kept, Instant::now()),
        };
        tail.look()?;
        Ok(tail)
    }

    /// Reads the bytes that are there and that arrive, until `stopped`.
    async fn follow(&mut self, stopped: impl Future<Output = ()>) -> Result<(), TailError> {
        let mut stopped = pin!(stopped);
        loop {
            let more = self.read().await?;
            self.settle()?;
            self.save_if_due().await?;
            let pause = if more { Duration::ZERO } else { self.settings.poll };
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                () = time::sleep(pause) => {}
            }
            if !more {
                self.look()?;
            }
        }
    }

    /// Finds out which file has the name now. The others count as renamed, and are given up once they have
    /// been quiet.
    fn look(&mut self) -> Result<(), TailError> {
        let named = match self.settings.metadata(&self.settings.path) {
            // Following the link would read a file that perhaps only we may read, for whoever made the link.
            Ok(metadata) if metadata.is_symlink() => return Ok(()),
            Ok(metadata) => Identity::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.files.is_empty() && self.before.is_none() {
                    let siblings = siblings(&self.settings).ok();
                    self.before = siblings.map(|all| all.into_iter().map(|(_, file)| file).collect());
                }
                return Ok(());
            }
            Err(error) => return Err(TailError::Read(error)),
        };
        let at = self.files.iter().position(|followed| followed.identity() == named);
        let newest = match at {
            Some(at) => Some(self.files.remove(at)),
            None => {
                // There may have been several rotations since the last look, or while nothing could be read.
                // If we may not list the directory, those files are missed, and the file with the name is
                // followed nevertheless.
                if let Some(before) = self.files.last().map(Followed::identity) {
                    let siblings = siblings(&self.settings).unwrap_or_default();
                    self.files.extend(between(&before, &siblings, &self.claims, &self.settings)?);
                } else if let Some(before) = self.before.take() {
                    let siblings = siblings(&self.settings).unwrap_or_default();
                    let is_new = |file: &Identity| !before.contains(file);
                    self.files.extend(rotated(is_new, &siblings, &self.claims, &self.settings)?);
                }
                open(&self.settings.path, None, &self.claims, &self.settings)?
            }
        };
        self.files.iter_mut().for_each(Followed::is_renamed);
        if let Some(mut newest) = newest {
            newest.has_name();
            self.files.push(newest);
        }
        Ok(())
    }

    /// Reads a part of each file. Returns whether more may be there at once.
    async fn read(&mut self) -> Result<bool, TailError> {
        let mut more = false;
        for file in &mut self.files {
            let before = file.refused();
            more |= file.read(&mut self.deliver).await?;
            if let Some(why) = file.refused().filter(|_| before.is_none()) {
                let (code, path) = (UNREADABLE.id, self.settings.place());
                tracing::error!(code, %path, %why, "a file is not read, for it is no text");
            }
            if file.is_quiet_for(self.settings.linger) {
                file.finish(&mut self.deliver).await?;
            }
        }
        let refused = self.files.iter().filter(|file| file.refused().is_some()).count() as u64;
        if refused != self.refused {
            self.refused = refused;
            self.deliver.leaves_alone(refused);
        }
        Ok(more)
    }

    fn settle(&mut self) -> Result<(), TailError> {
        for file in &mut self.files {
            file.settle()?;
        }
        self.files.retain(|file| !file.is_done());
        Ok(())
    }

    /// Waits until it is known which lines are durable.
    async fn settle_all(&mut self) -> Result<(), TailError> {
        let mut all = Ok(());
        for file in &mut self.files {
            let settled = file.settle_all().await;
            all = all.and(settled.map_err(TailError::from));
        }
        all
    }

    async fn save_if_due(&mut self) -> Result<(), TailError> {
        if self.kept.1.elapsed() < SAVE_INTERVAL { Ok(()) } else { self.save().await }
    }

    async fn save(&mut self) -> Result<(), TailError> {
        let now =
            self.files.iter().map(Followed::kept).collect::<io::Result<Vec<_>>>().map_err(TailError::Read)?;
        self.kept.1 = Instant::now();
        if self.kept.0 != now {
            self.kept.0.clone_from(&now);
            let offsets = self.offsets.clone();
            let saved = task::spawn_blocking(move || offsets.save(&now)).await;
            saved.map_err(io::Error::other).flatten().map_err(TailError::Offsets)?;
        }
        Ok(())
    }
}

/// Opens a file; `None` if it is gone by now or already followed.
fn open<R>(
    path: &Path,
    known: Option<&Kept>,
    claims: &Claims,
    settings: &Settings,
) -> Result<Option<Followed<R>>, TailError>
where
    R: Future<Output = Result<(), Lost>>,
{
    if_there(Followed::open(path, known, claims, settings)).map(Option::flatten).map_err(TailError::Read)
}

/// Finds the files, oldest first, that had the name after `before` and no longer have it, as far as rotations
/// left them in the same directory.
fn between<R>(
    before: &Identity,
    siblings: &[(PathBuf, Identity)],
    claims: &Claims,
    settings: &Settings,
) -> Result<Vec<Followed<R>>, TailError>
where
    R: Future<Output = Result<(), Lost>>,
{
    rotated(|file| file.is_younger_than(before), siblings, claims, settings)
}

/// Opens the rotated files that are meant, oldest first.
fn rotated<R>(
    is_meant: impl Fn(&Identity) -> bool,
    siblings: &[(PathBuf, Identity)],
    claims: &Claims,
    settings: &Settings,
) -> Result<Vec<Followed<R>>, TailError>
where
    R: Future<Output = Result<(), Lost>>,
{
    let mut files = Vec::new();
    for (path, file) in siblings {
        let had_name = *path != settings.path && is_rotated(path, &settings.path);
        if had_name && is_meant(file) {
            files.extend(open(path, None, claims, settings)?);
        }
    }
    files.sort_by_key(|followed: &Followed<R>| followed.identity().born_ns());
    Ok(files)
}

/// Lists the regular files in the directory of the file that is followed, including that file.
fn siblings(settings: &Settings) -> io::Result<Vec<(PathBuf, Identity)>> {
    let Some(entries) = if_there(fs::read_dir(parent(&settings.path)))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // A file that disappears meanwhile is skipped.
        if let Ok(metadata) = settings.metadata(&path)
            && metadata.is_file()
        {
            found.push((path, Identity::of(&metadata)));
        }
    }
    Ok(found)
}

/// Returns whether `path` has a name that a rotation gives to `of`, without compression: `.1`, `-20261123`,
/// `.20261123T230000Z`, `.old`. `mail.log` is a different log than `mail`.
fn is_rotated(path: &Path, of: &Path) -> bool {
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (found, of) = (name(path), name(of));
    let is_number = |rest: &str| {
        rest.starts_with(['.', '-'])
            && rest.bytes().all(|byte| byte.is_ascii_digit() || b".-_TZ".contains(&byte))
    };
    found.strip_prefix(&of).is_some_and(|rest| is_number(rest) || rest == ".old")
}

/// The suffixes that compression programs append.
const COMPRESSED: &[&str] = &[".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z"];

/// Shortest time between two saves of offsets: after a crash, up to this many seconds of lines are read
/// twice.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// I12: a file is not read.
pub static NOT_FOLLOWED: Code = Code {
    id: "I12",
    title: "a file cannot be followed",
    text: "\
What it means
  oubliette cannot read an input of type `file`, or cannot save in `<state>/tails` how far it has
  read. It tries again every five seconds. Or a symbolic link matches the pattern of the input.
  oubliette does not follow it: anybody who may create names in that directory could have any file
  read. Or more than 1024 files match: `left_out` says how many are not followed. Or another process
  follows files with the same state directory: both would archive each line.

Why it matters
  Meanwhile, no line of the file is lost as long as the file stays: oubliette later goes on after
  the last durable line. If the file is first rotated and removed or compressed, its lines are lost.

Example
  [[serve.input]] with path = \"/var/log/auth.log\"     as a user who is not in the group `adm`

What to do
  1. Let the user of oubliette read the file and list its directory: `usermod -aG adm oubliette`, or
     `setfacl -m u:oubliette:r FILE`
  2. Make log rotation compress one rotation later: `delaycompress`
  3. To follow a symbolic link on purpose, name it in an input of its own, without a pattern.
  4. If too many files match, use several inputs with narrower patterns.
  5. If another process follows files, stop it, or give it a state directory of its own.

References
  docs/inputs.md, logrotate(8)",
};

#[cfg(test)]
mod tests;
