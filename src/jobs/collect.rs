//! `archive`: writes the records of a message log into segments in object storage, each exactly once.
//!
//! ```text
//! record --by topic and partition--> lines --filter core, upstream trusted--> frames
//!   --cut by size, age or day--> segment --ONE conditional PUT--> object storage --then--> commit of the offset
//! ```
//! - The name of a segment follows from topic, partition and first offset, and the expiry day from the
//!   broker's time of the first record. So two workers that have the same records, because one of them was
//!   presumed dead, want the same name, and the store gives it to one of them.
//! - The other worker **adopts** the stored segment: it continues where that segment ends, and drops what it
//!   had beyond. So every segment of a partition begins where another one ended, whoever wrote it, and no
//!   record is in two segments.
//! - Every segment is in the ledger of a worker: the one that stored it or, if that worker died before it
//!   could write the entry, the one that adopted it.
//! - An offset is committed when everything before it is stored. A worker that dies in between leaves a
//!   segment that its successor adopts. Workers keep no state and need not know each other.
//! - Lines were pseudonymised by the nodes. They still pass the filter, which finds what leaked. So here as
//!   everywhere, what is stored is [`crate::pseudonym::Pseudonymised`].

mod record_packer;
mod segment;
#[cfg(feature = "s3")]
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
pub mod worker;

pub use record_packer::RecordPacker;
#[cfg(feature = "s3")]
pub use store::Objects;

use crate::archive::ArchiveError;
use crate::model::{ClassName, NodeName, RetentionClass, Sealer, Tree};
use crate::primitives::diag::{Code, Diagnostic};
use jiff::Timestamp;
use segment::Open;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
}

/// A record of a partition.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The offset in the partition.
    pub offset: u64,
    /// The broker's time.
    pub time: Timestamp,
    /// One or more lines; `None` in a record that only marks its key as deleted.
    pub payload: Option<&'a [u8]>,
}

/// Shows only lengths, because a node may have sent identifiers in clear.
impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.payload.map_or(0, <[u8]>::len);
        write!(f, "Record({} at {}, [{bytes} bytes redacted])", self.offset, self.time)
    }
}

/// What a stored segment states about its records without being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The offset after its last record.
    pub next: u64,
    /// The number of its records.
    pub records: u64,
}

/// A store of segments.
pub trait SegmentStore {
    /// Stores a whole segment under a new name. Returns false, without storing it, if the name is taken.
    ///
    /// # Errors
    /// If it is unknown whether the segment was stored.
    fn put_new(&self, path: &Path, bytes: Vec<u8>, end: End) -> io::Result<bool>;

    /// Returns where a segment ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such segment; [`io::ErrorKind::InvalidData`] if it does not
    /// state its end.
    fn end_of(&self, path: &Path) -> io::Result<End>;

    /// Returns the digest that the seal of a segment covers.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a segment.
    fn digest_of(&self, path: &Path) -> Result<[u8; 32], ArchiveError>;
}

/// When a segment is cut.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The compressed size at which a segment is cut, in bytes.
    pub bytes: usize,
    /// The time after its first record came at which a segment is cut.
    pub age: Duration,
}

/// What became of the records of a partition up to an offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advance {
    /// The partition.
    #[serde(flatten)]
    pub source: Partition,
    /// The first offset of the segment.
    pub first: u64,
    /// The offset to commit and to continue from.
    pub next: u64,
    /// What was done.
    pub done: Fate,
    /// Lines that this worker stored.
    pub lines: u64,
    /// Lines that it dropped because their expiry day had come.
    pub dropped: u64,
    /// Identifiers in these lines that upstream had left in clear.
    pub leaked: u64,
    /// The name of the segment.
    pub segment: String,
}

/// What was done with the records of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// They were stored.
    Stored,
    /// Another worker had already stored a segment that begins with the same record.
    Adopted,
    /// Nothing had to be stored: there are no lines, or the expiry day has come.
    Dropped,
}

/// The segments being filled, one per partition.
pub struct Collector<'a> {
    store: &'a dyn SegmentStore,
    tree: Tree,
    classes: BTreeMap<String, RetentionClass>,
    limits: Limits,
    sealer: Box<dyn Sealer>,
    packer: RecordPacker,
    open: BTreeMap<Partition, Open>,
}

impl<'a> Collector<'a> {
    /// Creates a collector that stores segments below `root`. `topics` gives the class of each topic's lines.
    ///
    /// # Errors
    /// If the name of a topic cannot be part of a segment's name, or the policy does not have a class.
    pub fn new(
        store: &'a dyn SegmentStore,
        root: &Path,
        topics: &BTreeMap<String, ClassName>,
        limits: Limits,
        sealer: Box<dyn Sealer>,
        packer: RecordPacker,
    ) -> Result<Self, Diagnostic> {
        let class = |(topic, class): (&String, &ClassName)| {
            // The longest partition number has ten digits.
            if NodeName::new(&format!("{topic}.p2147483647")).is_none() {
                return Err(unusable(topic, "a topic is 1 to 51 of a-z, 0-9, `.`, `_`, `-` here"));
            }
            let known = packer.classes().iter().find(|known| known.name == *class);
            let known = known.ok_or_else(|| unusable(topic, "the policy has no class of that name"));
            Ok((topic.clone(), known?.clone()))
        };
        let classes = topics.iter().map(class).collect::<Result<_, _>>()?;
        Ok(Self { store, tree: Tree::at(root), classes, limits, sealer, packer, open: BTreeMap::new() })
    }

