//! Takes StockWatches from the queue and reconciles a bounded number at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Spec;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::context::Context;
use crate::flow;
use crate::health::Health;
use crate::key::{Key, Revision};
use crate::metrics::{Flow, Ready};
use crate::reconcile::{ReconcileError, RequeueAfter, reconcile};
use crate::resources::{Kind, has_default_image};
use crate::rollout::Progress;
use crate::slots::{Cause, PATIENCE};
use crate::status::{Condition, Reason, said};
use crate::store::Watched;
use crate::topics::{ObjectKey, Wanted};

/// Every call that a reconcile awaits is bounded: this is for what nobody thought of.
const MOST: Duration = Duration::from_secs(60);
/// Between two looks at what no event announces.
const TICK: Duration = Duration::from_secs(1);
/// A watch shows at once what was faster than our write; this is for a watch that is late.
const OVERTAKEN: Duration = Duration::from_millis(250);
/// For reconciles under way when the process is told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Reconciles until `stop` is true; the store is filled, and this process leads.
pub async fn run(
    context: Arc<Context>,
    mut woken: mpsc::UnboundedReceiver<ObjectKey>,
    concurrency: usize,
    health: Arc<Health>,
    mut stop: watch::Receiver<bool>,
) {
    recall(&context);
    // Dropped at the end of this function, it ends.
    let mut polling = JoinSet::new();
    polling.spawn(flow::run(Arc::clone(&context)));
    let mut active = JoinSet::new();
    let mut keys: HashMap<Id, (Key, Option<Revision>)> = HashMap::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        context.metrics.active.set(i64::try_from(active.len()).unwrap_or(i64::MAX));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = active.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, Some(outcome)),
                    Err(error) => (error.id(), None),
                };
                if let Some((key, revision)) = keys.remove(&id) {
                    settle(&context, &key, revision, outcome);
                }
            }
            Some(who) = woken.recv() => context.queue.add_first(Key::new(who.namespace, who.name)),
            Some(key) = context.queue.next(), if active.len() < concurrency => {
                let revision = revision(&context, &key);
                let context = Arc::clone(&context);
                let handle = active.spawn({
                    let key = key.clone();
                    async move { one(&context, &key).await }
                });
                keys.insert(handle.id(), (key, revision));
            }
            _ = tick.tick() => {
                health.beat();
                look(&context);
            }
        }
    }
    context.queue.stop();
    let drained = async { while active.join_next().await.is_some() {} };
    if timeout(DRAIN_LIMIT, drained).await.is_err() {
        tracing::warn!(
            "reconciles under way are given up: what they have not written is written by the next leader"
        );
    }
}

async fn one(context: &Context, key: &Key) -> Option<Result<RequeueAfter, ReconcileError>> {
    if !context.synced.covers(&key.namespace) {
        // What is known of it may be old, or only a part. It is looked at again once all of it is known: until then it
        // keeps its slot, since an upgrade that it does not survive would reach another one otherwise.
        if context.store.stockwatches.get(key, "").is_none() {
            context.forget(key);
        } else if context.synced.is_anothers(&key.namespace) {
            context.leave(key);
        } else {
            context.workers.forget(key);
        }
        return Some(Ok(None));
    }
    let began = Instant::now();
    let result = timeout(MOST, reconcile(context, key)).await.ok();
    context.metrics.reconcile_seconds.observe(began.elapsed().as_secs_f64());
    context.metrics.reconciles.inc();
    result
}

/// As it is known now; `None`: it is gone.
fn revision(context: &Context, key: &Key) -> Option<Revision> {
    context.store.stockwatches.get(key, "").map(|watched| Revision::of(watched.metadata()))
}

/// Returns the wait until a StockWatch whose reconcile failed is tried again; a change since ends its backoff.
fn failed(context: &Context, key: &Key, tried: Option<Revision>) -> Duration {
    if revision(context, key) != tried {
        context.queue.changed(key);
        return Duration::ZERO;
    }
    let before = context.remember(key, |memory| std::mem::replace(&mut memory.failed_at, tried.clone()));
    if before.is_some() && before != tried {
        context.queue.forgive(key);
    }
    context.queue.failed(key)
}

/// `None`: it crashed; `Some(None)`: it hung.
fn settle(
    context: &Context,
    key: &Key,
    tried: Option<Revision>,
    outcome: Option<Option<Result<RequeueAfter, ReconcileError>>>,
) {
    match outcome {
        Some(Some(Ok(again))) => {
            context.queue.done(key);
            if let Some(delay) = again {
                context.queue.add_after(key.clone(), delay);
            }
        }
        Some(Some(Err(error))) if error.is_overtaken() => {
            tracing::debug!(stockwatch = %key, %error, "somebody was faster");
            context.queue.done(key);
            context.queue.add_after(key.clone(), OVERTAKEN);
        }
        Some(Some(Err(error))) => {
            let retry = failed(context, key, tried);
            context.metrics.errors.get_or_create(&error.step()).inc();
            tracing::warn!(stockwatch = %key, %error, ?retry, "a reconcile failed");
        }
        Some(None) => {
            let retry = failed(context, key, tried);
            tracing::error!(stockwatch = %key, ?retry, "a reconcile did not end within {MOST:?}");
        }
        None => {
            let retry = failed(context, key, tried);
            tracing::error!(stockwatch = %key, ?retry, "a reconcile crashed: please report what it printed");
        }
    }
}

