//! The Deployment as it is to be now: a new default image is taken by few StockWatches at once.

use std::collections::BTreeSet;

use serde_json::Error;
use stockwatch_crds::{Spec, StockWatch};
use tokio::time::Instant;

use super::{Decision, Plan};
use crate::context::Context;
use crate::key::Key;
use crate::resources::{Desired, Owner, Worker, worker_spec, workers};
use crate::store::Owned;

/// What the pods reach Kafka and their source with.
pub(super) struct PodAccess<'a> {
    /// The digest of how Kafka is reached.
    pub(super) connection: &'a str,
    /// The Secrets of the source that may be mounted.
    pub(super) sources: &'a BTreeSet<String>,
}

/// Builds it; `None`: it stays as it is until it is its turn to take what a new operator changes.
pub(super) fn deployment(
    context: &Context,
    owner: &Owner,
    stockwatch: &StockWatch,
    spec: &Spec,
    plan: &Plan,
    access: &PodAccess<'_>,
    existing: Option<&Owned>,
) -> Result<Option<Desired>, Error> {
    let wishes = worker_spec(stockwatch);
    let none = matches!(plan.decision, Decision::Suspend | Decision::Stop);
    let worker = |image: &str| Worker {
        replicas: if none { Some(0) } else { wishes.replicas },
        image: image.to_owned(),
        pull_secrets: &context.settings.pull_secrets,
        kafka: &spec.kafka,
        connection: access.connection.to_owned(),
        sources: access.sources,
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
        let image_alone = as_it_is.hash == *hash;
        // An edit of what is cold rolls the pods anyhow, and is not kept waiting.
        let seen = stockwatch.status.as_ref().and_then(|status| status.observed_generation);
        let edited = !image_alone && seen != stockwatch.metadata.generation;
        let key = Key::new(&owner.namespace, &owner.name);
        if !edited && !context.slots.take(&key, Instant::now()) {
            return Ok(image_alone.then_some(as_it_is));
        }
    }
    Ok(Some(desired))
}