    /// Takes a record. Returns what became of the records before it, if a segment ended there. After
    /// [`Fate::Adopted`] the record was not taken, and the partition must be read from `next` on.
    ///
    /// # Errors
    /// Any failure that stops the worker. Only what was stored has been committed, so the next worker repeats
    /// the rest.
    pub fn take(&mut self, source: &Partition, record: &Record<'_>) -> Result<Option<Advance>, Diagnostic> {
        let folder = self.folder_of(&source.topic, record.time)?;
        let fits = |open: &Open| *open.folder() == folder && record.offset >= open.next();
        let mut advance = None;
        match self.open.get(source) {
            Some(open) if fits(open) => {}
            // The partition is being read again from an earlier offset: discard what was not stored.
            Some(open) if record.offset < open.next() => drop(self.open.remove(source)),
            Some(_) => {
                advance = self.cut(source)?;
                if advance.as_ref().is_some_and(|advance| advance.done == Fate::Adopted) {
                    return Ok(advance);
                }
            }
            None => {}
        }
        if !self.open.contains_key(source) {
            self.open.insert(source.clone(), Open::begin(source, folder, record.offset, &self.packer)?);
        }
        let Some(open) = self.open.get_mut(source) else { return Ok(advance) };
        open.push(record, &mut self.packer)?;
        if advance.is_none() && open.bytes() >= self.limits.bytes {
            advance = self.cut(source)?;
        }
        Ok(advance)
    }

    /// Cuts the segments that are old enough, and returns what became of them.
    ///
    /// # Errors
    /// As [`Collector::take`].
    pub fn cut_old(&mut self) -> Result<Vec<Advance>, Diagnostic> {
        let age = self.limits.age;
        self.cut_all(|open| open.age() >= age)
    }

    /// Cuts all segments.
    ///
    /// # Errors
    /// As [`Collector::take`].
    pub fn finish(&mut self) -> Result<Vec<Advance>, Diagnostic> {
        self.cut_all(|_| true)
    }

    /// Discards what was taken of a partition and not stored, because the partition now belongs to another
    /// worker.
    pub fn forget(&mut self, source: &Partition) {
        self.open.remove(source);
    }

    fn cut_all(&mut self, due: impl Fn(&Open) -> bool) -> Result<Vec<Advance>, Diagnostic> {
        let due: Vec<_> =
            self.open.iter().filter(|(_, open)| due(open)).map(|(source, _)| source.clone()).collect();
        let mut advances = Vec::new();
        for source in due {
            advances.extend(self.cut(&source)?);
        }
        Ok(advances)
    }

    fn folder_of(&self, topic: &str, time: Timestamp) -> Result<crate::model::Folder, Diagnostic> {
        let class =
            self.classes.get(topic).ok_or_else(|| unusable(topic, "nobody said which class it has"))?;
        let day = time.to_zoned(self.packer.zone().clone()).date();
        let expires = crate::retention::expiry::due(class, day).expires;
        Ok(crate::model::Folder { expires, class: class.name.clone() })
    }

    /// Cuts the segment of a partition, and stores it unless another worker already did.
    fn cut(&mut self, source: &Partition) -> Result<Option<Advance>, Diagnostic> {
        let Some(mut open) = self.open.remove(source) else { return Ok(None) };
        open.settle(&mut self.packer)?;
        let end = End { next: open.next(), records: open.records() };
        let (first, name, leaked) = (open.first(), open.name().clone(), open.leaked());
        let (expired, segment) = (self.packer.has_expired(open.folder()), open.into_segment());
        let lines = segment.lines();
        let advance = |next, done, lines, dropped| Advance {
            source: source.clone(),
            first,
            next,
            done,
            lines,
            dropped,
            leaked,
            segment: name.to_string(),
        };
        if lines == 0 || expired {
            return Ok(Some(advance(end.next, Fate::Dropped, 0, lines)));
        }
        let (now, path) = (self.packer.now(), self.tree.segment(&name));
        let (bytes, digest) = segment.seal(&mut *self.sealer, now)?;
        if self.store.put_new(&path, bytes, end).map_err(failed(&path))? {
            self.sealer.record(now, &name.to_string(), &digest)?;
            return Ok(Some(advance(end.next, Fate::Stored, lines, 0)));
        }
        // The worker that stored it may have died before it wrote the entry in its ledger.
        let digest = self.store.digest_of(&path)?;
        if !self.sealer.knows(&name.to_string(), &digest)? {
            self.sealer.record(now, &name.to_string(), &digest)?;
        }
        let theirs = self.store.end_of(&path).map_err(failed(&path))?;
        // A segment that ends before it begins would be read forever.
        if theirs.next <= first {
            return Err(failed(&path)(io::Error::new(
                io::ErrorKind::InvalidData,
                "it ends before it begins",
            )));
        }
        Ok(Some(advance(theirs.next, Fate::Adopted, 0, 0)))
    }
}

