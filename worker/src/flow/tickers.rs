//! All tickers that this process asks for, and what it reports of them. Pure: the clock is the caller's.

use std::collections::{BTreeMap, HashMap};

use stockwatch_crds::flow::{Exchange, Failing, FailingNow, FlowReport, UNTRADED};

use super::session::{Instrument, Session};
use super::source::{Requests, reason};
use super::ticker::{Due, TickerFlow};
use crate::metrics::FetchOutcome;

/// Failing tickers named in a report, and quiet ones.
const NAMED: usize = 50;
/// Exchanges of a report.
const EXCHANGES: usize = 50;

/// What was heard of one ticker: the quote's time, if it can be read, and its market; or how the fetch failed.
pub(crate) type Heard<'a> = Result<(Option<i64>, Option<&'a Session>), FetchOutcome>;

/// Times of the newest quotes that partitions hold of tickers, ascending, in seconds since 1970; by symbol.
pub(crate) type HeldTimes = HashMap<String, Vec<i64>>;

/// By symbol.
#[derive(Debug, Default)]
pub(super) struct Tickers {
    tickers: HashMap<String, TickerFlow>,
    held: HeldTimes,
    requests: Requests,
}

impl Tickers {
    /// What partitions hold: new tickers begin with it.
    pub(super) fn hold(&mut self, held: HeldTimes) {
        self.held = held;
    }

