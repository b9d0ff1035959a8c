//! Opens the files that the command line or the configuration names, or refuses them with the reason.

use super::codes;
use super::report::Report;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{
    Disk, KNOWS_OBJECTS, PUT_BACK, Seen, Storage, everywhere, is_full, is_no_file, is_remote, no_file,
};
use crate::rules::RuleFile;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
#[cfg(target_os = "linux")]
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The rule files of a directory.
#[derive(Debug, Default)]
pub(crate) struct RuleFiles {
    /// `identifiers/*.toml`.
    pub(crate) identifiers: Vec<RuleFile>,
    /// `retention/*.toml`.
    pub(crate) retention: Vec<RuleFile>,
}

impl RuleFiles {
    /// Reads the rule files of `directory`. Skips hidden files and names other than `*.toml`.
    ///
    /// # Errors
    /// If the directory has neither of the two folders, or if a file cannot be read: a missing rule would be
    /// a leak.
    pub(crate) fn of_directory(directory: &Path) -> Result<Self, Diagnostic> {
        let folders = ["identifiers", "retention"].map(|name| directory.join(name));
        if !folders.iter().any(|folder| folder.is_dir()) {
            return Err(Diagnostic::new(&codes::OPEN, "there are no rules in the rules directory")
                .at(directory.display().to_string())
                .because("it has neither a folder `identifiers` nor a folder `retention`")
                .hint("name the directory that holds these folders"));
        }
        let [identifiers, retention] = folders;
        Ok(Self { identifiers: rule_files(&identifiers)?, retention: rule_files(&retention)? })
    }
}

/// Reads one rule file.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub(crate) fn rule_file(path: &Path) -> Result<RuleFile, Diagnostic> {
    Ok(RuleFile { path: path.display().to_string(), text: read_text(path, "a rule file")? })
}

/// Reads the text of the file at `path`; `what` describes it in messages.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub(crate) fn read_text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    // Reading a pipe may wait for ever. One that a shell makes for a command, `<(...)`, is reached by a link.
    let is_pipe = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let text = if is_pipe { Err(no_file()) } else { fs::read_to_string(path) };
    text.map_err(|error| cannot(&format!("cannot read {what}"), path, &error))
}

/// Resolves `credential:NAME` to the file that systemd loaded for this service (systemd.exec(5),
/// LoadCredential); `None` for any other path.
pub(crate) fn credential(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_prefix("credential:")?;
    // A process that systemd did not start has none: the path leads to where systemd keeps them, and no file of
    // that name in the working directory takes their place.
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| "/run/credentials".into());
    Some(Path::new(&directory).join(name))
}

/// Returns whether `path` is a credential that this process cannot see, because systemd has loaded none for
/// it.
pub(crate) fn is_hidden_credential(path: &Path) -> bool {
    credential(path).is_some() && std::env::var_os("CREDENTIALS_DIRECTORY").is_none()
}

/// Returns a storage for files below these paths, which are directories or, if they begin with `s3://`,
/// prefixes in buckets.
///
/// # Errors
/// If a path is in object storage and this build does not support that.
pub(crate) fn storage(paths: &[&Path], seen: Seen) -> Result<Arc<dyn Storage>, Diagnostic> {
    let Some(remote) = paths.iter().find(|path| is_remote(path)) else { return Ok(Arc::new(Disk)) };
    if !KNOWS_OBJECTS {
        return Err(Diagnostic::new(&codes::NO_OBJECTS, "this build knows no object storage")
            .at(remote.display().to_string())
            .because("it was made without the feature `s3`")
            .hint("build it with `cargo build --release --features s3`"));
    }
    everywhere(seen).map_err(|error| cannot("cannot use object storage", remote, &error))
}

