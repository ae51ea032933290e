//! One entity's accepted quotes and its sliding windows over them.

mod currency;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::NANO;
use crate::average::Average;
use crate::said::Said;
use crate::sample::Sample;

/// Where a quote joins its entity's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the newest.
    Newest,
    /// Older than the newest, it joins the windows that still hold its time; its place among the samples.
    Late(usize),
}

/// Why a quote that is not bad does not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misplaced {
    /// A quote of the same time was accepted before.
    Duplicate {
        /// It had another price.
        other_price: bool,
    },
    /// Older than every window.
    TooLate,
}

/// A window (T−W, T] over the entity's samples: those from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowSum {
    length: i64,
    start: usize,
    sum: i128,
    /// An average was computed since the window came, so the next one has something to differ from.
    primed: bool,
}

/// What an entity's table record says besides the samples, and what is not in that record yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The raw offset from which the entity was computed.
    pub born: i64,
    /// The raw offset from which its quotes are of one currency: where it was born, or began anew.
    pub since: i64,
    /// `None` before the first quote that says one.
    pub currency: Option<Currency>,
    /// The raw offset of its last accepted quote.
    pub accepted: i64,
    /// The raw offset of its last quote, accepted or not, as far as is known.
    pub seen: i64,
    /// Records below this raw offset are in the state: replay skips them.
    pub covered: i64,
    /// The epoch of the shape that the state is under.
    pub epoch: u64,
    /// The value of the last accepted quote's raw record, as it goes to the deduplicated stream.
    pub value: Vec<u8>,
    /// What its checkpoints hold.
    pub saved: Saved,
    /// What was said of it.
    pub said: Said,
    /// The table has a record of that.
    pub(crate) is_said_in_table: bool,
    /// That record is to be written, or deleted.
    pub(crate) is_said_due: bool,
    samples: VecDeque<Sample>, // by time, within the longest window
    windows: Vec<WindowSum>,   // ascending by length, as in the shape
}

/// The currency of an entity's prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// As written by the quotes that say it.
    pub code: Box<str>,
    /// Event time of the newest of them, nanoseconds since 1970.
    pub time: i64,
}

/// The immutable chunks of samples in the table, and the first change that no checkpoint holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The raw offset of the first change after the last checkpoint; `None`: all is saved.
    pub dirty_from: Option<i64>,
    /// The number that the next chunk gets.
    pub next_chunk: u64,
    /// Number and newest time of each live chunk, oldest first.
    pub chunks: VecDeque<(u64, i64)>,
    /// Every sample up to this time is in a chunk, `late` aside.
    pub chunked_until: i64,
    /// Samples that came late, at or below `chunked_until`, and are in no chunk.
    pub late: Vec<Sample>,
}

impl Entity {
    /// An entity without a quote.
    pub fn new(born: i64, epoch: u64, minutes: impl Iterator<Item = u32>) -> Self {
        Self {
            born,
            since: born,
            currency: None,
            accepted: -1,
            seen: -1,
            covered: 0,
            epoch,
            value: Vec::new(),
            saved: Saved { chunked_until: i64::MIN, ..Saved::default() },
            said: Said::default(),
            is_said_in_table: false,
            is_said_due: false,
            samples: VecDeque::new(),
            windows: minutes
                .map(|m| WindowSum { length: length(m), start: 0, sum: 0, primed: false })
                .collect(),
        }
    }

    /// The samples within the longest window, by time.
    pub fn samples(&self) -> &VecDeque<Sample> {
        &self.samples
    }

    /// The newest event time.
    #[inline]
    pub fn newest(&self) -> Option<i64> {
        self.samples.back().map(|s| s.time)
    }

    /// The longest window in nanoseconds.
    #[inline]
    pub fn longest(&self) -> i64 {
        self.windows.last().map_or(0, |w| w.length)
    }

