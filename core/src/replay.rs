//! Brings a partition from what its table holds to the offset that was committed, without any output.
//!
//! Pure: the caller reads the table and the raw records, and hands them in.

use std::collections::HashMap;

use crate::checkpoint::{Corrupt, TableReader};
use crate::partition::Partition;
use crate::said::Said;
use crate::shape::ShapeChange;
use crate::wire::{Committed, OffsetRecord, RawRecord};

/// How a partition is restored.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where to.
    pub goal: Goal,
    /// The first raw offset to read: one before replay, if there is one, to tell whether it is still the same topic.
    pub first: i64,
    /// Records that were to be replayed and are gone.
    pub gap: u64,
}

/// Where a partition's state is to be brought to.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// The raw partition.
    pub partition: i32,
    /// The next offset to compute.
    pub offset: i64,
    /// Records from this offset up to `offset` are replayed.
    pub replay: i64,
    /// The stamp in ms that the record before `offset` must have, if that is known.
    pub timestamp: Option<i64>,
}

impl Plan {
    /// The way to what was committed, else to what the table has `recorded`, else to the first record.
    ///
    /// `low` and `high` are the first and the end offset of the raw partition. Whatever the numbers of others are,
    /// the plan stays within these.
    ///
    /// # Errors
    /// Why the raw topic is not the one that was computed.
    pub fn new(
        partition: i32,
        committed: Option<&Committed>,
        recorded: Option<OffsetRecord>,
        (low, high): (i64, i64),
    ) -> Result<Self, String> {
        let (offset, replay, timestamp) = match (committed, recorded) {
            (Some((offset, Some(metadata))), _) => (*offset, metadata.replay, Some(metadata.timestamp)),
            // Somebody else's commit, an operator's reset say: it says where, our record says from when.
            (Some((offset, None)), recorded) => (*offset, recorded.map_or(low, |r| r.replay), None),
            (None, Some(r)) => (r.offset, r.replay, Some(r.timestamp)),
            (None, None) => (low, low, None),
        };
        if offset > high {
            return Err(format!("offset {offset} is beyond its end {high}"));
        }
        let replay = replay.min(offset);
        let gap = low.min(offset).saturating_sub(replay).max(low.saturating_sub(offset));
        let first = replay.min(offset.saturating_sub(1)).max(low);
        let goal = Goal { partition, offset: offset.max(low), replay: replay.max(low), timestamp };
        Ok(Self { goal, first, gap: gap.max(0).unsigned_abs() })
    }
}

/// A partition being replayed from `replay` to `offset` of its goal.
#[derive(Debug)]
pub struct Replay {
    /// The state so far.
    pub partition: Partition,
    goal: Goal,
    pending: std::vec::IntoIter<ShapeChange>,
    next_shape: Option<ShapeChange>,
    /// As committed, by entity: with the raw offset of its birth.
    said: HashMap<String, (i64, Said)>,
    last: Option<(i64, i64)>,
}

impl Replay {
    /// The state that the table holds, under the shape that was in force where replay begins.
    ///
    /// # Errors
    /// A table record that cannot be read.
    pub fn prepare(goal: &Goal, table: &TableReader) -> Result<Self, Corrupt> {
        let (mut history, recorded) = table.shapes()?;
        // Where the group was set back, a later shape holds from before an earlier one: that one is over by then.
        let mut least = i64::MAX;
        for change in history.iter_mut().rev() {
            least = least.min(change.offset);
            change.offset = least;
        }
        // A shape taken where replay begins may still have to fill windows.
        let (past, pending): (Vec<_>, Vec<_>) = history.iter().cloned().partition(|t| t.offset < goal.replay);
        let (entities, said, lost) = match past.last().or(pending.first()) {
            Some(base) => (table.entities(base, &history)?, table.said()?, Vec::new()),
            None => (Vec::new(), HashMap::new(), table.lost()),
        };
        let gone = pending.iter().map(|change| change.gone).sum();
        let mut pending = pending.into_iter();
        let next_shape = pending.next();
        let mut partition = Partition::new(goal.partition, goal.replay, past, entities);
        partition.recorded = recorded;
        partition.gone = gone;
        partition.lost = lost;
        Ok(Self { partition, goal: *goal, pending, next_shape, said, last: None })
    }

