//! From SIGKILL of one of two workers to output of every partition by the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::wire::AverageRecord;

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::quotes::Feed;
use crate::reader::Reader;
use crate::report::{Report, percentile};
use crate::systems::{Bench, TOLERANCE};

const ROUNDS: usize = 2;
const RATE: u64 = 500;
const HTTP: [u16; 2] = [29_607, 29_608];
const LIMIT: Duration = Duration::from_secs(60);

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut seconds = Vec::new();
    for round in 0..ROUNDS {
        seconds.push(kill_one(bench, &format!("failover-{round}"))?);
    }
    report.note(format!("failover of one of two workers: {seconds:.2?} s to output of all its partitions"));
    report.at_most("failover, s", percentile(&mut seconds, 100), 10.0);
    Ok(())
}

/// The seconds until every partition has answered a quote that was written after the kill.
fn kill_one(bench: &Bench, name: &str) -> Result<f64> {
    let job = Job::with_raw(&bench.cluster, name)?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut dying = bench.start_worker(&job, "a", HTTP[0])?;
    http::ready(&mut dying, HTTP[0], LIMIT)?;
    let mut other = bench.start_worker(&job, "b", HTTP[1])?;
    let half = f64::from(bench.cluster.partitions / 2);
    http::metric_is(&mut other, HTTP[1], "stockwatch_partitions_owned", half, LIMIT)?;
    http::metric_is(&mut dying, HTTP[0], "stockwatch_partitions_owned", half, LIMIT)?;
    let feed = Feed::start(&bench.cluster, &job.raw, RATE)?;
    let reader = Reader::from_now(&bench.cluster, &[&job.averages()])?;
    let mut answered = BTreeSet::new();
    let mut all = |after: u64| {
        answered.clear();
        reader.find("output of every partition", LIMIT, |record| {
            let average = AverageRecord::parse(record.payload()?).ok()?;
            (Feed::number(&average)? >= after).then(|| answered.insert(record.partition()));
            (answered.len() == bench.cluster.partitions as usize).then(Instant::now)
        })
    };
    all(2 * RATE)?;
    let killed = dying.kill()?;
    let at = all(feed.sent());
    other.check()?;
    Ok((at? - killed).as_secs_f64())
}
