//! Tests with real disks that are full or read-only: file systems in memory, which root mounts and unmounts.
//! Without root, a test says that it is skipped, and why.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]
#![expect(clippy::print_stderr, reason = "says why it is skipped")]

#[path = "mounts/full_at_start.rs"]
mod full_at_start;
#[path = "mounts/one_disk.rs"]
mod one_disk;

use oubliette::archive::{self, Segment};
use oubliette::model::Tree;
use oubliette::primitives::storage::Disk;
use rustix::process::{Pid, Signal};
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpStream;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Rules that keep the lines of the program `short` for a day.
const SHORT: &str = include_str!("data/short.toml");
const LINES: u32 = 60_000;
const LONG_LINES: u32 = 20_000;
/// The end of a line of each of the days.
const END: [&str; 2] = ["expires=2027-11-24 class=connection", "expires=2027-11-23 class=connection"];
/// What a sidecar reports while it waits for room.
const FULL: &str = "lines wait until there is room";
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system in memory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts a file system of that size; returns the reason if that is not permitted.
    fn new(path: PathBuf, size: &str) -> Result<Self, String> {
        std::fs::create_dir(&path).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "oubliette-test"], &path)?;
        Ok(Self(path))
    }

    fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    let mounted = Command::new("mount").args(arguments).arg(path).output();
    let mounted = mounted.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
    if mounted.status.success() { Ok(()) } else { Err(said) }
}

/// A sidecar that does not outlive its test, even if the test panics.
struct Sidecar {
    child: Child,
    /// The file of its standard error.
    said: PathBuf,
}

impl Sidecar {
    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until the sidecar says `text` or ends.
    fn wait_until_it_says(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() && !self.said().contains(text) {
            assert!(Instant::now() <= deadline, "it says nothing of `{text}`: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end and returns exit status and messages.
    fn ended(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() <= deadline, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = self.child.wait().unwrap();
        Output { status, stdout: Vec::new(), stderr: self.said().into_bytes() }
    }

    fn stop(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // Both are harmless after the sidecar was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a key, an input and a state directory, and a small disk for the archive.
struct Scene {
    /// Dropped before the directory that contains it.
    disk: Mount,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = match Mount::new(directory.path().join("disk"), size) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("skipped, for nothing can be mounted here: {reason}");
                return None;
            }
        };
        let mut key = std::fs::OpenOptions::new();
        let mut key =
            key.write(true).create_new(true).mode(0o600).open(directory.path().join("key")).unwrap();
        std::io::Write::write_all(&mut key, &[7; 32]).unwrap();
        Some(Self { disk, directory })
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let path = |name: &str| self.directory.path().join(name);
        std::fs::write(path("input"), input).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(arguments).args(["--now", "2026-11-23T12:00:00Z", "--state-dir"]).arg(path("state"));
        command.stdin(std::fs::File::open(path("input")).unwrap()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).output().unwrap()
    }

    fn filter(&self, input: &str) -> Output {
        let (key, tree) = (self.directory.path().join("key"), self.tree());
        let (tree, key) = (tree.to_str().unwrap(), key.to_str().unwrap());
        self.run(&["filter", "--stats", "json", "--archive", tree, "--key-file", key], input)
    }

    fn verify(&self) -> Output {
        self.run(&["verify", self.tree().to_str().unwrap()], "")
    }

    /// Creates a state directory in which a sidecar is to follow `log`.
    fn follow(&self, state: &str, log: &Path) -> PathBuf {
        self.configure(state, &format!("type = 'file'\npath = '{}'", log.display()))
    }

    /// Creates a state directory of a sidecar with this input.
    fn configure(&self, state: &str, input: &str) -> PathBuf {
        let state = self.directory.path().join(state);
        std::fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
        let config = format!(
            "escrow = 'none'\n[serve]\narchive = '{}'\n[serve.metrics]\nlisten = 'none'\n\
             [[serve.input]]\n{input}\n",
            self.tree().display()
        );
        std::fs::write(state.join("config.toml"), config).unwrap();
        state
    }

    fn serve(&self, state: &Path) -> Sidecar {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["serve", "--now", "2026-11-23T12:00:00Z", "--state-dir"]).arg(state);
        let said = self.directory.path().join("said");
        command.stdin(Stdio::piped()).stderr(std::fs::File::create(&said).unwrap());
        Sidecar { child: command.spawn().unwrap(), said }
    }

    fn tree(&self) -> PathBuf {
        self.disk.0.join("log")
    }

    fn has_each_line_once(&self) {
        let mut numbers = self.numbers();
        let archived = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.iter().copied().eq(0..LONG_LINES), "a line is missing");
        assert_eq!(archived, LONG_LINES as usize, "lines are doubled");
    }

