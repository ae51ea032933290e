//! The partitions that this process owns, and how far each has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use stockwatch_core::{Backfill, Partition, Removed, Shape};

use super::group::FETCH_WAIT;
use super::restore::Wanted;

/// How far an owned partition has come.
#[derive(Debug)]
enum State {
    /// The restore thread has it.
    Restoring(Restoring),
    /// Restored at this time; its consumer is still to be positioned.
    Restored(Box<Partition>, Instant),
    /// It computes.
    Active(Box<Partition>),
}

/// A partition that the restore thread has.
#[derive(Debug)]
pub(super) struct Restoring {
    /// Cancels the restore when the partition is given away or restored anew.
    _wanted: Wanted,
    /// The failed transaction that took its state, if one did.
    pub(super) after: Option<Arc<str>>,
    /// Why the last attempt failed, and what to do.
    pub(super) failure: Option<String>,
}

impl Restoring {
    pub(super) fn new(wanted: Wanted, after: Option<Arc<str>>) -> Self {
        Self { _wanted: wanted, after, failure: None }
    }
}

/// What is written for a partition in the next transaction, besides what its quotes cause.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Its offset.
    pub(super) offset: bool,
    /// That it is given away with this commit.
    pub(super) released: bool,
    /// The shape that it took, or another generation of it.
    pub(super) shape: bool,
    /// The offset that its table partition says, and when that was written (ms).
    pub(super) noted: Option<(i64, u64)>,
    /// Tombstones of entities that it no longer lists.
    pub(super) removed: Vec<Removed>,
}

/// The raw log is read for a longer window, while the partition computes by the rules that it has.
#[derive(Debug)]
pub(super) enum Filling {
    /// The restore thread reads.
    Reading {
        /// The longest window that this will fill.
        minutes: u32,
        /// Cancels it.
        wanted: Wanted,
    },
    /// All that was asked for is read.
    Read(Backfill),
}

/// What the restore thread does for a partition that has a state, or has done.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// For longer windows.
    pub(super) filling: Option<Filling>,
    /// Where the raw log begins; taken by whoever acts on it.
    pub(super) log_start: Option<i64>,
    /// The look for that which goes on.
    pub(super) looking: Option<Wanted>,
}

#[derive(Debug)]
struct Slot {
    state: State,
    due: Due,
    reads: Reads,
}

impl Slot {
    fn new(state: State) -> Self {
        Self { state, due: Due::default(), reads: Reads::default() }
    }
}

/// The partitions by number.
#[derive(Debug, Default)]
pub(super) struct Assignment(BTreeMap<i32, Slot>);

impl Assignment {
    /// Whether none is owned.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins with a partition, or begins with it anew: its state is dropped.
    pub(super) fn restore(&mut self, number: i32, restoring: Restoring) {
        self.0.insert(number, Slot::new(State::Restoring(restoring)));
    }

    /// No longer owned; its restore is cancelled.
    pub(super) fn remove(&mut self, number: i32) {
        self.0.remove(&number);
    }

    /// Takes a partition that the restore thread brings.
    pub(super) fn restored(&mut self, number: i32, mut partition: Box<Partition>) {
        if let Some(slot) = self.0.get_mut(&number) {
            slot.due.removed = std::mem::take(&mut partition.lost);
            slot.state = State::Restored(partition, Instant::now());
        }
    }

    /// Returns what the restore thread reads for a partition.
    pub(super) fn reads(&mut self, number: i32) -> Option<&mut Reads> {
        self.0.get_mut(&number).map(|slot| &mut slot.reads)
    }

    /// Takes note of why an attempt to restore failed.
    pub(super) fn not_restored(&mut self, number: i32, failure: String) {
        if let Some(Slot { state: State::Restoring(restoring), .. }) = self.0.get_mut(&number) {
            restoring.failure = Some(failure);
        }
    }

    /// Returns an active partition with what is due for it.
    pub(super) fn active(&mut self, number: i32) -> Option<(&mut Partition, &mut Due)> {
        match self.0.get_mut(&number) {
            Some(Slot { state: State::Active(partition), due, .. }) => Some((partition, due)),
            _ => None,
        }
    }

    /// All active partitions.
    pub(super) fn all_active(&mut self) -> impl Iterator<Item = (&mut Partition, &mut Due)> {
        self.0.values_mut().filter_map(|slot| match &mut slot.state {
            State::Active(partition) => Some((&mut **partition, &mut slot.due)),
            _ => None,
        })
    }

