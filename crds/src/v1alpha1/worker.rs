//! The worker's pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements, Toleration,
    TopologySpreadConstraint,
};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::pod::{MountSpec, VolumeSpec};
use crate::limits::{
    MAX_ANNOTATION, MAX_ANNOTATIONS, MAX_ENV, MAX_GRACE_SECONDS, MAX_IMAGE, MAX_LABELS, MAX_LIST,
    MAX_PRIORITY_CLASS, MAX_REPLICAS, MAX_VOLUMES, MIN_GRACE_SECONDS,
};

const NOT_OURS: &str = "self.all(key, !key.startsWith('stockwatch.dev/'))";
const SAY_NOT_OURS: &str = "annotations of stockwatch.dev/ are the operator's own: choose another prefix";

/// A map of texts, with limits that the derive has no words for.
fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ANNOTATIONS,
        "additionalProperties": {"type": "string", "maxLength": MAX_ANNOTATION},
    })
}

/// When a node pulls the image.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start.
    Always,
    /// If it is not there.
    IfNotPresent,
    /// Never: it is there.
    Never,
}

impl ImagePullPolicy {
    /// As a container has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The worker's pods. Changes here roll them. Annotations, env, envFrom, volumes and volumeMounts have at most 8,000
/// bytes altogether as JSON.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))"
).message("a volumeMount names a volume that is none of spec.worker.volumes"))]
pub struct WorkerSpec {
    /// How many; they share the raw topic's partitions and the tickers. Absent: one, or as many as somebody else sets on
    /// the Deployment. An autoscaler of the StockWatch itself needs it set once: kubectl scale sw NAME --replicas=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_REPLICAS))]
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
    /// Annotations of the pods, such as those of a service mesh or a secret injector; none of stockwatch.dev/.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new(NOT_OURS).message(SAY_NOT_OURS))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Annotations of the pods' ServiceAccount, such as the role of a cloud's workload identity; none of
    /// stockwatch.dev/. A change rolls the pods, since a role is given to a pod when it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new(NOT_OURS).message(SAY_NOT_OURS))]
    pub service_account_annotations: Option<BTreeMap<String, String>>,
    /// Environment variables, such as SSL_CERT_FILE or RUST_LOG. POD_NAME is the operator's own. A Secret that one of them
    /// names needs the label stockwatch.dev/credentials: "pod".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ENV))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(e, e.name != 'POD_NAME')")
            .message("POD_NAME is set by the operator: leave it out")
    )]
    pub env: Option<Vec<EnvVar>>,
    /// Where more environment variables come from. A Secret needs the label stockwatch.dev/credentials: "pod".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ENV))]
    pub env_from: Option<Vec<EnvFromSource>>,
    /// Volumes to mount. A Secret needs the label stockwatch.dev/credentials: "pod".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_VOLUMES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Option<Vec<VolumeSpec>>,
    /// Where the volumes are in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_VOLUMES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mountPath".into()]))]
    pub volume_mounts: Option<Vec<MountSpec>>,
    /// How important the pods are to the scheduler: the name of a PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PRIORITY_CLASS))]
    #[x_kube(validation = Rule::new(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')"
    ).message("the name of a PriorityClass is a-z, 0-9, '-' and '.', starting and ending with a letter or digit"))]
    pub priority_class_name: Option<String>,
    /// When a node pulls the image. Absent: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// How long a pod may take to end, in seconds, 5 to 600. Absent: 30; a worker needs 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_GRACE_SECONDS, max = MAX_GRACE_SECONDS))]
    pub termination_grace_period_seconds: Option<i64>,
}
