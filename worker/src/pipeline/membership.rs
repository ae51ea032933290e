//! Who owns what: partitions come from the group, are restored, compute by the rules, and are given away.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata, RebalanceProtocol};
use stockwatch_core::{Partition, Shape};
use tokio::sync::watch;

use super::assignment::{Assignment, Due, Filling, Reads, Restoring};
use super::error::{Error, SessionError};
use super::group::{self, GroupContext};
use super::restore::{Died, Outcome, Restorer};
use super::rules::{Change, Rules};
use crate::ownership::OwnedPartitions;

/// The member of the group, and the partitions that it owns.
pub(super) struct Membership {
    consumer: Arc<BaseConsumer<GroupContext>>,
    raw: String,
    restorer: Restorer,
    pub(super) owned: Assignment,
    /// The offsets that were committed last, by partition.
    committed: BTreeMap<i32, i64>,
    /// The extractor follows which partitions compute.
    published: watch::Sender<OwnedPartitions>,
}

fn died(died: Died) -> SessionError {
    Error::Thread(io::Error::other(died)).into()
}

impl Membership {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<GroupContext>>,
        raw: String,
        restorer: Restorer,
        published: watch::Sender<OwnedPartitions>,
    ) -> Self {
        let owned = Assignment::default();
        Self { consumer, raw, restorer, owned, committed: BTreeMap::new(), published }
    }

    /// The group's metadata for a commit; `None` before the first assignment.
    pub(super) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// Whether every connection was lost at once.
    pub(super) fn is_cut_off(&self) -> bool {
        self.consumer.context().is_cut_off()
    }

    /// How many raw records the partitions that compute have not computed, as the last statistics saw it.
    pub(super) fn lag(&mut self) -> i64 {
        let ends = self.consumer.context().ends();
        let behind = |(partition, _): (&mut Partition, &mut Due)| {
            let end = ends.get(&partition.number)?;
            Some(end.saturating_sub(partition.next_offset).max(0))
        };
        self.owned.all_active().filter_map(behind).sum()
    }

    /// Whether the group has let this process in.
    pub(super) fn has_joined(&self) -> bool {
        !matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::None)
    }

    /// Takes partitions from the group and has them restored.
    pub(super) fn assign(&mut self, partitions: &[i32]) -> Result<(), SessionError> {
        group::assign_paused(&self.consumer, &self.raw, partitions).map_err(SessionError::Group)?;
        for number in partitions {
            let wanted = self.restorer.restore(*number).map_err(died)?;
            self.owned.restore(*number, Restoring::new(wanted, None));
        }
        Ok(())
    }

    /// Drops the state of partitions and leaves them to the group.
    pub(super) fn give_away(&mut self, partitions: &[i32]) -> Result<(), SessionError> {
        for number in partitions {
            // A restore that went on would take the next owner for dead.
            self.owned.remove(*number);
        }
        group::unassign(&self.consumer, &self.raw, partitions).map_err(SessionError::Group)
    }

    /// Drops the state of every partition, and has all restored from what was committed; those that are being restored
    /// had no part in what failed.
    pub(super) fn restore_all(&mut self, after: &str) -> Result<(), SessionError> {
        let partitions: Vec<i32> = self.owned.all_present().map(|(partition, ..)| partition.number).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        group::pause(&self.consumer, &self.raw, &partitions).map_err(SessionError::Group)?;
        let after: Arc<str> = after.into();
        for number in partitions {
            let wanted = self.restorer.restore(number).map_err(died)?;
            self.owned.restore(number, Restoring::new(wanted, Some(after.clone())));
        }
        Ok(())
    }

    /// Notes the partitions' offsets as committed.
    pub(super) fn note_committed(&mut self) {
        self.committed
            .extend(self.owned.all_active().map(|(partition, _)| (partition.number, partition.next_offset)));
    }

    /// Takes what the restore thread brings; returns whether there is something to do about it between two transactions.
    ///
    /// A partition that goes back behind what was committed is of a topic that was made anew. Its leaders' epochs begin
    /// anew as well, and librdkafka leaves metadata aside whose epoch is lower than the last one that it saw
    /// (`rd_kafka_toppar_leader_update`): this consumer would never read of it.
    pub(super) fn take_restored(&mut self, rules: &mut Rules) -> Result<bool, SessionError> {
        let mut came = false;
        while let Some((number, outcome)) = self.restorer.next() {
            if let Outcome::Failed(failure) = outcome {
                self.owned.not_restored(number, failure);
                continue;
            }
            came = true;
            let Some(reads) = self.owned.reads(number) else { continue };
            match outcome {
                Outcome::Failed(_) => {}
                Outcome::Restored(partition, log_start) => {
                    if self.committed.get(&number).is_some_and(|committed| partition.next_offset < *committed)
                    {
                        return Err(SessionError::Anew(number));
                    }
                    let entities = partition.entities().len();
                    tracing::info!(partition = number, offset = partition.next_offset, entities, "restored");
                    if let Some(shape) = partition.shape() {
                        rules.observe_recorded(shape);
                    }
                    reads.log_start = Some(log_start);
                    self.owned.restored(number, partition);
                }
                Outcome::Read(backfill) => reads.filling = Some(Filling::Read(backfill)),
                Outcome::LogStart(offset) => {
                    reads.log_start = Some(offset);
                    reads.looking = None;
                }
            }
        }
        Ok(came)
    }

    /// Brings every partition that has a state under the rules. No transaction is open.
    ///
    /// A partition that lacks older quotes for a longer window goes on under its own rules until they are read. Each shape
    /// that it takes is recorded before the next: one that does not compute yet takes no second one.
    pub(super) fn apply_rules(&mut self, rules: &Rules) -> Result<(), SessionError> {
        for (partition, due, reads) in self.owned.all_present() {
            let change = rules.change(partition.shape());
            if let Change::Reshape(shape) = change {
                if !due.shape {
                    reshape(partition, shape, due, reads, &self.restorer).map_err(died)?;
                }
                continue;
            }
            reads.filling = None;
            partition.end_fill();
            if !due.shape
                && let Some(log_start) = reads.log_start.take()
            {
                due.removed.extend(partition.forget_silent(log_start));
                due.shape = !due.removed.is_empty();
            }
            if let Change::Retune(shape) = change {
                partition.replace_tolerances(shape);
                due.shape = true;
            }
        }
        Ok(())
    }

    /// Has the restore thread look where raw logs begin: entities that no list bounds last no longer than their quotes.
    pub(super) fn look_at_log_starts(&mut self) -> Result<(), SessionError> {
        for (partition, _, reads) in self.owned.all_present() {
            if partition.shape().is_some_and(|shape| shape.wildcard.is_some()) && reads.looking.is_none() {
                reads.looking = Some(self.restorer.look_at_log_start(partition.number).map_err(died)?);
            }
        }
        Ok(())
    }

    /// Starts the consumer where restored partitions stand; returns whether it could for any.
    pub(super) fn position(&mut self) -> Result<bool, SessionError> {
        let mut started = Vec::new();
        for (number, offset) in self.owned.to_position(Instant::now()) {
            if group::begin_at(&self.consumer, &self.raw, number, offset).map_err(SessionError::Group)? {
                self.owned.activate(number);
                started.push(number);
            }
        }
        let any = !started.is_empty();
        if any {
            group::wake(&self.consumer, &self.raw, started);
        }
        Ok(any)
    }

    /// Tells the extractor which of the raw topic's `partition_count` partitions compute.
    pub(super) fn publish(&self, partition_count: i32) {
        let partitions = self.owned.active_numbers().collect();
        let owned = OwnedPartitions { partition_count, partitions };
        self.published.send_if_modified(|now| {
            let changed = *now != owned;
            *now = owned;
            changed
        });
    }

    /// Tells the extractor that these partitions are about to go: its schedules stop before the last commit.
    pub(super) fn unpublish(&self, going: &[i32]) {
        self.published.send_modify(|now| now.partitions.retain(|p| !going.contains(p)));
    }

    /// Tells the extractor that nothing computes.
    pub(super) fn unpublish_all(&self) {
        self.published.send_modify(|now| now.partitions.clear());
    }

    /// Leaves the group and ends the restore thread.
    pub(super) fn close(self) {
        let Self { consumer, raw, restorer, owned, .. } = self;
        group::close(&consumer, &raw);
        drop(owned);
        restorer.close();
    }
}

/// Has a partition take another shape, as soon as the older quotes that it lacks are read.
fn reshape(
    partition: &mut Partition,
    shape: Arc<Shape>,
    due: &mut Due,
    reads: &mut Reads,
    restorer: &Restorer,
) -> Result<(), Died> {
    let change = partition.next_change(shape);
    let read = match reads.filling.take() {
        Some(Filling::Reading { minutes, wanted })
            if change.shape.longest() <= minutes && partition.lacks(&change) =>
        {
            reads.filling = Some(Filling::Reading { minutes, wanted });
            return Ok(());
        }
        Some(Filling::Read(backfill)) => Some(backfill),
        _ => None,
    };
    match partition.fill(&change, read) {
        Ok(backfill) => {
            due.removed.extend(partition.apply_shape(change, &backfill, 0));
            due.shape = true;
        }
        Err(backfill) => {
            let (number, to, minutes) = (partition.number, partition.next_offset, backfill.minutes());
            tracing::info!(partition = number, to, minutes, "reading the log for a longer window");
            let wanted = restorer.read(number, backfill, to)?;
            reads.filling = Some(Filling::Reading { minutes, wanted });
        }
    }
    Ok(())
}
