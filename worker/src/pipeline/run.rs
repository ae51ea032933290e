//! The loop: what it hears, and what it does next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use stockwatch_core::Encoder;

use super::group::{self, GroupContext, Rebalance};
use super::owned::{Slots, State};
use super::restore::{Done, Job, Restorer};
use super::rules::{Change, Rules};
use super::topology::Topology;
use super::transaction::{Failure, Producers};
use super::{Error, Past, SessionError, Settings};
use crate::config::SpecReceiver;
use crate::kafka::{self, KafkaContext};
use crate::ownership::OwnedPartitions;

/// Between two commits at least, when there is little to do: each costs a few requests.
const LEAST_GAP: Duration = Duration::from_millis(1);
/// From so many quotes on a transaction waits for more: a backlog wants few transactions.
const BURST: usize = 500;
/// A transaction in a burst is committed at this age.
const BURST_AGE: Duration = Duration::from_millis(100);
/// What does not come of a quote may wait for the next one: a shape after a restore, say.
const NO_HURRY: Duration = Duration::from_millis(20);
/// The loop turns at least so often.
const TICK: Duration = Duration::from_millis(50);
/// The same while something is awaited from another thread.
const QUICK_TICK: Duration = Duration::from_millis(2);

/// What the open transaction holds.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) quotes: usize,
    pub(super) bytes: usize,
}

/// A transaction failed: those that follow are watched until they are past it. Brokers that do not answer are no reason
/// to doubt quotes: a session that ends takes this along.
#[derive(Debug)]
pub(super) struct Doubt {
    /// How far the failed transaction had come.
    pub(super) until: Vec<(i32, i64)>,
    /// How many failed without one that came past it.
    pub(super) failures: u32,
}

/// The loop's state.
pub(super) struct Loop<'a> {
    pub(super) settings: &'a Settings,
    pub(super) past: &'a Past,
    pub(super) kafka: KafkaContext,
    pub(super) owner: String,
    pub(super) raw: String,
    pub(super) topology: Topology,
    pub(super) consumer: Arc<BaseConsumer<GroupContext>>,
    pub(super) producers: Producers,
    pub(super) restorer: Restorer,
    pub(super) least_ticket: Arc<AtomicU64>,
    pub(super) encoder: Encoder,
    pub(super) rules: Rules,
    pub(super) slots: Slots,
    pub(super) open: Open,
    pub(super) started: Instant,
    pub(super) last_commit: Instant,
    pub(super) ticket: u64,
    pub(super) doubt: Option<Doubt>,
    /// Why not all is well, for people.
    pub(super) trouble: Option<String>,
    pub(super) receiver: SpecReceiver,
    /// Partitions are to be looked at: do they compute by the rules?
    pub(super) review: bool,
    pub(super) last_tick: Instant,
}

/// Why a turn of the loop did not end well.
#[derive(Debug)]
pub(super) enum Step {
    /// The transaction is lost; all begins again from the last commit.
    Failed(Failure),
    /// The connections are to be made anew.
    Session(SessionError),
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn group_error(error: KafkaError) -> Step {
    Step::Session(SessionError::Group(error))
}

impl Loop<'_> {
    pub(super) fn run(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), SessionError> {
        while !self.settings.stop.load(Ordering::Relaxed) {
            let Err(step) = self.turn(consumer) else { continue };
            self.past.note_silence(self.last_tick);
            if self.producers.began().is_some() {
                self.settings.metrics.transactions_aborted.inc();
            }
            match step {
                Step::Failed(failure) => self.recover(failure)?,
                Step::Session(error) => return Err(error),
            }
        }
        self.settings.owned.send_modify(|o| o.partitions.clear());
        if let Err(error) = self.finish() {
            tracing::warn!(
                ?error,
                "the last transaction did not commit: its quotes are computed again by whoever comes next"
            );
        }
        Ok(())
    }

    /// Ends the restore thread and leaves.
    pub(super) fn close(self) {
        self.least_ticket.store(u64::MAX, Ordering::Relaxed);
        drop(self.restorer.jobs);
        if self.restorer.thread.join().is_err() {
            tracing::error!("the thread that restores died");
        }
    }

    /// Hears what is new, then takes records or commits.
    fn turn(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), Step> {
        if consumer.context().is_cut_off() {
            return Err(Step::Session(SessionError::CutOff));
        }
        while let Some(event) = consumer.context().next() {
            self.rebalance(event)?;
        }
        while let Ok(done) = self.restorer.done.try_recv() {
            self.take_back(done);
        }
        if self.receiver.has_changed().unwrap_or(false) {
            let live = self.receiver.borrow_and_update().clone();
            self.rules.update(live);
            self.review = true;
        }
        if self.review {
            self.commit()?;
            self.review = false;
            self.settings.health.set_generation(self.rules.live().revision, self.rules.generation());
            self.apply_rules()?;
            self.announce_rules()?;
        }
        self.position()?;
        if self.last_tick.elapsed() >= TICK {
            self.tick()?;
        }
        self.consume(consumer)
    }