    /// Each window's average at the newest event time; empty before the first quote.
    #[inline]
    pub fn averages(&self) -> impl Iterator<Item = Average> + '_ {
        self.windows.iter().filter_map(|w| self.average(w))
    }

    #[inline]
    fn average(&self, window: &WindowSum) -> Option<Average> {
        let count = self.samples.len() - window.start;
        (count > 0).then_some(Average { sum: window.sum, count: count as u64 })
    }

    /// The lengths in minutes of the windows that have computed an average; `minutes` are those of all.
    pub fn primed(&self, minutes: &[u32]) -> Vec<u32> {
        let primed = |m: &u32| self.windows.iter().any(|w| w.primed && w.length == length(*m));
        minutes.iter().copied().filter(primed).collect()
    }

    /// Where a quote joins.
    ///
    /// # Errors
    /// It does not, or not as far as its time tells.
    #[inline]
    pub fn place(&self, sample: Sample) -> Result<Place, Misplaced> {
        let Some(newest) = self.samples.back().filter(|newest| newest.time >= sample.time) else {
            return Ok(Place::Newest);
        };
        match self.samples.binary_search_by_key(&sample.time, |s| s.time) {
            Ok(at) => Err(Misplaced::Duplicate { other_price: self.samples[at].price != sample.price }),
            Err(_) if sample.time <= newest.time - self.longest() => Err(Misplaced::TooLate),
            Err(at) => Ok(Place::Late(at)),
        }
    }

    /// Takes a quote in at its place; `previous` gets each window's last computed average.
    #[inline]
    pub fn join(&mut self, sample: Sample, place: Place, previous: &mut Vec<Option<Average>>) {
        self.remember_averages(previous);
        match place {
            Place::Newest => self.push_newest(sample),
            Place::Late(at) => self.insert_late(sample, at),
        }
    }

    fn remember_averages(&mut self, previous: &mut Vec<Option<Average>>) {
        previous.clear();
        for i in 0..self.windows.len() {
            let window = self.windows[i];
            previous.push(if window.primed { self.average(&window) } else { None });
            self.windows[i].primed = true;
        }
    }

    fn push_newest(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        for window in &mut self.windows {
            window.sum += i128::from(sample.price);
            let oldest = sample.time.saturating_sub(window.length);
            while let Some(gone) = self.samples.get(window.start).filter(|s| s.time <= oldest) {
                window.sum -= i128::from(gone.price);
                window.start += 1;
            }
        }
        self.drop_front();
    }

    /// Forgets what the longest window no longer holds.
    fn drop_front(&mut self) {
        let gone = self.windows.last().map_or(0, |w| w.start);
        if gone > 0 {
            for _ in 0..gone {
                self.samples.pop_front();
            }
            for window in &mut self.windows {
                window.start -= gone;
            }
        }
    }

    fn insert_late(&mut self, sample: Sample, at: usize) {
        let newest = self.newest().unwrap_or(sample.time);
        self.samples.insert(at, sample);
        for window in &mut self.windows {
            if sample.time > newest - window.length {
                window.sum += i128::from(sample.price);
            } else {
                window.start += 1;
            }
        }
        if sample.time <= self.saved.chunked_until {
            self.saved.late.push(sample);
        }
    }

    /// Takes the windows of a new shape: those kept stay primed, new ones start from the samples at hand.
    ///
    /// `older` are samples from before the old longest window, by time, each before all that are here.
    pub fn reshape(&mut self, epoch: u64, minutes: impl Iterator<Item = u32> + Clone, older: &[Sample]) {
        self.epoch = epoch;
        self.is_said_due |= self.said.retain_windows(minutes.clone());
        for sample in older.iter().rev() {
            self.samples.push_front(*sample);
        }
        self.saved.late.extend(older.iter().filter(|s| s.time <= self.saved.chunked_until));
        let old = std::mem::take(&mut self.windows);
        self.windows = minutes
            .map(|m| {
                let primed = old.iter().any(|w| w.length == length(m) && w.primed);
                WindowSum { length: length(m), start: 0, sum: 0, primed }
            })
            .collect();
        self.recount();
    }

    /// Rebuilds the windows from samples in any order, as a checkpoint gives them; `primed` by window.
    pub fn restore(&mut self, mut samples: Vec<Sample>, primed: impl Fn(u32) -> bool) {
        samples.sort_unstable();
        samples.dedup_by_key(|s| s.time);
        self.samples = samples.into();
        for window in &mut self.windows {
            window.primed = primed(u32::try_from(window.length / (60 * NANO)).unwrap_or(0));
        }
        self.recount();
    }

    fn recount(&mut self) {
        let Some(newest) = self.newest() else { return };
        for window in &mut self.windows {
            window.start = self.samples.partition_point(|s| s.time <= newest.saturating_sub(window.length));
            window.sum = self.samples.range(window.start..).map(|s| i128::from(s.price)).sum();
        }
        self.drop_front();
    }

    /// The samples that are in no chunk.
    pub fn unchunked(&self) -> impl Iterator<Item = &Sample> {
        let until = self.saved.chunked_until;
        let oldest = self.samples.front().map_or(i64::MAX, |s| s.time);
        let from = self.samples.partition_point(|s| s.time <= until);
        self.saved.late.iter().filter(move |s| s.time >= oldest).chain(self.samples.range(from..))
    }
}