    /// Returns the numbers of the lines in the archive, all of which must be whole.
    fn numbers(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        for found in archive::list(&Disk, &Tree::at(&self.tree())).unwrap() {
            let segment = Segment::open(&Disk, &found.path).unwrap();
            for frame in 0..segment.footer().frames.len() {
                let lines = String::from_utf8(segment.lines(frame).unwrap()).unwrap();
                numbers.extend(lines.lines().map(|line| {
                    let (_, rest) = line.split_once("number ").unwrap();
                    let (number, end) = rest.split_once(' ').unwrap();
                    assert!(END.contains(&end), "half a line: {end}");
                    number.parse::<u32>().unwrap()
                }));
            }
        }
        numbers
    }
}

/// A sidecar that listens, and whose state directory is a small disk.
struct Node {
    sidecar: Sidecar,
    tree: PathBuf,
    /// Unmounted after the end of the sidecar.
    state: Mount,
}

impl Node {
    fn start(scene: &Scene, now: &str) -> Self {
        let state = Mount::new(scene.directory.path().join("node"), "1m,mode=700").unwrap();
        let config = format!(
            "escrow = 'none'\nmax_line_bytes = '64KiB'\n[serve]\narchive = '{}'\n[serve.metrics]\nlisten = 'none'\n[serve.limits]\n\
             drain = '500ms'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n",
            scene.tree().display(),
        );
        std::fs::write(state.0.join("config.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.args(["serve", "--now", now, "--state-dir"]).arg(&state.0).stdin(Stdio::null());
        let said = scene.directory.path().join("said");
        command.stderr(std::fs::File::create(&said).unwrap());
        let mut sidecar = Sidecar { child: command.spawn().unwrap(), said };
        sidecar.wait_until_it_says("listening: tcp ");
        Self { sidecar, tree: scene.tree(), state }
    }

    fn connect(&self) -> TcpStream {
        let said = self.sidecar.said();
        let (_, address) = said.split_once("listening: tcp ").unwrap();
        TcpStream::connect(address.lines().next().unwrap()).unwrap()
    }

    /// Makes the disk refuse all writes until further notice.
    fn take_nothing(&self, is_read_only: bool) {
        if is_read_only { self.state.remount("ro") } else { fill(&self.state) }
    }

    fn take_again(&self, is_read_only: bool) {
        match is_read_only {
            true => self.state.remount("rw"),
            false => std::fs::remove_file(self.state.0.join("ballast")).unwrap(),
        }
    }

    fn wait_until_archived(&self, lines: usize) {
        let deadline = Instant::now() + PATIENCE;
        while archived(&self.tree).concat().len() < lines {
            assert!(Instant::now() < deadline, "not all is archived: {}", self.sidecar.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the sidecar and returns exit status and messages.
    fn stop(self) -> Output {
        let Self { sidecar, state, .. } = self;
        sidecar.stop();
        let ended = sidecar.ended();
        drop(state);
        ended
    }
}

/// Returns the numbers of the lines of each segment, in the order of their days, including segments that are
/// being written.
fn archived(tree: &Path) -> Vec<Vec<u32>> {
    let found = archive::list(&Disk, &Tree::at(tree)).unwrap();
    let numbers = found.iter().map(|found| {
        let mut lines = Vec::new();
        // Read up to the end of the whole frames. A segment that gets its final name meanwhile is found the
        // next time.
        if let Ok(file) = std::fs::File::open(&found.path) {
            let _ = zstd::Decoder::new(file).unwrap().read_to_end(&mut lines);
        }
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().filter_map(|line| Some(line.split_once("number ")?.1.parse().unwrap())).collect()
    });
    numbers.collect()
}

fn send(stream: &mut TcpStream, numbers: Range<u32>) {
    let lines = numbers.map(|number| format!("<13>1 - web1 app - - - from 203.0.113.7 number {number}\n"));
    std::io::Write::write_all(stream, lines.collect::<String>().as_bytes()).unwrap();
}

/// Makes a state directory with [`SHORT`] rules.
fn short_rules(state: &Path) {
    let rules = state.join("rules/retention");
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&rules).unwrap();
    std::fs::write(rules.join("short.toml"), SHORT).unwrap();
}

/// Returns a line longer than the `max_line_bytes` of a [`Node`].
fn too_long() -> String {
    format!("<13>1 - web1 app - - - {}\n", "x".repeat(100 << 10))
}

fn fill(disk: &Mount) {
    let mut ballast = std::fs::File::create(disk.0.join("ballast")).unwrap();
    while std::io::Write::write_all(&mut ballast, &[0; 1024]).is_ok() {}
}

/// Each line has an address of its own, so that it does not compress to nothing.
fn input() -> String {
    (0..LINES).fold(String::new(), |mut text, number| {
        let [a, b, c, d] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
        writeln!(text, "Nov 23 10:00:00 web1 app[7]: from {}.{b}.{c}.{d} number {number}", a % 100 + 1)
            .unwrap();
        text
    })
}

/// Twelve addresses per line, so that frames have few lines; the lines take turns over that many days.
fn long_input(days: u32) -> String {
    (0..LONG_LINES).fold(String::new(), |mut text, number| {
        write!(text, "Nov {} 10:00:00 web1 app[7]: from", 23 - number % days).unwrap();
        for hop in 0..12 {
            let [a, b, c, d] = (12 * number + hop).wrapping_mul(0x9e37_79b1).to_be_bytes();
            write!(text, " {}.{b}.{c}.{d}", a % 100 + 1).unwrap();
        }
        writeln!(text, " number {number}").unwrap();
        text
    })
}

/// Waits until a sidecar has recorded that all of `log` is durable.
fn wait_until_read(sidecar: &mut Sidecar, state: &Path, log: &Path) {
    let (deadline, length) = (Instant::now() + PATIENCE, std::fs::metadata(log).unwrap().len());
    let kept = || std::fs::read_dir(state.join("tails")).ok().into_iter().flatten().map(Result::unwrap);
    let is_read = |text: String| text.contains(&format!("\"offset\":{length},"));
    while !kept().any(|file| std::fs::read_to_string(file.path()).is_ok_and(is_read)) {
        assert!(Instant::now() < deadline && sidecar.is_running(), "it does not read it all");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that the command was refused, naming the file and the reason, and nothing of the lines.
fn is_refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error[A01]") || said.contains("error[V01]"), "{said}");
    assert!(said.contains("/disk/log/") && said.contains(reason), "{said}");
    assert!(!said.contains("number"), "{said}");
}

/// Returns how many lines went out, as the filter itself reports.
fn lines_out(output: &Output) -> usize {
    let said = String::from_utf8_lossy(&output.stderr);
    let counts = said.lines().find(|line| line.starts_with("{\"lines_in\"")).unwrap();
    serde_json::from_str::<serde_json::Value>(counts).unwrap()["lines_out"].as_u64().unwrap() as usize
}

fn is_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_full_disk_stops_the_archive_and_what_was_written_stays() {
    let Some(scene) = Scene::new("600k") else { return };
    let input = input();
    let mut claimed = 0;
    for _ in 0..2 {
        // The disk stays full, so the filter is refused every time.
        let refused = scene.filter(&input);
        is_refused(&refused, "No space left on device");
        claimed += lines_out(&refused);
    }
    scene.disk.remount("size=64m");
    is_done(&scene.filter(""));
    is_done(&scene.verify());
    // The lines of a run are written in order, so what remains of each run is its beginning.
    let kept = scene.numbers();
    assert!(!kept.is_empty() && kept.len() < 2 * LINES as usize, "{}", kept.len());
    assert!(claimed <= kept.len(), "{claimed} lines are said to be archived, and {} are", kept.len());
    let runs: Vec<&[u32]> = kept.chunk_by(|a, b| a < b).collect();
    for run in runs {
        assert!(run.iter().copied().eq(0..run.len() as u32), "a line is missing or doubled");
    }
}

/// A sidecar that is stopped and started again and again, while the disk of its archive is full, reads each
/// durable line only once. The state directory lies on another disk, or on the same.
#[test]
fn a_full_disk_doubles_no_line() {
    for state in ["state", "disk/state"] {
        let Some(scene) = Scene::new("3m") else { return };
        let log = scene.directory.path().join("app.log");
        std::fs::write(&log, long_input(1)).unwrap();
        let state = scene.follow(state, &log);
        for round in 0..3 {
            let mut sidecar = scene.serve(&state);
            // From the second round on, whatever needs room first may wait for it.
            sidecar.wait_until_it_says(if round == 0 { FULL } else { "lines wait until" });
            assert!(round > 0 || sidecar.is_running(), "it does not wait for room");
            // A sidecar that has ended was waited for, so its process is gone.
            if sidecar.is_running() {
                sidecar.stop();
            }
            let ended = sidecar.ended();
            if round == 0 {
                is_refused(&ended, "No space left on device");
                let said = String::from_utf8_lossy(&ended.stderr);
                assert!(said.contains("note: read and not written: "), "{said}");
            }
            assert_eq!(ended.status.code(), Some(2));
        }
        scene.disk.remount("size=64m");
        let mut sidecar = scene.serve(&state);
        wait_until_read(&mut sidecar, &state, &log);
        sidecar.stop();
        is_done(&sidecar.ended());
        // All lines are of one class and day, so that no frame has part of a block.
        scene.has_each_line_once();
    }
}

/// Lines of two days, so that a block goes into several segments, from a sender that never resends.
#[test]
fn senders_wait_while_the_disk_is_full_and_nothing_is_lost_or_doubled() {
    let Some(scene) = Scene::new("3m") else { return };
    let state = scene.configure("state", "type = 'stdin'");
    let mut sidecar = scene.serve(&state);
    let mut input = sidecar.child.stdin.take().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut input, long_input(2).as_bytes()));
    sidecar.wait_until_it_says(FULL);
    // The disk fills up again.
    for size in ["4m", "64m"] {
        std::thread::sleep(Duration::from_millis(700));
        assert!(sidecar.is_running(), "{}", sidecar.said());
        scene.disk.remount(&format!("size={size}"));
    }
    let said = sidecar.said.clone();
    // The sidecar ends by itself when its input ends.
    is_done(&sidecar.ended());
    sending.join().unwrap().unwrap();
    assert!(std::fs::read_to_string(said).unwrap().contains("there is room"));
    scene.has_each_line_once();
    is_done(&scene.verify());
}

/// A disk that accepts lines but has no room for them, like a thinly provisioned one, fails only when they
/// are synced.
#[test]
fn lines_that_an_output_did_not_keep_are_not_counted_as_out() {
    let Some(scene) = Scene::new("2m") else { return };
    let (image, thin) = (scene.disk.0.join("image"), scene.directory.path().join("thin"));
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(&image).status();
    std::fs::create_dir(&thin).unwrap();
    if !made.is_ok_and(|made| made.success()) {
        eprintln!("skipped, for no file system can be made here");
        return;
    }
    if let Err(reason) = mount(&["-o", "loop", image.to_str().unwrap()], &thin) {
        eprintln!("skipped, for nothing can be mounted here: {reason}");
        return;
    }
    let thin = Mount(thin);
    let (key, out) = (scene.directory.path().join("key"), thin.0.join("out"));
    let options = ["--stats", "json", "--key-file", key.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let output = scene.run(&[&["filter"], &options[..]].concat(), &input());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.contains("error[I02]")), (Some(2), true), "{said}");
    assert!(said.contains(&format!("\"undelivered\":{LINES},")), "{said}");
    assert_eq!(lines_out(&output), 0, "{said}");
    drop(thin);
}

#[test]
fn a_read_only_disk_is_refused_and_can_be_verified() {
    let Some(scene) = Scene::new("64m") else { return };
    is_done(&scene.filter("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number 0\n"));
    scene.disk.remount("ro");
    is_refused(
        &scene.filter("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number 1\n"),
        "Read-only file system",
    );
    is_done(&scene.verify());
    assert_eq!(scene.numbers(), [0]);
}

/// A state directory on a disk of its own, which refuses writes from before a legal midnight until after it,
/// costs no line: lines over a plain connection, which are sent only once, are all archived, each once.
#[test]
fn a_state_directory_that_takes_nothing_at_midnight_costs_no_line() {
    for is_read_only in [false, true] {
        let Some(scene) = Scene::new("64m") else { return };
        let mut node = Node::start(&scene, "2026-11-23T22:59:54Z");
        let mut stream = node.connect();
        send(&mut stream, 0..200);
        node.wait_until_archived(200);
        node.take_nothing(is_read_only);
        node.sidecar.wait_until_it_says("J02");
        send(&mut stream, 200..400);
        std::thread::sleep(Duration::from_secs(1));
        node.take_again(is_read_only);
        send(&mut stream, 400..600);
        node.wait_until_archived(600);
        is_done(&node.stop());
        let days = archived(&scene.tree());
        assert_eq!((days.len(), days.concat()), (2, (0..600).collect()));
    }
}

/// If a sidecar is stopped while it waits for its state directory, it says what it could not do.
#[test]
fn a_sidecar_that_waits_for_its_state_directory_can_be_stopped() {
    let Some(scene) = Scene::new("64m") else { return };
    let mut node = Node::start(&scene, "2026-11-23T22:59:56Z");
    send(&mut node.connect(), 0..10);
    node.wait_until_archived(10);
    fill(&node.state);
    node.sidecar.wait_until_it_says("J02");
    let ended = node.stop();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.contains("error[L01]")), (Some(2), true), "{said}");
}

