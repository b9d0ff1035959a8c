//! Tests of outputs that are away, slow or full.

use super::*;
use crate::model::Expires;
use crate::output::{Lines, Link};
use crate::primitives::clock::Clock;
use crate::primitives::storage::{Fault, Memory, Survives};
use jiff::tz::TimeZone;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

const CAN_WAIT: SenderKind = SenderKind::CanWait;
const CANNOT_WAIT: SenderKind = SenderKind::CannotWait;

/// A receiver that accepts links while `is_there` is set.
#[derive(Clone, Default)]
pub(in crate::pipeline) struct Receiver {
    is_there: Arc<AtomicBool>,
    got: Arc<Mutex<String>>,
}

pub(in crate::pipeline) struct Wire(Receiver, usize);

impl Target for Receiver {
    type Link = Wire;

    async fn link(&mut self) -> io::Result<Wire> {
        match self.is_there.load(Ordering::Relaxed) {
            true => Ok(Wire(self.clone(), 0)),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Link for Wire {
    fn has_room(&self) -> bool {
        true
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        self.0.got.lock().unwrap().push_str(std::str::from_utf8(&lines.bytes).unwrap());
        self.1 += 1;
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        if self.1 == 0 {
            return std::future::pending().await;
        }
        self.1 -= 1;
        Ok(())
    }

    async fn close(self) -> io::Result<u64> {
        Ok(0)
    }
}

pub(in crate::pipeline) fn outlet(
    memory: &Memory,
    receiver: &Receiver,
    required: bool,
    most_spool_bytes: u64,
) -> Outlet {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let delivery = delivery::Settings {
        name: "test".to_owned(),
        clock: Clock::System,
        certain: delivery::Certain::always(),
        zone: TimeZone::UTC,
        drain: Duration::from_millis(500),
    };
    let spool = Path::new("/spool/test").to_owned();
    let settings = OutletSettings { delivery, required, spool, most_spool_bytes };
    Outlet::start(settings, receiver.clone(), &storage).unwrap()
}

fn block(text: &str) -> Pseudonymised {
    Pseudonymised::of_lines(Expires::Contract, &[(text, 0)])
}

pub(in crate::pipeline) fn until(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_required_output_has_lines_durably_while_its_receiver_is_away() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut outlet = outlet(&memory, &receiver, true, 1 << 20);
    assert!(outlet.take(1, &block("a"), CAN_WAIT).is_ok());
    until("the spool is synced", || outlet.first_not_durable().is_none());
    assert_eq!(outlet.level().lines, 1);
    receiver.is_there.store(true, Ordering::Relaxed);
    until("the line is sent", || outlet.level().lines == 0);
    assert_eq!(*receiver.got.lock().unwrap(), "a\n");
    outlet.maintain().unwrap();
}

#[test]
fn nobody_waits_for_an_output_that_is_not_required() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut outlet = outlet(&memory, &receiver, false, 100);
    let line = "x".repeat(90);
    for piece in 1..=3 {
        outlet.take(piece, &block(&line), CAN_WAIT).unwrap();
        assert!(!outlet.is_full());
        assert_eq!(outlet.first_not_durable(), None);
    }
    assert_eq!(outlet.meter.dropped.load(Ordering::Relaxed), 2);
    receiver.is_there.store(true, Ordering::Relaxed);
    until("there is room again", || outlet.level().lines == 0);
    outlet.take(4, &block("y"), CAN_WAIT).unwrap();
    drop(outlet);
    assert_eq!(*receiver.got.lock().unwrap(), format!("{line}\ny\n"));
}

#[test]
fn a_required_output_that_is_full_keeps_what_comes_until_there_is_room() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut outlet = outlet(&memory, &receiver, true, 100);
    outlet.take(1, &block(&"x".repeat(90)), CAN_WAIT).unwrap();
    assert!(!outlet.is_full());
    until("the spool is synced", || outlet.first_not_durable().is_none());
    outlet.take(2, &block("y"), CAN_WAIT).unwrap();
    outlet.take(3, &block("z"), CANNOT_WAIT).unwrap();
    assert!(outlet.is_full());
    assert_eq!(outlet.first_not_durable(), Some(2));
    receiver.is_there.store(true, Ordering::Relaxed);
    let start = Instant::now();
    while outlet.is_full() {
        assert!(start.elapsed() < Duration::from_secs(20));
        outlet.wait_for_room(Duration::from_millis(100));
        outlet.maintain().unwrap();
    }
    drop(outlet);
    assert!(receiver.got.lock().unwrap().ends_with("x\ny\nz\n"));
}

#[test]
fn what_a_full_output_was_to_get_is_sent_by_the_next_process() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut first = outlet(&memory, &receiver, true, 1);
    for (piece, line) in [(1, "a"), (2, "b"), (3, "c")] {
        first.take(piece, &block(line), CAN_WAIT).unwrap();
    }
    assert_eq!(first.parked.len(), 2);
    drop(first);
    receiver.is_there.store(true, Ordering::Relaxed);
    let second = outlet(&memory, &receiver, true, 1 << 20);
    until("the lines are sent", || second.level().lines == 0);
    assert_eq!(*receiver.got.lock().unwrap(), "a\nb\nc\n");
}

