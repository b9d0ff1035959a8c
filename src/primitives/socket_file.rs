//! Socket files, which outlive the process that listened to them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

/// Makes a socket file with `bind`, with permission bits `mode`, and replaces one on which nobody listens.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if somebody listens there, or another file has that name; any error of `bind`.
pub fn listen<S>(path: &Path, mode: u32, bind: impl FnOnce(&Path) -> io::Result<S>) -> io::Result<S> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && !is_in_use(path) {
        fs::remove_file(path)?;
    }
    let socket = bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket)
}

fn is_in_use(path: &Path) -> bool {
    let datagram = || UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    UnixStream::connect(path).is_ok() || datagram().is_ok()
}
