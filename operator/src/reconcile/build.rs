//! The Deployment as it is to be now: what replaces pods takes its turn, and nothing else waits.

use std::collections::BTreeSet;

use serde_json::Error;
use stockwatch_crds::{Spec, StockWatch};
use tokio::time::Instant;

use super::{Decision, Plan, Template};
use crate::context::Context;
use crate::key::Key;
use crate::names;
use crate::resources::{Desired, Owner, Worker, worker_spec, workers};
use crate::rollout::Rollout;
use crate::slots::Cause;
use crate::status::{Condition, Reason, said};
use crate::store::Owned;

/// What the Deployment is to be now.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// `None`: it stays as it is.
    pub(super) desired: Option<Desired>,
    /// Whether its pods wait for their turn to be replaced.
    pub(super) turn: Option<Turn>,
}

/// Why pods are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// It is an edit that waits.
    pub is_edited: bool,
    /// A StockWatch whose workers do not become ready with the upgrade, where that is why.
    pub halted_by: Option<Key>,
}

/// What the pods reach Kafka and their source with.
pub(super) struct PodAccess<'a> {
    /// The digest of how Kafka is reached.
    pub(super) connection: &'a str,
    /// The Secrets of the source that may be mounted.
    pub(super) sources: &'a BTreeSet<String>,
}

/// Builds it.
pub(super) fn deployment(
    context: &Context,
    owner: &Owner,
    stockwatch: &StockWatch,
    spec: &Spec,
    plan: &Plan,
    access: &PodAccess<'_>,
    existing: Option<&Owned>,
) -> Result<Built, Error> {
    let wishes = worker_spec(stockwatch);
    let none = matches!(plan.decision, Decision::Suspend | Decision::Stop);
    let build = |image: &str, connection: &str| {
        let worker = Worker {
            replicas: if none { Some(0) } else { wishes.replicas },
            image: image.to_owned(),
            pull_secrets: &context.settings.pull_secrets,
            pull_policy: context.settings.pull_policy.as_deref(),
            listen: context.settings.listen,
            kafka: &spec.kafka,
            connection: connection.to_owned(),
            sources: access.sources,
            spec: &wishes,
        };
        workers(owner, &worker)
    };
    let image = wishes.image.as_deref().unwrap_or(&context.settings.worker_image);
    let desired = build(image, access.connection)?;
    let key = Key::new(&owner.namespace, &owner.name);
    if none {
        context.free_slot(&key);
        return Ok(Built { desired: Some(desired), turn: None });
    }
    let running = existing.and_then(|owned| owned.rollout.as_ref()).filter(|rollout| rollout.wanted > 0);
    let digest = desired.annotation(names::TEMPLATE).unwrap_or_default().to_owned();
    let is_edited = remember(context, &key, stockwatch, &digest);
    let Some(rollout) = running.filter(|rollout| rollout.template.as_ref() != Some(&digest)) else {
        context.remember(&key, |memory| {
            memory.template.iter_mut().for_each(|template| template.is_edited = false);
        });
        return Ok(Built { desired: Some(desired), turn: None });
    };
    // Where the image is another one as well, it is the upgrade that replaces pods: operators of two versions may digest
    // the same connection differently, and a rotated Secret would bring the upgrade's image with it.
    let is_rotated = rollout.connection.as_deref() != Some(access.connection) && rollout.image == image;
    let is_own = is_edited || is_rotated;
    let cause = cause(is_own, rollout);
    let now = Instant::now();
    // Where nothing works, what is done to mend it does not wait.
    if (is_own && rollout.ready == 0) || context.slots.take(&key, cause, now) {
        return Ok(Built { desired: Some(desired), turn: None });
    }
    // The count of pods does not wait, where the pods that there are can be described.
    let as_they_are = build(&rollout.image, rollout.connection.as_deref().unwrap_or_default())?;
    let is_known = as_they_are.annotation(names::TEMPLATE) == rollout.template.as_deref();
    let halted_by = context.slots.halted(now).filter(|_| cause == Cause::Upgrade);
    Ok(Built { desired: is_known.then_some(as_they_are), turn: Some(Turn { is_edited, halted_by }) })
}

/// Workers that were not ready before an upgrade say nothing of it.
fn cause(is_own: bool, rollout: &Rollout) -> Cause {
    if is_own || rollout.ready == 0 { Cause::Own } else { Cause::Upgrade }
}

