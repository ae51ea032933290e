#![allow(clippy::unwrap_used)]

use stockwatch_crds::v1alpha1::{ToleranceEdit, TopicState};

use super::fixtures::*;
use super::*;
use crate::credentials;
use crate::credentials::SecretProblem;
use crate::reconcile::{Decision, ObjectProblem, Trouble};
use crate::resources::Kind;
use crate::rollout::Rollout;
use crate::topics;
use crate::workers::Report;

#[test]
fn when_all_is_well_everything_says_so() {
    let status = Scene::new().status();
    assert_eq!(
        summary(&status),
        [
            "Ready=True Working",
            "TopicsReady=True TopicsAsWanted",
            "WorkerAvailable=True WorkersReady",
            "ConfigApplied=True Applied",
            "QuotesFlow=Unknown NoReadyWorkers",
        ]
    );
    assert!(status.conditions.iter().all(|said| said.observed_generation == Some(7)));
    assert_eq!((status.observed_generation, status.applied_generation), (Some(7), Some(7)));
    assert_eq!((status.tickers, status.windows.as_deref()), (Some(2), Some("5m,15m")));
    assert_eq!((status.replicas, status.ready_replicas), (Some(2), Some(2)));
    assert_eq!(
        status.selector.as_deref(),
        Some("app.kubernetes.io/name=stockwatch-worker,stockwatch.dev/name=tech")
    );
    assert_eq!((status.kafka_cluster_id.as_deref(), status.topics.len()), (Some("c"), 1));
}

#[test]
fn topics_are_ready_also_where_writers_stamp_their_quotes_but_the_message_says_what_that_allows() {
    let mut scene = Scene::new();
    if let Some(Observed::Known { writers_stamp, .. }) = &mut scene.kafka {
        *writers_stamp = true;
    }
    let status = scene.status();
    let topics = said(&status, Condition::TopicsReady).unwrap();
    assert_eq!(topics.status, "True");
    assert!(topics.message.contains("message.timestamp.type=CreateTime"), "{}", topics.message);
}

#[test]
fn one_that_was_just_applied_is_under_way() {
    assert_eq!(
        summary(&Scene::fresh().status()),
        [
            "Ready=Unknown AskingKafka",
            "TopicsReady=Unknown AskingKafka",
            "WorkerAvailable=Unknown WaitingForTopics",
            "ConfigApplied=Unknown NoReadyWorkers",
            "QuotesFlow=Unknown NoReadyWorkers",
            "Reconciling=True AskingKafka",
        ]
    );
}

#[test]
fn a_time_is_that_of_the_last_transition() {
    let mut scene = Scene::new();
    scene.write();
    assert_eq!(scene.status_at(&at(60)), scene.status(), "nothing has changed, so nothing differs");
    scene.kafka = Some(unreachable());
    let status = scene.status_at(&at(60));
    assert_eq!(said(&status, Condition::TopicsReady).unwrap().last_transition_time, at(60));
    assert_eq!(said(&status, Condition::WorkerAvailable).unwrap().last_transition_time, at(0));
}

#[test]
fn an_operator_that_was_started_anew_says_what_was_said() {
    let mut scene = Scene::new();
    let before = scene.write();
    scene.kafka = Some(Observed::Pending);
    scene.report = Report { pods: vec![unasked("a"), answered("b", 7)] };
    assert_eq!(scene.status(), before);
}

#[test]
fn of_an_edit_that_kafka_has_not_seen_no_condition_claims_to_hold() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.kafka = Some(Observed::Pending);
    scene.report = Report { pods: vec![answered("a", 8), answered("b", 8)] };
    let status = scene.status();
    assert_eq!(condition(&status, Condition::TopicsReady), "Unknown AskingKafka");
    assert_eq!(condition(&status, Condition::Ready), "Unknown AskingKafka");
    assert!(status.conditions.iter().all(|said| said.observed_generation == Some(8)));
    scene.kafka = Some(known(TopicState::Created, None));
    assert_eq!(ready(&scene), "True Working");
}

#[test]
fn workers_that_were_left_as_they_are_say_nothing_of_the_new_spec() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.decision = Decision::Leave;
    scene.report = Report { pods: vec![answered("a", 8), answered("b", 8)] };
    let status = scene.status();
    for kind in [Condition::WorkerAvailable, Condition::Ready] {
        let said = said(&status, kind).unwrap();
        assert_eq!((said.status.as_str(), said.observed_generation), ("True", Some(7)), "{kind:?}");
    }
}

