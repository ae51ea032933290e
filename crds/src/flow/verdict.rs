//! One verdict on the answers of all ready workers.

use std::collections::BTreeMap;

use super::failing::split_tickers;
use super::report::{Down, External, FlowReport};
use super::rfc3339;

/// An exchange that had no quote for so long is closed for good, or the source no longer has it.
const EXCHANGE_DEAD: i64 = 10 * 24 * 3600;
/// One ticker whose usual pace is not known proves nothing by its silence; so many together do.
const SILENT_TOGETHER: u32 = 3;
/// One bad record is an accident.
const DEAD_LETTERS: u64 = 3;
/// Dead letters older than this say nothing of now.
const DEAD_LETTERS_RECENT: i64 = 600;
/// Tickers named in a message.
const NAMED: usize = 3;

/// Why quotes flow or not: the reason of the condition QuotesFlow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowReason {
    /// New quotes come.
    Flowing,
    /// No new quote is expected: markets are closed.
    MarketsClosed,
    /// Quotes come, but not of all tickers.
    SomeTickersFail,
    /// The source gives no quotes, or no new ones although markets are open.
    NoQuotes,
    /// The source gives old quotes.
    StaleQuotes,
    /// The source refuses since it is asked too much.
    RateLimited,
    /// The source refuses whoever asks.
    AllRefused,
    /// Raw records come, but none is a quote.
    OnlyDeadLetters,
}

impl FlowReason {
    /// As a condition's reason has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flowing => "Flowing",
            Self::MarketsClosed => "MarketsClosed",
            Self::SomeTickersFail => "SomeTickersFail",
            Self::NoQuotes => "NoQuotes",
            Self::StaleQuotes => "StaleQuotes",
            Self::RateLimited => "RateLimited",
            Self::AllRefused => "AllRefused",
            Self::OnlyDeadLetters => "OnlyDeadLetters",
        }
    }

    /// Whether quotes flow as far as they should.
    pub fn flows(self) -> bool {
        matches!(self, Self::Flowing | Self::MarketsClosed | Self::SomeTickersFail)
    }

    /// Of a failed request's reason.
    fn of_failure(reason: &str) -> Self {
        match reason {
            "RateLimited" => Self::RateLimited,
            "Refused" => Self::AllRefused,
            _ => Self::NoQuotes,
        }
    }
}

/// What is said of a StockWatch's quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why quotes flow or not.
    pub reason: FlowReason,
    /// A sentence for people.
    pub message: String,
}

