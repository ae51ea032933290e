//! The topics of a StockWatch that runs without an operator: missing ones are created, existing ones are taken as
//! they are. The raw topic and the storage table must have the same partition count, which is then fixed.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use stockwatch_crds::{Topic, Topics};

use crate::kafka::{Connection, KafkaContext};

/// Everything here together takes no longer.
const LIMIT: Duration = Duration::from_secs(20);
/// One request to the brokers takes no longer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How often created topics are looked for until every broker knows them.
const LOOK_GAP: Duration = Duration::from_millis(10);

/// The partitions of the raw topic, and so of the storage table; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPartitions(pub i32);

/// Why the topics cannot be used; each names the topic or field and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// No broker answered in time: worth another try.
    #[error(
        "Kafka at {bootstrap} does not answer: {reason}; check spec.kafka.bootstrapServers, tls and sasl, and that it runs"
    )]
    Unreachable {
        /// `spec.kafka.bootstrapServers`.
        bootstrap: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The client's settings do not even make a client.
    #[error("spec.kafka: librdkafka refuses the connection's settings: {0}")]
    Settings(KafkaError),
    /// The raw topic and the storage table do not fit together.
    #[error(
        "topic {raw} (spec.kafka.topics.rawInput) has {raw_partitions} partitions and {table} \
         (afterDedupStorageTable) has {table_partitions}: they must be equal; recreate one of them or name another"
    )]
    PartitionsDiffer {
        /// The raw topic.
        raw: String,
        /// Its partitions, found or asked for.
        raw_partitions: i32,
        /// The storage table.
        table: String,
        /// Its partitions, found or asked for.
        table_partitions: i32,
    },
    /// The brokers refused, a sentence for each topic.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

impl TopicsError {
    /// Whether the same call may succeed later without any change.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Finds the topics, creates the missing ones, and gives the raw topic's partitions.
///
/// Blocks for at most about 20 s (futures' own executor waits for librdkafka's thread), so call it from a thread that
/// may wait, never from an async task.
pub fn ensure(connection: &Connection, topics: &Topics) -> Result<RawPartitions, TopicsError> {
    let broker = Broker::new(connection)?;
    let mut found = broker.partitions(topics)?;
    let planned = plan(topics, &found)?;
    if !planned.is_empty() {
        broker.create(&planned)?;
        // Created is not yet known everywhere.
        while named(topics).iter().any(|(_, topic)| !found.contains_key(&topic.name)) {
            broker.wait()?;
            found = broker.partitions(topics)?;
        }
    }
    let count = |topic: &Topic| found.get(&topic.name).copied().unwrap_or(0);
    let (raw, table) = (count(&topics.raw_input), count(&topics.after_dedup_storage_table));
    equal(topics, raw, table)?;
    Ok(RawPartitions(raw))
}

/// Finds the ledger, or creates it with as many partitions as the raw topic has unless the spec says how many.
///
/// Blocks as [`ensure`] does.
pub fn ensure_ledger(connection: &Connection, ledger: &Topic, raw: RawPartitions) -> Result<(), TopicsError> {
    const FIELD: &str = "ledger";
    let broker = Broker::new(connection)?;
    if broker.partitions_of(FIELD, &ledger.name)?.is_some() {
        return Ok(());
    }
    let partitions = ledger.partitions.unwrap_or(raw.0);
    let config = ledger.at_creation();
    broker.create(&[Planned { field: FIELD, topic: ledger, partitions, config }])?;
    while broker.partitions_of(FIELD, &ledger.name)?.is_none() {
        broker.wait()?;
    }
    Ok(())
}

/// The topics with their field under `spec.kafka.topics`.
fn named(topics: &Topics) -> [(&'static str, &Topic); 6] {
    [
        ("rawInput", &topics.raw_input),
        ("afterDedupStream", &topics.after_dedup_stream),
        ("afterDedupStorageTable", &topics.after_dedup_storage_table),
        ("averagesOutput", &topics.averages_output),
        ("deviationAlarm", &topics.deviation_alarm),
        ("deadLetter", &topics.dead_letter),
    ]
}

fn equal(topics: &Topics, raw: i32, table: i32) -> Result<(), TopicsError> {
    if raw == table {
        return Ok(());
    }
    Err(TopicsError::PartitionsDiffer {
        raw: topics.raw_input.name.clone(),
        raw_partitions: raw,
        table: topics.after_dedup_storage_table.name.clone(),
        table_partitions: table,
    })
}

/// A topic to create; a count of -1 is the broker's default.
#[derive(Debug, PartialEq)]
struct Planned<'a> {
    field: &'static str,
    topic: &'a Topic,
    partitions: i32,
    /// The settings to create it with.
    config: BTreeMap<String, String>,
}

/// What is to be created beside what was `found` (partitions by name).
fn plan<'a>(topics: &'a Topics, found: &BTreeMap<String, i32>) -> Result<Vec<Planned<'a>>, TopicsError> {
    let (raw, table) = (&topics.raw_input, &topics.after_dedup_storage_table);
    let exists = |topic: &Topic| found.get(&topic.name).copied();
    // What exists counts; what is asked for comes second; a missing one follows the other.
    let raw_count = exists(raw).or(raw.partitions);
    let table_count = exists(table).or(table.partitions);
    let shared = raw_count.or(table_count);
    if let (Some(raw), Some(table)) = (raw_count, table_count) {
        equal(topics, raw, table)?;
    }
    let missing = named(topics).into_iter().filter(|(_, topic)| exists(topic).is_none());
    Ok(missing
        .map(|(field, topic)| {
            let is_shared = matches!(field, "rawInput" | "afterDedupStorageTable");
            let asked = if is_shared { shared } else { topic.partitions.or(shared) };
            Planned { field, topic, partitions: asked.unwrap_or(-1), config: topic.at_creation() }
        })
        .collect())
}

