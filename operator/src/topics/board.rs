//! What is asked and what is answered, between those who ask and the actors: one lock, never held over a call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::pause;
use super::claims::Claims;
use super::connection::Connection;
use super::deletion::{Doomed, End};
use super::observed::{Deleted, Observed, Problem, Reason};
use super::plan::{Plan, Topics, plan};
use super::round::{Again, Outcome};
use super::wanted::{ObjectKey, Wanted};

/// How often everything of a cluster is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// Least time from any look at a cluster to one at topics that may be gone, which those of all StockWatches share.
const DOUBT_AFTER: Duration = Duration::from_secs(10);
/// A group's last member may have gone without a word: for so long that is no failure.
const GROUP_EMPTIES: Duration = Duration::from_secs(45);
/// Between two tries while something only needs time.
const SOON: Duration = Duration::from_secs(1);

/// Everything asked for and everything known.
#[derive(Debug, Default)]
pub(super) struct Board {
    clusters: HashMap<Connection, Cluster>,
    homes: HashMap<ObjectKey, Connection>,
    claims: Claims,
}

/// What is asked of one connection.
#[derive(Debug)]
struct Cluster {
    notify: Arc<Notify>,
    entries: HashMap<ObjectKey, Entry>,
    deletions: HashMap<ObjectKey, Deletion>,
    /// It does not answer.
    down: Option<Problem>,
    look_at: Instant,
    /// The earliest time to look at topics that may be gone.
    doubt_at: Instant,
}

#[derive(Debug)]
struct Entry {
    wanted: Arc<Wanted>,
    observed: Observed,
    /// When it is worked on next, apart from the look at everything.
    due: Option<Instant>,
    tries: u32,
}

#[derive(Debug)]
struct Deletion {
    doomed: Arc<Doomed>,
    deleted: Deleted,
    since: Instant,
    due: Option<Instant>,
    tries: u32,
}

/// What is to be done for one connection now.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) wanted: Vec<Arc<Wanted>>,
    pub(super) doomed: Vec<Arc<Doomed>>,
}

/// When there is something to do for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Then.
    At(Instant),
    /// Never: nobody asks for anything any more, and its actor is forgotten.
    Gone,
}

impl Board {
    /// The answer so far. An actor is to be started for a connection that has none: with the notifier, if given.
    pub(super) fn observe(
        &mut self,
        connection: &Connection,
        wanted: Wanted,
    ) -> (Observed, Option<Arc<Notify>>) {
        let who = wanted.who.clone();
        let start = self.settle(connection, &who);
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
        let entry = Entry { wanted: Arc::new(wanted), observed: observed.clone(), due, tries: 0 };
        cluster.entries.insert(who, entry);
        cluster.notify.notify_one();
        (observed, start)
    }

    /// The state of a deletion; like [`Self::observe`].
    pub(super) fn delete(
        &mut self,
        connection: &Connection,
        doomed: Doomed,
    ) -> (Deleted, Option<Arc<Notify>>) {
        let who = doomed.who.clone();
        let start = self.settle(connection, &who);
        let Some(cluster) = self.clusters.get_mut(connection) else { return (Deleted::Pending, start) };
        // What goes must not be created again.
        cluster.entries.remove(&who);
        if let Some(deletion) = cluster.deletions.get(&who).filter(|deletion| *deletion.doomed == doomed) {
            return (deletion.deleted.clone(), start);
        }
        let deleted = cluster.down.clone().map_or(Deleted::Pending, Deleted::Failed);
        let (doomed, now) = (Arc::new(doomed), Instant::now());
        let deletion = Deletion { doomed, deleted: deleted.clone(), since: now, due: Some(now), tries: 0 };
        cluster.deletions.insert(who, deletion);
        cluster.notify.notify_one();
        (deleted, start)
    }

    /// Forgets a StockWatch and what it claims.
    pub(super) fn forget(&mut self, who: &ObjectKey) {
        self.leave(who);
        let affected = self.claims.release(who);
        self.reconsider(&affected);
    }

