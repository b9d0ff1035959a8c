//! Stores every record exactly once, with two workers over librdkafka's mock cluster and an S3 server.
//!
//! One worker aborts three times exactly between the PUT of a segment and the commit of its offset. The other
//! one is stopped until the group has given away its partitions, and then continues as if nothing had
//! happened. A control run repeats this with names that are not derived from the offset and so never collide:
//! there the faults must cause duplicates, or this test would show nothing.
//!
//! The control uses other names because a PUT under the same names without the condition would hide what it
//! must show. The second worker would overwrite the first one's segment, so that no record is there twice,
//! and what the first one had beyond the second one's end would be gone. Names that never collide are those
//! of a sink that cannot tell whether a record has already been stored, and the store undoes none of the
//! effects of the faults.
//!
//! The faults are injected here, around the store that a worker is given; the program that is shipped has no
//! way to cause them.
//!
//! The test needs a server (`AWS_ENDPOINT_URL` and the rest of its environment) and a bucket
//! (`FLEET_BUCKET`); tests/fleet/run provides them. `FLEET_RECORDS` is the number of records, at least
//! 200,000; 1,000,000 if unset. tests/fleet/nightly also provides real brokers (`FLEET_BROKERS`) of Kafka
//! 0.9: their records have no time, and their producers are not idempotent.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; workers talk to it"
)]

use jiff::tz::TimeZone;
use oubliette::archive::{ArchiveError, Segment};
use oubliette::input::kafka::Member;
use oubliette::jobs::collect::{Collector, End, Limits, Objects, RecordPacker, SegmentStore, worker};
use oubliette::jobs::filter::Plan;
use oubliette::jobs::recognition::{Choices, Recognition};
use oubliette::jobs::verify::{Archive, Checker};
use oubliette::keyring;
use oubliette::ledger::{self, Ledger};
use oubliette::model::{ClassName, Tree};
use oubliette::primitives::clock::Clock;
use oubliette::primitives::storage::{Disk, S3, Seen, everywhere};
use oubliette::pseudonym::epoch::EpochLength;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const TOPIC: &str = "logs";
const PARTITIONS: i32 = 16;
const ABORTS: u32 = 3;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("worker") => {
            let arguments: Vec<String> = arguments.collect();
            let [kind, brokers, root, state, names, aborts] = arguments.as_slice() else {
                panic!("six arguments")
            };
            let brokers = match kind.as_str() {
                "real" => Brokers::Real(brokers.clone()),
                _ => Brokers::Mock(brokers.clone()),
            };
            work(&brokers, Path::new(root), Path::new(state), names == "random", aborts.parse().unwrap());
        }
        Some("cluster") => serve(arguments.next().map(|records| records.parse().unwrap())),
        _ => test(),
    }
}

/// Serves a cluster to other processes until standard input ends. With `records`, the topic of this test
/// holds that many.
fn serve(records: Option<u64>) {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("logs.connection", 4, 3).unwrap();
    if let Some(records) = records {
        cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        produce(&Brokers::Mock(cluster.bootstrap_servers()), records);
    }
    println!("{}", cluster.bootstrap_servers());
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

/// The brokers that hold the records.
#[derive(Clone)]
enum Brokers {
    /// The mock cluster of librdkafka, in this process.
    Mock(String),
    /// Kafka 0.9.
    Real(String),
}

impl Brokers {
    fn list(&self) -> &str {
        match self {
            Self::Mock(list) | Self::Real(list) => list,
        }
    }

    /// Returns the settings of all clients, and the additional ones of the producer.
    fn settings(&self) -> [&'static [(&'static str, &'static str)]; 2] {
        match self {
            Self::Mock(_) => [&[], &[("compression.type", "zstd"), ("enable.idempotence", "true")]],
            Self::Real(_) => [
                &[("api.version.request", "false"), ("broker.version.fallback", "0.9.0")],
                &[("compression.type", "snappy"), ("acks", "all"), ("message.timeout.ms", "120000")],
            ],
        }
    }

    /// Counts the records in the topic: more than were produced if a producer without idempotence sent some
    /// again.
    fn records(&self) -> u64 {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.list());
        for (key, value) in self.settings()[0] {
            config.set(*key, *value);
        }
        let consumer: BaseConsumer = config.create().unwrap();
        let end = |partition| consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(30)).unwrap().1;
        (0..PARTITIONS).map(|partition| u64::try_from(end(partition)).unwrap()).sum()
    }
}

