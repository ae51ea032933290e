//! What the chart gives, as rendered: rights, names, pods, and what is there only if asked for.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stockwatch_tests::{Copied, Object, refused, refused_with, rendered};

/// The files of `tests/chart/`.
const ALL: [&str; 5] = ["default", "namespaced", "kafka", "bare", "full"];

fn all() -> impl Iterator<Item = Object> {
    ALL.into_iter().flat_map(|values| rendered("sw", "watching", values))
}

fn of_kind<'o>(objects: &'o [Object], kind: &str) -> Vec<&'o Object> {
    objects.iter().filter(|object| object.kind() == kind).collect()
}

fn named<'o>(objects: &'o [Object], kind: &str, name: &str) -> &'o Object {
    let names: Vec<&str> = of_kind(objects, kind).iter().map(|object| object.name()).collect();
    let found = of_kind(objects, kind).into_iter().find(|object| object.name() == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}, only {names:?}"))
}

fn operator_arguments(objects: &[Object]) -> Vec<String> {
    let arguments = &of_kind(objects, "Deployment")[0].pod().unwrap()["containers"][0]["args"];
    arguments.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_the_whole_cluster_shares_is_named_after_release_and_namespace() {
    let shared = |object: &Object| object.kind().starts_with("ClusterRole");
    for object in all().filter(shared) {
        assert!(object.name().contains("watching:sw-stockwatch"), "{} {}", object.kind(), object.name());
    }
}

#[test]
fn every_object_else_but_the_definition_says_its_namespace() {
    let shared = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
    for object in all().filter(|object| !shared.contains(&object.kind())) {
        assert!(!object.namespace().is_empty(), "{} {}", object.kind(), object.name());
    }
}

#[test]
fn every_pod_meets_the_restricted_standard_and_cannot_write_to_its_image() {
    let mut pods = 0;
    for object in all() {
        let Some(pod) = object.pod() else { continue };
        pods += 1;
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], json!(true), "{}", object.name());
        assert_eq!(security["seccompProfile"]["type"], json!("RuntimeDefault"), "{}", object.name());
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], json!(false), "{}", object.name());
            assert_eq!(security["readOnlyRootFilesystem"], json!(true), "{}", object.name());
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{}", object.name());
            assert!(container["resources"]["limits"]["memory"].is_string(), "{}", object.name());
        }
    }
    assert!(pods >= 2 * ALL.len(), "{pods} pods seen");
}

#[test]
fn the_operator_itself_has_no_user_id_that_a_cluster_might_refuse() {
    let objects = rendered("sw", "watching", "default");
    let pod = of_kind(&objects, "Deployment")[0].pod().unwrap();
    assert!(pod["securityContext"].get("runAsUser").is_none());
}

#[test]
fn by_default_the_operator_reads_no_secrets_and_no_role_says_all() {
    let objects = rendered("sw", "watching", "default");
    let rules = named(&objects, "ClusterRole", "watching:sw-stockwatch:operator").allows();
    assert!(rules.iter().all(|(_, resource, _)| !resource.starts_with("secrets")), "{rules:?}");
    let secrets = "watching:sw-stockwatch:secrets";
    let bound = |object: &&Object| object.0["roleRef"]["name"] == json!(secrets);
    assert_eq!(objects.iter().filter(bound).count(), 0, "the role to read Secrets is there, but not bound");
    let only = named(&objects, "ClusterRole", secrets).allows();
    assert_eq!(only, [("".into(), "secrets".into(), "get".into())]);
    for object in all() {
        let says_all = |(group, resource, verb): &(String, String, String)| {
            [group, resource, verb].iter().any(|part| part.contains('*'))
        };
        assert!(!object.allows().iter().any(says_all), "{} {}", object.kind(), object.name());
    }
}