/// Opens the input at `path`, or standard input.
///
/// # Errors
/// If it cannot be opened or is a directory.
pub(crate) fn input(path: Option<&Path>) -> Result<File, Diagnostic> {
    let Some(path) = named(path) else {
        return standard(&io::stdin(), "standard input");
    };
    let file = File::open(path).map_err(|error| cannot("cannot open the input", path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(cannot("cannot open the input", path, &error));
    }
    Ok(file)
}

/// Opens the output at `path`, or standard output. A new file gets mode 0600; an existing one is truncated,
/// unless it is the input.
///
/// # Errors
/// If it cannot be opened, or if it is the same file as `input`.
pub(crate) fn output(report: Report, path: Option<&Path>, input: &File) -> Result<File, Diagnostic> {
    let Some(path) = named(path) else {
        warn_of_closed_output(report);
        let stdout = standard(&io::stdout(), "standard output")?;
        refuse_same(input, stdout.metadata(), "standard output")?;
        return Ok(stdout);
    };
    // Checked first, because opening the file truncates it.
    refuse_same(input, fs::metadata(path), &path.display().to_string())?;
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.map_err(|error| cannot("cannot open the output", path, &error))
}

/// Returns a warning if standard output was closed (`>&-`), so that everything written to it is lost
/// silently.
///
/// Before `main`, the standard library replaces a closed standard descriptor with the null device, opened for
/// reading and writing, so that no other file gets its number. A shell opens `> /dev/null` only for writing,
/// but some programs deliberately pass on one that is open for both: the command must decide whether to go
/// on.
pub(crate) fn closed_output() -> Option<Diagnostic> {
    let stdout = io::stdout();
    let device = fs::metadata(NULL_DEVICE).map(|null| null.rdev()).ok();
    let is_null = fstat(&stdout).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && Some(stat.st_rdev) == device
    });
    let is_read_too = fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
    let closed = || {
        Diagnostic::new(
            &codes::STDOUT,
            "standard output is closed, or the null device opened for reading too",
        )
        .because("everything that goes there is lost")
        .hint("let it go to a file or a pipe; to discard it on purpose, open /dev/null for writing alone")
    };
    (is_null && is_read_too).then(closed)
}

/// Warns if standard output is closed although lines or answers go there.
pub(crate) fn warn_of_closed_output(report: Report) {
    closed_output().iter().for_each(|closed| report.warning(closed));
}

const NULL_DEVICE: &str = "/dev/null";

/// Writes a file atomically: on failure an existing file stays as it was. A new file gets mode 0600. Devices,
/// pipes and sockets are written to directly.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let written = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes));
        return written.map_err(|error| cannot("cannot write the file", path, &error));
    }
    // Replaces the target of a symbolic link, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| cannot("cannot write the output", path, &error))
}

/// Refuses an output that is the same file as the input, if that file can hold bytes.
fn refuse_same(input: &File, output: io::Result<Metadata>, name: &str) -> Result<(), Diagnostic> {
    let (Ok(input), Ok(output)) = (input.metadata(), output) else { return Ok(()) };
    let one = input.is_file() && (input.dev(), input.ino()) == (output.dev(), output.ino());
    if !one {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::SAME_FILE, "input and output are the same file")
        .at(name)
        .because("lines would be overwritten before they are read, or read again without end")
        .hint("write to another file, then rename it over this one"))
}

fn standard(stream: &impl AsFd, name: &str) -> Result<File, Diagnostic> {
    widen(stream);
    let descriptor = stream.as_fd().try_clone_to_owned();
    descriptor.map(File::from).map_err(|error| cannot("cannot use", Path::new(name), &error))
}

