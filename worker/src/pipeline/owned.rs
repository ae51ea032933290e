//! The partitions that this process owns, and how far each has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockwatch_core::{Partition, Removed, Shape};

/// How far an owned partition has come.
#[derive(Debug)]
pub(super) enum State {
    /// The restore thread has it.
    Away,
    /// Restored or reshaped; its consumer is still to be positioned.
    Waiting(Box<Partition>),
    /// It computes.
    Active(Box<Partition>),
}

/// What is to be written for a partition in the next transaction, besides its quotes.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Its offset is to be committed.
    pub(super) offset: bool,
    /// It is given away with this commit.
    pub(super) released: bool,
    /// It took another shape, or another generation of it.
    pub(super) shape: bool,
    /// The offset that its table partition says, and when that was written (ms).
    pub(super) noted: Option<(i64, u64)>,
    /// Entities that it no longer lists.
    pub(super) removed: Vec<Removed>,
}

/// An owned partition.
#[derive(Debug)]
pub(super) struct Slot {
    /// Answers of the restore thread with another ticket are out of date.
    pub(super) ticket: u64,
    pub(super) state: State,
    pub(super) due: Due,
}

/// The partitions by number.
#[derive(Debug, Default)]
pub(super) struct Slots(BTreeMap<i32, Slot>);

impl Slots {
    /// Numbers of all.
    pub(super) fn numbers(&self) -> Vec<i32> {
        self.0.keys().copied().collect()
    }

    /// Owned from now on, and away.
    pub(super) fn add(&mut self, number: i32, ticket: u64) {
        self.0.insert(number, Slot { ticket, state: State::Away, due: Due::default() });
    }

    /// No longer owned.
    pub(super) fn remove(&mut self, number: i32) {
        self.0.remove(&number);
    }

    /// The slot of a partition, if `ticket` is still its own.
    pub(super) fn awaiting(&mut self, number: i32, ticket: u64) -> Option<&mut Slot> {
        self.0.get_mut(&number).filter(|s| s.ticket == ticket && matches!(s.state, State::Away))
    }

    /// An active partition with what is due for it.
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

    /// Restored partitions and those that compute: whatever holds a state here.
    pub(super) fn present(&mut self) -> impl Iterator<Item = (&mut Slot, i32)> {
        self.0.iter_mut().filter(|(_, s)| !matches!(s.state, State::Away)).map(|(n, s)| (s, *n))
    }

    /// Numbers of those still to be positioned, with the offset where each begins.
    pub(super) fn waiting(&self) -> Vec<(i32, i64)> {
        let waiting = self.0.iter().filter_map(|(number, slot)| match &slot.state {
            State::Waiting(partition) => Some((*number, partition.next_offset)),
            _ => None,
        });
        waiting.collect()
    }

    /// A positioned partition computes; its offset is committed at once, to name its new owner.
    pub(super) fn activate(&mut self, number: i32) {
        if let Some(slot) = self.0.get_mut(&number) {
            slot.state = match std::mem::replace(&mut slot.state, State::Away) {
                State::Waiting(partition) => State::Active(partition),
                other => other,
            };
            slot.due.offset = true;
        }
    }

    /// Hands a partition to the restore thread.
    pub(super) fn send_away(&mut self, number: i32, ticket: u64) -> Option<Box<Partition>> {
        let slot = self.0.get_mut(&number)?;
        match std::mem::replace(&mut slot.state, State::Away) {
            State::Active(partition) | State::Waiting(partition) => {
                slot.ticket = ticket;
                Some(partition)
            }
            State::Away => None,
        }
    }

    /// Whether the restore thread has a partition.
    pub(super) fn is_away(&self, number: i32) -> bool {
        self.0.get(&number).is_some_and(|s| matches!(s.state, State::Away))
    }

    /// The numbers of all that the restore thread has, whose answers are out of date from now on.
    pub(super) fn recall(&mut self, ticket: u64) -> Vec<i32> {
        let numbers: Vec<i32> = self.0.keys().copied().filter(|number| self.is_away(*number)).collect();
        for number in &numbers {
            self.add(*number, ticket);
        }
        numbers
    }

    /// The numbers of all that compute.
    pub(super) fn active_numbers(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|(_, s)| matches!(s.state, State::Active(_))).map(|(n, _)| *n)
    }

    /// Whether all that is owned computes.
    pub(super) fn all_are_active(&self) -> bool {
        self.0.values().all(|s| matches!(s.state, State::Active(_)))
    }

    /// The least generation computed with; `None` without a partition that computes.
    pub(super) fn least_generation(&self) -> Option<u64> {
        let shapes = self.0.values().filter_map(|slot| match &slot.state {
            State::Active(partition) => partition.shape(),
            _ => None,
        });
        shapes.map(|s: &Arc<Shape>| s.generation).min()
    }

    /// The state of every partition is gone; their numbers.
    pub(super) fn forget_all(&mut self, ticket: u64) -> Vec<i32> {
        let numbers = self.numbers();
        for number in &numbers {
            self.add(*number, ticket);
        }
        numbers
    }
}
