//! A worker of the release before episodes takes over from this one and back while quotes flow. `make test-faults` builds
//! that release's once, and says where it is.

use std::path::PathBuf;

use stockwatch_tests::{Broker, Launch, Market, Scene, Ticker, Topic};

const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
#[ignore = "needs an older worker: make test-faults"]
fn an_older_worker_takes_over_and_back_and_nothing_is_lost_or_twice() {
    let older = std::env::var_os("STOCKWATCH_BEFORE").map(PathBuf::from);
    let older = older.expect("STOCKWATCH_BEFORE: the worker of bench/before.sh");
    let mut scene = Scene::new(Broker::shared(), "takeover", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = vec![(1, "0".into()), (5, "0.05%".into()), (60, "0.1".into())];
        watch.has_older = true;
    });
    let feeder = scene.feed(Market::new(40, &ENTITIES), 300);
    let mut worker = scene.worker("w0");
    for round in 1..=8_u8 {
        scene.await_progress(300);
        scene.edit(|watch| {
            watch.windows[1].1 = format!("0.0{round}%");
            if round % 4 == 0 {
                watch.windows[2].0 += 30;
            }
        });
        let program = (round % 2 == 1).then(|| older.clone());
        let launch = Launch { program, ..scene.launch(&format!("w{round}")) };
        let beside = (round % 3 > 0).then(|| launch.start());
        if beside.is_some() {
            // Both have partitions for a while.
            scene.await_progress(300);
        }
        if round % 4 < 2 {
            worker.kill();
        } else {
            worker.terminate();
        }
        worker = beside.unwrap_or_else(|| launch.start());
        worker.await_ready();
    }
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    let of_older = |alarm| scene.watch.is_of_older(alarm);
    let alarms: Vec<bool> = scene.read(Topic::Alarms).iter().flatten().map(of_older).collect();
    assert!(alarms.contains(&true) && alarms.contains(&false), "both have judged");
}
