//! What the storage table holds of a partition: checkpoints of its entities, what was said of them, and the shapes that
//! it took.
//!
//! An entity's record is its last accepted quote with one more field, `stockwatchcheckpoint`. Samples that stay for
//! long move into chunks of [`CHUNK`], each written once, so the bytes that a quote costs do not grow with
//! the window.

mod said;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::said::write_said;
use crate::effect::Removed;
use crate::entity::{Currency, Entity, Name, Sample};
use crate::partition::{Partition, RecordedShapes};
use crate::shape::ShapeChange;
use crate::wire::table::{
    Checkpoint, MAX_COUNT, MAX_RECORD_BYTES, OFFSET_KEY, OffsetRecord, SHAPE_CHANGES_KEY, SHAPE_KEY,
    TableKey, chunk_key, encode_chunk, encode_entity, entity_key, read_samples, split_entity,
};
use crate::wire::{encode_shape_changes, encode_shapes, read_shapes, said_key};

/// Samples in a chunk; an entity's record holds fewer than twice as many.
pub const CHUNK: usize = 32;
/// An edit writes no more than this of the shapes, as long as a record of changes can say it: a restore reads all of
/// them until the table is compacted.
const EDIT_BYTES: usize = 8 * 1024;
/// Checkpoints that an edit writes at most so that a shorter history says it.
const SETTLE_BYTES: usize = 1024 * 1024;

/// A table record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("storage table record {key}: {problem}")]
pub struct Corrupt {
    key: String,
    problem: String,
}

impl Corrupt {
    fn new(key: &[u8], problem: &str) -> Self {
        // It goes into log lines, and a record may have a megabyte.
        let key = String::from_utf8_lossy(&key[..key.len().min(128)]).into_owned();
        Self { key, problem: problem.chars().take(256).collect() }
    }
}

