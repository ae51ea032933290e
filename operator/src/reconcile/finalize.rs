//! The end of a StockWatch. The finalizer exists only where topics go with it; nothing else is written before its
//! removal, since a namespace that is being deleted takes nothing new.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, ObjectMeta, PartialObjectMeta};
use stockwatch_crds::{DeletionPolicy, Spec, StockWatch};

use super::write::{RequeueAfter, now};
use crate::bounded::{CallError, READ, bounded};
use crate::context::Context;
use crate::credentials::{Access, ReadError};
use crate::key::Key;
use crate::names::{self, FINALIZER};
use crate::resources::Kind;
use crate::store::Whose;
use crate::topics::{DeletionRequest, DeletionState, ObjectKey, is_own};
use crate::writes::WriteError;

/// Pods are looked for again.
const PODS_AGAIN: Duration = Duration::from_secs(1);
/// Kafka wakes its StockWatches; this is for the annotation's sake alone, which a watch shows as well.
const KAFKA_AGAIN: Duration = Duration::from_secs(30);

/// Pods that take longer than this to end are spoken of, in seconds.
const PODS_END: i64 = 60;

/// How far a deletion is.
pub(super) enum Ending {
    /// As far as it can be now.
    Done(RequeueAfter),
    /// It waits for something that somebody may have to end; a sentence, and when it is looked at again.
    Waits(String, Duration),
}

