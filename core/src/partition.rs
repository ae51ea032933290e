//! The state of one raw partition: its entities, the shapes that it took, and what no checkpoint holds yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::NANO;
use crate::average::Average;
use crate::entity::{Entity, Joined, Name, Sample};
use crate::quote::{Bad, MAX_AHEAD, Quote};
use crate::shape::Shape;

/// So many entities a partition computes at most under a wildcard; records of further ones are counted and skipped.
pub const WILDCARD_LIMIT: usize = 100_000;

/// A record of the raw topic.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// As written; it only routes.
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record's own timestamp in ms; negative if it has none.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
}

/// What a record did.
#[derive(Debug)]
pub enum Effect<'a> {
    /// It was accepted: an average follows for each window, and perhaps an alarm.
    Accepted(Accepted<'a>),
    /// A quote of the same entity and time was accepted before.
    Duplicate,
    /// Older than every window of its entity.
    TooLate,
    /// Its entity is not listed.
    Unlisted,
    /// Its entity would be one too many under the wildcard.
    OverLimit,
    /// It is no quote.
    Bad(Bad),
    /// The restored checkpoint of its entity holds it already, or it was seen before.
    Covered,
}

/// An accepted quote with all that its output records say.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// The entity, this quote included.
    pub entity: &'a Entity,
    /// Its name.
    pub name: &'a str,
    /// Each window's last computed average, without this quote.
    pub previous: &'a [Option<Average>],
    /// The rules in force.
    pub shape: &'a Shape,
    /// It was older than the entity's newest.
    pub late: bool,
}

/// A shape, and where in the log it took hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Counts the partition's changes of windows or entities, from 1.
    pub epoch: u64,
    /// The first raw offset that is computed by it.
    pub offset: i64,
    /// For each window, the epoch since which there is one of that length without a break.
    pub since: Vec<u64>,
    /// The rules.
    #[serde(flatten, with = "shared")]
    pub shape: Arc<Shape>,
}

/// A shared shape on the wire is a shape.
mod shared {
    use super::{Arc, Deserialize, Serialize, Shape};

    pub(super) fn serialize<S: serde::Serializer>(
        shape: &Arc<Shape>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        shape.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Shape>, D::Error> {
        Shape::deserialize(deserializer).map(Arc::new)
    }
}

/// An entity that a new shape no longer lists: its table records are to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The entity.
    pub name: Name,
    /// Its chunks' numbers.
    pub chunks: Vec<u64>,
}

/// Samples older than the longest window so far, by entity: what a longer window takes in.
pub type Older = HashMap<Name, BTreeMap<i64, i64>>;

/// See the module.
#[derive(Debug)]
pub struct Partition {
    /// The raw partition's number.
    pub number: i32,
    /// The next raw offset to compute.
    pub next_offset: i64,
    /// The timestamp of the last computed record in ms; negative if there was none.
    pub last_timestamp: i64,
    /// Shapes since the least offset that checkpoints do not cover; the last one is in force.
    pub history: Vec<Taken>,
    index: HashMap<Name, usize>,
    slots: Vec<(Name, Entity)>,
    dirty: VecDeque<Dirty>,
    known: usize, // entities born below `next_offset`
    previous: Vec<Option<Average>>,
}

/// An entity with changes that no checkpoint holds.
#[derive(Debug, Clone, Copy)]
pub struct Dirty {
    /// The raw offset of the first such change.
    pub from: i64,
    /// When it was seen, by the caller's clock.
    pub since: u64,
    slot: usize,
}

impl Partition {
    /// A partition with restored entities, about to compute `next_offset`.
    pub fn new(number: i32, next_offset: i64, history: Vec<Taken>, entities: Vec<(Name, Entity)>) -> Self {
        let known = entities.iter().filter(|(_, e)| e.born < next_offset).count();
        let index = entities.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Self {
            number,
            next_offset,
            last_timestamp: -1,
            history,
            index,
            slots: entities,
            dirty: VecDeque::new(),
            known,
            previous: Vec::new(),
        }
    }

