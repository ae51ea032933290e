//! Reads ranges of a topic's log to an end that is proven, outside of any group assignment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Connection, KafkaContext};

/// One call to a broker.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one look for records may take: cancellation is noticed after it.
const POLL: Duration = Duration::from_millis(100);

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions; a log ends at its first open transaction.
    Committed,
    /// All of them.
    Uncommitted,
}

/// How long brokers that give nothing of a partition are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// One question about the partition.
    call: Duration,
    /// A range that does not come nearer to its end for this long is given up.
    progress: Duration,
}

impl Patience {
    /// With slow brokers too, reading comes to its end.
    pub const FULL: Self = Self { call: CALL_TIMEOUT, progress: Duration::from_secs(15) };
    /// For as long as others wait for their turn: a partition without a leader keeps them waiting no longer than this.
    pub const BRIEF: Self = Self { call: Duration::from_secs(2), progress: Duration::from_secs(2) };
}

/// Offsets `from..to` of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last one; compaction and control records leave offsets without a record.
    pub to: i64,
}

/// Why a range was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The topic is missing, may not be read, or its brokers do not answer.
    #[error("topic {topic} cannot be read (does it exist, and may this user read it?): {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// What the client says.
        source: KafkaError,
    },
    /// The same of one partition.
    #[error("topic {topic} partition {partition} cannot be read (does it exist?): {source}")]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What the client says.
        source: KafkaError,
    },
    /// Its leader knows less of the log than was known before, or gives nothing.
    #[error(
        "topic {topic} partition {partition} gives nothing from offset {position} on, but its log goes to {to}: its \
         leader may be behind; see whether the partition has a leader and replicas in sync"
    )]
    Stalled {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to read.
        position: i64,
        /// The end of the range.
        to: i64,
    },
    /// The caller no longer wants it.
    #[error("no longer wanted")]
    Cancelled,
}

/// A consumer that assigns partitions to itself and never joins a group.
pub struct LogReader {
    consumer: BaseConsumer<KafkaContext>,
    patience: Patience,
}

impl LogReader {
    /// Connects lazily. `group` is only asked for its offsets.
    ///
    /// # Errors
    /// A setting that librdkafka refuses.
    pub fn open(
        connection: &Connection,
        context: &KafkaContext,
        group: &str,
        isolation: Isolation,
    ) -> KafkaResult<Self> {
        let mut config = config(connection, group, isolation);
        config
            .set("enable.partition.eof", "true")
            // Other requests to the broker wait for the fetch at a partition's end.
            .set("fetch.wait.max.ms", "2")
            .set("fetch.error.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "4096")
            // A full queue stops fetching for this long: a second by default.
            .set("fetch.queue.backoff.ms", "2");
        Ok(Self { consumer: config.create_with_context(context.clone())?, patience: Patience::FULL })
    }

    /// Waits for brokers in another way from now on; [`Patience::FULL`] until then.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Returns how many partitions a topic has.
    ///
    /// # Errors
    /// [`ReadError::Topic`].
    pub fn partitions(&self, topic: &str) -> Result<i32, ReadError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), CALL_TIMEOUT);
        let metadata = metadata.map_err(|source| ReadError::Topic { topic: topic.to_owned(), source })?;
        let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX).max(1))
    }

    /// Returns the first and the end offset of a partition, as this reader's isolation sees them.
    ///
    /// # Errors
    /// [`ReadError::Partition`].
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), ReadError> {
        let bounds = self.consumer.fetch_watermarks(topic, partition, self.patience.call);
        bounds.map_err(|source| ReadError::Partition { topic: topic.to_owned(), partition, source })
    }

    /// Returns what the group committed, as this reader's isolation sees it. A reader of committed records is answered
    /// only once no transaction on these offsets is open.
    ///
    /// # Errors
    /// What the client says; an open transaction is a time-out or `UnstableOffsetCommit`.
    pub fn committed_offsets(
        &self,
        topic: &str,
        partitions: &[i32],
        patience: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        self.consumer.committed_offsets(list, patience)
    }

    /// Returns the first offset whose record is stamped `timestamp` (ms) or later; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError::Partition`].
    pub fn first_since(&self, topic: &str, partition: i32, timestamp: i64) -> Result<Option<i64>, ReadError> {
        let mut list = TopicPartitionList::new();
        let found = list
            .add_partition_offset(topic, partition, Offset::Offset(timestamp))
            .and_then(|()| self.consumer.offsets_for_times(list, self.patience.call))
            .and_then(|found| match found.find_partition(topic, partition) {
                // What brokers say of one partition is in its element alone.
                Some(element) => element.error().map(|()| element.offset()),
                None => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition)),
            });
        match found {
            Ok(Offset::Offset(offset)) => Ok(Some(offset)),
            Ok(_) => Ok(None),
            Err(source) => Err(ReadError::Partition { topic: topic.to_owned(), partition, source }),
        }
    }

    /// Gives every record of the ranges to `each`, in each partition's order, and returns once every range was read to
    /// its end. At most one range for each partition.
    ///
    /// # Errors
    /// Those of `each`, and every [`ReadError`]: `cancelled` is asked before each record.
    pub fn read<E: From<ReadError>>(
        &self,
        topic: &str,
        ranges: &[Range],
        cancelled: impl Fn() -> bool,
        each: impl FnMut(i32, &BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let ranges: Vec<Range> = ranges.iter().filter(|r| r.from < r.to).copied().collect();
        if ranges.is_empty() {
            return Ok(());
        }
        let failed = |source| ReadError::Topic { topic: topic.to_owned(), source };
        let mut list = TopicPartitionList::with_capacity(ranges.len());
        for range in &ranges {
            list.add_partition_offset(topic, range.partition, Offset::Offset(range.from)).map_err(failed)?;
        }
        // Positioning in a topic whose leaders are not known yet waits half a second for them.
        self.consumer.fetch_metadata(Some(topic), CALL_TIMEOUT).map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)?;
        let read = read_to_end(&self.consumer, topic, &ranges, self.patience.progress, cancelled, each);
        self.consumer.unassign().map_err(failed)?;
        read
    }
}

