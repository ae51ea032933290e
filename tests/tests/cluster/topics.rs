//! A StockWatch's topics in Kafka: grown, never shrunk, given to one StockWatch each, and left alone where they were
//! there before.

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Topics, Until, Watch, condition, soon,
    wait_for,
};

const PODS: &str = "stockwatch.dev/name=tech";

/// A patch of `spec.kafka.topics`.
pub(crate) fn topics(topics: Value) -> Value {
    json!({"spec": {"kafka": {"topics": topics}}})
}

/// What its status says of a topic.
fn said(home: &Namespace, scene: &Scene<'_>, topic: Topic) -> Value {
    let status = &home.get("stockwatch/tech")["status"];
    let name = scene.watch.topic(topic);
    let topics = status["topics"].as_array().unwrap();
    topics.iter().find(|said| said["name"] == name).unwrap_or_else(|| panic!("{name}: {status}")).clone()
}

pub(crate) fn await_applied(home: &Namespace, scene: &Scene<'_>) {
    home.wait(30, "stockwatch/tech", &Until::applied(scene.generation()));
}

#[test]
fn output_topics_grow_as_the_spec_says_while_the_worker_goes_on() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "grow");
    let mut scene = Scene::apply(Broker::shared_for_pods(), &home, "tech", |_| {});
    home.wait(120, "stockwatch/tech", &Until::ready());
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
    home.wait(30, "stockwatch/tech", &Until::ready());
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
fn a_topic_or_group_that_another_stockwatch_has_is_waited_for_without_a_worker() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "conflict");
    let (topic, group) = (format!("{}.shared", home.name()), format!("{}.everyone", home.name()));
    let share_topic = |watch: &mut Watch| _ = watch.topics.insert("averagesOutput", json!({"name": topic}));
    let share_group = |watch: &mut Watch| _ = watch.kafka.insert("groupId".into(), json!(group));
    let first = |watch: &mut Watch| {
        share_topic(watch);
        share_group(watch);
    };
    home.simulate("first", first);
    home.wait(120, "stockwatch/first", &Until::ready());
    home.simulate("second", share_topic);
    home.simulate("third", share_group);
    let reads = |watch: &mut Watch| {
        watch.source = json!({"external": {}});
        watch.topics.insert("rawInput", json!({"name": format!("{}.first.raw-input", home.name())}));
    };
    home.simulate("reader", reads);
    for (other, reason, name) in [("second", "TopicConflict", &topic), ("third", "GroupConflict", &group)] {
        let object = format!("stockwatch/{other}");
        home.wait(30, &object, &Until::because("Ready", reason));
        let said = condition(&home.get(&object), "TopicsReady").clone();
        let message = said["message"].as_str().unwrap();
        assert_eq!(said["reason"], reason);
        assert!(message.contains(name) && message.contains(&format!("{}/first", home.name())), "{message}");
    }
    home.wait(60, "stockwatch/reader", &Until::ready());
    let deployments = home.list("deployments", "");
    let names: Vec<&Value> = deployments.iter().map(|deployment| &deployment["metadata"]["name"]).collect();
    assert_eq!(names, ["first-stockwatch", "reader-stockwatch"], "a raw topic may be read by many");
    let owned = |name: &str| {
        let topics = home.get(&format!("stockwatch/{name}"))["status"]["topics"].clone();
        topics.as_array().map_or(0, Vec::len)
    };
    assert_eq!((owned("first"), owned("second"), owned("third")), (6, 0, 0), "the losers create nothing");

    let deletes = |watch: &mut Watch| {
        share_group(watch);
        watch.kafka.insert("deletionPolicy".into(), json!("Delete"));
    };
    home.simulate("fourth", deletes);
    home.wait(30, "stockwatch/fourth", &Until::because("Ready", "GroupConflict"));
    home.kubectl(&["delete", "stockwatch/fourth", "--timeout=30s"]);
    let groups = Topics::new(Broker::shared_for_pods().client()).groups();
    assert!(groups.contains(&group), "a loser's deletion takes nothing of the owner's: {groups:?}");

    home.kubectl(&["delete", "stockwatch/first"]);
    for other in ["stockwatch/second", "stockwatch/third"] {
        home.wait(60, other, &Until::ready());
    }
}

#[test]
fn of_two_that_want_one_topic_at_once_one_gets_it_and_the_other_follows() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "race");
    let topic = json!({"name": format!("{}.shared", home.name())});
    let both = ["left", "right"].map(|name| {
        let mut watch = Watch::simulated(home.name(), name, Broker::shared_for_pods().bootstrap());
        watch.topics.insert("deviationAlarm", topic.clone());
        watch.text()
    });
    home.apply(&both.join("---\n")).unwrap();
    let reasons = || {
        ["left", "right"].map(|name| {
            let watch = home.get(&format!("stockwatch/{name}"));
            condition(&watch, "Ready")["reason"].as_str().unwrap_or_default().to_owned()
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
    assert!(home.try_get(&format!("deployment/{loser}-stockwatch")).is_err());
    home.kubectl(&["delete", &format!("stockwatch/{winner}")]);
    home.wait(60, &format!("stockwatch/{loser}"), &Until::ready());
}

#[test]
fn a_topic_that_was_there_before_keeps_its_settings_but_those_that_the_spec_names_and_is_never_deleted() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "found");
    let kafka = Topics::new(Broker::shared_for_pods().client());
    let settings = [("retention.ms", "7200000"), ("max.message.bytes", "900000")];
    let scene = Scene::apply(Broker::shared_for_pods(), &home, "tech", |watch| {
        for topic in [Topic::Alarms, Topic::DeadLetter] {
            kafka.create(&watch.topic(topic), 3, &settings);
        }
        watch.topics.insert(Topic::Alarms.field(), json!({"config": {"retention.ms": "3600000"}}));
        watch.kafka.insert("deletionPolicy".into(), json!("Delete"));
    });
    home.wait(120, "stockwatch/tech", &Until::ready());
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

#[test]
fn a_storage_table_that_expires_is_named_with_the_cure_and_works_once_its_policy_is_altered() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "expires");
    let kafka = Topics::new(Broker::shared_for_pods().client());
    let scene = Scene::apply(Broker::shared_for_pods(), &home, "tech", |watch| {
        kafka.create(&watch.topic(Topic::Table), 3, &[("cleanup.policy", "compact,delete")]);
    });
    let table = scene.watch.topic(Topic::Table);
    home.wait(60, "stockwatch/tech", &Until::because("Ready", "TopicLosesState"));
    let said = condition(&home.get("stockwatch/tech"), "TopicsReady").clone();
    let message = said["message"].as_str().unwrap();
    let cure = format!("--alter --topic {table} --add-config cleanup.policy=compact");
    assert!(message.contains("cleanup.policy=compact,delete") && message.ends_with(&cure), "{message}");
    wait_for(60, "its worker refuses the table too", || {
        let pods = home.list("pods", PODS);
        let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"].as_bool();
        soon(pods.len() == 1 && ready(&pods[0]) == Some(false), pods)
    });
    scene.send_market(&mut Market::new(9, &["a", "b", "c"]), 300);
    kafka.set(&table, &[("cleanup.policy", "compact")]);
    home.wait(120, "stockwatch/tech", &Until::ready());
    scene.assert_right();
}
