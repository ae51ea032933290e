//! The worker fed by Yahoo's stream, over TLS: what the whole of it costs, from the socket to its topics, and that each
//! tick of regular hours is in the raw topic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::message::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use stockwatch_tests::{Act, Broker, FakeYahoo, Front, chart, pricing};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::process::Process;
use crate::quotes::{now, paced};
use crate::reader::Reader;
use crate::report::Report;
use crate::systems::Bench;

const TICKERS: u64 = 1000;
/// Ticks a second: five of each ticker.
const RATE: u64 = 5 * TICKERS;
/// One frame in so many is from after the close; prime to `TICKERS`, so that each ticker has some.
const AFTER_CLOSE: u64 = 51;
const PARTITIONS: i32 = 6;
const HTTP: u16 = 29_630;
const LIMIT: Duration = Duration::from_secs(180);
/// Between two lines about how far it is.
const WORD: Duration = Duration::from_secs(30);
const RAW: &str = "stream.raw";
const PRODUCED: &str = "stockwatch_quotes_produced_total";
/// Bars of the product, for the whole process.
const CORES: f64 = 0.5;
const MEGABYTES: f64 = 60.0;
/// A worker that does not keep up spends less than it should: its figures say nothing.
const BEHIND: f64 = 2.0;

/// How long.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Minutes of ticks.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Measures the worker, with a broker and a stream that it starts; true if every bar holds.
pub(crate) fn run(worker: PathBuf, arguments: &Arguments) -> Result<bool> {
    let mut report = Report::begin()?;
    let broker = Broker::start();
    let dir = tempfile::Builder::new().prefix("stockwatch-bench-").tempdir()?;
    let cluster = Cluster { partitions: PARTITIONS, ..Cluster::at(broker.bootstrap()) };
    cluster.create(&[RAW])?;
    let yahoo = FakeYahoo::start();
    let sparks_time = now() - 60;
    (0..TICKERS).map(symbol).for_each(|s| yahoo.script(&s, [chart(&s, "USD", "1.25", sparks_time)]));
    let front = Front::of(&yahoo.url());
    let file = write(dir.path(), broker.bootstrap(), &front)?;
    let bench = Bench { cluster, dir: dir.path().to_owned(), worker, classes: String::new() };
    let mut program = bench.run_worker_that_trusts(Some(&front.authority()), &file, "stream", HTTP)?;
    http::ready(&mut program, HTTP, LIMIT)?;
    // By then sparks have told every currency.
    let told = |told: f64| told >= TICKERS as f64;
    http::metric_until(&mut program, HTTP, PRODUCED, LIMIT, told)?;

    let threads = Threads::of(program.process())?;
    let (began, cpu) = (Instant::now(), program.process().cpu_seconds()?);
    let feed = Feed::start(&yahoo);
    let span = Duration::from_secs(60 * arguments.minutes);
    while let Some(left) = span.checked_sub(began.elapsed()) {
        sleep(left.min(WORD));
        program.check()?;
        let memory = program.process().resident_memory()?;
        eprintln!("stream: {:.0} s, {memory:.1} MB", began.elapsed().as_secs_f64());
    }
    let cores = (program.process().cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    report.note(format!(
        "shares of a core by thread: {}",
        threads.shares(&Threads::of(program.process())?, began.elapsed())
    ));
    let ticks = feed.stop()?;
    let wanted = (TICKERS + ticks.regular()) as f64;
    let behind = (wanted - http::metric(HTTP, PRODUCED).unwrap_or_default()) / RATE as f64;
    // What has not come by then is missing.
    let _ = http::metric_until(&mut program, HTTP, PRODUCED, LIMIT, |written| written >= wanted);
    let memory = program.process().peak_memory()?;
    drop(program);

    let found = Found::read(&bench.cluster, &ticks)?;
    let minutes = arguments.minutes;
    report.note(format!(
        "{minutes} min of {TICKERS} tickers × {} ticks a second: {} frames of regular hours, {} found once, {} more than once",
        RATE / TICKERS,
        ticks.regular(),
        found.once,
        found.again
    ));
    report.at_most("stream: share of a core", cores, CORES);
    report.at_most("stream: peak memory, MB", memory, MEGABYTES);
    report.at_most("stream: seconds behind at the end", behind, BEHIND);
    report.at_most("stream: connections", yahoo.stream().joined() as f64, 1.0);
    report.at_most("stream: regular-hours frames that are not in raw-input", found.missing as f64, 0.0);
    report.at_most("stream: records of raw-input that no such frame had", found.strange as f64, 0.0);
    report.at_most("stream: records without a currency", found.bare as f64, 0.0);
    Ok(report.print())
}

fn symbol(ticker: u64) -> String {
    format!("S{ticker:03}")
}

/// Writes the StockWatch; gives its file.
fn write(dir: &Path, bootstrap: &str, front: &Front) -> Result<PathBuf> {
    let tickers: Vec<String> = (0..TICKERS).map(|i| format!("{{symbol: {}}}", symbol(i))).collect();
    let text = format!(
        r#"apiVersion: stockwatch.dev/v1alpha1
kind: StockWatch
metadata: {{name: stream, namespace: bench}}
spec:
  tickers: [{}]
  windows: [{{duration: 1m, tolerance: "1%"}}]
  source: {{yahoo: {{mode: stream, interval: 60s, baseUrl: "{}"}}}}
  kafka:
    bootstrapServers: {bootstrap}
    groupId: bench.stream
    topics:
      rawInput: {{name: {RAW}, partitions: {PARTITIONS}}}
      afterDedupStorageTable: {{partitions: {PARTITIONS}}}
"#,
        tickers.join(", "),
        front.url()
    );
    let file = dir.join("stream.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// What the stream sent: everything follows from a frame's number.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    /// The time of frame 0, in seconds since 1970.
    since: u64,
    /// How many frames.
    count: u64,
}

impl Ticks {
    /// From a ticker's tick to its next one, in milliseconds.
    const STEP: u64 = 1000 * TICKERS / RATE;

    fn is_regular(number: u64) -> bool {
        number % AFTER_CLOSE != AFTER_CLOSE - 1
    }

    /// In milliseconds since 1970.
    fn time(self, number: u64) -> u64 {
        1000 * self.since + number / TICKERS * Self::STEP
    }

    /// In cents: few enough digits for a float of 32 bits.
    fn price(number: u64) -> u16 {
        10_000 + u16::try_from(number * 37 % 5000).unwrap_or_default()
    }

    fn frame(self, number: u64) -> String {
        let hours = if Self::is_regular(number) { 1 } else { 2 };
        let price = f32::from(Self::price(number)) / 100.0;
        pricing(&symbol(number % TICKERS), price, self.time(number), hours)
    }

    fn regular(self) -> u64 {
        (0..self.count).filter(|number| Self::is_regular(*number)).count() as u64
    }

    /// The number of the frame that became this record.
    fn number(self, record: &Record<'_>) -> Option<u64> {
        let ticker: u64 = record.symbol.strip_prefix('S')?.parse().ok()?;
        let seconds: f64 = record.lastupdatedate.get().parse().ok()?;
        let millis = ((seconds - self.since as f64) * 1000.0).round();
        let number = (millis >= 0.0).then_some(millis as u64 / Self::STEP * TICKERS + ticker)?;
        let cents = Self::price(number);
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let is_price = record.currentstockprice.get() == price.trim_end_matches('0').trim_end_matches('.');
        (number < self.count && Self::is_regular(number) && is_price).then_some(number)
    }
}

/// Ticks as they come, one after another.
struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Ticks>>,
}

impl Feed {
    fn start(yahoo: &FakeYahoo) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, stream) = (stop.clone(), yahoo.stream().clone());
        let thread = thread::spawn(move || {
            let mut ticks = Ticks { since: now(), count: 0 };
            paced(RATE, &stopped, |number| {
                stream.act(Act::Text(ticks.frame(number)));
                ticks.count = number + 1;
                Ok(())
            })?;
            Ok(ticks)
        });
        Self { stop, thread }
    }

    fn stop(self) -> Result<Ticks> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the feed died")?
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    symbol: &'a str,
    #[serde(borrow)]
    currentstockprice: &'a RawValue,
    #[serde(borrow)]
    lastupdatedate: &'a RawValue,
    currency: Option<&'a str>,
}

