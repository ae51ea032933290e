//! The API server is away: workers need it neither to work nor to start, and operators wait for it.

use stockwatch_tests::{Alone, Broker, Cluster, Market, Namespace, Scene, faults, outage, soon, wait_for};

#[test]
fn without_an_api_server_workers_go_on_and_killed_ones_start_again_by_the_newest_spec() {
    let alone = Alone::new();
    let release = alone.shared();
    release.await_operators();
    let operators = release.operators();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "alone");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 2);
    let feeder = scene.feed(Market::new(41, &["a", "b", "c", "d"]), 300);
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
    // At length the API server is away for more than a minute.
    outage(faults(10, 60));
    scene.await_progress(300);
    drop(down);
    release.await_operators();
    assert_eq!(release.operators(), operators, "no operator was restarted");

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
