//! What the operator does not do: it writes nothing and calls nobody where nothing changed, or where that is in vain.

use std::collections::BTreeSet;

use serde_json::json;
use stockwatch_tests::{
    Alone, Audit, Broker, Cluster, Market, Namespace, OWNED, Release, Request, Scene, Topic, Until,
    condition, soon, wait_for,
};

use crate::topics::{await_applied, topics};

const PODS: &str = "stockwatch.dev/name=tech";

/// Calls of a kind to Kafka, over all operators.
fn calls(release: &Release, kind: &str) -> f64 {
    release.metric("kafka_calls", &format!("call=\"{kind}\""))
}

#[test]
fn operators_that_are_restarted_write_nothing_but_their_lease() {
    let alone = Alone::new();
    let (cluster, release) = (Cluster::shared(), alone.shared());
    let home = Namespace::create(cluster, "idle");
    home.simulate("plain", |_| {});
    home.simulate("resting", |_| {});
    home.patch("stockwatch/resting", &json!({"spec": {"suspend": true}}));
    home.await_ready("plain");
    home.await_ready("resting");
    home.kubectl(&["create", "configmap", "taken-stockwatch"]);
    home.simulate("taken", |_| {});
    home.simulate("waiting", |watch| watch.source = json!({"external": {}}));
    home.simulate("loser", |watch| {
        _ = watch.kafka.insert("groupId".into(), json!(format!("{}.plain", home.name())))
    });
    home.simulate("wrong", |watch| watch.tickers[0].name = Some("b".into()));
    for (name, reason) in [
        ("taken", "NameConflict"),
        ("waiting", "TopicMissing"),
        ("loser", "GroupConflict"),
        ("wrong", "DuplicateEntity"),
    ] {
        home.wait(60, &format!("stockwatch/{name}"), &Until::because("Ready", reason));
    }
    // What comes after the first word of trouble, or of rest, is said as well.
    home.wait(60, "stockwatch/taken", &Until::because("TopicsReady", "TopicsAsWanted"));
    home.wait(60, "stockwatch/resting", &Until::status("replicas", 0));
    await_quotes(&home);
    let versions = || -> BTreeSet<String> {
        let all = home.list("stockwatches", "");
        all.iter().map(|watch| watch["metadata"]["resourceVersion"].to_string()).collect()
    };
    let (before, mut audit) = (versions(), Audit::begin(cluster));

    let all = ["-n", release.namespace(), "delete", "pods", "-l", &release.pods()];
    cluster.kubectl(&all);
    let deployment = ["-n", release.namespace(), "rollout", "status", "deployment", "--timeout=60s"];
    cluster.kubectl(&deployment);
    wait_for(60, "the new leader has looked at everything", || {
        let looked = [
            release.metric("leading", ""),
            release.metric("kafka_calls", "call=\"look\""),
            release.metric("worker_requests", ""),
        ];
        soon(looked.iter().all(|count| *count >= 1.0) && release.metric("queue_depth", "") == 0.0, looked)
    });
    // It takes one after another: what is done for a new one is done after all that was to be done for the others.
    home.simulate("last", |_| {});
    home.await_ready("last");
    let operator = format!("system:serviceaccount:{}:stockwatch", release.namespace());
    let requests = audit.of(&operator);
    assert!(
        requests.iter().any(|request| request.resource == "leases"),
        "it is the operator that is looked at"
    );
    let here = requests.iter().filter(|request| request.namespace == home.name());
    let (last, others): (Vec<&Request>, Vec<&Request>) =
        here.partition(|request| request.name.starts_with("last"));
    assert!(!last.is_empty() && others.is_empty(), "{others:#?}");
    assert!(before.is_subset(&versions()), "{before:?}");
}

