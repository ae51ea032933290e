//! SIGKILL at random points while quotes flow: the outputs are the oracle's all the same.

use stockwatch_tests::{Broker, Market, Scene, Ticker, Topic, Watch, Worker, soon, wait_for};

const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Waits until the steady feed has written so many more records: a length of time that quotes measure.
fn let_flow(scene: &Scene, records: i64) {
    let raw = scene.watch.topic(Topic::Raw);
    let written = || (0..3).map(|partition| scene.topics.end(&raw, partition)).sum::<i64>();
    let goal = written() + records;
    wait_for(60, "the feed", || soon(written() >= goal, written()));
}

fn scene(name: &str) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = vec![(1, "0".into()), (5, "0.05%".into()), (60, "0.1".into())];
    })
}

#[test]
fn twenty_kills_at_random_points_lose_nothing_and_write_nothing_twice() {
    let scene = scene("kills");
    let mut random = fastrand::Rng::with_seed(20);
    let feeder = scene.feed(Market::new(20, &ENTITIES), 300);
    for round in 0..20 {
        // Each start is a new process with a new id, as a pod's is; now and then the old id returns at once.
        let id = if round % 5 == 4 { "again".to_owned() } else { format!("w{round}") };
        let mut worker = scene.launch(&id).start();
        if random.u8(0..4) == 0 {
            let_flow(&scene, random.i64(1..400)); // perhaps while it starts or restores
        } else {
            worker.await_ready();
            let_flow(&scene, random.i64(1..600));
        }
        worker.kill();
    }
    assert!(scene.progress() > 0, "the kills left the workers no time to commit anything");
    feeder.stop();
    let _worker = scene.worker("last");
    scene.assert_right();
}

#[test]
fn two_workers_of_which_one_after_the_other_is_killed_lose_nothing() {
    let scene = scene("pairs");
    let mut random = fastrand::Rng::with_seed(21);
    let feeder = scene.feed(Market::new(21, &ENTITIES), 300);
    let mut stays = scene.worker("w0");
    for round in 1..=6 {
        let mut other = scene.launch(&format!("w{round}")).start();
        if random.bool() {
            other.await_ready();
        }
        let_flow(&scene, random.i64(1..600));
        if random.bool() {
            std::mem::swap(&mut stays, &mut other);
        }
        other.kill();
    }
    feeder.stop();
    scene.assert_right();
}

/// Freezes a worker in the first transaction of any partition with a backlog, and ends it there.
fn kill_in_first_transaction(scene: &Scene, worker: Worker) {
    let topic = scene.watch.topic(Topic::Deduplicated);
    wait_for(60, "a worker in its first transaction", || {
        worker.pause();
        // A transaction that is being committed is over by the last look.
        let open = (0..10).all(|_| scene.topics.has_open_transaction(&topic));
        if !open {
            worker.resume();
        }
        soon(open, "none open")
    });
    worker.kill();
}

#[test]
fn a_transaction_that_a_successor_leaves_open_at_its_first_quotes_is_ended_by_the_next() {
    let broker = Broker::start();
    let scene = Scene::new(&broker, "heirs", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = (1..=10).map(|i| (5 * i, "0".into())).collect();
    });
    let mut market = Market::new(22, &ENTITIES);
    scene.send_market(&mut market, 50);
    let first = scene.worker("first");
    scene.settle();
    first.kill();
    scene.send_market(&mut market, 2_000);
    // Its first quotes stay in flight for as long as it takes to find them there.
    broker.set_quota(Some(50_000));
    kill_in_first_transaction(&scene, scene.launch("second").start());
    broker.set_quota(None);
    let third = scene.worker("third");
    scene.assert_right();
    let log = third.log();
    let owner = format!("{}.second", scene.watch.group());
    let fenced = format!("aborting the transaction that a process left open owner={owner:?}");
    assert!(log.contains(&fenced), "{log}");
}

/// Other tickers, perhaps all, and other windows.
fn shuffle(watch: &mut Watch, random: &mut fastrand::Rng) {
    let tolerance = |random: &mut fastrand::Rng| ["0", "0.05%", "0.25", "1%"][random.usize(0..4)].to_owned();
    watch.tickers =
        ENTITIES.iter().filter(|_| random.u8(0..4) > 0).map(|entity| Ticker::of(entity)).collect();
    if watch.tickers.is_empty() || random.u8(0..4) == 0 {
        watch.tickers.push(Ticker::of("*"));
    }
    let lengths = [1, 2, 5, 10, 15, 30, 60, 120].into_iter().filter_map(|minutes| {
        let tolerance = tolerance(random);
        random.bool().then_some((minutes, tolerance))
    });
    watch.windows = lengths.collect();
    if watch.windows.is_empty() {
        watch.windows.push((5, "0".into()));
    }
}

/// Workers of one file killed, stopped and edited at random, while running and while down.
fn chaos(seed: u64) {
    let mut scene = scene(&format!("chaos-{seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let feeder = scene.feed(Market::new(seed, &ENTITIES), 300);
    for round in 0..10 {
        let mut worker = scene.launch(&format!("w{round}")).start();
        if random.u8(0..4) > 0 {
            worker.await_ready();
        }
        for _ in 0..random.u8(0..4) {
            scene.edit(|watch| shuffle(watch, &mut random));
            let_flow(&scene, random.i64(1..300));
        }
        let_flow(&scene, random.i64(1..300));
        if random.u8(0..3) == 0 {
            _ = worker.end()
        } else {
            worker.kill()
        }
        if random.bool() {
            scene.edit(|watch| shuffle(watch, &mut random));
        }
    }
    feeder.stop();
    let _worker = scene.worker("last");
    scene.assert_right();
}

#[test]
fn kills_stops_and_edits_at_random_points_give_what_the_oracle_says() {
    [31, 32].into_iter().for_each(chaos);
}