    /// These are asked for from now on. What is known of those that stay is kept; those that come, after a restart or from
    /// another worker, begin with what their partitions hold.
    pub(super) fn follow<'a>(&mut self, symbols: impl IntoIterator<Item = &'a str>) {
        let (mut known, held) = (std::mem::take(&mut self.tickers), &mut self.held);
        let mut ticker = |symbol: &str| {
            let known = known.remove(symbol);
            known.unwrap_or_else(|| TickerFlow::holding(held.remove(symbol).unwrap_or_default()))
        };
        self.tickers = symbols.into_iter().map(|symbol| (symbol.to_owned(), ticker(symbol))).collect();
    }

    /// Another source: what was known is of the one before.
    pub(super) fn forget(&mut self) {
        self.requests = Requests::default();
        self.held.clear();
        self.tickers.values_mut().for_each(|ticker| *ticker = TickerFlow::default());
    }

    /// One request ended. Tickers that are not asked for any more are left out.
    pub(super) fn heard<'a>(&mut self, now: i64, heard: impl IntoIterator<Item = (&'a str, Heard<'a>)>) {
        let outcomes = self.note(now, heard);
        self.requests.ended(now, outcomes);
    }

    /// Tickers that stand apart were refused: that says nothing of the source.
    pub(super) fn heard_apart<'a>(
        &mut self,
        now: i64,
        heard: impl IntoIterator<Item = (&'a str, Heard<'a>)>,
    ) {
        self.note(now, heard);
    }

    fn note<'a>(
        &mut self,
        now: i64,
        heard: impl IntoIterator<Item = (&'a str, Heard<'a>)>,
    ) -> Vec<FetchOutcome> {
        let mut outcomes = Vec::new();
        for (symbol, heard) in heard {
            let ticker = self.tickers.get_mut(symbol);
            match heard {
                Ok((event, session)) => {
                    outcomes.push(FetchOutcome::Ok);
                    ticker.into_iter().for_each(|ticker| ticker.answered(now, event, session));
                }
                Err(outcome) => {
                    outcomes.push(outcome);
                    ticker.into_iter().for_each(|ticker| ticker.failed(now, outcome));
                }
            }
        }
        outcomes
    }

    /// What the operator is told.
    pub(super) fn report(&self, now: i64) -> FlowReport {
        let mut report = FlowReport {
            at: now,
            tickers: count(self.tickers.len()),
            down: self.requests.down(),
            failing: self.failing(now),
            exchanges: self.exchanges(),
            ..FlowReport::default()
        };
        for (symbol, ticker) in &self.tickers {
            let Some(outcome) = ticker.outcome() else { continue };
            report.heard += 1;
            report.newest = report.newest.max(ticker.newest());
            if outcome != FetchOutcome::Ok {
                continue;
            }
            report.answered += 1;
            report.stale += u32::from(ticker.is_stale());
            let due = ticker.due(now);
            report.open += u32::from(due != Due::Nothing || is_always_open(ticker));
            if let Due::Quote { is_silent, is_known } = due {
                report.expected += 1;
                report.silent += u32::from(is_silent);
                report.learned += u32::from(is_known);
            }
            let why = match due {
                _ if ticker.is_stale() => "Stale",
                Due::Quote { is_silent: true, .. } => "Silent",
                _ => continue,
            };
            report.quiet.push(named(symbol, why, ticker.newest().unwrap_or_default()));
        }
        report.quiet.sort_by(|one, other| (one.since, &one.symbol).cmp(&(other.since, &other.symbol)));
        report.quiet.truncate(NAMED);
        report
    }

    /// Seconds since the newest quote of the tickers that are due one; 0 where none is.
    pub(super) fn newest_age(&self, now: i64) -> i64 {
        let due = self.tickers.values().filter(|ticker| matches!(ticker.due(now), Due::Quote { .. }));
        let newest = due.filter_map(TickerFlow::newest).max();
        newest.map_or(0, |newest| now.saturating_sub(newest).max(0))
    }

    /// How many tickers' last fetch failed, by how.
    pub(super) fn failing_by_outcome(&self) -> HashMap<FetchOutcome, i64> {
        let mut counts = HashMap::new();
        let outcomes = self.tickers.values().filter_map(TickerFlow::outcome);
        for outcome in outcomes.filter(|outcome| *outcome != FetchOutcome::Ok) {
            *counts.entry(outcome).or_default() += 1;
        }
        counts
    }

    /// Those that are not known first, then the longest failing, then those that no longer trade.
    fn failing(&self, now: i64) -> FailingNow {
        let mut failing: Vec<(u8, i64, &str, String)> = self
            .tickers
            .iter()
            .filter_map(|(symbol, ticker)| match (ticker.failing(now), ticker.outcome()?) {
                (Some(since), outcome) => {
                    let rank = u8::from(outcome != FetchOutcome::NotFound);
                    Some((rank, since, symbol.as_str(), reason(outcome)))
                }
                (None, FetchOutcome::Ok) => {
                    let since = untraded(ticker, now)?;
                    Some((2, since, symbol.as_str(), "Untraded".to_owned()))
                }
                (None, _) => None,
            })
            .collect();
        failing.sort();
        let tickers = failing.iter().take(NAMED).map(|(_, since, symbol, why)| named(symbol, why, *since));
        FailingNow { count: count(failing.len()), tickers: tickers.collect() }
    }

    /// Mutual funds are of an exchange that never trades.
    fn exchanges(&self) -> Vec<Exchange> {
        let mut exchanges: BTreeMap<&str, i64> = BTreeMap::new();
        for ticker in self.tickers.values() {
            let Some(session) = ticker.session().filter(|session| session.has_hours()) else { continue };
            if let (Some(exchange), Some(newest)) = (session.exchange(), ticker.newest()) {
                let known = exchanges.entry(exchange).or_insert(newest);
                *known = newest.max(*known);
            }
        }
        let exchanges = exchanges.into_iter().take(EXCHANGES);
        exchanges.map(|(name, newest)| Exchange { name: name.to_owned(), newest }).collect()
    }
}

/// The time of the newest quote, where that is so long ago that the ticker no longer trades. Without hours nothing is known
/// of when its quotes are due.
fn untraded(ticker: &TickerFlow, now: i64) -> Option<i64> {
    let newest = ticker.newest().filter(|newest| now.saturating_sub(*newest) > UNTRADED)?;
    ticker.session()?.has_hours().then_some(newest)
}

