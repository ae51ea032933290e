//! What a StockWatch needs in Kubernetes: one pure builder a kind. Nothing here does I/O or looks at a clock.

mod config_map;
mod deployment;
mod desired;
mod disruption_budget;
mod kind;
mod owner;
mod pod_volumes;
mod role;
mod role_binding;
mod service;
mod service_account;
mod source_volumes;
mod worker;

pub use config_map::SPEC_KEY;
pub use deployment::CONTAINER;
pub use desired::Desired;
pub(crate) use desired::digest;
pub use kind::Kind;
pub use owner::Owner;
pub use service::{HTTP, HTTP_PORT};
pub use worker::Worker;
pub(crate) use worker::{KeyChoice, has_default_image, secrets, worker_spec};

use serde_json::Error;
use stockwatch_crds::StockWatch;

use crate::names;

/// Everything but the Deployment: none of it depends on Kafka, and a running worker needs all of it.
pub fn surroundings(owner: &Owner, stockwatch: &StockWatch) -> Result<Vec<Desired>, Error> {
    Ok(vec![
        Desired::new(Kind::ConfigMap, &config_map::build(owner, stockwatch)?)?,
        Desired::new(Kind::ServiceAccount, &service_account::build(owner, stockwatch.spec.worker.as_ref()))?,
        Desired::new(Kind::Role, &role::build(owner))?,
        Desired::new(Kind::RoleBinding, &role_binding::build(owner))?,
        Desired::new(Kind::Service, &service::build(owner))?,
        Desired::new(Kind::PodDisruptionBudget, &disruption_budget::build(owner))?,
    ])
}

/// The Deployment.
pub fn workers(owner: &Owner, worker: &Worker<'_>) -> Result<Desired, Error> {
    let mut deployment = deployment::build(owner, worker);
    let template = digest(&deployment.spec.as_ref().map(|spec| &spec.template))?;
    let annotations = deployment.metadata.annotations.get_or_insert_default();
    annotations.insert(names::TEMPLATE.to_owned(), template);
    annotations.insert(names::WISHES.to_owned(), digest(&worker.wishes())?);
    annotations.insert(names::IMAGE.to_owned(), worker.image.clone());
    Desired::new(Kind::Deployment, &deployment)
}

#[cfg(test)]
mod tests;