/// If a line that is too long arrives while the disk for its quarantine refuses writes, it is sealed
/// afterwards, and no other line is lost.
#[test]
fn a_line_that_cannot_be_sealed_now_is_sealed_later() {
    for is_read_only in [false, true] {
        let Some(scene) = Scene::new("64m") else { return };
        let mut node = Node::start(&scene, "2026-11-23T12:00:00Z");
        let mut stream = node.connect();
        send(&mut stream, 0..10);
        node.wait_until_archived(10);
        node.take_nothing(is_read_only);
        std::io::Write::write_all(&mut stream, too_long().as_bytes()).unwrap();
        node.sidecar.wait_until_it_says("J02");
        send(&mut stream, 10..20);
        std::thread::sleep(Duration::from_secs(1));
        assert!(node.sidecar.is_running(), "{}", node.sidecar.said());
        node.take_again(is_read_only);
        send(&mut stream, 20..30);
        node.wait_until_archived(30);
        let quarantine = std::fs::read_dir(node.state.0.join("quarantine")).unwrap().map(Result::unwrap);
        let sealed = quarantine.filter(|file| file.file_name().to_string_lossy().starts_with("qr_"));
        let sealed: Vec<_> = sealed.map(|file| file.metadata().unwrap().len()).collect();
        assert!(sealed.len() == 1 && sealed[0] >= too_long().len() as u64, "{sealed:?}");
        // Quarantined lines need an operator's attention.
        assert_eq!(node.stop().status.code(), Some(1));
        assert_eq!(archived(&scene.tree()).concat(), (0..30).collect::<Vec<_>>());
    }
}

