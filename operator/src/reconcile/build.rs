//! The Deployment as it is to be now: a new default image is taken by few StockWatches at once.

use serde_json::Error;
use stockwatch_crds::{Spec, StockWatch};
use tokio::time::Instant;

use super::{Decision, Plan};
use crate::context::Context;
use crate::key::Key;
use crate::resources::{Desired, Owner, Worker, worker_spec, workers};
use crate::store::Owned;

/// Builds it.
pub(super) fn deployment(
    context: &Context,
    owner: &Owner,
    stockwatch: &StockWatch,
    spec: &Spec,
    plan: &Plan,
    connection: &str,
    existing: Option<&Owned>,
) -> Result<Desired, Error> {
    let wishes = worker_spec(stockwatch);
    let none = matches!(plan.decision, Decision::Suspend | Decision::Stop);
    let worker = |image: &str| Worker {
        replicas: if none { Some(0) } else { wishes.replicas },
        image: image.to_owned(),
        pull_secrets: &context.settings.pull_secrets,
        kafka: &spec.kafka,
        connection: connection.to_owned(),
        spec: &wishes,
    };
    let default = &context.settings.worker_image;
    let desired = workers(owner, &worker(wishes.image.as_deref().unwrap_or(default)))?;
    let running = existing.and_then(|owned| Some((owned.hash.as_ref()?, owned.rollout.as_ref()?)));
    if let Some((hash, rollout)) = running
        && wishes.image.is_none()
        && rollout.wanted > 0
        && rollout.image != *default
    {
        let as_it_is = workers(owner, &worker(&rollout.image))?;
        let key = Key::new(&owner.namespace, &owner.name);
        // Whatever else changed rolls the pods anyhow.
        if as_it_is.hash == *hash && !context.slots.take(&key, Instant::now()) {
            return Ok(as_it_is);
        }
    }
    Ok(desired)
}
