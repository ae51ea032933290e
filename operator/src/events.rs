//! Events: one for each turn to the worse, none when all is well.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::ObjectMeta;
use stockwatch_crds::{StockWatch, StockWatchStatus};

use crate::status::{Condition, Holds, said};

const CONTROLLER: &str = "stockwatch.dev/operator";
/// The API server's limit.
const NOTE_BYTES: usize = 1024;

/// The event of a status that takes the place of another, if it is worth one.
pub fn of_transition(
    stockwatch: &StockWatch,
    next: &StockWatchStatus,
    instance: &str,
    now: Timestamp,
) -> Option<Event> {
    let ready = said(next, Condition::Ready)?;
    let before = stockwatch.status.as_ref().and_then(|status| said(status, Condition::Ready));
    let is_no = |status: &str| Holds::of(status) == Holds::False;
    let known = before.is_some_and(|before| is_no(&before.status) && before.reason == ready.reason);
    if !is_no(&ready.status) || known {
        return None;
    }
    let metadata = &stockwatch.metadata;
    let name = metadata.name.clone()?;
    Some(Event {
        metadata: ObjectMeta {
            namespace: metadata.namespace.clone(),
            name: Some(format!("{name}.{:016x}", now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.into()),
        reporting_instance: Some(instance.chars().take(128).collect()),
        action: Some("Reconcile".into()),
        type_: Some("Warning".into()),
        reason: Some(ready.reason.clone()),
        note: Some(cut(&ready.message)),
        regarding: Some(ObjectReference {
            api_version: Some(StockWatch::api_version(&()).into_owned()),
            kind: Some(StockWatch::kind(&()).into_owned()),
            name: Some(name),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            field_path: None,
        }),
        ..Event::default()
    })
}

fn cut(message: &str) -> String {
    const MORE: &str = "…";
    if message.len() <= NOTE_BYTES {
        return message.to_owned();
    }
    let room = NOTE_BYTES - MORE.len();
    let end = message.char_indices().map(|(i, _)| i).take_while(|i| *i <= room).last().unwrap_or_default();
    format!("{}{MORE}", &message[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn status(status: &str, reason: &str) -> Value {
        let condition = json!({
            "type": "Ready", "status": status, "reason": reason, "message": "a sentence",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({"conditions": [condition]})
    }

    fn event(before: Value, next: Value) -> Option<Event> {
        let stockwatch: StockWatch = serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u"},
            "spec": {"tickers": [], "kafka": {"bootstrapServers": "k:1"}},
            "status": before,
        }))
        .unwrap();
        let next = serde_json::from_value(next).unwrap();
        of_transition(&stockwatch, &next, "operator-a", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_turn_to_the_worse_is_an_event_that_says_what_the_condition_says() {
        let event = event(status("True", "Working"), status("False", "KafkaUnreachable")).unwrap();
        assert_eq!(event.reason.as_deref(), Some("KafkaUnreachable"));
        assert_eq!(event.note.as_deref(), Some("a sentence"));
        assert_eq!(event.metadata.name.as_deref(), Some("tech.0000000000000000"));
        assert_eq!(event.regarding.unwrap().name.as_deref(), Some("tech"));
        assert!(super::tests::event(json!({}), status("False", "InvalidSpec")).is_some());
    }

    #[test]
    fn success_progress_and_known_trouble_are_no_events() {
        for (before, next) in [
            (status("False", "KafkaUnreachable"), status("True", "Working")),
            (status("True", "Working"), status("Unknown", "Applying")),
            (status("False", "KafkaUnreachable"), status("False", "KafkaUnreachable")),
        ] {
            assert_eq!(event(before, next), None);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = "ä".repeat(NOTE_BYTES);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE_BYTES && cut.ends_with("ä…"));
    }
}
