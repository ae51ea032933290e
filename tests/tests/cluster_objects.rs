//! The objects that the operator makes of a StockWatch: they come back, nobody else's are touched, and nothing is written
//! where nothing changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::LazyLock;

use serde_json::{Value, json};
use stockwatch_tests::{Audit, Broker, Cluster, Namespace, Release, Request, Watch, soon, wait_for};

static BROKER: LazyLock<Broker> = LazyLock::new(|| Broker::start_for_pods(Cluster::shared()));

/// The Deployment last: its pods use all the others.
const KINDS: [&str; 7] =
    ["configmap", "serviceaccount", "role", "rolebinding", "service", "poddisruptionbudget", "deployment"];

/// Made-up quotes, once a second.
fn apply(home: &Namespace, name: &str, change: impl FnOnce(&mut Watch)) {
    let mut watch = Watch::new(name, BROKER.bootstrap());
    (watch.namespace, watch.uid, watch.generation) = (home.name().into(), String::new(), None);
    watch.source = json!({"simulated": {"interval": "1s", "seed": 1}});
    change(&mut watch);
    home.apply(&watch.text()).unwrap();
}

fn ready(home: &Namespace, name: &str) {
    home.wait(120, &format!("stockwatch/{name}"), "condition=Ready");
}

/// What somebody said of an object: without what the API server and controllers say.
fn wishes(home: &Namespace, kind: &str, name: &str) -> Result<Value, String> {
    let text = home.try_kubectl(&["get", kind, &format!("{name}-stockwatch"), "-o", "json"])?;
    let mut object: Value = serde_json::from_str(&text).unwrap();
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| ["labels", "annotations", "ownerReferences"].contains(&key.as_str()));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !key.starts_with("deployment.kubernetes.io/"));
    }
    Ok(object)
}

fn await_wishes(home: &Namespace, kind: &str, name: &str, expected: &Value) {
    wait_for(30, &format!("{kind} {name} as it was"), || {
        let is = wishes(home, kind, name)?;
        if is == *expected { Ok(()) } else { Err(format!("{is:#}\ninstead of {expected:#}")) }
    });
}

fn uid(home: &Namespace, object: &str) -> String {
    home.get(&[object])["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[test]
fn what_somebody_changes_or_deletes_comes_back_and_what_is_not_ours_stays() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "objects");
    apply(&home, "tech", |_| {});
    ready(&home, "tech");
    let workers = home.pods("stockwatch.dev/name=tech");
    let ours = KINDS.map(|kind| wishes(&home, kind, "tech").unwrap());
    let note = |more: Value| {
        let mut patch =
            json!({"metadata": {"labels": {"team": "mine"}, "annotations": {"example.com/note": "mine"}}});
        patch.as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
        patch
    };
    let theirs = |kind: &str| match kind {
        "configmap" => json!({"data": {"mine": "stays"}}),
        "serviceaccount" => json!({"imagePullSecrets": [{"name": "mine"}]}),
        "service" => json!({"spec": {"publishNotReadyAddresses": true}}),
        "deployment" => json!({"spec": {"minReadySeconds": 1}}),
        _ => json!({}),
    };
    let harm = |kind: &str| match kind {
        "configmap" => json!({"data": {"stockwatch.json": "{}"}}),
        "serviceaccount" => json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}),
        "role" => json!({"rules": []}),
        "rolebinding" => json!({"subjects": []}),
        "service" => json!({"spec": {"selector": {"stockwatch.dev/name": "other"}}}),
        "poddisruptionbudget" => json!({"spec": {"maxUnavailable": "50%"}}),
        _ => json!({"spec": {"progressDeadlineSeconds": 999}}),
    };
    for kind in KINDS {
        let object = format!("{kind}/tech-stockwatch");
        home.patch(&object, &note(theirs(kind)));
        let both = wishes(&home, kind, "tech").unwrap();
        home.patch(&object, &harm(kind));
        await_wishes(&home, kind, "tech", &both);
    }
    ready(&home, "tech");
    assert_eq!(home.pods("stockwatch.dev/name=tech"), workers, "no pod was replaced or restarted");

    for (kind, ours) in KINDS.iter().zip(&ours) {
        let object = format!("{kind}/tech-stockwatch");
        let before = uid(&home, &object);
        home.kubectl(&["delete", &object]);
        await_wishes(&home, kind, "tech", ours);
        assert_ne!(uid(&home, &object), before);
    }
    let edited =
        home.patch("stockwatch/tech", &json!({"spec": {"windows": [{"duration": "5m", "tolerance": "1%"}]}}));
    ready(&home, "tech");
    assert_eq!(
        home.get(&["stockwatch/tech"])["status"]["appliedGeneration"],
        edited["metadata"]["generation"]
    );
}

