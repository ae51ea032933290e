//! Workers that come and go while quotes flow.

use stockwatch_tests::{Broker, Market, Scene, Worker, soon, wait_for};

const ENTITIES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

fn scene(name: &str) -> Scene<'static> {
    let scene = Scene::without_topics(Broker::shared(), name, |watch| {
        watch.tickers = ENTITIES.map(stockwatch_tests::Ticker::of).to_vec();
    });
    scene.create_topics(6);
    scene
}

fn await_shared(workers: &[&Worker]) {
    wait_for(60, "all partitions owned, some by each", || {
        let owned: Vec<f64> = workers.iter().map(|worker| worker.metric("partitions_owned")).collect();
        soon(owned.iter().sum::<f64>() == 6.0 && owned.iter().all(|owned| *owned > 0.0), owned)
    });
}

#[test]
fn one_to_three_workers_and_back_lose_nothing_and_write_nothing_twice() {
    let scene = scene("grow");
    let feeder = scene.feed(Market::new(1, &ENTITIES), 1_000);
    let first = scene.worker("first");
    scene.await_progress(1_000);
    let second = scene.worker("second");
    let third = scene.worker("third");
    await_shared(&[&first, &second, &third]);
    scene.await_progress(2_000);
    first.terminate();
    await_shared(&[&second, &third]);
    scene.await_progress(1_000);
    third.terminate();
    await_shared(&[&second]);
    scene.await_progress(1_000);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn three_workers_that_start_at_once_share_the_partitions() {
    let scene = scene("at-once");
    let feeder = scene.feed(Market::new(2, &ENTITIES), 1_000);
    let mut workers: Vec<Worker> = ["x", "y", "z"].map(|id| scene.launch(id).start()).into();
    for worker in &mut workers {
        worker.await_ready();
    }
    await_shared(&workers.iter().collect::<Vec<_>>());
    scene.await_progress(2_000);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn a_killed_workers_partitions_go_on_at_another() {
    let scene = scene("takeover");
    let feeder = scene.feed(Market::new(3, &ENTITIES), 1_000);
    let first = scene.worker("first");
    let second = scene.worker("second");
    await_shared(&[&first, &second]);
    scene.await_progress(1_000);
    first.kill();
    await_shared(&[&second]);
    scene.await_progress(2_000);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn more_workers_than_partitions_are_all_ready() {
    let scene = Scene::without_topics(Broker::shared(), "idle", |_| {});
    scene.create_topics(1);
    let workers = ["one", "two", "three"].map(|id| scene.worker(id));
    scene.send_market(&mut Market::new(4, &["a", "b", "c"]), 200);
    scene.assert_right();
    let owned: f64 = workers.iter().map(|worker| worker.metric("partitions_owned")).sum();
    assert_eq!(owned, 1.0);
}
