//! With the chart's roles alone: what the operator and a worker may do, and what they may not.

use serde_json::{Value, json};
use stockwatch_tests::{Broker, Cluster, Listed, Namespace, Release, Until};

use super::only;

/// `examples/first.yaml` under another name, on this test's broker.
fn first(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut first: Value = serde_yaml::from_str(include_str!("../../../../examples/first.yaml")).unwrap();
    first["metadata"]["name"] = json!(name);
    first["spec"]["kafka"]["bootstrapServers"] = json!(Broker::shared_for_pods().bootstrap());
    change(&mut first);
    serde_yaml::to_string(&first).unwrap()
}

/// Panics unless the account may do all of `may` and nothing of `may_not`: questions of `kubectl auth can-i`.
fn assert_rights(account: &str, namespace: &str, may: &[&str], may_not: &[&str]) {
    for (questions, expected) in [(may, true), (may_not, false)] {
        for question in questions {
            let words: Vec<&str> = question.split(' ').chain(["-n", namespace]).collect();
            assert_eq!(
                Cluster::shared().can(account, &words),
                expected,
                "{account} in {namespace}: {question}"
            );
        }
    }
}

#[test]
fn a_worker_reads_its_own_stockwatch_alone_and_the_operator_keeps_to_its_namespaces() {
    let listed = Listed::new();
    let cluster = listed.cluster();
    let system = Namespace::create(cluster, "system");
    let home = Namespace::create(cluster, "home");
    let other = Namespace::create(cluster, "other");
    let secrets = format!("secrets.namespaces={{{}}}", home.name());
    let _release = Release::install(cluster, system.name(), "stockwatch", &[&only(&home), &secrets]);
    home.apply(&first("mine", |_| {})).unwrap();
    home.apply(&first("yours", |watch| watch["spec"]["suspend"] = json!(true))).unwrap();
    other.apply(&first("stranger", |_| {})).unwrap();
    home.wait(120, "stockwatch/mine", &Until::ready());
    home.wait(60, "stockwatch/yours", &Until::ready());

    let worker = format!("{}:mine-stockwatch", home.name());
    let own = "stockwatches.stockwatch.dev/mine";
    let may = ["get", "list", "watch"].map(|verb| format!("{verb} {own}"));
    assert_rights(
        &worker,
        home.name(),
        &may.each_ref().map(String::as_str),
        &[
            "get stockwatches.stockwatch.dev/yours",
            "list stockwatches.stockwatch.dev",
            "patch stockwatches.stockwatch.dev/mine",
            "update stockwatches.stockwatch.dev/mine --subresource=status",
            "get secrets",
            "get configmaps",
            "get pods",
            "create events.events.k8s.io",
        ],
    );
    assert_rights(&worker, other.name(), &[], &["get stockwatches.stockwatch.dev/mine"]);

    let operator = format!("{}:stockwatch", system.name());
    assert_rights(
        &operator,
        home.name(),
        &["patch stockwatches.stockwatch.dev", "create deployments.apps", "get secrets/kafka"],
        &[
            "create stockwatches.stockwatch.dev",
            "list secrets",
            "create pods",
            "delete pods",
            "create pods --subresource=exec",
        ],
    );
    assert_rights(
        &operator,
        other.name(),
        &[],
        &["get stockwatches.stockwatch.dev", "get secrets", "get pods"],
    );
    assert_rights(&operator, system.name(), &["get leases/stockwatch"], &["get leases/other", "get secrets"]);

    let stranger = other.get("stockwatch/stranger");
    assert!(
        stranger["status"]["conditions"].is_null(),
        "a namespace that is not listed is not looked after: {stranger}"
    );
}