/// Why a deletion is tried again.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The pods could not be listed.
    #[error("pods cannot be listed: {0}")]
    Pods(#[source] CallError),
    /// Secrets could not be read.
    #[error(transparent)]
    Secrets(#[from] ReadError),
}

/// Whether the finalizer is there.
fn has_finalizer(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.as_deref().unwrap_or_default().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Sets or removes the finalizer of a living StockWatch. `true`: it did.
pub(super) async fn keep_finalizer(
    context: &Context,
    key: &Key,
    stockwatch: &StockWatch,
) -> Result<bool, WriteError> {
    let metadata = &stockwatch.metadata;
    let wanted = policy(stockwatch) == DeletionPolicy::Delete;
    if wanted == has_finalizer(metadata) {
        return Ok(false);
    }
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    let written = context.writes.finalizers(key, version, &finalizers).await?;
    // A webhook may have put it back: it is no use to try again at once.
    let done = has_finalizer(&written.metadata) == wanted;
    context.store.learn_stockwatch(written);
    Ok(done)
}

/// Brings the deletion of a StockWatch one step further.
pub(super) async fn finalize(
    context: &Context,
    key: &Key,
    stockwatch: &StockWatch,
) -> Result<Ending, FinalizeError> {
    context.workers.forget(key);
    if !has_finalizer(&stockwatch.metadata) {
        return Ok(Ending::Done(None));
    }
    let annotations = stockwatch.metadata.annotations.as_ref();
    let skips = annotations.is_some_and(|annotations| annotations.contains_key(names::SKIP_KAFKA));
    if policy(stockwatch) == DeletionPolicy::Retain || skips {
        tracing::info!(stockwatch = %key, skips, "deleted: its topics stay");
        return Ok(Ending::Done(remove(context, key, &stockwatch.metadata).await?));
    }
    if !stopped(context, key, stockwatch).await? {
        return Ok(match is_late(stockwatch) {
            true => Ending::Waits(pods_remain(key), PODS_AGAIN),
            false => Ending::Done(Some(PODS_AGAIN)),
        });
    }
    let Some(request) = deletion_request(stockwatch) else {
        return Ok(Ending::Done(remove(context, key, &stockwatch.metadata).await?));
    };
    let Some(access) = access(context, key, stockwatch).await? else {
        context.metrics.topics_left.inc();
        tracing::error!(
            stockwatch = %key,
            topics = request.topics.join(","),
            group = request.group,
            "deleted, but without usable credentials for Kafka: its topics and its group stay"
        );
        return Ok(Ending::Done(remove(context, key, &stockwatch.metadata).await?));
    };
    match context.kafka.delete(&access.connection, request) {
        DeletionState::Done => {
            tracing::info!(stockwatch = %key, "deleted, with its topics and its group");
            Ok(Ending::Done(remove(context, key, &stockwatch.metadata).await?))
        }
        DeletionState::Pending => Ok(Ending::Done(Some(KAFKA_AGAIN))),
        DeletionState::Failed(problem) => {
            let news = context.remember(key, |memory| {
                memory.refused = problem.reason.is_refusal();
                memory.waits_for.replace(problem.message.clone()).as_deref() != Some(&*problem.message)
            });
            if news {
                tracing::warn!(
                    stockwatch = %key,
                    reason = problem.reason.as_str(),
                    "its deletion waits for Kafka: {}; the annotation {} lets it go without",
                    problem.message,
                    names::SKIP_KAFKA
                );
            }
            Ok(Ending::Waits(problem.message, KAFKA_AGAIN))
        }
    }
}

/// Whether it has been deleted for longer than pods take to end.
fn is_late(stockwatch: &StockWatch) -> bool {
    let deleted = stockwatch.metadata.deletion_timestamp.as_ref();
    deleted.is_some_and(|deleted| now().0.as_second() - deleted.0.as_second() > PODS_END)
}

fn pods_remain(key: &Key) -> String {
    let selector = names::selector_text(&key.name);
    format!("its pods have not ended: kubectl get pods -n {} -l {selector}", key.namespace)
}

/// The end of one that cannot be read: what it wants of its topics is not known, so they stay.
pub(super) async fn unreadable(
    context: &Context,
    key: &Key,
    metadata: &ObjectMeta,
) -> Result<RequeueAfter, FinalizeError> {
    if !has_finalizer(metadata) {
        return Ok(None);
    }
    context.metrics.topics_left.inc();
    tracing::error!(stockwatch = %key, "deleted, but it cannot be read: whatever topics it has stay");
    remove(context, key, metadata).await
}

fn policy(stockwatch: &StockWatch) -> DeletionPolicy {
    stockwatch.spec.kafka.deletion_policy.unwrap_or_default()
}

/// What is to be deleted in Kafka; `None`: nothing of it was ever made.
fn deletion_request(stockwatch: &StockWatch) -> Option<DeletionRequest> {
    let status = stockwatch.status.as_ref()?;
    let cluster_id = status.kafka_cluster_id.clone()?;
    let ours = status.topics.iter().filter(|topic| is_own(topic.state));
    let group = Spec::parse_kafka(stockwatch).ok()?.group_id;
    Some(DeletionRequest {
        who: ObjectKey::of(stockwatch)?,
        topics: ours.map(|topic| topic.name.clone()).collect(),
        group: Some(group),
        cluster_id: Some(cluster_id),
    })
}

/// Deletes the Deployment. `true` once none of its pods is left: they would create records in deleted topics, and
/// hold the group.
async fn stopped(context: &Context, key: &Key, stockwatch: &StockWatch) -> Result<bool, FinalizeError> {
    let uid = stockwatch.metadata.uid.as_deref().unwrap_or_default();
    if let Some(deployment) = context.store.owned_of(key, Kind::Deployment)
        && deployment.whose(&key.name, uid) == Whose::Ours
        && !deployment.deleting
    {
        context.writes.delete_deployment(key, &deployment.uid).await?;
        return Ok(false);
    }
    let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = ListParams::default().labels(&names::selector_text(&key.name)).limit(1);
    Ok(bounded(READ, pods.list(&params)).await.map_err(FinalizeError::Pods)?.items.is_empty())
}

/// How Kafka is reached: as the Secrets say now, or as they last did.
async fn access(
    context: &Context,
    key: &Key,
    stockwatch: &StockWatch,
) -> Result<Option<Access>, FinalizeError> {
    let Ok(kafka) = Spec::parse_kafka(stockwatch) else { return Ok(context.credentials.last_good(key)) };
    let refused = context.remember(key, |memory| memory.refused);
    Ok(context.credentials.of(key, &kafka, refused).await?.access)
}

async fn remove(context: &Context, key: &Key, metadata: &ObjectMeta) -> Result<RequeueAfter, FinalizeError> {
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    match context.writes.finalizers(key, version, &finalizers).await {
        // Gone with its last finalizer, or in a form whose answer cannot be read: the watch shows it.
        Ok(_) | Err(WriteError::Gone | WriteError::Api(kube::Error::SerdeError(_))) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
