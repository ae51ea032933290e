//! One StockWatch, made what its spec says: dereference → validate → build → apply → status. Only the first and the last
//! two do I/O, none of them waits for Kafka, or for a worker longer than a second, and each time everything is decided
//! anew from what is there. Whatever an apply gives is data: the status says it, also where the reconcile then fails.

mod apply;
mod build;
mod decide;
mod dereference;
mod edit;
mod finalize;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
mod unready;
mod write;

use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::{Spec, StockWatch};
use tokio::time::Instant;

pub use apply::{Applied, Applier, ApplyError, ObjectProblem, Trouble};
pub use build::HeldRollout;
pub use decide::{Decision, Facts, Plan, decide};
use dereference::{dereference, rollout};
use finalize::Ending;
pub use finalize::FinalizeError;
pub use write::RequeueAfter;

use crate::context::Context;
use crate::credentials::{Mountable, ReadError};
use crate::key::Key;
use crate::metrics::Step;
use crate::names;
use crate::resources::{Desired, Kind, Owner, surroundings};
use crate::rollout::Rollout;
use crate::status::{self, Seen};
use crate::store::Watched;
use crate::topics::ObjectKey;
use crate::writes::WriteError;

/// An object of an older StockWatch is looked for again after this time, even if no watch shows its end.
const OLDER_AGAIN: Duration = Duration::from_secs(2);
/// Someone else's object is, too.
const FOREIGN_AGAIN: Duration = Duration::from_secs(60);
/// No watch shows that workers take too long to start.
const WORKERS_AGAIN: Duration = Duration::from_secs(30);

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Secrets could not be read.
    #[error("dereference: {0}")]
    Dereference(#[from] ReadError),
    /// An object could not be built.
    #[error("build: {0}")]
    Build(#[from] serde_json::Error),
    /// An object could not be applied.
    #[error("apply: {0}")]
    Apply(#[from] ApplyError),
    /// The status could not be written.
    #[error("status: {0}")]
    Status(#[source] WriteError),
    /// The finalizer could not be set or removed.
    #[error("finalize: {0}")]
    Finalize(#[from] FinalizeError),
}

impl ReconcileError {
    /// For the metric.
    pub fn step(&self) -> Step {
        match self {
            Self::Dereference(_) => Step::Dereference,
            Self::Build(_) => Step::Build,
            Self::Apply(_) => Step::Apply,
            Self::Status(_) => Step::Status,
            Self::Finalize(_) => Step::Finalize,
        }
    }

    /// The StockWatch has changed meanwhile: nothing is wrong, it is computed anew from what it is then.
    pub fn is_overtaken(&self) -> bool {
        let (Self::Status(write) | Self::Finalize(FinalizeError::Write(write))) = self else { return false };
        write.is_overtaken()
    }
}

/// Reconciles one StockWatch.
pub async fn reconcile(context: &Context, key: &Key) -> Result<RequeueAfter, ReconcileError> {
    match context.store.stockwatches.get(key, "") {
        None => {
            context.forget(key);
            Ok(None)
        }
        Some(Watched::Unreadable { metadata, error }) => {
            if metadata.deletion_timestamp.is_some() {
                return match finalize::unreadable(context, key, &metadata).await {
                    Err(FinalizeError::Write(WriteError::Refused(refusal))) => Ok(Some(refusal.wait())),
                    ended => Ok(ended?),
                };
            }
            write::unreadable(context, key, &metadata, &error).await.map_err(ReconcileError::Status)
        }
        Some(Watched::Readable(stockwatch)) => {
            note_identity(context, key, &stockwatch);
            if stockwatch.metadata.deletion_timestamp.is_some() {
                context.free_slot(key);
                return finalize_said(context, key, &stockwatch).await;
            }
            if is_paused(&stockwatch) {
                context.free_slot(key);
                let next = status::paused(&stockwatch, &write::now());
                let written = write::status(context, key, &stockwatch, next).await;
                return written.map(|written| written.again).map_err(ReconcileError::Status);
            }
            match finalize::keep_finalizer(context, key, &stockwatch).await {
                Ok(false) => reconcile_live(context, key, &stockwatch, None).await,
                Ok(true) => {
                    // The object has changed: once more, with what it is now.
                    context.queue.add(key.clone());
                    Ok(None)
                }
                Err(error) if error.is_overtaken() => Err(FinalizeError::Write(error).into()),
                // Everything else is done all the same: without it, its topics outlive the StockWatch.
                Err(error) => reconcile_live(context, key, &stockwatch, Some(error)).await,
            }
        }
    }
}

/// A deletion that is refused a step, or that waits, says so, if it can; it is tried again by itself.
async fn finalize_said(
    context: &Context,
    key: &Key,
    stockwatch: &StockWatch,
) -> Result<RequeueAfter, ReconcileError> {
    let ended = finalize::finalize(context, key, stockwatch).await;
    let is_late = matches!(ended, Err(FinalizeError::Write(WriteError::Timeout(_))));
    let hangs = context.hangs(key, is_late);
    let (next, wait) = match ended {
        Ok(Ending::Done(again)) => return Ok(again),
        Ok(Ending::Waits(why, wait)) => (status::deletion_waits(stockwatch, &why, &write::now()), Ok(wait)),
        Err(FinalizeError::Write(WriteError::Refused(refusal))) => {
            let wait = refusal.wait();
            (status::deletion_refused(stockwatch, refusal, &write::now()), Ok(wait))
        }
        Err(FinalizeError::Write(error)) if error.is_overtaken() => {
            return Err(FinalizeError::Write(error).into());
        }
        Err(error) => (status::deletion_unanswered(stockwatch, hangs, &write::now()), Err(error)),
    };
    // A namespace that is being deleted takes no events; and the deletion goes on whether it is spoken of or not.
    if let Err(error) = write::status(context, key, stockwatch, next).await {
        tracing::debug!(stockwatch = %key, %error, "the status does not say what the deletion waits for");
    }
    Ok(Some(wait?))
}

async fn reconcile_live(
    context: &Context,
    key: &Key,
    stockwatch: &Arc<StockWatch>,
    finalizer: Option<WriteError>,
) -> Result<RequeueAfter, ReconcileError> {
    let Some(owner) = Owner::of(&stockwatch.metadata) else { return Ok(None) };
    let inputs = dereference(context, key, &owner, stockwatch).await;
    let plan = decide(&Facts {
        spec: inputs.spec.as_ref().ok(),
        status: stockwatch.status.as_ref(),
        access: &inputs.access,
        kafka: inputs.kafka.as_ref(),
        rollout: inputs.rollout.as_ref(),
    });
    let may_start = inputs.pods.problem.is_none() && inputs.failed.is_none();
    let plan = if may_start { plan } else { plan.withhold() };
    let (mut edits, mut withheld) = (Vec::new(), None);
    let (mut applied, turn) = match &inputs.spec {
        Ok(spec) => {
            let mut surroundings = surroundings(&owner, stockwatch)?;
            let mut unread = None;
            if let Some(at) = surroundings.iter().position(|desired| desired.kind == Kind::ConfigMap) {
                match edit::unlisted(context, &owner, stockwatch, spec, &surroundings[at]).await {
                    Ok(unlisted) => {
                        let waits = !unlisted.is_empty() && !edit::is_refused(stockwatch);
                        withheld = waits.then(|| surroundings.swap_remove(at));
                        edits = unlisted;
                    }
                    // The copy stays: only there it says what was before.
                    Err(error) => {
                        surroundings.swap_remove(at);
                        unread = Some(error);
                    }
                }
            }
            let target = Target {
                spec,
                plan: &plan,
                sources: &inputs.sources,
                surroundings: &surroundings,
                rollout: inputs.rollout.as_ref(),
            };
            let (mut applied, turn) = apply(context, key, &owner, stockwatch, &target).await?;
            if let Some(error) = unread {
                applied.add(&owner, Kind::ConfigMap, Err(error));
            }
            (applied, turn)
        }
        // The last good form stays, with its workers.
        Err(_) => (Applied::default(), None),
    };
    applied.problems.extend(finalizer.as_ref().map(|error| ObjectProblem::of_finalizer(&owner.name, error)));
    applied.problems.extend(inputs.failed.as_ref().map(ObjectProblem::of_read));
    applied.problems.extend(inputs.pods.problem.map(ObjectProblem::of_secret));
    wait_out(context, key, &mut applied.problems);
    let rollout = rollout(context, key, &owner);
    free_unused_slot(context, key, &applied.problems, rollout.as_ref());
    let pods = unready::words(context, key, plan.decision, rollout.as_ref()).await;
    let seen = Seen {
        stockwatch,
        spec: inputs.spec.as_ref(),
        access: inputs.access.problem.as_ref(),
        kafka: inputs.kafka.as_ref(),
        decision: plan.decision,
        objects: &applied.problems,
        rollout: rollout.as_ref(),
        pods: pods.as_deref(),
        turn: turn.as_ref(),
        report: &inputs.report,
        source: inputs.sources.problem.as_ref(),
        quotes: &context.flows.of(key, &owner.uid),
        edits: &edits,
    };
    let next = status::status(&seen, &write::now());
    let stalls = status::stalls_in(&next, &write::now());
    let written = write::status(context, key, stockwatch, next).await.map_err(ReconcileError::Status)?;
    if let Some(copy) = withheld.filter(|_| !written.is_held) {
        context.applier.each(&context.store, &owner, [&copy], false, &mut applied).await;
    }
    let again = inputs.access.again.into_iter().chain(inputs.pods.again).chain(inputs.sources.again).min();
    let secrets_again = again.map(|at| at.saturating_duration_since(Instant::now()));
    if let Some(error) = applied.failed {
        return Err(error.into());
    }
    if let Some(error) = inputs.failed {
        return Err(error.into());
    }
    if let Some(error) = finalizer.filter(|error| !matches!(error, WriteError::Refused(_))) {
        return Err(FinalizeError::Write(error).into());
    }
    let objects_again = applied.problems.iter().map(|problem| match &problem.trouble {
        Trouble::Older | Trouble::Unanswered | Trouble::Hangs => OLDER_AGAIN,
        Trouble::Foreign => FOREIGN_AGAIN,
        // `again` says when.
        Trouble::Secret(_) => FOREIGN_AGAIN,
        Trouble::Refused(refusal) => refusal.wait(),
    });
    let starts = plan.decision == Decision::Run && rollout.is_some_and(|rollout| !rollout.is_complete());
    let workers_again = starts.then_some(WORKERS_AGAIN);
    Ok(objects_again.chain(written.again).chain(secrets_again).chain(workers_again).chain(stalls).min())
}

/// A write that is not answered in time is one that hangs only once that has lasted: before, the API server is busy.
fn wait_out(context: &Context, key: &Key, problems: &mut [ObjectProblem]) {
    let is_late = problems.iter().any(|problem| problem.trouble == Trouble::Hangs);
    if !context.hangs(key, is_late) {
        let late = problems.iter_mut().filter(|problem| problem.trouble == Trouble::Hangs);
        late.for_each(|problem| problem.trouble = Trouble::Unanswered);
    }
}

/// Pods that are not replaced, since the API server refuses it, leave the slot to the next one. A write that was not
/// answered may have been done.
fn free_unused_slot(context: &Context, key: &Key, problems: &[ObjectProblem], rollout: Option<&Rollout>) {
    let is_not_done = |problem: &ObjectProblem| {
        problem.kind == Kind::Deployment.as_str()
            && !matches!(problem.trouble, Trouble::Unanswered | Trouble::Older)
    };
    if problems.iter().any(is_not_done) && !rollout.is_some_and(Rollout::is_under_way) {
        context.free_slot(key);
    }
}

/// What is to be applied.
struct Target<'a> {
    spec: &'a Spec,
    plan: &'a Plan,
    sources: &'a Mountable,
    surroundings: &'a [Desired],
    rollout: Option<&'a Rollout>,
}

/// The surroundings always; the Deployment as was decided.
async fn apply(
    context: &Context,
    key: &Key,
    owner: &Owner,
    stockwatch: &StockWatch,
    target: &Target<'_>,
) -> Result<(Applied, Option<HeldRollout>), serde_json::Error> {
    let Target { spec, plan, sources, surroundings, rollout } = *target;
    let fresh = stockwatch.status.is_none();
    let mut applied = context.applier.all(&context.store, owner, surroundings, fresh).await;
    let exists = context.store.owned_of(key, Kind::Deployment).is_some();
    let mut turn = None;
    if let Some(connection) = &plan.connection
        && (exists || !applied.keeps_from_starting())
    {
        let access = build::PodAccess { connection, sources: &sources.names };
        let built = build::deployment(context, owner, stockwatch, spec, plan, &access, rollout)?;
        turn = built.turn;
        context.applier.each(&context.store, owner, &built.desired, fresh, &mut applied).await;
    }
    Ok((applied, turn))
}

/// One that was deleted and created again is another one.
fn note_identity(context: &Context, key: &Key, stockwatch: &StockWatch) {
    let who = ObjectKey::of(stockwatch);
    let other = context.remember(key, |memory| memory.who.is_some() && memory.who != who);
    if other {
        context.forget(key);
    }
    let generation = stockwatch.metadata.generation;
    let before = context.remember(key, |memory| {
        memory.who = who;
        std::mem::replace(&mut memory.generation, generation)
    });
    if before.is_some() && before != generation {
        // Somebody has done something about what was refused, perhaps: it is tried at once.
        context.writes.forget(key);
    }
}

fn is_paused(stockwatch: &StockWatch) -> bool {
    let annotations = stockwatch.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(names::PAUSED)).is_some_and(|value| value != "false")
}
