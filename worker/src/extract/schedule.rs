//! When each symbol is fetched. Pure: the caller passes the time.
//!
//! Each symbol has a phase, a hash of its name between 0 and 1, and is due whenever Unix time is its phase of an
//! interval past a multiple of the interval. So requests spread over the interval, a symbol keeps its place when it
//! moves to another process, and a changed interval only changes the grid: no burst of requests follows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A newly owned symbol is first fetched within this time, if the rate allows.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// When each symbol is due; at most one request of a symbol is in flight.
#[derive(Debug)]
pub(super) struct Schedule {
    zero: Instant,
    /// Unix time at `zero`: the grid's anchor, read once, so that a jumping clock moves nothing.
    unix_at_zero: Duration,
    /// The interval that is kept: the one asked for, or longer if that would exceed the rate.
    kept: Duration,
    least_gap: Duration,
    /// `None` while a request is in flight.
    due: HashMap<String, Option<Instant>>,
    queue: BTreeSet<(Instant, String)>,
    /// No request starts before, because of the rate limit or a pause.
    ready: Instant,
}

impl Schedule {
    /// Returns an empty schedule at `now`, which is `unix` since 1970.
    pub(super) fn new(now: Instant, unix: Duration) -> Self {
        Self {
            zero: now,
            unix_at_zero: unix,
            kept: Duration::from_secs(60),
            least_gap: Duration::ZERO,
            due: HashMap::new(),
            queue: BTreeSet::new(),
            ready: now,
        }
    }

    /// Schedules exactly `symbols` from now on, each once an `interval`, or as often as `least_gap` between two starts
    /// allows. Returns the interval that is kept.
    pub(super) fn set(
        &mut self,
        now: Instant,
        symbols: &HashSet<&str>,
        interval: Duration,
        least_gap: Duration,
    ) -> Duration {
        self.due.retain(|symbol, _| symbols.contains(symbol.as_str()));
        self.queue.retain(|(_, symbol)| symbols.contains(symbol.as_str()));
        self.least_gap = least_gap;
        let count = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
        let kept = interval.max(least_gap.saturating_mul(count)).max(Duration::from_millis(1));
        if kept != self.kept {
            self.kept = kept;
            self.place_again(now);
        }
        let added: Vec<&str> =
            symbols.iter().copied().filter(|symbol| !self.due.contains_key(*symbol)).collect();
        let added_count = u32::try_from(added.len()).unwrap_or(u32::MAX);
        let within = kept.min(FIRST_WITHIN.max(least_gap.saturating_mul(added_count)));
        for symbol in added {
            let first = now.max(self.ready) + fraction(phase(symbol), within);
            self.place(symbol, first);
        }
        kept
    }

