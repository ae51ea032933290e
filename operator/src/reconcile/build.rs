//! The Deployment as it is to be now: what replaces pods takes its turn, and nothing else waits.

use std::collections::BTreeSet;

use serde_json::Error;
use stockwatch_crds::{Spec, StockWatch};
use tokio::time::Instant;

use super::{Decision, Plan};
use crate::context::Context;
use crate::key::Key;
use crate::names;
use crate::resources::{Desired, Owner, Worker, worker_spec, workers};
use crate::rollout::Rollout;
use crate::slots::Cause;

/// What the Deployment is to be now.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// `None`: it stays as it is.
    pub(super) desired: Option<Desired>,
    /// Whether its pods wait for their turn to be replaced.
    pub(super) turn: Option<HeldRollout>,
}

/// Why pods are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRollout {
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
    existing: Option<&Rollout>,
) -> Result<Built, Error> {
    let wishes = worker_spec(stockwatch);
    let none = matches!(plan.decision, Decision::Suspend | Decision::Stop) || wishes.replicas == Some(0);
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
    // What has to do without an upgrade keeps the default image that it has.
    let kept = existing.filter(|_| wishes.image.is_none()).map_or(image, |rollout| &rollout.image);
    let (key, now) = (Key::new(&owner.namespace, &owner.name), Instant::now());
    if none {
        context.free_slot(&key);
        return Ok(Built { desired: Some(build(kept, access.connection)?), turn: None });
    }
    let give = |template: Option<&str>| {
        context.remember(&key, |memory| memory.template = template.map(str::to_owned));
    };
    let given = |desired: Desired, turn| {
        give(desired.annotation(names::TEMPLATE));
        Ok(Built { desired: Some(desired), turn })
    };
    let desired = build(image, access.connection)?;
    let Some(rollout) = existing.filter(|rollout| rollout.wanted > 0) else {
        if existing.is_some() {
            // Nothing rolls where nothing runs.
            context.free_slot(&key);
        }
        let starts = if context.slots.is_proven() { desired } else { build(kept, access.connection)? };
        return given(starts, None);
    };
    let is_as_before = |built: &Desired| built.annotation(names::TEMPLATE) == rollout.template.as_deref();
    if is_as_before(&desired) {
        context.slots.settle(&key, wishes.image.is_none(), rollout, now);
        return given(desired, None);
    }
    // The count of pods does not wait, where the pods that there are can be described.
    let as_they_are = build(&rollout.image, rollout.connection.as_deref().unwrap_or_default())?;
    let as_they_are = Some(as_they_are).filter(is_as_before);
    let is_scaled =
        as_they_are.is_none() && wishes.replicas.is_some_and(|replicas| replicas != rollout.wanted);
    // Operators of two versions may digest the same connection differently: then the pods roll, paced as for an edit.
    let is_rotated = rollout.connection.as_deref() != Some(access.connection);
    let wishes_differ =
        rollout.wishes.as_deref().is_some_and(|before| desired.annotation(names::WISHES) != Some(before));
    let is_edited = is_scaled || wishes_differ || (wishes.image.is_some() && image != rollout.image);
    let is_own = is_edited || is_rotated;
    let own = if is_own {
        Some(build(kept, access.connection)?).filter(|own| is_scaled || !is_as_before(own))
    } else {
        None
    };
    if rollout.ready == 0
        && let Some(own) = own
    {
        // Where nothing works, what is done to mend it does not wait.
        return given(own, None);
    }
    let is_upgraded = kept != image || context.slots.upgrades(&key);
    let cause = match rollout.ready {
        _ if wishes.image.is_some() || (is_own && !is_upgraded) => Cause::Own,
        0 => Cause::UpgradeOfUnready,
        _ => Cause::Upgrade,
    };
    let taken = context.slots.take(&key, cause, own.is_some(), now);
    if taken == Some(cause) {
        return given(desired, None);
    }
    let halted_by = context.slots.halted(now).filter(|_| cause != Cause::Own);
    if let (Some(_), Some(own)) = (taken, own) {
        return given(own, Some(HeldRollout { is_edited: false, halted_by }));
    }
    give(rollout.template.as_deref());
    Ok(Built { desired: as_they_are, turn: Some(HeldRollout { is_edited, halted_by }) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};
    use stockwatch_crds::v1alpha1::WorkerSpec;
    use tokio::time::advance;

    use super::*;
    use crate::reconcile::fixtures::context;
    use crate::resources::{KeyChoice, digest};
    use crate::rollout::Progress;

    /// A worker in the form of an older operator, of a StockWatch without wishes.
    fn rollout(ready: i32) -> Rollout {
        let wishes = (
            WorkerSpec::default(),
            BTreeMap::<&str, BTreeSet<KeyChoice<'_>>>::new(),
            BTreeSet::<String>::new(),
        );
        Rollout {
            observed: true,
            wanted: 1,
            replicas: 1,
            updated: 1,
            ready,
            progress: Progress::Complete,
            refusal: None,
            image: "worker:1".into(),
            connection: Some("c".into()),
            template: Some("t".into()),
            wishes: Some(digest(&wishes).unwrap()),
        }
    }

    fn built(context: &Context, worker: &Value, connection: &str, rollout: Rollout) -> Built {
        let stockwatch: StockWatch = serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u"},
            "spec": {"tickers": [{"symbol": "META"}], "kafka": {"bootstrapServers": "kafka:9092"}, "worker": worker},
        }))
        .unwrap();
        let owner = Owner::of(&stockwatch.metadata).unwrap();
        let spec = Spec::parse(&stockwatch).unwrap();
        let plan = Plan { decision: Decision::Run, connection: Some(connection.to_owned()) };
        let access = PodAccess { connection, sources: &BTreeSet::new() };
        deployment(context, &owner, &stockwatch, &spec, &plan, &access, Some(&rollout)).unwrap()
    }

    fn image(built: &Built) -> &str {
        let desired = built.desired.as_ref().unwrap();
        desired.body["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap()
    }

    fn ten() -> Vec<Key> {
        (0..10).map(|i| Key::new("market", format!("first-{i}"))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_of_an_upgrade_that_fails_keeps_its_image_and_says_by_whom_it_is_halted() {
        let (context, _) = context(|_| None);
        ten().into_iter().for_each(|key| context.slots.note(key, Cause::Upgrade, Instant::now()));
        let eleventh = built(&context, &json!({}), "c", rollout(1));
        assert_eq!(
            eleventh.turn,
            Some(HeldRollout { is_edited: false, halted_by: None }),
            "they may come up"
        );
        advance(Duration::from_secs(3600)).await;
        let halted = Some(HeldRollout { is_edited: false, halted_by: Some(ten()[0].clone()) });
        let eleventh = built(&context, &json!({}), "c", rollout(1));
        assert_eq!((eleventh.desired, eleventh.turn), (None, halted.clone()));
        let unready = built(&context, &json!({}), "c", rollout(0));
        assert_eq!(unready.desired, None, "as all are while their broker is away");
        for (worker, connection) in [(json!({}), "d"), (json!({"labels": {"team": "quotes"}}), "c")] {
            let own = built(&context, &worker, connection, rollout(1));
            assert_eq!(own.turn, halted);
            assert_eq!(
                image(&own),
                "worker:1",
                "a rotated Secret and an edit do not wait, and do not bring it"
            );
        }
        let pinned = built(&context, &json!({"image": "worker:2"}), "d", rollout(1));
        assert_eq!((image(&pinned), &pinned.turn), ("worker:2", &None));
    }

    #[tokio::test]
    async fn an_edit_is_known_by_what_it_says_of_the_pods_also_to_an_operator_that_was_not_there() {
        let (context, _) = context(|_| None);
        ten().into_iter().for_each(|key| context.slots.note(key, Cause::Own, Instant::now()));
        let (label, image) = (json!({"labels": {"team": "quotes"}}), json!({"image": "worker:2"}));
        for (worker, is_edited) in
            [(json!({}), false), (json!({"replicas": 2}), true), (label, true), (image, true)]
        {
            let waits = built(&context, &worker, "c", rollout(1));
            assert_eq!(waits.turn, Some(HeldRollout { is_edited, halted_by: None }));
        }
    }

    #[tokio::test]
    async fn what_starts_again_has_the_image_of_before_until_the_upgrade_has_worked_for_somebody() {
        let (context, _) = context(|_| None);
        let none = || Rollout { wanted: 0, replicas: 0, updated: 0, ..rollout(0) };
        assert_eq!(image(&built(&context, &json!({}), "c", none())), "worker:1");
        context.slots.settle(&ten()[0], true, &rollout(1), Instant::now());
        assert_eq!(image(&built(&context, &json!({}), "c", none())), context.settings.worker_image);
        let stopped = built(&context, &json!({"replicas": 0}), "c", rollout(1));
        assert_eq!((image(&stopped), &stopped.turn), ("worker:1", &None), "it stops at once, and as it is");
    }
}
