//! Topics and groups on a real Kafka, as the operator sees to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod kafka;

use std::net::TcpListener;

use stockwatch_operator::topics::{Call, Connection, DeletionRequest, DeletionState, KafkaReason, Observed};
use stockwatch_tests::{Broker, TokenEndpoint};

use kafka::{BROKER, Operator, plain, problem, request, settings, taken, topics, wanted};
use stockwatch_crds::v1alpha1::TopicState::{Created, Creating, Found};

#[tokio::test]
async fn a_topic_is_announced_before_it_is_created() {
    let mut operator = Operator::new();
    let mut tech = wanted("announced", 3);
    let first = operator.answer(&plain(), &tech).await;
    assert_eq!(kafka::states(&first), [Creating; 6]);
    assert!(topics("announced.").is_empty(), "nothing is created that the status does not know of");
    taken(&mut tech, &first);
    let second = operator.settled(&plain(), &tech).await;
    assert_eq!(kafka::states(&second), [Created; 6]);
    assert_eq!(problem(&second), None);
    assert_eq!(kafka::partitions(&second), [3; 6], "the outputs follow the raw topic");
    taken(&mut tech, &second);
    assert_eq!(operator.kafka.observe(&plain(), tech), second, "the status taken over changes no answer");
}

#[tokio::test]
async fn fifty_stockwatches_share_the_calls() {
    let mut operator = Operator::new();
    let mut all: Vec<_> = (0..50).map(|i| wanted(&format!("fifty-{i}"), 1)).collect();
    for tech in &mut all {
        tech.topics.iter_mut().for_each(|topic| topic.state = Some(Creating));
        assert_eq!(operator.kafka.observe(&plain(), tech.clone()), Observed::Pending);
    }
    for tech in &all {
        assert_eq!(kafka::states(&operator.settled(&plain(), tech).await), [Created; 6]);
    }
    assert_eq!(topics("fifty-").len(), 300);
    assert_eq!(operator.calls(Call::Create), 3, "a hundred topics a call");
    assert_eq!(operator.calls(Call::Connect), 1);
}

/// librdkafka refuses an answer that names a topic twice.
#[tokio::test]
async fn readers_of_one_raw_topic_are_looked_at_in_one_round() {
    let mut operator = Operator::new();
    let mut first = wanted("read", 1);
    operator.create(&mut first).await;
    let readers = ["reads", "reads-too"].map(|name| {
        let mut reader = wanted(name, 1);
        reader.topics.iter_mut().for_each(|topic| topic.state = Some(Creating));
        reader.topics[0] = first.topics[0].clone();
        reader.topics[0].writes = false;
        reader
    });
    for reader in &readers {
        assert_eq!(operator.kafka.observe(&plain(), reader.clone()), Observed::Pending);
    }
    for reader in &readers {
        let observed = operator.settled(&plain(), reader).await;
        assert_eq!(problem(&observed), None, "{}", kafka::message(&observed));
    }
}

#[tokio::test]
async fn an_output_grows_and_nothing_shrinks() {
    let mut operator = Operator::new();
    let mut tech = wanted("grows", 2);
    operator.create(&mut tech).await;
    tech.topics[3].partitions = Some(5);
    let grown = operator.answer(&plain(), &tech).await;
    assert_eq!((kafka::partitions(&grown)[3], problem(&grown)), (5, None));
    tech.topics[3].partitions = Some(4);
    let shrunk = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&shrunk), Some(KafkaReason::PartitionsImmutable));
    assert_eq!(kafka::partitions(&shrunk)[3], 5);
    tech.topics[3].partitions = None;
    tech.topics[0].partitions = Some(9);
    tech.topics[2].partitions = Some(9);
    let fixed = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&fixed), Some(KafkaReason::PartitionsImmutable));
    assert_eq!(kafka::partitions(&fixed)[0], 2);
    assert_eq!(operator.calls(Call::Grow), 1);
}

