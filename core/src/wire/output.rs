//! Records of `after-dedup-stream` and `averages-output`.
//!
//! Keys of the latter, and of `deviation-alarm`, are the entity as a JSON string with the window's minutes behind it: `"meta"5`.

use serde::Deserialize;

use crate::average::Average;
use crate::decimal::{self, push_integer, push_nanos};

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
pub(super) fn push_begin(out: &mut Vec<u8>, entity: &[u8], minutes: u32) {
    out.extend_from_slice(br#"{"entityname":"#);
    out.extend_from_slice(entity);
    out.extend_from_slice(br#","windowtime":"#);
    push_integer(out, u64::from(minutes));
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

parse!(DeduplicatedRecord, AverageRecord);
