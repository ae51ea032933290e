//! Writes a status, if and when that is due, and the event of a turn to the worse.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::ObjectMeta;
use serde_json::json;
use stockwatch_crds::{StockWatch, StockWatchStatus};
use tokio::time::Instant;

use super::Again;
use crate::context::Context;
use crate::events;
use crate::key::Key;
use crate::names::STATUS_MANAGER;
use crate::status::{Condition, Hold, Holds, Reason, hold};
use crate::writes::WriteError;

/// Now, as a condition has it: whole seconds.
pub(super) fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Writes the status, or says when it is to be.
pub(super) async fn status(
    context: &Context,
    key: &Key,
    stockwatch: &StockWatch,
    next: StockWatchStatus,
) -> Result<Again, WriteError> {
    let due = match hold(stockwatch.status.as_ref(), &next) {
        Hold::Same => {
            context.remember(key, |memory| memory.differs_since = None);
            return Ok(None);
        }
        Hold::Now => None,
        Hold::For(delay) => {
            let now = Instant::now();
            let since = context.remember(key, |memory| *memory.differs_since.get_or_insert(now));
            Some(delay.saturating_sub(now.duration_since(since))).filter(|left| !left.is_zero())
        }
    };
    if due.is_some() {
        return Ok(due);
    }
    let body = json!({
        "apiVersion": StockWatch::api_version(&()),
        "kind": StockWatch::kind(&()),
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "resourceVersion": stockwatch.metadata.resource_version,
        },
        "status": next,
    });
    let written = context.writes.status(key, &body).await?;
    context.remember(key, |memory| memory.differs_since = None);
    context.store.learn_stockwatch(written);
    let event = events::of_transition(stockwatch, &next, &context.settings.instance, Timestamp::now());
    if let Some(event) = event {
        let (writes, key) = (context.writes.clone(), key.clone());
        tokio::spawn(async move {
            if let Err(error) = writes.event(&key.namespace, &event).await {
                tracing::warn!(stockwatch = %key, %error, "an event is not created");
            }
        });
    }
    // What is to be done once the status says so.
    context.queue.add_first(key.clone());
    Ok(None)
}

/// Says of a StockWatch that cannot be read that it cannot; whatever else its status says stays.
pub(super) async fn unreadable(
    context: &Context,
    key: &Key,
    metadata: &ObjectMeta,
    error: &str,
) -> Result<(), WriteError> {
    tracing::warn!(stockwatch = %key, error, "a StockWatch cannot be read");
    let ready = json!({
        "type": Condition::Ready.as_str(),
        "status": Holds::False.as_str(),
        "reason": Reason::InvalidSpec.as_str(),
        "message": "this version of the operator cannot read it: its log says why; the workers go on as they are",
        "observedGeneration": metadata.generation,
        "lastTransitionTime": now(),
    });
    let body = json!({
        "apiVersion": StockWatch::api_version(&()),
        "kind": StockWatch::kind(&()),
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "resourceVersion": metadata.resource_version,
        },
        "status": {"conditions": [ready]},
    });
    match context.writes.status_as(key, &body, &format!("{STATUS_MANAGER}-unreadable")).await {
        // The answer cannot be read either.
        Ok(_) | Err(WriteError::Api(kube::Error::SerdeError(_))) => Ok(()),
        // The API server's own rules refuse what is stored: there is no way to say so.
        Err(WriteError::Invalid(words)) => {
            tracing::warn!(stockwatch = %key, error = words, "nor can its status be written");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
