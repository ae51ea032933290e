//! What the storage table holds, as records: each entity's last quote and state, large windows in
//! immutable chunks, the shapes that the partition took, and the offset that it had come to.
//!
//! An entity's record is its last accepted quote with one more field, `stockwatchcheckpoint`. Samples that stay for
//! long move into chunks of [`CHUNK`], each written once, so the bytes that a quote costs do not grow with
//! the window. Keys of entities are JSON strings; all others are JSON objects, so they never collide.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::quote::MAX_PRICE;
use crate::{Entity, Name, Partition, Removed, Sample, Taken, parse_nanos, push_nanos, push_string};

/// Samples in a chunk; an entity's record holds fewer than twice as many.
pub const CHUNK: usize = 32;
/// The key of the shape record.
pub const SHAPE_KEY: &str = r#"{"stockwatch":"shape"}"#;
/// The key of the offset record.
pub const OFFSET_KEY: &str = r#"{"stockwatch":"offset"}"#;
/// Between an entity's last quote and its checkpoint. What follows is ours and has no string in it.
const MARK: &str = r#","isduplicate":false,"stockwatchcheckpoint":"#;

/// More epochs or chunks than this no partition has had: a record that says so is not computed with.
const MAX_COUNT: u64 = u64::MAX / 2;

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

/// The value of the shape record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeRecord {
    /// The uid in force.
    pub uid: String,
    /// The generation in force.
    pub generation: u64,
    /// The epoch in force.
    pub epoch: u64,
    /// All shapes that a replay can meet, oldest first.
    pub history: Vec<Taken>,
}

impl ShapeRecord {
    fn read(json: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let mut epochs = record.history.iter().map(|t| t.epoch);
        // Which windows an entity has follows from its epoch: a later shape of an older epoch would not reach it.
        if !epochs.clone().is_sorted_by(|one, next| one < next) || epochs.any(|e| e > MAX_COUNT) {
            return Err("its epochs do not ascend".into());
        }
        Ok(record)
    }
}

/// The value of the offset record: where the group was, should Kafka have forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRecord {
    /// The next raw offset to compute.
    pub offset: i64,
    /// The least raw offset that checkpoints do not cover: replay begins there.
    pub replay: i64,
    /// The timestamp of the record before it in ms; another one means that the topic was created anew.
    pub timestamp: i64,
}

/// The `stockwatchcheckpoint` field of an entity's record.
#[derive(Serialize, Deserialize)]
struct State {
    offset: i64,
    epoch: u64,
    born: i64,
    accepted: i64,
    primed: Vec<u32>,
    chunks: (u64, u64),
    chunkeduntil: Option<i64>,
}

/// Samples as pairs of seconds and price.
#[derive(Deserialize)]
struct Samples<'a> {
    #[serde(borrow)]
    quotes: Vec<(&'a RawValue, &'a RawValue)>,
}

/// Writes due checkpoints of a partition, oldest first, until `budget` bytes are used; gives the bytes and records.
///
/// An entity is due when it has been dirty for `age` units of the clock that `now` is of. `put` takes a
/// key and a value, or a key to delete.
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
    let (mut bytes, mut records) = (0, 0);
    let mut put = |key: &[u8], value: Option<&[u8]>| {
        bytes += key.len() + value.map_or(0, <[u8]>::len);
        records += 1;
        put(key, value).map(|()| bytes)
    };
    let mut used = 0;
    let offset = partition.next_offset;
    let minutes: Vec<u32> = partition.shape().map(|s| s.minutes().collect()).unwrap_or_default();
    while used < budget && partition.oldest_dirty().is_some_and(|d| now.saturating_sub(d.since) >= age) {
        let Some((name, entity)) = partition.begin_checkpoint() else { break };
        used = write_entity(name, entity, offset, &minutes, &mut put)?;
    }
    Ok((used, records))
}

fn write_entity<E>(
    name: &Name,
    entity: &mut Entity,
    offset: i64,
    minutes: &[u32],
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<usize, E>,
) -> Result<usize, E> {
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
        let mut value = Vec::with_capacity(CHUNK * 24);
        value.push(b'{');
        push_samples(&mut value, &loose);
        value.push(b'}');
        let number = entity.saved.next_chunk;
        put(&chunk_key(name, number), Some(&value))?;
        entity.saved.next_chunk += 1;
        entity.saved.chunks.push_back((number, newest));
        entity.saved.chunked_until = entity.saved.chunked_until.max(newest);
        entity.saved.late.retain(|s| s.time > newest);
        loose = rest;
    }
    let first = entity.saved.chunks.front().map_or(entity.saved.next_chunk, |(n, _)| *n);
    let state = State {
        offset,
        epoch: entity.epoch,
        born: entity.born,
        accepted: entity.accepted,
        primed: entity.primed(minutes),
        chunks: (first, entity.saved.next_chunk),
        chunkeduntil: (entity.saved.chunked_until > i64::MIN).then_some(entity.saved.chunked_until),
    };
    let mut value = Vec::with_capacity(entity.value.len() + 160 + loose.len() * 24);
    value.extend_from_slice(&entity.value);
    value.extend_from_slice(MARK.as_bytes());
    let json = serde_json::to_vec(&state).unwrap_or_default(); // numbers only: cannot fail
    value.extend_from_slice(json.strip_suffix(b"}").unwrap_or(&json));
    value.push(b',');
    push_samples(&mut value, &loose);
    value.extend_from_slice(b"}}");
    put(&entity_key(name), Some(&value))
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
    }
    Ok(())
}

