//! What the demo shows of the records that it has read: records in, rows out.

use std::collections::{HashMap, VecDeque};

use stockwatch_core::NANO;
use stockwatch_core::account::EntryType;
use stockwatch_core::wire::{AlarmRecord, AverageRecord, DeduplicatedRecord, Direction, LedgerRecord};
use stockwatch_crds::{Bound, Spec, Tolerance};

/// Entities kept and rows shown at most: a wildcard may bring many more.
const ENTITIES: usize = 1000;

/// Episodes kept.
const EPISODES: usize = 100;

/// A record of the worker's output.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OutputRecord {
    /// A quote that was accepted.
    Quote(DeduplicatedRecord),
    /// An average.
    Average(AverageRecord),
    /// An alarm.
    Alarm(Box<AlarmRecord>),
    /// What a paper account did.
    Entry(Box<LedgerRecord>),
}

/// One line of an episode: when it began (UTC), how many alarms it has, the last of them and by which tolerance.
pub(super) fn episode_line(alarm: &AlarmRecord) -> String {
    let sign = if alarm.direction == Direction::Up { '+' } else { '-' };
    let deviation = alarm.deviation.map(|deviation| format!("{sign}{:.4}% ", shown(deviation) * 100.0));
    format!(
        "{}  {}  {}m  {} alarm{}  {}({sign}{:.4})  tolerance {}  gen {}",
        clock(alarm.episode_start.unwrap_or(alarm.time)),
        alarm.entity,
        alarm.minutes,
        alarm.number,
        if alarm.number == 1 { "" } else { "s" },
        deviation.unwrap_or_default(),
        shown(alarm.absolute_deviation),
        alarm.tolerance,
        alarm.generation
    )
}

/// A decimal as a float, which is exact enough for the digits on a screen.
fn shown(nanos: i64) -> f64 {
    nanos as f64 / NANO as f64
}

/// An amount of money with its sign.
pub(super) fn money(nanos: i64) -> String {
    format!("{:+.2}", shown(nanos))
}

/// Hours, minutes and seconds (UTC) of an event time.
fn clock(time: i64) -> String {
    let seconds = (time / NANO).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// One entity.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) entity: String,
    pub(super) price: String,
    /// What the entity's paper accounts have earned, if it has had any.
    pub(super) profit: Option<i64>,
    /// In the order of the spec's windows.
    pub(super) cells: Vec<Cell>,
}

/// One window of one entity; texts are empty where there is nothing yet.
#[derive(Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) average: String,
    /// Of the average against the one before: in percent or in currency, as the tolerance is.
    pub(super) deviation: String,
    /// As written in the spec.
    pub(super) tolerance: String,
    /// The newest quote raised an alarm here.
    pub(super) alarmed: bool,
}

#[derive(Debug, Default)]
struct Entity {
    price: Option<i64>,
    /// Of its paper accounts, 10⁻⁹ of the currency; `None` before the first order.
    profit: Option<i64>,
    averages: HashMap<u32, Averages>,
}

#[derive(Debug, Default)]
struct Averages {
    last: Option<i64>,
    previous: Option<i64>,
    time: i64,
    alarm_time: Option<i64>,
}

/// The newest quote and averages of each entity and what its paper accounts have earned, and the newest episodes.
#[derive(Debug, Default)]
pub(super) struct Table {
    entities: HashMap<String, Entity>,
    /// The last alarm of each.
    episodes: VecDeque<AlarmRecord>,
    episode_count: usize,
    alarm_count: usize,
    fill_count: usize,
}

