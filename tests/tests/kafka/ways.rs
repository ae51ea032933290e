//! The ways to a source: HTTP/2, proxies, Yahoo's three modes, and a stream that neither ends nor says anything.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use stockwatch_tests::{
    Act, Broker, FakeYahoo, Front, Launch, Protocol, Provider, Proxy, Scene, Ticker, Topic, Worker, chart,
    soon, wait_for,
};

const T: u64 = 1_790_000_000;
const RECORD: &str = r#"{"entityname":"META","currentstockprice":512.30,"lastupdatedate":1790000000,"symbol":"META","currency":"USD"}"#;

/// A scene of these symbols and settings of `source.yahoo`.
fn scene(name: &str, settings: &Value, symbols: &[&str]) -> Scene<'static> {
    scene_on(Broker::shared(), name, settings, symbols)
}

fn scene_on<'b>(broker: &'b Broker, name: &str, settings: &Value, symbols: &[&str]) -> Scene<'b> {
    Scene::new(broker, name, |watch| {
        watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
        watch.source = json!({ "yahoo": settings });
    })
}

fn write_secret(scene: &Scene, key: &str, value: &[u8]) {
    let directory = scene.path("sources/proxy");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(key), value).unwrap();
}

fn start(scene: &Scene, authority: Option<PathBuf>) -> Worker {
    Launch { authority, source_secrets: Some(scene.path("sources")), ..scene.launch("w") }.start()
}

fn raw_of(scene: &Scene, symbol: &str) -> Vec<String> {
    let records = scene.read(Topic::Raw).into_iter().flatten();
    let records = records.filter(|record| record.json()["symbol"] == json!(symbol));
    records.map(|record| record.text()).collect()
}

/// Waits until there are so many records of a symbol.
fn await_raw(scene: &Scene, symbol: &str, least: usize) -> Vec<String> {
    wait_for(120, symbol, || {
        let records = raw_of(scene, symbol);
        if records.len() >= least { Ok(records) } else { Err(format!("{records:?}")) }
    })
}

#[test]
fn a_source_that_speaks_nothing_but_http2_is_asked_over_it() {
    let provider = Provider::over_http2(|_| chart("META", "USD", "512.30", T));
    let settings = json!({"mode": "chart", "interval": "2s", "baseUrl": provider.url()});
    let scene = scene("http2", &settings, &["META"]);
    let worker = start(&scene, Some(provider.authority()));
    assert_eq!(await_raw(&scene, "META", 2)[0], RECORD);
    let asked = provider.asked().remove(0);
    assert!(asked.headers["user-agent"].contains("StockWatch/"), "{asked:?}");
    worker.terminate();
}

#[test]
fn a_source_is_reached_through_a_proxy_that_wants_a_password_and_has_an_authority_of_its_own() {
    let provider = Provider::start(|_| chart("META", "USD", "512.30", T));
    let proxy = Proxy::start(Protocol::Connect);
    let secrets = json!({"urlSecret": {"name": "proxy"}, "caSecret": {"name": "proxy"}});
    let settings = json!({"mode": "chart", "interval": "2s", "baseUrl": provider.url(), "proxy": secrets});
    let scene = scene("connect", &settings, &["META"]);
    write_secret(&scene, "url", proxy.url("wrong").as_bytes());
    write_secret(&scene, "ca.crt", &std::fs::read(provider.authority()).unwrap());
    let worker = start(&scene, None);
    worker.await_metric("fetches", "outcome=\"connect\"", 1.0);
    assert!(provider.asked().is_empty() && proxy.led_to().is_empty(), "there is no other way");
    write_secret(&scene, "url", proxy.url("hunter2").as_bytes());
    assert_eq!(await_raw(&scene, "META", 1)[0], RECORD);
    let host = provider.url().replace("https://", "");
    assert!(proxy.led_to().iter().all(|led| *led == host), "{:?}", proxy.led_to());
    assert!(!worker.terminate().contains("hunter2"), "the log shows the password");
}

#[test]
fn a_stream_and_its_sparks_go_through_a_socks_proxy() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "512.30", T)]);
    let (front, proxy) = (Front::of(&yahoo.url()), Proxy::start(Protocol::Socks5));
    let secrets = json!({"urlSecret": {"name": "proxy"}});
    let settings = json!({"mode": "stream", "interval": "60m", "baseUrl": front.url(), "proxy": secrets});
    let scene = scene("socks", &settings, &["META"]);
    write_secret(&scene, "url", proxy.url("hunter2").as_bytes());
    let worker = start(&scene, Some(front.authority()));
    assert_eq!(await_raw(&scene, "META", 1)[0], RECORD);
    yahoo.stream().tick("META", 512.5, (T + 1) * 1000);
    assert!(await_raw(&scene, "META", 2)[1].contains("512.5,"));
    let host = front.url().replace("https://", "");
    assert!(
        proxy.led_to().len() >= 2 && proxy.led_to().iter().all(|led| *led == host),
        "{:?}",
        proxy.led_to()
    );
    assert!(!worker.terminate().contains("hunter2"), "the log shows the password");
}

