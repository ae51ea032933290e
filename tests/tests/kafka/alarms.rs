//! Which moves are alarms, and which alarms are one episode.

use std::collections::BTreeSet;

use serde_json::json;
use stockwatch_tests::{Broker, Market, Scene, Ticker, Topic, Watch, quote};

const T: u64 = Market::START;

/// Windows of 5 and 10 minutes at 1 %.
fn scene(name: &str, change: impl FnOnce(&mut Watch)) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.windows = vec![(5, "1%".into()), (10, "1%".into())];
        change(watch);
    })
}

/// A quote a minute, from one minute to before another.
fn minutes(scene: &Scene, from: u64, to: u64, price: &str) {
    for minute in from..to {
        scene.send_to(0, &quote("a", price, T + 60 * minute));
    }
}

/// Window, episode and number of each alarm.
fn episodes(scene: &Scene) -> Vec<(u64, String, u64)> {
    let alarms = scene.read(Topic::Alarms).remove(0);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let one = |value: serde_json::Value| {
        (
            value["windowtime"].as_u64().unwrap(),
            text(&value["episode"]),
            value["alarmnumber"].as_u64().unwrap(),
        )
    };
    alarms.iter().map(|alarm| one(alarm.json())).collect()
}

/// How many episodes a window has, and alarms.
fn count(scene: &Scene, window: u64) -> (usize, usize) {
    let of: Vec<_> = episodes(scene).into_iter().filter(|(minutes, ..)| *minutes == window).collect();
    let distinct: BTreeSet<&String> = of.iter().map(|(_, episode, _)| episode).collect();
    (distinct.len(), of.len())
}

#[test]
fn a_bad_tick_is_one_episode_of_each_window_and_so_is_a_lasting_step() {
    for (name, tick, alarms) in [("tick", 16, (2, 2)), ("step", 40, (5, 10))] {
        let scene = scene(name, |_| {});
        let _worker = scene.worker("w");
        minutes(&scene, 0, 15, "100");
        minutes(&scene, 15, tick, "200");
        minutes(&scene, tick, 40, "100");
        scene.assert_right();
        assert_eq!([count(&scene, 5), count(&scene, 10)], [(1, alarms.0), (1, alarms.1)], "{name}");
    }
}

#[test]
fn an_opening_gap_is_an_alarm_that_says_so_or_none_by_a_setting_that_is_edited_while_it_runs() {
    let tickers: Vec<String> = (0..50).map(|i| format!("t{i}")).collect();
    let mut scene = scene("gap", |watch| {
        watch.tickers = tickers.iter().map(|ticker| Ticker::of(ticker)).collect();
        watch.windows.push((15, "1%".into()));
    });
    let worker = scene.worker("w");
    let session = |scene: &Scene, day: u64, price: &str| {
        for (ticker, minute) in tickers.iter().flat_map(|ticker| (0..20).map(move |minute| (ticker, minute)))
        {
            scene.send(&quote(ticker, price, T + 86_400 * day + 60 * minute));
        }
        scene.settle();
    };
    session(&scene, 0, "100");
    session(&scene, 1, "110");
    let alarms = |scene: &Scene| scene.read(Topic::Alarms).concat();
    assert_eq!(alarms(&scene).len(), 150);
    assert!(alarms(&scene).iter().all(|alarm| alarm.json()["gap"] == true));
    scene.edit(|watch| watch.alarms = json!({"gaps": "Skip"}));
    worker.await_applied(2);
    session(&scene, 2, "120");
    assert_eq!(alarms(&scene).len(), 150);
    assert_eq!(worker.metric_where("alarms_skipped", "\"gap\""), 150.0);
    scene.edit(|watch| watch.alarms = json!({"minCount": 2}));
    worker.await_applied(3);
    session(&scene, 3, "130");
    assert_eq!(alarms(&scene).len(), 150);
    assert_eq!(worker.metric_where("alarms_skipped", "\"min_count\""), 150.0);
    scene.assert_right();
}

#[test]
fn an_episode_goes_on_under_the_next_worker_after_a_kill() {
    let scene = scene("killed", |_| {});
    let worker = scene.worker("w0");
    minutes(&scene, 0, 15, "100");
    minutes(&scene, 15, 17, "200");
    scene.settle();
    worker.kill();
    minutes(&scene, 17, 18, "200");
    let worker = scene.worker("w1");
    scene.settle();
    worker.terminate();
    let _worker = scene.worker("w2");
    minutes(&scene, 18, 40, "200");
    scene.assert_right();
    assert_eq!([count(&scene, 5), count(&scene, 10)], [(1, 5), (1, 10)]);
}

#[test]
fn a_quiet_time_edited_while_the_worker_was_down_is_taken() {
    let mut scene = scene("down", |watch| (watch.uid, watch.generation) = (String::new(), None));
    let worker = scene.worker("w0");
    minutes(&scene, 0, 15, "100");
    minutes(&scene, 15, 17, "200");
    scene.settle();
    worker.terminate();
    scene.edit(|watch| watch.alarms = json!({"quiet": "0m"}));
    let worker = scene.worker("w1");
    worker.await_applied(2);
    minutes(&scene, 17, 40, "200");
    scene.assert_right();
    // Two alarms of one episode, then each by itself.
    assert_eq!([count(&scene, 5), count(&scene, 10)], [(4, 5), (9, 10)]);
}

#[test]
fn episodes_are_the_oracles_through_edits_kills_and_removed_tickers() {
    let mut scene = scene("episodes", |watch| watch.windows = vec![(1, "0.1".into()), (5, "0.05%".into())]);
    let mut worker = scene.worker("w0");
    let feeder = scene.feed(Market::new(31, &["a", "b", "c"]).moody(), 400);
    let settings = [
        json!({"quiet": "1m"}),
        json!({"quiet": "60m", "gaps": "Skip"}),
        json!({"minCount": 3}),
        json!({"quiet": "0m"}),
        json!(null),
    ];
    for (i, settings) in settings.into_iter().enumerate() {
        scene.await_progress(300);
        scene.edit(|watch| {
            watch.alarms = settings;
            watch.tickers = if i % 2 == 0 { vec!["a", "b"] } else { vec!["a", "b", "c"] }
                .into_iter()
                .map(Ticker::of)
                .collect();
        });
        worker.await_applied(scene.generation());
        if i % 2 == 1 {
            scene.await_progress(100);
            worker.kill();
            worker = scene.worker(&format!("w{}", i + 1));
        }
    }
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    drop(worker);
}
