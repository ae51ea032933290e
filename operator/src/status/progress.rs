//! Reconciling and Stalled, as kstatus has them (sigs.k8s.io/cli-utils): abnormal-true, there only while they are true,
//! and never both. Tools that wait for a StockWatch wait while it is Reconciling, and give up once it is Stalled.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stockwatch_crds::StockWatchStatus;

use super::condition::{Condition, Holds, Reason, Statement, said};
use super::seen::Said;
use crate::topics::KafkaReason;

/// What somebody else may be about to bring (brokers, Secrets, permissions) is waited for, in seconds.
const PATIENCE: i64 = 120;

/// What only an edit, or somebody's deliberate act, ends: nothing is waited for.
const FINAL: [Reason; 13] = [
    Reason::Paused,
    Reason::InvalidSpec,
    Reason::DuplicateEntity,
    Reason::NameConflict,
    Reason::SpecRefused,
    // It was waited for already.
    Reason::WritesTimeOut,
    Reason::Kafka(KafkaReason::ClusterChanged),
    Reason::Kafka(KafkaReason::TopicConflict),
    Reason::Kafka(KafkaReason::GroupConflict),
    Reason::Kafka(KafkaReason::PartitionsDiffer),
    Reason::Kafka(KafkaReason::PartitionsImmutable),
    Reason::Kafka(KafkaReason::ReplicationFactorImmutable),
    Reason::Kafka(KafkaReason::TopicLosesState),
];

/// What goes with `ready`; nothing once it holds for `generation`.
pub(super) fn statement(
    before: &StockWatchStatus,
    ready: &Said,
    generation: Option<i64>,
    now: &Time,
) -> Option<(Condition, Said)> {
    let Statement { holds, reason, message } = &ready.statement;
    if *holds == Holds::True && ready.generation == generation {
        return None;
    }
    let is_final = FINAL.iter().any(|of| of.as_str() == reason);
    let since = said(before, Condition::Ready).filter(|said| said.status == holds.as_str());
    let age = since.map_or(0, |said| age(&said.last_transition_time, now));
    let stalls = is_final || (needs_somebody(holds.as_str(), reason) && age >= PATIENCE);
    let condition = if stalls { Condition::Stalled } else { Condition::Reconciling };
    let statement = Statement { holds: Holds::True, reason: reason.clone(), message: message.clone() };
    Some((condition, Said { statement, generation }))
}

/// Whether it may be that it does not end by itself.
fn needs_somebody(holds: &str, reason: &str) -> bool {
    holds == Holds::False.as_str() || reason == Reason::WorkersUnreachable.as_str()
}

/// When a status that says so now is to say that the StockWatch is Stalled, if nothing happens before.
pub fn stalls_in(status: &StockWatchStatus, now: &Time) -> Option<Duration> {
    said(status, Condition::Reconciling)?;
    let ready =
        said(status, Condition::Ready).filter(|ready| needs_somebody(&ready.status, &ready.reason))?;
    let left = PATIENCE - age(&ready.last_transition_time, now);
    Some(Duration::from_secs(u64::try_from(left).unwrap_or_default().max(1)))
}

