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
pub(super) struct Members(HashMap<String, Member>);

#[derive(Debug)]
struct Member {
    ticker: Arc<Ticker>,
    /// When it ticked last; at first, when it was subscribed to.
    ticked: Instant,
    /// What a spark told of it, and when.
    informed: Option<(Instant, FetchedQuote)>,
}

impl Members {
    /// From now on exactly these tickers.
    pub(super) fn set(&mut self, now: Instant, tickers: &[Arc<Ticker>]) {
        let mut before = std::mem::take(&mut self.0);
        for ticker in tickers {
            let member = match before.remove(&ticker.symbol) {
                Some(member) => Member { ticker: Arc::clone(ticker), ..member },
                None => Member { ticker: Arc::clone(ticker), ticked: now, informed: None },
            };
            self.0.insert(ticker.symbol.clone(), member);
        }
    }

    /// Takes note of a tick; returns the ticker and what a spark told of it, if there is such a symbol.
    pub(super) fn ticked(
        &mut self,
        now: Instant,
        symbol: &str,
    ) -> Option<(Arc<Ticker>, Option<&FetchedQuote>)> {
        let member = self.0.get_mut(symbol)?;
        member.ticked = now;
        Some((Arc::clone(&member.ticker), member.informed.as_ref().map(|(_, quote)| quote)))
    }

    /// Takes note of what sparks told.
    pub(super) fn informed(&mut self, now: Instant, quotes: &[(Arc<Ticker>, Quote)]) {
        for (ticker, quote) in quotes {
            if let (Some(member), Ok(quote)) = (self.0.get_mut(&ticker.symbol), quote) {
                member.informed = Some((now, quote.clone()));
            }
        }
    }

    /// Returns whom sparks must ask for, in the order of their symbols: the silent ones, and those of whom nothing, or
    /// nothing new, is known.
    pub(super) fn to_ask(&self, now: Instant, interval: Duration) -> Vec<Arc<Ticker>> {
        let is_asked = |member: &&Member| {
            let is_silent =
                now.saturating_duration_since(member.ticked) >= interval.saturating_mul(SILENT_FOR);
            let is_old = |(informed, _): &(Instant, FetchedQuote)| {
                now.saturating_duration_since(*informed) >= INFORM_AGAIN
            };
            is_silent || member.informed.as_ref().is_none_or(is_old)
        };
        let mut asked: Vec<Arc<Ticker>> =
            self.0.values().filter(is_asked).map(|member| Arc::clone(&member.ticker)).collect();
        asked.sort_by(|one, other| one.symbol.cmp(&other.symbol));
        asked
    }
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
    fn who_stays_keeps_what_is_known_and_who_goes_is_forgotten() {
        let (mut members, start) = (Members::default(), Instant::now());
        members.set(start, &[ticker("A"), ticker("B")]);
        members.informed(start, &[told("A"), told("B")]);
        members.set(start, &[ticker("A"), ticker("C")]);
        assert_eq!(asked(&members, start), ["C"]);
        assert!(members.ticked(start, "B").is_none());
    }
}
