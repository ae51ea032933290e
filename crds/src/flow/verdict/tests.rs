#![allow(clippy::unwrap_used)]

use super::super::report::{Exchange, Failing, FailingNow, Held, Stretched};
use super::*;

const NOW: i64 = 1_790_000_000;

/// Ten tickers, five of an open market, all well.
fn report() -> FlowReport {
    FlowReport {
        at: NOW,
        tickers: 10,
        heard: 10,
        answered: 10,
        open: 5,
        expected: 5,
        learned: 5,
        newest: Some(NOW - 60),
        ..FlowReport::default()
    }
}

fn reason(reports: &[FlowReport]) -> &'static str {
    verdict(reports).unwrap().reason.as_str()
}

fn down(reason: &str) -> FlowReport {
    FlowReport { down: Some(Down { reason: reason.into(), since: NOW - 100 }), ..report() }
}

fn failing(reason: &str, count: u32) -> FailingNow {
    let ticker = |i| Failing { symbol: format!("S{i}"), reason: reason.into(), since: NOW - 900 };
    FailingNow { count, tickers: (0..count).map(ticker).collect() }
}

#[test]
fn quotes_flow_while_a_market_is_open_and_are_not_expected_while_all_are_closed() {
    assert_eq!(reason(&[report()]), "Flowing");
    let closed = FlowReport { open: 0, expected: 0, learned: 0, ..report() };
    assert_eq!(reason(std::slice::from_ref(&closed)), "MarketsClosed");
    assert_eq!(reason(&[closed, report()]), "Flowing");
}

#[test]
fn nothing_is_said_before_anything_was_heard() {
    assert_eq!(verdict(&[]), None);
    assert_eq!(verdict(&[FlowReport { tickers: 5, at: NOW, ..FlowReport::default() }]), None);
    assert_eq!(verdict(&[FlowReport { at: NOW, ..FlowReport::default() }]), None);
}

#[test]
fn a_source_is_down_where_it_answers_no_worker_that_asks() {
    for (why, expected) in [
        ("RateLimited", "RateLimited"),
        ("Refused", "AllRefused"),
        ("Timeout", "NoQuotes"),
        ("?", "NoQuotes"),
    ] {
        assert_eq!(reason(&[down(why)]), expected);
        let idle = FlowReport { at: NOW, ..FlowReport::default() };
        assert_eq!(reason(&[down(why), idle]), expected, "a worker without tickers says nothing");
        assert_eq!(reason(&[down(why), report()]), "Flowing");
    }
}

#[test]
fn where_every_ticker_fails_the_most_frequent_reason_decides() {
    let none = |reason| FlowReport { answered: 0, failing: failing(reason, 10), ..report() };
    assert_eq!(reason(&[none("NotFound")]), "NoQuotes");
    assert_eq!(reason(&[none("Refused")]), "AllRefused");
    assert_eq!(reason(&[FlowReport { heard: 9, ..none("NotFound") }]), "SomeTickersFail", "one may come yet");
}

#[test]
fn some_failing_tickers_are_named_with_how_many_there_are() {
    let verdict = verdict(&[FlowReport { failing: failing("NotFound", 5), ..report() }]).unwrap();
    assert_eq!(verdict.reason, FlowReason::SomeTickersFail);
    let said = verdict.message;
    assert!(said.starts_with("5 of 10: S0 NotFound since 2026-09-21T13:58:20Z; S1 "), "{said}");
    assert!(said.contains("; and 2 more"), "{said}");
}

#[test]
fn answers_of_the_day_before_are_stale_where_half_of_them_are() {
    assert_eq!(reason(&[FlowReport { stale: 4, ..report() }]), "Flowing");
    assert_eq!(reason(&[FlowReport { stale: 5, ..report() }]), "StaleQuotes");
}

#[test]
fn exchanges_are_stale_when_no_worker_has_a_quote_of_any_for_twelve_days() {
    let of = |name: &str, days: i64| {
        let newest = NOW - days * 86_400;
        FlowReport {
            exchanges: vec![Exchange { name: name.into(), newest }],
            newest: Some(newest),
            ..report()
        }
    };
    assert_eq!(reason(&[of("SHZ", 11)]), "Flowing", "a long holiday");
    assert_eq!(reason(&[of("NMS", 13)]), "StaleQuotes");
    assert_eq!(reason(&[of("NMS", 13), of("NMS", 1)]), "Flowing");
    assert_eq!(reason(&[of("NMS", 13), of("GER", 40)]), "StaleQuotes");
    let no_hours = FlowReport { exchanges: vec![], ..of("", 13) };
    assert_eq!(reason(&[no_hours]), "Flowing", "nothing is known of when its quotes are due");
}

#[test]
fn one_exchange_that_is_closed_for_good_hides_nothing_of_the_others() {
    let exchange = |name: &str, newest| Exchange { name: name.into(), newest };
    let dead = FailingNow {
        count: 1,
        tickers: vec![Failing { symbol: "OLD".into(), reason: "Untraded".into(), since: NOW - 20 * 86_400 }],
    };
    let exchanges = vec![exchange("NMS", NOW - 60), exchange("OLD", NOW - 20 * 86_400)];
    let one = FlowReport { exchanges, failing: dead, ..report() };
    assert_eq!(reason(std::slice::from_ref(&one)), "SomeTickersFail");
    assert_eq!(reason(&[FlowReport { silent: 5, ..one }]), "NoQuotes");
}

