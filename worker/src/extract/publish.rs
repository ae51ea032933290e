//! Produces raw records: in order, acknowledged by all replicas, each to the partition computed from its key. One that
//! is sent again, as its answer was lost, may be in the topic twice: the second is a duplicate like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use crate::kafka::{Connection, KafkaContext};
use crate::metrics::{FetchOutcome, Metrics};

/// At the end, what was fetched gets this long to arrive.
const FLUSH: Duration = Duration::from_secs(2);
/// Between two looks at what became of records.
const HEAR: Duration = Duration::from_millis(100);

/// Records that wait for brokers, at most; more are lost.
const QUEUE: i32 = 10_000;
/// No source is heard while more than this wait: what it says at once has room in the rest.
const FULL: i32 = QUEUE / 2;

/// A raw record and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) value: Vec<u8>,
}

/// Where raw records go.
pub(super) trait Publisher: Send {
    /// Hands a record over without waiting; what becomes of it is counted.
    fn publish(&mut self, record: &Record);

    /// False while brokers take records more slowly than they come: soon they would be lost.
    fn has_room(&self) -> bool;
}

/// Kafka as a sink. The client is made for the first record: a source that asks nobody needs none.
pub(super) struct Producer {
    connection: Connection,
    context: Delivery,
    client: Option<Client>,
}

impl Producer {
    pub(super) fn new(connection: Connection, metrics: Arc<Metrics>) -> Self {
        let context = Delivery { kafka: KafkaContext::default(), metrics, unanswered: Arc::default() };
        Self { connection, context, client: None }
    }

    fn client(&mut self) -> Result<&BaseProducer<Delivery>, KafkaError> {
        // No broker took a record for half a minute: librdkafka may wait for one that is gone for ever.
        if self.context.unanswered.load(Ordering::Relaxed) {
            dispose(self.client.take());
            self.context.unanswered = Arc::default();
        }
        match &mut self.client {
            Some(client) => Ok(&client.producer),
            none => {
                let mut config = self.connection.client();
                config
                    // An idempotent producer would keep the processor busy while five records wait for a frozen broker.
                    .set("max.in.flight.requests.per.connection", "1")
                    .set("acks", "all")
                    .set("linger.ms", "5")
                    .set("message.timeout.ms", "30000")
                    .set("queue.buffering.max.messages", QUEUE.to_string())
                    .set("queue.buffering.max.kbytes", "8192");
                Ok(&none.insert(Client::start(&config, self.context.clone())?).producer)
            }
        }
    }

    /// Sends what is still queued, for at most 2 s.
    pub(super) async fn close(self) {
        if let Some(task) = dispose(self.client) {
            // Only a panic in librdkafka's binding fails it.
            let _ = task.await;
        }
    }
}

/// A producer and the thread that hears what became of its records, which ends with it: rdkafka's own spins for a
/// hundredth of the time.
struct Client {
    producer: Arc<BaseProducer<Delivery>>,
    over: Arc<AtomicBool>,
}

impl Client {
    fn start(config: &ClientConfig, context: Delivery) -> Result<Self, KafkaError> {
        let client = Self { producer: Arc::new(config.create_with_context(context)?), over: Arc::default() };
        let (producer, over) = (Arc::clone(&client.producer), Arc::clone(&client.over));
        let hear = move || {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(HEAR);
                while hear_one(&producer) {}
            }
        };
        let started = thread::Builder::new().name("deliveries".into()).spawn(hear);
        started.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(client)
    }
}

/// True if there was something to hear, and so may be more.
fn hear_one(producer: &BaseProducer<Delivery>) -> bool {
    let unheard = producer.in_flight_count();
    producer.poll(Duration::ZERO);
    producer.in_flight_count() < unheard
}

