//! Committed offsets that are missing, out of the log's range, or of another topic of the same name.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use stockwatch_tests::{Broker, Market, Producer, Scene, Topic, Worker, quote};

/// A scene whose worker has computed some quotes and was stopped, by SIGTERM or SIGKILL.
fn stopped(name: &str, orderly: bool) -> (Scene<'static>, Market) {
    let scene =
        Scene::new(Broker::shared(), name, |watch| watch.windows = vec![(5, "0".into()), (60, "0.1".into())]);
    let mut market = Market::new(1, &["a", "b", "c"]);
    let worker = scene.worker("w");
    scene.send_market(&mut market, 600);
    scene.settle();
    if orderly {
        _ = worker.terminate()
    } else {
        worker.kill()
    }
    (scene, market)
}

/// Every after-dedup record once, by entity and time.
fn assert_no_quote_twice(scene: &Scene) {
    let mut seen = BTreeSet::new();
    for record in scene.read(Topic::Deduplicated).iter().flatten() {
        let value = record.json();
        let quote = (record.partition, value["entityname"].to_string(), value["lastupdatedate"].to_string());
        assert!(seen.insert(quote), "twice: {value}");
    }
}

#[test]
fn a_group_whose_offsets_expired_goes_on_where_it_was() {
    let (scene, mut market) = stopped("expired", true);
    scene.topics.delete_group(&scene.watch.group());
    assert!(scene.committed().is_empty());
    scene.send_market(&mut market, 300);
    let _worker = scene.worker("w");
    scene.send_market(&mut market, 300);
    scene.assert_right();
}

#[test]
fn a_partition_without_quotes_needs_no_offset() {
    let scene = Scene::new(Broker::shared(), "no-quotes", |_| {});
    scene.send_to(0, &quote("a", "1", Market::START));
    let worker = scene.worker("w");
    scene.settle();
    worker.terminate();
    scene.topics.delete_group(&scene.watch.group());
    let _worker = scene.worker("w");
    for partition in 0..3 {
        scene.send_to(partition, &quote("a", "2", Market::START + 1));
    }
    scene.assert_right();
}

/// After the raw log lost its first records: what is left is computed, and the gap is counted.
fn assert_goes_on(scene: &Scene, mut market: Market, worker: &Worker) {
    scene.send_market(&mut market, 300);
    scene.settle();
    assert_no_quote_twice(scene);
    let raw = scene.watch.topic(Topic::Raw);
    let after: usize = scene.read(Topic::Raw).iter().map(Vec::len).sum();
    assert!(after > 300, "{raw} still has records");
    assert!(worker.metric("restore_gap_records") > 0.0);
}

#[test]
fn an_offset_below_the_logs_start_goes_on_with_what_is_left() {
    let (scene, mut market) = stopped("trimmed", true);
    let raw = scene.watch.topic(Topic::Raw);
    scene.send_market(&mut market, 300);
    let before = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum::<usize>();
    let mut left = 0;
    for partition in 0..3 {
        let end = scene.topics.end(&raw, partition);
        if let Some((committed, _)) = scene.committed().get(&partition) {
            let start = (committed + 20).min(end);
            scene.topics.delete_records(&raw, partition, start);
            left += end - start;
        }
    }
    assert!(left > 0);
    let worker = scene.worker("w");
    assert_goes_on(&scene, market, &worker);
    let after = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum::<usize>();
    assert!(after > before + 100, "{before} quotes before, {after} after");
}

#[test]
fn a_log_trimmed_below_what_the_checkpoints_lack_goes_on_after_a_crash() {
    let (scene, mut market) = stopped("trimmed-state", false);
    let raw = scene.watch.topic(Topic::Raw);
    for (partition, (committed, _)) in scene.committed() {
        scene.topics.delete_records(&raw, partition, committed);
    }
    // What no checkpoint holds is lost with the log, known duplicates included: that is the gap's meaning.
    let worker = scene.worker("w");
    let before = scene.read(Topic::Averages).iter().map(Vec::len).sum::<usize>();
    scene.send_market(&mut market, 300);
    scene.settle();
    assert!(scene.read(Topic::Averages).iter().map(Vec::len).sum::<usize>() > before + 300);
    assert!(worker.metric("restore_gap_records") > 0.0);
    worker.terminate();
}