#[test]
fn workers_whose_edited_deployment_is_refused_say_nothing_of_the_new_spec() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.report = Report { pods: vec![answered("a", 8), answered("b", 8)] };
    scene.objects = vec![refused(Kind::Deployment, "no")];
    let status = scene.status();
    let available = said(&status, Condition::WorkerAvailable).unwrap();
    assert_eq!((&*available.status, available.observed_generation), ("True", Some(7)));
    scene.objects = vec![refused(Kind::Service, "no")];
    let status = scene.status();
    assert_eq!(said(&status, Condition::WorkerAvailable).unwrap().observed_generation, Some(8));
}

#[test]
fn suspended_is_ready_and_nobody_is_behind() {
    let mut scene = Scene::new();
    scene.decision = Decision::Suspend;
    scene.edit();
    scene.report = Report::default();
    scene.rollout = Some(Rollout { wanted: 0, replicas: 0, updated: 0, ..rollout(0) });
    let status = scene.status();
    assert_eq!(
        summary(&status),
        [
            "Ready=True Suspended",
            "TopicsReady=True TopicsAsWanted",
            "WorkerAvailable=True Suspended",
            "ConfigApplied=True NoWorkers",
            "QuotesFlow=Unknown NoReadyWorkers",
        ]
    );
    assert_eq!(status.applied_generation, Some(8));
}

#[test]
fn none_wanted_is_none_behind() {
    let mut scene = Scene::new();
    scene.stockwatch.spec.worker.as_mut().unwrap().replicas = Some(0);
    scene.report = Report::default();
    scene.rollout = Some(Rollout { wanted: 0, replicas: 0, updated: 0, ..rollout(0) });
    assert_eq!(ready(&scene), "True NoWorkers");
    assert_eq!(scene.status().applied_generation, Some(7));
}

#[test]
fn a_spec_that_breaks_a_rule_leaves_the_workers_what_they_are() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.stockwatch.spec.tickers[1].name = Some("META".into());
    (scene.kafka, scene.decision, scene.report) = (None, Decision::Leave, Report::default());
    let status = scene.status();
    assert_eq!(
        summary(&status),
        [
            "Ready=False DuplicateEntity",
            "TopicsReady=True TopicsAsWanted",
            "WorkerAvailable=True WorkersReady",
            "ConfigApplied=False DuplicateEntity",
            "QuotesFlow=Unknown NoReadyWorkers",
            "Stalled=True DuplicateEntity",
        ]
    );
    assert_eq!((status.observed_generation, status.applied_generation), (Some(8), Some(7)));
    assert_eq!(said(&status, Condition::TopicsReady).unwrap().observed_generation, Some(7));
    let message = &said(&status, Condition::Ready).unwrap().message;
    assert!(message.starts_with("spec.tickers[1]"), "{message}");
    assert_eq!(status.topics.len(), 1, "whose the topics are is never lost");
}

#[test]
fn what_kafka_says_is_what_the_conditions_say() {
    let mut scene = Scene::new();
    scene.kafka = Some(unreachable());
    assert_eq!(ready(&scene), "False KafkaUnreachable");
    scene.kafka = Some(known(TopicState::Created, Some(topics::KafkaReason::PartitionsImmutable)));
    assert_eq!(ready(&scene), "False PartitionsImmutable");
    scene.kafka = Some(known(TopicState::Creating, None));
    assert_eq!(ready(&scene), "Unknown CreatingTopics");
    scene.kafka = Some(known(TopicState::Created, Some(topics::KafkaReason::TopicConflict)));
    scene.decision = Decision::Stop;
    let status = scene.status();
    assert_eq!(condition(&status, Condition::Ready), "False TopicConflict");
    assert_eq!(condition(&status, Condition::WorkerAvailable), "False WorkersStopped");
}

#[test]
fn an_unreachable_kafka_does_not_make_forget_whose_the_topics_are() {
    let mut scene = Scene::new();
    let before = scene.write();
    scene.kafka = Some(unreachable());
    let status = scene.status();
    assert_eq!((status.topics, status.kafka_cluster_id), (before.topics, before.kafka_cluster_id));
}

#[test]
fn secrets_that_cannot_be_used_are_why_it_is_not_ready() {
    let mut scene = Scene::new();
    let reason = Reason::SecretNotLabelled;
    scene.access = Some(credentials::SecretProblem { reason, message: "label it".into() });
    scene.kafka = None;
    assert_eq!(ready(&scene), "False SecretNotLabelled");
}

