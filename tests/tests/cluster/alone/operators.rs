//! What befalls the operator: it is killed while it reconciles, and its leader dies, is cut off or frozen. In the end all
//! is as the specs say, no two have led at once, and a worker's job beside it has noticed nothing.

use stockwatch_tests::{
    Alone, Audit, Broker, Cluster, Container, Crowd, Market, Namespace, Release, Request, Scene,
    assert_one_leads, faults, soon, wait_for,
};

/// Stirs the crowd, and strikes in the middle of what follows: after so many requests of the operators.
fn amidst<T>(
    crowd: &mut Crowd<'_>,
    audit: &mut Audit,
    release: &Release,
    requests: usize,
    strike: impl FnOnce() -> T,
) -> (Vec<Request>, T) {
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.stir(2));
        let what = format!("{requests} requests of an operator");
        let seen = audit.await_of(&release.user(), &what, |seen| {
            seen.iter().filter(|request| request.resource != "leases").count() >= requests
        });
        (seen, strike())
    })
}

#[test]
fn operators_killed_at_random_leave_nothing_undone_and_nothing_behind() {
    let alone = Alone::new();
    let release = alone.shared();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "killed");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(Market::new(50, &["a", "b", "c", "d"]), 200);
    let (mut crowd, mut audit) = (Crowd::new(Broker::shared_for_pods(), &home, 50), Audit::begin(cluster));
    let mut random = fastrand::Rng::with_seed(50);
    let mut requests = Vec::new();
    release.await_operators();
    for round in 0..faults(10, 50) {
        let leader = release.leader();
        let mut operators = release.containers();
        if random.u8(0..4) > 0 {
            operators.retain(|operator| operator.pod == leader);
        }
        let kill = || operators.iter().for_each(Container::kill);
        let (seen, ()) = amidst(&mut crowd, &mut audit, &release, random.usize(0..12), kill);
        requests.extend(seen);
        if round % 3 == 1 {
            scene.retune(&home, &format!("0.0{}%", random.u8(1..9)));
        }
    }
    release.await_operators();
    scene.await_applied(&home);
    crowd.assert_settles(&[&scene.watch]);
    requests.extend(audit.of(&release.user()));
    assert_one_leads(&requests);
    feeder.stop();
    scene.assert_right();
}

/// What a leader may suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    CutOff,
    Frozen,
}

#[test]
fn whatever_befalls_a_leader_its_successor_goes_on_and_two_never_act_at_once() {
    let alone = Alone::new();
    let release = alone.shared();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "leader");
    let mut scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let feeder = scene.feed(Market::new(51, &["a", "b", "c", "d"]), 200);
    let (mut crowd, mut audit) = (Crowd::new(Broker::shared_for_pods(), &home, 51), Audit::begin(cluster));
    let mut random = fastrand::Rng::with_seed(51);
    let mut requests = Vec::new();
    for fault in (0..faults(1, 6)).flat_map(|_| [Fault::Killed, Fault::CutOff, Fault::Frozen]) {
        let leader = release.await_operators().swap_remove(0);
        let restarts = || release.operators().get(&leader.pod).map(|(_, restarts)| *restarts);
        let before = restarts();
        let strike = || match fault {
            Fault::Killed => {
                release.kill_pod(&leader);
                None
            }
            Fault::CutOff => Some(leader.cut_off(cluster)),
            Fault::Frozen => {
                leader.pause();
                None
            }
        };
        let (seen, cut) = amidst(&mut crowd, &mut audit, &release, random.usize(1..12), strike);
        requests.extend(seen);
        requests.extend(audit.await_of(&release.user(), &format!("a successor of {}", leader.pod), |seen| {
            seen.iter().any(|request| request.leases() && request.pod != leader.pod)
        }));
        if fault == Fault::Frozen {
            leader.resume();
        }
        scene.retune(&home, &format!("0.0{}%", random.u8(1..9)));
        scene.await_applied(&home);
        drop(cut);
        if fault != Fault::Killed {
            wait_for(60, "the former leader stands by", || {
                let leads = leader.http().metric("operator_leading", "");
                soon(leads == 0.0, leads)
            });
            assert_eq!(restarts(), before, "{fault:?}: in the same process");
            for known in ["stockwatches", "quotes", "queue_depth", "active"] {
                let told = leader.http().metric(&format!("operator_{known}"), "");
                assert_eq!(told, 0.0, "{fault:?}: {known} is the leader's to tell");
            }
        }
    }
    release.await_operators();
    crowd.assert_settles(&[&scene.watch]);
    requests.extend(audit.of(&release.user()));
    assert_one_leads(&requests);
    feeder.stop();
    scene.assert_right();
}
