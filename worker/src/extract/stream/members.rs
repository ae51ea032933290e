//! What is known of the symbols that a stream is subscribed to. Pure: the caller brings the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Ticker;
use tokio::time::Instant;

use crate::extract::FetchedQuote;
use crate::extract::source::Quote;

/// A symbol's currency is looked up again after this time.
const INFORM_AGAIN: Duration = Duration::from_secs(3600);
/// Intervals without a tick after which a symbol is asked for.
const SILENT_FOR: u32 = 2;

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
    pub(super) fn informed(&mut self, now: Instant, quotes: &[(Arc<Ticker>, Quote)]) {
        for (ticker, quote) in quotes {
            if let (true, Ok(quote)) = (self.of.contains_key(&ticker.symbol), quote) {
                self.told.insert(ticker.symbol.clone(), (now, quote.clone()));
            }
        }
    }

    /// Returns whom sparks must ask for, in the order of their symbols: the silent ones, and those of whom nothing, or
    /// nothing new, is known.
    pub(super) fn to_ask(&self, now: Instant, interval: Duration) -> Vec<Arc<Ticker>> {
        let is_asked = |(symbol, member): &(&String, &Member)| {
            let is_silent =
                now.saturating_duration_since(member.ticked) >= interval.saturating_mul(SILENT_FOR);
            is_silent || self.told.get(*symbol).is_none_or(|(told, _)| is_old(*told, now))
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

    const MINUTE: Duration = Duration::from_secs(60);

    fn ticker(symbol: &str) -> Arc<Ticker> {
        Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
    }

    fn asked(members: &Members, now: Instant) -> Vec<String> {
        members.to_ask(now, MINUTE).iter().map(|ticker| ticker.symbol.clone()).collect()
    }

    fn told(symbol: &str) -> (Arc<Ticker>, Quote) {
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
