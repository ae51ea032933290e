//! The chart as helm renders it, without a cluster.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{output, tools};
use crate::helm::CHART;

/// An object that a chart gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(pub Value);

impl Object {
    /// Its kind.
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace; empty where the whole cluster shares it.
    pub fn namespace(&self) -> &str {
        self.0["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// The template of its pods, or the pod that it is itself.
    pub fn pod(&self) -> Option<&Value> {
        match self.kind() {
            "Pod" => Some(&self.0["spec"]),
            "Deployment" | "StatefulSet" => Some(&self.0["spec"]["template"]["spec"]),
            _ => None,
        }
    }

    /// What a role allows: API group, resource and verb, each alone; with `/NAME` where it is of names alone.
    pub fn allows(&self) -> Vec<(String, String, String)> {
        let list = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let mut all = Vec::new();
        for rule in self.0["rules"].as_array().into_iter().flatten() {
            let names = list(&rule["resourceNames"]);
            for group in list(&rule["apiGroups"]) {
                for resource in list(&rule["resources"]) {
                    let of = if names.is_empty() { String::new() } else { format!("/{}", names.join(",")) };
                    all.extend(
                        list(&rule["verbs"])
                            .into_iter()
                            .map(|v| (group.clone(), format!("{resource}{of}"), v)),
                    );
                }
            }
        }
        all
    }
}

/// What the release `release` in the namespace `namespace` would consist of, with a file of `tests/chart/` as values.
pub fn rendered(release: &str, namespace: &str, values: &str) -> Vec<Object> {
    rendered_chart(Path::new(CHART), release, namespace, values)
}

/// The same with more values, which count before those of the file.
pub fn rendered_with(release: &str, namespace: &str, values: &str, more: &Value) -> Vec<Object> {
    objects(
        &render(Path::new(CHART), release, namespace, values, more)
            .unwrap_or_else(|says| panic!("{more}: {says}")),
    )
}

/// What helm says where it renders nothing.
pub fn refused(values: &str) -> String {
    refused_with(values, &Value::Null)
}

/// The same with more values, which count before those of the file.
pub fn refused_with(values: &str, more: &Value) -> String {
    render(Path::new(CHART), "sw", "watching", values, more).expect_err("helm renders it")
}

/// The same of another chart.
pub(crate) fn rendered_chart(chart: &Path, release: &str, namespace: &str, values: &str) -> Vec<Object> {
    objects(&render(chart, release, namespace, values, &Value::Null).unwrap())
}

fn objects(text: &str) -> Vec<Object> {
    let documents =
        serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).map(Object).collect()
}

fn render(
    chart: &Path,
    release: &str,
    namespace: &str,
    values: &str,
    more: &Value,
) -> Result<String, String> {
    let values = format!("{}/chart/{values}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut helm = Command::new(tools().join("helm"));
    helm.args(["template", release]).arg(chart);
    helm.args(["--namespace", namespace, "--values", &values, "--values", "-"]);
    output(&mut helm, &more.to_string())
}
