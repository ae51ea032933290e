//! Writes a status, if and when that is due, and the event of a turn to the worse.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use stockwatch_crds::{StockWatch, StockWatchStatus};
use tokio::time::Instant;

use crate::bounded::{READ, bounded};
use crate::context::Context;
use crate::events;
use crate::key::Key;
use crate::names::STATUS_MANAGER;
use crate::status::{Condition, Hold, Holds, Reason, hold};
use crate::writes::WriteError;

/// When it is to be reconciled again, if nothing happens before.
pub type RequeueAfter = Option<Duration>;

/// What became of a status.
#[derive(Debug)]
pub(super) struct Written {
    /// When it is to be reconciled again.
    pub(super) again: RequeueAfter,
    /// It is to be written later.
    pub(super) is_held: bool,
}

impl Written {
    /// As far as can be.
    fn done(again: RequeueAfter) -> Self {
        Self { again, is_held: false }
    }
}

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
) -> Result<Written, WriteError> {
    let due = match hold(stockwatch.status.as_ref(), &next) {
        Hold::Same => {
            context.remember(key, |memory| memory.differs_since = None);
            return Ok(Written::done(None));
        }
        Hold::Now => None,
        Hold::For(delay) => {
            let now = Instant::now();
            let since = context.remember(key, |memory| *memory.differs_since.get_or_insert(now));
            Some(delay.saturating_sub(now.duration_since(since))).filter(|left| !left.is_zero())
        }
    };
    if due.is_some() {
        return Ok(Written { again: due, is_held: true });
    }
    let before = stockwatch.status.clone().unwrap_or_default();
    if context.remember(key, |memory| memory.in_vain.as_ref() == Some(&(before.clone(), next.clone()))) {
        return Ok(Written::done(None));
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
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let written = match context.writes.status(key, &body, generation).await {
        Ok(written) => written,
        // It was logged and counted, and there is no other place to say so.
        Err(WriteError::Refused(refusal)) => return Ok(Written::done(Some(refusal.wait()))),
        Err(error) => return Err(error),
    };
    let in_vain = written.metadata.resource_version == stockwatch.metadata.resource_version;
    context.remember(key, |memory| {
        memory.differs_since = None;
        memory.in_vain = in_vain.then(|| (before, next.clone()));
    });
    if in_vain {
        return Ok(Written::done(None));
    }
    context.store.learn_stockwatch(written);
    let said = [events::of_transition(stockwatch, &next), events::of_edit(stockwatch, &next)];
    for event in said.into_iter().flatten() {
        let (writes, key, about) = (context.writes.clone(), key.clone(), events::about(stockwatch));
        tokio::spawn(async move {
            if let Err(error) = writes.event(&event, &about).await {
                tracing::warn!(stockwatch = %key, %error, "an event is not created");
            }
        });
    }
    // What is to be done once the status says so.
    context.queue.add_first(key.clone());
    Ok(Written::done(None))
}

/// Says of a StockWatch that cannot be read that it cannot; whatever else its status says stays.
pub(super) async fn unreadable(
    context: &Context,
    key: &Key,
    metadata: &ObjectMeta,
    error: &str,
) -> Result<RequeueAfter, WriteError> {
    let ready = cannot_read(metadata.generation);
    // Its status is not in the store. What is read of one version holds until the watch shows another.
    let version = metadata.resource_version.clone();
    if version.is_some() && context.remember(key, |memory| memory.said_unreadable == version) {
        return Ok(None);
    }
    if says(context, key, &ready).await? {
        context.remember(key, |memory| memory.said_unreadable = version);
        return Ok(None);
    }
    tracing::warn!(stockwatch = %key, error, "a StockWatch cannot be read");
    let mut stamped = ready;
    stamped["lastTransitionTime"] = json!(now());
    let body = json!({
        "apiVersion": StockWatch::api_version(&()),
        "kind": StockWatch::kind(&()),
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "resourceVersion": metadata.resource_version,
        },
        "status": {"conditions": [stamped]},
    });
    let generation = metadata.generation.unwrap_or_default();
    let manager = format!("{STATUS_MANAGER}-unreadable");
    match context.writes.status_as(key, &body, generation, &manager).await {
        // The answer cannot be read either.
        Ok(_) | Err(WriteError::Api(kube::Error::SerdeError(_))) => Ok(None),
        // Also where the API server's own rules refuse what is stored.
        Err(WriteError::Refused(refusal)) => Ok(Some(refusal.wait())),
        Err(error) => Err(error),
    }
}

/// The condition of a StockWatch that cannot be read, without its time.
fn cannot_read(generation: Option<i64>) -> Value {
    json!({
        "type": Condition::Ready.as_str(),
        "status": Holds::False.as_str(),
        "reason": Reason::InvalidSpec.as_str(),
        "message": "this version of the operator cannot read it: its log says why; the workers go on as they are",
        "observedGeneration": generation,
    })
}

/// Whether the status of a StockWatch that cannot be read has a condition that says all this.
async fn says(context: &Context, key: &Key, condition: &Value) -> Result<bool, WriteError> {
    let resource = ApiResource::erase::<StockWatch>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
    let found = bounded(READ, api.get(&key.name)).await?;
    let conditions = found.data["status"]["conditions"].as_array().into_iter().flatten();
    let members = condition.as_object().into_iter().flatten();
    Ok(conditions.into_iter().any(|said| members.clone().all(|(name, value)| said[name] == *value)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::reconcile::fixtures::context;

    #[tokio::test]
    async fn the_status_of_an_unreadable_one_is_read_once_for_each_of_its_versions() {
        let object = json!({
            "metadata": {"name": "tech", "namespace": "default"},
            "status": {"conditions": [cannot_read(Some(3))]},
        });
        let (context, asked) = context(move |_| Some((200, object.clone())));
        let key = Key::new("default", "tech");
        for (version, reads) in [("7", 1), ("7", 1), ("8", 2), ("8", 2)] {
            let metadata = ObjectMeta {
                generation: Some(3),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            };
            assert_eq!(unreadable(&context, &key, &metadata, "?").await.unwrap(), None);
            assert_eq!(asked.lock().unwrap().len(), reads, "version {version}");
        }
    }
}
