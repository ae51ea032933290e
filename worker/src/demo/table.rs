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
pub(super) enum ShownRecord {
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
    pub(super) fn take(&mut self, record: ShownRecord) {
        match record {
            ShownRecord::Quote(quote) => {
                if let Some(entity) = self.entity(&quote.entity) {
                    entity.price = Some(quote.price);
                }
            }
            ShownRecord::Average(record) => {
                if let Some(entity) = self.entity(&record.entity) {
                    let averages = entity.averages.entry(record.minutes).or_default();
                    averages.previous = averages.last.replace(record.average);
                    averages.time = record.time;
                }
            }
            ShownRecord::Alarm(alarm) => {
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
            ShownRecord::Entry(entry) => {
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
pub(super) mod tests;
