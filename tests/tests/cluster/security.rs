//! Passwords and certificates from Secrets: which ones may be used, and how a new one reaches the workers.

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, condition, soon, wait_for,
};

/// The message of the condition `Ready`, awaited with a reason.
fn message(home: &Namespace, object: &str, reason: &str) -> String {
    message_of(home, object, "Ready", reason)
}

/// The message of a condition, awaited with a reason.
fn message_of(home: &Namespace, object: &str, kind: &'static str, reason: &str) -> String {
    home.wait(60, object, &Until::because(kind, reason));
    condition(&home.get(object), kind)["message"].as_str().unwrap().to_owned()
}

/// Runs the command that a message ends with.
fn heed(cluster: &Cluster, message: &str) {
    let advice = message.split_once("kubectl ").unwrap_or_else(|| panic!("no command in: {message}")).1;
    cluster.kubectl(&advice.split(' ').collect::<Vec<_>>());
}

/// What a message has between two of its words.
fn between<'a>(message: &'a str, before: &str, after: &str) -> &'a str {
    let found = message.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("no {before} … {after} in: {message}")).0
}

#[test]
fn a_new_password_and_a_new_authority_roll_the_workers_without_a_lost_or_double_alarm() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let broker = Broker::start_for_pods(cluster);
    let home = Namespace::create(cluster, "rotated");
    home.let_read_secrets(&release);
    home.log_in(&broker.login());
    let mut scene = Scene::apply(&broker, &home, "secured", |watch| watch.secure(&broker.login()));
    scene.scale(&home, 2);
    home.wait(120, "stockwatch/secured", &Until::status("readyReplicas", 2));
    home.wait(60, "stockwatch/secured", &Until::ready());
    let before = home.pods("stockwatch.dev/name=secured");
    let feeder = scene.feed(Market::new(7, &["a", "b", "c"]), 200);
    scene.await_committed(200);

    broker.set_password("rotated");
    let authorities = std::fs::read_to_string(broker.login().ca).unwrap()
        + &std::fs::read_to_string(broker.login().client_certificate).unwrap();
    home.secret("ca", &[("ca.crt", &authorities)], true);
    home.secret("login", &[("username", &broker.login().user), ("password", "rotated")], true);
    wait_for(150, "other workers, and none of the old ones", || {
        let now = home.pods("stockwatch.dev/name=secured");
        let rolled = now.len() == 2 && now.keys().all(|pod| !before.contains_key(pod));
        soon(rolled, now)
    });
    home.wait(60, "stockwatch/secured", &Until::status("readyReplicas", 2));
    home.wait(60, "stockwatch/secured", &Until::ready());
    let rolled = home.pods("stockwatch.dev/name=secured");
    scene.await_progress(200);
    feeder.stop();
    scene.assert_right();
    assert!(scene.read(Topic::Alarms).iter().flatten().count() > 0);
    assert_eq!(home.pods("stockwatch.dev/name=secured"), rolled, "they log in with the new password");
    assert!(rolled.values().all(|(_, restarts)| *restarts == 0), "{rolled:?}");
}

