//! The JSON object of a raw record's value, read in full: what the one pass of `scan.rs` leaves to `serde_json`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::reason::DeadLetterReason;
use super::scan::Flat;

/// What some writers put before a text of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The JSON of a value: a byte order mark is not passed on.
pub(crate) fn json_of(value: &[u8]) -> &[u8] {
    value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value)
}

/// The fields of any object that JSON allows; of a name written twice the last one counts, as in most readers.
pub(super) fn any_object(text: &str) -> Result<Flat<'_>, DeadLetterReason> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| {
        let is_json = !text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if is_json { DeadLetterReason::NotAnObject } else { DeadLetterReason::NotJson }
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
    #[serde(rename = "symbol")]
    Symbol,
    #[serde(rename = "currency")]
    Currency,
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
                        Field::Symbol => fields.symbol = raw(map.next_value()?),
                        Field::Currency => fields.currency = raw(map.next_value()?),
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
