//! Deliveries over links that break.

use super::*;
use crate::model::Expires;
use crate::output::Lines;
use crate::output::spool::{self, Writer};
use crate::primitives::storage::{Fault, Memory, Storage};
use crate::pseudonym::Pseudonymised;
use std::path::Path;
use std::sync::Mutex;

/// A target whose links break after `sends_a_link` sends. The receiver has the last of these, but does not
/// answer it.
#[derive(Clone)]
struct Flaky {
    got: Arc<Mutex<String>>,
    sends_a_link: usize,
    window: usize,
}

struct FlakyLink {
    target: Flaky,
    left: usize,
    unanswered: usize,
}

impl Target for Flaky {
    type Link = FlakyLink;

    async fn link(&mut self) -> io::Result<FlakyLink> {
        Ok(FlakyLink { left: self.sends_a_link, target: self.clone(), unanswered: 0 })
    }
}

impl Link for FlakyLink {
    fn has_room(&self) -> bool {
        self.unanswered < self.target.window
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        self.target.got.lock().unwrap().push_str(std::str::from_utf8(&lines.bytes).unwrap());
        self.unanswered += 1;
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.unanswered == 0 {
            return std::future::pending().await;
        }
        time::sleep(Duration::from_millis(1)).await;
        if self.left == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.left -= 1;
        self.unanswered -= 1;
        Ok(())
    }

    async fn close(self) -> io::Result<u64> {
        Ok(0)
    }
}

fn spool() -> (Writer, Reader) {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let (writer, reader, _) = spool::open(&storage, Path::new("/s"), 1 << 20).unwrap();
    (writer, reader)
}

fn write(writer: &mut Writer, lines: std::ops::Range<u64>) {
    for number in lines {
        let line = number.to_string();
        writer.append(&Pseudonymised::of_lines(Expires::Contract, &[(&line, 0)]), None).unwrap();
    }
}

fn delivery<T: Target>(target: T, reader: Reader, meter: &Arc<Meter>) -> Delivery<T> {
    let settings = Settings {
        name: "test".to_owned(),
        clock: Clock::System,
        certain: Certain::always(),
        zone: TimeZone::UTC,
        drain: Duration::from_secs(3600),
    };
    Delivery::new(settings, target, reader, Arc::clone(meter))
}

#[tokio::test(start_paused = true)]
async fn what_was_not_answered_is_sent_again_and_counted() {
    for window in [1, 3] {
        let (mut writer, reader) = spool();
        let (got, meter) = (Arc::new(Mutex::new(String::new())), Arc::new(Meter::default()));
        let target = Flaky { got: Arc::clone(&got), sends_a_link: 7, window };
        let delivering = tokio::spawn(delivery(target, reader, &meter).run());
        write(&mut writer, 0..50);
        tokio::task::yield_now().await;
        write(&mut writer, 50..100);
        drop(writer);
        delivering.await.unwrap();
        let got = got.lock().unwrap().clone();
        let mut numbers: Vec<u64> = got.lines().map(|line| line.parse().unwrap()).collect();
        let total = numbers.len() as u64;
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert_eq!(meter.delivered.load(Ordering::Relaxed), 100);
        assert_eq!(total - 100, meter.resent.load(Ordering::Relaxed));
        assert!(total > 100 && meter.failures.load(Ordering::Relaxed) >= 13);
    }
}

/// A target to which no link can be made.
struct Away;

impl Target for Away {
    type Link = FlakyLink;

    async fn link(&mut self) -> io::Result<FlakyLink> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_at_the_end_stays() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let open = || spool::open(&storage, Path::new("/s"), 1 << 20).unwrap();
    let (mut writer, reader, _) = open();
    let meter = Arc::new(Meter::default());
    write(&mut writer, 0..3);
    drop(writer);
    let start = Instant::now();
    delivery(Away, reader, &meter).run().await;
    assert!(start.elapsed() >= Duration::from_secs(3600));
    let (_writer, reader, _) = open();
    assert_eq!(reader.level().lines, 3);
}

/// Returns whether a file of the spool holds a line that has expired.
fn holds_expired(memory: &Memory) -> bool {
    memory.files().values().any(|bytes| bytes.windows(8).any(|window| window == b"expired\n"))
}

