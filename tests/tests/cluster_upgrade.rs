//! What changes around StockWatches that run: the definition, the operator's release, the worker's image, and Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, CHART, Cluster, Market, Namespace, Release, Scene, Watch, soon, turn, wait_for,
};

static BROKER: LazyLock<Broker> = LazyLock::new(|| Broker::start_for_pods(Cluster::shared()));

/// The chart's value with which a release looks after one namespace alone.
fn only(home: &Namespace) -> String {
    format!("namespaces={{{}}}", home.name())
}

/// Applies a StockWatch whose worker makes quotes up.
fn simulated(home: &Namespace, name: &str, bootstrap: &str) {
    let mut watch = Watch::new(name, bootstrap);
    (watch.namespace, watch.uid, watch.generation) = (home.name().into(), String::new(), None);
    watch.source = json!({"simulated": {}});
    home.apply(&watch.text()).unwrap();
}

/// Another tolerance, and the status that says that the workers judge by it.
fn retune(home: &Namespace, name: &str, tolerance: &str) -> String {
    let windows = json!({"spec": {"windows": [{"duration": "5m", "tolerance": tolerance}]}});
    let generation = home.patch(&format!("stockwatch/{name}"), &windows)["metadata"]["generation"].clone();
    format!("jsonpath={{.status.appliedGeneration}}={generation}")
}

/// The chart as an older version may have been: its definition has no `spec.suspend`, and shows no brokers.
fn older_chart() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["-r", &format!("{CHART}/.")]).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let file = dir.path().join("files/stockwatch.yaml");
    let mut definition: Value = serde_yaml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let version = &mut definition["spec"]["versions"][0];
    version["additionalPrinterColumns"].as_array_mut().unwrap().retain(|column| column["name"] != "Brokers");
    let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    spec.as_object_mut().unwrap().remove("suspend").unwrap();
    std::fs::write(file, serde_yaml::to_string(&definition).unwrap()).unwrap();
    dir
}

#[test]
fn an_upgrade_brings_the_new_definition_and_leaves_stockwatches_and_workers_as_they_are() {
    let _turn = turn();
    let cluster = Cluster::shared();
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "home"));
    let older = older_chart();
    let release = Release::install_chart(older.path(), cluster, system.name(), "stockwatch", &[&only(&home)]);
    simulated(&home, "live", BROKER.bootstrap());
    home.wait(120, "stockwatch/live", "condition=Ready");
    let (pods, before) = (home.pods("stockwatch.dev/name=live"), home.get(&["stockwatch", "live"]));
    assert!(!home.kubectl(&["get", "sw", "-o", "wide"]).contains("BROKERS"));
    let suspend = json!({"spec": {"suspend": true}});
    assert_eq!(home.patch("stockwatch/live", &suspend)["spec"]["suspend"], Value::Null, "not known yet");

    // Another operator comes with it: the API server shows objects by the old definition to watches that began under it.
    release.upgrade(&[&only(&home), "podAnnotations.upgraded=yes"]);
    let table = home.kubectl(&["get", "sw", "-o", "wide"]);
    assert!(table.contains("BROKERS") && table.contains(BROKER.bootstrap()), "{table}");
    let after = home.get(&["stockwatch", "live"]);
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);
    home.patch("stockwatch/live", &suspend);
    home.wait(60, "stockwatch/live", "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=Suspended");
}

#[test]
fn a_release_of_another_name_and_namespace_takes_over_what_an_uninstalled_one_left() {
    let _turn = turn();
    let cluster = Cluster::shared();
    let (first, second) = (Namespace::create(cluster, "first"), Namespace::create(cluster, "second"));
    let home = Namespace::create(cluster, "home");
    let release = Release::install(cluster, first.name(), "stockwatch", &[&only(&home)]);
    simulated(&home, "live", BROKER.bootstrap());
    home.wait(120, "stockwatch/live", "condition=Ready");
    let pods = home.pods("stockwatch.dev/name=live");
    release.uninstall();
    let applied = retune(&home, "live", "0.2%");

    let _release = Release::install(cluster, second.name(), "another", &[&only(&home)]);
    home.wait(60, "stockwatch/live", &applied);
    home.wait(60, "stockwatch/live", "condition=Ready");
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);
}

/// The Deployments' image tags, and how many of those with the tag `of` are not through with their rollout.
fn images(home: &Namespace, of: &str) -> (Vec<String>, usize) {
    let deployments = home.get(&["deployments", "-l", "stockwatch.dev/name"]);
    let deployments = deployments["items"].as_array().unwrap();
    let tag = |deployment: &Value| {
        let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
        image.rsplit(':').next().unwrap().to_owned()
    };
    let complete = |deployment: &Value| {
        let status = &deployment["status"];
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && ["replicas", "updatedReplicas", "readyReplicas"].iter().all(|count| status[count] == json!(1))
    };
    let rolling = deployments.iter().filter(|deployment| tag(deployment) == of && !complete(deployment));
    (deployments.iter().map(tag).collect(), rolling.count())
}

