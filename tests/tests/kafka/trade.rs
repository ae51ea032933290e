//! Paper accounts, the ledger's topic, and `tail`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Held, Market, Scene, Ticker, Topic, Watch, Worker, assert_ledger, program, quote, soon, wait_for,
};

const ENTITIES: [&str; 4] = ["a", "b", "c", "d"];
const T: u64 = Market::START;

/// Terms by which accounts come and go often.
fn terms() -> Value {
    json!({"window": "5m", "budget": "10000", "feeBps": "5", "feeMinimum": "1", "slippageBps": "2", "maxWait": "2m",
        "stopLoss": "0.1%"})
}

/// A StockWatch with accounts, and the terms that held from which raw offsets on.
struct Trading {
    scene: Scene<'static>,
    /// By partition.
    held: Vec<Vec<Held>>,
}

impl Trading {
    fn new(name: &str, change: impl FnOnce(&mut Watch)) -> Self {
        let scene = Scene::new(Broker::shared(), name, |watch| {
            watch.tickers = ENTITIES.map(Ticker::of).to_vec();
            watch.windows = vec![(1, "0".into()), (5, "0.05%".into())];
            watch.trade = terms();
            change(watch);
        });
        let held = |watch: &Watch| vec![Held { from: 0, watch: watch.clone(), has_ledger: true }];
        let held = (0..3).map(|_| held(&scene.watch)).collect();
        Self { scene, held }
    }

    /// Edits while nothing flows, so that it is known which quotes the new terms hold for.
    fn edit(&mut self, worker: &Worker, change: impl FnOnce(&mut Watch)) {
        self.scene.settle();
        self.scene.edit(change);
        worker.await_applied(self.scene.generation());
        self.note(true);
    }

    fn note(&mut self, has_ledger: bool) {
        let raw = self.scene.watch.topic(Topic::Raw);
        for (partition, held) in (0..).zip(&mut self.held) {
            let from = self.scene.topics.end(&raw, partition);
            held.push(Held { from, watch: self.scene.watch.clone(), has_ledger });
        }
    }

    /// Everything is the oracle's, the ledger too; gives its entries.
    fn assert_right(&self) -> Vec<Value> {
        let outputs = self.scene.assert_right();
        let (alarms, ledger) = (self.scene.read(Topic::Alarms), self.scene.read(Topic::Ledger));
        for (partition, outputs) in outputs.iter().enumerate() {
            assert_ledger(&outputs.accepted, &alarms[partition], &ledger[partition], &self.held[partition]);
        }
        ledger.concat().iter().map(|record| record.json()).collect()
    }
}

/// How many entries there are of each type.
fn types(entries: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    entries.iter().for_each(|entry| *counts.entry(entry["type"].as_str().unwrap()).or_default() += 1);
    counts
}

#[test]
fn fills_are_exact_over_edits_of_all_terms() {
    let mut trading = Trading::new("terms", |_| {});
    let worker = trading.scene.worker("w");
    let mut market = Market::new(51, &ENTITIES);
    let edits: [fn(&mut Watch); 8] = [
        |_| {},
        |watch| watch.trade["enter"] = json!("Down"),
        |watch| watch.trade["budget"] = json!("333.333333333"),
        |watch| (watch.trade["feeMinimum"], watch.trade["slippageBps"]) = (json!("0"), json!("0.000000001")),
        |watch| watch.trade["window"] = json!("1m"),
        |watch| watch.tickers.retain(|ticker| ticker.symbol != "b"),
        |watch| watch.trade = Value::Null,
        |watch| (watch.tickers, watch.trade) = (ENTITIES.map(Ticker::of).to_vec(), terms()),
    ];
    for edit in edits {
        trading.edit(&worker, edit);
        trading.scene.send_market(&mut market, 600);
    }
    let entries = trading.assert_right();
    let types = types(&entries);
    assert!(types["fill"] > 50 && types["void"] == 1, "{types:?}");
    assert!(entries.iter().any(|entry| entry["reason"] == "stop_loss"), "no stop loss in {types:?}");
    assert_eq!(worker.metric("paper_orders"), types["order"] as f64);
    let invests = |entry: &&Value| entry["type"] == "fill" && entry["side"] == "invest";
    let invested = entries.iter().filter(invests).count();
    assert_eq!(worker.metric_where("paper_fills", "\"invest\""), invested as f64);
}

