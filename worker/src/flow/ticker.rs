//! One ticker: how its last fetch ended, and whether new quotes of it are due.

use std::mem;

use super::session::{DAY, HOUR, MINUTE, Session, Trading};
use crate::metrics::FetchOutcome;

/// After the opening, and after the source's delay, before quotes are due.
const AFTER_OPENING: i64 = 30 * MINUTE;
/// A ticker is never called silent sooner.
const SILENT: i64 = 30 * MINUTE;
/// Nor before so many of its usual gaps.
const SILENT_GAPS: i64 = 10;
/// Silence of a ticker whose usual gap is not known.
const SILENT_UNKNOWN: i64 = 2 * HOUR;
/// A source is never taken to be later than this.
const MOST_DELAY: i64 = HOUR;
/// So many gaps make a usual one.
const GAPS_KNOWN: u32 = 5;
/// Up to this many, the longest one is the usual one: the first gaps of a rarely traded ticker may be short.
const GAPS_FIRST: u32 = 20;
/// What differs from a quote by almost a day is of the day before, some minutes on.
const STALE: i64 = DAY - 4 * HOUR;
/// A quote from further in the future says nothing of time.
const AHEAD: i64 = 5 * MINUTE;
/// A ticker that fails for less long may come by itself.
const LASTS: i64 = 15 * MINUTE;

/// What is known of a ticker. Times are seconds since 1970; `now` is the clock's.
#[derive(Debug, Default)]
pub(super) struct TickerFlow {
    session: Option<Session>,
    outcome: Option<FetchOutcome>,
    failing_since: Option<i64>,
    /// The time of the last answer's quote, and of the newest one.
    last: Option<i64>,
    newest: Option<i64>,
    /// When the newest quote came, and the start of the trading time that it is of.
    fresh_at: Option<i64>,
    fresh_in: Option<i64>,
    /// How much later than its time a quote comes, at best.
    delay: Option<i64>,
    gaps: Gaps,
    /// Times of the newest quotes that its partition held before the first answer, ascending.
    held: Vec<i64>,
}

/// The usual time between two new quotes.
#[derive(Debug, Default)]
struct Gaps {
    count: u32,
    usual: i64,
}

impl Gaps {
    /// Rises fast and falls slowly, so that it stays above the mean of gaps that vary; an outage does not count in full.
    fn learn(&mut self, gap: i64) {
        self.count = self.count.saturating_add(1);
        if self.count <= GAPS_FIRST {
            self.usual = self.usual.max(gap);
            return;
        }
        let gap = gap.min(4 * self.usual + MINUTE);
        self.usual += if gap > self.usual { (gap - self.usual) / 4 } else { (gap - self.usual) / 64 };
    }

    fn is_known(&self) -> bool {
        self.count >= GAPS_KNOWN
    }
}

/// What is due of a ticker now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing: its market is closed, has just opened, has a holiday, or never says when quotes come.
    Nothing,
    /// Its market is open and had a quote, but the next one is not due.
    Open,
    /// A new quote is due.
    Quote {
        /// None has come for much longer than usual.
        is_silent: bool,
        /// Its usual gap is known.
        is_known: bool,
    },
}

impl TickerFlow {
    /// Nothing was heard of it yet, but its partition holds quotes of these times, ascending.
    pub(super) fn holding(held: Vec<i64>) -> Self {
        Self { held, ..Self::default() }
    }

    /// A fetch failed.
    pub(super) fn failed(&mut self, now: i64, outcome: FetchOutcome) {
        self.outcome = Some(outcome);
        self.failing_since.get_or_insert(now);
    }

