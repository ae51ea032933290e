//! Which StockWatch a topic or a consumer group belongs to, where several want it. Pure.
//!
//! The owner in a status stays the owner. Otherwise the older StockWatch gets the name, and of two created in the same
//! second the one with the smaller uid. Names belong to a cluster, by its id: another address of its brokers, or
//! another user, reaches the same topics.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::observed::{KafkaProblem, KafkaReason};
use super::wanted::{ObjectKey, Wanted, WantedTopic, is_own};

/// A name that several StockWatches may want.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum ClaimedName {
    Topic(String),
    Group(String),
}

/// What the status says of a name. An earlier variant wins over a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    Owner,
    User,
    Newcomer,
}

impl Precedence {
    fn of(topic: &WantedTopic) -> Self {
        match topic.state {
            Some(state) if is_own(state) => Self::Owner,
            Some(_) => Self::User,
            None => Self::Newcomer,
        }
    }
}

/// The names that one StockWatch wants of a cluster.
#[derive(Debug)]
struct TopicsClaim {
    cluster_id: String,
    names: BTreeMap<ClaimedName, Precedence>,
}

/// Everyone's claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claims: HashMap<ObjectKey, TopicsClaim>,
    claimants: HashMap<(String, ClaimedName), BTreeSet<(Precedence, ObjectKey)>>,
}

impl Claims {
    /// Replaces the claim of a StockWatch. Returns the others whose conflicts may change by that.
    pub(super) fn replace(&mut self, cluster_id: &str, wanted: &Wanted) -> BTreeSet<ObjectKey> {
        let names = names(wanted);
        if self
            .claims
            .get(&wanted.who)
            .is_some_and(|claim| claim.cluster_id == cluster_id && claim.names == names)
        {
            return BTreeSet::new();
        }
        let mut affected = self.release(&wanted.who);
        for (name, precedence) in &names {
            let claimants = self.claimants.entry((cluster_id.to_owned(), name.clone())).or_default();
            affected.extend(claimants.iter().map(|(_, who)| who.clone()));
            claimants.insert((*precedence, wanted.who.clone()));
        }
        self.claims.insert(wanted.who.clone(), TopicsClaim { cluster_id: cluster_id.to_owned(), names });
        affected
    }

    /// Forgets the claim of a StockWatch. Returns the others whose conflicts may change by that.
    pub(super) fn release(&mut self, who: &ObjectKey) -> BTreeSet<ObjectKey> {
        let Some(TopicsClaim { cluster_id, names }) = self.claims.remove(who) else { return BTreeSet::new() };
        let mut affected = BTreeSet::new();
        for (name, precedence) in names {
            let key = (cluster_id.clone(), name);
            let Some(claimants) = self.claimants.get_mut(&key) else { continue };
            claimants.remove(&(precedence, who.clone()));
            affected.extend(claimants.iter().map(|(_, who)| who.clone()));
            if claimants.is_empty() {
                self.claimants.remove(&key);
            }
        }
        affected
    }

    /// The StockWatch that a topic of a cluster belongs to; `None`: no one claims it.
    pub(super) fn topic_owner(&self, cluster_id: &str, topic: &str) -> Option<&ObjectKey> {
        self.owner(cluster_id, ClaimedName::Topic(topic.to_owned()))
    }

    /// The StockWatch that a consumer group of a cluster belongs to; `None`: no one claims it.
    pub(super) fn group_owner(&self, cluster_id: &str, group: &str) -> Option<&ObjectKey> {
        self.owner(cluster_id, ClaimedName::Group(group.to_owned()))
    }

    fn owner(&self, cluster_id: &str, name: ClaimedName) -> Option<&ObjectKey> {
        self.claimants.get(&(cluster_id.to_owned(), name))?.first().map(|(_, who)| who)
    }

    /// Returns a problem for each name that this StockWatch wants and another one owns.
    pub(super) fn conflicts(&self, who: &ObjectKey) -> Vec<KafkaProblem> {
        let Some(claim) = self.claims.get(who) else { return Vec::new() };
        let owner = |name: &ClaimedName| self.owner(&claim.cluster_id, name.clone());
        let lost = claim.names.keys().filter_map(|name| Some((name, owner(name).filter(|o| *o != who)?)));
        lost.map(|(name, owner)| refusal(name, owner)).collect()
    }
}

