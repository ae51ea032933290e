#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use stockwatch_crds::flow::{Down, Failing, FailingNow};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A StockWatch whose status says this of its quotes; `None`: nothing yet.
fn stockwatch(said: Option<(&str, &str)>, failing: &Value) -> StockWatch {
    let condition = said.map(|(status, reason)| {
        json!({
            "type": "QuotesFlow", "status": status, "reason": reason, "message": "before",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    });
    serde_json::from_value(json!({
        "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
        "metadata": {"name": "tech", "namespace": "market", "uid": "u"},
        "spec": {"tickers": [], "kafka": {"bootstrapServers": "k:1"}},
        "status": {"conditions": condition.into_iter().collect::<Vec<_>>(), "failingTickers": failing},
    }))
    .unwrap()
}

fn flowing() -> FlowReport {
    FlowReport { at: 5000, tickers: 2, heard: 2, answered: 2, open: 2, ..FlowReport::default() }
}

fn refused() -> FlowReport {
    FlowReport { down: Some(Down { reason: "Refused".into(), since: 4000 }), ..flowing() }
}

fn lacking(symbols: &[&str]) -> FlowReport {
    failing("NotFound", symbols)
}

fn failing(reason: &str, symbols: &[&str]) -> FlowReport {
    let ticker = |symbol: &&str| Failing { symbol: (*symbol).into(), reason: reason.into(), since: 4000 };
    let tickers: Vec<Failing> = symbols.iter().map(ticker).collect();
    FlowReport { failing: FailingNow { count: u32::try_from(tickers.len()).unwrap(), tickers }, ..flowing() }
}

fn reason(polled: &Polled) -> Option<&str> {
    polled.quotes.statement.as_ref().map(|statement| statement.reason.as_str())
}

#[test]
fn what_an_operator_before_said_stands_until_three_polls_say_otherwise() {
    let stockwatch = stockwatch(Some(("True", "Flowing")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    assert!(!polled.hear(&stockwatch, 1, &[flowing()], now));
    assert_eq!(polled.quotes, Quotes::default(), "nothing to write");
    assert!(!polled.hear(&stockwatch, 1, &[refused()], now));
    assert!(!polled.hear(&stockwatch, 1, &[refused()], now));
    assert!(polled.hear(&stockwatch, 1, &[refused()], now));
    assert_eq!(reason(&polled), Some("AllRefused"));
    assert!(!polled.hear(&stockwatch, 1, &[refused()], now), "once");
}

#[test]
fn a_worker_that_does_not_answer_keeps_the_others_from_being_judged_for_a_while() {
    let stockwatch = stockwatch(Some(("True", "Flowing")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    for _ in 0..UNANSWERED + 1 {
        assert!(!polled.hear(&stockwatch, 2, &[refused()], now));
    }
    assert!(polled.hear(&stockwatch, 2, &[refused()], now));
    let mut alone = Polled::default();
    let turns: Vec<bool> = (0..7).map(|_| alone.hear(&stockwatch, 1, &[], now)).collect();
    assert_eq!(turns.iter().position(|turn| *turn), Some(6));
    assert_eq!(reason(&alone), Some("WorkersUnreachable"));
}

#[test]
fn without_ready_workers_nothing_is_known_and_the_first_answer_ends_that() {
    let stockwatch = stockwatch(Some(("True", "Flowing")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    assert!(!polled.hear(&stockwatch, 0, &[], now), "they are replaced");
    assert!(!polled.hear(&stockwatch, 0, &[], now));
    assert!(polled.hear(&stockwatch, 0, &[], now));
    assert_eq!(reason(&polled), Some("NoReadyWorkers"));
    assert!(!polled.hear(&stockwatch, 1, &[FlowReport::default()], now), "it has heard nothing yet");
    assert!(polled.hear(&stockwatch, 1, &[flowing()], now));
    assert_eq!(reason(&polled), Some("Flowing"));
}

fn named(polled: &Polled) -> Vec<String> {
    polled.quotes.failing.iter().flatten().map(|ticker| ticker.symbol.clone()).collect()
}

#[test]
fn a_failing_ticker_is_named_at_once_and_what_changes_then_five_minutes_later() {
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    let both = [failing("Timeout", &["A", "B"])];
    assert!(polled.hear(&stockwatch, 1, &[failing("Timeout", &["B"])], now));
    assert_eq!(named(&polled), ["B"]);
    assert!(!polled.hear(&stockwatch, 1, &both, now + MINUTE));
    assert!(!polled.hear(&stockwatch, 1, &both, now + 4 * MINUTE));
    assert!(polled.hear(&stockwatch, 1, &both, now + 5 * MINUTE));
    assert_eq!(named(&polled), ["A", "B"]);
}

#[test]
fn each_mistyped_symbol_is_named_at_once_and_one_that_is_mended_goes_later() {
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    assert!(polled.hear(&stockwatch, 1, &[lacking(&["B"])], now));
    assert!(polled.hear(&stockwatch, 1, &[lacking(&["A", "B"])], now + MINUTE));
    assert_eq!(named(&polled), ["A", "B"]);
    assert!(!polled.hear(&stockwatch, 1, &[lacking(&["A"])], now + 2 * MINUTE));
    assert!(polled.hear(&stockwatch, 1, &[lacking(&["A"])], now + 6 * MINUTE));
    assert_eq!(named(&polled), ["A"]);
}

#[test]
fn symbols_that_come_and_go_are_written_at_most_twelve_times_in_any_hour() {
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &json!([]));
    let (mut polled, begun) = (Polled::default(), Instant::now());
    let writes: Vec<u32> = (0..24 * 60)
        .filter(|minute| {
            let symbols: &[&str] = if minute % 2 == 0 { &["A"] } else { &[] };
            polled.hear(&stockwatch, 1, &[lacking(symbols)], begun + MINUTE * *minute)
        })
        .collect();
    let in_hour = |from: u32| writes.iter().filter(|minute| (from..from + 60).contains(*minute)).count();
    assert!(writes.len() > 12, "not only once");
    assert!((0..23 * 60).all(|from| in_hour(from) <= 12), "{writes:?}");
}

#[test]
fn a_worker_that_cannot_be_asked_holds_up_names_no_longer_than_the_verdict() {
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &json!([]));
    let (mut polled, now) = (Polled::default(), Instant::now());
    let named_at = (1..10).find(|_| polled.hear(&stockwatch, 2, &[lacking(&["A"])], now));
    assert_eq!(named_at, Some(UNANSWERED));
    assert_eq!(named(&polled), ["A"]);
}

#[test]
fn tickers_that_a_status_names_already_are_not_written_again() {
    let named = json!([{"symbol": "B", "reason": "NotFound", "since": "1970-01-01T00:10:00Z"}]);
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &named);
    let mut polled = Polled::default();
    assert!(!polled.hear(&stockwatch, 1, &[lacking(&["B"])], Instant::now()));
    assert_eq!(polled.quotes, Quotes::default());
}

#[test]
fn a_day_of_polls_without_a_turn_gives_nothing_to_write() {
    let stockwatch = stockwatch(Some(("True", "SomeTickersFail")), &json!([]));
    let (mut polled, begun) = (Polled::default(), Instant::now());
    let writes = (0..24_u32 * 60).filter(|minute| {
        // One poll in ten meets a refusal.
        let down = (minute % 10 == 9).then(|| Down { reason: "Refused".into(), since: 4000 });
        let report = FlowReport { at: 5000 + i64::from(*minute) * 60, down, ..lacking(&["B"]) };
        polled.hear(&stockwatch, 1, &[report], begun + MINUTE * *minute)
    });
    assert_eq!(writes.count(), 1, "the ticker is named, that is all");
}

#[test]
fn workers_that_have_just_begun_are_asked_soon_until_something_is_known() {
    let stockwatch = stockwatch(Some(("Unknown", "NoReadyWorkers")), &json!([]));
    let (flows, key) = (Flows::default(), Key::new("market", "tech"));
    flows.hurry(&key, &stockwatch, 0);
    assert!(flows.hurried().is_empty(), "nobody can be asked");
    flows.hurry(&key, &stockwatch, 1);
    assert_eq!(flows.hurried().len(), 1);
    let (mut polled, now) = (Polled::default(), Instant::now());
    let nothing = [FlowReport::default()];
    assert!(!polled.hear(&stockwatch, 1, &nothing, now));
    assert!(polled.is_to_be_hurried(&stockwatch, 1, &nothing));
    assert!(polled.hear(&stockwatch, 1, &[flowing()], now));
    assert!(!polled.is_to_be_hurried(&stockwatch, 1, &[flowing()]));
    let mut silent = Polled::default();
    let hurries = (0..100).filter(|_| silent.is_to_be_hurried(&stockwatch, 1, &nothing)).count();
    assert_eq!(hurries, 20, "not for ever");
}
