//! The worker's pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problems;

const MAX_REPLICAS: i32 = 1000;
const MAX_IMAGE: usize = 1024;
const MAX_LABELS: usize = 64;
const MAX_LIST: usize = 64;

/// The worker's pods. Changes here roll them.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// How many; they share the raw topic's partitions and the tickers. Leave it out where an autoscaler owns
    /// it. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_REPLICAS), extend("default" = 1))]
    pub replicas: Option<i32>,
    /// The image. Absent: the one of the operator's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_IMAGE))]
    pub image: Option<String>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_LIST))]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// What a pod requests and may use. Absent: the operator's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = MAX_LABELS))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of nodes to tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_LIST))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Nodes and pods to be near to or away from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How to spread over zones and nodes. Absent: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_LIST))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// More labels for the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = MAX_LABELS))]
    pub labels: Option<BTreeMap<String, String>>,
}

impl WorkerSpec {
    /// The rules of the definition; what only the API server knows of pods is left to it.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if let Some(replicas) = self.replicas
            && !(0..=MAX_REPLICAS).contains(&replicas)
        {
            problems.add(
                "spec.worker.replicas",
                format!("{replicas} is out of range: 0 to {MAX_REPLICAS} is allowed"),
            );
        }
        if let Some(image) = &self.image
            && !(1..=MAX_IMAGE).contains(&image.chars().count())
        {
            problems.add("spec.worker.image", format!("1 to {MAX_IMAGE} characters are allowed"));
        }
        let lengths = [
            ("imagePullSecrets", self.image_pull_secrets.as_ref().map(Vec::len), MAX_LIST),
            ("nodeSelector", self.node_selector.as_ref().map(BTreeMap::len), MAX_LABELS),
            ("tolerations", self.tolerations.as_ref().map(Vec::len), MAX_LIST),
            ("topologySpreadConstraints", self.topology_spread_constraints.as_ref().map(Vec::len), MAX_LIST),
            ("labels", self.labels.as_ref().map(BTreeMap::len), MAX_LABELS),
        ];
        for (field, length, most) in lengths {
            if length.is_some_and(|length| length > most) {
                problems.add(format!("spec.worker.{field}"), format!("at most {most} are allowed"));
            }
        }
    }
}
