//! A system that gives few threads: those that there are do the work, or the program says what it lacks. Root
//! may have as many as it likes, so the tests run the program as another user, with `prlimit`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const LINES: usize = 20_000;
/// The number with which everything has its thread.
const ENOUGH: u32 = 64;

/// A directory with lines, a key and the program.
struct Scene {
    directory: tempfile::TempDir,
    /// Its owner, whom no other test is: the threads of all processes of a user count.
    user: u32,
}

impl Scene {
    fn new(number: u32) -> Option<Self> {
        let user = 60_000 + std::process::id() % 1000 * 4 + number;
        let scene = Self { directory: tempfile::tempdir().unwrap(), user };
        fs::write(scene.path("key"), [7; 32]).unwrap();
        fs::set_permissions(scene.path("key"), Permissions::from_mode(0o600)).unwrap();
        let line =
            |number| format!("<13>1 2026-11-23T10:00:00Z web1 app - - - from 203.0.113.7 number {number}\n");
        fs::write(scene.path("lines"), (0..LINES).map(line).collect::<String>()).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_oubliette"), scene.path("oubliette")).unwrap();
        let is_given = |name: &str| scene.give(name).is_ok();
        let can_limit = Command::new("prlimit").arg("--version").output().is_ok();
        (["", "key", "lines"].into_iter().all(is_given) && can_limit).then_some(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn give(&self, name: &str) -> std::io::Result<()> {
        lchown(self.path(name), Some(self.user), Some(self.user))
    }

    /// Runs the program with so many threads, its own included; it must end.
    fn run(&self, threads: u32, command: &[&str]) -> Output {
        let mut run = Command::new("prlimit");
        run.arg(format!("--nproc={threads}")).arg(self.path("oubliette")).args(command);
        run.args(["--workers", "3", "--now", "2026-11-23T12:00:00Z"]);
        run.current_dir(self.path("")).env("HOME", self.path(""));
        run.uid(self.user).gid(self.user).stdin(File::open(self.path("lines")).unwrap());
        let (out, told) = (self.path("out"), self.path("told"));
        run.stdout(File::create(&out).unwrap()).stderr(File::create(&told).unwrap());
        let (mut child, begun) = (run.spawn().unwrap(), Instant::now());
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("with {threads} threads it does not end: {}", fs::read_to_string(told).unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(told).unwrap() }
    }
}

/// Asserts that it did everything, or says that it lacks a thread; returns whether it did.
fn is_done(output: &Output, threads: u32) -> bool {
    let told = String::from_utf8_lossy(&output.stderr);
    let lacks = ["error[A01]: a thread of the archive is missing", "error[J01]: the sidecar cannot start"];
    match output.status.code() {
        Some(0) => return true,
        Some(2) if lacks.iter().any(|lacks| told.contains(lacks)) && !told.contains("C08") => {}
        code => panic!("with {threads} threads: {code:?} {told}"),
    }
    assert!(threads < ENOUGH, "{told}");
    false
}

#[test]
fn a_filter_needs_no_thread_but_its_own() {
    let Some(scene) = Scene::new(0) else { return };
    for threads in 0..6 {
        let filtered = scene.run(threads, &["filter", "--key-file", "key"]);
        assert!(is_done(&filtered, threads));
        assert_eq!(filtered.stdout.iter().filter(|byte| **byte == b'\n').count(), LINES, "{threads}");
    }
}

#[test]
fn an_archive_is_whole_or_says_which_thread_it_lacks() {
    let Some(scene) = Scene::new(1) else { return };
    let mut fewest = None;
    for threads in (0..12).chain([ENOUGH]) {
        let archive = format!("log-{threads}");
        let command = ["filter", "--key-file", "key", "--escrow", "none", "--archive", &archive];
        let is_done = is_done(&scene.run(threads, &command), threads);
        fewest = fewest.or(is_done.then_some(threads));
        assert!(is_done || fewest.is_none(), "{threads}");
    }
    assert!(fewest.is_some());
}

/// Its only input is the standard input, so it ends with that.
#[test]
fn a_sidecar_serves_or_says_that_it_lacks_a_thread() {
    let Some(scene) = Scene::new(2) else { return };
    for threads in (0..12).chain([ENOUGH]) {
        let state = scene.path("state");
        let _ = fs::remove_dir_all(&state);
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        let config = "escrow = 'none'\n[serve.metrics]\nlisten = 'none'\n[[serve.input]]\ntype = 'stdin'\n";
        fs::write(state.join("config.toml"), config).unwrap();
        ["state", "state/config.toml"].iter().for_each(|name| scene.give(name).unwrap());
        is_done(&scene.run(threads, &["serve", "--state-dir", "state"]), threads);
    }
}
