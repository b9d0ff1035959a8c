//! What systemd does for a service: notifications, a watchdog, and credentials.

use crate::once;
use crate::sidecar::{Sidecar, line};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

const TCP: &str = "[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";

/// Plays the service manager.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, directory }
    }

    fn path(&self) -> String {
        self.directory.path().join("notify").display().to_string()
    }

    /// Waits for this state; others may come before it.
    fn wait_for(&self, state: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut buffer = [0; 1024];
        while Instant::now() < deadline {
            let bytes = self.socket.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..bytes]).contains(state) {
                return;
            }
        }
        panic!("it never says {state}");
    }
}

#[test]
fn the_manager_is_told_of_every_stage() {
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path()), ("WATCHDOG_USEC", "1000000".to_owned())];
    let sidecar = Sidecar::start_in_environment(TCP, &environment, |_| ());
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    sidecar.hang_up();
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("served")).unwrap();
    drop(stream);
    let ended = sidecar.stop();
    manager.wait_for("STOPPING=1");
    assert_eq!(ended.archived(), once(["served".to_owned()]));
}

#[test]
fn a_socket_that_systemd_listens_to_is_taken_over_with_who_waits_at_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut early = TcpStream::connect(address).unwrap();
    writeln!(early, "{}", line("early")).unwrap();
    drop(early);
    let config = format!("[[serve.input]]\ntype = 'tcp'\nlisten = '{address}'\n");
    let sidecar = Sidecar::start_with_socket(&config, listener.into());
    let mut late = TcpStream::connect(address).unwrap();
    writeln!(late, "{}", line("late")).unwrap();
    drop(late);
    assert_eq!(sidecar.stop().archived(), once(["early", "late"].map(ToOwned::to_owned)));
}

/// A reload that is refused leaves the socket to the next one.
#[test]
fn a_socket_that_systemd_listens_to_can_be_taken_over_later() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sidecar = Sidecar::start_with_socket(TCP, listener.into());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let input = |address| format!("[[serve.input]]\ntype = 'tcp'\nlisten = '{address}'\n");
    let inputs = input(address) + &input(taken.local_addr().unwrap());
    sidecar.configure(&format!("escrow = 'none'\n{inputs}"));
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    drop(taken);
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    let mut stream = TcpStream::connect(address).unwrap();
    writeln!(stream, "{}", line("later")).unwrap();
    drop(stream);
    assert_eq!(sidecar.stop().archived(), once(["later".to_owned()]));
}
