//! The naive oracle: every quote kept in a list, every mean computed from scratch, from the raw log alone.
//!
//! It shares no code with the worker. In: the records of one raw partition and the shapes (entities and
//! windows) that held, each from an offset on. Out: what follows from each record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decimal::{ONE, parse};
use crate::topics::Record;

const LARGEST_VALUE: usize = 64 * 1024;
const LONGEST_NAME: usize = 64;
const LARGEST_PRICE: i128 = 9_000_000_000 * ONE;
const MILLISECONDS_FROM: i128 = 100_000_000_000 * ONE;
const FARTHEST_AHEAD: i128 = 300 * ONE;

/// The entities and windows that decide the state from an offset on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The first offset that it holds for.
    pub from: i64,
    /// Windows in minutes, ascending.
    pub windows: Vec<u32>,
    /// The listed entities.
    pub entities: BTreeSet<String>,
    /// Whether every other entity counts as listed.
    pub wildcard: bool,
}

impl Shape {
    fn lists(&self, entity: &str) -> bool {
        self.wildcard || self.entities.contains(entity)
    }

    fn longest(&self) -> i128 {
        self.windows.iter().copied().max().map_or(0, minutes)
    }
}

/// A mean, exact: `sum` units of 10⁻⁹ over `count` quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mean {
    /// Sum of the prices, in units of 10⁻⁹.
    pub sum: i128,
    /// How many there are, at least one.
    pub count: i128,
}

/// One window's average after an accepted quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Average {
    /// The window in minutes.
    pub minutes: u32,
    /// The new average.
    pub mean: Mean,
    /// The last one computed for the same entity and window.
    pub previous: Option<Mean>,
}

/// An accepted quote and what follows from it, tolerances apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Offset of the raw record.
    pub offset: i64,
    /// The entity.
    pub entity: String,
    /// The entity's newest time, in units of 10⁻⁹ s.
    pub newest: i128,
    /// The value of the after-dedup record.
    pub deduplicated: String,
    /// The averages, windows ascending.
    pub averages: Vec<Average>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It gives a record in after-dedup, and averages.
    Accepted(Accepted),
    /// It goes to dead-letter for this reason.
    Bad(&'static str),
    /// An accepted quote had the same time.
    Duplicate,
    /// Older than every window.
    LateDropped,
    /// Its entity is not listed.
    Unlisted,
}

/// A good quote.
struct Quote {
    entity: String,
    price: i128,
    time: i128,
}

/// What is kept of an entity.
#[derive(Default)]
struct Entity {
    /// The offset since when it is listed without a break.
    since: i64,
    /// Every accepted quote: time and price.
    accepted: Vec<(i128, i128)>,
    last: BTreeMap<u32, Mean>,
}

impl Entity {
    fn newest(&self) -> Option<i128> {
        self.accepted.iter().map(|(time, _)| *time).max()
    }

    /// The rules 2 and 3: accepts the quote or says why not.
    fn take(&mut self, time: i128, price: i128, longest: i128) -> Result<(), Fate> {
        let Some(newest) = self.newest() else {
            self.accepted.push((time, price));
            return Ok(());
        };
        let horizon = newest - longest;
        let remembered = |old: i128| old == newest || old > horizon;
        if self.accepted.iter().any(|(old, _)| *old == time && remembered(*old)) {
            return Err(Fate::Duplicate);
        }
        if time <= horizon {
            return Err(Fate::LateDropped);
        }
        self.accepted.push((time, price));
        Ok(())
    }

    fn averages(&mut self, windows: &[u32]) -> Vec<Average> {
        let newest = self.newest().unwrap();
        let one = |window: &u32| {
            let inside = |(time, _): &&(i128, i128)| *time > newest - minutes(*window) && *time <= newest;
            let prices: Vec<i128> = self.accepted.iter().filter(inside).map(|(_, price)| *price).collect();
            let mean = Mean { sum: prices.iter().sum(), count: i128::try_from(prices.len()).unwrap() };
            Average { minutes: *window, mean, previous: self.last.insert(*window, mean) }
        };
        windows.iter().map(one).collect()
    }
}

/// What becomes of each record of one raw partition, in order.
pub fn fates(records: &[Record], shapes: &[Shape]) -> Vec<Fate> {
    let mut entities: BTreeMap<String, Entity> = BTreeMap::new();
    let mut shapes = shapes.iter().peekable();
    let mut shape = shapes.next().expect("the shape at the start");
    let mut fates = Vec::new();
    for (at, record) in records.iter().enumerate() {
        while let Some(next) = shapes.next_if(|next| next.from <= record.offset) {
            reshape(&mut entities, shape, next, &records[..at]);
            shape = next;
        }
        fates.push(match judge(record, |entity| shape.lists(entity)) {
            Err(fate) => fate,
            Ok(quote) => {
                let fresh = || Entity { since: record.offset, ..Entity::default() };
                let entity = entities.entry(quote.entity.clone()).or_insert_with(fresh);
                match entity.take(quote.time, quote.price, shape.longest()) {
                    Err(fate) => fate,
                    Ok(()) => Fate::Accepted(Accepted {
                        offset: record.offset,
                        newest: entity.newest().unwrap(),
                        averages: entity.averages(&shape.windows),
                        deduplicated: deduplicated(record),
                        entity: quote.entity,
                    }),
                }
            }
        });
    }
    fates
}

