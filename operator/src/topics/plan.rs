//! What is to be done for one StockWatch, from what it wants and what is there. Pure.

use std::sync::Arc;

use stockwatch_crds::v1alpha1::{TopicState, TopicStatus};

use super::found::{FoundTopic, FoundTopics};
use super::observed::{KafkaProblem, KafkaReason};
use super::ownership::{Creations, Missing};
use super::wanted::{TopicRole, Wanted, WantedTopic};

/// What is to be done for one StockWatch. A topic is given by its index in `wanted.topics`.
#[derive(Debug)]
pub(super) struct TopicsPlan {
    pub(super) asked: Arc<Wanted>,
    /// The same, with the states that the evidence leaves.
    pub(super) wanted: Arc<Wanted>,
    /// What became of our calls to create topics.
    pub(super) creations: Creations,
    /// Why all or some of it cannot be done.
    pub(super) problems: Vec<KafkaProblem>,
    /// Nothing may be done at all.
    pub(super) stopped: bool,
    /// To be created, with the partitions; -1 for the broker's default.
    pub(super) create: Vec<(usize, i32)>,
    /// Refused before: to be created if the brokers say that they would.
    pub(super) validate: Vec<(usize, i32)>,
    /// To be grown to so many partitions.
    pub(super) grow: Vec<(usize, i32)>,
    /// There, with settings to keep or to look at.
    pub(super) configure: Vec<usize>,
}

/// What is to be done, given the other StockWatches' `conflicts` with this one, and what became of its `creations`.
pub(super) fn plan(
    asked: Arc<Wanted>,
    cluster_id: &str,
    found: &FoundTopics,
    conflicts: Vec<KafkaProblem>,
    creations: Creations,
) -> TopicsPlan {
    let mut problems = conflicts;
    let wanted = creations.evident(&asked, found);
    if wanted.cluster_id.as_deref().is_some_and(|known| known != cluster_id) {
        problems = vec![cluster_changed()];
    } else if problems.is_empty() {
        problems.extend(misfit(&wanted, found));
    }
    let stopped = !problems.is_empty();
    let mut plan = TopicsPlan {
        asked,
        wanted,
        creations,
        problems,
        stopped,
        create: Vec::new(),
        validate: Vec::new(),
        grow: Vec::new(),
        configure: Vec::new(),
    };
    if !stopped {
        plan.fill(found);
    }
    plan
}

impl TopicsPlan {
    fn fill(&mut self, found: &FoundTopics) {
        let wanted = Arc::clone(&self.wanted);
        let shared = shared_count(&wanted, found);
        for (i, topic) in wanted.topics.iter().enumerate() {
            let Some(is) = found.get(&topic.name) else {
                let count = if topic.role.is_fixed() { shared } else { topic.partitions.or(shared) };
                match self.creations.missing(topic) {
                    _ if !topic.writes || !topic.asked => {}
                    Missing::Announce => self.creations.forget(&topic.name),
                    Missing::Create => self.create.push((i, count.unwrap_or(-1))),
                    Missing::Validate => self.validate.push((i, count.unwrap_or(-1))),
                }
                continue;
            };
            match topic.partitions {
                Some(count) if count > is.partitions && topic.writes && !topic.role.is_fixed() => {
                    self.grow.push((i, count));
                }
                Some(count) if count != is.partitions => self.problems.push(immutable_partitions(topic, is)),
                _ => {}
            }
            if let (Some(is), Some(asked)) = (is.replication_factor, topic.replication_factor)
                && is != asked
            {
                self.problems.push(immutable_replication(topic, is, asked));
            }
            if !topic.settings().is_empty() || topic.role.state().is_some() {
                self.configure.push(i);
            }
        }
    }

    /// Takes in what became of the calls to create topics.
    pub(super) fn settle(&mut self, found: &FoundTopics) {
        self.wanted = self.creations.evident(&self.asked, found);
    }

