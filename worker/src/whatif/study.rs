//! Raw partitions, one after another: where each one's range begins, how far back it is warmed up, and its one pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use stockwatch_core::Shape;
use stockwatch_core::wire::{MAX_AHEAD, RawRecord};

use super::candidate::Candidate;
use super::pass::{JudgedRange, Pass, Seen};
use super::tally::{Figures, Totals};
use super::warm_up::WarmUp;
use super::written::Written;

/// [`MAX_AHEAD`] in milliseconds, as records are stamped.
pub(super) const MARGIN: i64 = MAX_AHEAD / 1_000_000;
/// Records in which the stamp of a log's first one is looked for.
const FIRST_RECORDS: i64 = 1000;

/// A raw topic, partition by partition.
pub trait RawLog {
    /// Why it cannot be read.
    type Error;

    /// The first offset and the one after the last record.
    ///
    /// # Errors
    /// It cannot be read.
    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Self::Error>;

    /// The first offset whose record is stamped `timestamp` (ms) or later; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn first_since(&mut self, partition: i32, timestamp: i64) -> Result<Option<i64>, Self::Error>;

    /// Gives the records of the offsets `from..to` in order; false: memory is used up, and it stopped.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(
        &mut self,
        partition: i32,
        from: i64,
        to: i64,
        each: impl FnMut(&RawRecord<'_>),
    ) -> Result<bool, Self::Error>;
}

/// What was counted so far.
#[derive(Debug)]
pub struct Study<'a> {
    candidates: &'a [Candidate],
    since: i64,
    pub(super) totals: Totals,
    /// What the range holds.
    pub seen: Seen,
    /// Tickers that the log cannot fill.
    pub left_out: BTreeSet<String>,
    /// Partitions whose log begins too late for the range.
    pub cut: BTreeSet<i32>,
}

impl<'a> Study<'a> {
    /// Judges from the first record stamped `since` (ms) on by each candidate; the first is what is in force.
    pub fn new(candidates: &'a [Candidate], since: i64, by_ticker: bool) -> Self {
        Self {
            candidates,
            since,
            totals: Totals::new(candidates, by_ticker),
            seen: Seen::default(),
            left_out: BTreeSet::new(),
            cut: BTreeSet::new(),
        }
    }

    /// Each candidate's figures for each window.
    pub fn windows(&self) -> &[Vec<Figures>] {
        &self.totals.windows
    }

    /// Takes a partition in; false: there was no memory for it, and nothing of it is counted.
    ///
    /// `rules` are those in force, `committed` is the offset up to which workers have judged, if that is known.
    ///
    /// # Errors
    /// Those of the log.
    pub fn judge<L: RawLog>(
        &mut self,
        log: &mut L,
        partition: i32,
        rules: &Arc<Shape>,
        committed: Option<i64>,
        written: &mut Written,
    ) -> Result<bool, L::Error> {
        let (low, high) = log.bounds(partition)?;
        let Some((since, start)) = self.start(log, partition, (low, high), rules)? else { return Ok(false) };
        let place = JudgedRange { partition, start, committed };
        let mut back = LookBack { partition, low, since, distance: warm_up_millis(rules) };
        let mut warm_up = WarmUp::new(rules, start);
        if !back.look(log, &mut warm_up, |warm_up| warm_up.is_enough())? {
            return Ok(false);
        }
        loop {
            let from = warm_up.replay_from(start);
            let mut pass = Pass::new(place, from, rules, self.candidates, written);
            if !log.read(partition, from, high, |record| pass.take(record))? {
                return Ok(false);
            }
            let unknown = pass.unknown(&warm_up);
            if !unknown.is_empty() && warm_up.from() > low {
                // Their last quotes are from before a night or a weekend, or they are new.
                if !back.look(log, &mut warm_up, |warm_up| unknown.iter().all(|t| warm_up.is_full(t)))? {
                    return Ok(false);
                }
                if unknown.iter().any(|ticker| warm_up.has_seen(ticker)) {
                    continue;
                }
            }
            let (seen, left_out) = pass.finish(&warm_up, &mut self.totals);
            self.seen.join(&seen);
            self.left_out.extend(left_out);
            return Ok(true);
        }
    }

    /// Where the range begins, as a stamp and an offset: later than asked for where the log does not go back far enough
    /// to fill windows. `None`: memory is used up.
    fn start<L: RawLog>(
        &mut self,
        log: &mut L,
        partition: i32,
        (low, high): (i64, i64),
        rules: &Shape,
    ) -> Result<Option<(i64, i64)>, L::Error> {
        let mut since = self.since;
        if low > 0 {
            let mut first = None;
            let to = high.min(low.saturating_add(FIRST_RECORDS));
            if !log.read(partition, low, to, |record| _ = first.get_or_insert(record.timestamp))? {
                return Ok(None);
            }
            let earliest = first.map(|first| first.saturating_add(warm_up_millis(rules)));
            if let Some(earliest) = earliest.filter(|earliest| *earliest > since) {
                self.cut.insert(partition);
                since = earliest;
            }
        }
        let start = log.first_since(partition, since)?.unwrap_or(high).clamp(low, high.max(low));
        Ok(Some((since, start)))
    }
}

/// Milliseconds of the log that usually fill the longest window.
fn warm_up_millis(rules: &Shape) -> i64 {
    i64::from(rules.longest()) * 60_000 + 2 * MARGIN
}

/// The stretches before a partition's range.
struct LookBack {
    partition: i32,
    low: i64,
    since: i64,
    /// From the range's start to the begin of the next stretch, ms.
    distance: i64,
}

impl LookBack {
    /// Looks further back until that is enough or the log begins; false: memory is used up.
    fn look<L: RawLog>(
        &mut self,
        log: &mut L,
        warm_up: &mut WarmUp<'_>,
        is_enough: impl Fn(&WarmUp<'_>) -> bool,
    ) -> Result<bool, L::Error> {
        while warm_up.from() > self.low && !is_enough(warm_up) {
            let to = warm_up.from();
            let target = self.since.saturating_sub(self.distance);
            self.distance = self.distance.saturating_mul(2);
            let from = match target {
                ..=0 => self.low,
                _ => log.first_since(self.partition, target)?.unwrap_or(to).clamp(self.low, to),
            };
            warm_up.begin(from, (from > self.low).then_some(target));
            if !log.read(self.partition, from, to, |record| warm_up.note(record))? {
                return Ok(false);
            }
            warm_up.end();
        }
        Ok(true)
    }
}