#[test]
fn an_object_of_somebody_else_is_never_touched_and_waited_for() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "foreign");
    let name = "taken-stockwatch";
    for create in [
        vec!["configmap", name, "--from-literal=stockwatch.json=mine"],
        vec!["serviceaccount", name],
        vec!["role", name, "--verb=get", "--resource=pods"],
        vec!["rolebinding", name, "--role=other", "--user=somebody"],
        vec!["service", "clusterip", name, "--tcp=80"],
        vec!["poddisruptionbudget", name, "--selector=a=b", "--min-available=1"],
        vec!["deployment", name, "--image=mine", "--replicas=0"],
    ] {
        home.kubectl(&[&["create"], &*create].concat());
    }
    home.kubectl(&["rollout", "status", "deployment", name]);
    let objects = || KINDS.map(|kind| home.get(&[kind, name]));
    let before = objects();
    apply(&home, "taken", |_| {});
    home.wait(30, "stockwatch/taken", "jsonpath={.status.conditions[0].reason}=NameConflict");
    let message = home.get(&["stockwatch/taken"])["status"]["conditions"][0]["message"].clone();
    assert!(message.as_str().unwrap().contains(name), "it says which: {message}");
    home.kubectl(&["label", "stockwatch/taken", "look=again"]);
    apply(&home, "free", |_| {});
    ready(&home, "free");
    assert_eq!(objects(), before);

    for kind in KINDS {
        home.kubectl(&["delete", kind, name]);
    }
    ready(&home, "taken");
}

#[test]
fn one_that_is_deleted_and_created_again_at_once_gets_objects_and_workers_of_its_own() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "again");
    apply(&home, "tech", |_| {});
    ready(&home, "tech");
    let older = uid(&home, "stockwatch/tech");
    let workers = home.pods("stockwatch.dev/name=tech");
    home.kubectl(&["delete", "stockwatch/tech", "--wait=false"]);
    apply(&home, "tech", |_| {});
    let newer = uid(&home, "stockwatch/tech");
    assert_ne!(newer, older);
    ready(&home, "tech");
    for kind in KINDS {
        let object = home.get(&[kind, "tech-stockwatch"]);
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], newer, "{kind}");
    }
    wait_for(60, "only pods of the newer one", || {
        let pods = home.pods("stockwatch.dev/name=tech");
        soon(pods.len() == 1 && pods.keys().all(|pod| !workers.contains_key(pod)), pods)
    });
    let status = &home.get(&["stockwatch/tech"])["status"];
    assert_eq!((&status["appliedGeneration"], &status["readyReplicas"]), (&json!(1), &json!(1)));
}

#[test]
fn operators_that_are_restarted_write_nothing_but_their_lease() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let home = Namespace::create(cluster, "idle");
    apply(&home, "plain", |_| {});
    apply(&home, "resting", |_| {});
    home.patch("stockwatch/resting", &json!({"spec": {"suspend": true}}));
    ready(&home, "plain");
    ready(&home, "resting");
    home.kubectl(&["create", "configmap", "taken-stockwatch"]);
    apply(&home, "taken", |_| {});
    apply(&home, "waiting", |watch| watch.source = json!({"external": {}}));
    apply(&home, "loser", |watch| {
        _ = watch.kafka.insert("groupId".into(), json!(format!("{}.plain", home.name())))
    });
    apply(&home, "wrong", |watch| watch.tickers[0].name = Some("b".into()));
    for (name, reason) in [
        ("taken", "NameConflict"),
        ("waiting", "TopicMissing"),
        ("loser", "GroupConflict"),
        ("wrong", "DuplicateEntity"),
    ] {
        let said = format!("jsonpath={{.status.conditions[0].reason}}={reason}");
        home.wait(60, &format!("stockwatch/{name}"), &said);
    }
    // What comes after the first word of trouble, or of rest, is said as well.
    home.wait(60, "stockwatch/taken", "jsonpath={.status.conditions[1].reason}=TopicsAsWanted");
    home.wait(60, "stockwatch/resting", "jsonpath={.status.replicas}=0");
    let versions =
        || home.kubectl(&["get", "stockwatches", "-o", "jsonpath={.items[*].metadata.resourceVersion}"]);
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
    apply(&home, "last", |_| {});
    ready(&home, "last");
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
    let after = versions();
    assert!(before.split(' ').all(|version| after.contains(version)), "{before} are among {after}");
}

#[test]
fn one_that_is_paused_is_left_alone_but_its_worker_follows_edits() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "paused");
    apply(&home, "tech", |_| {});
    apply(&home, "other", |_| {});
    ready(&home, "tech");
    ready(&home, "other");
    home.kubectl(&["annotate", "stockwatch/tech", "stockwatch.dev/paused=true"]);
    home.wait(30, "stockwatch/tech", "jsonpath={.status.conditions[0].reason}=Paused");
    for name in ["tech", "other"] {
        home.kubectl(&["delete", "service", &format!("{name}-stockwatch")]);
    }
    wait_for(30, "the other's Service is back", || home.try_kubectl(&["get", "service/other-stockwatch"]));
    let windows = json!({"spec": {"windows": [{"duration": "5m", "tolerance": "1%"}]}});
    let edited = home.patch("stockwatch/tech", &windows)["metadata"]["generation"].as_u64().unwrap();
    wait_for(30, "its worker computes with the edit", || {
        let workers = home.endpoints("stockwatch.dev/name=tech");
        let applied: Vec<f64> = workers.values().map(|w| w.metric("applied_generation", "")).collect();
        soon(applied == [f64::from(u32::try_from(edited).unwrap())], applied)
    });
    let gone = home.try_kubectl(&["get", "service/tech-stockwatch"]).unwrap_err();
    assert!(gone.contains("NotFound"), "{gone}");

    home.kubectl(&["annotate", "stockwatch/tech", "stockwatch.dev/paused-"]);
    home.wait(60, "stockwatch/tech", &format!("jsonpath={{.status.appliedGeneration}}={edited}"));
    ready(&home, "tech");
    home.kubectl(&["get", "service/tech-stockwatch"]);
}
