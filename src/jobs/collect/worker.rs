//! A worker: passes records of its partitions to the collector, and commits offsets when their records are
//! stored.

use super::{Advance, Collector, Fate, KAFKA, Partition, Record};
use crate::input::kafka::{Member, Polled, time_of};
use crate::primitives::diag::Diagnostic;
use crate::primitives::librdkafka::why;
use jiff::Timestamp;
use rdkafka::Message as _;
use rdkafka::error::KafkaError;
use std::time::{Duration, Instant};

/// Works until `stop` returns true, then cuts and stores what it has. Calls `tell` for every segment.
///
/// `timeless` is the time of records that have none, such as those from brokers before Kafka 0.10. Without it
/// these are refused, because the names of segments must follow from the records alone.
///
/// # Errors
/// Any failure that stops the worker. Only what was stored has been committed.
pub fn work(
    member: &Member,
    collector: &mut Collector<'_>,
    timeless: Option<Timestamp>,
    stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&Advance) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let mut checked = Instant::now();
    while !stop() {
        match member.poll(PATIENCE).map_err(failed)? {
            Polled::Nothing => {}
            Polled::Changed(partitions) => {
                for (topic, partition) in partitions {
                    collector.forget(&Partition { topic, partition });
                }
            }
            Polled::Record(message) => {
                let source = Partition { topic: message.topic().to_owned(), partition: message.partition() };
                let offset = u64::try_from(message.offset()).unwrap_or(0);
                let time = time_of(&message).or(timeless).ok_or_else(|| no_time(&source))?;
                let record = Record { offset, time, payload: message.payload() };
                if let Some(advance) = collector.take(&source, &record)? {
                    settle(member, collector, &advance)?;
                    tell(&advance)?;
                }
            }
        }
        if checked.elapsed() >= CHECK_INTERVAL {
            checked = Instant::now();
            for advance in collector.cut_old()? {
                settle(member, collector, &advance)?;
                tell(&advance)?;
            }
        }
    }
    for advance in collector.finish()? {
        settle(member, collector, &advance)?;
        tell(&advance)?;
    }
    Ok(())
}

/// Commits what is stored, and continues where another worker's segment ends.
fn settle(member: &Member, collector: &mut Collector<'_>, advance: &Advance) -> Result<(), Diagnostic> {
    let Advance { source, next, done, .. } = advance;
    let next = i64::try_from(*next).unwrap_or(i64::MAX);
    let committed = member.commit(&source.topic, source.partition, next).map_err(failed)?;
    if !committed {
        collector.forget(source);
    }
    if !committed || *done == Fate::Adopted {
        // A partition may stay with this member while the group changes. Without the seek, reading would
        // continue after the records that were discarded.
        member.seek(&source.topic, source.partition, next).map_err(failed)?;
    }
    Ok(())
}

fn failed(error: KafkaError) -> Diagnostic {
    Diagnostic::new(&KAFKA, "records cannot be read from Kafka")
        .because(why(&error))
        .hint("mend the brokers or the settings, then start again: offsets are committed only of records that are stored")
}

fn no_time(source: &Partition) -> Diagnostic {
    Diagnostic::new(&KAFKA, "a record has no time")
        .at(format!("{}, partition {}", source.topic, source.partition))
        .because("the topic keeps none, so nobody knows when its lines must go")
        .hint("set message.timestamp.type=LogAppendTime for the topic")
}

const PATIENCE: Duration = Duration::from_millis(100);
/// The interval at which the age of segments is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
