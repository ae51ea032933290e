//! CPU for each quote, quotes a second and peak memory: 1.1 M quotes of 1,000 tickers, a tenth of them
//! duplicates, from the earliest offset to the end.

use std::time::Duration;

use crate::bare::{Mode, Output};
use crate::error::Result;
use crate::job::Job;
use crate::program::Program;
use crate::quotes::Bulk;
use crate::report::{BARE, Column, Report, STREAMS, WORKER, median};
use crate::shape;
use crate::systems::{Bench, TOLERANCE};

/// Measured rounds; the programs run in turn, and the median counts: ratios are close to their bars, and a shared machine
/// is faster in some minutes than in others.
const ROUNDS: usize = 3;
/// Rounds before those, of the worker and the floor: a fresh broker answers fetches in small pieces, which costs readers
/// a fifth more at first.
const WARMING: usize = 4;
/// Kafka Streams runs in each of these heaps, and the better of its figures counts.
const HEAPS: [&str; 2] = ["-Xmx1g", "-Xmx256m"];
/// Kafka Streams needs minutes where others are at work on the machine.
const LIMIT: Duration = Duration::from_secs(600);
const HTTP: u16 = 29_601;
const RAW: &str = "catch-up.raw";

/// One program's figures.
#[derive(Debug, Default)]
struct Figures {
    cpu: Vec<f64>,
    rate: Vec<f64>,
    peak: Vec<f64>,
}

impl Figures {
    /// Waits until `program` has committed everything, and takes its figures.
    fn take(&mut self, bench: &Bench, name: &str, mut program: Program, group: &str) -> Result<()> {
        let done = bench.cluster.catch_up(&mut program, group, RAW, LIMIT)?;
        let cpu = program.process().cpu_seconds()? / done.records * 1e6;
        let peak = program.process().peak_memory()?;
        eprintln!(
            "catching up, {name}: {cpu:.2} CPU s/M quotes, {:.0} quotes/s, peak {peak:.0} MB",
            done.rate
        );
        program.kill()?;
        self.cpu.push(cpu);
        self.rate.push(done.rate);
        self.peak.push(peak);
        Ok(())
    }
}

/// The best of each figure's medians over a program's `variants`.
fn report_best(variants: &mut [Figures], report: &mut Report, row: &'static str) {
    let mut medians = |figures: fn(&mut Figures) -> &mut Vec<f64>| -> Vec<f64> {
        variants.iter_mut().map(|variant| median(figures(variant))).collect()
    };
    let least = |figures: Vec<f64>| figures.into_iter().fold(f64::INFINITY, f64::min);
    report.figure(row, Column::Cpu, least(medians(|f| &mut f.cpu)));
    report.figure(row, Column::Peak, least(medians(|f| &mut f.peak)));
    report.figure(row, Column::Rate, medians(|f| &mut f.rate).into_iter().fold(0.0, f64::max));
}

/// Measures the worker (if `worker`), Kafka Streams and the floor.
pub(crate) fn run(bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    let cluster = &bench.cluster;
    cluster.create(&[RAW])?;
    let bulk = Bulk { tickers: 0..1000, steps: 0..1000, duplicates_percent: 10, ..Bulk::default() };
    let written = bulk.write(cluster, RAW)?;
    report.note(format!(
        "catching up: {written} records; Kafka Streams in heaps of {HEAPS:?}, its better figures"
    ));
    let mut outputs: Option<Vec<Output>> = None;
    let (mut workers, mut floors) = (Figures::default(), Figures::default());
    let mut streams: [Figures; HEAPS.len()] = Default::default();
    for round in 0..WARMING + ROUNDS {
        if round == WARMING {
            (workers, floors) = (Figures::default(), Figures::default());
        }
        if worker {
            let job = Job::new(cluster, &format!("catch-up.worker-{round}"), RAW)?;
            bench.write_spec(&job, TOLERANCE)?;
            let program = bench.start_worker(&job, "a", HTTP)?;
            workers.take(bench, WORKER, program, &job.name)?;
            if outputs.is_none() {
                let observed = shape::observe(cluster, &job, written)?;
                report
                    .note(format!("the worker's output for each raw record: {}", shape::describe(&observed)));
                outputs = Some(observed);
            }
        }
        let job = Job::new(cluster, &format!("catch-up.bare-{round}"), RAW)?;
        let outputs = shape::rename(outputs.as_deref().unwrap_or(&shape::usual(10.0 / 11.0, 0.0)), &job);
        cluster.create(&[&job.table()])?;
        floors.take(bench, BARE, bench.start_bare(&job, &outputs, Mode::Cpu)?, &job.name)?;
        if round < WARMING {
            continue;
        }
        for (heap, figures) in HEAPS.iter().zip(&mut streams) {
            let job = Job::new(cluster, &format!("catch-up.streams-{round}{heap}"), RAW)?;
            let program = bench.start_streams(&job, &[heap])?;
            figures.take(bench, STREAMS, program, &Bench::streams_group(&job))?;
        }
    }
    if worker {
        report_best(&mut [workers], report, WORKER);
    }
    report_best(&mut [floors], report, BARE);
    report_best(&mut streams, report, STREAMS);
    report.ratio_at_most(Column::Cpu, STREAMS, 0.125);
    report.ratio_at_most(Column::Cpu, BARE, 1.2);
    report.ratio_at_least(Column::Rate, STREAMS, 4.0);
    report.ratio_at_most(Column::Peak, STREAMS, 0.25);
    Ok(())
}
