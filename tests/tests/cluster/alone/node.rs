//! The node crashes, with all that runs on it.

use stockwatch_tests::{Alone, Broker, Cluster, Market, Namespace, Scene};

#[test]
fn after_a_crash_of_the_node_everything_comes_again_and_nobody_does_anything() {
    let alone = Alone::new();
    let release = alone.shared();
    release.await_operators();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "crash");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 2);
    let feeder = scene.feed(Market::new(47, &["a", "b", "c", "d"]), 300);
    scene.await_progress(300);

    cluster.crash();
    scene.await_progress(300);
    release.await_operators();
    scene.retune(&home, "0.02%");
    scene.await_applied(&home);
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
}
