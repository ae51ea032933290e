//! What-if over a day of 1,000 tickers: the program with one candidate and with forty, in turn with a plain consumer of the
//! same records; then an edit that a worker evaluates beside its loop, while alarms of other tickers are awaited.

use std::fs::File;
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
        let config = http::get(("127.0.0.1", HTTP), "/config").unwrap_or_default();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap_or_default();
        if config["lastEdit"].is_object() {
            break (Instant::now(), config["lastEdit"].clone());
        }
        if edited.elapsed() > LIMIT {
            return Err(format!("the edit is not evaluated within {LIMIT:?}").into());
        }
        sleep(10 * LOOK);
    };
    let latencies = meter.stop()?;
    let peak = program.process().peak_memory()?;
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
