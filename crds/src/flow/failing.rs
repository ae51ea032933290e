//! The tickers that a status names.

use std::collections::BTreeMap;

use super::report::FlowReport;
use super::text::{cut, rfc3339};
use crate::limits::{MAX_FAILING, MAX_FAILING_REASON, MAX_SYMBOL};
use crate::v1alpha1::FailingTicker;

/// The reason of a ticker that two partitions hold.
const TWO_PARTITIONS: &str = "TwoPartitions";

/// Returns the tickers to name, ascending by symbol, at most 20. One that `before` names for the same reason keeps its
/// time: a worker that takes a ticker over knows its failures from then on only.
pub fn failing_tickers(reports: &[FlowReport], before: &[FailingTicker]) -> Vec<FailingTicker> {
    let at = reports.iter().map(|report| report.at).max().unwrap_or_default();
    let failing = reports.iter().flat_map(|report| &report.failing.tickers).map(|ticker| FailingTicker {
        symbol: cut(&ticker.symbol, MAX_SYMBOL),
        reason: cut(&ticker.reason, MAX_FAILING_REASON),
        since: rfc3339(ticker.since),
        message: None,
    });
    let split = split_tickers(reports).into_iter().map(|(symbol, partitions)| FailingTicker {
        symbol: cut(symbol, MAX_SYMBOL),
        reason: TWO_PARTITIONS.into(),
        since: rfc3339(at),
        message: Some(sentence(&partitions)),
    });
    let mut all: Vec<FailingTicker> = failing.chain(split).collect();
    all.sort_by(|a, b| (&a.symbol, &a.reason, &a.since).cmp(&(&b.symbol, &b.reason, &b.since)));
    all.dedup_by(|a, b| (&a.symbol, &a.reason) == (&b.symbol, &b.reason));
    all.truncate(MAX_FAILING);
    for ticker in &mut all {
        let known =
            before.iter().find(|known| (&known.symbol, &known.reason) == (&ticker.symbol, &ticker.reason));
        if let Some(known) = known.filter(|known| known.since < ticker.since) {
            ticker.since.clone_from(&known.since);
        }
    }
    all
}

/// Returns the listed tickers that more than one partition holds, with the partitions' numbers.
pub fn split_tickers(reports: &[FlowReport]) -> BTreeMap<&str, Vec<i32>> {
    let mut holders: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for held in reports.iter().flat_map(|report| &report.partitions) {
        for symbol in &held.tickers {
            holders.entry(symbol).or_default().push(held.partition);
        }
    }
    for partitions in holders.values_mut() {
        // A partition that moves may be said to be held by both workers.
        partitions.sort_unstable();
        partitions.dedup();
    }
    holders.retain(|_, partitions| partitions.len() > 1);
    holders
}

fn sentence(partitions: &[i32]) -> String {
    let numbers: Vec<String> = partitions.iter().take(5).map(ToString::to_string).collect();
    format!(
        "partitions {} each compute averages of their own for it: its producers must choose the partition by the same key",
        numbers.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::{Failing, FailingNow, Held};
    use super::*;

    fn report(failing: &[(&str, &str, i64)], held: &[(i32, &[&str])]) -> FlowReport {
        let tickers: Vec<Failing> = failing
            .iter()
            .map(|(symbol, reason, since)| Failing {
                symbol: (*symbol).into(),
                reason: (*reason).into(),
                since: *since,
            })
            .collect();
        let held = held.iter().map(|(partition, tickers)| Held {
            partition: *partition,
            tickers: tickers.iter().map(|symbol| (*symbol).to_owned()).collect(),
            ..Held::default()
        });
        let count = u32::try_from(tickers.len()).unwrap_or(u32::MAX);
        FlowReport {
            at: 1000,
            failing: FailingNow { count, tickers },
            partitions: held.collect(),
            ..FlowReport::default()
        }
    }

    #[test]
    fn those_of_all_workers_are_named_in_order_and_no_more_than_twenty() {
        let many: Vec<(String, &str, i64)> = (0..30).map(|i| (format!("Z{i:02}"), "Timeout", 5)).collect();
        let many: Vec<(&str, &str, i64)> = many.iter().map(|(s, r, t)| (s.as_str(), *r, *t)).collect();
        let named = failing_tickers(&[report(&many, &[]), report(&[("A", "NotFound", 7)], &[])], &[]);
        assert_eq!(named.len(), 20);
        assert_eq!((named[0].symbol.as_str(), named[0].since.as_str()), ("A", "1970-01-01T00:00:07Z"));
        assert!(named.is_sorted_by(|a, b| a.symbol < b.symbol));
    }

    #[test]
    fn what_is_longer_than_a_status_takes_is_cut_and_times_that_are_no_dates_are_1970() {
        let (symbol, reason) = ("ä".repeat(40), "r".repeat(70));
        let forged = report(&[(&symbol, &reason, i64::MIN)], &[(0, &[&symbol]), (1, &[&symbol])]);
        let named = failing_tickers(std::slice::from_ref(&forged), &[]);
        assert_eq!(named.len(), 2);
        for ticker in &named {
            assert!(ticker.symbol.chars().count() == 32 && ticker.reason.chars().count() <= 64, "{ticker:?}");
            assert!(ticker.since.starts_with("1970-01-01T00:"), "{ticker:?}");
        }
        assert_eq!(failing_tickers(&[forged], &named), named, "nothing is written again");
    }

    #[test]
    fn a_ticker_that_another_worker_takes_over_has_failed_since_it_first_did() {
        let before = failing_tickers(&[report(&[("A", "NotFound", 7), ("B", "Timeout", 7)], &[])], &[]);
        let moved = report(&[("A", "NotFound", 500), ("B", "NotFound", 500)], &[]);
        let named = failing_tickers(&[moved], &before);
        assert_eq!(named[0], before[0]);
        assert_eq!(named[1].since, "1970-01-01T00:08:20Z", "another reason is another failure");
    }

    #[test]
    fn a_ticker_in_two_partitions_is_named_with_both_whoever_owns_them() {
        let one = report(&[], &[(1, &["A", "B"]), (2, &["C"])]);
        let other = report(&[], &[(4, &["B", "C"])]);
        let named = failing_tickers(&[one.clone(), other], &[]);
        let symbols: Vec<&str> = named.iter().map(|ticker| ticker.symbol.as_str()).collect();
        assert_eq!(symbols, ["B", "C"]);
        assert!(named[0].message.as_ref().is_some_and(|text| text.starts_with("partitions 1 and 4 ")));
        assert!(failing_tickers(&[one.clone(), one], &[]).is_empty(), "one partition that is being moved");
    }
}
