//! The extractor against a server that answers as Yahoo does.

use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use stockwatch_tests::{Answer, Broker, FakeYahoo, Record, Scene, Ticker, Topic, chart, soon, wait_for};

const T: u64 = 1_700_000_000;

/// A scene of symbols that are asked for at the given interval, by sparks.
fn scene(name: &str, yahoo: &FakeYahoo, interval: &str, symbols: &[&str]) -> Scene<'static> {
    scene_of("spark", name, yahoo, interval, symbols)
}

fn scene_of(mode: &str, name: &str, yahoo: &FakeYahoo, interval: &str, symbols: &[&str]) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
        let mut settings = json!({"interval": interval, "baseUrl": yahoo.url()});
        // Sparks are the default.
        if mode != "spark" {
            settings["mode"] = json!(mode);
        }
        watch.source = json!({"yahoo": settings});
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
    vec![
        ("NOPRICE", "no_price", vec![whole(
            r#"{"chart":{"result":[{"meta":{"currency":"USD","symbol":"NOPRICE","regularMarketTime":1072994400},"timestamp":[1700000000],"indicators":{"quote":[{"close":[17.5]}]}}],"error":null}}"#,
        )]),
        ("UNKNOWN", "not_found", vec![Answer::Whole(404, "", r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}"#.into())]),
        ("UNKNOWN2", "not_found", vec![whole(r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"x"}}}"#)]),
        ("EMPTY", "not_found", vec![whole(r#"{"chart":{"result":[],"error":null}}"#)]),
        ("CUTOFF", "bad_body", vec![Answer::CutOff(r#"{"chart":{"result":[{"meta":{"regularMarketPri"#.into())]),
        ("CUTBODY", "bad_body", vec![whole(r#"{"chart":{"result":[{"meta":{"regularMarketPri"#)]),
        ("HUGE", "too_large", vec![whole(&" ".repeat(20_000_000))]),
        ("ENDLESS", "too_large", vec![Answer::Endless]),
        ("INTERNAL", "server_error", vec![Answer::Whole(503, "", "upstream connect error".into())]),
        ("ODD", "client_error", vec![Answer::Whole(422, "", r#"{"chart":{"result":null,"error":{"code":"Unprocessable Entity","description":"x"}}}"#.into())]),
        ("HANGUP", "connect", vec![Answer::Close]),
        ("SILENT", "timeout", vec![Answer::Silence]),
        ("SLOW", "timeout", vec![Answer::Slow]),
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
    let scene = scene_of("chart", "shapes", &yahoo, "2s", &symbols);
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
    let agents: Vec<String> = yahoo.user_agents().into_iter().collect();
    assert!(
        matches!(&agents[..], [agent] if agent.starts_with("Mozilla/5.0 (compatible; StockWatch/")),
        "{agents:?}"
    );
}

#[test]
fn sparks_and_charts_give_the_same_records() {
    let yahoo = FakeYahoo::start();
    let symbols: Vec<String> = (0..45).map(|i| format!("B{i}")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let quote = |(i, name): (u64, &&str)| {
        // One answer: how often it is asked for makes no difference.
        yahoo.script(name, [chart(name, "GBp", &format!("{}.{i:03}00", 1000 + i), T + i)]);
    };
    (0..).zip(&names).for_each(quote);
    let first_records = |mode: &str| {
        let scene = scene_of(mode, mode, &yahoo, "5s", &names);
        let worker = scene.worker("w");
        let records = names.iter().map(|name| {
            wait_for(60, name, || raw_of(&scene, name).first().map(Record::text).ok_or("no quote".to_owned()))
        });
        let records: Vec<String> = records.collect();
        worker.terminate();
        records
    };
    let by_sparks = first_records("spark");
    assert!(names.iter().all(|name| yahoo.charts(name) == 0), "sparks know them all");
    assert!(yahoo.sparks().iter().all(|count| *count <= 20), "{:?}", yahoo.sparks());
    assert_eq!(by_sparks, first_records("chart"));
    assert!(names.iter().all(|name| yahoo.charts(name) > 0));
    assert_eq!(
        by_sparks[7],
        format!(
            r#"{{"entityname":"B7","currentstockprice":1007.00700,"lastupdatedate":{},"symbol":"B7","currency":"GBp"}}"#,
            T + 7
        )
    );
}

#[test]
fn a_symbol_that_is_unknown_or_refused_does_not_blind_the_others_of_its_batch() {
    let yahoo = FakeYahoo::start();
    let mut names: Vec<String> = (0..18).map(|i| format!("K{i}")).collect();
    names.iter().for_each(|name| yahoo.script(name, rising(name)));
    names.extend(["UNKNOWN".to_owned(), "ODD".to_owned()]);
    let symbols: Vec<&str> = names.iter().map(String::as_str).collect();
    yahoo.script("ODD", [Answer::Whole(400, "", "Bad Request".into())]);
    let scene = scene("batch", &yahoo, "1s", &symbols);
    let worker = scene.worker("w");
    worker.await_metric("fetches", "outcome=\"not_found\"", 1.0);
    worker.await_metric("fetches", "outcome=\"client_error\"", 1.0);
    for symbol in &symbols[..18] {
        wait_for(60, symbol, || soon(raw_of(&scene, symbol).len() >= 3, "too few quotes"));
    }
    for symbol in ["UNKNOWN", "ODD"] {
        let alone = yahoo.charts(symbol);
        assert!((1..=4).contains(&alone), "{symbol} is asked for alone, but seldom: {alone}");
    }
}

#[test]
fn sparks_that_cannot_be_used_are_asked_again() {
    let yahoo = FakeYahoo::start();
    yahoo.script("ONE", rising("ONE"));
    yahoo.script("TWO", rising("TWO"));
    let error = r#"{"spark":{"result":null,"error":{"code":"Internal Server Error","description":"x"}}}"#;
    yahoo
        .script_sparks([Answer::CutOff(r#"{"spark":{"result":[{"symbol":"ONE","resp"#.into()), whole(error)]);
    let scene = scene("unusable", &yahoo, "1s", &["ONE", "TWO"]);
    let _worker = scene.worker("w");
    for symbol in ["ONE", "TWO"] {
        wait_for(120, symbol, || soon(!raw_of(&scene, symbol).is_empty(), "no quote"));
    }
}

#[test]
fn a_refusal_of_any_symbol_pauses_the_source_and_then_all_come() {
    let page = "<html><body>Your privacy choices</body></html>";
    let refusals = [
        ("limited", Answer::Whole(429, "Content-Type: text/plain", "Too Many Requests\r\n".into())),
        (
            "asked",
            Answer::Whole(429, "Content-Type: text/html\r\nRetry-After: 1", "<html>Too many</html>".into()),
        ),
        ("missing", Answer::Whole(404, "", String::new())),
        (
            "denied",
            Answer::Whole(401, "", r#"{"finance":{"result":null,"error":{"code":"Unauthorized"}}}"#.into()),
        ),
        ("consent", Answer::Whole(200, "Content-Type: text/html", page.into())),
        ("moved", Answer::Whole(302, "Location: https://consent.example/", String::new())),
    ];
    let scenes = refusals.map(|(name, refusal)| {
        let yahoo = FakeYahoo::start();
        for symbol in ["GOOD", "FAIR"] {
            yahoo.script(symbol, rising(symbol));
        }
        yahoo.script("BAD", [refusal, chart("BAD", "USD", "1", T)]);
        let mode = if name == "missing" { "chart" } else { "spark" };
        let scene = scene_of(mode, name, &yahoo, "2s", &["GOOD", "BAD", "FAIR"]);
        let worker = scene.worker("w");
        (name, yahoo, scene, worker)
    });
    for (name, yahoo, scene, worker) in &scenes {
        let outcome = if ["limited", "asked", "missing"].contains(name) { "rate_limited" } else { "refused" };
        worker.await_metric("fetches", &format!("outcome=\"{outcome}\""), 1.0);
        for symbol in ["GOOD", "BAD", "FAIR"] {
            wait_for(150, &format!("{name}: {symbol}"), || {
                soon(!raw_of(scene, symbol).is_empty(), "no quote")
            });
        }
        let silence = yahoo.longest_silence();
        assert!(silence >= Duration::from_secs(30), "{name}: nothing was asked for {silence:?}");
    }
}

#[test]
fn tickers_that_do_not_fit_the_rate_stretch_the_interval() {
    let yahoo = FakeYahoo::start();
    let symbols: Vec<String> = (0..20).map(|i| format!("R{i}")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    names.iter().for_each(|name| yahoo.script(name, rising(name)));
    let scene = scene_of("chart", "stretch", &yahoo, "1s", &names);
    let worker = scene.worker("w");
    wait_for(60, "an interval of 4 s", || {
        let seen = worker.metric("fetch_interval_seconds");
        soon((3.9..4.5).contains(&seen), seen)
    });
    let (_, said) = worker.get("/quotes").unwrap();
    assert!(said.contains(r#""stretched":{"asked":1000,"kept":4"#), "{said}");
    wait_for(60, "every symbol asked for twice", || {
        soon(names.iter().all(|name| yahoo.asked(name) >= 2), "not yet")
    });
    let most = yahoo.most_in_a_second();
    assert!(most <= 7, "{most} requests within a second");
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
    let mut scene = scene("share", &yahoo, "4s", &names);
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
    // A worker that asks nobody commits what was fetched last.
    scene.edit(|watch| watch.source = json!({"external": {}}));
    let _worker = scene.worker("w");
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