/// A client for the time of one `ensure`.
struct Broker<'a> {
    connection: &'a Connection,
    // A consumer, whose metadata requests never create a topic.
    consumer: BaseConsumer<KafkaContext>,
    deadline: Instant,
}

impl<'a> Broker<'a> {
    fn new(connection: &'a Connection) -> Result<Self, TopicsError> {
        let consumer = connection
            .client()
            .create_with_context(KafkaContext::default())
            .map_err(TopicsError::Settings)?;
        Ok(Self { connection, consumer, deadline: Instant::now() + LIMIT })
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).min(REQUEST_LIMIT)
    }

    /// A pause between two looks, or the end of patience.
    fn wait(&self) -> Result<(), TopicsError> {
        if self.time_left().is_zero() {
            return Err(self.unreachable("the created topics do not appear"));
        }
        thread::sleep(LOOK_GAP);
        Ok(())
    }

    fn unreachable(&self, error: &str) -> TopicsError {
        // What librdkafka said waits in the queue.
        while let Some(Err(_) | Ok(_)) = self.consumer.poll(Duration::ZERO) {}
        let reason = self.consumer.context().last_error().unwrap_or_else(|| error.to_owned());
        TopicsError::Unreachable { bootstrap: self.connection.bootstrap_servers().to_owned(), reason }
    }

    /// The partitions of the topics that exist, by name.
    fn partitions(&self, topics: &Topics) -> Result<BTreeMap<String, i32>, TopicsError> {
        let mut found = BTreeMap::new();
        for (field, topic) in named(topics) {
            if let Some(partitions) = self.partitions_of(field, &topic.name)? {
                found.insert(topic.name.clone(), partitions);
            }
        }
        Ok(found)
    }

    fn partitions_of(&self, field: &str, name: &str) -> Result<Option<i32>, TopicsError> {
        loop {
            let metadata = self
                .consumer
                .fetch_metadata(Some(name), self.time_left())
                .map_err(|error| self.unreachable(&error.to_string()))?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
                return Ok(None);
            };
            match topic.error().map(RDKafkaErrorCode::from) {
                None => {
                    return Ok(Some(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)));
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    return Ok(None);
                }
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    return Err(TopicsError::Refused(vec![format!(
                        "spec.kafka.topics.{field}: not allowed to describe topic {name}: grant Describe on it"
                    )]));
                }
                Some(RDKafkaErrorCode::InvalidTopic) => {
                    return Err(TopicsError::Refused(vec![format!(
                        "spec.kafka.topics.{field}.name: Kafka refuses {name:?} as a topic's name"
                    )]));
                }
                // Leaders are being elected, say.
                Some(_) => self.wait()?,
            }
        }
    }

    /// All in one call; one that someone else created meanwhile is as good.
    fn create(&self, planned: &[Planned<'_>]) -> Result<(), TopicsError> {
        let admin: AdminClient<KafkaContext> = self
            .connection
            .client()
            .create_with_context(KafkaContext::default())
            .map_err(TopicsError::Settings)?;
        let topics: Vec<NewTopic<'_>> = planned.iter().map(Planned::request).collect();
        let limit = Some(self.time_left());
        let options = AdminOptions::new().request_timeout(limit).operation_timeout(limit);
        let results = futures::executor::block_on(admin.create_topics(&topics, &options))
            .map_err(|error| self.unreachable(&error.to_string()))?;
        let mut refused = Vec::new();
        let mut passing = None;
        for (name, code) in results.into_iter().filter_map(Result::err) {
            let Some(planned) = planned.iter().find(|planned| planned.topic.name == name) else { continue };
            match code {
                RDKafkaErrorCode::TopicAlreadyExists => {}
                RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotController
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::ThrottlingQuotaExceeded
                | RDKafkaErrorCode::NetworkException => {
                    passing = Some(format!("creating topic {name}: {code}"));
                }
                _ => refused.push(planned.refusal(code)),
            }
        }
        match (refused.is_empty(), passing) {
            (false, _) => Err(TopicsError::Refused(refused)),
            (true, Some(reason)) => Err(self.unreachable(&reason)),
            (true, None) => {
                for planned in planned {
                    tracing::info!(topic = planned.topic.name, "created");
                }
                Ok(())
            }
        }
    }
}

