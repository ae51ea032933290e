//! Records of the open transaction: what computing a quote gives, and what the table is told.

use rdkafka::message::{Header, OwnedHeaders};
use sha2::{Digest, Sha256};
use stockwatch_core::checkpoint::OffsetRecord;
use stockwatch_core::{Bad, Partition, RawRecord, Sink, Stream, push_hex};

use crate::pipeline::error::Step;
use crate::pipeline::producers::Producers;
use crate::pipeline::topology::Topology;

/// Returns a writer to one partition of the table.
pub(super) fn put<'a>(
    producers: &'a Producers,
    table: &'a str,
    number: i32,
) -> impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Step> + 'a {
    move |key, value| producers.send(table, number, Some(key), value, None)
}

pub(super) fn offset_record(partition: &Partition) -> Vec<u8> {
    let record = OffsetRecord {
        offset: partition.next_offset,
        replay: partition.replay_from(),
        timestamp: partition.last_timestamp,
    };
    serde_json::to_vec(&record).unwrap_or_default() // numbers only: cannot fail
}

/// Adds output records of one raw partition to the open transaction.
pub(super) struct Outputs<'a> {
    pub(super) producers: &'a Producers,
    pub(super) topology: &'a Topology,
    pub(super) number: i32,
    /// Bytes of the records so far.
    pub(super) bytes: usize,
    /// A record was larger than its topic takes.
    pub(super) refused: bool,
}

impl Outputs<'_> {
    /// Passes a raw record on unchanged with the reason; one that is too large becomes headers only.
    pub(super) fn dead_letter(&mut self, raw: &str, record: &RawRecord<'_>, reason: Bad) -> Result<(), Step> {
        let number = self.number;
        tracing::debug!(partition = number, offset = record.offset, reason = reason.as_str(), "dead letter");
        let output = &self.topology.dead_letter;
        let mut headers = OwnedHeaders::new_with_capacity(6);
        for (key, value) in [
            ("stockwatch-reason", reason.as_str()),
            ("stockwatch-topic", raw),
            ("stockwatch-partition", &number.to_string()),
            ("stockwatch-offset", &record.offset.to_string()),
        ] {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let (mut key, mut value) = (record.key, record.value);
        if size > output.max_bytes {
            let mut digest = Vec::with_capacity(64);
            push_hex(&mut digest, &Sha256::digest(record.value.unwrap_or_default()));
            let length = record.value.map_or(0, <[u8]>::len).to_string();
            headers = headers.insert(Header { key: "stockwatch-size", value: Some(&length) });
            headers = headers.insert(Header { key: "stockwatch-sha256", value: Some(&digest) });
            (key, value) = (None, None);
        }
        self.bytes += size;
        self.producers.send(&output.name, output.partition(number), key, value, Some(headers))
    }
}

impl Sink for Outputs<'_> {
    type Error = Step;

    fn send(&mut self, stream: Stream, key: &[u8], value: &[u8]) -> Result<(), Step> {
        let output = self.topology.output(stream);
        let size = key.len() + value.len();
        if size > output.max_bytes {
            self.refused = true;
            return Ok(());
        }
        self.bytes += size;
        self.producers.send(&output.name, output.partition(self.number), Some(key), Some(value), None)
    }
}