    /// Has the topics of a StockWatch looked at soon: they may be gone.
    pub(super) fn doubt(&mut self, who: &ObjectKey) {
        let Some(cluster) = self.homes.get(who).and_then(|home| self.clusters.get_mut(home)) else { return };
        let Some(entry) = cluster.entries.get_mut(who) else { return };
        let at = cluster.doubt_at.max(Instant::now());
        entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
        cluster.notify.notify_one();
    }

    /// Notes what a StockWatch has in a cluster; those that it may be in conflict with are looked at again.
    pub(super) fn claim(&mut self, cluster_id: &str, wanted: &Wanted) {
        let affected = self.claims.take(cluster_id, wanted);
        self.reconsider(&affected);
    }

    /// Forgets everything: the actors end.
    pub(super) fn clear(&mut self) {
        for (_, cluster) in self.clusters.drain() {
            cluster.notify.notify_one();
        }
        self.homes.clear();
    }

    /// Makes this connection the one of a StockWatch; gives the notifier of a connection that is new.
    fn settle(&mut self, connection: &Connection, who: &ObjectKey) -> Option<Arc<Notify>> {
        if self.homes.get(who) != Some(connection) {
            self.leave(who);
            self.homes.insert(who.clone(), connection.clone());
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
            doubt_at: Instant::now(),
        };
        self.clusters.insert(connection.clone(), cluster);
        Some(notify)
    }

    fn leave(&mut self, who: &ObjectKey) {
        let Some(home) = self.homes.remove(who) else { return };
        if let Some(cluster) = self.clusters.get_mut(&home) {
            cluster.entries.remove(who);
            cluster.deletions.remove(who);
            cluster.notify.notify_one();
        }
    }