/// Enlarges a pipe to the size of two blocks, so that blocks are read whole and the process at the other end
/// is not woken for each 64 KiB. Leaves anything but a pipe as it is, and also a pipe of a user who may not
/// enlarge it.
fn widen(stream: &impl AsFd) {
    #[cfg(target_os = "linux")]
    if fcntl_getpipe_size(stream).is_ok_and(|bytes| bytes < PIPE_BYTES) {
        let _ = fcntl_setpipe_size(stream, PIPE_BYTES);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// The size of a pipe in bytes.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 256 << 10;

fn named(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| path.as_os_str() != "-")
}

fn rule_files(folder: &Path) -> Result<Vec<RuleFile>, Diagnostic> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot("cannot read a rules folder", folder, &error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>();
    let mut paths = paths.map_err(|error| cannot("cannot read a rules folder", folder, &error))?;
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    paths.iter().map(|path| rule_file(path)).collect()
}

/// Refuses a path that leads through a dangling symbolic link, such as one to a volume that is not mounted:
/// the files there would seem to be gone, and new ones would be written elsewhere.
///
/// # Errors
/// An error that names the link.
pub(crate) fn refuse_dangling(path: &Path) -> Result<(), Diagnostic> {
    let named = path.ancestors().filter(|name| !name.as_os_str().is_empty());
    let is_there = |name: &&Path| fs::symlink_metadata(name).is_ok();
    let Some(nearest) = named.into_iter().find(is_there) else { return Ok(()) };
    match (fs::metadata(nearest), fs::read_link(nearest)) {
        (Err(error), Ok(target)) => {
            Err(Diagnostic::new(&codes::OPEN, "a symbolic link on the way to the archive leads nowhere")
                .at(format!("{} -> {}", nearest.display(), target.display()))
                .because(error.to_string())
                .hint("mount what it leads to, or make it lead to the archive: `ln -sfn DIR LINK`"))
        }
        _ => Ok(()),
    }
}

/// Refuses a store of an archive, or something in a store, where the directory of the archive is meant: no
/// archive would be found there.
///
/// # Errors
/// An error that names the directory which is meant.
pub(crate) fn refuse_store(path: &Path) -> Result<(), Diagnostic> {
    // A missing path is reported elsewhere; a segment may be named by itself.
    let Ok(path) = fs::canonicalize(path) else { return Ok(()) };
    let is_day = |name: &OsStr| name.as_bytes().starts_with(b"expires=");
    let has_days = || {
        let mut entries = fs::read_dir(&path).into_iter().flatten().flatten();
        entries.any(|entry| is_day(&entry.file_name()))
    };
    let day = path.ancestors().find(|name| name.file_name().is_some_and(is_day));
    let store = day.and_then(Path::parent).or_else(|| has_days().then_some(&*path));
    match store.and_then(Path::parent) {
        Some(archive) if path.is_dir() => {
            Err(Diagnostic::new(&codes::OPEN, "there is no archive in that directory")
                .at(path.display().to_string())
                .because("it is inside an archive")
                .hint(format!("name {}", archive.display())))
        }
        _ => Ok(()),
    }
}

/// Refuses an archive and vaults of which one is inside the other.
///
/// Vaults can identify a person again, so they must be apart, with an owner and mode of their own; and a
/// purge or a copy of one would include the other.
///
/// # Errors
/// An error that names both directories.
pub(crate) fn refuse_nested(archive: &Path, vault: &Path) -> Result<(), Diagnostic> {
    if is_remote(archive) || is_remote(vault) {
        return Ok(());
    }
    let (segments, vaults) = (real(archive), real(vault));
    if !segments.starts_with(&vaults) && !vaults.starts_with(&segments) {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::CONFLICT, "segments and vaults lie one in the other")
        .at(format!("{} and {}", archive.display(), vault.display()))
        .because("vaults must not be in the same directory as the lines that they reveal")
        .hint("name another directory with `--vault`, or as `vault` in the configuration"))
}

/// Refuses to write inside an archive or its vaults: readers of a store would find a file that is not a
/// segment, and no purge would ever remove it; copies of the archive would include it.
///
/// # Errors
/// An error that names the path.
pub(crate) fn refuse_within(stores: &[&Path], to: &Path) -> Result<(), Diagnostic> {
    let place = real(to);
    if !stores.iter().any(|store| !is_remote(store) && place.starts_with(real(store))) {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::CONFLICT, "the output would lie in the archive")
        .at(to.display().to_string())
        .because("there are segments and vaults in there, and nothing else: no purge removes anything else")
        .hint("name a place outside of the archive and of its vaults"))
}

