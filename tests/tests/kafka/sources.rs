//! Sources besides Yahoo's charts and sparks: providers as `examples/sources` configure them, against servers that answer in
//! their shapes; Yahoo's stream; and what `fetch` says.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use stockwatch_tests::{
    Act, Answer, Asked, Broker, FakeYahoo, Launch, Provider, Record, Scene, Ticker, Topic, Worker, chart,
    pricing, program, soon, wait_for,
};

const T: u64 = 1_790_000_000;

/// An example's name, a symbol, the answer of its provider, and price, time and currency of the record that it becomes.
const PROVIDERS: [(&str, &str, &str, &str); 11] = [
    (
        "finnhub",
        "META",
        r#"{"c":12.5,"d":0.1,"dp":0.8,"h":12.7,"l":12.3,"o":12.4,"pc":12.4,"t":1790000000}"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000,"symbol":"META","currency":"USD""#,
    ),
    (
        "twelve-data",
        "META",
        r#"{"symbol":"META","currency":"USD","close":"12.50000","timestamp":1789997400,"last_quote_at":1790000000,"is_market_open":true}"#,
        r#""currentstockprice":12.50000,"lastupdatedate":1790000000,"symbol":"META","currency":"USD""#,
    ),
    (
        "massive",
        "META",
        r#"{"status":"OK","results":[{"ticker":"META","market_status":"open","last_trade":{"price":12.5,"last_updated":1790000000000000001}}]}"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000.000000001,"symbol":"META","currency":"USD""#,
    ),
    (
        "massive-single",
        "META",
        r#"{"status":"OK","results":{"T":"META","p":12.5,"t":1790000000000000000}}"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000,"symbol":"META","currency":"USD""#,
    ),
    (
        "alpaca",
        "META",
        r#"{"trades":{"META":{"t":"2026-09-21T14:13:20.086175744Z","x":"V","p":12.5,"s":1,"c":["@"],"i":1,"z":"C"}}}"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000.086175744,"symbol":"META","currency":"USD""#,
    ),
    (
        "tiingo",
        "META",
        r#"[{"ticker":"META","timestamp":"2026-09-21T10:13:20.086175744-04:00","tngoLast":12.5,"last":null,"prevClose":12.4}]"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000.086175744,"symbol":"META","currency":"USD""#,
    ),
    (
        "fmp",
        "META",
        r#"[{"symbol":"META","price":12.5,"timestamp":1790000000}]"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000,"symbol":"META""#,
    ),
    (
        "binance",
        "BTCUSDT",
        r#"[{"symbol":"BTCUSDT","lastPrice":"12.50","openTime":1789913600000,"closeTime":1790000000123}]"#,
        r#""currentstockprice":12.50,"lastupdatedate":1790000000.123,"symbol":"BTCUSDT","currency":"USDT""#,
    ),
    (
        "coinbase",
        "BTC-USD",
        r#"{"trade_id":1,"price":"12.50","size":"0.1","bid":"12.49","ask":"12.51","volume":"10","time":"2026-09-21T14:13:20.511254Z"}"#,
        r#""currentstockprice":12.50,"lastupdatedate":1790000000.511254,"symbol":"BTC-USD","currency":"USD""#,
    ),
    (
        "kraken",
        "XXBTZUSD",
        r#"{"error":[],"result":{"XXBTZUSD":[["12.50","0.1",1790000000.8277369,"b","m","",1]],"last":"1790000000827736900"}}"#,
        r#""currentstockprice":12.50,"lastupdatedate":1790000000.8277369,"symbol":"XXBTZUSD","currency":"USD""#,
    ),
    (
        "coingecko",
        "bitcoin",
        r#"{"bitcoin":{"usd":12.5,"last_updated_at":1790000000}}"#,
        r#""currentstockprice":12.5,"lastupdatedate":1790000000,"symbol":"bitcoin","currency":"USD""#,
    ),
];

/// The source of an example, at another place than its own.
fn example(name: &str, url: &str) -> Value {
    let path = format!("{}/../examples/sources/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let stockwatch: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut source = stockwatch["spec"]["source"].clone();
    let asked = source["http"]["url"].as_str().unwrap();
    let path = asked.strip_prefix("https://").unwrap().split_once('/').unwrap().1;
    source["http"]["url"] = json!(format!("{url}/{path}"));
    source
}

fn scene(name: &str, source: &Value, symbols: &[&str]) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
        watch.source = source.clone();
    })
}