/// Rule 6: removed entities go, removed windows forget their last average, and where the longest window
/// grew, the entity's quotes are those that the new windows would have had all along.
fn reshape(entities: &mut BTreeMap<String, Entity>, old: &Shape, new: &Shape, before: &[Record]) {
    entities.retain(|name, _| new.lists(name));
    for entity in entities.values_mut() {
        entity.last.retain(|window, _| new.windows.contains(window));
    }
    if new.longest() <= old.longest() {
        return;
    }
    for (name, entity) in entities {
        let since = entity.since;
        entity.accepted.clear();
        for record in before.iter().filter(|record| record.offset >= since) {
            if let Ok(quote) = judge(record, |entity| entity == name) {
                let _ = entity.take(quote.time, quote.price, new.longest());
            }
        }
    }
}

/// Rule 1, in the order of its checks.
fn judge(record: &Record, listed: impl Fn(&str) -> bool) -> Result<Quote, Fate> {
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
    Ok(Quote { entity, price, time })
}

/// The raw value with `"isduplicate":false` as its last field.
fn deduplicated(record: &Record) -> String {
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

fn minutes(window: u32) -> i128 {
    i128::from(window) * 60 * ONE
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

    fn log(values: &[(u32, &str)]) -> Vec<Record> {
        let record = |(offset, (time, price)): (usize, &(u32, &str))| Record {
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(
                format!(r#"{{"entityname":"a","currentstockprice":{price},"lastupdatedate":{time}}}"#).into(),
            ),
            headers: Vec::new(),
        };
        values.iter().enumerate().map(record).collect()
    }

    fn shape(from: i64, windows: &[u32]) -> Shape {
        Shape { from, windows: windows.to_vec(), entities: ["a".to_owned()].into(), wildcard: false }
    }

    fn means(fates: &[Fate]) -> Vec<String> {
        let one = |average: &Average| crate::ratio(average.mean.sum, average.mean.count * ONE, 9);
        let text = |fate: &Fate| match fate {
            Fate::Accepted(quote) => quote.averages.iter().map(one).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        fates.iter().map(text).collect()
    }

    #[test]
    fn a_quote_at_the_windows_open_end_is_outside_and_late_ones_join_what_still_holds_them() {
        let log = log(&[(1000, "1"), (1300, "2"), (1000, "9"), (1001, "3"), (1900, "5"), (1300, "7")]);
        let fates = fates(&log, &[shape(0, &[5, 10])]);
        assert_eq!(means(&fates), ["1 1", "2 1.5", "Duplicate", "2.5 2", "5 5", "LateDropped"]);
    }

    #[test]
    fn a_lengthened_window_has_the_average_that_it_would_have_had() {
        let log = log(&[(1000, "1"), (1600, "2"), (1100, "3"), (1700, "4")]);
        let fates = fates(&log, &[shape(0, &[5]), shape(3, &[5, 15])]);
        assert_eq!(means(&fates), ["1", "2", "LateDropped", "3 2.5"]);
    }

    #[test]
    fn bad_records_are_named_by_the_first_check_that_they_fail() {
        for (value, reason) in [
            ("", "not_json"),
            ("{", "not_json"),
            (r#"{"currentstockprice":NaN}"#, "not_json"),
            ("[]", "not_an_object"),
            ("{}", "no_entity"),
            (r#"{"entityname":""}"#, "no_entity"),
            (r#"{"entityname":"a"}"#, "no_price"),
            (r#"{"entityname":"a","currentstockprice":"Infinity"}"#, "price_not_finite"),
            (r#"{"entityname":"a","currentstockprice":9000000000.1}"#, "price_out_of_range"),
            (r#"{"entityname":"a","currentstockprice":1}"#, "no_time"),
            (r#"{"entityname":"a","currentstockprice":1,"lastupdatedate":1e11}"#, "time_in_milliseconds"),
            (r#"{"entityname":"a","currentstockprice":1,"lastupdatedate":1700000300.1}"#, "time_in_future"),
        ] {
            let mut record = log(&[(0, "0")]).remove(0);
            record.value = Some(value.into());
            assert_eq!(fates(&[record], &[shape(0, &[5])]), [Fate::Bad(reason)], "{value}");
        }
    }
}