/// What an earlier leader began: whose the topics are, and whose pods are being replaced.
fn recall(context: &Context) {
    for key in context.store.stockwatches.keys() {
        let watched = context.store.stockwatches.get(&key, "");
        let Some(Watched::Readable(stockwatch)) = watched else { continue };
        if let Ok(spec) = Spec::parse(&stockwatch)
            && let Some(wanted) = Wanted::of(&stockwatch, &spec)
        {
            context.remember(&key, |memory| memory.who = Some(wanted.who.clone()));
            context.kafka.claim(&wanted);
        }
        let deployment = context.store.owned_of(&key, Kind::Deployment);
        let Some(rollout) = deployment.and_then(|deployment| deployment.rollout) else { continue };
        context.remember(&key, |memory| memory.template.clone_from(&rollout.template));
        if !rollout.is_under_way() {
            continue;
        }
        let (now, has_failed) = (Instant::now(), rollout.progress == Progress::Failed);
        if has_default_image(&stockwatch) && rollout.image == context.settings.worker_image {
            let since = now.checked_sub(PATIENCE).filter(|_| has_failed).unwrap_or(now);
            context.slots.note(key, Cause::Upgrade, since);
        } else if !has_failed {
            context.slots.note(key, Cause::Own, now);
        }
    }
}

fn look(context: &Context) {
    context.metrics.queue_depth.set(i64::try_from(context.queue.len()).unwrap_or(i64::MAX));
    let now = Instant::now();
    for key in context.slots.overdue(now) {
        context.queue.add(key);
    }
    say_halt(context, context.slots.halted(now));
    let mut counts = [0_i64; Ready::ALL.len()];
    let mut flows = [0_i64; Flow::ALL.len()];
    let is_covered = |watched: &Watched| {
        watched.metadata().namespace.as_ref().is_some_and(|namespace| context.synced.covers(namespace))
    };
    context.store.stockwatches.each(|watched| {
        let counted = i64::from(is_covered(watched));
        counts[readiness(watched) as usize] += counted;
        flows[flow_of(watched) as usize] += counted;
    });
    for flow in Flow::ALL {
        context.metrics.quotes.get_or_create(flow).set(flows[*flow as usize]);
    }
    for ready in Ready::ALL {
        context.metrics.stockwatches.get_or_create(ready).set(counts[*ready as usize]);
    }
}

/// An upgrade that begins or ends to be halted is said, also by those that wait for it.
fn say_halt(context: &Context, by: Option<Key>) {
    if i64::from(by.is_some()) == context.metrics.upgrade_halted.get() {
        return;
    }
    context.metrics.upgrade_halted.set(i64::from(by.is_some()));
    match by {
        Some(by) => tracing::error!(
            stockwatch = %by, image = context.settings.worker_image,
            "the upgrade of the workers is halted: those that took it do not become ready"
        ),
        None => tracing::info!("the upgrade of the workers goes on"),
    }
    context.slots.waiting().into_iter().for_each(|key| context.queue.add(key));
}

fn readiness(watched: &Watched) -> Ready {
    let Watched::Readable(stockwatch) = watched else { return Ready::False };
    let said = stockwatch.status.as_ref().and_then(|status| said(status, Condition::Ready));
    match said.map(|said| (said.status.as_str(), said.reason.as_str())) {
        Some(("True", _)) => Ready::True,
        Some(("False", _)) => Ready::False,
        Some((_, reason)) if reason == Reason::Paused.as_str() => Ready::Paused,
        _ => Ready::Unknown,
    }
}

fn flow_of(watched: &Watched) -> Flow {
    let Watched::Readable(stockwatch) = watched else { return Flow::Unknown };
    let said = stockwatch.status.as_ref().and_then(|status| said(status, Condition::QuotesFlow));
    match said.map(|said| said.status.as_str()) {
        Some("True") => Flow::True,
        Some("False") => Flow::False,
        _ => Flow::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::reconcile::fixtures::{context, stockwatch};
    use crate::synced::Others;

    fn learn(context: &Context, key: &Key) {
        let metadata = json!({"namespace": key.namespace, "name": key.name, "resourceVersion": "1"});
        context.store.learn_stockwatch(stockwatch(&metadata, "Delete"));
    }

    #[tokio::test]
    async fn an_upgrade_that_halts_goes_no_further_while_a_watch_is_forbidden() {
        let (context, _) = context(|_| None);
        let (now, key) = (Instant::now(), |i: usize| Key::new("market", format!("sw-{i:02}")));
        (0..11).for_each(|i| learn(&context, &key(i)));
        let taken = (0..11).filter(|i| context.slots.take(&key(*i), Cause::Upgrade, false, now).is_some());
        assert_eq!(taken.count(), 10);
        context.synced.lack(None, "deployments", "forbidden", true);
        for i in 0..11 {
            assert!(matches!(one(&context, &key(i)).await, Some(Ok(None))));
        }
        assert_eq!(context.slots.take(&key(10), Cause::Upgrade, false, now), None);
        context.store.stockwatches.remove(key(3), "", 2, Instant::now());
        one(&context, &key(3)).await.unwrap().unwrap();
        assert!(context.slots.take(&key(10), Cause::Upgrade, false, now).is_some(), "one of them is gone");
    }

    #[tokio::test]
    async fn the_topics_of_another_releases_stockwatch_are_its_own_until_it_is_gone() {
        let (context, _) = context(|_| None);
        let key = Key::new("team", "tech");
        context.synced.claimed(&Others::from([(Some("team".to_owned()), "team/stockwatch".to_owned())]));
        learn(&context, &key);
        recall(&context);
        let is_known = || context.remember(&key, |memory| memory.who.is_some());
        one(&context, &key).await.unwrap().unwrap();
        assert!(is_known());
        context.store.stockwatches.remove(key.clone(), "", 2, Instant::now());
        one(&context, &key).await.unwrap().unwrap();
        assert!(!is_known());
    }
}
