//! Reads what the storage table holds of a partition.

use std::collections::HashMap;
use std::sync::Arc;

use crate::effect::Removed;
use crate::entity::{Currency, Entity, Name};
use crate::partition::RecordedShapes;
use crate::said::Said;
use crate::sample::Sample;
use crate::shape::ShapeChange;
use crate::wire::table::{
    Checkpoint, MAX_COUNT, OffsetRecord, SHAPE_CHANGES_KEY, SHAPE_KEY, TableKey, entity_key, read_samples,
    split_entity,
};
use crate::wire::{read_said, read_shapes, said_key};

/// A table record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("storage table record {key}: {problem}")]
pub struct Corrupt {
    key: String,
    problem: String,
}

impl Corrupt {
    /// Whether it is the one that all entities of a partition depend on.
    pub fn is_of_shapes(&self) -> bool {
        self.key == SHAPE_KEY
    }

    fn new(key: &[u8], problem: &str) -> Self {
        // It goes into log lines, and a record may have a megabyte.
        let key = String::from_utf8_lossy(&key[..key.len().min(128)]).into_owned();
        Self { key, problem: problem.chars().take(256).collect() }
    }
}

/// What the records of one table partition say, read in order.
#[derive(Debug, Default)]
pub struct TableReader {
    heads: HashMap<String, Vec<u8>>,
    chunks: HashMap<(String, u64), Vec<u8>>,
    said: HashMap<String, Vec<u8>>,
    /// Parsed when all is read: only the last ones count, and they are the largest records.
    shapes: Option<Vec<u8>>,
    shape_changes: Option<Vec<u8>>,
    /// Records that are none of ours, as a table that another program wrote has them; they are left alone.
    pub foreign: u64,
    /// The last offset record.
    pub offset: Option<OffsetRecord>,
}

impl TableReader {
    /// Takes one record.
    ///
    /// # Errors
    /// A record of ours that cannot be read.
    pub fn read(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Corrupt> {
        let corrupt = |problem: &str| Corrupt::new(key, problem);
        let owned = || value.map(<[u8]>::to_vec);
        match (TableKey::parse(key), value) {
            (TableKey::Entity(name), value) => {
                self.heads.remove(&name);
                match value {
                    Some(value) if split_entity(value).is_some() => {
                        self.heads.insert(name, value.to_vec());
                    }
                    other => self.foreign += u64::from(other.is_some()),
                }
            }
            (TableKey::Chunk(entity, number), Some(value)) => {
                self.chunks.insert((entity, number), value.to_vec());
            }
            (TableKey::Chunk(entity, number), None) => {
                self.chunks.remove(&(entity, number));
            }
            (TableKey::Said(entity), Some(value)) => {
                self.said.insert(entity, value.to_vec());
            }
            (TableKey::Said(entity), None) => {
                self.said.remove(&entity);
            }
            (TableKey::Shape, _) => self.shapes = owned(),
            (TableKey::ShapeChanges, _) => self.shape_changes = owned(),
            (TableKey::Offset, Some(value)) => {
                self.offset = Some(serde_json::from_slice(value).map_err(|e| corrupt(&e.to_string()))?);
            }
            (TableKey::Offset, None) => self.offset = None,
            (TableKey::Foreign, _) => self.foreign += 1,
            (TableKey::Unknown, _) => return Err(corrupt("a key that this version does not know")),
        }
        Ok(())
    }

    /// The shapes that a replay can meet, oldest first, and what of them stands in which record.
    ///
    /// # Errors
    /// A shape record that cannot be read.
    pub fn shapes(&self) -> Result<(Vec<ShapeChange>, RecordedShapes), Corrupt> {
        let has_changes = self.shape_changes.is_some();
        let Some(whole) = &self.shapes else {
            return Ok((Vec::new(), RecordedShapes { whole: None, has_changes }));
        };
        let corrupt = |key: &str, problem: String| Corrupt::new(key.as_bytes(), &problem);
        let history = read_shapes(whole, None).map_err(|e| corrupt(SHAPE_KEY, e))?.unwrap_or_default();
        let mut recorded = RecordedShapes { whole: history.last().cloned(), has_changes: false };
        let (Some(last), Some(changes)) = (history.last(), &self.shape_changes) else {
            return Ok((history, recorded));
        };
        // Out of date or not, the next whole record deletes it.
        recorded.has_changes = true;
        let changed = read_shapes(changes, Some(last)).map_err(|e| corrupt(SHAPE_CHANGES_KEY, e))?;
        Ok((changed.unwrap_or(history), recorded))
    }

    /// All that the table holds of entities, to be deleted: without a shape nothing says what their windows are.
    pub(crate) fn lost(&self) -> Vec<Removed> {
        let mut all: HashMap<&String, Vec<u64>> = HashMap::new();
        self.heads.keys().chain(self.said.keys()).for_each(|name| _ = all.entry(name).or_default());
        self.chunks.keys().for_each(|(name, number)| all.entry(name).or_default().push(*number));
        let removed = |(name, chunks): (&String, Vec<u64>)| Removed {
            name: name.as_str().into(),
            chunks,
            has_said: self.said.contains_key(name),
            orphan: None,
        };
        all.into_iter().map(removed).collect()
    }

    /// The entities, each under `base`, the shape where replay begins, or under a later one of `history`.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub fn entities(
        &self,
        base: &ShapeChange,
        history: &[ShapeChange],
    ) -> Result<Vec<(Name, Entity)>, Corrupt> {
        self.heads.iter().map(|(name, value)| self.entity(name, value, base, history)).collect()
    }

