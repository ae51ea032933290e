//! The topics as the brokers have them: partitions, limits, and whether they keep what a restart needs.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, OwnedResourceSpecifier,
    ResourceSpecifier,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use stockwatch_core::OutputTopic;
use stockwatch_crds::{CLEANUP_POLICY, StateTopic, Topic, Topics};

use crate::kafka::{self, Connection, KafkaContext};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Kafka's default of `max.message.bytes`, assumed where the setting may not be read.
const DEFAULT_MAX_BYTES: usize = 1_048_588;
/// Upper bound of what a record and its batch take besides key, value and headers.
const OVERHEAD: usize = 512;
/// The largest record that is written, whatever the topic takes.
pub(super) const LARGEST_RECORD: usize = 16 * 1024 * 1024;
/// A batch that every topic with Kafka's default limit takes.
pub(super) const USUAL_BATCH: usize = 1_000_000;

/// A table takes a record of the state at least, `OVERHEAD` aside.
const LEAST_TABLE: usize = 256 * 1024;

/// `max.message.bytes` of a table, at least.
pub(super) const LEAST_TABLE_SETTING: usize = LEAST_TABLE + OVERHEAD;

/// A ledger that takes less is not used: its records have up to a few hundred bytes.
const LEAST_LEDGER: usize = 4 * 1024;

/// A topic that takes any record of ours takes a batch of this size, since it has `OVERHEAD` to spare.
const LEAST_BATCH: usize = 256;

/// Why the topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopologyError {
    #[error(
        "Kafka at {bootstrap} does not answer: {source}; check spec.kafka.bootstrapServers, tls and sasl, and that it runs"
    )]
    Unreachable { bootstrap: String, source: KafkaError },
    #[error("missing topics: {}; create them, or let the operator do it", .0.join(", "))]
    Missing(Vec<String>),
    #[error("topic {topic} cannot be used: {code}")]
    Topic { topic: String, code: RDKafkaErrorCode },
    #[error(
        "topics {raw} and {table} have {raw_partitions} and {table_partitions} partitions: the counts must be equal"
    )]
    Unequal { raw: String, table: String, raw_partitions: i32, table_partitions: i32 },
    #[error("topic {table} takes records of {max} bytes: set its max.message.bytes to {least} or more")]
    TableTooSmall { table: String, max: usize, least: usize },
    #[error("{}", .0.join("; "))]
    LosesState(Vec<String>),
}

/// A topic that the worker writes.
#[derive(Debug, Clone)]
pub(super) struct WrittenTopic {
    pub(super) name: String,
    pub(super) partitions: i32,
    /// Largest sum of key, value and headers of a record.
    pub(super) max_bytes: usize,
    /// Every record needs a key.
    pub(super) is_compacted: bool,
}

/// All topics of a StockWatch.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) raw_partitions: i32,
    pub(super) deduplicated: WrittenTopic,
    pub(super) averages: WrittenTopic,
    pub(super) alarms: WrittenTopic,
    pub(super) dead_letter: WrittenTopic,
    pub(super) table: WrittenTopic,
    /// `None`: there are no accounts, or their topic is missing.
    pub(super) ledger: Option<WrittenTopic>,
}

