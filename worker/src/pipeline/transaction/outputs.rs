//! Records of the open transaction: what computing a quote gives, and what the table is told.

use std::collections::BTreeMap;

use rdkafka::message::{Header, OwnedHeaders};
use stockwatch_core::wire::{DeadLetter, DeadLetterLimits, DeadLetterReason, Envelope, RawRecord};
use stockwatch_core::{OutputRecord, OutputSender, OutputTopic};

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

/// Adds the output records of one raw record to the open transaction.
pub(super) struct Outputs<'a> {
    pub(super) producers: &'a Producers,
    pub(super) topology: &'a Topology,
    pub(super) number: i32,
    /// How often each topic has refused records of the same raw record.
    pub(super) refusals: Option<&'a BTreeMap<String, u32>>,
    pub(super) counts: &'a mut Counts,
    /// Bytes of the records so far.
    pub(super) bytes: usize,
    /// A record was left out: its topic does not take it.
    pub(super) refused: bool,
}

impl Outputs<'_> {
    /// Passes a raw record on with the reason, or as much of it as the topic takes.
    pub(super) fn dead_letter(
        &mut self,
        raw: &str,
        record: &RawRecord<'_>,
        envelope: &Envelope<'_>,
        reason: DeadLetterReason,
    ) -> Result<(), Step> {
        self.counts.dead_letters[reason as usize] += 1;
        let (number, offset, reason_text) = (self.number, record.offset, reason.as_str());
        let output = &self.topology.dead_letter;
        let limits = DeadLetterLimits {
            max_bytes: output.max_bytes,
            needs_key: output.is_compacted,
            refusals: self.refusals_of(&output.name),
        };
        let Some(letter) = DeadLetter::new(reason, raw, number, record, envelope, limits) else {
            tracing::error!(
                topic = raw,
                partition = number,
                offset,
                reason = reason_text,
                "a bad record is lost: {} does not even take its headers; check its max.message.bytes",
                output.name
            );
            self.counts.dead_letters_lost += 1;
            return Ok(());
        };
        tracing::debug!(partition = number, offset, reason = reason_text, "dead letter");
        let ours = letter.headers.iter().map(|(name, text)| (*name, Some(text.as_bytes())));
        let headers = owned(ours.chain(letter.own_headers.iter().copied()));
        self.bytes += letter.bytes();
        let (partition, key) = (output.partition(number), letter.key.as_deref());
        self.producers.send(&output.name, partition, key, letter.value, Some(headers))
    }

    fn refusals_of(&self, topic: &str) -> u32 {
        self.refusals.and_then(|topics| topics.get(topic)).copied().unwrap_or(0)
    }
}

/// Headers as librdkafka takes them.
fn owned<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.size_hint().0);
    headers.fold(empty, |all, (key, value)| all.insert(Header { key, value }))
}

impl OutputSender for Outputs<'_> {
    type Error = Step;

    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Step> {
        let OutputRecord { topic, key, value, headers } = record;
        // Nothing is computed for a ledger that there is not.
        let Some(output) = self.topology.output(topic) else { return Ok(()) };
        let in_headers: usize = headers.iter().map(|(name, text)| name.len() + text.len()).sum();
        let size = key.len() + value.len() + in_headers;
        if size > output.max_bytes || self.refusals_of(&output.name) > 0 {
            if topic == OutputTopic::Ledger {
                // The quote is as good as any: its averages are written.
                tracing::error!(
                    topic = output.name,
                    entry = %String::from_utf8_lossy(value),
                    "an entry of the ledger is lost: its topic does not take it"
                );
            } else {
                self.refused = true;
            }
            return Ok(());
        }
        self.bytes += size;
        match topic {
            OutputTopic::Deduplicated | OutputTopic::Ledger => {}
            OutputTopic::Averages => self.counts.averages += 1,
            OutputTopic::Alarms => self.counts.alarms += 1,
        }
        let headers = (!headers.is_empty())
            .then(|| owned(headers.iter().map(|(name, text)| (*name, Some(text.as_bytes())))));
        self.producers.send(&output.name, output.partition(self.number), Some(key), Some(value), headers)
    }
}
