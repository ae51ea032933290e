#![allow(clippy::unwrap_used)]

use stockwatch_crds::v1alpha1::TopicState;

use super::*;
use crate::topics::fixtures::{stockwatch, topics, wanted};

fn connection(servers: &str) -> Connection {
    Connection::new(servers, None, None).unwrap()
}

/// What one round over this connection answers, with topics of four partitions there.
fn round(board: &mut Board, connection: &Connection) -> HashSet<ObjectKey> {
    let work = board.take(connection);
    let outcomes = planned(board, connection, &work);
    board.publish(connection, outcomes, Vec::new())
}

fn planned(board: &mut Board, connection: &Connection, work: &Work) -> Vec<Outcome> {
    let found = topics(&wanted(stockwatch("any", 1)), 4);
    let outcome = |plan: Plan| Outcome {
        observed: Observed::Known {
            cluster_id: "c".into(),
            topics: plan.statuses("c", &found),
            problem: Problem::of(plan.problems),
        },
        wanted: plan.wanted,
        again: Again::No,
    };
    board.plan(connection, "c", &found, &work.wanted).into_iter().map(outcome).collect()
}

fn reason(observed: &Observed) -> Option<Reason> {
    match observed {
        Observed::Known { problem, .. } => problem.as_ref().map(|problem| problem.reason),
        Observed::Unreachable(problem) => Some(problem.reason),
        Observed::Pending => None,
    }
}

#[test]
fn an_answer_wakes_once_and_stays() {
    let (mut board, kafka, tech) = (Board::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    let (observed, start) = board.observe(&kafka, tech.clone());
    assert!(observed == Observed::Pending && start.is_some());
    assert_eq!(round(&mut board, &kafka), HashSet::from([tech.who.clone()]));
    let (observed, start) = board.observe(&kafka, tech.clone());
    assert!(matches!(observed, Observed::Known { .. }) && start.is_none());
    assert!(board.take(&kafka).wanted.is_empty(), "nothing is due");
}

#[test]
fn who_goes_during_a_look_claims_nothing() {
    let (mut board, kafka) = (Board::default(), connection("kafka:1"));
    let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
    board.observe(&kafka, old.clone());
    let work = board.take(&kafka);
    board.forget(&old.who);
    board.observe(&kafka, young.clone());
    let outcomes = planned(&mut board, &kafka, &work);
    assert!(outcomes.is_empty());
    round(&mut board, &kafka);
    assert_eq!(reason(&board.observe(&kafka, young).0), None);
}

#[test]
fn an_owner_over_another_connection_is_an_owner() {
    let (mut board, one, other) = (Board::default(), connection("kafka:1"), connection("kafka:2"));
    let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
    board.observe(&one, old.clone());
    round(&mut board, &one);
    board.observe(&other, young.clone());
    round(&mut board, &other);
    assert_eq!(reason(&board.observe(&other, young.clone()).0), Some(Reason::TopicConflict));
    board.forget(&old.who);
    assert_eq!(round(&mut board, &other), HashSet::from([young.who.clone()]), "it hears of it");
    assert_eq!(reason(&board.observe(&other, young).0), None);
}

#[test]
fn what_is_known_survives_one_failure_and_not_two() {
    let (mut board, kafka, tech) = (Board::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    board.observe(&kafka, tech.clone());
    round(&mut board, &kafka);
    let down = Problem { reason: Reason::KafkaUnreachable, message: "down".into() };
    assert!(board.fail(&kafka, &down, 1).is_empty());
    assert_eq!(board.fail(&kafka, &down, 2), HashSet::from([tech.who.clone()]));
    assert_eq!(reason(&board.observe(&kafka, tech.clone()).0), Some(Reason::KafkaUnreachable));
    assert_eq!(round(&mut board, &kafka), HashSet::from([tech.who.clone()]), "it is due again");
}

#[tokio::test(start_paused = true)]
async fn topics_that_may_be_gone_are_looked_at_at_once_and_then_together_every_ten_seconds() {
    let (mut board, kafka) = (Board::default(), connection("kafka:1"));
    let both = [wanted(stockwatch("a", 1)), wanted(stockwatch("b", 2))];
    for one in &both {
        board.observe(&kafka, one.clone());
    }
    // What the first round claims is a reason to look at the others once more.
    round(&mut board, &kafka);
    round(&mut board, &kafka);
    tokio::time::advance(LOOK_EVERY / 2).await;
    assert!(board.take(&kafka).wanted.is_empty(), "nobody is looked at without a reason");
    board.doubt(&both[0].who);
    tokio::time::advance(DOUBT_AFTER).await;
    assert_eq!(board.take(&kafka).wanted.len(), 1, "nobody else is looked at");
    for who in [&both[0].who, &both[1].who, &both[0].who] {
        board.doubt(who);
        tokio::time::advance(DOUBT_AFTER / 4).await;
    }
    assert!(board.take(&kafka).wanted.is_empty(), "not again yet");
    tokio::time::advance(DOUBT_AFTER / 4).await;
    assert_eq!(board.take(&kafka).wanted.len(), 2, "one look for both");
}

#[test]
fn a_changed_connection_leaves_the_old_one() {
    let (mut board, old, new) = (Board::default(), connection("kafka:1"), connection("kafka:2"));
    let tech = wanted(stockwatch("a", 1));
    board.observe(&old, tech.clone());
    let (_, start) = board.observe(&new, tech);
    assert!(start.is_some());
    assert_eq!(board.next(&old), Next::Gone);
    assert!(matches!(board.next(&new), Next::At(_)));
}

#[test]
fn an_answer_that_the_status_takes_over_during_a_look_is_looked_for_again() {
    let (mut board, kafka, tech) = (Board::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    board.observe(&kafka, tech.clone());
    round(&mut board, &kafka);
    let mut taken = tech.clone();
    taken.cluster_id = Some("c".into());
    taken.topics.iter_mut().for_each(|topic| topic.state = Some(TopicState::Found));
    for before_plan in [true, false] {
        board.clusters.get_mut(&kafka).unwrap().entries.get_mut(&tech.who).unwrap().due =
            Some(Instant::now());
        board.observe(&kafka, tech.clone());
        let work = board.take(&kafka);
        let early = before_plan.then(|| board.observe(&kafka, taken.clone()));
        let outcomes = planned(&mut board, &kafka, &work);
        assert_eq!(outcomes.is_empty(), early.is_some());
        board.observe(&kafka, taken.clone());
        assert!(board.publish(&kafka, outcomes, Vec::new()).is_empty());
        assert_eq!(board.take(&kafka).wanted.len(), 1, "it is due again");
        round(&mut board, &kafka);
    }
}

#[test]
fn what_only_needs_time_is_looked_for_soon_and_without_growing_pauses() {
    let (mut board, kafka, tech) = (Board::default(), connection("kafka:1"), wanted(stockwatch("a", 1)));
    board.observe(&kafka, tech.clone());
    for _ in 0..5 {
        let work = board.take(&kafka);
        let mut outcomes = planned(&mut board, &kafka, &work);
        outcomes[0].again = Again::Soon;
        board.publish(&kafka, outcomes, Vec::new());
        let entry = board.clusters.get_mut(&kafka).unwrap().entries.get_mut(&tech.who).unwrap();
        assert!(entry.due.unwrap() <= Instant::now() + SOON);
        entry.due = Some(Instant::now());
    }
}
