//! The objects that the operator makes of a StockWatch: they come back, nobody else's are touched, and nothing is written
//! where nothing changed.

use serde_json::{Value, json};
use stockwatch_tests::{Cluster, Namespace, OWNED, Release, Until, condition, soon, wait_for};

/// What somebody said of an object: without what the API server and controllers say.
fn wishes(home: &Namespace, kind: &str, name: &str) -> Result<Value, String> {
    let mut object = home.try_get(&format!("{kind}/{name}-stockwatch"))?;
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
    home.get(object)["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[test]
fn what_somebody_changes_or_deletes_comes_back_and_what_is_not_ours_stays() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "objects");
    home.simulate("tech", |_| {});
    home.await_ready("tech");
    let workers = home.pods("stockwatch.dev/name=tech");
    let ours = OWNED.map(|kind| wishes(&home, kind, "tech").unwrap());
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
    for kind in OWNED {
        let object = format!("{kind}/tech-stockwatch");
        home.patch(&object, &note(theirs(kind)));
        let both = wishes(&home, kind, "tech").unwrap();
        home.patch(&object, &harm(kind));
        await_wishes(&home, kind, "tech", &both);
    }
    home.await_ready("tech");
    assert_eq!(home.pods("stockwatch.dev/name=tech"), workers, "no pod was replaced or restarted");

    for (kind, ours) in OWNED.iter().zip(&ours) {
        let object = format!("{kind}/tech-stockwatch");
        let before = uid(&home, &object);
        home.kubectl(&["delete", &object]);
        await_wishes(&home, kind, "tech", ours);
        assert_ne!(uid(&home, &object), before);
    }
    let edited =
        home.patch("stockwatch/tech", &json!({"spec": {"windows": [{"duration": "5m", "tolerance": "1%"}]}}));
    home.await_ready("tech");
    assert_eq!(home.get("stockwatch/tech")["status"]["appliedGeneration"], edited["metadata"]["generation"]);
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
    let objects = || OWNED.map(|kind| home.get(&format!("{kind}/{name}")));
    let before = objects();
    home.simulate("taken", |_| {});
    home.wait(30, "stockwatch/taken", &Until::because("Ready", "NameConflict"));
    let message = condition(&home.get("stockwatch/taken"), "Ready")["message"].clone();
    assert!(message.as_str().unwrap().contains(name), "it says which: {message}");
    home.kubectl(&["label", "stockwatch/taken", "look=again"]);
    home.simulate("free", |_| {});
    home.await_ready("free");
    assert_eq!(objects(), before);

    for kind in OWNED {
        home.kubectl(&["delete", kind, name]);
    }
    home.await_ready("taken");
}

#[test]
fn one_that_is_deleted_and_created_again_at_once_gets_objects_and_workers_of_its_own() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "again");
    home.simulate("tech", |_| {});
    home.await_ready("tech");
    let older = uid(&home, "stockwatch/tech");
    let workers = home.pods("stockwatch.dev/name=tech");
    home.kubectl(&["delete", "stockwatch/tech", "--wait=false"]);
    home.simulate("tech", |_| {});
    let newer = uid(&home, "stockwatch/tech");
    assert_ne!(newer, older);
    home.await_ready("tech");
    for kind in OWNED {
        let object = home.get(&format!("{kind}/tech-stockwatch"));
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], newer, "{kind}");
    }
    wait_for(60, "only pods of the newer one", || {
        let pods = home.pods("stockwatch.dev/name=tech");
        soon(pods.len() == 1 && pods.keys().all(|pod| !workers.contains_key(pod)), pods)
    });
    let status = &home.get("stockwatch/tech")["status"];
    assert_eq!((&status["appliedGeneration"], &status["readyReplicas"]), (&json!(1), &json!(1)));
}

#[test]
fn one_that_is_paused_is_left_alone_but_its_worker_follows_edits() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "paused");
    home.simulate("tech", |_| {});
    home.simulate("other", |_| {});
    home.await_ready("tech");
    home.await_ready("other");
    home.kubectl(&["annotate", "stockwatch/tech", "stockwatch.dev/paused=true"]);
    home.wait(30, "stockwatch/tech", &Until::because("Ready", "Paused"));
    for name in ["tech", "other"] {
        home.kubectl(&["delete", "service", &format!("{name}-stockwatch")]);
    }
    wait_for(30, "the other's Service is back", || home.try_get("service/other-stockwatch"));
    let windows = json!({"spec": {"windows": [{"duration": "5m", "tolerance": "1%"}]}});
    let edited = home.patch("stockwatch/tech", &windows)["metadata"]["generation"].as_u64().unwrap();
    wait_for(30, "its worker computes with the edit", || {
        let workers = home.endpoints("stockwatch.dev/name=tech");
        let applied: Vec<f64> = workers.values().map(|w| w.metric("applied_generation", "")).collect();
        soon(applied == [f64::from(u32::try_from(edited).unwrap())], applied)
    });
    let gone = home.try_get("service/tech-stockwatch").unwrap_err();
    assert!(gone.contains("not found"), "{gone}");

    home.kubectl(&["annotate", "stockwatch/tech", "stockwatch.dev/paused-"]);
    home.wait(60, "stockwatch/tech", &Until::applied(edited));
    home.await_ready("tech");
    home.get("service/tech-stockwatch");
}

#[test]
fn a_count_that_is_left_out_stays_out_and_belongs_to_who_sets_it() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "counted");
    home.simulate("tech", |_| {});
    home.await_ready("tech");
    assert_eq!(
        home.get("stockwatch/tech")["spec"].get("worker"),
        None,
        "nothing that a GitOps tool would see"
    );
    // As an autoscaler of the Deployment does it.
    home.kubectl(&["scale", "deployment/tech-stockwatch", "--replicas=2"]);
    home.wait(60, "stockwatch/tech", &Until::status("readyReplicas", 2));
    home.retune("tech", "0.3%");
    home.await_ready("tech");
    assert_eq!(home.get("deployment/tech-stockwatch")["spec"]["replicas"], json!(2));
    // From then on the StockWatch says it, and its scale subresource is there for an autoscaler.
    home.kubectl(&["scale", "stockwatch/tech", "--replicas=1"]);
    wait_for(60, "one worker", || {
        let count = home.get("deployment/tech-stockwatch")["spec"]["replicas"].clone();
        soon(count == json!(1), count)
    });
    let path = format!("/apis/stockwatch.dev/v1alpha1/namespaces/{}/stockwatches/tech/scale", home.name());
    let scale: Value = serde_json::from_str(&home.kubectl(&["get", "--raw", &path])).unwrap();
    assert_eq!(scale["spec"]["replicas"], json!(1));
}