/// The key under which an entity is known.
pub type Name = Arc<str>;

/// A window's length in nanoseconds.
pub(crate) fn length(minutes: u32) -> i64 {
    i64::from(minutes) * 60 * NANO
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entity(minutes: &[u32]) -> Entity {
        Entity::new(0, 1, minutes.iter().copied())
    }

    fn join_into(
        entity: &mut Entity,
        minute: i64,
        price: i64,
        previous: &mut Vec<Option<Average>>,
    ) -> Result<Place, Misplaced> {
        let sample = Sample { time: minute * 60 * NANO, price };
        let place = entity.place(sample)?;
        entity.join(sample, place, previous);
        Ok(place)
    }

    fn join(entity: &mut Entity, minute: i64, price: i64) -> Result<Place, Misplaced> {
        join_into(entity, minute, price, &mut Vec::new())
    }

    fn averages(entity: &Entity) -> Vec<(i128, u64)> {
        entity.averages().map(|a| (a.sum, a.count)).collect()
    }

    #[test]
    fn a_window_holds_its_end_but_not_its_beginning() {
        let mut e = entity(&[5, 10]);
        for minute in 0..=5 {
            assert_eq!(join(&mut e, minute, 1 << minute), Ok(Place::Newest));
        }
        assert_eq!(averages(&e), [(0b11_1110, 5), (0b11_1111, 6)]);
    }

    #[test]
    fn a_late_quote_joins_just_the_windows_that_hold_its_time() {
        let mut e = entity(&[5, 10]);
        join(&mut e, 0, 1).unwrap();
        join(&mut e, 8, 2).unwrap();
        assert_eq!(join(&mut e, 2, 4), Ok(Place::Late(1)));
        assert_eq!(averages(&e), [(2, 1), (7, 3)]);
        assert_eq!(join(&mut e, 2, 8), Err(Misplaced::Duplicate { other_price: true }));
        assert_eq!(join(&mut e, 2, 4), Err(Misplaced::Duplicate { other_price: false }));
        assert_eq!(join(&mut e, -2, 8), Err(Misplaced::TooLate));
        join(&mut e, 10, 16).unwrap();
        assert_eq!(averages(&e), [(18, 2), (22, 3)]);
    }

    #[test]
    fn a_new_window_alarms_from_its_second_average() {
        let mut e = entity(&[5]);
        let mut previous = Vec::new();
        join(&mut e, 0, 1).unwrap();
        e.reshape(2, [3, 5].into_iter(), &[]);
        join_into(&mut e, 1, 3, &mut previous).unwrap();
        assert_eq!(previous, [None, Some(Average { sum: 1, count: 1 })]);
        join_into(&mut e, 2, 3, &mut previous).unwrap();
        assert_eq!(previous.iter().filter(|p| p.is_some()).count(), 2);
    }

    #[test]
    fn a_lengthened_window_takes_older_samples_in() {
        let mut e = entity(&[5]);
        join(&mut e, 8, 2).unwrap();
        e.reshape(2, [10].into_iter(), &[Sample { time: 60 * NANO, price: 5 }]);
        assert_eq!(averages(&e), [(7, 2)]);
    }
}
