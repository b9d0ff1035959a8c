//! Tests of what waiting senders learn when an output fails.

use super::*;
use crate::archive::{self, Segment};
use crate::input::{Batch, Deliver as _};
use crate::model::Tree;
use crate::pipeline::archiver::tests::{archiver, block, keys, line, options};
use crate::pipeline::archiver::{Escrow, Options};
use crate::pipeline::feed::{Part, Parts as _};
use crate::pipeline::intake::{Gathered, Receipt, Room};
use crate::pipeline::outlet::tests::{Receiver, outlet, until};
use crate::primitives::clock::Clock;
use crate::primitives::storage::{Fault, Memory, Survives};
use std::path::Path;

fn gate() -> (Gate, Gathered) {
    Gate::new(Room { all_bytes: 4000, connection_bytes: 1000 }, Clock::System)
}

/// Admits two records, one piece each.
async fn let_in(gate: &Gate, gathered: &mut Gathered) -> Vec<Receipt> {
    let (mut intake, mut receipts) = (gate.intake(), Vec::new());
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.push(b"a record", 1 << 20);
        receipts.push(intake.deliver(batch).await.unwrap());
        assert!(matches!(gathered.next_part(None).unwrap(), Part::Lines(_)));
    }
    receipts
}

/// How many receipts resolve as durable once the gate has failed.
async fn told(gate: &Gate, receipts: Vec<Receipt>) -> usize {
    gate.fail();
    let mut told = 0;
    for receipt in receipts {
        told += usize::from(receipt.await.is_ok());
    }
    told
}

/// Two frames are written for one piece: the first write succeeds, and the second may fail.
#[tokio::test]
async fn what_was_durable_before_a_failure_is_told() {
    let (keys, text) = (keys(1), "x".repeat(700 << 10));
    let one = block(&keys, &[line(&text, [192, 0, 2, 1])]);
    let two = block(&keys, &[line(&text, [192, 0, 2, 2]), line(&text, [192, 0, 2, 3])]);
    let (mut at, mut seen) = (0, [0; 2]);
    loop {
        let memory = Memory::new().with_fault(Fault::Full(at));
        let options = Options { flush: Duration::from_secs(3600), ..options() };
        let (gate, mut gathered) = gate();
        let (mut outlets, mut repeats) = ([], Repeats::default());
        let archiver = archiver(&memory, options, Escrow::KeyFile);
        let mut fanout = Fanout::new(archiver, &mut outlets, &mut repeats, gate.clone(), Arc::default());
        let receipts = let_in(&gate, &mut gathered).await;
        fanout.write(&one).unwrap();
        let failed = fanout.write(&two).is_err();
        drop(fanout);
        let told = told(&gate, receipts).await;
        if !failed {
            break;
        }
        let after = memory.after_crash(Survives::Everything);
        drop(self::archiver(&after, options, Escrow::KeyFile));
        let found = archive::list(&after, &Tree::at(Path::new("/srv"))).unwrap();
        let lines = found.iter().map(|found| Segment::open(&after, &found.path).unwrap().footer().lines());
        assert_eq!(told as u64, lines.sum::<u64>(), "{at}");
        seen[told] += 1;
        at += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// The archive has the piece, but the required output does not: its disk is full.
#[tokio::test]
async fn what_an_output_did_not_take_is_not_told_to_be_durable() {
    let (gate, mut gathered) = gate();
    let required = |memory: &Memory| outlet(memory, &Receiver::default(), true, 1 << 20);
    let full = Memory::new();
    drop(required(&full));
    let (mut outlets, mut repeats) = ([required(&Memory::new())], Repeats::default());
    let archiver = archiver(&Memory::new(), options(), Escrow::KeyFile);
    let mut fanout = Fanout::new(archiver, &mut outlets, &mut repeats, gate.clone(), Arc::default());
    let receipts = let_in(&gate, &mut gathered).await;
    let keys = keys(1);
    fanout.write(&block(&keys, &[line("one", [192, 0, 2, 1])])).unwrap();
    until("the piece is in the spool", || fanout.outlets[0].first_not_durable().is_none());
    fanout.outlets[0] = required(&full.with_fault(Fault::Full(0)));
    fanout.write(&block(&keys, &[line("two", [192, 0, 2, 2])])).unwrap_err();
    fanout.flush().unwrap();
    drop(fanout);
    assert_eq!(told(&gate, receipts).await, 1);
}