impl Verdict {
    fn new(reason: FlowReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Returns what follows from the reports of all ready workers of one StockWatch; `None` while nothing was heard yet.
pub fn verdict(reports: &[FlowReport]) -> Option<Verdict> {
    let at = reports.iter().map(|report| report.at).max()?;
    let externals: Vec<&External> = reports.iter().filter_map(|report| report.external.as_ref()).collect();
    if !externals.is_empty() {
        return Some(no_quotes_from_others(&externals, at).unwrap_or_else(|| when_flowing(reports)));
    }
    let total = Total::of(reports);
    let asking = reports.iter().filter(|report| report.tickers > 0);
    let down: Option<Vec<&Down>> = asking.map(|report| report.down.as_ref()).collect();
    if let Some(first) = down.and_then(|down| down.into_iter().min_by_key(|down| down.since)) {
        return Some(Verdict::new(
            FlowReason::of_failure(&first.reason),
            format!("the source answers no request: {} since {}", first.reason, rfc3339(first.since)),
        ));
    }
    if total.heard == 0 {
        return None;
    }
    if total.answered == 0 && total.heard == total.tickers {
        return Some(none_succeeds(reports, &total));
    }
    if total.stale > 0 && total.stale * 2 >= total.answered {
        let message =
            format!("{} of {} tickers have answers a day older than before", total.stale, total.tickers);
        return Some(Verdict::new(FlowReason::StaleQuotes, message));
    }
    if let Some((name, newest)) = dead_exchange(reports, at) {
        let message = format!("the newest quote of exchange {name} is of {}", rfc3339(newest));
        return Some(Verdict::new(FlowReason::StaleQuotes, message));
    }
    let proves = total.learned > 0 || total.expected >= SILENT_TOGETHER;
    if total.expected > 0 && total.silent == total.expected && proves {
        let newest = reports.iter().filter_map(|report| report.newest).max().unwrap_or_default();
        let message = format!(
            "markets are open, but no new quote came of any of {} tickers; the newest is of {}",
            total.expected,
            rfc3339(newest)
        );
        return Some(Verdict::new(FlowReason::NoQuotes, message));
    }
    Some(when_flowing(reports))
}

/// Sums of the reports' counts.
#[derive(Default)]
struct Total {
    tickers: u32,
    heard: u32,
    answered: u32,
    open: u32,
    expected: u32,
    silent: u32,
    learned: u32,
    stale: u32,
    failing: u32,
}

impl Total {
    fn of(reports: &[FlowReport]) -> Self {
        reports.iter().fold(Self::default(), |sum, one| Self {
            tickers: sum.tickers.saturating_add(one.tickers),
            heard: sum.heard.saturating_add(one.heard),
            answered: sum.answered.saturating_add(one.answered),
            open: sum.open.saturating_add(one.open),
            expected: sum.expected.saturating_add(one.expected),
            silent: sum.silent.saturating_add(one.silent),
            learned: sum.learned.saturating_add(one.learned),
            stale: sum.stale.saturating_add(one.stale),
            failing: sum.failing.saturating_add(one.failing.count),
        })
    }
}

/// The source answers, but gives no quote of any ticker.
fn none_succeeds(reports: &[FlowReport], total: &Total) -> Verdict {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ticker in reports.iter().flat_map(|report| &report.failing.tickers) {
        *reasons.entry(&ticker.reason).or_default() += 1;
    }
    let most = reasons.into_iter().max_by_key(|(_, count)| *count).map(|(reason, _)| reason);
    let because = most.map(|reason| format!(", most often: {reason}")).unwrap_or_default();
    Verdict::new(
        FlowReason::of_failure(most.unwrap_or_default()),
        format!("no quote comes of any of {} tickers{because}", total.tickers),
    )
}

/// The exchange without a quote for longest, if that is too long. What one worker has of it counts for all.
fn dead_exchange(reports: &[FlowReport], at: i64) -> Option<(&str, i64)> {
    let mut exchanges: BTreeMap<&str, i64> = BTreeMap::new();
    for exchange in reports.iter().flat_map(|report| &report.exchanges) {
        let newest = exchanges.entry(&exchange.name).or_insert(exchange.newest);
        *newest = exchange.newest.max(*newest);
    }
    let oldest = exchanges.into_iter().min_by_key(|(_, newest)| *newest);
    oldest.filter(|(_, newest)| at.saturating_sub(*newest) > EXCHANGE_DEAD)
}

/// Nothing is wrong with the whole.
fn when_flowing(reports: &[FlowReport]) -> Verdict {
    let (total, split) = (Total::of(reports), split_tickers(reports));
    let split_count = u32::try_from(split.len()).unwrap_or(u32::MAX);
    let failing = total.failing.saturating_add(split_count);
    if failing > 0 {
        let mut named: Vec<String> = reports
            .iter()
            .flat_map(|report| &report.failing.tickers)
            .map(|ticker| format!("{} {} since {}", ticker.symbol, ticker.reason, rfc3339(ticker.since)))
            .chain(split.keys().map(|symbol| format!("{symbol} in two partitions")))
            .collect();
        named.sort();
        named.truncate(NAMED);
        let more = failing.saturating_sub(u32::try_from(named.len()).unwrap_or(u32::MAX));
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        // A source that is somebody else's is asked for no tickers.
        let of = if total.tickers > 0 { format!(" of {}", total.tickers) } else { String::new() };
        return Verdict::new(
            FlowReason::SomeTickersFail,
            format!("{failing}{of}: {}{more}; status.failingTickers is newer than this", named.join("; ")),
        );
    }
    if total.open > 0 || reports.iter().any(|report| report.external.is_some()) {
        return Verdict::new(FlowReason::Flowing, "new quotes come as expected");
    }
    Verdict::new(
        FlowReason::MarketsClosed,
        "no new quotes are expected: the markets of its tickers are closed",
    )
}

/// What is wrong with the records of a source that is somebody else's.
fn no_quotes_from_others(externals: &[&External], at: i64) -> Option<Verdict> {
    let accepted = externals.iter().filter_map(|external| external.accepted).max();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for external in externals.iter().filter(|external| {
        external.dead_letter.is_some_and(|last| Some(last) > accepted && at - last <= DEAD_LETTERS_RECENT)
    }) {
        for (reason, count) in &external.dead_letters {
            *reasons.entry(reason).or_default() += count;
        }
    }
    if reasons.values().sum::<u64>() >= DEAD_LETTERS {
        let most = reasons.into_iter().max_by_key(|(_, count)| *count).map_or("", |(reason, _)| reason);
        let message =
            format!("raw records come, but none is a quote, most often: {most}; see the dead-letter topic");
        return Some(Verdict::new(FlowReason::OnlyDeadLetters, message));
    }
    let expect_every = externals.iter().filter_map(|external| external.expect_every).max()?;
    let since = externals.iter().map(|external| external.since).min().unwrap_or(at);
    let last = accepted.unwrap_or(since);
    let message =
        format!("no quote was accepted since {}; one is expected every {expect_every} s", rfc3339(last));
    (at - last > expect_every).then(|| Verdict::new(FlowReason::NoQuotes, message))
}

#[cfg(test)]
mod tests;