#[test]
fn the_operator_holds_what_it_grants_to_workers_and_nothing_on_nodes_or_namespaces() {
    let objects = rendered("sw", "watching", "default");
    let rules = named(&objects, "ClusterRole", "watching:sw-stockwatch:operator").allows();
    for verb in ["get", "list", "watch"] {
        assert!(rules.contains(&("stockwatch.dev".into(), "stockwatches".into(), verb.into())), "{verb}");
    }
    assert!(rules.contains(&("stockwatch.dev".into(), "stockwatches/finalizers".into(), "update".into())));
    let resources: BTreeSet<&str> = rules.iter().map(|(_, resource, _)| &**resource).collect();
    assert_eq!(
        resources,
        BTreeSet::from([
            "configmaps",
            "deployments",
            "endpointslices",
            "events",
            "leases/stockwatch-claim",
            "poddisruptionbudgets",
            "pods",
            "rolebindings",
            "roles",
            "serviceaccounts",
            "services",
            "stockwatches",
            "stockwatches/finalizers",
            "stockwatches/status",
        ])
    );
}

#[test]
fn an_operator_of_listed_namespaces_has_roles_in_each_and_none_over_the_cluster() {
    let objects = rendered("sw", "watching", "namespaced");
    for kind in ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
    let named = |kind: &str| -> BTreeSet<(String, String)> {
        let objects = of_kind(&objects, kind);
        objects.iter().map(|object| (object.namespace().to_owned(), object.name().to_owned())).collect()
    };
    let expected = |secrets: &str| {
        BTreeSet::from(
            [
                ("watching", "sw-stockwatch-leader"),
                ("desk-a", "sw-stockwatch-operator"),
                ("desk-b", "sw-stockwatch-operator"),
                ("desk-a", secrets),
            ]
            .map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
        )
    };
    assert_eq!(named("Role"), expected("sw-stockwatch-secrets"));
    assert_eq!(named("RoleBinding"), expected("sw-stockwatch-secrets-role"));
    let arguments = operator_arguments(&objects);
    assert!(arguments.contains(&"--namespaces=desk-a,desk-b".into()));
    assert!(arguments.contains(&"--secret-role=".into()), "it has no ClusterRole to tell of: {arguments:?}");
}

#[test]
fn names_and_labels_that_kubernetes_would_refuse_are_refused_before_anything_is_installed() {
    for (field, values) in [
        ("nameOverride", json!({"nameOverride": "Stock_Watch"})),
        ("fullnameOverride", json!({"fullnameOverride": "1st"})),
        ("fullnameOverride", json!({"fullnameOverride": "watch.er"})),
        ("name", json!({"serviceAccount": {"name": "watch_er"}})),
        ("priorityClassName", json!({"priorityClassName": "-high"})),
        ("app.kubernetes.io/name", json!({"commonLabels": {"app.kubernetes.io/name": "mine"}})),
        ("app.kubernetes.io/instance", json!({"podLabels": {"app.kubernetes.io/instance": "mine"}})),
        ("app.kubernetes.io/managed-by", json!({"commonLabels": {"app.kubernetes.io/managed-by": "me"}})),
        ("team", json!({"podLabels": {"team": "two words"}})),
        ("heap", json!({"kafka": {"enabled": true, "heap": "1k"}})),
    ] {
        let says = refused_with("default", &values);
        assert!(says.contains(field), "{values}: {says}");
    }
}

#[test]
fn without_images_the_chart_fails_with_the_lines_that_build_and_push_them() {
    let says = refused("refused/no-images");
    for program in ["operator", "worker"] {
        for line in [
            format!("docker build -f Dockerfile.{program} -t REGISTRY/stockwatch-{program}:0.1.0 ."),
            format!("docker push REGISTRY/stockwatch-{program}:0.1.0"),
        ] {
            assert!(says.contains(&line), "{line} in {says}");
        }
    }
    assert!(says.contains("--set worker.image.repository=REGISTRY/stockwatch-worker"), "{says}");
}