#[tokio::test(start_paused = true)]
async fn expired_lines_are_overwritten_while_the_receiver_is_away() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let open = || spool::open(&storage, Path::new("/s"), 1 << 20).unwrap();
    let past = Expires::On(jiff::civil::date(2020, 1, 1));
    open().0.append(&Pseudonymised::of_lines(past, &[("expired", 0)]), None).unwrap();
    let (writer, reader, _) = open();
    assert!(holds_expired(&memory));
    let delivering = tokio::spawn(delivery(Away, reader, &Arc::default()).run());
    time::sleep(Duration::from_secs(1)).await;
    assert!(!holds_expired(&memory));
    drop(writer);
    delivering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn expired_lines_are_overwritten_once_their_file_is_written_no_more() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let (mut writer, reader, _) = spool::open(&storage, Path::new("/s"), 1 << 20).unwrap();
    let past = Expires::On(jiff::civil::date(2020, 1, 1));
    writer.append(&Pseudonymised::of_lines(past, &[("expired", 0)]), None).unwrap();
    let delivering = tokio::spawn(delivery(Away, reader, &Arc::default()).run());
    time::sleep(Duration::from_secs(1)).await;
    assert!(holds_expired(&memory));
    // So long that it ends the file.
    let long = "x".repeat(200 << 10);
    writer.append(&Pseudonymised::of_lines(Expires::Contract, &[(&long, 0)]), None).unwrap();
    time::sleep(Duration::from_secs(200)).await;
    assert!(!holds_expired(&memory));
    drop(writer);
    delivering.await.unwrap();
}

