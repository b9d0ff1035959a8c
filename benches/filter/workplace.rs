//! The directory in which a run happens, with the key, the configurations of the contenders, and a file for
//! those that cannot read a pipe.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The time that the filter is given by `--now`: the day of all generated lines.
const NOW: &str = "2026-11-23T12:00:00Z";

/// The expiry day of a connection log of that day.
pub(crate) const EXPIRES: &str = "2027-11-24";

/// A directory, removed at the end.
pub(crate) struct Workplace {
    directory: tempfile::TempDir,
}

impl Workplace {
    /// Creates a directory with a well-known key.
    ///
    /// # Errors
    /// The directory or the key could not be written.
    pub(crate) fn new() -> io::Result<Self> {
        let place = Self { directory: tempfile::tempdir()? };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.path("key"))?;
        file.write_all(&[7; 32])?;
        Ok(place)
    }

    /// Returns the path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in it.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Returns the command `oubliette filter` of the built binary, with everything on.
    pub(crate) fn filter(&self, workers: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["filter", "--workers", &workers.to_string(), "--now", NOW, "--stats", "json"]);
        command.arg("--key-file").arg(self.path("key"));
        command.arg("--state-dir").arg(self.directory.path());
        command
    }
}

/// Finds a program of this machine: in `target/peers`, where `benches/peers/get` unpacks what need not be
/// installed, or on the `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let peers = peers();
    let unpacked = ["usr/bin", "usr/sbin", "bin"].map(|folder| peers.join(folder));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    unpacked.into_iter().chain(installed).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Returns the directories in which modules and libraries of an unpacked or installed program may lie.
pub(crate) fn library_folders(below: &str) -> Vec<PathBuf> {
    let roots = [peers(), PathBuf::from("/")];
    let folders = [
        "usr/lib/x86_64-linux-gnu",
        "usr/lib/aarch64-linux-gnu",
        "usr/lib64",
        "usr/lib",
        "lib/x86_64-linux-gnu",
    ];
    let all = roots.iter().flat_map(|root| folders.map(|folder| root.join(folder).join(below)));
    all.filter(|folder| folder.is_dir()).collect()
}

/// Returns the directory into which `benches/peers/get` unpacks.
fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}
