//! What a reconcile says where the API server answers some of its requests only.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use hyper::Method;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType};
use serde_json::{Value, json};
use tokio::time::advance;

use super::fixtures::{Asked, Request, context, stockwatch};
use super::*;
use crate::slots::Cause;

/// The API server cannot answer just now.
fn unavailable() -> Option<(u16, Value)> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500, "reason": "",
        "message": "etcdserver: request timed out",
    });
    Some((500, status))
}

fn is_status(request: &Request) -> bool {
    request.method == Method::PATCH && request.path.ends_with("/stockwatches/tech/status")
}

/// Reconciles, each time with an error, until this long after the first time; gives the last status that it wrote.
async fn said(context: &Context, asked: &Asked, seconds: u64) -> String {
    let (key, end) = (Key::new("market", "tech"), Instant::now() + Duration::from_secs(seconds));
    loop {
        reconcile(context, &key).await.unwrap_err();
        if Instant::now() > end {
            break;
        }
        advance(Duration::from_secs(4)).await;
    }
    let asked = asked.lock().unwrap();
    asked.iter().rfind(|request| is_status(request)).map(|request| request.body.clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_cannot_be_set_for_now_keeps_nothing_else_from_being_done_and_said() {
    let (context, asked) = context(|_| unavailable());
    context.store.learn_stockwatch(stockwatch(&json!({}), "Delete"));
    let said = said(&context, &asked, 10).await;
    assert!(said.contains("does not answer"), "{said}");
    assert!(asked.lock().unwrap().iter().any(|request| request.path.ends_with("/services/tech-stockwatch")));
}

#[tokio::test(start_paused = true)]
async fn an_edit_tries_at_once_what_was_refused_for_an_hour() {
    let refused = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403,
        "reason": "Forbidden", "message": "exceeded quota: services",
    });
    let is_service = |request: &Request| {
        request.method == Method::PATCH && request.path.ends_with("/services/tech-stockwatch")
    };
    let refuses = move |request: &Request| is_service(request).then(|| (403, refused.clone()));
    let (context, asked) = context(move |request| refuses(request).or_else(unavailable));
    context.store.learn_stockwatch(stockwatch(&json!({}), "Delete"));
    let key = Key::new("market", "tech");
    let tries = || asked.lock().unwrap().iter().filter(|request| is_service(request)).count();
    let mut before = 0;
    for _ in 0..30 {
        advance(Duration::from_secs(130)).await;
        reconcile(&context, &key).await.unwrap_err();
        before = tries();
        reconcile(&context, &key).await.unwrap_err();
    }
    assert_eq!((tries(), before > 0), (before, true), "it is refused still, and not asked for again so soon");
    let edited = json!({"generation": 8, "resourceVersion": "6"});
    context.store.learn_stockwatch(stockwatch(&edited, "Delete"));
    reconcile(&context, &key).await.unwrap_err();
    assert_eq!(tries(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_gets_no_answer_says_so() {
    let (context, asked) = context(|_| unavailable());
    let metadata = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names::FINALIZER]});
    context.store.learn_stockwatch(stockwatch(&metadata, "Delete"));
    let said = said(&context, &asked, 10).await;
    assert!(said.contains("a step of the deletion") && said.contains("ApiServerUnavailable"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_read_is_said_and_stays_for_it_alone_knows_what_was_before_an_edit() {
    let (context, asked) = context(|_| unavailable());
    context.store.learn_stockwatch(stockwatch(&json!({}), "Retain"));
    let copy: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "tech-stockwatch", "namespace": "market", "uid": "c", "resourceVersion": "4",
            "annotations": {(names::HASH): "of before"},
            "ownerReferences": [{
                "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch", "name": "tech", "uid": "u",
                "controller": true,
            }],
        },
    }))
    .unwrap();
    context.store.learn_owned(Kind::ConfigMap, copy);
    let said = said(&context, &asked, 10).await;
    assert!(said.contains("does not answer"), "{said}");
    let asked = asked.lock().unwrap();
    let copy = |request: &&Request| request.path.ends_with("/configmaps/tech-stockwatch");
    assert!(asked.iter().filter(copy).all(|request| request.method == Method::GET), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_hangs_is_waited_for_two_minutes_and_then_somebody_has_to_act() {
    let hangs = |request: &Request| request.method == Method::PATCH && !is_status(request);
    let (context, asked) = context(move |request| if hangs(request) { None } else { unavailable() });
    context.store.learn_stockwatch(stockwatch(&json!({}), "Delete"));
    let early = said(&context, &asked, 60).await;
    assert!(early.contains("ApiServerUnavailable") && early.contains("Reconciling"), "{early}");
    let late = said(&context, &asked, 90).await;
    for word in ["WritesTimeOut", "webhook", "Stalled"] {
        assert!(late.contains(word), "{word}: {late}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_gets_no_answer_is_created_later() {
    let tries = AtomicU32::new(0);
    let (context, asked) = context(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => None,
        1 => unavailable(),
        _ => Some((201, json!({"metadata": {}}))),
    });
    let about = crate::events::about(&stockwatch(&json!({}), "Retain"));
    let event = Event {
        type_: EventType::Warning,
        reason: "KafkaUnreachable".into(),
        note: None,
        action: "Reconcile".into(),
        secondary: None,
    };
    context.writes.event(&event, &about).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn pods_leave_their_turn_to_the_next_only_if_it_is_known_that_they_are_not_replaced() {
    let (context, _) = context(|_| None);
    let key = |i: usize| Key::new("market", format!("sw-{i:02}"));
    let problem = |trouble| {
        vec![ObjectProblem { kind: Kind::Deployment.as_str(), name: "tech-stockwatch".into(), trouble }]
    };
    for (trouble, is_left) in [
        (Trouble::Unanswered, false),
        (Trouble::Older, false),
        (Trouble::Hangs, true),
        (Trouble::Foreign, true),
    ] {
        (0..10).for_each(|i| context.slots.note(key(i), Cause::Upgrade, Instant::now()));
        free_unused_slot(&context, &key(0), &problem(trouble), None);
        let eleventh = context.slots.take(&key(10), Cause::Upgrade, false, Instant::now());
        assert_eq!(eleventh.is_some(), is_left);
        context.free_slot(&key(10));
    }
}
