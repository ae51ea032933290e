//! What the spec and the object refer to: Secrets, topics, workers and the Deployment.

use stockwatch_crds::v1alpha1::WorkerSpec;
use stockwatch_crds::{Invalid, Spec, StockWatch};

use crate::context::Context;
use crate::credentials::{Known, Mountable, PodSecrets, ReadError};
use crate::key::Key;
use crate::resources::{Kind, Owner};
use crate::rollout::Rollout;
use crate::store::Whose;
use crate::topics::{Observed, Wanted};
use crate::workers::Report;

/// What was dereferenced.
pub(super) struct Inputs {
    pub(super) spec: Result<Spec, Invalid>,
    pub(super) access: Known,
    pub(super) pods: PodSecrets,
    pub(super) sources: Mountable,
    /// Why Secrets are read again soon.
    pub(super) failed: Option<ReadError>,
    pub(super) kafka: Option<Observed>,
    pub(super) rollout: Option<Rollout>,
    pub(super) report: Report,
}

/// Everything that the spec and the object refer to.
pub(super) async fn dereference(
    context: &Context,
    key: &Key,
    owner: &Owner,
    stockwatch: &StockWatch,
) -> Inputs {
    let spec = Spec::parse(stockwatch);
    let rollout = rollout(context, key, owner);
    let nothing = Known { access: None, problem: None, again: None };
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let Ok(valid) = &spec else {
        return Inputs {
            spec,
            access: nothing,
            pods: PodSecrets::default(),
            sources: Mountable::default(),
            failed: None,
            kafka: None,
            rollout,
            report: Report::default(),
        };
    };
    // First of all: the workers take an edit in by themselves, and answer while the rest is done.
    let ready = context.store.workers_of(key);
    context.flows.hurry(key, stockwatch, ready.len());
    let report = context.workers.observe(key, &owner.uid, generation, &ready);
    let refused = context.remember(key, |memory| memory.refused);
    let (access, failed) = match context.credentials.of(key, &valid.kafka, refused).await {
        Ok(access) => (access, None),
        Err(error) => (nothing.clone(), Some(error)),
    };
    let (sources, access, mut failed) = match context.credentials.of_source(key, &valid.source).await {
        Ok(sources) => (sources, access, failed),
        // Without them it is not known how the Deployment should be.
        Err(error) => (Mountable::default(), nothing, Some(failed.unwrap_or(error))),
    };
    let pod_secrets = stockwatch.spec.worker.as_ref().map(WorkerSpec::pod_secrets).unwrap_or_default();
    let pods = match context.credentials.of_pods(key, &pod_secrets).await {
        Ok(pods) => pods,
        Err(error) => {
            failed.get_or_insert(error);
            PodSecrets::default()
        }
    };
    let kafka = match (&access, Wanted::of(stockwatch, valid)) {
        (Known { access: Some(access), problem: None, .. }, Some(wanted)) => {
            let who = wanted.who.clone();
            let observed = context.kafka.observe(&access.connection, wanted);
            // Workers whose topic is gone are not ready, and wait for it to be created again.
            if rollout.as_ref().is_some_and(Rollout::lacks_ready) {
                context.kafka.recheck(&who);
            }
            Some(observed)
        }
        _ => None,
    };
    if failed.is_none() {
        let refused = matches!(&kafka, Some(Observed::Unreachable(problem)) if problem.reason.is_refusal());
        context.remember(key, |memory| memory.refused = refused);
    }
    Inputs { spec, access, pods, sources, failed, kafka, rollout, report }
}

/// The Deployment, if it is ours.
pub(super) fn rollout(context: &Context, key: &Key, owner: &Owner) -> Option<Rollout> {
    let owned = context.store.owned_of(key, Kind::Deployment)?;
    let ours = owned.whose(&owner.name, &owner.uid) == Whose::Ours && !owned.deleting;
    let rollout = owned.rollout.filter(|_| ours)?;
    if rollout.is_complete() && context.remember(key, |memory| memory.template == rollout.template) {
        context.slot_done(key);
    }
    Some(rollout)
}
