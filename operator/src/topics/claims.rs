//! Which StockWatch a topic or a consumer group belongs to, where several want it. Pure.
//!
//! The owner in status stays the owner, else the older one has it, else the smaller uid. Names are those of a
//! cluster, by its id: brokers under another address, or another user, make no other topic of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stockwatch_crds::v1alpha1::TopicState;

use super::observed::{Problem, Reason};
use super::wanted::{ObjectKey, Wanted, WantedTopic};

/// What several may want.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Topic(String),
    Group(String),
}

/// What the status says of a name; the first comes before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Owner,
    User,
    Newcomer,
}

impl Standing {
    fn of(topic: &WantedTopic) -> Self {
        match topic.state {
            Some(TopicState::Creating | TopicState::Created) => Self::Owner,
            Some(TopicState::Found) => Self::User,
            None => Self::Newcomer,
        }
    }
}

/// One StockWatch's claims.
#[derive(Debug)]
struct Held {
    cluster_id: String,
    names: BTreeMap<Name, Standing>,
}

/// Everyone's claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: HashMap<ObjectKey, Held>,
    claimants: HashMap<(String, Name), BTreeSet<(Standing, ObjectKey)>>,
}

impl Claims {
    /// Notes what a StockWatch wants of a cluster, in place of what it wanted before. Gives the others whose
    /// conflicts that may change.
    pub(super) fn take(&mut self, cluster_id: &str, wanted: &Wanted) -> BTreeSet<ObjectKey> {
        let names = names(wanted);
        if self.held.get(&wanted.who).is_some_and(|held| held.cluster_id == cluster_id && held.names == names)
        {
            return BTreeSet::new();
        }
        let mut affected = self.release(&wanted.who);
        for (name, standing) in &names {
            let claimants = self.claimants.entry((cluster_id.to_owned(), name.clone())).or_default();
            affected.extend(claimants.iter().map(|(_, who)| who.clone()));
            claimants.insert((*standing, wanted.who.clone()));
        }
        self.held.insert(wanted.who.clone(), Held { cluster_id: cluster_id.to_owned(), names });
        affected
    }

    /// Forgets all that a StockWatch wanted. Gives the others whose conflicts that may change.
    pub(super) fn release(&mut self, who: &ObjectKey) -> BTreeSet<ObjectKey> {
        let Some(Held { cluster_id, names }) = self.held.remove(who) else { return BTreeSet::new() };
        let mut affected = BTreeSet::new();
        for (name, standing) in names {
            let key = (cluster_id.clone(), name);
            let Some(claimants) = self.claimants.get_mut(&key) else { continue };
            claimants.remove(&(standing, who.clone()));
            affected.extend(claimants.iter().map(|(_, who)| who.clone()));
            if claimants.is_empty() {
                self.claimants.remove(&key);
            }
        }
        affected
    }

    /// What belongs to another StockWatch of all that this one wants.
    pub(super) fn conflicts(&self, who: &ObjectKey) -> Vec<Problem> {
        let Some(held) = self.held.get(who) else { return Vec::new() };
        let owner = |name: &Name| {
            let claimants = self.claimants.get(&(held.cluster_id.clone(), name.clone()))?;
            Some(&claimants.first()?.1)
        };
        let lost = held.names.keys().filter_map(|name| Some((name, owner(name).filter(|o| *o != who)?)));
        lost.map(|(name, owner)| refusal(name, owner)).collect()
    }
}

fn names(wanted: &Wanted) -> BTreeMap<Name, Standing> {
    let topics = wanted.topics.iter().filter(|topic| topic.writes);
    let topics = topics.map(|topic| (Name::Topic(topic.name.clone()), Standing::of(topic)));
    // Whoever has topics has its group as well.
    let group = wanted.topics.iter().filter(|topic| topic.writes).map(Standing::of).min();
    topics.chain([(Name::Group(wanted.group.clone()), group.unwrap_or(Standing::Newcomer))]).collect()
}

fn refusal(name: &Name, owner: &ObjectKey) -> Problem {
    let ObjectKey { namespace, name: other, .. } = owner;
    match name {
        Name::Topic(topic) => Problem::new(
            Reason::TopicConflict,
            format!(
                "topic {topic} is written by StockWatch {namespace}/{other}: \
                 create this StockWatch anew with another name for it under spec.kafka.topics, or delete the other"
            ),
        ),
        Name::Group(group) => Problem::new(
            Reason::GroupConflict,
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

    use super::*;
    use crate::topics::fixtures::{stockwatch, wanted};

    fn reasons(claims: &Claims, wanted: &Wanted) -> Vec<Reason> {
        claims.conflicts(&wanted.who).into_iter().map(|problem| problem.reason).collect()
    }

    #[test]
    fn the_older_of_two_newcomers_has_the_topic_whoever_came_first() {
        let (young, old) = (wanted(stockwatch("young", 2)), wanted(stockwatch("old", 1)));
        let mut claims = Claims::default();
        assert!(claims.take("c", &young).is_empty());
        assert!(reasons(&claims, &young).is_empty());
        let affected = claims.take("c", &old);
        assert_eq!(affected, BTreeSet::from([young.who.clone()]), "the one that came first hears of it");
        assert!(reasons(&claims, &old).is_empty());
        let lost = claims.conflicts(&young.who);
        assert!(lost[0].message.contains("default/old"), "{lost:?}");
        assert_eq!(lost[0].reason, Reason::TopicConflict);
    }

    #[test]
    fn the_owner_in_status_stays_the_owner() {
        let (mut young, old) = (wanted(stockwatch("young", 2)), wanted(stockwatch("old", 1)));
        young.topics[3].state = Some(TopicState::Created);
        let mut claims = Claims::default();
        claims.take("c", &old);
        claims.take("c", &young);
        assert!(!claims.conflicts(&young.who).iter().any(|p| p.message.contains(&young.topics[3].name)));
        assert!(claims.conflicts(&old.who).iter().any(|p| p.message.contains(&old.topics[3].name)));
    }

    #[test]
    fn the_loser_hears_when_the_owner_goes() {
        let (old, young) = (wanted(stockwatch("old", 1)), wanted(stockwatch("young", 2)));
        let mut claims = Claims::default();
        claims.take("c", &old);
        claims.take("c", &young);
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
        claims.take("c", &old);
        claims.take("c", &young);
        assert_eq!(reasons(&claims, &young), [Reason::GroupConflict]);
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
        claims.take("c", &a);
        claims.take("c", &b);
        assert!(reasons(&claims, &a).is_empty() && reasons(&claims, &b).is_empty());
    }

    #[test]
    fn the_same_names_in_two_clusters_are_two_things() {
        let (a, b) = (wanted(stockwatch("a", 1)), wanted(stockwatch("b", 2)));
        let mut claims = Claims::default();
        claims.take("one", &a);
        claims.take("another", &b);
        assert!(reasons(&claims, &b).is_empty());
        claims.take("one", &b);
        assert!(!reasons(&claims, &b).is_empty(), "it moved");
    }
}
