//! What is known of the symbols that a stream is subscribed to. Pure: the caller brings the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Ticker;
use tokio::time::Instant;

use crate::extract::fetched::FetchedQuote;
use crate::extract::source::QuoteResult;
use crate::flow::Phase;

/// A symbol's currency is looked up again after this time.
const INFORM_AGAIN: Duration = Duration::from_secs(3600);
/// Intervals without a tick after which a symbol is asked for.
const SILENT_FOR: u32 = 2;
/// Seconds after the close in which closing auctions and late exchanges still tick.
const CLOSING: i64 = 20 * 60;
/// Times are compared in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// The symbols of a stream.
#[derive(Debug, Default)]
pub(super) struct Members {
    of: HashMap<String, Member>,
    /// What sparks told of symbols, and when; also of those that have gone, since partitions come back.
    told: HashMap<String, (Instant, FetchedQuote)>,
}

#[derive(Debug)]
struct Member {
    ticker: Arc<Ticker>,
    /// When it ticked last; at first, when it was subscribed to.
    ticked: Instant,
}

impl Members {
    /// From now on exactly these tickers.
    pub(super) fn set(&mut self, now: Instant, tickers: &[Arc<Ticker>]) {
        let before = std::mem::take(&mut self.of);
        let member = |ticker: &Arc<Ticker>| {
            let ticked = before.get(&ticker.symbol).map_or(now, |member| member.ticked);
            (ticker.symbol.clone(), Member { ticker: Arc::clone(ticker), ticked })
        };
        self.of = tickers.iter().map(member).collect();
        let of = &self.of;
        self.told.retain(|symbol, (told, _)| of.contains_key(symbol) || !is_old(*told, now));
    }

    /// Takes note of a tick; returns the ticker and what a spark told of it, if there is such a symbol.
    pub(super) fn ticked(
        &mut self,
        now: Instant,
        symbol: &str,
    ) -> Option<(Arc<Ticker>, Option<&FetchedQuote>)> {
        let member = self.of.get_mut(symbol)?;
        member.ticked = now;
        Some((Arc::clone(&member.ticker), self.told.get(symbol).map(|(_, quote)| quote)))
    }

    /// Takes note of what sparks told.
    pub(super) fn informed(&mut self, now: Instant, quotes: &[(Arc<Ticker>, QuoteResult)]) {
        for (ticker, quote) in quotes {
            if let (true, Ok(quote)) = (self.of.contains_key(&ticker.symbol), quote) {
                self.told.insert(ticker.symbol.clone(), (now, quote.clone()));
            }
        }
    }

    /// Returns whom sparks must ask for, in the order of their symbols: the silent ones, and those of whom nothing, or
    /// nothing new, is known. Silence in a closed market means nothing: of that one sparks tell once after the close and
    /// once at the opening. `unix` is now in seconds since 1970.
    pub(super) fn to_ask(&self, now: Instant, unix: i64, interval: Duration) -> Vec<Arc<Ticker>> {
        let patience = interval.saturating_mul(SILENT_FOR);
        let is_asked = |(symbol, member): &(&String, &Member)| {
            let Some((told, quote)) = self.told.get(*symbol).filter(|(told, _)| !is_old(*told, now)) else {
                return true;
            };
            let silence = now.saturating_duration_since(member.ticked);
            let Some(Phase { is_open, since }) =
                quote.session().and_then(|session| session.phase(unix, CLOSING))
            else {
                return silence >= patience;
            };
            let lasts = Duration::from_secs(u64::try_from(unix - since).unwrap_or_default());
            let is_told = now.saturating_duration_since(*told) <= lasts + SECOND;
            !is_told || (is_open && silence.min(lasts) >= patience)
        };
        let mut asked: Vec<Arc<Ticker>> =
            self.of.iter().filter(is_asked).map(|(_, member)| Arc::clone(&member.ticker)).collect();
        asked.sort_by(|one, other| one.symbol.cmp(&other.symbol));
        asked
    }
}

