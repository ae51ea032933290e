//! Three brokers, each topic on all of them: whatever happens to one of them costs nothing. One test after another on the
//! same brokers: six at once are too many for a small machine.

use std::sync::LazyLock;

use serde_json::json;
use stockwatch_tests::{Broker, Market, Scene, Ticker, Watch, outage, turn};

/// Each with a disk that is filled within a second.
static BROKERS: LazyLock<Broker> = LazyLock::new(|| Broker::start_three_with_disks("300m"));

const ENTITIES: [&str; 4] = ["a", "b", "c", "d"];

fn watch(watch: &mut Watch) {
    watch.tickers = ENTITIES.map(Ticker::of).to_vec();
    watch.windows = vec![(5, "0".into()), (15, "0.05%".into())];
    watch.alarms = json!({"quiet": "7m", "minCount": 2});
    watch.trade = json!({"window": "15m", "feeBps": "5", "stopLoss": "1%"});
}

/// Two workers go on while something happens to the brokers; then all of those are well again for the next test.
fn outlive(name: &str, happens: impl FnOnce(&Scene), mend: impl FnOnce()) {
    let _turn = turn();
    let scene = Scene::new(&BROKERS, name, watch);
    let mut workers = [scene.worker("a"), scene.worker("b")];
    let feeder = scene.feed(Market::new(30, &ENTITIES), 300);
    scene.await_progress(500);
    happens(&scene);
    scene.await_progress(500);
    feeder.stop();
    scene.assert_right_with_ledger();
    assert!(workers.iter_mut().all(|worker| worker.runs()), "no worker gave up");
    mend();
    scene.topics.await_in_sync(3);
}

/// Waits until all replicas are in sync, and workers went on after that.
fn go_on(scene: &Scene) {
    scene.topics.await_in_sync(3);
    scene.await_progress(500);
}

#[test]
fn a_rolling_restart_of_all_brokers_costs_nothing() {
    let happens = |scene: &Scene| {
        for id in 1..=3 {
            BROKERS.bounce(id, false);
            go_on(scene);
        }
    };
    outlive("rolling", happens, || {});
}

#[test]
fn brokers_killed_one_after_another_that_come_back_at_once_or_late_or_never_cost_nothing() {
    let happens = |scene: &Scene| {
        BROKERS.bounce(1, true);
        go_on(scene);
        BROKERS.kill_one(2);
        scene.await_progress(500);
        BROKERS.start_one(2);
        go_on(scene);
        BROKERS.kill_one(3);
        scene.await_progress(500);
    };
    outlive("killed-in-turn", happens, || BROKERS.start_one(3));
}

#[test]
fn a_broker_that_stands_still_for_twenty_seconds_costs_nothing() {
    let happens = |scene: &Scene| {
        for id in [1, 2] {
            BROKERS.pause_one(id);
            outage(20);
            BROKERS.resume_one(id);
            go_on(scene);
        }
    };
    outlive("frozen", happens, || {});
}

#[test]
fn a_broker_whose_disk_is_full_costs_nothing() {
    let happens = |scene: &Scene| {
        BROKERS.fill(2);
        scene.await_progress(500);
        BROKERS.recover_from_full_disk(2);
    };
    outlive("full-disk", happens, || {});
}

#[test]
fn brokers_that_take_little_a_second_see_smaller_transactions_until_they_take_them_in_time() {
    let _turn = turn();
    // One quote is some 3 KB of output: a transaction of the usual size would take a minute.
    let scene = Scene::new(&BROKERS, "quota", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = (1..=10).map(|i| (5 * i, "0".into())).collect();
    });
    BROKERS.set_quota(Some(100_000));
    scene.send_market(&mut Market::new(31, &ENTITIES), 3_000);
    let worker = scene.worker("w");
    scene.await_progress(1_000);
    let aborted = worker.metric("transactions_aborted");
    scene.await_progress(500);
    assert_eq!(worker.metric("transactions_aborted"), aborted, "what they take is known by then");
    BROKERS.set_quota(None);
    scene.assert_right();
}
