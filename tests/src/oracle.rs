//! The naive oracle: every quote kept in a list, every mean computed from scratch, from the raw log alone.
//!
//! It shares no code with the worker. In: the records of one raw partition and the shapes (entities and
//! windows) that held, each from an offset on. Out: what follows from each record.

mod form;

use std::collections::{BTreeMap, BTreeSet};

use self::form::{Quote, deduplicated, judge};
use crate::decimal::ONE;
use crate::topics::Record;

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
    /// The offset whose average was the first of the window since it and its entity came.
    pub since: i64,
}

/// An accepted quote and what follows from it, tolerances apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Offset of the raw record.
    pub offset: i64,
    /// The entity.
    pub entity: String,
    /// Its price and time, in units of 10⁻⁹.
    pub price: i128,
    /// See `price`.
    pub time: i128,
    /// Its symbol and currency, as far as alarms repeat them.
    pub symbol: Option<String>,
    /// See `symbol`.
    pub currency: Option<String>,
    /// The entity's newest time before it.
    pub newest_before: Option<i128>,
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
    Accepted(Box<Accepted>),
    /// It goes to dead-letter for this reason.
    Bad(&'static str),
    /// An accepted quote had the same time.
    Duplicate,
    /// Older than every window.
    LateDropped,
    /// Its entity is not listed.
    Unlisted,
}

/// What is kept of an entity.
#[derive(Default)]
struct Entity {
    /// The offset since when it is listed without a break.
    since: i64,
    /// Its currency, and the time of its newest quote that says it.
    currency: Option<(String, i128)>,
    /// Every accepted quote: time and price.
    accepted: Vec<(i128, i128)>,
    /// By window: the last average, and the offset of the first.
    last: BTreeMap<u32, (Mean, i64)>,
}

impl Entity {
    fn newest(&self) -> Option<i128> {
        self.accepted.iter().map(|(time, _)| *time).max()
    }

    /// The rules 2 and 3: why a quote of this time is not accepted.
    fn refuses(&self, time: i128, longest: i128) -> Option<Fate> {
        let newest = self.newest()?;
        let horizon = newest - longest;
        let remembered = |old: i128| old == newest || old > horizon;
        if self.accepted.iter().any(|(old, _)| *old == time && remembered(*old)) {
            return Some(Fate::Duplicate);
        }
        (time <= horizon).then_some(Fate::LateDropped)
    }

    /// Accepts the quote or says why not. One of another currency is none of the entity's for 15 minutes; then the entity
    /// has no other quotes any more.
    fn take(&mut self, quote: &Quote, longest: i128, offset: i64) -> Result<(), Fate> {
        if let Some(fate) = self.refuses(quote.time, longest) {
            return Err(fate);
        }
        if let (Some((own, time)), Some(says)) = (&self.currency, &quote.currency)
            && own != says
        {
            if quote.time - time < minutes(15) {
                return Err(Fate::Bad("other_currency"));
            }
            *self = Self { since: offset, ..Self::default() };
        }
        if let Some(says) = &quote.currency {
            let newest = self.currency.as_ref().map_or(quote.time, |(_, time)| quote.time.max(*time));
            self.currency = Some((says.clone(), newest));
        }
        self.accepted.push((quote.time, quote.price));
        Ok(())
    }

    fn averages(&mut self, windows: &[u32], offset: i64) -> Vec<Average> {
        let newest = self.newest().unwrap();
        let one = |window: &u32| {
            let inside = |(time, _): &&(i128, i128)| *time > newest - minutes(*window) && *time <= newest;
            let prices: Vec<i128> = self.accepted.iter().filter(inside).map(|(_, price)| *price).collect();
            let mean = Mean { sum: prices.iter().sum(), count: i128::try_from(prices.len()).unwrap() };
            let before = self.last.get(window).copied();
            let since = before.map_or(offset, |(_, since)| since);
            self.last.insert(*window, (mean, since));
            Average { minutes: *window, mean, previous: before.map(|(mean, _)| mean), since }
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
                let newest_before = entity.newest();
                let took = entity.take(&quote, shape.longest(), record.offset);
                // It may have begun anew.
                let newest_before = newest_before.filter(|_| entity.accepted.len() > 1);
                match took {
                    Err(fate) => fate,
                    Ok(()) => Fate::Accepted(Box::new(Accepted {
                        offset: record.offset,
                        price: quote.price,
                        time: quote.time,
                        symbol: quote.symbol,
                        currency: quote.currency,
                        newest_before,
                        newest: entity.newest().unwrap(),
                        averages: entity.averages(&shape.windows, record.offset),
                        deduplicated: deduplicated(record),
                        entity: quote.entity,
                    })),
                }
            }
        });
    }
    fates
}

/// Rule 6: removed entities go, removed windows forget their last average, and where the longest window
/// grew, the entity has besides the quotes of its windows the older ones that the new windows would have had all along, but
/// for those that say another currency than it has come to have, if any.
fn reshape(entities: &mut BTreeMap<String, Entity>, old: &Shape, new: &Shape, before: &[Record]) {
    entities.retain(|name, _| new.lists(name));
    for entity in entities.values_mut() {
        entity.last.retain(|window, _| new.windows.contains(window));
    }
    if new.longest() <= old.longest() {
        return;
    }
    for (name, entity) in entities {
        let (since, newest) = (entity.since, entity.newest());
        let is_older = |time: i128| newest.is_some_and(|newest| time <= newest - old.longest());
        entity.accepted.retain(|(time, _)| !is_older(*time));
        for record in before.iter().filter(|record| record.offset >= since) {
            let Ok(quote) = judge(record, |entity| entity == name) else { continue };
            let own = entity.currency.as_ref().map(|(own, _)| own);
            let is_own = quote.currency.is_none() || own == quote.currency.as_ref();
            if is_own && is_older(quote.time) && entity.refuses(quote.time, new.longest()).is_none() {
                entity.accepted.push((quote.time, quote.price));
            }
        }
    }
}

fn minutes(window: u32) -> i128 {
    i128::from(window) * 60 * ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(values: &[(u32, &str)]) -> Vec<Record> {
        let record = |(offset, (time, price)): (usize, &(u32, &str))| Record {
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp: 1_700_000_000_000,
            is_appended: false,
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
    fn another_currency_holds_once_the_old_one_was_not_heard_of_for_a_quarter_of_an_hour() {
        let mut log =
            log(&[(1000, "1"), (1060, "2"), (1120, "3"), (1899, "4"), (1900, "5"), (1901, "6"), (2020, "7")]);
        let says = [Some("GBP"), None, Some("GBp"), Some("GBp"), Some("GBp"), Some("GBP"), None];
        for (record, says) in log.iter_mut().zip(says) {
            let Some(says) = says else { continue };
            let currency = format!(",\"currency\":\"{says}\"}}");
            record.value = Some(record.text().replace('}', &currency).into());
        }
        let fates = fates(&log, &[shape(0, &[5, 30])]);
        let other = "Bad(\"other_currency\")";
        assert_eq!(means(&fates), ["1 1", "1.5 1.5", other, other, "5 5", other, "6 6"]);
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
