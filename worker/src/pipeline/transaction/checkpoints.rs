//! What a transaction writes to the storage table besides shapes: checkpoints, and what was said.

use stockwatch_core::checkpoint;

use super::Transactions;
use super::outputs::put;
use crate::pipeline::assignment::Assignment;
use crate::pipeline::error::Step;

/// An entity is checkpointed when it has been dirty for this long (ms), and enough was read meanwhile.
const CHECKPOINT_AGE: u64 = 5_000;
/// Bytes of checkpoints in a transaction, at least, and for each quote in it.
const CHECKPOINT_BYTES: usize = 16 * 1024;
const CHECKPOINT_BYTES_PER_QUOTE: usize = 40;
/// Bytes of checkpoints in the last transaction before a worker ends, at most.
const LAST_CHECKPOINT_BYTES: usize = 4 * 1024 * 1024;

impl Transactions<'_> {
    /// Whether an entity is to be checkpointed although no quote comes.
    pub(in crate::pipeline) fn is_checkpoint_due(&self, owned: &mut Assignment) -> bool {
        let now = self.clock();
        owned.all_active().any(|(partition, _)| partition.is_checkpoint_due(now, CHECKPOINT_AGE))
    }

    /// Writes the checkpoints that are due into the open transaction.
    pub(super) fn write_due_checkpoints(&mut self, owned: &mut Assignment) -> Result<(), Step> {
        let budget = CHECKPOINT_BYTES.max(CHECKPOINT_BYTES_PER_QUOTE * self.quotes);
        self.write_checkpoints(owned, self.clock(), CHECKPOINT_AGE, budget)
    }

    /// Writes checkpoints into the last transaction, due or not, so that the next owner has little to replay.
    pub(super) fn write_last_checkpoints(&mut self, owned: &mut Assignment) -> Result<(), Step> {
        let budget = LAST_CHECKPOINT_BYTES.min(self.size().bytes());
        self.write_checkpoints(owned, u64::MAX, 0, budget)
    }

    /// Writes checkpoints of entities dirty for `age` ms, oldest first, until `budget` bytes are used.
    fn write_checkpoints(
        &mut self,
        owned: &mut Assignment,
        now: u64,
        age: u64,
        budget: usize,
    ) -> Result<(), Step> {
        for (partition, due) in owned.all_active() {
            let number = partition.number;
            let mut put = put(&self.producers, &self.topology.table.name, number);
            let (bytes, records) = checkpoint::write_due(partition, now, age, budget, &mut put)?;
            if partition.recorded.has_changes && (age == 0 || due.released) {
                // The next owner may be of an older release, which reads whole records only.
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
                self.counts.checkpoints += records;
                self.counts.checkpoint_bytes += bytes as u64;
            }
        }
        Ok(())
    }

    /// Writes the said records that changed: they are committed with the alarms that changed them, since a replay computes
    /// none of them again.
    pub(super) fn write_said(&mut self, owned: &mut Assignment) -> Result<(), Step> {
        for (partition, _) in owned.all_active() {
            let mut put = put(&self.producers, &self.topology.table.name, partition.number);
            let (bytes, records) = checkpoint::write_said(partition, &mut put)?;
            self.counts.checkpoints += records;
            self.counts.checkpoint_bytes += bytes as u64;
        }
        Ok(())
    }
}
