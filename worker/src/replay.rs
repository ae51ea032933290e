//! Brings a partition from what its table holds to the offset that was committed, without any output.
//!
//! Pure: the caller reads the table and the raw records, and hands them in.

use crate::checkpoint::{Corrupt, TableReader};
use crate::process::{Partition, RawRecord, Taken};

/// Where a partition's state is to be brought to.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// The raw partition.
    pub partition: i32,
    /// O: the next offset to compute.
    pub offset: i64,
    /// R: from here on records are replayed.
    pub replay: i64,
    /// The stamp in ms that the record before O must have, if that is known.
    pub timestamp: Option<i64>,
}

/// A partition on its way from R to O.
#[derive(Debug)]
pub struct Replay {
    /// The state so far.
    pub partition: Partition,
    goal: Goal,
    pending: std::vec::IntoIter<Taken>,
    next_shape: Option<Taken>,
    last: Option<(i64, i64)>,
}

impl Replay {
    /// The state that the table holds, under the shape that was in force at R.
    ///
    /// # Errors
    /// A table record that cannot be read.
    pub fn prepare(goal: &Goal, table: &TableReader) -> Result<Self, Corrupt> {
        let history = table.shape.as_ref().map(|s| s.history.clone()).unwrap_or_default();
        // A shape taken at R itself may still have to fill windows.
        let (past, pending): (Vec<_>, Vec<_>) = history.iter().cloned().partition(|t| t.offset < goal.replay);
        let entities = match past.last().or(pending.first()) {
            Some(base) => table.entities(base, &history)?,
            None => Vec::new(),
        };
        let mut pending = pending.into_iter();
        let next_shape = pending.next();
        let partition = Partition::new(goal.partition, goal.replay, past, entities);
        Ok(Self { partition, goal: *goal, pending, next_shape, last: None })
    }

    /// The next recorded shape, if it holds from `offset` or before: the caller lets the partition take it.
    pub fn due(&mut self, offset: i64) -> Option<Taken> {
        let due = self.next_shape.take_if(|t| t.offset <= offset)?;
        self.next_shape = self.pending.next();
        Some(due)
    }

    /// Computes one record; those below R only tell whether the topic is still the same.
    pub fn advance(&mut self, record: &RawRecord<'_>) {
        self.last = Some((record.offset, record.timestamp));
        self.partition.absorb(record, 0);
    }

    /// The partition at O.
    ///
    /// # Errors
    /// Why the raw topic is not the one that was computed.
    pub fn finish(mut self) -> Result<Partition, String> {
        if let (Some(expected), Some((offset, found))) = (self.goal.timestamp, self.last)
            && offset == self.goal.offset - 1
            && expected != found
        {
            return Err(format!("its record at offset {offset} is stamped {found}, not {expected}"));
        }
        self.partition.next_offset = self.goal.offset;
        self.partition.last_timestamp = match (self.last, self.goal.timestamp) {
            (Some((_, stamp)), _) => stamp,
            (None, known) => known.unwrap_or(-1),
        };
        Ok(self.partition)
    }
}