#[test]
fn an_interval_that_is_longer_than_asked_is_said_in_the_message() {
    let stretched = Some(Stretched { asked: 60_000, kept: 75_500 });
    let all = FlowReport { stretched, ..report() };
    let said = |report: &FlowReport| verdict(std::slice::from_ref(report)).unwrap().message;
    assert!(said(&all).contains("every 75.5s instead of 60s"), "{}", said(&all));
    let some = FlowReport { failing: failing("NotFound", 1), ..all.clone() };
    assert!(said(&some).contains("every 75.5s instead of 60s"), "{}", said(&some));
    let idle = FlowReport { at: NOW, stretched, ..FlowReport::default() };
    assert_eq!(verdict(&[report(), idle]), verdict(&[report()]), "that worker asks for nothing");
}

#[test]
fn a_source_whose_secret_cannot_be_used_is_not_said_to_be_asked() {
    let said = verdict(&[down("NotConfigured")]).unwrap();
    assert_eq!(said.reason, FlowReason::NoQuotes);
    assert!(
        said.message.starts_with("nothing is asked") && said.message.contains("Secret"),
        "{}",
        said.message
    );
}

#[test]
fn a_message_has_room_in_a_status_whatever_a_worker_answers() {
    let said = verdict(&[down(&"x".repeat(200_000))]).unwrap();
    assert!(said.message.chars().count() <= 1024);
}

#[test]
fn silence_counts_when_all_are_silent_and_one_alone_only_if_its_pace_is_known() {
    let silent = |expected, silent, learned| FlowReport { expected, silent, learned, ..report() };
    assert_eq!(reason(&[silent(5, 5, 5)]), "NoQuotes");
    assert_eq!(reason(&[silent(5, 4, 5)]), "Flowing");
    assert_eq!(reason(&[silent(5, 5, 5), silent(1, 0, 1)]), "Flowing");
    assert_eq!(reason(&[silent(1, 1, 0)]), "Flowing");
    assert_eq!(reason(&[silent(2, 2, 0), silent(1, 1, 0)]), "NoQuotes");
}

fn external(accepted: Option<i64>, dead: &[(&str, u64)], dead_ago: i64) -> FlowReport {
    let dead_letters = dead.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    let external = External {
        since: NOW - 3600,
        accepted: accepted.map(|ago| NOW - ago),
        dead_letter: (!dead.is_empty()).then_some(NOW - dead_ago),
        dead_letters,
        expect_every: None,
    };
    FlowReport { at: NOW, external: Some(external), ..FlowReport::default() }
}

#[test]
fn only_dead_letters_of_somebody_elses_source_are_said_with_their_reason() {
    let dead = [("not_json", 1), ("no_price", 7)];
    let verdict = verdict(&[external(Some(900), &dead, 5)]).unwrap();
    assert_eq!(verdict.reason, FlowReason::OnlyDeadLetters);
    assert!(verdict.message.contains("most often: no_price"), "{}", verdict.message);
    assert_eq!(reason(&[external(Some(900), &dead, 601)]), "Flowing", "that was long ago");
    assert_eq!(reason(&[external(Some(900), &[("not_json", 2)], 5)]), "Flowing", "an accident");
    assert_eq!(reason(&[external(Some(900), &dead, 5), external(Some(1), &[], 0)]), "Flowing");
    assert_eq!(reason(&[external(None, &dead, 5)]), "OnlyDeadLetters", "not one good quote in an hour");
}

#[test]
fn bad_records_among_good_ones_are_no_source_of_dead_letters_only() {
    let dead = [("not_json", 100)];
    for (seconds, expected) in [(1, "Flowing"), (10, "Flowing"), (599, "Flowing"), (601, "OnlyDeadLetters")] {
        assert_eq!(
            reason(&[external(Some(seconds), &dead, 0)]),
            expected,
            "the last good one is {seconds} s old"
        );
        let elsewhere = [external(Some(seconds), &[], 0), external(None, &dead, 0)];
        assert_eq!(reason(&elsewhere), expected, "{seconds} s, in another worker");
    }
    let mut expecting = external(Some(121), &dead, 0);
    expecting.external.iter_mut().for_each(|external| external.expect_every = Some(120));
    assert_eq!(reason(&[expecting]), "OnlyDeadLetters", "silence is longer than expected");
    let mut begun = external(None, &dead, 0);
    begun.external.iter_mut().for_each(|external| external.since = NOW - 60);
    assert_eq!(verdict(&[begun]), None, "it has just begun, and may see a good one yet");
}

#[test]
fn silence_of_somebody_elses_source_counts_only_where_quotes_are_expected() {
    let expecting = |accepted| {
        let mut report = external(accepted, &[], 0);
        report.external.iter_mut().for_each(|external| external.expect_every = Some(120));
        report
    };
    assert_eq!(reason(&[external(None, &[], 0)]), "Flowing");
    assert_eq!(reason(&[expecting(Some(119))]), "Flowing");
    assert_eq!(reason(&[expecting(Some(121))]), "NoQuotes");
    assert_eq!(reason(&[expecting(None)]), "NoQuotes", "not one since the worker came an hour ago");
    assert_eq!(reason(&[expecting(None), expecting(Some(5))]), "Flowing");
}

#[test]
fn a_ticker_in_two_partitions_is_a_ticker_that_fails() {
    let held = |partition| Held { partition, tickers: vec!["A".into()], ..Held::default() };
    let split = FlowReport { partitions: vec![held(0), held(3)], ..external(Some(1), &[], 0) };
    let verdict = verdict(&[split]).unwrap();
    assert_eq!(verdict.reason, FlowReason::SomeTickersFail);
    assert!(verdict.message.starts_with("1: A in two partitions"), "{}", verdict.message);
}
