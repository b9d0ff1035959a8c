//! Attacks the failure model of the archive: see ARCHITECTURE.md, "Crashes".
//!
//! A run is played once to count the operations that change something on the disk. Then, for every n, it is
//! played again and made to fail, freeze or tear at the n-th operation, the disk loses what a power cut would
//! lose, and a new run finds what is left. Real processes are killed at random moments as well.
//!
//! The invariants: no acknowledged line is lost, no line is there twice, no half line is visible, the
//! original of every token is there, and the next run works.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

mod crash {
    pub(crate) mod kills;
    pub(crate) mod scene;
}

use crash::scene::{Scene, check, play, recover};
use oubliette::pipeline::SyncPolicy;
use oubliette::primitives::storage::{Fault, Memory, Survives};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

const BLOCKS: u32 = 9;

/// A hand-over every three frames, by their number: the clock plays no part.
const INTERVAL: SyncPolicy = SyncPolicy::Interval(Duration::from_secs(3600));

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Frame, INTERVAL, SyncPolicy::None];

/// Returns the acknowledged lines that must survive. Without syncs, lines survive only the end of the
/// process, not a power cut.
fn owed(policy: SyncPolicy, survives: Survives, acknowledged: BTreeSet<u32>) -> BTreeSet<u32> {
    let kept = policy != SyncPolicy::None || survives == Survives::Everything;
    if kept { acknowledged } else { BTreeSet::new() }
}

/// Counts the operations of an undisturbed run.
fn operations(policy: SyncPolicy) -> u64 {
    let memory = Memory::new();
    let acknowledged = play(&memory, Scene { policy, first: 0, blocks: BLOCKS, packers: 0 });
    assert_eq!(acknowledged.len(), (BLOCKS * 3) as usize, "an undisturbed run acknowledges all");
    check(&memory, &acknowledged, true);
    memory.operations()
}

#[test]
fn every_operation_freezes_or_tears() {
    for policy in POLICIES {
        let operations = operations(policy);
        assert!(operations > 40, "{operations}");
        for at in 0..operations {
            for fault in [Fault::Freeze(at), Fault::Tear(at)] {
                let memory = Memory::new().with_fault(fault);
                let acknowledged = play(&memory, Scene { policy, first: 0, blocks: BLOCKS, packers: 0 });
                assert!(memory.is_frozen(), "{policy:?}: {fault:?}");
                for (survives, left) in memory.crashes() {
                    recover(&left).unwrap();
                    let owed = owed(policy, survives, acknowledged.clone());
                    let pairs = policy != SyncPolicy::None || survives == Survives::Everything;
                    check(&left, &owed, pairs);
                    // The next run continues.
                    let next = play(&left, Scene { policy, first: 1000, blocks: 2, packers: 0 });
                    assert_eq!(next.len(), 6, "{policy:?}: {fault:?}, {survives:?}");
                    check(&left, &owed.union(&next).copied().collect(), pairs);
                }
            }
        }
    }
}

#[test]
fn every_operation_fails() {
    for policy in POLICIES {
        for at in 0..operations(policy) {
            let faults = [
                Fault::Fail(at, ErrorKind::Other),
                Fault::Fail(at, ErrorKind::ReadOnlyFilesystem),
                Fault::Full(at),
            ];
            for fault in faults {
                let memory = Memory::new().with_fault(fault);
                let acknowledged = play(&memory, Scene { policy, first: 0, blocks: BLOCKS, packers: 0 });
                // By the time of a restart, the disk has been repaired.
                let left = memory.after_crash(Survives::Everything);
                recover(&left).unwrap();
                check(&left, &acknowledged, true);
            }
        }
    }
}

/// With threads, timing decides how many frames are written together, and so which operation is the n-th.
#[test]
fn any_operation_on_a_thread_of_its_own_freezes_tears_or_fails() {
    let mut disturbed = 0;
    for policy in POLICIES {
        for at in 0..operations(policy) {
            for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, ErrorKind::Other)] {
                let memory = Memory::new().with_fault(fault);
                let acknowledged = play(&memory, Scene { policy, first: 0, blocks: BLOCKS, packers: 2 });
                disturbed += usize::from(acknowledged.len() < (BLOCKS * 3) as usize);
                for (survives, left) in memory.crashes() {
                    recover(&left).unwrap();
                    let pairs = policy != SyncPolicy::None || survives == Survives::Everything;
                    check(&left, &owed(policy, survives, acknowledged.clone()), pairs);
                }
            }
        }
    }
    assert!(disturbed > 200, "{disturbed}");
}

/// A second crash happens while the remains of the first are being sealed.
#[test]
fn every_operation_of_the_recovery_freezes() {
    let mut crashes = 0;
    for at in 0..operations(SyncPolicy::Frame) {
        let memory = Memory::new().with_fault(Fault::Tear(at));
        let acknowledged =
            play(&memory, Scene { policy: SyncPolicy::Frame, first: 0, blocks: BLOCKS, packers: 0 });
        for survives in [Survives::Synced, Survives::Half] {
            let left = memory.after_crash(survives);
            for again in 0.. {
                let disturbed = left.with_fault(Fault::Tear(again));
                let recovered = recover(&disturbed);
                if recovered.is_ok() && !disturbed.is_frozen() {
                    break;
                }
                crashes += 1;
                let left = disturbed.after_crash(survives);
                recover(&left).unwrap();
                check(&left, &acknowledged, true);
            }
        }
    }
    assert!(crashes > 200, "{crashes}");
}

/// A disk that stays full is refused every time in the same way, and nothing is lost meanwhile.
#[test]
fn a_disk_that_is_not_mended_is_no_crash_loop() {
    let mut refusals = 0;
    for at in 0..operations(SyncPolicy::Frame) {
        let memory = Memory::new().with_fault(Fault::Tear(at));
        let acknowledged =
            play(&memory, Scene { policy: SyncPolicy::Frame, first: 0, blocks: BLOCKS, packers: 0 });
        let mut left = memory.after_crash(Survives::Half);
        for _ in 0..3 {
            let full = left.with_fault(Fault::Full(0));
            // Some crashes leave nothing that needs room.
            if let Err(refused) = recover(&full) {
                assert_eq!(refused.code.id, "A01", "{refused}");
                refusals += 1;
            }
            left = full.after_crash(Survives::Everything);
        }
        recover(&left).unwrap();
        check(&left, &acknowledged, true);
    }
    assert!(refusals > 20, "{refusals}");
}

#[test]
fn killed_processes_lose_nothing_that_was_acknowledged() {
    crash::kills::run();
}

/// Not a test of its own: the child process of the test above.
#[test]
fn child() {
    crash::kills::child();
}