/// A clock that starts years ahead would erase what nobody can bring back.
#[tokio::test(start_paused = true)]
async fn by_a_clock_that_has_jumped_nothing_expires_until_it_is_confirmed() {
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let open = || spool::open(&storage, Path::new("/s"), 1 << 20).unwrap();
    let expires = Expires::On(jiff::civil::date(2027, 11, 24));
    open().0.append(&Pseudonymised::of_lines(expires, &[("expired", 0)]), None).unwrap();
    let (writer, reader, _) = open();
    let believed = Arc::new(Mutex::new("2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap()));
    let asked = Arc::clone(&believed);
    let (got, meter) = (Arc::new(Mutex::new(String::new())), Arc::default());
    let target = Flaky { got: Arc::clone(&got), sends_a_link: 0, window: 1 };
    let mut delivery = delivery(target, reader, &meter);
    delivery.settings.clock = Clock::Fixed("2099-01-01T00:00:00Z".parse().unwrap());
    delivery.settings.certain = Certain::new(move || *asked.lock().unwrap());
    let delivering = tokio::spawn(delivery.run());
    time::sleep(Duration::from_secs(200)).await;
    assert!(holds_expired(&memory) && got.lock().unwrap().starts_with("expired\n"), "it is sent as before");
    assert_eq!((writer.level().lines, writer.level().expired), (1, 0));
    *believed.lock().unwrap() = Timestamp::MAX;
    time::sleep(Duration::from_secs(200)).await;
    assert!(!holds_expired(&memory));
    writer.close();
    delivering.await.unwrap();
}

/// A target that breaks while nothing is sent, is away for one more attempt, and comes back.
struct Restarted(u32);

/// A link that takes over whatever it is sent.
struct Idle {
    unanswered: usize,
    breaks: bool,
}

impl Target for Restarted {
    type Link = Idle;

    async fn link(&mut self) -> io::Result<Idle> {
        self.0 += 1;
        match self.0 {
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            number => Ok(Idle { unanswered: 0, breaks: number == 1 }),
        }
    }
}

impl Link for Idle {
    fn has_room(&self) -> bool {
        true
    }

    async fn send(&mut self, _: &Lines) -> io::Result<()> {
        self.unanswered += 1;
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.unanswered > 0 {
            self.unanswered -= 1;
            return Ok(());
        }
        if self.breaks { Err(io::ErrorKind::ConnectionReset.into()) } else { std::future::pending().await }
    }

    async fn close(self) -> io::Result<u64> {
        Ok(0)
    }
}

/// A target whose first links break before anything is answered.
struct Unsteady(Flaky, usize);

impl Target for Unsteady {
    type Link = FlakyLink;

    async fn link(&mut self) -> io::Result<FlakyLink> {
        let breaks = self.1 > 0;
        self.1 = self.1.saturating_sub(1);
        Ok(FlakyLink { left: if breaks { 0 } else { usize::MAX }, ..self.0.link().await? })
    }
}

#[tokio::test(start_paused = true)]
async fn lines_after_expired_ones_are_delivered_at_a_stop_after_links_that_broke() {
    let (mut writer, reader) = spool();
    let past = Expires::On(jiff::civil::date(2020, 1, 1));
    let expired = Pseudonymised::of_lines(past, &[("expired", 0), ("expired", 0)]);
    writer.append(&expired, None).unwrap();
    write(&mut writer, 0..3);
    writer.append(&expired, None).unwrap();
    writer.close();
    let (got, meter) = (Arc::new(Mutex::new(String::new())), Arc::new(Meter::default()));
    let target = Flaky { got: Arc::clone(&got), sends_a_link: 0, window: 1 };
    delivery(Unsteady(target, 4), reader, &meter).run().await;
    assert_eq!(*got.lock().unwrap(), "0\n0\n0\n0\n0\n1\n2\n");
    assert_eq!(meter.delivered.load(Ordering::Relaxed), 3);
    assert_eq!((writer.level().lines, writer.level().expired), (0, 4));
}

/// A receiver that answers when the link is closed, and then refuses one line.
struct LateAnswers;

impl Target for LateAnswers {
    type Link = Self;

    async fn link(&mut self) -> io::Result<Self> {
        Ok(Self)
    }
}

impl Link for LateAnswers {
    fn has_room(&self) -> bool {
        true
    }

    async fn send(&mut self, _: &Lines) -> io::Result<()> {
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        std::future::pending().await
    }

    async fn close(self) -> io::Result<u64> {
        Ok(1)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_at_the_close_is_not_delivered() {
    let (mut writer, reader) = spool();
    let meter = Arc::new(Meter::default());
    write(&mut writer, 0..3);
    writer.close();
    let mut delivery = delivery(LateAnswers, reader, &meter);
    delivery.settings.drain = Duration::from_secs(10);
    delivery.run().await;
    let counts = [&meter.delivered, &meter.refused, &meter.resent];
    assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [2, 1, 0]);
    assert_eq!(writer.level().lines, 0);
}

/// Nobody has to send a line to find out whether a receiver is there.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_breaks_off_is_away_until_it_is_back() {
    let (mut writer, reader) = spool();
    let meter = Arc::new(Meter::default());
    let delivering = tokio::spawn(delivery(Restarted(0), reader, &meter).run());
    write(&mut writer, 0..1);
    let until = async |linked, failures| {
        for _ in 0..10_000 {
            let is = (meter.linked.load(Ordering::Relaxed), meter.failures.load(Ordering::Relaxed));
            if is == (linked, failures) {
                return meter.away.load(Ordering::Relaxed);
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it is never linked {linked} after {failures} failures");
    };
    assert!(until(false, 1).await);
    assert!(until(false, 2).await);
    assert!(!until(true, 2).await);
    drop(writer);
    delivering.await.unwrap();
}

/// Any operation fails once, or all fail for want of room from then on: the waiting lines are delivered
/// nevertheless.
#[tokio::test(start_paused = true)]
async fn a_spool_that_fails_for_a_while_holds_nothing_up_for_ever() {
    let memory = Memory::new();
    let open = |memory: &Memory| {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        spool::open(&storage, Path::new("/s"), 1 << 20)
    };
    let (mut writer, ..) = open(&memory).unwrap();
    let past = Expires::On(jiff::civil::date(2020, 1, 1));
    writer.append(&Pseudonymised::of_lines(past, &[("expired", 0)]), None).unwrap();
    write(&mut writer, 0..3);
    drop(writer);
    let mut opened = 0;
    for at in 0..20 {
        for fault in [Fault::Full(at), Fault::Fail(at, io::ErrorKind::Other)] {
            let memory = memory.with_fault(fault);
            let Ok((writer, reader, _)) = open(&memory) else { continue };
            drop(writer);
            opened += 1;
            let (got, meter) = (Arc::new(Mutex::new(String::new())), Arc::new(Meter::default()));
            let target = Flaky { got: Arc::clone(&got), sends_a_link: 100, window: 2 };
            delivery(target, reader, &meter).run().await;
            assert_eq!(*got.lock().unwrap(), "0\n1\n2\n", "{fault:?}");
        }
    }
    assert!(opened > 20);
}

/// As without descriptors, a file of the spool cannot be opened for a while.
#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_read_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(crate::primitives::storage::Disk);
    let (mut writer, reader, _) = spool::open(&storage, directory.path(), 1 << 20).unwrap();
    let (got, meter) = (Arc::new(Mutex::new(String::new())), Arc::new(Meter::default()));
    let target = Flaky { got: Arc::clone(&got), sends_a_link: 100, window: 2 };
    write(&mut writer, 0..2);
    let is_file = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "spool");
    let mut paths = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(is_file).unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    let delivering = tokio::spawn(delivery(target, reader, &meter).run());
    time::sleep(Duration::from_secs(100)).await;
    assert_eq!(*got.lock().unwrap(), "");
    assert!(meter.away.load(Ordering::Relaxed));
    std::fs::rename(path.with_extension("away"), &path).unwrap();
    time::sleep(Duration::from_secs(100)).await;
    assert_eq!(*got.lock().unwrap(), "0\n1\n");
    drop(writer);
    delivering.await.unwrap();
}
