//! All requests and their newest answers, between the reconciles and the actors: one lock, never held over a call.

mod results;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::claims::Claims;
use super::connection::Connection;
use super::deletion::DeletionRequest;
use super::found::FoundTopics;
use super::observed::{DeletionState, KafkaProblem, Observed};
use super::ownership::Creations;
use super::plan::{TopicsPlan, plan};
use super::wanted::{ObjectKey, Wanted};

/// How often everything of a cluster is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// Least time from any look at a cluster to one for topics that may be gone; that one serves all StockWatches.
const RECHECK_AFTER: Duration = Duration::from_secs(10);

/// The requests of all StockWatches, by the connection that they go over.
#[derive(Debug, Default)]
pub(super) struct ClusterRegistry {
    clusters: HashMap<Connection, Cluster>,
    /// The connection that each StockWatch uses.
    connections: HashMap<ObjectKey, Connection>,
    claims: Claims,
}

/// The requests over one connection.
#[derive(Debug)]
struct Cluster {
    notify: Arc<Notify>,
    entries: HashMap<ObjectKey, Entry>,
    deletions: HashMap<ObjectKey, Deletion>,
    /// Why it cannot be asked, if the last round failed.
    down: Option<KafkaProblem>,
    look_at: Instant,
    /// The earliest time to look at topics that may be gone.
    recheck_at: Instant,
}

#[derive(Debug)]
struct Entry {
    wanted: Arc<Wanted>,
    observed: Observed,
    /// When it is worked on next, apart from the regular look at everything.
    due: Option<Instant>,
    tries: u32,
    creations: Creations,
}

#[derive(Debug)]
struct Deletion {
    asked: DeletionRequest,
    /// The same without what is not ours after all.
    request: Arc<DeletionRequest>,
    creations: Creations,
    deleted: DeletionState,
    since: Instant,
    due: Option<Instant>,
    tries: u32,
}

/// What is to be done for one connection now.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) wanted: Vec<Arc<Wanted>>,
    pub(super) deletions: Vec<Arc<DeletionRequest>>,
}

/// When there is something to do for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextWork {
    /// At this time.
    At(Instant),
    /// Never: there are no requests left, and its actor ends.
    Gone,
}

impl ClusterRegistry {
    /// Returns the answer so far. With a notifier, the caller starts an actor for the connection, which has none.
    pub(super) fn observe(
        &mut self,
        connection: &Connection,
        wanted: Wanted,
    ) -> (Observed, Option<Arc<Notify>>) {
        let who = wanted.who.clone();
        let start = self.connect(connection, &who);
        if let Some(cluster_id) = wanted.cluster_id.clone() {
            self.claim(&cluster_id, &wanted);
        }
        let Some(cluster) = self.clusters.get_mut(connection) else { return (Observed::Pending, start) };
        cluster.deletions.remove(&who);
        if let Some(entry) = cluster.entries.get_mut(&who)
            && entry.observed.answers(&entry.wanted, &wanted)
        {
            if *entry.wanted != wanted {
                entry.wanted = Arc::new(wanted);
            }
            return (entry.observed.clone(), start);
        }
        let observed = cluster.down.clone().map_or(Observed::Pending, Observed::Unreachable);
        let due = Some(Instant::now());
        let known = cluster.entries.remove(&who).map(|entry| entry.creations);
        let creations = known.unwrap_or_else(|| Creations::of(&wanted));
        let entry = Entry { wanted: Arc::new(wanted), observed: observed.clone(), due, tries: 0, creations };
        cluster.entries.insert(who, entry);
        cluster.notify.notify_one();
        (observed, start)
    }

