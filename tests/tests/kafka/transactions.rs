//! Every way in which a transaction fails without a crash, also with an edit between the attempts.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};
use stockwatch_tests::{
    Broker, Market, Raw, Scene, Ticker, Topic, Watch, Worker, outage, quote, soon, wait_for,
};

const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Quotes a second of which no outage makes a backlog. For that a worker exchanges its producers, with the same ids:
/// it would fence whoever took them, and never hear of it.
const CALM: u32 = 20;

fn listed(watch: &mut Watch) {
    watch.tickers = ENTITIES[..4].iter().map(|entity| Ticker::of(entity)).collect();
    watch.windows = vec![(5, "0".into()), (15, "0.05%".into())];
}

/// A change of windows and tickers.
fn other(watch: &mut Watch) {
    watch.tickers = ENTITIES[1..].iter().map(|entity| Ticker::of(entity)).collect();
    watch.windows = vec![(5, "0.1".into()), (10, "0".into()), (30, "0.05%".into())];
}

/// What befalls the broker of two workers for 15 s, with an edit of one in the middle; at last the outputs are right.
fn outlive(name: &str, broker: &Broker, fall: fn(&Broker), rise: fn(&Broker)) {
    let mut scenes = [(false, "plain"), (true, "edited")].map(|(edited, kind)| {
        let scene = Scene::new(broker, &format!("{name}-{kind}"), listed);
        let (worker, feeder) = (scene.worker("w"), scene.feed(Market::new(7, &ENTITIES), 500));
        scene.await_committed(500);
        (scene, worker, feeder, edited)
    });
    fall(broker);
    outage(8);
    scenes.iter_mut().filter(|scene| scene.3).for_each(|scene| scene.0.edit(other));
    outage(7);
    rise(broker);
    for (scene, mut worker, feeder, edited) in scenes {
        worker.await_ready();
        scene.await_progress(1_000);
        if edited {
            worker.await_applied(2);
            scene.await_progress(500);
        }
        feeder.stop();
        assert!(worker.metric("restores") > 3.0, "the outage cost the state of three partitions");
        scene.assert_right();
        worker.terminate();
    }
}

#[test]
fn a_broker_killed_stopped_or_frozen_for_fifteen_seconds_and_an_edit_meanwhile_cost_nothing() {
    let broker = Broker::start();
    outlive("killed", &broker, Broker::kill, Broker::restart);
    outlive("stopped", &broker, Broker::stop, Broker::restart);
    outlive("frozen", &broker, Broker::pause, Broker::resume);
}

/// Freezes a worker in the middle of a transaction, or between two.
fn pause_while(scene: &Scene, worker: &Worker, open: bool) {
    let output = scene.watch.topic(Topic::Deduplicated);
    wait_for(60, "a worker frozen at the moment that is wanted", || {
        worker.pause();
        // A transaction that is being committed is over by the last look.
        if (0..10).all(|_| scene.topics.has_open_transaction(&output) == open) {
            return Ok(());
        }
        worker.resume();
        Err(format!("a transaction was open: {}", !open))
    });
}

/// A worker frozen for so long, alone or beside another, then let go on.
fn thaws(name: &str, seconds: u64, beside: bool, edited: bool) {
    let mut scene = Scene::new(Broker::shared(), name, listed);
    let mut worker = scene.worker("w");
    let feeder = scene.feed(Market::new(8, &ENTITIES), 1_000);
    scene.await_committed(1_000);
    pause_while(&scene, &worker, true);
    let second = beside.then(|| scene.worker("second"));
    outage(seconds);
    if edited {
        scene.edit(other);
    }
    worker.resume();
    worker.await_ready();
    scene.await_progress(2_000);
    if edited {
        let workers = [Some(&worker), second.as_ref()];
        workers.into_iter().flatten().for_each(|worker| worker.await_applied(2));
        scene.await_progress(500);
    }
    feeder.stop();
    assert!(worker.metric("transactions_aborted") > 0.0, "the frozen worker lost a transaction");
    scene.assert_right();
    assert!(worker.runs(), "being timed out does not end a worker");
}

#[test]
fn a_transaction_timed_out_by_the_coordinator_is_repeated() {
    thaws("timeout", 25, false, false);
}

#[test]
fn a_transaction_timed_out_by_the_coordinator_is_repeated_with_an_edit_between() {
    thaws("timeout-edit", 25, false, true);
}

#[test]
fn partitions_lost_to_another_worker_are_left_to_it() {
    thaws("lost", 9, true, false);
}

#[test]
fn partitions_lost_to_another_worker_are_left_to_it_with_an_edit_between() {
    thaws("lost-edit", 22, true, true);
}

/// Initialises the worker's transactional id as a second process of the same identity would.
fn usurp(scene: &Scene, transactional_id: &str) {
    let mut config = scene.broker.client();
    config.set("transactional.id", transactional_id);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
}

/// The same with both ids of worker `w`, as a peer does that took it for dead; it loses a transaction by that.
fn fence(scene: &Scene, worker: &Worker) {
    let aborted = worker.metric("transactions_aborted");
    (0..2).for_each(|producer| usurp(scene, &format!("{}.w.{producer}", scene.watch.group())));
    worker.await_metric("transactions_aborted", "", aborted + 1.0);
}

