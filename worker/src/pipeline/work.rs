//! The transaction: what goes into it, its commit, and what follows when it fails.

use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::{Message, Offset, TopicPartitionList};
use stockwatch_core::wire::{CommitMetadata, DeadLetter, DeadLetterReason, RawRecord};
use stockwatch_core::{Effect, OutputSender, OutputTopic, Partition, checkpoint};

use super::SessionError;
use super::group;
use super::owned::Due;
use super::restore::{Job, raw_record};
use super::run::{Doubt, Loop, Open, Step};
use super::session::open_producers;
use super::topology::Topology;
use super::transaction::{Failure, Producers};
use crate::metrics::ReasonLabel;

/// A transaction is committed at this size.
const MOST_QUOTES: usize = 10_000;
/// A transaction is committed when its output has so many bytes.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// An entity is checkpointed when it has been dirty for so long (ms).
const CHECKPOINT_AGE: u64 = 5_000;
/// Bytes of checkpoints in a transaction, at least, and for each quote in it.
const CHECKPOINT_BYTES: usize = 16 * 1024;
const CHECKPOINT_BYTES_PER_QUOTE: usize = 40;
/// On the way out a partition may write so much.
const LAST_CHECKPOINT_BYTES: usize = 4 * 1024 * 1024;

impl Loop<'_> {
    /// Begins a transaction unless one is open, and writes what partitions have become since the last one.
    pub(super) fn begin(&mut self) -> Result<(), Step> {
        self.producers.begin()?;
        let table = &self.topology.table.name;
        for (partition, due) in self.slots.all_active() {
            if !due.shape {
                continue;
            }
            let number = partition.number;
            let mut put = put(&self.producers, table, number);
            checkpoint::write_removed(&due.removed, &mut put)?;
            due.removed.clear();
            checkpoint::write_shapes(partition, &mut put)?;
            checkpoint::write_offset(partition, &mut put)?;
            due.shape = false;
            due.offset = true;
        }
        Ok(())
    }

    /// Computes one record, and adds what follows to the transaction.
    pub(super) fn absorb(&mut self, message: &BorrowedMessage<'_>, now: u64) -> Result<(), Step> {
        let number = message.partition();
        if self.producers.began().is_none() {
            self.begin()?;
        }
        let Some((partition, due)) = self.slots.active(number) else { return Ok(()) };
        let record = raw_record(message);
        if record.offset < partition.next_offset {
            // The topic begins anew under the same name. Kafka forgot our offset with the old one: said again,
            // restore finds that it does not fit, now and after every restart.
            due.offset = true;
            self.commit()?;
            let why = KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange);
            return Err(Failure::Abortable(why).into());
        }
        let metrics = &self.settings.metrics;
        metrics.quotes_consumed.inc();
        due.offset = true;
        self.open.quotes += 1;
        let mut outputs = Outputs {
            producers: &self.producers,
            topology: &self.topology,
            number,
            bytes: 0,
            refused: false,
        };
        match partition.process(&record, now) {
            Effect::Accepted(accepted) => {
                metrics.quotes_accepted.inc();
                if accepted.late {
                    metrics.quotes_late_joined.inc();
                }
                let written = self.encoder.write(number, &record, &accepted, &mut outputs)?;
                metrics.averages.inc_by(written.averages);
                metrics.alarms.inc_by(written.alarms);
                let (bytes, refused) = (outputs.bytes, outputs.refused);
                self.open.bytes += bytes;
                if refused {
                    self.open.bytes += self.dead_letter(number, &record, DeadLetterReason::Unwritable)?;
                }
            }
            Effect::Duplicate => {
                metrics.quotes_duplicate.inc();
            }
            Effect::TooLate => {
                metrics.quotes_late_dropped.inc();
            }
            Effect::Unlisted => {
                metrics.quotes_unlisted.inc();
            }
            Effect::OverLimit => {
                metrics.quotes_over_limit.inc();
            }
            Effect::Bad(bad) => {
                self.open.bytes += self.dead_letter(number, &record, bad)?;
            }
            Effect::Covered => {}
        }
        Ok(())
    }

    /// Passes a record on unchanged with the reason; gives its size.
    fn dead_letter(
        &self,
        number: i32,
        record: &RawRecord<'_>,
        reason: DeadLetterReason,
    ) -> Result<usize, Step> {
        self.settings.metrics.dead_letters.get_or_create(&ReasonLabel(reason)).inc();
        tracing::debug!(partition = number, offset = record.offset, reason = reason.as_str(), "dead letter");
        let output = &self.topology.dead_letter;
        let letter = DeadLetter::new(reason, &self.raw, number, record, output.max_bytes);
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len());
        for (key, value) in &letter.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        self.producers.send(
            &output.name,
            output.partition(number),
            letter.key,
            letter.value,
            Some(headers),
        )?;
        Ok(record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len))
    }

    /// Whether the open transaction is to be committed whatever waits.
    pub(super) fn is_full(&self) -> bool {
        let most = if self.doubt.as_ref().is_some_and(|d| d.failures >= 2) { 1 } else { MOST_QUOTES };
        self.open.quotes >= most || self.open.bytes >= MOST_BYTES
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether an entity has waited long enough for its checkpoint.
    pub(super) fn is_checkpoint_due(&mut self) -> bool {
        let now = self.clock();
        let waited = |p: &mut Partition| {
            p.oldest_dirty().is_some_and(|d| now.saturating_sub(d.since) >= CHECKPOINT_AGE)
        };
        self.slots.all_active().any(|(partition, _)| waited(partition))
    }

    /// Writes checkpoints into the open transaction.
    fn write_checkpoints(&mut self, now: u64, age: u64, budget: usize) -> Result<(), Step> {
        let metrics = &self.settings.metrics;
        for (partition, due) in self.slots.all_active() {
            let number = partition.number;
            let mut put = put(&self.producers, &self.topology.table.name, number);
            let (bytes, records) = checkpoint::write_due(partition, now, age, budget, &mut put)?;
            if partition.recorded.has_changes && (age == 0 || due.released) {
                // Whoever comes next may be of an older release, which reads whole records only.
                checkpoint::write_whole_shapes(partition, &mut put)?;
            }
            let stale = due.noted.is_none_or(|(offset, at)| {
                offset < partition.next_offset && now.saturating_sub(at) >= CHECKPOINT_AGE
            });
            if records > 0 || age == 0 || due.offset && stale {
                // Before the first record there is nothing that would tell this topic from another.
                due.noted = (partition.last_timestamp >= 0).then_some((partition.next_offset, now));
                partition.prune_history();
                checkpoint::write_offset(partition, &mut put)?;
                due.offset = true;
                metrics.checkpoints.inc_by(records);
                metrics.checkpoint_bytes.inc_by(bytes as u64);
            }
        }
        Ok(())
    }

    /// Commits the open transaction, if any.
    pub(super) fn commit(&mut self) -> Result<(), Step> {
        if self.producers.began().is_none() {
            return Ok(());
        }
        let budget = CHECKPOINT_BYTES.max(CHECKPOINT_BYTES_PER_QUOTE * self.open.quotes);
        self.write_checkpoints(self.clock(), CHECKPOINT_AGE, budget)?;
        self.commit_offsets()
    }

    fn commit_offsets(&mut self) -> Result<(), Step> {
        let began = Instant::now();
        let unusable =
            |_| Failure::Abortable(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidArgument));
        let mut offsets = TopicPartitionList::new();
        for (partition, due) in self.slots.all_active() {
            if due.offset {
                let metadata = CommitMetadata {
                    owner: self.owner.clone(),
                    replay: partition.replay_from(),
                    timestamp: partition.last_timestamp,
                    released: due.released,
                };
                let mut element = offsets.add_partition(&self.raw, partition.number);
                element.set_offset(Offset::Offset(partition.next_offset)).map_err(unusable)?;
                element.set_metadata(metadata.encode());
            }
        }
        let Some(group) = self.consumer.group_metadata() else {
            return Err(Failure::Abortable(KafkaError::Rebalance(RDKafkaErrorCode::UnknownMemberId)).into());
        };
        let consumer = &self.consumer;
        self.producers.commit(offsets, group, || !consumer.context().is_cut_off())?;
        let metrics = &self.settings.metrics;
        metrics.transactions_committed.inc();
        metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.last_commit = Instant::now();
        self.open = Open::default();
        let past = |d: &Doubt, (p, _): (&mut Partition, &mut Due)| {
            d.until.iter().all(|(n, o)| *n != p.number || p.next_offset >= *o)
        };
        if let Some(doubt) = &self.doubt
            && self.slots.all_active().all(|active| past(doubt, active))
        {
            self.doubt = None;
        }
        for (_, due) in self.slots.all_active() {
            due.offset = false;
        }
        if self.slots.all_are_active() {
            self.settings.health.set_applied(self.slots.least_generation());
        }
        Ok(())
    }

    /// The last transaction: what is open, and checkpoints so that whoever comes next has little to replay.
    pub(super) fn finish(&mut self) -> Result<(), Step> {
        self.begin()?;
        for (_, due) in self.slots.all_active() {
            due.released = true;
        }
        self.write_checkpoints(u64::MAX, 0, LAST_CHECKPOINT_BYTES)?;
        let ended = self.commit_offsets();
        if ended.is_err() {
            let _ = self.producers.abort(); // the coordinator will do it otherwise
        }
        ended
    }

    /// Begins again from the last commit.
    pub(super) fn recover(&mut self, failure: Failure) -> Result<(), SessionError> {
        tracing::warn!(%failure, quotes = self.open.quotes, "the transaction failed: restoring what was committed");
        self.trouble = Some(format!("restoring after a failed transaction: {failure}"));
        self.settings.health.set_not_ready(self.trouble.clone());
        let until = self.slots.all_active().map(|(p, _)| (p.number, p.next_offset)).collect();
        let failures = self.doubt.take().map_or(0, |d| d.failures) + 1;
        self.doubt = Some(Doubt { until, failures });
        self.open = Open::default();
        let aborted = match failure {
            Failure::Abortable(_) => self.producers.abort(),
            Failure::Fatal(error) => Err(error),
        };
        self.cancel_jobs();
        let partitions = self.slots.forget_all(self.ticket);
        self.publish_owned();
        // A topic may have gone, or may take less than it did.
        let live = self.rules.live();
        let topics = &live.spec.kafka.topics;
        self.topology =
            Topology::discover(&self.settings.connection, &self.kafka, topics, &self.settings.stop)?;
        let batch = self.topology.batch_bytes();
        if aborted.is_err() || batch < self.producers.batch_bytes() {
            self.producers = open_producers(self.settings, &self.kafka, &self.owner, topics, batch)?;
        }
        if !partitions.is_empty() {
            group::pause(&self.consumer, &self.raw, &partitions).map_err(SessionError::Group)?;
            let job = Job::Restore { ticket: self.ticket, partitions };
            if let Err(Step::Session(error)) = self.send_job(job) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gauges.
    pub(super) fn count_state(&mut self) {
        let metrics = &self.settings.metrics;
        let (mut partitions, mut entities) = (0, 0);
        for (partition, _) in self.slots.all_active() {
            partitions += 1;
            entities += i64::try_from(partition.entities().len()).unwrap_or(i64::MAX);
        }
        metrics.partitions_owned.set(partitions);
        metrics.entities.set(entities);
        if let Some(generation) = self.slots.least_generation() {
            metrics.applied_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        }
    }
}

/// A writer to one partition of the table.
fn put<'a>(
    producers: &'a Producers,
    table: &'a str,
    number: i32,
) -> impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Step> + 'a {
    move |key, value| producers.send(table, number, Some(key), value, None)
}

/// Adds output records of one raw partition to the open transaction.
struct Outputs<'a> {
    producers: &'a Producers,
    topology: &'a Topology,
    number: i32,
    bytes: usize,
    /// A record was larger than its topic takes.
    refused: bool,
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
        self.producers.send(&output.name, output.partition(self.number), Some(key), Some(value), None)
    }
}
