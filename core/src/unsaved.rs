//! The entities with changes that no checkpoint holds, and when the first of them is due.

use std::collections::{HashMap, VecDeque};

use crate::wire::RawRecord;

/// An entity's checkpoint is worth so many bytes of raw records since its first unsaved change, for each unsaved entity.
///
/// About as large is its record in the table, the last quote aside. So checkpoints have no more than some three times
/// the bytes of the raw records, however slow a feed is; and a replay reads about as much of the log as it would of the
/// table.
const CHECKPOINT_WORTH: u64 = 1024;
/// The longest wait, in multiples of the age: the entities of a very slow feed are checkpointed then, before retention
/// deletes the records that a restore would need.
const MOST_AGES: u64 = 120;

/// They wait in the order of their first unsaved changes.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    queue: VecDeque<Waiting>,
    /// Bytes of the raw records read so far.
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// The entity's place in the partition.
    slot: usize,
    /// The raw offset of its first unsaved change.
    from: i64,
    /// When that was seen, by the caller's clock.
    since: u64,
    /// The bytes that had been read by then.
    bytes: u64,
}

impl Unsaved {
    /// Counts a raw record.
    #[inline]
    pub(crate) fn count(&mut self, record: &RawRecord<'_>) {
        self.bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
    }

    /// The entity at `slot` waits, as the last one.
    pub(crate) fn push(&mut self, slot: usize, from: i64, now: u64) {
        self.queue.push_back(Waiting { slot, from, since: now, bytes: self.bytes });
    }

    /// The first entity's place; it waits no more.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        self.queue.pop_front().map(|waiting| waiting.slot)
    }

    /// The raw offset of the first unsaved change of all.
    pub(crate) fn from(&self) -> Option<i64> {
        self.queue.front().map(|waiting| waiting.from)
    }

    /// Whether the first is due: it waits for `age` units of the clock that `now` is of, and that is worth a checkpoint.
    /// All are at the age of 0. Changes up to the offset `hurry` are worth it at once.
    pub(crate) fn is_due(&self, now: u64, age: u64, hurry: i64) -> bool {
        let Some(first) = self.queue.front() else { return false };
        let waited = now.saturating_sub(first.since);
        let worth = CHECKPOINT_WORTH * self.queue.len() as u64;
        age == 0
            || waited >= age.saturating_mul(MOST_AGES)
            || waited >= age && (first.from <= hurry || self.bytes - first.bytes >= worth)
    }

    /// The entities have other places: `slots` has those that wait, with their first unsaved change and newest quote.
    pub(crate) fn replace(&mut self, now: u64, slots: impl Iterator<Item = (usize, i64, Option<i64>)>) {
        let known: HashMap<i64, Waiting> =
            self.queue.iter().map(|waiting| (waiting.from, *waiting)).collect();
        let new = |from| Waiting { slot: 0, from, since: now, bytes: self.bytes };
        let mut queue: Vec<_> = slots
            .map(|(slot, from, newest)| {
                let waiting = known.get(&from).copied().unwrap_or_else(|| new(from));
                (from, newest, Waiting { slot, ..waiting })
            })
            .collect();
        // The stalest first: until its checkpoint, a restore reads the log from there to fill its windows again.
        queue.sort_unstable_by_key(|(from, newest, _)| (*from, *newest));
        self.queue = queue.into_iter().map(|(.., waiting)| waiting).collect();
    }
}
