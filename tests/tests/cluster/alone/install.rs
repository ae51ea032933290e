//! `helm install`, `kubectl apply`, alarms; and what stays when the release goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stockwatch_tests::{
    Alone, Broker, Cluster, FakeYahoo, Namespace, Release, Scene, Topic, Until, chart, soon, wait_for,
};

/// How many quotes each symbol has; the last one is told again and again.
const QUOTES: usize = 12;
const SYMBOLS: [&str; 6] = ["META", "IBM", "AMZN", "AAPL", "GM.MX", "VWCE.DE"];

/// A server with quotes of the seed's symbols, each a minute and more than a tolerance on.
fn yahoo(cluster: &Cluster) -> FakeYahoo {
    let yahoo = FakeYahoo::start_for_pods(cluster);
    for (n, symbol) in SYMBOLS.iter().enumerate() {
        let quote = |i: usize| {
            let time = 1_700_000_000 + 60 * u64::try_from(i).unwrap();
            chart(symbol, "USD", &format!("{}.{:02}", 100 * (n + 1) + i * (n + 1), 7 * i), time)
        };
        yahoo.script(symbol, (0..QUOTES).map(quote));
    }
    yahoo
}

/// `examples/seed.yaml`, its brokers and its source replaced.
fn seed(broker: &Broker, yahoo: &FakeYahoo) -> String {
    let mut seed: Value = serde_yaml::from_str(include_str!("../../../../examples/seed.yaml")).unwrap();
    seed["spec"]["kafka"]["bootstrapServers"] = json!(broker.bootstrap());
    seed["spec"]["source"] = json!({"yahoo": {"interval": "1s", "baseUrl": yahoo.url()}});
    serde_yaml::to_string(&seed).unwrap()
}

#[test]
fn install_and_apply_give_alarms_and_uninstall_leaves_resources_and_topics() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let broker = Broker::start_for_pods(cluster);
    let yahoo = yahoo(cluster);
    let system = Namespace::create(cluster, "system");
    let release = Release::install(cluster, system.name(), "stockwatch", &[]);
    let said = release.test().unwrap();
    assert!(said.contains("Succeeded"), "{said}");

    let home = Namespace::create(cluster, "home");
    home.apply(&seed(&broker, &yahoo)).unwrap();
    home.wait(120, "stockwatch/seed", &Until::ready());
    let table = home.kubectl(&["get", "sw"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "REASON", "QUOTES", "TICKERS", "APPLIED", "AGE"]);
    assert_eq!(lines[1][..3], ["seed", "True", "Working"]);
    assert_eq!(lines[1][4..6], ["6", "1"], "QUOTES has a word from the start: {table}");

    for symbol in SYMBOLS {
        wait_for(120, &format!("all quotes of {symbol} fetched"), || {
            let asked = yahoo.asked(symbol);
            soon(asked > QUOTES + 1, asked)
        });
    }
    let scene = Scene::applied(&broker, &home.get("stockwatch/seed"));
    assert_eq!(scene.watch.topic(Topic::Alarms), "yfinance-deviation-alarm");
    let computed = scene.assert_right();
    let quotes = computed.iter().flat_map(|outputs| &outputs.accepted);
    let mut by_entity: BTreeMap<&str, usize> = BTreeMap::new();
    quotes.for_each(|quote| *by_entity.entry(&quote.entity).or_default() += 1);
    let names = ["meta", "ibm", "amazon", "apple", "general motors", "vanguard etf"];
    assert_eq!(by_entity, names.map(|name| (name, QUOTES)).into());
    let alarmed: BTreeSet<String> = (scene.read(Topic::Alarms).iter().flatten())
        .map(|alarm| alarm.json()["entityname"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(alarmed, names.map(str::to_owned).into());

    let before = home.pods("stockwatch.dev/name=seed");
    assert_eq!(before.len(), 1, "one worker unless told otherwise: {before:?}");
    release.uninstall();
    assert_eq!(system.kubectl(&["get", "deployments,services", "-o", "name"]), "");
    home.kubectl(&["get", "stockwatch/seed", "deployment/seed-stockwatch"]);
    assert_eq!(home.pods("stockwatch.dev/name=seed"), before, "the worker goes on without the operator");
    for topic in [Topic::Raw, Topic::Table, Topic::Averages, Topic::Alarms] {
        let name = scene.watch.topic(topic);
        assert!(scene.topics.partitions(&name) > 0, "{name} stays");
    }

    let again = Release::install(cluster, system.name(), "stockwatch", &[]);
    home.wait(60, "stockwatch/seed", &Until::ready());
    assert_eq!(home.pods("stockwatch.dev/name=seed"), before, "another installation takes over what runs");
    drop(home);
    drop(again);
}
