#![allow(clippy::unwrap_used)]

use super::super::fixtures::*;
use super::super::*;
use crate::key::Key;
use crate::reconcile::HeldRollout;
use crate::rollout::{Progress, Rollout};

fn available(scene: &Scene) -> String {
    condition(&scene.status(), Condition::WorkerAvailable)
}

#[test]
fn a_rollout_is_under_way_until_it_fails() {
    let mut scene = Scene::new();
    scene.rollout = Some(Rollout { progress: Progress::Going, ..rollout(1) });
    assert_eq!(available(&scene), "Unknown WorkersStarting");
    scene.rollout = Some(Rollout { observed: false, ..rollout(2) });
    assert_eq!(available(&scene), "Unknown WorkersStarting");
    scene.rollout = Some(Rollout { updated: 1, replicas: 3, progress: Progress::Going, ..rollout(2) });
    assert_eq!(available(&scene), "Unknown WorkersStarting", "a new form is rolled out");
    scene.rollout = Some(Rollout { progress: Progress::Failed, ..rollout(1) });
    assert_eq!(available(&scene), "False WorkersNotStarting");
}

#[test]
fn a_worker_that_gets_lost_is_trouble() {
    let mut scene = Scene::new();
    scene.write();
    scene.rollout = Some(rollout(1));
    assert_eq!(available(&scene), "False WorkersNotReady");
    scene.write();
    assert_eq!(available(&scene), "False WorkersNotReady");
}

#[test]
fn a_worker_that_is_added_is_trouble_only_when_it_does_not_come_up() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.rollout = Some(rollout(1));
    assert_eq!(available(&scene), "Unknown WorkersStarting");
    scene.write();
    let later = |second| condition(&scene.status_at(&at(second)), Condition::WorkerAvailable);
    assert_eq!(later(179), "Unknown WorkersStarting");
    assert_eq!(later(180), "False WorkersNotStarting");
}

#[test]
fn workers_that_do_not_come_up_have_kubernetes_own_sentence() {
    let mut scene = Scene::new();
    let refusal = Some("pods \"tech-1\" is forbidden: exceeded quota: none, used: pods=5".into());
    scene.rollout =
        Some(Rollout { progress: Progress::Going, replicas: 0, updated: 0, refusal, ..rollout(0) });
    let before = scene.write();
    let said_of = |status: &StockWatchStatus| said(status, Condition::WorkerAvailable).unwrap().clone();
    assert_eq!(condition(&before, Condition::WorkerAvailable), "False WorkersNotStarting");
    assert!(said_of(&before).message.ends_with("exceeded quota: none, used: pods=5"));
    scene.rollout.as_mut().unwrap().refusal =
        Some("pods \"tech-2\" is forbidden: exceeded quota: none, used: pods=6".into());
    assert_eq!(said_of(&scene.status()), said_of(&before), "other numbers are no news");

    scene.rollout = Some(Rollout { progress: Progress::Failed, ..rollout(1) });
    scene.pods = Some("pod b: CrashLoopBackOff: it ended with OOMKilled (exit code 137)".into());
    let status = scene.status();
    assert!(said_of(&status).message.contains("CrashLoopBackOff: it ended with OOMKilled"));
    scene.rollout = Some(Rollout { progress: Progress::Going, ..rollout(1) });
    assert_eq!(available(&scene), "Unknown WorkersStarting");
    assert!(said_of(&scene.status()).message.contains("OOMKilled"), "it is said before it is too late");
}

#[test]
fn an_edit_that_waits_for_its_turn_is_not_there_yet_and_an_upgrade_that_does_is_no_trouble() {
    let mut scene = Scene::new();
    scene.write();
    scene.turn = Some(HeldRollout { is_edited: false, halted_by: None });
    assert_eq!(available(&scene), "True WorkersReady");
    scene.turn = Some(HeldRollout { is_edited: false, halted_by: Some(Key::new("market", "first")) });
    let status = scene.status();
    assert_eq!(condition(&status, Condition::WorkerAvailable), "True UpgradeHalted");
    assert_eq!(condition(&status, Condition::Ready), "True Working");
    assert!(said(&status, Condition::WorkerAvailable).unwrap().message.contains("market/first"));
    scene.edit();
    scene.report.pods = vec![answered("a", 8), answered("b", 8)];
    scene.turn = Some(HeldRollout { is_edited: true, halted_by: None });
    assert_eq!(ready(&scene), "Unknown WaitingForTurn");
}
