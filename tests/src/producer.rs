//! A test's own writer of records, which loses none to a silent broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use crate::wait::{soon, wait_for};

/// Writes records, idempotent and with Java's partitioner, in order unless brokers are silent for half a minute.
pub struct Producer {
    config: ClientConfig,
    client: Mutex<ThreadedProducer<GivenUp>>,
    given_up: GivenUp,
}

impl Producer {
    /// Connects with the given client settings.
    pub fn new(mut config: ClientConfig) -> Self {
        config.set("enable.idempotence", "true").set("partitioner", "murmur2_random").set("linger.ms", "1");
        config.set("message.max.bytes", "4000000").set("message.timeout.ms", "30000");
        // With several in flight librdkafka's thread asks without pause whether another one may follow.
        config.set("max.in.flight.requests.per.connection", "1");
        let given_up = GivenUp::default();
        let client = Mutex::new(config.create_with_context(given_up.clone()).unwrap());
        Self { config, client, given_up }
    }

    /// Queues a record; without a partition, the key decides.
    pub fn send(&self, topic: &str, partition: Option<i32>, key: Option<&[u8]>, value: Option<&[u8]>) {
        let mut record = BaseRecord::to(topic);
        (record.partition, record.key, record.payload) = (partition, key, value);
        self.send_record(record);
    }

    /// Queues a record as it is, with its timestamp and headers.
    pub fn send_record(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let mut client = self.client.lock().unwrap();
        self.renew(&mut client);
        queue(&client, record);
    }

    /// Waits until all that was queued is in Kafka.
    pub fn flush(&self) {
        wait_for(120, "what was written is in Kafka", || {
            let mut client = self.client.lock().unwrap();
            self.renew(&mut client);
            client.flush(Duration::from_secs(1)).map_err(|error| {
                let fatal = client.client().fatal_error();
                format!("{error}: {} records wait, fatal error: {fatal:?}", client.in_flight_count())
            })?;
            soon(self.given_up.is_empty(), "records were given up")
        });
    }

    /// Once a record was given up, all goes to a new client: a broker that is not sure of itself names no brokers, and
    /// librdkafka then forgets the last one for ever (<https://github.com/confluentinc/librdkafka/issues/5301>).
    fn renew(&self, client: &mut ThreadedProducer<GivenUp>) {
        if self.given_up.is_empty() {
            return;
        }
        // The old client gives up the rest as it goes.
        drop(std::mem::replace(client, self.config.create_with_context(self.given_up.clone()).unwrap()));
        for given_up in self.given_up.take() {
            let mut record = BaseRecord::<[u8], [u8]>::to(given_up.topic()).partition(given_up.partition());
            record.key = given_up.key();
            record.payload = given_up.payload();
            record.timestamp = given_up.timestamp().to_millis();
            record.headers = given_up.headers().cloned();
            queue(client, record);
        }
    }
}

fn queue(client: &ThreadedProducer<GivenUp>, record: BaseRecord<'_, [u8], [u8]>) {
    let topic = record.topic;
    let mut waiting = Some(record);
    wait_for(60, "space in the producer's queue", || match client.send(waiting.take().unwrap()) {
        Ok(()) => Ok(()),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => {
            waiting = Some(record);
            Err("full".into())
        }
        Err((error, _)) => panic!("{topic}: {error}"),
    });
}

/// The records that a client could not write in time, or at all any more.
#[derive(Clone, Default)]
struct GivenUp(Arc<Mutex<Vec<OwnedMessage>>>);

impl GivenUp {
    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn take(&self) -> Vec<OwnedMessage> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl ClientContext for GivenUp {}

impl ProducerContext for GivenUp {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let given_up = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::MessageTimedOut
                    | RDKafkaErrorCode::PurgeQueue
                    | RDKafkaErrorCode::PurgeInflight
                    | RDKafkaErrorCode::Fatal
            )
        );
        if given_up {
            self.0.lock().unwrap().push(message.detach());
        }
    }
}
