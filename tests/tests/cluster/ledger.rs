//! The ledger's topic: it comes with `spec.trade`, stays when that goes, and goes with its StockWatch.

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, condition, soon, wait_for,
};

use crate::topics::{await_applied, topics};

const PODS: &str = "stockwatch.dev/name=tech";
const TECH: &str = "stockwatch/tech";

/// A StockWatch of one window without accounts, ready.
fn ready(home: &Namespace) -> Scene<'static> {
    let scene = Scene::apply(Broker::shared_for_pods(), home, "tech", |watch| {
        watch.windows = vec![(5, "0.05%".into())];
        watch.kafka.insert("deletionPolicy".into(), json!("Delete"));
    });
    home.wait(120, TECH, &Until::ready());
    scene
}

/// What the status says of the ledger.
fn state(home: &Namespace, scene: &Scene<'_>) -> Value {
    let ledger = scene.watch.topic(Topic::Ledger);
    let topics = home.get(TECH)["status"]["topics"].clone();
    let said = topics.as_array().unwrap().iter().find(|said| said["name"] == json!(ledger)).cloned();
    said.map_or(Value::Null, |said| said["state"].clone())
}

/// Sends quotes until the ledger has an entry of this type.
fn await_entry(scene: &Scene<'_>, market: &mut Market, entry_type: &str) {
    wait_for(90, &format!("a {entry_type} in the ledger"), || {
        scene.send_market(market, 100);
        scene.settle();
        let entries = scene.read(Topic::Ledger).concat();
        soon(entries.iter().any(|entry| entry.json()["type"] == entry_type), entries.len())
    });
}

#[test]
fn the_ledger_comes_with_accounts_outlives_them_and_goes_with_the_stockwatch() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "ledger");
    let mut scene = ready(&home);
    let ledger = scene.watch.topic(Topic::Ledger);
    assert_eq!((scene.topics.partitions(&ledger), state(&home, &scene)), (0, Value::Null));
    let workers = home.pods(PODS);
    scene.applied_again(&home.patch(TECH, &json!({"spec": {"trade": {"window": "5m"}}})));
    scene.topics.await_partitions(&ledger, 3);
    wait_for(30, "its status says so", || soon(state(&home, &scene) == "Created", state(&home, &scene)));
    home.wait(30, TECH, &Until::ready());
    await_applied(&home, &scene);
    assert_eq!(scene.topics.settings(&ledger)["retention.ms"], "-1");

    let mut market = Market::new(61, &["a", "b", "c"]);
    await_entry(&scene, &mut market, "fill");
    let tail = ["exec", "deploy/tech-stockwatch", "--", "stockwatch-worker", "tail", "ledger"];
    let printed = home.kubectl(&[&tail[..], &["--from-beginning", "--max", "1"]].concat());
    assert!(printed.contains(r#""type":"order""#) && printed.lines().count() == 1, "{printed}");

    scene.applied_again(&home.patch(TECH, &json!({"spec": {"trade": null}})));
    await_applied(&home, &scene);
    scene.send_market(&mut market, 200);
    scene.settle();
    let last = |scene: &Scene<'_>| scene.read(Topic::Ledger).concat().len();
    let closed = last(&scene);
    scene.send_market(&mut market, 200);
    scene.settle();
    assert_eq!(last(&scene), closed, "there are no accounts any more");
    assert_eq!(state(&home, &scene), "Created", "it stays, and stays ours");
    assert_eq!(home.pods(PODS), workers, "no pod was replaced or restarted");
    scene.assert_right();

    home.kubectl(&["delete", TECH, "--timeout=60s"]);
    wait_for(30, "the ledger goes", || soon(scene.topics.partitions(&ledger) == 0, &ledger));
}

#[test]
fn a_ledger_that_cannot_be_created_is_said_and_stops_no_alarms() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "no-ledger");
    let mut scene = ready(&home);
    let mut refused = topics(json!({"ledger": {"config": {"retention.ms": "never"}}}));
    refused["spec"]["trade"] = json!({"window": "5m"});
    scene.applied_again(&home.patch(TECH, &refused));
    home.wait(60, TECH, &Until::because("TopicsReady", "LedgerMissing"));
    await_applied(&home, &scene);
    let said = condition(&home.get(TECH), "TopicsReady").clone();
    let message = said["message"].as_str().unwrap();
    assert!(
        message.contains("spec.kafka.topics.ledger") && message.contains("without paper accounts"),
        "{message}"
    );
    let mut market = Market::new(62, &["a", "b", "c"]);
    scene.send_market(&mut market, 300);
    scene.assert_right();

    let mended = topics(json!({"ledger": {"config": {"retention.ms": "-1"}}}));
    scene.applied_again(&home.patch(TECH, &mended));
    home.wait(60, TECH, &Until::ready());
    await_entry(&scene, &mut market, "order");
    scene.assert_right();
}
