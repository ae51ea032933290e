//! After an edit of what is judged: what the last day's quotes give by the rules before and after it, partition by
//! partition.
//!
//! It runs on a thread of its own, beside the loop and slower than it: an edit waits for nothing here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stockwatch_core::Shape;
use stockwatch_crds::{EditReport, PartitionEdit};
use tokio::sync::watch;

use super::budget::{Budget, Pace};
use super::kafka::Topics;
use super::tally::Figures;
use super::{Candidate, Study, Written, ago};
use crate::config::{LiveSpec, SpecReceiver};
use crate::health::Health;
use crate::kafka::Connection;
use crate::ownership::OwnedPartitions;

/// Hours of quotes that are judged.
const HOURS: u32 = 24;
/// An evaluation ends after this long, and says how far it came.
const LIMIT: Duration = Duration::from_secs(60);

/// The figures of a study of two candidates, before and after.
fn partition_edit(study: &Study<'_>, is_read: bool) -> PartitionEdit {
    let sum = |candidate: usize| {
        let mut all = Figures::default();
        study.windows().get(candidate).into_iter().flatten().for_each(|figures| all += *figures);
        all
    };
    let (before, after) = (sum(0), sum(1));
    PartitionEdit {
        alarms_before: before.alarms,
        alarms_after: after.alarms,
        episodes_before: before.episodes,
        episodes_after: after.episodes,
        complete: is_read && study.cut.is_empty(),
    }
}

/// What evaluations work with.
pub(crate) struct Deps {
    pub(crate) connection: Connection,
    pub(crate) spec: SpecReceiver,
    pub(crate) owned: watch::Receiver<OwnedPartitions>,
    pub(crate) health: Arc<Health>,
}

/// Evaluates edits for as long as there may be some. A newer edit ends the evaluation of an older one.
pub(crate) async fn run(mut deps: Deps) {
    let mut last = deps.spec.borrow_and_update().clone();
    deps.health.set_evaluated(last.revision);
    let mut cancelled = Arc::new(AtomicBool::new(false));
    while deps.spec.changed().await.is_ok() {
        let live = deps.spec.borrow_and_update().clone();
        let before = std::mem::replace(&mut last, Arc::clone(&live));
        let compared = compared(&before, &live);
        if matches!(compared, Compared::Same) {
            deps.health.set_evaluated(live.revision);
            continue;
        }
        cancelled.store(true, Ordering::Relaxed);
        cancelled = Arc::new(AtomicBool::new(false));
        deps.health.set_last_edit(None);
        let Compared::Differently(candidates) = compared else {
            deps.health.set_evaluated(live.revision);
            continue;
        };
        let evaluation = Evaluation {
            connection: deps.connection.clone(),
            owned: deps.owned.borrow().clone(),
            health: Arc::clone(&deps.health),
            cancelled: Arc::clone(&cancelled),
            live,
            candidates,
        };
        drop(tokio::task::spawn_blocking(move || {
            evaluation.run();
            evaluation.health.set_evaluated(evaluation.live.revision);
        }));
    }
    cancelled.store(true, Ordering::Relaxed);
}

/// How two specs judge the same quotes.
#[derive(Debug)]
enum Compared {
    /// Alike.
    Same,
    /// Differently: by the rules before and after.
    Differently([Candidate; 2]),
    /// They have other averages, which one pass cannot compare.
    OtherAverages,
}

fn compared(before: &LiveSpec, after: &LiveSpec) -> Compared {
    let rules = |live: &LiveSpec| Arc::new(Shape::of(&live.uid, live.generation.unwrap_or(0), &live.spec));
    let (old, new) = (rules(before), rules(after));
    if old.says_as(&new) {
        return Compared::Same;
    }
    if !old.decides_as(&new) {
        return Compared::OtherAverages;
    }
    let named = |name: &str, rules| Candidate { name: name.to_owned(), rules };
    Compared::Differently([named("before", old), named("after", new)])
}

/// The evaluation of one edit.
struct Evaluation {
    connection: Connection,
    owned: OwnedPartitions,
    health: Arc<Health>,
    cancelled: Arc<AtomicBool>,
    live: Arc<LiveSpec>,
    candidates: [Candidate; 2],
}

impl Evaluation {
    fn run(&self) {
        let kafka = &self.live.spec.kafka;
        let names = (kafka.topics.raw_input.name.as_str(), kafka.topics.deviation_alarm.name.as_str());
        let pace = Pace::begin(LIMIT, Arc::clone(&self.cancelled));
        let budget = Budget::begin().paced(pace);
        let mut topics = match Topics::open(&self.connection, &kafka.group_id, names, budget) {
            Ok(topics) => topics,
            Err(error) => return tracing::warn!(%error, "the edit is not evaluated"),
        };
        let since = ago(Duration::from_secs(u64::from(HOURS) * 3600));
        let mut partitions = BTreeMap::new();
        for partition in &self.owned.partitions {
            let mut study = Study::new(&self.candidates, since, false);
            let (rules, written) = (&self.candidates[0].rules, &mut Written::new(names.0));
            let read = study.judge(&mut topics, *partition, rules, 0, written);
            let is_read = read.unwrap_or_else(|error| {
                tracing::warn!(%error, partition, "the edit is not evaluated in this partition");
                false
            });
            if self.cancelled.load(Ordering::Relaxed) {
                return;
            }
            partitions.insert(*partition, partition_edit(&study, is_read));
        }
        let complete = !partitions.is_empty() && partitions.values().all(|p: &PartitionEdit| p.complete);
        let generation = self.live.generation.or_else(|| self.health.generation(self.live.revision));
        self.health.set_last_edit(Some(EditReport { generation, hours: HOURS, partitions, complete }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::first;

    fn live(tickers: &str, spec: &str) -> LiveSpec {
        first(&format!(
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: tech}}\nspec: {{tickers: \
             [{tickers}], kafka: {{bootstrapServers: 'kafka:9092'}}, {spec}}}\n"
        ))
        .unwrap()
    }

    #[test]
    fn an_edit_is_evaluated_if_it_judges_the_same_averages_differently() {
        let before = live("{symbol: META}", "windows: [{duration: 5m, tolerance: '1%'}]");
        let compared = |tickers: &str, spec: &str| compared(&before, &live(tickers, spec));
        let windows = "windows: [{duration: 5m, tolerance: '2%'}]";
        assert!(matches!(compared("{symbol: META}", windows), Compared::Differently(_)));
        let settings = "windows: [{duration: 5m, tolerance: '1%'}], alarms: {gaps: Skip}";
        assert!(matches!(compared("{symbol: META}", settings), Compared::Differently(_)));
        let same = "windows: [{duration: 5m, tolerance: '1%'}], suspend: false";
        assert!(matches!(compared("{symbol: META}", same), Compared::Same));
        assert!(matches!(compared("{symbol: A}", windows), Compared::OtherAverages));
        let other = "windows: [{duration: 10m, tolerance: '1%'}]";
        assert!(matches!(compared("{symbol: META}", other), Compared::OtherAverages));
    }
}