fn names(wanted: &Wanted) -> BTreeMap<ClaimedName, Precedence> {
    let topics = wanted.topics.iter().filter(|topic| topic.writes);
    let topics = topics.map(|topic| (ClaimedName::Topic(topic.name.clone()), Precedence::of(topic)));
    // The owner of a topic owns its group as well.
    let group = wanted.topics.iter().filter(|topic| topic.writes).map(Precedence::of).min();
    topics
        .chain([(ClaimedName::Group(wanted.group.clone()), group.unwrap_or(Precedence::Newcomer))])
        .collect()
}

fn refusal(name: &ClaimedName, owner: &ObjectKey) -> KafkaProblem {
    let ObjectKey { namespace, name: other, .. } = owner;
    match name {
        ClaimedName::Topic(topic) => KafkaProblem::new(
            KafkaReason::TopicConflict,
            format!(
                "topic {topic} is written by StockWatch {namespace}/{other}: \
                 create this StockWatch anew with another name for it under spec.kafka.topics, or delete the other"
            ),
        ),
        ClaimedName::Group(group) => KafkaProblem::new(
            KafkaReason::GroupConflict,
            format!(
                "consumer group {group} belongs to StockWatch {namespace}/{other}: \
                 create this StockWatch anew with another spec.kafka.groupId, or delete the other"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use stockwatch_crds::v1alpha1::TopicState;

    use super::*;
    use crate::topics::fixtures::{stockwatch, wanted};

    fn reasons(claims: &Claims, wanted: &Wanted) -> Vec<KafkaReason> {
        claims.conflicts(&wanted.who).into_iter().map(|problem| problem.reason).collect()
    }

    #[test]
    fn the_older_of_two_newcomers_has_the_topic_whoever_came_first() {
        let (young, old) = (wanted(stockwatch("young", 2)), wanted(stockwatch("old", 1)));
        let mut claims = Claims::default();
        assert!(claims.replace("c", &young).is_empty());
        assert!(reasons(&claims, &young).is_empty());
        let affected = claims.replace("c", &old);
        assert_eq!(affected, BTreeSet::from([young.who.clone()]), "the one that came first hears of it");
        assert!(reasons(&claims, &old).is_empty());
        let lost = claims.conflicts(&young.who);
        assert!(lost[0].message.contains("default/old"), "{lost:?}");
        assert_eq!(lost[0].reason, KafkaReason::TopicConflict);
    }

    #[test]
    fn the_owner_in_status_stays_the_owner() {
        let (mut young, old) = (wanted(stockwatch("young", 2)), wanted(stockwatch("old", 1)));
        young.topics[3].state = Some(TopicState::Created);
        let mut claims = Claims::default();
        claims.replace("c", &old);
        claims.replace("c", &young);
        assert!(!claims.conflicts(&young.who).iter().any(|p| p.message.contains(&young.topics[3].name)));
        assert!(claims.conflicts(&old.who).iter().any(|p| p.message.contains(&old.topics[3].name)));
    }

    #[test]
    fn the_loser_hears_when_the_owner_goes() {
        let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
        let mut claims = Claims::default();
        claims.replace("c", &old);
        claims.replace("c", &young);
        assert_eq!(claims.release(&old.who), BTreeSet::from([young.who.clone()]));
        assert!(reasons(&claims, &young).is_empty());
    }

    #[test]
    fn one_group_has_one_owner() {
        let (old, mut young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
        for topic in &mut young.topics {
            topic.name.insert_str(0, "other.");
        }
        let mut claims = Claims::default();
        claims.replace("c", &old);
        claims.replace("c", &young);
        assert_eq!(reasons(&claims, &young), [KafkaReason::GroupConflict]);
    }

    #[test]
    fn a_raw_topic_that_nobody_of_us_writes_is_read_by_many() {
        let (mut a, mut b) = (wanted(stockwatch("a", 1)), wanted(stockwatch("b", 2)));
        b.group.push('2');
        for wanted in [&mut a, &mut b] {
            wanted.topics.truncate(1);
            wanted.topics[0].writes = false;
        }
        let mut claims = Claims::default();
        claims.replace("c", &a);
        claims.replace("c", &b);
        assert!(reasons(&claims, &a).is_empty() && reasons(&claims, &b).is_empty());
    }

    #[test]
    fn the_same_names_in_two_clusters_are_two_things() {
        let (a, b) = (wanted(stockwatch("a", 1)), wanted(stockwatch("b", 2)));
        let mut claims = Claims::default();
        claims.replace("one", &a);
        claims.replace("another", &b);
        assert!(reasons(&claims, &b).is_empty());
        claims.replace("one", &b);
        assert!(!reasons(&claims, &b).is_empty(), "it moved");
    }
}
