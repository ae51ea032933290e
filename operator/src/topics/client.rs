//! Blocking calls to one cluster, each bounded in time, without any decision.

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
use super::found::{FoundTopic, FoundTopics};
use super::metrics::{Call, Metrics};
use super::observed::KafkaReason;
use super::settings::Setting;
use super::trouble::{ErrorListener, Failure};

/// Topics named in one call.
pub(super) const BATCH: usize = 100;
/// For the first answer of any broker.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// Between two questions whether there is one.
const CONNECT_STEP: Duration = Duration::from_millis(50);
/// For one call.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// librdkafka's least: its `message.max.bytes`.
const FETCH_BYTES: &str = "1000000";

/// How a call ended for each name.
pub(super) type Answers = HashMap<String, Result<(), RDKafkaErrorCode>>;

/// A connected client. Dropping it blocks for a moment.
pub(super) struct Client {
    // A consumer reports why it cannot connect, and its metadata requests create no topic.
    consumer: BaseConsumer<ErrorListener>,
    // Has connections of its own, so it is made when it is first needed.
    admin: Option<AdminClient<ErrorListener>>,
    // Topics that exist but that metadata does not show, and until when that is to be expected.
    unseen: HashMap<String, Instant>,
    connection: Connection,
    errors: ErrorListener,
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
        let errors = ErrorListener::default();
        let consumer: BaseConsumer<ErrorListener> = connection
            .client()
            .clone()
            // It reads no records; librdkafka wants less than the largest answer here.
            .set("fetch.max.bytes", FETCH_BYTES)
            .create_with_context(errors.clone())
            .map_err(|error| unusable(&error.to_string()))?;
        let client = Self {
            consumer,
            admin: None,
            unseen: HashMap::new(),
            connection: connection.clone(),
            errors,
            metrics: metrics.clone(),
        };
        let end = Instant::now() + CONNECT_LIMIT;
        while client.cluster_id(CONNECT_STEP).is_none() {
            client.listen();
            if let Some(failure) = client.errors.fatal() {
                return Err(failure);
            }
            if Instant::now() > end {
                return Err(Failure::new(KafkaReason::KafkaUnreachable, "no answer in time"));
            }
        }
        client.errors.clear();
        Ok(client)
    }

    /// Lets librdkafka report its errors to the listener.
    fn listen(&self) {
        while self.consumer.poll(Duration::from_millis(1)).is_some() {}
    }

    fn cluster_id(&self, wait: Duration) -> Option<String> {
        self.consumer.client().fetch_cluster_id(wait)
    }

    fn failure(&self, error: &rdkafka::error::KafkaError) -> Failure {
        self.listen();
        self.errors.explain(error)
    }

    /// Returns the cluster's id, and those of the named topics that exist.
    pub(super) fn look(&self, names: &HashSet<&str>) -> Result<(String, FoundTopics), Failure> {
        let result = self.consumer.fetch_metadata(None, CALL_LIMIT);
        self.metrics.called(Call::Look, &result);
        let metadata = result.map_err(|error| self.failure(&error))?;
        self.listen();
        self.errors.clear();
        let topics = metadata.topics().iter().filter(|topic| names.contains(topic.name()));
        let topics = topics.filter_map(|topic| Some((topic.name().to_owned(), found(topic)?))).collect();
        let cluster_id = self.cluster_id(CONNECT_STEP);
        let cluster_id =
            cluster_id.ok_or_else(|| Failure::new(KafkaReason::KafkaUnreachable, "no cluster id"))?;
        Ok((cluster_id, topics))
    }

    /// Notes that a topic exists and that metadata must show it within `patience`.
    pub(super) fn expect(&mut self, name: &str, patience: Duration) {
        self.unseen.insert(name.to_owned(), Instant::now() + patience);
    }

    /// Notes that metadata shows these topics.
    pub(super) fn have_seen(&mut self, found: &FoundTopics) {
        self.unseen.retain(|name, _| !found.contains_key(name));
    }

    /// Returns whether metadata may still come to show a topic that exists; `None`: it is not known to exist.
    pub(super) fn may_appear(&self, name: &str) -> Option<bool> {
        self.unseen.get(name).map(|end| Instant::now() < *end)
    }

    /// Creates topics, at most [`BATCH`]. Partitions or replicas of -1 are the broker's default.
    pub(super) fn create(&mut self, topics: &[NewTopic<'_>]) -> Result<Answers, Failure> {
        let admin = self.admin()?;
        let result = block_on(admin.create_topics(distinct(topics, |topic| topic.name), &options()));
        self.answers(Call::Create, result)
    }

    /// Asks whether topics, at most [`BATCH`], would be created; none is.
    pub(super) fn validate(&mut self, topics: &[NewTopic<'_>]) -> Result<Answers, Failure> {
        let admin = self.admin()?;
        let topics = distinct(topics, |topic| topic.name);
        let result = block_on(admin.create_topics(topics, &options().validate_only(true)));
        self.answers(Call::Validate, result)
    }

    /// Grows topics to so many partitions, at most [`BATCH`].
    pub(super) fn grow(&mut self, topics: &[(&str, i32)]) -> Result<Answers, Failure> {
        let counts = distinct(topics, |(name, _)| *name).into_iter().map(|(name, count)| {
            // A count of the API is never negative.
            NewPartitions::new(name, usize::try_from(*count).unwrap_or_default())
        });
        let counts: Vec<NewPartitions<'_>> = counts.collect();
        let result = block_on(self.admin()?.create_partitions(&counts, &options()));
        self.answers(Call::Grow, result)
    }

    /// Returns the settings of topics, at most [`BATCH`]. A topic that does not exist or may not be read has none.
    pub(super) fn describe(&mut self, names: &[&str]) -> Result<HashMap<String, Vec<Setting>>, Failure> {
        let topics: Vec<ResourceSpecifier<'_>> =
            distinct(names, |name| *name).into_iter().map(|name| ResourceSpecifier::Topic(name)).collect();
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

    /// Replaces the own settings of topics, at most [`BATCH`]. rdkafka drops the result for each topic: only reading
    /// the settings again tells whether they are in force.
    pub(super) fn alter(&mut self, topics: &[(&str, &BTreeMap<String, String>)]) -> Result<(), Failure> {
        let all = distinct(topics, |(name, _)| *name).into_iter().map(|(name, settings)| AlterConfig {
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

    fn admin(&mut self) -> Result<&AdminClient<ErrorListener>, Failure> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => {
                let admin = self.connection.client().create_with_context(self.errors.clone());
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

/// One item for each topic, the first one: brokers refuse a request that names a topic twice, or librdkafka the answer, and
/// nobody of this Kafka would hear of theirs. Answers are by name.
fn distinct<'t, T>(items: &'t [T], name: impl Fn(&'t T) -> &'t str) -> Vec<&'t T> {
    let mut names = HashSet::new();
    items.iter().filter(|item| names.insert(name(item))).collect()
}

/// librdkafka refuses the settings. All of them were checked before but the contents of PEM texts.
fn unusable(detail: &str) -> Failure {
    Failure::new(KafkaReason::TlsFailed, detail)
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

/// `None`: the topic does not exist.
fn found(topic: &MetadataTopic) -> Option<FoundTopic> {
    let gone = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
    if topic.error().is_some_and(|error| gone.contains(&error.into())) {
        return None;
    }
    let partitions = topic.partitions();
    let replicas = partitions.first().map(|partition| partition.replicas().len());
    let replicas =
        replicas.filter(|count| partitions.iter().all(|partition| partition.replicas().len() == *count));
    Some(FoundTopic {
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: replicas.and_then(|count| i32::try_from(count).ok()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use prometheus_client::registry::Registry;

    use super::*;

    /// Answers a request of Kafka's protocol with so many bytes, as its head says.
    fn answer(mut client: TcpStream, bytes: i32) -> std::io::Result<()> {
        let mut head = [0; 12];
        client.read_exact(&mut head)?;
        // The correlation id follows the size, the key and the version of the request.
        client.write_all(&[&bytes.to_be_bytes(), &head[8..]].concat())?;
        client.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    #[test]
    fn an_answer_larger_than_any_list_of_topics_is_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || answer(client, 64 << 20));
            }
        });
        let connection = Connection::new(&servers, None, None).unwrap();
        let failure = Client::open(&connection, &Metrics::new(&mut Registry::default())).err().unwrap();
        assert!(failure.problem.message.contains("larger than the 16 MiB"), "{failure:?}");
    }
}
