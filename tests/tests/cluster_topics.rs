//! A StockWatch's topics in Kafka: grown, never shrunk, given to one StockWatch each, and left alone where they were
//! there before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{LazyLock, PoisonError, RwLock};

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Topics, Watch, soon, wait_for,
};

static BROKER: LazyLock<Broker> = LazyLock::new(|| Broker::start_for_pods(Cluster::shared()));

/// Taken whole by a test that counts the operators' calls.
static ALONE: RwLock<()> = RwLock::new(());

const PODS: &str = "stockwatch.dev/name=tech";

/// A patch of `spec.kafka.topics`.
fn topics(topics: Value) -> Value {
    json!({"spec": {"kafka": {"topics": topics}}})
}

/// What its status says of a topic.
fn said(home: &Namespace, scene: &Scene<'_>, topic: Topic) -> Value {
    let status = &home.get(&["stockwatch/tech"])["status"];
    let name = scene.watch.topic(topic);
    let topics = status["topics"].as_array().unwrap();
    topics.iter().find(|said| said["name"] == name).unwrap_or_else(|| panic!("{name}: {status}")).clone()
}

fn condition(home: &Namespace, stockwatch: &str, kind: &str) -> Value {
    let status = &home.get(&[stockwatch])["status"];
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|said| said["type"] == kind).unwrap_or_else(|| panic!("{kind}: {status}")).clone()
}

fn await_applied(home: &Namespace, scene: &Scene<'_>) {
    let applied = format!("jsonpath={{.status.appliedGeneration}}={}", scene.generation());
    home.wait(30, "stockwatch/tech", &applied);
}

/// One that makes its quotes up.
fn simulated(home: &Namespace, name: &str, change: impl FnOnce(&mut Watch)) -> String {
    let mut watch = Watch::new(name, BROKER.bootstrap());
    (watch.namespace, watch.uid, watch.generation) = (home.name().into(), String::new(), None);
    watch.source = json!({"simulated": {"interval": "1s", "seed": 1}});
    change(&mut watch);
    watch.text()
}

/// Calls of a kind to Kafka, over all operators.
fn calls(release: &Release, kind: &str) -> f64 {
    release.metric("kafka_calls", &format!("call=\"{kind}\""))
}

#[test]
fn output_topics_grow_as_the_spec_says_while_the_worker_goes_on() {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "grow");
    let mut scene = Scene::apply(&BROKER, &home, "tech", |_| {});
    home.wait(120, "stockwatch/tech", "condition=Ready");
    let workers = home.pods(PODS);
    let feeder = scene.feed(Market::new(5, &["a", "b", "c"]), 300);
    scene.await_committed(300);
    let more = json!({"averagesOutput": {"partitions": 6}, "deviationAlarm": {"partitions": 4}});
    scene.applied_again(&home.patch("stockwatch/tech", &topics(more)));
    for (topic, count) in [(Topic::Averages, 6), (Topic::Alarms, 4)] {
        scene.topics.await_partitions(&scene.watch.topic(topic), count);
        wait_for(30, "its status says so", || {
            let said = said(&home, &scene, topic);
            soon(said["partitions"] == count && said["state"] == "Created", said)
        });
    }
    home.wait(30, "stockwatch/tech", "condition=Ready");
    await_applied(&home, &scene);
    scene.await_committed(1_000);
    feeder.stop();
    scene.assert_right();
    for (topic, raw) in [(Topic::Averages, 3), (Topic::Alarms, 3)] {
        assert!(
            scene.read(topic)[raw..].iter().all(Vec::is_empty),
            "a record stays in its raw record's partition"
        );
    }
    assert_eq!(home.pods(PODS), workers, "no pod was replaced or restarted");
}