/// Whether what a spark told then must be asked for again.
fn is_old(told: Instant, now: Instant) -> bool {
    now.saturating_duration_since(told) >= INFORM_AGAIN
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;
    use crate::extract::FetchError;
    use crate::flow::{Instrument, Session};

    const MINUTE: Duration = Duration::from_secs(60);

    fn ticker(symbol: &str) -> Arc<Ticker> {
        Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
    }

    fn asked(members: &Members, now: Instant) -> Vec<String> {
        asked_at(members, now, 0)
    }

    fn asked_at(members: &Members, now: Instant, unix: i64) -> Vec<String> {
        members.to_ask(now, unix, MINUTE).iter().map(|ticker| ticker.symbol.clone()).collect()
    }

    fn told(symbol: &str) -> (Arc<Ticker>, QuoteResult) {
        (ticker(symbol), FetchedQuote::new("1", "1", Some("USD".into())))
    }

    #[test]
    fn sparks_tell_of_each_symbol_at_the_start_and_hourly() {
        let (mut members, start) = (Members::default(), Instant::now());
        members.set(start, &[ticker("B"), ticker("A")]);
        assert_eq!(asked(&members, start), ["A", "B"]);
        assert!(members.ticked(start, "A").unwrap().1.is_none());
        members.informed(start, &[told("A"), (ticker("B"), Err(FetchError::NotFound)), told("C")]);
        assert_eq!(members.ticked(start, "A").unwrap().1.unwrap().currency(), Some("USD"));
        assert_eq!(asked(&members, start), ["B"]);
        let later = start + INFORM_AGAIN;
        members.ticked(later, "A");
        assert_eq!(asked(&members, later), ["A", "B"]);
    }

    #[test]
    fn a_symbol_that_is_silent_for_two_intervals_is_asked_for_until_it_ticks() {
        let (mut members, start) = (Members::default(), Instant::now());
        members.set(start, &[ticker("A"), ticker("B")]);
        members.informed(start, &[told("A"), told("B")]);
        members.ticked(start + MINUTE, "B");
        assert_eq!(asked(&members, start + 2 * MINUTE), ["A"]);
        members.informed(start + 2 * MINUTE, &[told("A")]);
        assert_eq!(asked(&members, start + 2 * MINUTE), ["A"], "a spark is no tick");
        members.ticked(start + 2 * MINUTE, "A");
        assert_eq!(asked(&members, start + 2 * MINUTE), [""; 0]);
    }

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    /// Friday 2026-01-02, and New York's hours of that day in UTC.
    const FRIDAY: i64 = 1_767_312_000;
    const OPEN: i64 = 14 * HOUR + HOUR / 2;
    const CLOSE: i64 = 21 * HOUR;

    /// What Yahoo shows: the hours of a working day, from its midnight in New York until that of the next one.
    fn told_at(unix: i64) -> (Arc<Ticker>, QuoteResult) {
        let day = (unix - 5 * HOUR - FRIDAY).div_euclid(DAY);
        let shown = FRIDAY + DAY * if day < 3 { 0 } else { day };
        let session = Session::new(None, Instrument::Other).trading(shown + OPEN, shown + CLOSE, None);
        let (ticker, quote) = told("A");
        (ticker, quote.map(|quote| quote.in_session(session)))
    }

    /// Goes on second by second from a time on Friday, while the stream ticks or not; returns when sparks asked.
    fn asked_from(from: i64, until: i64, ticks: impl Fn(i64) -> bool) -> Vec<i64> {
        let (mut members, start) = (Members::default(), Instant::now());
        members.set(start, &[ticker("A")]);
        members.informed(start, &[told_at(from)]);
        let mut times = Vec::new();
        for unix in from..until {
            let now = start + Duration::from_secs(u64::try_from(unix - from).unwrap());
            if ticks(unix) {
                members.ticked(now, "A");
            }
            if !asked_at(&members, now, unix).is_empty() {
                members.informed(now, &[told_at(unix)]);
                times.push(unix);
            }
        }
        times
    }

    #[test]
    fn at_night_and_at_weekends_sparks_ask_hourly_after_the_close_and_at_the_opening() {
        let (friday, monday) = (FRIDAY + 20 * HOUR, FRIDAY + 3 * DAY + 16 * HOUR);
        let is_open = |unix: i64| {
            let day = (unix - FRIDAY).div_euclid(DAY);
            (day == 0 || day == 3) && (OPEN..=CLOSE).contains(&(unix - FRIDAY - day * DAY))
        };
        let times = asked_from(friday, monday, is_open);
        let while_closing = |unix: &i64| (FRIDAY + CLOSE..=FRIDAY + CLOSE + CLOSING).contains(unix);
        let quiet = times.iter().filter(|unix| !while_closing(unix)).count();
        assert!((66..=72).contains(&quiet), "{quiet} in 68 hours");
        let after_close = FRIDAY + CLOSE + CLOSING..FRIDAY + CLOSE + CLOSING + 60;
        assert!(times.iter().any(|unix| after_close.contains(unix)), "{times:?}");
        let opening = FRIDAY + 3 * DAY + OPEN;
        assert!(times.iter().any(|unix| (opening..opening + 60).contains(unix)), "{times:?}");
    }

    #[test]
    fn who_is_silent_in_an_open_market_is_asked_for_from_two_intervals_after_the_opening() {
        let opening = FRIDAY + 3 * DAY + OPEN;
        let times = asked_from(FRIDAY + 22 * HOUR, opening + HOUR, |_| false);
        let silent: Vec<i64> = times.into_iter().filter(|unix| *unix > opening + 5).collect();
        assert_eq!(silent.first(), Some(&(opening + 120)));
        assert_eq!(silent.len(), 3600 - 120, "until it ticks");
    }

    #[test]
    fn who_stays_and_who_comes_back_within_the_hour_keeps_what_is_known() {
        let (mut members, start) = (Members::default(), Instant::now());
        members.set(start, &[ticker("A"), ticker("B"), ticker("C")]);
        members.informed(start, &[told("A"), told("B"), told("C")]);
        members.set(start, &[ticker("A"), ticker("D")]);
        assert_eq!(asked(&members, start), ["D"]);
        assert!(members.ticked(start, "B").is_none());
        members.set(start + MINUTE, &[ticker("A"), ticker("B")]);
        assert_eq!(members.ticked(start + MINUTE, "B").unwrap().1.unwrap().currency(), Some("USD"));
        members.set(start + INFORM_AGAIN, &[ticker("B")]);
        members.set(start + INFORM_AGAIN, &[ticker("B"), ticker("C")]);
        assert!(members.ticked(start + INFORM_AGAIN, "C").unwrap().1.is_none());
    }
}