#[test]
fn orders_that_nothing_fills_are_cancelled_and_positions_are_closed_with_the_last_terms() {
    let mut trading = Trading::new("ends", |watch| watch.windows = vec![(5, "1%".into())]);
    let worker = trading.scene.worker("w");
    // An order; too late to fill it, and the next; a fill; an order to uninvest.
    for (second, price) in [(0, "100"), (60, "200"), (600, "200"), (660, "200"), (720, "100")] {
        trading.scene.send_to(0, &quote("a", price, T + second));
    }
    trading.edit(&worker, |watch| watch.trade = Value::Null);
    trading.scene.send_to(0, &quote("a", "100", T + 780));
    let entries = trading.assert_right();
    let types: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["order", "cancel", "order", "fill", "order", "cancel", "close"]);
    assert_eq!((&entries[1]["reason"], &entries[5]["reason"]), (&json!("max_wait"), &json!("trade_removed")));
    trading.scene.send_to(0, &quote("a", "500", T + 840));
    assert_eq!(trading.assert_right().len(), 7, "there are no accounts any more");
}

#[test]
fn accounts_survive_kills_and_a_rebalance_as_they_were_committed() {
    let trading = Trading::new("kills", |_| {});
    let feeder = trading.scene.feed(Market::new(52, &ENTITIES), 400);
    let mut worker = trading.scene.worker("w0");
    for round in 1..=5 {
        trading.scene.await_progress(200);
        worker.kill();
        worker = trading.scene.worker(&format!("w{round}"));
    }
    let other = trading.scene.worker("other");
    trading.scene.await_progress(400);
    worker.terminate();
    trading.scene.await_progress(200);
    feeder.stop();
    let entries = trading.assert_right();
    assert!(types(&entries)["fill"] > 20, "{:?}", types(&entries));
    drop(other);
}

#[test]
fn the_account_of_a_ticker_that_is_removed_while_no_worker_runs_is_void() {
    let mut trading = Trading::new("absent", |_| {});
    let mut market = Market::new(54, &ENTITIES);
    let worker = trading.scene.worker("w");
    trading.scene.send_market(&mut market, 600);
    trading.scene.settle();
    worker.kill();
    trading.scene.edit(|watch| watch.tickers.retain(|ticker| ticker.symbol != "b"));
    trading.note(true);
    let worker = trading.scene.worker("next");
    trading.scene.send_market(&mut market, 200);
    let entries = trading.assert_right();
    assert_eq!(types(&entries).get("void"), Some(&1));

    worker.kill();
    trading.scene.edit(|watch| {
        watch.tickers.retain(|ticker| ticker.symbol != "c");
        watch.trade = Value::Null;
    });
    trading.note(true);
    let _worker = trading.scene.worker("last");
    trading.scene.send_market(&mut market, 200);
    let entries = trading.assert_right();
    assert_eq!(types(&entries).get("void"), Some(&2), "its terms went in the same edit");
}

#[test]
fn a_plain_file_gets_a_ledger_with_its_accounts() {
    let mut scene = Scene::without_topics(Broker::shared(), "plain", |watch| {
        (watch.uid, watch.generation) = (String::new(), None);
        watch.windows = vec![(5, "1%".into())];
    });
    let worker = scene.worker("w");
    assert_eq!(scene.topics.partitions(&scene.watch.topic(Topic::Ledger)), 0, "nobody asked for it");
    scene.edit(|watch| watch.trade = json!({"window": "5m"}));
    worker.await_applied(2);
    let ledger = scene.watch.topic(Topic::Ledger);
    let raw = scene.topics.partitions(&scene.watch.topic(Topic::Raw));
    scene.topics.await_partitions(&ledger, raw);
    wait_for(60, "an order in the ledger", || {
        // Accounts begin once the worker has found it.
        let minute = scene.progress().unsigned_abs();
        let price = if minute.is_multiple_of(2) { "100" } else { "200" };
        scene.send(&quote("a", price, T + 30 * minute));
        scene.settle();
        let entries = scene.read(Topic::Ledger).concat();
        soon(entries.iter().any(|entry| entry.json()["type"] == "order"), entries.len())
    });
}

