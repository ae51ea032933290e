//! Three brokers, each topic on all of them: those that restart one after another cost nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{Mutex, PoisonError};

use stockwatch_tests::{Broker, Market, Scene, Ticker, Watch};

const ENTITIES: [&str; 4] = ["a", "b", "c", "d"];

/// Six brokers at once are too many for a small machine.
static TURN: Mutex<()> = Mutex::new(());

fn watch(watch: &mut Watch) {
    watch.tickers = ENTITIES.map(Ticker::of).to_vec();
    watch.windows = vec![(5, "0".into()), (15, "0.05%".into())];
}

/// Two workers go on while each broker in turn is ended and started again.
fn outlives_all_brokers(name: &str, at_once: bool) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let brokers = Broker::start_three();
    let scene = Scene::new(&brokers, name, watch);
    let mut workers = [scene.worker("a"), scene.worker("b")];
    let feeder = scene.feed(Market::new(30, &ENTITIES), 300);
    for id in 1..=3 {
        brokers.bounce(id, at_once);
        scene.topics.await_in_sync(3);
        let done: i64 = scene.committed().values().map(|(offset, _)| offset).sum();
        scene.await_committed(done + 500);
    }
    feeder.stop();
    scene.assert_right();
    assert!(workers.iter_mut().all(|worker| worker.runs()), "no worker gave up");
}

#[test]
fn a_rolling_restart_of_all_brokers_costs_nothing() {
    outlives_all_brokers("rolling", false);
}

#[test]
fn brokers_killed_one_after_another_cost_nothing() {
    outlives_all_brokers("killed-in-turn", true);
}
