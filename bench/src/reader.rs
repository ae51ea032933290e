//! Reads what is committed, as a downstream consumer does.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::error::Result;

const POLL: Duration = Duration::from_millis(20);
/// No record for so long: there are no more.
const STILL: Duration = Duration::from_secs(2);

/// A `read_committed` reader of all partitions of some topics, without a group.
pub(crate) struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// Reads from the first record on.
    pub(crate) fn from_start(cluster: &Cluster, topics: &[&str]) -> Result<Self> {
        Self::assigned(cluster, topics, |_| Ok((0..cluster.partitions).map(|_| 0).collect()))
    }

    /// Reads what is written from now on.
    pub(crate) fn from_now(cluster: &Cluster, topics: &[&str]) -> Result<Self> {
        Self::assigned(cluster, topics, |topic| cluster.ends(topic))
    }

    fn assigned(cluster: &Cluster, topics: &[&str], from: impl Fn(&str) -> Result<Vec<i64>>) -> Result<Self> {
        let consumer: BaseConsumer = cluster
            .client()
            .set("group.id", "bench-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for topic in topics {
            for (partition, offset) in (0..).zip(from(topic)?) {
                partitions.add_partition_offset(topic, partition, Offset::Offset(offset))?;
            }
        }
        consumer.assign(&partitions)?;
        Ok(Self { consumer })
    }

    /// Shows each record that comes within `span`.
    pub(crate) fn watch(&self, span: Duration, mut see: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            if let Some(message) = self.consumer.poll(POLL) {
                see(&message?);
            }
        }
        Ok(())
    }

    /// The bytes of key and value of each record that comes until none does for a while.
    pub(crate) fn sizes(&self) -> Result<Vec<usize>> {
        let (mut sizes, mut last) = (Vec::new(), Instant::now());
        while last.elapsed() < STILL {
            if let Some(message) = self.consumer.poll(POLL) {
                let message = message?;
                sizes.push(message.key_len() + message.payload_len());
                last = Instant::now();
            }
        }
        Ok(sizes)
    }

    /// Shows each record to `find` until it answers; an error after `limit`.
    pub(crate) fn find<T>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&BorrowedMessage<'_>) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(message) = self.consumer.poll(POLL)
                && let Some(found) = find(&message?)
            {
                return Ok(found);
            }
        }
        Err(format!("no {what} within {limit:?}").into())
    }
}