#[test]
fn a_partition_count_that_cannot_be_is_refused_without_a_call_and_the_worker_goes_on() {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "shrink");
    let mut scene = Scene::apply(&BROKER, &home, "tech", |_| {});
    home.wait(120, "stockwatch/tech", "condition=Ready");
    let workers = home.pods(PODS);
    let feeder = scene.feed(Market::new(6, &["a", "b", "c"]), 300);
    let before = ["grow", "create", "alter"].map(|kind| calls(&release, kind));
    let mut tolerance = 4;
    for (field, topic, count) in [("averagesOutput", Topic::Averages, 2), ("rawInput", Topic::Raw, 5)] {
        let mut patch = topics(json!({field: {"partitions": count}}));
        tolerance -= 1;
        patch["spec"]["windows"] = json!([{"duration": "5m", "tolerance": format!("0.0{tolerance}%")}]);
        scene.applied_again(&home.patch("stockwatch/tech", &patch));
        let refused = "jsonpath={.status.conditions[0].reason}=PartitionsImmutable";
        home.wait(30, "stockwatch/tech", refused);
        let said = condition(&home, "stockwatch/tech", "TopicsReady");
        assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!("PartitionsImmutable")));
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(&format!("spec.kafka.topics.{field}.partitions")), "{message}");
        assert!(message.ends_with("ask for 3"), "it says what to write: {message}");
        await_applied(&home, &scene);
        assert_eq!(scene.topics.partitions(&scene.watch.topic(topic)), 3);

        scene.applied_again(&home.patch("stockwatch/tech", &topics(json!({field: {"partitions": 3}}))));
        home.wait(30, "stockwatch/tech", "condition=Ready");
    }
    assert_eq!(
        ["grow", "create", "alter"].map(|kind| calls(&release, kind)),
        before,
        "Kafka was not asked to"
    );
    await_applied(&home, &scene);
    feeder.stop();
    scene.assert_right();
    assert_eq!(home.pods(PODS), workers, "no pod was replaced or restarted");
}

#[test]
fn a_topic_or_group_that_another_stockwatch_has_is_waited_for_without_a_worker() {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "conflict");
    let (topic, group) = (format!("{}.shared", home.name()), format!("{}.everyone", home.name()));
    let share_topic = |watch: &mut Watch| _ = watch.topics.insert("averagesOutput", json!({"name": topic}));
    let share_group = |watch: &mut Watch| _ = watch.kafka.insert("groupId".into(), json!(group));
    let first = |watch: &mut Watch| {
        share_topic(watch);
        share_group(watch);
    };
    home.apply(&simulated(&home, "first", first)).unwrap();
    home.wait(120, "stockwatch/first", "condition=Ready");
    home.apply(&simulated(&home, "second", share_topic)).unwrap();
    home.apply(&simulated(&home, "third", share_group)).unwrap();
    let reads = |watch: &mut Watch| {
        watch.source = json!({"external": {}});
        watch.topics.insert("rawInput", json!({"name": format!("{}.first.raw-input", home.name())}));
    };
    home.apply(&simulated(&home, "reader", reads)).unwrap();
    for (other, reason, name) in [("second", "TopicConflict", &topic), ("third", "GroupConflict", &group)] {
        let object = format!("stockwatch/{other}");
        home.wait(30, &object, &format!("jsonpath={{.status.conditions[0].reason}}={reason}"));
        let said = condition(&home, &object, "TopicsReady");
        let message = said["message"].as_str().unwrap();
        assert_eq!(said["reason"], reason);
        assert!(message.contains(name) && message.contains(&format!("{}/first", home.name())), "{message}");
    }
    home.wait(60, "stockwatch/reader", "condition=Ready");
    let deployments = home.kubectl(&["get", "deployments", "-o", "name"]);
    let expected = ["deployment.apps/first-stockwatch", "deployment.apps/reader-stockwatch"];
    assert_eq!(deployments.lines().collect::<Vec<_>>(), expected, "a raw topic may be read by many");
    let owned = |name: &str| {
        let topics = home.get(&[&format!("stockwatch/{name}")])["status"]["topics"].clone();
        topics.as_array().map_or(0, Vec::len)
    };
    assert_eq!((owned("first"), owned("second"), owned("third")), (6, 0, 0), "the losers create nothing");

    home.kubectl(&["delete", "stockwatch/first"]);
    for other in ["stockwatch/second", "stockwatch/third"] {
        home.wait(60, other, "condition=Ready");
    }
}

