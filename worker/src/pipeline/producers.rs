//! Transactions one after another for the whole process, on two transactional producers in turn.
//!
//! A producer that begins right after its own commit meets CONCURRENT_TRANSACTIONS and backs off for 20 ms,
//! as its markers are still being written. The other one need not wait. Order and fencing are those of one
//! producer, since a transaction begins only after the last commit was acknowledged.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};

use stockwatch_crds::Topic;

use super::caller::Caller;
use super::connector::Connector;
use super::error::{Failure, SessionError, Step};
use super::group::TAKEN_FOR_DEAD;
use super::topology::{self, LARGEST_RECORD};
use crate::kafka::{self, Connection, KafkaContext};

/// The coordinator aborts a transaction that is older.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A call to the coordinator gives up after this; what it began may still happen.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// Timeout of one call of a commit; it is repeated until `CALL_TIMEOUT`.
const CALL_STEP: Duration = Duration::from_secs(3);
/// A broker without an answer for this long is taken for gone.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Between looks at the messages in flight: `commit_transaction` by itself looks every 100 ms.
const FLUSH_STEP: Duration = Duration::from_micros(200);
/// Between those looks once a broker is late, and before a call is repeated.
const LONG_STEP: Duration = Duration::from_millis(20);

/// What comes in: a client's settings suit either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// Quotes now and then: what follows is sent at once, to all topics side by side.
    Live,
    /// As many as can be computed: batches are large, and cost little CPU.
    Backlog,
}

impl Feed {
    /// A broker answers a connection's requests one after another. While records of a partition with five in flight are
    /// due, librdkafka's thread asks for them without pause, unless another request waits for its turn
    /// (`rd_kafka_toppar_producer_serve`): with one turn it nearly always does. Under a backlog two cost a tenth more
    /// CPU for each quote, five a fifth.
    fn client_settings(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Live => [("linger.ms", "0"), ("max.in.flight.requests.per.connection", "5")],
            Self::Backlog => [("linger.ms", "2"), ("max.in.flight.requests.per.connection", "1")],
        }
    }
}

/// Two transactional producers, of which one has the turn.
pub(super) struct Producers {
    ids: [String; 2],
    feed: Feed,
    batch_bytes: usize,
    producers: [Arc<BaseProducer<KafkaContext>>; 2],
    caller: Caller,
    turn: usize,
    began: Option<Instant>,
    /// The open transaction's records are stamped with its begin (ms since 1970): librdkafka would ask the clock for
    /// each of them.
    stamp: i64,
}