/// Notes the template. `true`: an edit is why it is another one.
fn remember(context: &Context, key: &Key, stockwatch: &StockWatch, digest: &str) -> bool {
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let before = stockwatch.status.as_ref().and_then(|status| said(status, Condition::WorkerAvailable));
    let unseen = before.is_none_or(|said| {
        said.observed_generation != Some(generation) || said.reason == Reason::WaitingForTurn.as_str()
    });
    context.remember(key, |memory| {
        let next = Template::next(memory.template.as_ref(), generation, digest, unseen);
        memory.template.insert(next).is_edited
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::time::advance;

    use super::*;
    use crate::reconcile::fixtures::context;
    use crate::rollout::Progress;

    fn after(steps: &[(i64, &str, bool)]) -> bool {
        let fold = |before: Option<Template>, (generation, digest, unseen): &(i64, &str, bool)| {
            Some(Template::next(before.as_ref(), *generation, digest, *unseen))
        };
        steps.iter().fold(None, fold).is_some_and(|template| template.is_edited)
    }

    #[test]
    fn another_template_is_an_edit_only_if_the_generation_is_another_one_too() {
        assert!(!after(&[(7, "a", false), (8, "a", true)]), "a tolerance");
        assert!(after(&[(7, "a", false), (8, "b", true)]), "a label of the pods");
        assert!(!after(&[(7, "a", false), (7, "b", false)]), "a rotated Secret");
        assert!(after(&[(7, "a", false), (8, "b", true), (9, "b", true)]), "it still waits");
        assert!(after(&[(8, "b", true)]), "made while no operator was there");
        assert!(!after(&[(8, "b", false)]), "an operator that was upgraded");
    }

    #[test]
    fn only_workers_that_were_ready_speak_for_or_against_an_upgrade() {
        let rollout = rollout();
        assert_eq!(cause(false, &rollout), Cause::Upgrade);
        assert_eq!(cause(true, &rollout), Cause::Own);
        assert_eq!(cause(false, &Rollout { ready: 0, ..rollout }), Cause::Own);
    }

    /// A worker that is ready, in the form of an older operator.
    fn rollout() -> Rollout {
        Rollout {
            observed: true,
            wanted: 1,
            replicas: 1,
            updated: 1,
            ready: 1,
            progress: Progress::Complete,
            refusal: None,
            image: "worker:1".into(),
            connection: Some("c".into()),
            template: Some("t".into()),
        }
    }

    /// A StockWatch whose worker was said to be ready in generation 7.
    fn stockwatch(generation: i64, worker: Value) -> StockWatch {
        let available = json!({
            "type": "WorkerAvailable", "status": "True", "reason": "WorkersReady", "message": "1 of 1",
            "observedGeneration": 7, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u", "generation": generation},
            "spec": {"tickers": [{"symbol": "META"}], "kafka": {"bootstrapServers": "kafka:9092"}, "worker": worker},
            "status": {"conditions": [available]},
        }))
        .unwrap()
    }

    fn built(context: &Context, stockwatch: &StockWatch, connection: &str) -> Built {
        let owner = Owner::of(&stockwatch.metadata).unwrap();
        let spec = Spec::parse(stockwatch).unwrap();
        let plan = Plan { decision: Decision::Run, connection: Some(connection.to_owned()) };
        let access = PodAccess { connection, sources: &BTreeSet::new() };
        let existing = Owned {
            uid: "d".into(),
            controller: None,
            hash: None,
            fields: None,
            deleting: false,
            rollout: Some(rollout()),
        };
        deployment(context, &owner, stockwatch, &spec, &plan, &access, Some(&existing)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_of_an_upgrade_that_fails_keeps_its_pods_and_says_by_whom_it_is_halted() {
        let (context, _) = context(|_| None);
        let first: Vec<Key> = (0..10).map(|i| Key::new("market", format!("first-{i}"))).collect();
        assert!(first.iter().all(|key| context.slots.take(key, Cause::Upgrade, Instant::now())));
        let eleventh = built(&context, &stockwatch(7, json!({})), "c");
        assert_eq!(eleventh.turn, Some(Turn { is_edited: false, halted_by: None }), "they may come up");
        advance(Duration::from_secs(3600)).await;
        let eleventh = built(&context, &stockwatch(7, json!({})), "c");
        assert!(eleventh.desired.is_none());
        assert_eq!(eleventh.turn, Some(Turn { is_edited: false, halted_by: Some(first[0].clone()) }));
        let rotated = built(&context, &stockwatch(7, json!({})), "d");
        assert!(rotated.desired.is_none(), "the image of the upgrade would come with it");
        let own = built(&context, &stockwatch(7, json!({"image": "worker:1"})), "d");
        assert!(own.desired.is_some() && own.turn.is_none(), "its image stays");
        context.free_slot(&Key::new("market", "tech"));
        let edited = built(&context, &stockwatch(8, json!({"labels": {"team": "quotes"}})), "c");
        assert!(edited.desired.is_some() && edited.turn.is_none(), "an edit does not wait for it");
    }
}
