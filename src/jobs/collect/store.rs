//! Stores segments in object storage with one conditional PUT each, and their ends in metadata beside them.

use super::{CONDITION, End, SegmentStore};
use crate::archive::{ArchiveError, Segment};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Marks, Probe, S3};
use std::io;
use std::path::Path;

/// A bucket, or a part of one.
#[derive(Clone, Debug)]
pub struct Objects(S3);

impl Objects {
    /// Opens a store in object storage. Tests whether it honours conditions, by storing two objects of one
    /// name below `root`.
    ///
    /// # Errors
    /// If it accepts both, does not answer, or refuses.
    pub fn open(s3: S3, root: &Path) -> Result<Self, Diagnostic> {
        match s3.probe(root).map_err(super::failed(root))? {
            Probe::Honoured => Ok(Self(s3)),
            Probe::Ignored => Err(Diagnostic::new(&CONDITION, "the object storage ignores If-None-Match")
                .at(root.display().to_string())
                .because("of two objects of one name it took both")
                .hint("use a store that honours the condition; `oubliette explain F04` says why it must")),
        }
    }
}

impl SegmentStore for Objects {
    fn put_new(&self, path: &Path, bytes: Vec<u8>, end: End) -> io::Result<bool> {
        let marks = [(NEXT, end.next), (RECORDS, end.records)];
        let marks: Marks =
            marks.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        self.0.put_new(path, bytes, &marks)
    }

    fn end_of(&self, path: &Path) -> io::Result<End> {
        let marks = self.0.marks(path)?;
        let mark = |name: &str| marks.get(name).and_then(|value| value.parse().ok());
        match (mark(NEXT), mark(RECORDS)) {
            (Some(next), Some(records)) => Ok(End { next, records }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say where it ends")),
        }
    }

    fn digest_of(&self, path: &Path) -> Result<[u8; 32], ArchiveError> {
        Segment::open(&self.0, path).map(|segment| *segment.digest())
    }
}

/// Names of user-defined metadata, which is written with the object by the same PUT.
const NEXT: &str = "oubliette-next-offset";
const RECORDS: &str = "oubliette-records";
