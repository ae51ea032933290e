//! What the storage table holds of a partition: checkpoints of its entities, what was said of them, and the shapes that
//! it took.
//!
//! An entity's record is its last accepted quote with one more field, `stockwatchcheckpoint`. Samples that stay for
//! long move into chunks of [`CHUNK`], each written once, so the bytes that a quote costs do not grow with
//! the window.

mod reader;

pub use self::reader::{Corrupt, TableReader};
use crate::effect::Removed;
use crate::entity::{Entity, Name};
use crate::partition::{Partition, RecordedShapes};
use crate::sample::Sample;
use crate::wire::table::{
    Checkpoint, MAX_RECORD_BYTES, OFFSET_KEY, OffsetRecord, SHAPE_CHANGES_KEY, SHAPE_KEY, chunk_key,
    encode_chunk, encode_entity, entity_key,
};
use crate::wire::{encode_said, encode_shape_changes, encode_shapes, said_key};

/// Samples in a chunk; an entity's record holds fewer than twice as many.
pub const CHUNK: usize = 32;
/// An edit writes no more than this of the shapes, as long as a record of changes can say it: a restore reads all of
/// them until the table is compacted.
const EDIT_BYTES: usize = 8 * 1024;
/// Bytes of checkpoints that an edit writes at most to shorten the recorded history.
const SETTLE_BYTES: usize = 1024 * 1024;

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

/// Returns `put`, but counting bytes and records.
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

/// Writes the said records of entities that changed since the last transaction; returns the bytes and records. Call it
/// before each commit: no checkpoint repeats them.
///
/// # Errors
/// Those of `put`.
pub fn write_said<E>(
    partition: &mut Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(usize, u64), E> {
    let mut written = (0, 0);
    while let Some(name) = partition.next_stray() {
        counting(put, &mut written)(&said_key(&name), None)?;
    }
    while let Some((name, entity)) = partition.next_said() {
        let value = (!entity.said.is_empty()).then(|| encode_said(entity.born, &entity.said));
        if value.is_some() || entity.is_said_in_table {
            counting(put, &mut written)(&said_key(name), value.as_deref())?;
        }
        entity.is_said_in_table = value.is_some();
    }
    Ok(written)
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
        // A checkpoint moves the start of a replay, and shapes before that start are dropped.
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
        // With nothing left to replay, only the last shape is recorded.
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

/// Records the partition's next offset, for when Kafka has dropped the group's committed one.
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

#[cfg(test)]
mod tests;
