//! Many StockWatches without workers: made, edited and deleted at random, and whether all is right in the end.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::namespace::Namespace;
use crate::topics::Topics;
use crate::wait::{soon, wait_for};
use crate::watch::{Topic, Watch};

/// What their names begin with.
const NAME: &str = "crowd-";
/// How many objects an operator makes of a StockWatch that never had a worker: all but the Deployment.
const OBJECTS: usize = 6;

/// Suspended StockWatches in a namespace; nobody else's may be on the broker's topics of that namespace.
pub struct Crowd<'a> {
    home: &'a Namespace,
    topics: Topics,
    random: Rng,
    bootstrap: String,
    /// Those that there are, with the partitions of their topic of averages.
    watches: BTreeMap<String, (Watch, i32)>,
    /// Those deleted, with whether their topics go with them.
    deleted: Vec<(Watch, bool)>,
}

impl<'a> Crowd<'a> {
    /// Nobody yet.
    pub fn new(broker: &Broker, home: &'a Namespace, seed: u64) -> Self {
        Self {
            home,
            topics: Topics::new(broker.client()),
            random: Rng::with_seed(seed),
            bootstrap: broker.bootstrap().into(),
            watches: BTreeMap::new(),
            deleted: Vec::new(),
        }
    }

    /// Some more come, of those that there are as many are edited, and perhaps one goes.
    pub fn stir(&mut self, count: usize) {
        let names: Vec<String> = self.watches.keys().cloned().collect();
        let edited: Vec<String> = (0..count).filter_map(|_| self.random.choice(names.clone())).collect();
        let mut changed: BTreeSet<String> = edited.iter().cloned().collect();
        for name in edited {
            let (watch, partitions) = self.watches.get_mut(&name).unwrap();
            *partitions += 1;
            watch.windows[0].1 = format!("0.{}%", self.random.u8(1..9));
        }
        for _ in 0..count {
            let name = format!("{NAME}{}", self.watches.len() + self.deleted.len());
            let mut watch = Watch::simulated(self.home.name(), &name, &self.bootstrap);
            let policy = if self.random.bool() { "Delete" } else { "Retain" };
            watch.kafka.insert("deletionPolicy".into(), json!(policy));
            changed.insert(name.clone());
            self.watches.insert(name, (watch, 1));
        }
        let items: Vec<Value> = changed.iter().map(|name| object(&self.watches[name])).collect();
        self.home.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()).unwrap();
        if let Some(name) = self.random.choice(names).filter(|_| self.random.bool()) {
            self.home.kubectl(&["delete", "stockwatch", &name, "--wait=false"]);
            let (watch, _) = self.watches.remove(&name).unwrap();
            let topics_go = watch.kafka["deletionPolicy"] == "Delete";
            self.deleted.push((watch, topics_go));
        }
    }

    /// Waits until every status is right, and all topics and objects are as they should be and nobody's besides.
    ///
    /// `others` are the namespace's StockWatches besides these.
    pub fn assert_settles(&self, others: &[&Watch]) {
        let all = || self.watches.values().map(|(watch, _)| watch).chain(others.iter().copied());
        wait_for(120, "every status", || {
            let items = self.home.list("stockwatches", "");
            let wrong: Vec<_> = items
                .iter()
                .filter(|item| !is_right(item))
                .map(|item| (&item["metadata"]["name"], &item["status"]))
                .collect();
            let there: BTreeSet<&str> =
                items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
            let expected: BTreeSet<&str> = all().map(|watch| watch.name.as_str()).collect();
            soon(wrong.is_empty() && there == expected, (wrong, there))
        });
        wait_for(60, "every owned object and none besides", || {
            let owned = self.home.owned();
            let of = |object: &str| {
                object.rsplit('/').next().map(|name| name.trim_end_matches("-stockwatch").to_owned())
            };
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for name in owned.iter().filter_map(|object| of(object)) {
                *counts.entry(name).or_default() += 1;
            }
            let count = |watch: &Watch| OBJECTS + usize::from(!watch.name.starts_with(NAME));
            let expected: BTreeMap<String, usize> =
                all().map(|watch| (watch.name.clone(), count(watch))).collect();
            soon(counts == expected, counts)
        });
        wait_for(60, "every topic and none besides", || {
            let kept = self.deleted.iter().filter(|(_, topics_go)| !topics_go).map(|(watch, _)| watch);
            // What was deleted before its topics were made has none to keep.
            let may_be: BTreeSet<String> = kept.flat_map(topics).collect();
            let prefix = format!("{}.", self.home.name());
            let there: BTreeSet<String> = self
                .topics
                .names()
                .into_iter()
                .filter(|name| name.starts_with(&prefix) && !may_be.contains(name))
                .collect();
            let expected: BTreeSet<String> = all().flat_map(topics).collect();
            soon(there == expected, there.symmetric_difference(&expected))
        });
        for (watch, partitions) in self.watches.values() {
            assert_eq!(self.topics.partitions(&watch.topic(Topic::Averages)), *partitions, "{}", watch.name);
        }
    }
}

fn topics(watch: &Watch) -> Vec<String> {
    Topic::ALL.iter().map(|topic| watch.topic(*topic)).collect()
}

fn object((watch, partitions): &(Watch, i32)) -> Value {
    let mut object: Value = serde_yaml::from_str(&watch.text()).unwrap();
    object["spec"]["suspend"] = json!(true);
    object["spec"]["kafka"]["topics"]["averagesOutput"]["partitions"] = json!(partitions);
    object
}

/// Whether its status is that of the last spec, all of its conditions hold, and its topics are its own.
fn is_right(item: &Value) -> bool {
    let (generation, status) = (&item["metadata"]["generation"], &item["status"]);
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    // Without workers nobody knows.
    let mut conditions = conditions.iter().filter(|said| said["type"] != "QuotesFlow");
    let crowd = item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(NAME));
    let topics = status["topics"].as_array().map_or(&[][..], Vec::as_slice);
    status["observedGeneration"] == *generation
        && status["appliedGeneration"] == *generation
        && conditions.clone().count() == 4
        && conditions.all(|said| said["status"] == "True" && said["observedGeneration"] == *generation)
        && topics.len() == Topic::ALL.len()
        && topics.iter().all(|topic| topic["state"] == "Created" || !crowd)
}