#[tokio::test]
async fn another_replication_factor_is_said_and_nothing_is_done() {
    let mut operator = Operator::new();
    let mut tech = wanted("replicas", 1);
    operator.create(&mut tech).await;
    tech.topics[1].replication_factor = Some(2);
    let observed = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&observed), Some(KafkaReason::ReplicationFactorImmutable));
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused_with_the_field() {
    let mut operator = Operator::new();
    let mut tech = wanted("brokers", 1);
    tech.topics.iter_mut().for_each(|topic| topic.state = Some(Creating));
    tech.topics[4].replication_factor = Some(3);
    let others_are_there =
        |seen: &Observed| kafka::states(seen).iter().filter(|state| **state == Created).count() == 5;
    let observed = operator.until(&plain(), &tech, others_are_there).await;
    assert_eq!(problem(&observed), Some(KafkaReason::TopicRefused));
    assert!(kafka::message(&observed).contains("deviationAlarm.replicationFactor"), "{observed:?}");
    assert_eq!(topics("brokers.").len(), 5, "the others are created");
}

#[tokio::test]
async fn what_somebody_makes_after_the_brokers_refused_it_to_us_is_theirs() {
    let mut operator = Operator::new();
    let mut tech = wanted("after-refusal", 1);
    tech.topics[2].replication_factor = Some(3);
    let announced = operator.answer(&plain(), &tech).await;
    taken(&mut tech, &announced);
    let table = tech.topics[2].name.clone();
    let refused = |seen: &Observed| problem(seen) == Some(KafkaReason::TopicRefused);
    let observed = operator.until(&plain(), &tech, refused).await;
    assert!(!kafka::states(&observed).contains(&Creating), "it is not announced any more: {observed:?}");
    let own = [("cleanup.policy", "compact"), ("segment.ms", "99000")];
    kafka::create(&table, 1, &own).await;
    let observed = operator.until(&plain(), &tech, |seen| kafka::states(seen).len() == 6).await;
    assert_eq!(kafka::states(&observed)[2], Found);
    assert_eq!(settings(&table).await["segment.ms"], "99000");
}

#[tokio::test]
async fn settings_of_others_stay_when_ours_are_laid_over() {
    let mut operator = Operator::new();
    let mut tech = wanted("laid-over", 1);
    tech.topics[3].config.insert("retention.ms".into(), "1000000".into());
    operator.create(&mut tech).await;
    let name = tech.topics[3].name.clone();
    kafka::set(&name, &[("retention.ms", "1000000"), ("segment.ms", "77000")]).await;
    tech.topics[3].config.insert("retention.ms".into(), "2000000".into());
    let observed = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&observed), None);
    let is = settings(&name).await;
    assert_eq!((is["retention.ms"].as_str(), is["segment.ms"].as_str()), ("2000000", "77000"));
    assert_eq!(operator.calls(Call::Alter), 1);

    tech.topics[3].config.insert("max.message.bytes".into(), " 500000".into());
    assert_eq!(problem(&operator.answer(&plain(), &tech).await), None);
    tech.topics[4].config.insert("retention.days".into(), "1".into());
    let unknown = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&unknown), Some(KafkaReason::ConfigRefused));
    assert!(kafka::message(&unknown).contains("deviationAlarm.config"), "{unknown:?}");
    tech.topics[4].config.remove("retention.days");
    tech.topics[4].config.insert("retention.ms".into(), "lots".into());
    let bad = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&bad), Some(KafkaReason::ConfigRefused));
}

#[tokio::test]
async fn a_topic_that_existed_is_found_and_altered_only_where_the_spec_names_it() {
    let mut operator = Operator::new();
    let mut tech = wanted("existed", 2);
    let averages = tech.topics[3].name.clone();
    kafka::create(&averages, 2, &[("segment.ms", "88000")]).await;
    tech.topics[3].config.insert("retention.ms".into(), "1000000".into());
    operator.create(&mut tech).await;
    assert_eq!(tech.topics[3].state, Some(Found));
    assert_eq!(
        settings(&averages).await["retention.ms"],
        "604800000",
        "a default of ours is not the user's word"
    );
    tech.topics[3].named.insert("retention.ms".into());
    assert_eq!(problem(&operator.answer(&plain(), &tech).await), None);
    let is = settings(&averages).await;
    assert_eq!((is["retention.ms"].as_str(), is["segment.ms"].as_str()), ("1000000", "88000"));
}