    /// Returns the state of a deletion, and a notifier as [`Self::observe`] does.
    pub(super) fn delete(
        &mut self,
        connection: &Connection,
        request: DeletionRequest,
    ) -> (DeletionState, Option<Arc<Notify>>) {
        let who = request.who.clone();
        let start = self.connect(connection, &who);
        let Some(cluster) = self.clusters.get_mut(connection) else { return (DeletionState::Pending, start) };
        // Topics that are being deleted must not be created again.
        let known = cluster.entries.remove(&who).map(|entry| entry.creations);
        if let Some(deletion) = cluster.deletions.get(&who).filter(|deletion| deletion.asked == request) {
            return (deletion.deleted.clone(), start);
        }
        let earlier = cluster.deletions.remove(&who).map(|deletion| deletion.creations);
        let (asked, creations) = (request.clone(), known.or(earlier).unwrap_or_default());
        let mut request = without_others(&self.claims, request);
        request.topics.retain(|name| !creations.is_refused(name));
        let deleted = cluster.down.clone().map_or(DeletionState::Pending, DeletionState::Failed);
        let (request, now) = (Arc::new(request), Instant::now());
        let (since, due) = (now, Some(now));
        let deletion = Deletion { asked, request, creations, deleted: deleted.clone(), since, due, tries: 0 };
        cluster.deletions.insert(who, deletion);
        cluster.notify.notify_one();
        (deleted, start)
    }

    /// Forgets a StockWatch and the names that it claims.
    pub(super) fn forget(&mut self, who: &ObjectKey) {
        self.leave(who);
        let affected = self.claims.release(who);
        self.make_due(&affected);
    }

    /// Has the topics of a StockWatch looked at soon: they may be gone.
    pub(super) fn recheck(&mut self, who: &ObjectKey) {
        let Some(cluster) =
            self.connections.get(who).and_then(|connection| self.clusters.get_mut(connection))
        else {
            return;
        };
        let Some(entry) = cluster.entries.get_mut(who) else { return };
        let at = cluster.recheck_at.max(Instant::now());
        entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
        cluster.notify.notify_one();
    }

    /// Registers the names that a StockWatch wants of a cluster; others whose conflicts may change are looked at again.
    pub(super) fn claim(&mut self, cluster_id: &str, wanted: &Wanted) {
        let affected = self.claims.replace(cluster_id, wanted);
        self.make_due(&affected);
    }

    /// Forgets everything: the actors end.
    pub(super) fn clear(&mut self) {
        for (_, cluster) in self.clusters.drain() {
            cluster.notify.notify_one();
        }
        self.connections.clear();
    }

    /// Moves a StockWatch to a connection; returns the notifier of one that is new.
    fn connect(&mut self, connection: &Connection, who: &ObjectKey) -> Option<Arc<Notify>> {
        if self.connections.get(who) != Some(connection) {
            self.leave(who);
            self.connections.insert(who.clone(), connection.clone());
        }
        if self.clusters.contains_key(connection) {
            return None;
        }
        let notify = Arc::new(Notify::new());
        let cluster = Cluster {
            notify: Arc::clone(&notify),
            entries: HashMap::new(),
            deletions: HashMap::new(),
            down: None,
            look_at: Instant::now() + LOOK_EVERY,
            recheck_at: Instant::now(),
        };
        self.clusters.insert(connection.clone(), cluster);
        Some(notify)
    }

    pub(super) fn leave(&mut self, who: &ObjectKey) {
        let Some(connection) = self.connections.remove(who) else { return };
        if let Some(cluster) = self.clusters.get_mut(&connection) {
            cluster.entries.remove(who);
            cluster.deletions.remove(who);
            cluster.notify.notify_one();
        }
    }