impl Table {
    /// Takes a record, in the order in which it was written.
    pub(super) fn take(&mut self, record: OutputRecord) {
        match record {
            OutputRecord::Quote(quote) => {
                if let Some(entity) = self.entity(&quote.entity) {
                    entity.price = Some(quote.price);
                }
            }
            OutputRecord::Average(record) => {
                if let Some(entity) = self.entity(&record.entity) {
                    let averages = entity.averages.entry(record.minutes).or_default();
                    averages.previous = averages.last.replace(record.average);
                    averages.time = record.time;
                }
            }
            OutputRecord::Alarm(alarm) => {
                if let Some(entity) = self.entity(&alarm.entity) {
                    entity.averages.entry(alarm.minutes).or_default().alarm_time = Some(alarm.time);
                }
                self.alarm_count += 1;
                let is_of = |last: &&mut AlarmRecord| {
                    (&last.episode, &last.entity, last.minutes)
                        == (&alarm.episode, &alarm.entity, alarm.minutes)
                };
                match self.episodes.iter_mut().find(is_of) {
                    Some(last) => *last = *alarm,
                    None => {
                        self.episodes.truncate(EPISODES - 1);
                        self.episodes.push_front(*alarm);
                        self.episode_count += 1;
                    }
                }
            }
            OutputRecord::Entry(entry) => {
                self.fill_count += usize::from(entry.entry_type == EntryType::Fill);
                if let Some(entity) = self.entity(&entry.entity) {
                    let profit = entity.profit.get_or_insert(0);
                    *profit = profit.saturating_add(entry.profit.unwrap_or(0));
                }
            }
        }
    }

    fn entity(&mut self, name: &str) -> Option<&mut Entity> {
        if self.entities.len() >= ENTITIES && !self.entities.contains_key(name) {
            return None;
        }
        Some(self.entities.entry(name.to_owned()).or_default())
    }

    /// The last alarm of each of the latest episodes, the newest episode first.
    pub(super) fn episodes(&self) -> impl Iterator<Item = &AlarmRecord> {
        self.episodes.iter()
    }

    /// How many episodes there have been.
    pub(super) fn episode_count(&self) -> usize {
        self.episode_count
    }

    /// What all paper accounts have earned, and with how many fills; `None` before the first order.
    pub(super) fn paper(&self) -> Option<String> {
        let profits: Vec<i64> = self.entities.values().filter_map(|entity| entity.profit).collect();
        let sum = profits.iter().fold(0_i64, |sum, profit| sum.saturating_add(*profit));
        (!profits.is_empty()).then(|| format!("paper profit: {} in {} fills", money(sum), self.fill_count))
    }

    /// How many alarms there have been.
    pub(super) fn alarm_count(&self) -> usize {
        self.alarm_count
    }

    /// Returns the rows: the spec's tickers in its order, then other entities under a wildcard, by name.
    pub(super) fn rows(&self, spec: &Spec) -> Vec<Row> {
        let mut names: Vec<&str> = spec.tickers.iter().map(|ticker| ticker.entity.as_str()).collect();
        if spec.wildcard {
            let mut others: Vec<&str> =
                self.entities.keys().map(String::as_str).filter(|name| !names.contains(name)).collect();
            others.sort_unstable();
            names.extend(others);
        }
        names.truncate(ENTITIES);
        names.into_iter().map(|name| self.row(name, spec)).collect()
    }

    fn row(&self, name: &str, spec: &Spec) -> Row {
        let entity = self.entities.get(name);
        let cells = spec.windows.iter().map(|window| {
            let averages = entity.and_then(|entity| entity.averages.get(&window.minutes));
            let tolerance = tolerance(spec, name, window.minutes).unwrap_or(&window.tolerance);
            Cell::of(averages, tolerance)
        });
        Row {
            entity: name.to_owned(),
            price: entity
                .and_then(|entity| entity.price)
                .map(|price| format!("{:.2}", shown(price)))
                .unwrap_or_default(),
            profit: entity.and_then(|entity| entity.profit),
            cells: cells.collect(),
        }
    }
}

impl Cell {
    fn of(averages: Option<&Averages>, tolerance: &Tolerance) -> Self {
        let last = averages.and_then(|averages| averages.last);
        let previous = averages.and_then(|averages| averages.previous);
        let deviation = last.zip(previous).map(|(last, previous)| match tolerance.bound {
            Bound::Absolute(_) => format!("{:+.4}", shown(last - previous)),
            Bound::Relative(_) if previous == 0 => String::new(),
            Bound::Relative(_) => {
                format!("{:+.4}%", shown(last - previous) / shown(previous).abs() * 100.0)
            }
        });
        Self {
            average: last.map(|last| format!("{:.4}", shown(last))).unwrap_or_default(),
            deviation: deviation.unwrap_or_default(),
            tolerance: tolerance.text.clone(),
            alarmed: averages.is_some_and(|averages| averages.alarm_time == Some(averages.time)),
        }
    }
}