#[test]
fn a_partition_count_that_cannot_be_is_refused_without_a_call_and_the_worker_goes_on() {
    let alone = Alone::new();
    let release = alone.shared();
    let home = Namespace::create(Cluster::shared(), "shrink");
    let mut scene = Scene::apply(Broker::shared_for_pods(), &home, "tech", |_| {});
    home.wait(120, "stockwatch/tech", &Until::ready());
    let workers = home.pods(PODS);
    let feeder = scene.feed(Market::new(6, &["a", "b", "c"]), 300);
    let before = ["grow", "create", "alter"].map(|kind| calls(&release, kind));
    let mut tolerance = 4;
    for (field, topic, count) in [("averagesOutput", Topic::Averages, 2), ("rawInput", Topic::Raw, 5)] {
        let mut patch = topics(json!({field: {"partitions": count}}));
        tolerance -= 1;
        patch["spec"]["windows"] = json!([{"duration": "5m", "tolerance": format!("0.0{tolerance}%")}]);
        scene.applied_again(&home.patch("stockwatch/tech", &patch));
        let refused = &Until::because("Ready", "PartitionsImmutable");
        home.wait(30, "stockwatch/tech", refused);
        let said = condition(&home.get("stockwatch/tech"), "TopicsReady").clone();
        assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!("PartitionsImmutable")));
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(&format!("spec.kafka.topics.{field}.partitions")), "{message}");
        assert!(message.ends_with("ask for 3"), "it says what to write: {message}");
        await_applied(&home, &scene);
        assert_eq!(scene.topics.partitions(&scene.watch.topic(topic)), 3);

        scene.applied_again(&home.patch("stockwatch/tech", &topics(json!({field: {"partitions": 3}}))));
        home.wait(30, "stockwatch/tech", &Until::ready());
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
fn what_others_add_to_a_status_or_to_owned_objects_causes_no_writes() {
    let alone = Alone::new();
    let (cluster, release) = (Cluster::shared(), alone.shared());
    let home = Namespace::create(cluster, "foreign");
    let names = ["plain", "resting", "wrong"];
    home.simulate("plain", |_| {});
    home.simulate("resting", |_| {});
    home.patch("stockwatch/resting", &json!({"spec": {"suspend": true}}));
    home.simulate("wrong", |watch| watch.tickers[0].name = Some("b".into()));
    for name in ["plain", "resting"] {
        home.wait(120, &format!("stockwatch/{name}"), &Until::ready());
    }
    home.wait(60, "stockwatch/resting", &Until::status("replicas", 0));
    home.wait(60, "stockwatch/wrong", &Until::because("Ready", "DuplicateEntity"));
    await_quotes(&home);
    let mut audit = Audit::begin(cluster);

    let theirs = json!({
        "type": "Synced", "status": "True", "reason": "Applied", "message": "theirs",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    for name in names {
        let object = format!("stockwatch/{name}");
        let mut patch = vec![json!({"op": "add", "path": "/status/conditions/0", "value": theirs})];
        if name != "wrong" {
            let topic = json!({"name": "theirs", "state": "Found"});
            patch.push(json!({"op": "add", "path": "/status/topics/0", "value": topic}));
        }
        let patch = json!(patch).to_string();
        home.kubectl(&["patch", &object, "--subresource=status", "--type=json", "-p", &patch]);
    }
    for kind in OWNED {
        let all = ["-l", "stockwatch.dev/name"];
        home.kubectl(&[&["label", kind, "team=theirs"], &all[..]].concat());
        home.kubectl(&[&["annotate", kind, "example.com/note=theirs"], &all[..]].concat());
    }
    look_again(&home, &release, &names, 1..4);
    let operators = ["-n", release.namespace(), "delete", "pods", "-l", &release.pods()];
    cluster.kubectl(&operators);
    release.await_operators();
    look_again(&home, &release, &names, 4..7);
    // It takes one after another: what is done for a new one is done after all that was to be done for the others.
    home.simulate("last", |_| {});
    home.wait(120, "stockwatch/last", &Until::ready());
    let requests = audit.of(&release.user());
    let here = requests.iter().filter(|request| request.namespace == home.name());
    let (last, others): (Vec<&Request>, Vec<&Request>) = here.partition(|r| r.name.starts_with("last"));
    assert!(!last.is_empty() && others.is_empty(), "{others:#?}");
}

/// Waits until all is said of the quotes of the one that works and of the one that rests.
fn await_quotes(home: &Namespace) {
    home.wait(60, "stockwatch/plain", &Until::because("QuotesFlow", "Flowing"));
    home.wait(60, "stockwatch/resting", &Until::because("QuotesFlow", "NoReadyWorkers"));
}

/// Has the operators look at StockWatches, time and again.
fn look_again(home: &Namespace, release: &Release, names: &[&str], times: std::ops::Range<u32>) {
    for time in times {
        let before = release.metric("reconciles", "");
        for name in names {
            home.kubectl(&["label", "--overwrite", &format!("stockwatch/{name}"), &format!("look={time}")]);
        }
        wait_for(60, "they are looked at", || {
            let looked = release.metric("reconciles", "") - before;
            soon(looked >= f64::from(u32::try_from(names.len()).unwrap()), looked)
        });
    }
}