impl Topology {
    /// Returns the topics as the brokers have them, with the ledger if it is asked for and can be used; fails after 5 s
    /// without an answer, or half a second once `stop` is set.
    pub(super) fn discover(
        connection: &Connection,
        context: &KafkaContext,
        topics: &Topics,
        ledger: Option<&Topic>,
        stop: &AtomicBool,
    ) -> Result<Self, TopologyError> {
        let bootstrap = connection.bootstrap_servers();
        let unreachable = |source| TopologyError::Unreachable { bootstrap: bootstrap.to_owned(), source };
        let mut config = connection.client();
        config.set("socket.timeout.ms", "10000");
        let admin: AdminClient<KafkaContext> =
            config.create_with_context(context.clone()).map_err(unreachable)?;
        let mut missing = Vec::new();
        let mut partitions = |name: &str| -> Result<i32, TopologyError> {
            let metadata =
                kafka::await_metadata(admin.inner(), name, CALL_TIMEOUT, stop).map_err(unreachable)?;
            let topic = metadata.topics().iter().find(|t| t.name() == name);
            let count = topic.map_or(0, |t| t.partitions().len());
            match topic.and_then(|t| t.error()).map(RDKafkaErrorCode::from) {
                Some(code) if !is_missing(code) => {
                    return Err(TopologyError::Topic { topic: name.to_owned(), code });
                }
                None if count > 0 => {}
                _ => missing.push(name.to_owned()),
            }
            Ok(i32::try_from(count).unwrap_or(i32::MAX))
        };
        let raw_partitions = partitions(&topics.raw_input.name)?;
        // The slower question is asked now, and its answer awaited at the end.
        let resources: Vec<_> =
            topics.iter().chain(ledger).map(|t| ResourceSpecifier::Topic(&t.name)).collect();
        let options = AdminOptions::new().request_timeout(Some(CALL_TIMEOUT));
        let settings = admin.describe_configs(&resources, &options);
        let mut output = |name: &str| -> Result<WrittenTopic, TopologyError> {
            Ok(WrittenTopic {
                name: name.to_owned(),
                partitions: partitions(name)?,
                max_bytes: 0,
                is_compacted: false,
            })
        };
        let mut topology = Self {
            raw_partitions,
            deduplicated: output(&topics.after_dedup_stream.name)?,
            averages: output(&topics.averages_output.name)?,
            alarms: output(&topics.deviation_alarm.name)?,
            dead_letter: output(&topics.dead_letter.name)?,
            table: output(&topics.after_dedup_storage_table.name)?,
            ledger: None,
        };
        if !missing.is_empty() {
            return Err(TopologyError::Missing(missing));
        }
        topology.ledger = match ledger {
            Some(ledger) => find_ledger(&admin, &ledger.name, stop).map_err(unreachable)?,
            None => None,
        };
        let settings = TopicSettings::of(block_on(settings), topics, context);
        for output in topology.all_mut() {
            let max = settings.get(&output.name, "max.message.bytes").and_then(|max| max.parse().ok());
            output.max_bytes = max.unwrap_or(DEFAULT_MAX_BYTES).min(LARGEST_RECORD).saturating_sub(OVERHEAD);
            let policy = settings.get(&output.name, CLEANUP_POLICY);
            output.is_compacted = policy.is_some_and(|policy| policy.contains("compact"));
        }
        topology.ledger.take_if(|ledger| {
            let is_small = ledger.max_bytes < LEAST_LEDGER;
            if is_small {
                tracing::warn!(
                    topic = ledger.name,
                    least = LEAST_LEDGER + OVERHEAD,
                    "the ledger takes no records of this size, so there are no paper accounts: raise its max.message.bytes"
                );
            }
            is_small
        });
        // Dropping the client blocks for up to 100 ms.
        thread::spawn(move || drop(admin));
        topology.check(topics, &settings)?;
        Ok(topology)
    }

    fn check(&self, topics: &Topics, settings: &TopicSettings) -> Result<(), TopologyError> {
        let table = self.table.name.clone();
        if self.raw_partitions != self.table.partitions {
            return Err(TopologyError::Unequal {
                raw: topics.raw_input.name.clone(),
                table,
                raw_partitions: self.raw_partitions,
                table_partitions: self.table.partitions,
            });
        }
        if self.table.max_bytes < LEAST_TABLE {
            let max = self.table.max_bytes + OVERHEAD;
            return Err(TopologyError::TableTooSmall { table, max, least: LEAST_TABLE_SETTING });
        }
        let state = [
            (StateTopic::RawInput, &topics.raw_input),
            (StateTopic::StorageTable, &topics.after_dedup_storage_table),
        ];
        let losses = state
            .into_iter()
            .filter_map(|(kind, topic)| kind.loss(&topic.name, settings.get(&topic.name, CLEANUP_POLICY)?));
        let losses: Vec<String> = losses.collect();
        if losses.is_empty() { Ok(()) } else { Err(TopologyError::LosesState(losses)) }
    }

