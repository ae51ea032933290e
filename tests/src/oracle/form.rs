//! Rule 1: whether a record is a quote, and what it says.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Fate;
use crate::decimal::{ONE, parse};
use crate::topics::Record;

const LARGEST_VALUE: usize = 64 * 1024;
const LONGEST_NAME: usize = 64;
const LARGEST_PRICE: i128 = 9_000_000_000 * ONE;
const MILLISECONDS_FROM: i128 = 100_000_000_000 * ONE;
const FARTHEST_AHEAD: i128 = 300 * ONE;

/// A good quote.
pub(super) struct Quote {
    pub(super) entity: String,
    pub(super) price: i128,
    pub(super) time: i128,
    pub(super) symbol: Option<String>,
    pub(super) currency: Option<String>,
}

/// Rule 1, in the order of its checks.
pub(super) fn judge(record: &Record, listed: impl Fn(&str) -> bool) -> Result<Quote, Fate> {
    let bad = |reason| Err(Fate::Bad(reason));
    let value = record.value.as_deref().unwrap_or_default();
    if value.len() > LARGEST_VALUE {
        return bad("value_too_large");
    }
    if serde_json::from_slice::<&RawValue>(value).is_err() {
        return bad("not_json");
    }
    let Ok(fields) = serde_json::from_slice::<Fields>(value) else { return bad("not_an_object") };
    let Some(Ok(entity)) = fields.get("entityname").map(serde_json::from_str::<String>) else {
        return bad("no_entity");
    };
    if entity.is_empty() {
        return bad("no_entity");
    }
    if entity.chars().count() > LONGEST_NAME {
        return bad("name_too_long");
    }
    if !listed(&entity) {
        return Err(Fate::Unlisted);
    }
    let is_number = |text: &&str| text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let price = match fields.get("currentstockprice") {
        Some("\"Infinity\"" | "\"-Infinity\"" | "\"NaN\"") => return bad("price_not_finite"),
        Some(text) if is_number(&text) => parse(text),
        _ => return bad("no_price"),
    };
    let Some(price) = price.filter(|price| price.abs() <= LARGEST_PRICE) else {
        return bad("price_out_of_range");
    };
    let Some(time) = fields.get("lastupdatedate").filter(is_number) else { return bad("no_time") };
    let time = parse(time).unwrap_or(if time.starts_with('-') { -1 } else { MILLISECONDS_FROM });
    if time >= MILLISECONDS_FROM {
        return bad("time_in_milliseconds");
    }
    if time < 0 {
        return bad("time_out_of_range");
    }
    if time > i128::from(record.timestamp) * (ONE / 1_000) + FARTHEST_AHEAD {
        return bad("time_in_future");
    }
    let label = |name: &str, most: usize| {
        let text: String = serde_json::from_str(fields.get(name)?).ok()?;
        (1..=most).contains(&text.chars().count()).then_some(text)
    };
    let (symbol, currency) = (label("symbol", 32), label("currency", 16));
    Ok(Quote { entity, price, time, symbol, currency })
}

/// The raw value with `"isduplicate":false` as its last field.
pub(super) fn deduplicated(record: &Record) -> String {
    let text = record.text();
    let fields: Fields = serde_json::from_str(&text).unwrap();
    if fields.get("isduplicate").is_none() {
        let body = text.trim().strip_suffix('}').unwrap();
        return format!("{body},\"isduplicate\":false}}");
    }
    let kept = fields.0.iter().filter(|(name, _)| name != "isduplicate");
    let kept = kept.map(|(name, value)| format!("{}:{},", serde_json::to_string(name).unwrap(), value.get()));
    format!("{{{}\"isduplicate\":false}}", kept.collect::<String>())
}

/// A JSON object's fields in order, their values as written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|field| field.0 == name).map(|field| field.1.get())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