impl Planned<'_> {
    fn request(&self) -> NewTopic<'_> {
        let replication = TopicReplication::Fixed(self.topic.replication_factor.unwrap_or(-1));
        let new = NewTopic::new(&self.topic.name, self.partitions, replication);
        self.config.iter().fold(new, |new, (key, value)| new.set(key, value))
    }

    /// What the user can do about the broker's refusal.
    fn refusal(&self, code: RDKafkaErrorCode) -> String {
        let field = format!("spec.kafka.topics.{}", self.field);
        let name = &self.topic.name;
        match code {
            RDKafkaErrorCode::InvalidReplicationFactor => {
                let asked = match self.topic.replication_factor {
                    Some(factor) => format!("{factor} replicas"),
                    None => "its default number of replicas".to_owned(),
                };
                format!(
                    "{field}.replicationFactor: Kafka cannot give topic {name} {asked}: not so many brokers run; \
                     set it to at most their number"
                )
            }
            RDKafkaErrorCode::InvalidPartitions => {
                format!("{field}.partitions: Kafka refuses {} partitions for topic {name}", self.partitions)
            }
            RDKafkaErrorCode::InvalidConfig => {
                let settings: Vec<String> =
                    self.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!(
                    "{field}.config: Kafka refuses a setting of topic {name} (unknown name or bad value): {}",
                    settings.join(", ")
                )
            }
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                format!(
                    "{field}: not allowed to create topic {name}: grant Create on it, or create it yourself"
                )
            }
            RDKafkaErrorCode::PolicyViolation => {
                format!(
                    "{field}: the brokers' create-topic policy refuses topic {name}: follow it, or create the topic yourself"
                )
            }
            RDKafkaErrorCode::InvalidTopic => {
                format!("{field}.name: Kafka refuses {name:?} as a topic's name")
            }
            RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::InvalidRequest => {
                format!("{field}: these brokers need partitions and replicationFactor set for topic {name}")
            }
            other => format!("{field}: Kafka refuses to create topic {name}: {other}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
