//! Fidelity: whether the replay gives the alarms that were really written, with their ids, and no others.

use std::collections::HashMap;
use std::ops::AddAssign;

use serde::Serialize;
use stockwatch_core::wire::{AlarmIds, AlarmRecord};
use stockwatch_core::{Accepted, exceeds};
use stockwatch_crds::Tolerance;

/// How the replay compares with what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fidelity {
    /// Alarms written for quotes of the range.
    pub written: u64,
    /// Those of them that the replay gives by their own tolerance, with their id.
    pub found: u64,
    /// Alarms of the replay that were not written, where written ones show that the rules in force were in force; `None`
    /// where none shows it.
    pub added: Option<u64>,
    /// Written alarms that are not compared: of tickers that are not counted, or of windows that there are no more.
    pub aside: u64,
}

impl AddAssign for Fidelity {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.found += other.found;
        self.added = self.added.into_iter().chain(other.added).reduce(|sum, added| sum + added);
        self.aside += other.aside;
    }
}

/// An alarm that was written.
#[derive(Debug)]
struct WrittenAlarm {
    minutes: u32,
    tolerance: Tolerance,
    generation: u64,
    id: String,
    /// The raw partition whose replay gives it.
    found: Option<i32>,
}

/// Those of one ticker.
#[derive(Debug, Default)]
struct OfTicker {
    /// By the event time of the ticker's newest quote then.
    alarms: HashMap<i64, Vec<WrittenAlarm>>,
    /// The raw partition with a quote of it in the range, and the ticker's newest event time before that quote.
    before: Option<(i32, Option<i64>)>,
}

/// What was written of some raw partitions' quotes.
#[derive(Debug)]
pub struct Written {
    tickers: HashMap<String, OfTicker>,
    ids: AlarmIds,
    id: String,
    /// The newest generation among them.
    generation: u64,
}

/// What of a quote's alarms was written.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// The windows, a bit for each place.
    pub(super) windows: u16,
    /// Whether one of them shows that the rules in force were in force (true) or not (false).
    pub(super) is_in_force: Option<bool>,
}

impl Written {
    /// Nothing yet, of a raw topic of this name.
    pub fn new(raw_topic: &str) -> Self {
        Self { tickers: HashMap::new(), ids: AlarmIds::new(raw_topic), id: String::new(), generation: 0 }
    }

    /// Takes the value of a record of `deviation-alarm` in; what cannot be read is another program's.
    pub fn add(&mut self, value: &[u8]) {
        let Ok(record) = AlarmRecord::parse(value) else { return };
        let Ok(tolerance) = Tolerance::parse(&record.tolerance) else { return };
        self.generation = self.generation.max(record.generation);
        let AlarmRecord { minutes, generation, id, .. } = record;
        let alarm = WrittenAlarm { minutes, tolerance, generation, id, found: None };
        self.tickers.entry(record.entity).or_default().alarms.entry(record.time).or_default().push(alarm);
    }

    /// Forgets what a replay of a raw partition found, since it begins again.
    pub(super) fn begin(&mut self, partition: i32) {
        for alarm in self.tickers.values_mut().flat_map(|ticker| ticker.alarms.values_mut().flatten()) {
            alarm.found = alarm.found.filter(|found| *found != partition);
        }
        for ticker in self.tickers.values_mut() {
            ticker.before = ticker.before.filter(|(of, _)| *of != partition);
        }
    }

    /// Marks what was written of a quote and is found again.
    pub(super) fn compare(&mut self, partition: i32, quote: &Accepted<'_>) -> Matched {
        let mut matched = Matched::default();
        let Some(ticker) = self.tickers.get_mut(quote.name) else { return matched };
        ticker.before.get_or_insert((partition, quote.previous_time));
        let Some(alarms) = ticker.alarms.get_mut(&quote.entity.newest().unwrap_or_default()) else {
            return matched;
        };
        let windows = quote.entity.averages().zip(quote.previous).zip(&quote.shape.windows);
        for (place, ((average, previous), window)) in windows.enumerate() {
            for alarm in alarms.iter_mut().filter(|alarm| alarm.minutes == window.minutes) {
                self.ids.write(&mut self.id, partition, quote.origin, window.minutes);
                if alarm.id != self.id {
                    continue;
                }
                matched.windows |= 1 << place;
                let in_force = quote.shape.tolerance(quote.name, place);
                let is_in_force = alarm.generation == quote.shape.generation && alarm.tolerance == *in_force;
                matched.is_in_force = Some(is_in_force && matched.is_in_force.unwrap_or(true));
                if previous.is_some_and(|previous| exceeds(average, previous, alarm.tolerance.bound)) {
                    alarm.found = Some(partition);
                }
            }
        }
        matched
    }

    /// The newest generation that an alarm names; 0 if there is none.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Counts; `is_compared` says whether a ticker is counted and has a window of so many minutes.
    pub fn finish(self, is_compared: impl Fn(&str, u32) -> bool) -> Fidelity {
        let mut fidelity = Fidelity::default();
        for (entity, OfTicker { alarms, before }) in &self.tickers {
            // Without a quote in the range its alarms are of earlier ones.
            let Some((_, before)) = before else { continue };
            for (time, alarm) in alarms.iter().flat_map(|(time, all)| all.iter().map(move |one| (time, one)))
            {
                let is_earlier = before.is_some_and(|before| *time <= before);
                if is_earlier && alarm.found.is_none() {
                    continue;
                }
                if is_compared(entity, alarm.minutes) {
                    fidelity.written += 1;
                    fidelity.found += u64::from(alarm.found.is_some());
                } else {
                    fidelity.aside += 1;
                }
            }
        }
        fidelity
    }
}
