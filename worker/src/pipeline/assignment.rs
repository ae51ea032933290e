//! The partitions that this process owns, and how far each has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockwatch_core::{Backfill, Partition, Removed, Shape};

use super::restore::Wanted;

/// How far an owned partition has come.
#[derive(Debug)]
enum State {
    /// The restore thread has it.
    Restoring(Restoring),
    /// Restored; its consumer is still to be positioned.
    Restored(Box<Partition>),
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
    pub(super) fn restored(&mut self, number: i32, partition: Box<Partition>) {
        if let Some(slot) = self.0.get_mut(&number) {
            slot.state = State::Restored(partition);
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
            State::Active(partition) | State::Restored(partition) => Some((&mut **partition, due, reads)),
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

    /// Returns the numbers of those that are still to be positioned, with the offset where each begins.
    pub(super) fn to_position(&self) -> Vec<(i32, i64)> {
        let restored = self.0.iter().filter_map(|(number, slot)| match &slot.state {
            State::Restored(partition) => Some((*number, partition.next_offset)),
            _ => None,
        });
        restored.collect()
    }

    /// A positioned partition computes, once a commit of its offset names its new owner.
    pub(super) fn activate(&mut self, number: i32) {
        if let Some(Slot { state, due, reads }) = self.0.remove(&number) {
            let state = match state {
                State::Restored(partition) => State::Active(partition),
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
        self.0.values().any(|slot| match &slot.state {
            State::Restoring(restoring) => restoring.failure.is_none(),
            State::Restored(_) => true,
            State::Active(_) => false,
        })
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