#[test]
fn datagrams_take_no_more_than_their_memory_while_a_required_output_is_full() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut outlet = outlet(&memory, &receiver, true, 1);
    let line = "x".repeat(MOST_PARKED_BYTES / 4);
    for piece in 1..=6 {
        outlet.take(piece, &block(&line), CANNOT_WAIT).unwrap();
    }
    // One piece is in the spool, and three fit into memory.
    assert_eq!((outlet.parked.len(), outlet.meter.dropped.load(Ordering::Relaxed)), (3, 2));
    outlet.take(7, &block(&line), CAN_WAIT).unwrap();
    assert_eq!((outlet.parked.len(), outlet.meter.dropped.load(Ordering::Relaxed)), (4, 2));
}

#[test]
fn a_full_disk_stops_a_required_output_and_no_other() {
    for (required, code) in [(true, Some("O01")), (false, None)] {
        let receiver = Receiver::default();
        let memory = Memory::new();
        drop(outlet(&memory, &receiver, required, 1 << 20));
        let mut outlet = outlet(&memory.with_fault(Fault::Full(0)), &receiver, required, 1 << 20);
        let taken = outlet.take(1, &block("a"), CAN_WAIT);
        assert_eq!(taken.err().map(|error| error.code.id), code);
        assert_eq!(outlet.meter.dropped.load(Ordering::Relaxed), u64::from(!required));
    }
}

#[test]
fn what_could_not_be_sent_is_sent_by_the_next_process() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    let mut first = outlet(&memory, &receiver, false, 1 << 20);
    first.take(1, &block("a"), CAN_WAIT).unwrap();
    drop(first);
    receiver.is_there.store(true, Ordering::Relaxed);
    let second = outlet(&memory, &receiver, false, 1 << 20);
    until("the line is sent", || second.level().lines == 0);
    assert_eq!(*receiver.got.lock().unwrap(), "a\n");
}

/// The successor does not know of pieces that this outlet did not keep, so they would be acknowledged as
/// durable.
#[test]
fn one_that_leaves_has_kept_what_it_took_or_says_that_it_has_not() {
    for (room, is_kept) in [(u64::MAX, true), (0, false)] {
        let (memory, receiver) = (Memory::new(), Receiver::default());
        drop(outlet(&memory, &receiver, true, 1));
        let memory = memory.with_fault(Fault::Full(room));
        let mut outlet = outlet(&memory, &receiver, true, 1);
        outlet.parked.extend([(1, Records::of(&block("a"))), (2, Records::of(&block("b")))]);
        assert_eq!(outlet.leave().err().map(|error| error.code.id), (!is_kept).then_some("O01"));
        drop(outlet);
        let after = memory.after_crash(Survives::Synced);
        receiver.is_there.store(true, Ordering::Relaxed);
        let next = self::outlet(&after, &receiver, true, 1 << 20);
        until("the lines are sent", || next.level().lines == 0);
        assert_eq!(*receiver.got.lock().unwrap(), if is_kept { "a\nb\n" } else { "" });
    }
}

#[test]
fn what_cannot_be_kept_at_the_end_is_counted_and_the_rest_is_kept() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    drop(outlet(&memory, &receiver, true, 1));
    // The file for the first of two pieces cannot be made.
    let memory = memory.with_fault(Fault::Fail(0, io::ErrorKind::Other));
    let mut first = outlet(&memory, &receiver, true, 1);
    first.parked.extend([(1, Records::of(&block("a"))), (2, Records::of(&block("b")))]);
    assert_eq!(first.end().dropped, 1);
    drop(first);
    receiver.is_there.store(true, Ordering::Relaxed);
    let second = outlet(&memory, &receiver, true, 1 << 20);
    until("the line is sent", || second.level().lines == 0);
    assert_eq!(*receiver.got.lock().unwrap(), "b\n");
}

#[test]
fn it_is_told_why_a_spool_cannot_be_synced() {
    let (memory, receiver) = (Memory::new(), Receiver::default());
    drop(outlet(&memory, &receiver, true, 1 << 20));
    let mut count = 0;
    let told = loop {
        let memory = memory.with_fault(Fault::Fail(count, io::ErrorKind::QuotaExceeded));
        count += 1;
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        if spool::open(&storage, Path::new("/spool/test"), 1).is_err() {
            continue;
        }
        let mut outlet = outlet(&memory, &receiver, true, 1 << 20);
        if outlet.take(1, &block("a"), CAN_WAIT).is_err() {
            continue;
        }
        let (start, mut told) = (Instant::now(), None);
        while told.is_none() && outlet.first_not_durable().is_some() {
            assert!(start.elapsed() < Duration::from_secs(20), "it is neither synced nor told");
            told = outlet.maintain().err();
        }
        break told.expect("the sync did not fail");
    };
    assert_eq!(told.why.as_deref(), Some(io::Error::from(io::ErrorKind::QuotaExceeded).to_string().as_str()));
}
