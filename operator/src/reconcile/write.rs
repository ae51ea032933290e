//! Writes a status, if and when that is due, and the event of a turn to the worse.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};
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
use crate::names::UNREADABLE_MANAGER;
use crate::status::{Condition, Hold, Holds, Reason, hold, said};
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
    let body = body(key, stockwatch.metadata.resource_version.as_deref(), Some(json!(next)));
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let written = match context.writes.status(key, &body, generation).await {
        Ok(written) => written,
        // It was logged and counted, and there is no other place to say so.
        Err(WriteError::Refused(refusal)) => return Ok(Written::done(Some(refusal.wait()))),
        Err(error) => return Err(error),
    };
    // Boxed: it is rare, and would be part of every reconcile.
    let written = Box::pin(take_back(context, key, written, &next)).await?;
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

/// What a status is applied as; it is refused if the StockWatch is no longer at this resourceVersion.
fn body(key: &Key, resource_version: Option<&str>, status: Option<Value>) -> Value {
    let mut body = json!({
        "apiVersion": StockWatch::api_version(&()),
        "kind": StockWatch::kind(&()),
        "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": resource_version},
    });
    if let Some(status) = status {
        body["status"] = status;
    }
    body
}

/// Removes the conditions that are left in a status that was just written although `next` does not have them: those that
/// were said while the StockWatch could not be read. They stay until the manager that applied them leaves them out.
async fn take_back(
    context: &Context,
    key: &Key,
    written: StockWatch,
    next: &StockWatchStatus,
) -> Result<StockWatch, WriteError> {
    let is_left = |there: &ApiCondition| {
        Condition::of(&there.type_).is_some_and(|condition| said(next, condition).is_none())
    };
    if !written.status.iter().flat_map(|status| &status.conditions).any(is_left) {
        return Ok(written);
    }
    let body = body(key, written.metadata.resource_version.as_deref(), None);
    let generation = written.metadata.generation.unwrap_or_default();
    match context.writes.status_as(key, &body, generation, UNREADABLE_MANAGER).await {
        // It was logged and counted.
        Err(WriteError::Refused(_)) => Ok(written),
        taken => taken,
    }
}

/// Says of a StockWatch that cannot be read that it cannot, so that nobody waits for it; whatever else its status says
/// stays.
pub(super) async fn unreadable(
    context: &Context,
    key: &Key,
    metadata: &ObjectMeta,
    error: &str,
) -> Result<RequeueAfter, WriteError> {
    // Its status is not in the store. What is read of one version holds until the watch shows another.
    let version = metadata.resource_version.clone();
    if version.is_some() && context.remember(key, |memory| memory.said_unreadable == version) {
        return Ok(None);
    }
    let there = status_there(context, key).await?;
    let mut next = cannot_read(metadata.generation, &there);
    if says(&there, &next) {
        context.remember(key, |memory| memory.said_unreadable = version);
        return Ok(None);
    }
    tracing::warn!(stockwatch = %key, error, "a StockWatch cannot be read");
    let time = now();
    for condition in next["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(time);
    }
    let body = body(key, metadata.resource_version.as_deref(), Some(next));
    let generation = metadata.generation.unwrap_or_default();
    match context.writes.status_as(key, &body, generation, UNREADABLE_MANAGER).await {
        // The answer cannot be read either.
        Ok(_) | Err(WriteError::Api(kube::Error::SerdeError(_))) => Ok(None),
        // Also where the API server's own rules refuse what is stored.
        Err(WriteError::Refused(refusal)) => Ok(Some(refusal.wait())),
        Err(error) => Err(error),
    }
}

/// What is said of a StockWatch that cannot be read, without the times: only an edit, or another version of the operator,
/// helps. `there`: its status, whose Reconciling no longer holds.
fn cannot_read(generation: Option<i64>, there: &Value) -> Value {
    let condition = |condition: Condition, holds: Holds| {
        json!({
            "type": condition.as_str(),
            "status": holds.as_str(),
            "reason": Reason::InvalidSpec.as_str(),
            "message": "this version of the operator cannot read it: its log says why; the workers go on as they are",
            "observedGeneration": generation,
        })
    };
    let mut conditions =
        vec![condition(Condition::Ready, Holds::False), condition(Condition::Stalled, Holds::True)];
    if condition_of(there, Condition::Reconciling.as_str()).is_some() {
        // It may be another manager's, whose conditions stay: tools look at it first.
        conditions.push(condition(Condition::Reconciling, Holds::False));
    }
    json!({"observedGeneration": generation, "conditions": conditions})
}

/// The status of a StockWatch that cannot be read, as it is.
async fn status_there(context: &Context, key: &Key) -> Result<Value, WriteError> {
    let resource = ApiResource::erase::<StockWatch>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
    let mut found = bounded(READ, api.get(&key.name)).await?;
    Ok(found.data["status"].take())
}

/// The condition of a type in a status that was not parsed.
fn condition_of<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|there| there["type"] == kind)
}

