#![allow(clippy::unwrap_used)]

use std::net::Ipv6Addr;

use serde_json::{Value, json};
use stockwatch_crds::Spec;

use super::*;

fn stockwatch(kafka: Value, worker: Value) -> StockWatch {
    serde_json::from_value(json!({
        "apiVersion": "stockwatch.dev/v1alpha1",
        "kind": "StockWatch",
        "metadata": {
            "name": "tech", "namespace": "market", "uid": "u-1", "generation": 7, "resourceVersion": "12",
            "annotations": {"some": "note"},
        },
        "spec": {"tickers": [{"symbol": "META"}], "kafka": kafka, "worker": worker},
        "status": {"observedGeneration": 6},
    }))
    .unwrap()
}

fn plain() -> StockWatch {
    stockwatch(json!({"bootstrapServers": "kafka:9092"}), json!({}))
}

fn secured() -> StockWatch {
    let kafka = json!({
        "bootstrapServers": "kafka:9093",
        "tls": {"caSecret": {"name": "ca"}, "clientSecret": {"name": "user.of.kafka"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "secret": {"name": "user.of.kafka"}},
    });
    stockwatch(kafka, json!({}))
}

fn owner() -> Owner {
    Owner::of(&plain().metadata).unwrap()
}

fn deployment(stockwatch: &StockWatch) -> Desired {
    deployment_with(stockwatch, &[])
}

fn deployment_with(stockwatch: &StockWatch, sources: &[&str]) -> Desired {
    let sources = sources.iter().map(|name| (*name).to_owned()).collect();
    let spec = Spec::parse(stockwatch).unwrap();
    let worker = Worker {
        replicas: stockwatch.spec.worker.as_ref().and_then(|worker| worker.replicas),
        image: "stockwatch-worker:1".into(),
        pull_secrets: &["registry".to_owned()],
        pull_policy: Some("IfNotPresent"),
        listen: Ipv6Addr::UNSPECIFIED.into(),
        kafka: &spec.kafka,
        connection: "c0ffee".into(),
        sources: &sources,
        spec: &worker_spec(stockwatch),
    };
    workers(&owner(), &worker).unwrap()
}

fn all(stockwatch: &StockWatch) -> Vec<Desired> {
    let mut all = surroundings(&owner(), stockwatch).unwrap();
    all.push(deployment(stockwatch));
    all
}

#[test]
fn every_kind_is_built_once_and_says_whose_it_is() {
    let all = all(&plain());
    let mut kinds: Vec<Kind> = all.iter().map(|desired| desired.kind).collect();
    kinds.sort();
    assert_eq!(kinds, Kind::ALL);
    for Desired { kind, body, hash } in all {
        let resource = kind.resource();
        assert_eq!(
            (&body["kind"], &body["apiVersion"]),
            (&json!(resource.kind), &json!(resource.api_version))
        );
        let metadata = &body["metadata"];
        assert_eq!(metadata["name"], "tech-stockwatch");
        assert_eq!(metadata["namespace"], "market");
        let mut annotations = json!({"stockwatch.dev/hash": hash});
        if kind == Kind::Deployment {
            annotations["stockwatch.dev/image"] = json!("stockwatch-worker:1");
            for digest in ["stockwatch.dev/template", "stockwatch.dev/wishes"] {
                annotations[digest] = metadata["annotations"][digest].clone();
                assert!(annotations[digest].is_string());
            }
        }
        assert_eq!(metadata["annotations"], annotations);
        assert_eq!(
            metadata["labels"],
            json!({
                "app.kubernetes.io/name": "stockwatch-worker",
                "app.kubernetes.io/instance": "tech",
                "app.kubernetes.io/managed-by": "stockwatch-operator",
                "stockwatch.dev/name": "tech",
            })
        );
        assert_eq!(
            metadata["ownerReferences"],
            json!([{
                "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch", "name": "tech", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": true,
            }])
        );
    }
}

#[test]
fn an_edit_of_what_is_hot_rewrites_the_config_map_alone() {
    let mut edited = plain();
    edited.spec.tickers[0].name = Some("meta".into());
    edited.metadata.generation = Some(8);
    let changed: Vec<Kind> =
        all(&plain()).iter().zip(all(&edited)).filter(|(a, b)| **a != *b).map(|(a, _)| a.kind).collect();
    assert_eq!(changed, [Kind::ConfigMap]);
}

#[test]
fn status_and_metadata_that_change_by_themselves_rewrite_nothing() {
    let mut other = plain();
    other.status = None;
    other.metadata.resource_version = Some("99".into());
    other.metadata.annotations = None;
    assert_eq!(all(&plain()), all(&other));
}

#[test]
fn the_config_map_holds_the_object_as_a_worker_reads_it() {
    let all = all(&plain());
    let map = all.iter().find(|desired| desired.kind == Kind::ConfigMap).unwrap();
    let document: Value = serde_json::from_str(map.body["data"][SPEC_KEY].as_str().unwrap()).unwrap();
    assert_eq!(
        document,
        json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u-1", "generation": 7},
            "spec": {
                "tickers": [{"symbol": "META"}],
                "kafka": {"bootstrapServers": "kafka:9092"},
                "worker": {},
            },
        })
    );
    let loaded = stockwatch_crds::load(&document.to_string()).unwrap();
    assert_eq!((loaded.uid.as_str(), loaded.generation, loaded.ignored.len()), ("u-1", Some(7), 0));
}

