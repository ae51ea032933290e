//! What came of the work on a connection: answers are stored, and what is to be tried again becomes due.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{ClusterRegistry, Work};
use crate::topics::breaker::{pause, refused};
use crate::topics::connection::Connection;
use crate::topics::deletion::DeletionOutcome;
use crate::topics::observed::{DeletionState, KafkaProblem, KafkaReason, Observed};
use crate::topics::round::{Outcome, Retry};
use crate::topics::wanted::ObjectKey;

/// A member that died stays in its group until its session times out: for this long a group in use is no failure.
const GROUP_EMPTIES: Duration = Duration::from_secs(45);
/// Between two attempts at something that only needs time.
pub(super) const SOON: Duration = Duration::from_secs(1);

impl ClusterRegistry {
    /// Stores the results of a round; returns the StockWatches whose answer changed.
    pub(in crate::topics) fn publish(
        &mut self,
        connection: &Connection,
        outcomes: Vec<Outcome>,
        ends: Vec<DeletionOutcome>,
    ) -> HashSet<ObjectKey> {
        let mut changed = HashSet::new();
        let Some(cluster) = self.clusters.get_mut(connection) else { return changed };
        cluster.down = None;
        let now = Instant::now();
        for Outcome { wanted, creations, observed, retry } in outcomes {
            let Some(entry) = cluster.entries.get_mut(&wanted.who) else { continue };
            entry.creations = creations;
            if entry.wanted != wanted {
                // The request changed meanwhile, as its status took over an answer: this is not the answer to it.
                entry.due.get_or_insert(now);
                continue;
            }
            let wait = match retry {
                Retry::No => {
                    entry.tries = 0;
                    None
                }
                Retry::Soon => Some(SOON),
                Retry::Refused => {
                    entry.tries += 1;
                    Some(refused(entry.tries))
                }
                Retry::Later => {
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
        for DeletionOutcome { request, deleted } in ends {
            let Some(deletion) = cluster.deletions.get_mut(&request.who) else { continue };
            if deletion.request != request {
                continue;
            }
            let deleted = match deleted {
                DeletionState::Failed(problem)
                    if problem.reason == KafkaReason::GroupInUse
                        && deletion.since.elapsed() < GROUP_EMPTIES =>
                {
                    DeletionState::Pending
                }
                deleted => deleted,
            };
            deletion.tries += 1;
            deletion.due = match deleted {
                DeletionState::Done => None,
                DeletionState::Pending => Some(now + SOON),
                DeletionState::Failed(_) => Some(now + pause(deletion.tries)),
            };
            if deletion.deleted != deleted {
                deletion.deleted = deleted;
                changed.insert(request.who.clone());
            }
        }
        changed
    }

    /// Makes work that was taken due again, since it was not done.
    pub(in crate::topics) fn give_back(&mut self, connection: &Connection, work: &Work) {
        let Some(cluster) = self.clusters.get_mut(connection) else { return };
        let now = Some(Instant::now());
        for wanted in &work.wanted {
            if let Some(entry) = cluster.entries.get_mut(&wanted.who) {
                entry.due = now;
                entry.creations.lose_answers(wanted);
            }
        }
        for request in &work.deletions {
            if let Some(deletion) = cluster.deletions.get_mut(&request.who) {
                deletion.due = now;
            }
        }
    }

    /// Notes that the cluster could not be asked, `failures` times in a row; returns the StockWatches whose answer
    /// changed. A known answer outlives a single failure.
    pub(in crate::topics) fn fail(
        &mut self,
        connection: &Connection,
        problem: &KafkaProblem,
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
        let failed = DeletionState::Failed(problem.clone());
        for (who, deletion) in &mut cluster.deletions {
            if deletion.deleted != DeletionState::Done && deletion.deleted != failed {
                deletion.deleted = failed.clone();
                changed.insert(who.clone());
            }
        }
        changed
    }
}