#[test]
fn a_secret_is_used_only_where_its_namespace_and_its_label_allow_it() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let broker = Broker::start_for_pods(cluster);
    let home = Namespace::create(cluster, "secrets");
    let login = broker.login();
    home.secret("ca", &[("ca.crt", &std::fs::read_to_string(&login.ca).unwrap())], true);
    home.secret("login", &[("username", &login.user), ("password", &login.password)], false);
    let scene = Scene::apply(&broker, &home, "secured", |watch| watch.secure(&login));

    let forbidden = message(&home, "stockwatch/secured", "SecretNotReadable");
    let operator = format!("{}:stockwatch", release.namespace());
    let question = ["get", "secrets/ca", "-n", home.name()];
    assert!(!cluster.can(&operator, &question));
    home.apply(between(&forbidden, "apply ", ", or list")).unwrap();
    assert!(cluster.can(&operator, &question));
    assert!(!cluster.can(&operator, &["list", "secrets", "-n", home.name()]));

    let unlabelled = message(&home, "stockwatch/secured", "SecretNotLabelled");
    assert!(home.pods("stockwatch.dev/name").is_empty(), "no worker was given the Secret");
    heed(cluster, &unlabelled);
    home.wait(120, "stockwatch/secured", &Until::ready());
    scene.send_market(&mut Market::new(8, &["a", "b", "c"]), 300);
    scene.assert_right();
    assert!(scene.read(Topic::Alarms).iter().flatten().count() > 0);

    let plain = json!({"spec": {"kafka": {"tls": Value::Null, "sasl": {"mechanism": "PLAIN"}}}});
    let patch = ["patch", "stockwatch/secured", "--type=merge", "-p", &plain.to_string()];
    let refused = home.try_kubectl(&patch).unwrap_err();
    assert!(refused.contains("PLAIN sends the password as it is"), "{refused}");
}

#[test]
fn a_pod_is_given_a_secret_only_with_the_label_for_pods() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let home = Namespace::create(cluster, "given");
    home.let_read_secrets(&release);
    home.simulate("tech", |_| {});
    home.await_ready("tech");
    let before = home.pods("stockwatch.dev/name=tech");
    // Labelled for Kafka, which is another use.
    home.secret("keys", &[("RUST_LOG", "debug")], true);
    let worker = json!({"envFrom": [{"secretRef": {"name": "keys"}}], "annotations": {"example.com/a": "b"}});
    home.patch("stockwatch/tech", &json!({"spec": {"worker": worker}}));
    let unlabelled = message(&home, "stockwatch/tech", "SecretNotLabelled");
    assert_eq!(home.pods("stockwatch.dev/name=tech"), before, "they go on as they are");
    heed(cluster, &unlabelled);
    wait_for(60, "a pod with the Secret", || {
        let now = home.pods("stockwatch.dev/name=tech");
        soon(now.len() == 1 && now.keys().all(|pod| !before.contains_key(pod)), now)
    });
    home.await_ready("tech");
    let pods = home.kubectl(&["get", "pods", "-l", "stockwatch.dev/name=tech", "-o", "json"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let pod = &pods["items"][0];
    assert_eq!(pod["metadata"]["annotations"]["example.com/a"], json!("b"));
    assert_eq!(pod["spec"]["containers"][0]["envFrom"], json!([{"secretRef": {"name": "keys"}}]));

    let host = json!({"spec": {"worker": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}}});
    let patch = ["patch", "stockwatch/tech", "--type=merge", "-p", &host.to_string()];
    let refused = home.try_kubectl(&patch).unwrap_err();
    assert!(refused.contains("hostPath"), "{refused}");
}

#[test]
fn a_sources_secret_is_mounted_only_with_its_own_label_and_the_worker_runs_without_it() {
    let cluster = Cluster::shared();
    let release = Release::shared();
    let home = Namespace::create(cluster, "keys");
    home.let_read_secrets(&release);
    home.secret("keys", &[("X-Key", "hunter2")], true);
    let _scene = Scene::apply(Broker::shared_for_pods(), &home, "keyed", |watch| {
        watch.source = json!({"http": {
            "url": "https://provider.invalid/{symbol}", "headersSecret": {"name": "keys"}, "price": "/p", "time": "/t",
        }});
    });
    home.wait(120, "stockwatch/keyed", &Until::ready());
    let volumes =
        || home.get("deployment/keyed-stockwatch")["spec"]["template"]["spec"]["volumes"].to_string();
    assert!(!volumes().contains(r#""keys""#), "the label is that of Kafka's Secrets");

    heed(cluster, &message_of(&home, "stockwatch/keyed", "QuotesFlow", "SecretNotLabelled"));
    wait_for(120, "the Secret is mounted", || soon(volumes().contains(r#""keys""#), volumes()));
    home.wait(120, "stockwatch/keyed", &Until::ready());
}
