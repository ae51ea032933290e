//! One StockWatch, made what its spec says: dereference → validate → build → apply → status. Only the first and the last
//! two do I/O, none of them waits for Kafka or for a worker, and each time everything is decided anew from what is there.

mod apply;
mod build;
mod decide;
mod finalize;
mod write;

use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::{Invalid, Spec, StockWatch};
use tokio::time::Instant;

pub use apply::{Applier, ApplyError, ObjectProblem, Trouble};
pub use decide::{Decision, Facts, Plan, decide};
pub use finalize::FinalizeError;

use crate::context::Context;
use crate::credentials::{Known, ReadError};
use crate::key::Key;
use crate::metrics::Step;
use crate::names;
use crate::resources::{Kind, Owner, surroundings};
use crate::rollout::Rollout;
use crate::status::{self, Seen};
use crate::store::{Watched, Whose};
use crate::topics::{ObjectKey, Observed, Wanted};
use crate::workers::Report;
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
        matches!(write, WriteError::Conflict | WriteError::Gone)
    }
}

/// When it is to be reconciled again, if nothing happens before.
pub type Again = Option<Duration>;

/// Reconciles one StockWatch.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Again, ReconcileError> {
    match context.store.stockwatches.get(key, "") {
        None => {
            context.forget(key);
            Ok(None)
        }
        Some(Watched::Unreadable { metadata, error }) => {
            if metadata.deletion_timestamp.is_some() {
                return Ok(finalize::unreadable(context, key, &metadata).await?);
            }
            write::unreadable(context, key, &metadata, &error).await.map_err(ReconcileError::Status)?;
            Ok(None)
        }
        Some(Watched::Readable(stockwatch)) => {
            note_identity(context, key, &stockwatch);
            if stockwatch.metadata.deletion_timestamp.is_some() {
                return Ok(finalize::finalize(context, key, &stockwatch).await?);
            }
            if is_paused(&stockwatch) {
                let next = status::paused(&stockwatch, &write::now());
                return write::status(context, key, &stockwatch, next).await.map_err(ReconcileError::Status);
            }
            if finalize::keep_finalizer(context, key, &stockwatch).await? {
                // The object has changed: once more, with what it is now.
                context.queue.add(key.clone());
                return Ok(None);
            }
            reconcile_live(context, key, &stockwatch).await
        }
    }
}

/// What was dereferenced.
struct Inputs {
    spec: Result<Spec, Invalid>,
    access: Known,
    kafka: Option<Observed>,
    rollout: Option<Rollout>,
    report: Report,
}

async fn reconcile_live(
    context: &Context,
    key: &Key,
    stockwatch: &Arc<StockWatch>,
) -> Result<Again, ReconcileError> {
    let Some(owner) = Owner::of(&stockwatch.metadata) else { return Ok(None) };
    let inputs = dereference(context, key, &owner, stockwatch).await?;
    let plan = decide(&Facts {
        spec: inputs.spec.as_ref().ok(),
        status: stockwatch.status.as_ref(),
        access: &inputs.access,
        kafka: inputs.kafka.as_ref(),
        rollout: inputs.rollout.as_ref(),
    });
    let problems = match &inputs.spec {
        Ok(spec) => apply(context, key, &owner, stockwatch, spec, &plan).await?,
        // The last good form stays, with its workers.
        Err(_) => Vec::new(),
    };
    let rollout = rollout(context, key, &owner);
    let seen = Seen {
        stockwatch,
        spec: inputs.spec.as_ref(),
        access: inputs.access.problem.as_ref(),
        kafka: inputs.kafka.as_ref(),
        decision: plan.decision,
        objects: &problems,
        rollout: rollout.as_ref(),
        report: &inputs.report,
    };
    let next = status::status(&seen, &write::now());
    let status_again = write::status(context, key, stockwatch, next).await.map_err(ReconcileError::Status)?;
    let secrets_again = inputs.access.again.map(|at| at.saturating_duration_since(Instant::now()));
    let objects_again = problems.iter().filter_map(|problem| match problem.trouble {
        Trouble::Older => Some(OLDER_AGAIN),
        Trouble::Foreign => Some(FOREIGN_AGAIN),
        Trouble::Refused(_) => None,
    });
    let starts = plan.decision == Decision::Run && rollout.is_some_and(|rollout| !rollout.is_complete());
    let workers_again = starts.then_some(WORKERS_AGAIN);
    Ok(objects_again.chain(status_again).chain(secrets_again).chain(workers_again).min())
}