/// Returns an entity's own tolerance, which overrides the window's.
fn tolerance<'a>(spec: &'a Spec, entity: &str, minutes: u32) -> Option<&'a Tolerance> {
    let ticker = spec.tickers.iter().find(|ticker| ticker.entity == entity);
    let overrides = ticker.map_or(&spec.wildcard_overrides, |ticker| &ticker.overrides);
    overrides.iter().find(|window| window.minutes == minutes).map(|window| &window.tolerance)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn spec(text: &str) -> Spec {
        let document = format!(
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: demo}}\nspec: {{{text}, \
             kafka: {{bootstrapServers: 'kafka:9092'}}}}\n"
        );
        stockwatch_crds::load(&document).unwrap().spec
    }

    fn two() -> Spec {
        spec(
            "tickers: [{symbol: B, name: b}, {symbol: A, name: a, tolerances: [{window: 1m, tolerance: '0.5'}]}], \
             windows: [{duration: 1m, tolerance: '1%'}, {duration: 5m, tolerance: '2%'}]",
        )
    }

    pub(in super::super) fn quote(entity: &str, price: f64) -> OutputRecord {
        let value = format!(
            r#"{{"entityname":"{entity}","currentstockprice":{price},"lastupdatedate":1,"isduplicate":false}}"#
        );
        OutputRecord::Quote(DeduplicatedRecord::parse(value.as_bytes()).unwrap())
    }

    pub(in super::super) fn average(entity: &str, minutes: u32, average: i64, time: i64) -> OutputRecord {
        let (average, time) = (average * NANO, time * NANO);
        OutputRecord::Average(AverageRecord { entity: entity.into(), minutes, average, count: 1, time })
    }

    pub(in super::super) fn order(entity: &str) -> OutputRecord {
        let value = format!(
            r#"{{"entityname":"{entity}","type":"order","side":"invest","id":"1","account":"1","cash":1,"shares":0,"lastupdatedate":1,"generation":1}}"#
        );
        OutputRecord::Entry(Box::new(LedgerRecord::parse(value.as_bytes()).unwrap()))
    }

    fn alarm(entity: &str, time: i64) -> AlarmRecord {
        AlarmRecord {
            entity: entity.into(),
            minutes: 1,
            deviation: Some(NANO / 50),
            absolute_deviation: 2 * NANO,
            direction: Direction::Up,
            average: 102 * NANO,
            previous_average: 100 * NANO,
            tolerance: "1%".into(),
            price: Some(104 * NANO),
            quote_time: Some(time * NANO),
            symbol: None,
            currency: None,
            watch: "default/demo".into(),
            previous_time: Some((time - 60) * NANO),
            is_gap: false,
            episode: "0".into(),
            episode_start: Some(time * NANO),
            number: 1,
            episode_end: Some((time + 120) * NANO),
            generation: 1,
            time: time * NANO,
            id: String::new(),
        }
    }

    #[test]
    fn every_ticker_has_a_row_in_the_specs_order_before_any_record_came() {
        let rows = Table::default().rows(&two());
        let names: Vec<_> = rows.iter().map(|row| row.entity.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!((rows[0].price.as_str(), rows[0].cells.len()), ("", 2));
        assert_eq!((rows[0].cells[0].average.as_str(), rows[0].cells[1].tolerance.as_str()), ("", "2%"));
    }

    #[test]
    fn a_deviation_is_against_the_average_before_in_the_tolerances_own_terms() {
        let mut table = Table::default();
        for entity in ["a", "b"] {
            table.take(average(entity, 1, 100, 1));
            table.take(average(entity, 5, 50, 1));
            table.take(average(entity, 1, 101, 2));
        }
        let rows = table.rows(&two());
        assert_eq!(
            (rows[0].cells[0].average.as_str(), rows[0].cells[0].deviation.as_str()),
            ("101.0000", "+1.0000%")
        );
        assert_eq!(
            (rows[1].cells[0].tolerance.as_str(), rows[1].cells[0].deviation.as_str()),
            ("0.5", "+1.0000")
        );
        assert_eq!(rows[0].cells[1].deviation, "", "a first average has none before");
    }

    #[test]
    fn a_cell_is_alarmed_until_its_next_average() {
        let mut table = Table::default();
        table.take(average("b", 1, 102, 2));
        table.take(OutputRecord::Alarm(Box::new(alarm("b", 2))));
        assert!(table.rows(&two())[0].cells[0].alarmed);
        assert!(!table.rows(&two())[0].cells[1].alarmed);
        table.take(average("b", 1, 102, 3));
        assert!(!table.rows(&two())[0].cells[0].alarmed);
        assert_eq!((table.alarm_count(), table.episode_count()), (1, 1));
    }

    #[test]
    fn the_alarms_of_an_episode_are_one_line() {
        let mut table = Table::default();
        for number in 1..=3 {
            let time = i64::try_from(number).unwrap();
            let alarm = AlarmRecord { number, episode_start: Some(NANO), ..alarm("b", time) };
            table.take(OutputRecord::Alarm(Box::new(alarm)));
        }
        let other = AlarmRecord { minutes: 5, ..alarm("b", 3) };
        table.take(OutputRecord::Alarm(Box::new(other)));
        let lines: Vec<String> = table.episodes().map(episode_line).collect();
        assert!(lines[1].starts_with("00:00:01  b  1m  3 alarms  "), "{lines:?}");
        assert_eq!((lines.len(), table.episode_count(), table.alarm_count()), (2, 2, 4));
    }

    #[test]
    fn the_profit_of_a_paper_account_is_the_sum_of_its_fills() {
        let mut table = Table::default();
        assert_eq!(table.paper(), None);
        let entry = |kind: &str, profit: &str| {
            let value = format!(
                r#"{{"entityname":"b","type":"{kind}","side":"uninvest","id":"1","account":"0"{profit},"cash":1,"shares":0,"lastupdatedate":1,"generation":1}}"#
            );
            OutputRecord::Entry(Box::new(LedgerRecord::parse(value.as_bytes()).unwrap()))
        };
        for (kind, profit) in [("order", ""), ("fill", r#","profit":-1.5"#), ("fill", r#","profit":4"#)] {
            table.take(entry(kind, profit));
        }
        let profits: Vec<_> = table.rows(&two()).iter().map(|row| row.profit).collect();
        assert_eq!(profits, [Some(5 * NANO / 2), None]);
        assert_eq!(table.paper().as_deref(), Some("paper profit: +2.50 in 2 fills"));
    }

    #[test]
    fn an_edited_spec_shows_at_once() {
        let mut table = Table::default();
        table.take(average("a", 1, 100, 1));
        let rows =
            table.rows(&spec("tickers: [{symbol: A, name: a}], windows: [{duration: 1m, tolerance: '3%'}]"));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].cells.len(), rows[0].cells[0].tolerance.as_str()), (1, "3%"));
        assert_eq!(rows[0].cells[0].average, "100.0000");
    }

    #[test]
    fn a_wildcard_shows_whoever_comes_by_name() {
        let mut table = Table::default();
        for entity in ["z", "a", "c"] {
            table.take(quote(entity, 1.0));
        }
        let every = spec("tickers: [{symbol: c}, {symbol: '*'}], source: {external: {}}");
        let names: Vec<_> = table.rows(&every).into_iter().map(|row| row.entity).collect();
        assert_eq!(names, ["c", "a", "z"]);
    }

    #[test]
    fn an_alarm_is_one_line() {
        let alarm = alarm("meta", 1_700_000_000);
        let line = episode_line(&alarm);
        assert_eq!(line, "22:13:20  meta  1m  1 alarm  +2.0000% (+2.0000)  tolerance 1%  gen 1");
        let odd = AlarmRecord { deviation: None, direction: Direction::Down, ..alarm };
        assert_eq!(episode_line(&odd), "22:13:20  meta  1m  1 alarm  (-2.0000)  tolerance 1%  gen 1");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut table = Table::default();
        for n in 0..5000 {
            table.take(quote(&n.to_string(), 1.0));
            let alarm = AlarmRecord { episode: n.to_string(), ..alarm("a", 1) };
            table.take(OutputRecord::Alarm(Box::new(alarm)));
        }
        assert_eq!(table.entities.len(), ENTITIES);
        assert_eq!((table.episodes().count(), table.episode_count()), (EPISODES, 5000));
    }
}
