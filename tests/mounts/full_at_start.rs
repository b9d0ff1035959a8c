//! A sidecar that is started while the disk of its archive is full, and that must seal what a kill left.

use super::{Mount, Scene, Sidecar, archived, fill, is_done, long_input};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// As many lines as need more than one block of the disk for the end of their segment.
const LINES: usize = 4000;

/// A node whose archive has lines that expire on 2026-11-25, and a part with lines of the day after. Its disk
/// is full.
struct FullNode {
    scene: Scene,
    state: PathBuf,
}

impl FullNode {
    /// Its state directory lies there.
    fn new(state: &str) -> Option<Self> {
        let scene = Scene::new("16m")?;
        let state = scene.directory.path().join(state);
        super::short_rules(&state);
        let config = format!(
            "escrow = 'none'\nrules = 'rules'\n[serve]\narchive = '{}'\n[serve.metrics]\n\
             listen = '127.0.0.1:0'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n",
            scene.tree().display()
        );
        std::fs::write(state.join("config.toml"), config).unwrap();
        let node = Self { scene, state };
        node.take("2026-11-23", LINES).ended_by_stop();
        drop(node.take("2026-11-24", 2 * LINES));
        fill(&node.scene.disk);
        Some(node)
    }

    fn serve(&self, now: &str) -> Sidecar {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["serve", "--now", now, "--state-dir"]).arg(&self.state).stdin(Stdio::null());
        let said = self.scene.directory.path().join("said");
        command.stderr(std::fs::File::create(&said).unwrap());
        let mut sidecar = Sidecar { child: command.spawn().unwrap(), said };
        sidecar.wait_until_it_says("status: ");
        sidecar
    }

    /// Starts a sidecar, which archives lines of that day until there are so many in all.
    fn take(&self, day: &str, all: usize) -> Sidecar {
        let sidecar = self.serve(&format!("{day}T12:00:00Z"));
        let text = long_input(1);
        let messages = text.lines().take(LINES).map(|line| line.split_once(": ").unwrap().1);
        let lines: String = messages.map(|message| line(&format!("{day}T10:00:00Z"), message)).collect();
        connect(&sidecar).write_all(lines.as_bytes()).unwrap();
        self.wait_until_archived(&sidecar, all);
        sidecar
    }

    fn wait_until_archived(&self, sidecar: &Sidecar, lines: usize) {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while archived(&self.scene.tree()).concat().len() < lines {
            assert!(std::time::Instant::now() < deadline, "not all is archived: {}", sidecar.said());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn days(&self) -> Vec<String> {
        let days = std::fs::read_dir(self.scene.tree().join("archive")).unwrap();
        let mut days: Vec<_> = days.map(|day| day.unwrap().file_name().into_string().unwrap()).collect();
        days.sort();
        days
    }
}

impl Sidecar {
    fn ended_by_stop(self) {
        self.stop();
        is_done(&self.ended());
    }
}

fn line(time: &str, message: &str) -> String {
    format!("<13>1 {time} web1 short - - - {message}\n")
}

/// Sends one more line, which no other has.
fn send_one_more(sidecar: &Sidecar, time: &str) {
    connect(sidecar).write_all(line(time, "from 203.0.113.7 number 90000").as_bytes()).unwrap();
}

fn connect(sidecar: &Sidecar) -> TcpStream {
    TcpStream::connect(told_after(sidecar, "listening: tcp ")).unwrap()
}

fn told_after(sidecar: &Sidecar, what: &str) -> String {
    let said = sidecar.said();
    let (_, rest) = said.split_once(what).unwrap();
    rest.lines().next().unwrap().to_owned()
}

/// Returns what the sidecar answers to a request for that path.
fn answer(sidecar: &Sidecar, path: &str) -> String {
    let address = told_after(sidecar, "status: ");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The disk is full of what is due, among other things: it goes, and the sidecar goes on.
#[test]
fn what_is_due_is_purged_although_there_is_no_room_to_start() {
    for state in ["state", "disk/state"] {
        is_purged_at_a_start_without_room(state);
    }
}

fn is_purged_at_a_start_without_room(state: &str) {
    let Some(node) = FullNode::new(state) else { return };
    assert_eq!(node.days(), ["expires=2026-11-25", "expires=2026-11-26"]);
    // Half a minute after the legal midnight.
    let mut sidecar = node.serve("2026-11-24T23:00:30Z");
    sidecar.wait_until_it_says("purged: ");
    sidecar.wait_until_it_says("a segment that was left open is ");
    assert!(sidecar.is_running(), "{}", sidecar.said());
    send_one_more(&sidecar, "2026-11-24T23:00:30Z");
    node.wait_until_archived(&sidecar, LINES + 1);
    assert!(answer(&sidecar, "/readyz").starts_with("HTTP/1.1 200"));
    sidecar.ended_by_stop();
    assert_eq!(node.days(), ["expires=2026-11-26", "expires=2026-11-27"]);
    let mut numbers = archived(&node.scene.tree()).concat();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((0..LINES as u32).chain([90_000])));
}

/// Nothing is due: senders wait until somebody makes room, or the sidecar is stopped.
#[test]
fn a_start_without_room_waits_for_it_and_says_so() {
    for is_stopped in [true, false] {
        let Some(node) = FullNode::new("state") else { return };
        let mut sidecar = node.serve("2026-11-24T12:00:30Z");
        sidecar.wait_until_it_says(super::FULL);
        assert!(answer(&sidecar, "/readyz").starts_with("HTTP/1.1 503"));
        let health = answer(&sidecar, "/healthz");
        assert!(health.starts_with("HTTP/1.1 200") && health.contains("waiting"), "{health}");
        send_one_more(&sidecar, "2026-11-24T12:00:30Z");
        if is_stopped {
            sidecar.stop();
            let ended = sidecar.ended();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!((ended.status.code(), said.contains("error[A01]")), (Some(2), true), "{said}");
            continue;
        }
        remove(&node.scene.disk, "ballast");
        node.wait_until_archived(&sidecar, 2 * LINES + 1);
        sidecar.ended_by_stop();
        let mut numbers = archived(&node.scene.tree()).concat();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq((0..LINES as u32).flat_map(|number| [number; 2]).chain([90_000])));
    }
}

fn remove(disk: &Mount, file: impl AsRef<Path>) {
    std::fs::remove_file(disk.0.join(file)).unwrap();
}
