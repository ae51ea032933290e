//! What workers cost while their broker is away, and what stays open of it afterwards.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use stockwatch_tests::Broker;

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::program::Program;
use crate::report::Report;
use crate::systems::Bench;

const WORKERS: u16 = 10;
const HTTP: u16 = 29_610;
/// Duration of each measurement of CPU time.
const SPAN: Duration = Duration::from_secs(60);
/// After readiness: connections that restored partitions are closed by then.
const SETTLED: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(120);
/// Files that may stay open: the quotes' producer keeps the connection to the bootstrap address over which it came back,
/// a socket and the pipe that wakes its thread.
const KEPT: f64 = 3.0;

/// How a broker goes and comes back.
type Way = (&'static str, fn(&Broker), fn(&Broker));

const WAYS: [Way; 3] = [
    ("killed", Broker::kill, Broker::restart),
    ("stopped", Broker::stop, Broker::restart),
    ("frozen", Broker::pause, Broker::resume),
];

/// Measures the worker, with a broker that it starts; true if every bar holds.
pub(crate) fn run(worker: PathBuf) -> Result<bool> {
    let mut report = Report::begin()?;
    let broker = Broker::start();
    let dir = tempfile::Builder::new().prefix("stockwatch-bench-").tempdir()?;
    let cluster = Cluster::at(broker.bootstrap());
    let bench = Bench { cluster, dir: dir.path().to_owned(), worker, classes: String::new() };
    let start = |n: u16| {
        let name = format!("outage-{n}");
        bench.run_worker(&bench.write_simulated(&name)?, &name, HTTP + n)
    };
    let mut workers = (0..WORKERS).map(start).collect::<Result<Vec<_>>>()?;
    settle(&mut workers)?;
    let open = total(&workers, |worker| worker.process().open_files())?;
    let at_work = cpu(&mut workers)?;
    report.note(format!("{WORKERS} workers at work: {:.1} ms of CPU a second each", milliseconds(at_work)));
    for (name, strike, mend) in WAYS {
        strike(&broker);
        let away = cpu(&mut workers)?;
        mend(&broker);
        settle(&mut workers)?;
        report.note(format!("with the broker {name}: {:.1} ms", milliseconds(away)));
        report.at_most(&format!("CPU with the broker {name}, against at work"), away / at_work, 1.0);
        let still_open = total(&workers, |worker| worker.process().open_files())?;
        let more = (still_open - open) / f64::from(WORKERS);
        report.at_most(&format!("files of a worker after it was {name}, less before"), more, KEPT);
    }
    Ok(report.print())
}

/// Waits until all workers are ready and idle again.
fn settle(workers: &mut [Program]) -> Result<()> {
    for (worker, port) in workers.iter_mut().zip(HTTP..) {
        http::ready(worker, port, LIMIT)?;
    }
    sleep(SETTLED);
    Ok(())
}

/// CPU seconds of all workers from now on, for `SPAN`.
fn cpu(workers: &mut [Program]) -> Result<f64> {
    let before = total(workers, |worker| worker.process().cpu_seconds())?;
    sleep(SPAN);
    workers.iter_mut().try_for_each(Program::check)?;
    Ok(total(workers, |worker| worker.process().cpu_seconds())? - before)
}

fn total(workers: &[Program], of: impl Fn(&Program) -> Result<f64>) -> Result<f64> {
    workers.iter().map(of).sum()
}

/// Of one worker in a second.
fn milliseconds(seconds: f64) -> f64 {
    seconds * 1e3 / SPAN.as_secs_f64() / f64::from(WORKERS)
}
