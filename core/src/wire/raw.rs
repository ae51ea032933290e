//! Records of `raw-input`: a quote, or the reason why there is none.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::object::{any_object, json_of};
use super::reason::DeadLetterReason;
use super::scan::{Flat, flat};
use super::text::{MAX_CURRENCY_CHARS, in_digits, label, price_in_text, string, time_in_text};
use crate::NANO;
use crate::decimal::parse_nanos;

/// A larger value is bad: it would have to be kept for each entity.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// An entity name may have as many characters as the resource allows.
const MAX_NAME_CHARS: usize = 64;
/// Prices beyond this, in 10⁻⁹, are bad: sums and products stay exact below it.
pub(crate) const MAX_PRICE: i128 = 9_000_000_000 * NANO as i128;
/// A time of this many seconds or more is one in milliseconds.
const MILLISECONDS_FROM: i128 = 100_000_000_000 * NANO as i128;
/// A zero byte and the number of a schema, as serializers with a schema registry write them.
const FRAME_BYTES: usize = 5;
/// Event times may be this much ahead of the record's own timestamp, in nanoseconds.
pub const MAX_AHEAD: i64 = 300 * NANO;

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

/// Returns the key of a raw record of `entity`: a JSON string.
pub fn raw_key(entity: &str) -> String {
    serde_json::Value::from(entity).to_string()
}

/// The value of a raw record as the extractor writes it. The first three fields are the old system's, in its order;
/// price and time are JSON numbers as their source wrote them.
///
/// ```
/// use stockwatch_core::wire::{Quote, RawQuote};
///
/// let number = |text: &str| serde_json::value::RawValue::from_string(text.to_owned());
/// let (price, time) = (number("512.34")?, number("1700000000")?);
/// let quote = RawQuote { entity: "meta", price: &price, time: &time, symbol: "META", currency: Some("USD") };
/// let value = serde_json::to_vec(&quote)?;
/// assert_eq!(
///     String::from_utf8_lossy(&value),
///     r#"{"entityname":"meta","currentstockprice":512.34,"lastupdatedate":1700000000,"symbol":"META","currency":"USD"}"#
/// );
/// let quote = Quote::read(&value).expect("it is a quote");
/// assert_eq!(quote.entity, "meta");
/// assert_eq!(quote.price_and_time(1_700_000_000_000), Ok((512_340_000_000, 1_700_000_000_000_000_000)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Serialize)]
pub struct RawQuote<'a> {
    /// Whose quote it is.
    #[serde(rename = "entityname")]
    pub entity: &'a str,
    /// In its own currency.
    #[serde(rename = "currentstockprice")]
    pub price: &'a RawValue,
    /// Event time in seconds since 1970.
    #[serde(rename = "lastupdatedate")]
    pub time: &'a RawValue,
    /// What the source calls it.
    pub symbol: &'a str,
    /// The price's, if the source says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<&'a str>,
}

/// A record's value, read as far as its entity; price and time are judged when somebody wants them.
#[derive(Debug)]
pub struct Quote<'a> {
    /// Whose quote it is.
    pub entity: Cow<'a, str>,
    /// The value has the field `isduplicate`, which we write ourselves.
    pub is_marked: bool,
    price: Option<&'a str>,
    time: Option<&'a str>,
    currency: Option<&'a str>,
}

