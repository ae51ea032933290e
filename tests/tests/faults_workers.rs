//! What befalls workers that compute: they are killed again and again, and are left without API server and brokers.
//! Whatever happens, their outputs are those of the oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::LazyLock;

use serde_json::json;
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, faults, outage, soon, turn, wait_for,
};

static BROKER: LazyLock<Broker> = LazyLock::new(|| Broker::start_for_pods(Cluster::shared()));

fn market(seed: u64) -> Market {
    Market::new(seed, &["a", "b", "c", "d"])
}

#[test]
fn workers_killed_again_and_again_under_load_lose_nothing_and_write_nothing_twice() {
    let _turn = turn();
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "kills");
    let mut scene = Scene::running(&BROKER, &home, "tech", 2);
    let feeder = scene.feed(market(40), 300);
    let mut random = fastrand::Rng::with_seed(40);
    for round in 0..faults(6, 20) {
        let victim = wait_for(60, "a worker", || {
            let workers = home.containers(&scene.pods());
            random.choice(workers).ok_or_else(|| "none".into())
        });
        // A process starts again in its pod, under its old name; a pod's successor has another one.
        if random.bool() {
            victim.kill()
        } else {
            home.kill_pod(&victim)
        }
        if round % 3 == 1 {
            scene.retune(&home, &format!("0.0{}%", random.u8(1..9)));
        }
        // Else the next one is killed while this one starts or restores.
        if random.u8(0..4) > 0 {
            scene.await_workers(&home, 2);
        }
        scene.await_progress(random.i64(1..600));
    }
    scene.await_applied(&home);
    scene.await_workers(&home, 2);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn without_an_api_server_workers_go_on_and_killed_ones_start_again_by_the_newest_spec() {
    let _turn = turn();
    let _release = Release::shared();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "alone");
    let mut scene = Scene::running(&BROKER, &home, "tech", 2);
    let feeder = scene.feed(market(41), 300);
    let (pods, workers) = (home.pods(&scene.pods()), home.containers(&scene.pods()));
    // The copy of it that a restarted worker finds is its own: the kubelet is not that quick.
    scene.retune(&home, "0.02%");
    scene.await_applied(&home);

    let down = cluster.without_api_server();
    scene.await_progress(300);
    workers.iter().for_each(|worker| worker.kill());
    for worker in &workers {
        worker.await_ready();
        assert_eq!(worker.http().config()["generation"], scene.generation());
    }
    scene.await_progress(300);
    outage(faults(10, 50));
    scene.await_progress(300);
    drop(down);

    scene.retune(&home, "0.01%");
    scene.await_applied(&home);
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    let started_once: Vec<_> = pods.iter().map(|(pod, (uid, starts))| (pod, uid, starts + 1)).collect();
    wait_for(60, "both workers where they were, started again once", || {
        let now = home.pods(&scene.pods());
        soon(
            now.iter().map(|(pod, (uid, starts))| (pod, uid, *starts)).eq(started_once.iter().copied()),
            &now,
        )
    });
}

#[test]
fn operator_and_workers_outlive_brokers_that_end_die_and_freeze() {
    let _turn = turn();
    let release = Release::shared();
    let cluster = Cluster::shared();
    let broker = Broker::start_for_pods(cluster);
    let home = Namespace::create(cluster, "brokers");
    let mut scene = Scene::running(&broker, &home, "tech", 2);
    release.await_operators();
    let labels = scene.pods();
    let pods = || (release.operators(), home.pods(&labels));
    let before = pods();
    let feeder = scene.feed(market(42), 300);
    let mut random = fastrand::Rng::with_seed(42);
    for round in 0..faults(3, 12) {
        match round % 3 {
            0 => broker.stop(),
            1 => broker.kill(),
            _ => broker.pause(),
        }
        scene.retune(&home, &format!("0.0{}%", random.u8(1..9)));
        outage(random.u64(1..=14));
        if round % 3 == 2 {
            broker.resume()
        } else {
            broker.restart()
        }
        scene.await_applied(&home);
        scene.await_progress(500);
    }
    feeder.stop();
    scene.assert_right();
    let topics = "jsonpath={.status.conditions[?(@.type==\"TopicsReady\")].status}=True";
    home.wait(60, &scene.object(), topics);
    assert_eq!(home.get(&[&scene.object()])["status"]["readyReplicas"], json!(2));
    assert_eq!(pods(), before, "no pod was replaced or restarted");
}
