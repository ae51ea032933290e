//! The values that the chart's schema allows, at their ends: the API server takes what is rendered with them, and the
//! operator starts with what it is told.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use stockwatch_tests::{Cluster, Endpoint, Namespace, Object, Release, built, rendered_with, wait_for};

/// A setting's path in the values, and its ends.
type Setting = (Vec<String>, Vec<Value>);

/// The ends of all that a schema bounds: numbers and lengths, what is listed, and switches.
fn ends(schema: &Value, path: &[String]) -> Vec<Setting> {
    let length = |name: &str| Some(json!("x".repeat(usize::try_from(schema[name].as_u64()?).unwrap())));
    let of_type = |kind: &str| match kind {
        "boolean" => vec![json!(true), json!(false)],
        "null" => vec![Value::Null],
        "integer" => {
            let end = |name: &str| schema[name].as_i64().unwrap_or_else(|| panic!("{path:?}: no {name}"));
            vec![json!(end("minimum")), json!(end("maximum"))]
        }
        "string" => ["minLength", "maxLength"].into_iter().filter_map(length).collect(),
        _ => vec![],
    };
    if let Some(properties) = schema["properties"].as_object() {
        let under =
            |(name, schema): (&String, &Value)| ends(schema, &[path, std::slice::from_ref(name)].concat());
        return properties.iter().flat_map(under).collect();
    }
    let values = match (&schema["enum"], &schema["type"]) {
        (Value::Array(listed), _) => listed.clone(),
        (_, Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).flat_map(of_type).collect(),
        (_, kind) => of_type(kind.as_str().unwrap_or_default()),
    };
    if values.is_empty() { vec![] } else { vec![(path.to_vec(), values)] }
}

/// Values with each setting at one of its ends, so often that each end is among them.
fn combined(settings: &[&Setting]) -> Vec<Value> {
    let most = settings.iter().map(|(_, ends)| ends.len()).max().unwrap_or_default();
    let at = |round: usize| {
        // Arguments that are always the same are of no interest here.
        let mut values = json!({"extraArgs": []});
        for (path, ends) in settings {
            let place = path.iter().fold(&mut values, |values, name| &mut values[name]);
            *place = ends[round % ends.len()].clone();
        }
        values
    };
    (0..most).map(at).collect()
}

/// The operator on this machine, ended when dropped.
struct Operator {
    process: Child,
    http: Endpoint,
}

impl Operator {
    /// Starts it as its pod would: `log` is its RUST_LOG.
    fn start(cluster: &Cluster, namespace: &str, arguments: &[String], log: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let arguments = arguments.iter().filter(|argument| !argument.starts_with("--http="));
        let mut command = Command::new(built("stockwatch-operator"));
        command.args(arguments).arg(format!("--http={address}")).stderr(Stdio::inherit());
        command.env("KUBECONFIG", cluster.directory().join("kubeconfig")).env("RUST_LOG", log);
        command.env("POD_NAME", address.to_string()).env("POD_NAMESPACE", namespace);
        Self { process: command.spawn().unwrap(), http: Endpoint::new(address.to_string()) }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What an operator is told: its arguments, and its RUST_LOG.
fn told(objects: &[Object]) -> (Vec<String>, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let deployment = objects.iter().find(|object| object.kind() == "Deployment").unwrap();
    let container = &deployment.pod().unwrap()["containers"][0];
    let environment = container["env"].as_array().unwrap();
    let log = environment.iter().find(|variable| variable["name"] == "RUST_LOG").unwrap();
    (container["args"].as_array().unwrap().iter().map(text).collect(), text(&log["value"]))
}

#[test]
fn every_value_that_the_schema_allows_at_its_ends_starts() {
    // It looks after the cluster, so those that are started here stay away.
    let release = Release::shared();
    let cluster = Cluster::shared();
    let home = Namespace::create(cluster, "ends");
    let schema: Value =
        serde_json::from_str(include_str!("../../../helm/stockwatch/values.schema.json")).unwrap();
    let settings = ends(&schema, &[]);
    // With the switches off the other settings would count for nothing.
    let (switches, others): (Vec<_>, Vec<_>) =
        settings.iter().partition(|(_, ends)| ends.iter().any(Value::is_boolean));
    assert!(others.iter().any(|(path, ends)| *path == ["concurrency"] && *ends == [1, 256]), "{others:?}");

    let mut operators = BTreeSet::new();
    for values in combined(&switches).into_iter().chain(combined(&others)) {
        let objects = rendered_with("sw", home.name(), "full", &values);
        operators.insert(told(&objects));
        // Kinds of a Prometheus operator, which is not here.
        let known =
            objects.iter().filter(|object| !["ServiceMonitor", "PrometheusRule"].contains(&object.kind()));
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": known.map(|o| &o.0).collect::<Vec<_>>()});
        let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
        cluster
            .try_kubectl_with(&apply, &list.to_string())
            .unwrap_or_else(|message| panic!("{values}: {message}"));
    }
    let started: Vec<_> = operators
        .iter()
        .map(|(arguments, log)| (arguments, Operator::start(cluster, home.name(), arguments, log)))
        .collect();
    for (arguments, operator) in &started {
        wait_for(20, &format!("{arguments:?} starts"), || match operator.http.get("/readyz") {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    drop(release);
}
