//! Whether quotes flow: what this process knows of its tickers, of raw records and of partitions, for `/quotes`, for the
//! metrics and so for the operator, which merges the reports of all workers (`stockwatch_crds::flow`).
//!
//! | file | what it is |
//! |---|---|
//! | `session` | when a market trades |
//! | `ticker` | one ticker: how its last fetch ended, whether a quote is due |
//! | `source` | whether the source as a whole answers |
//! | `tickers` | all of them, and their report |
//! | `external` | what came of records that somebody else writes |

mod external;
mod session;
mod source;
mod ticker;
mod tickers;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stockwatch_crds::Source;
use stockwatch_crds::flow::{FlowReport, Held};

use self::external::Committed;
pub(crate) use self::external::DeadLetters;
pub(crate) use self::session::Phase;
pub use self::session::{Instrument, Session};
use self::tickers::Tickers;
pub(crate) use self::tickers::{Heard, HeldTimes};
use crate::metrics::{FailingLabel, FetchOutcome, Metrics};

/// Shared by the extractor and the pipeline, which write it, and the HTTP server, which reads it.
#[derive(Debug)]
pub struct Flow {
    /// Since 1970.
    clock: fn() -> Duration,
    began: i64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tickers: Tickers,
    committed: Committed,
    held: Vec<Held>,
}

impl Default for Flow {
    fn default() -> Self {
        Self::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl Flow {
    /// Knows nothing yet; `clock` gives the time since 1970.
    pub fn new(clock: fn() -> Duration) -> Self {
        Self { clock, began: seconds(clock()), known: Mutex::default() }
    }

    /// The extractor asks for these symbols from now on.
    pub fn follow<'a>(&self, symbols: impl IntoIterator<Item = &'a str>) {
        self.lock().tickers.follow(symbols);
    }

    /// The extractor asks another source.
    pub fn forget(&self) {
        self.lock().tickers.forget();
    }

    /// A request ended; `heard` has what it gave for each symbol. `is_apart`: it was refused for its symbols alone.
    pub(crate) fn heard<'a>(&self, is_apart: bool, heard: impl IntoIterator<Item = (&'a str, Heard<'a>)>) {
        let now = self.now();
        let mut known = self.lock();
        if is_apart { known.tickers.heard_apart(now, heard) } else { known.tickers.heard(now, heard) }
    }

    /// The pipeline has committed a transaction with so many accepted quotes, and so many dead letters by reason.
    pub(crate) fn committed(&self, accepted: u64, dead_letters: &DeadLetters) {
        let now = self.now();
        self.lock().committed.note(now, accepted, dead_letters);
    }

    /// What the partitions that compute hold, and the times of the newest quotes of their tickers.
    pub(crate) fn set_held(&self, held: Vec<Held>, times: HeldTimes) {
        let mut known = self.lock();
        known.held = held;
        known.tickers.hold(times);
    }

    /// The report, without the StockWatch's uid.
    pub fn report(&self, source: &Source) -> FlowReport {
        let (now, known) = (self.now(), self.lock());
        let expectation = external::expectation(source);
        let external = expectation.map(|every| known.committed.report(self.began, every));
        FlowReport { external, partitions: known.held.clone(), ..known.tickers.report(now) }
    }

    /// Sets the gauges that say how things are at the time of a scrape.
    pub fn measure(&self, metrics: &Metrics) {
        let (now, known) = (self.now(), self.lock());
        metrics.newest_quote_age_seconds.set(known.tickers.newest_age(now));
        let failing = known.tickers.failing_by_outcome();
        for outcome in FetchOutcome::ALL {
            let count = failing.get(&outcome).copied().unwrap_or_default();
            metrics.failing_tickers.get_or_create(&FailingLabel(outcome)).set(count);
        }
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        seconds((self.clock)())
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_millis(&self) -> i64 {
        i64::try_from((self.clock)().as_millis()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod simulation;