impl Producers {
    /// Connects both and fences whoever had their ids; a batch has at most `batch_bytes`. Blocks for about
    /// `CALL_TIMEOUT` at most.
    pub(super) fn open(
        connector: &Connector<'_>,
        ledger: Option<&Topic>,
        feed: Feed,
        batch_bytes: usize,
    ) -> Result<Self, KafkaError> {
        let Connector { settings, kafka, owner, topics } = connector;
        let ids = transactional_ids(owner);
        let open = |id: &str| -> Result<BaseProducer<KafkaContext>, KafkaError> {
            let mut config = settings.connection.client();
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
                .set("retry.backoff.ms", "10")
                .set("delivery.report.only.error", "true")
                .set("batch.num.messages", "100000")
                .set("batch.size", batch_bytes.to_string())
                .set("message.max.bytes", LARGEST_RECORD.to_string())
                .set("queue.buffering.max.kbytes", "32768")
                .set("queue.buffering.max.messages", "200000");
            for (name, value) in feed.client_settings() {
                config.set(name, value);
            }
            let producer: BaseProducer<KafkaContext> = config.create_with_context(kafka.clone())?;
            // The look for the coordinator would wait half a second for a connection, and the first record of a
            // topic for its leaders.
            let know = |topic: &Topic| {
                kafka::await_metadata(producer.client(), &topic.name, FIRST_ANSWER, &settings.stop)
            };
            let [first, others @ ..] = topology::written(topics);
            know(first)?;
            std::thread::scope(|scope| {
                let initialising = scope.spawn(|| producer.init_transactions(CALL_TIMEOUT));
                others.into_iter().chain(ledger).try_for_each(|topic| know(topic).map(drop))?;
                initialising.join().unwrap_or(Err(KafkaError::Canceled))
            })?;
            Ok(producer)
        };
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| open(&ids[1]));
            (open(&ids[0]), second.join())
        });
        let second =
            second.map_err(|_| KafkaError::ClientCreation("the thread that opened it died".into()))?;
        let caller = Caller::start().map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let producers = [Arc::new(first?), Arc::new(second?)];
        Ok(Self { producers, caller, ids, feed, batch_bytes, turn: 0, began: None, stamp: 0 })
    }

    /// Asks for the leaders of a topic that they were not opened with: its first record would wait for them.
    pub(super) fn learn(&self, topic: &str) {
        for producer in &self.producers {
            if let Err(error) = producer.client().fetch_metadata(Some(topic), FIRST_ANSWER) {
                tracing::debug!(%error, topic, "its first record waits for its leaders");
            }
        }
    }

    /// What they were made for.
    pub(super) fn feed(&self) -> Feed {
        self.feed
    }

    /// The largest batch, in bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// When the open transaction began.
    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Begins a transaction unless one is open.
    pub(super) fn begin(&mut self) -> Result<(), Step> {
        if self.began.is_none() {
            let begun = self.producers[self.turn].begin_transaction();
            self.began = Some(Instant::now());
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.stamp = i64::try_from(since_epoch.as_millis()).unwrap_or_default();
            begun.map_err(|e| self.failure(e))?;
        }
        Ok(())
    }

    /// Adds a record to the open transaction; waits while the queue is full.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), Step> {
        let producer = &self.producers[self.turn];
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).timestamp(self.stamp);
        record.key = key;
        record.payload = value;
        record.headers = headers;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    if self.began.is_some_and(|b| b.elapsed() > TRANSACTION_TIMEOUT) {
                        return Err(self.failure(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)));
                    }
                    record = again;
                    producer.poll(kafka::producer_wait(1));
                }
                Err((error, _)) => return Err(self.failure(error)),
            }
        }
    }

    /// Commits the open transaction with the group's offsets, and gives the turn to the other producer. Waits for
    /// brokers while `hope` says that there are any, for `CALL_TIMEOUT` at most.
    pub(super) fn commit(
        &mut self,
        offsets: TopicPartitionList,
        group: ConsumerGroupMetadata,
        hope: impl Fn() -> bool,
    ) -> Result<(), Step> {
        let producer = &self.producers[self.turn];
        let deadline = Instant::now() + CALL_TIMEOUT;
        let go_on = || hope() && Instant::now() < deadline;
        let what = Arc::new((offsets, group));
        retry(go_on, || {
            let (producer, what) = (Arc::clone(producer), Arc::clone(&what));
            let steps_end = Instant::now() + CALL_STEP;
            let wait = || Instant::now() < if hope() { deadline } else { steps_end };
            self.caller
                .call(wait, move || producer.send_offsets_to_transaction(&what.0, &what.1, CALL_STEP))
                .unwrap_or(Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut)))
        })
        .map_err(|e| self.failure(e))?;
        let flushing = Instant::now();
        loop {
            producer.poll(Duration::ZERO);
            if producer.in_flight_count() == 0 || !go_on() {
                break;
            }
            std::thread::sleep((flushing.elapsed() / 16).clamp(FLUSH_STEP, LONG_STEP));
        }
        // A commit whose answer was lost is asked again: it is the same commit.
        retry(go_on, || producer.commit_transaction(CALL_STEP)).map_err(|e| self.failure(e))?;
        self.began = None;
        self.turn = 1 - self.turn;
        Ok(())
    }

    /// Drops the open transaction's records from the queue; with `hear`, only after waiting for their delivery reports, for
    /// `CALL_STEP` at most.
    pub(super) fn forget_records(&self, hear: bool) {
        let producer = &self.producers[self.turn];
        let poll_until = |deadline| {
            while producer.in_flight_count() > 0 && Instant::now() < deadline {
                producer.poll(kafka::producer_wait(5));
            }
        };
        if hear {
            poll_until(Instant::now() + CALL_STEP);
        }
        producer.purge(PurgeConfig::default().queue().inflight());
        poll_until(Instant::now() + LONG_STEP);
    }

    /// What follows from an error of the producer that has the turn.
    fn failure(&self, error: KafkaError) -> Step {
        let fatal = self.producers[self.turn].client().fatal_error();
        let code = fatal.as_ref().map_or_else(|| error.rdkafka_error_code(), |(code, _)| Some(*code));
        match code {
            // A peer that takes this process for dead fences it as well, and so does the coordinator that times a
            // transaction out; whoever uses the same id does it at any time.
            Some(
                RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::ProducerFenced,
            ) => match self.began {
                Some(began) if began.elapsed() >= TAKEN_FOR_DEAD => Failure(error).into(),
                _ => Step::Session(SessionError::Fenced { id: self.ids[self.turn].clone() }),
            },
            // Clients may wait for a broker that is gone for ever, so all are to be made anew.
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::OperationTimedOut,
            ) => Step::Session(SessionError::Unanswered(error)),
            _ => Failure(error).into(),
        }
    }
}

/// Repeats a transactional call while librdkafka says that it may be repeated and `go_on` that it is to be.
fn retry(
    go_on: impl Fn() -> bool,
    mut call: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    loop {
        match call() {
            Err(KafkaError::Transaction(e)) if e.is_retriable() && go_on() => std::thread::sleep(LONG_STEP),
            other => return other,
        }
    }
}

/// The two ids of the process that is known as `owner`, `<group>.<pod name>`.
pub(super) fn transactional_ids(owner: &str) -> [String; 2] {
    [format!("{owner}.0"), format!("{owner}.1")]
}

/// Aborts at once what a dead process left open: whoever initialises its ids fences it.
pub(super) fn fence(
    connection: &Connection,
    context: &KafkaContext,
    owner: &str,
    topic: &str,
    stop: &AtomicBool,
) -> Result<(), KafkaError> {
    let initialise = |id: &str| {
        let mut config = connection.client();
        config.set("transactional.id", id).set("transaction.timeout.ms", "10000");
        let producer: BaseProducer<KafkaContext> = config.create_with_context(context.clone())?;
        // The look for the coordinator would wait half a second for a connection.
        kafka::await_metadata(producer.client(), topic, FIRST_ANSWER, stop)?;
        producer.init_transactions(CALL_TIMEOUT)
    };
    let [first, second] = &transactional_ids(owner);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| initialise(second));
        initialise(first).and(other.join().unwrap_or(Err(KafkaError::Canceled)))
    })
}
