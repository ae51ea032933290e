//! One verdict on the answers of all ready workers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failing::split_tickers;
use super::report::{Down, External, FlowReport, UNTRADED};
use super::text::{cut, rfc3339};

/// One ticker whose usual pace is not known proves nothing by its silence; so many together do.
const SILENT_TOGETHER: u32 = 3;
/// One bad record is an accident.
const DEAD_LETTERS: u64 = 3;
/// Dead letters older than this say nothing of now; and while a quote was accepted within this time, quotes come.
const DEAD_LETTERS_RECENT: i64 = 600;
/// Tickers named in a message.
const NAMED: usize = 3;
/// Characters of a message, more than any has that is made of honest reports.
const MAX_MESSAGE: usize = 1024;

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
pub struct FlowVerdict {
    /// Why quotes flow or not.
    pub reason: FlowReason,
    /// A sentence for people.
    pub message: String,
}

impl FlowVerdict {
    fn new(reason: FlowReason, message: impl AsRef<str>) -> Self {
        Self { reason, message: cut(message.as_ref(), MAX_MESSAGE) }
    }
}

/// Returns what follows from the reports of all ready workers of one StockWatch; `None` while nothing was heard yet.
pub fn verdict(reports: &[FlowReport]) -> Option<FlowVerdict> {
    let at = reports.iter().map(|report| report.at).max()?;
    let externals: Vec<&External> = reports.iter().filter_map(|report| report.external.as_ref()).collect();
    if !externals.is_empty() {
        return of_others(reports, &externals, at);
    }
    let total = Total::of(reports);
    let asking = reports.iter().filter(|report| report.tickers > 0);
    let down: Option<Vec<&Down>> = asking.map(|report| report.down.as_ref()).collect();
    if let Some(first) = down.and_then(|down| down.into_iter().min_by_key(|down| down.since)) {
        let what = match first.reason.as_str() {
            "NotConfigured" => {
                "nothing is asked, the workers' log says what is wrong with the source's Secret"
            }
            _ => "the source answers no request",
        };
        return Some(FlowVerdict::new(
            FlowReason::of_failure(&first.reason),
            format!("{what}: {} since {}", first.reason, rfc3339(first.since)),
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
        return Some(FlowVerdict::new(FlowReason::StaleQuotes, message));
    }
    let newest = reports.iter().filter_map(|report| report.newest).max().unwrap_or_default();
    // One exchange that is closed for good says nothing of the others: its tickers are named as failing.
    let has_exchange = reports.iter().any(|report| !report.exchanges.is_empty());
    if has_exchange && at.saturating_sub(newest) > UNTRADED {
        let message = format!("the newest quote of all exchanges is of {}", rfc3339(newest));
        return Some(FlowVerdict::new(FlowReason::StaleQuotes, message));
    }
    let proves = total.learned > 0 || total.expected >= SILENT_TOGETHER;
    if total.expected > 0 && total.silent == total.expected && proves {
        let message = format!(
            "markets are open, but no new quote came of any of {} tickers; the newest is of {}",
            total.expected,
            rfc3339(newest)
        );
        return Some(FlowVerdict::new(FlowReason::NoQuotes, message));
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
fn none_succeeds(reports: &[FlowReport], total: &Total) -> FlowVerdict {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ticker in reports.iter().flat_map(|report| &report.failing.tickers) {
        *reasons.entry(&ticker.reason).or_default() += 1;
    }
    let most = reasons.into_iter().max_by_key(|(_, count)| *count).map(|(reason, _)| reason);
    let because = most.map(|reason| format!(", most often: {reason}")).unwrap_or_default();
    FlowVerdict::new(
        FlowReason::of_failure(most.unwrap_or_default()),
        format!("no quote comes of any of {} tickers{because}", total.tickers),
    )
}

/// Nothing is wrong with the whole.
fn when_flowing(reports: &[FlowReport]) -> FlowVerdict {
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
        return FlowVerdict::new(
            FlowReason::SomeTickersFail,
            format!(
                "{failing}{of}: {}{more}; status.failingTickers is newer than this{}",
                named.join("; "),
                stretched(reports)
            ),
        );
    }
    let (reason, message) = if total.open > 0 || reports.iter().any(|report| report.external.is_some()) {
        (FlowReason::Flowing, "new quotes come as expected")
    } else {
        (FlowReason::MarketsClosed, "no new quotes are expected: the markets of its tickers are closed")
    };
    FlowVerdict::new(reason, format!("{message}{}", stretched(reports)))
}

/// What is added to a message where tickers are asked for less often than the spec says; empty where they are not.
fn stretched(reports: &[FlowReport]) -> String {
    // A worker that lost its tickers reports the interval that it kept for them.
    let asking = reports.iter().filter(|report| report.tickers > 0);
    let longest = asking.filter_map(|report| report.stretched).max_by_key(|interval| interval.kept);
    longest.map_or_else(String::new, |interval| {
        let [asked, kept] = [interval.asked, interval.kept].map(Duration::from_millis);
        format!(
            "; each ticker is asked for every {kept:?} instead of {asked:?}: the limit of requests a minute allows no more"
        )
    })
}

/// What follows from the records of a source that is somebody else's; `None` while only some bad ones were seen.
fn of_others(reports: &[FlowReport], externals: &[&External], at: i64) -> Option<FlowVerdict> {
    let accepted = externals.iter().filter_map(|external| external.accepted).max();
    let since = externals.iter().map(|external| external.since).min().unwrap_or(at);
    let last = accepted.unwrap_or(since);
    let silence = at.saturating_sub(last);
    let expect_every = externals.iter().filter_map(|external| external.expect_every).max();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for external in externals.iter().filter(|external| {
        external.dead_letter.is_some_and(|bad| bad > last && at.saturating_sub(bad) <= DEAD_LETTERS_RECENT)
    }) {
        for (reason, count) in &external.dead_letters {
            *reasons.entry(reason).or_default() += count;
        }
    }
    let is_long = silence > expect_every.map_or(DEAD_LETTERS_RECENT, |every| every.min(DEAD_LETTERS_RECENT));
    if reasons.values().sum::<u64>() >= DEAD_LETTERS {
        if is_long {
            let most = reasons.into_iter().max_by_key(|(_, count)| *count).map_or("", |(reason, _)| reason);
            let message = format!(
                "raw records come, but none is a quote, most often: {most}; see the dead-letter topic"
            );
            return Some(FlowVerdict::new(FlowReason::OnlyDeadLetters, message));
        }
        // Workers that have just begun know of no good quote before: what was said then stands.
        accepted?;
    }
    if let Some(every) = expect_every.filter(|every| silence > *every) {
        let message =
            format!("no quote was accepted since {}; one is expected every {every} s", rfc3339(last));
        return Some(FlowVerdict::new(FlowReason::NoQuotes, message));
    }
    Some(when_flowing(reports))
}

#[cfg(test)]
mod tests;
