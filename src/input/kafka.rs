//! Input from Kafka: a member of a consumer group that commits nothing on its own.
//!
//! Partitions come and go while the member polls. Uncommitted records of a partition that went must be
//! discarded, because its next owner receives them again.

use crate::primitives::librdkafka::why;
use crate::primitives::lock::Unpoisoned as _;
use jiff::Timestamp;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// A member of a consumer group.
pub struct Member {
    consumer: BaseConsumer<Changes>,
}

/// The outcome of a poll.
pub enum Polled<'a> {
    /// The next record.
    Record(BorrowedMessage<'a>),
    /// Partitions that this member has lost or has been assigned anew, as topic and partition.
    Changed(Vec<(String, i32)>),
    /// No record yet.
    Nothing,
}

impl Member {
    /// Joins `group` and subscribes to `topics`. `settings` are settings of librdkafka, which may override
    /// everything except what exactly-once needs.
    ///
    /// # Errors
    /// If librdkafka does not accept a setting.
    pub fn join(
        brokers: &str,
        group: &str,
        topics: &[&str],
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        // A rebalance takes away only those partitions that move.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("queued.max.messages.kbytes", "16384");
        // Longer than a PUT with all its retries.
        config.set("max.poll.interval.ms", "600000");
        config.extend(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        config.set("bootstrap.servers", brokers);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // If there is no commit, nothing was stored.
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Changes> = config.create_with_context(Changes::default())?;
        consumer.subscribe(topics)?;
        Ok(Self { consumer })
    }

    /// Returns the next record; waits for it for at most `patience`.
    ///
    /// # Errors
    /// An error from which librdkafka does not recover by itself.
    pub fn poll(&self, patience: Duration) -> Result<Polled<'_>, KafkaError> {
        let polled = self.consumer.poll(patience);
        let changed = self.consumer.context().take();
        if !changed.is_empty() {
            // A record that arrives together with a change is read again, if its partition still belongs to
            // this member.
            if let Some(Ok(record)) = &polled {
                self.seek(record.topic(), record.partition(), record.offset())?;
            }
            return Ok(Polled::Changed(changed));
        }
        match polled {
            None => Ok(Polled::Nothing),
            Some(Ok(record)) => Ok(Polled::Record(record)),
            Some(Err(error)) if is_passing(&error) => {
                tracing::warn!(why = why(&error), "Kafka is away");
                Ok(Polled::Nothing)
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// Commits that everything before `next` is stored. Returns whether the partition still belongs to this
    /// member.
    ///
    /// # Errors
    /// If it is not known whether the commit succeeded.
    pub fn commit(&self, topic: &str, partition: i32, next: i64) -> Result<bool, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(next))?;
        match self.consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) => Ok(true),
            Err(error) if is_lost(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Continues reading at `next`.
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn seek(&self, topic: &str, partition: i32, next: i64) -> Result<(), KafkaError> {
        match self.consumer.seek(topic, partition, Offset::Offset(next), SEEK_PATIENCE) {
            // The partition belongs to another member now. Any other failure must stop the caller: reading on
            // would skip records.
            Err(KafkaError::Seek(why)) if NOT_ASSIGNED.iter().any(|not| why.contains(not)) => Ok(()),
            sought => sought,
        }
    }
}

/// Returns the broker's timestamp of a record, or the producer's if the topic keeps that.
#[must_use]
pub fn time_of(record: &BorrowedMessage<'_>) -> Option<Timestamp> {
    Timestamp::from_millisecond(record.timestamp().to_millis()?).ok()
}

/// Returns whether librdkafka recovers from the error by itself.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, MessageTimedOut, OperationTimedOut, PollExceeded, Resolve,
        UnknownTopicOrPartition,
    };
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            AllBrokersDown
                | BrokerTransportFailure
                | MessageTimedOut
                | OperationTimedOut
                | PollExceeded
                | Resolve
                | UnknownTopicOrPartition
        )
    )
}

/// Returns whether the partition no longer belongs to this member.
fn is_lost(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AssignmentLost, IllegalGeneration, RebalanceInProgress, State, UnknownMemberId, UnknownPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AssignmentLost
                | IllegalGeneration
                | RebalanceInProgress
                | State
                | UnknownMemberId
                | UnknownPartition
        )
    )
}

/// Partitions that came or went since the last [`Changes::take`].
#[derive(Default)]
struct Changes(Mutex<Vec<(String, i32)>>);

impl Changes {
    fn add(&self, partitions: &TopicPartitionList) {
        let elements = partitions.elements();
        let names = elements.iter().map(|element| (element.topic().to_owned(), element.partition()));
        self.0.lock().unpoisoned().extend(names);
    }

    fn take(&self) -> Vec<(String, i32)> {
        std::mem::take(&mut self.0.lock().unpoisoned())
    }
}

impl ClientContext for Changes {}

impl ConsumerContext for Changes {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) | Rebalance::Revoke(partitions) = rebalance {
            self.add(partitions);
        }
    }
}

/// The texts of `rd_kafka_seek` for a partition that is not assigned; rdkafka passes on only the text.
const NOT_ASSIGNED: [&str; 2] = ["Erroneous state", "Unknown partition"];

const SEEK_PATIENCE: Duration = Duration::from_secs(10);
