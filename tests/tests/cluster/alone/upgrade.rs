//! What changes around StockWatches that run: the definition, the operator's release, the worker's image, and Kafka.

use serde_json::{Value, json};
use stockwatch_tests::{Alone, Broker, Copied, Namespace, Release, Until, soon, wait_for};

/// The chart's value with which a release looks after one namespace alone.
fn only(home: &Namespace) -> String {
    format!("namespaces={{{}}}", home.name())
}

/// The chart as an older version may have been: its definition has no `spec.suspend`, and shows no brokers.
fn older_chart() -> Copied {
    Copied::with("files/stockwatch.yaml", |definition| {
        let version = &mut definition["spec"]["versions"][0];
        version["additionalPrinterColumns"]
            .as_array_mut()
            .unwrap()
            .retain(|column| column["name"] != "Brokers");
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        spec.as_object_mut().unwrap().remove("suspend").unwrap();
    })
}

#[test]
fn an_upgrade_brings_the_new_definition_a_rollback_the_older_one_and_both_leave_stockwatches_and_workers() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "home"));
    let older = older_chart();
    let release = Release::install_chart(older.path(), cluster, system.name(), "stockwatch", &[&only(&home)]);
    home.simulate("live", |_| {});
    home.wait(120, "stockwatch/live", &Until::ready());
    // The last that is said of it, soon after Ready.
    home.wait(60, "stockwatch/live", &Until::because("QuotesFlow", "Flowing"));
    let (pods, before) = (home.pods("stockwatch.dev/name=live"), home.get("stockwatch/live"));
    assert!(!home.kubectl(&["get", "sw", "-o", "wide"]).contains("BROKERS"));
    let suspend = json!({"spec": {"suspend": true}});
    assert_eq!(home.patch("stockwatch/live", &suspend)["spec"]["suspend"], Value::Null, "not known yet");

    // Another operator comes with it: the API server shows objects by the old definition to watches that began under it.
    release.upgrade(&[&only(&home), "podAnnotations.upgraded=yes"]);
    let table = home.kubectl(&["get", "sw", "-o", "wide"]);
    assert!(table.contains("BROKERS") && table.contains(Broker::shared_for_pods().bootstrap()), "{table}");
    let after = home.get("stockwatch/live");
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);

    release.rollback();
    assert!(!home.kubectl(&["get", "sw", "-o", "wide"]).contains("BROKERS"), "the older definition");
    home.wait(60, "stockwatch/live", &home.retune("live", "0.2%"));
    home.wait(60, "stockwatch/live", &Until::ready());
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);

    release.upgrade(&[&only(&home), "podAnnotations.upgraded=again"]);
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);
    home.patch("stockwatch/live", &suspend);
    home.wait(60, "stockwatch/live", &Until::because("Ready", "Suspended"));
}

#[test]
fn a_release_of_another_name_and_namespace_takes_over_what_an_uninstalled_one_left() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let (first, second) = (Namespace::create(cluster, "first"), Namespace::create(cluster, "second"));
    let home = Namespace::create(cluster, "home");
    let release = Release::install(cluster, first.name(), "stockwatch", &[&only(&home)]);
    home.simulate("live", |_| {});
    home.wait(120, "stockwatch/live", &Until::ready());
    let pods = home.pods("stockwatch.dev/name=live");
    release.uninstall();
    let applied = home.retune("live", "0.2%");

    let _release = Release::install(cluster, second.name(), "another", &[&only(&home)]);
    home.wait(60, "stockwatch/live", &applied);
    home.wait(60, "stockwatch/live", &Until::ready());
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);
}

/// The Deployments' image tags, but that of StockWatch `beside`, and how many of those with the tag `of` are not through
/// with their rollout.
fn images(home: &Namespace, of: &str, beside: &str) -> (Vec<String>, usize) {
    let mut deployments = home.list("deployments", "stockwatch.dev/name");
    deployments.retain(|deployment| deployment["metadata"]["labels"]["stockwatch.dev/name"] != beside);
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
    let alone = Alone::new();
    let cluster = alone.without_release();
    cluster.load_worker("next");
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "many"));
    let release = Release::install(cluster, system.name(), "stockwatch", &[&only(&home)]);
    let names: Vec<String> = (0..12).map(|i| format!("live-{i:02}")).collect();
    names.iter().for_each(|name| home.simulate(name, |_| {}));
    names.iter().for_each(|name| home.wait(180, &format!("stockwatch/{name}"), &Until::ready()));
    let before = home.pods("stockwatch.dev/name");
    assert_eq!(before.len(), 12);

    release.upgrade(&[&only(&home), "worker.image.tag=not-there"]);
    let with_it = || images(&home, "", "").0.iter().filter(|tag| *tag == "not-there").count();
    wait_for(60, "ten with an image that is not there", || soon(with_it() == 10, with_it()));
    let applied: Vec<Until> = names.iter().map(|name| home.retune(name, "0.2%")).collect();
    for (name, applied) in names.iter().zip(&applied) {
        // The old workers go on, and every StockWatch was looked at once more.
        home.wait(60, &format!("stockwatch/{name}"), applied);
    }
    assert_eq!(with_it(), 10);
    let after = home.pods("stockwatch.dev/name");
    assert!(before.iter().all(|(name, pod)| after.get(name) == Some(pod)), "{before:?} {after:?}");

    // A stop and a pinned image of one that waits are not kept waiting by the upgrade that does not work.
    let waiting = names.iter().filter(|name| {
        let image = home.get(&format!("deployment/{name}-stockwatch"));
        !image.to_string().contains("not-there")
    });
    let waiting: Vec<&String> = waiting.collect();
    home.patch(&format!("stockwatch/{}", waiting[0]), &json!({"spec": {"suspend": true}}));
    home.wait(60, &format!("stockwatch/{}", waiting[0]), &Until::because("Ready", "Suspended"));
    home.patch(&format!("stockwatch/{}", waiting[0]), &json!({"spec": {"suspend": false}}));

    release.upgrade(&[&only(&home), "worker.image.tag=next"]);
    wait_for(240, "all with the next image", || {
        // The one that was stopped replaces no pod: it starts beside those whose turn it is.
        let (tags, rolling) = images(&home, "next", waiting[0]);
        assert!(rolling <= 10, "{rolling} at once");
        soon(rolling == 0 && tags.iter().all(|tag| tag == "next"), (tags, rolling))
    });
    names.iter().for_each(|name| home.wait(60, &format!("stockwatch/{name}"), &Until::ready()));
}