fn unusable(topic: &str, why: &str) -> Diagnostic {
    Diagnostic::new(&TOPIC, "a topic cannot be archived")
        .at(topic)
        .because(why)
        .hint("`--topic NAME=CLASS`, with a class of the retention rules; `oubliette check` loads them")
}

/// Returns the error of a build without Kafka.
#[cfg(not(feature = "kafka"))]
#[must_use]
pub fn not_built(place: String) -> Diagnostic {
    Diagnostic::new(&KAFKA, "this build knows no Kafka")
        .at(place)
        .because("it was made without the feature `kafka`")
        .hint("build it with `cargo build --release --features kafka`")
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let place: PathBuf = path.to_owned();
    move |error| {
        Diagnostic::new(&STORE, "a segment cannot be stored")
            .at_path(place, error)
            .hint("mend the store or the access to it, then start again: offsets are committed only of records that are stored")
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&TOPIC, &STORE, &CONDITION, &KAFKA, &LEAKED];

static TOPIC: Code = Code {
    id: "F02",
    title: "a topic cannot be archived",
    text: "\
What it means
  A topic must hold the lines of one retention class, and its name becomes a part of the names of
  segments. This topic has no class, has a class that the retention rules do not know, or has a name
  with upper-case letters or longer than 51 characters.

Why it matters
  Without a class, nobody knows when its lines must go.

Example
  oubliette archive --kafka broker:9092 --topic Logs=connection --s3 s3://logs/fleet

What to do
  Give `--topic NAME=CLASS` for each topic, with classes of the retention rules. If the name is at
  fault, rename the topic.

References
  docs/fleet/README.md",
};

static STORE: Code = Code {
    id: "F03",
    title: "a segment cannot be stored",
    text: "\
What it means
  The object storage did not answer, refused the segment, or has an object of that name that does
  not say where it ends.

Why it matters
  The worker stops, and does not commit the offset. So the next worker of the partition stores the
  same records under the same name. If the segment was stored after all, that worker adopts it. No
  record is lost, and none is stored twice.

Example
  expired credentials; a bucket without room

What to do
  1. Repair the store or the access to it.
  2. Start the worker again, unless a service manager does.

References
  docs/fleet/README.md; docs/fleet/kafka.md",
};

/// F04: a store that ignores conditions.
pub static CONDITION: Code = Code {
    id: "F04",
    title: "the object storage ignores If-None-Match",
    text: "\
What it means
  At its start, oubliette stored two objects of one name, the second on the condition that none
  exists. The store accepted both.

Why it matters
  Two workers that have the same records would overwrite each other's segments, and lose or double
  lines. oubliette read nothing and stored nothing else.

Example
  an old version of a store, or a gateway in front of one, that drops the header

What to do
  Use a store that honours `If-None-Match: *` in a PUT: Amazon S3, Ceph 16 and later, and most
  others of 2025 and later.

References
  docs/fleet/kafka.md; Amazon S3 API Reference, PutObject",
};

/// F05: records that cannot be read.
pub static KAFKA: Code = Code {
    id: "F05",
    title: "records cannot be read from Kafka",
    text: "\
What it means
  The brokers cannot be reached or refuse, a setting is not understood, a record has no time, or
  this oubliette was built without the feature `kafka`.

Why it matters
  The worker stops. Another worker gets the records that it had read and not stored.

Example
  oubliette archive --kafka broker:9092 ...      the topic needs TLS

What to do
  Correct what the message names:
  - Put settings of librdkafka, including TLS and passwords, into a file: `--kafka-config FILE`
  - Set message.timestamp.type=LogAppendTime for the topic, or at least let producers state times.

References
  docs/fleet/kafka.md; CONFIGURATION.md of librdkafka",
};

/// F06: nodes that leave identifiers in clear.
pub static LEAKED: Code = Code {
    id: "F06",
    title: "nodes left identifiers in clear",
    text: "\
What it means
  Lines that nodes had pseudonymised still held addresses in clear. Before it stored the lines, the
  worker replaced these with tokens of its own. It keeps no originals of them.

Why it matters
  The addresses were in clear on the brokers, and other consumers of the topic may have them. A node
  runs an older version or other options, or sends lines past its filter.

Example
  a node whose rsyslog forwards the raw file

What to do
  1. Find the node: the worker prints topic, partition and offsets, and the lines there name the
     host.
  2. Correct its configuration or its version.
  3. The brokers delete the lines after retention.ms. If that is long, shorten it for a while.

References
  docs/fleet/README.md; GDPR art. 32, 33",
};
