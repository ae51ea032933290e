//! The workers. Only what a running worker cannot take in reaches the pod template: another one rolls the pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, LocalObjectReference,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};
use stockwatch_crds::v1alpha1::ImagePullPolicy;

use super::pod_volumes::{self, SECRETS, SPEC, STATE};
use super::{HTTP, HTTP_PORT, Owner, Worker};
use crate::names;

/// The name of the worker's container.
pub const CONTAINER: &str = "worker";

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
    let mut annotations = worker.spec.annotations.clone().unwrap_or_default();
    annotations.insert(names::CONNECTION.to_owned(), worker.connection.clone());
    if let Some(account) = worker.spec.service_account_annotations.as_ref().filter(|own| !own.is_empty()) {
        // A cloud gives a pod its role when it starts: another role needs other pods.
        annotations.insert(names::SERVICE_ACCOUNT.to_owned(), digest(account));
    }
    ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

fn digest(texts: &BTreeMap<String, String>) -> String {
    let digest = Sha256::digest(format!("{texts:?}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
        termination_grace_period_seconds: wishes.termination_grace_period_seconds.or(Some(GRACE_SECONDS)),
        priority_class_name: wishes.priority_class_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(owner, worker)],
        volumes: Some(pod_volumes::volumes(owner, worker)),
        image_pull_secrets: pull_secrets(worker),
        node_selector: wishes.node_selector.clone().filter(|labels| !labels.is_empty()),
        tolerations: wishes.tolerations.clone().filter(|list| !list.is_empty()),
        affinity: wishes.affinity.clone(),
        topology_spread_constraints: wishes.topology_spread_constraints.clone().or(Some(vec![spread])),
        ..PodSpec::default()
    }
}

fn container(owner: &Owner, worker: &Worker<'_>) -> Container {
    let wishes = worker.spec;
    Container {
        name: CONTAINER.into(),
        image: Some(worker.image.clone()),
        args: Some(arguments(owner, worker.listen)),
        image_pull_policy: wishes
            .image_pull_policy
            .map(ImagePullPolicy::as_str)
            .or(worker.pull_policy)
            .map(str::to_owned),
        env: Some(std::iter::once(pod_name()).chain(wishes.env.iter().flatten().cloned()).collect()),
        env_from: wishes.env_from.clone().filter(|sources| !sources.is_empty()),
        ports: Some(vec![ContainerPort {
            name: Some(HTTP.into()),
            container_port: HTTP_PORT.into(),
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
        volume_mounts: Some(pod_volumes::mounts(worker)),
        ..Container::default()
    }
}

fn pod_name() -> EnvVar {
    EnvVar {
        name: "POD_NAME".into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn arguments(owner: &Owner, listen: IpAddr) -> Vec<String> {
    let watch = format!("{}/{}", owner.namespace, owner.name);
    let http = SocketAddr::new(listen, HTTP_PORT).to_string();
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

fn pull_secrets(worker: &Worker<'_>) -> Option<Vec<LocalObjectReference>> {
    let own = || worker.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    let secrets: Vec<LocalObjectReference> = worker.spec.image_pull_secrets.clone().unwrap_or_else(own);
    (!secrets.is_empty()).then_some(secrets)
}
