#![allow(clippy::unwrap_used)]

use super::super::fixtures::*;
use super::super::*;
use crate::credentials::SecretProblem;
use crate::reconcile::Decision;
use crate::workers::Report;
#[test]
fn whether_quotes_flow_is_said_beside_ready_and_stands_until_something_else_is_known() {
    let mut scene = Scene::new();
    let message = "the source answers no request";
    let statement = Statement { holds: Holds::False, reason: "RateLimited".into(), message: message.into() };
    let failing = stockwatch_crds::v1alpha1::FailingTicker {
        symbol: "IBM".into(),
        reason: "NotFound".into(),
        since: "2026-01-01T00:00:00Z".into(),
        message: None,
    };
    scene.quotes = Quotes { statement: Some(statement), failing: Some(vec![failing.clone()]) };
    let before = scene.write();
    assert_eq!(condition(&before, Condition::QuotesFlow), "False RateLimited");
    assert_eq!(ready(&scene), "True Working");
    // Another operator has not asked yet.
    scene.quotes = Quotes::default();
    assert_eq!(scene.status_at(&at(60)), before);
    scene.quotes.failing = Some(vec![]);
    assert_ne!(scene.status_at(&at(60)), before);
}

#[test]
fn a_secret_that_the_source_lacks_is_said_at_once_beside_ready_and_until_quotes_come() {
    let mut scene = Scene::new();
    let message =
        "Secret keys is not for StockWatches: if it may be sent to the source, kubectl label secret keys";
    scene.source = Some(SecretProblem { reason: Reason::SecretNotLabelled, message: message.into() });
    let status = scene.write();
    let flow = said(&status, Condition::QuotesFlow).unwrap();
    assert_eq!((&*flow.status, &*flow.reason, &*flow.message), ("False", "SecretNotLabelled", message));
    assert_eq!(ready(&scene), "True Working");
    scene.decision = Decision::Suspend;
    scene.quotes.statement = Some(no_ready_workers());
    assert_eq!(condition(&scene.status(), Condition::QuotesFlow), "Unknown NoReadyWorkers");
    scene.decision = Decision::Run;
    (scene.source, scene.quotes) = (None, Quotes::default());
    let flow = condition(&scene.status(), Condition::QuotesFlow);
    assert_eq!(flow, "False SecretNotLabelled", "no worker has said anything else yet");
}

#[test]
fn what_workers_say_of_quotes_is_about_the_generation_that_they_compute_with() {
    let mut scene = Scene::new();
    let statement = Statement { holds: Holds::True, reason: "Flowing".into(), message: "quotes come".into() };
    scene.quotes.statement = Some(statement);
    let generation = |scene: &Scene| {
        let status = scene.status();
        said(&status, Condition::QuotesFlow).unwrap().observed_generation
    };
    assert_eq!(generation(&scene), Some(7));
    scene.edit();
    assert_eq!(generation(&scene), Some(7), "they have not heard of the edit");
    scene.report = Report { pods: vec![answered("a", 8), answered("b", 8)] };
    assert_eq!(generation(&scene), Some(8));
}