/// Whether a status that was not parsed says all that `next` does.
fn says(there: &Value, next: &Value) -> bool {
    let is_said = |condition: &Value| {
        let there = condition_of(there, condition["type"].as_str().unwrap_or_default());
        let mut members = condition.as_object().into_iter().flatten();
        there.is_some_and(|there| members.all(|(name, value)| there[name] == *value))
    };
    there["observedGeneration"] == next["observedGeneration"]
        && next["conditions"].as_array().into_iter().flatten().all(is_said)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hyper::Method;

    use super::*;
    use crate::reconcile::fixtures::{Request, context};
    use crate::store::Watched;

    fn of_version(version: &str) -> ObjectMeta {
        ObjectMeta {
            generation: Some(3),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn condition(condition: Condition, holds: Holds) -> Value {
        json!({
            "type": condition.as_str(), "status": holds.as_str(), "reason": "InvalidSpec", "message": "a sentence",
            "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    fn stockwatch(version: &str, conditions: &[Value]) -> Value {
        json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {
                "name": "tech", "namespace": "default", "uid": "u", "generation": 3, "resourceVersion": version,
            },
            "spec": {
                "tickers": [{"symbol": "META"}],
                "windows": [{"duration": "5m", "tolerance": "1%"}],
                "kafka": {"bootstrapServers": "kafka:9092"},
            },
            "status": {"conditions": conditions},
        })
    }

    #[tokio::test]
    async fn the_status_of_an_unreadable_one_is_read_once_for_each_of_its_versions() {
        let object = json!({
            "metadata": {"name": "tech", "namespace": "default"},
            "status": cannot_read(Some(3), &Value::Null),
        });
        let (context, asked) = context(move |_| Some((200, object.clone())));
        let key = Key::new("default", "tech");
        for (version, reads) in [("7", 1), ("7", 1), ("8", 2), ("8", 2)] {
            assert_eq!(unreadable(&context, &key, &of_version(version), "?").await.unwrap(), None);
            assert_eq!(asked.lock().unwrap().len(), reads, "version {version}");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_one_that_cannot_be_read() {
        for (there, reconciles) in [
            (json!({"observedGeneration": -1}), false),
            (
                json!({"observedGeneration": 2, "conditions": [condition(Condition::Ready, Holds::True)]}),
                false,
            ),
            (json!({"conditions": [condition(Condition::Reconciling, Holds::True)]}), true),
        ] {
            let object = json!({"metadata": {"name": "tech", "namespace": "default"}, "status": there});
            let (context, asked) = context(move |_| Some((200, object.clone())));
            let key = Key::new("default", "tech");
            assert_eq!(unreadable(&context, &key, &of_version("7"), "?").await.unwrap(), None);
            let asked = asked.lock().unwrap();
            let applied = asked.iter().find(|request| request.method == Method::PATCH).unwrap();
            let status = serde_json::from_str::<Value>(&applied.body).unwrap()["status"].take();
            assert_eq!(status["observedGeneration"], 3);
            let said = |condition: Condition| condition_of(&status, condition.as_str());
            for (condition, holds) in [(Condition::Ready, "False"), (Condition::Stalled, "True")] {
                let said = said(condition).unwrap();
                assert_eq!((&said["status"], &said["reason"]), (&json!(holds), &json!("InvalidSpec")));
                assert_eq!(said["observedGeneration"], 3);
                assert!(said["lastTransitionTime"].is_string());
            }
            let holds = said(Condition::Reconciling).map(|said| said["status"].clone());
            assert_eq!(holds, reconciles.then(|| json!("False")));
        }
    }

    #[tokio::test]
    async fn what_was_said_of_one_that_could_not_be_read_is_taken_back_once_it_can_be() {
        let ready = condition(Condition::Ready, Holds::True);
        let stalled = condition(Condition::Stalled, Holds::True);
        let (left, clean) = (
            stockwatch("6", &[ready.clone(), stalled.clone()]),
            stockwatch("7", std::slice::from_ref(&ready)),
        );
        let (answer, expected) = (clean.clone(), clean.clone());
        let by_another = |request: &Request| request.query.contains(UNREADABLE_MANAGER);
        let (context, asked) = context(move |request| {
            Some((200, if by_another(request) { answer.clone() } else { left.clone() }))
        });
        let key = Key::new("default", "tech");
        let before = [condition(Condition::Ready, Holds::False), stalled];
        let before: StockWatch = serde_json::from_value(stockwatch("5", &before)).unwrap();
        let next: StockWatchStatus = serde_json::from_value(clean["status"].clone()).unwrap();
        assert!(!status(&context, &key, &before, next).await.unwrap().is_held);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().map(by_another).collect::<Vec<_>>(), [false, true]);
        let taken: Value = serde_json::from_str(&asked[1].body).unwrap();
        assert_eq!((&taken["status"], &taken["metadata"]["resourceVersion"]), (&Value::Null, &json!("6")));
        let Some(Watched::Readable(known)) = context.store.stockwatches.get(&key, "") else { unreachable!() };
        let expected: StockWatch = serde_json::from_value(expected).unwrap();
        assert_eq!(known.status, expected.status);
    }

    #[tokio::test]
    async fn where_nothing_is_left_to_take_back_a_status_is_one_write() {
        let after = stockwatch("6", &[condition(Condition::Ready, Holds::True)]);
        let next: StockWatchStatus = serde_json::from_value(after["status"].clone()).unwrap();
        let (context, asked) = context(move |_| Some((200, after.clone())));
        let before = [Condition::Ready, Condition::Stalled].map(|kind| condition(kind, Holds::False));
        let before: StockWatch = serde_json::from_value(stockwatch("5", &before)).unwrap();
        status(&context, &Key::new("default", "tech"), &before, next).await.unwrap();
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