fn test() {
    let bucket =
        std::env::var("FLEET_BUCKET").expect("tests/fleet/run sets FLEET_BUCKET and starts a server");
    let records = std::env::var("FLEET_RECORDS").map_or(1_000_000, |records| records.parse().unwrap());
    let mock = MockCluster::new(3).unwrap();
    mock.create_topic(TOPIC, PARTITIONS, 3).unwrap();
    let brokers =
        std::env::var("FLEET_BROKERS").map_or(Brokers::Mock(mock.bootstrap_servers()), Brokers::Real);
    println!("producing");
    produce(&brokers, records);
    println!("produced");
    let total = brokers.records();
    assert!(total == records || matches!(brokers, Brokers::Real(_)), "{total} records of {records}");
    Run::new(&brokers, &bucket, "derived", total).check(total, records);
    let control = Run::new(&brokers, &bucket, "random", total);
    println!(
        "names that never collide: {} records of {total}, {} different",
        control.stored(),
        control.different()
    );
    assert_eq!(control.different(), records);
    assert!(control.stored() > total, "the faults must give duplicates where names never collide");
}

/// Runs a worker. If `aborts` is more than 0, it aborts after its second PUT.
fn work(brokers: &Brokers, root: &Path, state: &Path, random: bool, aborts: u32) {
    let choices = Choices { trust_upstream: true, archived: true, ..Choices::default() };
    let plan = Plan {
        recognition: Recognition::new(choices).unwrap(),
        keys: keyring::Settings {
            directory: state.to_owned(),
            source: keyring::SecretSource::StateDir,
            length: EpochLength::Day,
            zone: TimeZone::UTC,
            is_clock_stated: false,
        },
        ledger: None,
        tenant: "default".to_owned(),
        state_dir: state.to_owned(),
        max_line_bytes: 1 << 20,
        workers: NonZeroUsize::MIN,
        clock: Clock::System,
        patience: Arc::default(),
    };
    let ledger = Ledger::open(ledger::Settings {
        storage: Arc::new(Disk),
        directory: state.join(ledger::FOLDER),
        zone: TimeZone::UTC,
        who: "test".to_owned(),
        clock: Clock::System,
    });
    let objects = Objects::open(S3::from_environment().unwrap(), root).unwrap();
    let store =
        Faulty { objects, random, puts: Cell::new(0), abort_at: if aborts > 0 { 2 } else { u32::MAX } };
    let topics = BTreeMap::from([(TOPIC.to_owned(), ClassName::new("connection").unwrap())]);
    let limits = Limits { bytes: 64 << 10, age: Duration::from_secs(2) };
    let packer = RecordPacker::new(plan, 1).unwrap();
    let mut collector =
        Collector::new(&store, root, &topics, limits, Box::new(ledger.unwrap()), packer).unwrap();
    let mut settings = vec![("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    settings.extend(brokers.settings()[0]);
    if let Brokers::Real(_) = brokers {
        settings.push(("partition.assignment.strategy", "roundrobin"));
    }
    let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let group = root.file_name().unwrap().to_str().unwrap();
    let member = Member::join(brokers.list(), group, &[TOPIC], &settings).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stopped)).unwrap();
    let mut tell = |advance: &oubliette::jobs::collect::Advance| {
        println!("{}", serde_json::to_string(advance).unwrap());
        Ok(())
    };
    let timeless = matches!(brokers, Brokers::Real(_)).then(|| "2026-11-23T10:00:00Z".parse().unwrap());
    worker::work(&member, &mut collector, timeless, &|| stopped.load(Ordering::Relaxed), &mut tell).unwrap();
}

/// A store whose client dies at the worst moment.
struct Faulty {
    objects: Objects,
    /// Use names that never collide, like a sink without the condition.
    random: bool,
    puts: Cell<u32>,
    abort_at: u32,
}

