//! A thousand edits of the largest StockWatch there is, over partitions that are busy, idle and empty: what the table
//! holds of them, how long the worker is not ready, and what a restart costs then.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::program::Program;
use crate::quotes::paced;
use crate::reader::Reader;
use crate::report::{Report, median};
use crate::systems::{Bench, TOLERANCE};

const EDITS: u64 = 1000;
const TICKERS: usize = 1000;
const RESTARTS: usize = 3;
/// Two partitions have quotes all the time, two had one each, two have none.
const PARTITIONS: i32 = 6;
const BUSY: i32 = 2;
const IDLE: i32 = 4;
/// Quotes a second in all.
const RATE: u64 = 200;
const HTTP: u16 = 29_611;
const LIMIT: Duration = Duration::from_secs(60);
/// Bars of the product.
const LARGEST_RECORD: f64 = 256.0 * 1024.0;
const NOT_READY: f64 = 2.0;
const RESTART: f64 = 2.0;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let bench = &bench.with_partitions(PARTITIONS);
    let job = Job::with_raw(&bench.cluster, "largest")?;
    write(bench, &job, 0)?;
    let mut worker = bench.start_worker(&job, "a", HTTP)?;
    http::ready(&mut worker, HTTP, LIMIT)?;
    let feed = Feed::start(&bench.cluster, &job.raw)?;
    let (before, mut worker) = restart(bench, &job, worker)?;
    let watched = Unready::watch();
    for edit in 1..=EDITS {
        write(bench, &job, edit)?;
        http::applied(&mut worker, HTTP, edit + 1, LIMIT)?;
    }
    let longest = watched.longest();
    let (after, mut worker) = restart(bench, &job, worker)?;
    worker.check()?;
    feed.stop()?;
    let sizes = Reader::from_start(&bench.cluster, &[&job.table()])?.sizes()?;
    let largest = sizes.iter().max().copied().unwrap_or_default() as f64;
    let bytes = sizes.iter().sum::<usize>() as f64;
    report.note(format!(
        "{EDITS} edits of {TICKERS} tickers: restart to ready {before:.2} s before, {after:.2} s after; the table's largest \
         record {largest:.0} bytes, all that were written {:.1} MB",
        bytes / 1e6
    ));
    report.at_most("edits of the largest StockWatch: largest table record, bytes", largest, LARGEST_RECORD);
    report.at_most("the same: not ready for s at most", longest, NOT_READY);
    report.at_most("the same: restart to ready, s more than before", after - before, RESTART);
    Ok(())
}

/// SIGKILL, and the seconds from the next start to ready: the median, since how long the group misses the dead is chance.
fn restart(bench: &Bench, job: &Job, mut worker: Program) -> Result<(f64, Program)> {
    let mut seconds = Vec::new();
    for _ in 0..RESTARTS {
        worker.kill()?;
        worker = bench.start_worker(job, "a", HTTP)?;
        let ready = http::ready(&mut worker, HTTP, LIMIT)?;
        seconds.push((ready - worker.started()).as_secs_f64());
        eprintln!("largest: ready after {:.2} s", seconds[seconds.len() - 1]);
    }
    Ok((median(&mut seconds), worker))
}

/// A ticker's name: with 64 characters of which most take two bytes, the longest there is but for rarer scripts.
fn name(ticker: usize) -> String {
    format!("{ticker:04}{}", "ä".repeat(60))
}

/// Generation `edit` + 1: another window, another ticker.
fn write(bench: &Bench, job: &Job, edit: u64) -> Result<()> {
    let mut tickers = String::new();
    for ticker in 0..TICKERS {
        // The one that quotes never name comes and goes.
        let symbol = if ticker + 1 == TICKERS { format!("X{edit}") } else { format!("S{ticker}") };
        let name = if ticker + 1 == TICKERS { format!("x{edit}") } else { name(ticker) };
        writeln!(tickers, "    - {{symbol: \"{symbol}\", name: \"{name}\"}}")?;
    }
    bench.write_generation(job, Some(edit + 1), &tickers, &[5, 10 + (edit % 50) as u32], TOLERANCE)
}

/// Looks at `/readyz` all the time.
struct Unready {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Unready {
    fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut longest, mut since) = (Duration::ZERO, None::<Instant>);
            while !stopped.load(Ordering::Relaxed) {
                let ready = http::get(("127.0.0.1", HTTP), "/readyz").is_some();
                since = if ready { None } else { since.or_else(|| Some(Instant::now())) };
                longest = longest.max(since.map_or(Duration::ZERO, |since| since.elapsed()));
                thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest time in seconds for which it was not ready.
    fn longest(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_or(f64::NAN, |longest| longest.as_secs_f64())
    }
}

/// Quotes of busy partitions, after one for each idle one.
struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Feed {
    fn start(cluster: &Cluster, raw: &str) -> Result<Self> {
        let producer: BaseProducer = cluster.client().create()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, raw) = (stop.clone(), raw.to_owned());
        let thread = thread::spawn(move || {
            let send = |partition: i32, number: u64| -> Result<()> {
                let second = 1_700_000_000 + number;
                let name = name(usize::try_from(number)? % (TICKERS - 1));
                let value = format!(
                    r#"{{"entityname":"{name}","currentstockprice":{}.5,"lastupdatedate":{second}}}"#,
                    100 + number % 7
                );
                let record = BaseRecord::to(&raw).partition(partition).key(&name).payload(&value);
                producer.send(record).map_err(|(error, _)| error)?;
                producer.poll(Duration::ZERO);
                Ok(())
            };
            (BUSY..IDLE).try_for_each(|idle| send(idle, 0))?;
            paced(RATE, &stopped, |number| send(i32::try_from(number % BUSY as u64)?, number))?;
            producer.flush(LIMIT)?;
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the feed died")?
    }
}
