//! From the rename of the file to the first alarm that was decided with its tolerance, beside the latency of all alarms
//! meanwhile, and whether any quote was lost or judged twice on the way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::NANO;
use stockwatch_core::wire::{AlarmRecord, AverageRecord};

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::meter::Meter;
use crate::quotes::Feed;
use crate::reader::Reader;
use crate::report::{Report, percentile};
use crate::systems::Bench;

const CHANGES: u64 = 50;
const RATE: u64 = 1000;
const HTTP: u16 = 29_609;
const LIMIT: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(10);
/// How much longer than an alarm a change may take, in milliseconds.
const ALLOWANCE: f64 = 50.0;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let job = Job::with_raw(&bench.cluster, "tolerance")?;
    bench.write_spec(&job, "0.9%")?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    http::ready(&mut program, HTTP, LIMIT)?;
    let meter = Meter::start(&bench.cluster, &job, RATE)?;
    std::thread::sleep(WARM_UP);
    let alarms = Reader::from_now(&bench.cluster, &[&job.alarms()])?;
    let mut millis = Vec::new();
    let begun = Instant::now();
    for change in 0..CHANGES {
        // Pauses of different lengths: edits must not fall into step with a timer of the program.
        std::thread::sleep(Duration::from_millis(100 + change * 37 % 100));
        let tolerance = format!("0.{:03}%", 100 + change);
        let written = Instant::now();
        bench.write_spec(&job, &tolerance)?;
        let decided = alarms.find("alarm with the new tolerance", LIMIT, |record| {
            let alarm = AlarmRecord::parse(record.payload()?).ok()?;
            (alarm.tolerance == tolerance).then(Instant::now)
        })?;
        millis.push((decided - written).as_secs_f64() * 1e3);
    }
    let ended = Instant::now();
    let measured = meter.stop()?;
    let sent = measured.sent() as u64;
    let (lost, twice) = judged(bench, &job, sent)?;
    program.check()?;
    let (p50, p99) = (percentile(&mut millis, 50), percentile(&mut millis, 99));
    let latency = percentile(&mut measured.between(begun, ended), 99);
    report.note(format!(
        "changed tolerance: {CHANGES} changes, p50 {p50:.1} ms, p99 {p99:.1} ms to the first alarm; p99 of all alarms \
         {latency:.1} ms; {sent} quotes, {lost} averages lost, {twice} computed twice"
    ));
    report.at_most("changed tolerance to the first alarm by it, p99 ms", p99, latency + ALLOWANCE);
    report.at_most("averages lost or computed twice over the changes", lost + twice, 0.0);
    Ok(())
}

/// How many of the averages of `sent` quotes are missing, and how many there are twice.
fn judged(bench: &Bench, job: &Job, sent: u64) -> Result<(f64, f64)> {
    let averages = Reader::from_start(&bench.cluster, &[&job.averages()])?;
    let mut seen: HashMap<(u64, u32), u32> = HashMap::new();
    let mut count = |value: &[u8]| {
        let average = AverageRecord::parse(value).ok()?;
        let number = Feed::number(&average.entity, average.time / NANO)?;
        *seen.entry((number, average.minutes)).or_default() += 1;
        Some(seen.len() as u64)
    };
    let _ =
        averages.find("all averages", LIMIT, |record| (count(record.payload()?)? == sent * 3).then_some(()));
    // A repeated average would come after the first one.
    averages.watch(Duration::from_secs(2), |record| {
        count(record.payload().unwrap_or_default());
    })?;
    let twice = seen.values().filter(|times| **times > 1).count();
    Ok(((sent * 3 - seen.len() as u64) as f64, twice as f64))
}
