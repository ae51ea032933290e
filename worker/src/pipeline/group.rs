//! The group's consumer. Its rebalance callback only queues an event; the loop answers by (un)assigning.
//!
//! rdkafka's default callback revokes partitions before the loop can commit for them. librdkafka lets the application
//! answer later, outside the callback.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::kafka::{Connection, KafkaContext};

/// `heartbeat.interval.ms`.
const HEARTBEAT: Duration = Duration::from_millis(1_500);
/// `session.timeout.ms`: a member without a heartbeat for this long leaves the group.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Peers may take a process that was silent for this long for dead. No working transaction lasts so long.
pub(super) const TAKEN_FOR_DEAD: Duration = SESSION_TIMEOUT.saturating_sub(HEARTBEAT);

/// `fetch.wait.max.ms`: brokers answer after this at the latest, with or without a record.
pub(super) const FETCH_WAIT: Duration = Duration::from_millis(100);

/// What a rebalance asks of this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// Take these partitions over.
    Assign(Vec<i32>),
    /// Finish with these partitions and give them away.
    Revoke(Vec<i32>),
    /// These partitions belong to another member already: nothing can be committed for them.
    Lost(Vec<i32>),
}

/// The consumer's context.
pub(super) struct GroupContext {
    kafka: KafkaContext,
    /// Rebalances that the loop has not taken.
    events: Mutex<VecDeque<Rebalance>>,
    /// The loop has ended: the callback answers by itself.
    closing: AtomicBool,
    /// All connections were lost at once.
    cut_off: AtomicBool,
    /// Where each partition's log ends, by the last statistics.
    ends: Mutex<BTreeMap<i32, i64>>,
}

/// What is read of librdkafka's statistics. The consumer has one topic.
#[derive(Deserialize)]
struct Statistics {
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    /// Last stable offset: what can be read ends there. Negative until known.
    ls_offset: i64,
}

impl GroupContext {
    /// Takes the oldest event that the loop has not answered.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Where each partition's log ends, as far as statistics say.
    pub(super) fn ends(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every connection was lost at once. Such a client must be replaced even if brokers come back: a broker that
    /// is stopping answers metadata requests with an empty broker list, and librdkafka then forgets the last one for ever
    /// (<https://github.com/confluentinc/librdkafka/issues/5301>).
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }
}

/// Has the callback answer rebalances by itself from now on, since the loop has ended, and answers those that are queued:
/// closing the consumer would wait for the answers for ever.
pub(super) fn close(consumer: &BaseConsumer<GroupContext>, topic: &str) {
    let context = consumer.context();
    context.closing.store(true, Ordering::Relaxed);
    while let Some(event) = context.next() {
        let (Rebalance::Assign(partitions) | Rebalance::Revoke(partitions) | Rebalance::Lost(partitions)) =
            &event;
        match list(topic, partitions, None) {
            Ok(list) => answer_closing(consumer, &event, &list),
            Err(error) => tracing::warn!(%error, "a rebalance is not answered while leaving the group"),
        }
    }
}

