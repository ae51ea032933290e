//! One partition that cannot be restored holds up no other, and readiness comes back with what it was about.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use stockwatch_tests::{Broker, Launch, Market, Scene, Topic, Watch, Worker, quote, soon, wait_for};

/// The partition that something is wrong with.
const BROKEN: i32 = 1;

/// A price that changes with every quote raises an alarm.
fn touchy(watch: &mut Watch) {
    watch.windows = vec![(5, "0".into())];
}

/// One more quote for each partition, at a later time.
fn send_round(scene: &Scene, round: u64) {
    for (partition, entity) in ["a", "b", "c"].into_iter().enumerate() {
        let price = format!("{}.5", 10 + round);
        scene.send_to(partition.try_into().unwrap(), &quote(entity, &price, Market::START + 60 * round));
    }
    scene.producer.flush();
}

/// A scene with some quotes in each partition, whose worker was stopped.
fn stopped(name: &str) -> Scene<'static> {
    let scene = Scene::new(Broker::shared(), name, touchy);
    let worker = scene.worker("w");
    for round in 0..5 {
        send_round(&scene, round);
    }
    scene.settle();
    worker.terminate();
    scene
}

fn alarms(scene: &Scene) -> Vec<usize> {
    scene.read(Topic::Alarms).iter().map(Vec::len).collect()
}

/// Starts a worker that cannot restore one partition: the alarms of the others go on, and readiness says `words`.
fn assert_others_go_on(scene: &Scene, words: &[&str]) -> Worker {
    let before = alarms(scene);
    let mut worker = scene.launch("w").start();
    send_round(scene, 5);
    wait_for(30, "alarms of the other partitions", || {
        let now = alarms(scene);
        soon(now[0] > before[0] && now[2] > before[2], (&before, &now))
    });
    let partition = format!("partition {BROKEN}:");
    worker.await_not_ready(&[&[partition.as_str()], words].concat());
    // They go on while the broken one is tried again.
    send_round(scene, 6);
    wait_for(30, "more alarms of the other partitions", || {
        let now = alarms(scene);
        soon(now[0] > before[0] + 1 && now[2] > before[2] + 1, (&before, &now))
    });
    assert_eq!(alarms(scene)[1], before[1], "nothing was computed on a state that is not known");
    assert!(worker.get("/readyz").unwrap().0 == 503);
    worker
}

#[test]
fn a_broker_that_has_lost_everything_is_read_again_from_its_first_record_on() {
    let broker = Broker::start();
    let scene = Scene::new(&broker, "emptied", touchy);
    let worker = scene.worker("w");
    send_round(&scene, 0);
    scene.settle();
    // Leaders' epochs go on with a restart, and begin anew with a topic.
    broker.stop();
    broker.restart();
    send_round(&scene, 1);
    scene.settle();
    worker.pause();
    broker.kill();
    broker.empty();
    broker.restart();
    let anew = Scene::new(&broker, "anew", |watch| *watch = scene.watch.clone());
    worker.resume();
    for round in 0..3 {
        send_round(&anew, round);
    }
    anew.settle();
    anew.assert_right();
}

/// The operator creates the topics once it has noticed: at that time the worker may have joined the group again already.
#[test]
fn topics_that_come_back_after_the_worker_has_joined_again_are_computed() {
    let broker = Broker::start();
    let scene = Scene::new(&broker, "too-early", touchy);
    let mut worker = scene.worker("w");
    send_round(&scene, 0);
    scene.settle();
    broker.kill();
    broker.empty();
    broker.restart();
    // Whichever of the two it notices first.
    wait_for(60, "it has found no topics", || {
        let (_, causes) = worker.get("/readyz")?;
        soon(causes.contains("missing topics") || worker.log().contains("Assign([])"), causes)
    });
    let anew = Scene::new(&broker, "anew", |watch| *watch = scene.watch.clone());
    for round in 0..3 {
        send_round(&anew, round);
    }
    anew.settle();
    anew.assert_right();
    worker.await_ready();
}

#[test]
fn an_unreadable_table_record_stops_its_partition_alone_until_it_is_replaced() {
    let scene = stopped("corrupt");
    let table = scene.watch.topic(Topic::Table);
    let put = |key: &str, value: Option<&str>| {
        scene.producer.send(&table, Some(BROKEN), Some(key.as_bytes()), value.map(str::as_bytes));
        scene.producer.flush();
    };
    let unknown = r#"{"stockwatch":"of-a-later-release"}"#;
    put(unknown, Some("{}"));
    let mut worker = assert_others_go_on(&scene, &[&table, "of-a-later-release", "tombstone"]);
    put(unknown, None);
    worker.await_ready();
    send_round(&scene, 7);
    scene.assert_right();
    worker.terminate();
}

