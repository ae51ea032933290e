//! Three brokers, each topic on all of them: whatever happens to one of them costs nothing. One test after another: six
//! brokers at once are too many for a small machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::LazyLock;

use stockwatch_tests::{Broker, Market, Scene, Ticker, Watch, outage, turn};

/// For those that leave all three as they were.
static BROKERS: LazyLock<Broker> = LazyLock::new(Broker::start_three);

const ENTITIES: [&str; 4] = ["a", "b", "c", "d"];

fn watch(watch: &mut Watch) {
    watch.tickers = ENTITIES.map(Ticker::of).to_vec();
    watch.windows = vec![(5, "0".into()), (15, "0.05%".into())];
}

/// Two workers go on while something happens to the brokers.
fn outlive(name: &str, brokers: &Broker, happens: impl FnOnce(&Broker, &Scene)) {
    let scene = Scene::new(brokers, name, watch);
    let mut workers = [scene.worker("a"), scene.worker("b")];
    let feeder = scene.feed(Market::new(30, &ENTITIES), 300);
    happens(brokers, &scene);
    scene.await_progress(500);
    feeder.stop();
    scene.assert_right();
    assert!(workers.iter_mut().all(|worker| worker.runs()), "no worker gave up");
}

/// Each broker in turn is ended and started again.
fn bounce_all(brokers: &Broker, scene: &Scene, at_once: bool) {
    for id in 1..=3 {
        brokers.bounce(id, at_once);
        scene.topics.await_in_sync(3);
        scene.await_progress(500);
    }
}

#[test]
fn a_rolling_restart_of_all_brokers_costs_nothing() {
    let _turn = turn();
    outlive("rolling", &BROKERS, |brokers, scene| bounce_all(brokers, scene, false));
}

#[test]
fn brokers_killed_one_after_another_cost_nothing() {
    let _turn = turn();
    outlive("killed-in-turn", &BROKERS, |brokers, scene| bounce_all(brokers, scene, true));
}

#[test]
fn a_broker_that_never_comes_back_costs_nothing() {
    let _turn = turn();
    outlive("for-good", &Broker::start_three(), |brokers, scene| {
        scene.await_progress(500);
        brokers.kill_one(1);
        scene.await_progress(500);
    });
}

#[test]
fn a_broker_that_stands_still_for_twenty_seconds_costs_nothing() {
    let _turn = turn();
    outlive("frozen", &BROKERS, |brokers, scene| {
        for id in [1, 2] {
            scene.await_progress(500);
            brokers.pause_one(id);
            outage(20);
            brokers.resume_one(id);
            scene.topics.await_in_sync(3);
        }
    });
}

#[test]
fn a_broker_whose_disk_is_full_costs_nothing() {
    let _turn = turn();
    outlive("full-disk", &Broker::start_three_with_disks("300m"), |brokers, scene| {
        scene.await_progress(500);
        brokers.fill(2);
        scene.await_progress(500);
        brokers.recover_from_full_disk(2);
        scene.topics.await_in_sync(3);
    });
}
