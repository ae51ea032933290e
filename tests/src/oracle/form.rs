//! Rule 1: whether a record is a quote, and what it says.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Fate;
use crate::decimal::{ONE, parse, ratio};
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
    if value.len() > 5 && value[0] == 0 {
        return bad("schema_framed");
    }
    let value = value.strip_prefix("\u{feff}".as_bytes()).unwrap_or(value);
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
    let price = fields.get("currentstockprice").unwrap_or("null");
    let price = match in_text(price) {
        _ if is_number(price) => parse(price),
        None => return bad("no_price"),
        Some(text) if ["Infinity", "-Infinity", "NaN"].contains(&text.as_str()) => {
            return bad("price_not_finite");
        }
        Some(text) if is_number(&text) => parse(&text),
        Some(_) => return bad("price_not_a_number"),
    };
    let Some(price) = price.filter(|price| price.abs() <= LARGEST_PRICE) else {
        return bad("price_out_of_range");
    };
    let time = fields.get("lastupdatedate").unwrap_or("null");
    let seconds =
        |text: &str| parse(text).unwrap_or(if text.starts_with('-') { -1 } else { MILLISECONDS_FROM });
    let time = match in_text(time) {
        _ if is_number(time) => seconds(time),
        None => return bad("no_time"),
        Some(text) if is_number(&text) => seconds(&text),
        Some(text) => match instant(&text) {
            Some(time) => time,
            None => return bad("time_not_a_number"),
        },
    };
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

fn is_number(text: &str) -> bool {
    let is_value = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text);
    is_value && text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// The text of a JSON string.
fn in_text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// An RFC 3339 time with its offset, in units of 10⁻⁹ s since 1970, year by year and month by month.
fn instant(text: &str) -> Option<i128> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (clock, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let (clock, fraction) =
        clock.split_once('.').map_or((clock, None), |(clock, digits)| (clock, Some(digits)));
    let [year, month, day] = digits(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = digits(clock, ':', [2, 2, 2])?;
    let leap = |year: i128| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month).ok()?.checked_sub(1)?;
    if day < 1 || day > *months.get(before)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = |year: i128| if leap(year) { 366 } else { 365 };
    let years: i128 = (1970..year).map(days).sum::<i128>() - (year..1970).map(days).sum::<i128>();
    let ahead = match offset {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = digits(&offset[1..], ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if offset.starts_with('-') { -60 } else { 60 }
        }
    };
    let fraction = match fraction {
        Some("") => return None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => parse(&format!("0.{digits}"))?,
        Some(_) => return None,
        None => 0,
    };
    let days = years + months[..before].iter().sum::<i128>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second - ahead) * ONE + fraction)
}

fn digits<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i128; N]> {
    let parts: Vec<&str> = text.split(between).collect();
    let fit = parts.len() == N && parts.iter().zip(lengths).all(|(part, length)| part.len() == length);
    let all = parts.iter().all(|part| part.bytes().all(|digit| digit.is_ascii_digit()));
    (fit && all).then(|| std::array::from_fn(|i| parts[i].parse().unwrap()))
}

/// The raw value with `"isduplicate":false` as its last field, and with numbers for price and time.
pub(super) fn deduplicated(record: &Record) -> String {
    let text = record.text();
    let text = text.trim_start_matches('\u{feff}');
    let fields: Fields = serde_json::from_str(text).unwrap();
    let number = |name: &str, value: &str| match in_text(value) {
        Some(text) if ["currentstockprice", "lastupdatedate"].contains(&name) => {
            instant(&text).map_or(text, |time| ratio(time, ONE, 9))
        }
        _ => value.to_owned(),
    };
    if fields.get("isduplicate").is_none() {
        let mut body = text.trim().strip_suffix('}').unwrap().to_owned();
        for name in ["currentstockprice", "lastupdatedate"] {
            let value = fields.get(name).unwrap();
            // Of a field written twice the last one counts.
            let field = body.rfind(&format!("\"{name}\"")).unwrap() + name.len() + 2;
            let at = field + body[field..].find(value).unwrap();
            body.replace_range(at..at + value.len(), &number(name, value));
        }
        return format!("{body},\"isduplicate\":false}}");
    }
    let kept = fields.0.iter().filter(|(name, _)| name != "isduplicate");
    let kept = kept.map(|(name, value)| {
        format!("{}:{},", serde_json::to_string(name).unwrap(), number(name, value.get()))
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_calendar_has_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some("0")),
            ("2023-11-14T22:14:20.50+01:00", Some("1699996460.5")),
            ("2000-02-29 00:00:00-00:30", Some("951784200")),
            ("1969-12-31t23:59:59z", Some("-1")),
            ("2023-11-14T22:14:60Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2023-11-14T22:14:20", None),
            ("soon", None),
        ] {
            assert_eq!(instant(text), seconds.and_then(parse), "{text}");
        }
    }
}
