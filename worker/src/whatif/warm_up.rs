//! How far back the log is read, so that each ticker's windows are full where the range begins.
//!
//! The log is looked at backwards, in stretches that double. A ticker is full once no record before them can have a quote
//! of the longest window before its newest one: they are stamped earlier, and no quote is far ahead of its stamp. That its
//! quotes span the window is not enough, since late ones may.

use std::collections::HashMap;

use stockwatch_core::Shape;
use stockwatch_core::wire::{MAX_AHEAD, Quote, RawRecord};

use super::plan::nanoseconds;

/// One ticker's quotes before the range.
#[derive(Debug)]
struct Span {
    newest: i64,
    /// The first offset of the stretch that made it full.
    full_from: Option<i64>,
    /// The first offset of the last stretch that has a quote of it.
    seen_from: i64,
}

/// What was seen of the log before the range, back to an offset.
#[derive(Debug)]
pub(super) struct WarmUp<'a> {
    rules: &'a Shape,
    /// All of the log was looked at, and it is whole: no record of it was ever deleted.
    is_whole: bool,
    from: i64,
    /// No record before that is stamped later, ms.
    before: Option<i64>,
    tickers: HashMap<String, Span>,
}

impl<'a> WarmUp<'a> {
    /// Nothing was looked at yet; the range begins at `start`.
    pub(super) fn new(rules: &'a Shape, start: i64) -> Self {
        Self { rules, is_whole: start == 0, from: start, before: None, tickers: HashMap::new() }
    }

    /// The first offset that was looked at.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// A stretch before all that was looked at begins at this offset; its records are noted next. `before`: no earlier
    /// record is stamped later, ms; `None`: what earlier ones there were is deleted.
    pub(super) fn begin(&mut self, from: i64, before: Option<i64>) {
        (self.from, self.is_whole, self.before) = (from, from == 0, before);
    }

    /// Notes a record of the stretch.
    pub(super) fn note(&mut self, record: &RawRecord<'_>) {
        self.before.get_or_insert(record.timestamp);
        let Some(quote) = record.value.and_then(|value| Quote::read(value).ok()) else { return };
        let Ok((_, time)) = quote.price_and_time(record.timestamp) else { return };
        if !self.rules.computes(&quote.entity) {
            return;
        }
        let from = self.from;
        match self.tickers.get_mut(&*quote.entity) {
            Some(span) => {
                span.seen_from = from;
                span.newest = span.newest.max(time);
            }
            None => {
                let span = Span { newest: time, full_from: None, seen_from: from };
                self.tickers.insert(quote.entity.into_owned(), span);
            }
        }
    }

    /// Ends the stretch.
    pub(super) fn end(&mut self) {
        let Some(before) = self.before else { return };
        let before = before.saturating_mul(1_000_000).saturating_add(MAX_AHEAD);
        let (longest, from) = (nanoseconds(self.rules.longest()), self.from);
        for span in self.tickers.values_mut() {
            if span.full_from.is_none() && span.newest.saturating_sub(longest) >= before {
                span.full_from = Some(from);
            }
        }
    }

    /// Whether tickers were seen, and each is full.
    pub(super) fn is_enough(&self) -> bool {
        !self.tickers.is_empty() && self.tickers.values().all(|span| span.full_from.is_some())
    }

    /// Whether a ticker was seen.
    pub(super) fn has_seen(&self, ticker: &str) -> bool {
        self.tickers.contains_key(ticker)
    }

    /// Whether a ticker's windows are what they were where the range began. Without a quote in a whole log they were
    /// empty.
    pub(super) fn is_full(&self, ticker: &str) -> bool {
        self.is_whole || self.tickers.get(ticker).is_some_and(|span| span.full_from.is_some())
    }

    /// The offset from which quotes are computed: no further back than the windows that can be filled need.
    pub(super) fn replay_from(&self, start: i64) -> i64 {
        let needed = self.tickers.values().filter_map(|span| match span.full_from {
            None if self.is_whole => Some(span.seen_from),
            full => full,
        });
        needed.min().unwrap_or(start)
    }
}