impl SegmentStore for Faulty {
    fn put_new(&self, path: &Path, bytes: Vec<u8>, end: End) -> io::Result<bool> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let stem = name.rsplit_once('-').unwrap().0;
        let other = path.with_file_name(format!("{stem}-{}.log.zst", u64::from_le_bytes(random) | 1));
        let stored = self.objects.put_new(if self.random { &other } else { path }, bytes, end)?;
        self.puts.set(self.puts.get() + u32::from(stored));
        if self.puts.get() == self.abort_at {
            // Stored, but the offset is not committed.
            std::process::abort();
        }
        Ok(stored)
    }

    fn end_of(&self, path: &Path) -> io::Result<End> {
        self.objects.end_of(path)
    }

    fn digest_of(&self, path: &Path) -> Result<[u8; 32], ArchiveError> {
        self.objects.digest_of(path)
    }
}

fn line(id: u64) -> String {
    format!(
        "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr - - [23/Nov/2026:10:00:00 +0100] \"GET /{id} HTTP/1.1\" 200 {} \"-\" \"agent/{}\"",
        id * 7919 % 65_536,
        id % 97
    )
}

fn produce(brokers: &Brokers, records: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers.list()).set("linger.ms", "50");
    for (key, value) in brokers.settings().concat() {
        config.set(key, value);
    }
    let producer: BaseProducer = config.create().unwrap();
    for id in 0..records {
        let (payload, partition) = (line(id), i32::try_from(id % 16).unwrap());
        let mut record: BaseRecord<'_, str, String> =
            BaseRecord::to(TOPIC).partition(partition).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(50));
            record = refused;
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// Two workers with their faults, running until everything is stored.
struct Run {
    s3: S3,
    /// Partition, first offset and end, by object.
    segments: BTreeMap<PathBuf, (i32, End)>,
    adopted: usize,
}

impl Run {
    fn new(brokers: &Brokers, bucket: &str, names: &str, records: u64) -> Self {
        let root = PathBuf::from(format!("s3://{bucket}/{names}"));
        let state = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let start =
            |name: &str, aborts: u32| Worker::start(brokers, &root, &state.path().join(name), names, aborts);
        let (mut dying, zombie) = (start("dying", ABORTS), start("zombie", 0));
        let (mut aborts, mut stopped, mut resumed) = (0, None, false);
        let mut run = Self { s3: S3::from_environment().unwrap(), segments: BTreeMap::new(), adopted: 0 };
        while !run.is_complete(&root, records) || aborts < ABORTS || !resumed {
            assert!(
                begun.elapsed() < Duration::from_secs(300),
                "not complete: {aborts} aborts, resumed: {resumed}"
            );
            if let Some(status) = dying.child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "a worker ended by itself");
                aborts += 1;
                run.adopted += dying.adopted();
                dying = start("dying", ABORTS - aborts);
            }
            match stopped {
                // In the middle of its work.
                None if zombie.told() >= 2 => {
                    zombie.signal(Signal::STOP);
                    stopped = Some(Instant::now());
                }
                // Longer than the session, and the other worker has died often enough: by now it owns all
                // partitions.
                Some(since) if !resumed && aborts == ABORTS && since.elapsed() > Duration::from_secs(11) => {
                    zombie.signal(Signal::CONT);
                    resumed = true;
                }
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        for worker in [dying, zombie] {
            run.adopted += worker.end();
        }
        assert!(run.is_complete(&root, records));
        if names == "derived" {
            verify(&root, &["dying", "zombie"].map(|name| state.path().join(name).join(ledger::FOLDER)));
        }
        println!(
            "{names}: {} segments, {} adopted, {:.1} s",
            run.segments.len(),
            run.adopted,
            begun.elapsed().as_secs_f64()
        );
        run
    }

