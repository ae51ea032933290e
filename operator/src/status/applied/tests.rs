#![allow(clippy::unwrap_used)]

use super::super::fixtures::*;
use super::super::*;
use crate::workers::Pod;
#[test]
fn after_an_edit_the_workers_are_behind_until_all_of_them_have_answered() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.report.pods = vec![answered("a", 8), answered("b", 7)];
    let status = scene.status();
    assert_eq!(condition(&status, Condition::ConfigApplied), "Unknown Applying");
    assert_eq!(condition(&status, Condition::Ready), "Unknown Applying");
    assert_eq!((status.observed_generation, status.applied_generation), (Some(8), Some(7)));
    scene.report.pods = vec![answered("a", 8), answered("b", 9)];
    assert_eq!(scene.status().applied_generation, Some(8), "one may have seen a newer one already");
    assert_eq!(ready(&scene), "True Working");
}

#[test]
fn a_worker_that_cannot_be_asked_says_nothing_against_what_it_has_taken_in_nor_for_what_it_has_not() {
    let mut scene = Scene::new();
    scene.write();
    let unreachable = vec![answered("a", 7), Pod { unreachable: true, ..unasked("b") }];
    scene.report.pods.clone_from(&unreachable);
    let status = scene.status();
    assert_eq!(condition(&status, Condition::ConfigApplied), "Unknown WorkersUnreachable");
    assert_eq!(condition(&status, Condition::Ready), "True Working");
    scene.edit();
    for silent in [unasked("b"), answered("b", 7)] {
        scene.report.pods = vec![answered("a", 8), Pod { unreachable: true, ..silent }];
        let status = scene.status();
        assert_eq!(condition(&status, Condition::Ready), "Unknown WorkersUnreachable");
        assert_eq!(status.applied_generation, Some(7));
    }
}

#[test]
fn a_worker_that_refuses_an_edit_makes_it_not_ready() {
    let mut scene = Scene::new();
    scene.edit();
    let mut refusing = answered("a", 7);
    refusing.answer.as_mut().unwrap().refuses = true;
    scene.report.pods = vec![refusing, answered("b", 8)];
    assert_eq!(ready(&scene), "False SpecRefused");
    assert_eq!(scene.status().applied_generation, Some(7));
}

#[test]
fn fields_that_a_worker_does_not_know_are_named() {
    let mut scene = Scene::new();
    for pod in &mut scene.report.pods {
        pod.answer.as_mut().unwrap().ignored = vec!["spec.novelty".into()];
    }
    let status = scene.status();
    let message = &said(&status, Condition::ConfigApplied).unwrap().message;
    assert!(message.ends_with("does not know: spec.novelty"), "{message}");
}

#[test]
fn fields_that_a_worker_does_not_know_take_a_bounded_part_of_the_message() {
    let mut scene = Scene::new();
    for pod in &mut scene.report.pods {
        let ignored = (0..100).map(|i| format!("spec.{i}{}", "x".repeat(1_000)));
        pod.answer.as_mut().unwrap().ignored = ignored.collect();
    }
    let status = scene.status();
    let message = &said(&status, Condition::ConfigApplied).unwrap().message;
    assert!(message.len() < 1_000 && message.ends_with("… and 90 more"), "{message}");
}