#[test]
fn a_raw_topic_created_anew_is_an_error_that_names_it_and_never_a_silent_restart() {
    // Kafka forgets the group's offsets with the topic: after a crash too the table must know.
    for (longer, orderly) in [(false, true), (true, true), (true, false)] {
        let (scene, _) = stopped(&format!("anew-{longer}-{orderly}"), orderly);
        let raw = scene.watch.topic(Topic::Raw);
        let before = scene.read(Topic::Averages).iter().map(Vec::len).sum::<usize>();
        scene.topics.delete(&raw);
        scene.create_topic(Topic::Raw, 3, &[]);
        // Shorter than the committed offsets, or longer with other records there.
        scene.send_market(&mut Market::new(2, &["a", "b", "c"]), if longer { 1_500 } else { 90 });
        let mut worker = scene.launch("w").start();
        worker.await_not_ready_or_exit(&[&raw]);
        drop(worker);
        let after = scene.read(Topic::Averages).iter().map(Vec::len).sum::<usize>();
        assert_eq!(before, after, "nothing was computed from the other topic");
    }
}

#[test]
fn a_raw_topic_created_anew_under_a_running_worker_is_an_error_that_names_it() {
    let scene = Scene::new(Broker::shared(), "anew-running", |_| {});
    let raw = scene.watch.topic(Topic::Raw);
    let mut worker = scene.worker("w");
    scene.send_market(&mut Market::new(1, &["a", "b", "c"]), 300);
    scene.assert_right();
    let before = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum::<usize>();
    scene.topics.delete(&raw);
    scene.create_topic(Topic::Raw, 3, &[]);
    // Other quotes of the same entities; the topic grows past the old offsets.
    let (topics, producer) = (&scene.topics, Producer::new(scene.broker.client()));
    let mut market = Market::new(2, &["a", "b", "c"]);
    for _ in 0..900 {
        let quote = market.next_raw();
        producer.send(&raw, None, quote.key.as_deref(), quote.value.as_deref());
    }
    producer.flush();
    assert!((0..3).any(|partition| topics.end(&raw, partition) > 300));
    worker.await_not_ready_or_exit(&[&raw, "not the one that was computed"]);
    let after = scene.read(Topic::Deduplicated).iter().map(Vec::len).sum::<usize>();
    assert_eq!(before, after, "nothing was computed from the other topic");
}

#[test]
fn a_log_trimmed_under_a_running_worker_that_is_behind_goes_on_with_what_is_left() {
    let scene = Scene::new(Broker::shared(), "trimmed-running", |_| {});
    let raw = scene.watch.topic(Topic::Raw);
    let mut worker = scene.worker("w");
    let mut time = Market::START;
    let mut send = |count| {
        for _ in 0..count {
            time += 1;
            scene.send_to(1, &quote("a", "1.5", time));
        }
        scene.producer.flush();
    };
    send(100);
    scene.settle();
    worker.pause();
    send(1); // answers the fetch that the frozen worker may have sent
    send(199);
    scene.topics.delete_records(&raw, 1, 250);
    worker.resume();
    scene.settle();
    send(100);
    scene.settle();
    worker.await_ready();
    assert_no_quote_twice(&scene);
    let consumed = worker.metric("quotes_consumed");
    assert!(
        [250.0, 251.0].contains(&consumed),
        "100, perhaps 1, the 50 left of 199, and 100, not {consumed}"
    );
}

#[test]
fn a_table_of_the_system_that_it_replaces_is_taken_over() {
    let scene = Scene::new(Broker::shared(), "old-table", |_| {});
    let table = scene.watch.topic(Topic::Table);
    let old = r#"{"entityname":"a","currentstockprice":1.5,"lastupdatedate":1699999999,"isduplicate":false}"#;
    for (partition, key) in [(0, "\"a\""), (1, "a"), (2, "{}")] {
        scene.producer.send(&table, Some(partition), Some(key.as_bytes()), Some(old.as_bytes()));
    }
    scene.producer.flush();
    let mut market = Market::new(3, &["a", "b", "c"]);
    for round in 0..2 {
        let worker = scene.worker("w");
        scene.send_market(&mut market, 100 + round);
        scene.assert_right();
        worker.terminate();
    }
}

#[test]
fn a_group_reset_by_hand_begins_there_and_writes_no_quote_twice() {
    let (scene, mut market) = stopped("reset", true);
    let raw = scene.watch.topic(Topic::Raw);
    // As `kafka-consumer-groups --reset-offsets --to-earliest` does.
    let consumer: BaseConsumer = scene.broker.client().set("group.id", scene.watch.group()).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..3 {
        list.add_partition_offset(&raw, partition, Offset::Offset(0)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let _worker = scene.worker("w");
    scene.send_market(&mut market, 300);
    scene.settle();
    assert_no_quote_twice(&scene);
}