#[test]
fn a_release_claims_what_it_looks_after_in_its_own_name() {
    let claims = |values| -> Vec<(String, String, serde_json::Value)> {
        let objects = rendered("sw", "watching", values);
        let claim = |claim: &&Object| {
            let release = claim.0["metadata"]["annotations"]["stockwatch.dev/release"].clone();
            (claim.namespace().to_owned(), claim.name().to_owned(), release)
        };
        of_kind(&objects, "Lease").iter().map(claim).collect()
    };
    let of = |namespace: &str| {
        (namespace.to_owned(), "stockwatch-claim".to_owned(), json!("watching/sw-stockwatch"))
    };
    assert_eq!(claims("default"), [of("kube-system")]);
    assert_eq!(claims("namespaced"), [of("desk-a"), of("desk-b")]);
    let objects = rendered("sw", "watching", "default");
    let readable = named(&objects, "Role", "watching:sw-stockwatch:claim");
    let get = ("coordination.k8s.io".into(), "leases/stockwatch-claim".into(), "get".into());
    assert_eq!(
        (readable.namespace(), readable.allows()),
        ("kube-system", vec![get]),
        "by releases of namespaces"
    );
}

#[test]
fn the_definition_is_the_generated_one_and_stays_behind() {
    let objects = rendered("sw", "watching", "default");
    let mut definition = named(&objects, "CustomResourceDefinition", "stockwatches.stockwatch.dev").0.clone();
    let metadata = definition["metadata"].as_object_mut().unwrap();
    assert_eq!(metadata.remove("annotations"), Some(json!({"helm.sh/resource-policy": "keep"})));
    metadata.remove("labels");
    let generated: Value = serde_yaml::from_str(include_str!("../../../crds/stockwatch.yaml")).unwrap();
    assert_eq!(definition, generated);
}

#[test]
fn the_operator_is_told_of_its_worker_its_account_and_its_lease() {
    let default = operator_arguments(&rendered("sw", "watching", "default"));
    assert_eq!(default[0], "run");
    for argument in [
        "--worker-image=registry.example/worker:0.1.0",
        "--secret-role=watching:sw-stockwatch:secrets",
        "--service-account=watching/sw-stockwatch",
        "--lease=sw-stockwatch",
    ] {
        assert!(default.contains(&argument.into()), "{argument} in {default:?}");
    }
    assert!(!default.iter().any(|argument| argument.starts_with("--namespaces")), "{default:?}");
    let full = rendered("sw", "watching", "full");
    for argument in [
        "--worker-image=registry.example/worker:7",
        "--worker-pull-secrets=pull-a,pull-b",
        "--worker-pull-policy=Always",
        "--service-account=watching/watcher",
        "--http=0.0.0.0:8080",
        "--worker-listen=0.0.0.0",
    ] {
        assert!(operator_arguments(&full).contains(&argument.into()), "{argument}");
    }
    let image = of_kind(&full, "Deployment")[0].pod().unwrap()["containers"][0]["image"].clone();
    assert!(image.as_str().unwrap().starts_with("registry.example/operator@sha256:"), "{image}");
}

#[test]
fn services_have_ipv6_and_ipv4_where_a_cluster_has_both_and_operator_and_workers_listen_on_both() {
    let services: Vec<Object> = all().filter(|object| object.kind() == "Service").collect();
    assert!(services.len() > ALL.len(), "the operator's, and Kafka's");
    for service in services {
        assert_eq!(service.0["spec"]["ipFamilyPolicy"], json!("PreferDualStack"), "{}", service.name());
    }
    let arguments = operator_arguments(&rendered("sw", "watching", "default"));
    for argument in ["--http=[::]:8080", "--worker-listen=::"] {
        assert!(arguments.contains(&argument.into()), "{arguments:?}");
    }
}

#[test]
fn an_upgrade_that_reuses_the_oldest_charts_values_gives_what_was_added_since_its_default() {
    let oldest: Value = serde_yaml::from_str(include_str!("../../chart/upgrade/oldest.yaml")).unwrap();
    let upgraded = Copied::with("values.yaml", |values| *values = oldest);
    for values in ["nothing", "everything", "namespaced"] {
        let objects = upgraded.rendered("sw", "watching", &format!("upgrade/with/{values}"));
        for object in &objects {
            let text = object.0.to_string();
            let says_nil = ["<nil>", "<no value>"].iter().any(|nil| text.contains(*nil));
            assert!(!says_nil, "{values}: {} {}", object.kind(), object.name());
        }
        let arguments = operator_arguments(&objects);
        for argument in ["--http=[::]:8080", "--worker-listen=::"] {
            assert!(arguments.contains(&argument.into()), "{values}: {arguments:?}");
        }
    }
}

