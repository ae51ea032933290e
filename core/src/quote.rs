//! A raw record's value as a quote, or the reason why it is none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::NANO;
use crate::decimal::parse_nanos;
use crate::scan::{Flat, flat};

/// A larger value is bad: it would have to be kept for each entity.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// An entity name may have as many characters as the resource allows.
const MAX_NAME_CHARS: usize = 64;
/// Prices beyond this, in 10⁻⁹, are bad: sums and products stay exact below it.
pub(crate) const MAX_PRICE: i128 = 9_000_000_000 * NANO as i128;
/// A time of this many seconds or more is one in milliseconds.
const MILLISECONDS_FROM: i128 = 100_000_000_000 * NANO as i128;
/// Event times may be this much ahead of the record's own timestamp.
pub(crate) const MAX_AHEAD: i64 = 300 * NANO;

/// Why a record is no quote: the reason in the dead letter's header and in the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum Bad {
    ValueTooLarge,
    NotJson,
    NotAnObject,
    NoEntity,
    NameTooLong,
    NoPrice,
    PriceNotFinite,
    PriceOutOfRange,
    NoTime,
    TimeInMilliseconds,
    TimeInFuture,
    TimeOutOfRange,
    Unwritable,
}

impl Bad {
    /// Every reason, in the order in which they are looked for; the last one is that a good quote's
    /// deduplicated record is larger than its topic takes.
    pub const ALL: [Self; 13] = [
        Self::ValueTooLarge,
        Self::NotJson,
        Self::NotAnObject,
        Self::NoEntity,
        Self::NameTooLong,
        Self::NoPrice,
        Self::PriceNotFinite,
        Self::PriceOutOfRange,
        Self::NoTime,
        Self::TimeInMilliseconds,
        Self::TimeInFuture,
        Self::TimeOutOfRange,
        Self::Unwritable,
    ];

    /// The reason as written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValueTooLarge => "value_too_large",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NoEntity => "no_entity",
            Self::NameTooLong => "name_too_long",
            Self::NoPrice => "no_price",
            Self::PriceNotFinite => "price_not_finite",
            Self::PriceOutOfRange => "price_out_of_range",
            Self::NoTime => "no_time",
            Self::TimeInMilliseconds => "time_in_milliseconds",
            Self::TimeInFuture => "time_in_future",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::Unwritable => "unwritable",
        }
    }
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
}

impl<'a> Quote<'a> {
    /// Reads a value as far as its entity.
    ///
    /// # Errors
    /// The first thing wrong, in the order of [`Bad`]'s variants up to the name.
    pub fn read(value: &'a [u8]) -> Result<Self, Bad> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(Bad::ValueTooLarge);
        }
        // All of it: what is skipped unread below goes on to others.
        let text = std::str::from_utf8(value).map_err(|_| Bad::NotJson)?;
        let fields = match flat(text) {
            Some(fields) => fields,
            None => any_object(text)?,
        };
        let entity: Cow<'a, str> = match fields.entity.and_then(|e| e.strip_prefix('"')?.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
            Some(_) => {
                let quoted = fields.entity.unwrap_or_default();
                Cow::Owned(serde_json::from_str(quoted).map_err(|_| Bad::NotJson)?)
            }
            None => return Err(Bad::NoEntity),
        };
        if entity.is_empty() {
            return Err(Bad::NoEntity);
        }
        if entity.len() > MAX_NAME_CHARS && entity.chars().count() > MAX_NAME_CHARS {
            return Err(Bad::NameTooLong);
        }
        Ok(Self { entity, is_marked: fields.marked, price: fields.price, time: fields.time })
    }

    /// The price in 10⁻⁹ and the event time in nanoseconds, for a record stamped at `timestamp` (ms; negative: unknown).
    ///
    /// # Errors
    /// What is wrong with the price, else with the time.
    pub fn price_and_time(&self, timestamp: i64) -> Result<(i64, i64), Bad> {
        let price = number(self.price, Bad::NoPrice)?;
        if price.abs() > MAX_PRICE {
            return Err(Bad::PriceOutOfRange);
        }
        let time = number(self.time, Bad::NoTime).map_err(|_| Bad::NoTime)?;
        if time >= MILLISECONDS_FROM {
            return Err(Bad::TimeInMilliseconds);
        }
        // An unknown timestamp bounds nothing; what cannot be kept is then out of range.
        let latest = if timestamp < 0 {
            i64::MAX
        } else {
            timestamp.saturating_mul(1_000_000).saturating_add(MAX_AHEAD)
        };
        if time > i128::from(latest) {
            return Err(if timestamp < 0 { Bad::TimeOutOfRange } else { Bad::TimeInFuture });
        }
        if time < 0 {
            return Err(Bad::TimeOutOfRange);
        }
        Ok((
            i64::try_from(price).map_err(|_| Bad::PriceOutOfRange)?,
            i64::try_from(time).map_err(|_| Bad::TimeOutOfRange)?,
        ))
    }
}