/// What the raw topic has of the ticks.
#[derive(Debug, Default)]
struct Found {
    once: u64,
    again: u64,
    missing: u64,
    strange: u64,
    /// Without a currency.
    bare: u64,
}

impl Found {
    fn read(cluster: &Cluster, ticks: &Ticks) -> Result<Self> {
        let mut seen = vec![0_u8; usize::try_from(ticks.count)?];
        let (mut strange, mut bare) = (0, 0);
        let mut left: i64 = cluster.ends(RAW)?.iter().sum();
        Reader::from_start(cluster, &[RAW])?.find("end of raw-input", LIMIT, |message| {
            let record: Option<Record<'_>> =
                message.payload().and_then(|payload| serde_json::from_slice(payload).ok());
            bare += u64::from(record.as_ref().is_some_and(|record| record.currency != Some("USD")));
            match record.as_ref().and_then(|record| ticks.number(record)) {
                Some(number) => seen[number as usize] = seen[number as usize].saturating_add(1),
                // The sparks' are older than any tick.
                None if record.is_some_and(|record| record.currentstockprice.get() == "1.25") => {}
                None => strange += 1,
            }
            left -= 1;
            (left == 0).then_some(())
        })?;
        let mut found = Self { strange, bare, ..Self::default() };
        for (number, times) in (0..).zip(seen) {
            match times {
                0 => found.missing += u64::from(Ticks::is_regular(number)),
                1 => found.once += 1,
                _ => found.again += 1,
            }
        }
        Ok(found)
    }
}

/// CPU seconds of a process by the names of its threads.
struct Threads(BTreeMap<String, f64>);

impl Threads {
    fn of(process: Process) -> Result<Self> {
        Ok(Self(process.cpu_seconds_by_thread()?))
    }

    /// What was spent until `later`, the largest first.
    fn shares(&self, later: &Self, span: Duration) -> String {
        let spent = |(name, seconds): (&String, &f64)| {
            let before = self.0.get(name).copied().unwrap_or_default();
            (name.clone(), (seconds - before) / span.as_secs_f64())
        };
        let mut shares: Vec<(String, f64)> = later.0.iter().map(spent).collect();
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let shares: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {share:.3}")).collect();
        shares.join(", ")
    }
}
