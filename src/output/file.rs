//! Outputs to a file, rotated by size and time, and to standard output.

use super::{Lines, Link, Target};
use crate::primitives::clock::Clock;
use crate::primitives::storage::{if_there, parent};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// When a file is renamed and a new one begun, apart from its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Every {
    /// At every full hour.
    Hour,
    /// At midnight.
    Day,
    /// Only by size.
    #[default]
    Never,
}

/// A file that is rotated.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The path of the file. Rotated files have the time of their rotation appended:
    /// `out.log.20261123T100000Z`.
    pub path: PathBuf,
    /// The file is rotated before it would exceed this size.
    pub most_bytes: u64,
    /// The file is also rotated at these times, in `zone`.
    pub every: Every,
    /// The zone of legal days.
    pub zone: TimeZone,
    /// The clock that decides when to rotate.
    pub clock: Clock,
}

/// The open file. Lines count as delivered once they are synced.
#[derive(Debug)]
pub struct OpenFile {
    settings: Rotated,
    file: File,
    bytes: u64,
    /// The hour or day that the file belongs to.
    period: String,
    unsynced: usize,
    since: Option<Instant>,
    synced: usize,
}

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

/// Standard output, linked. Lines count as delivered once they are written.
#[derive(Debug)]
pub struct OpenStdout {
    written: usize,
}

/// Removes files that were rotated from `path` longer than `keep` ago, and `path` itself if it was last
/// written longer ago than that. Returns the paths of the removed files.
///
/// # Errors
/// If the directory cannot be read, or a file cannot be removed, which is named; all others have been removed.
pub fn purge(path: &Path, keep: SignedDuration, now: Timestamp) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Ok(Vec::new());
    };
    let Some(entries) = if_there(fs::read_dir(parent(path)))? else { return Ok(Vec::new()) };
    let (mut removed, mut failed) = (Vec::new(), None);
    for entry in entries {
        let entry = entry?;
        let since = match entry.file_name().to_str().and_then(|found| found.strip_prefix(&name)) {
            Some("") => Timestamp::from_second(entry.metadata()?.mtime()).ok(),
            Some(suffix) => rotated_at(suffix),
            None => None,
        };
        if entry.file_type()?.is_file() && since.is_some_and(|since| now.duration_since(since) >= keep) {
            match fs::remove_file(entry.path()) {
                Ok(()) => removed.push(entry.path()),
                Err(error) => failed = failed.or(Some(named(&entry.path(), &error))),
            }
        }
    }
    if !removed.is_empty() {
        File::open(parent(path))?.sync_all()?;
    }
    failed.map_or(Ok(removed), Err)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Returns when a file was rotated, according to the suffix of its name: `.20261123T230000Z`,
/// `.20261123T230000Z-1`.
fn rotated_at(suffix: &str) -> Option<Timestamp> {
    let (instant, rest) = suffix.strip_prefix('.')?.split_once('Z')?;
    let is_ours = rest.is_empty()
        || rest
            .strip_prefix('-')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()));
    let rotated = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", instant).ok()?;
    rotated.to_zoned(TimeZone::UTC).ok().filter(|_| is_ours).map(|rotated| rotated.timestamp())
}

impl Target for Rotated {
    type Link = OpenFile;

    async fn link(&mut self) -> io::Result<OpenFile> {
        OpenFile::open(self.clone())
    }
}

impl OpenFile {
    fn open(settings: Rotated) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(&settings.path)?;
        let metadata = file.metadata()?;
        let mut bytes = metadata.len();
        if metadata.is_file() && bytes > 0 {
            bytes += end_line(&mut file)?;
        }
        let begun = if bytes == 0 {
            settings.clock.now()
        } else {
            Timestamp::from_second(metadata.mtime()).map_err(io::Error::other)?
        };
        let period = period(&settings, begun);
        Ok(Self { settings, file, bytes, period, unsynced: 0, since: None, synced: 0 })
    }

    /// Begins a new file if rotation is due, or if the current file was renamed or removed.
    fn rotate_if_due(&mut self, more: u64) -> io::Result<()> {
        let now = self.settings.clock.now();
        let is_due = self.bytes > 0
            && (self.bytes + more > self.settings.most_bytes || period(&self.settings, now) != self.period);
        let is_gone = !is_same(&self.file, &self.settings.path)?;
        if !is_due && !is_gone {
            return Ok(());
        }
        self.sync()?;
        if !is_gone {
            fs::rename(&self.settings.path, free_name(&self.settings.path, now)?)?;
        }
        let Self { file, bytes, period, .. } = Self::open(self.settings.clone())?;
        (self.file, self.bytes, self.period) = (file, bytes, period);
        File::open(parent(&self.settings.path))?.sync_all()
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced > 0 {
            match self.file.sync_data() {
                // A pipe or a terminal cannot be synced.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                synced => synced?,
            }
        }
        self.synced += std::mem::take(&mut self.unsynced);
        self.since = None;
        Ok(())
    }
}

impl Link for OpenFile {
    fn has_room(&self) -> bool {
        self.unsynced < MOST_UNSYNCED
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        self.rotate_if_due(lines.bytes.len() as u64)?;
        if let Err(error) = self.file.write_all(&lines.bytes) {
            // All of it will be sent again, so remove what was written of it. If that fails, some lines are
            // there twice.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += lines.bytes.len() as u64;
        self.unsynced += 1;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.synced == 0 {
            let Some(since) = self.since else { return std::future::pending().await };
            if self.has_room() {
                tokio::time::sleep_until(since + SYNC_INTERVAL).await;
            }
            self.sync()?;
        }
        self.synced -= 1;
        Ok(())
    }

    async fn close(mut self) -> io::Result<u64> {
        self.sync()?;
        Ok(0)
    }
}

impl Target for Stdout {
    type Link = OpenStdout;

