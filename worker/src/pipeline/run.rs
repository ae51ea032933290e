//! The loop: what it hears, and what it does next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::error::{Failure, SessionError, Step};
use super::group::{GroupContext, Rebalance};
use super::holdings;
use super::membership::Membership;
use super::readiness::Readiness;
use super::rules::Rules;
use super::settings::{Past, Settings};
use super::transaction::Transactions;
use crate::config::SpecReceiver;
use crate::kafka;

/// Between two looks at what partitions hold.
const LOOK_AT_HOLDINGS: Duration = Duration::from_secs(10);
/// One more second between these looks for this many entities: a look goes through all of them.
const ENTITIES_A_SECOND: u64 = 1000;
/// Between two looks at where raw logs begin.
const LOOK_AT_LOG_STARTS: Duration = Duration::from_secs(600);
/// The loop turns at least this often.
const TICK: Duration = Duration::from_millis(50);
/// The same while something is awaited from another thread.
const QUICK_TICK: Duration = Duration::from_millis(2);
/// So many records are taken in one turn, at most: brokers that are slow to take what follows must not hold the loop up.
const MOST_RECORDS: usize = 256;

/// The loop's state.
pub(super) struct Loop<'a> {
    pub(super) settings: &'a Settings,
    pub(super) past: &'a Past,
    pub(super) receiver: SpecReceiver,
    pub(super) rules: Rules,
    /// Partitions may not be under the rules.
    pub(super) review: bool,
    pub(super) membership: Membership,
    pub(super) transactions: Transactions<'a>,
    pub(super) readiness: Readiness,
    pub(super) last_tick: Instant,
    /// The last look at where raw logs begin.
    pub(super) last_look: Instant,
    /// When to look at what partitions hold.
    pub(super) look_at_holdings: Instant,
}

