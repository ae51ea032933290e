//! A table partition that cannot be read: the latency of the other partitions' alarms, with all well before it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::meter::Meter;
use crate::report::{Report, percentile};
use crate::systems::{Bench, TOLERANCE};

const RATE: u64 = 1000;
/// Measured with all well, and with one partition unread; each after as much that is not.
const SPAN: Duration = Duration::from_secs(20);
const BROKEN: i32 = 1;
/// What no release of now can read.
const KEY: &str = r#"{"stockwatch":"of-a-later-release"}"#;
/// How much longer alarms may take, in milliseconds.
const ALLOWANCE: f64 = 50.0;
const LIMIT: Duration = Duration::from_secs(60);
const HTTP: u16 = 29_626;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let cluster = &bench.cluster;
    let job = Job::with_raw(cluster, "one-partition")?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    http::ready(&mut program, HTTP, LIMIT)?;
    let meter = Meter::start(cluster, &job, RATE)?;
    sleep(2 * SPAN);
    let broken = Instant::now();
    program.kill()?;
    spoil(cluster, &job)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    sleep(SPAN);
    let (from, first) = (Instant::now(), cluster.ends(&job.raw)?);
    sleep(SPAN);
    let (to, last) = (Instant::now(), cluster.ends(&job.raw)?);
    let latencies = meter.stop()?;
    program.check()?;

    let before = percentile(&mut latencies.between(broken - SPAN, broken), 99);
    let all = latencies.between(from, to);
    let mut others: Vec<f64> = all.iter().copied().filter(|latency| latency.is_finite()).collect();
    let without = (all.len() - others.len()) as f64 / all.len() as f64;
    let written: Vec<f64> = first.iter().zip(&last).map(|(first, last)| (last - first) as f64).collect();
    let of_broken = written[usize::try_from(BROKEN)?] / written.iter().sum::<f64>();
    let meanwhile = percentile(&mut others, 99);
    report.note(format!(
        "one partition of {} cannot be read: p99 of alarms {before:.1} ms before, {meanwhile:.1} ms of the others; \
         {:.1} % of the quotes are of it, {:.1} % have no alarm",
        cluster.partitions,
        100.0 * of_broken,
        100.0 * without
    ));
    report.at_most("alarm latency of the other partitions, p99 ms", meanwhile, before + ALLOWANCE);
    // Those at the span's two ends may be counted on one side alone.
    report.at_most("share of the others' quotes without an alarm", without - of_broken, 0.01);
    Ok(())
}

/// Puts a record that cannot be read into the job's table.
fn spoil(cluster: &Cluster, job: &Job) -> Result<()> {
    let producer: BaseProducer = cluster.client().create()?;
    let table = job.table();
    producer
        .send(BaseRecord::to(&table).partition(BROKEN).key(KEY).payload("{}"))
        .map_err(|(error, _)| error)?;
    Ok(producer.flush(LIMIT)?)
}
