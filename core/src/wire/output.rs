//! Records of `averages-output` and `deviation-alarm`.
//!
//! Their keys are the entity as a JSON string with the window's minutes behind it: `"meta"5`.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::json::push_hex;
use super::raw::RawRecord;
use crate::NANO;
use crate::average::Average;
use crate::decimal::{self, push_integer, push_nanos, push_ratio};

/// Appends an average's value; `entity` is the name as a JSON string, `time` what [`push_time`] wrote.
#[inline]
pub(crate) fn push_average(out: &mut Vec<u8>, entity: &[u8], minutes: u32, average: Average, time: &[u8]) {
    push_begin(out, entity, minutes);
    out.extend_from_slice(br#","stockpriceavg":"#);
    push_nanos(out, average.rounded());
    out.extend_from_slice(br#","count":"#);
    push_integer(out, average.count);
    out.extend_from_slice(time);
    out.push(b'}');
}

/// Appends what both values end with: the newest event time.
#[inline]
pub(crate) fn push_time(out: &mut Vec<u8>, newest: i64) {
    out.extend_from_slice(br#","lastupdatedate":"#);
    push_nanos(out, newest);
}

#[inline]
fn push_begin(out: &mut Vec<u8>, entity: &[u8], minutes: u32) {
    out.extend_from_slice(br#"{"entityname":"#);
    out.extend_from_slice(entity);
    out.extend_from_slice(br#","windowtime":"#);
    push_integer(out, u64::from(minutes));
}

/// What an alarm says besides its averages.
pub(crate) struct Cause<'a> {
    /// As a JSON string.
    pub(crate) tolerance: &'a str,
    pub(crate) generation: u64,
    /// What [`push_time`] wrote.
    pub(crate) time: &'a [u8],
    pub(crate) id: [u8; 16],
}

/// Appends an alarm's value; `entity` is the name as a JSON string.
pub(crate) fn push_alarm(
    out: &mut Vec<u8>,
    entity: &[u8],
    minutes: u32,
    (new, old): (Average, Average),
    cause: &Cause<'_>,
) {
    push_begin(out, entity, minutes);
    let difference = new.minus(old);
    out.extend_from_slice(br#","deviation":"#);
    if old.sum == 0 {
        out.extend_from_slice(b"null");
    } else {
        // |s/n − t/m| / |t/m| = |s·m − t·n| / (n·|t|)
        push_ratio(out, difference.unsigned_abs(), u128::from(new.count) * old.sum.unsigned_abs(), 15);
    }
    out.extend_from_slice(br#","absolutedeviation":"#);
    let denominator = u128::from(new.count) * u128::from(old.count) * u128::from(NANO.unsigned_abs());
    push_ratio(out, difference.unsigned_abs(), denominator, 9);
    out.extend_from_slice(br#","direction":""#);
    out.extend_from_slice(if difference < 0 { b"down" } else { b"up" });
    out.extend_from_slice(br#"","stockpriceavg":"#);
    push_nanos(out, new.rounded());
    out.extend_from_slice(br#","previousstockpriceavg":"#);
    push_nanos(out, old.rounded());
    out.extend_from_slice(br#","tolerance":"#);
    super::json::push_string(out, cause.tolerance);
    out.extend_from_slice(br#","generation":"#);
    push_integer(out, cause.generation);
    out.extend_from_slice(cause.time);
    out.extend_from_slice(br#","id":""#);
    push_hex(out, &cause.id);
    out.extend_from_slice(br#""}"#);
}

/// The ids of the alarms that records of one raw topic raise.
#[derive(Debug)]
pub(crate) struct AlarmIds(Sha256);

impl AlarmIds {
    pub(crate) fn new(raw_topic: &str) -> Self {
        Self(Sha256::new().chain_update(raw_topic.as_bytes()).chain_update([0]))
    }

    /// The first 16 bytes of SHA-256 over topic, partition, offset, timestamp and window.
    pub(crate) fn id(&self, partition: i32, record: &RawRecord<'_>, minutes: u32) -> [u8; 16] {
        let mut hash = self.0.clone();
        hash.update(partition.to_be_bytes());
        hash.update(record.offset.to_be_bytes());
        hash.update(record.timestamp.to_be_bytes());
        hash.update(minutes.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id
    }
}

/// A record of `after-dedup-stream`; it has all other fields of the raw record as well.
///
/// ```
/// use stockwatch_core::wire::DeduplicatedRecord;
///
/// let value = br#"{"entityname":"meta","currentstockprice":512.34,"lastupdatedate":1700000000,"isduplicate":false}"#;
/// let record = DeduplicatedRecord::parse(value)?;
/// assert_eq!((record.entity.as_str(), record.price), ("meta", 512_340_000_000));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeduplicatedRecord {
    /// Whose quote it is.
    #[serde(rename = "entityname")]
    pub entity: String,
    /// 10⁻⁹ of the quote's currency.
    #[serde(rename = "currentstockprice", deserialize_with = "decimal::deserialize_nanos")]
    pub price: i64,
    /// Event time, nanoseconds since 1970.
    #[serde(rename = "lastupdatedate", deserialize_with = "decimal::deserialize_nanos")]
    pub time: i64,
}

/// A record of `averages-output`.
///
/// ```
/// use stockwatch_core::wire::AverageRecord;
///
/// let value = br#"{"entityname":"meta","windowtime":5,"stockpriceavg":512.3,"count":5,"lastupdatedate":1700000000.5}"#;
/// let record = AverageRecord::parse(value)?;
/// assert_eq!((record.minutes, record.average, record.count), (5, 512_300_000_000, 5));
/// assert_eq!(record.time, 1_700_000_000_500_000_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AverageRecord {
    /// Whose average it is.
    #[serde(rename = "entityname")]
    pub entity: String,
    /// The window's length.
    #[serde(rename = "windowtime")]
    pub minutes: u32,
    /// 10⁻⁹ of the quote's currency.
    #[serde(rename = "stockpriceavg", deserialize_with = "decimal::deserialize_nanos")]
    pub average: i64,
    /// How many quotes it is the mean of.
    pub count: u64,
    /// Event time of the newest of them, nanoseconds since 1970.
    #[serde(rename = "lastupdatedate", deserialize_with = "decimal::deserialize_nanos")]
    pub time: i64,
}

/// A record of `deviation-alarm`.
///
/// ```
/// use stockwatch_core::wire::{AlarmRecord, Direction};
///
/// let value = br#"{"entityname":"meta","windowtime":5,"deviation":0.02,"absolutedeviation":2,"direction":"up","stockpriceavg":102,"previousstockpriceavg":100,"tolerance":"1%","generation":3,"lastupdatedate":1700000000,"id":"00112233445566778899aabbccddeeff"}"#;
/// let record = AlarmRecord::parse(value)?;
/// assert_eq!((record.deviation, record.absolute_deviation), (Some(20_000_000), 2_000_000_000));
/// assert_eq!((record.direction, record.tolerance.as_str(), record.generation), (Direction::Up, "1%", 3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AlarmRecord {
    /// Whose average moved.
    #[serde(rename = "entityname")]
    pub entity: String,
    /// The window's length.
    #[serde(rename = "windowtime")]
    pub minutes: u32,
    /// 10⁻⁹ of the previous average; `None` where that is 0.
    #[serde(deserialize_with = "decimal::deserialize_optional_nanos")]
    pub deviation: Option<i64>,
    /// 10⁻⁹ of the quote's currency.
    #[serde(rename = "absolutedeviation", deserialize_with = "decimal::deserialize_nanos")]
    pub absolute_deviation: i64,
    /// Where the average moved to.
    pub direction: Direction,
    /// 10⁻⁹ of the quote's currency.
    #[serde(rename = "stockpriceavg", deserialize_with = "decimal::deserialize_nanos")]
    pub average: i64,
    /// 10⁻⁹ of the quote's currency.
    #[serde(rename = "previousstockpriceavg", deserialize_with = "decimal::deserialize_nanos")]
    pub previous_average: i64,
    /// As written in the spec.
    pub tolerance: String,
    /// The spec's that decided.
    pub generation: u64,
    /// Event time of the entity's newest quote, nanoseconds since 1970.
    #[serde(rename = "lastupdatedate", deserialize_with = "decimal::deserialize_nanos")]
    pub time: i64,
    /// The same whenever the same raw record raises it again.
    pub id: String,
}

/// Where an average moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above the previous one.
    Up,
    /// Below the previous one.
    Down,
}

macro_rules! parse {
    ($($record:ty),+) => {$(
        impl $record {
            /// Reads a record's value.
            ///
            /// # Errors
            /// It is not one that a worker writes.
            pub fn parse(value: &[u8]) -> serde_json::Result<Self> {
                serde_json::from_slice(value)
            }
        }
    )+};
}

parse!(DeduplicatedRecord, AverageRecord, AlarmRecord);
