//! Records of the storage table besides shapes and said records: each entity's last quote with its checkpoint, large
//! windows in immutable chunks, and the partition's next offset.
//!
//! Keys of entities are JSON strings; all others are JSON objects, so they never collide.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::push_string;
use super::raw::MAX_PRICE;
use super::said::entity_of;
use crate::decimal::{parse_nanos, push_nanos};
use crate::sample::Sample;

/// No record of the table is larger.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// The key of the whole shape record.
pub const SHAPE_KEY: &str = r#"{"stockwatch":"shape"}"#;
/// The key of the record of changes of it: one that releases which do not know it leave alone.
pub const SHAPE_CHANGES_KEY: &str = r#"{"stockwatchshape":"changes"}"#;
/// The key of the offset record.
pub const OFFSET_KEY: &str = r#"{"stockwatch":"offset"}"#;
/// Between an entity's last quote and its checkpoint. What follows is ours; this is in none of its strings, where quotes
/// are escaped.
pub(crate) const CHECKPOINT_MARK: &str = r#","isduplicate":false,"stockwatchcheckpoint":"#;
/// Upper bound of epochs and chunks: a record that has more is refused.
pub(crate) const MAX_COUNT: u64 = u64::MAX / 2;

/// What a record of the table is about.
///
/// ```
/// use stockwatch_core::wire::{OFFSET_KEY, SHAPE_CHANGES_KEY, SHAPE_KEY, TableKey, chunk_key, entity_key};
///
/// assert_eq!(entity_key("meta"), br#""meta""#);
/// assert_eq!(chunk_key("meta", 7), br#"{"stockwatch":"chunk","entity":"meta","number":7}"#);
/// assert_eq!(TableKey::parse(br#""meta""#), TableKey::Entity("meta".into()));
/// assert_eq!(TableKey::parse(&chunk_key("meta", 7)), TableKey::Chunk("meta".into(), 7));
/// assert_eq!(TableKey::parse(SHAPE_KEY.as_bytes()), TableKey::Shape);
/// assert_eq!(TableKey::parse(SHAPE_CHANGES_KEY.as_bytes()), TableKey::ShapeChanges);
/// assert_eq!(TableKey::parse(OFFSET_KEY.as_bytes()), TableKey::Offset);
/// assert_eq!(TableKey::parse(b"theirs"), TableKey::Foreign);
/// assert_eq!(TableKey::parse(br#"{"stockwatch":"later"}"#), TableKey::Unknown);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKey {
    /// An entity's last quote and checkpoint.
    Entity(String),
    /// So many quotes of an entity, and which.
    Chunk(String, u64),
    /// The whole shape record.
    Shape,
    /// Changes of the whole shape record.
    ShapeChanges,
    /// What was said of an entity.
    Said(String),
    /// Where the group was.
    Offset,
    /// Another program's.
    Foreign,
    /// Ours, of another version.
    Unknown,
}

impl TableKey {
    /// Returns what a record with this key is about.
    pub fn parse(key: &[u8]) -> Self {
        if let Ok(name) = serde_json::from_slice(key) {
            return Self::Entity(name);
        }
        if key == SHAPE_CHANGES_KEY.as_bytes() {
            return Self::ShapeChanges;
        }
        let Ok(reserved) = serde_json::from_slice::<Reserved>(key) else {
            return entity_of(key).map_or(Self::Foreign, Self::Said);
        };
        match (reserved.stockwatch.as_str(), reserved.entity, reserved.number) {
            ("chunk", Some(entity), Some(number)) => Self::Chunk(entity, number),
            ("shape", None, None) => Self::Shape,
            ("offset", None, None) => Self::Offset,
            _ => Self::Unknown,
        }
    }
}

/// The key of a record that is no entity's.
#[derive(Deserialize)]
struct Reserved {
    stockwatch: String,
    entity: Option<String>,
    number: Option<u64>,
}

/// Returns the key of an entity's record.
pub fn entity_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 2);
    push_string(&mut key, name);
    key
}

/// Returns the key of an entity's chunk.
pub fn chunk_key(name: &str, number: u64) -> Vec<u8> {
    let mut key = br#"{"stockwatch":"chunk","entity":"#.to_vec();
    push_string(&mut key, name);
    key.extend_from_slice(format!(r#","number":{number}}}"#).as_bytes());
    key
}

/// The value of the offset record: where the group was, should Kafka have forgotten.
///
/// ```
/// use stockwatch_core::wire::OffsetRecord;
///
/// let record = OffsetRecord { offset: 120, replay: 95, timestamp: 1_700_000_000_000 };
/// assert_eq!(record.encode(), br#"{"offset":120,"replay":95,"timestamp":1700000000000}"#);
/// assert_eq!(serde_json::from_slice::<OffsetRecord>(&record.encode())?, record);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRecord {
    /// The next raw offset to compute.
    pub offset: i64,
    /// The least raw offset that checkpoints do not cover: replay begins there.
    pub replay: i64,
    /// The timestamp of the record before it in ms; another one means that the topic was created anew.
    pub timestamp: i64,
}

impl OffsetRecord {
    /// Returns the record's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // numbers only: cannot fail
    }
}

/// The field `stockwatchcheckpoint` of an entity's record, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The next raw offset that it does not contain.
    pub(crate) offset: i64,
    pub(crate) epoch: u64,
    pub(crate) born: i64,
    pub(crate) accepted: i64,
    /// Minutes of the windows that have computed an average.
    pub(crate) primed: Vec<u32>,
    /// The first live chunk's number, and the next one's.
    pub(crate) chunks: (u64, u64),
    pub(crate) chunkeduntil: Option<i64>,
    /// The offset of its last quote, if that was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<i64>,
    /// Where it began anew, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// Its currency, and the time of the newest quote that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) currencytime: Option<i64>,
}

/// Samples as pairs of seconds and price.
#[derive(Deserialize)]
struct Samples<'a> {
    #[serde(borrow)]
    quotes: Vec<(&'a RawValue, &'a RawValue)>,
}

/// Returns the value of a chunk.
pub(crate) fn encode_chunk(samples: &[Sample]) -> Vec<u8> {
    let mut value = Vec::with_capacity(samples.len() * 24 + 16);
    value.push(b'{');
    push_samples(&mut value, samples);
    value.push(b'}');
    value
}

/// Returns the value of an entity's record: the last accepted raw value without its brace, the checkpoint, and the
/// samples that are in no chunk.
pub(crate) fn encode_entity(quote: &[u8], checkpoint: &Checkpoint, samples: &[Sample]) -> Vec<u8> {
    let mut value = Vec::with_capacity(quote.len() + 160 + samples.len() * 24);
    value.extend_from_slice(quote);
    value.extend_from_slice(CHECKPOINT_MARK.as_bytes());
    let json = serde_json::to_vec(checkpoint).unwrap_or_default(); // numbers and a text: cannot fail
    value.extend_from_slice(json.strip_suffix(b"}").unwrap_or(&json));
    value.push(b',');
    push_samples(&mut value, samples);
    value.extend_from_slice(b"}}");
    value
}

/// Splits an entity's record into its quote and its checkpoint; `None` if no worker wrote it.
pub(crate) fn split_entity(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = CHECKPOINT_MARK.as_bytes();
    let at = value.windows(mark.len()).rposition(|w| w == mark)?;
    Some((&value[..at], value[at + mark.len()..].strip_suffix(b"}").unwrap_or_default()))
}

/// The samples of a chunk or a checkpoint.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn read_samples(json: &[u8]) -> Result<Vec<Sample>, String> {
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
