//! The calls to one cluster, each blocking and bounded. Nothing here decides anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use super::connection::Connection;
use super::metrics::{Call, Metrics};
use super::observed::Reason;
use super::plan::{Found, Topics};
use super::settings::Setting;
use super::trouble::{Ear, Failure};

/// Topics named in one call.
pub(super) const BATCH: usize = 100;
/// For a first answer of any broker.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// How often librdkafka is asked whether there is one.
const CONNECT_STEP: Duration = Duration::from_millis(50);
/// For one call.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Names, each with how the call ended for it.
pub(super) type Answers = HashMap<String, Result<(), RDKafkaErrorCode>>;

/// A connected client. Dropping it blocks for a moment.
pub(super) struct Client {
    // A consumer, which says why it cannot connect and whose look at topics never creates one.
    consumer: BaseConsumer<Ear>,
    // Connects by itself, so only once there is something to do.
    admin: Option<AdminClient<Ear>>,
    // Topics that exist but are not shown, and until when that is no trouble.
    unseen: HashMap<String, Instant>,
    connection: Connection,
    ear: Ear,
    metrics: Metrics,
}

impl Client {
    /// Connects and waits for a first answer.
    pub(super) fn open(connection: &Connection, metrics: &Metrics) -> Result<Self, Failure> {
        let result = Self::connect(connection, metrics);
        metrics.called(Call::Connect, &result);
        result
    }

    fn connect(connection: &Connection, metrics: &Metrics) -> Result<Self, Failure> {
        let ear = Ear::default();
        let consumer: BaseConsumer<Ear> =
            connection.client().create_with_context(ear.clone()).map_err(|e| unusable(&e.to_string()))?;
        let client = Self {
            consumer,
            admin: None,
            unseen: HashMap::new(),
            connection: connection.clone(),
            ear,
            metrics: metrics.clone(),
        };
        let end = Instant::now() + CONNECT_LIMIT;
        while client.cluster_id(CONNECT_STEP).is_none() {
            client.listen();
            if let Some(failure) = client.ear.verdict() {
                return Err(failure);
            }
            if Instant::now() > end {
                return Err(Failure::new(Reason::KafkaUnreachable, "no answer in time"));
            }
        }
        client.ear.clear();
        Ok(client)
    }

    /// Takes what librdkafka said meanwhile.
    fn listen(&self) {
        while self.consumer.poll(Duration::from_millis(1)).is_some() {}
    }

    fn cluster_id(&self, wait: Duration) -> Option<String> {
        self.consumer.client().fetch_cluster_id(wait)
    }

    fn failure(&self, error: &rdkafka::error::KafkaError) -> Failure {
        self.listen();
        self.ear.explain(error)
    }

    /// The cluster's id, and those of the topics that are there.
    pub(super) fn look(&self, names: &HashSet<&str>) -> Result<(String, Topics), Failure> {
        let result = self.consumer.fetch_metadata(None, CALL_LIMIT);
        self.metrics.called(Call::Look, &result);
        let metadata = result.map_err(|error| self.failure(&error))?;
        self.listen();
        self.ear.clear();
        let topics = metadata.topics().iter().filter(|topic| names.contains(topic.name()));
        let topics = topics.filter_map(|topic| Some((topic.name().to_owned(), found(topic)?))).collect();
        let cluster_id = self.cluster_id(CONNECT_STEP);
        let cluster_id = cluster_id.ok_or_else(|| Failure::new(Reason::KafkaUnreachable, "no cluster id"))?;
        Ok((cluster_id, topics))
    }

    /// Notes that a topic exists and is to be shown within `patience`.
    pub(super) fn expect(&mut self, name: &str, patience: Duration) {
        self.unseen.insert(name.to_owned(), Instant::now() + patience);
    }

    /// Notes that these topics are shown.
    pub(super) fn have_seen(&mut self, found: &Topics) {
        self.unseen.retain(|name, _| !found.contains_key(name));
    }

    /// Whether a topic that exists and is not shown may still be; `None`: nothing is known of it.
    pub(super) fn may_appear(&self, name: &str) -> Option<bool> {
        self.unseen.get(name).map(|end| Instant::now() < *end)
    }