    async fn link(&mut self) -> io::Result<OpenStdout> {
        Ok(OpenStdout { written: 0 })
    }
}

impl Link for OpenStdout {
    fn has_room(&self) -> bool {
        self.written == 0
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&lines.bytes)?;
        stdout.flush()?;
        self.written += 1;
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.written == 0 {
            return std::future::pending().await;
        }
        self.written -= 1;
        Ok(())
    }

    async fn close(self) -> io::Result<u64> {
        Ok(0)
    }
}

/// Ends a line that a crash left without its line feed. That line was sent again, and the new copy must start
/// on a line of its own. Returns how many bytes were added.
fn end_line(file: &mut File) -> io::Result<u64> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(0);
    }
    file.write_all(b"\n")?;
    Ok(1)
}

/// Returns the hour or day of `at`, which changes when the file must be rotated by time.
fn period(settings: &Rotated, at: Timestamp) -> String {
    let format = match settings.every {
        Every::Never => "",
        Every::Day => "%F",
        Every::Hour => "%F %H %z",
    };
    at.to_zoned(settings.zone.clone()).strftime(format).to_string()
}

/// Returns whether `path` is still the name of `file`.
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    let named = if_there(fs::metadata(path))?;
    Ok(named.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// Returns a name that is not taken for a file rotated at `now`.
fn free_name(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let stem = format!("{}.{}", path.display(), now.strftime("%Y%m%dT%H%M%SZ"));
    let names = (0..1000).map(|n| PathBuf::from(if n == 0 { stem.clone() } else { format!("{stem}-{n}") }));
    for name in names {
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Longest time that lines wait for a sync.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Most blocks that may wait for a sync.
const MOST_UNSYNCED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::spool::Position;

    fn target(path: PathBuf, most_bytes: u64, every: Every, now: &str) -> Rotated {
        let clock = Clock::Fixed(now.parse().unwrap());
        Rotated { path, most_bytes, every, zone: TimeZone::get("Europe/Paris").unwrap(), clock }
    }

    async fn send(link: &mut OpenFile, text: &str) {
        let lines = Lines { bytes: text.into(), count: 1, end: Position::default() };
        link.send(&lines).await.unwrap();
    }

    fn files(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<_> =
            entries.map(|path| (name(&path), fs::read_to_string(path).unwrap())).collect();
        files.sort();
        files
    }

    fn named(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_file_is_rotated_by_size() {
        let directory = tempfile::tempdir().unwrap();
        let mut target = target(directory.path().join("o"), 8, Every::Never, "2026-11-23T10:00:00Z");
        let mut link = target.link().await.unwrap();
        for text in ["one\n", "two\n", "three\n", "a long line\n"] {
            send(&mut link, text).await;
        }
        let expected = [
            ("o", "a long line\n"),
            ("o.20261123T100000Z", "one\ntwo\n"),
            ("o.20261123T100000Z-1", "three\n"),
        ];
        assert_eq!(files(directory.path()), named(&expected));
        for _ in 0..4 {
            link.taken_over().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_is_rotated_at_legal_midnight() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o");
        let mut link = target(path, 1000, Every::Day, "2026-11-23T22:59:59Z").link().await.unwrap();
        send(&mut link, "one\n").await;
        link.settings.clock = Clock::Fixed("2026-11-23T23:00:00Z".parse().unwrap());
        send(&mut link, "two\n").await;
        assert_eq!(files(directory.path()), named(&[("o", "two\n"), ("o.20261123T230000Z", "one\n")]));
    }

    #[tokio::test]
    async fn what_was_rotated_goes_after_its_time_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut link = target(at("o"), 4, Every::Day, "2026-11-23T10:00:00Z").link().await.unwrap();
        for text in ["one\n", "two\n", "now\n"] {
            send(&mut link, text).await;
        }
        let others = ["o.1", "o.20261123T100000Z.gz", "o.20261123T100000Z-", "other.20261123T100000Z", "o.d"];
        others.iter().for_each(|name| fs::write(at(name), "").unwrap());
        let purge = |now: &str| {
            let mut removed = purge(&at("o"), SignedDuration::from_hours(48), now.parse().unwrap()).unwrap();
            removed.sort();
            removed
        };
        assert!(purge("2026-11-25T09:59:59Z").is_empty());
        let rotated = ["o.20261123T100000Z", "o.20261123T100000Z-1"].map(at);
        assert_eq!(purge("2026-11-25T10:00:00Z"), rotated);
        // By the clock of the file system, `o` was written a moment ago.
        assert!(at("o").exists());
        assert_eq!(purge("2999-01-01T00:00:00Z"), [at("o")]);
        assert!(others.iter().all(|name| at(name).exists()));
        send(&mut link, "new\n").await;
        assert_eq!(fs::read_to_string(at("o")).unwrap(), "new\n");
    }

    #[tokio::test]
    async fn a_file_that_was_taken_away_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o");
        let mut link = target(path.clone(), 1000, Every::Never, "2026-11-23T10:00:00Z").link().await.unwrap();
        send(&mut link, "one\n").await;
        fs::rename(&path, directory.path().join("o.1")).unwrap();
        send(&mut link, "two\n").await;
        assert_eq!(files(directory.path()), named(&[("o", "two\n"), ("o.1", "one\n")]));
    }

    #[tokio::test]
    async fn half_a_line_does_not_run_into_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o");
        fs::write(&path, "one\nha").unwrap();
        let mut link = target(path, 1000, Every::Never, "2026-11-23T10:00:00Z").link().await.unwrap();
        send(&mut link, "half\n").await;
        assert_eq!(files(directory.path()), named(&[("o", "one\nha\nhalf\n")]));
    }
}
