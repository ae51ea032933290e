//! Events: one for each turn to the worse, and one for each edit that is evaluated; none when all is well.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Reporter};
use stockwatch_crds::v1alpha1::LastEdit;
use stockwatch_crds::{StockWatch, StockWatchStatus};

use crate::status::{Condition, Holds, said};

/// The API server's limits.
const NOTE_BYTES: usize = 1024;
const INSTANCE_CHARS: usize = 128;

/// Who says it: this process.
pub fn reporter(instance: &str) -> Reporter {
    let instance = instance.chars().take(INSTANCE_CHARS).collect();
    Reporter { controller: "stockwatch.dev/operator".into(), instance: Some(instance) }
}

/// What an event is about: a StockWatch at one version. The recorder counts repetitions about one reference instead of
/// saying them, with the first one's words; so that it takes no event for an earlier one's, the version is part of it.
pub fn about(stockwatch: &StockWatch) -> ObjectReference {
    let resource_version = stockwatch.metadata.resource_version.clone();
    ObjectReference { resource_version, ..stockwatch.object_ref(&()) }
}

/// The event of a status that takes the place of another, if it is worth one.
pub fn of_transition(stockwatch: &StockWatch, next: &StockWatchStatus) -> Option<Event> {
    let ready = said(next, Condition::Ready)?;
    let before = stockwatch.status.as_ref().and_then(|status| said(status, Condition::Ready));
    let is_no = |status: &str| Holds::of(status) == Holds::False;
    let known = before.is_some_and(|before| is_no(&before.status) && before.reason == ready.reason);
    (is_no(&ready.status) && !known).then(|| event(EventType::Warning, &ready.reason, &ready.message))
}

/// The event of a status that first says what an edit would have changed.
pub fn of_edit(stockwatch: &StockWatch, next: &StockWatchStatus) -> Option<Event> {
    let edit = next.last_edit.as_ref()?;
    let before = stockwatch.status.as_ref().and_then(|status| status.last_edit.as_ref());
    if before.is_some_and(|before| before.generation == edit.generation) {
        return None;
    }
    let LastEdit {
        generation,
        hours,
        partitions,
        alarms_before,
        alarms_after,
        episodes_before,
        episodes_after,
        complete,
    } = edit;
    let figures = format!(
        "over the last {hours} h {alarms_before} \u{2192} {alarms_after} alarms in {episodes_before} \u{2192} \
         {episodes_after} episodes"
    );
    let said = match (complete, partitions) {
        (true, _) => figures,
        (false, Some(0)) => "no partition could be evaluated; the workers' logs say why".to_owned(),
        (false, Some(1)) => format!("{figures}, of what could be evaluated in 1 partition"),
        (false, Some(many)) => format!("{figures}, of what could be evaluated in {many} partitions"),
        (false, None) => format!("{figures}, as far as that could be evaluated"),
    };
    let message = format!("generation {generation}: {said}");
    Some(event(EventType::Normal, "Retuned", &message))
}

fn event(type_: EventType, reason: &str, message: &str) -> Event {
    let note = Some(cut(message));
    Event { type_, reason: reason.into(), note, action: "Reconcile".into(), secondary: None }
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

    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use hyper::{Method, Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::runtime::events::Recorder;
    use serde_json::{Value, json};
    use tower::service_fn;

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
        of_transition(&stockwatch, &next)
    }

    #[test]
    fn a_turn_to_the_worse_is_an_event_that_says_what_the_condition_says() {
        let event = event(status("True", "Working"), status("False", "KafkaUnreachable")).unwrap();
        assert_eq!((event.type_, &*event.reason), (EventType::Warning, "KafkaUnreachable"));
        assert_eq!(event.note.as_deref(), Some("a sentence"));
        assert!(super::tests::event(json!({}), status("False", "InvalidSpec")).is_some());
    }

    #[test]
    fn success_progress_and_known_trouble_are_no_events() {
        for (before, next) in [
            (status("False", "KafkaUnreachable"), status("True", "Working")),
            (status("True", "Working"), status("Unknown", "Applying")),
            (status("False", "KafkaUnreachable"), status("False", "KafkaUnreachable")),
        ] {
            assert!(event(before, next).is_none());
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
            of_edit(&stockwatch, &serde_json::from_value(next).unwrap())
        };
        let said = event(status(7), status(8)).unwrap();
        assert_eq!((said.type_, &*said.reason), (EventType::Normal, "Retuned"));
        let note = "generation 8: over the last 24 h 4 → 38 alarms in 3 → 12 episodes";
        assert_eq!(said.note.as_deref(), Some(note));
        assert!(event(status(8), status(8)).is_none());
        let partial = |partitions: i32| {
            let mut next = status(8);
            next["lastEdit"]["complete"] = false.into();
            next["lastEdit"]["partitions"] = partitions.into();
            event(status(7), next).unwrap().note.unwrap()
        };
        assert_eq!(partial(2), format!("{note}, of what could be evaluated in 2 partitions"));
        assert!(partial(0).starts_with("generation 8: no partition could be evaluated"));
        assert!(event(json!({}), json!({})).is_none());
    }

    #[tokio::test]
    async fn what_is_said_again_of_another_version_is_an_event_of_its_own() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(request.method().clone());
            async { Ok::<_, Infallible>(Response::new(Body::from(b"{\"metadata\": {}}".to_vec()))) }
        });
        let recorder = Recorder::new(Client::new(service, "market"), reporter(&"operator".repeat(20)));
        let mut stockwatch = stockwatch(json!({}));
        for version in ["7", "8"] {
            stockwatch.metadata.resource_version = Some(version.into());
            let about = about(&stockwatch);
            assert_eq!((about.name.as_deref(), about.uid.as_deref()), (Some("tech"), Some("u")));
            recorder.publish(&super::event(EventType::Normal, "Retuned", version), &about).await.unwrap();
        }
        assert_eq!(*asked.lock().unwrap(), [Method::POST, Method::POST], "neither is a count of the other");
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = "ä".repeat(NOTE_BYTES);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE_BYTES && cut.ends_with("ä…"));
    }
}
