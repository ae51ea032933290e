//! The extractor against a server that answers as Yahoo does.

use serde_json::json;
use std::collections::BTreeSet;
use stockwatch_tests::{Answer, Broker, FakeYahoo, Record, Scene, Ticker, Topic, chart, soon, wait_for};

const T: u64 = 1_700_000_000;

/// A scene of symbols that are asked for at the given interval.
fn scene(name: &str, yahoo: &FakeYahoo, interval: &str, symbols: &[&str]) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
        watch.source = json!({"yahoo": {"interval": interval, "baseUrl": yahoo.url()}});
    })
}

fn raw_of(scene: &Scene, entity: &str) -> Vec<Record> {
    let records = scene.read(Topic::Raw).into_iter().flatten();
    records.filter(|record| record.json()["entityname"] == json!(entity)).collect()
}

fn rising(symbol: &str) -> Vec<Answer> {
    (0..200).map(|i| chart(symbol, "USD", &format!("{}.{:02}", 100 + i, i % 100), T + 60 * i)).collect()
}

fn whole(body: &str) -> Answer {
    Answer::json(body)
}

/// Every shape that gives no quote, with the outcome that it is counted as.
fn without_quotes() -> Vec<(&'static str, &'static str, Vec<Answer>)> {
    let html = "<html><body>Your privacy choices</body></html>";
    vec![
        ("NOPRICE", "no_price", vec![whole(
            r#"{"chart":{"result":[{"meta":{"currency":"USD","symbol":"NOPRICE","regularMarketTime":1072994400},"timestamp":[1700000000],"indicators":{"quote":[{"close":[17.5]}]}}],"error":null}}"#,
        )]),
        ("UNKNOWN", "not_found", vec![Answer::Whole(404, "", r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}"#.into())]),
        ("UNKNOWN2", "not_found", vec![whole(r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"x"}}}"#)]),
        ("EMPTY", "not_found", vec![whole(r#"{"chart":{"result":[],"error":null}}"#)]),
        ("CONSENT", "bad_body", vec![Answer::Whole(200, "Content-Type: text/html", html.into())]),
        ("CUTOFF", "bad_body", vec![Answer::CutOff(r#"{"chart":{"result":[{"meta":{"regularMarketPri"#.into())]),
        ("CUTBODY", "bad_body", vec![whole(r#"{"chart":{"result":[{"meta":{"regularMarketPri"#)]),
        ("HUGE", "too_large", vec![whole(&" ".repeat(20_000_000))]),
        ("INTERNAL", "server_error", vec![Answer::Whole(503, "", "upstream connect error".into())]),
        ("DENIED", "client_error", vec![Answer::Whole(401, "", r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#.into())]),
        ("HANGUP", "connect", vec![Answer::Close]),
        ("SILENT", "timeout", vec![Answer::Silence]),
    ]
}

#[test]
fn one_bad_symbol_never_stops_the_rest_and_every_outcome_is_counted() {
    let yahoo = FakeYahoo::start();
    let shapes = without_quotes();
    let mut symbols = vec!["GOOD"];
    symbols.extend(shapes.iter().map(|shape| shape.0));
    yahoo.script("GOOD", rising("GOOD"));
    for (symbol, _, answers) in &shapes {
        yahoo.script(symbol, answers.clone());
    }
    let scene = scene("shapes", &yahoo, "2s", &symbols);
    let worker = scene.worker("w");
    for (symbol, outcome, _) in &shapes {
        let label = format!("outcome=\"{outcome}\"");
        let least = shapes.iter().filter(|shape| shape.1 == *outcome).count();
        wait_for(60, &format!("{symbol} asked for"), || soon(yahoo.asked(symbol) > 0, yahoo.asked(symbol)));
        worker.await_metric("fetches", &label, f64::from(u32::try_from(least).unwrap()));
    }
    let asked = yahoo.asked("GOOD");
    wait_for(60, "good quotes beside all that", || {
        soon(yahoo.asked("GOOD") > asked + 2, yahoo.asked("GOOD"))
    });
    scene.await_committed(3);
    worker.terminate();
    let entities: BTreeSet<String> = (scene.read(Topic::Raw).iter().flatten())
        .map(|record| record.json()["entityname"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(entities, ["GOOD".to_owned()].into(), "nothing but good quotes is produced");
    assert!(scene.read(Topic::DeadLetter).iter().all(Vec::is_empty));
    let browser = |agent: &String| agent.starts_with("Mozilla/5.0");
    assert!(yahoo.user_agents().iter().all(browser), "{:?}", yahoo.user_agents().first());
}

#[test]
fn too_many_requests_in_any_form_pause_the_source_and_no_more() {
    let yahoo = FakeYahoo::start();
    let refused = |headers, body: &str| Answer::Whole(429, headers, body.into());
    yahoo.script("GOOD", rising("GOOD"));
    yahoo.script(
        "TEXT",
        [refused("Content-Type: text/plain", "Too Many Requests\r\n"), chart("TEXT", "USD", "1", T)],
    );
    let html = refused("Content-Type: text/html\r\nRetry-After: 1", "<html>Too many</html>");
    yahoo.script("HTML", [html, chart("HTML", "USD", "1", T)]);
    let scene = scene("refused", &yahoo, "2s", &["GOOD", "TEXT", "HTML"]);
    let worker = scene.worker("w");
    worker.await_metric("fetches", "outcome=\"rate_limited\"", 2.0);
    for symbol in ["GOOD", "TEXT", "HTML"] {
        wait_for(120, symbol, || soon(!raw_of(&scene, symbol).is_empty(), "no quote"));
    }
}

#[test]
fn tickers_that_do_not_fit_ten_requests_a_second_stretch_the_interval() {
    let yahoo = FakeYahoo::start();
    let symbols: Vec<String> = (0..40).map(|i| format!("R{i}")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    names.iter().for_each(|name| yahoo.script(name, rising(name)));
    let scene = scene("stretch", &yahoo, "1s", &names);
    let worker = scene.worker("w");
    wait_for(60, "an interval of 4 s", || {
        let seen = worker.metric("fetch_interval_seconds");
        soon((3.9..4.5).contains(&seen), seen)
    });
    wait_for(60, "every symbol asked for twice", || {
        soon(names.iter().all(|name| yahoo.asked(name) >= 2), "not yet")
    });
    let most = yahoo.most_in_a_second();
    assert!(most <= 12, "{most} requests within a second");
}

#[test]
fn usable_answers_of_every_shape_become_quotes_with_the_numbers_as_written() {
    let yahoo = FakeYahoo::start();
    let meta = |symbol: &str, currency: &str, price: &str| {
        whole(&format!(
            r#"{{"future":{{}},"chart":{{"error":null,"result":[{{"indicators":{{"quote":[{{}}]}},"meta":{{"regularMarketPrice":{price},"new":[1],"symbol":"{symbol}","regularMarketTime":{T},"currency":"{currency}"}}}}]}}}}"#
        ))
    };
    yahoo.script("BARG.L", [meta("BARG.L", "GBp", "187.5")]);
    yahoo.script("SHEL.L", [meta("SHEL.L", "GBP", "24.10")]);
    yahoo.script("USDEUR=X", [meta("EUR=X", "EUR", "0.9187654321")]);
    yahoo.script("^GSPC", [meta("^GSPC", "USD", "4.5e3")]);
    let scene = scene("usable", &yahoo, "1s", &["BARG.L", "SHEL.L", "USDEUR=X", "^GSPC"]);
    let _worker = scene.worker("w");
    let values = ["BARG.L", "SHEL.L", "USDEUR=X", "^GSPC"].map(|symbol| {
        wait_for(60, symbol, || {
            raw_of(&scene, symbol).first().map(Record::text).ok_or_else(|| "no quote".to_owned())
        })
    });
    let value = |symbol: &str, price: &str, currency: &str| {
        format!(
            r#"{{"entityname":"{symbol}","currentstockprice":{price},"lastupdatedate":{T},"symbol":"{symbol}","currency":"{currency}"}}"#
        )
    };
    assert_eq!(
        values,
        [
            value("BARG.L", "187.5", "GBp"),
            value("SHEL.L", "24.10", "GBP"),
            value("USDEUR=X", "0.9187654321", "EUR"),
            value("^GSPC", "4.5e3", "USD")
        ]
    );
}

#[test]
fn an_older_answer_after_a_newer_one_is_no_new_quote() {
    let yahoo = FakeYahoo::start();
    let flip: Vec<Answer> = (0..40)
        .map(|i| chart("FLIP", "USD", if i % 2 == 0 { "100" } else { "200" }, T + 60 * (i % 2)))
        .collect();
    yahoo.script("FLIP", flip);
    let scene = scene("flip", &yahoo, "1s", &["FLIP"]);
    let worker = scene.worker("w");
    wait_for(60, "some flips", || soon(raw_of(&scene, "FLIP").len() >= 6, raw_of(&scene, "FLIP").len()));
    scene.await_committed(6);
    worker.terminate();
    let quotes = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum::<usize>();
    assert_eq!(quotes, 2);
}

#[test]
fn keys_partition_as_java_does_and_the_symbol_keeps_its_entitys_name() {
    let yahoo = FakeYahoo::start();
    let names = ["meta", "vanguard etf", "21", "foobar", "ünï"];
    let scene = Scene::new(Broker::shared(), "java", |watch| {
        watch.tickers = vec![];
        for (i, name) in names.iter().enumerate() {
            let symbol = format!("S{i}");
            yahoo.script(&symbol, rising(&symbol));
            watch.tickers.push(Ticker { symbol, name: Some((*name).into()), tolerances: vec![] });
        }
        watch.source = json!({"yahoo": {"interval": "1s", "baseUrl": yahoo.url()}});
    });
    let worker = scene.worker("w");
    for name in names {
        wait_for(60, name, || soon(!raw_of(&scene, name).is_empty(), "no quote"));
    }
    scene.await_committed(10);
    worker.terminate();
    // The test's own producer partitions as Java: its records must fall beside the extractor's.
    let extracted = scene.read(Topic::Raw);
    for name in names {
        let key = serde_json::to_string(name).unwrap();
        let partitions: BTreeSet<usize> = (extracted.iter().enumerate())
            .filter(|(_, records)| records.iter().any(|record| record.key_text() == key))
            .map(|(partition, _)| partition)
            .collect();
        scene.send(&stockwatch_tests::quote(name, "1", T));
        scene.producer.flush();
        let after = scene.read(Topic::Raw);
        let mine = (0..after.len()).filter(|p| {
            after[*p].last().is_some_and(|r| r.key_text() == key && r.json()["symbol"].is_null())
        });
        assert_eq!(partitions, mine.collect(), "{name}");
    }
    assert!(raw_of(&scene, "vanguard etf").iter().any(|record| record.json()["symbol"] == json!("S1")));
}

#[test]
fn two_workers_fetch_no_symbol_twice_and_a_dead_ones_symbols_move() {
    let yahoo = FakeYahoo::start();
    let symbols: Vec<String> = (0..12).map(|i| format!("M{i}")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    for name in &names {
        yahoo.script(name, rising(name));
    }
    let scene = scene("share", &yahoo, "4s", &names);
    let first = scene.worker("first");
    let second = scene.worker("second");
    wait_for(60, "tickers shared", || {
        let owned = (first.metric("tickers_owned"), second.metric("tickers_owned"));
        soon(owned.0 > 0.0 && owned.1 > 0.0 && owned.0 + owned.1 == 12.0, owned)
    });
    first.kill();
    wait_for(60, "all tickers moved", || {
        soon(second.metric("tickers_owned") == 12.0, second.metric("tickers_owned"))
    });
    let before: Vec<usize> = names.iter().map(|name| yahoo.asked(name)).collect();
    wait_for(60, "every symbol asked for again", || {
        let after: Vec<usize> = names.iter().map(|name| yahoo.asked(name)).collect();
        soon(after.iter().zip(&before).all(|(after, before)| after > before), after)
    });
    second.terminate();
    scene.worker("w"); // commits what was fetched last
    scene.assert_right();
}

#[test]
fn an_edited_ticker_list_is_fetched_without_a_restart() {
    let yahoo = FakeYahoo::start();
    yahoo.script("OLD", rising("OLD"));
    yahoo.script("NEW", rising("NEW"));
    let mut scene = scene("list", &yahoo, "1s", &["OLD"]);
    let worker = scene.worker("w");
    wait_for(60, "OLD", || soon(!raw_of(&scene, "OLD").is_empty(), "none"));
    scene.edit(|watch| watch.tickers = vec![Ticker::of("NEW")]);
    wait_for(60, "NEW", || soon(!raw_of(&scene, "NEW").is_empty(), "none"));
    let old = yahoo.asked("OLD");
    let new = yahoo.asked("NEW");
    wait_for(60, "NEW again and again", || soon(yahoo.asked("NEW") > new + 2, yahoo.asked("NEW")));
    assert!(yahoo.asked("OLD") <= old + 1, "a request in flight at most");
    worker.terminate();
}
