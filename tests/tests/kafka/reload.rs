//! Edits of a running worker's StockWatch.

use std::collections::BTreeSet;
use stockwatch_tests::{
    Broker, Launch, Market, Raw, Scene, Ticker, Topic, Watch, Worker, quote, soon, wait_for,
};

const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const T: u64 = Market::START;

fn windows(list: &[(u32, &str)]) -> Vec<(u32, String)> {
    list.iter().map(|(minutes, tolerance)| (*minutes, (*tolerance).to_owned())).collect()
}

fn await_error(worker: &Worker, words: &[&str]) {
    wait_for(30, &format!("/config names {words:?}"), || {
        let config = worker.config();
        let error = config["error"].as_str().unwrap_or_default();
        soon(words.iter().all(|word| error.contains(word)), config)
    });
}

#[test]
fn every_alarm_is_judged_by_the_tolerance_that_it_names_and_generations_never_go_back() {
    let mut scene = Scene::new(Broker::shared(), "tolerance", |watch| {
        watch.windows = windows(&[(5, "0.5"), (10, "0.1%")])
    });
    let worker = scene.worker("w");
    let feeder = scene.feed(Market::new(1, &["a", "b", "c"]), 500);
    let tolerances = ["0.05", "0.010%", "2", "0", "0.250000000", "00.5%"];
    for tolerance in tolerances {
        scene.edit(|watch| {
            watch.windows = windows(&[(5, tolerance), (10, "0.1%")]);
            watch.tickers[2].tolerances = windows(&[(10, tolerance)]);
        });
        worker.await_applied(scene.generation());
        scene.await_progress(400);
    }
    feeder.stop();
    scene.assert_right();
    let alarms = scene.read(Topic::Alarms);
    let generations: BTreeSet<u64> =
        alarms.iter().flatten().map(|alarm| alarm.json()["generation"].as_u64().unwrap()).collect();
    assert!(generations.len() >= 5, "alarms under many generations: {generations:?}");
}

