//! Tests of what waiting senders learn when an output fails.

use super::*;
use crate::archive::{self, Segment};
use crate::input::{Batch, Deliver as _};
use crate::model::Tree;
use crate::pipeline::archiver::tests::{archiver, block, keys, line, options};
use crate::pipeline::archiver::{Escrow, Options};
use crate::pipeline::feed::{Part, Parts as _};
use crate::pipeline::intake::{Gathered, Receipt, Room};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Code;
use crate::primitives::storage::{Fault, Memory, Survives};
use std::path::Path;

/// A branch that takes this many pieces and fails at the next one.
struct Failing(u64);

static FAILED: Code = Code { id: "T01", title: "a test", text: "" };

impl Branch for Failing {
    fn take(&mut self, piece: u64, _: &Pseudonymised, _: SenderKind) -> Result<(), Diagnostic> {
        if piece <= self.0 { Ok(()) } else { Err(Diagnostic::new(&FAILED, "it fails")) }
    }

    fn is_full(&self) -> bool {
        false
    }

    fn wait_for_room(&self, _: Duration) {}

    fn is_stuck(&self) -> Diagnostic {
        Diagnostic::new(&FAILED, "it is stuck")
    }

    fn shown(&self) -> Output {
        Output::default()
    }

    fn first_not_durable(&self) -> Option<u64> {
        None
    }

    fn tend(&mut self) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn end(&mut self) -> Output {
        Output::default()
    }
}

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
        let (mut branches, mut repeats) = ([], Repeats::default());
        let archiver = archiver(&memory, options, Escrow::KeyFile);
        let mut fanout = Fanout::new(archiver, &mut branches, &mut repeats, gate.clone(), Arc::default());
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

/// The archive has the piece, but the required branch does not.
#[tokio::test]
async fn what_an_output_did_not_take_is_not_told_to_be_durable() {
    let (gate, mut gathered) = gate();
    let (mut branches, mut repeats): ([Box<dyn Branch>; 1], _) = ([Box::new(Failing(1))], Repeats::default());
    let archiver = archiver(&Memory::new(), options(), Escrow::KeyFile);
    let mut fanout = Fanout::new(archiver, &mut branches, &mut repeats, gate.clone(), Arc::default());
    let receipts = let_in(&gate, &mut gathered).await;
    let keys = keys(1);
    fanout.write(&block(&keys, &[line("one", [192, 0, 2, 1])])).unwrap();
    fanout.write(&block(&keys, &[line("two", [192, 0, 2, 2])])).unwrap_err();
    fanout.flush().unwrap();
    drop(fanout);
    assert_eq!(told(&gate, receipts).await, 1);
}
