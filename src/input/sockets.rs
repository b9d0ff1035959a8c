//! Listening sockets, opened before any record is accepted.

use super::datagram;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::socket_file;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

/// Listens for connections over TCP.
///
/// # Errors
/// I10 if this process cannot listen at the address.
pub fn tcp(address: SocketAddr) -> Result<TcpListener, Diagnostic> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| no_listener(&format!("tcp {address}"), &error))
}

/// Listens for datagrams over UDP, with a receive buffer of `buffer_bytes` bytes if the kernel grants it.
///
/// # Errors
/// I10 if this process cannot listen at the address.
pub fn udp(address: SocketAddr, buffer_bytes: usize) -> Result<UdpSocket, Diagnostic> {
    let socket = UdpSocket::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let socket = socket.map_err(|error| no_listener(&format!("udp {address}"), &error))?;
    datagram::widen(&socket, buffer_bytes);
    Ok(socket)
}

/// Listens for connections at a socket file.
///
/// # Errors
/// I10 if the file cannot be made, or if another process listens there already.
pub fn unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Diagnostic> {
    let listener = at(path, mode, |path| {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| no_socket_file(&format!("unix {}", path.display()), path, &error))
}

/// Listens for datagrams at a socket file, with a receive buffer of `buffer_bytes` bytes if the kernel grants
/// it.
///
/// # Errors
/// I10 if the file cannot be made, or if another process listens there already.
pub fn unix_datagram(
    path: &Path,
    mode: u32,
    buffer_bytes: usize,
) -> Result<(UnixDatagram, SocketFile), Diagnostic> {
    let socket = at(path, mode, |path| {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        datagram::widen(&socket, buffer_bytes);
        Ok(socket)
    });
    socket.map_err(|error| no_socket_file(&format!("unix-datagram {}", path.display()), path, &error))
}

/// Refuses a path at which no socket file can be made, because it is too long or another file has it. Makes
/// nothing.
///
/// # Errors
/// I10, with the reason.
pub fn refuse_other_file(path: &Path) -> Result<(), Diagnostic> {
    let is_other = fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket());
    let taken = if is_other { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) };
    let possible = std::os::unix::net::SocketAddr::from_pathname(path).and(taken);
    possible.map_err(|error| no_socket_file(&path.display().to_string(), path, &error))
}

/// Sets the permissions of a socket file, and returns its previous ones.
///
/// # Errors
/// I10 if the file no longer exists.
pub fn permit(file: &SocketFile, mode: u32) -> Result<u32, Diagnostic> {
    let permitted = fs::metadata(&file.path).and_then(|before| {
        fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
        Ok(before.mode() & 0o7777)
    });
    permitted.map_err(|error| no_socket_file(&file.path.display().to_string(), &file.path, &error))
}

/// A socket file that we made. Dropping it removes the file, unless another file has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // If the file cannot be removed, the next process that listens here replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn at<S>(path: &Path, mode: u32, bind: impl FnOnce(&Path) -> io::Result<S>) -> io::Result<(S, SocketFile)> {
    let socket = socket_file::listen(path, mode, bind)?;
    Ok((socket, SocketFile { path: path.to_owned(), identity: identity(path)? }))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn no_listener(place: &str, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::AddrNotAvailable => "`ip addr` shows the addresses of this machine",
        _ => "`ss -lntup` shows who listens where; ports below 1024 need CAP_NET_BIND_SERVICE",
    };
    Diagnostic::new(&NO_LISTENER, "cannot listen").at(place).because(error.to_string()).hint(hint)
}

fn no_socket_file(place: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let found = fs::symlink_metadata(path).map(|found| found.file_type());
    let hint = match (error.kind(), found) {
        (io::ErrorKind::NotFound, _) => {
            "make the directory of the socket file first; in a unit `RuntimeDirectory=` does"
        }
        (io::ErrorKind::InvalidInput, _) => {
            "the system takes a path of at most 107 bytes for a socket file: name a shorter one"
        }
        (io::ErrorKind::AddrInUse, Ok(found)) if found.is_symlink() => {
            "it is a symbolic link, which is not replaced: name the path that it leads to, or remove the link"
        }
        (io::ErrorKind::AddrInUse, Ok(found)) if !found.is_socket() => {
            "something else than a socket is there, which is not replaced: name another path, or move it away"
        }
        (io::ErrorKind::AddrInUse, _) => "`ss -lxp` shows who listens there",
        _ => "let this user write to the directory of the socket file, or name another one",
    };
    Diagnostic::new(&NO_LISTENER, "cannot listen").at(place).because(error.to_string()).hint(hint)
}

/// I10: nobody can connect.
pub static NO_LISTENER: Code = Code {
    id: "I10",
    title: "cannot listen",
    text: "\
What it means
  oubliette could not open an input of `serve`: another program uses its address or socket file, the
  address does not belong to this machine, or this user may not use it.

Why it matters
  Lines that are sent there would be lost, in some cases without an error at their sender. So
  `serve` does not start. If it runs already, it refuses the new configuration and keeps the old
  one.

Example
  [[serve.input]] with listen = \"0.0.0.0:514\"     as an ordinary user

What to do
  - Address in use: run `ss -lntup` to see who listens there. Often another syslog daemon has port
    514 and /dev/log.
  - Socket file: only a socket on which nobody listens is replaced. `ls -l PATH` shows what is there,
    `ss -lxp` who listens. The path has at most 107 bytes.
  - Port below 1024: grant CAP_NET_BIND_SERVICE. The unit that comes with oubliette does.

References
  bind(2), unix(7), capabilities(7)",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_that_is_left_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, file) = unix(&path, 0o666).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(unix(&path, 0o600).unwrap_err().code.id, "I10");
        assert_eq!(unix_datagram(&path, 0o600, 4096).unwrap_err().code.id, "I10");
        drop((listener, file));
        assert!(!path.exists());
        let (_socket, _file) = unix_datagram(&path, 0o600, 4096).unwrap();
        assert_eq!(unix_datagram(&path, 0o600, 4096).unwrap_err().code.id, "I10");
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(refuse_other_file(&path).is_ok());
        assert!(refuse_other_file(&path.join("x".repeat(108))).is_err());
        fs::write(&path, "precious").unwrap();
        assert!(refuse_other_file(&path).is_err() && unix(&path, 0o666).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn what_is_in_the_way_of_a_socket_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        let _listener = UnixListener::bind(at("used")).unwrap();
        for (name, hint) in [
            ("file", "something else than a socket"),
            ("folder", "something else than a socket"),
            ("link", "a symbolic link"),
            ("used", "ss -lxp"),
            ("missing/log", "make the directory"),
            (&"x".repeat(108), "at most 107 bytes"),
        ] {
            for refused in [unix(&at(name), 0o666).err(), unix_datagram(&at(name), 0o666, 4096).err()] {
                let told = refused.and_then(|refused| refused.hint).unwrap();
                assert!(told.contains(hint), "{name}: {told}");
            }
        }
    }

    #[test]
    fn an_address_is_listened_to_once() {
        let first = tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = tcp(first.local_addr().unwrap()).unwrap_err();
        assert_eq!((error.code.id, error.place.is_some()), ("I10", true));
    }
}
