//! What-if over a day of 1,000 tickers: the program with one candidate and with forty, in turn with a plain consumer of the
//! same records; then an edit that a worker evaluates beside its loop, while alarms of other tickers are awaited; then
//! edits that are evaluated in turn with edits that are not, each until the worker computes with it.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::meter::Meter;
use crate::process::Process;
use crate::program::Program;
use crate::quotes::{Bulk, now};
use crate::report::{Report, median, percentile};
use crate::systems::{Bench, TOLERANCE};

const TICKERS: u64 = 1000;
/// Minutes that are judged, and those before them that fill the windows.
const MINUTES: u64 = 24 * 60;
const BEFORE: u64 = 40;
const ROUNDS: usize = 5;
/// A fresh broker answers fetches in small pieces.
const WARMING: usize = 2;
const LIMIT: Duration = Duration::from_secs(120);
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Quotes a second while an edit is evaluated.
const RATE: u64 = 1000;
/// Measured before the edit, after as much that is not.
const CALM: Duration = Duration::from_secs(20);
/// How much later an edit that is evaluated may be applied than one that is not, in milliseconds.
const ALLOWANCE: f64 = 50.0;
const HTTP: u16 = 29_624;

/// Measures the worker's program.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let cluster = &bench.cluster;
    let job = Job::with_raw(cluster, "whatif")?;
    let since = Some(now() - 60 * (MINUTES + BEFORE));
    let bulk = Bulk { tickers: 0..TICKERS, steps: 0..MINUTES + BEFORE, since, ..Bulk::default() };
    let written = bulk.write(cluster, &job.raw)?;
    bench.write_spec(&job, TOLERANCE)?;
    let (mut plain, mut one, mut forty, mut peak) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARMING + ROUNDS {
        let times = [
            read_all(cluster, &job.raw, written)?,
            judge(bench, &job, &["--set", "5m=0.2%"])?.0,
            read_all(cluster, &job.raw, written)?,
            judge(bench, &job, &["--sweep", "5m=0.05%..1%"])?.0,
        ];
        if round < WARMING {
            continue;
        }
        plain.extend([times[0], times[2]]);
        one.push(times[1]);
        forty.push(times[3]);
        peak.push(judge(bench, &job, &["--sweep", "5m=0.05%..1%"])?.1);
    }
    let [plain, one, forty, peak] = [plain, one, forty, peak].map(|mut figures| median(&mut figures));
    report.note(format!(
        "what-if of {} quotes: {one:.2} s with one candidate, {forty:.2} s with forty, peak {peak:.0} MB; a plain \
         consumer of the same records {plain:.2} s",
        MINUTES * TICKERS
    ));
    report.at_most("what-if, one candidate, against a plain consumer", one / plain, 2.0);
    report.at_most("what-if, forty tolerances, against a plain consumer", forty / plain, 3.0);
    report.at_most("what-if, peak MB with 1,000 tickers", peak, 100.0);
    after_edit(bench, report, &job)
}

/// From an edit of a tolerance to the evaluation of the day, and the latency of alarms before and meanwhile.
fn after_edit(bench: &Bench, report: &mut Report, job: &Job) -> Result<()> {
    let cluster = &bench.cluster;
    let mut program = bench.start_worker(job, "a", HTTP)?;
    cluster.catch_up(&mut program, &job.name, &job.raw, LIMIT)?;
    http::ready(&mut program, HTTP, LIMIT)?;
    let meter = Meter::start(cluster, job, RATE)?;
    sleep(2 * CALM);
    let edited = Instant::now();
    bench.write_spec(job, "0.9%")?;
    let (evaluated, edit) = loop {
        program.check()?;
        let edit = config()["lastEdit"].take();
        if edit.is_object() {
            break (Instant::now(), edit);
        }
        if edited.elapsed() > LIMIT {
            return Err(format!("the edit is not evaluated within {LIMIT:?}").into());
        }
        sleep(10 * LOOK);
    };
    let peak = program.process().peak_memory()?;
    time_to_apply(bench, report, job, &mut program)?;
    let latencies = meter.stop()?;
    program.check()?;
    let seconds = (evaluated - edited).as_secs_f64();
    let before = percentile(&mut latencies.between(edited - CALM, edited), 99);
    let meanwhile = percentile(&mut latencies.between(edited, evaluated), 99);
    report.note(format!(
        "an edit: evaluated after {seconds:.1} s, the worker's peak {peak:.0} MB; p99 of alarms {before:.1} ms before, \
         {meanwhile:.1} ms until then"
    ));
    report.at_most("edit to the evaluation of its day, s", seconds, 60.0);
    let partial = f64::from(edit["complete"] != true);
    report.at_most("evaluations that are not complete", partial, 0.0);
    report.at_most("p99 of alarms while an edit is evaluated, against before", meanwhile / before, 1.5);
    Ok(())
}