#[test]
fn users_with_the_usual_roles_see_and_change_stockwatches_and_scale_them() {
    let objects = rendered("sw", "watching", "default");
    let view = named(&objects, "ClusterRole", "watching:sw-stockwatch:view");
    let edit = named(&objects, "ClusterRole", "watching:sw-stockwatch:edit");
    assert_eq!(view.0["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], json!("true"));
    for to in ["edit", "admin"] {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        assert_eq!(edit.0["metadata"]["labels"][label], json!("true"));
    }
    let may = |verb: &str| ("stockwatch.dev".to_owned(), "stockwatches/scale".to_owned(), verb.to_owned());
    assert!(view.allows().contains(&may("get")));
    assert!(edit.allows().contains(&may("patch")));
    assert!(view.allows().iter().all(|(_, _, verb)| ["get", "list", "watch"].contains(&&**verb)));
}

#[test]
fn monitoring_and_kafka_are_there_only_if_asked_for() {
    let optional = ["ServiceMonitor", "PrometheusRule", "StatefulSet", "ConfigMap"];
    let default = rendered("sw", "watching", "default");
    assert!(default.iter().all(|object| !optional.contains(&object.kind())));
    let full = rendered("sw", "watching", "full");
    assert!(optional.iter().all(|kind| full.iter().any(|object| object.kind() == *kind)));
    let dashboard = named(&full, "ConfigMap", "sw-stockwatch-dashboard");
    let text = dashboard.0["data"]["stockwatch.json"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["title"], json!("StockWatch"));
}

#[test]
fn every_alert_links_to_its_section_of_the_runbooks_and_no_section_is_left_over() {
    let full = rendered("sw", "watching", "full");
    let groups = of_kind(&full, "PrometheusRule")[0].0["spec"]["groups"].as_array().unwrap().clone();
    let rules: Vec<Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let linked: BTreeSet<String> = rules
        .iter()
        .map(|rule| {
            let url = text(&rule["annotations"]["runbook_url"]);
            let (file, section) = url.split_once('#').unwrap();
            assert_eq!((file, section), ("docs/runbooks.md", &*text(&rule["alert"]).to_lowercase()));
            text(&rule["alert"])
        })
        .collect();
    let runbooks = include_str!("../../../docs/runbooks.md");
    let sections = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(linked, sections.collect());
}

#[test]
fn the_development_kafka_is_found_where_the_examples_look_for_it() {
    let objects = rendered("stockwatch", "kafka", "kafka");
    named(&objects, "Service", "kafka");
    let settings = named(&objects, "ConfigMap", "kafka").0["data"]["server.properties"].as_str().unwrap();
    assert!(settings.contains("advertised.listeners=PLAINTEXT://kafka.kafka.svc:9092"), "{settings}");
    let first: Value = serde_yaml::from_str(include_str!("../../../examples/first.yaml")).unwrap();
    assert_eq!(first["spec"]["kafka"]["bootstrapServers"], json!("kafka.kafka:9092"));
}

#[test]
fn the_development_kafka_has_a_volume_unless_told_to_do_without() {
    let data = |objects: &[Object]| {
        let pod = of_kind(objects, "StatefulSet")[0].pod().unwrap();
        let volumes = pod["volumes"].as_array().unwrap().iter();
        volumes.filter(|volume| volume["name"] == "data").cloned().collect::<Vec<_>>()
    };
    let objects = rendered("stockwatch", "kafka", "kafka");
    assert_eq!(
        data(&objects),
        [json!({"name": "data", "persistentVolumeClaim": {"claimName": "kafka-data"}})]
    );
    let claim = &named(&objects, "PersistentVolumeClaim", "kafka-data").0;
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], json!("8Gi"));
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], json!("keep"));
    let bare = rendered("stockwatch", "kafka", "bare");
    assert_eq!(data(&bare), [json!({"name": "data", "emptyDir": {}})]);
    assert!(of_kind(&bare, "PersistentVolumeClaim").is_empty());
}

