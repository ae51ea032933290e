//! What was said of a partition's entities: which of it is to be written, and what a restore gives back.

use std::collections::HashMap;

use super::Partition;
use crate::entity::{Entity, Name};
use crate::said::Said;

impl Partition {
    /// Takes an entity off the list of those whose said record is to be written: the caller does it.
    pub(crate) fn next_said(&mut self) -> Option<(&Name, &mut Entity)> {
        let slot = self.said_due.pop()?;
        let (name, entity) = &mut self.slots[slot];
        entity.is_said_due = false;
        Some((name, entity))
    }

    /// Takes a name off the list of those whose said record is to be deleted, since it is of no entity's life.
    pub(crate) fn next_stray(&mut self) -> Option<Name> {
        self.said_orphans.pop()
    }

    /// Gives the entities back what was said of them by what is committed: the offset of each one's birth and the rest.
    ///
    /// A record of another birth is of an entity that went: a release that does not know said records leaves them.
    pub(crate) fn restore_said(&mut self, said: HashMap<String, (i64, Said)>) {
        for (name, (born, said)) in said {
            let slot = self.index.get(name.as_str()).copied();
            match slot.map(|slot| &mut self.slots[slot].1).filter(|entity| entity.born == born) {
                Some(entity) => {
                    entity.said = said;
                    entity.is_said_in_table = true;
                    if let Some(change) = self.history.last() {
                        entity.is_said_due = entity.said.retain_windows(change.shape.minutes());
                    }
                }
                None => self.said_orphans.push(name.into()),
            }
        }
        self.find_said_due();
    }

    /// The entities have other places, or were marked one by one.
    pub(super) fn find_said_due(&mut self) {
        let due = self.slots.iter().enumerate().filter(|(_, (_, entity))| entity.is_said_due);
        self.said_due = due.map(|(slot, _)| slot).collect();
    }
}
