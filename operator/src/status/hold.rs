//! When a status is written: trouble and results at once; steps on the way only if they take long, so that a
//! StockWatch that comes up, or an edit that is taken in, costs no more writes than it has results.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as ApiCondition;
use stockwatch_crds::StockWatchStatus;
use stockwatch_crds::v1alpha1::TopicState;

use super::condition::{Condition, Holds, Reason, said};

/// Workers answer an edit much faster than this.
const EDIT: Duration = Duration::from_millis(400);
/// Numbers that change while everything works.
const NUMBERS: Duration = Duration::from_secs(1);
/// A worker that moves its partitions is not ready for a moment, nor is an API server that changes hands.
const MOVES: Duration = Duration::from_secs(5);
/// Something is said of a new StockWatch.
const FIRST: Duration = Duration::from_secs(5);
/// Steps of one that comes up.
const STEPS: Duration = Duration::from_secs(30);

/// When the status is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It says what is there already.
    Same,
    /// At once.
    Now,
    /// So long after it first differed, unless it is what is there by then.
    For(Duration),
}

/// When `next` is to take the place of what is there.
pub fn hold(before: Option<&StockWatchStatus>, next: &StockWatchStatus) -> Hold {
    if before.is_some_and(|before| says(before, next)) {
        return Hold::Same;
    }
    let absent = StockWatchStatus::default();
    let before = before.unwrap_or(&absent);
    // Topics are created once the status says that they are going to be.
    let announces = |status: &StockWatchStatus| -> Vec<String> {
        let creating = status.topics.iter().filter(|topic| topic.state == TopicState::Creating);
        creating.map(|topic| topic.name.clone()).collect()
    };
    let announced = announces(before);
    if announces(next).iter().any(|name| !announced.contains(name)) {
        return Hold::Now;
    }
    match of_conditions(before, next) {
        // The workers' copy of the spec waits until the edit is listed.
        Hold::For(delay) if before.edits != next.edits => Hold::For(delay.min(EDIT)),
        hold => hold,
    }
}

fn of_conditions(before: &StockWatchStatus, next: &StockWatchStatus) -> Hold {
    let holds = |status| said(status, Condition::Ready).map(|ready| Holds::of(&ready.status));
    let reason = |status| said(status, Condition::Ready).map(|ready| ready.reason.clone());
    match (holds(before), holds(next)) {
        (_, Some(Holds::False)) if reason(before) == reason(next) && applied(before) == applied(next) => {
            Hold::For(NUMBERS)
        }
        (Some(Holds::True), Some(Holds::False))
            if applied(before) == applied(next)
                && reason(next).as_deref() == Some(Reason::WorkersNotReady.as_str()) =>
        {
            Hold::For(MOVES)
        }
        (_, Some(Holds::False)) => Hold::Now,
        (Some(Holds::True), Some(Holds::True))
            if applied(before) == applied(next) && before.observed_generation == next.observed_generation =>
        {
            Hold::For(NUMBERS)
        }
        (_, Some(Holds::True)) => Hold::Now,
        _ if reason(next).as_deref() == Some(Reason::ApiServerUnavailable.as_str()) => Hold::For(MOVES),
        (Some(Holds::True), _) => Hold::For(EDIT),
        (Some(Holds::False), _) => Hold::For(NUMBERS),
        (None, _) => Hold::For(FIRST),
        (Some(Holds::Unknown), _) if before.observed_generation != next.observed_generation => {
            Hold::For(EDIT)
        }
        (Some(Holds::Unknown), _) if applied(before).is_some() && applied(before) != applied(next) => {
            Hold::For(EDIT)
        }
        (Some(Holds::Unknown), _) if reason(before).as_deref() == Some(Reason::Paused.as_str()) => Hold::Now,
        (Some(Holds::Unknown), _) => Hold::For(STEPS),
    }
}

fn applied(status: &StockWatchStatus) -> Option<i64> {
    status.applied_generation
}

/// Whether `status` says all that `next` does, and nothing else of ours: others may have their own conditions and topics
/// in it.
pub fn says(status: &StockWatchStatus, next: &StockWatchStatus) -> bool {
    let ours = |status: &StockWatchStatus| -> BTreeMap<Condition, ApiCondition> {
        let conditions = status.conditions.iter();
        conditions.filter_map(|said| Some((Condition::of(&said.type_)?, said.clone()))).collect()
    };
    let lists_aside = |status: &StockWatchStatus| StockWatchStatus {
        conditions: Vec::new(),
        topics: Vec::new(),
        ..status.clone()
    };
    lists_aside(status) == lists_aside(next)
        && ours(status) == ours(next)
        && next.topics.iter().all(|topic| status.topics.contains(topic))
}

