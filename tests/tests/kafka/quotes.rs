//! `/quotes`: what a worker says of the quotes of its tickers, and of records that somebody else writes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stockwatch_tests::{Answer, Broker, FakeYahoo, Raw, Scene, Ticker, Worker, quote, soon, wait_for};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A quote of an exchange that opened an hour ago.
fn in_session(symbol: &str, price: u64, time: u64) -> Answer {
    in_hours(symbol, price, time, (now() - 3600, now() + 3600))
}

/// A quote of an exchange with these hours.
fn in_hours(symbol: &str, price: u64, time: u64, (start, end): (u64, u64)) -> Answer {
    Answer::json(format!(
        concat!(
            r#"{{"chart":{{"result":[{{"meta":{{"currency":"USD","symbol":"{symbol}","exchangeName":"NMS","#,
            r#""instrumentType":"EQUITY","regularMarketTime":{time},"regularMarketPrice":{price},"#,
            r#""currentTradingPeriod":{{"regular":{{"start":{start},"end":{end},"gmtoffset":-18000}}}}}}}}],"error":null}}}}"#
        ),
        symbol = symbol,
        time = time,
        price = price,
        start = start,
        end = end,
    ))
}

/// Waits until what the worker says is so.
fn await_quotes(worker: &Worker, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(60, what, || {
        let (_, text) = worker.get("/quotes")?;
        let said: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if is(&said) { Ok(said) } else { Err(text) }
    })
}

fn scene(name: &str, yahoo: &FakeYahoo, symbols: &[&str]) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
        watch.source = json!({"yahoo": {"interval": "1s", "baseUrl": yahoo.url()}});
    })
}

#[test]
fn each_tickers_last_fetch_its_session_and_the_partitions_are_said() {
    let yahoo = FakeYahoo::start();
    let begun = now() - 300;
    yahoo.script("GOOD", (0..200).map(|i| in_session("GOOD", 100 + i, begun + i)));
    let scene = scene("said", &yahoo, &["GOOD", "MISTYPED"]);
    let worker = scene.worker("w");
    let said = await_quotes(&worker, "a quote, a failure, and a partition that holds it", |said| {
        let held = said["partitions"].as_array().unwrap().iter().flat_map(|held| held["tickers"].as_array());
        said["answered"] == 1
            && said["failing"]["count"] == 1
            && held.flatten().any(|ticker| ticker == "GOOD")
    });
    assert_eq!((&said["tickers"], &said["heard"], &said["open"]), (&json!(2), &json!(2), &json!(1)));
    let failing = &said["failing"]["tickers"][0];
    assert_eq!((&failing["symbol"], &failing["reason"]), (&json!("MISTYPED"), &json!("NotFound")));
    assert_eq!(said["exchanges"][0]["name"], "NMS");
    assert_eq!(said["down"], Value::Null);
    assert_eq!(said["partitions"].as_array().unwrap().len(), 3);
    assert!(said["partitions"].as_array().unwrap().iter().any(|held| held["samples"].as_u64() > Some(0)));
    assert_eq!(worker.metric_where("failing_tickers", "reason=\"not_found\""), 1.0);
    worker.await_metric("end_to_end_seconds_count", "", 1.0);
}

#[test]
fn a_source_that_refuses_is_down_and_one_that_answers_again_is_not() {
    let yahoo = FakeYahoo::start();
    let begun = now() - 300;
    yahoo.script("GOOD", [in_session("GOOD", 100, begun)]);
    let scene = scene("down", &yahoo, &["GOOD"]);
    let worker = scene.worker("w");
    await_quotes(&worker, "a quote", |said| said["answered"] == 1);
    yahoo.script("GOOD", [Answer::Whole(403, "", "no".into())]);
    await_quotes(&worker, "a refusal", |said| said["down"]["reason"] == "Refused");
    yahoo.script("GOOD", [in_session("GOOD", 101, begun + 60)]);
    await_quotes(&worker, "the trial's answer", |said| said["down"].is_null() && said["answered"] == 1);
}

