//! After an edit of what is judged: what the last day's quotes give by the rules before and after it, partition by
//! partition.
//!
//! It runs on a thread of its own, beside the loop and slower than it: an edit waits for nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::OptionFuture;
use stockwatch_core::Shape;
use stockwatch_crds::{EditReport, PartitionEdit};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::budget::{Budget, Pace};
use super::kafka::Topics;
use super::tally::Figures;
use super::{Candidate, RawLog, Study, Written, ago};
use crate::config::{LiveSpec, SpecReceiver};
use crate::health::Health;
use crate::kafka::Connection;
use crate::ownership::OwnedPartitions;

/// Hours of quotes that are judged.
const HOURS: u32 = 24;
/// An evaluation ends after this long, and says how far it came.
const LIMIT: Duration = Duration::from_secs(60);

/// The figures by the rules before and after.
fn partition_edit([before, after]: [Figures; 2], complete: bool) -> PartitionEdit {
    PartitionEdit {
        alarms_before: before.alarms,
        alarms_after: after.alarms,
        episodes_before: before.episodes,
        episodes_after: after.episodes,
        complete,
    }
}

/// The figures of one candidate of a study, in all windows.
fn sum(study: &Study<'_>, candidate: usize) -> Figures {
    let mut all = Figures::default();
    study.windows().get(candidate).into_iter().flatten().for_each(|figures| all += *figures);
    all
}

/// What evaluations work with.
pub(crate) struct Deps {
    pub(crate) connection: Connection,
    pub(crate) spec: SpecReceiver,
    pub(crate) owned: watch::Receiver<OwnedPartitions>,
    pub(crate) health: Arc<Health>,
}