    /// The rules in force; `None` before the first.
    pub fn shape(&self) -> Option<&Arc<Shape>> {
        self.history.last().map(|t| &t.shape)
    }

    /// The entities, in no order.
    pub fn entities(&self) -> impl ExactSizeIterator<Item = &(Name, Entity)> {
        self.slots.iter()
    }

    /// Moves the state by one record; `now` stamps what becomes dirty.
    pub fn absorb(&mut self, record: &RawRecord<'_>, now: u64) -> Effect<'_> {
        if record.offset < self.next_offset {
            return Effect::Covered;
        }
        self.next_offset = record.offset + 1;
        self.last_timestamp = record.timestamp;
        let Some(taken) = self.history.last() else { return Effect::Unlisted };
        let Some(value) = record.value else { return Effect::Bad(Bad::NotJson) };
        let quote = match Quote::read(value) {
            Ok(quote) => quote,
            Err(bad) => return Effect::Bad(bad),
        };
        let slot = self.index.get(&*quote.entity).copied();
        if let Some(slot) = slot {
            let entity = &self.slots[slot].1;
            if record.offset < entity.covered {
                self.known += usize::from(record.offset == entity.born);
                return Effect::Covered;
            }
        } else if !taken.shape.computes(&quote.entity) {
            return Effect::Unlisted;
        } else if self.known >= WILDCARD_LIMIT && !taken.shape.entities.contains_key(&*quote.entity) {
            return Effect::OverLimit;
        }
        let (price, time) = match quote.price_and_time(record.timestamp) {
            Ok(both) => both,
            Err(bad) => return Effect::Bad(bad),
        };
        let slot = match slot {
            Some(slot) => slot,
            None => {
                let name: Name = Name::from(&*quote.entity);
                let entity = Entity::new(record.offset, taken.epoch, taken.shape.minutes());
                self.index.insert(name.clone(), self.slots.len());
                self.slots.push((name, entity));
                self.known += 1;
                self.slots.len() - 1
            }
        };
        let (name, entity) = &mut self.slots[slot];
        let late = match entity.join(Sample { time, price }, &mut self.previous) {
            Joined::Newest => false,
            Joined::Late => true,
            Joined::Duplicate => return Effect::Duplicate,
            Joined::TooLate => return Effect::TooLate,
        };
        entity.accepted = record.offset;
        entity.value.clear();
        crate::encode::push_bare_value(&mut entity.value, value, quote.is_marked);
        if entity.saved.dirty_from.is_none() {
            entity.saved.dirty_from = Some(record.offset);
            self.dirty.push_back(Dirty { from: record.offset, since: now, slot });
        }
        Effect::Accepted(Accepted { entity, name, previous: &self.previous, shape: &taken.shape, late })
    }

    /// The earliest record timestamp (ms) that may hold a quote which `shape` wants and the state lacks.
    ///
    /// A quote's event time is at most five minutes ahead of its record's timestamp, so all that is
    /// younger than an event time stands behind the first record stamped five minutes before it.
    pub fn wants_older(&self, shape: &Shape, epoch: u64) -> Option<i64> {
        let longest = i64::from(shape.longest()) * 60 * NANO;
        let lacking = self.slots.iter().map(|(_, e)| e).filter(|e| e.epoch < epoch && e.longest() < longest);
        let oldest = lacking.filter_map(Entity::newest).min()?.saturating_sub(longest);
        Some(oldest.saturating_sub(MAX_AHEAD).max(0) / 1_000_000)
    }

    /// Notes a record's sample in `older`, if a window of `shape` would hold it and the state does not.
    pub fn note_older(&self, record: &RawRecord<'_>, shape: &Shape, epoch: u64, older: &mut Older) {
        let Some(quote) = record.value.and_then(|v| Quote::read(v).ok()) else { return };
        let Some(&slot) = self.index.get(&*quote.entity) else { return };
        let (name, entity) = &self.slots[slot];
        let (Some(newest), Ok((price, time))) = (entity.newest(), quote.price_and_time(record.timestamp))
        else {
            return;
        };
        let longest = i64::from(shape.longest()) * 60 * NANO;
        let wanted = newest.saturating_sub(longest) < time && time <= newest - entity.longest();
        if wanted && entity.epoch < epoch && entity.born <= record.offset {
            older.entry(name.clone()).or_default().entry(time).or_insert(price);
        }
    }

    /// What taking `shape` here would be recorded as.
    pub fn would_take(&self, shape: Arc<Shape>) -> Taken {
        let last = self.history.last();
        let epoch = last.map_or(0, |t| t.epoch) + 1;
        let since = |minutes| {
            let place = last.and_then(|t| t.shape.minutes().position(|m| m == minutes));
            place.and_then(|p| last?.since.get(p)).copied().unwrap_or(epoch)
        };
        Taken { epoch, offset: self.next_offset, since: shape.minutes().map(since).collect(), shape }
    }

    /// Computes by another shape from here on; gives the entities that it no longer lists.
    ///
    /// Entities whose restored state is of this epoch or a later one stay as they are.
    pub fn take(&mut self, taken: Taken, older: &Older, now: u64) -> Vec<Removed> {
        let mut removed = Vec::new();
        let mut slots = Vec::with_capacity(self.slots.len());
        for (name, mut entity) in self.slots.drain(..) {
            if entity.epoch < taken.epoch {
                if !taken.shape.computes(&name) {
                    let chunks = entity.saved.chunks.iter().map(|(n, _)| *n).collect();
                    removed.push(Removed { name, chunks });
                    continue;
                }
                let samples: Vec<Sample> = older
                    .get(&name)
                    .map(|o| o.iter().map(|(&time, &price)| Sample { time, price }).collect())
                    .unwrap_or_default();
                entity.reshape(taken.epoch, taken.shape.minutes(), &samples);
                if !samples.is_empty() {
                    entity.saved.dirty_from.get_or_insert(taken.offset);
                }
            }
            slots.push((name, entity));
        }
        let since: HashMap<i64, u64> = self.dirty.iter().map(|d| (d.from, d.since)).collect();
        self.slots = slots;
        self.index = self.slots.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        self.known = self.slots.iter().filter(|(_, e)| e.born < taken.offset).count();
        let mut dirty: Vec<Dirty> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, (_, e))| Some((slot, e.saved.dirty_from?)))
            .map(|(slot, from)| Dirty { from, since: since.get(&from).copied().unwrap_or(now), slot })
            .collect();
        dirty.sort_unstable_by_key(|d| d.from);
        self.dirty = dirty.into();
        self.history.push(taken);
        removed
    }

    /// Other tolerances or another generation under the same windows and entities.
    pub fn retune(&mut self, shape: Arc<Shape>) {
        if let Some(last) = self.history.last_mut() {
            last.shape = shape;
        }
    }

    /// The least raw offset that checkpoints do not cover: replay begins here.
    pub fn replay_from(&self) -> i64 {
        self.dirty.front().map_or(self.next_offset, |d| d.from)
    }

    /// The entity that has waited longest for a checkpoint.
    pub fn oldest_dirty(&self) -> Option<Dirty> {
        self.dirty.front().copied()
    }

    /// Takes it off the list: the caller writes its checkpoint.
    pub fn begin_checkpoint(&mut self) -> Option<(&Name, &mut Entity)> {
        let dirty = self.dirty.pop_front()?;
        let (name, entity) = &mut self.slots[dirty.slot];
        entity.saved.dirty_from = None;
        Some((name, entity))
    }

    /// Forgets shapes that no replay can meet again.
    pub fn prune_history(&mut self) {
        let from = self.replay_from();
        let first = self.history.iter().skip(1).take_while(|t| t.offset < from).count();
        self.history.drain(..first);
    }
}
