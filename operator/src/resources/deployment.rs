//! The workers. Only what a running worker cannot take in reaches the pod template: another one rolls the pods.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::{HTTP, HTTP_PORT, Owner, Worker, source_volumes};
use crate::names;

/// The name of the worker's container.
pub const CONTAINER: &str = "worker";

const SPEC: &str = "/etc/stockwatch/spec";
const STATE: &str = "/var/lib/stockwatch";
const SECRETS: &str = "/etc/stockwatch/credentials";

/// A worker ends within 5 s; the rest is for a slow node.
const GRACE_SECONDS: i64 = 30;
/// After so long without progress a rollout counts as failed.
const PROGRESS_SECONDS: i32 = 180;

pub(super) fn build(owner: &Owner, worker: &Worker<'_>) -> Deployment {
    let selector =
        LabelSelector { match_labels: Some(names::selector(&owner.name)), ..LabelSelector::default() };
    Deployment {
        metadata: owner.metadata(),
        spec: Some(DeploymentSpec {
            replicas: worker.replicas,
            selector: selector.clone(),
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(PROGRESS_SECONDS),
            // The new pod has joined before the old one leaves: partitions are never without a worker for long.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(template_metadata(owner, worker)),
                spec: Some(pod(owner, worker, selector)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn template_metadata(owner: &Owner, worker: &Worker<'_>) -> ObjectMeta {
    let mut labels = worker.spec.labels.clone().unwrap_or_default();
    labels.extend(names::labels(&owner.name));
    let connection = (names::CONNECTION.to_owned(), worker.connection.clone());
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(BTreeMap::from([connection])),
        ..ObjectMeta::default()
    }
}

fn pod(owner: &Owner, worker: &Worker<'_>, selector: LabelSelector) -> PodSpec {
    let wishes = worker.spec;
    let spread = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(selector),
        ..TopologySpreadConstraint::default()
    };
    PodSpec {
        service_account_name: Some(names::owned(&owner.name)),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(owner, worker)],
        volumes: Some(volumes(owner, worker).into_iter().chain(source_volumes::volumes(worker)).collect()),
        image_pull_secrets: pull_secrets(worker),
        node_selector: wishes.node_selector.clone().filter(|labels| !labels.is_empty()),
        tolerations: wishes.tolerations.clone().filter(|list| !list.is_empty()),
        affinity: wishes.affinity.clone(),
        topology_spread_constraints: wishes.topology_spread_constraints.clone().or(Some(vec![spread])),
        ..PodSpec::default()
    }
}

fn container(owner: &Owner, worker: &Worker<'_>) -> Container {
    Container {
        name: CONTAINER.into(),
        image: Some(worker.image.clone()),
        args: Some(arguments(owner)),
        env: Some(vec![EnvVar {
            name: "POD_NAME".into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".into(),
                    ..ObjectFieldSelector::default()
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![ContainerPort {
            name: Some(HTTP.into()),
            container_port: HTTP_PORT,
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        // It answers at once, before it has reached Kafka: readiness alone says that it works.
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        resources: Some(worker.spec.resources.clone().unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(worker).into_iter().chain(source_volumes::mounts(worker)).collect()),
        ..Container::default()
    }
}

fn arguments(owner: &Owner) -> Vec<String> {
    let watch = format!("{}/{}", owner.namespace, owner.name);
    let http = format!("[::]:{HTTP_PORT}");
    [
        "run",
        "--watch",
        &watch,
        "--uid",
        &owner.uid,
        "--id",
        "$(POD_NAME)",
        "--spec-directory",
        SPEC,
        "--state-directory",
        STATE,
        "--credentials",
        SECRETS,
        "--http",
        &http,
        "--log-format",
        "json",
    ]
    .map(String::from)
    .to_vec()
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(HTTP.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// A worker's buffers are bounded; what grows with the tickers is small beside them.
fn default_resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "20m"), ("memory", "64Mi")])),
        limits: Some(quantities(&[("memory", "512Mi")])),
        claims: None,
    }
}

fn volumes(owner: &Owner, worker: &Worker<'_>) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let spec = Volume {
        name: "spec".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::owned(&owner.name),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut volumes = vec![spec, empty("state"), empty("tmp")];
    for (i, (secret, keys)) in worker.secrets().into_iter().enumerate() {
        let item = |key: &str| KeyToPath { key: key.into(), path: key.into(), mode: None };
        volumes.push(Volume {
            name: secret_volume(i),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.into()),
                items: Some(keys.into_iter().map(item).collect()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    volumes
}

fn mounts(worker: &Worker<'_>) -> Vec<VolumeMount> {
    let mount = |name: &str, path: String, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        mount("spec", SPEC.into(), true),
        mount("state", STATE.into(), false),
        mount("tmp", "/tmp".into(), false),
    ];
    for (i, secret) in worker.secrets().into_keys().enumerate() {
        mounts.push(mount(&secret_volume(i), format!("{SECRETS}/{secret}"), true));
    }
    mounts
}

/// A Secret's name may be longer than a volume's.
fn secret_volume(i: usize) -> String {
    format!("credentials-{i}")
}

fn pull_secrets(worker: &Worker<'_>) -> Option<Vec<LocalObjectReference>> {
    let own = || worker.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    let secrets: Vec<LocalObjectReference> = worker.spec.image_pull_secrets.clone().unwrap_or_else(own);
    (!secrets.is_empty()).then_some(secrets)
}
