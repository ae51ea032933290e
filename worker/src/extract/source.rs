//! What the extractor asks for quotes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use stockwatch_crds::Ticker;

use super::{FetchError, FetchedQuote};

/// Gives quotes.
pub trait Source: Send + Sync {
    /// Fetches the current quote of a ticker; it must end in bounded time.
    fn quote<'a>(&'a self, ticker: &'a Ticker) -> BoxFuture<'a, Result<FetchedQuote, FetchError>>;
}

/// Returns the time since 1970, by the system's clock.
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
