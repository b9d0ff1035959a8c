//! Output to Kafka: lines count as delivered once the brokers have acknowledged them.
//!
//! The producer is idempotent: records that librdkafka retries by itself are in the topic once. Lines that
//! were not acknowledged when a link ended are sent again on the next one, by another producer, and may then
//! be there twice.

use super::{Lines, Link, Target};
use crate::primitives::librdkafka::why;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A topic. Does not implement `Debug`, because its settings may hold a password.
#[derive(Clone)]
pub struct Topic {
    /// Bootstrap brokers, as `host:port`, separated by commas.
    pub brokers: String,
    /// The name of the topic.
    pub name: String,
    /// Settings of librdkafka. They may override everything except what prevents loss of lines.
    pub settings: BTreeMap<String, String>,
    /// Limit on unacknowledged records; more lines are sent only while there are fewer.
    pub window: usize,
}

impl Topic {
    /// Creates a producer. It connects by itself, now and whenever it must.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if librdkafka does not accept a setting.
    pub fn producer(&self) -> io::Result<Producer> {
        let mut config = ClientConfig::new();
        config.set("linger.ms", "20").set("compression.type", "zstd");
        config.set("message.max.bytes", MOST_RECORD_BYTES);
        config.extend(self.settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        config.set("bootstrap.servers", &self.brokers);
        // Idempotence implies acks=all and preserves the order of records.
        config.set("enable.idempotence", "true");
        let (reports, reported) = unbounded_channel();
        let inner = config.create_with_context(Reports(reports)).map_err(|error| as_io(&error))?;
        Ok(Producer {
            inner,
            topic: self.name.clone(),
            window: self.window,
            sends: VecDeque::new(),
            first_send: 0,
            unacknowledged: 0,
            reported,
        })
    }
}

impl Target for Topic {
    type Link = Producer;

    async fn link(&mut self) -> io::Result<Producer> {
        self.producer()
    }
}

/// A producer with its records in flight.
pub struct Producer {
    inner: ThreadedProducer<Reports>,
    topic: String,
    window: usize,
    /// For each send, in order, the number of reports it still waits for.
    sends: VecDeque<usize>,
    /// The number of the first element of `sends`.
    first_send: usize,
    /// The sum of `sends`.
    unacknowledged: usize,
    /// One report per record: the send it belongs to, and whether it was acknowledged.
    reported: UnboundedReceiver<(usize, Result<(), KafkaError>)>,
}

impl Producer {
    /// Waits for a report and counts it.
    async fn report(&mut self) -> io::Result<()> {
        let (send, report) = self.reported.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        report.map_err(|error| as_io(&error))?;
        // A send stays in `sends` until its last report has come.
        self.sends[send - self.first_send] -= 1;
        self.unacknowledged -= 1;
        Ok(())
    }
}

impl Link for Producer {
    fn has_room(&self) -> bool {
        self.unacknowledged < self.window
    }

    async fn send(&mut self, lines: &Lines) -> io::Result<()> {
        let send = self.first_send + self.sends.len();
        self.sends.push_back(0);
        for line in records(&lines.bytes) {
            let topic = self.topic.clone();
            let mut record = BaseRecord::<(), [u8], usize>::with_opaque_to(&topic, send).payload(line);
            while let Err((error, refused)) = self.inner.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(as_io(&error));
                }
                self.report().await?;
                record = refused;
            }
            self.unacknowledged += 1;
            if let Some(reports) = self.sends.back_mut() {
                *reports += 1;
            }
        }
        Ok(())
    }

    async fn taken_over(&mut self) -> io::Result<()> {
        while self.sends.front().is_none_or(|reports| *reports > 0) {
            self.report().await?;
        }
        self.sends.pop_front();
        self.first_send += 1;
        Ok(())
    }

    async fn close(mut self) -> io::Result<u64> {
        while !self.sends.is_empty() {
            self.taken_over().await?;
        }
        Ok(0)
    }
}

