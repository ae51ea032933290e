//! What a worker says of the quotes of its own tickers. Fields come and go with releases: an absent one is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Seconds without a quote after which a ticker no longer trades, or its source no longer has it. The longest holidays are
/// shorter: Shenzhen was closed for 10.8 days in February 2024.
pub const UNTRADED: i64 = 12 * 24 * 3600;

/// What one worker answers at `/quotes`. Counts are of the tickers that it asks its source for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowReport {
    /// `metadata.uid` of the StockWatch; empty for a plain file that has none.
    pub uid: String,
    /// When this was so by the worker's clock, in seconds since 1970, as every time here.
    pub at: i64,
    /// How many tickers it asks for.
    pub tickers: u32,
    /// Of them, those that anything was heard of.
    pub heard: u32,
    /// Those whose last answer was a quote.
    pub answered: u32,
    /// Those that may trade now and had a new quote since their market opened, or whose hours are not known.
    pub open: u32,
    /// Those of a known market that were fresh in this session, and of which another quote is due by now.
    pub expected: u32,
    /// Of the expected ones, those that have been silent for much longer than usual.
    pub silent: u32,
    /// Of the expected ones, those of which the usual time between two quotes is known.
    pub learned: u32,
    /// Those whose answers are about a day older than a quote that they had.
    pub stale: u32,
    /// How often each ticker is asked for, where the rate does not allow it as often as the spec says.
    pub stretched: Option<Stretched>,
    /// Since when no request gets an answer that can be used, and why.
    pub down: Option<Down>,
    /// The newest quote time of all tickers.
    pub newest: Option<i64>,
    /// Tickers without a quote.
    pub failing: FailingNow,
    /// Tickers that are answered without a new quote, at most 50: the reason is `Silent` or `Stale`, as counted above, and
    /// `since` the time of the newest quote.
    pub quiet: Vec<Failing>,
    /// The newest quote time by exchange, at most 50 of them.
    pub exchanges: Vec<Exchange>,
    /// Instead of all that, for a source that is somebody else's.
    pub external: Option<External>,
    /// The partitions that compute here.
    pub partitions: Vec<Held>,
}

/// A source that answers no request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Down {
    /// How the last request failed, such as `Timeout` or `RateLimited`.
    pub reason: String,
    /// When the first request failed.
    pub since: i64,
}

/// An interval that is longer than the spec's, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stretched {
    /// The spec's.
    pub asked: u64,
    /// The one that is kept.
    pub kept: u64,
}

/// Tickers without a quote: at once those that the source does not know, others after 15 minutes, and those whose newest
/// quote is older than [`UNTRADED`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailingNow {
    /// How many there are.
    pub count: u32,
    /// At most 50 of them.
    pub tickers: Vec<Failing>,
}

/// A ticker without a quote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failing {
    /// What the source is asked for.
    pub symbol: String,
    /// Why there is none, such as `NotFound` or `Untraded`.
    pub reason: String,
    /// Since when.
    pub since: i64,
}

/// An exchange that tickers are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exchange {
    /// As the source calls it.
    pub name: String,
    /// The newest quote time of its tickers.
    pub newest: i64,
}

/// What came of the raw records that somebody else writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct External {
    /// `spec.source.external.expectEvery`, in seconds.
    pub expect_every: Option<i64>,
    /// Since when this process has been looking.
    pub since: i64,
    /// When a quote was last accepted.
    pub accepted: Option<i64>,
    /// When a record last became a dead letter.
    pub dead_letter: Option<i64>,
    /// Dead letters since the last accepted quote, by reason.
    pub dead_letters: BTreeMap<String, u64>,
}

/// A partition that computes, and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
    /// Its number.
    pub partition: i32,
    /// The listed tickers that it had a quote of within a day, by symbol.
    pub tickers: Vec<String>,
    /// Quotes in memory.
    pub samples: u64,
    /// Bytes that they and their entities take, roughly.
    pub bytes: u64,
}