#[test]
fn without_its_ledger_a_worker_raises_alarms_and_keeps_no_accounts() {
    let mut scene = Scene::new(Broker::shared(), "missing", |watch| watch.windows = vec![(5, "1%".into())]);
    let worker = scene.worker("w");
    scene.edit(|watch| {
        watch.trade = json!({"window": "5m"});
        // One broker has no three replicas: the topic cannot be created.
        watch.topics.insert("ledger", json!({"replicationFactor": 3}));
    });
    worker.await_applied(2);
    let prices = |scene: &Scene, minutes: std::ops::Range<u64>| {
        for minute in minutes {
            scene.send_to(0, &quote("a", if minute % 2 == 0 { "100" } else { "200" }, T + 60 * minute));
        }
    };
    prices(&scene, 0..20);
    scene.assert_right();
    assert!(scene.read(Topic::Alarms)[0].len() > 10);
    assert_eq!(worker.metric("paper_orders"), 0.0);
    wait_for(30, "the log says so", || soon(worker.log().contains("the ledger is missing"), worker.log()));
    scene.create_topic(Topic::Ledger, 1, &[]);
    let mut minute = 20;
    wait_for(60, "accounts begin", || {
        prices(&scene, minute..minute + 2);
        minute += 2;
        scene.settle();
        soon(worker.metric("paper_orders") > 0.0, minute)
    });
    scene.assert_right();
    assert_eq!(scene.read(Topic::Ledger)[0][0].json()["type"], "order");
}

#[test]
fn a_ledger_that_goes_stops_no_alarms() {
    let trading = Trading::new("gone", |_| {});
    let scene = &trading.scene;
    let _worker = scene.worker("w");
    let mut market = Market::new(53, &ENTITIES);
    scene.send_market(&mut market, 300);
    scene.settle();
    assert!(!scene.read(Topic::Ledger).concat().is_empty());
    scene.topics.delete(&scene.watch.topic(Topic::Ledger));
    scene.send_market(&mut market, 300);
    scene.assert_right();
}

/// `tail` with these arguments, as it prints.
fn tail(scene: &Scene, arguments: &[&str]) -> std::process::Child {
    let mut command = Command::new(program());
    command.arg("tail").args(arguments).arg("--watch-file").arg(scene.path("watch.yaml"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn tail_prints_a_line_a_record_and_ends_where_it_is_told_to() {
    let trading = Trading::new("tail", |_| {});
    let scene = &trading.scene;
    let _worker = scene.worker("w");
    scene.send_market(&mut Market::new(54, &ENTITIES), 400);
    scene.settle();
    for (name, topic) in [
        ("alarms", Topic::Alarms),
        ("averages", Topic::Averages),
        ("dead-letter", Topic::DeadLetter),
        ("ledger", Topic::Ledger),
    ] {
        let records = scene.read(topic).concat();
        let count = records.len().to_string();
        let output = tail(scene, &[name, "--from-beginning", "--max", &count]).wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), records.len(), "{name}");
        if topic == Topic::DeadLetter {
            assert!(text.lines().all(|line| line.contains("\treason=")), "{text}");
        } else {
            let (mut printed, mut written): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
            for (line, record) in text.lines().zip(&records) {
                let [key, _, value] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
                printed.push(format!("{key} {value}"));
                written.push(format!("{} {}", record.key_text(), record.text()));
            }
            printed.sort_unstable();
            written.sort_unstable();
            assert_eq!(printed, written);
        }
    }
}

#[test]
fn tail_begins_at_the_end_and_ends_quietly_when_nobody_listens() {
    let trading = Trading::new("follow", |_| {});
    let scene = &trading.scene;
    let _worker = scene.worker("w");
    let mut market = Market::new(55, &ENTITIES);
    scene.send_market(&mut market, 200);
    scene.settle();
    let before = scene.read(Topic::Averages).concat().len();
    let mut child = tail(scene, &["averages"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    // Where it begins is not told: quotes flow until it prints one.
    let feeder = scene.feed(market, 200);
    lines.read_line(&mut first).unwrap();
    let [key, _, value] = first.trim_end().split('\t').collect::<Vec<_>>()[..] else { panic!("{first}") };
    let is_it = |record: &stockwatch_tests::Record| record.key_text() == key && record.text() == value;
    let place = scene.read(Topic::Averages).concat().iter().filter(|record| is_it(record)).count();
    assert_eq!(place, 1, "{first} is a record");
    assert!(before > 0);
    drop(lines);
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success() && said.is_empty(), "{status}: {said}");
    feeder.stop();
}