/// Starts a worker that trusts the provider and has its Secret, with one header in it.
fn start(scene: &Scene, provider: &Provider, secret: Option<&str>) -> Worker {
    let secrets = scene.path("sources");
    if let Some(secret) = secret {
        write_key(scene, secret, "hunter2");
    }
    let (authority, source_secrets) = (Some(provider.authority()), Some(secrets));
    Launch { authority, source_secrets, ..scene.launch("w") }.start()
}

fn write_key(scene: &Scene, secret: &str, value: &str) {
    let directory = scene.path("sources").join(secret);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("X-Key"), value).unwrap();
}

fn raw_of(scene: &Scene, symbol: &str) -> Vec<Record> {
    let records = scene.read(Topic::Raw).into_iter().flatten();
    records.filter(|record| record.json()["symbol"] == json!(symbol)).collect()
}

fn await_raw(scene: &Scene, symbol: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    wait_for(60, symbol, || {
        let records = raw_of(scene, symbol);
        let wanted = records.iter().map(Record::text).find(|text| is_wanted(text));
        wanted.ok_or_else(|| format!("none of {} records", records.len()))
    })
}

#[test]
fn each_provider_of_the_examples_gives_the_record_that_its_answer_says() {
    let running = PROVIDERS.map(|(name, symbol, answer, fields)| {
        let provider = Provider::start(move |_| Answer::json(answer));
        let source = example(name, &provider.url());
        let scene = scene(name, &source, &[symbol]);
        let secret = source["http"]["headersSecret"]["name"].as_str().map(str::to_owned);
        let worker = start(&scene, &provider, secret.as_deref());
        (symbol, fields, secret, provider, scene, worker)
    });
    for (symbol, fields, secret, provider, scene, worker) in running {
        let record = await_raw(&scene, symbol, |_| true);
        assert_eq!(record, format!(r#"{{"entityname":"{symbol}",{fields}}}"#));
        let asked = provider.asked().remove(0);
        assert!(asked.target.contains(symbol), "{asked:?}");
        assert!(asked.headers["user-agent"].contains("StockWatch/"), "{asked:?}");
        assert_eq!(asked.headers.get("x-key").map(String::as_str), secret.map(|_| "hunter2"), "{asked:?}");
        let log = worker.terminate();
        assert!(!log.contains("hunter2"), "the log shows the key");
    }
}

/// Answers for the symbols of a query, as Tiingo does; `Err` is the status of the whole request.
fn listed(asked: &Asked, is_good: impl Fn(&str) -> bool) -> Answer {
    let symbols = asked.target.split_once('=').unwrap().1;
    if !symbols.split(',').all(is_good) {
        return Answer::Whole(400, "", r#"{"detail":"unknown ticker"}"#.into());
    }
    let item = |symbol: &str| format!(r#"{{"s":"{symbol}","p":12.5,"t":{T}}}"#);
    Answer::json(format!("[{}]", symbols.split(',').map(item).collect::<Vec<_>>().join(",")))
}

fn batches(provider: &Provider, more: &Value) -> Value {
    let mut http = json!({
        "url": format!("{}/q?s={{symbols}}", provider.url()), "interval": "1s", "perMinute": 6000,
        "items": "", "symbol": "/s", "price": "/p", "time": "/t",
    });
    http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "http": http })
}

#[test]
fn one_ticker_that_fails_its_batch_does_not_blind_the_others() {
    let provider = Provider::start(|asked| listed(asked, |symbol| symbol != "BAD"));
    let symbols: Vec<String> = (0..15).map(|i| format!("P{i}")).chain(["BAD".into()]).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let scene = scene("halves", &batches(&provider, &json!({})), &names);
    let worker = start(&scene, &provider, None);
    worker.await_metric("fetches", "outcome=\"client_error\"", 1.0);
    for symbol in &names[..15] {
        wait_for(60, symbol, || soon(raw_of(&scene, symbol).len() >= 3, "too few quotes"));
    }
    let alone = provider.asked().iter().filter(|asked| asked.target.ends_with("=BAD")).count();
    assert!((1..=4).contains(&alone), "it is asked for alone, but seldom: {alone}");
    assert!(raw_of(&scene, "BAD").is_empty());
}

#[test]
fn a_missing_secret_is_said_and_nobody_is_asked_until_it_comes() {
    let provider = Provider::start(|asked| match asked.headers["x-key"].as_str() {
        "good" => listed(asked, |_| true),
        _ => Answer::Whole(401, "", "{}".into()),
    });
    let scene = scene("keys", &batches(&provider, &json!({"headersSecret": {"name": "keys"}})), &["A"]);
    let worker = start(&scene, &provider, None);
    worker.await_metric("fetches", "outcome=\"not_configured\"", 1.0);
    assert!(worker.log().contains("Secret keys"), "{}", worker.log());
    assert!(provider.asked().is_empty());
    write_key(&scene, "keys", "hunter2");
    worker.await_metric("fetches", "outcome=\"refused\"", 1.0);
    assert!(raw_of(&scene, "A").is_empty());
    // Another key ends the pause that a refusal begins.
    write_key(&scene, "keys", "good");
    await_raw(&scene, "A", |_| true);
    assert!(!worker.terminate().contains("hunter2"), "the log shows the key");
}

#[test]
fn a_provider_that_nobody_vouches_for_is_not_sent_a_key() {
    let provider = Provider::start(|asked| listed(asked, |_| true));
    let scene = scene("untrusted", &batches(&provider, &json!({"headersSecret": {"name": "keys"}})), &["A"]);
    write_key(&scene, "keys", "hunter2");
    let other = Provider::start(|asked| listed(asked, |_| true));
    let worker = start(&scene, &other, None);
    worker.await_metric("fetches", "outcome=\"connect\"", 1.0);
    assert!(provider.asked().is_empty());
}

fn streamed(yahoo: &FakeYahoo, interval: &str) -> Value {
    json!({"yahoo": {"mode": "stream", "interval": interval, "baseUrl": yahoo.url()}})
}

#[test]
fn a_stream_that_dies_lies_and_repeats_gives_what_is_true_in_it() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "512.30", T)]);
    let scene = scene("stream", &streamed(&yahoo, "60m"), &["META"]);
    let worker = scene.worker("w");
    await_raw(&scene, "META", |text| text.contains("512.30"));
    let stream = yahoo.stream();
    wait_for(60, "the subscription", || soon(stream.subscribed().contains("META"), stream.subscribed()));
    let at = |seconds: u64| (T + seconds) * 1000;
    let lies = [
        pricing("META", 999.0, at(1), 0),
        pricing("META", 999.0, at(1), 2),
        pricing("META", f32::NAN, at(1), 1),
        pricing("META", 0.0, at(1), 1),
        pricing("META", 999.0, 0, 1),
        pricing("OTHER", 999.0, at(1), 1),
        r#"{"type":"news","message":"x"}"#.into(),
        r#"{"type":"pricing","message":"%%%"}"#.into(),
        "nothing".into(),
    ];
    for (round, end) in (1_u16..).zip([Act::HangUp, Act::Text("x".repeat(10 << 20)), Act::HangUp]) {
        lies.iter().for_each(|lie| stream.act(Act::Text(lie.clone())));
        stream.act(Act::Binary(vec![0; 1 << 10]));
        for _ in 0..3 {
            stream.tick("META", 600.5 + f32::from(round), at(60 * u64::from(round)));
        }
        let price = format!("{}.5", 600 + round);
        let record = await_raw(&scene, "META", |text| text.contains(&price));
        let time = T + 60 * u64::from(round);
        assert_eq!(
            record,
            format!(
                r#"{{"entityname":"META","currentstockprice":{price},"lastupdatedate":{time},"symbol":"META","currency":"USD"}}"#
            )
        );
        let joined = stream.joined();
        stream.act(end);
        wait_for(60, "another connection", || soon(stream.joined() > joined, joined));
    }
    scene.await_committed(10);
    worker.terminate();
    assert!(scene.read(Topic::Raw).iter().flatten().all(|record| !record.text().contains("999")));
    assert!(stream.opened() >= 3);
    let accepted: usize = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum();
    assert_eq!(accepted, 4, "what is repeated is one quote");
}