    fn make_due<'a>(&mut self, affected: impl IntoIterator<Item = &'a ObjectKey>) {
        for who in affected {
            let Some(cluster) =
                self.connections.get(who).and_then(|connection| self.clusters.get_mut(connection))
            else {
                continue;
            };
            if let Some(entry) = cluster.entries.get_mut(who) {
                entry.due = Some(Instant::now());
                cluster.notify.notify_one();
            }
        }
    }

    /// When there is something to do for a connection.
    pub(super) fn next(&mut self, connection: &Connection) -> NextWork {
        let Some(cluster) = self.clusters.get(connection) else { return NextWork::Gone };
        if cluster.entries.is_empty() && cluster.deletions.is_empty() {
            self.clusters.remove(connection);
            return NextWork::Gone;
        }
        let entries = cluster.entries.values().filter_map(|entry| entry.due);
        let deletions = cluster.deletions.values().filter_map(|deletion| deletion.due);
        let look = (!cluster.entries.is_empty()).then_some(cluster.look_at);
        match entries.chain(deletions).chain(look).min() {
            Some(at) => NextWork::At(at),
            // Only deletions that are done are left, until they are forgotten.
            None => NextWork::At(Instant::now() + LOOK_EVERY),
        }
    }

    /// Takes the work that is due: all requests when the regular look is due.
    pub(super) fn take(&mut self, connection: &Connection) -> Work {
        let Some(cluster) = self.clusters.get_mut(connection) else { return Work::default() };
        let now = Instant::now();
        let all = cluster.look_at <= now;
        if all {
            cluster.look_at = now + LOOK_EVERY;
        }
        cluster.recheck_at = now + RECHECK_AFTER;
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let mut work = Work::default();
        for entry in cluster.entries.values_mut().filter(|entry| all || is_due(entry.due)) {
            entry.due = None;
            work.wanted.push(Arc::clone(&entry.wanted));
        }
        for deletion in cluster.deletions.values_mut().filter(|deletion| is_due(deletion.due)) {
            deletion.due = None;
            work.deletions.push(Arc::clone(&deletion.request));
        }
        work
    }

    /// Plans the work, given the cluster's id and its topics. A StockWatch whose request has changed meanwhile is left
    /// out and due again; one without a request any more is left out.
    pub(super) fn plan(
        &mut self,
        connection: &Connection,
        cluster_id: &str,
        found: &FoundTopics,
        wanted: &[Arc<Wanted>],
    ) -> Vec<TopicsPlan> {
        let Some(cluster) = self.clusters.get_mut(connection) else { return Vec::new() };
        let now = Instant::now();
        let mut is_current = |wanted: &&Arc<Wanted>| {
            let Some(entry) = cluster.entries.get_mut(&wanted.who) else { return false };
            let same = Arc::ptr_eq(&entry.wanted, wanted);
            if !same {
                entry.due.get_or_insert(now);
            }
            same
        };
        let wanted: Vec<Arc<Wanted>> = wanted.iter().filter(&mut is_current).map(Arc::clone).collect();
        for wanted in &wanted {
            // A StockWatch whose status names another cluster claims nothing in this one.
            if wanted.cluster_id.as_deref().is_none_or(|known| known == cluster_id) {
                self.claim(cluster_id, wanted);
            }
        }
        let cluster = self.clusters.get(connection);
        let planned = |wanted: Arc<Wanted>| {
            let conflicts = self.claims.conflicts(&wanted.who);
            let entry = cluster.and_then(|cluster| cluster.entries.get(&wanted.who));
            let creations = entry.map(|entry| entry.creations.clone()).unwrap_or_default();
            plan(wanted, cluster_id, found, conflicts, creations)
        };
        wanted.into_iter().map(planned).collect()
    }
}

/// The request without the names that another StockWatch has.
fn without_others(claims: &Claims, mut request: DeletionRequest) -> DeletionRequest {
    let DeletionRequest { who, topics, group, cluster_id: Some(cluster_id) } = &mut request else {
        return request;
    };
    let is_ours = |owner: Option<&ObjectKey>, name: &str| {
        let Some(owner) = owner.filter(|owner| **owner != *who) else { return true };
        tracing::info!(name, "left alone by a deletion: it is of {}/{}", owner.namespace, owner.name);
        false
    };
    topics.retain(|topic| is_ours(claims.topic_owner(cluster_id, topic), topic));
    group.take_if(|group| !is_ours(claims.group_owner(cluster_id, group), group));
    request
}

#[cfg(test)]
mod tests;