#[test]
fn a_worker_may_read_its_own_stockwatch_and_nothing_else() {
    let all = all(&plain());
    let role = all.iter().find(|desired| desired.kind == Kind::Role).unwrap();
    assert_eq!(
        role.body["rules"],
        json!([{
            "apiGroups": ["stockwatch.dev"], "resources": ["stockwatches"], "resourceNames": ["tech"],
            "verbs": ["get", "list", "watch"],
        }])
    );
}

#[test]
fn workers_are_found_by_ipv6_and_ipv4_where_a_cluster_has_both() {
    let all = all(&plain());
    let service = all.iter().find(|desired| desired.kind == Kind::Service).unwrap();
    assert_eq!(service.body["spec"]["ipFamilyPolicy"], "PreferDualStack");
}

#[test]
fn the_pods_meet_the_restricted_standard() {
    let body = deployment(&secured()).body;
    let pod = &body["spec"]["template"]["spec"];
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    for volume in pod["volumes"].as_array().unwrap() {
        let sources: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(["configMap", "emptyDir", "secret"].contains(&sources[0].as_str()), "{volume}");
    }
}

#[test]
fn a_pod_sees_the_keys_of_its_secrets_that_it_needs() {
    let body = deployment(&secured()).body;
    let pod = &body["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    let item = |key: &str| json!({"key": key, "path": key});
    assert_eq!(
        volumes[3]["secret"],
        json!({"secretName": "ca", "items": [item("ca.crt"), item("cacerts.pem")], "optional": true})
    );
    assert_eq!(
        volumes[4]["secret"],
        json!({
            "secretName": "user.of.kafka",
            "items": [
                item("fullchain.pem"), item("password"), item("plain.txt"), item("privkey.pem"),
                item("tls.crt"), item("tls.key"), item("user.crt"), item("user.key"), item("username"),
            ],
            "optional": true,
        })
    );
    let mounts: Vec<&str> = pod["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    let expected = [
        "/etc/stockwatch/spec",
        "/var/lib/stockwatch",
        "/tmp",
        "/etc/stockwatch/credentials/ca",
        "/etc/stockwatch/credentials/user.of.kafka",
    ];
    assert_eq!(mounts, expected);
    assert!(!pod.to_string().contains("subPath"));
}

#[test]
fn keys_that_are_named_are_the_only_ones_that_a_pod_sees() {
    let kafka = json!({
        "bootstrapServers": "kafka:9093",
        "tls": {"clientSecret": {"name": "user", "certKey": "c.pem", "keyKey": "k.pem"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": "ann", "secret": {"name": "user", "passwordKey": "pw"}},
    });
    let body = deployment(&stockwatch(kafka, json!({}))).body;
    let item = |key: &str| json!({"key": key, "path": key});
    assert_eq!(
        body["spec"]["template"]["spec"]["volumes"][3]["secret"],
        json!({"secretName": "user", "items": [item("c.pem"), item("k.pem"), item("pw")]})
    );
}

#[test]
fn a_client_of_a_token_endpoint_is_given_its_secret_and_the_endpoints_authority() {
    let kafka = json!({
        "bootstrapServers": "kafka:9093", "tls": {},
        "sasl": {
            "mechanism": "OAUTHBEARER", "secret": {"name": "client"},
            "oauth": {"tokenUrl": "https://login/t", "caSecret": {"name": "login-ca"}},
        },
    });
    let body = deployment(&stockwatch(kafka, json!({}))).body;
    let volumes = &body["spec"]["template"]["spec"]["volumes"];
    let item = |key: &str| json!({"key": key, "path": key});
    let items = [item("client-id"), item("client-secret"), item("oauth.txt")];
    let client = json!({"secretName": "client", "items": items, "optional": true});
    assert_eq!(volumes[3]["secret"], client);
    let authority =
        json!({"secretName": "login-ca", "items": [item("ca.crt"), item("cacerts.pem")], "optional": true});
    assert_eq!(volumes[4]["secret"], authority);
}

#[test]
fn a_pod_sees_the_whole_of_its_sources_secrets_and_lives_without_them() {
    let body = deployment_with(&plain(), &["keys", "proxy"]).body;
    let pod = &body["spec"]["template"]["spec"];
    let secret = |name: &str| json!({"secretName": name, "optional": true});
    assert_eq!(pod["volumes"][3], json!({"name": "source-0", "secret": secret("keys")}));
    assert_eq!(pod["volumes"][4], json!({"name": "source-1", "secret": secret("proxy")}));
    let mount = |i: u8, name: &str| json!({"name": format!("source-{i}"), "mountPath": format!("/etc/stockwatch/sources/{name}"), "readOnly": true});
    let mounts = &pod["containers"][0]["volumeMounts"];
    assert_eq!((&mounts[3], &mounts[4]), (&mount(0, "keys"), &mount(1, "proxy")));
}

#[test]
fn the_count_is_left_out_where_somebody_else_sets_it() {
    assert_eq!(deployment(&plain()).body["spec"].get("replicas"), None);
    let three = stockwatch(json!({"bootstrapServers": "kafka:9092"}), json!({"replicas": 3}));
    assert_eq!(deployment(&three).body["spec"]["replicas"], 3);
}

#[test]
fn the_users_wishes_reach_the_pods_and_our_labels_stay_ours() {
    let wishes = json!({
        "labels": {"team": "quants", "stockwatch.dev/name": "other"},
        "nodeSelector": {"disk": "ssd"},
        "imagePullSecrets": [{"name": "mine"}],
        "resources": {"limits": {"memory": "1Gi"}},
    });
    let body = deployment(&stockwatch(json!({"bootstrapServers": "kafka:9092"}), wishes)).body;
    let template = &body["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "quants");
    assert_eq!(template["metadata"]["labels"]["stockwatch.dev/name"], "tech");
    assert_eq!(template["spec"]["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(template["spec"]["imagePullSecrets"], json!([{"name": "mine"}]));
    assert_eq!(template["spec"]["containers"][0]["resources"], json!({"limits": {"memory": "1Gi"}}));
    let own = deployment(&plain()).body;
    assert_eq!(own["spec"]["template"]["spec"]["imagePullSecrets"], json!([{"name": "registry"}]));
}

#[test]
fn what_pod_owners_ask_for_reaches_the_pods_beside_what_is_ours() {
    let wishes = json!({
        "annotations": {"linkerd.io/inject": "enabled"},
        "env": [{"name": "RUST_LOG", "value": "debug"}],
        "envFrom": [{"configMapRef": {"name": "proxy"}}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/ours", "readOnly": true, "subPath": "pem"}],
        "priorityClassName": "high",
        "imagePullPolicy": "Always",
        "terminationGracePeriodSeconds": 60,
    });
    let body = deployment(&stockwatch(json!({"bootstrapServers": "kafka:9092"}), wishes)).body;
    let template = &body["spec"]["template"];
    let annotations = json!({"linkerd.io/inject": "enabled", "stockwatch.dev/connection": "c0ffee"});
    assert_eq!(template["metadata"]["annotations"], annotations);
    let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
    assert_eq!(container["env"][0]["name"], "POD_NAME");
    assert_eq!(container["env"][1], json!({"name": "RUST_LOG", "value": "debug"}));
    assert_eq!(container["envFrom"], json!([{"configMapRef": {"name": "proxy"}}]));
    let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last(&pod["volumes"]), json!({"name": "ca", "configMap": {"name": "ca"}}));
    let mount = json!({"name": "ca", "mountPath": "/etc/ssl/ours", "readOnly": true, "subPath": "pem"});
    assert_eq!(last(&container["volumeMounts"]), mount);
    assert_eq!(
        (&pod["priorityClassName"], &pod["terminationGracePeriodSeconds"]),
        (&json!("high"), &json!(60))
    );
    assert_eq!(container["imagePullPolicy"], "Always");
    let own = deployment(&plain()).body;
    let (pod, container) =
        (&own["spec"]["template"]["spec"], &own["spec"]["template"]["spec"]["containers"][0]);
    assert_eq!(
        (&container["imagePullPolicy"], &pod["terminationGracePeriodSeconds"]),
        (&json!("IfNotPresent"), &json!(30))
    );
    assert!(container.get("envFrom").is_none() && pod.get("priorityClassName").is_none());
}

#[test]
fn another_role_of_the_service_account_gets_to_it_and_rolls_the_pods() {
    let with = |role: &str| {
        let worker = json!({"serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": role}});
        all(&stockwatch(json!({"bootstrapServers": "kafka:9092"}), worker))
    };
    let of = |all: &[Desired], kind: Kind| all.iter().find(|desired| desired.kind == kind).unwrap().clone();
    let (a, b) = (with("a"), with("b"));
    let account = of(&a, Kind::ServiceAccount);
    let annotations = json!({"eks.amazonaws.com/role-arn": "a", "stockwatch.dev/hash": account.hash});
    assert_eq!(account.body["metadata"]["annotations"], annotations);
    let template = |all: &[Desired]| of(all, Kind::Deployment).body["spec"]["template"].clone();
    assert_ne!(template(&a), template(&b));
    assert_eq!(template(&a), template(&with("a")));
}

#[test]
fn a_worker_is_started_with_its_identity_and_its_places() {
    let body = deployment(&plain()).body;
    let container = &body["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
    assert_eq!(
        arguments.join(" "),
        "run --watch market/tech --uid u-1 --id $(POD_NAME) --spec-directory /etc/stockwatch/spec \
         --state-directory /var/lib/stockwatch --credentials /etc/stockwatch/credentials \
         --http [::]:8080 --log-format json"
    );
}
