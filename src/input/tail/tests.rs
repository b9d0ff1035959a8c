//! Files that are written, renamed and truncated, both while they are followed and while they are not.

use super::*;
use crate::input::fake_deliver::FakeDeliver;
use crate::primitives::storage::{Disk, Fault, Memory, Storage};
use std::fs::{File, OpenOptions};
use std::future::ready;
use std::io::Write as _;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A log in a directory of its own.
struct Scene {
    directory: TempDir,
    delivered: FakeDeliver,
}

/// A task that follows the log.
struct Follower {
    task: JoinHandle<Result<(), TailError>>,
    stop: oneshot::Sender<()>,
}

impl Scene {
    fn new(delivered: FakeDeliver) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), delivered }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("log").join(name)
    }

    /// Appends to a file; makes it if necessary.
    fn write(&self, name: &str, text: &str) -> File {
        fs::create_dir_all(self.directory.path().join("log")).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Waits until a new file would be younger than `name`: the clock of a file system ticks slowly.
    async fn tick(&self, name: &str) {
        let of = |path: &Path| Identity::of(&fs::metadata(path).unwrap());
        let probe = self.directory.path().join("probe");
        let start = Instant::now();
        loop {
            fs::write(&probe, "").unwrap();
            if of(&probe).is_younger_than(&of(&self.path(name))) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the file system keeps no times of birth");
            fs::remove_file(&probe).unwrap();
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            path: self.path("a.log"),
            pattern: None,
            max_record_bytes: 32,
            poll: Duration::from_millis(1),
            linger: Duration::from_secs(1),
        }
    }

    fn follow(&self) -> Follower {
        self.follow_as("a.log", Claims::default())
    }

    fn follow_as(&self, name: &str, claims: Claims) -> Follower {
        self.follow_by(Settings { path: self.path(name), ..self.settings() }, claims)
    }

    fn follow_by(&self, settings: Settings, claims: Claims) -> Follower {
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let offsets = Offsets::open(&storage, self.directory.path(), &settings.path).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let task = tokio::spawn(follow(settings, claims, self.delivered.clone(), offsets, stopped));
        Follower { task, stop }
    }

    /// Waits until exactly these lines were delivered.
    async fn expect(&self, expected: &str) {
        self.until(|text| text == expected, expected).await;
    }

    /// Waits until these lines were delivered, in any order.
    async fn expect_all(&self, expected: &[&str]) {
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        self.until(|text| sorted(text) == expected, &expected.join("\n")).await;
    }

    /// Waits until these bytes were delivered to be sealed.
    async fn expect_sealed(&self, expected: &str) {
        let sealed = || self.delivered.long.lock().unwrap().clone();
        self.until(|_| sealed() == expected.as_bytes(), expected).await;
    }

    async fn until(&self, reached: impl Fn(&str) -> bool, expected: &str) {
        let start = Instant::now();
        while !reached(&self.delivered.text()) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{} instead of {expected}",
                self.delivered.text()
            );
            time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Follower {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Ends the task as a crash does.
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn what_is_written_is_delivered_line_by_line() {
    let scene = Scene::new(FakeDeliver::durable());
    let follower = scene.follow();
    scene.write("a.log", "one\ntw");
    scene.expect("one\n").await;
    scene.write("a.log", "o\r\nthree\n\nlast");
    scene.expect("one\ntwo\r\nthree\n").await;
    follower.stop().await;
    // The rest of the line may still come, so the line was not read.
    scene.write("a.log", " one\n");
    let follower = scene.follow();
    scene.expect("one\ntwo\r\nthree\nlast one\n").await;
    follower.stop().await;
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end() {
    let scene = Scene::new(FakeDeliver::durable());
    let follower = scene.follow();
    let mut old = scene.write("a.log", "1\n");
    scene.expect("1\n").await;
    scene.rename("a.log", "a.log.1");
    old.write_all(b"2\n").unwrap();
    scene.write("a.log", "4\n");
    scene.expect_all(&["1", "2", "4"]).await;
    // The writer has not opened the new file yet, and ends in the middle of a line.
    old.write_all(b"203.0.11").unwrap();
    scene.expect_sealed("203.0.11").await;
    scene.expect_all(&["1", "2", "4"]).await;
    follower.stop().await;
}

#[tokio::test]
async fn a_file_that_was_cut_is_read_from_its_beginning() {
    let scene = Scene::new(FakeDeliver::durable());
    let follower = scene.follow();
    let file = scene.write("a.log", "one\ntwo\n203.0.11");
    scene.expect("one\ntwo\n").await;
    file.set_len(0).unwrap();
    // The writer does not notice the truncation: both halves of the address are sealed.
    scene.write("a.log", "3.7\nfour\n");
    scene.expect("one\ntwo\nfour\n").await;
    scene.expect_sealed("203.0.113.7").await;
    // Truncated, and longer than before at the next look.
    let (new, path) = (scene.path("new"), scene.path("a.log"));
    fs::write(&new, "a much longer first line\nand another\n").unwrap();
    fs::copy(new, path).unwrap();
    scene.expect("one\ntwo\nfour\na much longer first line\nand another\n").await;
    follower.stop().await;
}

/// The second half of an address does not look like one.
#[tokio::test]
async fn the_rest_of_a_line_that_a_cut_tore_is_sealed_after_a_restart_as_well() {
    for (before, after, sealed) in [
        ("", "3.7\nfour\n", "203.0.113.7"),
        ("3.", "7\nfour\n", "203.0.113.3.7"),
        // The writer had only the line feed to add.
        ("", "\nfour\n", "203.0.11"),
    ] {
        let scene = Scene::new(FakeDeliver::durable());
        let follower = scene.follow();
        let file = scene.write("a.log", "one\ntwo\n203.0.11");
        scene.expect("one\ntwo\n").await;
        file.set_len(0).unwrap();
        scene.expect_sealed("203.0.11").await;
        scene.write("a.log", before);
        scene.expect_sealed(&format!("203.0.11{before}")).await;
        follower.stop().await;
        let follower = scene.follow();
        time::sleep(Duration::from_millis(20)).await;
        follower.stop().await;
        let follower = scene.follow();
        scene.write("a.log", after);
        scene.expect("one\ntwo\nfour\n").await;
        scene.expect_sealed(sealed).await;
        follower.stop().await;
        // Only once: what comes after it is whole.
        let follower = scene.follow();
        scene.write("a.log", "five\n");
        scene.expect("one\ntwo\nfour\nfive\n").await;
        scene.expect_sealed(sealed).await;
        follower.stop().await;
    }
}

#[tokio::test]
async fn the_rest_of_a_line_that_was_torn_while_nobody_followed_is_sealed() {
    let scene = Scene::new(FakeDeliver::durable());
    let follower = scene.follow();
    let file = scene.write("a.log", "one\n203.0.11");
    scene.expect("one\n").await;
    time::sleep(Duration::from_millis(20)).await;
    follower.stop().await;
    file.set_len(0).unwrap();
    scene.write("a.log", "3.7\nthree\n");
    let follower = scene.follow();
    scene.expect("one\nthree\n").await;
    scene.expect_sealed("3.7").await;
    follower.stop().await;
}

#[tokio::test]
async fn what_was_not_durable_at_a_crash_is_read_again() {
    let scene = Scene::new(FakeDeliver::default());
    scene.write("a.log", "one\n");
    let follower = scene.follow();
    scene.expect("one\n").await;
    // Durable, and the offset is kept.
    scene.delivered.receipts.lock().unwrap().pop_front().unwrap().send(()).unwrap();
    follower.stop().await;
    let follower = scene.follow();
    scene.write("a.log", "two\n");
    scene.expect("one\ntwo\n").await;
    follower.crash().await;
    let follower = scene.follow();
    scene.expect("one\ntwo\ntwo\n").await;
    let receipts = std::mem::take(&mut *scene.delivered.receipts.lock().unwrap());
    for receipt in receipts {
        // Nobody waits for the receipt of the follower that crashed.
        let _ = receipt.send(());
    }
    follower.stop().await;
    let follower = scene.follow();
    scene.write("a.log", "three\n");
    scene.expect("one\ntwo\ntwo\nthree\n").await;
    follower.crash().await;
}

#[tokio::test]
async fn what_is_lost_ends_it_and_is_read_again() {
    let scene = Scene::new(FakeDeliver::default());
    scene.write("a.log", "one\n");
    let follower = scene.follow();
    scene.expect("one\n").await;
    scene.delivered.receipts.lock().unwrap().clear();
    assert!(matches!(follower.task.await.unwrap(), Err(TailError::Lost(Lost))));
    let follower = scene.follow();
    scene.expect("one\none\n").await;
    follower.crash().await;
}

/// As when the disk of the archive is full: every start makes a little durable, and ends.
#[tokio::test]
async fn what_was_durable_when_the_rest_was_lost_is_not_read_again() {
    let scene = Scene::new(FakeDeliver::default());
    scene.write("a.log", "one\n");
    let follower = scene.follow();
    scene.expect("one\n").await;
    scene.write("a.log", "two\n");
    scene.expect("one\ntwo\n").await;
    {
        let mut receipts = scene.delivered.receipts.lock().unwrap();
        receipts.pop_front().unwrap().send(()).unwrap();
        receipts.clear();
    }
    assert!(matches!(follower.task.await.unwrap(), Err(TailError::Lost(Lost))));
    let follower = scene.follow();
    scene.expect("one\ntwo\ntwo\n").await;
    follower.crash().await;
}

/// As when the disk of the state directory is full: offsets that cannot be kept are still known, and nothing
/// more is read.
#[tokio::test]
async fn nothing_is_read_twice_when_offsets_cannot_be_kept() {
    let scene = Scene::new(FakeDeliver::durable());
    let (memory, path) = (Memory::new(), scene.path("a.log"));
    let open = |memory: &Memory| {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        Offsets::open(&storage, Path::new("/s"), &path).unwrap()
    };
    open(&memory);
    let full = open(&memory.with_fault(Fault::Full(0)));
    let look_once =
        || follow(scene.settings(), Claims::default(), scene.delivered.clone(), full.clone(), ready(()));
    scene.write("a.log", "one\n");
    assert!(matches!(look_once().await, Err(TailError::Offsets(_))));
    scene.write("a.log", "two\n");
    assert!(matches!(look_once().await, Err(TailError::Offsets(_))));
    assert_eq!(scene.delivered.text(), "one\n");
}

#[tokio::test]
async fn rotations_while_nobody_follows_are_made_up_for() {
    let scene = Scene::new(FakeDeliver::durable());
    scene.write("a.log", "1\n");
    let follower = scene.follow();
    scene.expect("1\n").await;
    follower.stop().await;
    scene.write("a.log", "2\n3");
    scene.tick("a.log").await;
    scene.rename("a.log", "a.log.1");
    scene.write("a.log", "4\n");
    scene.rename("a.log.1", "a.log.2");
    scene.rename("a.log", "a.log.1");
    scene.write("a.log", "5\n");
    // None of these files is read.
    scene.write("a.log.3.gz", "x\n");
    scene.write("b.log", "x\n");
    scene.write("a.logs", "x\n");
    let follower = scene.follow();
    scene.expect_all(&["1", "2", "4", "5"]).await;
    scene.expect_sealed("3").await;
    follower.stop().await;
    let follower = scene.follow();
    scene.write("a.log", "6\n");
    scene.expect_all(&["1", "2", "4", "5", "6"]).await;
    scene.expect_sealed("3").await;
    follower.stop().await;
}

#[tokio::test]
async fn a_file_cut_while_nobody_follows_is_read_from_its_beginning() {
    let scene = Scene::new(FakeDeliver::durable());
    let file = scene.write("a.log", "one\n");
    let follower = scene.follow();
    scene.expect("one\n").await;
    follower.stop().await;
    file.set_len(0).unwrap();
    scene.write("a.log", "longer\n");
    let follower = scene.follow();
    scene.expect("one\nlonger\n").await;
    follower.stop().await;
}

#[tokio::test]
async fn a_long_line_is_sealed() {
    let scene = Scene::new(FakeDeliver::durable());
    let long = "x".repeat(100);
    scene.write("a.log", &format!("one\n{long}\ntwo\n"));
    let follower = scene.follow();
    scene.expect("one\ntwo\n").await;
    assert_eq!(*scene.delivered.long.lock().unwrap(), long.as_bytes());
    follower.stop().await;
}

#[tokio::test]
async fn a_file_with_two_names_is_followed_under_one_and_read_on_under_the_other() {
    let (scene, claims) = (Scene::new(FakeDeliver::durable()), Claims::default());
    scene.write("a.log", "one\n");
    let first = scene.follow_as("a.log", claims.clone());
    let second = scene.follow_as("b.log", claims);
    scene.expect("one\n").await;
    fs::hard_link(scene.path("a.log"), scene.path("b.log")).unwrap();
    scene.write("b.log", "two\n");
    scene.expect("one\ntwo\n").await;
    // Longer than many looks.
    time::sleep(Duration::from_millis(100)).await;
    scene.expect("one\ntwo\n").await;
    first.stop().await;
    scene.write("a.log", "three\n");
    scene.expect("one\ntwo\nthree\n").await;
    second.stop().await;
    scene.expect("one\ntwo\nthree\n").await;
}

/// Time passes between looks, and while a required output is full nothing is read for hours.
#[tokio::test]
async fn a_rotation_that_nobody_saw_is_made_up_for() {
    let scene = Scene::new(FakeDeliver::durable());
    scene.write("a.log", "one\n");
    let slow = Settings { poll: Duration::from_millis(500), ..scene.settings() };
    let follower = scene.follow_by(slow, Claims::default());
    scene.expect("one\n").await;
    scene.tick("a.log").await;
    for text in ["two\n", "three\n"] {
        let rotated = [("a.log.1", "a.log.2"), ("a.log", "a.log.1")];
        rotated
            .iter()
            .filter(|(from, _)| scene.path(from).exists())
            .for_each(|(from, to)| scene.rename(from, to));
        scene.write("a.log", text);
        scene.tick("a.log").await;
    }
    scene.expect("one\ntwo\nthree\n").await;
    follower.stop().await;
}

/// Somebody who may rename a log and make names next to it cannot have another file read.
#[tokio::test]
async fn below_the_directory_of_a_pattern_no_link_is_followed() {
    use std::os::unix::fs::symlink;
    let scene = Scene::new(FakeDeliver::durable());
    let secret = scene.directory.path().join("secret");
    scene.write("a.log", "one\n");
    let pattern = Pattern::of(&scene.directory.path().join("*/*.log")).unwrap();
    let follower =
        scene.follow_by(Settings { pattern: pattern.clone(), ..scene.settings() }, Claims::default());
    scene.expect("one\n").await;
    scene.tick("a.log").await;
    fs::write(&secret, "secret\n").unwrap();
    let mut old = scene.write("a.log", "");
    scene.rename("a.log", "a.log.2");
    symlink(&secret, scene.path("a.log")).unwrap();
    symlink(&secret, scene.path("a.log.1")).unwrap();
    old.write_all(b"two\n").unwrap();
    scene.expect("one\ntwo\n").await;
    // Longer than many looks.
    time::sleep(Duration::from_millis(100)).await;
    scene.expect("one\ntwo\n").await;
    fs::remove_file(scene.path("a.log")).unwrap();
    scene.write("a.log", "three\n");
    scene.expect("one\ntwo\nthree\n").await;
    follower.stop().await;

    // Nor is a linked directory on the way followed.
    fs::rename(scene.directory.path().join("log"), scene.directory.path().join("elsewhere")).unwrap();
    symlink("elsewhere", scene.directory.path().join("log")).unwrap();
    scene.write("a.log", "four\n");
    let follower = scene.follow_by(Settings { pattern, ..scene.settings() }, Claims::default());
    let ended = time::timeout(Duration::from_secs(20), follower.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(TailError::Read(_))), "{ended:?}");
    scene.expect("one\ntwo\nthree\n").await;
}

/// Opening it would wait for a writer, on a thread that others need.
#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let scene = Scene::new(FakeDeliver::durable());
    scene.write("b.log", "");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, scene.path("a.log"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let follower = scene.follow();
    let ended = time::timeout(Duration::from_secs(20), follower.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(TailError::Read(_))), "{ended:?}");
}

/// No address in it would be found. It may come byte by byte.
#[tokio::test]
async fn nothing_is_read_of_a_file_that_is_no_text() {
    let scene = Scene::new(FakeDeliver::durable());
    let mut file = scene.write("a.log", "");
    let follower = scene.follow();
    for byte in b"\xff\xfe2\x000\x003\0\n\0" {
        file.write_all(&[*byte]).unwrap();
        time::sleep(Duration::from_millis(5)).await;
    }
    file.write_all(b"203.0.113.7\n").unwrap();
    time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.delivered.text(), "");
    follower.stop().await;
    let follower = scene.follow();
    scene.rename("a.log", "a.log.1");
    // Others are read meanwhile, and so is a file that begins again as text.
    let second = scene.write("a.log", "two\n");
    scene.expect("two\n").await;
    second.set_len(0).unwrap();
    scene.write("a.log", "\u{1f}\n");
    scene.expect("two\n\u{1f}\n").await;
    follower.stop().await;
    assert_eq!(*scene.delivered.long.lock().unwrap(), b"");
    fs::write(scene.path("b.log"), b"\x1f\x8b\x08\0 203.0.113.7\n").unwrap();
    let follower = scene.follow_as("b.log", Claims::default());
    time::sleep(Duration::from_millis(100)).await;
    fs::write(scene.path("b.log"), b"").unwrap();
    scene.write("b.log", "text again\n");
    scene.expect("two\n\u{1f}\ntext again\n").await;
    follower.stop().await;
}

/// The first file may be rotated before anybody has looked.
#[tokio::test]
async fn the_first_file_of_a_path_is_read_although_it_was_rotated_at_once() {
    let scene = Scene::new(FakeDeliver::durable());
    scene.write("a.log.1", "long ago\n");
    let slow = Settings { poll: Duration::from_millis(500), ..scene.settings() };
    let follower = scene.follow_by(slow, Claims::default());
    // It has looked once.
    time::sleep(Duration::from_millis(100)).await;
    scene.rename("a.log.1", "a.log.2");
    scene.write("a.log", "one\n");
    scene.rename("a.log", "a.log.1");
    scene.write("a.log", "two\n");
    scene.expect_all(&["one", "two"]).await;
    time::sleep(Duration::from_millis(100)).await;
    scene.expect_all(&["one", "two"]).await;
    follower.stop().await;
}
