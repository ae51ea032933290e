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
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topics: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|name| NewTopic::new(name, self.partitions, TopicReplication::Fixed(1)))
            .collect();
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

    /// Waits until `group` has committed up to the present end of `topic`.
    pub(crate) fn catch_up(
        &self,
        program: &mut Program,
        group: &str,
        topic: &str,
        limit: Duration,
    ) -> Result<CaughtUp> {
        let total: i64 = self.ends(topic)?.iter().sum();
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, self.partitions - 1);
        let started = Instant::now();
        let mut first: Option<(Instant, i64)> = None;
        loop {
            program.check()?;
            // A new group has no coordinator at first.
            let committed = consumer.committed_offsets(asked.clone(), CALL).unwrap_or_default();
            let now = Instant::now();
            let done: i64 = committed
                .elements()
                .iter()
                .map(|e| if let Offset::Offset(o) = e.offset() { o } else { 0 })
                .sum();
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