#[tokio::test]
async fn a_topic_that_would_lose_state_is_named_with_the_cure_until_its_policy_is_altered() {
    for (prefix, place, bad, good) in
        [("expires", 2, "compact,delete", "compact"), ("is-compacted", 0, "compact", "delete")]
    {
        let mut operator = Operator::new();
        let tech = wanted(prefix, 1);
        let name = &tech.topics[place].name;
        kafka::create(name, 1, &[("cleanup.policy", bad)]).await;
        let observed = operator.answer(&plain(), &tech).await;
        assert_eq!(problem(&observed), Some(KafkaReason::TopicLosesState));
        let said = kafka::message(&observed);
        let words = [name, &format!("cleanup.policy={bad}"), &format!("--add-config cleanup.policy={good}")];
        assert!(words.iter().all(|word| said.contains(*word)), "{words:?} in {said}");
        assert_eq!(kafka::states(&observed)[place], Found);
        assert_eq!(settings(name).await["cleanup.policy"], bad, "it is not the operator's to alter");
        kafka::set(name, &[("cleanup.policy", good)]).await;
        operator.until(&plain(), &tech, |observed| problem(observed).is_none()).await;
    }
}

#[tokio::test]
async fn the_policy_of_a_table_of_our_own_is_put_right() {
    let mut operator = Operator::new();
    let mut tech = wanted("own-table", 1);
    operator.create(&mut tech).await;
    let table = tech.topics[2].name.clone();
    kafka::set(&table, &[("cleanup.policy", "delete")]).await;
    // Any change of what is wanted makes it look again.
    tech.topics[3].partitions = Some(2);
    assert_eq!(problem(&operator.answer(&plain(), &tech).await), None);
    assert_eq!(settings(&table).await["cleanup.policy"], "compact");
}

#[tokio::test]
async fn in_another_cluster_nothing_is_touched() {
    let mut operator = Operator::new();
    let mut tech = wanted("moved", 1);
    tech.cluster_id = Some("another".into());
    tech.topics.iter_mut().for_each(|topic| topic.state = Some(Creating));
    let observed = operator.answer(&plain(), &tech).await;
    assert_eq!(problem(&observed), Some(KafkaReason::ClusterChanged));
    let Observed::Known { cluster_id, .. } = &observed else { panic!("{observed:?}") };
    assert_eq!(cluster_id, "another", "the status keeps what it says");
    assert!(topics("moved.").is_empty());
    let gone = DeletionRequest { cluster_id: Some("another".into()), ..request(&tech) };
    let deleted =
        operator.deleted(&plain(), &gone, |deleted| matches!(deleted, DeletionState::Failed(_))).await;
    assert!(
        matches!(deleted, DeletionState::Failed(problem) if problem.reason == KafkaReason::ClusterChanged)
    );
}

#[tokio::test]
async fn dead_and_hanging_brokers_cost_a_healthy_one_nothing() {
    let mut operator = Operator::new();
    // They accept connections, and never say a word.
    let hanging: Vec<TcpListener> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hanging = hanging.iter().map(|listener| listener.local_addr().unwrap().to_string());
    // Nobody listens there.
    let dead = (1..=60).map(|port| format!("127.0.0.1:{port}"));
    let all: Vec<_> = hanging.chain(dead).enumerate().collect();
    for (i, brokers) in &all {
        let connection = Connection::new(brokers, None, None).unwrap();
        operator.kafka.observe(&connection, wanted(&format!("dead-{i}"), 1));
    }
    let mut tech = wanted("healthy", 1);
    operator.create(&mut tech).await;
    for (i, brokers) in &all {
        let connection = Connection::new(brokers, None, None).unwrap();
        let observed = operator.answer(&connection, &wanted(&format!("dead-{i}"), 1)).await;
        let Observed::Unreachable(problem) = observed else { panic!("{brokers}: {observed:?}") };
        assert_eq!(problem.reason, KafkaReason::KafkaUnreachable);
    }
    let dead = Connection::new(&all[99].1, None, None).unwrap();
    let observed = operator.kafka.observe(&dead, wanted("one-more", 1));
    assert!(matches!(observed, Observed::Unreachable(_)), "known to be dead: {observed:?}");
}

#[tokio::test]
async fn a_deletion_takes_what_it_names_and_the_group() {
    let mut operator = Operator::new();
    let mut tech = wanted("deleted", 1);
    operator.create(&mut tech).await;
    let member = kafka::join(&tech.group, &tech.topics[0].name).await;
    let mut gone = request(&tech);
    gone.topics.truncate(5);
    gone.topics.push("deleted.never-there".into());
    assert_eq!(operator.kafka.delete(&plain(), gone.clone()), DeletionState::Pending);
    operator.called(Call::DeleteGroups, 1).await;
    assert_eq!(
        operator.kafka.delete(&plain(), gone.clone()),
        DeletionState::Pending,
        "someone is in the group"
    );
    drop(member);
    operator.deleted(&plain(), &gone, |deleted| *deleted == DeletionState::Done).await;
    assert_eq!(topics("deleted."), [tech.topics[5].name.clone()]);
    assert!(!kafka::groups().contains(&tech.group));
    operator.kafka.forget(&tech.who);
    operator.deleted(&plain(), &gone, |deleted| *deleted == DeletionState::Done).await;
}