    /// All with a state: those that compute, and those that are restored.
    pub(super) fn all_present(&mut self) -> impl Iterator<Item = (&mut Partition, &mut Due, &mut Reads)> {
        self.0.values_mut().filter_map(|Slot { state, due, reads }| match state {
            State::Active(partition) | State::Restored(partition, _) => Some((&mut **partition, due, reads)),
            State::Restoring(_) => None,
        })
    }

    /// Those that the restore thread has.
    pub(super) fn all_restoring(&self) -> impl Iterator<Item = (i32, &Restoring)> {
        self.0.iter().filter_map(|(number, slot)| match &slot.state {
            State::Restoring(restoring) => Some((*number, restoring)),
            _ => None,
        })
    }

    /// Those that are restored and still to be positioned, and since when.
    pub(super) fn all_restored(&self) -> impl Iterator<Item = (&Partition, Instant)> {
        self.0.values().filter_map(|slot| match &slot.state {
            State::Restored(partition, since) => Some((&**partition, *since)),
            _ => None,
        })
    }

    /// Returns the numbers of those that are to be positioned `now`, with the offset where each begins.
    ///
    /// They wait for each other, if not for long: brokers that are asked for some partitions alone answer when one of these
    /// has a record, and only then are they asked for the others.
    pub(super) fn to_position(&self, now: Instant) -> Vec<(i32, i64)> {
        let has_waited =
            |(_, since): (&Partition, Instant)| now.saturating_duration_since(since) >= FETCH_WAIT;
        if self.any_is_being_restored() && !self.all_restored().any(has_waited) {
            return Vec::new();
        }
        self.all_restored().map(|(partition, _)| (partition.number, partition.next_offset)).collect()
    }

    /// A positioned partition computes, once a commit of its offset names its new owner.
    pub(super) fn activate(&mut self, number: i32) {
        if let Some(Slot { state, due, reads }) = self.0.remove(&number) {
            let state = match state {
                State::Restored(partition, _) => State::Active(partition),
                other => other,
            };
            self.0.insert(number, Slot { state, due: Due { offset: true, ..due }, reads });
        }
    }

    /// The numbers of all that compute.
    pub(super) fn active_numbers(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|(_, s)| matches!(s.state, State::Active(_))).map(|(n, _)| *n)
    }

    /// Whether all that is owned computes.
    pub(super) fn all_are_active(&self) -> bool {
        self.0.values().all(|s| matches!(s.state, State::Active(_)))
    }

    /// Whether a partition may become active at any moment: none whose restore failed and waits for its next attempt.
    pub(super) fn any_is_imminent(&self) -> bool {
        self.any_is_being_restored() || self.all_restored().next().is_some()
    }

    fn any_is_being_restored(&self) -> bool {
        self.all_restoring().any(|(_, restoring)| restoring.failure.is_none())
    }

    /// Returns the least generation computed with; `None` without a partition that computes.
    pub(super) fn least_generation(&self) -> Option<u64> {
        let shapes = self.0.values().filter_map(|slot| match &slot.state {
            State::Active(partition) => partition.shape(),
            _ => None,
        });
        shapes.map(|s: &Arc<Shape>| s.generation).min()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn restored(owned: &mut Assignment, number: i32) {
        owned.restored(number, Box::new(Partition::new(number, 10, vec![], vec![])));
    }

    /// Partitions that the restore thread has just been given.
    pub(in crate::pipeline) fn restoring(numbers: &[i32]) -> Assignment {
        let mut owned = Assignment::default();
        for number in numbers {
            owned.restore(*number, Restoring::new(Wanted::default(), None));
        }
        owned
    }

    #[test]
    fn partitions_that_are_restored_together_are_fetched_together() {
        let mut owned = restoring(&[0, 1]);
        restored(&mut owned, 0);
        assert_eq!(owned.to_position(Instant::now()), []);
        assert!(owned.any_is_imminent());
        restored(&mut owned, 1);
        assert_eq!(owned.to_position(Instant::now()), [(0, 10), (1, 10)]);
    }

    #[test]
    fn a_partition_waits_neither_long_for_others_nor_for_those_that_failed() {
        let mut owned = restoring(&[0, 1]);
        restored(&mut owned, 0);
        assert_eq!(owned.to_position(Instant::now() + FETCH_WAIT), [(0, 10)]);
        owned.not_restored(1, "no leader".into());
        assert_eq!(owned.to_position(Instant::now()), [(0, 10)]);
    }
}
