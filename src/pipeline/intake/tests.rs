//! Tests of the intake: order, turns, room, long records, and the fate of receipts.

use super::*;
use std::thread;
use tokio::time::{Duration, timeout};

const ROOM: Room = Room { all_bytes: 4000, connection_bytes: 1000 };

fn gate(room: Room) -> (Gate, Gathered) {
    Gate::new(room, Clock::System)
}

fn batch(records: &[&str]) -> Batch {
    let mut batch = Batch::default();
    records.iter().for_each(|record| batch.push(record.as_bytes(), 1 << 20));
    batch
}

fn long(bytes: &str, ends: bool) -> Batch {
    let mut batch = Batch::default();
    batch.seal(bytes.as_bytes().to_vec(), ends);
    batch
}

/// The next part, as text.
fn next(gathered: &mut Gathered) -> String {
    let soon = Timestamp::now() + jiff::SignedDuration::from_millis(50);
    match gathered.next_part(Some(soon)).unwrap() {
        Part::Lines(block) => String::from_utf8(block.bytes().to_vec()).unwrap(),
        Part::TooLong { origin, bytes } => format!("{origin}: {}...", String::from_utf8_lossy(bytes)),
        Part::TooLongEnd { origin, .. } => format!("{origin}: end"),
        Part::Deadline => "nothing".to_owned(),
        Part::End => "end".to_owned(),
    }
}

/// Whether the future is still pending after a short time.
async fn waits<F: Future>(future: F) -> bool {
    timeout(Duration::from_millis(20), future).await.is_err()
}

#[tokio::test]
async fn connections_take_turns_and_each_keeps_its_order() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut one, mut two) = (gate.intake(), gate.intake());
    for text in ["a1", "a2", "a3"] {
        one.deliver(batch(&[text])).await.unwrap();
    }
    two.deliver(batch(&["b1", "b2"])).await.unwrap();
    assert_eq!(next(&mut gathered), "a1\nb1\nb2\na2\na3\n");
    assert_eq!(next(&mut gathered), "nothing");
}

#[tokio::test]
async fn a_batch_waits_for_room_of_its_connection_and_others_do_not() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut greedy, mut other) = (gate.intake(), gate.intake());
    let big = "x".repeat(599);
    greedy.deliver(batch(&[&big])).await.unwrap();
    assert!(waits(greedy.deliver(batch(&[&big]))).await);
    other.deliver(batch(&["b"])).await.unwrap();
    assert!(next(&mut gathered).ends_with("x\nb\n"));
    greedy.deliver(batch(&[&big])).await.unwrap();
}

#[tokio::test]
async fn all_connections_together_have_room_for_half_and_more_is_waited_for() {
    let (gate, mut gathered) = gate(ROOM);
    let mut intakes: Vec<_> = (0..3).map(|_| gate.intake()).collect();
    // A batch that is larger than a share takes the whole share.
    let big = "x".repeat(2999);
    intakes[0].deliver(batch(&[&big])).await.unwrap();
    intakes[1].deliver(batch(&[&big])).await.unwrap();
    assert!(waits(intakes[2].deliver(batch(&["c"]))).await);
    assert_eq!(next(&mut gathered).len(), 6000);
    intakes[2].deliver(batch(&["c"])).await.unwrap();
}

#[tokio::test]
async fn a_block_has_its_size_and_the_rest_stays() {
    let (gate, mut gathered) = gate(Room { all_bytes: 1 << 20, connection_bytes: 1 << 20 });
    let mut one = gate.intake();
    for _ in 0..4 {
        one.deliver(batch(&[&"x".repeat(50_000)])).await.unwrap();
    }
    assert_eq!(next(&mut gathered).len(), 150_003);
    assert_eq!(next(&mut gathered).len(), 50_001);
}

