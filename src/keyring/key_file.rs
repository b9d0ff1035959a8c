//! `--key-file`: S as its owner wrote it, as 32 raw bytes or 64 hex digits.

use super::KeyError;
use super::state_dir::io_error;
use crate::primitives::hex;
use crate::primitives::secret::Secret;
use rustix::fs::OFlags;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file, according to who put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// Its owner, who alone may read the file.
    Own(PathBuf),
    /// systemd, as a credential of this service (systemd.exec(5), LoadCredential).
    Credential(PathBuf),
}

impl KeyFile {
    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Own(path) | Self::Credential(path)) = self;
        path
    }

    /// Refuses a key file that group or others can read.
    ///
    /// # Errors
    /// [`KeyError::Exposed`].
    pub fn demand_private(&self, metadata: &Metadata) -> Result<(), KeyError> {
        if self.is_exposed(metadata) {
            return Err(KeyError::Exposed { path: self.path().to_owned(), mode: metadata.mode() & 0o7777 });
        }
        Ok(())
    }

    /// Returns whether group or others can read the key file.
    ///
    /// systemd either gives a credential to the user of its service (mode 0400), or leaves it to root and
    /// lets that user read it through an access control list. The mask of that list then appears in place of
    /// the group's permissions (root, root, mode 0440), although the group itself has none. Nothing with
    /// wider permissions is a credential.
    fn is_exposed(&self, metadata: &Metadata) -> bool {
        let (open, mode) = (metadata.mode() & 0o077 != 0, metadata.mode() & 0o7777);
        let is_listed = mode == 0o440 && (metadata.uid(), metadata.gid()) == (0, 0);
        match self {
            Self::Own(_) => open,
            Self::Credential(_) => open && !is_listed,
        }
    }
}

/// Reads and checks a key file. Follows a symbolic link, and checks its target.
///
/// # Errors
/// If it cannot be read, can be read by others, or holds no key.
pub(super) fn read(key_file: &KeyFile) -> Result<Secret, KeyError> {
    let path = key_file.path();
    // Without this flag, opening a pipe would block until somebody writes to it; a pipe is refused below.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(|error| match (key_file, error.kind()) {
        (KeyFile::Own(path), io::ErrorKind::NotFound) if is_key(path) => KeyError::Pasted,
        (KeyFile::Own(path), io::ErrorKind::NotFound) => KeyError::NoKeyFile { path: path.clone() },
        _ => io_error("open", path)(error),
    })?;
    let metadata = file.metadata().map_err(io_error("read", path))?;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile { path: path.to_owned() });
    }
    key_file.demand_private(&metadata)?;
    // Longer than any key, so that a file which is too long is noticed.
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    file.take(256).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX).max(bytes.len());
    let mut key = decode(&bytes).ok_or(KeyError::Length { path: path.to_owned(), bytes: length })?;
    let zero = key == [0; 32];
    let secret = Secret::take(&mut key);
    if zero { Err(KeyError::Zero { path: path.to_owned() }) } else { Ok(secret) }
}

/// Returns whether the path itself looks like the contents of a key file.
fn is_key(path: &Path) -> bool {
    hex::decode_any_case::<32>(path.as_os_str().as_encoded_bytes()).is_some()
}

/// Decodes 32 raw bytes, or 64 hex digits and at most one line end.
fn decode(bytes: &[u8]) -> Option<[u8; 32]> {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Some(raw);
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    hex::decode_any_case(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::diag::Diagnostic;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn a_key_that_is_pasted_in_the_place_of_its_file_is_not_shown() {
        let key = "00112233445566778899aabbccddeeff".repeat(2);
        let refused = crate::primitives::diag::Diagnostic::from(read(&KeyFile::Own(key.into())).unwrap_err());
        assert_eq!((refused.code.id, refused.to_string().contains("00112233")), ("K01", false));
    }

    /// As when a program prints the key and its script was interrupted.
    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(read(&KeyFile::Own(path)), Err(KeyError::NotAFile { .. })));
    }

    fn file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
        file.write_all(bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn raw_and_hex_are_the_same_key() {
        let hex: String = (0..32u8).map(|byte| format!("{byte:02x}")).collect();
        let raw: Vec<u8> = (0..32).collect();
        let lines = [hex.clone(), hex.clone() + "\n", hex.to_uppercase() + "\r\n"];
        for bytes in lines.iter().map(|line| line.as_bytes()).chain([&raw[..]]) {
            let (_directory, path) = file(bytes, 0o600);
            assert_eq!(read(&KeyFile::Own(path)).unwrap().expose()[..], raw);
        }
    }

    #[test]
    fn one_that_is_missing_is_made_so_that_nobody_else_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let missing = Diagnostic::from(read(&KeyFile::Own(path.clone())).unwrap_err());
        assert_eq!(missing.code.id, "K01");
        let hint = missing.hint.unwrap();
        let command = hint.split('`').nth(1).unwrap();
        assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success());
        read(&KeyFile::Own(path)).unwrap();
    }

    /// Only root can make a file that belongs to root.
    #[test]
    fn a_credential_is_what_systemd_makes_of_it_and_nothing_looser() {
        for (mode, is_good) in [(0o400, true), (0o600, true), (0o440, false), (0o444, false), (0o404, false)]
        {
            let (_directory, path) = file(&[1; 32], mode);
            let by_root = std::fs::metadata(&path).unwrap().uid() == 0;
            let is_good = is_good || by_root && mode == 0o440;
            assert_eq!(read(&KeyFile::Credential(path.clone())).is_ok(), is_good, "{mode:o}");
            assert_eq!(read(&KeyFile::Own(path)).is_ok(), mode & 0o077 == 0, "{mode:o}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (bytes, mode, code) in [
            (vec![1; 32], 0o644, "K02"),
            (vec![1; 32], 0o640, "K02"),
            (vec![1; 31], 0o600, "K03"),
            (vec![1; 33], 0o600, "K03"),
            (vec![1; 100_000], 0o600, "K03"),
            (vec![b'g'; 64], 0o600, "K03"),
            (vec![], 0o600, "K03"),
            (vec![0; 32], 0o600, "K04"),
            (vec![b'0'; 64], 0o600, "K04"),
        ] {
            let (_directory, path) = file(&bytes, mode);
            let error = crate::primitives::diag::Diagnostic::from(read(&KeyFile::Own(path)).unwrap_err());
            assert_eq!(error.code.id, code, "{} bytes, mode {mode:o}", bytes.len());
            assert!(error.hint.is_some());
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(&KeyFile::Own(directory.path().to_owned())), Err(KeyError::NotAFile { .. })));
        assert!(matches!(
            read(&KeyFile::Own(directory.path().join("none"))),
            Err(KeyError::NoKeyFile { .. })
        ));
    }
}
