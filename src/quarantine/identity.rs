//! The identity that opens sealed lines when no escrow recipient is configured.

use super::QuarantineError;
use crate::primitives::storage::{Disk, Storage as _, hand_over, parent};
use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Returns the recipient of the identity in `path`, making the identity if there is none.
pub(super) fn load_or_make(path: &Path) -> Result<Recipient, QuarantineError> {
    let failed = |source| QuarantineError::Identity { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => load(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(failed)?;
            // Read it back: if another process was faster, its identity is the one in the file.
            load(path, File::open(path).map_err(failed)?)
        }
        Err(error) => Err(failed(error)),
    }
}

fn load(path: &Path, mut file: File) -> Result<Recipient, QuarantineError> {
    let failed = |source| QuarantineError::Identity { path: path.to_owned(), source };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(QuarantineError::Exposed { path: path.to_owned(), mode: mode & 0o7777 });
    }
    // Reserve room for the whole file: a growing string would leave copies of the secret in smaller buffers.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES));
    (&mut file).take(MAX_FILE_BYTES as u64).read_to_string(&mut text).map_err(failed)?;
    let lines = text.lines().map(str::trim);
    let identity = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .find_map(|line| line.parse::<Identity>().ok())
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "no age X25519 identity in it")))?;
    Ok(identity.to_public())
}

/// Writes a new identity in the format of `age-keygen`, whole or not at all, and never over another.
fn make(path: &Path) -> io::Result<()> {
    let identity = Identity::generate();
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = write_new(&part, &identity).and_then(|()| match fs::hard_link(&part, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&part);
    written.and(removed)?;
    Disk.sync_directory(parent(path))
}

fn write_new(path: &Path, identity: &Identity) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    hand_over(&file, path)?;
    writeln!(file, "# opens the lines that oubliette sealed in this directory: age -d -i identity.txt FILE")?;
    writeln!(file, "# public key: {}", identity.to_public())?;
    writeln!(file, "{}", identity.to_string().expose_secret())?;
    file.sync_all()
}

/// Most bytes read; an identity file of `age-keygen` has some 200.
const MAX_FILE_BYTES: usize = 64 << 10;