    /// Looks for new segments. Returns whether every partition is stored to its end.
    fn is_complete(&mut self, root: &Path, records: u64) -> bool {
        for found in oubliette::archive::list(&self.s3, &Tree::at(root)).unwrap() {
            if !self.segments.contains_key(&found.path) {
                let marks = self.s3.marks(&found.path).unwrap();
                let mark = |name: &str| marks[name].parse().unwrap();
                let end = End { next: mark("oubliette-next-offset"), records: mark("oubliette-records") };
                let partition = found.name.node.as_str().rsplit_once(".p").unwrap().1.parse().unwrap();
                self.segments.insert(found.path, (partition, end));
            }
        }
        let mut ends = BTreeMap::new();
        for (partition, end) in self.segments.values() {
            let furthest: &mut u64 = ends.entry(*partition).or_default();
            *furthest = end.next.max(*furthest);
        }
        ends.values().sum::<u64>() == records
    }

    /// Counts the records in all segments.
    fn stored(&self) -> u64 {
        self.segments.values().map(|(_, end)| end.records).sum()
    }

    /// Reads all segments and counts the distinct records.
    fn different(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        for path in self.segments.keys() {
            let segment = Segment::open(&self.s3, path).unwrap();
            for frame in 0..segment.footer().frames.len() {
                let lines = String::from_utf8(segment.lines(frame).unwrap()).unwrap();
                seen.extend(lines.lines().map(|line| {
                    line.split_once("GET /").unwrap().1.split(' ').next().unwrap().parse::<u64>().unwrap()
                }));
            }
        }
        seen.len() as u64
    }

    /// Checks against the topic, which has `total` records, `records` of them distinct.
    fn check(&self, total: u64, records: u64) {
        let mut chains: BTreeMap<i32, BTreeMap<u64, u64>> = BTreeMap::new();
        for (path, (partition, end)) in &self.segments {
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".log.zst").unwrap();
            let first = name.rsplit_once('-').unwrap().1.parse::<u64>().unwrap() - 1;
            assert_eq!(first + end.records, end.next, "{name}");
            assert_eq!(chains.entry(*partition).or_default().insert(first, end.next), None, "{name}");
        }
        for (partition, chain) in &chains {
            let mut expected = 0;
            for (first, next) in chain {
                assert_eq!(*first, expected, "the chain of partition {partition} is broken");
                expected = *next;
            }
        }
        println!(
            "derived names: {} records, {} different, {} chains whole",
            self.stored(),
            self.different(),
            chains.len()
        );
        assert_eq!((self.stored(), self.different()), (total, records));
        assert!(self.adopted > 0, "no segment was adopted: the faults did nothing");
    }
}

/// Checks that every segment is whole, and sealed in the ledger of one of the workers.
fn verify(root: &Path, ledgers: &[PathBuf; 2]) {
    let storage = everywhere(Seen::Newest).unwrap();
    let mut checker = Checker::new(&storage, &ledgers[0], &[]).unwrap();
    checker.add_ledger(&ledgers[1], &[]).unwrap();
    let archive = Archive { tree: Tree::at(root), intermediate: root.join("intermediate") };
    let verified = checker.archive(&archive, &|_| {}).unwrap();
    assert_eq!(verified.findings, []);
}

struct Worker {
    child: Child,
    lines: Receiver<String>,
    told: Cell<usize>,
    adopted: Cell<usize>,
}

impl Worker {
    fn start(brokers: &Brokers, root: &Path, state: &Path, names: &str, aborts: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let kind = if matches!(brokers, Brokers::Real(_)) { "real" } else { "mock" };
        command.args(["worker", kind, brokers.list()]).args([root, state]).args([names, &aborts.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (line_in, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| line_in.send(line))
        });
        Self { child, lines, told: Cell::new(0), adopted: Cell::new(0) }
    }

    /// Returns the number of segments that the worker has reported.
    fn told(&self) -> usize {
        for line in self.lines.try_iter() {
            self.told.set(self.told.get() + 1);
            self.adopted.set(self.adopted.get() + usize::from(line.contains("\"adopted\"")));
        }
        self.told.get()
    }

    fn adopted(&self) -> usize {
        self.told();
        self.adopted.get()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends the worker in order. Returns the number of segments that it adopted.
    fn end(mut self) -> usize {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        for line in self.lines.iter() {
            self.adopted.set(self.adopted.get() + usize::from(line.contains("\"adopted\"")));
        }
        self.adopted.get()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Kills a worker left over from a failed test; harmless if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