    /// Returns the topic list for the status, from the topics that exist after the round.
    pub(super) fn statuses(&self, cluster_id: &str, found: &FoundTopics) -> Vec<TopicStatus> {
        let is_this_cluster = self.wanted.cluster_id.as_deref().is_none_or(|known| known == cluster_id);
        let status = |topic: &WantedTopic| {
            let is = found.get(&topic.name).filter(|_| is_this_cluster);
            let state = match (is, topic.state) {
                // Nothing was done, so no topic changes its owner.
                (_, state) if self.stopped => state?,
                (Some(_), Some(TopicState::Creating | TopicState::Created)) => TopicState::Created,
                (Some(_), Some(TopicState::Found) | None) => TopicState::Found,
                (None, _) if !topic.writes || !topic.asked || self.creations.is_refused(&topic.name) => {
                    return None;
                }
                (None, _) => TopicState::Creating,
            };
            Some(TopicStatus {
                name: topic.name.clone(),
                partitions: is.map(|is| is.partitions),
                replication_factor: is.and_then(|is| is.replication_factor),
                state,
            })
        };
        self.wanted.topics.iter().filter_map(status).collect()
    }
}

/// Returns the partition count that raw topic and storage table share: of one that exists, else the one asked for.
fn shared_count(wanted: &Wanted, found: &FoundTopics) -> Option<i32> {
    let count = |role| count(wanted.of_role(role)?, found);
    count(TopicRole::RawInput).or_else(|| count(TopicRole::AfterDedupStorageTable))
}

fn count(topic: &WantedTopic, found: &FoundTopics) -> Option<i32> {
    found.get(&topic.name).map(|is| is.partitions).or(topic.partitions)
}

/// Returns why a worker cannot work with the raw topic and the storage table.
fn misfit(wanted: &Wanted, found: &FoundTopics) -> Option<KafkaProblem> {
    let (raw, table) =
        (wanted.of_role(TopicRole::RawInput)?, wanted.of_role(TopicRole::AfterDedupStorageTable)?);
    if !raw.writes && !found.contains_key(&raw.name) {
        return Some(KafkaProblem::new(
            KafkaReason::TopicMissing,
            format!(
                "spec.kafka.topics.rawInput: topic {} is not there, and with source external it is its writer's to \
                 create: create it, or grant Describe on it",
                raw.name
            ),
        ));
    }
    let (raw_count, table_count) = (count(raw, found)?, count(table, found)?);
    (raw_count != table_count).then(|| {
        KafkaProblem::new(
            KafkaReason::PartitionsDiffer,
            format!(
                "spec.kafka.topics: {} (rawInput) has {raw_count} partitions and {} (afterDedupStorageTable) has \
                 {table_count}: they must be equal, since each raw partition keeps its state in the table's \
                 partition of its number; ask for the count of the one that exists, or name another topic",
                raw.name, table.name
            ),
        )
    })
}

fn cluster_changed() -> KafkaProblem {
    KafkaProblem::new(
        KafkaReason::ClusterChanged,
        "spec.kafka.bootstrapServers: these brokers belong to another Kafka cluster than status.kafkaClusterId: \
         point it back, or create another StockWatch for the new cluster",
    )
}

fn immutable_partitions(topic: &WantedTopic, is: &FoundTopic) -> KafkaProblem {
    let (field, name, count) = (topic.role.field(), &topic.name, is.partitions);
    let why = if topic.role.is_fixed() {
        "its count is fixed once it exists, since growing it would move keys away from their state"
    } else {
        "Kafka never takes partitions away"
    };
    KafkaProblem::new(
        KafkaReason::PartitionsImmutable,
        format!("spec.kafka.topics.{field}.partitions: topic {name} has {count}, and {why}; ask for {count}"),
    )
}