/// Answers a rebalance without the loop: takes no partitions, gives revoked ones away.
fn answer_closing(consumer: &BaseConsumer<GroupContext>, event: &Rebalance, list: &TopicPartitionList) {
    let answered = match event {
        Rebalance::Assign(_) => consumer.incremental_assign(&TopicPartitionList::new()),
        _ => consumer.incremental_unassign(list),
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "partitions are not given away while leaving the group");
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.kafka.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let known = partitions.filter(|partition| partition.partition >= 0 && partition.ls_offset >= 0);
        *self.ends() = known.map(|partition| (partition.partition, partition.ls_offset)).collect();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.cut_off.store(true, Ordering::Relaxed);
        }
        self.kafka.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|e| e.partition()).collect();
        let event = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ if consumer.assignment_lost() => Rebalance::Lost(partitions),
            _ => Rebalance::Revoke(partitions),
        };
        if self.closing.load(Ordering::Relaxed) {
            return answer_closing(consumer, &event, list);
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// Returns a consumer in the group, subscribed to the raw topic.
pub(super) fn join(
    connection: &Connection,
    context: &KafkaContext,
    group: &str,
    raw_topic: &str,
) -> Result<BaseConsumer<GroupContext>, KafkaError> {
    let mut config = connection.client();
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
        .set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string())
        .set("max.poll.interval.ms", "30000")
        .set("fetch.wait.max.ms", FETCH_WAIT.as_millis().to_string())
        .set("fetch.error.backoff.ms", "50")
        .set("topic.metadata.refresh.interval.ms", "30000")
        // For the lag.
        .set("statistics.interval.ms", "10000")
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "2048")
        // Fetching stops for this long when the queue is full: by default a second, in which a small queue runs empty.
        .set("fetch.queue.backoff.ms", "2");
    let context = GroupContext {
        kafka: context.clone(),
        events: Mutex::default(),
        closing: AtomicBool::new(false),
        cut_off: AtomicBool::new(false),
        ends: Mutex::default(),
    };
    let consumer: BaseConsumer<GroupContext> = config.create_with_context(context)?;
    consumer.subscribe(&[raw_topic])?;
    Ok(consumer)
}

/// Assigns partitions, paused: the offset to begin at is known only when they are restored.
pub(super) fn assign_paused(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    partitions: &[i32],
) -> Result<(), KafkaError> {
    // Without an absolute offset librdkafka would request the committed one; `begin_at` replaces it.
    let list = list(topic, partitions, Some(Offset::Offset(0)))?;
    consumer.incremental_assign(&list)?;
    if partitions.is_empty() { Ok(()) } else { consumer.pause(&list) }
}

/// Gives partitions away.
pub(super) fn unassign(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    partitions: &[i32],
) -> Result<(), KafkaError> {
    consumer.incremental_unassign(&list(topic, partitions, None)?)
}

/// Starts to fetch a paused partition at `offset`; `false` if librdkafka has not taken up the partition yet.
pub(super) fn begin_at(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<bool, KafkaError> {
    const SEEK_LIMIT: Duration = Duration::from_secs(5);
    match consumer.seek(topic, partition, Offset::Offset(offset), SEEK_LIMIT) {
        Ok(()) => consumer.resume(&list(topic, &[partition], None)?).map(|()| true),
        Err(KafkaError::Seek(reason)) => {
            tracing::debug!(partition, offset, reason, "the partition cannot be positioned yet");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Has resumed partitions fetched at once.
///
/// While all partitions of a broker are paused, librdkafka's thread for that broker sleeps for up to a second. Resuming
/// does not wake it; a request does. Its answer is awaited elsewhere, for it may come after that of a fetch, and
/// librdkafka ends the connection for a request that times out.
pub(super) fn wake(consumer: &Arc<BaseConsumer<GroupContext>>, topic: &str, partitions: Vec<i32>) {
    /// A consumer that is to leave the group meanwhile does so after this at most.
    const ANSWER: Duration = Duration::from_secs(1);
    let (consumer, topic) = (Arc::downgrade(consumer), topic.to_owned());
    thread::spawn(move || {
        for partition in partitions {
            let Some(consumer) = consumer.upgrade() else { return };
            let _ = consumer.fetch_watermarks(&topic, partition, ANSWER);
        }
    });
}

/// Pauses partitions, and drops records of theirs that were fetched.
pub(super) fn pause(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    partitions: &[i32],
) -> Result<(), KafkaError> {
    consumer.pause(&list(topic, partitions, None)?)
}

fn list(topic: &str, partitions: &[i32], offset: Option<Offset>) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        match offset {
            Some(offset) => list.add_partition_offset(topic, *partition, offset)?,
            None => {
                list.add_partition(topic, *partition);
            }
        }
    }
    Ok(list)
}
