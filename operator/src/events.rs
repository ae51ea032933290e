//! Events: one for each turn to the worse, and one for each edit that is evaluated; none when all is well.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::ObjectMeta;
use stockwatch_crds::v1alpha1::LastEdit;
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
    event(stockwatch, "Warning", &ready.reason, &ready.message, (instance, now))
}

/// The event of a status that first says what an edit would have changed.
pub fn of_edit(
    stockwatch: &StockWatch,
    next: &StockWatchStatus,
    instance: &str,
    now: Timestamp,
) -> Option<Event> {
    let edit = next.last_edit.as_ref()?;
    let before = stockwatch.status.as_ref().and_then(|status| status.last_edit.as_ref());
    if before.is_some_and(|before| before.generation == edit.generation) {
        return None;
    }
    let LastEdit {
        generation,
        hours,
        alarms_before,
        alarms_after,
        episodes_before,
        episodes_after,
        complete,
    } = edit;
    let part = if *complete { "" } else { ", as far as that could be evaluated" };
    let message = format!(
        "generation {generation}: over the last {hours} h {alarms_before} \u{2192} {alarms_after} alarms in \
         {episodes_before} \u{2192} {episodes_after} episodes{part}"
    );
    event(stockwatch, "Normal", "Retuned", &message, (instance, now))
}

fn event(
    stockwatch: &StockWatch,
    kind: &str,
    reason: &str,
    message: &str,
    (instance, now): (&str, Timestamp),
) -> Option<Event> {
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
        type_: Some(kind.into()),
        reason: Some(reason.into()),
        note: Some(cut(message)),
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

    fn stockwatch(status: Value) -> StockWatch {
        serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u"},
            "spec": {"tickers": [], "kafka": {"bootstrapServers": "k:1"}},
            "status": status,
        }))
        .unwrap()
    }

    fn event(before: Value, next: Value) -> Option<Event> {
        let stockwatch = stockwatch(before);
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
    fn an_edit_that_is_evaluated_is_an_event_once() {
        let status = |generation: i64| {
            json!({"lastEdit": {
                "generation": generation, "hours": 24, "alarmsBefore": 4, "alarmsAfter": 38, "episodesBefore": 3,
                "episodesAfter": 12, "complete": true,
            }})
        };
        let event = |before: Value, next: Value| {
            let stockwatch = stockwatch(before);
            of_edit(&stockwatch, &serde_json::from_value(next).unwrap(), "operator-a", Timestamp::UNIX_EPOCH)
        };
        let said = event(status(7), status(8)).unwrap();
        assert_eq!((said.type_.as_deref(), said.reason.as_deref()), (Some("Normal"), Some("Retuned")));
        let note = "generation 8: over the last 24 h 4 → 38 alarms in 3 → 12 episodes";
        assert_eq!(said.note.as_deref(), Some(note));
        assert_eq!(event(status(8), status(8)), None);
        assert_eq!(event(json!({}), json!({})), None);
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = "ä".repeat(NOTE_BYTES);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE_BYTES && cut.ends_with("ä…"));
    }
}
