//! A longer window is filled from the raw log beside the quotes that come.

use std::time::{SystemTime, UNIX_EPOCH};

use stockwatch_tests::{Broker, Market, Scene, Ticker, Topic, quote, wait_for};

/// A StockWatch of one partition, whose log takes a while to read: one ticker was delisted, and says the same ever since.
fn scene(name: &str, records: usize) -> Scene<'static> {
    let scene = Scene::without_topics(Broker::shared(), name, |watch| {
        watch.tickers = ["delisted", "live"].map(Ticker::of).to_vec();
        watch.windows = vec![(15, "0".into())];
    });
    scene.create_topics(1);
    let last = quote("delisted", "1", Market::START);
    (0..records).for_each(|_| scene.send(&last));
    scene.producer.flush();
    scene
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn quotes_are_computed_as_before_while_a_longer_window_is_filled() {
    let mut scene = scene("beside", 500_000);
    let worker = scene.worker("w");
    scene.settle();
    let feeder = scene.feed(Market::new(40, &["live"]), 200);
    scene.await_progress(200);
    let edited = now();
    scene.edit(|watch| watch.windows = vec![(1440, "0".into())]);
    worker.await_applied(2);
    let applied = now();
    scene.await_progress(100);
    feeder.stop();
    scene.settle();
    let averages = scene.read(Topic::Averages);
    let during = averages[0].iter().map(|r| r.timestamp).filter(|t| (edited..=applied).contains(t));
    let times: Vec<i64> = [edited].into_iter().chain(during).chain([applied]).collect();
    let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(pause * 2 < applied - edited, "no average for {pause} ms of the {} ms", applied - edited);
}

#[test]
fn a_worker_killed_while_a_longer_window_is_filled_goes_on_under_the_old_one_and_fills_it_again() {
    let mut scene = scene("beside-killed", 60_000);
    let feeder = scene.feed(Market::new(41, &["live"]), 200);
    for minutes in [30, 60, 120] {
        let worker = scene.worker("w");
        scene.await_progress(100);
        scene.edit(|watch| watch.windows = vec![(5, "0".into()), (minutes, "0.1".into())]);
        wait_for(30, "the log is read", || {
            worker.log().contains("longer window").then_some(()).ok_or_else(|| worker.log())
        });
        worker.kill();
    }
    let worker = scene.worker("w");
    worker.await_applied(scene.generation());
    scene.await_progress(100);
    feeder.stop();
    scene.assert_right();
}