/// Symbols and their prices; the last one has more digits than a float of 32 bits.
const PRICES: [(&str, &str, f32); 4] = [
    ("META", "512.34", 512.34),
    ("EUR=X", "0.91876", 0.91876),
    ("OIL", "-37.63", -37.63),
    ("BTC", "131072.01", 131_072.02),
];

#[test]
fn sparks_charts_and_the_stream_give_the_same_quote() {
    let yahoo = FakeYahoo::start();
    for (i, (symbol, price, _)) in (0..).zip(PRICES) {
        yahoo.script(symbol, [chart(symbol, "USD", price, T + i)]);
    }
    let symbols = PRICES.map(|(symbol, ..)| symbol);
    let told = |mode: &str| {
        let settings = json!({"mode": mode, "interval": "60m", "baseUrl": yahoo.url()});
        let scene = scene(&format!("same-{mode}"), &settings, &symbols);
        let worker = scene.worker("w");
        let mut records = symbols.map(|symbol| await_raw(&scene, symbol, 1).remove(0));
        if mode == "stream" {
            // That was the spark that tells its currency.
            for (i, (symbol, _, float)) in (0..).zip(PRICES) {
                yahoo.stream().tick(symbol, float, (T + i) * 1000);
            }
            records = symbols.map(|symbol| await_raw(&scene, symbol, 2).remove(1));
        }
        worker.terminate();
        records
    };
    let by_sparks = told("spark");
    assert_eq!(by_sparks, told("chart"));
    let by_stream = told("stream");
    assert_eq!(by_stream[..3], by_sparks[..3]);
    let float = |record: &str| {
        let mut fields: Value = serde_json::from_str(record).unwrap();
        let price = fields["currentstockprice"].take().to_string().parse::<f32>().unwrap();
        (fields, price)
    };
    assert_eq!(float(&by_stream[3]), float(&by_sparks[3]), "but for the precision");
}

#[test]
fn a_stream_waits_for_a_frozen_broker_and_nothing_of_it_is_lost() {
    let (yahoo, broker) = (FakeYahoo::start(), Broker::start());
    yahoo.script("META", [chart("META", "USD", "1", T)]);
    let settings = json!({"mode": "stream", "interval": "60m", "baseUrl": yahoo.url()});
    let scene = scene_on(&broker, "frozen", &settings, &["META"]);
    let worker = scene.worker("w");
    await_raw(&scene, "META", 1);
    broker.pause();
    // More than what waits in the worker may be.
    let ticks = 1..=20_000_u16;
    ticks.clone().for_each(|i| yahoo.stream().tick("META", f32::from(i), (T + u64::from(i)) * 1000));
    let mut before = 0.0;
    wait_for(20, "it takes no more", || {
        let taken = worker.metric_where("fetches", "outcome=\"ok\"");
        let stands = taken >= 5000.0 && taken == before;
        before = taken;
        soon(stands, taken)
    });
    broker.resume();
    let least = 1 + ticks.clone().count();
    let records = await_raw(&scene, "META", least);
    assert_eq!(worker.metric_where("fetches", "outcome=\"produce_failed\""), 0.0);
    let times: BTreeSet<u64> = records.iter().map(|record| record_time(record) - T).collect();
    assert_eq!(times, (0..=20_000).collect());
}

fn record_time(record: &str) -> u64 {
    let record: Value = serde_json::from_str(record).unwrap();
    record["lastupdatedate"].as_u64().unwrap()
}

#[test]
fn a_stream_that_falls_silent_is_connected_to_anew_and_sparks_stand_in_meanwhile() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", (0..200).map(|i| chart("META", "USD", &format!("{}.25", 100 + i), T + 60 * i)));
    let settings = json!({"mode": "stream", "interval": "1s", "baseUrl": yahoo.url()});
    let scene = scene("hush", &settings, &["META"]);
    let worker = scene.worker("w");
    let stream = yahoo.stream();
    wait_for(60, "the subscription", || soon(stream.joined() == 1, stream.joined()));
    stream.act(Act::FallSilent);
    let before = raw_of(&scene, "META").len();
    await_raw(&scene, "META", before + 3);
    wait_for(150, "another connection", || soon(stream.joined() > 1, stream.joined()));
    worker.terminate();
}
