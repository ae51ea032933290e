//! What befalls workers that compute: they are killed again and again, and are left without API server and brokers.
//! Whatever happens, their outputs are those of the oracle.

use stockwatch_tests::{Broker, Cluster, Market, Namespace, Release, Scene, faults, wait_for};

fn market(seed: u64) -> Market {
    Market::new(seed, &["a", "b", "c", "d"])
}

#[test]
fn workers_killed_again_and_again_under_load_lose_nothing_and_write_nothing_twice() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "kills");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 2);
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