    /// The next recorded shape, if it holds from `offset` or before: the caller lets the partition take it.
    pub fn due(&mut self, offset: i64) -> Option<ShapeChange> {
        let due = self.next_shape.take_if(|t| t.offset <= offset)?;
        self.next_shape = self.pending.next();
        Some(due)
    }

    /// Computes one record; those before replay only tell whether the topic is still the same.
    pub fn advance(&mut self, record: &RawRecord<'_>) {
        self.last = Some((record.offset, record.timestamp));
        self.partition.replay(record, 0);
    }

    /// The partition at the goal.
    ///
    /// # Errors
    /// Why the raw topic is not the one that was computed.
    pub fn finish(mut self) -> Result<Partition, String> {
        if let (Some(expected), Some((offset, found))) = (self.goal.timestamp, self.last)
            && offset.checked_add(1) == Some(self.goal.offset)
            && expected != found
        {
            return Err(format!("its record at offset {offset} is stamped {found}, not {expected}"));
        }
        self.partition.restore_said(self.said);
        self.partition.next_offset = self.goal.offset;
        self.partition.last_timestamp = match (self.last, self.goal.timestamp) {
            (Some((_, stamp)), _) => stamp,
            (None, known) => known.unwrap_or(-1),
        };
        Ok(self.partition)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::wire::CommitMetadata;

    fn ours(offset: i64, replay: i64) -> Committed {
        (offset, Some(CommitMetadata { owner: "g.w-0".into(), replay, timestamp: 7, released: false }))
    }

    #[test]
    fn replay_begins_where_the_commit_says_and_one_record_more_is_read() {
        let plan = Plan::new(3, Some(&ours(50, 40)), None, (10, 60)).unwrap();
        assert_eq!((plan.goal.partition, plan.goal.offset, plan.goal.replay), (3, 50, 40));
        assert_eq!((plan.goal.timestamp, plan.first, plan.gap), (Some(7), 40, 0));
        assert_eq!(Plan::new(3, Some(&ours(50, 50)), None, (10, 60)).unwrap().first, 49);
        assert_eq!(Plan::new(3, None, None, (10, 60)).unwrap().first, 10);
    }

    #[test]
    fn records_that_are_gone_are_counted() {
        assert_eq!(Plan::new(3, Some(&ours(50, 40)), None, (45, 60)).unwrap().gap, 5);
        let plan = Plan::new(3, Some(&ours(50, 40)), None, (55, 60)).unwrap();
        assert_eq!((plan.goal.offset, plan.goal.replay, plan.first), (55, 55, 55));
        assert_eq!(plan.gap, 10);
    }

    #[test]
    fn whatever_offsets_others_wrote_the_plan_stays_within_the_topic() {
        const ODD: [i64; 7] = [i64::MIN, i64::MIN + 1, -1, 0, 50, i64::MAX - 1, i64::MAX];
        for (offset, replay) in ODD.into_iter().flat_map(|o| ODD.map(|r| (o, r))) {
            let recorded = Some(OffsetRecord { offset, replay, timestamp: replay });
            let commit = ours(offset.max(0), replay);
            for committed in [None, Some(&commit), Some(&(commit.0, None))] {
                let Ok(Plan { goal, first, .. }) = Plan::new(0, committed, recorded, (10, 60)) else {
                    continue;
                };
                assert!(10 <= first && first <= goal.replay, "{goal:?}");
                assert!(goal.replay <= goal.offset && goal.offset <= 60, "{goal:?}");
            }
        }
    }
}
