//! Records from Kafka: a member of a consumer group that commits nothing on its own.
//!
//! Partitions come and go while it polls. What came of a partition that went and was not committed must be thrown away:
//! its next owner gets it again.

use crate::primitives::librdkafka::why;
use jiff::Timestamp;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A member of a consumer group.
pub struct Member {
    consumer: BaseConsumer<Changes>,
}

/// What a poll came to.
pub enum Polled<'a> {
    /// A record.
    Record(BorrowedMessage<'a>),
    /// Partitions that are no longer this member's, or are its own anew: topic and partition.
    Changed(Vec<(String, i32)>),
    /// Nothing yet.
    Nothing,
}

impl Member {
    /// Joins `group` and subscribes to `topics`. `settings` are librdkafka's and may change all but what exactly-once
    /// needs.
    ///
    /// # Errors
    /// If a setting is not understood.
    pub fn join(
        brokers: &str,
        group: &str,
        topics: &[&str],
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        // A rebalance takes away only the partitions that move.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("queued.max.messages.kbytes", "16384");
        // Longer than a PUT that is tried again and again.
        config.set("max.poll.interval.ms", "600000");
        config.extend(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        config.set("bootstrap.servers", brokers);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // What nobody committed was never stored.
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Changes> = config.create_with_context(Changes::default())?;
        consumer.subscribe(topics)?;
        Ok(Self { consumer })
    }

    /// The next record, waited for at most so long.
    ///
    /// # Errors
    /// What librdkafka does not mend by itself.
    pub fn poll(&self, patience: Duration) -> Result<Polled<'_>, KafkaError> {
        let polled = self.consumer.poll(patience);
        let changed = self.consumer.context().take();
        if !changed.is_empty() {
            // A record that came together with a change comes again, if its partition is still this member's.
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

    /// Commits that everything before `next` is stored. Whether the partition is still this member's.
    ///
    /// # Errors
    /// If nobody knows whether it is committed.
    pub fn commit(&self, topic: &str, partition: i32, next: i64) -> Result<bool, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(next))?;
        match self.consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) => Ok(true),
            Err(error) if is_lost(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads on from `next`.
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn seek(&self, topic: &str, partition: i32, next: i64) -> Result<(), KafkaError> {
        match self.consumer.seek(topic, partition, Offset::Offset(next), SEEK_PATIENCE) {
            // It is another member's now. Any other failure must stop whoever asked: reading on would leave records out.
            Err(KafkaError::Seek(why)) if NOT_ASSIGNED.iter().any(|not| why.contains(not)) => Ok(()),
            sought => sought,
        }
    }
}

/// The broker's time of a record; the producer's, if the topic keeps that.
#[must_use]
pub fn time_of(record: &BorrowedMessage<'_>) -> Option<Timestamp> {
    Timestamp::from_millisecond(record.timestamp().to_millis()?).ok()
}

/// Whether librdkafka goes on by itself.
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

/// Whether the partition is no longer this member's.
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

/// Partitions that came or went since it was asked last.
#[derive(Default)]
struct Changes(Mutex<Vec<(String, i32)>>);

impl Changes {
    fn add(&self, partitions: &TopicPartitionList) {
        let elements = partitions.elements();
        let names = elements.iter().map(|element| (element.topic().to_owned(), element.partition()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    fn take(&self) -> Vec<(String, i32)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

/// What `rd_kafka_seek` says of a partition that is not assigned; rdkafka passes on the text alone.
const NOT_ASSIGNED: [&str; 2] = ["Erroneous state", "Unknown partition"];

const SEEK_PATIENCE: Duration = Duration::from_secs(10);