#[tokio::test]
async fn long_records_of_two_connections_do_not_mix() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut one, mut two) = (gate.intake(), gate.intake());
    let mut mixed = batch(&["before"]);
    mixed.seal(b"first".to_vec(), false);
    one.deliver(mixed).await.unwrap();
    two.deliver(long("whole", true)).await.unwrap();
    one.deliver(long("", true)).await.unwrap();
    one.deliver(batch(&["after"])).await.unwrap();
    let told: Vec<String> = (0..7).map(|_| next(&mut gathered)).collect();
    assert_eq!(told, ["before\n", "1: first...", "2: whole...", "2: end", "1: ...", "1: end", "after\n"]);
}

#[tokio::test]
async fn a_connection_that_goes_away_ends_its_long_record() {
    let (gate, mut gathered) = gate(ROOM);
    let mut one = gate.intake();
    one.deliver(long("half", false)).await.unwrap();
    drop(one);
    assert_eq!(
        [next(&mut gathered), next(&mut gathered), next(&mut gathered)],
        ["1: half...", "1: ...", "1: end"]
    );
}

#[tokio::test]
async fn receipts_resolve_with_the_piece_their_batch_ends_in() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut one, mut two) = (gate.intake(), gate.intake());
    let first = one.deliver(batch(&["a"])).await.unwrap();
    let mut mixed = batch(&["b"]);
    mixed.seal(b"long".to_vec(), true);
    let mut second = two.deliver(mixed).await.unwrap();
    assert!(!gate.is_waited_for());
    assert_eq!(next(&mut gathered), "a\nb\n");
    assert!(gate.is_waited_for());
    assert_eq!((next(&mut gathered), next(&mut gathered)), ("2: long...".to_owned(), "2: end".to_owned()));
    assert_eq!(gate.pieces(), 2);
    gate.durable(1);
    assert_eq!(first.await, Ok(()));
    assert!(waits(&mut second).await);
    gate.durable(2);
    assert_eq!(second.await, Ok(()));
    assert!(!gate.is_waited_for());
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_remembered() {
    let (gate, mut gathered) = gate(ROOM);
    let mut one = gate.intake();
    for _ in 0..100 {
        drop(one.deliver(batch(&["a"])).await.unwrap());
        next(&mut gathered);
    }
    assert!(gate.shared.lock().waiting.is_empty());
    assert!(gate.shared.lock().queues.is_empty());
}

#[tokio::test]
async fn a_failure_tells_everybody() {
    let (gate, mut gathered) = gate(ROOM);
    let mut one = gate.intake();
    let given = one.deliver(batch(&["a"])).await.unwrap();
    next(&mut gathered);
    let queued = one.deliver(batch(&["b"])).await.unwrap();
    gate.fail();
    assert_eq!((given.await, queued.await), (Err(Lost), Err(Lost)));
    assert_eq!(one.deliver(batch(&["c"])).await.err(), Some(Closed));
    assert_eq!(next(&mut gathered), "end");
}

#[tokio::test]
async fn closing_takes_nothing_more_and_gives_what_there_is() {
    let (gate, mut gathered) = gate(ROOM);
    let mut one = gate.intake();
    one.deliver(batch(&["a"])).await.unwrap();
    gate.close();
    assert_eq!(one.deliver(batch(&["b"])).await.err(), Some(Closed));
    assert_eq!((next(&mut gathered), next(&mut gathered)), ("a\n".to_owned(), "end".to_owned()));
    assert_eq!(next(&mut gathered), "end");
}

#[tokio::test]
async fn an_interrupted_run_leaves_the_rest_to_the_next_one() {
    let (gate, mut gathered) = gate(ROOM);
    let mut one = gate.intake();
    one.deliver(batch(&["a"])).await.unwrap();
    gate.interrupt();
    assert_eq!(next(&mut gathered), "end");
    assert_eq!(next(&mut gathered), "a\n");
}