    fn consume(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), Step> {
        let open = self.producers.began().is_some();
        let wait = match () {
            () if open => self.until_due(),
            () if self.slots.all_are_active() => TICK,
            () => QUICK_TICK,
        };
        let mut polled = kafka::poll(consumer, wait);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        loop {
            match polled {
                Some(Ok(message)) => {
                    self.absorb(&message, now)?;
                    if self.is_full() {
                        return self.commit();
                    }
                }
                Some(Err(error)) => self.hear_error(error)?,
                None if self.until_due().is_zero() => return self.commit(),
                None => return Ok(()),
            }
            polled = consumer.poll(Duration::ZERO);
        }
    }

    /// How long the open transaction may wait for more quotes.
    fn until_due(&self) -> Duration {
        let Some(began) = self.producers.began() else { return Duration::ZERO };
        match self.open.quotes {
            0 => NO_HURRY.saturating_sub(began.elapsed()),
            1..BURST => LEAST_GAP.saturating_sub(self.last_commit.elapsed()),
            _ => BURST_AGE.saturating_sub(began.elapsed()).min(TICK),
        }
    }

    fn hear_error(&mut self, error: KafkaError) -> Result<(), Step> {
        match &error {
            KafkaError::MessageConsumptionFatal(_) => return Err(group_error(error)),
            // What brokers say while they come and go is librdkafka's to mend; it logs it.
            _ if group::is_missing_topic(&error) => {
                self.trouble = Some(format!("topic {} is gone: create it again", self.raw));
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.trouble = Some(format!("no permission to read as group: {error}"));
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.trouble = Some(format!("no permission to read topic {}: {error}", self.raw));
            }
            _ => tracing::debug!(%error, "while consuming"),
        }
        Ok(())
    }

    fn rebalance(&mut self, event: Rebalance) -> Result<(), Step> {
        tracing::info!(?event, "the group rebalances");
        match event {
            Rebalance::Assign(partitions) => {
                self.trouble = None;
                self.ticket += 1;
                for number in &partitions {
                    self.slots.add(*number, self.ticket);
                }
                group::assign_paused(&self.consumer, &self.raw, &partitions).map_err(group_error)?;
                self.send_job(Job::Restore { ticket: self.ticket, partitions })
            }
            Rebalance::Revoke(partitions) => {
                // Schedules stop before the last commit.
                self.settings.owned.send_modify(|o| o.partitions.retain(|p| !partitions.contains(p)));
                let whole = partitions.iter().all(|number| self.slots.active(*number).is_some());
                let released = self.release(&partitions);
                if !whole || released.is_err() {
                    // Of one that is not said to be free, the next owner takes this process for dead.
                    self.past.note_trouble();
                }
                self.give_away(&partitions)?;
                released
            }
            Rebalance::Lost(partitions) => {
                self.settings.owned.send_modify(|o| o.partitions.retain(|p| !partitions.contains(p)));
                let lost = self.producers.began().is_some();
                self.past.note_trouble();
                self.trouble =
                    Some("the group gave this worker's partitions away: joining it again".to_owned());
                self.give_away(&partitions)?;
                if lost {
                    // What others computed in the same transaction is lost with it.
                    let why = KafkaError::Rebalance(RDKafkaErrorCode::AssignmentLost);
                    return Err(Failure::Abortable(why).into());
                }
                Ok(())
            }
        }
    }

    /// Commits what is open, and that these partitions are free.
    fn release(&mut self, partitions: &[i32]) -> Result<(), Step> {
        for number in partitions {
            if let Some((_, due)) = self.slots.active(*number) {
                due.offset = true;
                due.released = true;
                self.begin()?;
            }
        }
        self.commit()
    }

    fn give_away(&mut self, partitions: &[i32]) -> Result<(), Step> {
        let restoring = partitions.iter().any(|number| self.slots.is_away(*number));
        for number in partitions {
            self.slots.remove(*number);
        }
        group::unassign(&self.consumer, &self.raw, partitions).map_err(group_error)?;
        if restoring {
            // A restore that went on would take the next owner of these for dead; what it was to bring is asked for anew.
            self.cancel_jobs();
            let partitions = self.slots.recall(self.ticket);
            if !partitions.is_empty() {
                self.send_job(Job::Restore { ticket: self.ticket, partitions })?;
            }
        }
        Ok(())
    }