impl Drop for Client {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Flushes and drops a client on a thread that may block.
fn dispose(client: Option<Client>) -> Option<tokio::task::JoinHandle<()>> {
    let client = client?;
    Some(tokio::task::spawn_blocking(move || {
        if let Err(error) = client.producer.flush(FLUSH) {
            tracing::warn!(%error, "quotes were not sent");
        }
    }))
}

impl Publisher for Producer {
    fn publish(&mut self, record: &Record) {
        let sent = self.client().and_then(|client| {
            let message = BaseRecord::to(&record.topic)
                .partition(record.partition)
                .key(&record.key)
                .payload(&record.value);
            client.send(message).map_err(|(error, _)| error)
        });
        if let Err(error) = sent {
            self.context.failed(&record.key, &error);
        }
    }

    fn has_room(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.producer.in_flight_count() < FULL)
    }
}

/// Counts what became of each record.
#[derive(Clone)]
struct Delivery {
    kafka: KafkaContext,
    metrics: Arc<Metrics>,
    /// A record of this client was not taken in time.
    unanswered: Arc<AtomicBool>,
}

impl Delivery {
    fn failed(&self, key: &str, error: &KafkaError) {
        self.metrics.fetches.get_or_create(&FetchOutcome::ProduceFailed).inc();
        let reason = self.kafka.last_error();
        self.kafka.limited("produce", |suppressed| {
            tracing::warn!(key, %error, reason, suppressed, "a quote was not written to the raw topic");
        });
    }
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.kafka.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.kafka.error(error, reason);
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.metrics.quotes_produced.inc();
                self.kafka.clear_error();
            }
            Err((error, message)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    self.unanswered.store(true, Ordering::Relaxed);
                }
                self.failed(&String::from_utf8_lossy(message.key().unwrap_or_default()), error);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use std::time::Instant;

    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;

    fn record(partition: i32) -> Record {
        Record { topic: "raw".into(), partition, key: "\"meta\"".into(), value: b"{}".to_vec() }
    }

    #[tokio::test]
    async fn a_record_arrives_in_the_partition_it_was_computed_for() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("raw", 4, 1).unwrap();
        let connection = Connection::plaintext(&cluster.bootstrap_servers());
        let metrics = Arc::new(Metrics::new());
        let mut producer = Producer::new(connection.clone(), Arc::clone(&metrics));
        producer.publish(&record(3));
        producer.close().await;
        assert_eq!(metrics.quotes_produced.get(), 1);

        let consumer: BaseConsumer<KafkaContext> =
            connection.client().set("group.id", "test").create_with_context(KafkaContext::default()).unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..4 {
            all.add_partition_offset("raw", partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let message = loop {
            assert!(Instant::now() < deadline, "the record never came");
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                break message;
            }
        };
        assert_eq!((message.partition(), message.key()), (3, Some(&b"\"meta\""[..])));
    }

    #[tokio::test]
    async fn there_is_no_room_long_before_records_are_lost() {
        let metrics = Arc::new(Metrics::new());
        let mut producer = Producer::new(Connection::plaintext("127.0.0.1:1"), Arc::clone(&metrics));
        let mut sent = 0;
        while producer.has_room() {
            producer.publish(&record(0));
            sent += 1;
        }
        // What librdkafka has to say of brokers counts as well.
        assert!((FULL - 20..=FULL).contains(&sent), "{sent}");
        (0..FULL).for_each(|_| producer.publish(&record(0)));
        assert_eq!(metrics.fetches.get_or_create(&FetchOutcome::ProduceFailed).get(), 0);
    }

    #[tokio::test]
    async fn a_record_for_a_partition_that_is_not_there_is_counted_as_failed() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("raw", 1, 1).unwrap();
        let connection = Connection::plaintext(&cluster.bootstrap_servers());
        let metrics = Arc::new(Metrics::new());
        let mut producer = Producer::new(connection, Arc::clone(&metrics));
        producer.publish(&record(9));
        producer.publish(&record(0));
        producer.close().await;
        assert_eq!(metrics.quotes_produced.get(), 1);
        assert_eq!(metrics.fetches.get_or_create(&FetchOutcome::ProduceFailed).get(), 1);
    }
}
