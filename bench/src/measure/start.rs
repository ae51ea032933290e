//! From a program's start to its first committed output: quotes wait in its raw topic, all topics that it needs
//! are there, and its group is new.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::program::Program;
use crate::quotes::Bulk;
use crate::reader::Reader;
use crate::report::{Column, Report, STREAMS, WORKER, median};
use crate::systems::{Bench, TOLERANCE};

const ROUNDS: usize = 9;
const LIMIT: Duration = Duration::from_secs(60);
const HTTP: u16 = 29_603;

/// Measures the worker (if `worker`) and Kafka Streams in turn, so that both meet the same broker; the first
/// round warms it.
pub(crate) fn run(bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    let (mut ready, mut first, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        if worker {
            let seconds = start(bench, &format!("start.worker-{round}"), |job| {
                bench.cluster.create(&[&job.dead()])?;
                bench.cluster.create_with(&[&job.table()], &[("cleanup.policy", "compact")])?;
                bench.write_spec(job, TOLERANCE)?;
                let mut program = bench.start_worker(job, "a", HTTP)?;
                let at = http::ready(&mut program, HTTP, LIMIT)?;
                ready.push((at - program.started()).as_secs_f64());
                Ok(program)
            })?;
            first.push(seconds);
        }
        peer.push(start(bench, &format!("start.streams-{round}"), |job| {
            bench.cluster.create(&Bench::streams_changelogs(job).each_ref().map(String::as_str))?;
            bench.start_streams(job, &["-Xmx1g"])
        })?);
    }
    for seconds in [&mut ready, &mut first, &mut peer].into_iter().filter(|s| !s.is_empty()) {
        seconds.remove(0);
    }
    if worker {
        report.note(format!("start, {WORKER}: {ready:.3?} s to /readyz, {first:.3?} s to the first output"));
        report.figure(WORKER, Column::Start, median(&mut first));
    }
    report.note(format!("start, {STREAMS}: {peer:.3?} s to the first output"));
    report.figure(STREAMS, Column::Start, median(&mut peer));
    report.ratio_at_most(Column::Start, STREAMS, 0.1);
    Ok(())
}

/// The seconds to the first output.
fn start(bench: &Bench, name: &str, start: impl FnOnce(&Job) -> Result<Program>) -> Result<f64> {
    let job = Job::with_raw(&bench.cluster, name)?;
    Bulk { tickers: 0..10, steps: 0..10, ..Bulk::default() }.write(&bench.cluster, &job.raw)?;
    let reader = Reader::from_start(&bench.cluster, &[&job.averages()])?;
    // On a thread, so that nothing else delays the moment when it is seen.
    let seen = std::thread::spawn(move || reader.find("average", LIMIT, |_| Some(Instant::now())));
    let program = start(&job)?;
    let at = seen.join().map_err(|_| "the reader's thread panicked")??;
    Ok((at - program.started()).as_secs_f64())
}
