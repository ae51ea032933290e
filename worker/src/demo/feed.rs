//! Reads what the worker commits, as any reader of its topics would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use stockwatch_core::wire::{AlarmRecord, AverageRecord, DeduplicatedRecord, LedgerRecord};
use stockwatch_crds::Topics;
use tokio::sync::mpsc;

use super::table::ShownRecord;
use crate::kafka::{Connection, KafkaContext};

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("the demo cannot read the output topics: {0}")]
    Consumer(#[from] KafkaError),
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

/// Reads on a thread until dropped.
pub(super) struct Feed {
    stop: Arc<AtomicBool>,
}

impl Feed {
    /// Sends each accepted quote, average, alarm and entry of the ledger, from the first one on.
    pub(super) fn start(
        connection: &Connection,
        topics: &Topics,
        partitions: i32,
        events: mpsc::Sender<ShownRecord>,
    ) -> Result<Self, FeedError> {
        let mut config = connection.client();
        config
            .set("group.id", "stockwatch-demo-screen")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer<KafkaContext> = config.create_with_context(KafkaContext::default())?;
        let kinds = [
            (topics.after_dedup_stream.name.clone(), Kind::Quote),
            (topics.averages_output.name.clone(), Kind::Average),
            (topics.deviation_alarm.name.clone(), Kind::Alarm),
            (topics.ledger.name.clone(), Kind::Entry),
        ];
        let mut list = TopicPartitionList::new();
        for (topic, _) in &kinds {
            for partition in 0..partitions {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;

        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::Builder::new().name("demo-feed".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let message = match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => message,
                    // librdkafka logs the error and tries again by itself.
                    Some(Err(_)) | None => continue,
                };
                let kind = kinds.iter().find(|(topic, _)| topic == message.topic()).map(|(_, kind)| *kind);
                let event = kind.and_then(|kind| kind.parse(message.payload()?));
                if event.is_some_and(|event| events.blocking_send(event).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Quote,
    Average,
    Alarm,
    Entry,
}

impl Kind {
    /// Reads a record; `None` if no worker writes such a one.
    fn parse(self, value: &[u8]) -> Option<ShownRecord> {
        Some(match self {
            Self::Quote => ShownRecord::Quote(DeduplicatedRecord::parse(value).ok()?),
            Self::Average => ShownRecord::Average(AverageRecord::parse(value).ok()?),
            Self::Alarm => ShownRecord::Alarm(Box::new(AlarmRecord::parse(value).ok()?)),
            Self::Entry => ShownRecord::Entry(Box::new(LedgerRecord::parse(value).ok()?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_worker_writes_is_skipped() {
        for value in [&b""[..], b"nonsense", b"{}", b"{\"entityname\":1}"] {
            for kind in [Kind::Quote, Kind::Average, Kind::Alarm, Kind::Entry] {
                assert_eq!(kind.parse(value), None);
            }
        }
    }
}
