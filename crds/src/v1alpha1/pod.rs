//! Volumes of the worker's pods: those that the Pod Security Standard `restricted` allows, without what a StockWatch has
//! no use for.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretVolumeSource,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_MOUNT_PATH, MAX_VOLUME_NAME};

/// A volume: a name and exactly one source.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.downwardAPI), has(self.projected), \
      has(self.persistentVolumeClaim), has(self.csi)].filter(x, x).size() == 1"
).message("a volume is exactly one of configMap, secret, emptyDir, downwardAPI, projected, persistentVolumeClaim and csi; \
    hostPath and others are not allowed: use a persistentVolumeClaim"))]
pub struct VolumeSpec {
    /// Its name; spec, state, tmp, source-0 and so on, and what begins with credentials are the operator's own.
    #[schemars(length(min = 1, max = MAX_VOLUME_NAME))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("the name of a volume is a-z, 0-9 and '-', starting and ending with a letter or digit"),
        validation = Rule::new("!(self in ['spec', 'state', 'tmp']) && !self.startsWith('credentials')")
            .message("spec, state, tmp and what begins with credentials are volumes of the operator: choose another name"),
        validation = Rule::new("!self.matches('^source-[0-9]+$')")
            .message("source-0, source-1 and so on are volumes of the operator: choose another name")
    )]
    pub name: String,
    /// The keys of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// The keys of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// An empty directory, gone with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// Fields of the pod.
    #[serde(default, rename = "downwardAPI", skip_serializing_if = "Option::is_none")]
    pub downward_api: Option<DownwardAPIVolumeSource>,
    /// Several of the others in one, and tokens of the ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<ProjectedVolumeSource>,
    /// A PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// What a driver provides, such as a store of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
}

/// Where a volume is in the container.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MountSpec {
    /// One of spec.worker.volumes.
    #[schemars(length(min = 1, max = MAX_VOLUME_NAME))]
    pub name: String,
    /// The directory or file in the container.
    #[schemars(length(min = 2, max = MAX_MOUNT_PATH))]
    #[x_kube(
        validation = Rule::new("self.matches('^(/[^/:]+)+$') && !self.matches('/[.][.]?(/|$)')")
            .message("a path of the container begins with /, and has no :, no . or .. and no / at its end"),
        validation = Rule::new(
            "!['/etc/stockwatch', '/var/lib/stockwatch', '/tmp', '/var/run/secrets', '/run/secrets', '/usr/local/bin']\
             .exists(p, (self + '/').startsWith(p + '/') || (p + '/').startsWith(self + '/'))"
        ).message("nothing can be mounted in or over /etc/stockwatch, /var/lib/stockwatch, /tmp, /var/run/secrets, \
            /run/secrets and /usr/local/bin, where the worker has its own: choose another path")
    )]
    pub mount_path: String,
    /// The directory or file of the volume. Absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_MOUNT_PATH))]
    pub sub_path: Option<String>,
    /// Whether the worker cannot write to it. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}