#[test]
fn answers_that_go_back_by_eight_days_are_said_to_be_stale() {
    let yahoo = FakeYahoo::start();
    let newest = now() - 300;
    let old = in_session("GOOD", 90, newest - 8 * 86_400);
    yahoo.script("GOOD", [in_session("GOOD", 100, newest), old]);
    let scene = scene("stale", &yahoo, &["GOOD"]);
    let worker = scene.worker("w");
    let said = await_quotes(&worker, "a stale answer", |said| said["stale"] == 1 && said["newest"] == newest);
    assert_eq!(said["quiet"], json!([{"symbol": "GOOD", "reason": "Stale", "since": newest}]));
}

#[test]
fn an_open_market_owes_quotes_and_one_that_is_closed_or_has_a_holiday_owes_none() {
    const HOUR: u64 = 3600;
    let (yahoo, now) = (FakeYahoo::start(), now());
    let (open, over, later) =
        ((now - 2 * HOUR, now + 5 * HOUR), (now - 8 * HOUR, now - HOUR), (now + HOUR, now + 8 * HOUR));
    let script =
        |symbol: &str, age: u64, hours| yahoo.script(symbol, [in_hours(symbol, 100, now - age, hours)]);
    script("OPEN", 60, open);
    script("OVER", 2 * HOUR, over);
    script("HOLIDAY", 26 * HOUR, open);
    script("LATER", 16 * HOUR, later);
    let scene = scene("sessions", &yahoo, &["OPEN", "OVER", "HOLIDAY", "LATER"]);
    let worker = scene.worker("w");
    let counts = |said: &Value| ["answered", "open", "expected", "silent"].map(|field| said[field].as_u64());
    let await_counts = |what: &str, expected: [u64; 4]| {
        await_quotes(&worker, what, |said| counts(said) == expected.map(Some));
    };
    await_counts("one that is open", [4, 1, 1, 0]);
    script("LATER", 30, open);
    await_counts("another one that opens", [4, 2, 2, 0]);
    script("OPEN", 60, over);
    script("LATER", 30, over);
    await_counts("both closed", [4, 0, 0, 0]);
}

#[test]
fn of_somebody_elses_source_accepted_quotes_and_dead_letters_are_said() {
    let scene = Scene::new(Broker::shared(), "others", |_| {});
    let worker = scene.worker("w");
    let entity = scene.watch.tickers[0].symbol.clone();
    let bad = Raw { key: Some(b"\"x\"".to_vec()), value: Some(b"no quote".to_vec()) };
    (0..3).for_each(|_| scene.send(&bad));
    scene.flush();
    await_quotes(&worker, "dead letters", |said| said["external"]["deadLetters"]["not_json"] == 3);
    scene.send(&quote(&entity, "1", now()));
    scene.flush();
    let said = await_quotes(&worker, "a quote", |said| said["external"]["accepted"].is_u64());
    assert_eq!(said["external"]["deadLetters"], json!({}));
    wait_for(60, "no lag", || {
        let lag = worker.metric("consumer_lag_records");
        soon(lag == 0.0, lag)
    });
}

#[test]
fn an_entity_that_two_partitions_hold_is_said_of_both() {
    let scene = Scene::new(Broker::shared(), "split", |_| {});
    let worker = scene.worker("w");
    let entity = scene.watch.tickers[0].symbol.clone();
    [0, 1].iter().for_each(|partition| scene.send_to(*partition, &quote(&entity, "1", now())));
    scene.flush();
    await_quotes(&worker, "two partitions that hold it", |said| {
        let holds =
            |held: &&Value| held["tickers"].as_array().is_some_and(|all| all.contains(&json!(entity)));
        said["partitions"].as_array().unwrap().iter().filter(holds).count() == 2
    });
}