fn named(symbol: &str, reason: &str, since: i64) -> Failing {
    Failing { symbol: symbol.to_owned(), reason: reason.to_owned(), since }
}

/// A source that knows no hours, such as one that makes quotes up, is always open.
fn is_always_open(ticker: &TickerFlow) -> bool {
    ticker
        .session()
        .is_none_or(|session| !session.has_hours() && session.instrument() != Instrument::MutualFund)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn tickers(symbols: &[&str]) -> Tickers {
        let mut tickers = Tickers::default();
        tickers.follow(symbols.iter().copied());
        tickers
    }

    fn names(tickers: Vec<Failing>) -> Vec<(String, String)> {
        tickers.into_iter().map(|ticker| (ticker.symbol, ticker.reason)).collect()
    }

    fn named(tickers: &Tickers, now: i64) -> Vec<(String, String)> {
        names(tickers.report(now).failing.tickers)
    }

    #[test]
    fn a_ticker_that_is_not_traded_for_twelve_days_is_named_whatever_the_others_do() {
        const DAY: i64 = 86_400;
        let exchange =
            Session::new(Some("SHZ".into()), Instrument::Other).trading(NOW - 100, NOW + 100, None);
        let fund = Session::new(Some("NAS".into()), Instrument::MutualFund);
        let mut tickers = tickers(&["HOLIDAY", "OLD", "FUND", "NEW", "MISTYPED"]);
        for (symbol, days, session) in
            [("HOLIDAY", 11, &exchange), ("OLD", 13, &exchange), ("FUND", 13, &fund), ("NEW", 0, &exchange)]
        {
            tickers.heard(NOW, [(symbol, Ok((Some(NOW - days * DAY), Some(session))))]);
        }
        tickers.heard(NOW, [("MISTYPED", Err(FetchOutcome::NotFound))]);
        let both = [("MISTYPED".into(), "NotFound".into()), ("OLD".into(), "Untraded".into())];
        assert_eq!(named(&tickers, NOW), both);
        assert_eq!(tickers.report(NOW).failing.tickers[1].since, NOW - 13 * DAY);
        tickers.heard(NOW, [("OLD", Ok((Some(NOW), Some(&exchange))))]);
        assert_eq!(named(&tickers, NOW).len(), 1, "it trades again");
    }

    #[test]
    fn silent_and_stale_tickers_are_named_with_their_newest_quotes_time() {
        const HOUR: i64 = 3600;
        let session = Session::new(Some("CCC".into()), Instrument::Crypto);
        let mut tickers = tickers(&["SILENT", "STALE", "WELL"]);
        for symbol in ["SILENT", "STALE", "WELL"] {
            tickers.heard(NOW, [(symbol, Ok((Some(NOW), Some(&session))))]);
        }
        let later = NOW + 3 * HOUR;
        for (symbol, event) in [("SILENT", NOW), ("STALE", NOW - 24 * HOUR), ("WELL", later)] {
            tickers.heard(later, [(symbol, Ok((Some(event), Some(&session))))]);
        }
        let report = tickers.report(later);
        assert_eq!((report.silent, report.stale), (2, 1), "a stale one has no new quotes either");
        assert!(report.quiet.iter().all(|ticker| ticker.since == NOW));
        assert_eq!(
            names(report.quiet),
            [("SILENT".into(), "Silent".into()), ("STALE".into(), "Stale".into())]
        );
    }

    #[test]
    fn a_symbol_that_nobody_knows_is_named_at_once_and_others_after_a_quarter_of_an_hour() {
        let mut tickers = tickers(&["A", "B", "C"]);
        tickers.heard(NOW, [("A", Err(FetchOutcome::Timeout)), ("B", Err(FetchOutcome::NotFound))]);
        tickers.heard(NOW, [("C", Ok((Some(NOW), None)))]);
        assert_eq!(named(&tickers, NOW), [("B".into(), "NotFound".into())]);
        let later = NOW + 900;
        tickers.heard(later, [("A", Err(FetchOutcome::ServerError))]);
        let both = [("B".into(), "NotFound".into()), ("A".into(), "ServerError".into())];
        assert_eq!(named(&tickers, later), both);
        assert_eq!(tickers.failing_by_outcome()[&FetchOutcome::ServerError], 1);
        tickers.heard(later, [("A", Ok((Some(NOW), None))), ("B", Ok((None, None)))]);
        assert_eq!(named(&tickers, later), []);
    }

    #[test]
    fn what_is_known_of_a_ticker_lasts_as_long_as_it_is_asked_for() {
        let mut tickers = tickers(&["A", "B"]);
        tickers.heard(NOW, [("A", Ok((Some(NOW - 60), None))), ("B", Ok((Some(NOW), None)))]);
        tickers.follow(["A", "C"]);
        let report = tickers.report(NOW);
        assert_eq!((report.tickers, report.heard, report.newest), (2, 1, Some(NOW - 60)));
        tickers.heard(NOW, [("B", Ok((Some(NOW), None)))]);
        assert_eq!(tickers.report(NOW).newest, Some(NOW - 60), "it is somebody else's now");
        tickers.forget();
        assert_eq!(tickers.report(NOW).heard, 0);
    }

    #[test]
    fn a_ticker_that_comes_begins_with_what_its_partition_holds() {
        const DAY: i64 = 24 * 3600;
        let mut tickers = Tickers::default();
        let held = [("A", NOW - 60), ("B", NOW - 60), ("C", NOW + DAY)];
        tickers.hold(held.map(|(symbol, time)| (symbol.to_owned(), vec![time])).into());
        tickers.follow(["A", "B", "C", "D"]);
        let old = Ok((Some(NOW - 8 * DAY), None));
        tickers.heard(NOW, [("A", old), ("B", Ok((Some(NOW), None))), ("C", old), ("D", old)]);
        let report = tickers.report(NOW);
        assert_eq!(
            (report.stale, report.newest),
            (1, Some(NOW)),
            "what is held from the future says nothing"
        );
        tickers.follow([]);
        tickers.follow(["A"]);
        tickers.heard(NOW, [("A", old)]);
        assert_eq!(tickers.report(NOW).stale, 0, "it is told again for each partition that comes");
    }

    #[test]
    fn a_refusal_of_tickers_that_stand_apart_is_theirs() {
        let mut tickers = tickers(&["A", "B"]);
        tickers.heard(NOW, [("A", Ok((Some(NOW), None)))]);
        tickers.heard_apart(NOW, [("B", Err(FetchOutcome::Refused))]);
        assert_eq!(tickers.report(NOW).down, None);
        assert_eq!(named(&tickers, NOW + 900), [("B".into(), "Refused".into())]);
    }

    #[test]
    fn a_report_names_no_more_than_it_has_room_for() {
        let symbols: Vec<String> = (0..1000).map(|i| format!("S{i:04}")).collect();
        let mut tickers = tickers(&symbols.iter().map(String::as_str).collect::<Vec<_>>());
        let exchange = |i: usize| Session::new(Some(format!("X{i}")), Instrument::Crypto);
        let sessions: Vec<Session> = (0..200).map(exchange).collect();
        for (symbol, session) in symbols.iter().zip(&sessions) {
            tickers.heard(NOW, [(symbol.as_str(), Ok((Some(NOW), Some(session))))]);
        }
        for symbol in &symbols[200..] {
            tickers.heard(NOW, [(symbol.as_str(), Err(FetchOutcome::NotFound))]);
        }
        let report = tickers.report(NOW);
        assert_eq!((report.failing.count, report.failing.tickers.len()), (800, NAMED));
        assert_eq!(report.exchanges.len(), EXCHANGES);
    }
}