    /// Creates topics, at most [`BATCH`]. Partitions or replicas of -1 are the broker's default.
    pub(super) fn create(&mut self, topics: &[NewTopic<'_>]) -> Result<Answers, Failure> {
        let admin = self.admin()?;
        let result = block_on(admin.create_topics(topics, &options()));
        self.answers(Call::Create, result)
    }

    /// Grows topics to so many partitions, at most [`BATCH`].
    pub(super) fn grow(&mut self, topics: &[(&str, i32)]) -> Result<Answers, Failure> {
        let counts = topics.iter().map(|(name, count)| {
            // A count of the API is never negative.
            NewPartitions::new(name, usize::try_from(*count).unwrap_or_default())
        });
        let counts: Vec<NewPartitions<'_>> = counts.collect();
        let result = block_on(self.admin()?.create_partitions(&counts, &options()));
        self.answers(Call::Grow, result)
    }

    /// The settings of topics, at most [`BATCH`]. One that may not be read, or is not there, has none.
    pub(super) fn describe(&mut self, names: &[&str]) -> Result<HashMap<String, Vec<Setting>>, Failure> {
        let topics: Vec<ResourceSpecifier<'_>> =
            names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let result = block_on(self.admin()?.describe_configs(&topics, &options()));
        self.metrics.called(Call::Describe, &result);
        let resources = result.map_err(|error| self.failure(&error))?;
        let topic = |resource: rdkafka::admin::ConfigResource| match resource.specifier {
            OwnedResourceSpecifier::Topic(name) => Some((name, resource.entries)),
            _ => None,
        };
        let settings = |entries: Vec<rdkafka::admin::ConfigEntry>| {
            let setting = |entry: rdkafka::admin::ConfigEntry| Setting {
                is_own: entry.source == ConfigSource::DynamicTopic,
                name: entry.name,
                value: entry.value,
            };
            entries.into_iter().map(setting).collect()
        };
        let topics = resources.into_iter().filter_map(|resource| topic(resource.ok()?));
        Ok(topics.map(|(name, entries)| (name, settings(entries))).collect())
    }

    /// Makes these all the own settings of topics, at most [`BATCH`]. rdkafka drops the answer for each topic: only
    /// another look at the settings tells whether they were taken.
    pub(super) fn alter(&mut self, topics: &[(&str, &BTreeMap<String, String>)]) -> Result<(), Failure> {
        let all = topics.iter().map(|(name, settings)| AlterConfig {
            specifier: ResourceSpecifier::Topic(name),
            entries: settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        });
        let all: Vec<AlterConfig<'_>> = all.collect();
        let result = block_on(self.admin()?.alter_configs(&all, &options()));
        self.metrics.called(Call::Alter, &result);
        result.map(|_| ()).map_err(|error| self.failure(&error))
    }

    /// Deletes topics, at most [`BATCH`].
    pub(super) fn delete_topics(&mut self, names: &[&str]) -> Result<Answers, Failure> {
        self.unseen.retain(|name, _| !names.contains(&name.as_str()));
        let result = block_on(self.admin()?.delete_topics(names, &options()));
        self.answers(Call::DeleteTopics, result)
    }

    /// Deletes a consumer group.
    pub(super) fn delete_group(&mut self, group: &str) -> Result<Answers, Failure> {
        let result = block_on(self.admin()?.delete_groups(&[group], &options()));
        self.answers(Call::DeleteGroups, result)
    }

    fn admin(&mut self) -> Result<&AdminClient<Ear>, Failure> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => {
                let admin = self.connection.client().create_with_context(self.ear.clone());
                admin.map_err(|error| unusable(&error.to_string()))?
            }
        };
        Ok(self.admin.insert(admin))
    }

    fn answers(
        &self,
        call: Call,
        result: KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>,
    ) -> Result<Answers, Failure> {
        self.metrics.called(call, &result);
        let answers = result.map_err(|error| self.failure(&error))?;
        let answer = |answer: Result<String, (String, RDKafkaErrorCode)>| match answer {
            Ok(name) => (name, Ok(())),
            Err((name, code)) => (name, Err(code)),
        };
        Ok(answers.into_iter().map(answer).collect())
    }
}

/// librdkafka makes no client of the settings: of all of them only the PEM texts are not checked before.
fn unusable(detail: &str) -> Failure {
    Failure::new(Reason::TlsFailed, detail)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL_LIMIT)).operation_timeout(Some(CALL_LIMIT))
}

/// A topic to create; -1 partitions or no replication factor: the broker's default.
pub(super) fn new_topic<'a>(
    name: &'a str,
    partitions: i32,
    replication_factor: Option<i32>,
    config: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> NewTopic<'a> {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replication_factor.unwrap_or(-1)));
    config.into_iter().fold(new, |new, (key, value)| new.set(key, value))
}

/// `None`: not there.
fn found(topic: &MetadataTopic) -> Option<Found> {
    let gone = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
    if topic.error().is_some_and(|error| gone.contains(&error.into())) {
        return None;
    }
    let partitions = topic.partitions();
    let replicas = partitions.first().map(|partition| partition.replicas().len());
    let replicas =
        replicas.filter(|count| partitions.iter().all(|partition| partition.replicas().len() == *count));
    Some(Found {
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: replicas.and_then(|count| i32::try_from(count).ok()),
    })
}