/// The shape record of a partition that has taken a shape.
pub fn shape_record(partition: &Partition) -> Option<Vec<u8>> {
    let last = partition.history.last()?;
    let record = ShapeRecord {
        uid: last.shape.uid.clone(),
        generation: last.shape.generation,
        epoch: last.epoch,
        history: partition.history.clone(),
    };
    serde_json::to_vec(&record).ok()
}

fn push_samples(out: &mut Vec<u8>, samples: &[Sample]) {
    out.extend_from_slice(br#""quotes":["#);
    for (i, sample) in samples.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        push_nanos(out, sample.time);
        out.push(b',');
        push_nanos(out, sample.price);
        out.push(b']');
    }
    out.push(b']');
}

fn entity_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 2);
    push_string(&mut key, name);
    key
}

fn chunk_key(name: &str, number: u64) -> Vec<u8> {
    let mut key = br#"{"stockwatch":"chunk","entity":"#.to_vec();
    push_string(&mut key, name);
    key.extend_from_slice(format!(r#","number":{number}}}"#).as_bytes());
    key
}

/// The key of a record that is no entity's.
#[derive(Deserialize)]
struct Reserved {
    stockwatch: String,
    entity: Option<String>,
    number: Option<u64>,
}

/// What the records of one table partition say, read in order.
#[derive(Debug, Default)]
pub struct TableReader {
    heads: HashMap<String, Vec<u8>>,
    chunks: HashMap<(String, u64), Vec<u8>>,
    /// Records that are none of ours, as a table that another program wrote has them; they are left alone.
    pub foreign: u64,
    /// The last shape record.
    pub shape: Option<ShapeRecord>,
    /// The last offset record.
    pub offset: Option<OffsetRecord>,
}

impl TableReader {
    /// Takes one record.
    ///
    /// # Errors
    /// A record of ours that cannot be read.
    pub fn read(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Corrupt> {
        let corrupt = |problem: String| Corrupt::new(key, &problem);
        if let Ok(name) = serde_json::from_slice::<String>(key) {
            self.heads.remove(&name);
            match value {
                Some(value) if rfind(value, MARK.as_bytes()).is_some() => {
                    self.heads.insert(name, value.to_vec());
                }
                other => self.foreign += u64::from(other.is_some()),
            }
            return Ok(());
        }
        let Ok(reserved) = serde_json::from_slice::<Reserved>(key) else {
            self.foreign += 1;
            return Ok(());
        };
        match (reserved.stockwatch.as_str(), reserved.entity, reserved.number, value) {
            ("chunk", Some(entity), Some(number), Some(value)) => {
                self.chunks.insert((entity, number), value.to_vec());
            }
            ("chunk", Some(entity), Some(number), None) => {
                self.chunks.remove(&(entity, number));
            }
            ("shape", None, None, Some(value)) => {
                self.shape = Some(ShapeRecord::read(value).map_err(corrupt)?);
            }
            ("offset", None, None, Some(value)) => {
                self.offset = Some(serde_json::from_slice(value).map_err(|e| corrupt(e.to_string()))?);
            }
            ("shape" | "offset", None, None, None) => {}
            _ => return Err(corrupt("a key that this version does not know".into())),
        }
        Ok(())
    }

    /// The entities, each under `base`, the shape where replay begins, or under a later one of `history`.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub fn entities(&self, base: &Taken, history: &[Taken]) -> Result<Vec<(Name, Entity)>, Corrupt> {
        self.heads.iter().map(|(name, value)| self.entity(name, value, base, history)).collect()
    }

    fn entity(
        &self,
        name: &str,
        value: &[u8],
        base: &Taken,
        history: &[Taken],
    ) -> Result<(Name, Entity), Corrupt> {
        let corrupt = |problem: String| Corrupt::new(&entity_key(name), &problem);
        let at = rfind(value, MARK.as_bytes()).ok_or_else(|| corrupt("no checkpoint field".into()))?;
        let json = value[at + MARK.len()..].strip_suffix(b"}").unwrap_or_default();
        let state = serde_json::from_slice::<State>(json).map_err(|e| corrupt(e.to_string()))?;
        if state.chunks.1 > MAX_COUNT {
            return Err(corrupt("its chunks cannot be counted on".into()));
        }
        let mut samples = read_samples(json).map_err(corrupt)?;
        let loose: Vec<Sample> = samples.clone();
        // A state of an older epoch is under `base` by now: had a shape between added samples, it would be newer.
        let later = history.iter().find(|t| t.epoch == state.epoch && t.epoch > base.epoch);
        let taken = later.unwrap_or(base);
        let mut entity = Entity::new(state.born, taken.epoch, taken.shape.minutes());
        entity.accepted = state.accepted;
        entity.covered = state.offset;
        entity.value = value[..at].to_vec();
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
            let place = taken.shape.minutes().position(|m| m == minutes);
            place.and_then(|p| taken.since.get(p)).is_some_and(|since| *since <= state.epoch)
        };
        entity.restore(samples, |m| state.primed.contains(&m) && unbroken(m));
        Ok((Arc::from(name), entity))
    }
}

fn read_samples(json: &[u8]) -> Result<Vec<Sample>, String> {
    let samples: Samples<'_> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let read = |raw: &RawValue| parse_nanos(raw.get().as_bytes());
    let pairs = samples.quotes.into_iter().map(|(time, price)| {
        // What no accepted quote has is not computed with: sums and differences stay exact.
        let time = read(time).and_then(|t| i64::try_from(t).ok()).filter(|t| *t >= 0)?;
        let price = read(price).filter(|p| p.abs() <= MAX_PRICE).and_then(|p| i64::try_from(p).ok())?;
        Some(Sample { time, price })
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "a quote in it has no time or price, or one out of range".into())
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|w| w == what)
}

#[cfg(test)]
mod tests;
