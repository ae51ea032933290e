//! The state of one raw partition: its entities, the shapes that it took, and what no checkpoint holds yet.

mod fill;
mod said;
mod trade;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use self::trade::{end, trade};
use crate::NANO;
use crate::account::Entry;
use crate::average::Average;
use crate::backfill::{Backfill, Tail};
use crate::effect::{Accepted, Effect, Orphan, Removed};
use crate::entity::{Entity, Misplaced, Name, Place};
use crate::judge::{Judgement, Moved};
use crate::sample::{Origin, Sample};
use crate::shape::{Shape, ShapeChange, WILDCARD_LIMIT};
use crate::unsaved::Unsaved;
use crate::wire::DeadLetterReason;
use crate::wire::deduplicated::push_bare_value;
use crate::wire::raw::{Quote, RawRecord};

/// An entity's currency holds for so long after its newest quote that says it; then another one does.
const CURRENCY_HOLDS: i64 = 15 * 60 * NANO;

/// What the table partition has of the shapes.
#[derive(Debug, Clone, Default)]
pub struct RecordedShapes {
    /// The last shape of the whole record.
    pub whole: Option<ShapeChange>,
    /// There is a record of changes of it.
    pub has_changes: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Partition {
    /// The raw partition's number.
    pub number: i32,
    /// The next raw offset to compute.
    pub next_offset: i64,
    /// The timestamp of the last computed record in ms; negative if there was none.
    pub last_timestamp: i64,
    /// The shapes that a replay can meet, oldest first; the last one is in force.
    pub history: Vec<ShapeChange>,
    /// What the table has of them.
    pub recorded: RecordedShapes,
    /// Paper accounts are kept: there is a ledger to write. Without one they stay as they are.
    pub has_ledger: bool,
    /// What the table holds of entities whose shapes somebody has deleted from it: they begin anew.
    pub lost: Vec<Removed>,
    index: HashMap<Name, usize>,
    slots: Vec<(Name, Entity)>,
    unsaved: Unsaved,
    known: usize, // entities born below `next_offset`
    /// In a replay, those that are in the table no more and counted until the replay reaches their end.
    pub(crate) gone: usize,
    /// What is computed while a backfill is read.
    tail: Option<Tail>,
    previous: Vec<Option<Average>>,
    judgement: Judgement,
    entries: Vec<Entry>,
    /// The places of entities whose said records are to be written.
    said_due: Vec<usize>,
    /// Entities whose said record is of an earlier life of that name: to be deleted.
    said_orphans: Vec<Name>,
}

/// An accepted quote's entity and what came of it.
struct Joining {
    slot: usize,
    quote: Sample,
    previous_time: Option<i64>,
    late: bool,
    /// The entity has another currency from here on, and nothing before.
    is_anew: bool,
}

impl Partition {
    /// A partition with restored entities, about to compute `next_offset`.
    pub fn new(
        number: i32,
        next_offset: i64,
        history: Vec<ShapeChange>,
        entities: Vec<(Name, Entity)>,
    ) -> Self {
        let known = entities.iter().filter(|(_, e)| e.born < next_offset).count();
        let index = entities.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Self {
            number,
            next_offset,
            last_timestamp: -1,
            history,
            recorded: RecordedShapes::default(),
            has_ledger: false,
            lost: Vec::new(),
            index,
            slots: entities,
            unsaved: Unsaved::default(),
            known,
            gone: 0,
            tail: None,
            previous: Vec::new(),
            judgement: Judgement::default(),
            entries: Vec::new(),
            said_due: Vec::new(),
            said_orphans: Vec::new(),
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

    /// Whether any entity has an account.
    pub fn has_accounts(&self) -> bool {
        self.slots.iter().any(|(_, entity)| entity.said.account.is_some())
    }

    /// Moves the state by one record, and judges what follows; `now` stamps what becomes dirty.
    pub fn process(&mut self, record: &RawRecord<'_>, now: u64) -> Effect<'_> {
        let joining = match self.absorb(record, now) {
            Ok(joining) => joining,
            Err(effect) => return effect,
        };
        if let Some(change) = self.history.last() {
            let (name, entity) = &mut self.slots[joining.slot];
            let mut said = mem::take(&mut entity.said);
            self.entries.clear();
            let mut is_changed = joining.is_anew && end(&mut said, self.has_ledger, &mut self.entries);
            let (previous, previous_time) = (&self.previous[..], joining.previous_time);
            let moved = Moved { name, entity, previous, previous_time, origin: origin(record) };
            is_changed |= self.judgement.judge(&moved, &change.shape, &mut said);
            if self.has_ledger && !joining.late && (change.shape.trade.is_some() || said.account.is_some()) {
                let quote = (joining.quote, origin(record));
                is_changed |= trade(&mut said, &change.shape, &self.judgement, quote, &mut self.entries);
            }
            entity.said = said;
            if is_changed && !mem::replace(&mut entity.is_said_due, true) {
                self.said_due.push(joining.slot);
            }
        }
        self.accepted(joining, record)
    }

    /// Moves the state by one record, and judges nothing: what was said is not computed again.
    pub fn replay(&mut self, record: &RawRecord<'_>, now: u64) -> Effect<'_> {
        self.judgement.clear();
        self.entries.clear();
        match self.absorb(record, now) {
            Ok(joining) => self.accepted(joining, record),
            Err(effect) => effect,
        }
    }

    fn accepted(&self, joining: Joining, record: &RawRecord<'_>) -> Effect<'_> {
        let Some(change) = self.history.last() else { return Effect::Unlisted };
        let (name, entity) = &self.slots[joining.slot];
        Effect::Accepted(Accepted {
            entity,
            name,
            quote: joining.quote,
            previous: &self.previous,
            previous_time: joining.previous_time,
            shape: &change.shape,
            late: joining.late,
            judgement: &self.judgement,
            origin: origin(record),
            entries: &self.entries,
        })
    }

    /// Moves the state by one record. An effect: it was not accepted.
    fn absorb(&mut self, record: &RawRecord<'_>, now: u64) -> Result<Joining, Effect<'static>> {
        if record.offset < self.next_offset {
            return Err(Effect::Covered);
        }
        self.next_offset = record.offset + 1;
        self.last_timestamp = record.timestamp;
        self.unsaved.count(record);
        let Some(change) = self.history.last() else { return Err(Effect::Unlisted) };
        let value = record.value.ok_or(Effect::Bad(DeadLetterReason::NotJson))?;
        let quote = Quote::read(value).map_err(Effect::Bad)?;
        let slot = self.index.get(&*quote.entity).copied();
        if let Some(slot) = slot {
            let entity = &mut self.slots[slot].1;
            if record.offset < entity.covered {
                entity.seen = entity.seen.max(record.offset);
                self.known += usize::from(record.offset == entity.born);
                return Err(Effect::Covered);
            }
        } else if !change.shape.computes(&quote.entity) {
            return Err(Effect::Unlisted);
        } else if self.known + self.gone >= WILDCARD_LIMIT
            && !change.shape.entities.contains_key(&*quote.entity)
        {
            return Err(Effect::OverLimit);
        }
        let (price, time) = quote.price_and_time(record.timestamp).map_err(Effect::Bad)?;
        let slot = match slot {
            Some(slot) => slot,
            None => {
                let name: Name = Name::from(&*quote.entity);
                let entity = Entity::new(record.offset, change.epoch, change.shape.minutes());
                self.index.insert(name.clone(), self.slots.len());
                self.slots.push((name, entity));
                self.known += 1;
                self.slots.len() - 1
            }
        };
        let (name, entity) = &mut self.slots[slot];
        let (sample, currency) = (Sample { time, price }, quote.currency());
        let place = entity.place(sample);
        let is_own = entity.is_of_currency(currency.as_deref());
        // A currency that is not known is that of the first accepted quote that says one.
        let is_noted = is_own && (place.is_ok() || entity.currency.is_some() || currency.is_none());
        if let Some(tail) = self.tail.as_mut().filter(|_| is_noted) {
            tail.note(name, sample);
        }
        let is_anew = place.is_ok() && !is_own;
        if is_anew {
            let known = entity.currency.as_ref().map_or(i64::MIN, |known| known.time);
            if time.saturating_sub(known) < CURRENCY_HOLDS {
                return Err(Effect::Bad(DeadLetterReason::OtherCurrency));
            }
            entity.begin_anew(record.offset);
        }
        entity.seen = record.offset;
        // One that is not listed lasts as long as it has quotes, be they duplicates: its checkpoint says so.
        let is_changed = place.is_ok() || !change.shape.entities.contains_key(&**name);
        if is_changed && entity.saved.dirty_from.is_none() {
            entity.saved.dirty_from = Some(record.offset);
            self.unsaved.push(slot, record.offset, now);
        }
        let place = match place {
            Ok(_) if is_anew => Place::Newest,
            Ok(place) => place,
            Err(Misplaced::Duplicate { other_price }) => return Err(Effect::Duplicate { other_price }),
            Err(Misplaced::TooLate) => return Err(Effect::TooLate),
        };
        let previous_time = entity.newest();
        entity.join(sample, place, &mut self.previous);
        entity.accepted = record.offset;
        entity.value.clear();
        push_bare_value(&mut entity.value, value, &quote);
        let is_first = entity.note_currency(currency.as_deref(), time);
        if let Some(tail) = self.tail.as_mut().filter(|_| is_anew || is_first && previous_time.is_some()) {
            // What was read and noted of the entity so far may be of another currency.
            tail.spoil();
        }
        Ok(Joining { slot, quote: sample, previous_time, late: place != Place::Newest, is_anew })
    }

    /// What taking `shape` here would be recorded as.
    pub fn next_change(&self, shape: Arc<Shape>) -> ShapeChange {
        let last = self.history.last();
        let epoch = last.map_or(0, |t| t.epoch) + 1;
        let since = |minutes| {
            let place = last.and_then(|t| t.shape.minutes().position(|m| m == minutes));
            place.and_then(|p| last?.since.get(p)).copied().unwrap_or(epoch)
        };
        ShapeChange {
            epoch,
            offset: self.next_offset,
            since: shape.minutes().map(since).collect(),
            shape,
            gone: 0,
        }
    }

    /// Computes by another shape from here on; gives the entities that it no longer lists.
    ///
    /// Entities whose restored state is of this epoch or a later one stay as they are.
    pub fn apply_shape(&mut self, change: ShapeChange, backfill: &Backfill, now: u64) -> Vec<Removed> {
        self.apply_change(change, backfill, now, |_, _| false)
    }

    fn apply_change(
        &mut self,
        change: ShapeChange,
        backfill: &Backfill,
        now: u64,
        is_silent: impl Fn(&Name, &Entity) -> bool,
    ) -> Vec<Removed> {
        self.forget_tolerances();
        self.end_fill();
        self.gone = self.gone.saturating_sub(change.gone);
        let mut removed = Vec::new();
        let mut slots = Vec::with_capacity(self.slots.len());
        for (name, mut entity) in self.slots.drain(..) {
            if entity.epoch < change.epoch {
                if !change.shape.computes(&name) || is_silent(&name, &entity) {
                    let chunks = entity.saved.chunks.iter().map(|(n, _)| *n).collect();
                    let has_said = entity.is_said_in_table;
                    let account = entity.said.account.take().filter(|_| self.has_ledger);
                    let time = entity.newest().unwrap_or_default();
                    let orphan =
                        account.map(|account| Orphan { account: *account, time, value: entity.value });
                    removed.push(Removed { name, chunks, has_said, orphan: orphan.map(Box::new) });
                    continue;
                }
                let samples = backfill.older(&name, &entity, change.shape.longest());
                entity.reshape(change.epoch, change.shape.minutes(), &samples);
                if !samples.is_empty() {
                    entity.saved.dirty_from.get_or_insert(change.offset);
                }
            }
            slots.push((name, entity));
        }
        self.slots = slots;
        self.index = self.slots.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        self.known = self.slots.iter().filter(|(_, e)| e.born < change.offset).count();
        self.find_said_due();
        let unsaved = self.slots.iter().enumerate();
        let unsaved = unsaved.filter_map(|(slot, (_, e))| Some((slot, e.saved.dirty_from?, e.newest())));
        self.unsaved.replace(now, unsaved);
        self.history.push(change);
        removed
    }

    /// Forgets the entities that no shape lists and that have no quote, accepted or not, in the raw log any more, which
    /// begins at `log_start`; gives them. A worker that computed the log as it is now would not know them either.
    ///
    /// Their end is recorded as a change of the shape to the same, here. None has a quote from where a replay begins, so
    /// a replay cannot bring one back; and the change says how many counted against [`WILDCARD_LIMIT`] until then.
    pub fn forget_silent(&mut self, log_start: i64) -> Vec<Removed> {
        let Some(shape) = self.shape().filter(|s| s.wildcard.is_some() && self.tail.is_none()).cloned()
        else {
            return Vec::new();
        };
        let before = log_start.min(self.replay_from());
        let is_silent = |name: &Name, e: &Entity| e.seen < before && !shape.entities.contains_key(&**name);
        let gone = self.slots.iter().filter(|(name, e)| is_silent(name, e)).count();
        if gone == 0 {
            return Vec::new();
        }
        let change = ShapeChange { gone, ..self.next_change(shape.clone()) };
        self.apply_change(change, &Backfill::default(), 0, is_silent)
    }

    /// Other tolerances or another generation under the same windows and entities.
    pub fn replace_tolerances(&mut self, shape: Arc<Shape>) {
        if let Some(last) = self.history.last_mut() {
            last.shape = shape;
        }
    }

    /// The least raw offset that checkpoints do not cover: replay begins here.
    pub fn replay_from(&self) -> i64 {
        self.unsaved.from().unwrap_or(self.next_offset)
    }

    /// Whether the oldest unsaved entity is due: unsaved for `age` (in the unit of `now`), and enough raw bytes were read
    /// since then. With an age of 0 it always is.
    pub fn is_checkpoint_due(&self, now: u64, age: u64) -> bool {
        // Changes from before the shape in force come first: with them a restore changes the shape and fills windows again.
        let hurry = self.history.last().map_or(i64::MIN, |change| change.offset);
        self.unsaved.is_due(now, age, hurry)
    }

    /// Takes the entity that has waited longest off the list: the caller writes its checkpoint.
    pub fn begin_checkpoint(&mut self) -> Option<(&Name, &mut Entity)> {
        let slot = self.unsaved.pop()?;
        let (name, entity) = &mut self.slots[slot];
        entity.saved.dirty_from = None;
        Some((name, entity))
    }

    /// Forgets shapes that no replay can meet again.
    ///
    /// With nothing dirty there is nothing to replay: what the table has is under the last shape. Otherwise the
    /// shapes from where replay begins are needed, and the one that was in force there.
    pub fn prune_history(&mut self) {
        let from = self.unsaved.from().unwrap_or(i64::MAX);
        let first = self.history.iter().skip(1).take_while(|t| t.offset < from).count();
        self.history.drain(..first);
    }

    /// The shape in force is about to be over: a replay judges nothing by it.
    fn forget_tolerances(&mut self) {
        let from = self.replay_from();
        let is_new = |name: &str| self.index.get(name).is_some_and(|slot| self.slots[*slot].1.born >= from);
        if let Some(last) = self.history.last_mut() {
            last.shape = Arc::new(last.shape.for_replay(is_new));
        }
    }
}

fn origin(record: &RawRecord<'_>) -> Origin {
    Origin { offset: record.offset, timestamp: record.timestamp }
}
