//! Reads any bytes as a segment, a vault, and a part left by a crash: without harm, and a part is always
//! recovered.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use oubliette::archive::{ArchiveError, Known, Segment, VaultMark, VaultOf, recover};
use oubliette::model::{Folder, NodeName, Seal, Sealer, SegmentId, SegmentName, Tree};
use oubliette::primitives::diag::Diagnostic;
use oubliette::primitives::secret::Secret;
use oubliette::primitives::storage::{Memory, Storage};
use oubliette::vault::Vault;
use std::path::Path;

struct Nobody;

impl Sealer for Nobody {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        Ok([0; 32])
    }

    fn seal(&mut self, _now: Timestamp, _digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        Ok(Seal { day: jiff::civil::date(2026, 11, 23), key: [1; 32], signature: [2; 64] })
    }

    fn record(&mut self, _now: Timestamp, _name: &str, _digest: &[u8; 32]) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn knows(&mut self, _name: &str, _digest: &[u8; 32]) -> Result<bool, Diagnostic> {
        Ok(false)
    }
}

impl VaultOf for Nobody {
    fn recover(&mut self, _: &SegmentName) -> Result<Option<(SegmentId, VaultMark)>, ArchiveError> {
        Ok(None)
    }

    fn remove(&mut self, _: &SegmentName) -> Result<(), ArchiveError> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (memory, tree) = (Memory::new(), Tree::at(Path::new("/srv")));
    let folder = Folder::parse("expires=2027-11-24", "class=connection").expect("a folder");
    let node = NodeName::new("web1").expect("a node");
    let name = SegmentName { folder, node, kid: *b"2epqf", number: 1 };
    let part = tree.part(&name);
    memory.create_directory(part.parent().expect("a directory"), 0o700).expect("memory");
    memory.create(&part, 0o600).expect("memory").append(bytes).expect("memory");
    if let Ok(segment) = Segment::open(&memory, &part) {
        let _ = segment.check();
        let _ = segment.frames_with(0..=1, Some(&[0; 16])).count();
    }
    if let Ok(vault) = Vault::open(&memory, &part) {
        let _ = vault.originals(&Secret::new([1; 32]), &Secret::new([2; 32]));
    }
    let known = Known { zone: "UTC".to_owned(), policy: [0; 32] };
    recover(&memory, &tree, &known, &mut Nobody, &mut Nobody, Timestamp::UNIX_EPOCH).expect("recovered");
    if let Ok(segment) = Segment::open(&memory, &tree.segment(&name)) {
        segment.check().expect("what was recovered is whole");
    }
});
