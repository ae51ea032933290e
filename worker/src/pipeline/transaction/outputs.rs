//! Records of the open transaction: what computing a quote gives, and what the table is told.

use rdkafka::message::{Header, OwnedHeaders};
use stockwatch_core::wire::{DeadLetter, DeadLetterReason, RawRecord};
use stockwatch_core::{OutputSender, OutputTopic};

use super::counts::Counts;
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

/// Adds output records of one raw partition to the open transaction.
pub(super) struct Outputs<'a> {
    pub(super) producers: &'a Producers,
    pub(super) topology: &'a Topology,
    pub(super) number: i32,
    pub(super) counts: &'a mut Counts,
    /// Bytes of the records so far.
    pub(super) bytes: usize,
    /// A record was larger than its topic takes.
    pub(super) refused: bool,
}

impl Outputs<'_> {
    /// Passes a raw record on unchanged with the reason; one that is too large becomes headers only.
    pub(super) fn dead_letter(
        &mut self,
        raw: &str,
        record: &RawRecord<'_>,
        reason: DeadLetterReason,
    ) -> Result<(), Step> {
        self.counts.dead_letters[reason as usize] += 1;
        let number = self.number;
        tracing::debug!(partition = number, offset = record.offset, reason = reason.as_str(), "dead letter");
        let output = &self.topology.dead_letter;
        let letter = DeadLetter::new(reason, raw, number, record, output.max_bytes);
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len());
        for (key, value) in &letter.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        self.bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let partition = output.partition(number);
        self.producers.send(&output.name, partition, letter.key, letter.value, Some(headers))
    }
}

impl OutputSender for Outputs<'_> {
    type Error = Step;

    fn send(&mut self, topic: OutputTopic, key: &[u8], value: &[u8]) -> Result<(), Step> {
        let output = self.topology.output(topic);
        let size = key.len() + value.len();
        if size > output.max_bytes {
            self.refused = true;
            return Ok(());
        }
        self.bytes += size;
        match topic {
            OutputTopic::Deduplicated => {}
            OutputTopic::Averages => self.counts.averages += 1,
            OutputTopic::Alarms => self.counts.alarms += 1,
        }
        self.producers.send(&output.name, output.partition(self.number), Some(key), Some(value), None)
    }
}
