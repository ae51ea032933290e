//! Who owns what: partitions come from the group, are restored, compute by the rules, and are given away.

use std::io;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata, RebalanceProtocol};
use tokio::sync::watch;

use super::assignment::{Assignment, Filling, Restoring};
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
        Self { consumer, raw, restorer, owned, published }
    }

    /// The group's metadata for a commit; `None` before the first assignment.
    pub(super) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// Whether every connection was lost at once.
    pub(super) fn is_cut_off(&self) -> bool {
        self.consumer.context().is_cut_off()
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

    /// Drops the state of every partition, and has all restored from what was committed.
    pub(super) fn restore_all(&mut self, after: &str) -> Result<(), SessionError> {
        let partitions = self.owned.numbers();
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

    /// Takes what the restore thread brings; returns whether a partition may not be under the rules that it can be
    /// under.
    pub(super) fn take_restored(&mut self, rules: &mut Rules) -> bool {
        let mut came = false;
        while let Some((number, outcome)) = self.restorer.next() {
            match outcome {
                Outcome::Failed(failure) => self.owned.not_restored(number, failure),
                Outcome::Restored(partition) => {
                    let entities = partition.entities().len();
                    tracing::info!(partition = number, offset = partition.next_offset, entities, "restored");
                    if let Some(shape) = partition.shape() {
                        rules.observe_recorded(shape);
                    }
                    self.owned.restored(number, partition);
                    came = true;
                }
                Outcome::Read(backfill) => {
                    self.owned.read(number, backfill);
                    came = true;
                }
            }
        }
        came
    }

    /// Brings every partition that has a state under the rules. No transaction is open.
    ///
    /// A partition that lacks older quotes for a longer window goes on under its own rules until they are read.
    pub(super) fn apply_rules(&mut self, rules: &Rules) -> Result<(), SessionError> {
        for (partition, due, filling) in self.owned.all_present() {
            let change = match rules.change(partition.shape()) {
                Change::Reshape(shape) => partition.next_change(shape),
                same => {
                    *filling = None;
                    partition.end_fill();
                    if let Change::Retune(shape) = same {
                        partition.replace_tolerances(shape);
                        due.shape = true;
                    }
                    continue;
                }
            };
            if let Some(Filling::Reading { minutes, .. }) = filling
                && change.shape.longest() <= *minutes
                && partition.lacks(&change)
            {
                continue;
            }
            let read = match filling.take() {
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
                    let wanted = self.restorer.read(number, backfill, to).map_err(died)?;
                    *filling = Some(Filling::Reading { minutes, _wanted: wanted });
                }
            }
        }
        Ok(())
    }

    /// Starts the consumer where restored partitions stand; returns whether there were any.
    pub(super) fn position(&mut self) -> Result<bool, SessionError> {
        let restored = self.owned.to_position();
        for (number, offset) in &restored {
            if group::begin_at(&self.consumer, &self.raw, *number, *offset).map_err(SessionError::Group)? {
                self.owned.activate(*number);
            }
        }
        if !restored.is_empty() {
            group::wake(&self.consumer, &self.raw, restored.iter().map(|(number, _)| *number));
        }
        Ok(!restored.is_empty())
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