#[tokio::test]
async fn while_kafka_is_down_a_deletion_waits_for_it() {
    let broker = Broker::start();
    let connection = Connection::new(broker.bootstrap(), None, None).unwrap();
    let mut operator = Operator::new();
    let mut tech = wanted("outage", 1);
    operator.create_at(&connection, &mut tech).await;
    broker.kill();
    let gone = request(&tech);
    let failed =
        operator.deleted(&connection, &gone, |deleted| matches!(deleted, DeletionState::Failed(_))).await;
    assert!(
        matches!(failed, DeletionState::Failed(problem) if problem.reason == KafkaReason::KafkaUnreachable)
    );
    broker.restart();
    operator.deleted(&connection, &gone, |deleted| *deleted == DeletionState::Done).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_from_brokers_that_are_away() {
    let mut operator = Operator::new();
    let tech = wanted("password", 1);
    let observed = operator.answer(&kafka::secure("wrong"), &tech).await;
    let Observed::Unreachable(refused) = observed else { panic!("{observed:?}") };
    assert_eq!(refused.reason, KafkaReason::AuthenticationFailed);
    let observed = operator.answer(&kafka::secure(&BROKER.login().password), &tech).await;
    assert_eq!(kafka::states(&observed), [Creating; 6], "the rotated one is another connection");
}

#[tokio::test]
async fn topics_are_created_with_tokens_and_a_refused_client_is_told_from_brokers_that_are_away() {
    let endpoint = TokenEndpoint::start(BROKER.login().token_key, "right", 60);
    let mut operator = Operator::new();
    let mut tech = wanted("tokens", 1);
    let observed = operator.answer(&kafka::by_token(&endpoint, "wrong"), &tech).await;
    let Observed::Unreachable(refused) = observed else { panic!("{observed:?}") };
    assert_eq!(refused.reason, KafkaReason::AuthenticationFailed);
    assert!(refused.message.starts_with("spec.kafka.sasl.oauth: tokenUrl gives no token"), "{refused:?}");
    operator.create_at(&kafka::by_token(&endpoint, "right"), &mut tech).await;
    assert_eq!(topics("tokens.").len(), 6);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut operator = Operator::new();
    let observed = operator.answer(&kafka::secure_by_the_system(), &wanted("authority", 1)).await;
    let Observed::Unreachable(refused) = observed else { panic!("{observed:?}") };
    assert_eq!(refused.reason, KafkaReason::TlsFailed);
}

#[tokio::test]
async fn the_loser_of_a_name_has_it_when_the_owner_goes() {
    let mut operator = Operator::new();
    let mut owner = wanted("shared", 1);
    let mut loser = owner.clone();
    loser.who.uid = "loser".into();
    loser.who.created += 1;
    operator.create(&mut owner).await;
    // Another user of the same cluster: it is the same topic all the same.
    let connection = kafka::secure(&BROKER.login().password);
    let observed = operator.answer(&connection, &loser).await;
    assert_eq!(problem(&observed), Some(KafkaReason::TopicConflict));
    assert!(kafka::states(&observed).is_empty());
    taken(&mut loser, &observed);
    operator.kafka.forget(&owner.who);
    let observed = operator.until(&connection, &loser, |observed| problem(observed).is_none()).await;
    assert_eq!(kafka::states(&observed), [Found; 6], "what another created is not ours");
}

#[tokio::test]
async fn a_topic_deleted_by_hand_is_announced_again() {
    let mut operator = Operator::new();
    let mut tech = wanted("by-hand", 1);
    operator.create(&mut tech).await;
    kafka::delete(&tech.topics[4].name).await;
    // Any change of what is wanted makes it look again.
    tech.topics[3].partitions = Some(2);
    let observed = operator.answer(&plain(), &tech).await;
    assert_eq!(kafka::states(&observed)[4], Creating);
    taken(&mut tech, &observed);
    let observed = operator.answer(&plain(), &tech).await;
    assert_eq!(kafka::states(&observed), [Created; 6]);
}
