//! How long a dead worker and a dead leader are missed, until a refusal is said and is over, and until an edit is evaluated:
//! measured by `make test-faults`, on a machine that does nothing else.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant, SystemTime};

use rdkafka::producer::BaseRecord;
use stockwatch_tests::{
    Alone, Audit, Broker, Cluster, Container, Market, Namespace, Obstacle, Request, Scene, Ticker, Topic,
    Until, faults, quote, soon, wait_for,
};

/// Measures several times, prints the median and the worst, and panics where the median is over the bar, in seconds.
fn report(what: &str, bar: u64, mut measure: impl FnMut() -> Duration) {
    let mut all: Vec<Duration> = (0..faults(1, 5)).map(|_| measure()).collect();
    all.sort_unstable();
    let [median, worst] = [all[all.len() / 2], all[all.len() - 1]].map(|time| time.as_secs_f64());
    println!("{what}: median {median:.1} s, worst {worst:.1} s of {} (bar: {bar} s)", all.len());
    assert!(all[all.len() / 2] <= Duration::from_secs(bar), "{what}: {median:.1} s, the bar is {bar} s");
}

/// From now until every partition's quotes of after now are judged: outputs and offsets are committed together.
fn missed(scene: &Scene<'_>, strike: impl FnOnce()) -> Duration {
    let raw = scene.watch.topic(Topic::Raw);
    let ends: Vec<i64> =
        (0..scene.topics.partitions(&raw)).map(|partition| scene.topics.end(&raw, partition)).collect();
    let from = Instant::now();
    strike();
    wait_for(90, "quotes of after the fault judged", || {
        let committed = scene.committed();
        let past = |(partition, end): (i32, &i64)| committed.get(&partition).is_some_and(|(to, _)| to > end);
        soon((0..).zip(&ends).all(past), &committed)
    });
    from.elapsed()
}

#[test]
#[ignore = "a measurement: make test-faults"]
fn dead_workers() {
    let (alone, cluster, broker) = (Alone::new(), Cluster::shared(), Broker::shared_for_pods());
    let _release = alone.shared();
    let home = Namespace::create(cluster, "times");
    for replicas in [1, 2] {
        let mut scene = Scene::running(broker, &home, &format!("of-{replicas}"), replicas);
        scene.retune(&home, "0");
        scene.await_applied(&home);
        let feeder = scene.feed(Market::new(60, &["a", "b", "c", "d"]), 300);
        scene.await_progress(1_000);
        let victim = || home.containers(&scene.pods()).swap_remove(0);
        report(&format!("process of one of {replicas} workers killed, alarms again"), 15, || {
            let victim = victim();
            let time = missed(&scene, || victim.kill());
            scene.await_workers(&home, replicas);
            time
        });
        report(&format!("pod of one of {replicas} workers killed, alarms again"), 15, || {
            let victim = victim();
            let time = missed(&scene, || home.kill_pod(&victim));
            scene.await_workers(&home, replicas);
            time
        });
        feeder.stop();
        scene.assert_right();
        home.kubectl(&["delete", &scene.object()]);
    }
}

#[test]
#[ignore = "a measurement: make test-faults"]
fn dead_leaders() {
    let (alone, cluster) = (Alone::new(), Cluster::shared());
    let release = alone.shared();
    let mut audit = Audit::begin(cluster);
    let mut failover = |strike: &dyn Fn(&Container), same: bool| {
        let leader = release.await_operators().swap_remove(0);
        let from = Instant::now();
        strike(&leader);
        if same {
            // What it wrote just before.
            audit.of(&release.user());
        }
        let next = |request: &Request| request.leases() && (request.pod == leader.pod) == same;
        audit.await_of(&release.user(), "the next leader", |seen| seen.iter().any(next));
        from.elapsed()
    };
    report("leader's process killed, led again by the same pod", 15, || failover(&Container::kill, true));
    report("leader's pod killed, another leads", 15, || failover(&|leader| release.kill_pod(leader), false));
    report("leader's pod deleted in order, another leads", 2, || {
        failover(&|leader| release.delete_pod(leader), false)
    });
}

#[test]
#[ignore = "a measurement: make test-faults"]
fn refusals() {
    let (alone, cluster) = (Alone::new(), Cluster::shared());
    let _release = alone.shared();
    let mut mended = Vec::new();
    report("an object that a quota refuses, said", 5, || {
        let home = Namespace::create(cluster, "times");
        let obstacle = Obstacle::quota(&home, "count/services");
        let from = Instant::now();
        home.simulate("tech", |_| {});
        home.wait(60, "stockwatch/tech", &Until::because("Ready", "ObjectRefused"));
        let said = from.elapsed();
        let from = Instant::now();
        obstacle.lift();
        home.wait(120, "stockwatch/tech", &Until::ready());
        mended.push(from.elapsed());
        said
    });
    report("the quota gone, ready", 60, || mended.pop().unwrap());
}

const DAY_MINUTES: i64 = 24 * 60;

/// Writes a quote a minute of every ticker, each stamped with its own time, from a day ago until now.
fn write_day(scene: &Scene<'_>) {
    let raw = scene.watch.topic(Topic::Raw);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let mut random = fastrand::Rng::with_seed(1);
    let mut walks: Vec<_> =
        scene.watch.tickers.iter().map(|ticker| (ticker.symbol.clone(), 10_000)).collect();
    for minute in (0..DAY_MINUTES).rev() {
        let time = now - 60 * minute;
        for (symbol, cents) in &mut walks {
            *cents += random.i64(-50..=50);
            let quote = quote(symbol, &format!("{}.{:02}", *cents / 100, *cents % 100), time);
            let (key, value) = (quote.key.unwrap(), quote.value.unwrap());
            let record = BaseRecord::to(&raw).key(&key[..]).payload(&value[..]);
            scene.producer.send_record(record.timestamp(time * 1000));
        }
    }
    scene.producer.flush();
}

#[test]
#[ignore = "a measurement: make test-faults"]
fn evaluations() {
    let (alone, cluster, broker) = (Alone::new(), Cluster::shared(), Broker::shared_for_pods());
    let _release = alone.shared();
    let home = Namespace::create(cluster, "times");
    let mut scene = Scene::apply(broker, &home, "thousand", |watch| {
        watch.tickers = (0..1000).map(|n| Ticker::of(&format!("T{n}"))).collect();
    });
    scene.await_applied(&home);
    write_day(&scene);
    scene.settle();
    let mut tolerances = ["0.11%", "0.12%", "0.13%", "0.14%", "0.15%"].iter();
    report("an edit of 1,000 tickers over a day, status.lastEdit complete", 60, || {
        scene.retune(&home, tolerances.next().unwrap());
        let from = Instant::now();
        home.wait(120, &scene.object(), &Until::evaluated(scene.generation()));
        from.elapsed()
    });
    let edit = &home.get(&scene.object())["status"]["lastEdit"];
    assert_eq!(edit["hours"], 24, "{edit}");
}