/// A JSON number's value in 10⁻⁹; `missing` if there is none, or a word that is a number elsewhere.
fn number(raw: Option<&str>, missing: Bad) -> Result<i128, Bad> {
    let text = raw.ok_or(missing)?;
    if matches!(
        text,
        "\"Infinity\"" | "\"-Infinity\"" | "\"+Infinity\"" | "\"NaN\"" | "\"inf\"" | "\"-inf\"" | "\"nan\""
    ) {
        return Err(Bad::PriceNotFinite);
    }
    parse_nanos(text.as_bytes()).ok_or(missing)
}

/// The fields of any object that JSON allows; of a name written twice the last one counts, as in most readers.
fn any_object(text: &str) -> Result<Flat<'_>, Bad> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| {
        let is_json = !text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if is_json { Bad::NotAnObject } else { Bad::NotJson }
    })?;
    Ok(fields.0)
}

struct Fields<'a>(Flat<'a>);

#[derive(serde::Deserialize)]
enum Field {
    #[serde(rename = "entityname")]
    Entity,
    #[serde(rename = "currentstockprice")]
    Price,
    #[serde(rename = "lastupdatedate")]
    Time,
    #[serde(rename = "isduplicate")]
    Marked,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Flat::default();
                let raw = |raw: &'de RawValue| Some(raw.get());
                while let Some(field) = map.next_key::<Field>()? {
                    match field {
                        Field::Entity => fields.entity = raw(map.next_value()?),
                        Field::Price => fields.price = raw(map.next_value()?),
                        Field::Time => fields.time = raw(map.next_value()?),
                        Field::Marked => {
                            fields.marked = true;
                            map.next_value::<IgnoredAny>()?;
                        }
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn read(value: &str) -> Result<(String, i64, i64), Bad> {
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
            ("", Bad::NotJson),
            ("{", Bad::NotJson),
            (r#"{"entityname":"e","currentstockprice":NaN,"lastupdatedate":1}"#, Bad::NotJson),
            ("[1]", Bad::NotAnObject),
            ("null", Bad::NotAnObject),
            ("{}", Bad::NoEntity),
            (r#"{"entityname":7}"#, Bad::NoEntity),
            (r#"{"entityname":""}"#, Bad::NoEntity),
            (r#"{"entityname":"e"}"#, Bad::NoPrice),
            (r#"{"entityname":"e","currentstockprice":null}"#, Bad::NoPrice),
            (r#"{"entityname":"e","currentstockprice":"512"}"#, Bad::NoPrice),
            (r#"{"entityname":"e","currentstockprice":"Infinity"}"#, Bad::PriceNotFinite),
            (r#"{"entityname":"e","currentstockprice":9000000000.000000001}"#, Bad::PriceOutOfRange),
            (r#"{"entityname":"e","currentstockprice":-1e400}"#, Bad::PriceOutOfRange),
            (r#"{"entityname":"e","currentstockprice":1}"#, Bad::NoTime),
            (r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":"now"}"#, Bad::NoTime),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":1700000000000}"#,
                Bad::TimeInMilliseconds,
            ),
            (
                r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":1700000300.000000001}"#,
                Bad::TimeInFuture,
            ),
            (r#"{"entityname":"e","currentstockprice":1,"lastupdatedate":-1}"#, Bad::TimeOutOfRange),
        ] {
            assert_eq!(read(value).err(), Some(reason), "{value}");
        }
        assert_eq!(Quote::read(b"{\"entityname\":\"e\",\"x\":\"\xff\"}").err(), Some(Bad::NotJson));
        assert_eq!(Quote::read(&vec![b' '; MAX_VALUE_BYTES + 1]).err(), Some(Bad::ValueTooLarge));
        let long = format!(r#"{{"entityname":"{}"}}"#, "é".repeat(65));
        assert_eq!(read(&long).err(), Some(Bad::NameTooLong));
        assert_eq!(read(&long.replacen('é', "", 1)).err(), Some(Bad::NoPrice));
    }

    #[test]
    fn of_a_field_written_twice_the_last_one_counts() {
        let twice = r#"{"entityname":"a","entityname":"b","currentstockprice":1,"currentstockprice":2,"lastupdatedate":3}"#;
        assert_eq!(read(twice), Ok(("b".into(), 2 * NANO, 3 * NANO)));
    }
}