#[test]
fn symbols_that_a_stream_is_silent_about_come_by_sparks() {
    let yahoo = FakeYahoo::start();
    let rising = |symbol: &str| {
        (0..200).map(|i| chart(symbol, "USD", &format!("{}.25", 100 + i), T + 60 * i)).collect::<Vec<_>>()
    };
    yahoo.script("QUIET", rising("QUIET"));
    yahoo.script("META", [chart("META", "USD", "1", T)]);
    let mut scene = scene("silent", &streamed(&yahoo, "1s"), &["QUIET"]);
    let worker = scene.worker("w");
    wait_for(60, "sparks", || soon(raw_of(&scene, "QUIET").len() >= 4, raw_of(&scene, "QUIET").len()));
    scene.edit(|watch| watch.tickers = vec![Ticker::of("META")]);
    let stream = yahoo.stream();
    wait_for(60, "another subscription", || {
        let subscribed = stream.subscribed();
        soon(subscribed.len() == 1 && subscribed.contains("META"), subscribed)
    });
    stream.refuse(Some(503));
    stream.act(Act::HangUp);
    await_raw(&scene, "META", |_| true);
    worker.terminate();
}

/// Exit code and output of `fetch`.
fn fetch(arguments: &[&str], variables: &BTreeMap<&str, PathBuf>) -> (Option<i32>, String) {
    let output = Command::new(program()).arg("fetch").args(arguments).envs(variables).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn fetch_says_what_comes_and_what_a_failure_looks_like() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "512.30", T)]);
    yahoo.script("LIMITED", [Answer::Whole(429, "", "Too Many Requests".into())]);
    yahoo.script("PAGE", [Answer::Whole(200, "", "<html>Your privacy choices</html>".into())]);
    yahoo.script("DENIED", [Answer::Whole(401, "", "{}".into())]);
    let url = yahoo.url();
    let none = BTreeMap::new();
    let ask = |arguments: &[&str]| fetch(&[&["--base-url", url.as_str()][..], arguments].concat(), &none);
    for mode in ["spark", "chart"] {
        let (code, text) = ask(&["--mode", mode, "META"]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.starts_with("META") && text.contains("512.30 USD") && text.contains("2026-09-21T14:13:20Z"),
            "{text}"
        );
    }
    let (code, text) = ask(&["META", "NONE"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("512.30") && text.contains("mistyped"), "{text}");
    for (symbol, expected) in [
        ("LIMITED", "looks like a limit"),
        ("PAGE", "a consent page"),
        ("DENIED", "a refusal of this client"),
    ] {
        let (code, text) = ask(&["--mode", "chart", symbol]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    yahoo.stream().tick("META", 512.34, T * 1000);
    let (code, text) = ask(&["--mode", "stream", "META"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("512.34"), "{text}");
    for arguments in [vec![], vec!["--base-url", "ftp://host", "META"], vec!["--watch-file", "/none.yaml"]] {
        let (code, text) = fetch(&arguments, &none);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
}

#[test]
fn fetch_asks_the_source_of_a_stockwatch_with_its_secrets() {
    let provider = Provider::start(|asked| match asked.headers.get("x-key") {
        Some(_) => listed(asked, |_| true),
        None => Answer::Whole(403, "", "{}".into()),
    });
    let source = batches(&provider, &json!({"headersSecret": {"name": "keys"}}));
    let scene = Scene::without_topics(Broker::shared(), "fetch", |watch| {
        watch.tickers = ["A", "B"].map(Ticker::of).to_vec();
        watch.source = source.clone();
    });
    let variables = BTreeMap::from([("SSL_CERT_FILE", provider.authority())]);
    let (file, secrets) = (scene.path("watch.yaml"), scene.path("sources"));
    let arguments = ["--watch-file", file.to_str().unwrap(), "--source-secrets", secrets.to_str().unwrap()];
    let (code, text) = fetch(&arguments, &variables);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("Secret keys"), "{text}");
    write_key(&scene, "keys", "hunter2");
    let (code, text) = fetch(&arguments, &variables);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let (code, text) = fetch(&[&arguments[..], &["--mode", "chart"]].concat(), &variables);
    assert_eq!(code, Some(2), "{text}");
}