/// Resolves all links in `path`; the part that does not exist yet stays as written.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return if rest.as_os_str().is_empty() { found } else { found.join(rest) };
        }
    }
    path
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::InvalidData => "write it in UTF-8",
        _ if is_full(error) => "make room on its disk",
        _ if is_no_file(error) => PUT_BACK,
        _ => "mend the path or the permissions",
    };
    Diagnostic::new(&codes::OPEN, what).at_path(path, error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn vaults_lie_apart_from_segments() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("log/archive")).unwrap();
        std::os::unix::fs::symlink(at("log/archive"), at("link")).unwrap();
        for nested in ["log/archive", "log/archive/vault", "log", "link", "link/vault", "log/archive/"] {
            let refused = refuse_nested(&at("log/archive"), &at(nested)).unwrap_err();
            assert_eq!(refused.code.id, codes::CONFLICT.id, "{nested}");
        }
        for apart in ["log/vault", "vault", "log/archive2"] {
            refuse_nested(&at("log/archive"), &at(apart)).unwrap();
        }
    }

    #[test]
    fn same_file_is_refused_under_any_name_and_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "line\n").unwrap();
        let (soft, hard) = (directory.path().join("soft"), directory.path().join("hard"));
        std::os::unix::fs::symlink(&path, &soft).unwrap();
        fs::hard_link(&path, &hard).unwrap();
        let input = input(Some(&path)).unwrap();
        for name in [&path, &soft, &hard] {
            assert_eq!(output(Report::new(false), Some(name), &input).unwrap_err().code.id, "C05");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n");
    }

    #[test]
    fn text_in_another_encoding_is_told_by_what_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, b"# \xe9\n").unwrap();
        let refused = read_text(&path, "the configuration").unwrap_err();
        assert_eq!(refused.hint.as_deref(), Some("write it in UTF-8"));
    }

    #[test]
    fn devices_are_not_the_same_file() {
        let input = input(Some(Path::new("/dev/null"))).unwrap();
        output(Report::new(false), Some(Path::new("/dev/null")), &input).unwrap();
    }

    #[test]
    fn a_new_output_is_ours_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let input = input(Some(Path::new("/dev/null"))).unwrap();
        let mode =
            output(Report::new(false), Some(&path), &input).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(input(Some(directory.path())).unwrap_err().code.id, "C02");
        assert_eq!(input(Some(&directory.path().join("missing"))).unwrap_err().code.id, "C02");
        assert_eq!(RuleFiles::of_directory(directory.path()).unwrap_err().code.id, "C02");
        fs::create_dir(directory.path().join("identifiers")).unwrap();
        assert!(RuleFiles::of_directory(directory.path()).unwrap().identifiers.is_empty());
        fs::write(directory.path().join("identifiers/x.toml"), b"\xff").unwrap();
        assert_eq!(RuleFiles::of_directory(directory.path()).unwrap_err().code.id, "C02");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_wherever_it_is_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let (link, gone) = (directory.path().join("log"), directory.path().join("gone"));
        std::os::unix::fs::symlink(&gone, &link).unwrap();
        for path in [link.clone(), link.join("archive"), link.join("archive/expires=2027-11-24")] {
            let refused = refuse_dangling(&path).unwrap_err();
            let (code, place) = (refused.code.id, refused.place.unwrap());
            assert_eq!((code, place), ("C02", format!("{} -> {}", link.display(), gone.display())));
        }
        refuse_dangling(&directory.path().join("new/archive")).unwrap();
        refuse_dangling(Path::new("new")).unwrap();
        fs::create_dir(&gone).unwrap();
        refuse_dangling(&link.join("archive")).unwrap();
    }

    #[test]
    fn only_rule_files_are_rule_files() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("retention");
        fs::create_dir(&folder).unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "a.toml~", "README"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let files = RuleFiles::of_directory(directory.path()).unwrap();
        let paths = files.retention.into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(paths, ["a.toml", "b.toml"].map(|name| folder.join(name).display().to_string()));
    }
}