    /// A quote of the time `event` came; `None`: its time cannot be read as a number of seconds.
    pub(super) fn answered(&mut self, now: i64, event: Option<i64>, session: Option<&Session>) {
        self.outcome = Some(FetchOutcome::Ok);
        self.failing_since = None;
        if session.is_some() && self.session.as_ref() != session {
            self.session = session.cloned();
        }
        let Some(event) = event.filter(|event| *event <= now + AHEAD) else { return };
        if self.last.replace(event).is_none() {
            return self.begin(now, event);
        }
        if self.newest.is_some_and(|newest| event <= newest) {
            return;
        }
        let trading = self.trading(now);
        let is_of = trading.filter(|trading| event >= trading.start).map(|trading| trading.start);
        self.learn(now, event, trading, is_of);
        self.fresh_at = Some(now);
        self.newest = Some(event);
        self.fresh_in = is_of.or(self.fresh_in);
    }

    /// Takes the first answer. It is judged by the quotes held before: the process may have begun in the middle of trouble.
    fn begin(&mut self, now: i64, event: i64) {
        let mut held = mem::take(&mut self.held);
        held.retain(|time| *time <= now + AHEAD);
        let newest = held.last().map_or(event, |last| event.max(*last));
        self.newest = Some(newest);
        // It may have come at any time since.
        self.fresh_at = Some(newest.min(now));
        let Some(trading) = self.trading(now) else { return };
        self.fresh_in = (newest >= trading.start).then_some(trading.start);
        held.retain(|time| (trading.start..=trading.end).contains(time));
        for (one, next) in held.iter().zip(held.iter().skip(1)) {
            self.gaps.learn(trading.between(*one, *next, 0));
        }
    }

    fn learn(&mut self, now: i64, event: i64, trading: Option<Trading>, is_of: Option<i64>) {
        let age = (now - event).max(0);
        if is_of.is_some() {
            let delay = match self.delay {
                // It grows slowly: a late quote is no later source.
                Some(delay) if age > delay => delay + (age - delay) / 64,
                _ => age,
            };
            self.delay = Some(delay.min(MOST_DELAY));
        }
        if let (Some(trading), Some(before)) = (trading, self.fresh_at)
            && is_of.is_some()
            && self.fresh_in == is_of
            && now <= trading.end.saturating_add(self.delay())
        {
            self.gaps.learn(trading.between(before, now, self.delay()));
        }
    }

    fn delay(&self) -> i64 {
        self.delay.unwrap_or_default()
    }

    fn trading(&self, now: i64) -> Option<Trading> {
        self.session.as_ref()?.current(now)
    }

    /// What is due now.
    pub(super) fn due(&self, now: i64) -> Due {
        let Some(trading) = self.trading(now) else { return Due::Nothing };
        let ends = trading.end.saturating_add(self.delay());
        let (Some(fresh_at), true) = (self.fresh_at, self.fresh_in == Some(trading.start)) else {
            return Due::Nothing;
        };
        if now > ends {
            return Due::Nothing;
        }
        if now < trading.start + AFTER_OPENING + self.delay() {
            return Due::Open;
        }
        let silence = trading.between(fresh_at.max(trading.start), now, self.delay());
        let is_known = self.gaps.is_known();
        let limit = if is_known { SILENT.max(SILENT_GAPS * self.gaps.usual) } else { SILENT_UNKNOWN };
        Due::Quote { is_silent: silence >= limit, is_known }
    }

    /// Whether its answers are of about a day before its newest quote.
    pub(super) fn is_stale(&self) -> bool {
        self.newest.zip(self.last).is_some_and(|(newest, last)| newest - last >= STALE)
    }

    /// How its last fetch ended.
    pub(super) fn outcome(&self) -> Option<FetchOutcome> {
        self.outcome
    }

    /// Since when it fails, if that is worth naming.
    pub(super) fn failing(&self, now: i64) -> Option<i64> {
        let since = self.failing_since?;
        let is_lasting = self.outcome == Some(FetchOutcome::NotFound) || now - since >= LASTS;
        is_lasting.then_some(since)
    }

    /// The time of its newest quote.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// What its source says of its market.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }
}