impl Loop<'_> {
    pub(super) fn run(&mut self, consumer: &Arc<BaseConsumer<GroupContext>>) -> Result<(), SessionError> {
        while !self.settings.stop.load(Ordering::Relaxed) {
            let Err(step) = self.turn(consumer) else { continue };
            self.past.note_silence(self.last_tick);
            if self.transactions.is_open() {
                self.settings.metrics.transactions_aborted.inc();
            }
            match step {
                Step::Failed(failure) => self.recover(failure)?,
                Step::Session(error) => {
                    if matches!(error, SessionError::Unanswered(_)) {
                        self.transactions.timed_out();
                    }
                    self.past.size.set(self.transactions.size());
                    return Err(error);
                }
            }
        }
        self.membership.unpublish_all();
        if let Err(error) = self.transactions.finish(&mut self.membership) {
            tracing::warn!(
                ?error,
                "the last transaction did not commit: its quotes are computed again by the next owner"
            );
        }
        Ok(())
    }

    /// Hears what is new, then takes records or commits.
    fn turn(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), Step> {
        if consumer.context().is_cut_off() {
            return Err(Step::Session(SessionError::CutOff));
        }
        while let Some(event) = consumer.context().next() {
            self.rebalance(event)?;
        }
        self.review |= self.membership.take_restored(&mut self.rules)?;
        if self.receiver.has_changed().unwrap_or(false) {
            let live = self.receiver.borrow_and_update().clone();
            self.rules.update(live);
            self.review = true;
        }
        if self.review {
            self.commit()?;
            self.settings.health.set_generation(self.rules.live().revision, self.rules.generation());
            // First, since accounts of entities that are no longer listed are voided.
            self.review = !self.keep_accounts();
            if !self.review {
                self.membership.apply_rules(&self.rules)?;
                self.announce_rules()?;
            }
        }
        if !self.review && self.membership.position()? {
            self.transactions.begin(&mut self.membership.owned)?;
            // Before any quote: a successor finds the owner of an open transaction by the last commit only.
            self.commit()?;
            // Before the extractor asks: answers are judged by what was before them.
            self.tell_holdings();
            self.membership.publish(self.transactions.partition_count());
            self.review = true;
        }
        if self.last_tick.elapsed() >= TICK {
            self.tick()?;
        }
        self.consume(consumer)
    }

    fn consume(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), Step> {
        let wait = match () {
            () if self.transactions.is_open() => self.transactions.wait(),
            () if self.membership.owned.any_is_imminent() => QUICK_TICK,
            () => TICK,
        };
        let mut polled = kafka::poll(consumer, wait);
        let (now, age) = (self.transactions.clock(), self.transactions.age());
        let mut taken = 0;
        loop {
            match polled {
                Some(Ok(message)) => {
                    self.transactions.absorb(&mut self.membership, &message, now)?;
                    if self.transactions.is_full(age) {
                        return self.commit();
                    }
                    taken += 1;
                    if taken >= MOST_RECORDS {
                        return Ok(());
                    }
                }
                Some(Err(error)) => self.hear_error(error)?,
                None if self.transactions.wait().is_zero() => return self.commit(),
                None => return Ok(()),
            }
            polled = consumer.poll(Duration::ZERO);
        }
    }

    fn commit(&mut self) -> Result<(), Step> {
        if self.transactions.commit(&mut self.membership)? {
            self.readiness.committed_offsets();
            self.membership.note_committed();
        }
        Ok(())
    }

    fn hear_error(&mut self, error: KafkaError) -> Result<(), Step> {
        let raw = &self.rules.live().spec.kafka.topics.raw_input.name;
        match &error {
            KafkaError::MessageConsumptionFatal(_) => return Err(SessionError::Group(error).into()),
            _ if kafka::is_missing_topic(&error) => {
                self.readiness.cannot_consume(format!("topic {raw} is gone: create it again"));
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.readiness.cannot_consume(format!(
                    "no permission to read as group: {error}; allow READ on the group"
                ));
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.readiness.cannot_consume(format!(
                    "no permission to read topic {raw}: {error}; allow READ on the topic"
                ));
            }
            // Brokers come and go: librdkafka mends it, and logs it.
            _ => tracing::debug!(%error, "while consuming"),
        }
        Ok(())
    }

    fn rebalance(&mut self, event: Rebalance) -> Result<(), Step> {
        tracing::info!(?event, "the group rebalances");
        match event {
            Rebalance::Assign(partitions) => {
                self.readiness.assigned();
                Ok(self.membership.assign(&partitions)?)
            }
            Rebalance::Revoke(partitions) => {
                self.membership.unpublish(&partitions);
                let released = self.transactions.release(&mut self.membership, &partitions);
                // The next owner takes this process for dead where it does not see that a partition is free: brokers say so
                // some time after they have answered the commit.
                self.past.note_trouble();
                self.membership.give_away(&partitions)?;
                self.transactions.gave_away(&partitions);
                released
            }
            Rebalance::Lost(partitions) => {
                self.membership.unpublish(&partitions);
                self.membership.give_away(&partitions)?;
                Err(SessionError::Lost.into())
            }
        }
    }

    /// Accounts are kept where there is a ledger to write, and left as they are where there is none. `false`: whether there
    /// is one for those that are left is being looked for; rules might end some of them.
    fn keep_accounts(&mut self) -> bool {
        let spec = &self.rules.live().spec;
        let owned = &mut self.membership.owned;
        // Without terms, positions that are left are closed.
        let are_left = owned.all_present().any(|(partition, due, _)| {
            partition.has_accounts() || due.removed.iter().any(|removed| removed.orphan.is_some())
        });
        let is_needed = spec.trade.is_some() || are_left;
        self.transactions.want_ledger(is_needed.then_some(&spec.kafka.topics.ledger));
        let has_ledger = self.transactions.has_ledger();
        for (partition, ..) in owned.all_present() {
            partition.has_ledger = has_ledger;
        }
        has_ledger || !are_left || self.transactions.is_ledger_missing()
    }

    /// The next quote is judged by the rules, whenever it comes. They are reported as applied once they are recorded: the
    /// transaction that does it begins now, and its commit reports them.
    fn announce_rules(&mut self) -> Result<(), Step> {
        let owned = &mut self.membership.owned;
        if owned.all_active().any(|(_, due)| due.shape) {
            return self.transactions.begin(owned);
        }
        let generation = owned.least_generation();
        if generation.is_some() && owned.all_are_active() {
            self.settings.health.set_applied(generation);
        }
        Ok(())
    }

    /// Does what is not done for every record: readiness, gauges, checkpoints while no record comes.
    fn tick(&mut self) -> Result<(), Step> {
        self.past.note_silence(self.last_tick);
        self.last_tick = Instant::now();
        self.settings.health.beat();
        let has_joined = self.membership.has_joined();
        self.settings.health.set_causes(self.readiness.causes(has_joined, &self.membership.owned));
        if has_joined && self.membership.owned.is_empty() {
            self.settings.health.set_applied(Some(self.rules.generation()));
        }
        self.count_state();
        if Instant::now() >= self.look_at_holdings {
            self.tell_holdings();
        }
        if let Some(topology) = self.transactions.look_for_ledger() {
            self.commit()?;
            self.transactions.take_ledger(topology)?;
            self.review = true;
        }
        if self.last_look.elapsed() >= LOOK_AT_LOG_STARTS {
            self.last_look = Instant::now();
            self.membership.look_at_log_starts()?;
        }
        if self.transactions.is_open() {
            return Ok(());
        }
        let owned = &mut self.membership.owned;
        let mut wanted = self.transactions.is_checkpoint_due(owned);
        if self.readiness.wants_commit() {
            for (_, due) in owned.all_active() {
                due.offset = true;
                wanted = true;
            }
        }
        if wanted {
            self.transactions.begin(owned)?;
        }
        Ok(())
    }

    /// Gauges.
    fn count_state(&mut self) {
        let metrics = &self.settings.metrics;
        metrics.consumer_lag_records.set(self.membership.lag());
        let owned = &mut self.membership.owned;
        let (mut partitions, mut entities) = (0, 0);
        for (partition, _) in owned.all_active() {
            partitions += 1;
            entities += i64::try_from(partition.entities().len()).unwrap_or(i64::MAX);
        }
        metrics.partitions_owned.set(partitions);
        metrics.entities.set(entities);
        if let Some(generation) = owned.least_generation() {
            metrics.applied_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        }
    }

    /// Tells what partitions hold.
    fn tell_holdings(&mut self) {
        let (settings, spec) = (self.settings, &self.rules.live().spec);
        let (held, times) = holdings::held(spec, &mut self.membership.owned, settings.flow.now());
        settings.flow.set_held(held, times);
        let entities = u64::try_from(settings.metrics.entities.get()).unwrap_or_default();
        let wait = LOOK_AT_HOLDINGS + Duration::from_secs(entities / ENTITIES_A_SECOND);
        self.look_at_holdings = Instant::now() + wait;
    }

    /// Begins again from the last commit.
    fn recover(&mut self, failure: Failure) -> Result<(), SessionError> {
        tracing::warn!(%failure, "the transaction failed: restoring what was committed");
        let after = failure.to_string();
        self.settings.health.set_causes(vec![format!("a transaction failed: {after}")]);
        self.membership.unpublish_all();
        self.transactions.give_up(&failure, &mut self.membership.owned)?;
        self.membership.restore_all(&after)
    }
}
