//! Records of `deviation-alarm`.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::json::{push_hex, push_string};
use super::output::push_begin;
use super::text::Labels;
use crate::NANO;
use crate::average::Direction;
use crate::decimal::{self, push_integer, push_nanos, push_ratio};
use crate::judge::Alarm;
use crate::sample::{Origin, Sample};

/// What an alarm says besides its averages: what all alarms of a quote have in common, then what is each one's own.
pub(crate) struct AlarmDetails<'a> {
    /// The quote that raised it.
    pub(crate) quote: Sample,
    pub(crate) labels: &'a Labels<'a>,
    /// `<namespace>/<name>` as a JSON string.
    pub(crate) watch: &'a [u8],
    pub(crate) previous_time: i64,
    pub(crate) generation: u64,
    /// What [`super::output::push_time`] wrote.
    pub(crate) time: &'a [u8],
    pub(crate) tolerance: &'a str,
    /// In hexadecimal.
    pub(crate) id: &'a [u8],
    /// Of the episode's first alarm.
    pub(crate) episode_id: &'a [u8],
}

/// Appends an alarm's value; `entity` is the name as a JSON string.
pub(crate) fn push_alarm(
    out: &mut Vec<u8>,
    entity: &[u8],
    minutes: u32,
    alarm: &Alarm,
    details: &AlarmDetails<'_>,
) {
    let (new, old, episode) = (alarm.average, alarm.previous, &alarm.episode);
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
    push_string(out, details.tolerance);
    out.extend_from_slice(br#","generation":"#);
    push_integer(out, details.generation);
    out.extend_from_slice(br#","currentstockprice":"#);
    push_nanos(out, details.quote.price);
    out.extend_from_slice(br#","quotetime":"#);
    push_nanos(out, details.quote.time);
    for (name, label) in
        [(r#","symbol":"#, &details.labels.symbol), (r#","currency":"#, &details.labels.currency)]
    {
        if let Some(label) = label {
            out.extend_from_slice(name.as_bytes());
            push_string(out, label);
        }
    }
    out.extend_from_slice(br#","stockwatch":"#);
    out.extend_from_slice(details.watch);
    out.extend_from_slice(br#","previouslastupdatedate":"#);
    push_nanos(out, details.previous_time);
    out.extend_from_slice(br#","gap":"#);
    out.extend_from_slice(if alarm.is_gap { b"true" } else { b"false" });
    out.extend_from_slice(br#","episode":""#);
    out.extend_from_slice(details.episode_id);
    out.extend_from_slice(br#"","episodestart":"#);
    push_nanos(out, episode.start);
    out.extend_from_slice(br#","alarmnumber":"#);
    push_integer(out, episode.number);
    out.extend_from_slice(br#","episodeend":"#);
    push_nanos(out, episode.end);
    out.extend_from_slice(details.time);
    out.extend_from_slice(br#","id":""#);
    out.extend_from_slice(details.id);
    out.extend_from_slice(br#""}"#);
}

/// The ids of what records of one raw topic raise.
#[derive(Debug)]
pub struct AlarmIds(Sha256);

impl AlarmIds {
    /// Returns the ids of the raw topic of this name.
    pub fn new(raw_topic: &str) -> Self {
        Self(Sha256::new().chain_update(raw_topic.as_bytes()).chain_update([0]))
    }

    /// Writes the first 16 bytes of SHA-256 over topic, partition, offset, timestamp and window, in hexadecimal.
    pub fn write(&self, out: &mut String, partition: i32, origin: Origin, minutes: u32) {
        let mut hash = self.0.clone();
        hash.update(partition.to_be_bytes());
        hash.update(origin.offset.to_be_bytes());
        hash.update(origin.timestamp.to_be_bytes());
        hash.update(minutes.to_be_bytes());
        out.clear();
        push_hex(out, &hash.finalize()[..16]);
    }
}

/// A record of `deviation-alarm`. Older releases write none of the fields from `price` to `episode_end`.
///
/// ```
/// use stockwatch_core::NANO;
/// use stockwatch_core::wire::{AlarmRecord, Direction};
///
/// let value = br#"{"entityname":"meta","windowtime":5,"deviation":0.02,"absolutedeviation":2,"direction":"up","stockpriceavg":102,"previousstockpriceavg":100,"tolerance":"1%","generation":3,"currentstockprice":104,"quotetime":1700000000,"symbol":"META","currency":"USD","stockwatch":"default/first","previouslastupdatedate":1699999940,"gap":false,"episode":"00112233445566778899aabbccddeeff","episodestart":1700000000,"alarmnumber":1,"episodeend":1700000600,"lastupdatedate":1700000000,"id":"00112233445566778899aabbccddeeff"}"#;
/// let record = AlarmRecord::parse(value)?;
/// assert_eq!((record.deviation, record.absolute_deviation), (Some(20_000_000), 2_000_000_000));
/// assert_eq!((record.direction, record.tolerance.as_str(), record.generation), (Direction::Up, "1%", 3));
/// assert_eq!((record.price, record.symbol.as_deref()), (Some(104 * NANO), Some("META")));
/// assert_eq!((record.number, record.episode_end), (1, Some(1_700_000_600 * NANO)));
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
    /// Price of the quote that raised it, 10⁻⁹ of its currency.
    #[serde(default, rename = "currentstockprice", deserialize_with = "decimal::deserialize_optional_nanos")]
    pub price: Option<i64>,
    /// Event time of that quote, nanoseconds since 1970.
    #[serde(default, rename = "quotetime", deserialize_with = "decimal::deserialize_optional_nanos")]
    pub quote_time: Option<i64>,
    /// What its source calls it; `None` if the quote does not say.
    #[serde(default)]
    pub symbol: Option<String>,
    /// The prices'; `None` if the quote does not say.
    #[serde(default)]
    pub currency: Option<String>,
    /// `<namespace>/<name>`.
    #[serde(default, rename = "stockwatch")]
    pub watch: String,
    /// Event time of the previous average, nanoseconds since 1970.
    #[serde(
        default,
        rename = "previouslastupdatedate",
        deserialize_with = "decimal::deserialize_optional_nanos"
    )]
    pub previous_time: Option<i64>,
    /// The two averages have no quote in common.
    #[serde(default, rename = "gap")]
    pub is_gap: bool,
    /// The id of its episode's first alarm.
    #[serde(default)]
    pub episode: String,
    /// Event time of that alarm, nanoseconds since 1970.
    #[serde(default, rename = "episodestart", deserialize_with = "decimal::deserialize_optional_nanos")]
    pub episode_start: Option<i64>,
    /// Counts the alarms of the episode, from 1; 0 in a record that has no episode.
    #[serde(default, rename = "alarmnumber")]
    pub number: u64,
    /// No later alarm joins the episode from this event time on, nanoseconds since 1970.
    #[serde(default, rename = "episodeend", deserialize_with = "decimal::deserialize_optional_nanos")]
    pub episode_end: Option<i64>,
    /// Event time of the entity's newest quote, nanoseconds since 1970.
    #[serde(rename = "lastupdatedate", deserialize_with = "decimal::deserialize_nanos")]
    pub time: i64,
    /// The same whenever the same raw record raises it again.
    pub id: String,
}

impl AlarmRecord {
    /// Reads a record's value.
    ///
    /// # Errors
    /// It is not one that a worker writes.
    pub fn parse(value: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(value)
    }
}
