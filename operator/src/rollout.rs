//! How far a Deployment is: what remains of it in memory.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};

use crate::names;
use crate::refusals::cut;
use crate::resources::CONTAINER;

/// How the newest rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is over.
    Complete,
    /// It goes on.
    Going,
    /// It has not gone on for too long.
    Failed,
}

/// A Deployment, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Its controller has seen its newest form; until then the numbers are those of an older one.
    pub observed: bool,
    /// How many pods it is to have.
    pub wanted: i32,
    /// How many there are.
    pub replicas: i32,
    /// How many of them are of the newest form.
    pub updated: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// How the newest rollout goes.
    pub progress: Progress,
    /// Why pods are not created: a quota, a limit or a policy, in the API server's words.
    pub refusal: Option<String>,
    /// The worker's image, as it was asked for.
    pub image: String,
    /// Digest of how its pods reach Kafka.
    pub connection: Option<String>,
    /// Digest of the pod template that was applied; `None`: by an operator that did not note it.
    pub template: Option<String>,
    /// Digest of what its StockWatch has to say about the pods, likewise.
    pub wishes: Option<String>,
}

impl Rollout {
    /// Of a Deployment; `None` for one that has no spec.
    pub fn of(deployment: &Deployment) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let absent = DeploymentStatus::default();
        let status = deployment.status.as_ref().unwrap_or(&absent);
        let template = &spec.template;
        let containers = template.spec.as_ref().map(|pod| pod.containers.as_slice()).unwrap_or_default();
        let worker = containers.iter().find(|container| container.name == CONTAINER);
        let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
        let noted = |name| deployment.metadata.annotations.as_ref()?.get(name).cloned();
        Some(Self {
            observed: status.observed_generation >= deployment.metadata.generation,
            wanted: spec.replicas.unwrap_or(1),
            replicas: status.replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            progress: progress(status),
            refusal: refusal(status),
            image: noted(names::IMAGE).or_else(|| worker?.image.clone()).unwrap_or_default(),
            connection: annotations.and_then(|annotations| annotations.get(names::CONNECTION).cloned()),
            template: noted(names::TEMPLATE),
            wishes: noted(names::WISHES),
        })
    }

    /// Every pod that is wanted is of the newest form and ready, and there is no other.
    pub fn is_complete(&self) -> bool {
        self.observed && [self.replicas, self.updated, self.ready] == [self.wanted; 3]
    }

    /// Some pod of the newest form is ready: not all that are ready can be of an older one.
    pub fn has_ready_new(&self) -> bool {
        self.observed && self.ready + self.updated > self.replicas
    }

    /// Pods are replaced, as far as its controller has said.
    pub fn is_under_way(&self) -> bool {
        !self.is_complete() && (!self.observed || self.progress != Progress::Complete)
    }

    /// Its rollout is over, and yet fewer pods are ready than are wanted.
    pub fn lacks_ready(&self) -> bool {
        self.observed && self.progress == Progress::Complete && self.ready < self.wanted
    }
}

fn refusal(status: &DeploymentStatus) -> Option<String> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let failure = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(cut(failure.message.as_deref().unwrap_or("the API server refuses them")))
}

fn progress(status: &DeploymentStatus) -> Progress {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let progressing = conditions.iter().find(|condition| condition.type_ == "Progressing");
    match progressing.and_then(|condition| condition.reason.as_deref()) {
        Some("NewReplicaSetAvailable") => Progress::Complete,
        Some("ProgressDeadlineExceeded") => Progress::Failed,
        _ => Progress::Going,
    }
}
