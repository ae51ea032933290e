//! Takes StockWatches from the queue and reconciles a bounded number at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Spec;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::context::Context;
use crate::health::Health;
use crate::key::Key;
use crate::metrics::Ready;
use crate::reconcile::{ReconcileError, RequeueAfter, reconcile};
use crate::resources::Kind;
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
    let mut active = JoinSet::new();
    let mut keys: HashMap<Id, Key> = HashMap::new();
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
                if let Some(key) = keys.remove(&id) {
                    settle(&context, &key, outcome);
                }
            }
            Some(who) = woken.recv() => context.queue.add_first(Key::new(who.namespace, who.name)),
            Some(key) = context.queue.next(), if active.len() < concurrency => {
                let context = Arc::clone(&context);
                let handle = active.spawn({
                    let key = key.clone();
                    async move { one(&context, &key).await }
                });
                keys.insert(handle.id(), key);
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
    let began = Instant::now();
    let result = timeout(MOST, reconcile(context, key)).await.ok();
    context.metrics.reconcile_seconds.observe(began.elapsed().as_secs_f64());
    context.metrics.reconciles.inc();
    result
}

/// `None`: it crashed; `Some(None)`: it hung.
fn settle(context: &Context, key: &Key, outcome: Option<Option<Result<RequeueAfter, ReconcileError>>>) {
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
            let retry = context.queue.failed(key);
            context.metrics.errors.get_or_create(&error.step()).inc();
            tracing::warn!(stockwatch = %key, %error, ?retry, "a reconcile failed");
        }
        Some(None) => {
            let retry = context.queue.failed(key);
            tracing::error!(stockwatch = %key, ?retry, "a reconcile did not end within {MOST:?}");
        }
        None => {
            let retry = context.queue.failed(key);
            tracing::error!(stockwatch = %key, ?retry, "a reconcile crashed: please report what it printed");
        }
    }
}

/// What an earlier leader began: whose the topics are, and who takes a new image just now.
fn recall(context: &Context) {
    for key in context.store.stockwatches.keys() {
        if let Some(Watched::Readable(stockwatch)) = context.store.stockwatches.get(&key, "")
            && let Ok(spec) = Spec::parse(&stockwatch)
            && let Some(wanted) = Wanted::of(&stockwatch, &spec)
        {
            context.kafka.claim(&wanted);
        }
        let deployment = context.store.owned_of(&key, Kind::Deployment);
        if let Some(rollout) = deployment.and_then(|deployment| deployment.rollout)
            && rollout.image == context.settings.worker_image
            && !rollout.is_complete()
        {
            context.slots.note(key, Instant::now());
        }
    }
}

fn look(context: &Context) {
    context.metrics.queue_depth.set(i64::try_from(context.queue.len()).unwrap_or(i64::MAX));
    for key in context.slots.overdue(Instant::now()) {
        context.queue.add(key);
    }
    let mut counts = [0_i64; Ready::ALL.len()];
    context.store.stockwatches.each(|watched| counts[readiness(watched) as usize] += 1);
    for ready in Ready::ALL {
        context.metrics.stockwatches.get_or_create(ready).set(counts[*ready as usize]);
    }
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