/// If the sidecar is stopped meanwhile, it says so.
#[test]
fn a_sidecar_that_waits_to_seal_a_line_can_be_stopped() {
    let Some(scene) = Scene::new("64m") else { return };
    let mut node = Node::start(&scene, "2026-11-23T12:00:00Z");
    let mut stream = node.connect();
    send(&mut stream, 0..10);
    node.wait_until_archived(10);
    node.take_nothing(false);
    std::io::Write::write_all(&mut stream, too_long().as_bytes()).unwrap();
    node.sidecar.wait_until_it_says("J02");
    let ended = node.stop();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.contains("error[Q0")), (Some(2), true), "{said}");
}

/// Lines of a followed file are durable, but their offset cannot be recorded: the sidecar says so when
/// stopped.
#[test]
fn an_offset_that_cannot_be_kept_at_the_end_is_told() {
    let Some(scene) = Scene::new("64m") else { return };
    let disk = Mount::new(scene.directory.path().join("node"), "1m,mode=700").unwrap();
    let log = scene.directory.path().join("app.log");
    let write = |numbers: Range<u32>| {
        let line = |number| format!("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number {number}\n");
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
        std::io::Write::write_all(&mut file, numbers.map(line).collect::<String>().as_bytes()).unwrap();
    };
    write(0..10);
    let state = scene.follow("node/state", &log);
    let mut sidecar = scene.serve(&state);
    wait_until_read(&mut sidecar, &state, &log);
    // The offset is first written into the room reserved for it, and then finds none.
    fill(&disk);
    write(10..20);
    wait_until_read(&mut sidecar, &state, &log);
    std::fs::rename(disk.0.join("ballast"), disk.0.join("first")).unwrap();
    fill(&disk);
    write(20..30);
    sidecar.wait_until_it_says("I12");
    sidecar.stop();
    let ended = sidecar.ended();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.contains("error[I12]")), (Some(2), true), "{said}");
}

