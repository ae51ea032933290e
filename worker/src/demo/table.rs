//! What the demo shows of the records that it has read: events in, rows out.

use std::collections::{HashMap, VecDeque};

use stockwatch_crds::{Bound, Spec, Tolerance};

/// Entities kept and rows shown at most: a wildcard may bring many more.
const ENTITIES: usize = 1000;

/// Alarms kept.
const ALARMS: usize = 100;

/// A record of the worker's output.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// A quote that was accepted; the price is in its own currency.
    Quote { entity: String, price: f64 },
    /// An average; the time is that of its newest quote, in seconds.
    Average { entity: String, minutes: u32, average: f64, time: f64 },
    /// An alarm.
    Alarm(Alarm),
}

/// An alarm as its record has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    pub(super) entity: String,
    pub(super) minutes: u32,
    /// Of the average before; `None` where that is 0.
    pub(super) deviation: Option<f64>,
    /// In the quote's currency.
    pub(super) absolute: f64,
    pub(super) up: bool,
    /// As written in the spec.
    pub(super) tolerance: String,
    /// The spec's that decided.
    pub(super) generation: u64,
    /// Of the quote that raised it, in seconds.
    pub(super) time: f64,
}

impl Alarm {
    /// One line: when (UTC), what and by which tolerance.
    pub(super) fn line(&self) -> String {
        let sign = if self.up { '+' } else { '-' };
        let deviation =
            self.deviation.map(|deviation| format!("{sign}{:.4}% ", deviation * 100.0)).unwrap_or_default();
        let time = clock(self.time);
        format!(
            "{time}  {}  {}m  {deviation}({sign}{:.4})  tolerance {}  gen {}",
            self.entity, self.minutes, self.absolute, self.tolerance, self.generation
        )
    }
}

/// Hours, minutes and seconds (UTC) of a time in seconds since 1970.
fn clock(time: f64) -> String {
    // A cast of a float saturates, and no record has a time that it would have to.
    #[allow(clippy::cast_possible_truncation)]
    let seconds = (time as i64).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// One entity.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) entity: String,
    pub(super) price: String,
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
    price: Option<f64>,
    averages: HashMap<u32, Averages>,
}

#[derive(Debug, Default)]
struct Averages {
    last: Option<f64>,
    previous: Option<f64>,
    time: f64,
    alarm_time: Option<f64>,
}

/// The newest of everything.
#[derive(Debug, Default)]
pub(super) struct Table {
    entities: HashMap<String, Entity>,
    alarms: VecDeque<Alarm>,
    alarm_count: usize,
}

impl Table {
    /// Takes a record, in the order in which it was written.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Quote { entity, price } => {
                if let Some(entity) = self.entity(&entity) {
                    entity.price = Some(price);
                }
            }
            Event::Average { entity, minutes, average, time } => {
                if let Some(entity) = self.entity(&entity) {
                    let averages = entity.averages.entry(minutes).or_default();
                    averages.previous = averages.last.replace(average);
                    averages.time = time;
                }
            }
            Event::Alarm(alarm) => {
                if let Some(entity) = self.entity(&alarm.entity) {
                    entity.averages.entry(alarm.minutes).or_default().alarm_time = Some(alarm.time);
                }
                self.alarms.truncate(ALARMS - 1);
                self.alarms.push_front(alarm);
                self.alarm_count += 1;
            }
        }
    }

    fn entity(&mut self, name: &str) -> Option<&mut Entity> {
        if self.entities.len() >= ENTITIES && !self.entities.contains_key(name) {
            return None;
        }
        Some(self.entities.entry(name.to_owned()).or_default())
    }

    /// The latest alarms, the newest first.
    pub(super) fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter()
    }

    /// How many alarms there have been.
    pub(super) fn alarm_count(&self) -> usize {
        self.alarm_count
    }

    /// The spec's tickers in its order, then what a wildcard brought, by name.
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
                .map(|price| format!("{price:.2}"))
                .unwrap_or_default(),
            cells: cells.collect(),
        }
    }
}