/// A stop right after a reload.
#[tokio::test]
async fn a_gate_that_closes_between_two_runs_is_not_drained() {
    let (gate, mut gathered) = gate(ROOM);
    gate.intake().deliver(batch(&["a"])).await.unwrap();
    gate.interrupt();
    assert_eq!(next(&mut gathered), "end");
    assert!(!gate.is_drained());
    gate.close();
    assert!(!gate.is_drained());
    assert_eq!(next(&mut gathered), "a\n");
    assert!(gate.is_drained());
    assert_eq!(next(&mut gathered), "end");
}

#[tokio::test]
async fn who_can_wait_waits_while_an_output_is_full() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut connection, mut datagrams) = (gate.intake(), gate.intake_of_datagrams());
    connection.deliver(batch(&["a"])).await.unwrap();
    assert_eq!(next(&mut gathered), "a\n");
    gate.pause();
    assert!(waits(connection.deliver(batch(&["b"]))).await);
    datagrams.deliver(batch(&["c"])).await.unwrap();
    assert_eq!(next(&mut gathered), "c\n");
    assert_eq!([1, 2].map(|piece| gate.sender_kind(piece)), [SenderKind::CanWait, SenderKind::CannotWait]);
    gate.go_on();
    connection.deliver(batch(&["b"])).await.unwrap();
    datagrams.deliver(batch(&["d"])).await.unwrap();
    assert_eq!(next(&mut gathered), "b\nd\n");
    assert_eq!(gate.sender_kind(3), SenderKind::CanWait);
    gate.durable(3);
    assert!(gate.shared.lock().can_wait.is_empty());
    gate.pause();
    gate.close();
    gate.pause();
    assert_eq!(connection.deliver(batch(&["e"])).await.err(), Some(Closed));
}

/// The lines before an over-long record and the record itself are two pieces.
#[tokio::test]
async fn every_piece_of_a_batch_has_its_sender() {
    let (gate, mut gathered) = gate(ROOM);
    let (mut connection, mut datagrams) = (gate.intake(), gate.intake_of_datagrams());
    let mut mixed = batch(&["a"]);
    mixed.seal(b"long".to_vec(), true);
    connection.deliver(mixed).await.unwrap();
    assert_eq!([0; 3].map(|_| next(&mut gathered)), ["a\n", "1: long...", "1: end"]);
    assert_eq!([1, 2].map(|piece| gate.sender_kind(piece)), [SenderKind::CanWait; 2]);
    // The lines of the third piece are datagrams.
    datagrams.deliver(batch(&["b"])).await.unwrap();
    connection.deliver(long("longer", true)).await.unwrap();
    assert_eq!([0; 3].map(|_| next(&mut gathered)), ["b\n", "1: longer...", "1: end"]);
    assert_eq!([3, 4].map(|piece| gate.sender_kind(piece)), [SenderKind::CannotWait, SenderKind::CanWait]);
}

#[tokio::test]
async fn unfinished_records_are_bounded_together() {
    let (gate, _gathered) = gate(Room { all_bytes: 400 << 10, connection_bytes: 1 << 20 });
    let (mut one, mut two) = (gate.intake(), gate.intake());
    assert!(one.may_hold(64 << 10) && two.may_hold(64 << 10));
    assert!(one.may_hold(200 << 10));
    assert!(!two.may_hold(200 << 10));
    assert!(two.may_hold(100 << 10));
    assert!(one.may_hold(0));
    assert!(two.may_hold(200 << 10));
    assert!(!one.may_hold(usize::MAX));
}

#[tokio::test]
async fn a_reader_that_waits_is_woken() {
    for close in [false, true] {
        let (gate, mut gathered) = gate(ROOM);
        let reader = thread::spawn(move || match gathered.next_part(None).unwrap() {
            Part::Lines(_) => "lines",
            Part::End => "end",
            _ => "else",
        });
        if close {
            gate.close();
        } else {
            gate.intake().deliver(batch(&["a"])).await.unwrap();
        }
        assert_eq!(reader.join().unwrap(), if close { "end" } else { "lines" });
    }
}