impl<'a> Quote<'a> {
    /// Reads a value as far as its entity.
    ///
    /// # Errors
    /// The first thing wrong, in the order of [`DeadLetterReason`]'s variants up to the name.
    pub fn read(value: &'a [u8]) -> Result<Self, DeadLetterReason> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(DeadLetterReason::ValueTooLarge);
        }
        if value.first() == Some(&0) && value.len() > FRAME_BYTES {
            return Err(DeadLetterReason::SchemaFramed);
        }
        // All of it: what is skipped unread below goes on to others.
        let text = std::str::from_utf8(json_of(value)).map_err(|_| DeadLetterReason::NotJson)?;
        let fields = match flat(text) {
            Some(fields) => fields,
            None => any_object(text)?,
        };
        let entity: Cow<'a, str> = match fields.entity.and_then(|e| e.strip_prefix('"')?.strip_suffix('"')) {
            Some(plain) if !plain.as_bytes().contains(&b'\\') => Cow::Borrowed(plain),
            Some(_) => {
                let quoted = fields.entity.unwrap_or_default();
                Cow::Owned(serde_json::from_str(quoted).map_err(|_| DeadLetterReason::NotJson)?)
            }
            None => return Err(DeadLetterReason::NoEntity),
        };
        if entity.is_empty() {
            return Err(DeadLetterReason::NoEntity);
        }
        if entity.len() > MAX_NAME_CHARS && entity.chars().count() > MAX_NAME_CHARS {
            return Err(DeadLetterReason::NameTooLong);
        }
        let Flat { price, time, currency, marked: is_marked, .. } = fields;
        Ok(Self { entity, is_marked, price, time, currency })
    }

    /// The price in 10⁻⁹ and the event time in nanoseconds, for a record stamped at `timestamp` (ms; negative: unknown).
    ///
    /// # Errors
    /// What is wrong with the price, else with the time.
    pub fn price_and_time(&self, timestamp: i64) -> Result<(i64, i64), DeadLetterReason> {
        let price = self.price.ok_or(DeadLetterReason::NoPrice)?;
        let price = match parse_nanos(price.as_bytes()) {
            Some(price) => price,
            None => price_in_text(price)?,
        };
        if price.abs() > MAX_PRICE {
            return Err(DeadLetterReason::PriceOutOfRange);
        }
        let time = self.time.ok_or(DeadLetterReason::NoTime)?;
        let time = match parse_nanos(time.as_bytes()) {
            Some(time) => time,
            None => time_in_text(time)?,
        };
        if time >= MILLISECONDS_FROM {
            return Err(DeadLetterReason::TimeInMilliseconds);
        }
        // An unknown timestamp bounds nothing; what cannot be kept is then out of range.
        let latest = if timestamp < 0 {
            i64::MAX
        } else {
            timestamp.saturating_mul(1_000_000).saturating_add(MAX_AHEAD)
        };
        if time > i128::from(latest) {
            return Err(if timestamp < 0 {
                DeadLetterReason::TimeOutOfRange
            } else {
                DeadLetterReason::TimeInFuture
            });
        }
        if time < 0 {
            return Err(DeadLetterReason::TimeOutOfRange);
        }
        Ok((
            i64::try_from(price).map_err(|_| DeadLetterReason::PriceOutOfRange)?,
            i64::try_from(time).map_err(|_| DeadLetterReason::TimeOutOfRange)?,
        ))
    }

    /// The currency of its price, if it is a string of at most [`MAX_CURRENCY_CHARS`] characters.
    #[inline]
    pub(crate) fn currency(&self) -> Option<Cow<'a, str>> {
        label(self.currency, MAX_CURRENCY_CHARS)
    }

    /// Whether its price or its time came as a text.
    pub(crate) fn has_texts(&self) -> bool {
        [self.price, self.time].into_iter().flatten().any(|raw| raw.starts_with('"'))
    }

    /// Price and time as written, where they are texts, each with the number that it is.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let texts = [self.price, self.time].into_iter().flatten();
        texts.filter_map(|raw| Some((raw, in_digits(string(raw)?))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn read(value: &str) -> Result<(String, i64, i64), DeadLetterReason> {
        let quote = Quote::read(value.as_bytes())?;
        let (price, time) = quote.price_and_time(NOW)?;
        Ok((quote.entity.into_owned(), price, time))
    }

    #[test]
    fn a_quote_is_read_exactly() {
        assert_eq!(
            read(
                r#"{"entityname":"général \"m\"","currentstockprice":512.34,"lastupdatedate":1700000000.5,"x":[1]}"#
            ),
            Ok(("général \"m\"".into(), 512_340_000_000, 1_700_000_000_500_000_000))
        );
    }

    #[test]
    fn each_bad_value_has_its_reason() {
        for (value, reason) in [
            ("", DeadLetterReason::NotJson),
            ("{", DeadLetterReason::NotJson),
            (r#"{"entityname":"e","currentstockprice":NaN,"lastupdatedate":1}"#, DeadLetterReason::NotJson),
            ("[1]", DeadLetterReason::NotAnObject),
            ("null", DeadLetterReason::NotAnObject),
            ("{}", DeadLetterReason::NoEntity),
            (r#"{"entityname":7}"#, DeadLetterReason::NoEntity),
            (r#"{"entityname":""}"#, DeadLetterReason::NoEntity),
            (r#"{"entityname":"e"}"#, DeadLetterReason::NoPrice),
            (r#"{"entityname":"e","currentstockprice":null}"#, DeadLetterReason::NoPrice),
            (r#"{"entityname":"e","currentstockprice":[512]}"#, DeadLetterReason::NoPrice),
            (r#"{"entityname":"e","currentstockprice":"512,5"}"#, DeadLetterReason::PriceNotANumber),
            (r#"{"entityname":"e","currentstockprice":""}"#, DeadLetterReason::PriceNotANumber),
            (r#"{"entityname":"e","currentstockprice":"007"}"#, DeadLetterReason::PriceNotANumber),
            (r#"{"entityname":"e","currentstockprice":" 1"}"#, DeadLetterReason::PriceNotANumber),
            (r#"{"entityname":"e","currentstockprice":"1 "}"#, DeadLetterReason::PriceNotANumber),
            (r#"{"entityname":"e","currentstockprice":"Infinity"}"#, DeadLetterReason::PriceNotFinite),
            (
                r#"{"entityname":"e","currentstockprice":9000000000.000000001}"#,
                DeadLetterReason::PriceOutOfRange,
            ),
            (r#"{"entityname":"e","currentstockprice":-1e400}"#, DeadLetterReason::PriceOutOfRange),
            (r#"{"entityname":"e","currentstockprice":1}"#, DeadLetterReason::NoTime),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":"now"}"#,
                DeadLetterReason::TimeNotANumber,
            ),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":"2023-11-14T22:14:20"}"#,
                DeadLetterReason::TimeNotANumber,
            ),
            (r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":null}"#, DeadLetterReason::NoTime),
            ("\0\0\0\0\u{7}{}", DeadLetterReason::SchemaFramed),
            ("\0{}", DeadLetterReason::NotJson),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":1700000000000}"#,
                DeadLetterReason::TimeInMilliseconds,
            ),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":1700000300.000000001}"#,
                DeadLetterReason::TimeInFuture,
            ),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":-1}"#,
                DeadLetterReason::TimeOutOfRange,
            ),
        ] {
            assert_eq!(read(value).err(), Some(reason), "{value}");
        }
        assert_eq!(
            Quote::read(b"{\"entityname\":\"e\",\"x\":\"\xff\"}").err(),
            Some(DeadLetterReason::NotJson)
        );
        assert_eq!(
            Quote::read(&vec![b' '; MAX_VALUE_BYTES + 1]).err(),
            Some(DeadLetterReason::ValueTooLarge)
        );
        let long = format!(r#"{{"entityname":"{}"}}"#, "é".repeat(65));
        assert_eq!(read(&long).err(), Some(DeadLetterReason::NameTooLong));
        assert_eq!(read(&long.replacen('é', "", 1)).err(), Some(DeadLetterReason::NoPrice));
    }

    #[test]
    fn numbers_in_texts_are_read_and_so_is_what_follows_a_byte_order_mark() {
        let quote = Ok(("e".into(), 512_340_000_000, 1_700_000_060 * NANO + NANO / 2));
        for (price, time) in [
            ("\"512.34\"", "1700000060.5"),
            ("51234e-2", "\"17000000605E-1\""),
            ("\"512\\u002e34\"", "\"2023-11-14T22:14:20.5Z\""),
        ] {
            let value =
                format!(r#"{{"entityname":"e","currentstockprice":{price},"lastupdatedate":{time}}}"#);
            assert_eq!(read(&value), quote, "{value}");
            assert_eq!(read(&format!("\u{feff}{value}")), quote, "{value}");
        }
    }

    #[test]
    fn of_a_field_written_twice_the_last_one_counts() {
        let twice = r#"{"entityname":"a","entityname":"b","currentstockprice":1,"currentstockprice":2,"lastupdatedate":3}"#;
        assert_eq!(read(twice), Ok(("b".into(), 2 * NANO, 3 * NANO)));
    }
}
