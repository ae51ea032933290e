//! A test's own view of Kafka: topics made and read to their end, records written, offsets looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, Timestamp, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::wait::{soon, wait_for};

const TIMEOUT: Duration = Duration::from_secs(20);

/// What a reader sees of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only records of committed transactions.
    Committed,
    /// Also those of open and aborted ones.
    Uncommitted,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970.
    pub timestamp: i64,
    /// The broker has stamped it (`LogAppendTime`), not its writer.
    pub is_appended: bool,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The key as text; empty without one.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value as text; empty without one.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        let header = self.headers.iter().find(|header| header.0 == name)?;
        Some(String::from_utf8_lossy(&header.1).into_owned())
    }
}

/// Topics, groups and offsets of one cluster.
pub struct Topics {
    config: ClientConfig,
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    /// Consumers that read committed offsets and ends, by group: a look makes no client.
    groups: Mutex<BTreeMap<String, Arc<BaseConsumer>>>,
}

impl Topics {
    /// Connects with the given client settings.
    pub fn new(config: ClientConfig) -> Self {
        // Any client's offsets are those of committed records unless it says otherwise.
        let admin = config.clone().set("isolation.level", "read_uncommitted").create().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { config, admin, runtime, groups: Mutex::default() }
    }

    /// Creates a topic and waits until it can be written.
    pub fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        const AS_BROKERS_SAY: i32 = -1;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(AS_BROKERS_SAY));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results =
            self.runtime.block_on(self.admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        self.await_partitions(name, partitions);
    }

    /// Waits until the topic exists with so many partitions.
    pub fn await_partitions(&self, name: &str, partitions: i32) {
        wait_for(30, &format!("topic {name} with {partitions} partitions"), || {
            let seen = self.partitions(name);
            soon(seen == partitions && (0..partitions).all(|p| self.try_end(name, p).is_ok()), seen)
        });
    }

    /// Waits until every partition of every topic has so many replicas in sync.
    pub fn await_in_sync(&self, replicas: usize) {
        wait_for(60, &format!("{replicas} replicas in sync"), || {
            let metadata =
                self.admin.inner().fetch_metadata(None, TIMEOUT).map_err(|error| error.to_string())?;
            let all =
                metadata.topics().iter().flat_map(|t| t.partitions().iter().map(move |p| (t.name(), p)));
            let behind: Vec<_> =
                all.filter(|(_, p)| p.isr().len() < replicas).map(|(t, p)| (t, p.id())).collect();
            soon(behind.is_empty(), behind)
        });
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete(&self, name: &str) {
        self.runtime.block_on(self.admin.delete_topics(&[name], &AdminOptions::new())).unwrap();
        wait_for(30, "the topic deleted", || soon(self.partitions(name) == 0, self.partitions(name)));
    }

    /// Deletes a consumer group with its offsets, once nobody is in it.
    pub fn delete_group(&self, group: &str) {
        wait_for(30, "the group deleted", || {
            let done =
                self.runtime.block_on(self.admin.delete_groups(&[group], &AdminOptions::new())).unwrap();
            let gone = |r: &Result<String, (String, RDKafkaErrorCode)>| {
                matches!(r, Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)))
            };
            soon(done.iter().all(gone), &done)
        });
    }

    /// The names of all topics.
    pub fn names(&self) -> BTreeSet<String> {
        let all = self.admin.inner().fetch_metadata(None, TIMEOUT).unwrap();
        all.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// The names of all consumer groups.
    pub fn groups(&self) -> BTreeSet<String> {
        let list = self.admin.inner().fetch_group_list(None, TIMEOUT).unwrap();
        list.groups().iter().map(|group| group.name().to_owned()).collect()
    }

    /// Moves the start of a partition's log to `offset` (Kafka's DeleteRecords).
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let list = list(topic, [(partition, Offset::Offset(offset))]);
        let done = self.runtime.block_on(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
        assert!(done.elements().iter().all(|element| element.error().is_ok()), "{done:?}");
    }

    /// A topic's dynamic and default settings.
    pub fn settings(&self, topic: &str) -> BTreeMap<String, String> {
        let resource = ResourceSpecifier::Topic(topic);
        let all =
            self.runtime.block_on(self.admin.describe_configs([&resource], &AdminOptions::new())).unwrap();
        let config = all.into_iter().next().unwrap().unwrap();
        config.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
    }

    /// Makes these all the own settings of a topic, and waits until they are in force.
    pub fn set(&self, topic: &str, settings: &[(&str, &str)]) {
        let alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let alter = settings.iter().fold(alter, |alter, (key, value)| alter.set(key, value));
        let done = self.runtime.block_on(self.admin.alter_configs([&alter], &AdminOptions::new())).unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        wait_for(30, &format!("topic {topic} with {settings:?}"), || {
            let is = self.settings(topic);
            soon(settings.iter().all(|(key, value)| is[*key] == *value), is)
        });
    }

    /// The partitions of a topic; 0 where there is no such topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        let metadata =
            asked(&format!("topic {topic}"), || self.admin.inner().fetch_metadata(Some(topic), TIMEOUT));
        let topics = metadata.topics().iter().filter(|t| t.error().is_none());
        i32::try_from(topics.map(|t| t.partitions().len()).sum::<usize>()).unwrap()
    }

    /// The offset after a partition's last record, whatever its transaction.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        asked(&format!("the end of {topic}-{partition}"), || self.try_end(topic, partition))
    }

    fn try_end(&self, topic: &str, partition: i32) -> Result<i64, KafkaError> {
        Ok(self.admin.inner().fetch_watermarks(topic, partition, TIMEOUT)?.1)
    }

    /// Whether a transaction with records in this topic is open. One that was just committed may seem to be.
    pub fn has_open_transaction(&self, topic: &str) -> bool {
        let reader = self.group("reader");
        (0..self.partitions(topic)).any(|partition| {
            let readable = asked(&format!("the readable end of {topic}-{partition}"), || {
                reader.fetch_watermarks(topic, partition, TIMEOUT)
            });
            readable.1 < self.end(topic, partition)
        })
    }

    /// What a group has committed for a topic, with the commit's metadata, by partition.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, (i64, String)> {
        let partitions = self.partitions(topic);
        let list = list(topic, (0..partitions).map(|p| (p, Offset::Invalid)));
        let committed = asked(&format!("offsets of {group}"), || {
            let answer = self.group(group).committed_offsets(list.clone(), TIMEOUT);
            // librdkafka may have lost sight of brokers that were away: another client asks again.
            answer.inspect_err(|_| _ = self.groups.lock().unwrap().remove(group))
        });
        let elements = committed.elements();
        let known = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), (offset, element.metadata().into()))),
            _ => None,
        });
        known.collect()
    }

    fn group(&self, group: &str) -> Arc<BaseConsumer> {
        let connect = || {
            let mut config = self.config.clone();
            config.set("group.id", group).set("isolation.level", "read_committed");
            Arc::new(config.create().unwrap())
        };
        self.groups.lock().unwrap().entry(group.into()).or_insert_with(connect).clone()
    }

    /// All records from each partition's start to its end, by partition.
    ///
    /// Waits until no transaction is open in the topic where it reads committed ones only.
    pub fn read(&self, topic: &str, isolation: Isolation) -> Vec<Vec<Record>> {
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        let consumer: BaseConsumer = self
            .config
            .clone()
            .set("group.id", "reader")
            .set("isolation.level", level)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let count = self.partitions(topic);
        assert!(count > 0, "no topic {topic}");
        let ends: Vec<i64> = (0..count).map(|partition| self.end(topic, partition)).collect();
        for (partition, end) in (0..).zip(&ends) {
            wait_for(60, &format!("no open transaction in {topic}-{partition}"), || {
                let readable = consumer.fetch_watermarks(topic, partition, TIMEOUT);
                let readable = readable.map_err(|error| error.to_string())?.1;
                soon(readable >= *end, (readable, end))
            });
        }
        consumer.assign(&list(topic, (0..count).map(|p| (p, Offset::Beginning)))).unwrap();
        let mut open: BTreeSet<i32> = (0..count).collect();
        let mut all = vec![Vec::new(); open.len()];
        wait_for(60, &format!("the end of {topic}"), || {
            while !open.is_empty()
                && let Some(message) = consumer.poll(Duration::from_millis(200))
            {
                match message {
                    // What is written meanwhile, beyond the end that was, is not of interest.
                    Ok(message) => {
                        let partition = usize::try_from(message.partition()).unwrap();
                        if message.offset() < ends[partition] {
                            all[partition].push(record(&message));
                        }
                        if message.offset() + 1 >= ends[partition] {
                            open.remove(&message.partition());
                        }
                    }
                    Err(KafkaError::PartitionEOF(partition)) => _ = open.remove(&partition),
                    Err(error) => eprintln!("reading {topic}: {error}"),
                }
            }
            soon(open.is_empty(), &open)
        });
        all
    }
}

/// The answer to a question that brokers may fail to answer while they come and go.
fn asked<T>(what: &str, mut question: impl FnMut() -> Result<T, KafkaError>) -> T {
    wait_for(60, what, || question().map_err(|error| error.to_string()))
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned = headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()));
        owned.collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        is_appended: matches!(message.timestamp(), Timestamp::LogAppendTime(_)),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

fn list(topic: &str, offsets: impl IntoIterator<Item = (i32, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, offset).unwrap();
    }
    list
}
