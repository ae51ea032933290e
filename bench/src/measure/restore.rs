//! From SIGKILL to the first output after a restart, with 100,000 entities of 15 quotes each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::NANO;
use stockwatch_core::wire::AverageRecord;

use crate::error::Result;
use crate::job::Job;
use crate::program::Program;
use crate::quotes::{Bulk, FIRST_SECOND};
use crate::reader::Reader;
use crate::report::{Column, Report, STREAMS, WORKER};
use crate::systems::{Bench, TOLERANCE};

const ENTITIES: u64 = 100_000;
const STEPS: u64 = 15;
/// Entities that are quoted after the restart: enough that every partition has some.
const PROBES: u64 = 50;
const LIMIT: Duration = Duration::from_secs(300);
const HTTP: u16 = 29_604;

/// `session.timeout.ms`, for which a group waits for a dead member: 45 s by default, 6 s in the worker. The bar is
/// against Kafka Streams with its defaults; with the worker's timeout it is measured as well.
const SAME_SESSION: &str = "-Dstreams.session.timeout.ms=6000";

/// Measures the worker (if `worker`) and Kafka Streams.
pub(crate) fn run(bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    let heap = "-Xmx1g";
    if worker {
        let start = |job: &Job| {
            bench.write_spec(job, TOLERANCE)?;
            bench.start_worker(job, "a", HTTP)
        };
        let seconds = measure(bench, report, WORKER, |job| job.name.clone(), start)?;
        report.figure(WORKER, Column::Restore, seconds);
    }
    let group = Bench::streams_group;
    let seconds = measure(bench, report, STREAMS, group, |job| bench.start_streams(job, &[heap]))?;
    report.figure(STREAMS, Column::Restore, seconds);
    let short = |job: &Job| bench.start_streams(job, &[heap, SAME_SESSION]);
    measure(bench, report, "kafka streams, sessions of 6 s", group, short)?;
    report.ratio_at_most(Column::Restore, STREAMS, 0.2);
    Ok(())
}

/// The seconds to the first output.
fn measure(
    bench: &Bench,
    report: &mut Report,
    row: &str,
    group: impl Fn(&Job) -> String,
    start: impl Fn(&Job) -> Result<Program>,
) -> Result<f64> {
    let cluster = &bench.cluster;
    let job = Job::with_raw(cluster, &format!("restore.{}", row.replace([' ', ','], "-")))?;
    let quotes = |tickers, steps| Bulk { tickers: 0..tickers, steps, ..Bulk::default() };
    quotes(ENTITIES, 0..STEPS).write(cluster, &job.raw)?;
    let mut program = start(&job)?;
    cluster.catch_up(&mut program, &group(&job), &job.raw, LIMIT)?;
    // Killed at work, with state that only the log and the checkpoints or changelogs have.
    quotes(5000, STEPS..STEPS + 1).write(cluster, &job.raw)?;
    let killed = program.kill()?;
    let reader = Reader::from_now(cluster, &[&job.averages()])?;
    let mut program = start(&job)?;
    quotes(PROBES, STEPS + 1..STEPS + 2).write(cluster, &job.raw)?;
    let probe = i64::try_from(FIRST_SECOND + 60 * (STEPS + 1))? * NANO;
    let (mut first, mut counts, mut partitions) = (None, BTreeSet::new(), BTreeSet::new());
    let all = reader.find("output of every partition", LIMIT, |record| {
        first.get_or_insert_with(Instant::now);
        let value = record.payload()?;
        // Averages of Kafka Streams have neither time nor count; the ticker alone tells them from those of the burst.
        let average = AverageRecord::parse(value).ok();
        let entity = match &average {
            Some(average) => average.entity.clone(),
            None => streams_entity(value)?,
        };
        let ticker: u64 = entity.strip_prefix('T')?.parse().ok()?;
        if ticker < PROBES && average.as_ref().is_none_or(|average| average.time == probe) {
            partitions.insert(record.partition());
            counts.extend(average.filter(|average| average.minutes == 15).map(|average| average.count));
        }
        (partitions.len() == bench.cluster.partitions as usize).then(Instant::now)
    });
    program.check()?;
    let all = (all? - killed).as_secs_f64();
    let first = (first.unwrap_or(killed) - killed).as_secs_f64();
    report.note(format!(
        "restore, {row}: {first:.2} s to the first output, {all:.2} s until every partition answered"
    ));
    if row == WORKER && counts != BTreeSet::from([STEPS]) {
        return Err(format!("restored windows hold {counts:?} quotes and not {STEPS}").into());
    }
    Ok(first)
}

/// The entity of an average that Kafka Streams wrote.
fn streams_entity(value: &[u8]) -> Option<String> {
    let average: serde_json::Value = serde_json::from_slice(value).ok()?;
    Some(average.get("entityname")?.as_str()?.to_owned())
}