    /// Returns the topic of an output; `None`: there is no ledger.
    pub(super) fn output(&self, topic: OutputTopic) -> Option<&WrittenTopic> {
        match topic {
            OutputTopic::Deduplicated => Some(&self.deduplicated),
            OutputTopic::Averages => Some(&self.averages),
            OutputTopic::Alarms => Some(&self.alarms),
            OutputTopic::Ledger => self.ledger.as_ref(),
        }
    }

    /// Returns a size in bytes of a batch that every topic takes.
    pub(super) fn batch_bytes(&self) -> usize {
        self.all().map(|o| o.max_bytes).min().unwrap_or(DEFAULT_MAX_BYTES).clamp(LEAST_BATCH, USUAL_BATCH)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut WrittenTopic> {
        let Self { deduplicated, averages, alarms, dead_letter, table, ledger, .. } = self;
        [deduplicated, averages, alarms, dead_letter, table].into_iter().chain(ledger)
    }

    /// Returns all topics that are written.
    pub(super) fn all(&self) -> impl Iterator<Item = &WrittenTopic> {
        let always = [&self.deduplicated, &self.averages, &self.alarms, &self.dead_letter, &self.table];
        always.into_iter().chain(&self.ledger)
    }
}

impl WrittenTopic {
    /// Returns the partition that records of a raw partition go to.
    pub(super) fn partition(&self, raw: i32) -> i32 {
        raw % self.partitions
    }
}

/// Returns the ledger; `None` where it is not there or may not be looked at.
fn find_ledger(
    admin: &AdminClient<KafkaContext>,
    name: &str,
    stop: &AtomicBool,
) -> KafkaResult<Option<WrittenTopic>> {
    let metadata = kafka::await_metadata(admin.inner(), name, CALL_TIMEOUT, stop)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(code) if is_missing(code) || code == RDKafkaErrorCode::TopicAuthorizationFailed => Ok(None),
        // It is there: leaders are being elected, say.
        Some(code) => Err(KafkaError::MetadataFetch(code)),
        None => Ok(Some(WrittenTopic {
            name: name.to_owned(),
            partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX).max(1),
            max_bytes: 0,
            is_compacted: false,
        })),
    }
}

fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
}

/// Returns the topics that others read.
pub(super) fn outputs(topics: &Topics) -> [&Topic; 4] {
    [&topics.after_dedup_stream, &topics.averages_output, &topics.deviation_alarm, &topics.dead_letter]
}

/// Returns all topics that are written.
pub(super) fn written(topics: &Topics) -> [&Topic; 5] {
    let [stream, averages, alarms, dead_letter] = outputs(topics);
    [stream, averages, alarms, dead_letter, &topics.after_dedup_storage_table]
}

/// The settings of the topics, where they may be read.
struct TopicSettings(HashMap<String, ConfigResource>);

impl TopicSettings {
    fn of(answers: KafkaResult<Vec<ConfigResourceResult>>, topics: &Topics, context: &KafkaContext) -> Self {
        let error = answers.as_ref().err().map(ToString::to_string);
        let described = answers.into_iter().flatten().flatten();
        // rdkafka drops the refusal: a topic that may not be described has no settings at all.
        let readable = described.filter(|config| !config.entries.is_empty());
        let settings = readable.filter_map(|config| match &config.specifier {
            OwnedResourceSpecifier::Topic(name) => Some((name.clone(), config)),
            _ => None,
        });
        let settings = Self(settings.collect());
        let names = topics.iter().map(|topic| topic.name.as_str());
        let hidden: Vec<&str> = names.filter(|name| !settings.0.contains_key(*name)).collect();
        if !hidden.is_empty() {
            context.limited("hidden settings", |suppressed| {
                tracing::warn!(
                    topics = hidden.join(" "),
                    error,
                    suppressed,
                    "topic settings cannot be read: their max.message.bytes is taken for Kafka's default, and whether \
                     their cleanup.policy keeps the state is not known; allow DESCRIBE_CONFIGS on them"
                );
            });
        }
        settings
    }

    fn get(&self, topic: &str, name: &str) -> Option<&str> {
        self.0.get(topic)?.get(name)?.value.as_deref()
    }
}