    fn entity(
        &self,
        name: &str,
        value: &[u8],
        base: &ShapeChange,
        history: &[ShapeChange],
    ) -> Result<(Name, Entity), Corrupt> {
        let corrupt = |problem: String| Corrupt::new(&entity_key(name), &problem);
        let (quote, json) = split_entity(value).ok_or_else(|| corrupt("no checkpoint field".into()))?;
        let state = serde_json::from_slice::<Checkpoint>(json).map_err(|e| corrupt(e.to_string()))?;
        if state.chunks.1 > MAX_COUNT {
            return Err(corrupt("its chunks cannot be counted on".into()));
        }
        let mut samples = read_samples(json).map_err(corrupt)?;
        let loose: Vec<Sample> = samples.clone();
        // One of an older epoch needs no conversion: a change that added samples would have written a newer one.
        let later = history.iter().find(|t| t.epoch == state.epoch && t.epoch > base.epoch);
        let change = later.unwrap_or(base);
        let mut entity = Entity::new(state.born, change.epoch, change.shape.minutes());
        entity.accepted = state.accepted;
        entity.seen = state.seen.unwrap_or(state.accepted);
        entity.covered = state.offset;
        entity.since = state.since.unwrap_or(state.born);
        let currency = state.currency.zip(state.currencytime);
        entity.currency = currency.map(|(code, time)| Currency { code: code.into(), time });
        entity.value = quote.to_vec();
        entity.saved.next_chunk = state.chunks.1;
        entity.saved.chunked_until = state.chunkeduntil.unwrap_or(i64::MIN);
        for number in state.chunks.0..state.chunks.1 {
            let chunk = self.chunks.get(&(name.to_owned(), number));
            let chunk = chunk.ok_or_else(|| corrupt(format!("its chunk {number} is missing")))?;
            let chunk = read_samples(chunk).map_err(corrupt)?;
            entity.saved.chunks.push_back((number, chunk.iter().map(|s| s.time).max().unwrap_or(i64::MIN)));
            samples.extend(chunk);
        }
        entity.saved.late = loose.into_iter().filter(|s| s.time <= entity.saved.chunked_until).collect();
        let unbroken = |minutes: u32| {
            let place = change.shape.minutes().position(|m| m == minutes);
            place.and_then(|p| change.since.get(p)).is_some_and(|since| *since <= state.epoch)
        };
        entity.restore(samples, |m| state.primed.contains(&m) && unbroken(m));
        Ok((Arc::from(name), entity))
    }

    /// What was said, by entity: with the raw offset of the entity's birth.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub(crate) fn said(&self) -> Result<HashMap<String, (i64, Said)>, Corrupt> {
        let read = |(name, value): (&String, &Vec<u8>)| match read_said(value) {
            Ok(said) => Ok((name.clone(), said)),
            Err(problem) => Err(Corrupt::new(&said_key(name), &problem)),
        };
        self.said.iter().map(read).collect()
    }
}
