//! Reads ranges of partitions from begin to end, committed records only, outside of any group assignment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::restore::RestoreError;
use crate::kafka::{Connection, KafkaContext};

/// A range that does not come nearer to its end for so long is given up.
const NO_PROGRESS: Duration = Duration::from_secs(15);
/// One call to a broker.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Offsets `from..to` of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// The partition.
    pub(super) partition: i32,
    /// The first offset.
    pub(super) from: i64,
    /// Behind the last offset; there need not be a record at every one.
    pub(super) to: i64,
}

/// A consumer that assigns itself.
pub(super) struct Reader {
    consumer: BaseConsumer<KafkaContext>,
}

impl Reader {
    /// A reader; `group` is asked for its offsets, never joined.
    pub(super) fn open(
        connection: &Connection,
        context: &KafkaContext,
        group: &str,
        isolation: &str,
    ) -> Result<Self, KafkaError> {
        let mut config = connection.client();
        config
            .set("group.id", group)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            // Whatever else is asked of the broker waits for the fetch at a partition's end.
            .set("fetch.wait.max.ms", "2")
            .set("fetch.error.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "4096")
            // A full queue stops fetching for so long: a second by default.
            .set("fetch.queue.backoff.ms", "2");
        Ok(Self { consumer: config.create_with_context(context.clone())? })
    }

    /// Makes the connections to the leaders and to the group's coordinator; failures show when they are used.
    pub(super) fn warm(&self, raw: &str, table: &str) {
        let known = |topic| self.consumer.fetch_metadata(Some(topic), CALL_TIMEOUT).is_ok();
        let _ = known(table) && known(raw) && self.committed(raw, &[0], CALL_TIMEOUT).is_ok();
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str) -> Result<i32, RestoreError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), CALL_TIMEOUT);
        let metadata = metadata.map_err(|source| RestoreError::Read { topic: topic.to_owned(), source })?;
        let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX).max(1))
    }

    /// First and end offset of a partition, as this reader's isolation sees them.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), RestoreError> {
        self.consumer
            .fetch_watermarks(topic, partition, CALL_TIMEOUT)
            .map_err(|source| RestoreError::Bounds { topic: topic.to_owned(), partition, source })
    }

    /// What the group committed, as this reader's isolation sees it.
    pub(super) fn committed(
        &self,
        topic: &str,
        partitions: &[i32],
        patience: Duration,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        self.consumer.committed_offsets(list, patience)
    }

    /// The first offset whose record is stamped `timestamp` (ms) or later; `None` if there is none.
    pub(super) fn first_since(
        &self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<Option<i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(timestamp))?;
        let found = self.consumer.offsets_for_times(list, CALL_TIMEOUT)?;
        Ok(found.elements().first().and_then(|e| match e.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Gives every committed record of the ranges to `each`, in each partition's order.
    pub(super) fn read(
        &self,
        topic: &str,
        ranges: &[Range],
        mut each: impl FnMut(i32, &BorrowedMessage<'_>) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let mut left: HashMap<i32, i64> =
            ranges.iter().filter(|r| r.from < r.to).map(|r| (r.partition, r.to)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let failed = |source| RestoreError::Read { topic: topic.to_owned(), source };
        let mut list = TopicPartitionList::with_capacity(left.len());
        for range in ranges.iter().filter(|r| r.from < r.to) {
            list.add_partition_offset(topic, range.partition, Offset::Offset(range.from)).map_err(failed)?;
        }
        // Positioning in a topic whose leaders are not known yet waits half a second for them.
        self.consumer.fetch_metadata(Some(topic), CALL_TIMEOUT).map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)?;
        let mut progress = Instant::now();
        while !left.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    use rdkafka::Message as _;
                    let partition = message.partition();
                    let Some(to) = left.get(&partition).copied() else { continue };
                    if message.offset() < to {
                        each(partition, &message)?;
                        progress = Instant::now();
                    }
                    if message.offset() + 1 >= to {
                        left.remove(&partition);
                    }
                }
                // The end as this fetch saw it: a broker that has just become leader may know less.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(to) = left.get(&partition).copied() {
                        if self.bounds(topic, partition)?.1 < to {
                            return Err(RestoreError::Stalled { topic: topic.to_owned() });
                        }
                        left.remove(&partition);
                    }
                }
                Some(Err(error)) if super::group::is_missing_topic(&error) => return Err(failed(error)),
                Some(Err(error)) => tracing::debug!(%error, topic, "while reading"),
                None => {}
            }
            if progress.elapsed() > NO_PROGRESS {
                return Err(RestoreError::Stalled { topic: topic.to_owned() });
            }
        }
        self.consumer.unassign().map_err(failed)
    }
}