fn immutable_replication(topic: &WantedTopic, is: i32, asked: i32) -> KafkaProblem {
    let (field, name) = (topic.role.field(), &topic.name);
    KafkaProblem::new(
        KafkaReason::ReplicationFactorImmutable,
        format!(
            "spec.kafka.topics.{field}.replicationFactor: topic {name} has {is} replicas, not {asked}: move its \
             partitions with Kafka's own tools, or ask for {is}"
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::topics::fixtures::{stockwatch, topics, wanted};

    fn planned(wanted: &Wanted, found: &FoundTopics) -> TopicsPlan {
        plan(Arc::new(wanted.clone()), "c", found, Vec::new(), Creations::of(wanted))
    }

    fn reasons(plan: &TopicsPlan) -> Vec<KafkaReason> {
        plan.problems.iter().map(|problem| problem.reason).collect()
    }

    fn states(plan: &TopicsPlan, found: &FoundTopics) -> Vec<TopicState> {
        plan.statuses("c", found).into_iter().map(|status| status.state).collect()
    }

    /// As the status has it once all topics were announced.
    fn announced() -> Wanted {
        let mut wanted = wanted(stockwatch("tech", 1));
        for topic in &mut wanted.topics {
            topic.state = Some(TopicState::Creating);
        }
        wanted
    }

    #[test]
    fn a_missing_topic_is_announced_before_it_is_created() {
        let nothing = FoundTopics::new();
        let first = planned(&wanted(stockwatch("tech", 1)), &nothing);
        assert!(first.create.is_empty());
        assert_eq!(states(&first, &nothing), [TopicState::Creating; 6]);
        let second = planned(&announced(), &nothing);
        assert_eq!(second.create.len(), 6);
    }

    #[test]
    fn what_was_announced_is_ours_and_what_was_not_is_found() {
        let mut wanted = announced();
        wanted.topics[0].state = None;
        let found = topics(&wanted, 4);
        let plan = planned(&wanted, &found);
        assert!(plan.create.is_empty() && plan.problems.is_empty());
        let states = states(&plan, &found);
        assert_eq!((states[0], states[1]), (TopicState::Found, TopicState::Created));
    }

    #[test]
    fn what_an_admin_makes_after_a_refusal_is_found_and_left_alone() {
        let wanted = announced();
        let mut creations = Creations::of(&wanted);
        creations.refuse(&wanted.topics[2].name);
        let of =
            |found: &FoundTopics| plan(Arc::new(wanted.clone()), "c", found, Vec::new(), creations.clone());
        let nothing = FoundTopics::new();
        let refused = of(&nothing);
        assert_eq!((refused.create.len(), refused.validate.len()), (5, 1));
        assert_eq!(states(&refused, &nothing), [TopicState::Creating; 5], "it is not announced any more");
        let found = topics(&wanted, 4);
        let made = of(&found);
        assert_eq!(states(&made, &found)[2], TopicState::Found);
        assert!(made.wanted.topics[2].settings().is_empty(), "the table's defaults are not laid over it");
    }

    #[test]
    fn the_table_and_the_outputs_follow_the_raw_topic() {
        let mut wanted = announced();
        wanted.topics[0].state = None;
        wanted.topics[3].partitions = Some(2);
        let mut found = topics(&wanted, 4);
        found.retain(|name, _| *name == wanted.topics[0].name);
        assert_eq!(planned(&wanted, &found).create, [(1, 4), (2, 4), (3, 2), (4, 4), (5, 4)]);
        // The other way around as well.
        wanted.topics[2].partitions = Some(6);
        wanted.topics[0].state = Some(TopicState::Creating);
        assert_eq!(planned(&wanted, &FoundTopics::new()).create[0], (0, 6));
    }

    #[test]
    fn with_no_count_anywhere_the_broker_decides() {
        assert!(planned(&announced(), &FoundTopics::new()).create.iter().all(|(_, count)| *count == -1));
    }

    #[test]
    fn a_raw_topic_and_a_table_of_different_counts_stop_everything() {
        let mut wanted = announced();
        wanted.topics[0].state = None;
        wanted.topics[2].partitions = Some(6);
        let mut found = topics(&wanted, 4);
        found.retain(|name, _| *name == wanted.topics[0].name);
        let plan = planned(&wanted, &found);
        assert_eq!(reasons(&plan), [KafkaReason::PartitionsDiffer]);
        assert!(plan.create.is_empty());
    }

    #[test]
    fn outputs_grow_and_nothing_shrinks_and_the_fixed_stay() {
        let mut wanted = announced();
        let found = topics(&wanted, 4);
        wanted.topics[3].partitions = Some(8);
        assert_eq!(planned(&wanted, &found).grow, [(3, 8)]);
        wanted.topics[3].partitions = Some(2);
        let shrunk = planned(&wanted, &found);
        assert_eq!(reasons(&shrunk), [KafkaReason::PartitionsImmutable]);
        assert!(shrunk.grow.is_empty());
        wanted.topics[3].partitions = None;
        for fixed in [0, 2] {
            wanted.topics[fixed].partitions = Some(8);
        }
        let fixed = planned(&wanted, &found);
        assert_eq!(reasons(&fixed), [KafkaReason::PartitionsImmutable; 2]);
        assert!(fixed.grow.is_empty());
    }

    #[test]
    fn another_replication_factor_is_said_and_nothing_is_done() {
        let mut wanted = announced();
        let found = topics(&wanted, 4);
        wanted.topics[1].replication_factor = Some(3);
        let plan = planned(&wanted, &found);
        assert_eq!(reasons(&plan), [KafkaReason::ReplicationFactorImmutable]);
    }

    #[test]
    fn in_another_cluster_nothing_is_done_and_the_status_keeps_what_it_says() {
        let mut wanted = announced();
        wanted.cluster_id = Some("old".into());
        wanted.topics[0].state = Some(TopicState::Created);
        let found = topics(&wanted, 4);
        let plan = planned(&wanted, &found);
        assert_eq!(reasons(&plan), [KafkaReason::ClusterChanged]);
        assert!(plan.configure.is_empty());
        let statuses = plan.statuses("c", &found);
        assert_eq!((statuses[0].state, statuses[0].partitions), (TopicState::Created, None));
        assert_eq!(statuses[1].state, TopicState::Creating);
    }

    #[test]
    fn an_external_raw_topic_is_never_created() {
        let mut wanted = wanted(stockwatch("tech", 1));
        wanted.topics[0].writes = false;
        let nothing = planned(&wanted, &FoundTopics::new());
        assert_eq!(reasons(&nothing), [KafkaReason::TopicMissing]);
        assert!(
            nothing.statuses("c", &FoundTopics::new()).is_empty(),
            "nothing is announced that is not done"
        );
        let mut found = topics(&wanted, 4);
        found.retain(|name, _| *name == wanted.topics[0].name);
        let states = states(&planned(&wanted, &found), &found);
        assert_eq!((states[0], states[1]), (TopicState::Found, TopicState::Creating));
    }

    #[test]
    fn the_loser_of_a_conflict_touches_nothing() {
        let wanted = announced();
        let lost = vec![KafkaProblem::new(KafkaReason::TopicConflict, "lost")];
        let plan = plan(Arc::new(wanted.clone()), "c", &topics(&wanted, 4), lost, Creations::default());
        assert!(plan.stopped && plan.create.is_empty() && plan.configure.is_empty());
    }

    #[test]
    fn a_ledger_is_wanted_with_accounts_and_outlives_them_unless_it_is_gone() {
        let mut stockwatch = stockwatch("tech", 1);
        assert_eq!(wanted(stockwatch.clone()).of_role(TopicRole::Ledger), None);
        stockwatch.spec.trade = serde_json::from_value(serde_json::json!({"window": "5m"})).ok();
        let mut trading = wanted(stockwatch);
        let nothing = FoundTopics::new();
        assert_eq!(states(&planned(&trading, &nothing), &nothing), [TopicState::Creating; 7]);
        // The accounts went: the spec asks for it no more.
        trading.topics[6].asked = false;
        trading.topics[6].state = Some(TopicState::Created);
        let found = topics(&trading, 4);
        assert_eq!(states(&planned(&trading, &found), &found)[6], TopicState::Created);
        assert_eq!(states(&planned(&trading, &nothing), &nothing).len(), 6);
        trading.topics[6].state = Some(TopicState::Creating);
        assert!(planned(&trading, &nothing).create.is_empty());
    }

    #[test]
    fn of_a_topic_that_existed_only_what_the_user_wrote_is_kept() {
        let mut wanted = wanted(stockwatch("tech", 1));
        let found = topics(&wanted, 4);
        assert!(wanted.topics[2].settings().is_empty(), "the table's defaults are not the user's");
        wanted.topics[2].named.insert("segment.ms".into());
        assert_eq!(wanted.topics[2].settings().len(), 1);
        wanted.topics[3].config.insert("retention.ms".into(), "1".into());
        assert_eq!(
            planned(&wanted, &found).configure,
            [0, 2],
            "those that hold state are looked at in any case"
        );
        wanted.topics[3].named.insert("retention.ms".into());
        assert_eq!(planned(&wanted, &found).configure, [0, 2, 3]);
    }
}
