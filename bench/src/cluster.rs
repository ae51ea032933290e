//! The benchmark's own requests to Kafka: topics, their ends, and what a group has committed.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::error::Result;
use crate::program::Program;

/// Partitions of every topic, where a measurement does not say otherwise.
const PARTITIONS: i32 = 6;
const CALL: Duration = Duration::from_secs(10);

/// How a group went through a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CaughtUp {
    /// Records in the topic.
    pub(crate) records: f64,
    /// Records for each second, between the first progress seen and the last.
    pub(crate) rate: f64,
}

/// The one broker's cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Its address for clients.
    pub(crate) bootstrap: String,
    /// How many partitions a topic gets.
    pub(crate) partitions: i32,
}

impl Cluster {
    /// The cluster at that address.
    pub(crate) fn at(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), partitions: PARTITIONS }
    }

    /// A client's settings, to be added to.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates topics; one that exists already is an error, since figures would mix.
    pub(crate) fn create(&self, topics: &[&str]) -> Result<()> {
        self.create_with(topics, &[])
    }

    /// The same with settings.
    pub(crate) fn create_with(&self, topics: &[&str], settings: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let new = |name| {
            let new = NewTopic::new(name, self.partitions, TopicReplication::Fixed(1));
            settings.iter().fold(new, |new, (key, value)| new.set(key, value))
        };
        let topics: Vec<NewTopic<'_>> = topics.iter().copied().map(new).collect();
        let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for result in runtime.block_on(admin.create_topics(&topics, &options))? {
            result.map_err(|(topic, code)| format!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Returns the high watermark of each partition.
    pub(crate) fn ends(&self, topic: &str) -> Result<Vec<i64>> {
        let consumer: BaseConsumer = self.client().create()?;
        (0..self.partitions).map(|p| Ok(consumer.fetch_watermarks(topic, p, CALL)?.1)).collect()
    }

    /// The way of `group` through `topic`.
    pub(crate) fn progress(&self, group: &str, topic: &str) -> Result<Progress> {
        let total = self.ends(topic)?.iter().sum();
        let consumer = self.client().set("group.id", group).create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, self.partitions - 1);
        Ok(Progress { consumer, partitions, total })
    }

    /// Waits until `group` has committed up to the present end of `topic`.
    pub(crate) fn catch_up(
        &self,
        program: &mut Program,
        group: &str,
        topic: &str,
        limit: Duration,
    ) -> Result<CaughtUp> {
        let progress = self.progress(group, topic)?;
        let total = progress.total;
        let started = Instant::now();
        let mut first: Option<(Instant, i64)> = None;
        loop {
            program.check()?;
            let done = progress.committed();
            let now = Instant::now();
            if done > 0 && first.is_none() {
                first = Some((now, done));
            }
            if let Some((since, skipped)) = first
                && done >= total
            {
                let rate = (total - skipped) as f64 / (now - since).as_secs_f64();
                return Ok(CaughtUp { records: total as f64, rate });
            }
            if started.elapsed() > limit {
                return Err(format!("{group} has committed {done} of {total} records after {limit:?}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How far a group has come in a topic.
pub(crate) struct Progress {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
    /// Records in the topic when this was made.
    pub(crate) total: i64,
}

impl Progress {
    /// How many of them the group has committed.
    pub(crate) fn committed(&self) -> i64 {
        // The coordinator of a new group is not there at once.
        let committed = self.consumer.committed_offsets(self.partitions.clone(), CALL).unwrap_or_default();
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        committed.elements().iter().map(|element| offset(element.offset())).sum()
    }
}