/// From edits to `appliedGeneration`: of a tolerance, which is evaluated, and of how often quotes are expected, which is
/// not, in turn.
fn time_to_apply(bench: &Bench, report: &mut Report, job: &Job, program: &mut Program) -> Result<()> {
    let (mut evaluated, mut other) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let tolerance = format!("0.{}%", 80 + round);
        evaluated.push(millis_to_apply(program, || bench.write_spec(job, &tolerance))?);
        other.push(millis_to_apply(program, || expect_quotes(bench, job))?);
    }
    let (evaluated, other) = (median(&mut evaluated), median(&mut other));
    report.note(format!(
        "edits to appliedGeneration, medians of {ROUNDS}: {evaluated:.1} ms of those that are evaluated, {other:.1} ms of \
         others"
    ));
    report.at_most("an evaluated edit is applied later than another, ms", evaluated - other, ALLOWANCE);
    Ok(())
}

/// Milliseconds from an edit, made while nothing is evaluated, until the worker computes with it.
fn millis_to_apply(program: &mut Program, edit: impl FnOnce() -> Result<()>) -> Result<f64> {
    let generation = settled(program)? + 1;
    let edited = Instant::now();
    edit()?;
    let applied = http::applied(program, HTTP, generation, LIMIT)?;
    Ok((applied - edited).as_secs_f64() * 1e3)
}

/// Waits until the last edit is applied and evaluated; returns its generation.
fn settled(program: &mut Program) -> Result<u64> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        program.check()?;
        let config = config();
        let applied = config["appliedGeneration"].as_u64();
        if let Some(generation) = applied
            && config["evaluating"] == false
            && config["generation"] == generation
        {
            return Ok(generation);
        }
        sleep(10 * LOOK);
    }
    Err(format!("an edit is not evaluated within {LIMIT:?}").into())
}

/// What the worker's `/config` says; null without an answer.
fn config() -> serde_json::Value {
    let text = http::get(("127.0.0.1", HTTP), "/config").unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Edits the spec file that [`Bench::write_spec`] wrote in what no evaluation looks at.
fn expect_quotes(bench: &Bench, job: &Job) -> Result<()> {
    let file = bench.spec_file(job);
    let text = fs::read_to_string(&file)?.replace("external: {}", "external: {expectEvery: 10m}");
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, file)?)
}

/// Seconds that a consumer without a group takes to read every record.
fn read_all(cluster: &Cluster, topic: &str, records: u64) -> Result<f64> {
    let started = Instant::now();
    let mut config = cluster.client();
    config.set("group.id", "bench-plain").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..cluster.partitions {
        partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let (mut left, mut bytes) = (records, 0);
    while left > 0 {
        if started.elapsed() > LIMIT {
            return Err(format!("{left} records are not read within {LIMIT:?}").into());
        }
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            bytes += message?.payload_len();
            left -= 1;
        }
    }
    std::hint::black_box(bytes);
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds that the program takes to answer, and its peak memory in megabytes.
fn judge(bench: &Bench, job: &Job, candidates: &[&str]) -> Result<(f64, f64)> {
    let path = bench.dir.join("whatif.json");
    let minutes = format!("{MINUTES}m");
    let started = Instant::now();
    let mut child = Command::new(&bench.worker)
        .args(["whatif", "--output", "json", "--since", &minutes, "--watch-file"])
        .arg(bench.spec_file(job))
        .args(candidates)
        .stdin(Stdio::null())
        .stdout(File::create(&path)?)
        .spawn()?;
    let mut peak = 0.0_f64;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // None once it has ended.
        peak = peak.max(Process(child.id()).peak_memory().unwrap_or(0.0));
        sleep(LOOK);
    };
    let seconds = started.elapsed().as_secs_f64();
    let answer: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let quotes = answer["quotes"]["count"].as_u64().unwrap_or(0);
    // The clock went on since the quotes were written.
    if !status.success() || quotes < (MINUTES - BEFORE) * TICKERS {
        return Err(format!("whatif ended with {status} and {quotes} quotes").into());
    }
    Ok((seconds, peak))
}
