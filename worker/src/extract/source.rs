//! The seam between the extractor and its sources.
//!
//! A source is a task: it is told which tickers this process fetches, as that changes, and gives what it hears of them.
//! Pacing, batching and pauses are the source's own; what becomes of a quote, and what is counted, is the extractor's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use stockwatch_crds::{Source, Ticker};

use super::fetched::{FetchError, FetchedQuote};

/// A source at work. It never ends by itself; dropping it gives up what is under way.
pub(super) type RunningSource = BoxFuture<'static, Infallible>;

/// What a source is told; it may change at any time.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// The source's settings.
    pub(super) spec: Source,
    /// The tickers of this process.
    pub(super) tickers: Vec<Arc<Ticker>>,
    /// How many of the raw topic's partitions this process owns.
    pub(super) owned: u32,
    /// How many partitions the raw topic has.
    pub(super) partitions: u32,
}

impl Orders {
    /// Returns the time between two requests of this process, if those of the whole StockWatch are `gap` apart: a
    /// source sees one address, however many workers stand behind it.
    pub(super) fn share_of(&self, gap: Duration) -> Duration {
        gap.saturating_mul(self.partitions) / self.owned.max(1)
    }
}

/// What a source heard at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// How long the request took; `None`: nobody was asked.
    pub(super) took: Option<Duration>,
    /// Between two requests for the same ticker, as the source keeps it.
    pub(super) interval: Duration,
    /// The request was refused for its tickers alone, which stand apart: the source is well.
    pub(super) is_apart: bool,
    /// A quote, or why there is none, of each ticker that something was heard of.
    pub(super) quotes: Vec<(Arc<Ticker>, QuoteResult)>,
}

/// A ticker's quote, or why there is none.
pub(super) type QuoteResult = Result<FetchedQuote, FetchError>;

/// The quotes of a request's tickers in their order, or why the request gave none.
pub(super) type FetchResult = Result<Vec<QuoteResult>, FetchError>;

/// Whom one request asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// At least one.
    pub(super) tickers: Vec<Arc<Ticker>>,
    /// A single ticker that is asked for by itself, not as what is left of a batch.
    pub(super) is_alone: bool,
}

/// How fast a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Each ticker is asked for once in this time, if the rate allows.
    pub(super) interval: Duration,
    /// Between the starts of two requests, at least.
    pub(super) gap: Duration,
    /// Tickers of one request, at most; 1 or more.
    pub(super) batch: usize,
    /// Requests under way at once, at most; 1 or more.
    pub(super) at_once: usize,
}

/// What answers requests: a source that is polled.
pub(super) trait Ask: Send + Sync + 'static {
    /// Returns how fast to ask, by the settings and by this process's share; `None` if they are another source's.
    fn pace(&self, orders: &Orders) -> Option<Pace>;

    /// Sends one request; it must end in bounded time.
    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult>;
}