#[test]
fn windows_and_tickers_edited_again_and_again_give_what_the_oracle_says() {
    let mut scene = Scene::new(Broker::shared(), "shapes", |watch| {
        watch.tickers = ENTITIES[..3].iter().map(|entity| Ticker::of(entity)).collect();
    });
    let worker = scene.worker("w");
    let feeder = scene.feed(Market::new(2, &ENTITIES), 400);
    let edits: [fn(&mut Watch); 7] = [
        |watch| watch.windows = windows(&[(5, "0"), (10, "0"), (15, "0"), (60, "0")]), // longer
        |watch| watch.windows = windows(&[(10, "0"), (60, "0")]),                      // fewer
        |watch| watch.windows = windows(&[(5, "0"), (10, "0"), (60, "0")]),            // one returns
        |watch| watch.tickers.push(Ticker::of("d")),
        |watch| watch.tickers = ["b", "c", "d", "e"].map(Ticker::of).to_vec(), // a goes, e comes
        |watch| watch.windows = windows(&[(1, "0")]),
        |watch| watch.tickers = ["a", "b", "c", "d", "e", "f"].map(Ticker::of).to_vec(), // a returns
    ];
    for edit in edits {
        scene.await_progress(500);
        scene.edit(edit);
        worker.await_applied(scene.generation());
    }
    scene.await_progress(500);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn a_new_windows_first_average_is_the_one_it_would_have_had_also_after_a_restart() {
    for restarted in [false, true] {
        let mut scene = Scene::new(Broker::shared(), &format!("filled-{restarted}"), |watch| {
            watch.windows = windows(&[(5, "0")]);
        });
        let worker = scene.worker("w");
        let mut market = Market::new(3, &["a", "b", "c"]);
        scene.send_market(&mut market, 600);
        scene.settle();
        if restarted {
            worker.terminate();
            scene.edit(|watch| watch.windows = windows(&[(5, "0"), (120, "0")]));
            let again = scene.worker("w");
            again.await_applied(2);
            scene.send_market(&mut market, 300);
            scene.assert_right();
        } else {
            scene.edit(|watch| watch.windows = windows(&[(5, "0"), (120, "0")]));
            worker.await_applied(2);
            scene.send_market(&mut market, 300);
            scene.assert_right();
        }
        let counts = scene.read(Topic::Averages).into_iter().flatten().map(|record| record.json());
        let long =
            counts.filter(|value| value["windowtime"] == 120).map(|value| value["count"].as_u64().unwrap());
        assert!(long.min().unwrap() > 20, "the new window starts full");
    }
}

#[test]
fn a_removed_entity_leaves_a_tombstone_and_returns_empty() {
    let mut scene = Scene::new(Broker::shared(), "removed", |watch| watch.windows = windows(&[(15, "0")]));
    let worker = scene.worker("w");
    for i in 0..50 {
        scene.send_to(1, &quote("a", &format!("{i}"), T + i));
        scene.send_to(1, &quote("b", &format!("{i}"), T + i));
    }
    scene.settle();
    scene.edit(|watch| watch.tickers = ["b", "c"].map(Ticker::of).to_vec());
    worker.await_applied(2);
    scene.send_to(1, &quote("a", "7", T + 60));
    scene.send_to(1, &quote("b", "7", T + 60));
    scene.settle();
    worker.terminate();
    let last = |key: &str| {
        scene.read(Topic::Table)[1]
            .iter()
            .rev()
            .find(|record| record.key_text() == key)
            .map(|r| r.value.is_some())
    };
    assert_ne!(last("\"a\""), Some(true), "no state of the removed entity is left");
    assert_eq!(last("\"b\""), Some(true));
    let worker = scene.worker("w");
    scene.edit(|watch| watch.tickers = ["a", "b"].map(Ticker::of).to_vec());
    worker.await_applied(3);
    scene.send_to(1, &quote("a", "9", T + 61));
    scene.assert_right();
    let average = scene.read(Topic::Averages)[1].last().unwrap().json();
    assert_eq!(average["count"], 1);
}

#[test]
fn a_bad_edit_is_refused_and_named_while_the_last_good_one_goes_on() {
    let mut scene = Scene::new(Broker::shared(), "refused", |_| {});
    let mut worker = scene.worker("w");
    let path = scene.path("watch.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    let mut market = Market::new(4, &["a", "b", "c"]);
    for (bad, words) in [
        (good.replace("0.05%", "lots"), vec!["spec.windows[0].tolerance"]),
        (good.replace("duration: 10m", "duration: 600s"), vec!["spec.windows[1].duration", "10m"]),
        (good.replace("symbol: b", "symbol: a"), vec!["spec.tickers[1]"]),
        (good.replace("kind: StockWatch", "kind: Other"), vec!["kind"]),
        ("{".to_owned(), vec![""]),
        (String::new(), vec![""]),
    ] {
        std::fs::write(&path, bad).unwrap();
        await_error(&worker, &words);
        wait_for(30, "an error", || soon(worker.config()["error"].is_string(), worker.config()));
        worker.await_ready();
        scene.send_market(&mut market, 50);
        scene.settle();
        std::fs::write(&path, &good).unwrap();
        wait_for(30, "no error", || soon(worker.config()["error"].is_null(), worker.config()));
    }
    assert!(worker.metric("specs_rejected") >= 6.0);
    std::fs::remove_file(&path).unwrap();
    scene.send_market(&mut market, 50);
    scene.settle();
    assert!(worker.runs(), "a file that is away for a while ends nothing");
    scene.edit(|watch| watch.windows = windows(&[(5, "0")]));
    worker.await_applied(2);
    scene.send_market(&mut market, 50);
    scene.assert_right();
}

#[test]
fn an_edit_in_place_and_a_swapped_symbolic_link_are_both_seen() {
    let mut scene = Scene::new(Broker::shared(), "links", |_| {});
    // As a ConfigMap is mounted: the file is a link through a directory link that is swapped.
    let link = |scene: &Scene, version: &str| {
        std::fs::create_dir_all(scene.path(version)).unwrap();
        std::fs::write(scene.path(version).join("watch.yaml"), scene.watch.text()).unwrap();
        std::os::unix::fs::symlink(version, scene.path(".data.new")).unwrap();
        std::fs::rename(scene.path(".data.new"), scene.path("..data")).unwrap();
    };
    link(&scene, "v1");
    std::os::unix::fs::symlink("..data/watch.yaml", scene.path("linked.yaml")).unwrap();
    let mut linked = Launch { file: scene.path("linked.yaml"), ..scene.launch("linked") }.start();
    linked.await_ready();
    scene.change(|watch| watch.windows = windows(&[(5, "0")]));
    link(&scene, "v2");
    linked.await_applied(2);
    scene.change(|watch| watch.windows = windows(&[(6, "0")]));
    std::fs::write(scene.path("v2").join("watch.yaml"), scene.watch.text()).unwrap();
    linked.await_applied(3);
}

#[test]
fn unknown_fields_are_ignored_and_listed() {
    let scene = Scene::new(Broker::shared(), "unknown", |_| {});
    let text = scene.watch.text().replace("  windows:", "  colour: blue\n  windows:");
    std::fs::write(scene.path("watch.yaml"), text).unwrap();
    let worker = scene.worker("w");
    assert_eq!(worker.config()["ignored"], serde_json::json!(["spec.colour"]));
    assert_eq!(worker.config()["uid"], "uid-unknown");
}

#[test]
fn a_lower_generation_of_the_same_uid_never_replaces_the_recorded_one() {
    let mut scene = Scene::new(Broker::shared(), "stale", |watch| watch.windows = windows(&[(5, "0")]));
    let stale = scene.write("stale.yaml");
    let mut market = Market::new(5, &["a", "b", "c"]);
    let worker = scene.worker("w");
    scene.send_market(&mut market, 100);
    scene.edit(|watch| watch.windows = windows(&[(10, "0")]));
    worker.await_applied(2);
    scene.send_market(&mut market, 100);
    scene.settle();
    worker.terminate();
    // Another pod still has the old copy: it computes with the recorded shape until it has a newer one.
    let mut other = Launch { file: stale, ..scene.launch("other") }.start();
    scene.send_market(&mut market, 100);
    scene.assert_right();
    scene.change(|watch| watch.windows = windows(&[(20, "0")]));
    scene.write("stale.yaml");
    other.await_applied(3);
    other.await_ready();
    scene.send_market(&mut market, 100);
    scene.assert_right();
}

#[test]
fn a_plain_file_without_a_generation_counts_on_whenever_it_changes() {
    let mut scene = Scene::new(Broker::shared(), "plain", |watch| {
        watch.uid.clear();
        watch.generation = None;
        watch.windows = windows(&[(5, "0")]);
    });
    let mut market = Market::new(6, &["a", "b", "c"]);
    let mut running = Some(scene.worker("w"));
    scene.send_market(&mut market, 200);
    scene.settle();
    for (restarted, change) in [(false, 10), (true, 20), (false, 30)] {
        if restarted {
            running.take().unwrap().terminate();
        }
        scene.edit(|watch| watch.windows = windows(&[(5, "0"), (change, "0")]));
        let worker = running.get_or_insert_with(|| scene.worker("w"));
        worker.await_applied(scene.generation());
        scene.send_market(&mut market, 200);
        scene.settle();
    }
    // Started again without a change: the same generation goes on.
    running.take().unwrap().terminate();
    let worker = scene.worker("w");
    scene.send_market(&mut market, 200);
    scene.assert_right();
    assert_eq!(worker.config()["appliedGeneration"], 4);
}

#[test]
fn two_workers_that_take_an_edit_at_different_times_are_each_right() {
    let mut scene = Scene::without_topics(Broker::shared(), "apart", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = windows(&[(5, "0")]);
    });
    scene.create_topics(4);
    let files = ["one.yaml", "two.yaml"].map(|file| scene.write(file));
    let feeder = scene.feed(Market::new(7, &ENTITIES), 500);
    let mut workers = ["one", "two"].map(|id| scene.launch(id)).into_iter().zip(files);
    let mut start = || {
        let (launch, file) = workers.next().unwrap();
        let mut worker = Launch { file, ..launch }.start();
        worker.await_ready();
        worker
    };
    let (one, two) = (start(), start());
    wait_for(60, "both own partitions", || {
        let owned = (one.metric("partitions_owned"), two.metric("partitions_owned"));
        soon(owned.0 == 2.0 && owned.1 == 2.0, owned)
    });
    let edits: [fn(&mut Watch); 3] = [
        |watch| watch.windows = windows(&[(5, "0"), (15, "0.1")]),
        |watch| watch.tickers = ENTITIES[..4].iter().map(|entity| Ticker::of(entity)).collect(),
        |watch| watch.windows = windows(&[(15, "0"), (30, "0.1")]),
    ];
    for edit in edits {
        scene.change(edit);
        scene.write("one.yaml");
        one.await_applied(scene.generation());
        scene.await_progress(500);
        scene.write("two.yaml");
        two.await_applied(scene.generation());
        scene.await_progress(500);
    }
    // An edit that only one has, then its partitions go to the other, which has the older copy.
    scene.change(|watch| watch.windows = windows(&[(7, "0")]));
    scene.write("one.yaml");
    one.await_applied(scene.generation());
    scene.await_progress(300);
    one.kill();
    scene.await_progress(1_000);
    scene.write("two.yaml");
    two.await_applied(scene.generation());
    feeder.stop();
    scene.assert_right();
    let shapes = scene.shapes();
    assert!(shapes.iter().any(|taken| taken.iter().map(|s| s.from).ne(shapes[0].iter().map(|s| s.from))));
}

#[test]
fn an_entity_that_is_idle_over_edits_and_restarts_has_the_windows_of_the_last_edit() {
    let mut scene =
        Scene::new(Broker::shared(), "idle", |watch| watch.windows = windows(&[(5, "0"), (10, "0")]));
    let mut time = T;
    let mut send = |scene: &Scene, entity: &str, count: u64| {
        for _ in 0..count {
            time += 20;
            scene.send_to(2, &quote(entity, &format!("{}.5", time % 97), time));
        }
        scene.settle();
    };
    let edits: [&[(u32, &str)]; 4] =
        [&[(10, "0")], &[(5, "0"), (10, "0")], &[(2, "0"), (10, "0"), (20, "0")], &[(5, "0"), (20, "0")]];
    let worker = scene.worker("w");
    send(&scene, "a", 60);
    worker.terminate(); // all that is known of a is in its checkpoint
    for (i, edit) in edits.into_iter().enumerate() {
        scene.edit(|watch| watch.windows = windows(edit));
        let worker = scene.worker("w");
        worker.await_applied(scene.generation());
        send(&scene, "b", 40);
        worker.terminate();
        let worker = scene.worker("w");
        send(&scene, "b", 5);
        if i % 2 == 1 {
            send(&scene, "a", 3);
        }
        worker.kill();
    }
    let _worker = scene.worker("last");
    send(&scene, "a", 3);
    scene.assert_right();
}

#[test]
fn an_edit_between_two_starts_is_taken() {
    let mut scene = Scene::new(Broker::shared(), "between", |watch| watch.windows = windows(&[(5, "0")]));
    let mut market = Market::new(8, &["a", "b", "c"]);
    for round in 0..4 {
        let worker = scene.worker(&format!("w{round}"));
        scene.send_market(&mut market, 200);
        scene.settle();
        if round % 2 == 0 {
            worker.kill()
        } else {
            _ = worker.terminate()
        }
        // Records that nobody has seen when the edit is made: the recorded shape says by which they are computed.
        scene.send_market(&mut market, 100);
        scene.edit(|watch| watch.windows = windows(&[(5, "0"), (10 + round, "0")]));
    }
    let _worker = scene.worker("last");
    scene.assert_right();
}

#[test]
fn a_source_may_write_raw_records_while_the_wildcard_comes_and_goes() {
    let mut scene = Scene::new(Broker::shared(), "star", |watch| watch.windows = windows(&[(5, "0")]));
    let worker = scene.worker("w");
    let mut market = Market::new(9, &ENTITIES);
    for wildcard in [true, false, true] {
        scene.send_market(&mut market, 200);
        scene.settle();
        scene.edit(|watch| {
            watch.tickers.retain(|ticker| ticker.symbol != "*");
            if wildcard {
                watch.tickers.push(Ticker::of("*"));
            }
        });
        worker.await_applied(scene.generation());
    }
    scene.send_market(&mut market, 200);
    scene.send_to(0, &Raw { key: None, value: quote("never listed", "1", T).value });
    scene.assert_right();
}

#[test]
fn the_largest_stockwatch_edited_again_and_again_is_taken() {
    let entity = |i: usize| format!("{i:04}{}", "é".repeat(60));
    let mut scene = Scene::new(Broker::shared(), "largest", |watch| {
        let tolerance = "123456789.123456789%".to_owned();
        watch.windows = (1..=10).map(|i| (i * 100, tolerance.clone())).collect();
        watch.tickers = (0..1_000)
            .map(|i| Ticker {
                symbol: format!("S{i}"),
                name: Some(entity(i)),
                // More would be over the limit of bytes.
                tolerances: match i {
                    ..70 => [100, 500, 1_000].map(|window| (window, tolerance.clone())).to_vec(),
                    _ => Vec::new(),
                },
            })
            .collect();
    });
    let worker = scene.worker("w");
    let names: Vec<String> = (0..5).map(entity).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let feeder = scene.feed(Market::new(10, &names), 200);
    for round in 2..=8_u32 {
        scene.edit(|watch| {
            watch.windows[9].0 = 1_000 + round;
            watch.tickers[..70].iter_mut().for_each(|ticker| ticker.tolerances[2].0 = 1_000 + round);
        });
        worker.await_applied(u64::from(round));
    }
    feeder.stop();
    scene.settle();
    worker.kill();
    let _worker = scene.worker("again");
    scene.send_market(&mut Market::new(11, &names), 50);
    scene.assert_right();
}