#[test]
fn a_fenced_worker_exits_naming_its_id_and_started_again_all_is_right() {
    for (producer, edited) in [(0, false), (1, true)] {
        let mut scene = Scene::new(Broker::shared(), &format!("fenced-{producer}"), listed);
        let mut worker = scene.worker("twin");
        let feeder = scene.feed(Market::new(9, &ENTITIES), CALM);
        scene.await_committed(10);
        let id = format!("{}.twin.{producer}", scene.watch.group());
        // Its twin comes again and again: a worker that the machine held up may have been taken for dead.
        wait_for(60, "one that is fenced gives up", || {
            usurp(&scene, &id);
            soon(!worker.runs(), "it runs")
        });
        let status = worker.await_exit();
        assert_eq!(status.code(), Some(1), "{}", worker.log());
        assert!(worker.log().contains(&format!("{}.twin", scene.watch.group())), "{}", worker.log());
        if edited {
            scene.edit(other);
        }
        let _again = scene.worker("twin");
        scene.await_progress(20);
        feeder.stop();
        scene.assert_right();
    }
}

#[test]
fn a_worker_that_is_fenced_after_an_outage_was_taken_for_dead_and_goes_on() {
    let broker = Broker::start();
    let scene = Scene::new(&broker, "taken-for-dead", listed);
    let mut worker = scene.worker("w");
    let feeder = scene.feed(Market::new(11, &ENTITIES), CALM);
    scene.await_committed(10);
    broker.kill();
    let ended = "the session with the brokers ended";
    wait_for(60, ended, || soon(worker.log().contains(ended), worker.log()));
    broker.restart();
    worker.await_ready();
    scene.await_progress(10);
    fence(&scene, &worker);
    scene.await_progress(20);
    feeder.stop();
    scene.assert_right();
    assert!(worker.runs(), "{}", worker.log());
}

/// A worker that was frozen, alone, until the group gave it up; then a peer that took it for dead comes late.
fn is_fenced_late(name: &str, amidst: bool) {
    let scene = Scene::new(Broker::shared(), name, listed);
    let mut worker = scene.worker("w");
    let feeder = scene.feed(Market::new(12, &ENTITIES), 500);
    scene.await_committed(500);
    pause_while(&scene, &worker, amidst);
    feeder.stop();
    outage(25);
    let feeder = scene.feed(Market::new(13, &ENTITIES), CALM);
    worker.resume();
    worker.await_ready();
    scene.await_progress(10);
    fence(&scene, &worker);
    scene.await_progress(20);
    feeder.stop();
    scene.assert_right();
    assert!(worker.runs(), "{}", worker.log());
}

#[test]
fn a_worker_that_is_fenced_again_after_its_transaction_timed_out_goes_on() {
    is_fenced_late("late-amidst", true);
}

#[test]
fn a_worker_that_is_fenced_after_it_stood_still_between_two_transactions_goes_on() {
    is_fenced_late("late-between", false);
}

#[test]
fn two_workers_of_one_id_do_not_both_go_on() {
    let scene = Scene::new(Broker::shared(), "same-id", listed);
    let feeder = scene.feed(Market::new(10, &ENTITIES), 500);
    let mut workers = [scene.worker("same"), scene.launch("same").start()];
    wait_for(60, "one of the two gives up", || {
        soon(workers.iter_mut().any(|worker| !worker.runs()), "both run")
    });
    scene.await_progress(500);
    feeder.stop();
    scene.assert_right();
}

#[test]
fn what_an_aborted_transaction_counted_counts_once() {
    let scene = Scene::new(Broker::shared(), "counts", |watch| watch.windows = vec![(5, "0".into())]);
    let worker = scene.worker("w");
    let dead = scene.watch.topic(Topic::DeadLetter);
    scene.topics.set(&dead, &[("max.message.bytes", "2000")]);
    // They are one transaction, which fails once: the dead-letter topic takes less than it did.
    worker.pause();
    scene.send_to(0, &Raw { key: None, value: Some(vec![b'x'; 10_000]) });
    for i in 0..40 {
        scene.send_to(0, &quote("a", if i % 2 == 0 { "1" } else { "2" }, Market::START + i));
    }
    scene.flush();
    worker.resume();
    scene.settle();
    assert!(worker.metric("transactions_aborted") > 0.0);
    let count = |topic| scene.read(topic).iter().map(Vec::len).sum::<usize>();
    for (metric, expected) in [
        ("quotes_consumed", 41),
        ("quotes_accepted", count(Topic::Deduplicated)),
        ("averages", count(Topic::Averages)),
        ("alarms", count(Topic::Alarms)),
        ("dead_letters", count(Topic::DeadLetter)),
    ] {
        worker.await_metric(metric, "", expected as f64);
        assert_eq!(worker.metric(metric), expected as f64, "{metric}");
    }
    assert_eq!((count(Topic::Alarms), count(Topic::DeadLetter)), (39, 1));
}
