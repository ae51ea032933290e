//! A StockWatch's life under load: scaled, rolled, suspended, its workers killed, its spec broken and mended. Whatever
//! happens to it, its outputs are those of the oracle.

use serde_json::{Value, json};
use stockwatch_tests::{Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, soon, wait_for};

/// The one StockWatch of each test.
const WATCH: &str = "stockwatch/tech";
const PODS: &str = "stockwatch.dev/name=tech";

fn market() -> Market {
    Market::new(11, &["a", "b", "c", "d"])
}

/// The reason of its condition Ready.
fn reason(home: &Namespace) -> Value {
    home.get(WATCH)["status"]["conditions"][0]["reason"].clone()
}

#[test]
fn kubectl_scale_under_load_moves_partitions_and_loses_nothing() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "scale");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(market(), 300);
    let path = format!("/apis/stockwatch.dev/v1alpha1/namespaces/{}/stockwatches/tech/scale", home.name());
    for replicas in [3, 0, 1] {
        scene.scale(&home, replicas);
        scene.await_workers(&home, replicas);
        let scale: Value = serde_json::from_str(&home.kubectl(&["get", "--raw", &path])).unwrap();
        // A zero is left out.
        let counts = ["spec", "status"].map(|part| scale[part]["replicas"].as_u64().unwrap_or(0));
        assert_eq!(counts, [u64::try_from(replicas).unwrap(); 2]);
        let selector = scale["status"]["selector"].as_str().unwrap();
        assert_eq!(home.pods(selector), home.pods(PODS), "what an autoscaler measures are the workers");
        if replicas == 0 {
            assert_eq!(reason(&home), "NoWorkers");
            continue;
        }
        wait_for(60, "each worker has its share of 3 partitions", || {
            let workers = home.endpoints(PODS);
            let owned: Vec<f64> = workers.values().map(|w| w.metric("partitions_owned", "")).collect();
            soon(owned == vec![if replicas == 3 { 1.0 } else { 3.0 }; replicas], owned)
        });
        scene.await_progress(300);
    }
    feeder.stop();
    scene.assert_right();
}

#[test]
fn a_cold_edit_replaces_the_workers_a_hot_one_does_not_and_neither_loses_a_quote() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "roll");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 2);
    let before = home.pods(PODS);
    let feeder = scene.feed(market(), 300);
    let cold = json!({"labels": {"team": "quotes"}, "nodeSelector": {"kubernetes.io/os": "linux"}});
    scene.patch(&home, &json!({"worker": cold}));
    scene.await_applied(&home);
    scene.await_workers(&home, 2);
    let replaced = home.pods("team=quotes");
    assert!(replaced.len() == 2 && before.keys().all(|pod| !replaced.contains_key(pod)), "{replaced:?}");
    scene.await_progress(300);
    scene.retune(&home, "0.02%");
    scene.await_applied(&home);
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    assert_eq!(home.pods(PODS), replaced, "no pod was replaced or restarted by what is hot");
}

#[test]
fn edits_that_overtake_each_other_lose_nothing_and_end_as_the_last_one_says() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "hurry");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(market(), 300);
    let windows = ["5m", "10m", "15m"].map(|window| json!({"duration": window, "tolerance": "0.01%"}));
    let worker = |count: u32, team: &str| json!({"worker": {"replicas": count, "labels": {"team": team}}});
    for spec in [
        worker(3, "a"),
        worker(2, "b"),
        json!({"suspend": true}),
        json!({"suspend": false}),
        worker(3, "b"),
        json!({"windows": windows}),
        worker(1, "c"),
        worker(2, "d"),
    ] {
        scene.patch(&home, &spec);
        let works = spec["suspend"] != json!(true);
        if works && scene.generation() % 2 == 1 {
            scene.await_progress(100);
        }
    }
    scene.await_applied(&home);
    scene.await_workers(&home, 2);
    assert_eq!(home.pods("team=d"), home.pods(PODS));
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn suspended_it_is_ready_without_workers_and_resumed_it_computes_what_came_meanwhile() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "suspend");
    let (mut scene, mut market) = (Scene::running(Broker::shared_for_pods(), &home, "tech", 2), market());
    scene.send_market(&mut market, 300);
    scene.settle();
    scene.patch(&home, &json!({"suspend": true}));
    scene.await_applied(&home);
    assert_eq!(reason(&home), "Suspended");
    scene.await_workers(&home, 0);
    let before = scene.committed();
    scene.send_market(&mut market, 300);
    for topic in Topic::ALL {
        assert_eq!(scene.topics.partitions(&scene.watch.topic(topic)), 3, "{topic:?} stays");
    }
    assert_eq!(scene.committed(), before, "nobody reads");

    scene.patch(&home, &json!({"suspend": false}));
    scene.await_applied(&home);
    scene.await_workers(&home, 2);
    assert_eq!(reason(&home), "Working");
    scene.assert_right();
}

#[test]
fn the_replacement_of_a_killed_worker_judges_by_the_newest_tolerance() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "kill");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(market(), 300);
    scene.await_progress(300);
    let before = home.pods(PODS);

    scene.retune(&home, "0.02%");
    home.containers(PODS)[0].kill();
    wait_for(60, "its container is restarted", || {
        let pods = home.pods(PODS);
        soon(pods.keys().eq(before.keys()) && pods.values().all(|(_, restarts)| *restarts == 1), pods)
    });
    scene.await_applied(&home);
    scene.await_progress(300);

    scene.retune(&home, "0.01%");
    let pod = before.keys().next().unwrap();
    home.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force", "--wait=false"]);
    wait_for(60, "another pod takes its place", || {
        let pods = home.pods(PODS);
        soon(pods.len() == 1 && !pods.contains_key(pod), pods)
    });
    scene.await_applied(&home);
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    let last = scene.read(Topic::Alarms).into_iter().filter_map(|alarms| Some(alarms.last()?.json()));
    let generations: Vec<u64> = last.map(|alarm| alarm["generation"].as_u64().unwrap()).collect();
    assert!(
        !generations.is_empty() && generations.iter().all(|by| *by == scene.generation()),
        "{generations:?}"
    );
}

#[test]
fn a_spec_that_only_the_operator_finds_wrong_is_said_to_be_and_workers_old_and_new_keep_the_last_good_one() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "wrong");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(market(), 300);
    let tickers =
        |d: Value| json!({"spec": {"tickers": [{"symbol": "a"}, {"symbol": "b"}, {"symbol": "c"}, d]}});
    home.patch(WATCH, &tickers(json!({"symbol": "d", "name": "a"})));
    home.wait(30, WATCH, &Until::because("Ready", "DuplicateEntity"));
    let wrong = home.get(WATCH);
    let ready = &wrong["status"]["conditions"][0];
    assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("False")));
    assert_eq!(wrong["status"]["appliedGeneration"], scene.generation(), "{wrong}");
    home.await_event(10, "DuplicateEntity", "tech", |message| ready["message"] == message);
    scene.await_progress(300);

    let before = home.pods(PODS);
    home.kubectl(&["delete", "pods", "-l", PODS, "--wait=false"]);
    wait_for(60, "another pod takes its place", || {
        let pods = home.pods(PODS);
        soon(pods.len() == 1 && pods.keys().ne(before.keys()), pods)
    });
    scene.await_progress(600);
    assert_eq!(home.events("DuplicateEntity", "tech").len(), 1, "said once");

    scene.applied_again(&home.patch(WATCH, &tickers(json!({"symbol": "d"}))));
    scene.await_applied(&home);
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
}
