#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use stockwatch_crds::v1alpha1::TopicState;

use super::results::SOON;
use super::*;
use crate::topics::fixtures::{stockwatch, topics, wanted};
use crate::topics::observed::KafkaReason;
use crate::topics::round::{Outcome, Retry};

fn connection(servers: &str) -> Connection {
    Connection::new(servers, None, None).unwrap()
}

/// What one round over this connection answers, with topics of four partitions there.
fn round(registry: &mut ClusterRegistry, connection: &Connection) -> HashSet<ObjectKey> {
    let work = registry.take(connection);
    let outcomes = planned(registry, connection, &work);
    registry.publish(connection, outcomes, Vec::new())
}

fn planned(registry: &mut ClusterRegistry, connection: &Connection, work: &Work) -> Vec<Outcome> {
    let found = topics(&wanted(stockwatch("any", 1)), 4);
    let outcome = |plan: TopicsPlan| Outcome {
        observed: Observed::Known {
            cluster_id: "c".into(),
            topics: plan.statuses("c", &found),
            problem: KafkaProblem::of(plan.problems),
            writers_stamp: false,
        },
        wanted: plan.asked,
        creations: plan.creations,
        retry: Retry::No,
    };
    registry.plan(connection, "c", &found, &work.wanted).into_iter().map(outcome).collect()
}

fn reason(observed: &Observed) -> Option<KafkaReason> {
    match observed {
        Observed::Known { problem, .. } => problem.as_ref().map(|problem| problem.reason),
        Observed::Unreachable(problem) => Some(problem.reason),
        Observed::Pending => None,
    }
}