#[test]
fn of_two_that_want_one_topic_at_once_one_gets_it_and_the_other_follows() {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "race");
    let topic = json!({"name": format!("{}.shared", home.name())});
    let both = ["left", "right"]
        .map(|name| simulated(&home, name, |watch| _ = watch.topics.insert("deviationAlarm", topic.clone())));
    home.apply(&both.join("---\n")).unwrap();
    let reasons = || {
        ["left", "right"].map(|name| {
            let said = &home.get(&[&format!("stockwatch/{name}")])["status"]["conditions"][0]["reason"];
            said.as_str().unwrap_or_default().to_owned()
        })
    };
    let winner = wait_for(60, "one has it", || {
        let is = |reasons: &[String; 2], [a, b]: [&str; 2]| reasons[0] == a && reasons[1] == b;
        let reasons = reasons();
        let left = is(&reasons, ["Working", "TopicConflict"]).then_some("left");
        let right = is(&reasons, ["TopicConflict", "Working"]).then_some("right");
        left.or(right).ok_or_else(|| format!("{reasons:?}"))
    });
    let loser = if winner == "left" { "right" } else { "left" };
    assert!(home.try_kubectl(&["get", &format!("deployment/{loser}-stockwatch")]).is_err());
    home.kubectl(&["delete", &format!("stockwatch/{winner}")]);
    home.wait(60, &format!("stockwatch/{loser}"), "condition=Ready");
}

#[test]
fn a_topic_that_was_there_before_keeps_its_settings_but_those_that_the_spec_names_and_is_never_deleted() {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "found");
    let kafka = Topics::new(BROKER.client());
    let settings = [("retention.ms", "7200000"), ("max.message.bytes", "900000")];
    let scene = Scene::apply(&BROKER, &home, "tech", |watch| {
        for topic in [Topic::Alarms, Topic::DeadLetter] {
            kafka.create(&watch.topic(topic), 3, &settings);
        }
        watch.topics.insert(Topic::Alarms.field(), json!({"config": {"retention.ms": "3600000"}}));
        watch.kafka.insert("deletionPolicy".into(), json!("Delete"));
    });
    home.wait(120, "stockwatch/tech", "condition=Ready");
    for topic in Topic::ALL {
        let found = matches!(topic, Topic::Raw | Topic::Alarms | Topic::DeadLetter);
        let expected = if found { "Found" } else { "Created" };
        assert_eq!(said(&home, &scene, topic)["state"], expected, "{topic:?}");
    }
    let of = |topic| {
        let all = kafka.settings(&scene.watch.topic(topic));
        settings.map(|(key, _)| all[key].clone())
    };
    wait_for(30, "the setting that is named", || soon(of(Topic::Alarms)[0] == "3600000", of(Topic::Alarms)));
    assert_eq!(of(Topic::Alarms)[1], "900000", "an alteration leaves the others as they are");
    assert_eq!(of(Topic::DeadLetter), settings.map(|(_, value)| value));
    scene.send_market(&mut Market::new(7, &["a", "b", "c"]), 300);
    scene.assert_right();

    home.kubectl(&["delete", "stockwatch/tech", "--timeout=60s"]);
    for topic in Topic::ALL {
        let name = scene.watch.topic(topic);
        if matches!(topic, Topic::Raw | Topic::Alarms | Topic::DeadLetter) {
            assert_eq!(kafka.partitions(&name), 3, "{name} stays");
        } else {
            wait_for(30, "what was created goes", || soon(kafka.partitions(&name) == 0, &name));
        }
    }
    assert_eq!(of(Topic::DeadLetter), settings.map(|(_, value)| value));
}