fn age(since: &Time, now: &Time) -> i64 {
    now.0.as_second() - since.0.as_second()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::super::fixtures::{Scene, answered, at, known, rollout, summary, unasked, unreachable};
    use super::*;
    use crate::reconcile::{Decision, ObjectProblem, Trouble};
    use crate::rollout::{Progress, Rollout};
    use crate::topics::Observed;
    use crate::workers::Pod;
    use stockwatch_crds::v1alpha1::TopicState;

    /// Which of the two the status has, and the generation that it speaks of.
    fn progress(scene: &Scene, second: i64) -> Option<(Condition, Option<i64>)> {
        let status = scene.status_at(&at(second));
        let all = [Condition::Reconciling, Condition::Stalled];
        let mut there = all.into_iter().filter_map(|condition| Some((condition, said(&status, condition)?)));
        let (condition, said) = there.next()?;
        assert_eq!((there.next(), said.status.as_str()), (None, "True"));
        Some((condition, said.observed_generation))
    }

    #[test]
    fn what_is_under_way_is_reconciling_and_what_is_ready_is_neither() {
        let mut scene = Scene::fresh();
        assert_eq!(progress(&scene, 0), Some((Condition::Reconciling, Some(7))));
        scene = Scene::new();
        assert_eq!(progress(&scene, 0), None);
        scene.write();
        scene.edit();
        scene.kafka = Some(Observed::Pending);
        assert_eq!(progress(&scene, 1_000_000), Some((Condition::Reconciling, Some(8))));
    }

    #[test]
    fn where_only_an_edit_helps_nothing_is_waited_for() {
        let mut scene = Scene::new();
        scene.kafka = Some(known(TopicState::Created, Some(KafkaReason::PartitionsDiffer)));
        scene.decision = Decision::Stop;
        assert_eq!(progress(&scene, 0), Some((Condition::Stalled, Some(7))));
        assert_eq!(stalls_in(&scene.status(), &at(0)), None);
    }

    #[test]
    fn what_somebody_may_be_about_to_bring_is_waited_for_two_minutes() {
        let mut scene = Scene::fresh();
        scene.kafka = Some(unreachable());
        let first = scene.write();
        assert_eq!(stalls_in(&first, &at(30)), Some(Duration::from_secs(90)));
        assert_eq!(progress(&scene, 119), Some((Condition::Reconciling, Some(7))));
        assert_eq!(progress(&scene, 120), Some((Condition::Stalled, Some(7))));
        scene.report.pods = vec![answered("a", 7)];
        assert_eq!(stalls_in(&scene.status_at(&at(120)), &at(120)), None);
    }

    #[test]
    fn so_is_a_way_to_workers_that_cannot_be_asked_about_an_edit() {
        let mut scene = Scene::new();
        scene.report.pods = vec![Pod { unreachable: true, ..unasked("a") }];
        let first = scene.write();
        assert_eq!(stalls_in(&first, &at(30)), Some(Duration::from_secs(90)));
        assert_eq!(progress(&scene, 119), Some((Condition::Reconciling, Some(7))));
        assert_eq!(progress(&scene, 120), Some((Condition::Stalled, Some(7))));
    }

    /// What kstatus makes of a status, in the order in which it looks.
    fn kstatus(status: &StockWatchStatus, generation: Option<i64>) -> &'static str {
        if status.observed_generation != generation {
            return "InProgress";
        }
        let mut first = status.conditions.iter().filter(|there| there.status == "True");
        match first.find(|there| there.type_ == "Reconciling" || there.type_ == "Stalled") {
            Some(there) if there.type_ == "Stalled" => "Failed",
            Some(_) => "InProgress",
            None if said(status, Condition::Ready).is_some_and(|ready| ready.status != "True") => {
                "InProgress"
            }
            None => "Current",
        }
    }

    /// Whether `kubectl wait --for=condition=Ready` ends.
    fn kubectl_ends(status: &StockWatchStatus, generation: Option<i64>) -> bool {
        said(status, Condition::Ready).is_some_and(|ready| {
            let of = ready.observed_generation.or(status.observed_generation);
            ready.status == "True" && (of.is_none() || of >= generation)
        })
    }

    /// What tools make of a scene; they agree.
    fn verdict(scene: &Scene, second: i64) -> &'static str {
        let (status, generation) = (scene.status_at(&at(second)), scene.stockwatch.metadata.generation);
        let holds = |condition| said(&status, condition).is_some_and(|there| there.status == "True");
        let ready = said(&status, Condition::Ready).unwrap();
        let is_ready = ready.status == "True" && ready.observed_generation == generation;
        let expected = match (is_ready, holds(Condition::Reconciling), holds(Condition::Stalled)) {
            (true, false, false) => "Current",
            (false, true, false) => "InProgress",
            (false, false, true) => "Failed",
            _ => "nothing that agrees with itself",
        };
        assert_eq!(kstatus(&status, generation), expected, "{:?}", summary(&status));
        assert_eq!(kubectl_ends(&status, generation), is_ready, "{:?}", summary(&status));
        expected
    }

    #[test]
    fn tools_that_wait_agree_in_whatever_is_seen_and_pass_for_no_generation_but_the_last() {
        let conflict = Some(KafkaReason::TopicConflict);
        let kafka = [
            None,
            Some(Observed::Pending),
            Some(unreachable()),
            Some(known(TopicState::Creating, None)),
            Some(known(TopicState::Created, None)),
            Some(known(TopicState::Created, conflict)),
        ];
        let decisions = [
            Decision::Run,
            Decision::Suspend,
            Decision::Stop,
            Decision::WaitForTopics,
            Decision::WaitForConnection,
            Decision::Leave,
        ];
        let rollouts = [
            None,
            Some(rollout(2)),
            Some(Rollout { progress: Progress::Going, ..rollout(1) }),
            Some(Rollout { progress: Progress::Failed, ..rollout(0) }),
        ];
        let gone = vec![answered("a", 8), Pod { unreachable: true, ..unasked("b") }];
        let pods = [
            vec![],
            vec![answered("a", 7), answered("b", 7)],
            vec![answered("a", 8), answered("b", 8)],
            gone,
        ];
        let problem = |trouble| ObjectProblem { kind: "Deployment", name: "tech-stockwatch".into(), trouble };
        let objects = [vec![], vec![problem(Trouble::Foreign)], vec![problem(Trouble::Unanswered)]];
        let mut verdicts = BTreeSet::new();
        for is_edited in [false, true] {
            let mut scene = Scene::new();
            scene.write();
            if is_edited {
                scene.edit();
            }
            for kafka in &kafka {
                scene.kafka.clone_from(kafka);
                for decision in decisions {
                    scene.decision = decision;
                    for rollout in &rollouts {
                        scene.rollout.clone_from(rollout);
                        for pods in &pods {
                            scene.report.pods.clone_from(pods);
                            for objects in &objects {
                                scene.objects.clone_from(objects);
                                verdicts.extend([0, PATIENCE].map(|second| verdict(&scene, second)));
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(verdicts, BTreeSet::from(["Current", "Failed", "InProgress"]));
    }
}