impl Cell {
    fn of(averages: Option<&Averages>, tolerance: &Tolerance) -> Self {
        let last = averages.and_then(|averages| averages.last);
        let previous = averages.and_then(|averages| averages.previous);
        let deviation = last.zip(previous).map(|(last, previous)| match tolerance.bound {
            Bound::Absolute(_) => format!("{:+.4}", last - previous),
            Bound::Relative(_) if previous == 0.0 => String::new(),
            Bound::Relative(_) => format!("{:+.4}%", (last - previous) / previous.abs() * 100.0),
        });
        Self {
            average: last.map(|last| format!("{last:.4}")).unwrap_or_default(),
            deviation: deviation.unwrap_or_default(),
            tolerance: tolerance.text.clone(),
            alarmed: averages.is_some_and(|averages| averages.alarm_time == Some(averages.time)),
        }
    }
}

/// What an entity has instead of the window's own tolerance.
fn tolerance<'a>(spec: &'a Spec, entity: &str, minutes: u32) -> Option<&'a Tolerance> {
    let ticker = spec.tickers.iter().find(|ticker| ticker.entity == entity);
    let overrides = ticker.map_or(&spec.wildcard_overrides, |ticker| &ticker.overrides);
    overrides.iter().find(|window| window.minutes == minutes).map(|window| &window.tolerance)
}

#[cfg(test)]
mod tests {
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

    fn average(entity: &str, minutes: u32, average: f64, time: f64) -> Event {
        Event::Average { entity: entity.into(), minutes, average, time }
    }

    fn alarm(entity: &str, time: f64) -> Event {
        Event::Alarm(Alarm {
            entity: entity.into(),
            minutes: 1,
            deviation: Some(0.02),
            absolute: 2.0,
            up: true,
            tolerance: "1%".into(),
            generation: 1,
            time,
        })
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
            table.take(average(entity, 1, 100.0, 1.0));
            table.take(average(entity, 5, 50.0, 1.0));
            table.take(average(entity, 1, 101.0, 2.0));
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
        table.take(average("b", 1, 102.0, 2.0));
        table.take(alarm("b", 2.0));
        assert!(table.rows(&two())[0].cells[0].alarmed);
        assert!(!table.rows(&two())[0].cells[1].alarmed);
        table.take(average("b", 1, 102.0, 3.0));
        assert!(!table.rows(&two())[0].cells[0].alarmed);
        assert_eq!(table.alarm_count(), 1);
    }

    #[test]
    fn an_edited_spec_shows_at_once() {
        let mut table = Table::default();
        table.take(average("a", 1, 100.0, 1.0));
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
            table.take(Event::Quote { entity: entity.into(), price: 1.0 });
        }
        let every = spec("tickers: [{symbol: c}, {symbol: '*'}], source: {external: {}}");
        let names: Vec<_> = table.rows(&every).into_iter().map(|row| row.entity).collect();
        assert_eq!(names, ["c", "a", "z"]);
    }

    #[test]
    fn an_alarm_is_one_line() {
        let Event::Alarm(alarm) = alarm("meta", 1_700_000_000.25) else { panic!("no alarm") };
        assert_eq!(alarm.line(), "22:13:20  meta  1m  +2.0000% (+2.0000)  tolerance 1%  gen 1");
        let odd = Alarm { deviation: None, up: false, ..alarm };
        assert_eq!(odd.line(), "22:13:20  meta  1m  (-2.0000)  tolerance 1%  gen 1");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut table = Table::default();
        for n in 0..5000 {
            table.take(Event::Quote { entity: n.to_string(), price: 1.0 });
            table.take(alarm("a", 1.0));
        }
        assert_eq!(table.entities.len(), ENTITIES);
        assert_eq!((table.alarms().count(), table.alarm_count()), (ALARMS, 5000));
    }
}
