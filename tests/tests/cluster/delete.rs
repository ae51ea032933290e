//! The end of a StockWatch: what goes with it, what stays, and what it waits for.

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Namespace, Release, Topic, Topics, Until, Watch, condition, soon, wait_for,
};

/// A StockWatch whose worker makes quotes up, with a deletion policy.
fn watch(broker: &Broker, home: &Namespace, name: &str, policy: Option<&str>) -> Watch {
    let mut watch = Watch::simulated(home.name(), name, broker.bootstrap());
    if let Some(policy) = policy {
        watch.kafka.insert("deletionPolicy".into(), json!(policy));
    }
    watch
}

/// Applies it and waits until its worker has committed something.
fn run(topics: &Topics, home: &Namespace, watch: &Watch) {
    home.apply(&watch.text()).unwrap();
    home.await_ready(&watch.name);
    wait_for(60, "quotes committed", || {
        let committed = topics.committed(&watch.group(), &watch.topic(Topic::Raw));
        soon(!committed.is_empty(), committed)
    });
}

fn finalizers(home: &Namespace, name: &str) -> Value {
    home.get(&format!("stockwatch/{name}"))["metadata"]["finalizers"].clone()
}

/// Which of its topics exist.
fn left(topics: &Topics, watch: &Watch) -> Vec<Topic> {
    Topic::ALL.into_iter().filter(|topic| topics.partitions(&watch.topic(*topic)) > 0).collect()
}

#[test]
fn the_policy_at_deletion_decides_over_what_was_created_and_what_was_found_stays() {
    let cluster = Cluster::shared();
    let _release = Release::shared();
    let home = Namespace::create(cluster, "delete");
    let topics = Topics::new(Broker::shared_for_pods().client());
    let [kept, gone, spared, doomed] =
        [("kept", None), ("gone", Some("Delete")), ("spared", Some("Delete")), ("doomed", Some("Retain"))]
            .map(|(name, policy)| watch(Broker::shared_for_pods(), &home, name, policy));
    topics.create(&gone.topic(Topic::Averages), 1, &[]);
    for watch in [&kept, &gone, &spared, &doomed] {
        run(&topics, &home, watch);
    }
    let ours = json!(["stockwatch.dev/topics"]);
    let expected =
        [("kept", Value::Null), ("gone", ours.clone()), ("spared", ours.clone()), ("doomed", Value::Null)];
    for (name, expected) in expected {
        assert_eq!(finalizers(&home, name), expected, "{name}");
    }
    let states = home.get("stockwatch/gone")["status"]["topics"].clone();
    for topic in states.as_array().unwrap() {
        let found = topic["name"] == json!(gone.topic(Topic::Averages));
        assert_eq!(topic["state"], if found { "Found" } else { "Created" }, "{topic}");
    }
    for (name, policy, expected) in [("spared", "Retain", Value::Null), ("doomed", "Delete", ours)] {
        home.patch(&format!("stockwatch/{name}"), &json!({"spec": {"kafka": {"deletionPolicy": policy}}}));
        wait_for(30, &format!("the finalizer of {name}"), || {
            let seen = finalizers(&home, name);
            soon(seen == expected, seen)
        });
    }

    home.kubectl(&["delete", "stockwatches", "--all", "--timeout=90s"]);
    wait_for(60, "owned objects collected", || {
        let seen = home.owned();
        soon(seen.is_empty(), seen)
    });
    for (watch, expected) in
        [(&kept, &Topic::ALL[..]), (&spared, &Topic::ALL), (&doomed, &[]), (&gone, &[Topic::Averages])]
    {
        wait_for(10, &format!("the topics of {}", watch.name), || {
            let seen = left(&topics, watch);
            soon(seen == expected, seen)
        });
        let group = topics.groups().contains(&watch.group());
        assert_eq!(group, expected.len() == Topic::ALL.len(), "the group of {}", watch.name);
    }
}

#[test]
fn a_deletion_waits_for_kafka_unless_it_is_told_not_to() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let broker = Broker::start_for_pods(cluster);
    let home = Namespace::create(cluster, "outage");
    let topics = Topics::new(broker.client());
    let all = ["waits", "skips", "retains"].map(|name| watch(&broker, &home, name, Some("Delete")));
    all.iter().for_each(|watch| run(&topics, &home, watch));
    broker.stop();
    home.kubectl(&["delete", "stockwatches", "--all", "--wait=false"]);
    for Watch { name, .. } in &all {
        wait_for(120, &format!("the operator says what the deletion of {name} waits for"), || {
            let (log, key) = (release.log(100_000), format!("{}/{name}", home.name()));
            let about: Vec<&str> = log.lines().filter(|line| line.contains(&key)).collect();
            soon(about.iter().any(|line| line.contains("waits for Kafka")), &about)
        });
    }
    for Watch { name, .. } in &all {
        let object = format!("stockwatch/{name}");
        home.wait(60, &object, &Until::because("Ready", "DeletionWaits"));
        let said = condition(&home.get(&object), "Ready")["message"].clone();
        let command = format!("kubectl annotate sw {name} -n {} stockwatch.dev/skip-kafka=", home.name());
        assert!(said.as_str().unwrap().ends_with(&command), "{said}");
        home.await_event(30, "DeletionWaits", name, |message| said == message);
    }
    assert!(home.pods("stockwatch.dev/name").is_empty(), "the workers go first");
    home.kubectl(&["annotate", "stockwatch/skips", "stockwatch.dev/skip-kafka="]);
    home.wait(30, "stockwatch/skips", &Until::gone());
    home.patch("stockwatch/retains", &json!({"spec": {"kafka": {"deletionPolicy": "Retain"}}}));
    home.wait(30, "stockwatch/retains", &Until::gone());
    assert_eq!(finalizers(&home, "waits"), json!(["stockwatch.dev/topics"]));

    broker.restart();
    home.wait(90, "stockwatch/waits", &Until::gone());
    let [waited, skipped, retained] = all.each_ref().map(|watch| left(&topics, watch));
    assert_eq!((waited, skipped, retained), (vec![], Topic::ALL.to_vec(), Topic::ALL.to_vec()));
}

#[test]
fn a_namespace_deleted_whole_ends_with_its_topics_though_its_secrets_go_first() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let home = Namespace::create(cluster, "whole");
    home.let_read_secrets(&release);
    home.log_in(&Broker::shared_for_pods().login());
    let topics = Topics::new(Broker::shared_for_pods().client());
    let mut watch = watch(Broker::shared_for_pods(), &home, "secured", Some("Delete"));
    watch.secure(&Broker::shared_for_pods().login());
    run(&topics, &home, &watch);
    cluster.kubectl(&["delete", "namespace", home.name(), "--timeout=120s"]);
    assert_eq!(left(&topics, &watch), []);
    assert!(!topics.groups().contains(&watch.group()));
}
