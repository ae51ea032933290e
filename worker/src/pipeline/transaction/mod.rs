//! The transaction: what goes into it, its commit, and what follows when it fails.

mod checkpoints;
mod counts;
mod ledger;
mod outputs;
mod policy;
mod refusals;
pub(super) mod size;

use std::time::{Duration, Instant};
use std::{mem, thread};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use stockwatch_core::wire::{CommitMetadata, DeadLetterReason};
use stockwatch_core::{Effect, Encoder, checkpoint};

use self::counts::Counts;
use self::outputs::{Outputs, put};
use self::policy::{CommitPolicy, Open, Poll};
use self::refusals::Refusals;
use self::size::Size;
use super::assignment::Assignment;
use super::connector::Connector;
use super::error::{Failure, SessionError, Step};
use super::ledger::LedgerSearch;
use super::membership::Membership;
use super::producers::Producers;
use super::record::{envelope, raw_record};
use super::topology::{LEAST_TABLE_SETTING, Topology};

/// Transactions one after another, for all partitions together.
pub(super) struct Transactions<'a> {
    connector: Connector<'a>,
    topology: Topology,
    ledger: LedgerSearch,
    producers: Producers,
    encoder: Encoder,
    /// Quotes and bytes of the open transaction.
    quotes: usize,
    bytes: usize,
    counts: Counts,
    policy: CommitPolicy,
    /// Raw partition and offset of the last record absorbed.
    last_record: (i32, i64),
    refusals: Refusals,
    /// Entities' dirty times are milliseconds since then.
    started: Instant,
    last_commit: Instant,
}

impl<'a> Transactions<'a> {
    /// Transactions of `size`, to begin with.
    pub(super) fn new(
        connector: Connector<'a>,
        topology: Topology,
        ledger: LedgerSearch,
        producers: Producers,
        size: Size,
    ) -> Self {
        let now = Instant::now();
        let live = connector.settings.spec.borrow().clone();
        Self {
            encoder: Encoder::new(connector.raw(), &live.spec.namespace, &live.spec.name),
            connector,
            topology,
            ledger,
            producers,
            quotes: 0,
            bytes: 0,
            counts: Counts::default(),
            policy: CommitPolicy::new(size),
            last_record: (0, 0),
            refusals: Refusals::default(),
            started: now,
            last_commit: now,
        }
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.producers.began().is_some()
    }

    /// How many partitions the raw topic has.
    pub(super) fn partition_count(&self) -> i32 {
        self.topology.raw_partitions
    }