/// Forwards the delivery report of each record, from the polling thread of librdkafka.
struct Reports(UnboundedSender<(usize, Result<(), KafkaError>)>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, send: usize) {
        let report = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        // After the link has ended, nobody receives the reports.
        let _ = self.0.send((send, report));
    }
}

/// Returns one record per line, without its LF; a CR stays, like all other bytes.
fn records(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

fn as_io(error: &KafkaError) -> io::Error {
    let kind = match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, why(error))
}

/// Fits the longest line, 4 MiB unless set otherwise, with tokens and tag. The topic must accept it as well.
const MOST_RECORD_BYTES: &str = "8388608";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::spool::Position;
    use rdkafka::Message as _;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use std::time::{Duration, Instant};

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    fn lines(text: &str) -> Lines {
        Lines { bytes: text.into(), count: text.lines().count() as u64, end: Position::default() }
    }

    fn topic(cluster: &Cluster, window: usize) -> Topic {
        Topic {
            brokers: cluster.bootstrap_servers(),
            name: "logs.connection".to_owned(),
            settings: BTreeMap::new(),
            window,
        }
    }

    /// Reads the first `count` records of the topic and sorts them by their bytes.
    fn records_of(cluster: &Cluster, count: usize) -> Vec<String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        config.set("group.id", "readers").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["logs.connection"]).unwrap();
        let (mut found, begun) = (Vec::new(), Instant::now());
        while found.len() < count {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} records of {count}", found.len());
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                found.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
            }
        }
        assert!(consumer.poll(Duration::from_millis(500)).is_none_or(|polled| polled.is_err()));
        found.sort();
        found
    }

    #[test]
    fn a_record_is_a_line_without_its_end() {
        assert_eq!(records(b"one\ntwo\r\n\nend").collect::<Vec<_>>(), [&b"one"[..], b"two\r", b"", b"end"]);
        assert_eq!(records(b"").count(), 0);
    }

    #[tokio::test]
    async fn lines_are_taken_over_when_they_are_acknowledged() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("logs.connection", 2, 1).unwrap();
        let mut link = topic(&cluster, 2).link().await.unwrap();
        link.send(&lines("one\n")).await.unwrap();
        assert!(link.has_room());
        link.send(&lines("two\nthree\r\n")).await.unwrap();
        assert!(!link.has_room());
        link.taken_over().await.unwrap();
        link.taken_over().await.unwrap();
        assert!(link.has_room());
        link.send(&lines("four\n")).await.unwrap();
        link.close().await.unwrap();
        assert_eq!(records_of(&cluster, 4), ["four", "one", "three\r", "two"]);
    }

    #[tokio::test]
    async fn a_broker_that_is_away_takes_nothing_over_and_gets_everything_once_later() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("logs.connection", 1, 1).unwrap();
        let mut link = topic(&cluster, 1000).link().await.unwrap();
        link.send(&lines("one\n")).await.unwrap();
        link.taken_over().await.unwrap();
        cluster.broker_down(1).unwrap();
        link.send(&lines("two\nthree\n")).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), link.taken_over()).await.is_err());
        cluster.broker_up(1).unwrap();
        link.taken_over().await.unwrap();
        link.close().await.unwrap();
        assert_eq!(records_of(&cluster, 3), ["one", "three", "two"]);
    }

    #[tokio::test]
    async fn what_is_never_acknowledged_breaks_the_link() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("logs.connection", 1, 1).unwrap();
        let mut topic = topic(&cluster, 1000);
        topic.settings.insert("message.timeout.ms".to_owned(), "1000".to_owned());
        cluster.broker_down(1).unwrap();
        let mut link = topic.link().await.unwrap();
        link.send(&lines("one\n")).await.unwrap();
        assert!(link.taken_over().await.is_err());
    }

    #[test]
    fn a_setting_that_is_not_understood_is_refused() {
        let cluster = MockCluster::new(1).unwrap();
        let mut topic = topic(&cluster, 1);
        topic.settings.insert("no.such.setting".to_owned(), "1".to_owned());
        let refused = topic.producer().map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