    /// Returns when the next request may start.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| (*due).max(self.ready))
    }

    /// Returns a symbol whose request is to start now; it is in flight until [`Self::done`].
    pub(super) fn start(&mut self, now: Instant) -> Option<String> {
        if self.next()? > now {
            return None;
        }
        let (_, symbol) = self.queue.pop_first()?;
        self.due.insert(symbol.clone(), None);
        self.ready = now + self.least_gap;
        Some(symbol)
    }

    /// Notes that a request ended: the symbol is due at its next place on the grid that is not before `earliest`.
    pub(super) fn done(&mut self, now: Instant, symbol: &str, earliest: Instant) {
        if self.due.get(symbol) == Some(&None) {
            // At least half an interval later, so that a first or late fetch is not repeated at once.
            let after = earliest.max(now + self.kept / 2);
            self.place(symbol, self.after(symbol, after));
        }
    }

    /// Ends any pause, since another source is asked; symbols whose requests were dropped take their next places.
    pub(super) fn restart(&mut self, now: Instant) {
        self.ready = now;
        let waiting = |due: &Option<Instant>| due.is_none();
        let symbols: Vec<String> =
            self.due.iter().filter(|(_, due)| waiting(due)).map(|(symbol, _)| symbol.clone()).collect();
        for symbol in symbols {
            self.place(&symbol, self.after(&symbol, now));
        }
    }

    /// Starts no request before `until`. Symbols due by then take their next places after it, so that they do not burst.
    pub(super) fn pause(&mut self, until: Instant) {
        self.ready = self.ready.max(until);
        let overdue: Vec<String> = self
            .queue
            .iter()
            .take_while(|(due, _)| *due < self.ready)
            .map(|(_, symbol)| symbol.clone())
            .collect();
        for symbol in overdue {
            self.place(&symbol, self.after(&symbol, self.ready));
        }
    }

    fn place_again(&mut self, now: Instant) {
        let symbols: Vec<String> = self.queue.iter().map(|(_, symbol)| symbol.clone()).collect();
        for symbol in symbols {
            self.place(&symbol, self.after(&symbol, now.max(self.ready)));
        }
    }

    fn place(&mut self, symbol: &str, due: Instant) {
        if let Some(Some(before)) = self.due.insert(symbol.to_owned(), Some(due)) {
            self.queue.remove(&(before, symbol.to_owned()));
        }
        self.queue.insert((due, symbol.to_owned()));
    }

    /// Returns the symbol's first place on the grid after `time`.
    fn after(&self, symbol: &str, time: Instant) -> Instant {
        let interval = self.kept.as_nanos();
        let offset = fraction(phase(symbol), self.kept).as_nanos();
        let unix = (self.unix_at_zero + time.saturating_duration_since(self.zero)).as_nanos();
        let wait = interval - (unix + interval - offset) % interval;
        time + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

/// Returns a stable place of a symbol within the interval, as a fraction of 2³².
fn phase(symbol: &str) -> u32 {
    let hash = Sha256::digest(symbol.as_bytes());
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Returns `phase`/2³² of `span`.
fn fraction(phase: u32, span: Duration) -> Duration {
    let nanos = (span.as_nanos() * u128::from(phase)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;

    const UNIX: Duration = Duration::from_millis(1_700_000_000_123);
    const GAP: Duration = Duration::from_millis(100);
    const MINUTE: Duration = Duration::from_secs(60);

    fn symbols(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("S{i}")).collect()
    }

    fn set_of(symbols: &[String]) -> HashSet<&str> {
        symbols.iter().map(String::as_str).collect()
    }

    /// Every start in `span`, if each request ends at once.
    fn starts(schedule: &mut Schedule, from: Instant, span: Duration) -> Vec<(Duration, String)> {
        let mut starts = Vec::new();
        while let Some(at) = schedule.next().filter(|at| *at < from + span) {
            let at = at.max(from);
            let symbol = schedule.start(at).unwrap();
            schedule.done(at, &symbol, at);
            starts.push((at - from, symbol));
        }
        starts
    }

    fn most_in_a_second(starts: &[(Duration, String)]) -> usize {
        let second = Duration::from_secs(1);
        starts
            .iter()
            .map(|(at, _)| starts.iter().filter(|(other, _)| at <= other && *other < *at + second).count())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn every_symbol_is_fetched_once_an_interval() {
        let symbols = symbols(100);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        assert_eq!(schedule.set(now, &set_of(&symbols), MINUTE, GAP), MINUTE);
        starts(&mut schedule, now, 2 * MINUTE);
        let starts = starts(&mut schedule, now + 2 * MINUTE, 10 * MINUTE);
        for symbol in &symbols {
            let count = starts.iter().filter(|(_, started)| started == symbol).count();
            assert!((9..=11).contains(&count), "{symbol}: {count}");
        }
    }

    #[test]
    fn requests_spread_over_the_interval() {
        let symbols = symbols(300);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        schedule.set(now, &set_of(&symbols), MINUTE, GAP);
        starts(&mut schedule, now, 2 * MINUTE);
        let starts = starts(&mut schedule, now + 2 * MINUTE, MINUTE);
        for tenth in 0..10 {
            let (from, to) = (tenth * MINUTE / 10, (tenth + 1) * MINUTE / 10);
            let count = starts.iter().filter(|(at, _)| from <= *at && *at < to).count();
            assert!((10..=60).contains(&count), "{count} of 300 in the tenth {tenth}");
        }
    }

    #[test]
    fn new_symbols_come_soon_and_within_the_rate() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        let few = symbols(20);
        schedule.set(now, &set_of(&few), MINUTE, GAP);
        let first = starts(&mut schedule, now, FIRST_WITHIN + 20 * GAP);
        assert_eq!(first.iter().map(|(_, symbol)| symbol).collect::<HashSet<_>>().len(), 20);
        assert!(most_in_a_second(&first) <= 10);
    }

    #[test]
    fn too_many_symbols_stretch_the_interval_evenly() {
        let symbols = symbols(1000);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        let kept = schedule.set(now, &set_of(&symbols), MINUTE, GAP);
        assert_eq!(kept, Duration::from_secs(100));
        let starts = starts(&mut schedule, now, 10 * kept);
        assert!(most_in_a_second(&starts) <= 10);
        for symbol in &symbols {
            let count = starts.iter().filter(|(_, started)| started == symbol).count();
            assert!((7..=11).contains(&count), "{symbol}: {count}");
        }
    }

    #[test]
    fn a_changed_interval_does_not_burst() {
        let symbols = symbols(200);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        schedule.set(now, &set_of(&symbols), MINUTE, Duration::ZERO);
        starts(&mut schedule, now, 2 * MINUTE);
        let now = now + 2 * MINUTE;
        let half = MINUTE / 2;
        assert_eq!(schedule.set(now, &set_of(&symbols), half, Duration::ZERO), half);
        let starts = starts(&mut schedule, now, half);
        assert!(most_in_a_second(&starts) <= 25, "{}", most_in_a_second(&starts));
        assert!((190..=210).contains(&starts.len()), "{}", starts.len());
    }

    #[test]
    fn a_removed_symbol_is_not_started_nor_put_back() {
        let symbols = symbols(2);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        schedule.set(now, &set_of(&symbols), MINUTE, GAP);
        let later = now + MINUTE;
        let started = schedule.start(later).unwrap();
        schedule.set(later, &HashSet::new(), MINUTE, GAP);
        schedule.done(later, &started, later);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn after_a_pause_the_symbols_spread_again() {
        let symbols = symbols(100);
        let now = Instant::now();
        let mut schedule = Schedule::new(now, UNIX);
        schedule.set(now, &set_of(&symbols), MINUTE, Duration::ZERO);
        let end = now + 5 * MINUTE;
        schedule.pause(end);
        assert!(schedule.next().unwrap() >= end);
        let starts = starts(&mut schedule, end, MINUTE);
        assert!((99..=100).contains(&starts.len()), "{}", starts.len());
        assert!(most_in_a_second(&starts) <= 10, "{}", most_in_a_second(&starts));
    }

    #[test]
    fn a_symbol_keeps_its_place_in_another_process() {
        let now = Instant::now();
        let (mut one, mut other) = (Schedule::new(now, UNIX), Schedule::new(now, UNIX + 7 * MINUTE / 3));
        for schedule in [&mut one, &mut other] {
            schedule.set(now, &HashSet::from(["META"]), MINUTE, GAP);
        }
        let within = |schedule: &Schedule| {
            let due = schedule.after("META", now + MINUTE);
            (schedule.unix_at_zero + (due - now)).as_nanos() % MINUTE.as_nanos()
        };
        assert_eq!(within(&one), within(&other));
    }
}