fn problem(kind: Kind, trouble: Trouble) -> ObjectProblem {
    ObjectProblem { kind: kind.as_str(), name: "tech-stockwatch".into(), trouble }
}

fn refused(kind: Kind, words: &str) -> ObjectProblem {
    let refusal = Refusal { code: 403, words: words.into(), retry: tokio::time::Instant::now() };
    problem(kind, Trouble::Refused(refusal))
}

#[test]
fn someone_elses_object_weighs_more_than_one_that_is_going() {
    let mut scene = Scene::new();
    scene.objects = vec![problem(Kind::Role, Trouble::Older)];
    assert_eq!(ready(&scene), "Unknown WaitingForDeletion");
    scene.objects.push(problem(Kind::Service, Trouble::Foreign));
    assert_eq!(ready(&scene), "False NameConflict");
    let status = scene.status();
    let message = &said(&status, Condition::Ready).unwrap().message;
    assert!(message.starts_with("Service tech-stockwatch belongs to someone else"), "{message}");
}

#[test]
fn paused_says_so_and_keeps_the_rest() {
    let mut scene = Scene::new();
    let before = scene.write();
    let status = paused(&scene.stockwatch, &at(5));
    assert_eq!(condition(&status, Condition::Ready), "Unknown Paused");
    assert_eq!(status.conditions[1..5], before.conditions[1..]);
    assert_eq!(condition(&status, Condition::Stalled), "True Paused");
    assert_eq!(status.topics, before.topics);
    scene.stockwatch.status = Some(status.clone());
    assert_eq!(paused(&scene.stockwatch, &at(9)), status);
}

#[test]
fn a_pause_is_said_of_the_newest_generation_so_that_nobody_waits_until_the_operator_has_seen_it() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    let status = paused(&scene.stockwatch, &at(5));
    assert_eq!((status.observed_generation, status.applied_generation), (Some(8), Some(7)));
    assert_eq!(condition(&status, Condition::Stalled), "True Paused");
    // It was applied with the annotation.
    scene.stockwatch.status = None;
    assert_eq!(paused(&scene.stockwatch, &at(5)).observed_generation, Some(8));
}

#[test]
fn refused_objects_are_named_with_the_words_of_the_first_and_for_the_edited_generation() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.objects = vec![refused(Kind::Service, "no services"), refused(Kind::Role, "no roles")];
    let status = scene.status();
    let ready = said(&status, Condition::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.observed_generation), ("False", Some(8)));
    assert_eq!(ready.message, "the API server refuses Service tech-stockwatch (and Role): no services");
}

#[test]
fn a_refusal_that_stands_is_said_once_whatever_its_numbers_are() {
    let mut scene = Scene::new();
    scene.objects = vec![refused(Kind::Service, "exceeded quota, used: count/services=5")];
    let before = scene.write();
    scene.objects = vec![refused(Kind::Service, "exceeded quota, used: count/services=6")];
    assert_eq!(scene.status_at(&at(60)), before);
    scene.objects = vec![refused(Kind::Service, "denied by a webhook")];
    assert_ne!(scene.status_at(&at(60)), before);
}

#[test]
fn an_api_server_that_does_not_answer_is_nobodys_fault() {
    let mut scene = Scene::new();
    scene.write();
    scene.edit();
    scene.objects = vec![problem(Kind::Service, Trouble::Unanswered)];
    assert_eq!(ready(&scene), "Unknown ApiServerUnavailable");
    let before = scene.stockwatch.status.clone();
    assert!(matches!(hold(before.as_ref(), &scene.status()), Hold::For(_)), "it may answer soon");
    scene.objects.push(refused(Kind::Role, "no"));
    assert_eq!(ready(&scene), "False ObjectRefused");
}

#[test]
fn a_write_that_is_not_answered_for_minutes_is_for_somebody_to_look_at() {
    let mut scene = Scene::new();
    scene.write();
    scene.objects = vec![problem(Kind::Service, Trouble::Unanswered), problem(Kind::Role, Trouble::Hangs)];
    let status = scene.status();
    assert_eq!(condition(&status, Condition::Ready), "False WritesTimeOut");
    let stalled = said(&status, Condition::Stalled).unwrap();
    assert!(
        stalled.message.starts_with("Role tech-stockwatch: ") && stalled.message.contains("webhook"),
        "{stalled:?}"
    );
}