#[test]
fn the_development_kafka_of_a_release_always_has_the_same_cluster_id() {
    let id = |release: &str, namespace: &str, values: &str| {
        let objects = rendered(release, namespace, values);
        let command = &of_kind(&objects, "StatefulSet")[0].pod().unwrap()["containers"][0]["command"][2];
        let mut words = command.as_str().unwrap().split_whitespace().skip_while(|word| *word != "-t");
        words.nth(1).unwrap().to_owned()
    };
    let ours = id("stockwatch", "kafka", "kafka");
    assert_eq!(ours, id("stockwatch", "kafka", "bare"), "with and without a volume");
    assert_ne!(ours, id("other", "kafka", "kafka"));
    assert_ne!(ours, id("stockwatch", "other", "kafka"));
    // 16 bytes as Kafka's own tool writes them.
    let base64 = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    assert!(ours.len() == 22 && ours.chars().all(base64) && ours.ends_with(['A', 'Q', 'g', 'w']), "{ours}");
    assert!(!ours.starts_with('-'), "an option to Kafka's tool: {ours}");
}

#[test]
fn another_version_of_the_chart_does_not_restart_the_development_kafka() {
    let newer = Copied::with_version("9.9.9");
    for values in ["kafka", "bare"] {
        let template = |objects: &[Object]| of_kind(objects, "StatefulSet")[0].0["spec"]["template"].clone();
        let (now, then) = (rendered("sw", "watching", values), newer.rendered("sw", "watching", values));
        assert_ne!(
            of_kind(&now, "StatefulSet"),
            of_kind(&then, "StatefulSet"),
            "its labels name the version"
        );
        assert_eq!(template(&now), template(&then));
    }
}

#[test]
fn only_metrics_are_let_in_and_egress_is_open_unless_listed() {
    let default = rendered("sw", "watching", "default");
    let policy = &of_kind(&default, "NetworkPolicy")[0].0["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress"]));
    assert_eq!(policy["ingress"][0]["ports"][0]["port"], json!("http"));
    let full = rendered("sw", "watching", "full");
    let policy = &of_kind(&full, "NetworkPolicy")[0].0["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let from = policy["ingress"][0]["from"].as_array().unwrap();
    assert_eq!(from.len(), 2, "who is listed, and the pod of helm test");
    let test = &of_kind(&full, "Pod")[0].0["metadata"]["labels"];
    for (label, value) in from[0]["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&test[label], value);
    }
}

#[test]
fn what_a_pod_may_be_given_besides_reaches_it() {
    let full = rendered("sw", "watching", "full");
    let deployment = of_kind(&full, "Deployment")[0];
    let pod = deployment.pod().unwrap();
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull-operator"}, {"name": "pull-too"}]));
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], json!("zone"));
    assert_eq!(operator_arguments(&full).last().unwrap(), "--no-leader-election");
    let env = pod["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env.last().unwrap(), &json!({"name": "NO_PROXY", "value": ".svc"}));
}

#[test]
fn common_labels_are_on_every_object_and_in_no_selector() {
    for object in rendered("sw", "watching", "full") {
        let labels = &object.0["metadata"]["labels"];
        assert_eq!(labels["cost-centre"], json!("quotes"), "{} {}", object.kind(), object.name());
        for selector in [&object.0["spec"]["selector"], &object.0["spec"]["podSelector"]] {
            assert!(!selector.to_string().contains("cost-centre"), "{} {}", object.kind(), object.name());
        }
    }
}

#[test]
fn another_chart_of_which_it_is_a_part_may_leave_it_out() {
    let another = Copied::in_another();
    let names = |values: &str| another.rendered("sw", "watching", values).len();
    assert!(names("dependency/on") > 5);
    assert_eq!(names("dependency/off"), 0);
}