/// Commands that only look need no writable state directory.
#[test]
fn a_read_only_state_directory_can_be_looked_at() {
    let Some(scene) = Scene::new("64m") else { return };
    let disk = Mount::new(scene.directory.path().join("state"), "1m,mode=700").unwrap();
    let tree = scene.tree();
    let tree = tree.to_str().unwrap();
    is_done(&scene.filter("Nov 23 10:00:00 web1 app[7]: from 203.0.113.7 number 0\n"));
    let looks: [&[&str]; 2] = [&["hold", "list"], &["purge", "--dry-run", "--archive", tree]];
    for is_held in [false, true] {
        disk.remount("ro");
        looks.iter().for_each(|look| is_done(&scene.run(look, "")));
        disk.remount("rw");
        let add = ["hold", "add", "--archive", tree, "--case", "2026/1", "--until", "2026-12-01"];
        if !is_held {
            is_done(&scene.run(&add, ""));
        }
    }
}

/// The archive contains a part left by a sidecar that was killed.
#[test]
fn what_would_go_from_a_read_only_archive_can_be_looked_at() {
    let Some(scene) = Scene::new("64m") else { return };
    let state = scene.configure("state", "type = 'stdin'");
    let mut sidecar = scene.serve(&state);
    let mut input = sidecar.child.stdin.take().unwrap();
    let deadline = Instant::now() + PATIENCE;
    std::io::Write::write_all(&mut input, b"<13>1 - web1 app - - - from 203.0.113.7 number 0\n").unwrap();
    while archived(&scene.tree()).concat().is_empty() {
        assert!(Instant::now() < deadline, "it archives nothing: {}", sidecar.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(sidecar);
    scene.disk.remount("ro");
    let mut purge = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    purge.args(["purge", "--dry-run", "--confirm-clock", "--now", "2027-11-25T12:00:00Z", "--archive"]);
    let planned = purge.arg(scene.tree()).arg("--state-dir").arg(state).output().unwrap();
    is_done(&planned);
    assert!(String::from_utf8_lossy(&planned.stdout).contains(".log.zst.part"));
}

/// Senders are told to go on only if their lines have a place.
#[test]
fn an_archive_on_a_read_only_disk_is_refused_at_the_start() {
    let Some(scene) = Scene::new("1m") else { return };
    let state = scene.configure("state", "type = 'tcp'\nlisten = '127.0.0.1:0'");
    scene.disk.remount("ro");
    let ended = scene.serve(&state).ended();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("error[A01]") && !said.contains("listening"), "{said}");
}