#[test]
fn what_others_add_to_a_status_is_theirs() {
    let mut scene = Scene::new();
    let ours = scene.write();
    let mut foreign = ours.conditions[0].clone();
    foreign.type_ = "Synced".into();
    let mut topic = ours.topics[0].clone();
    topic.name = "theirs".into();
    let both = scene.stockwatch.status.as_mut().unwrap();
    both.conditions.insert(0, foreign);
    both.topics.insert(0, topic);
    assert_eq!(hold(scene.stockwatch.status.as_ref(), &scene.status()), Hold::Same);
    let types = paused(&scene.stockwatch, &at(5)).conditions.into_iter().map(|said| said.type_);
    assert!(
        types.eq(["Ready", "TopicsReady", "WorkerAvailable", "ConfigApplied", "QuotesFlow", "Stalled"]),
        "nor is it taken over"
    );

    scene.stockwatch.status.as_mut().unwrap().conditions[1].message = "changed by somebody".into();
    assert_ne!(hold(scene.stockwatch.status.as_ref(), &scene.status()), Hold::Same);
}

#[test]
fn a_deletion_that_is_refused_says_so_and_keeps_the_rest() {
    let mut scene = Scene::new();
    let before = scene.write();
    let refusal = Refusal { code: 403, words: "it stays".into(), retry: tokio::time::Instant::now() };
    let status = deletion_refused(&scene.stockwatch, refusal, &at(5));
    assert_eq!(condition(&status, Condition::Ready), "False ObjectRefused");
    assert_eq!((&status.conditions[1..5], &status.topics), (&before.conditions[1..], &before.topics));
    assert_eq!(condition(&status, Condition::Reconciling), "True ObjectRefused");
}

#[test]
fn a_deletion_that_waits_says_for_what_and_how_to_end_that_in_an_event_as_well() {
    let mut scene = Scene::new();
    scene.kafka = Some(unreachable());
    let before = scene.write();
    assert_eq!(condition(&before, Condition::Ready), "False KafkaUnreachable");
    let status = deletion_waits(&scene.stockwatch, "no broker answers", &at(5));
    let ready = said(&status, Condition::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "DeletionWaits"));
    let command = "kubectl annotate sw tech -n market stockwatch.dev/skip-kafka=";
    assert!(ready.message.contains("no broker answers") && ready.message.ends_with(command), "{ready:?}");
    assert_eq!(hold(Some(&before), &status), Hold::Now);
    let event = crate::events::of_transition(&scene.stockwatch, &status).unwrap();
    assert_eq!(event.reason, "DeletionWaits");
    assert!(event.note.unwrap().ends_with(command));
}

#[test]
fn a_secret_that_the_pods_may_not_have_is_said_by_ready_and_starts_nobody() {
    let mut scene = Scene::new();
    let message = "Secret keys is not for StockWatches: if the workers may see it, kubectl label secret keys";
    let problem = SecretProblem { reason: Reason::SecretNotLabelled, message: message.into() };
    scene.objects = vec![ObjectProblem::of_secret(problem)];
    (scene.decision, scene.rollout) = (Decision::Leave, None);
    let status = scene.status();
    let ready = said(&status, Condition::Ready).unwrap();
    assert_eq!((&*ready.status, &*ready.reason, &*ready.message), ("False", "SecretNotLabelled", message));
    let available = said(&status, Condition::WorkerAvailable).unwrap();
    assert_eq!(available.reason, "WaitingForObjects");
}

#[test]
fn changes_of_tolerances_are_listed_once_the_newest_first_and_at_most_twenty() {
    let mut scene = Scene::new();
    assert_eq!(scene.write().edits, [], "a first apply is no edit");
    let edit = |generation: i64, window: &str| ToleranceEdit {
        generation,
        window: Some(window.into()),
        ..ToleranceEdit::default()
    };
    for generation in 1..=11 {
        scene.edits = vec![edit(generation, "5m"), edit(generation, "15m")];
        scene.write();
    }
    // They are in the status now: whoever reconciles next has none.
    scene.edits.clear();
    let listed = scene.write().edits;
    assert_eq!((listed.len(), &listed[0], &listed[1]), (20, &edit(11, "5m"), &edit(11, "15m")));
    assert_eq!(listed[19], edit(2, "15m"));
    assert_eq!(paused(&scene.stockwatch, &at(5)).edits, listed);
}