#[test]
fn another_default_image_rolls_at_most_ten_stockwatches_at_once_and_all_in_the_end() {
    let _turn = turn();
    let cluster = Cluster::shared();
    cluster.load_worker("next");
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "many"));
    let release = Release::install(cluster, system.name(), "stockwatch", &[&only(&home)]);
    let names: Vec<String> = (0..12).map(|i| format!("live-{i:02}")).collect();
    names.iter().for_each(|name| simulated(&home, name, BROKER.bootstrap()));
    names.iter().for_each(|name| home.wait(180, &format!("stockwatch/{name}"), "condition=Ready"));
    let before = home.pods("stockwatch.dev/name");
    assert_eq!(before.len(), 12);

    release.upgrade(&[&only(&home), "worker.image.tag=not-there"]);
    let with_it = || images(&home, "").0.iter().filter(|tag| *tag == "not-there").count();
    wait_for(60, "ten with an image that is not there", || soon(with_it() == 10, with_it()));
    let applied: Vec<String> = names.iter().map(|name| retune(&home, name, "0.2%")).collect();
    for (name, applied) in names.iter().zip(&applied) {
        // The old workers go on, and every StockWatch was looked at once more.
        home.wait(60, &format!("stockwatch/{name}"), applied);
    }
    assert_eq!(with_it(), 10);
    let after = home.pods("stockwatch.dev/name");
    assert!(before.iter().all(|(name, pod)| after.get(name) == Some(pod)), "{before:?} {after:?}");

    release.upgrade(&[&only(&home), "worker.image.tag=next"]);
    wait_for(240, "all with the next image", || {
        let (tags, rolling) = images(&home, "next");
        assert!(rolling <= 10, "{rolling} at once");
        soon(rolling == 0 && tags.iter().all(|tag| tag == "next"), (tags, rolling))
    });
    names.iter().for_each(|name| home.wait(60, &format!("stockwatch/{name}"), "condition=Ready"));
}

#[test]
fn workers_go_on_where_they_are_when_the_addresses_are_changed_to_another_cluster() {
    let _turn = turn();
    let cluster = Cluster::shared();
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "home"));
    let _release = Release::install(cluster, system.name(), "stockwatch", &[&only(&home)]);
    let other = Broker::start_for_pods(cluster);
    let mut scene = Scene::apply(&BROKER, &home, "moved", |_| {});
    home.wait(120, "stockwatch/moved", "condition=Ready");
    let pods = home.pods("stockwatch.dev/name=moved");
    let mut market = Market::new(12, &["a", "b", "c"]);
    scene.send_market(&mut market, 100);

    let to = |bootstrap: &str| json!({"spec": {"kafka": {"bootstrapServers": bootstrap}}});
    scene.applied_again(&home.patch("stockwatch/moved", &to(other.bootstrap())));
    let reason = "jsonpath={.status.conditions[?(@.type==\"TopicsReady\")].reason}=ClusterChanged";
    home.wait(60, "stockwatch/moved", reason);
    scene.send_market(&mut market, 100);
    scene.settle();
    assert_eq!(home.pods("stockwatch.dev/name=moved"), pods);

    scene.applied_again(&home.patch("stockwatch/moved", &to(BROKER.bootstrap())));
    home.wait(60, "stockwatch/moved", "condition=Ready");
    scene.send_market(&mut market, 100);
    scene.assert_right();
    assert_eq!(home.pods("stockwatch.dev/name=moved"), pods, "no pod was replaced or restarted");
}

#[test]
fn stockwatches_on_brokers_that_do_not_answer_hold_up_no_other_one() {
    let _turn = turn();
    let cluster = Cluster::shared();
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "home"));
    let _release = Release::install(cluster, system.name(), "stockwatch", &[&only(&home)]);
    let frozen = Broker::start_for_pods(cluster);
    frozen.pause();
    simulated(&home, "frozen", frozen.bootstrap());
    simulated(&home, "refused", &format!("{}:1", Cluster::HOST));
    simulated(&home, "healthy", BROKER.bootstrap());
    home.wait(60, "stockwatch/healthy", "condition=Ready");
    for dead in ["frozen", "refused"] {
        let reason = "jsonpath={.status.conditions[?(@.type==\"TopicsReady\")].reason}=KafkaUnreachable";
        home.wait(60, &format!("stockwatch/{dead}"), reason);
    }
    let applied = retune(&home, "healthy", "0.2%");
    home.wait(10, "stockwatch/healthy", &applied);
    frozen.resume();
    home.wait(90, "stockwatch/frozen", "condition=Ready");
}