    fn reconsider<'a>(&mut self, affected: impl IntoIterator<Item = &'a ObjectKey>) {
        for who in affected {
            let Some(cluster) = self.homes.get(who).and_then(|home| self.clusters.get_mut(home)) else {
                continue;
            };
            if let Some(entry) = cluster.entries.get_mut(who) {
                entry.due = Some(Instant::now());
                cluster.notify.notify_one();
            }
        }
    }

    /// When there is something to do for a connection.
    pub(super) fn next(&mut self, connection: &Connection) -> Next {
        let Some(cluster) = self.clusters.get(connection) else { return Next::Gone };
        if cluster.entries.is_empty() && cluster.deletions.is_empty() {
            self.clusters.remove(connection);
            return Next::Gone;
        }
        let entries = cluster.entries.values().filter_map(|entry| entry.due);
        let deletions = cluster.deletions.values().filter_map(|deletion| deletion.due);
        let look = (!cluster.entries.is_empty()).then_some(cluster.look_at);
        match entries.chain(deletions).chain(look).min() {
            Some(at) => Next::At(at),
            // Only deletions that are done are left, until they are forgotten.
            None => Next::At(Instant::now() + LOOK_EVERY),
        }
    }

    /// What is due; where everything is to be looked at again, all of it.
    pub(super) fn take(&mut self, connection: &Connection) -> Work {
        let Some(cluster) = self.clusters.get_mut(connection) else { return Work::default() };
        let now = Instant::now();
        let all = cluster.look_at <= now;
        if all {
            cluster.look_at = now + LOOK_EVERY;
        }
        cluster.doubt_at = now + DOUBT_AFTER;
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let mut work = Work::default();
        for entry in cluster.entries.values_mut().filter(|entry| all || is_due(entry.due)) {
            entry.due = None;
            work.wanted.push(Arc::clone(&entry.wanted));
        }
        for deletion in cluster.deletions.values_mut().filter(|deletion| is_due(deletion.due)) {
            deletion.due = None;
            work.doomed.push(Arc::clone(&deletion.doomed));
        }
        work
    }

    /// What is to be done, now that the cluster and its topics are known. Who asks for something else meanwhile is left
    /// out and due again, who asks for nothing any more is left out.
    pub(super) fn plan(
        &mut self,
        connection: &Connection,
        cluster_id: &str,
        found: &Topics,
        wanted: &[Arc<Wanted>],
    ) -> Vec<Plan> {
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
            // Where the status names another cluster, nothing is wanted of this one.
            if wanted.cluster_id.as_deref().is_none_or(|known| known == cluster_id) {
                self.claim(cluster_id, wanted);
            }
        }
        let planned = |wanted: Arc<Wanted>| {
            let conflicts = self.claims.conflicts(&wanted.who);
            plan(wanted, cluster_id, found, conflicts)
        };
        wanted.into_iter().map(planned).collect()
    }

    /// Publishes what a round says; gives those whose answer changed.
    pub(super) fn publish(
        &mut self,
        connection: &Connection,
        outcomes: Vec<Outcome>,
        ends: Vec<End>,
    ) -> HashSet<ObjectKey> {
        let mut changed = HashSet::new();
        let Some(cluster) = self.clusters.get_mut(connection) else { return changed };
        cluster.down = None;
        let now = Instant::now();
        for Outcome { wanted, observed, again } in outcomes {
            let Some(entry) = cluster.entries.get_mut(&wanted.who) else { continue };
            if entry.wanted != wanted {
                // The status took over an answer meanwhile: this one is no answer to what is asked now.
                entry.due.get_or_insert(now);
                continue;
            }
            let wait = match again {
                Again::No => {
                    entry.tries = 0;
                    None
                }
                Again::Soon => Some(SOON),
                Again::Later => {
                    entry.tries += 1;
                    Some(pause(entry.tries))
                }
            };
            if let Some(at) = wait.map(|wait| now + wait) {
                entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
            }
            if entry.observed != observed {
                entry.observed = observed;
                changed.insert(wanted.who.clone());
            }
        }
        for End { doomed, deleted } in ends {
            let Some(deletion) = cluster.deletions.get_mut(&doomed.who) else { continue };
            if deletion.doomed != doomed {
                continue;
            }
            let deleted = match deleted {
                Deleted::Failed(problem)
                    if problem.reason == Reason::GroupInUse && deletion.since.elapsed() < GROUP_EMPTIES =>
                {
                    Deleted::Pending
                }
                deleted => deleted,
            };
            deletion.tries += 1;
            deletion.due = match deleted {
                Deleted::Done => None,
                Deleted::Pending => Some(now + SOON),
                Deleted::Failed(_) => Some(now + pause(deletion.tries)),
            };
            if deletion.deleted != deleted {
                deletion.deleted = deleted;
                changed.insert(doomed.who.clone());
            }
        }
        changed
    }

    /// What was taken is due again: it was not answered.
    pub(super) fn give_back(&mut self, connection: &Connection, work: &Work) {
        let Some(cluster) = self.clusters.get_mut(connection) else { return };
        let now = Some(Instant::now());
        for wanted in &work.wanted {
            if let Some(entry) = cluster.entries.get_mut(&wanted.who) {
                entry.due = now;
            }
        }
        for doomed in &work.doomed {
            if let Some(deletion) = cluster.deletions.get_mut(&doomed.who) {
                deletion.due = now;
            }
        }
    }

    /// The cluster cannot be asked, for the so many'th time in a row; gives those whose answer changed. What is
    /// known is not given up for a single failure.
    pub(super) fn fail(
        &mut self,
        connection: &Connection,
        problem: &Problem,
        failures: u32,
    ) -> HashSet<ObjectKey> {
        let mut changed = HashSet::new();
        let Some(cluster) = self.clusters.get_mut(connection) else { return changed };
        cluster.down = Some(problem.clone());
        let unreachable = Observed::Unreachable(problem.clone());
        for (who, entry) in &mut cluster.entries {
            let is_known = matches!(entry.observed, Observed::Known { .. });
            if (!is_known || failures > 1) && entry.observed != unreachable {
                entry.observed = unreachable.clone();
                entry.due = Some(Instant::now());
                changed.insert(who.clone());
            }
        }
        let failed = Deleted::Failed(problem.clone());
        for (who, deletion) in &mut cluster.deletions {
            if deletion.deleted != Deleted::Done && deletion.deleted != failed {
                deletion.deleted = failed.clone();
                changed.insert(who.clone());
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests;