#[cfg(test)]
mod tests {
    use stockwatch_crds::v1alpha1::ToleranceEdit;

    use super::super::fixtures::{Scene, answered, known, rollout, unasked, unreachable};
    use super::*;
    use crate::reconcile::Decision;

    fn held(scene: &Scene) -> Hold {
        hold(scene.stockwatch.status.as_ref(), &scene.status())
    }

    #[test]
    fn a_stockwatch_comes_up_with_two_writes() {
        let mut scene = Scene::fresh();
        assert_eq!(held(&scene), Hold::For(FIRST), "Kafka may answer soon");
        scene.kafka = Some(known(TopicState::Creating, None));
        assert_eq!(held(&scene), Hold::Now, "topics are created once this is written");
        scene.write();
        assert_eq!(held(&scene), Hold::Same);
        scene.kafka = Some(known(TopicState::Created, None));
        assert_eq!(held(&scene), Hold::For(STEPS));
        scene.decision = Decision::Run;
        scene.rollout = Some(rollout(0));
        scene.rollout.iter_mut().for_each(|rollout| rollout.progress = crate::rollout::Progress::Going);
        assert_eq!(held(&scene), Hold::For(STEPS));
        scene.rollout = Some(rollout(2));
        scene.report.pods = vec![unasked("a"), unasked("b")];
        assert_eq!(held(&scene), Hold::For(STEPS));
        scene.report.pods = vec![answered("a", 7), answered("b", 7)];
        assert_eq!(held(&scene), Hold::Now);
        scene.write();
        assert_eq!(held(&scene), Hold::Same);
    }

    #[test]
    fn an_edit_that_is_taken_in_at_once_is_one_write() {
        let mut scene = Scene::new();
        scene.write();
        scene.edit();
        assert_eq!(held(&scene), Hold::For(EDIT));
        scene.report.pods = vec![answered("a", 8), answered("b", 8)];
        assert_eq!(held(&scene), Hold::Now);
    }

    #[test]
    fn an_edit_of_a_tolerance_is_listed_soon_however_long_its_workers_take() {
        let mut scene = Scene::new();
        scene.write();
        scene.rollout = Some(rollout(1));
        scene.write();
        scene.edit();
        scene.edits = vec![ToleranceEdit { generation: 8, ..ToleranceEdit::default() }];
        assert_eq!(held(&scene), Hold::For(EDIT));
        scene.write();
        scene.edits.clear();
        assert_eq!(held(&scene), Hold::Same);
    }

    #[test]
    fn an_edit_that_was_said_to_be_under_way_is_said_to_be_applied_at_once() {
        let mut scene = Scene::new();
        scene.write();
        scene.edit();
        scene.write();
        scene.report.pods = vec![answered("a", 8), answered("b", 8)];
        assert_eq!(held(&scene), Hold::Now);
    }

    #[test]
    fn trouble_and_its_end_are_said_at_once() {
        let mut scene = Scene::new();
        scene.write();
        scene.kafka = Some(unreachable());
        assert_eq!(held(&scene), Hold::Now);
        scene.write();
        scene.edit();
        scene.report.pods = vec![answered("a", 8), answered("b", 8)];
        assert_eq!(held(&scene), Hold::Now, "what the workers compute with has changed");
        scene.write();
        scene.kafka = Some(known(TopicState::Created, None));
        assert_eq!(held(&scene), Hold::Now);
    }

    #[test]
    fn a_worker_that_is_not_ready_for_a_moment_is_not_spoken_of() {
        let mut scene = Scene::new();
        scene.write();
        scene.rollout = Some(rollout(1));
        assert_eq!(held(&scene), Hold::For(MOVES));
    }

    #[test]
    fn numbers_that_change_while_all_is_well_can_wait_a_moment() {
        let mut scene = Scene::new();
        scene.write();
        scene.stockwatch.spec.tickers.truncate(1);
        assert_eq!(held(&scene), Hold::For(NUMBERS));
    }
}