#[test]
fn an_answer_wakes_once_and_stays() {
    let (mut registry, kafka, tech) =
        (ClusterRegistry::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    let (observed, start) = registry.observe(&kafka, tech.clone());
    assert!(observed == Observed::Pending && start.is_some());
    assert_eq!(round(&mut registry, &kafka), HashSet::from([tech.who.clone()]));
    let (observed, start) = registry.observe(&kafka, tech.clone());
    assert!(matches!(observed, Observed::Known { .. }) && start.is_none());
    assert!(registry.take(&kafka).wanted.is_empty(), "nothing is due");
}

#[test]
fn who_goes_during_a_look_claims_nothing() {
    let (mut registry, kafka) = (ClusterRegistry::default(), connection("kafka:1"));
    let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
    registry.observe(&kafka, old.clone());
    let work = registry.take(&kafka);
    registry.forget(&old.who);
    registry.observe(&kafka, young.clone());
    let outcomes = planned(&mut registry, &kafka, &work);
    assert!(outcomes.is_empty());
    round(&mut registry, &kafka);
    assert_eq!(reason(&registry.observe(&kafka, young).0), None);
}

#[test]
fn an_owner_over_another_connection_is_an_owner() {
    let (mut registry, one, other) =
        (ClusterRegistry::default(), connection("kafka:1"), connection("kafka:2"));
    let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
    registry.observe(&one, old.clone());
    round(&mut registry, &one);
    registry.observe(&other, young.clone());
    round(&mut registry, &other);
    assert_eq!(reason(&registry.observe(&other, young.clone()).0), Some(KafkaReason::TopicConflict));
    registry.forget(&old.who);
    assert_eq!(round(&mut registry, &other), HashSet::from([young.who.clone()]), "it hears of it");
    assert_eq!(reason(&registry.observe(&other, young).0), None);
}

#[test]
fn what_is_known_survives_one_failure_and_not_two() {
    let (mut registry, kafka, tech) =
        (ClusterRegistry::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    registry.observe(&kafka, tech.clone());
    round(&mut registry, &kafka);
    let down = KafkaProblem { reason: KafkaReason::KafkaUnreachable, message: "down".into() };
    assert!(registry.fail(&kafka, &down, 1).is_empty());
    assert_eq!(registry.fail(&kafka, &down, 2), HashSet::from([tech.who.clone()]));
    assert_eq!(reason(&registry.observe(&kafka, tech.clone()).0), Some(KafkaReason::KafkaUnreachable));
    assert_eq!(round(&mut registry, &kafka), HashSet::from([tech.who.clone()]), "it is due again");
}

#[tokio::test(start_paused = true)]
async fn topics_that_may_be_gone_are_looked_at_at_once_and_then_together_every_ten_seconds() {
    let (mut registry, kafka) = (ClusterRegistry::default(), connection("kafka:1"));
    let both = [wanted(stockwatch("a", 1)), wanted(stockwatch("b", 2))];
    for one in &both {
        registry.observe(&kafka, one.clone());
    }
    // What the first round claims is a reason to look at the others once more.
    round(&mut registry, &kafka);
    round(&mut registry, &kafka);
    tokio::time::advance(LOOK_EVERY / 2).await;
    assert!(registry.take(&kafka).wanted.is_empty(), "nobody is looked at without a reason");
    registry.recheck(&both[0].who);
    tokio::time::advance(RECHECK_AFTER).await;
    assert_eq!(registry.take(&kafka).wanted.len(), 1, "nobody else is looked at");
    for who in [&both[0].who, &both[1].who, &both[0].who] {
        registry.recheck(who);
        tokio::time::advance(RECHECK_AFTER / 4).await;
    }
    assert!(registry.take(&kafka).wanted.is_empty(), "not again yet");
    tokio::time::advance(RECHECK_AFTER / 4).await;
    assert_eq!(registry.take(&kafka).wanted.len(), 2, "one look for both");
}

#[test]
fn a_changed_connection_leaves_the_old_one() {
    let (mut registry, old, new) = (ClusterRegistry::default(), connection("kafka:1"), connection("kafka:2"));
    let tech = wanted(stockwatch("a", 1));
    registry.observe(&old, tech.clone());
    let (_, start) = registry.observe(&new, tech);
    assert!(start.is_some());
    assert_eq!(registry.next(&old), NextWork::Gone);
    assert!(matches!(registry.next(&new), NextWork::At(_)));
}

#[test]
fn an_answer_that_the_status_takes_over_during_a_look_is_looked_for_again() {
    let (mut registry, kafka, tech) =
        (ClusterRegistry::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    registry.observe(&kafka, tech.clone());
    round(&mut registry, &kafka);
    let mut taken = tech.clone();
    taken.cluster_id = Some("c".into());
    taken.topics.iter_mut().for_each(|topic| topic.state = Some(TopicState::Found));
    for before_plan in [true, false] {
        registry.clusters.get_mut(&kafka).unwrap().entries.get_mut(&tech.who).unwrap().due =
            Some(Instant::now());
        registry.observe(&kafka, tech.clone());
        let work = registry.take(&kafka);
        let early = before_plan.then(|| registry.observe(&kafka, taken.clone()));
        let outcomes = planned(&mut registry, &kafka, &work);
        assert_eq!(outcomes.is_empty(), early.is_some());
        registry.observe(&kafka, taken.clone());
        assert!(registry.publish(&kafka, outcomes, Vec::new()).is_empty());
        assert_eq!(registry.take(&kafka).wanted.len(), 1, "it is due again");
        round(&mut registry, &kafka);
    }
}

#[test]
fn what_only_needs_time_is_looked_for_soon_and_without_growing_pauses() {
    let (mut registry, kafka, tech) =
        (ClusterRegistry::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    registry.observe(&kafka, tech.clone());
    for _ in 0..5 {
        let work = registry.take(&kafka);
        let mut outcomes = planned(&mut registry, &kafka, &work);
        outcomes[0].retry = Retry::Soon;
        registry.publish(&kafka, outcomes, Vec::new());
        let entry = registry.clusters.get_mut(&kafka).unwrap().entries.get_mut(&tech.who).unwrap();
        assert!(entry.due.unwrap() <= Instant::now() + SOON);
        entry.due = Some(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn what_brokers_refuse_is_tried_again_soon_at_first_and_then_with_the_regular_look() {
    let (mut registry, kafka, tech) =
        (ClusterRegistry::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    registry.observe(&kafka, tech.clone());
    let mut waits = Vec::new();
    for _ in 0..10 {
        let work = registry.take(&kafka);
        let mut outcomes = planned(&mut registry, &kafka, &work);
        outcomes[0].retry = Retry::Refused;
        registry.publish(&kafka, outcomes, Vec::new());
        let entry = registry.clusters.get_mut(&kafka).unwrap().entries.get_mut(&tech.who).unwrap();
        waits.push(entry.due.unwrap().duration_since(Instant::now()));
        entry.due = Some(Instant::now());
    }
    assert!(waits[0] <= Duration::from_secs(5), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= LOOK_EVERY), "{waits:?}");
}

#[test]
fn a_deletion_leaves_the_group_and_the_topics_of_another_stockwatch_alone() {
    let (mut registry, kafka) = (ClusterRegistry::default(), connection("kafka:1"));
    let (old, mut young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
    young.topics.iter_mut().skip(1).for_each(|topic| topic.name.insert_str(0, "own."));
    for one in [&old, &young] {
        registry.observe(&kafka, one.clone());
    }
    round(&mut registry, &kafka);
    let mut deletes = |wanted: &Wanted| {
        let request = DeletionRequest {
            who: wanted.who.clone(),
            topics: wanted.topics.iter().take(2).map(|topic| topic.name.clone()).collect(),
            group: Some(wanted.group.clone()),
            cluster_id: Some("c".into()),
        };
        registry.delete(&kafka, request);
        let deletion = registry.take(&kafka).deletions.swap_remove(0);
        (deletion.topics.clone(), deletion.group.clone())
    };
    assert_eq!(deletes(&young), (vec!["own.same.stream".to_owned()], None));
    assert_eq!(
        deletes(&old),
        (vec!["same.raw".to_owned(), "same.stream".to_owned()], Some("same".to_owned()))
    );
}