/// An evaluation on its thread.
struct Running {
    report: JoinHandle<Option<EditReport>>,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Evaluates edits for as long as there may be some.
pub(crate) async fn run(deps: Deps) {
    let (spec, health) = (deps.spec.clone(), Arc::clone(&deps.health));
    follow(spec, health, move |live, candidates| deps.begin(live, candidates)).await;
}

/// Begins the evaluation of each edit, and says what comes of it. A newer edit ends the evaluation of an older one, unless
/// it changes nothing of what is judged.
async fn follow(
    mut spec: SpecReceiver,
    health: Arc<Health>,
    mut begin: impl FnMut(Arc<LiveSpec>, [Candidate; 2]) -> Running,
) {
    let mut last = spec.borrow_and_update().clone();
    let mut running: Option<Running> = None;
    loop {
        if running.is_none() {
            health.set_evaluated(last.revision);
        }
        let ended = OptionFuture::from(running.as_mut().map(|running| &mut running.report));
        tokio::select! {
            changed = spec.changed() => {
                if changed.is_err() {
                    return;
                }
                let live = spec.borrow_and_update().clone();
                let before = std::mem::replace(&mut last, live);
                if let Some(candidates) = compared(&before, &last) {
                    health.set_last_edit(None);
                    running = Some(begin(Arc::clone(&last), candidates));
                }
            }
            Some(report) = ended => {
                // Its thread panicked: there is nothing to say.
                health.set_last_edit(report.unwrap_or_default());
                running = None;
            }
        }
    }
}

impl Deps {
    fn begin(&self, live: Arc<LiveSpec>, candidates: [Candidate; 2]) -> Running {
        let cancelled = Arc::new(AtomicBool::new(false));
        let evaluation = Evaluation {
            connection: self.connection.clone(),
            owned: self.owned.borrow().clone(),
            health: Arc::clone(&self.health),
            cancelled: Arc::clone(&cancelled),
            live,
            candidates,
        };
        Running { report: tokio::task::spawn_blocking(move || evaluation.run()), cancelled }
    }
}

/// The rules before and after an edit, if they may judge quotes differently. What accounts do with alarms is not judged.
fn compared(before: &LiveSpec, after: &LiveSpec) -> Option<[Candidate; 2]> {
    let rules = |live: &LiveSpec| {
        let rules = Shape::of(&live.uid, live.generation.unwrap_or(0), &live.spec);
        Arc::new(Shape { trade: None, ..rules })
    };
    let (old, new) = (rules(before), rules(after));
    let named = |name: &str, rules| Candidate { name: name.to_owned(), rules };
    (!old.says_as(&new)).then(|| [named("before", old), named("after", new)])
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
    /// What the edit changes in the partitions that were owned; `None` if it is cancelled, or cannot be said.
    fn run(&self) -> Option<EditReport> {
        let kafka = &self.live.spec.kafka;
        let names = (kafka.topics.raw_input.name.as_str(), kafka.topics.deviation_alarm.name.as_str());
        let pace = Pace::begin(LIMIT, Arc::clone(&self.cancelled));
        let budget = Budget::begin().paced(pace);
        let mut topics = Topics::open(&self.connection, &kafka.group_id, names, budget)
            .inspect_err(|error| tracing::warn!(%error, "the edit is not evaluated"))
            .ok()?;
        let since = ago(Duration::from_secs(u64::from(HOURS) * 3600));
        let Self { candidates, owned, cancelled, .. } = self;
        let (partitions, complete) =
            evaluate_all(candidates, &mut topics, &owned.partitions, since, cancelled)?;
        let generation = self.live.generation.or_else(|| self.health.generation(self.live.revision));
        let before = Some(self.candidates[0].rules.generation).filter(|before| *before > 0);
        Some(EditReport { generation, before, hours: HOURS, partitions, complete })
    }
}

/// What an edit changes in each partition that is judged in time, and whether these are all, in full; `None`: it is
/// cancelled.
fn evaluate_all<L: RawLog<Error: Display>>(
    candidates: &[Candidate; 2],
    log: &mut L,
    owned: &BTreeSet<i32>,
    since: i64,
    cancelled: &AtomicBool,
) -> Option<(BTreeMap<i32, PartitionEdit>, bool)> {
    let mut partitions = BTreeMap::new();
    for partition in owned {
        match evaluate(candidates, log, *partition, since) {
            Ok(Some(edit)) => _ = partitions.insert(*partition, edit),
            Ok(None) => tracing::warn!(partition, "no time or memory is left to evaluate the edit here"),
            Err(error) => tracing::warn!(%error, partition, "the edit is not evaluated here"),
        }
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
    }
    let is_whole = partitions.len() == owned.len() && !partitions.is_empty();
    let complete = is_whole && partitions.values().all(|edit| edit.complete);
    Some((partitions, complete))
}

/// One partition: in one pass where old and new rules have the same averages, otherwise in one for each. `None`: time or
/// memory was used up before its end.
fn evaluate<L: RawLog>(
    candidates: &[Candidate; 2],
    log: &mut L,
    partition: i32,
    since: i64,
) -> Result<Option<PartitionEdit>, L::Error> {
    let [before, after] = candidates;
    if before.rules.decides_as(&after.rules) {
        let both = study(candidates, log, partition, since)?;
        let edit = |both: Study<'_>| partition_edit([sum(&both, 0), sum(&both, 1)], is_whole(&both));
        return Ok(both.map(edit));
    }
    let Some(old) = study(std::slice::from_ref(before), log, partition, since)? else {
        return Ok(None);
    };
    let Some(new) = study(std::slice::from_ref(after), log, partition, since)? else {
        return Ok(None);
    };
    Ok(Some(partition_edit([sum(&old, 0), sum(&new, 0)], is_whole(&old) && is_whole(&new))))
}

/// Whether all hours of all tickers are judged.
fn is_whole(study: &Study<'_>) -> bool {
    study.cut.is_empty() && study.left_out.is_empty()
}

/// Judges a partition by candidates that have the same averages; `None`: time or memory was used up before its end.
fn study<'a, L: RawLog>(
    candidates: &'a [Candidate],
    log: &mut L,
    partition: i32,
    since: i64,
) -> Result<Option<Study<'a>>, L::Error> {
    let mut study = Study::new(candidates, since, false);
    let is_read = study.judge(log, partition, &candidates[0].rules, None, &mut Written::new(""))?;
    Ok(is_read.then_some(study))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use stockwatch_core::wire::RawRecord;
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::yield_now;

    use super::*;
    use crate::config::first;

    fn live(tickers: &str, spec: &str) -> LiveSpec {
        first(&format!(
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: tech}}\nspec: {{tickers: \
             [{tickers}], kafka: {{bootstrapServers: 'kafka:9092'}}, {spec}}}\n"
        ))
        .unwrap()
    }

    fn with_tolerance(tolerance: &str) -> LiveSpec {
        live("{symbol: META}", &format!("windows: [{{duration: 5m, tolerance: '{tolerance}'}}]"))
    }

    /// An evaluation that the test ends.
    struct Begun {
        revision: u64,
        cancelled: Arc<AtomicBool>,
        end: oneshot::Sender<EditReport>,
    }

    #[tokio::test]
    async fn a_newer_edit_cancels_the_evaluation_of_the_one_before_and_is_the_one_that_is_said() {
        let edit = |revision, tolerance| Arc::new(LiveSpec { revision, ..with_tolerance(tolerance) });
        let (edits, spec) = watch::channel(edit(1, "1%"));
        let health = Arc::new(Health::default());
        let (begin, mut begun) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow(spec, Arc::clone(&health), move |live: Arc<LiveSpec>, _| {
            let (end, ended) = oneshot::channel();
            let cancelled = Arc::new(AtomicBool::new(false));
            let _ = begin.send(Begun { revision: live.revision, cancelled: Arc::clone(&cancelled), end });
            Running { report: tokio::spawn(async move { ended.await.ok() }), cancelled }
        }));
        while health.is_evaluating(1) {
            yield_now().await;
        }
        edits.send_replace(edit(2, "2%"));
        let first: Begun = begun.recv().await.unwrap();
        edits.send_replace(edit(3, "3%"));
        let second = begun.recv().await.unwrap();
        assert_eq!((first.revision, second.revision), (2, 3));
        let is_cancelled = |begun: &Begun| begun.cancelled.load(Ordering::Relaxed);
        assert!(is_cancelled(&first) && !is_cancelled(&second));
        let report = |generation| EditReport {
            generation: Some(generation),
            before: None,
            hours: HOURS,
            partitions: BTreeMap::new(),
            complete: true,
        };
        let _ = first.end.send(report(2));
        yield_now().await;
        assert_eq!((health.last_edit(), health.is_evaluating(3)), (None, true));
        let _ = second.end.send(report(3));
        while health.is_evaluating(3) {
            yield_now().await;
        }
        assert_eq!(health.last_edit(), Some(report(3)));
        drop(edits);
        following.await.unwrap();
    }

    /// Partitions whose logs have these records, by stamp and ticker, from an offset on; so many reads are in time.
    struct Log {
        first: i64,
        records: Vec<(i64, &'static str)>,
        in_time: usize,
    }

    impl RawLog for Log {
        type Error = Infallible;

        fn bounds(&mut self, _: i32) -> Result<(i64, i64), Infallible> {
            Ok((self.first, self.first + i64::try_from(self.records.len()).unwrap()))
        }

        fn first_since(&mut self, _: i32, since: i64) -> Result<Option<i64>, Infallible> {
            let first = (self.first..).zip(&self.records).find(|(_, (stamp, _))| *stamp >= since);
            Ok(first.map(|(offset, _)| offset))
        }

        fn read(
            &mut self,
            _: i32,
            from: i64,
            to: i64,
            mut each: impl FnMut(&RawRecord<'_>),
        ) -> Result<bool, Infallible> {
            let Some(left) = self.in_time.checked_sub(1) else { return Ok(false) };
            self.in_time = left;
            let records = (self.first..).zip(&self.records);
            for (offset, (stamp, ticker)) in records.filter(|(offset, _)| (from..to).contains(offset)) {
                let seconds = stamp / 1000;
                let value = format!(
                    r#"{{"entityname":"{ticker}","currentstockprice":1,"lastupdatedate":{seconds}}}"#
                );
                each(&RawRecord { key: None, value: Some(value.as_bytes()), timestamp: *stamp, offset });
            }
            Ok(true)
        }
    }

    #[test]
    fn an_evaluation_that_leaves_a_ticker_out_is_not_complete() {
        const HOUR: i64 = 3_600_000;
        let with = |tolerance: &str, more: &str| {
            let windows = format!("windows: [{{duration: 5m, tolerance: '{tolerance}'}}{more}]");
            live("{symbol: META}, {symbol: NVDA}", &windows)
        };
        let longer = ", {duration: 10m, tolerance: '1%'}";
        for edited in [with("2%", ""), with("1%", longer)] {
            let candidates = compared(&with("1%", ""), &edited).unwrap();
            let complete = |records: &[(i64, &'static str)]| {
                let (owned, cancelled) = (BTreeSet::from([0]), AtomicBool::new(false));
                // The record before these is deleted.
                let mut log = Log { first: 1, records: records.to_vec(), in_time: usize::MAX };
                evaluate_all(&candidates, &mut log, &owned, 30 * HOUR, &cancelled).unwrap().1
            };
            let meta = [(10 * HOUR, "META"), (20 * HOUR, "META"), (31 * HOUR, "META")];
            assert!(complete(&meta));
            assert!(
                !complete(&[&meta[..], &[(32 * HOUR, "NVDA")]].concat()),
                "its windows may have been full"
            );
        }
    }

    #[test]
    fn an_evaluation_without_time_is_incomplete_and_says_how_far_it_came() {
        let candidates = compared(&with_tolerance("1%"), &with_tolerance("2%")).unwrap();
        let evaluated = |in_time: usize, is_cancelled: bool| {
            let (owned, cancelled) = (BTreeSet::from([0, 1]), AtomicBool::new(is_cancelled));
            let mut log = Log { first: 0, records: Vec::new(), in_time };
            evaluate_all(&candidates, &mut log, &owned, 0, &cancelled)
        };
        let edit = PartitionEdit { complete: true, ..PartitionEdit::default() };
        assert_eq!(evaluated(2, false), Some((BTreeMap::from([(0, edit), (1, edit)]), true)));
        assert_eq!(evaluated(1, false), Some((BTreeMap::from([(0, edit)]), false)));
        assert_eq!(evaluated(0, false), Some((BTreeMap::new(), false)));
        assert_eq!(evaluated(2, true), None);
    }

    #[test]
    fn an_edit_is_evaluated_if_it_judges_quotes_differently() {
        let before = live("{symbol: META}", "windows: [{duration: 5m, tolerance: '1%'}]");
        let is_evaluated = |tickers: &str, spec: &str| compared(&before, &live(tickers, spec)).is_some();
        let windows = "windows: [{duration: 5m, tolerance: '1%'}]";
        assert!(is_evaluated("{symbol: META}", "windows: [{duration: 5m, tolerance: '2%'}]"));
        assert!(is_evaluated("{symbol: META}", "windows: [{duration: 10m, tolerance: '1%'}]"));
        assert!(is_evaluated("{symbol: META}, {symbol: A}", windows));
        assert!(is_evaluated("{symbol: META}", &format!("{windows}, alarms: {{gaps: Skip}}")));
        assert!(!is_evaluated("{symbol: META}", &format!("{windows}, suspend: false")));
        assert!(!is_evaluated("{symbol: META}", &format!("{windows}, trade: {{window: 5m}}")));
    }
}