    /// Whatever was asked of the restore thread is no longer wanted; the ticket is that of what is asked next.
    pub(super) fn cancel_jobs(&mut self) {
        self.ticket += 1;
        self.least_ticket.store(self.ticket, Ordering::Relaxed);
    }

    pub(super) fn send_job(&self, job: Job) -> Result<(), Step> {
        let died = || Error::Thread(std::io::Error::other("the thread that restores died"));
        self.restorer.jobs.send(job).map_err(|_| Step::Session(died().into()))
    }

    fn take_back(&mut self, done: Done) {
        match done {
            Done::Restored { ticket, partitions } => {
                for partition in partitions {
                    let Some(slot) = self.slots.awaiting(partition.number, ticket) else { continue };
                    tracing::info!(
                        partition = partition.number,
                        offset = partition.next_offset,
                        entities = partition.entities().len(),
                        "restored"
                    );
                    if let Some(shape) = partition.shape() {
                        self.rules.meet(shape);
                    }
                    slot.state = State::Waiting(Box::new(partition));
                    self.review = true;
                }
                self.trouble = None;
            }
            Done::Reshaped { ticket, partition, removed } => {
                let Some(slot) = self.slots.awaiting(partition.number, ticket) else { return };
                slot.state = State::Waiting(partition);
                slot.due.shape = true;
                slot.due.removed.extend(removed);
                self.review = true;
            }
            Done::Waiting(reason) => self.trouble = Some(reason),
        }
    }

    /// Brings every partition at hand under the rules. No transaction is open.
    fn apply_rules(&mut self) -> Result<(), Step> {
        let mut away = Vec::new();
        for (slot, number) in self.slots.present() {
            let (State::Active(partition) | State::Waiting(partition)) = &mut slot.state else { continue };
            match self.rules.change(partition.shape()) {
                Change::None => {}
                Change::Retune(shape) => {
                    partition.replace_tolerances(shape);
                    slot.due.shape = true;
                }
                Change::Take(shape) => {
                    let taken = partition.next_change(shape.clone());
                    if partition.backfill_since(&shape, taken.epoch).is_some() {
                        away.push((number, shape));
                    } else {
                        slot.due.removed.extend(partition.apply_shape(taken, &Default::default(), 0));
                        slot.due.shape = true;
                    }
                }
            }
        }
        for (number, shape) in away {
            self.ticket += 1;
            let Some(partition) = self.slots.send_away(number, self.ticket) else { continue };
            group::pause(&self.consumer, &self.raw, &[number]).map_err(group_error)?;
            self.send_job(Job::Reshape { ticket: self.ticket, partition, shape })?;
        }
        Ok(())
    }

    /// The next quote is judged by the rules, whenever it comes: says so, and has them recorded soon.
    fn announce_rules(&mut self) -> Result<(), Step> {
        let generation = self.slots.least_generation();
        if generation.is_some() && self.slots.all_are_active() {
            self.settings.health.set_applied(generation);
        }
        if self.slots.all_active().any(|(_, due)| due.shape) {
            self.begin()?;
        }
        Ok(())
    }

    /// Starts the consumer where restored partitions stand.
    fn position(&mut self) -> Result<(), Step> {
        let waiting = self.slots.waiting();
        for (number, offset) in &waiting {
            if group::begin_at(&self.consumer, &self.raw, *number, *offset).map_err(group_error)? {
                self.slots.activate(*number);
            }
        }
        if !waiting.is_empty() {
            group::wake(&self.consumer, &self.raw, waiting.iter().map(|(number, _)| *number));
            self.begin()?;
            self.publish_owned();
        }
        Ok(())
    }

    pub(super) fn publish_owned(&self) {
        let owned = OwnedPartitions {
            partition_count: self.topology.raw_partitions,
            partitions: self.slots.active_numbers().collect(),
        };
        self.settings.owned.send_if_modified(|now| {
            let changed = *now != owned;
            *now = owned;
            changed
        });
    }

    /// What is not for every record: readiness, gauges, checkpoints while nothing comes.
    fn tick(&mut self) -> Result<(), Step> {
        self.past.note_silence(self.last_tick);
        self.last_tick = Instant::now();
        self.settings.health.beat();
        let joined = !matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::None);
        let reason = match (&self.trouble, joined, self.slots.all_are_active()) {
            (Some(trouble), ..) => Some(trouble.clone()),
            (None, false, _) => Some("joining the consumer group".to_owned()),
            (None, true, false) => Some("restoring partitions".to_owned()),
            (None, true, true) => None,
        };
        self.settings.health.set_not_ready(reason);
        if joined && self.slots.numbers().is_empty() {
            self.settings.health.set_applied(Some(self.rules.generation()));
        }
        self.count_state();
        if self.producers.began().is_none() && self.is_checkpoint_due() {
            self.begin()?;
        }
        Ok(())
    }
}