#[test]
fn the_record_of_the_shapes_can_be_deleted_as_readiness_says_and_its_partition_begins_anew() {
    let scene = stopped("shapes");
    let table = scene.watch.topic(Topic::Table);
    let put = |value: Option<&str>| {
        let key = br#"{"stockwatch":"shape"}"#;
        scene.producer.send(&table, Some(BROKEN), Some(key), value.map(str::as_bytes));
        scene.producer.flush();
    };
    put(Some("{}"));
    let mut worker = assert_others_go_on(
        &scene,
        &[&table, "tombstone", "all averages and paper accounts of the partition"],
    );
    let before = alarms(&scene)[1];
    put(None);
    worker.await_ready();
    for round in 7..10 {
        send_round(&scene, round);
    }
    scene.settle();
    // Rounds 5 and 6 are in the log as well: of five quotes the first has nothing to be compared with.
    assert_eq!(alarms(&scene)[1], before + 4);
    worker.kill();
    let _worker = scene.worker("w");
    send_round(&scene, 10);
    scene.settle();
    assert_eq!(alarms(&scene)[1], before + 5, "its state is restored");
}

#[test]
fn an_unreadable_checkpoint_stops_its_partition_alone_until_it_is_written_again() {
    let scene = stopped("checkpoint");
    let table = scene.watch.topic(Topic::Table);
    let records = &scene.read(Topic::Table)[1];
    let good = records.iter().rfind(|record| record.key_text() == r#""b""#).unwrap().text();
    let put = |value: &str| {
        scene.producer.send(&table, Some(BROKEN), Some(br#""b""#), Some(value.as_bytes()));
        scene.producer.flush();
    };
    put(&good.replace("quotes", "quo"));
    let mut worker = assert_others_go_on(&scene, &[&table, r#"record "b""#, "tombstone"]);
    put(&good);
    worker.await_ready();
    send_round(&scene, 7);
    scene.assert_right();
    worker.terminate();
}

#[test]
fn a_raw_partition_that_lost_records_stops_alone_until_its_offset_is_set() {
    let scene = stopped("truncated");
    let raw = scene.watch.topic(Topic::Raw);
    let right = scene.committed()[&BROKEN].0;
    // As after an election of a leader that lacks the last records.
    commit(&scene, 1_000);
    let worker = assert_others_go_on(&scene, &[&raw, "not the one that was computed", "--reset-offsets"]);
    worker.terminate();
    commit(&scene, right);
    let worker = scene.worker("w");
    send_round(&scene, 7);
    scene.assert_right();
    worker.terminate();
}

/// Sets the group's offset of the broken partition, as `kafka-consumer-groups --reset-offsets` does.
fn commit(scene: &Scene, offset: i64) {
    let consumer: BaseConsumer = scene.broker.client().set("group.id", scene.watch.group()).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&scene.watch.topic(Topic::Raw), BROKEN, Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[test]
fn a_permission_that_was_missing_for_a_while_leaves_no_cause_behind() {
    let scene = Scene::new(Broker::shared(), "permission", |watch| {
        touchy(watch);
        watch.bootstrap = Broker::shared().login().bootstrap;
        watch.kafka.insert("tls".into(), json!({"caSecret": {"name": "ca", "key": "ca.crt"}}));
        watch.kafka.insert("sasl".into(), json!({"mechanism": "SCRAM-SHA-512", "secret": {"name": "login"}}));
    });
    let login = Broker::shared().login();
    let secrets = [
        ("ca/ca.crt", std::fs::read(&login.ca).unwrap()),
        ("login/username", login.user.into_bytes()),
        ("login/password", login.password.into_bytes()),
    ];
    for (file, content) in secrets {
        let path = scene.path("credentials").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut worker = Launch { credentials: Some(scene.path("credentials")), ..scene.launch("w") }.start();
    worker.await_ready();
    send_round(&scene, 0);
    scene.settle();
    let raw = scene.watch.topic(Topic::Raw);
    Broker::shared().deny_reading(&raw);
    worker.await_not_ready(&[&raw]);
    Broker::shared().allow_reading(&raw);
    worker.await_ready();
    send_round(&scene, 1);
    scene.assert_right();
    worker.terminate();
}
