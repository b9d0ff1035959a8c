//! A segment that is being filled with the records of a partition.

use super::{Partition, Record, RecordPacker};
use crate::archive::{Origin, WholeSegment, new_id};
use crate::model::{Folder, NodeName, SegmentName};
use crate::primitives::diag::Diagnostic;
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The records from `first` up to but excluding `next`.
pub(super) struct Open {
    name: SegmentName,
    first: u64,
    next: u64,
    records: u64,
    since: Instant,
    /// Lines not filtered yet.
    raw: Vec<u8>,
    /// The broker's time of the last record.
    time: Timestamp,
    segment: WholeSegment,
    leaked: u64,
}

impl Open {
    /// Begins a segment whose first record has the offset `first`.
    pub(super) fn begin(
        source: &Partition,
        folder: Folder,
        first: u64,
        packer: &RecordPacker,
    ) -> Result<Self, Diagnostic> {
        let name = name_of(source, folder, first)
            .ok_or_else(|| super::unusable(&source.topic, "its name is too long"))?;
        let origin = Origin {
            id: new_id()?,
            node: name.node.clone(),
            folder: name.folder.clone(),
            zone: packer.zone().iana_name().unwrap_or("UTC").to_owned(),
            kid: name.kid,
            policy: packer.policy_digest(),
            source_zone: None,
            networks_unknown: true,
        };
        Ok(Self {
            name,
            first,
            next: first,
            records: 0,
            since: Instant::now(),
            raw: Vec::new(),
            time: packer.now(),
            segment: WholeSegment::new(origin),
            leaked: 0,
        })
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: &Record<'_>, packer: &mut RecordPacker) -> Result<(), Diagnostic> {
        (self.next, self.time) = (record.offset + 1, record.time);
        self.records += 1;
        let Some(payload) = record.payload else { return Ok(()) };
        if packer.is_too_long(payload) {
            self.settle(packer)?;
            self.leaked += packer.seal(payload, self.time, &mut self.segment)?;
            return Ok(());
        }
        self.raw.extend_from_slice(payload);
        if payload.last() != Some(&b'\n') {
            self.raw.push(b'\n');
        }
        if self.raw.len() >= CHUNK_BYTES { self.settle(packer) } else { Ok(()) }
    }

    /// Filters and compresses the lines that have not been yet.
    pub(super) fn settle(&mut self, packer: &mut RecordPacker) -> Result<(), Diagnostic> {
        if !self.raw.is_empty() {
            let raw = std::mem::take(&mut self.raw);
            self.leaked += packer.filter(raw, self.time, &mut self.segment)?;
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.name.folder
    }

    pub(super) fn name(&self) -> &SegmentName {
        &self.name
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn leaked(&self) -> u64 {
        self.leaked
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Returns the compressed bytes of its frames.
    pub(super) fn bytes(&self) -> usize {
        self.segment.bytes()
    }

    pub(super) fn into_segment(self) -> WholeSegment {
        self.segment
    }
}

/// Returns `<topic>.p<partition>-00000-<n>`, where n counts the records of the partition from 1: a pure
/// function of topic, partition and first offset.
fn name_of(source: &Partition, folder: Folder, first: u64) -> Option<SegmentName> {
    let node = NodeName::new(&format!("{}.p{}", source.topic, source.partition))?;
    Some(SegmentName { folder, node, kid: SegmentName::MANY_EPOCHS, number: first.checked_add(1)? })
}

/// The bytes of lines that are filtered together: about a frame.
const CHUNK_BYTES: usize = (1 << 20) - (16 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_topic_partition_and_first_offset() {
        let folder = Folder::parse("expires=2027-11-24", "class=connection").unwrap();
        let source = Partition { topic: "logs.web".to_owned(), partition: 3 };
        let name = |first| name_of(&source, folder.clone(), first);
        assert_eq!(
            name(5_000_000_000).unwrap().to_string(),
            "expires=2027-11-24/class=connection/logs.web.p3-00000-5000000001.log.zst"
        );
        let file = "logs.web.p3-00000-1.log.zst";
        assert_eq!(SegmentName::parse(&folder, file), Some((name(0).unwrap(), false)));
        assert_eq!(name(u64::MAX), None);
    }
}
