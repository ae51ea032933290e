//! A longer window takes in older quotes: what is read of the log for that, beside what is computed.

use super::Partition;
use crate::backfill::{Backfill, Tail};
use crate::entity::{Entity, Name, length};
use crate::shape::ShapeChange;

impl Partition {
    /// What the log has to be read for when the partition takes `change`; `None`: for nothing.
    pub fn backfill(&self, change: &ShapeChange) -> Option<Backfill> {
        Backfill::wanted(change.shape.longest(), self.lacking(change))
    }

    /// Whether the log has to be read when the partition takes `change`.
    pub fn lacks(&self, change: &ShapeChange) -> bool {
        self.lacking(change).next().is_some()
    }

    fn lacking(&self, change: &ShapeChange) -> impl Iterator<Item = &(Name, Entity)> {
        let (epoch, longest) = (change.epoch, length(change.shape.longest()));
        self.slots
            .iter()
            .filter(move |(_, e)| e.epoch < epoch && e.longest() < longest && e.newest().is_some())
    }

    /// The quotes that `change` takes in, if it can be taken here and now; `read` is what was read of the log for it or
    /// for another change.
    ///
    /// # Errors
    /// What is to be read of the log first, up to `next_offset`, beside what is computed from there on.
    pub fn fill(&mut self, change: &ShapeChange, read: Option<Backfill>) -> Result<Backfill, Backfill> {
        let is_spoiled = self.tail.as_ref().is_some_and(Tail::is_spoiled);
        let read = read.filter(|_| !is_spoiled);
        let read = read.filter(|read| read.minutes() >= change.shape.longest() && self.lacks(change));
        let Some(mut backfill) = read.or_else(|| self.backfill(change)) else {
            return Ok(Backfill::default());
        };
        let Some(tail) = self.tail.take_if(|tail| tail.continues(&backfill)) else {
            self.tail = Some(Tail::new(self.next_offset));
            if backfill.next_offset.is_some()
                && let Some(wanted) = self.backfill(change)
            {
                backfill.add_missing(wanted);
            }
            return Err(backfill);
        };
        tail.append_to(&mut backfill);
        Ok(backfill)
    }

    /// No window is to be filled any more.
    pub fn end_fill(&mut self) {
        self.tail = None;
    }
}