/// Writes due checkpoints of a partition, oldest first, until `budget` bytes are used; gives the bytes and records.
///
/// [`Partition::is_checkpoint_due`] says what is due. `put` takes a key and a value, or a key to delete.
///
/// ```
/// # use stockwatch_core::wire::{RawRecord, read_shapes};
/// use stockwatch_core::{Partition, checkpoint};
///
/// # let shapes = br#"{"uid":"","generation":1,"epoch":1,"history":[{"epoch":1,"offset":0,"since":[1],"uid":"","generation":1,"windows":[5],"tolerances":["1%"],"entities":["meta"],"wildcard":false}]}"#;
/// # let history = read_shapes(shapes, None)?.unwrap_or_default();
/// let mut partition = Partition::new(0, 7, history, Vec::new());
/// let value = br#"{"entityname":"meta","currentstockprice":512.34,"lastupdatedate":1700000000}"#;
/// partition.process(&RawRecord { key: None, value: Some(value), timestamp: 1_700_000_000_000, offset: 7 }, 0);
/// let mut table = Vec::new();
/// let mut put = |key: &[u8], value: Option<&[u8]>| {
///     table.push((key.to_vec(), value.map(<[u8]>::to_vec)));
///     Ok::<(), std::convert::Infallible>(())
/// };
/// let Ok((_, records)) = checkpoint::write_due(&mut partition, 0, 0, usize::MAX, &mut put);
/// assert_eq!((records, table.len()), (1, 1));
/// assert_eq!(table[0].0, br#""meta""#);
/// let record = br#"{"entityname":"meta","currentstockprice":512.34,"lastupdatedate":1700000000,"isduplicate":false,"stockwatchcheckpoint":{"offset":8,"epoch":1,"born":7,"accepted":7,"primed":[5],"chunks":[0,0],"chunkeduntil":null,"quotes":[[1700000000,512.34]]}}"#;
/// assert_eq!(table[0].1.as_deref(), Some(&record[..]));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// Those of `put`.
pub fn write_due<E>(
    partition: &mut Partition,
    now: u64,
    age: u64,
    budget: usize,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(usize, u64), E> {
    let mut written = (0, 0);
    let offset = partition.next_offset;
    let minutes: Vec<u32> = partition.shape().map(|s| s.minutes().collect()).unwrap_or_default();
    while written.0 < budget && partition.is_checkpoint_due(now, age) {
        let Some((name, entity)) = partition.begin_checkpoint() else { break };
        write_entity(name, entity, offset, &minutes, &mut counting(put, &mut written))?;
    }
    Ok(written)
}

/// A `put` that counts the bytes and records.
fn counting<E>(
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    (bytes, records): &mut (usize, u64),
) -> impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E> {
    move |key, value| {
        *bytes += key.len() + value.map_or(0, <[u8]>::len);
        *records += 1;
        put(key, value)
    }
}

fn write_entity<E>(
    name: &Name,
    entity: &mut Entity,
    offset: i64,
    minutes: &[u32],
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    let oldest = entity.newest().unwrap_or(i64::MIN).saturating_sub(entity.longest());
    while let Some((number, _)) = entity.saved.chunks.front().copied().filter(|(_, newest)| *newest <= oldest)
    {
        put(&chunk_key(name, number), None)?;
        entity.saved.chunks.pop_front();
    }
    entity.saved.late.retain(|s| s.time > oldest);
    let mut loose: Vec<Sample> = entity.unchunked().copied().collect();
    while loose.len() >= 2 * CHUNK {
        loose.sort_unstable();
        let rest = loose.split_off(CHUNK);
        let newest = loose.last().map_or(i64::MIN, |s| s.time);
        let number = entity.saved.next_chunk;
        put(&chunk_key(name, number), Some(&encode_chunk(&loose)))?;
        entity.saved.next_chunk += 1;
        entity.saved.chunks.push_back((number, newest));
        entity.saved.chunked_until = entity.saved.chunked_until.max(newest);
        entity.saved.late.retain(|s| s.time > newest);
        loose = rest;
    }
    let first = entity.saved.chunks.front().map_or(entity.saved.next_chunk, |(n, _)| *n);
    let checkpoint = Checkpoint {
        offset,
        epoch: entity.epoch,
        born: entity.born,
        accepted: entity.accepted,
        primed: entity.primed(minutes),
        chunks: (first, entity.saved.next_chunk),
        chunkeduntil: (entity.saved.chunked_until > i64::MIN).then_some(entity.saved.chunked_until),
        seen: (entity.seen > entity.accepted).then_some(entity.seen),
        since: (entity.since != entity.born).then_some(entity.since),
        currency: entity.currency.as_ref().map(|currency| currency.code.to_string()),
        currencytime: entity.currency.as_ref().map(|currency| currency.time),
    };
    put(&entity_key(name), Some(&encode_entity(&entity.value, &checkpoint, &loose)))
}

/// Deletes what the table holds of entities that are gone.
///
/// # Errors
/// Those of `put`.
pub fn write_removed<E>(
    removed: &[Removed],
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    for gone in removed {
        for number in &gone.chunks {
            put(&chunk_key(&gone.name, *number), None)?;
        }
        put(&entity_key(&gone.name), None)?;
        if gone.has_said {
            put(&said_key(&gone.name), None)?;
        }
    }
    Ok(())
}

/// Records the shapes of a partition that has taken another one, in as few bytes as can say it.
///
/// # Errors
/// Those of `put`.
pub fn write_shapes<E>(
    partition: &mut Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    partition.prune_history();
    let (mut key, mut record) = edit_record(partition);
    if record.len() > EDIT_BYTES && partition.history.len() > 1 {
        // The less is left to replay, the fewer shapes are.
        write_due(partition, u64::MAX, 0, SETTLE_BYTES, put)?;
        partition.prune_history();
        (key, record) = edit_record(partition);
    }
    if key == SHAPE_KEY || record.len() > EDIT_BYTES {
        return write_whole_shapes(partition, put);
    }
    partition.recorded.has_changes = true;
    put(key.as_bytes(), Some(&record))
}

/// What records the history: the whole, or what has changed of it if its lists of entities are long.
fn edit_record(partition: &Partition) -> (&'static str, Vec<u8>) {
    let names = partition.history.iter().flat_map(|change| change.shape.entities.keys());
    match &partition.recorded.whole {
        Some(whole) if names.map(String::len).sum::<usize>() > EDIT_BYTES => {
            (SHAPE_CHANGES_KEY, encode_shape_changes(&partition.history, whole))
        }
        _ => (SHAPE_KEY, encode_shapes(&partition.history).unwrap_or_default()),
    }
}

/// Records the shapes in one record that every release can read.
///
/// # Errors
/// Those of `put`.
pub fn write_whole_shapes<E>(
    partition: &mut Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    partition.prune_history();
    let mut whole = encode_shapes(&partition.history);
    if whole.as_ref().is_some_and(|record| record.len() > MAX_RECORD_BYTES) {
        // With nothing left to replay, only the last shape is.
        write_due(partition, u64::MAX, 0, usize::MAX, put)?;
        partition.prune_history();
        whole = encode_shapes(&partition.history);
    }
    let Some(whole) = whole else { return Ok(()) };
    put(SHAPE_KEY.as_bytes(), Some(&whole))?;
    if partition.recorded.has_changes {
        put(SHAPE_CHANGES_KEY.as_bytes(), None)?;
    }
    partition.recorded = RecordedShapes { whole: partition.history.last().cloned(), has_changes: false };
    Ok(())
}

/// Records where a partition is, should Kafka forget it.
///
/// # Errors
/// Those of `put`.
pub fn write_offset<E>(
    partition: &Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    let (offset, replay, timestamp) =
        (partition.next_offset, partition.replay_from(), partition.last_timestamp);
    put(OFFSET_KEY.as_bytes(), Some(&OffsetRecord { offset, replay, timestamp }.encode()))
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
            (TableKey::Shape, Some(_)) => self.shapes = owned(),
            (TableKey::ShapeChanges, _) => self.shape_changes = owned(),
            (TableKey::Offset, Some(value)) => {
                self.offset = Some(serde_json::from_slice(value).map_err(|e| corrupt(&e.to_string()))?);
            }
            (TableKey::Shape | TableKey::Offset, None) => {}
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
        let Some(whole) = &self.shapes else { return Ok(Default::default()) };
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
}

#[cfg(test)]
mod tests;