    /// Milliseconds since the start: what entities' dirtiness is measured with.
    pub(super) fn clock(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long the open transaction may wait for more quotes, once there are none; zero: it is committed now.
    pub(super) fn wait(&self) -> Duration {
        if !self.is_open() {
            return Duration::ZERO;
        }
        let poll = Poll::Drained { since_commit: self.last_commit.elapsed() };
        self.policy.wait(self.open(self.age()), poll)
    }

    /// How old the open transaction is.
    pub(super) fn age(&self) -> Duration {
        self.producers.began().map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Whether the open transaction, which is so old, is committed although more quotes wait.
    pub(super) fn is_full(&self, age: Duration) -> bool {
        self.policy.wait(self.open(age), Poll::Backlog).is_zero()
    }

    /// How large transactions may be.
    pub(super) fn size(&self) -> Size {
        self.policy.size()
    }

    /// Brokers did not answer: they may have been given more than they take in time.
    pub(super) fn timed_out(&mut self) {
        if self.is_open() {
            self.policy.timed_out();
        }
    }

    fn open(&self, age: Duration) -> Open {
        Open { age, quotes: self.quotes, bytes: self.bytes }
    }

    /// Exchanges the producers where others suit the feed better.
    fn suit_feed(&mut self) -> Result<(), Step> {
        if !self.is_open() && self.policy.feed() != self.producers.feed() {
            self.exchange_producers()?;
        }
        Ok(())
    }

    /// Begins a transaction unless one is open, and writes the shapes that partitions took since the last one.
    pub(super) fn begin(&mut self, owned: &mut Assignment) -> Result<(), Step> {
        self.suit_feed()?;
        self.producers.begin()?;
        let table = &self.topology.table.name;
        for (partition, due) in owned.all_active() {
            if !due.shape {
                continue;
            }
            let number = partition.number;
            if due.removed.iter().any(|removed| removed.orphan.is_some()) {
                let generation = partition.shape().map_or(0, |shape| shape.generation);
                let mut outputs = Outputs {
                    producers: &self.producers,
                    topology: &self.topology,
                    number,
                    refusals: None,
                    counts: &mut self.counts,
                    bytes: 0,
                    refused: false,
                };
                self.encoder.write_removed(number, &due.removed, generation, &mut outputs)?;
            }
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
    pub(super) fn absorb(
        &mut self,
        membership: &mut Membership,
        message: &BorrowedMessage<'_>,
        now: u64,
    ) -> Result<(), Step> {
        let number = message.partition();
        if !self.is_open() {
            self.begin(&mut membership.owned)?;
        }
        let Some((partition, due)) = membership.owned.active(number) else { return Ok(()) };
        let record = raw_record(message);
        if record.offset < partition.next_offset {
            // The topic begins anew under the same name. Kafka forgot our offset with the old one: said again,
            // restore finds that it does not fit, now and after every restart.
            due.offset = true;
            self.commit(membership)?;
            let why = KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange);
            return Err(Failure(why).into());
        }
        due.offset = true;
        self.quotes += 1;
        self.last_record = (number, record.offset);
        self.counts.quotes_consumed += 1;
        self.counts.note_timestamp(record.timestamp);
        let mut outputs = Outputs {
            producers: &self.producers,
            topology: &self.topology,
            number,
            refusals: self.refusals.of(self.last_record),
            counts: &mut self.counts,
            bytes: 0,
            refused: false,
        };
        let mut bad = None;
        match partition.process(&record, now) {
            Effect::Accepted(accepted) => {
                outputs.counts.quotes_accepted += 1;
                outputs.counts.quotes_late_joined += u64::from(accepted.late);
                outputs.counts.judged(accepted.judgement);
                outputs.counts.traded(accepted.entries);
                self.encoder.write(number, &record, &accepted, &mut outputs)?;
                bad = outputs.refused.then_some(DeadLetterReason::Unwritable);
            }
            Effect::Duplicate { other_price } => {
                outputs.counts.quotes_duplicate[usize::from(other_price)] += 1;
            }
            Effect::TooLate => outputs.counts.quotes_late_dropped += 1,
            Effect::Unlisted => outputs.counts.quotes_unlisted += 1,
            Effect::OverLimit => outputs.counts.quotes_over_limit += 1,
            Effect::Bad(reason) => bad = Some(reason),
            Effect::Covered => {}
        }
        if let Some(reason) = bad {
            outputs.dead_letter(self.connector.raw(), &record, &envelope(message), reason)?;
        }
        self.bytes += outputs.bytes;
        Ok(())
    }

    /// Commits the open transaction, if any; returns whether brokers have taken offsets with it.
    pub(super) fn commit(&mut self, membership: &mut Membership) -> Result<bool, Step> {
        if !self.is_open() {
            return Ok(false);
        }
        self.write_due_checkpoints(&mut membership.owned)?;
        self.commit_offsets(membership)
    }

    fn commit_offsets(&mut self, membership: &mut Membership) -> Result<bool, Step> {
        self.write_said(&mut membership.owned)?;
        let open = self.open(self.age());
        let began = Instant::now();
        let offsets = self.offsets(&mut membership.owned)?;
        let with_offsets = offsets.count() > 0;
        let Some(group) = membership.group_metadata() else {
            return Err(Failure(KafkaError::Rebalance(RDKafkaErrorCode::UnknownMemberId)).into());
        };
        self.producers.commit(offsets, group, || !membership.is_cut_off())?;
        let metrics = &self.connector.settings.metrics;
        metrics.transactions_committed.inc();
        let settings = self.connector.settings;
        mem::take(&mut self.counts).publish(metrics, &settings.flow, settings.flow.now_millis());
        self.last_commit = Instant::now();
        let took = self.last_commit.duration_since(began);
        metrics.commit_seconds.observe(took.as_secs_f64());
        (self.quotes, self.bytes) = (0, 0);
        let owned = &mut membership.owned;
        self.policy.committed(open, took, owned.all_active().map(|(p, _)| (p.number, p.next_offset)));
        for (_, due) in owned.all_active() {
            due.offset = false;
        }
        if owned.all_are_active() {
            self.connector.settings.health.set_applied(owned.least_generation());
        }
        Ok(with_offsets)
    }

    /// Returns the offsets that are due, each with where a restore begins.
    fn offsets(&self, owned: &mut Assignment) -> Result<TopicPartitionList, Failure> {
        let unusable = |_| Failure(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidArgument));
        let mut offsets = TopicPartitionList::new();
        for (partition, due) in owned.all_active().filter(|(_, due)| due.offset) {
            let metadata = CommitMetadata {
                owner: self.connector.owner.clone(),
                replay: partition.replay_from(),
                timestamp: partition.last_timestamp,
                released: due.released,
            };
            let mut element = offsets.add_partition(self.connector.raw(), partition.number);
            element.set_offset(Offset::Offset(partition.next_offset)).map_err(unusable)?;
            element.set_metadata(metadata.encode());
        }
        Ok(offsets)
    }

    /// These partitions are given away.
    pub(super) fn gave_away(&mut self, partitions: &[i32]) {
        self.policy.gave_away(partitions);
    }

    /// Commits what is open, and that these partitions are free.
    pub(super) fn release(&mut self, membership: &mut Membership, partitions: &[i32]) -> Result<(), Step> {
        for number in partitions {
            if let Some((_, due)) = membership.owned.active(*number) {
                due.offset = true;
                due.released = true;
                self.begin(&mut membership.owned)?;
            }
        }
        self.commit(membership).map(drop)
    }

    /// The last transaction: what is open, and checkpoints so that the next owner has little to replay.
    pub(super) fn finish(&mut self, membership: &mut Membership) -> Result<(), Step> {
        self.begin(&mut membership.owned)?;
        for (_, due) in membership.owned.all_active() {
            due.released = true;
        }
        self.write_last_checkpoints(&mut membership.owned)?;
        self.commit_offsets(membership).map(drop)
    }

    /// Gives up what failed, with the producers that it was sent by. Partitions are then restored.
    ///
    /// `abort_transaction` is not enough. Records whose answer was lost, and which wait to be sent again, are forgotten
    /// by it, and their sequence numbers are given to the next transaction's records
    /// (`rd_kafka_toppar_purge_queues`): a broker that had taken them says of a batch of as many records that it has it
    /// already, and drops it. Other producers begin a new epoch, which aborts what those before left open.
    pub(super) fn give_up(&mut self, failure: &Failure, owned: &mut Assignment) -> Result<(), SessionError> {
        let is_forbidden = failure.0.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let until = owned.all_active().map(|(p, _)| (p.number, p.next_offset)).collect();
        // The one record of this transaction is what brokers refuse, under the topics' present settings.
        let is_known = self.policy.most_quotes() == 1 && self.quotes == 1;
        // A transaction without a quote has records of the storage table alone.
        self.producers.forget_records(is_known || self.quotes == 0);
        let refused = self.connector.kafka.take_refused();
        let table = &self.topology.table.name;
        if refused.contains(table) {
            // It would be refused again, whatever the quotes are.
            return Err(SessionError::TableRefuses { table: table.clone(), least: LEAST_TABLE_SETTING });
        }
        if is_known {
            self.refusals.note(self.last_record, refused);
        }
        self.policy.failed(self.open(self.age()), failure.may_be_of_records().then_some(until));
        (self.quotes, self.bytes) = (0, 0);
        self.counts = Counts::default();
        if is_forbidden && self.topology.ledger.is_some() {
            // Alarms do not need the ledger: it is left alone for a while, and they go on.
            self.ledger.refused();
        }
        // A topic may have gone, or may take less than it did.
        self.topology = self.connector.discover(self.ledger.wanted())?;
        self.exchange_producers()
    }

    /// Makes producers for the topics and the feed as they are; they fence those before.
    fn exchange_producers(&mut self) -> Result<(), SessionError> {
        let (batch, feed) = (self.topology.batch_bytes(), self.policy.feed());
        let others = Producers::open(&self.connector, self.ledger.wanted(), feed, batch);
        let before = mem::replace(&mut self.producers, others.map_err(SessionError::Producers)?);
        // Closing them waits up to 100 ms for their threads.
        thread::spawn(move || drop(before));
        tracing::debug!(?feed, batch, "other producers");
        Ok(())
    }
}
