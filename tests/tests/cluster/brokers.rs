//! Kafka's brokers end, die, freeze, do not answer, or are others than before: who is on other brokers notices nothing.

use serde_json::json;
use stockwatch_tests::{Broker, Cluster, Market, Namespace, Release, Scene, Until, faults, outage};

#[test]
fn operator_and_workers_outlive_brokers_that_end_die_and_freeze() {
    let release = Release::shared();
    let cluster = Cluster::shared();
    let broker = Broker::start_for_pods(cluster);
    let home = Namespace::create(cluster, "brokers");
    let mut scene = Scene::running(&broker, &home, "tech", 2);
    release.await_operators();
    let labels = scene.pods();
    let pods = || (release.operators(), home.pods(&labels));
    let before = pods();
    let feeder = scene.feed(Market::new(42, &["a", "b", "c", "d"]), 300);
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
    home.wait(60, &scene.object(), &Until::condition("TopicsReady", "True"));
    home.wait(60, &scene.object(), &Until::status("readyReplicas", 2)); // the last alarms may be before that
    assert_eq!(pods(), before, "no pod was replaced or restarted");
}

#[test]
fn workers_go_on_where_they_are_when_the_addresses_are_changed_to_another_cluster() {
    let cluster = Cluster::shared();
    let _release = Release::shared();
    let home = Namespace::create(cluster, "home");
    let other = Broker::start_for_pods(cluster);
    let mut scene = Scene::apply(Broker::shared_for_pods(), &home, "moved", |_| {});
    home.wait(120, "stockwatch/moved", &Until::ready());
    let pods = home.pods("stockwatch.dev/name=moved");
    let mut market = Market::new(12, &["a", "b", "c"]);
    scene.send_market(&mut market, 100);

    let to = |bootstrap: &str| json!({"spec": {"kafka": {"bootstrapServers": bootstrap}}});
    scene.applied_again(&home.patch("stockwatch/moved", &to(other.bootstrap())));
    let reason = &Until::because("TopicsReady", "ClusterChanged");
    home.wait(60, "stockwatch/moved", reason);
    scene.send_market(&mut market, 100);
    scene.settle();
    assert_eq!(home.pods("stockwatch.dev/name=moved"), pods);

    scene.applied_again(&home.patch("stockwatch/moved", &to(Broker::shared_for_pods().bootstrap())));
    home.wait(60, "stockwatch/moved", &Until::ready());
    scene.send_market(&mut market, 100);
    scene.assert_right();
    assert_eq!(home.pods("stockwatch.dev/name=moved"), pods, "no pod was replaced or restarted");
}

#[test]
fn stockwatches_on_brokers_that_do_not_answer_hold_up_no_other_one() {
    let cluster = Cluster::shared();
    let _release = Release::shared();
    let home = Namespace::create(cluster, "home");
    let frozen = Broker::start_for_pods(cluster);
    frozen.pause();
    home.simulate("frozen", |watch| watch.bootstrap = frozen.bootstrap().into());
    home.simulate("refused", |watch| watch.bootstrap = format!("{}:1", Cluster::HOST));
    home.simulate("healthy", |_| {});
    home.wait(60, "stockwatch/healthy", &Until::ready());
    for dead in ["frozen", "refused"] {
        let reason = &Until::because("TopicsReady", "KafkaUnreachable");
        home.wait(60, &format!("stockwatch/{dead}"), reason);
    }
    let applied = home.retune("healthy", "0.2%");
    home.wait(10, "stockwatch/healthy", &applied);
    frozen.resume();
    home.wait(90, "stockwatch/frozen", &Until::ready());
}
