//! A table partition that cannot be read: the latency of the other partitions' alarms, with all well before it. A stop of the
//! disk for a quarter of a second makes the p99 of 20 s: medians of several spans are compared.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::meter::Meter;
use crate::report::{Report, median, percentile};
use crate::systems::{Bench, TOLERANCE};

const RATE: u64 = 1000;
/// Measured with all well, and with one partition unread; each after as much that is not.
const SPAN: Duration = Duration::from_secs(20);
/// Parts of a span, each with a p99 of its own. Odd, so that one of them is the median.
const PARTS: u32 = 5;
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
    let last = cluster.ends(&job.raw)?;
    let latencies = meter.stop()?;
    program.check()?;

    let parts = |span: Instant| {
        let part = |n| latencies.between(span + n * SPAN / PARTS, span + (n + 1) * SPAN / PARTS);
        (0..PARTS).map(part).collect::<Vec<_>>()
    };
    let p99s = |parts: Vec<Vec<f64>>| parts.into_iter().map(|mut part| percentile(&mut part, 99)).collect();
    let answered = |part: &Vec<f64>| part.iter().copied().filter(|latency| latency.is_finite()).collect();
    let mut before: Vec<f64> = p99s(parts(broken - SPAN));
    let all = parts(from);
    let others: Vec<Vec<f64>> = all.iter().map(answered).collect();
    let (sent, with): (usize, usize) = (all.iter().map(Vec::len).sum(), others.iter().map(Vec::len).sum());
    let without = (sent - with) as f64 / sent as f64;
    let mut meanwhile: Vec<f64> = p99s(others);
    let written: Vec<f64> = first.iter().zip(&last).map(|(first, last)| (last - first) as f64).collect();
    let of_broken = written[usize::try_from(BROKEN)?] / written.iter().sum::<f64>();
    report.note(format!(
        "one partition of {} cannot be read: p99 of alarms {before:.1?} ms before, {meanwhile:.1?} ms of the others; \
         {:.1} % of the quotes are of it, {:.1} % have no alarm",
        cluster.partitions,
        100.0 * of_broken,
        100.0 * without
    ));
    report.at_most(
        "alarm latency of the other partitions, p99 ms",
        median(&mut meanwhile),
        median(&mut before) + ALLOWANCE,
    );
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