/// The settings of a consumer that assigns partitions to itself; librdkafka wants a group all the same.
pub(crate) fn config(connection: &Connection, group: &str, isolation: Isolation) -> ClientConfig {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let mut config = connection.client();
    config
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    config
}

/// What reading needs of a client: the test's is a script.
trait RecordSource {
    type Record<'a>: Message
    where
        Self: 'a;

    /// The next record or event.
    fn next(&self, wait: Duration) -> Option<KafkaResult<Self::Record<'_>>>;
    /// The offset after the last record or control record that was read; `None` before the first.
    fn position(&self, topic: &str, partition: i32) -> Option<i64>;
    /// The end offset that the leader knows.
    fn end(&self, topic: &str, partition: i32) -> KafkaResult<i64>;
    /// Reads again from `offset` on, with another event at the log's end.
    fn seek(&self, topic: &str, partition: i32, offset: i64) -> KafkaResult<()>;
}

impl RecordSource for BaseConsumer<KafkaContext> {
    type Record<'a> = BorrowedMessage<'a>;

    fn next(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.poll(wait)
    }

    fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        match Consumer::position(self).ok()?.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    fn end(&self, topic: &str, partition: i32) -> KafkaResult<i64> {
        self.fetch_watermarks(topic, partition, CALL_TIMEOUT).map(|(_, end)| end)
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64) -> KafkaResult<()> {
        Consumer::seek(self, topic, partition, Offset::Offset(offset), Duration::ZERO)
    }
}

/// How far a range has been read.
struct Reading {
    /// The next offset.
    position: i64,
    to: i64,
    /// The position from which the log is read once more, since its leader knows more than the last fetch gave.
    again_from: Option<i64>,
}

impl Reading {
    /// Whether the end of the log, as one fetch saw it, is the end of the range. That fetch may be older than `to`, or of
    /// a leader that was behind, so the position decides.
    fn is_done(&mut self, source: &impl RecordSource, topic: &str, partition: i32) -> KafkaResult<bool> {
        self.advance(source, topic, partition);
        if self.position >= self.to {
            return Ok(true);
        }
        if source.end(topic, partition)? < self.to {
            // Fetching goes on: the leader may catch up.
            self.again_from = None;
            return Ok(false);
        }
        // Compaction leaves batches without records, which move no position: read twice, they are proven empty.
        if self.again_from == Some(self.position) {
            return Ok(true);
        }
        self.again_from = Some(self.position);
        source.seek(topic, partition, self.position)?;
        Ok(false)
    }

    /// Takes control records into account; returns whether there were any.
    fn advance(&mut self, source: &impl RecordSource, topic: &str, partition: i32) -> bool {
        let position = source.position(topic, partition).unwrap_or(self.position);
        let moved = position > self.position;
        self.position = self.position.max(position);
        moved
    }
}

fn read_to_end<S: RecordSource + 'static, E: From<ReadError>>(
    source: &S,
    topic: &str,
    ranges: &[Range],
    patience: Duration,
    cancelled: impl Fn() -> bool,
    mut each: impl FnMut(i32, &S::Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let reading = |r: &Range| (r.partition, Reading { position: r.from, to: r.to, again_from: None });
    let mut open: HashMap<i32, Reading> = ranges.iter().map(reading).collect();
    let mut progress = Instant::now();
    while !open.is_empty() {
        if cancelled() {
            return Err(ReadError::Cancelled.into());
        }
        match source.next(POLL) {
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                let Some(reading) = open.get_mut(&partition) else { continue };
                // A leader without this offset makes librdkafka begin again at the start of the log.
                if offset < reading.position {
                    continue;
                }
                if offset < reading.to {
                    each(partition, &record)?;
                }
                progress = Instant::now();
                reading.position = offset + 1;
                if reading.position >= reading.to {
                    open.remove(&partition);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let Some(reading) = open.get_mut(&partition) else { continue };
                let done = reading.is_done(source, topic, partition);
                if done.map_err(|source| ReadError::Partition {
                    topic: topic.to_owned(),
                    partition,
                    source,
                })? {
                    open.remove(&partition);
                }
            }
            Some(Err(source)) if is_lasting(&source) => {
                return Err(ReadError::Topic { topic: topic.to_owned(), source }.into());
            }
            Some(Err(error)) => tracing::debug!(%error, topic, "while reading"),
            None => {}
        }
        if progress.elapsed() > patience {
            let mut moved = false;
            for (partition, reading) in &mut open {
                moved |= reading.advance(source, topic, *partition);
            }
            if moved {
                progress = Instant::now();
            } else if let Some((&partition, &Reading { position, to, .. })) = open.iter().next() {
                return Err(ReadError::Stalled { topic: topic.to_owned(), partition, position, to }.into());
            }
        }
    }
    Ok(())
}

/// Whether librdkafka does not mend this by itself.
pub(crate) fn is_lasting(error: &KafkaError) -> bool {
    super::is_missing_topic(error)
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

#[cfg(test)]
mod tests;