/// Everything that the spec and the object refer to.
async fn dereference(
    context: &Context,
    key: &Key,
    owner: &Owner,
    stockwatch: &StockWatch,
) -> Result<Inputs, ReconcileError> {
    let spec = Spec::parse(stockwatch);
    let rollout = rollout(context, key, owner);
    let nothing = Known { access: None, problem: None, again: None };
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let Ok(valid) = &spec else {
        return Ok(Inputs { spec, access: nothing, kafka: None, rollout, report: Report::default() });
    };
    // First of all: the workers take an edit in by themselves, and answer while the rest is done.
    let report = context.workers.observe(key, &owner.uid, generation, &context.store.workers_of(key));
    let refused = context.remember(key, |memory| memory.refused);
    let access = context.credentials.of(key, &valid.kafka, refused).await?;
    let kafka = match (&access, Wanted::of(stockwatch, valid)) {
        (Known { access: Some(access), problem: None, .. }, Some(wanted)) => {
            let who = wanted.who.clone();
            let observed = context.kafka.observe(&access.connection, wanted);
            // Workers whose topic is gone are not ready, and wait for it to be created again.
            if rollout.as_ref().is_some_and(Rollout::lacks_ready) {
                context.kafka.doubt(&who);
            }
            Some(observed)
        }
        _ => None,
    };
    let refused = matches!(&kafka, Some(Observed::Unreachable(problem)) if problem.reason.is_refusal());
    context.remember(key, |memory| memory.refused = refused);
    Ok(Inputs { spec, access, kafka, rollout, report })
}

/// The surroundings always; the Deployment as was decided.
async fn apply(
    context: &Context,
    key: &Key,
    owner: &Owner,
    stockwatch: &StockWatch,
    spec: &Spec,
    plan: &Plan,
) -> Result<Vec<ObjectProblem>, ReconcileError> {
    let surroundings = surroundings(owner, stockwatch)?;
    let fresh = stockwatch.status.is_none();
    let mut problems = context.applier.all(&context.store, owner, &surroundings, fresh).await?;
    let existing = context.store.owned_of(key, Kind::Deployment);
    // Its first pods would run with someone else's account or files.
    let may_create = problems.is_empty() || existing.is_some();
    if let Some(connection) = &plan.connection
        && may_create
    {
        let desired =
            build::deployment(context, owner, stockwatch, spec, plan, connection, existing.as_ref())?;
        if let Some(desired) = desired {
            problems.extend(context.applier.one(&context.store, owner, &desired, fresh).await?);
        }
    }
    Ok(problems)
}

/// The Deployment, if it is ours.
fn rollout(context: &Context, key: &Key, owner: &Owner) -> Option<Rollout> {
    let owned = context.store.owned_of(key, Kind::Deployment)?;
    let ours = owned.whose(&owner.name, &owner.uid) == Whose::Ours && !owned.deleting;
    let rollout = owned.rollout.filter(|_| ours)?;
    if rollout.is_complete() && rollout.image == context.settings.worker_image {
        context.free_slot(key);
    }
    Some(rollout)
}

/// One that was deleted and created again is another one.
fn note_identity(context: &Context, key: &Key, stockwatch: &StockWatch) {
    let who = ObjectKey::of(stockwatch);
    let other = context.remember(key, |memory| memory.who.is_some() && memory.who != who);
    if other {
        context.forget(key);
    }
    context.remember(key, |memory| memory.who = who);
}

fn is_paused(stockwatch: &StockWatch) -> bool {
    let annotations = stockwatch.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(names::PAUSED)).is_some_and(|value| value != "false")
}
