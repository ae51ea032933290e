//! Prices that nobody traded: the same seed, entity and time always give the same price, so a ticker that moves to
//! another process goes on where it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::{BoxFuture, FutureExt, ready};
use sha2::{Digest, Sha256};
use stockwatch_crds::{Source, Ticker};

use super::fetched::FetchedQuote;
use super::source::{Ask, FetchResult, Orders, Pace, QuoteResult, Request};

/// A wandering price: value noise of these periods (milliseconds) and swings (millionths of the price).
const OCTAVES: [(i64, i64); 4] =
    [(30 * 60_000, 40_000), (3 * 60_000, 12_000), (20_000, 4_000), (2_000, 1_000)];

/// The simulated market.
#[derive(Debug)]
pub(super) struct Simulated {
    seed: u64,
    unix_time: fn() -> Duration,
}

impl Simulated {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, unix_time }
    }

    fn quote(&self, ticker: &Ticker) -> QuoteResult {
        let millis = i64::try_from((self.unix_time)().as_millis()).unwrap_or(i64::MAX);
        let cents = cents(self.seed, &ticker.entity, millis);
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let time = format!("{}.{:03}", millis / 1000, millis % 1000);
        FetchedQuote::new(&price, &time, Some("USD".into()))
    }
}

impl Ask for Simulated {
    fn pace(&self, orders: &Orders) -> Option<Pace> {
        pace(orders)
    }

    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
        ready(Ok(request.tickers.iter().map(|ticker| self.quote(ticker)).collect())).boxed()
    }
}

/// One by one, so that quotes spread over the interval.
pub(super) fn pace(orders: &Orders) -> Option<Pace> {
    let Source::Simulated { interval, .. } = orders.spec else { return None };
    Some(Pace { interval, gap: Duration::ZERO, batch: 1, at_once: 1 })
}

/// Since 1970, by the system's clock.
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The price at a time: around a level between 20.00 and 520.00 that the entity always has.
fn cents(seed: u64, entity: &str, millis: i64) -> i64 {
    let own = hash(seed, entity.as_bytes());
    let level = 2_000 + i64::from(own >> 16) % 50_000;
    let swing: i64 = OCTAVES
        .iter()
        .map(|(period, size)| {
            let (step, within) = (millis.div_euclid(*period), millis.rem_euclid(*period));
            let at = |step: i64| swing(own, *period, step, *size);
            (at(step) * (period - within) + at(step + 1) * within) / period
        })
        .sum();
    (level * (1_000_000 + swing) / 1_000_000).max(1)
}

/// Between −size and size, evenly.
fn swing(own: u32, period: i64, step: i64, size: i64) -> i64 {
    let mut key = period.to_be_bytes().to_vec();
    key.extend(step.to_be_bytes());
    i64::from(hash(own.into(), &key)) % (2 * size + 1) - size
}

fn hash(seed: u64, key: &[u8]) -> u32 {
    let hash = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(key).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    fn day(seed: u64, entity: &str) -> Vec<i64> {
        (0..86_400).map(|second| cents(seed, entity, START + second * 1000)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_prices() {
        assert_eq!(day(1, "meta"), day(1, "meta"));
        assert_ne!(day(1, "meta"), day(2, "meta"));
        assert_ne!(day(1, "meta"), day(1, "tesla"));
    }

    #[test]
    fn prices_wander_without_leaping() {
        let prices = day(1, "meta");
        let (least, most) = (prices.iter().min().unwrap(), prices.iter().max().unwrap());
        assert!(*least > 0 && most - least > least / 100, "{least} to {most}");
        for pair in prices.windows(2) {
            assert!((pair[1] - pair[0]).abs() * 100 <= pair[0], "{pair:?}: more than 1 % in a second");
        }
    }

    #[test]
    fn a_quote_has_cents_and_milliseconds() {
        let source = Simulated { seed: 1, unix_time: || Duration::from_millis(1_700_000_000_007) };
        let ticker = Ticker { symbol: "META".into(), entity: "meta".into(), overrides: vec![] };
        let quote = source.quote(&ticker).unwrap();
        assert_eq!(quote.time.get(), "1700000000.007");
        assert_eq!(quote.price.get().split_once('.').unwrap().1.len(), 2);
    }
}
